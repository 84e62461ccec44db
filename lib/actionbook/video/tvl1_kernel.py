"""The inner loop of TV-L1 optical flow, compiled by Numba: one thread, float32, rows in the order that caches like.

Notation of Zach, Pock and Bischof (DAGM 2007): flow (u, v), residual rho, dual variables p of each flow component.
An iteration first moves the flow to where the linearised images and the dual variables want it (the paper's
thresholding step and its equation for u), then the dual variables along the gradient of the new flow. The two passes
alternate by blocks of rows: the flow of row y + 1 needs the old dual variables of rows y and y + 1, the dual variables
of row y need the new flow of rows y and y + 1. So every row is still in the cache when it is used again. A block is one
run of pixels to the loops, since the few pixels that are left after the last full vector are slow: what that gets wrong
at the left or right edge is put right after it.

Each sum is rounded in the order in which OpenCV rounds it, since where an image pair has no good flow the iterations
do not settle, and a difference in the last bit grows to pixels.

That takes five divisions and two roots a pixel and iteration. They, and the arithmetic beside them, are what limits
Intel's processors: by LLVM's model of Ice Lake the division unit and all three vector ports are busy in 32 of 32 cycles
for 16 pixels of the dual variables, and vectors of 512 bits divide no faster there, while they do on AMD's Zen 5 (1.1
nanoseconds a pixel and iteration; 1.6 with the vectors of 256 bits that are compiled for Intel).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba.extending import intrinsic

from actionbook.video.compiled import Array, compiled, inlined

_EPSILON = np.finfo(np.float32).eps
_BLOCK = 5000
"""Pixels in a block of rows: of all arrays a quarter of a megabyte, which the second cache of a core holds."""
_ULP = np.float32(2**-24 + 2**-40)
"""Times a float32, more than half of the step to the next one and less than one and a half."""
_SHORT, _SHORTEST = np.float32(2**-36), np.float32(2**-60)
"""What the longer and the shorter side of a gradient count as at least: numbers near underflow are slow."""
_DOUBT = np.float32(2**-20)
"""How near to the middle between two float32 a length is in doubt, relative to half their distance."""
_LARGEST_STEP = np.float32(1000)
"""Of the dual variables, for which 1 + step * length is still 1 if the length is `_SHORT`."""


def _typed_fma(_: Any, a: Any, b: Any, c: Any) -> Any:
    return a(a, b, c), lambda _context, builder, _signature, arguments: builder.fma(*arguments)


_fma: Any = intrinsic(_typed_fma)
"""a * b + c, rounded once."""


@inlined
def _pull(residual: np.float32, squared: np.float32, reach: np.float32) -> np.float32:
    """How far a pixel's flow goes along its slope: to where the residual is zero, but no further than `reach`."""
    limit = reach * squared
    step = -residual / squared if squared > _EPSILON else np.float32(0)
    step = -reach if residual > limit else step
    return reach if residual < -limit else step


@compiled
def _flow_rows(  # noqa: PLR0917 (each array apart: those in one would count as overlapping)
    u: Array,
    v: Array,
    slope_x: Array,
    slope_y: Array,
    squared: Array,
    constant: Array,
    pu_x: Array,
    pu_y: Array,
    pu_y_above: Array,
    pv_x: Array,
    pv_y: Array,
    pv_y_above: Array,
    reach: np.float32,
    theta: np.float32,
    change: Array,
    first_u: Array,
    first_v: Array,
) -> None:
    """Rows of flow, in place; `change` gets its squared changes. The divergence of p is by backward differences.

    All arrays are rows in one run, but `first_u` and `first_v`, one number a row, which are overwritten.
    """
    width = u.size // first_u.size
    for row in range(first_u.size):
        first_u[row], first_v[row] = u[row * width], v[row * width]
    for x in range(1, u.size):
        old_u, old_v = u[x], v[x]
        step = _pull(constant[x] + (slope_x[x] * old_u + slope_y[x] * old_v), squared[x], reach)
        u[x] = (old_u + step * slope_x[x]) + theta * ((pu_x[x] - pu_x[x - 1]) + (pu_y[x] - pu_y_above[x]))
        v[x] = (old_v + step * slope_y[x]) + theta * ((pv_x[x] - pv_x[x - 1]) + (pv_y[x] - pv_y_above[x]))
        change[x] = (u[x] - old_u) * (u[x] - old_u) + (v[x] - old_v) * (v[x] - old_v)
    # Column 0 has nothing to its left.
    for row in range(first_u.size):
        x, old_u, old_v = row * width, first_u[row], first_v[row]
        step = _pull(constant[x] + (slope_x[x] * old_u + slope_y[x] * old_v), squared[x], reach)
        u[x] = (old_u + step * slope_x[x]) + theta * ((pu_x[x] + pu_y[x]) - pu_y_above[x])
        v[x] = (old_v + step * slope_y[x]) + theta * ((pv_x[x] + pv_y[x]) - pv_y_above[x])
        change[x] = (u[x] - old_u) * (u[x] - old_u) + (v[x] - old_v) * (v[x] - old_v)


