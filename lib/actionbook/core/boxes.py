"""How far boxes overlap."""

from __future__ import annotations

import numpy as np


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (4, ...) and boxes that broadcast with them.

    A box whose corners are the wrong way round has no intersection with any. Two boxes without area give NaN.
    """
    width = np.maximum(0.0, np.minimum(one[2], other[2]) - np.maximum(one[0], other[0]))
    height = np.maximum(0.0, np.minimum(one[3], other[3]) - np.maximum(one[1], other[1]))
    inside = width * height
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(inside / (area(one) + area(other) - inside))


def area(corners: np.ndarray) -> np.ndarray:
    """Of boxes (4, ...)."""
    return np.asarray((corners[3] - corners[1]) * (corners[2] - corners[0]))
