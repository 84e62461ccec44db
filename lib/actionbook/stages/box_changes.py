"""Boxes that are wrong in a known way, for `stages.accuracy.rearranged`: what does the mistake cost?

A change takes and returns corners x1, y1, x2, y2 in pixels of a clip, float32 (N, M, 4). Boxes of zeros fill up M.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Change = Callable[[np.ndarray], np.ndarray]
PORT_SHAPE = 384 / 256
"""Width over height that SlowFast's port for Ascend brings all test frames to."""


def swapped_scales(shape: float, size: tuple[int, int]) -> Change:
    """What that port makes of boxes in a test: x is multiplied by 256 / H in place of 384 / W, and y the other way.

    `shape` is W / H of the film, `size` height and width in the clip. Relative to where they belong, x grows by `shape`
    over 1.5 and y shrinks by as much; both are cut off at the edges (mindspore-ai/models, research/cv/slowfast,
    ava_dataset.py). Nothing moves in films of 3 : 2.
    """
    factor, (height, width) = shape / PORT_SHAPE, size

    def change(boxes: np.ndarray) -> np.ndarray:
        moved = boxes * np.array([factor, 1 / factor] * 2)
        return np.clip(moved, 0, np.array([width - 1, height - 1] * 2)).astype(boxes.dtype)

    return change


def whole_frames(size: tuple[int, int]) -> Change:
    """Every box becomes the whole frame of this height and width."""
    height, width = size

    def change(boxes: np.ndarray) -> np.ndarray:
        whole = np.array([0, 0, width - 1, height - 1], boxes.dtype)
        return np.where(_real(boxes)[..., None], whole, boxes)

    return change


def of_the_next(boxes: np.ndarray) -> np.ndarray:
    """Each box of a keyframe is given the place of the next one, and the last that of the first."""
    moved = boxes.copy()
    for places, real in zip(moved, _real(boxes), strict=True):
        places[real] = np.roll(places[real], -1, axis=0)
    return moved


def _real(boxes: np.ndarray) -> np.ndarray:
    """(N, M) bool."""
    return np.asarray((boxes != 0).any(axis=-1))
