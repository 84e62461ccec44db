"""Trainings that are interrupted, by a notebook's front end, Ctrl-C or SIGTERM, and go on to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from actionbook.core.files import sha256_file
from actionbook.core.interrupts import STOPPED
from actionbook.core.workspace import Stage
from actionbook.notebooks import kernel_sockets

CELL = """
from mindspore import nn
from actionbook import models
from actionbook.core.workspace import Stage
from actionbook.training.jobs import side_by_side, train_side_by_side
from actionbook.training.runs import train_runs

class Averages(nn.Cell):
    def __init__(self, classes, seed):
        super().__init__()
        self.dense = nn.Dense(3, classes, weight_init="ones")

    def construct(self, clip):
        return self.dense(clip.mean((2, 3, 4)))

models.MODELS["averages"] = Averages
stage = Stage.open("tiny", "03_training", recipe={recipe!r}, data_root={data!r}, work_root={work!r},
                   device="CPU", workers=2)
stage.set_device()
if side_by_side(stage):
    train_side_by_side(stage)
for _ in train_runs(stage.first):
    pass
"""
SHORT = {"model": {"name": "averages", "options": {}}}
"""Of a recipe: a network that is compiled in no time, and known in the cell alone."""


@pytest.fixture
def ready(tiny_stage: Callable[..., Stage], after_data: Callable[[Stage], Stage]) -> Callable[..., Stage]:
    """A function that opens a stage whose data is prepared, in a workspace of its own."""

    def make(work: str, cores: int | None = None, **differences: Any) -> Stage:
        training = {"epochs": 100, "checkpoint_steps": 1, "cores": cores, "lr": 1e-7}  # of 3 steps
        return after_data(tiny_stage(work, training=training, **differences))

    return make


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    with kernel_sockets() as config:
        manager = KernelManager(kernel_name="python3", config=config)
        manager.start_kernel(cwd=str(tmp_path_factory.mktemp("kernel")))
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        yield manager, client
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def cell(stage: Stage, tmp_path: Path) -> str:
    recipe, data, work = (str(path) for path in (tmp_path / "recipe.yaml", stage.data_root, stage.work_root))
    return CELL.format(recipe=recipe, data=data, work=work)


def wait_for_steps(stage: Stage) -> Path:
    """The checkpoint of a training, once it has been written and written again."""
    end, first = time.monotonic() + 180, 0
    while time.monotonic() < end:
        for state in stage.folder.glob("training/*/state.ckpt"):
            now = state.stat().st_mtime_ns
            if first and now != first:
                return state
            first = first or now
        time.sleep(0.01)
    raise TimeoutError("no step was done")


def weights(stage: Stage) -> str:
    (path,) = stage.folder.glob("training/*/network.ckpt")
    return sha256_file(path)


def processes(stage: Stage) -> list[int]:
    """Numbers of other processes that work in the stage's workspace."""
    own, found = os.getpid(), []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(stage.work_root).encode() in file.read_bytes().split(b"\0") and int(file.parent.name) != own:
                found.append(int(file.parent.name))
        except OSError:
            continue
    return found


def interrupted(stage: Stage, kernel: tuple[KernelManager, BlockingKernelClient], code: str) -> list[str]:
    """What a notebook shows of a cell that is interrupted in the middle of its steps."""
    manager, client = kernel
    asked, shown = client.execute(code), ["no error"]
    wait_for_steps(stage)
    manager.interrupt_kernel()
    while True:
        message = client.get_iopub_msg(timeout=60)
        content = message["content"]
        if message["parent_header"].get("msg_id") != asked:
            continue
        if message["msg_type"] == "error":
            shown = [content["ename"], *content["traceback"]]
        if content.get("execution_state") == "idle":
            return shown


def test_an_interrupted_cell_leaves_the_kernel_and_goes_on_to_the_same_bits(
    ready: Callable[..., Stage], kernel: tuple[KernelManager, BlockingKernelClient], tmp_path: Path
) -> None:
    manager, client = kernel
    stage = ready("stopped", **SHORT)
    code = cell(stage, tmp_path)
    kept = "stopped; the training is kept up to its last checkpoint, run again to go on"
    assert interrupted(stage, kernel, code) == ["KeyboardInterrupt", kept]
    assert manager.is_alive()
    assert list(stage.folder.glob("training/*/state.ckpt"))
    assert not list(stage.folder.glob("training/*/done.json"))

    whole = ready("whole", **SHORT)
    for again in (code, cell(whole, tmp_path)):
        reply = client.execute(again, reply=True, timeout=120)["content"]
        assert reply["status"] == "ok", reply
    assert weights(stage) == weights(whole)


def test_an_interrupted_cell_ends_the_processes_that_train(
    ready: Callable[..., Stage], kernel: tuple[KernelManager, BlockingKernelClient], tmp_path: Path
) -> None:
    stage = ready("beside", cores=1)
    kept = "stopped; the trainings are kept up to their last checkpoints, run again to go on"
    assert interrupted(stage, kernel, cell(stage, tmp_path)) == ["KeyboardInterrupt", kept]
    assert kernel[0].is_alive()
    assert processes(stage) == []
    assert list(stage.folder.glob("training/*/state.ckpt"))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (signal.SIGINT, "stopped; the training is kept up to its last checkpoint, run again to go on"),
        (signal.SIGTERM, STOPPED),
    ],
    ids=["ctrl-c", "terminated"],
)
def test_an_interrupted_program_says_so(
    ready: Callable[..., Stage], tmp_path: Path, sent: signal.Signals, words: str
) -> None:
    stage = ready("stopped")
    command = [sys.executable, "-m", "actionbook.train", "tiny", str(tmp_path / "recipe.yaml"), "--device", "CPU"]
    command += ["--data-root", str(stage.data_root), "--work-root", str(stage.work_root)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TQDM_DISABLE": "1"}
    ) as process:
        try:
            wait_for_steps(stage)
            process.send_signal(sent)
            _, written = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == -sent
    assert written.splitlines()[-1:] == [words]
    assert "Traceback" not in written
    assert list(stage.folder.glob("training/*/state.ckpt"))
