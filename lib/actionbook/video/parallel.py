"""Work on many videos, one at a time in each worker process: progress, failures, and what is there already."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pandas as pd
from distributed import Client, Future, get_worker
from distributed.scheduler import KilledWorker

from actionbook.core.errors import BookError
from actionbook.core.files import sweep_temporary
from actionbook.core.interrupts import stopped_in_one_line
from actionbook.core.progress import progress_bar
from actionbook.core.schema import twice
from actionbook.video.cluster import (
    WORKER_SECONDS,
    ClusterError,
    check_workers,
    cluster_client,
    difference,
    how_to_start,
    versions,
)
from actionbook.video.hang import sweep_marks

COLUMNS = ["video", "frames", "bytes", "error", "note"]
_LOOKING_THREADS = 16  # the time goes into waiting for the disk
_QUIET_SECONDS = 2.0  # a look that takes no longer shows no bar
_POLL_SECONDS = 1.0
_ANSWER_SECONDS = 5.0  # an answer is a few hundred bytes; one that is not there by then was lost with its worker


class VideoJob(Protocol):
    """What is to be done with one video."""

    @property
    def video(self) -> str:
        """Name of the video, different in each job."""

    @property
    def reads(self) -> Path:
        """The file or folder that the work begins with."""

    @property
    def store(self) -> Path:
        """The file that it makes, different in each job."""


Job = TypeVar("Job", bound=VideoJob)
Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Prepared:
    """What became of one video: its number of frames, or the reason why there is none."""

    video: str
    frames: int
    bytes: int
    error: str = ""
    note: str = ""
    """What was odd about a video that could be prepared all the same."""


@stopped_in_one_line("stopped; what is prepared is kept, run again to go on")
def prepare_all(
    jobs: Sequence[Job],
    work: Callable[..., Prepared],
    settings: Any,
    *,
    earlier: Callable[[Job, Any], Prepared | None],
    what: str,
    size: Callable[[Job], int] | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """``work(job, settings=settings)`` for every job that ``earlier(job, settings)`` knows no result of.

    `work` must be a function of a module. It returns failures; what it raises becomes one, as does the death of the
    worker that runs it, and all other videos are done. Returns one row per job, in order: video, frames, bytes, error,
    note. Runs on `workers` local processes, or on the Dask cluster at `scheduler` (``tcp://host:port``), whose workers
    must see the same folders. The bar, called `what`, counts videos, or frames where `size` tells a video's number.

    What killed writers left beside the stores is removed first, and again at the end, also of a run that is stopped:
    Ctrl-C leaves whole stores and nothing else, and comes out as a KeyboardInterrupt that says so. Raises BookError for
    jobs that share a name or a store, ClusterError if the cluster cannot do the work.
    """
    _check_distinct(jobs)
    _sweep(jobs)
    done = {
        job.video: result
        for job, result in zip(jobs, in_threads(lambda job: earlier(job, settings), jobs, "looking"), strict=True)
        if result
    }
    todo = [job for job in jobs if job.video not in done]
    lengths = in_threads(size, jobs, "counting") if size else [1] * len(jobs)
    sizes = {job.video: length for job, length in zip(jobs, lengths, strict=True)}
    ready = sum(sizes[video] for video in done)
    try:
        with progress_bar(sum(sizes.values()), what, "frames" if size else "videos", initial=ready) as bar:
            if todo:
                with cluster_client(min(workers, len(todo)), scheduler) as client:
                    if scheduler:
                        check_workers(client, [todo[i].reads for i in (0, len(todo) // 2, -1)], todo[0].store.parent)
                    for job, result in _results(client, todo, work, settings, scheduler):
                        done[job.video] = result
                        bar.update(sizes[job.video])
    finally:
        _sweep(todo)
    return pd.DataFrame([asdict(done[job.video]) for job in jobs], columns=COLUMNS)


def in_threads(function: Callable[[Item], Found], items: Sequence[Item], what: str) -> list[Found]:
    """`function` of every item, in order, many at a time, for work that waits for the disk; with a bar."""
    found = []
    with (
        ThreadPoolExecutor(_LOOKING_THREADS) as pool,
        progress_bar(len(items), what, "videos", delay=_QUIET_SECONDS) as bar,
    ):
        try:
            for result in pool.map(function, items):
                found.append(result)
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found


def _check_distinct(jobs: Sequence[VideoJob]) -> None:
    for kind, names in (("name", [job.video for job in jobs]), ("store", [str(job.store) for job in jobs])):
        if repeated := twice(names):
            raise BookError(f"{repeated}: {kind} of more than one video; give each its own")


def _sweep(jobs: Iterable[VideoJob]) -> None:
    folders = {job.store.parent for job in jobs}
    for folder in folders:
        sweep_temporary(folder)
    sweep_marks(folders)


@dataclass(frozen=True)
class _Answer:
    """A worker's result of one job."""

    result: Prepared
    sees: bool = True
    """Whether the file that the job reads is there, for the worker."""
    worker: str = "the worker"


class _WorkerDied(Exception):
    """The job has no result because its worker is no more."""


def _on_worker(job: VideoJob, *, work: Callable[..., Prepared], settings: Any, like: dict[str, str] | None) -> _Answer:
    """One job, on a worker that has the versions `like`."""
    if like is not None and (differing := difference(like, versions())):
        raise ClusterError(f"a worker that came later has other versions: {differing}; end it and run this again")
    try:
        result = work(job, settings=settings)
    except Exception as error:  # whatever it is, it must not stop the other videos
        result = Prepared(job.video, 0, 0, f"{job.reads}: {type(error).__name__}: {error}")
    return _Answer(result, not result.error or job.reads.exists(), _host())


def _host() -> str:
    with suppress(ValueError):
        return f"the worker {get_worker().address}"
    return "the worker"


def _results(
    client: Client, jobs: Sequence[Job], work: Callable[..., Prepared], settings: Any, scheduler: str | None
) -> Iterator[tuple[Job, Prepared]]:
    """Each job with its result, as they come.

    With a worker die all jobs that it had, the guilty one and those that waited behind it. Dask tries each a few times
    and then gives it up; such jobs are tried once more at the end, one by one, where none can be taken for another.
    """
    options = {"work": work, "settings": settings, "like": versions() if scheduler else None}
    suspects = []
    for job, answer in _flight(client, jobs, options, scheduler):
        if isinstance(answer, _WorkerDied):
            suspects.append(job)
        else:
            yield job, answer
    for job, answer in _flight(client, suspects, options, scheduler, alone=True):
        if isinstance(answer, _WorkerDied):
            why = "the worker died while preparing it, also when it had nothing else to do: out of memory, or a crash"
            yield job, Prepared(job.video, 0, 0, f"{job.reads}: {why} of FFmpeg ({answer}); fetch the file again")
        else:
            yield job, answer


def _flight(
    client: Client, jobs: Iterable[Job], options: Mapping[str, Any], scheduler: str | None, *, alone: bool = False
) -> Iterator[tuple[Job, Prepared | _WorkerDied]]:
    """Each job with its result or its worker's death; twice as many jobs as the cluster has threads are on their way.

    A hundred thousand at once would fill the scheduler's memory, and the queues of workers that other users want too.
    """
    waiting, flying, landed = deque(jobs), dict[Future, Job](), queue.SimpleQueue[Future]()
    slots, asked, alive = 0, 0.0, time.monotonic()
    try:
        while waiting or flying:
            if time.monotonic() - asked > 2 * _POLL_SECONDS or not slots:
                slots, asked = _slots(client), time.monotonic()
                alive = asked if slots else alive
            if asked - alive > WORKER_SECONDS:
                raise ClusterError(f"all workers are gone, what is done is kept; {how_to_start(scheduler or '')}")
            while waiting and len(flying) < (1 if alone else 2 * slots + 2):
                job = waiting.popleft()
                try:
                    future = client.submit(_on_worker, job, **options, pure=False)
                except Exception as error:  # such as a job that cannot be sent
                    yield job, Prepared(job.video, 0, 0, f"{job.reads}: cannot be sent to a worker: {error}")
                    continue
                flying[future] = job
                future.add_done_callback(landed.put)
            with suppress(queue.Empty):
                future = landed.get(timeout=_POLL_SECONDS)
                answer = None if future.status == "pending" else _landed(client, future, flying[future])
                if answer is None:
                    future.add_done_callback(landed.put)
                else:
                    yield flying.pop(future), answer
    finally:
        with suppress(Exception):  # the scheduler may be what failed
            client.cancel(list(flying), force=True)


def _slots(client: Client) -> int:
    """Threads that the cluster has, 0 for the moments in which its workers are restarted."""
    try:
        return sum(client.nthreads().values())
    except (OSError, ValueError, AttributeError) as error:
        raise _lost(client) from error


def _lost(client: Client) -> ClusterError:
    address = getattr(client.scheduler, "address", "")
    return ClusterError(f"the Dask scheduler {address} is gone; start it and run this again: what is done is kept")


def _landed(client: Client, future: Future, job: VideoJob) -> Prepared | _WorkerDied | None:
    """The result of a job that has come to its end, whichever; None if it went with its worker and is computed anew."""
    try:
        if future.status not in {"finished", "error"}:
            raise RuntimeError(f"the scheduler calls it {future.status}")
        answer: _Answer = future.result(timeout=_ANSWER_SECONDS)
    except ClusterError:
        raise
    except KilledWorker as error:
        return _WorkerDied(f"{error.allowed_failures + 1} times before")
    except Exception as error:
        if client.status != "running":
            raise _lost(client) from error
        if isinstance(error, TimeoutError) and future.status != "error":
            return None
        if future.status != "error":
            return _WorkerDied(str(error))
        return Prepared(job.video, 0, 0, f"{job.reads}: {type(error).__name__}: {error}")
    if answer.sees or not job.reads.exists():
        return answer.result
    why = f"{job.reads} is there on this machine, {answer.worker} does not see it: give it the same folders"
    return replace(answer.result, error=f"{answer.result.error}; {why}")
