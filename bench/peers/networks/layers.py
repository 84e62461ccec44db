"""What several of the networks have in common. Tensors are (N, C, T, H, W)."""

from __future__ import annotations

from torch import Tensor, nn


def conv3d(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int | tuple[int, int, int] = 1,
    *,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv3d:
    """Convolution that keeps T, H and W at stride 1."""
    return nn.Conv3d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int | tuple[int, int, int] = 1, *, groups: int = 1
) -> list[nn.Module]:
    """Convolution and batch norm."""
    return [conv3d(inputs, outputs, kernel, stride, groups=groups), nn.BatchNorm3d(outputs)]


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Deal the channels of the groups out again, one from each in turn."""
    n, c, t, h, w = x.shape
    return x.view(n, groups, c // groups, t, h, w).transpose(1, 2).contiguous().view(n, c, t, h, w)
