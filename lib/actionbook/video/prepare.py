"""Preparing a data set: every video into the frame store, in parallel, going on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from distributed import Client, LocalCluster, as_completed

from actionbook.core.errors import BookError
from actionbook.core.progress import progress_bar
from actionbook.core.recipe import Frames
from actionbook.core.runtime import ffmpeg_build
from actionbook.video.decode import VideoError, probe
from actionbook.video.frames import jpegs
from actionbook.video.store import FrameStore, StoreError, StoreInfo, write_store


@dataclass(frozen=True)
class Job:
    """One video to prepare."""

    video: str
    source: Path
    store: Path


@dataclass(frozen=True)
class Prepared:
    """What became of one video: its number of frames, or the reason why there is none."""

    video: str
    frames: int
    bytes: int
    error: str = ""


def prepare_video(job: Job, settings: Frames) -> Prepared:
    """Decode one video into its store file. A failure is a value, not an exception: one bad file stops nobody."""
    try:
        info = StoreInfo(
            source=job.source.name,
            source_bytes=job.source.stat().st_size,
            fps=probe(job.source).fps,
            height=settings.height,
            quality=settings.quality,
            ffmpeg=ffmpeg_build(),
        )
        frames = write_store(job.store, jpegs(job.source, settings.height, settings.quality), info)
    except (VideoError, StoreError, OSError) as error:
        return Prepared(job.video, 0, 0, str(error))
    return Prepared(job.video, frames, job.store.stat().st_size)


def already_prepared(job: Job, settings: Frames) -> Prepared | None:
    """The result of an earlier run, if its store file is whole and made from this video with these settings."""
    try:
        with FrameStore(job.store) as store:
            info = store.info
            same = (info.source, info.source_bytes) == (job.source.name, job.source.stat().st_size)
            if same and (info.height, info.quality) == (settings.height, settings.quality):
                return Prepared(job.video, len(store), job.store.stat().st_size)
    except (StoreError, OSError):
        pass
    return None


def prepare(jobs: Iterable[Job], settings: Frames, *, workers: int = 1, scheduler: str | None = None) -> pd.DataFrame:
    """Prepare all videos; returns one row per job, in order: video, frames, bytes, error.

    Runs on `workers` local processes, or on the Dask cluster at `scheduler` (``tcp://host:port``), whose workers must
    see the same folders. Videos prepared by an earlier run are not decoded again.
    Raises BookError if the share of videos that failed is above ``settings.max_failed``, listing them.
    """
    jobs = list(jobs)
    done = {job.video: result for job in jobs if (result := already_prepared(job, settings))}
    todo = [job for job in jobs if job.video not in done]
    with progress_bar(len(jobs), "preparing", "videos", initial=len(done)) as bar:
        if todo:
            with _client(min(workers, len(todo)), scheduler) as client:
                futures = client.map(prepare_video, todo, settings=settings, pure=False, batch_size=64)
                for _, result in as_completed(futures, with_results=True):
                    done[result.video] = result
                    bar.update()
    columns = ["video", "frames", "bytes", "error"]
    table = pd.DataFrame([asdict(done[job.video]) for job in jobs], columns=columns)
    failed = table[table.error != ""]
    if len(failed) > settings.max_failed * len(table):
        raise BookError(
            f"{len(failed)} of {len(table)} videos could not be prepared, the recipe allows a share of "
            f"{settings.max_failed:g} (data.frames.max_failed):\n" + "\n".join(failed.error.head(20))
        )
    return table


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
