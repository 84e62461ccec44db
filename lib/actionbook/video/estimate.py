"""What preparing a cut of many videos will take, told from a few seconds of some of them before it begins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.keyframes import Cut
from actionbook.core.sections import Frames
from actionbook.video.frames import jpegs
from actionbook.video.prepare import Job
from actionbook.video.resample import cut_frames, cut_of

_VIDEOS = 4
_SECONDS = 3.0
_MEMBER_BYTES = 2 * 15 + 30 + 46
"""Of a frame in a store beside its JPEG: its name twice, its header and its row in the directory (`video.store`)."""


@dataclass(frozen=True)
class Estimate:
    """What it takes to prepare some videos."""

    videos: int
    frames: int
    """Of all videos, if each is as long as its cut."""
    bytes: int
    """On the disk."""
    cpu_seconds: float
    """Of one core: decoding and compressing. Reading each file once for its digest comes on top."""
    sampled: int
    """Videos that were looked at."""

    def hours(self, workers: int) -> float:
        """Of the clock, if as many cores work side by side."""
        return self.cpu_seconds / max(1, workers) / 3600

    def words(self, workers: int) -> str:
        """A line for the reader."""
        hours = self.hours(workers)
        size = f"{self.bytes / 1e9:.1f} GB" if self.bytes >= 1e9 else f"{self.bytes / 1e6:.0f} MB"
        time = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
        return (
            f"{self.videos} videos, {self.frames:,} frames: about {size} and {time} with {workers} workers "
            f"(told from {self.sampled} of them)"
        )


def _own_cut(path: Path, cut: Cut) -> Cut:
    with suppress(BookError):  # what is wrong with a video is said when it is prepared
        return cut_of(path, cut)
    return cut


def estimate(jobs: Sequence[Job], settings: Frames) -> Estimate:
    """What preparing the cuts of `jobs` will take, from three seconds in the middle of up to four, evenly chosen.

    Pass those that are not prepared yet. A video that cannot be decoded gives way to the others. Raises BookError if
    none can be, naming the last reason, and for jobs without a cut, whose length only decoding tells.
    """
    cuts = [_own_cut(job.source, job.cut) for job in jobs if job.cut]
    if len(cuts) < len(jobs):
        raise BookError(f"{len(jobs) - len(cuts)} of {len(jobs)} videos have no cut: what they take cannot be told")
    frames, size, cpu, sampled, reason = 0, 0, 0.0, 0, ""
    for number in sorted({len(jobs) * place // _VIDEOS for place in range(_VIDEOS)} if jobs else ()):
        job, cut = jobs[number], cuts[number]
        seconds = min(_SECONDS, cut.seconds)
        part = cut.model_copy(update={"start": cut.start + (cut.seconds - seconds) / 2, "seconds": seconds})
        begin = time.process_time()
        try:
            pictures = jpegs(job.source, settings.height, settings.quality, settings.side, cut=part)
            sizes = [len(jpeg) for jpeg in pictures]
        except (BookError, OSError) as error:
            reason = str(error)
            continue
        cpu += time.process_time() - begin
        frames, size, sampled = frames + len(sizes), size + sum(sizes), sampled + 1
    if jobs and not frames:
        raise BookError(f"none of {len(jobs)} videos could be looked at; the last one: {reason}")
    every = sum(map(cut_frames, cuts))
    share = every / max(frames, 1)
    return Estimate(len(jobs), every, round(size * share) + every * _MEMBER_BYTES, cpu * share, sampled)
