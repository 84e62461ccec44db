"""Trainings side by side: each a process of its own, on cores of this machine or on the workers of a Dask cluster."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from distributed import Client

from actionbook.core import card_memory, cores
from actionbook.core.errors import BookError
from actionbook.core.files import write_text_atomic
from actionbook.core.interrupts import stopped_in_one_line
from actionbook.core.paths import shown
from actionbook.core.process import run_logged
from actionbook.core.progress import MIRROR, progress_bar
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.training.launch import LAST_LINES, LAUNCHER, program, write_recipe
from actionbook.training.runs import unfinished
from actionbook.video.cluster import check_workers, cluster_client

SILENT_SECONDS = 60.0
"""A job on another machine ends when nothing has been heard for so long of the process that has sent it."""
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """Some seeds of a run of a stream, one after the other in one process, so that they share what is compiled."""

    stream: str
    run: str
    seeds: tuple[int, ...]
    steps: int
    """Of all its seeds."""
    after: str | None
    """The run of the same stream that its initial weights come from."""

    def __str__(self) -> str:
        seeds = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        return " ".join(filter(None, (self.stream, self.run, seeds)))

    @property
    def file(self) -> str:
        """Stem of its files."""
        return "-".join([*filter(None, (self.stream, self.run)), *map(str, self.seeds)])


def jobs_of(stage: Stage) -> list[Job]:
    """The unfinished trainings of all chosen streams, one job a run, in the recipe's order."""
    jobs = []
    for stream in stage.streams.values():
        for own, seeds in unfinished(stream):
            weights = own.recipe.weights
            after = weights.run if weights is not None else None
            jobs.append(Job(stream.stream, own.recipe.main_run.name, seeds, _steps(own) * len(seeds), after))
    return jobs


