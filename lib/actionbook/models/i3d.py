"""I3D: Inception-v1 with every kernel inflated to three dimensions.

Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset" (arXiv 1705.07750),
Figure 3; original program deepmind/kinetics-i3d, i3d.py. Parameter names are those of its port to PyTorch,
piergiaj/pytorch-i3d, pytorch_i3d.py.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn, ops

from actionbook.models.layers import Dropout, Triple, init_fan_out
from actionbook.models.pooling import SamePool3d

# Channels of the branches b0, b1a, b1b, b2a, b2b and b3b of every inception module (Szegedy et al., arXiv 1409.4842,
# Table 1; b2b has kernel 3, not 5).
MODULES = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
HEADS = ("average", "max")

Norm = Callable[[int], nn.Cell]


class Unit3D(nn.Cell):
    """Convolution with SAME padding, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, norm: Norm, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, pad_mode="same")
        self.bn = norm(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, ceil(T/s), ceil(H/s), ceil(W/s))."""
        return ops.relu(self.bn(self.conv3d(x)))


class Inception(nn.Cell):
    """Four branches side by side: 1x1x1; 1x1x1 and 3x3x3, twice; max pool and 1x1x1."""

    def __init__(self, in_channels: int, channels: tuple[int, ...], norm: Norm) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = channels
        self.b0 = Unit3D(in_channels, b0, 1, norm)
        self.b1a = Unit3D(in_channels, b1a, 1, norm)
        self.b1b = Unit3D(b1a, b1b, 3, norm)
        self.b2a = Unit3D(in_channels, b2a, 1, norm)
        self.b2b = Unit3D(b2a, b2b, 3, norm)
        self.b3a = SamePool3d(3, 1)
        self.b3b = Unit3D(in_channels, b3b, 1, norm)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, b0 + b1b + b2b + b3b, T, H, W)."""
        return ops.concat((self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))), 1)


class AverageHead(nn.Cell):
    """Mean over windows of two frames and the whole picture, stride 1: 2x7x7 at 224 pixels.

    A map of a single frame (clips of at most 8 frames) has one window, that frame.
    """

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, max(T - 1, 1), 1, 1)."""
        frames = x.mean(axis=(3, 4), keep_dims=True)
        if x.shape[2] == 1:
            return frames
        return (frames[:, :, :-1] + frames[:, :, 1:]) * 0.5


class MaxHead(nn.Cell):
    """Maximum over the whole map, as in the Ascend port where T is a multiple of 8."""

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, 1, 1, 1)."""
        return ops.amax(x, (2, 3, 4), keepdims=True)


class Logits(nn.Cell):
    """1x1x1 convolution with bias, without batch norm or ReLU."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, num_classes, 1, pad_mode="valid", has_bias=True)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, 1, 1) -> (N, num_classes, T, 1, 1)."""
        return self.conv3d(x)


class I3D(nn.SequentialCell):
    """I3D: float32 clips (N, in_channels, T, H, W) of values in -1..1 -> logits (N, num_classes).

    `in_channels` is 3 for RGB, 2 for optical flow (x, y). `width` multiplies the channels of every layer, rounded
    down but never below 1 (the paper has width 1 only). All convolutions and max pools are padded by TensorFlow's
    SAME rule, at any size. `head` "average" is the authors': means over windows of two frames, logits for each,
    then their mean, so that the first and last frame weigh half as much as the others. "max" is that of the Ascend
    port (mindspore-ai/models, research/cv/I3D), whose published checkpoints need it, with `eps` 1e-5; weights that
    were trained on Kinetics expect averages. `bn_momentum` is the share of the running statistics that a step keeps
    (0.99 in piergiaj/pytorch-i3d; 0.999 in the original). Raises ValueError for another head.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        width: float = 1.0,
        *,
        dropout: float = 0.5,
        seed: int = 0,
        head: str = "average",
        eps: float = 1e-3,
        bn_momentum: float = 0.99,
    ) -> None:
        if head not in HEADS:
            raise ValueError(f"head {head!r}: expected one of {', '.join(HEADS)}")

        def scaled(channels: int) -> int:
            return max(1, int(channels * width))

        norm = partial(nn.BatchNorm3d, eps=eps, momentum=bn_momentum)
        spatial: tuple[Triple, Triple] = ((1, 3, 3), (1, 2, 2))
        stem, wide = scaled(64), scaled(192)
        cells: OrderedDict[str, nn.Cell] = OrderedDict(
            Conv3d_1a_7x7=Unit3D(in_channels, stem, 7, norm, 2),
            MaxPool3d_2a_3x3=SamePool3d(*spatial),
            Conv3d_2b_1x1=Unit3D(stem, stem, 1, norm),
            Conv3d_2c_3x3=Unit3D(stem, wide, 3, norm),
            MaxPool3d_3a_3x3=SamePool3d(*spatial),
        )
        channels = wide
        for name, branches in MODULES.items():
            if name == "Mixed_4b":
                cells["MaxPool3d_4a_3x3"] = SamePool3d(3, 2)
            if name == "Mixed_5b":
                cells["MaxPool3d_5a_2x2"] = SamePool3d(2, 2)
            b0, b1a, b1b, b2a, b2b, b3b = (scaled(c) for c in branches)
            cells[name] = Inception(channels, (b0, b1a, b1b, b2a, b2b, b3b), norm)
            channels = b0 + b1b + b2b + b3b
        cells["avg_pool"] = AverageHead() if head == "average" else MaxHead()
        cells["dropout"] = Dropout(dropout, seed)
        cells["logits"] = Logits(channels, num_classes)
        super().__init__(cells)
        init_fan_out(self, seed)

    def construct(self, x: Tensor) -> Tensor:
        """Clips (N, in_channels, T, H, W) -> logits (N, num_classes), the mean over the windows in time."""
        for cell in self.cell_list:
            x = cell(x)
        return x.mean(axis=(2, 3, 4))
