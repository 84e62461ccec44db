"""Trainings side by side: the same bits, whoever is beside them; one that fails stops nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.core.workspace import Stage
from actionbook.training import jobs
from actionbook.training.jobs import Job, Order, jobs_of, side_by_side, train_side_by_side
from actionbook.training.launch import PROGRAM

Open = Callable[..., Stage]
RUNS = [
    {"name": "first", "seeds": [1]},
    {"name": "later", "seeds": [1], "overrides": {"weights": {"run": "first"}}},
    {"name": "other", "seeds": [1, 2]},
]
TRAINING = {"epochs": 2, "cores": 1, "runs": RUNS, "checkpoint_steps": 1}


@pytest.fixture
def ready(tiny_stage: Open, after_data: Callable[[Stage], Stage]) -> Open:
    """A function that opens a stage whose data is prepared, in a workspace of its own."""

    def make(work: str = "work", **training: Any) -> Stage:
        return after_data(tiny_stage(work, training={**TRAINING, **training}))

    return make


def weights(stage: Stage) -> dict[str, str]:
    """Digests of the trained networks by folder."""
    return {path.parent.name: sha256_file(path) for path in stage.folder.glob("training/*/network.ckpt")}


def job_processes() -> list[int]:
    """Numbers of the processes that train."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_bytes().split(b"\0")
            if PROGRAM.encode() in words and b"first" in words:
                found.append(int(file.parent.name))
    return found


def test_a_killed_training_is_named_the_others_end_and_what_goes_on_has_the_same_bits(ready: Open) -> None:
    one_by_one = ready("alone")
    one_by_one.workers = 1
    train_side_by_side(one_by_one)
    expected = weights(one_by_one)
    assert len(expected) == 4
    assert len(list(one_by_one.folder.glob("predictions/*/rests_on.json"))) == 3  # two of the networks are equal

    stage = ready("beside")

    def kill_the_first() -> None:
        while not list(stage.folder.glob("training/first-*/state.ckpt")):
            time.sleep(0.02)
        for process in job_processes():
            os.kill(process, signal.SIGKILL)

    thread = threading.Thread(target=kill_the_first, daemon=True)
    thread.start()
    with pytest.raises(BookError) as error:
        train_side_by_side(stage)
    thread.join()
    message = str(error.value)
    assert message.startswith("2 of 3 trainings failed, the others are kept.")
    assert "first seed 1: ended with status -9; all it wrote: " in message
    assert "later seed 1: it starts from what first has learned, which failed" in message
    assert {name.split("-")[0] for name in weights(stage)} == {"other"}

    train_side_by_side(stage)
    assert weights(stage) == expected
    assert jobs_of(stage) == []


def test_on_a_cluster_with_the_last_words_of_one_that_fails(ready: Open, scheduler: str) -> None:
    stage = ready(cores=None, runs=[{"name": "good"}, {"name": "bad", "overrides": {"training": {"lr": 1e38}}}])
    assert not side_by_side(stage)
    stage.scheduler = scheduler
    assert side_by_side(stage)
    why = "weights stopped being finite"
    with pytest.raises(
        BookError, match=rf"(?s)^1 of 2 trainings failed.*bad seed 1: ended with status 1.*Error: {why}"
    ):
        train_side_by_side(stage)
    assert [name.split("-")[0] for name in weights(stage)] == ["good"]


def test_a_cluster_and_several_devices_are_refused(ready: Open) -> None:
    stage = ready()
    stage.scheduler, stage.devices = "tcp://host:1", 2
    with pytest.raises(BookError, match=r"scheduler='tcp://host:1'.*devices=2.*give one of the two"):
        side_by_side(stage)


