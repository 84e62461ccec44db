"""Training: it learns, it repeats bit for bit, it goes on where it stopped, and it says when it breaks."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pandas as pd
import pytest
from averages import Averages
from mindspore import Tensor, nn

from actionbook.clips.pipeline import TrainingSource
from actionbook.clips.samples import Sample, Samples
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.core.training import Training
from actionbook.tasks import Classification
from actionbook.training import loop
from actionbook.training.checkpoint import load_checkpoint
from actionbook.training.loop import Validate, read_log
from actionbook.training.optimiser import train_step

Make = Callable[..., Any]


def train(
    network: nn.Cell, source: TrainingSource, training: Training, folder: Path, validate: Validate | None = None
) -> pd.DataFrame:
    """Train by an optimiser step of the network's own."""
    step = train_step(network, Classification().loss(), training, len(source)) if training.epochs else None
    return loop.train(network, step, source, training, folder, validate=validate)


def values(network: nn.Cell) -> dict[str, np.ndarray]:
    return {p.name: p.asnumpy().copy() for p in network.get_parameters()}


def assert_same(found: nn.Cell, expected: nn.Cell) -> None:
    for name, value in values(expected).items():
        np.testing.assert_array_equal(dict(values(found))[name], value, err_msg=name)


def test_a_training(tiny_network: Make, source: Make, settings: Make, tmp_path: Path) -> None:
    network, modes = tiny_network(), []

    def validate(cell: nn.Cell) -> dict[str, float]:
        modes.append(cell.training)
        return {"top1": 0.5}

    before = values(network)
    log = train(network, source(), settings(), tmp_path / "run", validate)
    assert log.epoch.tolist() == [1, 2, 3, 4]
    assert log.lr.tolist() == pytest.approx([0.02, 0.02, 0.002, 0.002])
    assert log.top1.tolist() == [0.5] * 4
    assert log.loss.between(0.2, 3).all()
    assert log.data_wait.between(0, 1).all()
    assert (log.seconds > 0).all()
    assert modes == [False] * 4
    assert not network.training
    # Every parameter moved, running statistics too.
    moved = {name for name, value in before.items() if (values(network)[name] != value).any()}
    assert set(before) - moved == {"classifier.0.mask_key"}  # which counts only where there is dropout
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["done.json", "log.jsonl", "network.ckpt"]
    done = json.loads((tmp_path / "run" / "done.json").read_text())
    assert done == {"epochs": 4, "sha256": sha256_file(tmp_path / "run" / "network.ckpt")}
    fresh = tiny_network(seed=9)
    load_checkpoint(fresh, tmp_path / "run" / "network.ckpt")
    assert_same(fresh, network)


class Bright(Samples):
    """Two classes whose clips differ in brightness, which two layers can learn."""

    def train(self, number: int, rng: np.random.Generator) -> Sample:
        sample, target = super().train(number, rng), number % 2
        image = sample.inputs["image"] + 2 * (target - 0.5)
        return replace(sample, inputs={"image": image.astype(np.float32)}, target=np.int32(target))


def test_the_loss_falls(tiny_network: Make, samples: Samples, settings: Make, tmp_path: Path) -> None:
    bright = Bright(samples.index, samples.store, samples.recipe, samples.classes)
    log = train(tiny_network(), TrainingSource(bright, 4, 1), settings(epochs=8, lr=0.5, lr_steps=()), tmp_path)
    assert log.loss.iloc[-1] < 0.5 * log.loss.iloc[0]


def test_same_seed_same_weights_bit_for_bit(tiny_network: Make, source: Make, settings: Make, tmp_path: Path) -> None:
    def trained(name: str, dropout: float = 0.5, seed: int = 1, order: int = 1) -> nn.Cell:
        network = tiny_network(dropout=dropout, seed=seed)
        train(network, source(order), settings(epochs=2), tmp_path / name)
        return network

    first = trained("first")
    assert_same(trained("again"), first)
    head = values(first)["classifier.1.weight"]
    for other in (
        trained("other weights", seed=2),
        trained("other clips", order=2),
        trained("no dropout", dropout=0.0),
    ):
        assert (values(other)["classifier.1.weight"] != head).any()


class Stopped(Exception):
    """What kills a training in these tests."""


def stop_after(epochs: int) -> Callable[[nn.Cell], dict[str, float]]:
    seen = []

    def validate(_: nn.Cell) -> dict[str, float]:
        seen.append(1)
        if len(seen) == epochs:
            raise Stopped
        return {"top1": 0.5}

    return validate


