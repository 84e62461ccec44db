"""Test clips straight from a video file, without a frame store: for a video that is looked at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actionbook.clips.sampling import Sampler, window_clip, windows_of
from actionbook.clips.transforms import tested_clip
from actionbook.core.sampling import Sampling, Windows
from actionbook.core.transforms import Transforms
from actionbook.video.decode import VideoError, iterate, shown_pixels

Clip = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Frame numbers (T,), the frames uint8 (T, H, W, 3), the clip float32 (3, T, H, W)."""


def video_clips(path: Path | str, sampling: Sampling, transforms: Transforms) -> Iterator[Clip]:
    """Every tested clip of a file, in order: the numbers of its frames, from 0, the frames, and what is made of them.

    Clips and transform are those of the test set; only frames that are needed are in memory. Windows are made while the
    file is decoded. Samplers that must know how long it is have it decoded twice. Raises VideoError for a file that
    cannot be decoded, whose frames change their size, or with too few of them for a clip.
    """
    found = (
        _windows(path, sampling, transforms) if isinstance(sampling, Windows) else _whole(path, sampling, transforms)
    )
    any_clip = False
    for clip in found:
        any_clip = True
        yield clip
    if not any_clip:
        frames = sum(1 for _ in iterate(path))
        raise VideoError(f"{path}: has {frames} frames, at least two are needed")


@dataclass
class _Video:
    """See `clips.sampling.Item`."""

    frames: int
    frame: int = -1


def _windows(path: Path | str, sampling: Windows, transforms: Transforms) -> Iterator[Clip]:
    def made(start: int, frames: list[np.ndarray]) -> Clip:
        numbers = window_clip(range(len(frames)), sampling.tested, sampling.stride)
        return _made(path, start + numbers, [frames[i] for i in numbers], transforms)

    start = 0
    frames: list[np.ndarray] = []
    for frame in iterate(path):
        frames.append(shown_pixels(frame))
        if len(frames) > sampling.window:  # the next window has begun, so this one is whole and not the last
            yield made(start, frames[: sampling.window])
            start, frames = start + sampling.window, frames[sampling.window :]
    if windows_of(len(frames), sampling.window):  # a single last frame makes no window, as in the test set
        yield made(start, frames)


def _whole(path: Path | str, sampling: Sampling, transforms: Transforms) -> Iterator[Clip]:
    for numbers in Sampler(sampling).test(_Video(sum(1 for _ in iterate(path)))):
        wanted = set(numbers.tolist())
        kept = {k: shown_pixels(frame) for k, frame in enumerate(iterate(path)) if k in wanted}
        yield _made(path, numbers, [kept[k] for k in numbers.tolist()], transforms)


def _made(path: Path | str, numbers: np.ndarray, frames: list[np.ndarray], transforms: Transforms) -> Clip:
    if len({frame.shape for frame in frames}) > 1:
        raise VideoError(f"{path}: the size of its frames changes; encode it again in one size")
    return numbers, np.stack(frames), tested_clip(frames, transforms)
