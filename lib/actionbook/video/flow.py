"""Optical flow of a video as stored: which algorithm, and how displacements become 8-bit pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields

import cv2
import numba
import numpy as np

from actionbook.core.sections import Flow
from actionbook.video.tvl1 import DEFAULT, opencv_tvl1, tvl1

ALGORITHMS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"tvl1": tvl1, "opencv": opencv_tvl1}
"""Functions of two grey images, uint8 (H, W), that return the flow between them, float32 (H, W, 2) in pixels."""

NO_MOTION = 128
"""The pixel of zero flow: 127.5, halves rounded to even."""


def quantise(flow: np.ndarray, bound: float) -> np.ndarray:
    """Displacements in pixels, float32 of any shape, as uint8: -bound becomes 0, zero 128, bound 255.

    round((flow + bound) * 255 / (2 * bound)), halves to even; what is beyond the bound is cut off. With the bound of
    20 that is the coding of the original scripts (convert_rgb_to_flow.py) and of most published flow data.
    """
    limit = np.float32(bound)
    # The sum in float32, as those scripts have it, the rest exactly: zero is then 127.5 whatever the bound.
    levels = (np.asarray(flow, np.float32) + limit).astype(np.float64) * 255 / (2 * float(limit))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def dequantise(pixels: np.ndarray, bound: float) -> np.ndarray:
    """Displacements in pixels, float32 from -bound to bound, of the uint8 `pixels`; 128 becomes bound / 255."""
    return (pixels.astype(np.float32) * 2 - 255) / 255 * np.float32(bound)


def clamped_share(flow: np.ndarray, bound: float) -> float:
    """Share (0..1) of the displacements, to the right and down each counted, that lie at the bound or beyond."""
    return float(np.mean(np.abs(flow) >= bound)) if flow.size else 0.0


def flow_frames(frames: Iterable[np.ndarray], settings: Flow) -> Iterator[np.ndarray]:
    """As many flow frames as `frames`, grey uint8 (H, W): each uint8 (H, W, 2), to the right (x) and down (y).

    Flow frame i leads from frame i - 1 to frame i. The first frame is compared with itself, as in the original scripts,
    and so has no motion. Raises FlowError for frames of other types or unequal sizes.
    """
    compute = ALGORITHMS[settings.algorithm]
    previous: np.ndarray | None = None
    for frame in frames:
        if previous is None:
            yield np.full((*frame.shape, 2), NO_MOTION, np.uint8)
        else:
            yield quantise(compute(previous, frame), settings.bound)
        previous = frame.copy()  # the caller may reuse its memory


def grey(frame: np.ndarray) -> np.ndarray:
    """Luma of an RGB frame, uint8 (H, W, 3) to (H, W), with the weights of ITU-R BT.601."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def algorithm_version(settings: Flow) -> str:
    """The algorithm with its parameters and the libraries that compute it, in words: stored with the flow."""
    parameters = ", ".join(f"{field.name.rstrip('_')} {getattr(DEFAULT, field.name):g}" for field in fields(DEFAULT))
    libraries = f"OpenCV {cv2.__version__}"
    if settings.algorithm == "tvl1":
        libraries += f", Numba {numba.__version__}"
    return f"{settings.algorithm}: {parameters}; {libraries}"