@pytest.mark.parametrize("case", [(1, 3, 2), (2, 4, 2), (3, 3, 0)])
def test_an_interrupted_training_goes_on_to_the_same_end(
    tiny_network: Make, source: Make, settings: Make, tmp_path: Path, case: tuple[int, int, int]
) -> None:
    every, stopped_in, kept = case  # checkpoints every so many epochs; stopped at the end of one; epochs not lost
    training: Training = settings(checkpoint_epochs=every)
    whole = tiny_network()
    expected = train(whole, source(), training, tmp_path / "whole", lambda _: {"top1": 0.5})
    with pytest.raises(Stopped):
        train(tiny_network(), source(), training, tmp_path / "cut", stop_after(stopped_in))
    assert (tmp_path / "cut" / "state.ckpt").exists() == (kept > 0)
    assert not (tmp_path / "cut" / "done.json").exists()
    if kept:
        assert len(read_log(tmp_path / "cut")) == kept
    resumed = tiny_network(seed=9)  # its own values must not matter after a checkpoint
    if not kept:
        resumed = tiny_network()
    epochs = []

    def validate(_: nn.Cell) -> dict[str, float]:
        epochs.append(1)
        return {"top1": 0.5}

    log = train(resumed, source(), training, tmp_path / "cut", validate)
    assert len(epochs) == 4 - kept
    columns = ["epoch", "lr", "loss", "top1"]
    pd.testing.assert_frame_equal(log[columns], expected[columns])
    assert_same(resumed, whole)
    assert not (tmp_path / "cut" / "state.ckpt").exists()


class Killed(BaseException):
    """As if the process had ended."""


