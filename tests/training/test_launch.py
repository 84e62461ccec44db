"""Training on two devices (CPU processes): the same result as on one, and clear words when a process fails."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.recipe import Recipe
from actionbook.core.schema import merge
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.evaluation.predict import centre_validation, predict_test
from actionbook.training import launch
from actionbook.training.launch import train_on_devices
from actionbook.training.runs import initial_network, train_runs

Open = Callable[..., Stage]

# Batch norm is frozen: elsewhere each device normalises by its own half of a batch. All that is made of gradients and
# rates takes part: masks of dropout in micro-batches, the norm of gradients over both devices, rates led by scores.
RECIPE: dict[str, Any] = {
    "model": {"name": "squeezenet_3d", "options": {"width": 0.25, "dropout": 0.5}},
    "transforms": {"std": [128.0, 128.0, 128.0]},
    "training": {
        "epochs": 3, "batch_size": 4, "lr": 1e-3, "trainable": ["classifier"], "checkpoint_steps": 1,
        "nesterov": True, "dampening": 0.0, "clip_norm": 0.5, "accumulate": 2, "plateau": {"patience": 1},
    },
}  # fmt: skip


@pytest.fixture
def ready(tiny_stage: Open, after_data: Callable[[Stage], Stage]) -> Callable[..., Stage]:
    """A function that gives a stage whose data is prepared, in a workspace of its own."""

    def make(devices: int, **training: Any) -> Stage:
        stage = tiny_stage(f"work{devices}", **merge(RECIPE, {"training": training}))
        after_data(stage).devices = devices
        return stage

    return make


def log_folder(stage: Stage) -> Path:
    return stage.folder / "training" / "devices"


def assert_none_left(stage: Stage) -> None:
    """Killed processes need a moment to be gone."""
    end = time.monotonic() + 10
    while (left := launch.started(log_folder(stage))) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left


def test_two_devices_killed_and_resumed_end_with_the_weights_and_logits_of_one(
    ready: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = ready(1), ready(2)
    (single,) = train_runs(one, centre_validation)
    expected = {p.name: p.asnumpy().copy() for p in single.network.get_parameters()}
    fresh = initial_network(one, 1).classifier[1].weight.asnumpy()
    assert (expected["classifier.1.weight"] != fresh).any()
    logits = predict_test(single.network, one, dataset_of(one).index()).outputs

    def kill_rank_1_after_the_first_checkpoint() -> None:
        while not list(two.folder.glob("training/clip-*/state.ckpt")):
            time.sleep(0.02)
        for process, environment in launch.started(log_folder(two)).items():
            if environment.get("MS_ROLE") == "MS_WORKER" and environment.get("RANK_ID") == "1":
                os.kill(process, signal.SIGKILL)

    Thread(target=kill_rank_1_after_the_first_checkpoint, daemon=True).start()
    monkeypatch.setattr(launch, "LOST_SECONDS", 0.0)  # nobody waits for the other one
    with pytest.raises(BookError, match=r"^training on 2 devices failed\. Last lines of .*worker_\d\.log"):
        train_on_devices(two)
    assert_none_left(two)
    assert not list(two.folder.glob("training/clip-*/done.json"))

    (double,) = train_runs(two)
    assert double.folder.name != single.folder.name
    found = {p.name: p.asnumpy() for p in double.network.get_parameters()}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(double.log.loss, single.log.loss, atol=1e-5)
    assert double.log.lr.tolist() == single.log.lr.tolist()
    # Each process has classified its share of the test clips; all that is left is to put them together.
    assert len(list(two.folder.glob("predictions/*/*_0.bin"))) == 12
    np.testing.assert_allclose(predict_test(double.network, two, dataset_of(two).index()).outputs, logits, atol=1e-4)


def test_the_words_of_the_process_that_failed(ready: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "LOST_SECONDS", 0.0)
    stage = ready(2, lr=1e38)
    with pytest.raises(BookError, match=r"(?s)^training on 2 devices failed.*Error: .*lower training\.lr \(1e\+38\)"):
        train_on_devices(stage)
    assert_none_left(stage)


def test_a_process_whose_card_is_full(tmp_path: Path) -> None:
    said = "[ERROR] DEVICE(7): Call rtMalloc fail, purpose: page caching, size:3221291008\nRuntimeError: no more\n"
    (tmp_path / "worker_1.log").write_text(said)
    found = launch._failure(tmp_path)
    assert found.startswith("the card's memory is full ([ERROR] DEVICE(7): Call rtMalloc fail")
    assert "lower training.batch_size" in found
    assert "RuntimeError: no more" in found.split("Last lines of")[1]


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_starts(ready: Open) -> None:
    stage = ready(2, batch_size=3, accumulate=1)
    with pytest.raises(BookError, match=r"batch_size 3 is not a multiple of the 2 devices"):
        train_on_devices(stage)
    assert not log_folder(stage).exists()
    with pytest.raises(BookError, match=r"training\.accumulate 2 does not divide the 1 clips of a step on each"):
        train_on_devices(ready(2, batch_size=2))


def test_a_training_that_hangs_is_stopped(ready: Open) -> None:
    stage = ready(2)
    training = stage.recipe.training.model_copy(update={"hang_minutes": 1 / 60})  # less than a process needs to start
    stage.recipe = stage.recipe.model_copy(update={"training": training})
    with pytest.raises(BookError, match=r"was stopped: no figure has changed for 0\.016\d* minutes .*hang_minutes"):
        train_on_devices(stage)
    assert_none_left(stage)


def test_processes_are_told_their_stream(tiny_stage: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    both = tiny_stage(streams={"one": {}, "two": {"transforms": {"flip": 0.0}}})
    stage, called = both.streams["two"], []
    monkeypatch.setattr(launch, "run_logged", lambda command, *_, **__: called.append(command) or 0)
    train_on_devices(stage)
    assert called[0][called[0].index("--stream") + 1] == "two"
    assert log_folder(stage) == both.workspace / "two" / "training" / "devices"
    # They read the whole recipe, so that they find the workspace of this one.
    assert Recipe.load(log_folder(stage) / "recipe.yaml") == both.recipe
