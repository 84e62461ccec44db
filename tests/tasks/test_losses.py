"""Losses as the training computes them, against NumPy."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.tasks import Classification, Detection

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def graph_mode() -> None:
    ms.set_context(mode=ms.GRAPH_MODE, device_target="CPU")


def detection(logits: np.ndarray, targets: np.ndarray, mask: np.ndarray) -> float:
    arrays = (logits, targets, mask)
    return float(Detection().loss()(*(Tensor(a.astype(np.float32)) for a in arrays)).asnumpy())


def test_detection_is_the_mean_binary_cross_entropy_of_the_real_boxes() -> None:
    logits, targets = RNG.normal(size=(3, 4, 5)) * 3, RNG.integers(0, 2, (3, 4, 5))
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    share = 1 / (1 + np.exp(-logits))
    each = -(targets * np.log(share) + (1 - targets) * np.log(1 - share))
    assert detection(logits, targets, mask) == pytest.approx(each[mask == 1].mean(), rel=1e-5)
    # What fills up has no influence, however it is.
    logits[mask == 0], targets[mask == 0] = 1e6, 0
    assert detection(logits, targets, mask) == pytest.approx(each[mask == 1].mean(), rel=1e-5)


def test_detection_without_a_box_and_with_logits_that_would_overflow() -> None:
    zeros = np.zeros((2, 3, 4))
    assert detection(zeros, zeros, np.zeros((2, 3))) == 0
    sure = np.full((1, 1, 2), 1e4)
    assert detection(sure, np.ones((1, 1, 2)), np.ones((1, 1))) == 0
    assert detection(-sure, np.ones((1, 1, 2)), np.ones((1, 1))) == pytest.approx(1e4)


def test_classification_is_mean_cross_entropy() -> None:
    logits, targets = RNG.normal(size=(6, 4)).astype(np.float32), RNG.integers(0, 4, 6).astype(np.int32)
    loss = Classification().loss()
    assert isinstance(loss, nn.Cell)
    logs = logits - np.log(np.exp(logits.astype(np.float64)).sum(axis=1, keepdims=True))
    expected = -logs[np.arange(6), targets].mean()
    assert float(loss(Tensor(logits), Tensor(targets)).asnumpy()) == pytest.approx(expected, rel=1e-5)
