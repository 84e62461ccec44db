"""How far two arrays are apart: one measure, for layers, exports, formats and golden outputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Difference(NamedTuple):
    """The greatest absolute difference, and the same in standard deviations of what is expected."""

    greatest: float
    relative: float


def difference(found: np.ndarray, expected: np.ndarray) -> Difference:
    """How far `found` is from `expected`; both infinite where a value is not finite, or the numbers of values differ.

    Shapes may differ by a reshape. Where all expected values are the same, relative is absolute. float16 is compared as
    float32.
    """
    found, expected = (a.astype(np.float32) if a.dtype == np.float16 else a for a in (found, expected))
    finite = bool(np.isfinite(found).all() and np.isfinite(expected).all())
    if found.size != expected.size or not expected.size or not finite:
        return Difference(np.inf, np.inf)
    greatest = float(np.max(np.abs(found.ravel() - expected.ravel())))
    return Difference(greatest, greatest / (float(expected.std()) or 1.0))
