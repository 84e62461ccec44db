"""Test clips straight from a video file, without a frame store: for a video that is looked at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actionbook.clips.sampling import Sampler
from actionbook.clips.transforms import tested_clip
from actionbook.core.sampling import Sampling
from actionbook.core.transforms import Transforms
from actionbook.video.decode import VideoError, iterate, shown_pixels


@dataclass
class _Video:
    """What a sampler has to know of a whole video."""

    frames: int
    frame: int = -1


def video_clips(
    path: Path | str, sampling: Sampling, transforms: Transforms
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(frame numbers (T,), these frames uint8 (T, H, W, 3), the clip float32 (3, T, H, W)) of every tested clip.

    Clips and transform are those of the test set. The file is decoded twice, in order: first its frames are counted, as
    no header tells that truly; then those of one clip at a time are kept in memory.
    Raises VideoError for a file that cannot be decoded, whose frames change their size, or with too few for a clip.
    """
    count = sum(1 for _ in iterate(path))
    clips = iter(Sampler(sampling).test(_Video(count)))
    numbers = next(clips, None)
    if numbers is None:
        raise VideoError(f"{path}: has {count} frames, at least two are needed")
    kept: dict[int, np.ndarray] = {}
    for number, frame in enumerate(iterate(path)):
        if numbers is None:
            return
        if number in numbers:
            kept[number] = shown_pixels(frame)
        if number == numbers.max():  # clips of one video come one after the other, none reaches into the next
            chosen = [kept[i] for i in numbers.tolist()]
            if len({own.shape for own in chosen}) > 1:
                raise VideoError(f"{path}: the size of its frames changes; encode it again in one size")
            yield numbers, np.stack(chosen), tested_clip(chosen, transforms)
            numbers, kept = next(clips, None), {}