def killed_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a training end without a word once so many steps are done, between a checkpoint and the next step."""
    real = loop.progress_bar

    def bar(*args: Any, **options: Any) -> Any:
        made = real(*args, **options)
        update = made.update

        def counted(n: int = 1) -> Any:
            if made.n + n > steps:
                raise Killed
            return update(n)

        made.update = counted
        return made

    monkeypatch.setattr(loop, "progress_bar", bar)


ECO: dict[str, Any] = {
    "dampening": 0.0, "nesterov": True, "clip_norm": 0.5, "accumulate": 2, "lr_steps": (),
    "plateau": {"patience": 1, "factor": 0.5},
    "groups": ({"kind": "norms", "weight_decay": 0.0}, {"kind": "biases", "weight_decay": 0.0, "lr_factor": 2.0}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "count"),
    [({"optimizer": "sgd"}, 12), ({"optimizer": "adam"}, 12), (ECO, 24)],
    ids=["sgd", "adam", "eco"],
)
def test_a_training_that_is_killed_in_any_step_ends_with_the_same_weights(
    *,
    tiny_network: Make,
    source: Make,
    settings: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    count: int,
) -> None:
    # Dropout, momentum or moments, rates that fall: all that has a memory. 4 steps in each of 3 epochs.
    training: Training = settings(**{"epochs": 3, "checkpoint_steps": 1, "lr_steps": (1, 2)} | changes)
    flat = {"validate": lambda _: {"top1": 0.5}}
    whole = tiny_network(dropout=0.5)
    expected = train(whole, source(), training, tmp_path / "whole", **flat)
    assert expected.lr.nunique() > 1
    for stop in (1, 2, 4, 5, 7, 11):
        with monkeypatch.context() as patch:
            killed_after(stop, patch)
            with pytest.raises(Killed):
                train(tiny_network(dropout=0.5), source(), training, tmp_path / "cut", **flat)
    resumed = tiny_network(dropout=0.5, seed=9)
    log = train(resumed, source(), training, tmp_path / "cut", **flat)
    columns = ["epoch", "lr", "loss"]
    pd.testing.assert_frame_equal(log[columns], expected[columns])
    assert_same(resumed, whole)
    assert whole.classifier[0].mask_key.asnumpy().tolist() == [0, count]


def test_checkpoints_within_an_epoch_change_nothing(
    tiny_network: Make, source: Make, settings: Make, tmp_path: Path
) -> None:
    networks = []
    for name, every in (("none", None), ("each", 1), ("third", 3)):
        networks.append(tiny_network(dropout=0.5))
        train(networks[-1], source(), settings(epochs=2, checkpoint_steps=every), tmp_path / name)
    assert_same(networks[1], networks[0])
    assert_same(networks[2], networks[0])


def test_a_full_disk_keeps_the_last_good_state(
    source: Make, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Averages()
    train(whole, source(), settings(), tmp_path / "whole")
    real, calls = ms.save_checkpoint, []

    def full(cell: nn.Cell, path: str, **options: Any) -> None:
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(cell, path, **options)

    monkeypatch.setattr(ms, "save_checkpoint", full)
    folder = tmp_path / "cut"
    with pytest.raises(BookError, match=r"state\.ckpt: cannot be written \(No space left on device\); the earlier"):
        train(Averages(), source(), settings(), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["log.jsonl", "state.ckpt"]
    resumed = Averages()
    log = train(resumed, source(), settings(), folder)
    assert log.epoch.tolist() == [1, 2, 3, 4]
    assert_same(resumed, whole)


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:90] + b"?" + data[91:], lambda _: b""])
def test_a_damaged_state_is_never_gone_on_from(
    source: Make, settings: Make, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(Stopped):
        train(Averages(), source(), settings(), tmp_path, stop_after(3))
    state = tmp_path / "state.ckpt"
    data = damage(state.read_bytes())
    state.unlink()
    state.write_bytes(data)
    with pytest.raises(BookError, match=r"state\.ckpt: is not a readable checkpoint .*delete it"):
        train(Averages(), source(), settings(), tmp_path)


def test_weights_that_are_no_numbers_are_not_written(source: Make, settings: Make, tmp_path: Path) -> None:
    training = settings(lr=1e38, lr_steps=(), checkpoint_steps=1)  # one finite loss, then weights beyond float32
    with pytest.raises(BookError, match=r"(weights stopped|the loss became) .*in step \d of epoch 1: lower"):
        train(Averages(), source(), training, tmp_path)
    for state in tmp_path.glob("state.ckpt"):
        stored = ms.load_checkpoint(str(state))
        assert all(np.isfinite(p.asnumpy()).all() for p in stored.values() if hasattr(p, "asnumpy"))


def kept_epochs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("epoch-*"))


@pytest.mark.parametrize("case", [(0, []), (1, [4]), (3, [2, 3, 4]), (9, [1, 2, 3, 4])])
def test_the_networks_of_the_last_epochs_are_kept(
    source: Make, settings: Make, tmp_path: Path, case: tuple[int, list[int]]
) -> None:
    keep, expected = case
    seen: list[dict[str, np.ndarray]] = []

    def validate(cell: nn.Cell) -> dict[str, float]:
        seen.append(values(cell))
        return {}

    train(Averages(), source(), settings(keep_epochs=keep, checkpoint_epochs=4), tmp_path, validate)
    assert kept_epochs(tmp_path) == [f"epoch-{epoch:03d}.ckpt" for epoch in expected]
    for epoch in expected:
        fresh = Averages()
        assert load_checkpoint(fresh, tmp_path / f"epoch-{epoch:03d}.ckpt") == {}
        for name, value in seen[epoch - 1].items():
            np.testing.assert_array_equal(values(fresh)[name], value, err_msg=name)


@pytest.mark.parametrize("every", [1, 2])
def test_kept_epochs_survive_an_interruption(source: Make, settings: Make, tmp_path: Path, every: int) -> None:
    training: Training = settings(keep_epochs=2, checkpoint_epochs=every)
    train(Averages(), source(), training, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(Averages(), source(), training, tmp_path / "cut", stop_after(4))
    assert kept_epochs(tmp_path / "cut") == ["epoch-003.ckpt"]
    train(Averages(), source(), training, tmp_path / "cut")
    assert kept_epochs(tmp_path / "cut") == kept_epochs(tmp_path / "whole") == ["epoch-003.ckpt", "epoch-004.ckpt"]
    for name in ("epoch-003.ckpt", "epoch-004.ckpt", "network.ckpt"):
        expected, found = Averages(), Averages()
        load_checkpoint(expected, tmp_path / "whole" / name)
        load_checkpoint(found, tmp_path / "cut" / name)
        assert_same(found, expected)
        assert found.dense.weight.asnumpy().any()


def test_a_log_that_is_ahead_of_its_state_is_cut_back(source: Make, settings: Make, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(Averages(), source(), settings(), tmp_path, stop_after(3))
    log = tmp_path / "log.jsonl"  # killed between the log and the checkpoint of epoch 3
    ahead = json.loads(log.read_text().splitlines()[-1]) | {"epoch": 3, "loss": 99.0}
    log.write_text(log.read_text() + json.dumps(ahead) + "\n")
    found = train(Averages(), source(), settings(), tmp_path)
    assert found.epoch.tolist() == [1, 2, 3, 4]
    assert found.loss.max() < 9


def test_a_finished_training_is_loaded_not_repeated(
    tiny_network: Make, source: Make, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = tiny_network()
    first = train(trained, source(), settings(epochs=1), tmp_path)
    monkeypatch.setattr(TrainingSource, "__iter__", None)
    again = tiny_network(seed=9)
    second = train(again, source(), settings(epochs=1), tmp_path)
    pd.testing.assert_frame_equal(first, second)
    assert_same(again, trained)


def test_validation_runs_every_so_many_epochs_and_at_the_end(source: Make, settings: Make, tmp_path: Path) -> None:
    log = train(Averages(), source(), settings(epochs=5, validate_epochs=2), tmp_path, lambda _: {"top1": 0.5})
    assert log.epoch[log.top1 == 0.5].tolist() == [2, 4, 5]
    assert log.top1.isna().sum() == 2


def test_no_epochs_keep_the_initial_weights(tiny_network: Make, source: Make, settings: Make, tmp_path: Path) -> None:
    network, untouched = tiny_network(), tiny_network()
    log = train(network, source(), settings(epochs=0), tmp_path)
    assert len(log) == 0
    assert {"epoch", "lr", "loss"} <= set(log.columns)
    assert_same(network, untouched)
    assert (tmp_path / "network.ckpt").is_file()


class Broken(nn.Cell):
    """Logits that are no numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(3, 2)

    def construct(self, clip: Tensor) -> Tensor:
        return self.dense(clip.mean((2, 3, 4))) * float("nan")


