"""TV-L1 optical flow: the algorithm, stopping rule and parameters of OpenCV's DualTVL1OpticalFlow, computed faster.

The method is that of C. Zach, T. Pock and H. Bischof, "A duality based approach for realtime TV-L1 optical flow" (DAGM
2007), with the median filter and the pyramid of J. Sánchez, E. Meinhardt-Llopis and G. Facciolo, "TV-L1 Optical Flow
Estimation" (IPOL 2013), in the form that OpenCV gave it (opencv_contrib, modules/optflow/src/tvl1flow.cpp). Images are
scaled, warped and filtered by OpenCV; the iterations, nearly all of the time, are `actionbook.video.tvl1_kernel`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from actionbook.core.errors import BookError
from actionbook.video.compiled import Array
from actionbook.video.median import median5
from actionbook.video.tvl1_kernel import iterate, linearise, places

SMALLEST_LEVEL = 16
"""Pixels: a pyramid ends before the level with a side below this."""
SMALLEST_IMAGE = 3
"""Pixels of the shortest side that has differences in its middle and at both edges."""


class FlowError(BookError):
    """Images that no flow can be computed from."""


@dataclass(frozen=True)
class TvL1:
    """Parameters, with the defaults of OpenCV."""

    tau: float = 0.25
    """Step of the dual variables."""
    lambda_: float = 0.15
    """Weight of the images against the smoothness of the flow."""
    theta: float = 0.3
    """Tightness of the coupling between the two."""
    scales: int = 5
    """Levels of the pyramid, if none gets smaller than 16 pixels."""
    warps: int = 5
    """Linearisations per level."""
    epsilon: float = 0.01
    """Iterations end when the flow changes less than this: the root of the mean square, in pixels."""
    inner_iterations: int = 30
    """Iterations between two median filters."""
    outer_iterations: int = 10
    """Median filters per linearisation."""
    scale_step: float = 0.8
    """Size of a level relative to the next finer one."""
    median: int = 5
    """Side of the median filter in pixels: 3 or 5; 1 for none."""


DEFAULT = TvL1()


def tvl1(previous: np.ndarray, current: np.ndarray, settings: TvL1 = DEFAULT) -> np.ndarray:
    """Flow from `previous` to `current`, both grey uint8 (H, W), as float32 (H, W, 2) in pixels: right (x), down (y).

    What is at (x, y) in `previous` is at (x + flow[y, x, 0], y + flow[y, x, 1]) in `current`. One thread of its own;
    OpenCV's part uses as many as ``cv2.setNumThreads`` allows. Raises FlowError for other types, unequal shapes or
    sides below three pixels.
    """
    _check(previous, current)
    levels = _pyramid(previous, current, settings)
    u = v = np.zeros_like(levels[-1][0])
    u, v = _one_level(*levels[-1], u, v, settings)
    for first, second in reversed(levels[:-1]):
        u, v = (_enlarged(w, first.shape, settings.scale_step) for w in (u, v))
        u, v = _one_level(first, second, u, v, settings)
    return np.stack((u, v), axis=-1)


def opencv_tvl1(previous: np.ndarray, current: np.ndarray, settings: TvL1 = DEFAULT) -> np.ndarray:
    """The same by OpenCV's own program, as the original scripts computed it; arguments, result, errors as of `tvl1`."""
    _check(previous, current)
    # A new one each time: after a small image it would use fewer levels for a large one, too.
    program = cv2.optflow.DualTVL1OpticalFlow_create(  # type: ignore[attr-defined]
        tau=settings.tau,
        lambda_=settings.lambda_,
        theta=settings.theta,
        nscales=settings.scales,
        warps=settings.warps,
        epsilon=settings.epsilon,
        innnerIterations=settings.inner_iterations,  # spelt like this in OpenCV
        outerIterations=settings.outer_iterations,
        scaleStep=settings.scale_step,
        gamma=0.0,
        medianFiltering=settings.median,
        useInitialFlow=False,
    )
    return np.asarray(program.calc(previous, current, None), np.float32)


