"""RoIAlign as two matrix products: what a map of features says within boxes.

He et al., "Mask R-CNN" (arXiv 1703.06870), section 3. A sample between cells is bilinear, a product of a weight along
H and one along W, and so is the mean over a grid of samples. A bin is thus a weighted sum of rows, then of columns. It
trains, keeps its shapes and is exported everywhere, which MindSpore's operator with as many samples as a box needs does
not: on a CPU that gives no numbers.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from mindspore import Tensor, nn, ops


class Rule(NamedTuple):
    """How a box lies on the map, and how many samples its bins have along an axis."""

    shift: float = 0.0
    """Cells by which both ends are moved."""
    beyond: float = 0.0
    """Pixels added to the end."""
    least: float = 0.0
    """Cells that a box has at least."""
    samples: int = 0
    """0: as many as a bin has cells, rounded up."""


RULES: Final = {
    "exact": Rule(shift=-0.5),
    "unaligned": Rule(least=1.0),
    "port": Rule(beyond=1.0, samples=2),
}
"""``exact`` and ``unaligned`` are ``aligned`` and not of the authors' programs (facebookresearch/detectron2,
layers/roi_align.py), ``port`` is MindSpore's operator as SlowFast's port for Ascend sets it (mindspore-ai/models,
research/cv/slowfast: two samples, ``roi_end_mode`` 1)."""


@ops.constexpr
def _count(number: int, *shape: int) -> Tensor:
    """0, 1, ... as float32, in a shape that holds `number` values."""
    return Tensor(np.arange(number, dtype=np.float32).reshape(shape))


class RoIAlign(nn.Cell):
    """Means over `bins` x `bins` parts of boxes.

    `scale` is the size of a pixel in cells, `rule` one of `RULES`. A bin has at most one sample more than it would take
    for a box as large as the map, also where a box reaches far beyond. Corners get no gradient. Raises ValueError for
    another rule.
    """

    def __init__(self, bins: int, scale: float, rule: str = "exact") -> None:
        if rule not in RULES:
            raise ValueError(f"roi {rule!r}: expected one of {', '.join(RULES)}")
        super().__init__()
        self.bins, self.scale, self.rule = bins, scale, RULES[rule]

    def construct(self, x: Tensor, boxes: Tensor) -> Tensor:
        """Maps (N, C, H, W) and corners x1, y1, x2, y2 in pixels (N, M, 4) -> (N, M, bins, bins, C).

        Samples beyond the map by more than a cell are 0. So is a box without area under ``exact``.
        """
        n, c, h, w = x.shape
        m, bins = boxes.shape[1], self.bins
        corners = ops.stop_gradient(boxes)
        rows = self.weights(corners[:, :, 1], corners[:, :, 3], h).astype(x.dtype)
        columns = self.weights(corners[:, :, 0], corners[:, :, 2], w).astype(x.dtype)
        bands = ops.matmul(rows.reshape(n, m * bins, h), x.transpose(0, 2, 3, 1).reshape(n, h, w * c))
        # Every band of rows of a box meets the same columns.
        each = ops.tile(columns.expand_dims(2), (1, 1, bins, 1, 1)).reshape(n, m * bins, bins, w)
        return ops.matmul(each, bands.reshape(n, m * bins, w, c)).reshape(n, m, bins, bins, c)

    def weights(self, start: Tensor, end: Tensor, size: int) -> Tensor:
        """Of every cell of an axis in every bin: ends in pixels (N, M) -> (N, M, bins, size)."""
        rule, bins = self.rule, self.bins
        start = start * self.scale + rule.shift
        length = (end + rule.beyond) * self.scale + rule.shift - start
        if rule.least:
            length = ops.maximum(length, rule.least)
        most = rule.samples or -(-size // bins) + 1
        samples = ops.clamp(-ops.floor(-length / bins), 0, most) if rule.samples == 0 else length * 0 + most
        shape = (*start.shape, 1, 1)
        start, part, samples = start.reshape(shape), (length / bins).reshape(shape), samples.reshape(shape)
        shares = ops.maximum(samples, 1)
        number = _count(most, 1, 1, 1, most)
        place = start + _count(bins, 1, 1, bins, 1) * part + (number + 0.5) * part / shares
        inside = 1 - ops.logical_or(place < -1, place > size).astype(place.dtype)
        counted = ops.clamp(samples - number, 0, 1) * inside / shares
        distance = ops.abs(ops.clamp(place, 0, size - 1).expand_dims(4) - _count(size, 1, 1, 1, 1, size))
        return (ops.relu(1 - distance) * counted.expand_dims(4)).sum(axis=3)
