"""Which frames make a clip, against examples computed with the original program."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.clips.sampling import centre_clip, loop, random_clip, window_clip
from actionbook.clips.sampling import test_windows as windows_of


@pytest.mark.parametrize(
    ("frames", "first_and_last"),
    [
        # Frames from 1, as the original's file names.
        (16, [(1, 16)]),
        (17, [(1, 16)]),
        (18, [(1, 16), (17, 18)]),
        (29, [(1, 16), (17, 29)]),
        (33, [(1, 16), (17, 32)]),
        (34, [(1, 16), (17, 32), (33, 34)]),
        (71, [(1, 16), (17, 32), (33, 48), (49, 64), (65, 71)]),
        (2, [(1, 2)]),
        (1, []),
        (0, []),
    ],
)
def test_windows_of_the_original(frames: int, first_and_last: list[tuple[int, int]]) -> None:
    windows = windows_of(frames, 16)
    assert [(window[0] + 1, window[-1] + 1) for window in windows] == first_and_last
    assert all(window.step == 1 for window in windows)


@given(st.integers(0, 2000), st.integers(1, 64))
def test_windows_are_consecutive_and_as_many_as_the_original_makes(frames: int, length: int) -> None:
    windows = windows_of(frames, length)
    assert len(windows) == math.ceil(max(frames - 1, 0) / length)
    together = [i for window in windows for i in window]
    assert together == list(range(len(together)))
    assert len(together) >= frames - 1 or frames == 0
    assert all(len(window) == length for window in windows[:-1])


def test_loop_repeats_from_the_start() -> None:
    assert loop(range(16, 18), 5).tolist() == [16, 17, 16, 17, 16]
    assert loop(np.array([4, 6, 8]), 7).tolist() == [4, 6, 8, 4, 6, 8, 4]
    assert loop(range(5), 3).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="without frames"):
        loop(range(0), 4)


@given(st.integers(1, 400), st.integers(1, 32), st.integers(1, 4), st.integers(0, 2**32))
def test_random_clips_stay_inside(frames: int, length: int, stride: int, seed: int) -> None:
    clip = random_clip(frames, length, stride, np.random.default_rng(seed))
    assert clip.shape == (length,)
    assert clip.min() >= 0
    assert clip.max() < frames
    span = length * stride
    if frames >= span:
        assert (np.diff(clip) == stride).all()
        # The original's last start is one short of what would fit, if there is a choice at all.
        assert clip[0] <= max(0, frames - span - 1)
    else:
        assert clip.tolist() == [(i * stride) % frames for i in range(length)]


@pytest.mark.parametrize(("frames", "starts"), [(16, {0}), (17, {0}), (18, {0, 1}), (21, {0, 1, 2, 3, 4})])
def test_random_clips_start_anywhere_the_original_does(frames: int, starts: set[int]) -> None:
    rng = np.random.default_rng(0)
    drawn = [int(random_clip(frames, 16, 1, rng)[0]) for _ in range(400)]
    assert set(drawn) == starts
    assert min(drawn.count(start) for start in starts) > 250 / len(starts)


def test_window_clips() -> None:
    assert window_clip(range(16, 18), 16, 1).tolist() == [16, 17] * 8
    assert window_clip(range(16), 16, 1).tolist() == list(range(16))
    assert window_clip(range(32, 64), 16, 2).tolist() == list(range(32, 64, 2))
    assert window_clip(range(32), 8, 2).tolist() == list(range(0, 16, 2))
    assert window_clip(range(5), 4, 2).tolist() == [0, 2, 4, 1]


@pytest.mark.parametrize(
    ("frames", "stride", "expected"),
    [
        (40, 1, list(range(13, 29))),
        (100, 1, list(range(43, 59))),
        (19, 2, [*range(1, 20, 2), *range(2, 13, 2)]),
        (16, 1, list(range(1, 17))),
        (1, 1, [1] * 16),
        (3, 1, [1, 2, 3] * 5 + [1]),
    ],
)
def test_centre_clips_of_the_original(frames: int, stride: int, expected: list[int]) -> None:
    assert (centre_clip(frames, 16, stride) + 1).tolist() == expected


def test_centre_clips_of_odd_lengths_round_as_the_original() -> None:
    assert centre_clip(40, 15, 1).tolist() == list(range(13, 28))  # 40 // 2 - 15 // 2
    assert centre_clip(41, 16, 1).tolist() == list(range(12, 28))
