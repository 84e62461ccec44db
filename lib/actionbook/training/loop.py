"""Training one network: a GRAPH-mode step, a loop over epochs, a log, checkpoints that a run resumes from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mindspore as ms
import numpy as np
import pandas as pd
from mindspore import nn
from tqdm import tqdm

from actionbook.clips.pipeline import TrainingSource, training_dataset
from actionbook.core import card_memory
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file, sweep_temporary, write_json_atomic, write_text_atomic
from actionbook.core.interrupts import stopped_in_one_line
from actionbook.core.paths import shown
from actionbook.core.progress import progress_bar
from actionbook.core.training import Training
from actionbook.training.checkpoint import load_checkpoint, save_checkpoint
from actionbook.training.optimiser import set_level
from actionbook.training.ranks import ALONE, Ranks
from actionbook.training.schedule import falls, step_rates

Validate = Callable[[nn.Cell], dict[str, float]]
"""From a network to its figures by name, the main score first: what ``training.plateau`` goes by."""


@dataclass(frozen=True)
class Epoch:
    """One line of the training log (``log.jsonl``)."""

    epoch: int
    """From 1: epochs finished."""
    lr: float
    """Learning rate of the epoch's last optimiser step."""
    loss: float
    """Mean loss of the epoch's training samples (cross-entropy in nats)."""
    seconds: float
    data_wait: float
    """Share of the time in which the network waited for clips, 0..1."""
    validation: dict[str, float]


@dataclass
class _Progress:
    """How far a training has come; a checkpoint holds it beside the parameters."""

    log: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Of the steps of the unfinished epoch."""
    seconds: float = 0.0
    waited: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> _Progress:
        data = json.loads(text)
        return cls(**{**data, "log": [Epoch(**epoch) for epoch in data["log"]]})


@dataclass(frozen=True)
class _Training:
    """What one call of `train` works with."""

    network: nn.Cell
    step: nn.Cell
    source: TrainingSource
    settings: Training
    folder: Path
    ranks: Ranks

    @property
    def state(self) -> Path:
        return self.folder / "state.ckpt"


@stopped_in_one_line("stopped; the training is kept up to its last checkpoint, run again to go on")
def train(
    network: nn.Cell,
    step: nn.Cell | None,
    source: TrainingSource | None,
    training: Training,
    folder: Path,
    *,
    validate: Validate | None = None,
    ranks: Ranks = ALONE,
) -> pd.DataFrame:
    """Train `network` in place by its optimiser step (`training.optimiser`) and return the log, one row per epoch.

    `folder` receives ``log.jsonl``, ``state.ckpt`` (weights, optimiser, masks of dropout, epoch, step and log; resumed
    from if present), the ``epoch-<n>.ckpt`` of the last ``keep_epochs`` epochs and, at the end, ``network.ckpt`` and
    ``done.json``. A training that was killed and goes on ends with the same weights, bit for bit. A finished folder is
    loaded, not trained again. `validate` is called after every epoch with the network in evaluation mode; what it
    returns is logged. Without `step` and `source` nothing is trained and the network is stored as it is (a recipe of 0
    epochs). Of several `ranks`, all must call this with the same arguments, `source` apart; the leading one validates
    and writes. An interrupt comes out as a KeyboardInterrupt that says what is kept.
    Raises BookError if the loss or the weights stop being finite numbers, the card's memory is full, a checkpoint
    cannot be written, or the rates go by scores (``training.plateau``) and `validate` is missing.
    """
    if ranks.leads:
        sweep_temporary(folder)
    if (folder / "done.json").exists():
        if ranks.leads:  # killed just before it was removed
            (folder / "state.ckpt").unlink(missing_ok=True)
        load_checkpoint(network, folder / "network.ckpt")
        return read_log(folder)
    log: list[Epoch] = []
    if step is not None and source is not None:
        log = _train_epochs(_Training(network, step, source, training, folder, ranks), validate)
    network.set_train(False)
    ranks.check_equal(network)
    if ranks.leads:
        _write_log(folder, log)
        save_checkpoint(network, folder / "network.ckpt")
        write_json_atomic(folder / "done.json", {"epochs": len(log), "sha256": sha256_file(folder / "network.ckpt")})
        (folder / "state.ckpt").unlink(missing_ok=True)
    ranks.wait()  # the next run may begin with what this one has written
    return _table(log)


def _train_epochs(this: _Training, validate: Validate | None) -> list[Epoch]:
    """Train from the folder's last state, if there is one, to the last epoch; returns the whole log."""
    settings, source, network = this.settings, this.source, this.network
    if settings.plateau and this.ranks.leads and validate is None:
        raise BookError("training.plateau: rates go by the scores of validation, and this training has none; give one")
    steps = len(source)
    progress = _resume(this)
    log = progress.log
    source.epoch, source.first = len(log), len(progress.losses)
    done = len(log) * steps + len(progress.losses)
    batches = _forever(source, settings.epochs - len(log))
    rates = step_rates(settings, steps)
    with progress_bar(settings.epochs * steps, f"training {this.folder.name}", "steps", initial=done) as bar:
        for epoch in range(len(log) + 1, settings.epochs + 1):
            level = _level(this, log)
            network.set_train(True)
            _one_epoch(this, progress, batches, bar)
            network.set_train(False)
            this.ranks.average_statistics(network)
            last = epoch == settings.epochs
            due = this.ranks.leads and (last or epoch % settings.validate_epochs == 0)
            found = validate(network) if validate and due else {}
            log.append(_finished(progress, epoch, rates[epoch * steps - 1] * level, found, this.ranks))
            bar.set_postfix({"loss": f"{log[-1].loss:.3f}", **{k: f"{v:.3f}" for k, v in found.items()}}, refresh=False)
            if this.ranks.leads and epoch > settings.epochs - settings.keep_epochs:
                save_checkpoint(network, this.folder / f"epoch-{epoch:03d}.ckpt")
            if epoch % settings.checkpoint_epochs == 0 and not last:
                _write_state(this, progress)
    return log


