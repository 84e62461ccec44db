"""Which frames make a clip, by the sampling that recipes name.

Frames are numbered from 0 here; the original programs' file names count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from actionbook.core.sampling import Keyframe, Sampling, Segments, Superframes, Windows


class Item(Protocol):
    """What a sampler has to know of an item: a row of an index has it."""

    frames: int
    """Frames of its video."""
    frame: int
    """Number of its keyframe; -1: the whole video is meant."""


@dataclass(frozen=True)
class Sampler:
    """Chooses the frames of samples, as a recipe's section `sampling` says.

    Tested are every window of a video, as in the test of okankop/Efficient-3DCNNs; or the one clip in its middle, or
    around a keyframe; or one clip of frames from all over the video (`Segments`, `Superframes`). Training clips of
    videos begin anywhere, or anywhere in each segment; those of keyframes are the tested ones.
    """

    settings: Sampling

    def train(self, item: Item, rng: np.random.Generator) -> np.ndarray:
        """Frame numbers of one training clip; all draws come from `rng`."""
        s = self.settings
        if isinstance(s, Segments):
            return random_segments(item.frames, s.frames, rng)
        if isinstance(s, Superframes):
            return random_superframes(item.frames, s.segments, s.frames, rng)
        if isinstance(s, Keyframe):
            return self.middle(item, s.frames)
        return random_clip(item.frames, s.frames, s.stride, rng, last_start=s.last_start)

    def test(self, item: Item) -> list[np.ndarray]:
        """Frame numbers of every tested clip; none for an item that is too short to be tested."""
        s = self.settings
        if isinstance(s, Windows):
            return [window_clip(window, s.tested, s.stride) for window in windows_of(item.frames, s.window)]
        return [self.middle(item, s.tested)] if item.frames else []

    def middle(self, item: Item, frames: int) -> np.ndarray:
        """Frame numbers of the one clip of so many frames that stands for an item.

        It is the middle of a video, or lies around a keyframe (of an item that is none, around its middle); of segments
        the middle frame, or frames, of each.
        """
        s = self.settings
        if isinstance(s, Segments):
            return middle_segments(item.frames, frames, whole=s.test_parts == "whole")
        if isinstance(s, Superframes):
            return middle_superframes(item.frames, frames // s.frames, s.frames, late=s.test_start == "late")
        if isinstance(s, Keyframe):
            keyframe = item.frame if item.frame >= 0 else item.frames // 2
            return keyframe_clip(keyframe, item.frames, frames, s.stride)
        return centre_clip(item.frames, frames, s.stride)


def windows_of(frames: int, length: int) -> list[range]:
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


def centre_clip(frames: int, length: int, stride: int) -> np.ndarray:
    """The clip of the `length * stride` frames in the middle of a video (TemporalCenterCrop), looped where shorter."""
    span = length * stride
    start = max(0, frames // 2 - span // 2)
    return window_clip(range(start, min(start + span, frames)), length, stride)


def keyframe_clip(keyframe: int, frames: int, length: int, stride: int) -> np.ndarray:
    """Frame numbers of the clip around a keyframe; beyond the ends of the video its first or last frame is repeated.

    As facebookresearch/SlowFast (slowfast/datasets/utils.py, get_sequence): the keyframe is the first of the second
    half of `length * stride` frames, of which every stride-th is taken.
    """
    start = keyframe - length * stride // 2
    return np.clip(np.arange(start, start + length * stride, stride), 0, frames - 1)


def random_segments(frames: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Frame numbers of one training clip of segments: of `count` equal parts of a video a random frame each.

    As mzolfaghari/ECO-pytorch (dataset.py, _sample_indices), after TSN: a part has d = frames // count frames, so that
    those left over at the end are never drawn. Where a video has fewer frames than there are parts, the original takes
    its first frame for all of them; here such a video is trained on as it is tested.
    """
    length = frames // count
    if not length:
        return middle_segments(frames, count)
    return np.arange(count) * length + rng.integers(length, size=count)


def middle_segments(frames: int, count: int, *, whole: bool = False) -> np.ndarray:
    """Frame numbers of the tested clip of segments: of `count` equal parts of a video the frame in the middle of each.

    floor(t / 2 + t * i) with t = frames / count (ECO-pytorch, dataset.py, _get_test_indices); with `whole` t is the
    whole number frames // count (the authors' Caffe, video_data_layer.cpp). Where a video has no more frames than there
    are parts, each frame is taken as often as it must be, in order. The original's validation and its Caffe take the
    first frame for all parts then, even where there is a frame for each; no published weights rest on that, as they are
    of 4 and 16 parts, and videos of UCF101 (29 frames and more), HMDB51 (18) and Kinetics are longer.
    Raises ValueError for a video without frames.

    In floating point, as the original computes it: with 4, 8, 16 or 32 parts that is the exact value for every length
    up to 2,000; with 20 and 24 (networks of the paper's ensemble) 69 and 43 of these lengths have a frame that is one
    less, such as 4 instead of 5 for part 7 of 24, both from 0, of a video of 16 frames.
    """
    if frames < 1:
        raise ValueError("a video without frames has no segments")
    part = frames // count if whole and frames > count else frames / count
    return np.array([int(part / 2 + part * i) for i in range(count)])


def random_superframes(frames: int, segments: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Frame numbers of one training clip of StNet, (segments * length,): of each segment neighbouring frames.

    As PaddlePaddle/models (PaddleCV/video, reader/kinetics_reader.py) and the MindSpore port
    (dataset.py): a segment has d = frames // segments frames, so that those left over at the end are never drawn, and
    its frames begin at 0..d - length, both included and each as likely. Where d is less than `length`, see
    `middle_superframes`. Raises ValueError for a video without frames.
    """
    part = _part(frames, segments)
    if part < length:
        return middle_superframes(frames, segments, length)
    return _superframes(frames, np.arange(segments) * part + rng.integers(part - length + 1, size=segments), length)


def middle_superframes(frames: int, segments: int, length: int, *, late: bool = False) -> np.ndarray:
    """Frame numbers of the tested clip of StNet, (segments * length,): of each segment the `length` in its middle.

    They begin at (d - length) // 2 of the d = frames // segments frames of a segment; `late`, at (d - 1) // 2. Where a
    segment has fewer frames than are wanted of it, they begin with it and go on into the next ones; where there are
    fewer frames than segments, segment i begins at frame i. Frames beyond the last are counted from the first again.
    Sources as of `random_superframes`. Raises ValueError for a video without frames.
    """
    part = _part(frames, segments)
    if part < length:
        return _superframes(frames, np.arange(segments) * max(part, 1), length)
    first = (part - 1) // 2 if late else (part - length) // 2
    return _superframes(frames, np.arange(segments) * part + first, length)


def _part(frames: int, segments: int) -> int:
    if frames < 1:
        raise ValueError("a video without frames has no segments")
    return frames // segments


def _superframes(frames: int, starts: np.ndarray, length: int) -> np.ndarray:
    return (starts[:, np.newaxis] + np.arange(length)).reshape(-1) % frames
