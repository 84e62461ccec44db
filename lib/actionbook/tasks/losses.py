"""Losses that MindSpore does not have."""

from __future__ import annotations

from mindspore import Tensor, nn, ops


class MaskedBinaryCrossEntropy(nn.Cell):
    """Binary cross-entropy of logits, the mean over all classes of the boxes that the mask names."""

    def construct(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Logits and targets (N, M, classes), mask (N, M) of 0 and 1 -> a scalar, in nats."""
        # max(x, 0) - x t + log(1 + exp(-|x|)) cannot overflow.
        each = ops.relu(logits) - logits * targets + ops.log1p(ops.exp(-ops.abs(logits)))
        return (each.mean(axis=-1) * mask).sum() / ops.maximum(mask.sum(), 1.0)
