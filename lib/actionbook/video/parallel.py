"""Work on many videos, one at a time in each worker process: progress, failures, and what is there already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import pandas as pd
from distributed import Client, LocalCluster, as_completed

from actionbook.core.progress import progress_bar


class VideoJob(Protocol):
    """What is to be done with one video."""

    @property
    def video(self) -> str:
        """Name of the video, different in each job."""


Job = TypeVar("Job", bound=VideoJob)


@dataclass(frozen=True)
class Prepared:
    """What became of one video: its number of frames, or the reason why there is none."""

    video: str
    frames: int
    bytes: int
    error: str = ""


def prepare_all(
    jobs: Sequence[Job],
    work: Callable[..., Prepared],
    settings: Any,
    *,
    earlier: Callable[[Job, Any], Prepared | None],
    what: str,
    frames: Mapping[str, int] | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """``work(job, settings=settings)`` for every job that ``earlier(job, settings)`` knows no result of.

    `work` must be a function of a module, and return failures rather than raise them. Returns one row per job, in
    order: video, frames, bytes, error. Runs on `workers` local processes, or on the Dask cluster at `scheduler`
    (``tcp://host:port``), whose workers must see the same folders. The bar, called `what`, counts videos, or frames
    where `frames` says how many each video has.
    """
    done = {job.video: result for job in jobs if (result := earlier(job, settings))}
    todo = [job for job in jobs if job.video not in done]
    sizes = {job.video: 1 if frames is None else frames[job.video] for job in jobs}
    ready = sum(sizes[video] for video in done)
    with progress_bar(sum(sizes.values()), what, "videos" if frames is None else "frames", initial=ready) as bar:
        if todo:
            with _client(min(workers, len(todo)), scheduler) as client:
                futures = client.map(work, todo, settings=settings, pure=False, batch_size=64)
                for _, result in as_completed(futures, with_results=True):
                    done[result.video] = result
                    bar.update(sizes[result.video])
    columns = ["video", "frames", "bytes", "error"]
    return pd.DataFrame([asdict(done[job.video]) for job in jobs], columns=columns)


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Client]:
    if scheduler:
        with Client(scheduler) as client:
            yield client
        return
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        yield client
