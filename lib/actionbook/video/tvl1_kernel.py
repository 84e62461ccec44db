"""The inner loop of TV-L1 optical flow, compiled by Numba: one thread, float32, rows in the order that caches like.

Notation of Zach, Pock and Bischof (DAGM 2007): flow (u, v), residual rho, dual variables p of each flow component.
An iteration first moves the flow to where the linearised images and the dual variables want it (the paper's
thresholding step and its equation for u), then the dual variables along the gradient of the new flow. The two passes
alternate row by row: the flow of row y + 1 needs the old dual variables of rows y and y + 1, the dual variables of row
y need the new flow of rows y and y + 1. So every row is still in the cache when it is used again.

Each sum is rounded in the order in which OpenCV rounds it, since where an image pair has no good flow the iterations
do not settle, and a difference in the last bit grows to pixels.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from actionbook.video.compiled import Array, compiled, inlined

_EPSILON = np.finfo(np.float32).eps


@inlined
def _pull(residual: np.float32, squared: np.float32, reach: np.float32) -> np.float32:
    """How far a pixel's flow goes along its slope: to where the residual is zero, but no further than `reach`."""
    limit = reach * squared
    step = -residual / squared if squared > _EPSILON else np.float32(0)
    step = -reach if residual > limit else step
    return reach if residual < -limit else step


@compiled
def _flow_row(  # noqa: PLR0917 (each array apart: those in one would count as overlapping)
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
) -> None:
    """One row of flow, in place; `change` gets its squared changes. The divergence of p is by backward differences."""
    for x in range(1, u.size):
        old_u, old_v = u[x], v[x]
        step = _pull(constant[x] + (slope_x[x] * old_u + slope_y[x] * old_v), squared[x], reach)
        u[x] = (old_u + step * slope_x[x]) + theta * ((pu_x[x] - pu_x[x - 1]) + (pu_y[x] - pu_y_above[x]))
        v[x] = (old_v + step * slope_y[x]) + theta * ((pv_x[x] - pv_x[x - 1]) + (pv_y[x] - pv_y_above[x]))
        change[x] = (u[x] - old_u) * (u[x] - old_u) + (v[x] - old_v) * (v[x] - old_v)
    # Column 0 has nothing to its left.
    old_u, old_v = u[0], v[0]
    step = _pull(constant[0] + (slope_x[0] * old_u + slope_y[0] * old_v), squared[0], reach)
    u[0] = (old_u + step * slope_x[0]) + theta * ((pu_x[0] + pu_y[0]) - pu_y_above[0])
    v[0] = (old_v + step * slope_y[0]) + theta * ((pv_x[0] + pv_y[0]) - pv_y_above[0])
    change[0] = (u[0] - old_u) * (u[0] - old_u) + (v[0] - old_v) * (v[0] - old_v)


@compiled
def _dual_row(w: Array, w_below: Array, p_x: Array, p_y: Array, step: np.float32) -> None:
    """One row of the dual variables of the flow component `w`, in place, by forward differences of `w`."""
    one, last = np.float32(1), w.size - 1
    for x in range(last):
        d_x, d_y = w[x + 1] - w[x], w_below[x] - w[x]
        # In double precision, as hypot rounds.
        length = np.float32(np.sqrt(np.float64(d_x) * np.float64(d_x) + np.float64(d_y) * np.float64(d_y)))
        p_x[x] = (p_x[x] + step * d_x) / (one + step * length)
        p_y[x] = (p_y[x] + step * d_y) / (one + step * length)
    # No difference leads out of the image: the last column of p_x stays zero, as does the last row of p_y.
    d_y = w_below[last] - w[last]
    p_y[last] = (p_y[last] + step * d_y) / (one + step * abs(d_y))


@partial(compiled, fastmath={"reassoc", "nsz"})
def _sum(row: Array) -> np.float32:
    """The sum of a row in whatever order is fast."""
    total = np.float32(0)
    for x in range(row.size):
        total += row[x]
    return total


@compiled
def _sum_in_order(rows: Array) -> np.float32:
    """The sum of an array as OpenCV rounds it: one number after the other."""
    total = np.float32(0)
    for y in range(rows.shape[0]):
        for x in range(rows.shape[1]):
            total += rows[y, x]
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
    last = u.shape[0] - 1
    # How far the two orders of summing can be apart, relative to the sum.
    doubt = np.float32(u.size) * _EPSILON
    for _ in range(count):
        total = np.float32(0)
        for y in range(last + 1):
            _flow_row(
                u[y],
                v[y],
                slope_x[y],
                slope_y[y],
                squared[y],
                constant[y],
                pu_x[y],
                pu_y[y + 1],
                pu_y[y],
                pv_x[y],
                pv_y[y + 1],
                pv_y[y],
                reach,
                theta,
                change[y],
            )
            total += _sum(change[y])
            if y > 0:
                _dual_row(u[y - 1], u[y], pu_x[y - 1], pu_y[y], step)
                _dual_row(v[y - 1], v[y], pv_x[y - 1], pv_y[y], step)
        _dual_row(u[last], u[last], pu_x[last], pu_y[last + 1], step)
        _dual_row(v[last], v[last], pv_x[last], pv_y[last + 1], step)
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