def test_a_loss_that_is_no_number_stops_the_training(source: Make, settings: Make, tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"loss became nan in step 1 of epoch 1: lower training\.lr \(0\.02\), check"):
        train(Broken(), source(), settings(), tmp_path)
    assert not (tmp_path / "done.json").exists()
    assert not (tmp_path / "network.ckpt").exists()


class Crowded(nn.Cell):
    """A step on a card that is full, in MindSpore's words."""

    def construct(self, *_: Tensor) -> Tensor:
        raise RuntimeError(
            "Memory not enough:\nDevice(id:0) memory isn't enough and alloc failed, kernel name: Default/Conv3D-op1"
        )


def test_a_full_card_is_named(source: Make, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Crowded()
    monkeypatch.setattr(Crowded, "__call__", Crowded.construct)
    lower = r"lower training\.batch_size \(\d+\), raise training\.accumulate \(1\), or take a card"
    message = rf"the card's memory is full \(Memory not enough:\): {lower}"
    with pytest.raises(BookError, match=message):
        loop.train(Averages(), step, source(), settings(), tmp_path)
    monkeypatch.setattr(Crowded, "__call__", lambda *_: (_ for _ in ()).throw(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else"):
        loop.train(Averages(), step, source(), settings(), tmp_path)


def test_a_damaged_log_is_named(source: Make, settings: Make, tmp_path: Path) -> None:
    train(Averages(), source(), settings(epochs=1), tmp_path)
    (tmp_path / "log.jsonl").write_text('{"epoch": 1')
    with pytest.raises(BookError, match=r"log\.jsonl: cannot be read .*delete .* and train again"):
        read_log(tmp_path)


def test_clips_reach_the_step_as_they_are(source: Make, settings: Make, tmp_path: Path) -> None:
    """One step of a network without hidden layers, computed by hand from the source's own first batch."""
    network = Averages()
    training = settings(epochs=1, lr=0.5, lr_steps=(), weight_decay=0.0)
    made = source()
    made.batch_size = 14
    log = train(network, made, training, tmp_path)
    assert log.loss.iloc[0] == pytest.approx(np.log(2), abs=1e-5)
    (clips, targets), *rest = list(TrainingSource(made.samples, 14, made.seed))
    assert not rest
    means = clips.mean(axis=(2, 3, 4))
    error = 0.5 - np.eye(2)[targets]
    np.testing.assert_allclose(network.dense.weight.asnumpy(), -0.5 * error.T @ means / 14, atol=1e-5)
    assert ms.get_context("mode") == ms.GRAPH_MODE