def test_a_job_runs_on_cores_of_its_own_and_gives_them_back(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    look = "import os, time; print(len(os.sched_getaffinity(0))); time.sleep(0.1)"
    one = Order(("-c", look), tmp_path / "x.log", tmp_path / "x.json", tmp_path / "alive", 1)
    assert jobs.run_order(one, lambda: None) == 0
    assert one.log.read_text() == "1\n"
    assert os.sched_getaffinity(0) == before


def test_seeds_stay_together_unless_there_is_a_place_for_each(ready: Open) -> None:
    stage = ready()
    few, many = (jobs._spread(jobs_of(stage), places) for places in (3, 4))
    assert [(job.run, job.seeds, job.after) for job in few] == [
        ("first", (1,), None),
        ("later", (1,), "first"),
        ("other", (1, 2), None),
    ]
    assert [(job.run, job.seeds) for job in many] == [
        ("first", (1,)),
        ("later", (1,)),
        ("other", (1,)),
        ("other", (2,)),
    ]
    assert [job.steps for job in few] == [6, 6, 12]  # 6 videos in batches of 2, twice
    assert sum(job.steps for job in many) == 24


def test_a_job_whose_card_is_full(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("EL0004: Failed to allocate memory.\n" + "trace\n" * 30)
    ended: Future[int] = Future()
    ended.set_result(134)
    assert jobs._failure(ended, log).startswith("the card's memory is full (EL0004: Failed to allocate memory.): lower")


def made(run: str, after: str | None = None) -> Job:
    return Job("rgb", run, (1,), 10, after)


@pytest.fixture
def board() -> Any:
    class Silent:
        def ended(self, job: Job) -> None:
            """Nothing is drawn."""

        def look(self, running: list[Job]) -> None:
            """Nothing is drawn."""

    return Silent()


def order(job: Job, folder: Path) -> Order:
    return Order((job.run,), folder / "log", folder / "progress", folder / "alive")


def test_a_run_waits_for_the_one_that_it_starts_from(tmp_path: Path, board: Any) -> None:
    begun: list[str] = []

    def place(what: Order, _stop: threading.Event) -> int:
        begun.append(f"{what.command[0]} begins")
        time.sleep(0.05)
        begun.append(f"{what.command[0]} ends")
        return 0

    all_jobs = [made("a"), made("b", "a"), made("c", "b"), made("d")]
    assert jobs._run_all(all_jobs, [place] * 4, lambda job: order(job, tmp_path), board) == {}
    for before, after in (("a", "b"), ("b", "c")):
        assert begun.index(f"{before} ends") < begun.index(f"{after} begins")
    assert begun.index("d begins") < begun.index("a ends")


def test_what_rests_on_a_failure_is_not_run(tmp_path: Path, board: Any) -> None:
    def place(what: Order, _stop: threading.Event) -> int:
        if what.command[0] == "b":
            raise RuntimeError("worker lost")
        return {"a": 3}.get(what.command[0], 0)

    (tmp_path / "log").write_text("one\ntwo\n")
    all_jobs = [made("a"), made("b"), made("c", "a"), made("d", "c"), made("e")]
    failures = jobs._run_all(all_jobs, [place], lambda job: order(job, tmp_path), board)
    assert {job.run: why.splitlines()[0].split(";")[0] for job, why in failures.items()} == {
        "a": "ended with status 3",
        "b": "RuntimeError: worker lost",
        "c": "it starts from what a has learned, which failed",
        "d": "it starts from what c has learned, which failed",
    }
    assert failures[made("a")].endswith("one\ntwo")


def test_an_interruption_stops_what_runs(tmp_path: Path, board: Any) -> None:
    stopped = []

    def place(_: Order, stop: threading.Event) -> int:
        stopped.append(stop.wait(20))
        return 0

    def interrupt(_: list[Job]) -> None:
        raise KeyboardInterrupt

    board.look = interrupt
    with pytest.raises(KeyboardInterrupt):
        jobs._run_all([made("a"), made("b")], [place, place], lambda job: order(job, tmp_path), board)
    assert stopped == [True, True]


def test_a_job_elsewhere_ends_when_nobody_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SILENT_SECONDS", 0.5)
    (tmp_path / "alive").write_text("1")
    forgotten = Order(
        ("-c", "import time; time.sleep(60)"), tmp_path / "x.log", tmp_path / "x.json", tmp_path / "alive"
    )
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="nobody waits for this training"):
        jobs.run_order(forgotten)
    assert time.monotonic() - start < 20
    quick = replace(forgotten, command=("-c", "raise SystemExit(4)"))
    assert jobs.run_order(quick) == 4
