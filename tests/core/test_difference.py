"""The one measure of how far two arrays are apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from actionbook.core.difference import difference

VALUES = arrays.arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e3, 1e3, width=32))


@settings(max_examples=60)
@given(expected=VALUES, seed=st.integers(0, 99))
def test_the_greatest_difference_in_standard_deviations(expected: np.ndarray, seed: int) -> None:
    found = expected + np.random.default_rng(seed).normal(size=expected.shape)
    greatest, relative = difference(found, expected)
    assert greatest == max(abs(float(a) - float(b)) for a, b in zip(found, expected, strict=True))
    mean = math.fsum(expected) / len(expected)
    spread = math.sqrt(math.fsum((x - mean) ** 2 for x in expected) / len(expected))
    if spread > 1e-9:
        assert relative == pytest.approx(greatest / spread, rel=1e-6)


def test_equal_arrays_are_not_apart() -> None:
    array = np.arange(6, dtype=np.float32)
    assert difference(array, array.copy()) == (0, 0)
    assert difference(array.reshape(2, 3), array.reshape(3, 2)) == (0, 0)


def test_where_all_expected_values_are_the_same_it_is_absolute() -> None:
    assert difference(np.array([2.0, 2.5]), np.array([2.0, 2.0])) == (0.5, 0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["found", "expected", "both"])
@pytest.mark.filterwarnings("error")
def test_values_that_are_not_finite_are_infinitely_far(value: float, where: str) -> None:
    found, expected = np.array([1.0, 2.0], np.float32), np.array([1.0, 2.0], np.float32)
    if where in ("found", "both"):
        found[1] = value
    if where in ("expected", "both"):
        expected[1] = value
    assert difference(found, expected) == (np.inf, np.inf)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 2)), ((0,), (0,)), ((1,), (0,))])
def test_other_numbers_of_values(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    assert difference(np.ones(shapes[0]), np.ones(shapes[1])) == (np.inf, np.inf)
