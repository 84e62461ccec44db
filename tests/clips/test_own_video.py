"""Clips straight from a file are those that the test set would have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actionbook.clips.own_video import video_clips
from actionbook.clips.sampling import centre_clip, window_clip, windows_of
from actionbook.clips.transforms import tested_clip
from actionbook.core.sampling import Centre, Windows
from actionbook.core.transforms import Transforms
from actionbook.datasets.figures import write_avi
from actionbook.video import decode
from actionbook.video.decode import VideoError, read_frames
from actionbook.video.orientation import Orientation

SAMPLING, TRANSFORMS = Windows(frames=4, stride=2, window=8), Transforms(size=16)


def video_of(folder: Path, frames: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (frames, 32, 48, 3), dtype=np.uint8)
    write_avi(folder / "own.avi", pixels, width=48, height=32)
    return folder / "own.avi"


@pytest.mark.parametrize("frames", [2, 7, 8, 9, 10, 16, 17, 18, 20])
def test_windows_and_clips_are_those_of_the_test_set(tmp_path: Path, frames: int) -> None:
    path = video_of(tmp_path, frames)
    found = list(video_clips(path, SAMPLING, TRANSFORMS))
    expected = windows_of(frames, SAMPLING.window)
    for (numbers, pixels, clip), window in zip(found, expected, strict=True):
        assert numbers.tolist() == window_clip(window, SAMPLING.frames, SAMPLING.stride).tolist()
        original = read_frames(path, numbers.tolist())
        np.testing.assert_array_equal(pixels, original)
        np.testing.assert_array_equal(clip, tested_clip(list(original), TRANSFORMS))


def test_a_video_that_asks_to_be_turned_is_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = video_of(tmp_path, 8)
    (_, upright, _), *_ = video_clips(path, SAMPLING, TRANSFORMS)
    monkeypatch.setattr(decode, "orientation", lambda _: Orientation(swapped=True, mirrored=True))
    (_, turned, _), *_ = video_clips(path, SAMPLING, TRANSFORMS)
    np.testing.assert_array_equal(turned, np.rot90(upright, -1, axes=(1, 2)))


def test_a_video_of_one_frame_is_too_short(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"own\.avi: has 1 frames, at least two are needed"):
        list(video_clips(video_of(tmp_path, 1), SAMPLING, TRANSFORMS))


def test_tested_clips_may_be_longer_than_those_of_training(tmp_path: Path) -> None:
    path = video_of(tmp_path, 8)
    ((_, pixels, clip),) = video_clips(path, SAMPLING.model_copy(update={"test_frames": 6}), TRANSFORMS)
    assert (len(pixels), clip.shape) == (6, (3, 6, 16, 16))
    np.testing.assert_array_equal(pixels, read_frames(path, [0, 2, 4, 6, 0, 2]))


@pytest.mark.parametrize("frames", [1, 3, 20])
def test_samplers_that_need_the_whole_video_get_it(tmp_path: Path, frames: int) -> None:
    path, sampling = video_of(tmp_path, frames), Centre(name="centre", frames=4, stride=2)
    ((numbers, pixels, clip),) = video_clips(path, sampling, TRANSFORMS)
    assert numbers.tolist() == centre_clip(frames, 4, 2).tolist()
    np.testing.assert_array_equal(pixels, read_frames(path, numbers.tolist()))
    np.testing.assert_array_equal(clip, tested_clip(list(pixels), TRANSFORMS))