def _spread(jobs: Sequence[Job], slots: int) -> list[Job]:
    """The same jobs, in as many with one seed each where there is a slot for each of these.

    Otherwise seeds of a run stay together, for compiling takes as long as a short training.
    """
    if sum(len(job.seeds) for job in jobs) > slots:
        return list(jobs)
    return [replace(job, seeds=(seed,), steps=job.steps // len(job.seeds)) for job in jobs for seed in job.seeds]


def _steps(stage: Stage) -> int:
    training, videos = stage.recipe.training, len(dataset_of(stage).index().subset("train"))
    return training.epochs * -(-videos * training.clips_per_video // training.batch_size)


def side_by_side(stage: Stage) -> bool:
    """Whether the stage's trainings are processes of their own: on a cluster, and where the recipe gives them cores.

    Raises BookError where the stage asks for a cluster and for several devices.
    """
    if stage.devices > 1 and stage.scheduler is not None:
        raise BookError(
            f"scheduler={stage.scheduler!r} trains each network on one device of a worker, devices={stage.devices} "
            "trains each on several of this machine: give one of the two"
        )
    return stage.devices == 1 and (stage.scheduler is not None or _cores(stage) is not None)


def _cores(stage: Stage) -> int | None:
    """Of one training; None where it is not the CPU that trains, or may take what it finds."""
    return stage.recipe.training.cores if stage.device == "CPU" else None


@stopped_in_one_line("stopped; the trainings are kept up to their last checkpoints, run again to go on")
def train_side_by_side(stage: Stage) -> None:
    """Do all unfinished trainings of the chosen streams, and test each network, in processes beside this one.

    On a CPU each runs on ``training.cores`` cores. They run on this machine, as many as there are cores for and at most
    ``stage.workers``; with ``stage.scheduler`` on the workers of that Dask cluster, one on each, with the device that
    the worker's environment names (``DEVICE_ID``). One bar counts the steps of all. A run whose weights come from
    another one waits for it. A training that fails stops nothing else; at the end BookError names all that failed, with
    their last lines. An interruption ends them all: what they have reached is kept.
    """
    if not (jobs := jobs_of(stage)):
        return
    folder = stage.workspace / "training-jobs"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if stage.scheduler is None:
            count = max(1, min(stage.workers, len(cores.usable())) // (_cores(stage) or 1))
            places: list[Place] = [_here] * count
        else:
            client = stack.enter_context(cluster_client(1, stage.scheduler))
            check_workers(client, [dataset_of(stage.first).colour_store], folder)
            places = [partial(_there, client, address) for address in client.scheduler_info(n_workers=-1)["workers"]]
        jobs = _spread(jobs, len(places))
        recipe = write_recipe(stage, folder)
        board = stack.enter_context(_Board(jobs, folder).shown())
        failures = _run_all(jobs, places, partial(_order, stage, recipe, folder), board)
    if failures:
        listed = "\n\n".join(f"{job}: {why}" for job, why in failures.items())
        raise BookError(f"{len(failures)} of {len(jobs)} trainings failed, the others are kept.\n{listed}")


@dataclass(frozen=True)
class Order:
    """What a place needs to run a job: all of it can be sent to another machine."""

    command: tuple[str, ...]
    log: Path
    progress: Path
    alive: Path
    """A file that changes as long as somebody waits for the job."""
    cores: int | None = None
    """Of a CPU, to hold while it runs; None: it takes what it finds."""


Place = Callable[[Order, threading.Event], int]
"""Runs a job to its end and returns its exit status."""


def _order(stage: Stage, recipe: Path, folder: Path, job: Job) -> Order:
    share = _cores(stage)
    command = [*program(stage, recipe, job.stream, workers=share), "--run", job.run]
    command += [part for seed in job.seeds for part in ("--seed", str(seed))]
    stem = folder / job.file
    return Order(tuple(command), stem.with_suffix(".log"), stem.with_suffix(".json"), folder / "alive", share)


def _here(order: Order, stop: threading.Event) -> int:
    """Run a job on this machine."""

    def tick() -> None:
        if stop.is_set():
            raise InterruptedError

    return run_order(order, tick)


def _there(client: Client, address: str, order: Order, stop: threading.Event) -> int:
    """Run a job on a worker of the cluster, which hears from `order.alive` that it is still waited for."""
    future = client.submit(run_order, order, workers=[address], pure=False, retries=0)
    while not future.done():
        if stop.wait(_POLL_SECONDS):
            future.cancel()
            raise InterruptedError
    return int(future.result())


def run_order(order: Order, tick: Callable[[], None] | None = None) -> int:
    """Run a job's program to its end where this is called; without `tick` only while `order.alive` goes on changing."""
    environment = {MIRROR: str(order.progress), LAUNCHER: str(os.getpid())}
    tick, command = tick or _Listener(order.alive), [sys.executable, *order.command]
    with _pinned(order.cores, tick):
        return run_logged(command, order.log.parent, order.log, environment=environment, tick=tick)


@contextmanager
def _pinned(count: int | None, tick: Callable[[], None]) -> Iterator[None]:
    """Hold so many cores; a program that this thread starts meanwhile runs on them and on no others."""
    if count is None:
        yield
        return
    before = os.sched_getaffinity(0)
    with cores.held(count, tick=tick) as mine:
        os.sched_setaffinity(0, mine)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


class _Listener:
    """Raises TimeoutError once a file has not changed for `SILENT_SECONDS` by this machine's clock."""

    def __init__(self, file: Path) -> None:
        self._file, self._seen, self._when = file, "", time.monotonic()

    def __call__(self) -> None:
        with suppress(OSError):
            if (text := self._file.read_text(encoding="utf-8")) != self._seen:
                self._seen, self._when = text, time.monotonic()
        if time.monotonic() - self._when > SILENT_SECONDS:
            raise TimeoutError(f"{self._file} has not changed for {SILENT_SECONDS:g} s: nobody waits for this training")


def _run_all(
    jobs: Sequence[Job], places: Sequence[Place], order: Callable[[Job], Order], board: _Board
) -> dict[Job, str]:
    """Run each job as soon as a place is free and what it rests on is done; returns those that failed, and why."""
    waiting, free = list(jobs), list(places)
    running: dict[Future[int], tuple[Job, Place]] = {}
    failures: dict[Job, str] = {}
    stop = threading.Event()
    with ThreadPoolExecutor(len(places)) as pool:
        try:
            while waiting or running:
                open_runs = {(job.stream, job.run) for job in [*waiting, *(job for job, _ in running.values())]}
                failed = {(job.stream, job.run) for job in failures}
                for job in list(waiting):
                    if (job.stream, job.after) in failed:
                        waiting.remove(job)
                        failures[job] = f"it starts from what {job.after} has learned, which failed"
                    elif free and (job.stream, job.after) not in open_runs:
                        waiting.remove(job)
                        place = free.pop(0)
                        running[pool.submit(place, order(job), stop)] = job, place
                done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    job, place = running.pop(future)
                    free.append(place)
                    board.ended(job)
                    if why := _failure(future, order(job).log):
                        failures[job] = why
                board.look([job for job, _ in running.values()])
        finally:
            stop.set()  # after an interruption: the threads end what they have started
    return failures


def _failure(future: Future[int], log: Path) -> str:
    """Why a job has failed, with the last lines that it wrote; empty if it has not."""
    try:
        if not (status := future.result()):
            return ""
        reason = f"ended with status {status}"
    except Exception as error:  # such as a worker that died
        reason = f"{type(error).__name__}: {error}"
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    reason = card_memory.explained(text, "training.batch_size, raise training.accumulate") or reason
    lines = text.splitlines()[-LAST_LINES:]
    return "\n".join([f"{reason}; all it wrote: {shown(log)}", *lines])


class _Board:
    """One bar over the steps of all jobs, from the files in which each leaves how far its own bar is."""

    def __init__(self, jobs: Sequence[Job], folder: Path) -> None:
        self._jobs, self._folder = jobs, folder
        self._done: dict[Job, int] = dict.fromkeys(jobs, 0)
        self._last: dict[Job, tuple[str, int]] = {}
        self._alive = 0
        for job in jobs:
            (folder / f"{job.file}.json").unlink(missing_ok=True)

    @contextmanager
    def shown(self) -> Iterator[_Board]:
        """Draw the bar while the block runs."""
        with progress_bar(sum(job.steps for job in self._jobs), f"{len(self._jobs)} trainings", "steps") as self._bar:
            yield self

    def ended(self, job: Job) -> None:
        """All steps of a job have been done, or will not be."""
        self._done[job] = job.steps

    def look(self, running: Sequence[Job]) -> None:
        """Draw what has changed, and tell the jobs on other machines that they are waited for."""
        self._alive += 1
        write_text_atomic(self._folder / "alive", f"{os.getpid()} {self._alive}")
        for job in running:
            with suppress(OSError, ValueError, KeyError):
                state = json.loads((self._folder / f"{job.file}.json").read_text(encoding="utf-8"))
                if state["unit"] != "steps":
                    continue
                what, steps = self._last.get(job, (state["what"], 0))
                if what != state["what"]:  # the next seed
                    self._done[job] += steps
                self._last[job] = state["what"], state["n"]
        now = {job: self._last[job][1] if job in self._last and job in running else 0 for job in self._jobs}
        total = sum(min(job.steps, self._done[job] + now[job]) for job in self._jobs)
        self._bar.set_postfix_str("; ".join(map(str, running)), refresh=False)
        self._bar.update(total - self._bar.n)