def _level(this: _Training, log: list[Epoch]) -> float:
    """What the planned rates of the epoch after `log` are multiplied by, which the step is told; 1 without a plateau.

    It follows from the log alone, so a training that goes on needs to remember nothing else.
    """
    plateau = this.settings.plateau
    if plateau is None:
        return 1.0
    scores = [next(iter(line.validation.values())) for line in log if line.validation]
    level = plateau.factor ** this.ranks.leaders(falls(plateau.patience, scores))
    set_level(this.step, level)
    return level


def _one_epoch(this: _Training, progress: _Progress, batches: Iterator[tuple[ms.Tensor, ...]], bar: tqdm) -> None:
    """Do the steps that the epoch still lacks, noting losses and times in `progress`."""
    start, before, steps = time.perf_counter(), progress.seconds, len(this.source)
    while len(progress.losses) < steps:
        asked = time.perf_counter()
        batch = next(batches)
        progress.waited += time.perf_counter() - asked
        try:
            loss = float(this.step(*batch).asnumpy())
        except RuntimeError as error:
            settings = this.settings
            lower = f"training.batch_size ({settings.batch_size}), raise training.accumulate ({settings.accumulate})"
            if full := card_memory.explained(str(error), lower):
                raise BookError(full) from error
            raise
        if not np.isfinite(loss):
            raise _not_finite(this, progress, f"the loss became {loss}")
        progress.losses.append(loss)
        progress.seconds = before + time.perf_counter() - start
        bar.update()
        done = len(progress.losses)
        if this.settings.checkpoint_steps and done % this.settings.checkpoint_steps == 0 and done < steps:
            this.ranks.average_statistics(this.network)
            progress.losses = this.ranks.mean(np.array(progress.losses)).tolist()
            _write_state(this, progress)


def _finished(progress: _Progress, epoch: int, rate: float, found: dict[str, float], ranks: Ranks) -> Epoch:
    """The log's line of the epoch whose steps are all done; `progress` then begins another."""
    loss, seconds = float(np.mean(ranks.mean(np.array(progress.losses)))), max(progress.seconds, 1e-9)
    line = Epoch(epoch, rate, round(loss, 6), round(seconds, 3), round(progress.waited / seconds, 4), found)
    progress.losses, progress.seconds, progress.waited = [], 0.0, 0.0
    return line


def _not_finite(this: _Training, progress: _Progress, what: str) -> BookError:
    return BookError(
        f"{what} in step {len(progress.losses) + 1} of epoch {len(progress.log) + 1}: lower training.lr "
        f"({this.settings.lr:g}), check training.loss_scale and amp_level, and look at the clips of notebook 01_data"
    )


def read_log(folder: Path) -> pd.DataFrame:
    """The training log of a folder: epoch, lr, loss, seconds, data_wait and one column per validation figure."""
    return _table(_read_epochs(folder))


def _table(log: list[Epoch]) -> pd.DataFrame:
    rows = [_flat(epoch) for epoch in log]
    return pd.DataFrame(rows, columns=None if rows else ["epoch", "lr", "loss", "seconds", "data_wait"])


def _flat(epoch: Epoch) -> dict[str, float]:
    row = asdict(epoch)
    return {**row.pop("validation"), **row}


def _forever(source: TrainingSource, epochs: int) -> Iterator[tuple[ms.Tensor, ...]]:
    """Batches of all remaining epochs as one stream, so that the next epoch is being read while this one ends."""
    if epochs > 0:
        iterator = training_dataset(source).create_tuple_iterator(num_epochs=epochs)
        for _ in range(epochs):
            yield from iterator


def _resume(this: _Training) -> _Progress:
    """Load the last state, if there is one."""
    if not this.state.exists():
        return _Progress()
    try:
        return _Progress.from_json(str(load_checkpoint(this.step, this.state)["progress"]))
    except (KeyError, ValueError, TypeError) as error:
        raise BookError(
            f"{shown(this.state)}: does not say how far the training had come ({error!r}); delete it to train again"
        ) from error


def _write_state(this: _Training, progress: _Progress) -> None:
    """The log is for people to look at; what a training goes on from is in the state alone."""
    if not all(np.isfinite(parameter.asnumpy()).all() for parameter in this.network.trainable_params()):
        raise _not_finite(this, progress, "weights stopped being finite numbers")
    if this.ranks.leads:
        _write_log(this.folder, progress.log)
        save_checkpoint(this.step, this.state, progress=progress.to_json())


def _write_log(folder: Path, log: list[Epoch]) -> None:
    write_text_atomic(folder / "log.jsonl", "".join(json.dumps(asdict(epoch)) + "\n" for epoch in log))


def _read_epochs(folder: Path) -> list[Epoch]:
    path = folder / "log.jsonl"
    try:
        return [Epoch(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise BookError(f"{shown(path)}: cannot be read ({error}); delete {shown(folder)} and train again") from error
