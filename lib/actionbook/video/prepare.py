"""Preparing a data set: every video into the frame store, in parallel, going on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.recipe import Frames
from actionbook.core.runtime import ffmpeg_build
from actionbook.video.decode import VideoError, probe
from actionbook.video.frames import jpegs
from actionbook.video.parallel import Prepared, prepare_all
from actionbook.video.store import FrameStore, StoreError, StoreInfo, write_store

__all__ = ["Job", "Prepared", "already_prepared", "prepare", "prepare_video"]


@dataclass(frozen=True)
class Job:
    """One video to prepare."""

    video: str
    source: Path
    store: Path


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
        frames = write_store(job.store, jpegs(job.source, settings.height, settings.quality, settings.side), info)
    except (VideoError, StoreError, OSError) as error:
        return Prepared(job.video, 0, 0, str(error))
    return Prepared(job.video, frames, job.store.stat().st_size)


def already_prepared(job: Job, settings: Frames) -> Prepared | None:
    """The result of an earlier run, if its store file is whole and made from this video with these settings."""
    try:
        with FrameStore(job.store) as store:
            info = store.info
            same = (info.source, info.source_bytes) == (job.source.name, job.source.stat().st_size)
            # A frame tells which side was scaled, if it matters: of upright frames it does, of others both are one.
            width, height = store.frame_size
            scaled = min(width, height) if settings.side == "short" else height
            if same and (info.height, info.quality, scaled) == (settings.height, settings.quality, settings.height):
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
    table = prepare_all(
        jobs,
        prepare_video,
        settings,
        earlier=already_prepared,
        what="preparing",
        workers=workers,
        scheduler=scheduler,
    )
    failed = table[table.error != ""]
    if len(failed) > settings.max_failed * len(table):
        raise BookError(
            f"{len(failed)} of {len(table)} videos could not be prepared, the recipe allows a share of "
            f"{settings.max_failed:g} (data.frames.max_failed):\n" + "\n".join(failed.error.head(20))
        )
    return table
