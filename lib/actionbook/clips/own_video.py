"""Test clips straight from a video file, without a frame store: for a video that is looked at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from actionbook.clips.sampling import test_windows, window_clip
from actionbook.clips.transforms import test_clip
from actionbook.core.recipe import Clips
from actionbook.video.decode import VideoError, iterate, shown_pixels


def video_clips(path: Path | str, clips: Clips) -> Iterator[tuple[range, np.ndarray, np.ndarray]]:
    """(window, its frames uint8 (T, H, W, 3), the clip float32 (3, T, size, size)) of every test window of a file.

    Windows and transform are those of the test set; frames are decoded once, in order, one window in memory.
    Raises VideoError for a file that cannot be decoded, or with fewer than two frames.
    """
    start, frames, any_window = 0, [], False
    for frame in iterate(path):
        frames.append(shown_pixels(frame))
        if len(frames) > clips.window:  # the next window has begun, so this one is whole and not the last
            yield _window(start, frames[: clips.window], clips)
            start, frames, any_window = start + clips.window, frames[clips.window :], True
    if test_windows(len(frames), clips.window):  # a single last frame makes no window, as in the test set
        yield _window(start, frames, clips)
    elif not any_window:
        raise VideoError(f"{path}: has {len(frames)} frames, at least two are needed")


def _window(start: int, frames: list[np.ndarray], clips: Clips) -> tuple[range, np.ndarray, np.ndarray]:
    indices = window_clip(range(len(frames)), clips.frames, clips.stride)
    chosen = [frames[i] for i in indices]
    return range(start, start + len(frames)), np.stack(chosen), test_clip(chosen, clips)
