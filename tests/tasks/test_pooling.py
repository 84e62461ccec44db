"""From clips to videos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from actionbook.tasks.pooling import pool_clips, sigmoid, softmax

# Three weak votes for class 0 against one very sure of class 1: the two ways of pooling disagree.
LOGITS = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 9.0]], np.float32)


def test_softmax_by_hand() -> None:
    np.testing.assert_allclose(softmax(np.log([[1.0, 2.0, 5.0]])), [[0.125, 0.25, 0.625]])
    np.testing.assert_allclose(softmax(np.zeros((2, 4), np.float32)), np.full((2, 4), 0.25))
    np.testing.assert_allclose(softmax(np.log([[[1.0, 3.0], [1.0, 1.0]]])), [[[0.25, 0.75], [0.5, 0.5]]])


@given(arrays(np.float32, (3, 5), elements=st.floats(-1e4, 1e4, width=32)))
def test_softmax_gives_probabilities_however_large_the_logits(logits: np.ndarray) -> None:
    found = softmax(logits)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found, softmax(logits.astype(np.float64) + 3), atol=1e-12)


def test_videos_stand_in_order_of_first_appearance() -> None:
    scores = pool_clips(["z", "a", "z", "m"], np.arange(8, dtype=np.float32).reshape(4, 2), "logit_mean")
    assert scores.index.tolist() == ["z", "a", "m"]
    assert scores.to_numpy().tolist() == [[2, 3], [2, 3], [6, 7]]
    assert scores.columns.tolist() == [0, 1]


def test_the_two_ways_of_pooling_differ() -> None:
    soft, plain = (pool_clips(["v"] * 4, LOGITS, how) for how in ("softmax_mean", "logit_mean"))
    assert plain.to_numpy().tolist() == [[0.75, 2.25]]
    sure = 1 / (1 + np.exp(-1))
    expected = (3 * sure + 1 / (1 + np.exp(9))) / 4
    np.testing.assert_allclose(soft.to_numpy(), [[expected, 1 - expected]])
    assert soft.to_numpy().argmax() != plain.to_numpy().argmax()
    np.testing.assert_array_equal(pool_clips(["v"] * 4, LOGITS).to_numpy(), soft.to_numpy())  # the default


def test_names_that_look_like_numbers_stay_names() -> None:
    scores = pool_clips(["10", "9", "10"], np.zeros((3, 2), np.float32))
    assert scores.index.tolist() == ["10", "9"]


def test_names_and_rows_must_match() -> None:
    with pytest.raises(ValueError, match="3 clip names for 4 rows"):
        pool_clips(["v"] * 3, LOGITS)


def test_sigmoid_does_not_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        found = sigmoid(np.array([[-1e4, -3.0, 0.0, 3.0, 1e4]], np.float32))
    assert found.dtype == np.float64
    assert found.tolist() == [pytest.approx([0.0, 1 / (1 + np.exp(3)), 0.5, 1 / (1 + np.exp(-3)), 1.0])]
