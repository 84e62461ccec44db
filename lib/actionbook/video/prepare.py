"""Preparing a data set: every video into the frame store, in parallel, going on where it stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.core.keyframes import Cut
from actionbook.core.runtime import ffmpeg_build
from actionbook.core.sections import Frames
from actionbook.video.decode import Probe, VideoError, header
from actionbook.video.failures import check_failures
from actionbook.video.frames import Seen, jpegs
from actionbook.video.hang import hang_limit
from actionbook.video.losses import Losses, losses
from actionbook.video.parallel import Prepared, prepare_all
from actionbook.video.resample import cut_frames, cut_name, cut_of
from actionbook.video.store import FrameStore, StoreError, StoreInfo, write_store

# A picture that ends so long before its file is worth a remark: sound often goes on for a moment.
_SHORTER_SECONDS, _SHORTER_SHARE = 1.0, 0.1
_STILL_SECONDS = 2.0
"""A frame of a cut that stands for longer is worth a remark: some are missing, or the rate is a very variable one."""
_END = 1 << 14  # bytes: containers keep lengths and indexes in their first or last ones


@dataclass(frozen=True)
class Job:
    """One video to prepare."""

    video: str
    source: Path
    store: Path
    cut: Cut | None = None
    """The part of it that is stored, at a constant rate; None: every frame of all of it."""

    @property
    def reads(self) -> Path:
        """The video."""
        return self.source


def prepare_video(job: Job, settings: Frames) -> Prepared:
    """Decode one video into its store file. A failure is a value, not an exception: one bad file stops nobody."""
    try:
        with hang_limit(job.store, settings.hang_minutes) as alive:
            frames, note = _decode(job, settings, alive)
    except (BookError, OSError) as error:
        words = str(error)
        return Prepared(job.video, 0, 0, words if str(job.source) in words else f"{job.source}: {words}")
    return Prepared(job.video, frames, job.store.stat().st_size, note=note)


def _decode(job: Job, settings: Frames, alive: Callable[[], None]) -> tuple[int, str]:
    """(Number of frames, note) of the store that this writes; `alive` is called with every frame."""
    found, seen, before = header(job.source), Seen(), job.source.stat()
    info = StoreInfo(
        source=job.source.name,
        source_bytes=before.st_size,
        source_sha256=sha256_file(job.source),
        source_ends=_ends_sha256(job.source),
        fps=found.fps,
        height=settings.height,
        quality=settings.quality,
        ffmpeg=ffmpeg_build(),
        cut=cut_name(job.cut) if job.cut else "",
    )
    alive()  # a large file takes its time
    note = ""

    def finish(count: int, info: StoreInfo) -> StoreInfo:
        nonlocal note
        if job.source.stat().st_ctime_ns != before.st_ctime_ns:
            raise VideoError(f"{job.source}: was changed while it was read; prepare it again")
        if job.cut:
            expected, remarks = _judge_cut(job.source, job.cut, count, settings.min_decoded, seen)
        else:
            expected, remarks = _judge(job.source, found, count, settings.min_decoded, seen)
        note = "; ".join([*remarks, *seen.remarks])
        return replace(info, declared=0 if count == expected else expected, note=note)

    pictures = jpegs(job.source, settings.height, settings.quality, settings.side, seen, cut=job.cut)
    frames = write_store(job.store, _each(pictures, alive), info, finish=finish)
    return frames, note


def _each(pictures: Iterable[bytes], then: Callable[[], None]) -> Iterator[bytes]:
    for picture in pictures:
        then()
        yield picture


def _judge(path: Path, found: Probe, count: int, min_decoded: float, seen: Seen) -> tuple[int, list[str]]:
    """(Frames that the file should give, what is odd about those that it gave.)

    Raises VideoError if so many are missing that the file is damaged.
    """
    lost = Losses() if found.frames else losses(path, seen.times, found.fps)
    expected = found.frames or count + lost.frames
    if count < min_decoded * expected:
        where = "; ".join(lost.words)
        says = f"the header says {expected}" if found.frames else f"its time stamps speak of {expected} ({where})"
        raise VideoError(
            f"{path}: FFmpeg decoded {count} frames without complaint, {says}: the file is cut off or damaged, "
            f"fetch it again (data.frames.min_decoded allows a share of {min_decoded:g})"
        )
    remarks = list(lost.words)
    if found.frames not in (0, count):
        remarks.append(f"the header says {found.frames} frames, {count} were decoded")
    missing = found.file_seconds - seen.end - (1 / found.fps if found.fps else 0)
    if not lost.frames and missing > max(_SHORTER_SECONDS, _SHORTER_SHARE * found.file_seconds):
        picture = found.file_seconds - missing
        remarks.append(
            f"the picture ends after {picture:.1f} s, the file (or its audio) after {found.file_seconds:.1f} s"
        )
    return expected, remarks


def _judge_cut(path: Path, cut: Cut, count: int, min_decoded: float, seen: Seen) -> tuple[int, list[str]]:
    """As `_judge`, of a cut: its length says how many frames there are, whatever the header does.

    Frames that are lost in its middle do not lack, since the one before stands for them.
    """
    cut = cut_of(path, cut)
    expected = cut_frames(cut)
    if count < min_decoded * expected:
        raise VideoError(
            f"{path}: expected {expected} frames ({cut.seconds:g} s from {cut.start:g} s on, {cut.rate} a second), "
            f"found {count}: the file is cut off or another video, fetch it again "
            f"(data.frames.min_decoded allows a share of {min_decoded:g})"
        )
    remarks = []
    if count < expected:
        remarks.append(f"the cut has {expected} frames, the video gave {count}: it ends before the cut does")
    if seen.still > _STILL_SECONDS * cut.rate:
        moment = cut.start + seen.still_from / cut.rate
        remarks.append(f"one frame stands for {seen.still / cut.rate:.1f} s from {moment:.1f} s on")
    return max(expected, count), remarks


def already_prepared(job: Job, settings: Frames) -> Prepared | None:
    """The result of an earlier run, if its store file is whole and made from this video with these settings."""
    try:
        with FrameStore(job.store, glance=True) as store:
            info = store.info
            made = (info.height, info.quality) == (settings.height, settings.quality)
            if settings.height is not None:
                # A frame tells which side was scaled, if it matters: of upright ones it does, of others both are one.
                width, height = store.frame_size
                made &= (min(width, height) if settings.side == "short" else height) == settings.height
            made &= info.cut == (cut_name(job.cut) if job.cut else "")
            whole = len(store) >= settings.min_decoded * info.declared
            if made and whole and _same_video(job, info):
                return Prepared(job.video, len(store), store.stored_bytes, note=info.note)
    except (StoreError, OSError):
        pass
    return None


def _same_video(job: Job, info: StoreInfo) -> bool:
    """Whether the video is the one that the store was made from: by name, size, first and last bytes, and by time.

    The time is that of the last change of any kind, which no copying program can set back. If it is not before the
    store's, the whole content is compared, and the store's becomes the later one.
    """
    video = job.source.stat()
    if (info.source, info.source_bytes) != (job.source.name, video.st_size):
        return False
    if info.source_ends != _ends_sha256(job.source):  # another file, such as that of another copy of the data set
        return False
    if video.st_ctime_ns < job.store.stat().st_ctime_ns:
        return True
    if info.source_sha256 != sha256_file(job.source):
        return False
    with suppress(OSError):  # another user's store is as good
        os.utime(job.store)
    return True


def _ends_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_END))
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
        digest.update(file.read(_END))
    return digest.hexdigest()[:32]


def prepare(
    jobs: Iterable[Job],
    settings: Frames,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    report: Path | None = None,
) -> pd.DataFrame:
    """Prepare all videos; returns one row per job, in order: video, frames, bytes, error, note.

    Runs where `prepare_all` says, and what an earlier run has prepared is not decoded again. A video that cannot be
    decoded, or that kills or stalls its worker, has its reason in `error` and stops no other; `note` says what was odd
    about one that could be. The failed ones are also written to `report`, see `check_failures`.
    Raises BookError if the share of videos that failed is above ``settings.max_failed``, listing them; ClusterError if
    there is no scheduler, no worker, or a worker with other versions or folders.
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
    return check_failures(
        table,
        {job.video: job.source for job in jobs},
        what="could not be prepared",
        max_failed=settings.max_failed,
        setting="the recipe (data.frames.max_failed)",
        report=report,
    )
