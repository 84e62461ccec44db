"""I3D in PyTorch, padded by TensorFlow's SAME rule at every size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Channels of b0, b1a, b1b, b2a, b2b and b3b: deepmind/kinetics-i3d, i3d.py; counted in piergiaj/pytorch-i3d.
STAGES = (
    ("Mixed_3b", (64, 96, 128, 16, 32, 32)),
    ("Mixed_3c", (128, 128, 192, 32, 96, 64)),
    ("Mixed_4b", (192, 96, 208, 16, 48, 64)),
    ("Mixed_4c", (160, 112, 224, 24, 64, 64)),
    ("Mixed_4d", (128, 128, 256, 24, 64, 64)),
    ("Mixed_4e", (112, 144, 288, 32, 64, 64)),
    ("Mixed_4f", (256, 160, 320, 32, 128, 128)),
    ("Mixed_5b", (256, 160, 320, 32, 128, 128)),
    ("Mixed_5c", (384, 192, 384, 48, 128, 128)),
)


def padded(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Zeros around T, H and W, an odd one behind, so that a window with this stride makes ceil(size / stride).

    The sizes as `int`, so that the exporters write numbers and not how to compute them.
    """
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        missing = max(((int(size) - 1) // s) * s + k - int(size), 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads)


class SamePool(nn.Module):
    """Max pool. Zeros as padding change nothing: its inputs are never negative."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, ceil(T/s), ceil(H/s), ceil(W/s))."""
        return F.max_pool3d(padded(x, self.kernel, self.stride), self.kernel, self.stride)


class Unit3D(nn.Module):
    """Convolution, batch norm, ReLU. Where the stride is 1 both sides are padded alike: the convolution can do it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, ceil(T/s), ceil(H/s), ceil(W/s))."""
        conv = self.conv3d
        if conv.stride != (1, 1, 1):
            x = padded(x, conv.kernel_size, conv.stride)
        return F.relu(self.bn(conv(x)), inplace=True)


class Inception(nn.Module):
    """1x1x1; 1x1x1 and 3x3x3, twice; max pool and 1x1x1; side by side."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = channels
        self.b0 = Unit3D(inputs, b0, 1)
        self.b1a = Unit3D(inputs, b1a, 1)
        self.b1b = Unit3D(b1a, b1b, 3)
        self.b2a = Unit3D(inputs, b2a, 1)
        self.b2b = Unit3D(b2a, b2b, 3)
        self.b3a = nn.MaxPool3d(3, 1, 1)
        self.b3b = Unit3D(inputs, b3b, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, b0 + b1b + b2b + b3b, T, H, W)."""
        return torch.cat((self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))), 1)


class I3D(nn.Module):
    """Clips (N, in_channels, T, H, W) -> logits (N, num_classes)."""

    def __init__(self, num_classes: int, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        stem, channels = (max(1, int(c * width)) for c in (64, 192))
        features: OrderedDict[str, nn.Module] = OrderedDict(
            Conv3d_1a_7x7=Unit3D(in_channels, stem, 7, 2),
            MaxPool3d_2a_3x3=SamePool((1, 3, 3), (1, 2, 2)),
            Conv3d_2b_1x1=Unit3D(stem, stem, 1),
            Conv3d_2c_3x3=Unit3D(stem, channels, 3),
            MaxPool3d_3a_3x3=SamePool((1, 3, 3), (1, 2, 2)),
        )
        for name, base in STAGES:
            if name == "Mixed_4b":
                features["MaxPool3d_4a_3x3"] = SamePool((3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                features["MaxPool3d_5a_2x2"] = SamePool((2, 2, 2), (2, 2, 2))
            branches = tuple(max(1, int(c * width)) for c in base)
            features[name] = Inception(channels, branches)
            channels = sum(branches[i] for i in (0, 2, 4, 5))
        for name, module in features.items():
            self.add_module(name, module)
        self.features = tuple(features)
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Sequential(OrderedDict(conv3d=nn.Conv3d(channels, num_classes, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Clips -> logits, the mean of those for every two neighbouring frames of the last map."""
        for name in self.features:
            x = self.get_submodule(name)(x)
        frames, height, width = (int(size) for size in x.shape[2:])
        x = F.avg_pool3d(x, (min(2, frames), height, width), 1)
        return self.logits(self.dropout(x)).mean((2, 3, 4))
