"""The arithmetic of the compiled kernel: the same bits as the formulas written plainly, whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from actionbook.video.tvl1_kernel import _dual_rows, _length, iterate

STEP = np.float32(0.25 / 0.3)
F = np.float32


@njit
def lengths(d_x: np.ndarray, d_y: np.ndarray, found: np.ndarray, sure: np.ndarray) -> None:
    for i in range(d_x.size):
        found[i], sure[i] = _length(d_x[i], d_y[i])


def exact(d_x: np.ndarray, d_y: np.ndarray) -> np.ndarray:
    """As OpenCV rounds it."""
    with np.errstate(over="ignore"):
        return np.sqrt(d_x.astype(np.float64) ** 2 + d_y.astype(np.float64) ** 2).astype(np.float32)


def check(d_x: np.ndarray, d_y: np.ndarray) -> np.ndarray:
    """Which lengths are sure; all of these must be right, or both so short that they change nothing."""
    d_x, d_y = (np.ascontiguousarray(d, np.float32) for d in np.broadcast_arrays(d_x, d_y))
    found, sure = np.empty(d_x.size, np.float32), np.empty(d_x.size, np.bool_)
    lengths(d_x.ravel(), d_y.ravel(), found, sure)
    right = exact(d_x.ravel(), d_y.ravel())
    short = (found <= F(2**-35)) & (right <= F(2**-35))
    assert ((found == right) | short)[sure].all()
    return sure


def test_lengths_of_any_numbers() -> None:
    rng = np.random.default_rng(0)
    count = 4_000_000
    for spread in (0, 2, 14, 60):
        d_x, d_y = (rng.uniform(-2, 2, count) * 2.0 ** rng.integers(-spread, spread + 1, count) for _ in range(2))
        assert check(d_x, d_y).mean() > 0.99999


def test_lengths_next_to_powers_of_two() -> None:
    """From where the step up is twice the step down."""
    rng = np.random.default_rng(1)
    for power in (2.0**-7, 1.0, 2.0):
        d_x = rng.uniform(0.5**0.5, 1, 1_000_000).astype(np.float32)
        d_y = np.sqrt(1 - d_x.astype(np.float64) ** 2)
        for off in range(-4, 5):
            check(d_x * power, (d_y * (1 + off * 2.0**-24)) * power)


def test_lengths_in_the_middle_between_two_numbers_are_in_doubt() -> None:
    """Of Pythagorean triples whose hypotenuse has 25 bits: the last one decides, to even."""
    m, n = (a.ravel() for a in np.meshgrid(np.arange(4096, 5700), np.arange(1, 4096, 7)))
    d_x, d_y, hypotenuse = m * m - n * n, 2 * m * n, m * m + n * n
    fits = (hypotenuse > 2**24) & (hypotenuse < 2**25) & (hypotenuse % 2 == 1)
    fits &= (d_x.astype(np.float32) == d_x) & (d_y.astype(np.float32) == d_y)
    assert fits.sum() > 1000
    assert not check(d_x[fits], d_y[fits]).any()
    for off in (2**-23, -(2**-23)):  # nor may what is next to the middle be wrong
        check(d_x[fits] * (1 + off), d_y[fits])


def test_lengths_of_odd_numbers() -> None:
    few = np.array([0, -0.0, 1e-45, -1e-40, 1e-38, 1e-30, 2**-60, 2**-37, 2**-36, 2**-35, 1e-9, 1, -3, 1e9, 1e18])
    assert check(few[:, None], few).all()
    huge = np.array([1e20, 3e38, np.inf, -np.inf, np.nan])
    assert not check(huge[:, None], np.concatenate([few, huge])).any()
    assert not check(few[:, None], huge).any()


def dual(w: np.ndarray, below: np.ndarray, p_x: np.ndarray, p_y: np.ndarray, step: np.float32) -> None:
    """The dual variables of all rows, in place."""
    d_x, d_y = np.zeros_like(w), below - w
    d_x[:, :-1] = w[:, 1:] - w[:, :-1]
    divisor = F(1) + step * exact(d_x, d_y)
    p_x[:, :-1] = ((p_x + step * d_x) / divisor)[:, :-1]
    p_y[:] = (p_y + step * d_y) / divisor


@pytest.mark.parametrize("step", [STEP, F(0.1), F(900), F(1e9)])
@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (1, 340), (7, 33), (14, 340)])
def test_dual_variables(shape: tuple[int, int], step: np.float32) -> None:
    rng = np.random.default_rng(2)
    for scale in (1.0, 1e-3, 1e-9, 1e-20, 1e-42):
        rows = (rng.normal(0, scale, (shape[0] + 1, shape[1]))).astype(np.float32)
        if scale == 1.0:  # one length in the middle between two numbers: 5 * 3355445 is odd and has 25 bits
            rows[0, :2], rows[1, 0] = (0, 3 * 3355445), 4 * 3355445
        p_x, p_y = (rng.uniform(-1, 1, shape).astype(np.float32) for _ in range(2))
        p_x[:, -1] = 0
        expected_x, expected_y = p_x.copy(), p_y.copy()
        dual(rows[:-1], rows[1:], expected_x, expected_y, step)
        spare = np.full((2, p_x.size), np.nan, np.float32)
        flat = rows.ravel()
        _dual_rows(flat[: p_x.size], flat[shape[1] :], p_x.ravel(), p_y.ravel(), step, shape[1], *spare)
        np.testing.assert_array_equal(p_x.view(np.int32), expected_x.view(np.int32))
        np.testing.assert_array_equal(p_y.view(np.int32), expected_y.view(np.int32))


def divergence(p_x: np.ndarray, p_y: np.ndarray) -> np.ndarray:
    found = np.empty_like(p_x)
    found[:, 1:] = (p_x[:, 1:] - p_x[:, :-1]) + (p_y[1:, 1:] - p_y[:-1, 1:])
    found[:, 0] = (p_x[:, 0] + p_y[1:, 0]) - p_y[:-1, 0]
    return found


@pytest.mark.parametrize("shape", [(3, 3), (40, 300), (33, 300), (32, 300), (21, 243), (3, 6000), (100, 20)])
def test_iterations_of_blocks_are_those_of_the_whole_image(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    u, v, slope_x, slope_y, constant = (rng.normal(0, s, shape).astype(np.float32) for s in (1, 1, 9, 9, 5))
    slope_x[0], slope_y[0] = 0, 0
    squared = slope_x * slope_x + slope_y * slope_y
    height, width = shape
    duals = [np.zeros(size, np.float32) for size in ((height, width), (height + 1, width)) * 2]
    reach, theta = F(0.045), F(0.3)
    arrays = [u, v, *duals]
    expected_u, expected_v, pu_x, pu_y, pv_x, pv_y = expected = [array.copy() for array in arrays]
    count = 4
    for _ in range(count):
        residual = constant + (slope_x * expected_u + slope_y * expected_v)
        pull = np.zeros(shape, np.float32)
        np.divide(-residual, squared, out=pull, where=squared > np.finfo(np.float32).eps)
        pull[residual > reach * squared] = -reach
        pull[residual < -(reach * squared)] = reach
        expected_u[:] = (expected_u + pull * slope_x) + theta * divergence(pu_x, pu_y)
        expected_v[:] = (expected_v + pull * slope_y) + theta * divergence(pv_x, pv_y)
        for w, p_x, p_y in ((expected_u, pu_x, pu_y), (expected_v, pv_x, pv_y)):
            dual(w, np.concatenate([w[1:], w[-1:]]), p_x, p_y[1:], STEP)
    change = np.empty(shape, np.float32)
    assert not iterate(u, v, slope_x, slope_y, squared, constant, *duals, change, reach, theta, STEP, F(0), count)
    for array, right in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, right)
