"""Preparing optical flow: every video's stored frames into a store of flow, in parallel, going on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from actionbook.core.errors import BookError
from actionbook.core.sections import Flow
from actionbook.video.digests import digest_of, digests
from actionbook.video.failures import check_failures
from actionbook.video.flow import algorithm_version, flow_frames, grey
from actionbook.video.frame_folder import Frames, frames_path, open_frames
from actionbook.video.parallel import Prepared, prepare_all
from actionbook.video.reader import COLOUR
from actionbook.video.store import FrameStore, StoreError, StoreInfo, write_store
from actionbook.video.tvl1 import compile_tvl1


@dataclass(frozen=True)
class FlowJob:
    """One video whose flow is to be computed."""

    video: str
    frames: Path
    """Its frames in colour: a store, or where that does not exist a folder or a pack (see `open_frames`)."""
    store: Path
    """The file that is to hold the flow."""
    frames_sha256: str = ""
    """Digest of the frames as `digest_of` gives it, to which they are read where it is not known."""

    @property
    def reads(self) -> Path:
        """What `open_frames` opens."""
        return frames_path(self.frames)


def prepare_video_flow(job: FlowJob, settings: Flow) -> Prepared:
    """Compute the flow of one video into its store file, with one thread. A failure is a value, not an exception."""
    try:
        with _one_thread(), open_frames(job.frames) as frames:
            if frames.components != COLOUR:
                raise StoreError(f"{frames.path}: holds flow already, expected frames in colour")
            count = write_store(job.store, _jpegs(frames, settings), _info(job, frames, settings))
    except (BookError, OSError) as error:
        return Prepared(job.video, 0, 0, str(error))
    return Prepared(job.video, count, job.store.stat().st_size)


def flow_already_prepared(job: FlowJob, settings: Flow) -> Prepared | None:
    """The result of an earlier run, if its store is whole and made from these frames with these settings."""
    try:
        with FrameStore(job.store, glance=True) as store, open_frames(job.frames) as frames:
            # Where the frames lie, and what was written down of their video, makes no difference to their flow.
            found, wanted = (
                (info.source_sha256, info.flow, info.bound, info.quality)
                for info in (store.info, _info(job, frames, settings))
            )
            if len(store) == len(frames) and found == wanted:
                return Prepared(job.video, len(store), store.stored_bytes)
    except (StoreError, OSError):
        pass
    return None


def prepare_flow(
    jobs: Iterable[FlowJob],
    settings: Flow,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    report: Path | None = None,
    memory: Path | None = None,
) -> pd.DataFrame:
    """Compute the flow of all videos; returns one row per job, in order: video, frames, bytes, error, note.

    Runs where `prepare_all` says; each worker computes one video at a time with one thread. Flow that an earlier run
    computed from the same frames with the same settings and libraries is kept. The failed ones are also written to
    `report`, see `check_failures`. Digests of folders of frames are remembered in the file `memory`.
    Raises BookError if the flow of any video could not be computed, after all others; ClusterError as `prepare` does.
    """
    jobs = list(jobs)
    named = digests([job.frames for job in jobs], memory)
    jobs = [replace(job, frames_sha256=digest) for job, digest in zip(jobs, named, strict=True)]
    if settings.algorithm == "tvl1" and not scheduler:
        compile_tvl1()  # once, into the cache, rather than in every worker
    table = prepare_all(
        jobs,
        prepare_video_flow,
        settings,
        earlier=flow_already_prepared,
        what="optical flow",
        size=_length,
        workers=workers,
        scheduler=scheduler,
    )
    files = {job.video: job.reads for job in jobs}
    what = "have frames whose flow could not be computed"
    return check_failures(table, files, what=what, max_failed=0.0, setting="flow", report=report)


def _jpegs(frames: Frames, settings: Flow) -> Iterator[tuple[bytes, bytes]]:
    """The flow between frames, compressed."""
    for flow in flow_frames(map(grey, frames.frames(range(len(frames)))), settings):
        right, down = (_jpeg(flow[..., component], settings.quality) for component in (0, 1))
        yield right, down


def _jpeg(plane: np.ndarray, quality: int) -> bytes:
    pixels = np.ascontiguousarray(plane[..., None])
    return bytes(simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="GRAY", colorsubsampling="Gray"))


def _info(job: FlowJob, frames: Frames, settings: Flow) -> StoreInfo:
    """Where the flow comes from. A folder or a pack of the original programs says nothing of its video."""
    made = frames.info if isinstance(frames, FrameStore) else None
    return StoreInfo(
        source=frames.path.name,
        source_bytes=frames.stored_bytes,
        source_sha256=job.frames_sha256 or digest_of(frames),
        fps=made.fps if made else 0.0,
        height=made.height if made else frames.frame_size[1],
        quality=settings.quality,
        ffmpeg=made.ffmpeg if made else "",
        flow=algorithm_version(settings),
        bound=settings.bound,
    )


def _length(job: FlowJob) -> int:
    """Number of the video's frames; 0 where they cannot be read, which the worker will report."""
    try:
        with open_frames(job.frames) as frames:
            return len(frames)
    except (StoreError, OSError):
        return 0


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let OpenCV use one thread: processes are what runs in parallel here."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