@inlined
def _length(d_x: np.float32, d_y: np.float32) -> tuple[np.float32, bool]:
    """The length of (d_x, d_y), and whether it is surely what the double-precision length would be rounded to.

    In single precision, since square roots in double precision take up to four times as long. The root of the rounded
    sum of squares is right or next to what is right. The excess of the sum over the square of that root, computed to 45
    bits or so, tells: the middle to the next number is at an excess of the root times the step to that number. Only so
    near to the middle that the roundings in double precision would matter is the length in doubt.
    """
    a, b = abs(d_x), abs(d_y)
    longer, shorter = b if b > a else a, a if b > a else b
    longer = _SHORT if longer < _SHORT else longer
    shorter = _SHORTEST if shorter < _SHORTEST else shorter
    most = longer * longer
    total = _fma(shorter, shorter, most)
    rest = _fma(shorter, shorter, most - total) + _fma(longer, longer, -most)
    root = np.sqrt(total)
    excess = _fma(-root, root, total) + rest
    # The step up. Down from a power of two it would be half of that, but such a root is never too large.
    step = _fma(root, _ULP, root) - root
    over = abs(excess) - step * root
    length = root + np.copysign(step, excess) if over > np.float32(0) else root
    return length, abs(over) > _DOUBT * (step * root)  # not true of NaN


@compiled
def _dual_rows(  # noqa: PLR0917
    w: Array, w_below: Array, p_x: Array, p_y: Array, step: np.float32, width: int, old_x: Array, old_y: Array
) -> None:
    """Rows of the dual variables of the flow component `w`, in place, by forward differences of `w`.

    `old_x` and `old_y`, no smaller than the rows, are overwritten.
    """
    one, last = np.float32(1), w.size - 1
    old_y[last] = p_y[last]
    sure = step <= _LARGEST_STEP
    for x in range(last):
        d_x, d_y = w[x + 1] - w[x], w_below[x] - w[x]
        length, certain = _length(d_x, d_y)
        sure &= certain
        old_x[x], old_y[x] = p_x[x], p_y[x]
        p_x[x] = (p_x[x] + step * d_x) / (one + step * length)
        p_y[x] = (p_y[x] + step * d_y) / (one + step * length)
    if not sure:  # one block in some hundreds
        for x in range(last):
            d_x, d_y = w[x + 1] - w[x], w_below[x] - w[x]
            # In double precision, as hypot rounds.
            length = np.float32(np.sqrt(np.float64(d_x) * np.float64(d_x) + np.float64(d_y) * np.float64(d_y)))
            p_x[x] = (old_x[x] + step * d_x) / (one + step * length)
            p_y[x] = (old_y[x] + step * d_y) / (one + step * length)
    # No difference leads out of the image: the last column of p_x stays zero, as does the last row of p_y.
    for x in range(width - 1, w.size, width):
        d_y = w_below[x] - w[x]
        p_x[x], p_y[x] = np.float32(0), (old_y[x] + step * d_y) / (one + step * abs(d_y))


@partial(compiled, fastmath={"reassoc", "nsz"})
def _sum(row: Array) -> np.float32:
    """The sum of a row in whatever order is fast."""
    total = np.float32(0)
    for x in range(row.size):
        total += row[x]
    return total


@compiled
def _sum_in_order(row: Array) -> np.float32:
    """The same as OpenCV rounds it: one number after the other."""
    total = np.float32(0)
    for x in range(row.size):
        total += row[x]
    return total


