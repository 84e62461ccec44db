"""RoIAlign: what PyTorch's and MindSpore's operators give, a slow one written out, and gradients."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.models.roi_align import RULES, RoIAlign

GOLDEN = np.load(Path(__file__).parent / "data" / "roi_align_golden.npz")
"""Maps (2, 4, 16, 24) at 1/16 of the pixels, boxes (clip, corners) and what they hold (boxes, 4, 7, 7): ``exact`` and
``unaligned`` by torchvision's kernel, ``port`` by MindSpore's operator."""
RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _eager(_pynative: None) -> None:
    """Everything here is small."""


def aligned(x: np.ndarray, boxes: np.ndarray, rule: str, bins: int = 7, scale: float = 1 / 16) -> np.ndarray:
    """(N, M, C, bins, bins)."""
    found = RoIAlign(bins, scale, rule)(Tensor(x), Tensor(boxes.astype(np.float32)))
    return found.asnumpy().transpose(0, 1, 4, 2, 3)


def of_golden(rule: str) -> np.ndarray:
    """All golden boxes on both maps, each from its own: (boxes, C, 7, 7)."""
    clips, corners = GOLDEN["boxes"][:, 0].astype(int), GOLDEN["boxes"][:, 1:]
    found = aligned(GOLDEN["features"], np.stack([corners, corners]), rule)
    return found[clips, np.arange(len(clips))]


def value(plane: np.ndarray, y: float, x: float) -> float:
    """One bilinear sample, as the kernels of Detectron's family take it."""
    (h, w) = plane.shape
    if y < -1 or y > h or x < -1 or x > w:
        return 0.0
    y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
    (top, left), (fy, fx) = (int(y), int(x)), (y % 1, x % 1)
    below, right = min(top + 1, h - 1), min(left + 1, w - 1)
    upper = plane[top, left] * (1 - fx) + plane[top, right] * fx
    lower = plane[below, left] * (1 - fx) + plane[below, right] * fx
    return float(upper * (1 - fy) + lower * fy)


def by_hand(plane: np.ndarray, box: np.ndarray, bins: int, scale: float) -> np.ndarray:
    """Rule ``exact``, sample by sample."""
    x1, y1, x2, y2 = box * scale - 0.5
    rows, columns = (max(int(np.ceil(length / bins)), 0) for length in (y2 - y1, x2 - x1))
    found = np.zeros((bins, bins))
    for p, q in np.ndindex(bins, bins):
        for i, j in np.ndindex(rows, columns):
            y = y1 + (p + (i + 0.5) / rows) * (y2 - y1) / bins
            x = x1 + (q + (j + 0.5) / columns) * (x2 - x1) / bins
            found[p, q] += value(plane, y, x) / (rows * columns)
    return found


@pytest.mark.parametrize("rule", RULES)
def test_what_the_operators_of_others_give(rule: str) -> None:
    np.testing.assert_allclose(of_golden(rule), GOLDEN[rule], atol=1e-6)


def test_the_ports_rule_reads_other_places() -> None:
    """What the largest value of a box differs by; the last one is a padded box."""
    largest = {rule: of_golden(rule)[:-1].max(axis=(2, 3)) for rule in RULES}
    assert np.abs(largest["port"] - largest["exact"]).mean() == pytest.approx(0.26, abs=0.01)


def test_boxes_of_any_size_within_and_beyond_the_map() -> None:
    x = RNG.standard_normal((1, 1, 9, 13)).astype(np.float32)
    # The map has 104 x 72 pixels.
    boxes = np.sort(RNG.uniform((-10, -10), (114, 82), (40, 2, 2)), axis=1).reshape(1, 40, 4)
    boxes[0, :3] = [[0, 0, 104, 72], [20, 20, 20.5, 20.5], [50, 40, 30, 10]]  # whole, within a cell, turned round
    found = aligned(x, boxes, "exact", 3, 1 / 8)[0, :, 0]
    expected = np.array([by_hand(x[0, 0], box, 3, 1 / 8) for box in boxes[0]])
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(expected).max() > 0.3
    assert not found[2].any()


def test_a_box_far_beyond_the_map_gets_no_more_samples() -> None:
    x = np.ones((1, 1, 7, 7), np.float32)
    found = aligned(x, np.array([[[-1e6, -1e6, 1e6, 1e6], [0, 0, 112, 112]]]), "exact")
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0, 1], 1, rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_boxes_do_not_know_of_each_other(rule: str) -> None:
    x = RNG.standard_normal((2, 3, 6, 8)).astype(np.float32)
    boxes = np.sort(RNG.uniform(0, 96, (2, 5, 2, 2)), axis=2).reshape(2, 5, 4)
    whole = aligned(x, boxes, rule)
    order = [3, 0, 4, 2, 1]
    np.testing.assert_array_equal(aligned(x, boxes[:, order], rule), whole[:, order])
    np.testing.assert_allclose(aligned(x[1:], boxes[1:, :2], rule), whole[1:, :2], atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_a_padded_box_has_finite_numbers(rule: str) -> None:
    x = RNG.standard_normal((1, 2, 4, 4)).astype(np.float32)
    found = aligned(x, np.zeros((1, 1, 4)), rule)
    assert np.isfinite(found).all()
    if rule == "exact":
        assert not found.any()


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_gradients(mode: int) -> None:
    """The bins are a linear function of the map, so that whole differences are derivatives."""
    ms.set_context(mode=mode)
    layer = RoIAlign(3, 0.25)
    x = RNG.standard_normal((2, 2, 4, 5)).astype(np.float32)
    boxes = np.sort(RNG.uniform(0, 18, (2, 3, 2, 2)), axis=2).reshape(2, 3, 4).astype(np.float32)
    boxes[1, 1:] = 0
    wanted = RNG.standard_normal((2, 3, 3, 3, 2)).astype(np.float32)

    class Weighted(nn.Cell):
        def construct(self, x: Tensor, boxes: Tensor) -> Tensor:
            return (layer(x, boxes) * Tensor(wanted)).sum()

    cell = Weighted()
    of_x, of_boxes = ms.grad(cell, (0, 1))(Tensor(x), Tensor(boxes))
    assert not of_boxes.asnumpy().any()
    here, found = float(cell(Tensor(x), Tensor(boxes)).asnumpy()), of_x.asnumpy()
    assert np.abs(found[0]).max() > 0.1
    for place in [(0, 0, 0, 0), (0, 1, 2, 3), (1, 0, 3, 4), (1, 1, 1, 1)]:
        other = x.copy()
        other[place] += 1
        assert float(cell(Tensor(other), Tensor(boxes)).asnumpy()) - here == pytest.approx(found[place], abs=1e-4)
    ms.set_context(mode=ms.PYNATIVE_MODE)


def test_another_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="roi 'aligned': expected one of exact, unaligned, port"):
        RoIAlign(7, 1 / 16, "aligned")
