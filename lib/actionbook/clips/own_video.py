"""Test clips straight from a video file, without a frame store: for a video that is looked at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from actionbook.clips.sampling import window_clip, windows_of
from actionbook.clips.transforms import tested_clip
from actionbook.core.sampling import Windows
from actionbook.core.transforms import Transforms
from actionbook.video.decode import VideoError, iterate, shown_pixels


def video_clips(
    path: Path | str, sampling: Windows, transforms: Transforms
) -> Iterator[tuple[range, np.ndarray, np.ndarray]]:
    """(window, its frames uint8 (T, H, W, 3), the clip float32 (3, T, H, W)) of every test window of a file.

    Windows and transform are those of the test set; frames are decoded once, in order, one window in memory.
    Raises VideoError for a file that cannot be decoded, whose frames change their size, or with fewer than two of them.
    """

    def made(start: int, frames: list[np.ndarray]) -> tuple[range, np.ndarray, np.ndarray]:
        chosen = [frames[i] for i in window_clip(range(len(frames)), sampling.tested, sampling.stride)]
        if len({frame.shape for frame in chosen}) > 1:
            raise VideoError(f"{path}: the size of its frames changes; encode it again in one size")
        return range(start, start + len(frames)), np.stack(chosen), tested_clip(chosen, transforms)

    start, frames, any_window = 0, [], False
    for frame in iterate(path):
        frames.append(shown_pixels(frame))
        if len(frames) > sampling.window:  # the next window has begun, so this one is whole and not the last
            yield made(start, frames[: sampling.window])
            start, frames, any_window = start + sampling.window, frames[sampling.window :], True
    if windows_of(len(frames), sampling.window):  # a single last frame makes no window, as in the test set
        yield made(start, frames)
    elif not any_window:
        raise VideoError(f"{path}: has {len(frames)} frames, at least two are needed")