def compile_tvl1() -> None:
    """Compile the kernel, which takes seconds, or load it from the cache, before many processes want it at once."""
    tvl1(*np.zeros((2, SMALLEST_IMAGE, SMALLEST_IMAGE), np.uint8))


def _check(previous: np.ndarray, current: np.ndarray) -> None:
    for name, image in (("previous", previous), ("current", current)):
        if image.dtype != np.uint8 or image.ndim != 2 or min(image.shape) < SMALLEST_IMAGE:
            raise FlowError(
                f"{name} image: expected grey uint8 (H, W) of at least {SMALLEST_IMAGE}x{SMALLEST_IMAGE} pixels, "
                f"found {image.dtype} {image.shape}"
            )
    if previous.shape != current.shape:
        raise FlowError(f"flow needs two images of one size, found {previous.shape} and {current.shape}")


def _pyramid(previous: np.ndarray, current: np.ndarray, settings: TvL1) -> list[tuple[Array, Array]]:
    """Both images as float32 at every level, the full size first."""
    levels = [(previous.astype(np.float32), current.astype(np.float32))]
    step = settings.scale_step
    while len(levels) < settings.scales:
        first, second = (
            _floats(cv2.resize(image, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)) for image in levels[-1]
        )
        if min(first.shape) < SMALLEST_LEVEL:
            break
        levels.append((first, second))
    return levels


def _enlarged(w: Array, shape: tuple[int, ...], step: float) -> Array:
    """One component of the flow of a coarser level, in pixels of the next."""
    larger = cv2.resize(w, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.multiply(larger, 1 / step, dtype=np.float64).astype(np.float32)  # by a double, as cv2.multiply does


def _one_level(first: Array, second: Array, u: Array, v: Array, settings: TvL1) -> tuple[Array, Array]:
    """Improve the flow (u, v) of one level of the pyramid."""
    height, width = first.shape
    u, v = u.copy(), v.copy()
    spare_u, spare_v, to_x, to_y, change = (np.empty_like(u) for _ in range(5))
    warped, planes = np.empty((height, width, 3), np.float32), np.empty((4, height, width), np.float32)
    # The dual variables live through all warps of a level.
    duals = [np.zeros(shape, np.float32) for shape in ((height, width), (height + 1, width)) * 2]
    reach, step, enough = settings.lambda_ * settings.theta, settings.tau / settings.theta, settings.epsilon**2
    numbers = [np.float32(number) for number in (reach, settings.theta, step, enough * first.size)]
    image = np.dstack((second, *_slopes(second)))
    for _ in range(settings.warps):
        places(u, v, to_x, to_y)
        cv2.remap(image, to_x, to_y, cv2.INTER_CUBIC, dst=warped)  # black outside, as in OpenCV's program
        linearise(first, warped, u, v, planes)
        for _ in range(settings.outer_iterations):
            if settings.median > 1:
                u, spare_u = _median(u, settings.median, spare_u), u
                v, spare_v = _median(v, settings.median, spare_v), v
            if iterate(u, v, *planes, *duals, change, *numbers, settings.inner_iterations):
                break
    return u, v


def _median(image: Array, side: int, found: Array) -> Array:
    """Medians of `image`, in `found`, to which nothing else may refer."""
    if side != 5:
        return _floats(cv2.medianBlur(image, side, dst=found))
    median5(image, np.empty((5, image.shape[1] + 4), np.float32), found)
    return found


def _slopes(image: Array) -> tuple[Array, Array]:
    """Central differences to the right and down; one-sided and halved at the edges, as OpenCV takes them."""
    framed = _floats(cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_REPLICATE))
    half = np.float32(0.5)
    return half * (framed[1:-1, 2:] - framed[1:-1, :-2]), half * (framed[2:, 1:-1] - framed[:-2, 1:-1])


def _floats(image: np.ndarray) -> Array:
    """What OpenCV returns of a float32 image, whose type its annotations do not tell."""
    return image
