"""Clips of whole frames with their boxes, as the programs of SlowFast cut them: for training a part, tested all of it.

After facebookresearch/SlowFast (slowfast/datasets/cv2_transform.py and ava_dataset.py,
_images_and_boxes_preprocessing_cv2). Boxes are given there by the places of pixels: the last one of a row of W is
W - 1, and a mirrored box is W - 1 - x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from actionbook.clips.transforms import mirrored, normalise_into
from actionbook.core.errors import BookError
from actionbook.core.transforms import Transforms


@dataclass(frozen=True)
class Jitter:
    """How the frames of a training clip are scaled and where it is cut out of them, in pixels, and whether mirrored."""

    height: int
    """Of the scaled frame."""
    width: int
    top: int
    left: int
    flip: bool


def whole_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) of a frame scaled to a shorter side; the longer one is rounded down."""
    if min(height, width) == short_side:
        return height, width
    if width < height:
        return int(height / width * short_side), short_side
    return short_side, int(width / height * short_side)


def draw_jitter(width: int, height: int, transforms: Transforms, rng: np.random.Generator) -> Jitter:
    """Draw the shorter side (its inverse is uniform between those of ``transforms.jitter``), the place, the mirror.

    As in the original the last place to the right and the lowest one are never drawn, unless they are the only ones.
    Raises BookError for frames that are too narrow, or too low, for the clip.
    """
    low, high = transforms.jitter or (min(height, width),) * 2
    rows, columns = whole_size(height, width, round(1 / rng.uniform(1 / high, 1 / low)))
    if rows < transforms.height or columns < transforms.width:
        raise BookError(
            f"a frame of {width} x {height} pixels becomes {columns} x {rows}, and a clip of "
            f"{transforms.width} x {transforms.height} is to be cut out of it: make transforms.jitter larger, or "
            "transforms.size (height, width) smaller"
        )
    top, left = (int(rng.integers(max(1, room))) for room in (rows - transforms.height, columns - transforms.width))
    return Jitter(rows, columns, top, left, bool(rng.random() < transforms.flip))


def jittered_clip(frames: Sequence[np.ndarray], jitter: Jitter, transforms: Transforms) -> np.ndarray:
    """Scale, cut out, mirror and normalise frames, uint8 (H, W, C) -> float32 (C, T, H, W)."""
    shape = (transforms.height, transforms.width)
    out = np.empty((transforms.channels, len(frames), *shape), np.float32)
    for t, frame in enumerate(frames):
        part = _scaled(frame, (jitter.height, jitter.width))
        part = part[jitter.top : jitter.top + shape[0], jitter.left : jitter.left + shape[1]]
        normalise_into(out[:, t], mirrored(part, transforms.modality) if jitter.flip else part, transforms)
    return out


def jittered_boxes(boxes: np.ndarray, jitter: Jitter, height: int, width: int, transforms: Transforms) -> np.ndarray:
    """Boxes (n, 4) of x1, y1, x2, y2 as shares of a frame of this size -> float32, in pixels of the training clip.

    Cut off at its edges: one that the clip has left out has no area.
    """
    found = _in_scaled(boxes, (height, width), (jitter.height, jitter.width))
    found -= [jitter.left, jitter.top] * 2
    if jitter.flip:
        last = transforms.width - 1
        found = np.stack([last - found[:, 2], found[:, 1], last - found[:, 0], found[:, 3]], axis=1)
    return _inside(found, transforms.height, transforms.width)


def whole_clip(frames: Sequence[np.ndarray], transforms: Transforms) -> np.ndarray:
    """Whole frames, uint8 (H, W, C), scaled to ``short_side``, at the top left of a float32 clip (C, T, H, W).

    The clip is as large as ``test_size``, and 0, which is the mean, where the frames have left it free. Raises
    BookError for frames that are too long for it.
    """
    rows, columns = transforms.clip_size(tested=True)
    out = np.zeros((transforms.channels, len(frames), rows, columns), np.float32)
    for t, frame in enumerate(frames):
        height, width = fitted(frame.shape[0], frame.shape[1], transforms)
        normalise_into(out[:, t, :height, :width], _scaled(frame, (height, width)), transforms)
    return out


def whole_boxes(boxes: np.ndarray, height: int, width: int, transforms: Transforms) -> np.ndarray:
    """Boxes (n, 4) as shares of a frame of this size -> float32, in pixels of the clip that `whole_clip` makes."""
    size = fitted(height, width, transforms)
    return _inside(_in_scaled(boxes, (height, width), size), *size)


def fitted(height: int, width: int, transforms: Transforms) -> tuple[int, int]:
    """(height, width) of a whole test frame, scaled. Raises BookError where ``test_size`` has no room for it."""
    size = whole_size(height, width, transforms.short_side or min(height, width))
    room = transforms.clip_size(tested=True)
    if size[0] > room[0] or size[1] > room[1]:
        raise BookError(
            f"a frame of {width} x {height} pixels becomes {size[1]} x {size[0]}, and a tested clip has room for "
            f"{room[1]} x {room[0]}: make transforms.test_size (height, width) larger"
        )
    return size


def _scaled(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if frame.shape[:2] == size:
        return frame
    return cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR)


def _in_scaled(boxes: np.ndarray, size: tuple[int, int], scaled: tuple[int, int]) -> np.ndarray:
    """Shares of a frame -> pixels of the scaled one. One factor for both axes, that of the longer side."""
    height, width = size
    places = np.clip(boxes * ([width, height] * 2), 0, [width - 1, height - 1] * 2)
    return np.asarray(places * (scaled[0] / height if width < height else scaled[1] / width), np.float64)


def _inside(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.clip(boxes, 0, [width - 1, height - 1] * 2).astype(np.float32)
