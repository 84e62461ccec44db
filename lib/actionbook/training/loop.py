"""Training one network: a GRAPH-mode step, a loop over epochs, a log, checkpoints that a run resumes from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
import pandas as pd
from mindspore import nn
from tqdm import tqdm

from actionbook.clips.pipeline import TrainingSource, training_dataset
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file, write_json_atomic, write_text_atomic
from actionbook.core.paths import shown
from actionbook.core.progress import progress_bar
from actionbook.core.recipe import Training
from actionbook.training.checkpoint import load_checkpoint, save_checkpoint
from actionbook.training.optimiser import train_step
from actionbook.training.schedule import step_rates

Validate = Callable[[nn.Cell], dict[str, float]]


@dataclass(frozen=True)
class Epoch:
    """One line of the training log (``log.jsonl``)."""

    epoch: int
    """From 1: epochs finished."""
    lr: float
    """Learning rate of the epoch's last step."""
    loss: float
    """Mean cross-entropy of the epoch's training clips, in nats."""
    seconds: float
    data_wait: float
    """Share of the time in which the network waited for clips, 0..1."""
    validation: dict[str, float]


def train(
    network: nn.Cell,
    source: TrainingSource | None,
    training: Training,
    folder: Path,
    validate: Validate | None = None,
    *,
    step: nn.Cell | None = None,
) -> pd.DataFrame:
    """Train `network` in place and return the log, one row per epoch.

    `folder` receives ``log.jsonl``, ``state.ckpt`` (weights, optimiser, epoch; resumed from if present), the
    ``epoch-<n>.ckpt`` of the last ``keep_epochs`` epochs and, at the end, ``network.ckpt`` and ``done.json``. A
    finished folder is loaded, not trained again. `validate` is called after every epoch with the network in evaluation
    mode; what it returns is logged. Without a `source` nothing is trained and the network is stored as it is (a recipe
    of 0 epochs). `step` is the network's optimiser step where one is compiled already (`training.compiled`).
    Raises BookError if the loss stops being a finite number.
    """
    if (folder / "done.json").exists():
        load_checkpoint(network, folder / "network.ckpt")
        return read_log(folder)
    log: list[Epoch] = []
    if source is not None:
        step = step or train_step(network, training, len(source))
        log = _train_epochs(network, step, source, training, folder=folder, validate=validate)
    network.set_train(False)
    _write_log(folder, log)
    save_checkpoint(network, folder / "network.ckpt")
    write_json_atomic(folder / "done.json", {"epochs": len(log), "sha256": sha256_file(folder / "network.ckpt")})
    (folder / "state.ckpt").unlink(missing_ok=True)
    return read_log(folder)


def _train_epochs(
    network: nn.Cell,
    step: nn.Cell,
    source: TrainingSource,
    training: Training,
    *,
    folder: Path,
    validate: Validate | None,
) -> list[Epoch]:
    """Train from the folder's last state, if there is one, to the last epoch; returns the whole log."""
    steps = len(source)
    log = _resume(step, folder)
    source.epoch = len(log)
    batches = _forever(source, training.epochs - len(log))
    rates = step_rates(training, steps)
    remedy = f"lower training.lr ({training.lr:g})"
    with progress_bar(training.epochs * steps, f"training {folder.name}", "steps", initial=len(log) * steps) as bar:
        for epoch in range(len(log) + 1, training.epochs + 1):
            network.set_train(True)
            loss, seconds, waited = _one_epoch(step, batches, steps, bar, f"epoch {epoch}: {remedy}")
            network.set_train(False)
            last = epoch == training.epochs
            found = validate(network) if validate and (last or epoch % training.validate_epochs == 0) else {}
            wait = round(waited / seconds, 4)
            log.append(Epoch(epoch, rates[epoch * steps - 1], round(loss, 6), round(seconds, 3), wait, found))
            bar.set_postfix({"loss": f"{loss:.3f}", **{k: f"{v:.3f}" for k, v in found.items()}}, refresh=False)
            if epoch > training.epochs - training.keep_epochs:
                save_checkpoint(network, folder / f"epoch-{epoch:03d}.ckpt")
            if epoch % training.checkpoint_epochs == 0 and not last:
                _write_state(step, folder, log)
    return log


def _one_epoch(
    step: nn.Cell, batches: Iterator[tuple[ms.Tensor, ms.Tensor]], steps: int, bar: tqdm, remedy: str
) -> tuple[float, float, float]:
    """(mean loss, seconds, seconds of them waiting for clips) of one epoch."""
    start, waited, losses = time.perf_counter(), 0.0, []
    for number in range(steps):
        asked = time.perf_counter()
        clips, targets = next(batches)
        waited += time.perf_counter() - asked
        losses.append(float(step(clips, targets).asnumpy()))
        if not np.isfinite(losses[-1]):
            raise BookError(
                f"the loss became {losses[-1]} in step {number + 1} of {remedy}, check training.loss_scale and "
                "amp_level, and look at the clips of notebook 01_data"
            )
        bar.update()
    return float(np.mean(losses)), time.perf_counter() - start, waited


def read_log(folder: Path) -> pd.DataFrame:
    """The training log of a folder: epoch, lr, loss, seconds, data_wait and one column per validation figure."""
    rows = [_flat(epoch) for epoch in _read_epochs(folder)]
    return pd.DataFrame(rows, columns=None if rows else ["epoch", "lr", "loss", "seconds", "data_wait"])


def _flat(epoch: Epoch) -> dict[str, float]:
    row = asdict(epoch)
    return {**row.pop("validation"), **row}


def _forever(source: TrainingSource, epochs: int) -> Iterator[tuple[ms.Tensor, ms.Tensor]]:
    """Batches of all remaining epochs as one stream, so that the next epoch is being read while this one ends."""
    if epochs > 0:
        iterator = training_dataset(source).create_tuple_iterator(num_epochs=epochs)
        for _ in range(epochs):
            yield from iterator


def _resume(step: nn.Cell, folder: Path) -> list[Epoch]:
    """Load the last state, if there is one, and return the log up to it."""
    state = folder / "state.ckpt"
    if not state.exists():
        return []
    finished = int(load_checkpoint(step, state)["epoch"])
    return _read_epochs(folder)[:finished]


def _write_state(step: nn.Cell, folder: Path, log: list[Epoch]) -> None:
    """The log first: if we are killed in between, `_resume` cuts it back to what the state says."""
    _write_log(folder, log)
    save_checkpoint(step, folder / "state.ckpt", epoch=log[-1].epoch)


def _write_log(folder: Path, log: list[Epoch]) -> None:
    write_text_atomic(folder / "log.jsonl", "".join(json.dumps(asdict(epoch)) + "\n" for epoch in log))


def _read_epochs(folder: Path) -> list[Epoch]:
    path = folder / "log.jsonl"
    try:
        return [Epoch(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise BookError(f"{shown(path)}: cannot be read ({error}); delete {shown(folder)} and train again") from error
