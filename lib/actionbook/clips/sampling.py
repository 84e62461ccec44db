"""Which frames make a clip: training draws, and the exact test windows of okankop/Efficient-3DCNNs.

Frames are numbered from 0 here; the original's file names count from 1.
"""

from __future__ import annotations

import numpy as np


def test_windows(frames: int, length: int) -> list[range]:
    """Windows of `length` frames, one after the other, as the original's test sampling (n_samples 0) makes them.

    A window starts at 0, length, 2 * length, … as long as that is *before* the last frame: a window that would hold
    the last frame alone is not made (datasets/ucf101.py: ``range(1, n_frames, step)`` over frames that count
    from 1). The last window may be short; see `loop`. A video of one frame has no window.
    """
    return [range(start, min(start + length, frames)) for start in range(0, frames - 1, length)]


def loop(indices: range | np.ndarray, length: int) -> np.ndarray:
    """Repeat a short window from its start until it has `length` frames; a longer one is cut. Raises on none."""
    if not len(indices):
        raise ValueError("a window without frames cannot be extended")
    return np.resize(np.asarray(indices), length)


def random_clip(
    frames: int, length: int, stride: int, rng: np.random.Generator, *, last_start: bool = False
) -> np.ndarray:
    """Frame numbers of one training clip (temporal_transforms.py, TemporalRandomCrop).

    `length * stride` consecutive frames from a uniformly drawn start, looped if the video is shorter, of which every
    stride-th is taken. The original never draws the very last start (its upper end is n - span - 1, inclusive);
    so does this, unless `last_start` is set.
    """
    span = length * stride
    start = int(rng.integers(0, max(0, frames - span - (not last_start)), endpoint=True))
    return loop(range(start, min(start + span, frames)), span)[::stride]


def window_clip(window: range, length: int, stride: int) -> np.ndarray:
    """Frame numbers of the clip at a test window: its first `length * stride` frames, looped, every stride-th."""
    return loop(window[: length * stride], length * stride)[::stride]


def centre_window(frames: int, length: int) -> range:
    """The `length` frames in the middle of a video (TemporalCenterCrop), or all of a shorter one."""
    start = max(0, frames // 2 - length // 2)
    return range(start, min(start + length, frames))