@compiled
def iterate(  # noqa: PLR0917
    u: Array,
    v: Array,
    slope_x: Array,
    slope_y: Array,
    squared: Array,
    constant: Array,
    pu_x: Array,
    pu_y: Array,
    pv_x: Array,
    pv_y: Array,
    change: Array,
    reach: np.float32,
    theta: np.float32,
    step: np.float32,
    enough: np.float32,
    count: int,
) -> bool:
    """At most `count` iterations, in place, until the sum of squared changes of the flow is no more than `enough`.

    All arrays are (H, W) except pu_y and pv_y: (H + 1, W), with zeros in row 0. `change` is overwritten. Returns
    whether the changes are that small.
    """
    height, width = u.shape
    rows = min(max(_BLOCK // width, 1), height)
    old_x, old_y = np.empty(rows * width, np.float32), np.empty(rows * width, np.float32)
    first_u, first_v = np.empty(rows, np.float32), np.empty(rows, np.float32)
    # How far the two orders of summing can be apart, relative to the sum.
    doubt = np.float32(u.size) * _EPSILON
    u, v, slope_x, slope_y = u.reshape(-1), v.reshape(-1), slope_x.reshape(-1), slope_y.reshape(-1)
    squared, constant = squared.reshape(-1), constant.reshape(-1)
    pu_x, pu_y, pv_x, pv_y = pu_x.reshape(-1), pu_y.reshape(-1), pv_x.reshape(-1), pv_y.reshape(-1)
    change = change.reshape(-1)
    for _ in range(count):
        total = np.float32(0)
        done = 0
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            start, stop = top * width, bottom * width
            _flow_rows(
                u[start:stop],
                v[start:stop],
                slope_x[start:stop],
                slope_y[start:stop],
                squared[start:stop],
                constant[start:stop],
                pu_x[start:stop],
                pu_y[start + width : stop + width],
                pu_y[start:stop],
                pv_x[start:stop],
                pv_y[start + width : stop + width],
                pv_y[start:stop],
                reach,
                theta,
                change[start:stop],
                first_u[: bottom - top],
                first_v[: bottom - top],
            )
            total += _sum(change[start:stop])
            # The dual variables of all rows that have a row with new flow below them.
            ready = stop - width
            if ready > done:
                for w, p_x, p_y in ((u, pu_x, pu_y), (v, pv_x, pv_y)):
                    _dual_rows(
                        w[done:ready],
                        w[done + width : stop],
                        p_x[done:ready],
                        p_y[done + width : stop],
                        step,
                        width,
                        old_x,
                        old_y,
                    )
                done = ready
        for w, p_x, p_y in ((u, pu_x, pu_y), (v, pv_x, pv_y)):
            _dual_rows(w[done:], w[done:], p_x[done:], p_y[done + width :], step, width, old_x, old_y)
        if abs(total - enough) <= doubt * enough:
            total = _sum_in_order(change)
        if not total > enough:
            return True
    return False


@compiled
def places(u: Array, v: Array, to_x: Array, to_y: Array) -> None:
    """Fill (H, W) `to_x` and `to_y` with where the flow (u, v) leads from every pixel."""
    for y in range(u.shape[0]):
        for x in range(u.shape[1]):
            to_x[y, x] = np.float32(x) + u[y, x]
            to_y[y, x] = np.float32(y) + v[y, x]


@compiled
def linearise(target: Array, warped: Array, u: Array, v: Array, planes: Array) -> None:
    """The second image and its slopes as warped to the flow (u, v), (H, W, 3), made ready for `iterate`.

    `planes`, (4, H, W), gets the slopes to the right and down, their squared length, and the part of the residual
    against `target` that the flow does not change.
    """
    for y in range(u.shape[0]):
        for x in range(u.shape[1]):
            slope_x, slope_y = warped[y, x, 1], warped[y, x, 2]
            planes[0, y, x] = slope_x
            planes[1, y, x] = slope_y
            planes[2, y, x] = slope_x * slope_x + slope_y * slope_y
            planes[3, y, x] = ((warped[y, x, 0] - slope_x * u[y, x]) - slope_y * v[y, x]) - target[y, x]
