"""A stage whose roots lie in object storage: fetched before, written back meanwhile, killed and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionbook.core import write_back
from actionbook.core.errors import BookError
from actionbook.core.local_copy import LocalCopy
from actionbook.core.object_store import Entry, ObjectStore
from actionbook.core.workspace import Stage
from actionbook.core.write_back import WriteBack

CHILD = """
import sys
from mindspore import nn
from actionbook import models
from actionbook.core import write_back
from actionbook.core.workspace import Stage
from actionbook.training import loop
from actionbook.training.runs import train_runs

class Averages(nn.Cell):
    def __init__(self, classes, seed):
        super().__init__()
        self.dense = nn.Dense(3, classes, weight_init="ones")

    def construct(self, clip):
        return self.dense(clip.mean((2, 3, 4)))

states = []
write = loop._write_state
loop._write_state = lambda *given: (states.append(1), write(*given))
write_back.SECONDS = 0.05
models.MODELS["averages"] = Averages
recipe, data, work = sys.argv[1:]
stage = Stage.open("tiny", "03_training", recipe=recipe, data_root=data, work_root=work, device="CPU", workers=2)
stage.set_device()
for trained in train_runs(stage.first):
    print(len(states), trained.folder)
write_back.settle(stage.work_root)
"""
STEPS = 240
"""Optimiser steps of the training, with a state after each but the last of an epoch and one after each epoch."""


def send(bucket: Any, folder: Path, prefix: str) -> None:
    """Put a folder into the bucket, what links lead to as well."""
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(place, name)
            bucket.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@pytest.fixture
def ready(tiny_stage: Callable[..., Stage], after_data: Callable[[Stage], Stage]) -> Stage:
    """A stage whose data is prepared, of a small training."""
    training = {"epochs": STEPS // 3, "checkpoint_steps": 1, "lr": 1e-3}  # of 3 steps
    return after_data(tiny_stage("whole", model={"name": "averages", "options": {}}, training=training))


def test_a_killed_stage_goes_on_elsewhere_and_ends_with_the_same_bits(
    bucket: Any, ready: Stage, tmp_path: Path
) -> None:
    send(bucket, ready.work_root, "work")
    send(bucket, ready.data_root, "data")
    recipe, address = str(tmp_path / "recipe.yaml"), f"s3://{bucket.name}/work"
    (child := tmp_path / "child.py").write_text(CHILD, encoding="utf-8")  # MindSpore compiles what lies in a file

    def start(data: str, work: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, child, recipe, data, work], stdout=subprocess.PIPE, text=True)

    whole = start(str(ready.data_root), str(ready.work_root))
    killed = start(f"s3://{bucket.name}/data", address)
    while not any(key.endswith("/state.ckpt") for key in bucket.names("work/tiny/")):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not [key for key in bucket.names("work/tiny/") if key.endswith("done.json")]

    shutil.rmtree(tmp_path / "cache")  # another machine
    again = start(f"s3://{bucket.name}/data", address)
    said = again.communicate(timeout=300)[0]
    assert again.returncode == 0
    count, folder = said.split(maxsplit=1)
    every, own = whole.communicate(timeout=300)[0].split(maxsplit=1)
    assert int(every) == STEPS - 1
    assert 0 < int(count) < int(every)  # it went on, and did not begin again

    name = Path(folder.strip()).name
    assert name == Path(own.strip()).name
    there = f"work/tiny/tiny/training/{name}/"
    assert sorted(key.removeprefix(there) for key in bucket.names(there)) == sorted(
        path.name for path in Path(own.strip()).iterdir()
    )
    assert bucket.get(f"{there}network.ckpt") == (Path(own.strip()) / "network.ckpt").read_bytes()
    losses = [
        [json.loads(line)["loss"] for line in text.splitlines()]
        for text in (bucket.get(f"{there}log.jsonl"), (Path(own.strip()) / "log.jsonl").read_bytes())
    ]
    assert losses[0] == losses[1]


def test_what_a_stage_fetches(bucket: Any, ready: Stage, tmp_path: Path) -> None:
    send(bucket, ready.work_root, "work")
    send(bucket, ready.data_root, "data/tiny")
    bucket.put("data/tiny/weights/x.pth", b"weights")
    bucket.put("work/frames/another-h32-q95/Walking/x.zip", b"another data set's")
    bucket.put("work/tiny/other/record/01_data.json", b"another recipe's")
    before = {key: bucket.get(key) for key in bucket.names()}
    address = f"s3://{bucket.name}"

    def opened(name: str, **roots: Any) -> Stage:
        return Stage.open("tiny", name, recipe=str(tmp_path / "recipe.yaml"), device="CPU", **roots)

    stage = opened("doctor", data_root=f"{address}/data/tiny/", work_root=f"{address}/work")
    copies = tmp_path / "cache" / bucket.endpoint.removeprefix("http://").replace(":", "_") / bucket.name
    assert (stage.data_root, stage.work_root) == (copies / "data/tiny", copies / "work")
    assert len(list(stage.data_root.rglob("*.avi"))) == 20
    assert (stage.data_root / "weights/x.pth").read_bytes() == b"weights"
    assert len(list((stage.work_root / "frames/tiny-h32-q95").rglob("*.zip"))) == 20
    assert not (stage.work_root / "frames/another-h32-q95").exists()
    assert not (stage.work_root / "tiny/other").exists()
    assert stage.require("01_data", "data")
    assert write_back._RUNNING == {}  # the doctor changes nothing
    assert {key: bucket.get(key) for key in bucket.names()} == before

    shutil.rmtree(tmp_path / "cache")
    later = opened("04_conversion", data_root=f"{address}/data/tiny", work_root=str(ready.work_root))
    assert not list(later.data_root.rglob("*.avi"))  # all frames are prepared
    assert sorted(path.name for path in later.data_root.iterdir()) == ["miniature.json", "ucfTrainTestlist", "weights"]

    with pytest.raises(BookError, match=r"data_root s3://.*/nothing: holds nothing; expected UCF-101/ and"):
        opened("01_data", data_root=f"{address}/nothing", work_root=str(ready.work_root))


def test_a_data_set_beside_the_recipes_own_is_fetched_as_well(
    bucket: Any, tiny_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    stage = tiny_stage()
    send(bucket, stage.data_root, "data/tiny")
    send(bucket, stage.data_root / "ucfTrainTestlist", "data/other/ucfTrainTestlist")
    other = {"name": "large", "overrides": {"data": {"manifest": str(tmp_path / "other.yaml")}}}
    tiny_stage(training={"epochs": 0, "runs": [{"name": "clip"}, other]})
    root = f"s3://{bucket.name}/data/tiny"
    opened = Stage.open("tiny", "doctor", recipe=str(tmp_path / "recipe.yaml"), data_root=root, device="CPU")
    assert len(list((opened.data_root.parent / "tiny").rglob("*.avi"))) == 20
    assert sorted(path.name for path in (opened.data_root.parent / "other").iterdir()) == ["ucfTrainTestlist"]


@pytest.fixture
def copy(bucket: Any) -> LocalCopy:
    """A copy with one file that the store does not have."""
    copy = LocalCopy.of("work_root", f"s3://{bucket.name}/work")
    (copy.folder / "tiny").mkdir(parents=True)
    (copy.folder / "tiny" / "a").write_bytes(b"1")
    return copy


def test_a_store_that_fails_is_said_once_tried_again_and_stops_nothing(
    bucket: Any, copy: LocalCopy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries, write = [], ObjectStore.write

    def fails(store: ObjectStore, name: str, path: Path) -> Entry:
        tries.append(name)
        if len(tries) < 4:
            raise BookError("no network")
        return write(store, name, path)

    monkeypatch.setattr(ObjectStore, "write", fails)
    monkeypatch.setattr(write_back, "SECONDS", 0.01)
    thread = WriteBack(copy, ("tiny/",))
    thread.start()
    end = time.monotonic() + 20
    while not bucket.names() and time.monotonic() < end:
        time.sleep(0.01)
    thread.stop()
    thread.join()
    assert bucket.names() == ["work/tiny/a"]
    assert [record.message for record in caplog.records] == [
        "not written back, which is tried again and stops nothing: no network",
        f"{copy.store}: written back again",
    ]


def test_a_finished_stage_says_what_is_not_written_back(
    bucket: Any, copy: LocalCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Entry:
        raise BookError("no network")

    monkeypatch.setitem(write_back._RUNNING, copy.folder, WriteBack(copy, ("tiny/",)))
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "write", fails)
        said = rf"1 files are not written back to {copy.store}: tiny/a\. They are kept in .*; run again .*no network"
        with pytest.raises(BookError, match=said):
            write_back.settle(copy.folder)
        with pytest.raises(KeyboardInterrupt), write_back.written_back(copy.folder):
            raise KeyboardInterrupt  # comes through as what it is
    write_back.settle(copy.folder)
    assert bucket.get("work/tiny/a") == b"1"
    write_back.settle(copy.folder.parent)  # an ordinary folder: nothing to do


EXIT = """
import sys
from actionbook.core import write_back
from actionbook.core.local_copy import LocalCopy
write_back.SECONDS = 1000
copy = LocalCopy.of("work_root", sys.argv[1])
write_back.keep_written(copy, "tiny/")
while not copy.store.entry("tiny/a"):
    pass
(copy.folder / "tiny" / "b").write_bytes(b"2")
(copy.folder / "other").write_bytes(b"3")
"""


def test_a_process_that_ends_sends_the_rest(bucket: Any, copy: LocalCopy) -> None:
    subprocess.run([sys.executable, "-c", EXIT, str(copy.store)], check=True, timeout=60)
    assert bucket.names() == ["work/tiny/a", "work/tiny/b"]
