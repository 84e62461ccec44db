"""ECO: a few frames of a whole video through one 2-D network, their features over time through a 3-D one.

Zolfaghari, Singh and Brox, "ECO: Efficient Convolutional Network for Online Video Understanding" (arXiv 1804.09066),
Figures 1 and 2; original programs mzolfaghari/ECO-efficient-video-understanding (Caffe), models_ECO_{Full,Lite}, and
mzolfaghari/ECO-pytorch, tf_model_zoo, which agree and whose parameter names `weights.layouts` knows. The 2-D part is
BN-Inception (Ioffe and Szegedy, arXiv 1502.03167), the 3-D part the last three stages of a ResNet-18.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from mindspore import Tensor, nn, ops

from actionbook.models.layers import Dropout, conv3d, init_xavier

POOLS = ("ceil", "port")


class Branches(NamedTuple):
    """Channels of an inception module; 0: the branch is not there."""

    single: int
    """Of the 1x1 convolution."""
    triple: tuple[int, int]
    """Of 1x1, then 3x3."""
    double: tuple[int, int, int]
    """Of 1x1, 3x3 and 3x3."""
    projection: int
    """Of the 1x1 convolution behind the pool."""

    def scaled(self, width: float) -> Branches:
        """All of them times `width`, rounded down but at least 1."""
        (a, b), (c, d, e) = self.triple, self.double
        single, a, b, c, d, e, projection = (_scaled(n, width) for n in (self.single, a, b, c, d, e, self.projection))
        return Branches(single, (a, b), (c, d, e), projection)


def _scaled(channels: int, width: float) -> int:
    return max(1, int(channels * width)) if channels else 0


# ECO_full.prototxt; the stride of 3c and 4e is 2, and the pool of these and of 5b is a maximum.
MODULES = {
    "inception_3a": Branches(64, (64, 64), (64, 96, 96), 32),
    "inception_3b": Branches(64, (64, 96), (64, 96, 96), 64),
    "inception_3c": Branches(0, (128, 160), (64, 96, 96), 0),
    "inception_4a": Branches(224, (64, 96), (96, 128, 128), 128),
    "inception_4b": Branches(192, (96, 128), (96, 128, 128), 128),
    "inception_4c": Branches(160, (128, 160), (128, 160, 160), 128),
    "inception_4d": Branches(96, (128, 192), (160, 192, 192), 128),
    "inception_4e": Branches(0, (128, 192), (192, 256, 256), 0),
    "inception_5a": Branches(352, (192, 320), (160, 224, 224), 128),
    "inception_5b": Branches(352, (192, 320), (192, 224, 224), 128),
}
STRIDED = ("inception_3c", "inception_4e")
MAXIMA = (*STRIDED, "inception_5b")


class Unit2D(nn.Cell):
    """Convolution with bias, padded by half its kernel; batch norm; ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, *, eps: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, pad_mode="pad", padding=kernel // 2, has_bias=True
        )
        self.bn = nn.BatchNorm2d(out_channels, eps)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C_out, ceil(H/s), ceil(W/s))."""
        return ops.relu(self.bn(self.conv(x)))


class HalvingPool(nn.Cell):
    """Largest value of 3x3, stride 2, of sides that are even and values that are not negative.

    "ceil" begins with the first row and column and lets the last window reach beyond the end, as Caffe does. "port"
    begins one row and column before the picture, with zeros, as the program for Ascend does: every feature map is
    shifted by a pixel.
    """

    def __init__(self, pools: str) -> None:
        super().__init__()
        if pools == "port":
            before = nn.Pad(((0, 0), (0, 0), (1, 0), (1, 0)))
            self.pool: nn.Cell = nn.SequentialCell(before, nn.MaxPool2d(3, 2, pad_mode="valid"))
        else:
            # An even side lacks one value, and "same" leaves that out at the end. Not `ops.pad`: its gradient hangs on
            # a CPU (MindSpore 2.10).
            self.pool = nn.MaxPool2d(3, 2, pad_mode="same")

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        return self.pool(x)


@ops.constexpr
def _ninths(height: int, width: int) -> Tensor:
    """How many ninths of a window of 3x3 around each place lie in the picture: (H, W), at most 1."""
    rows, columns = (np.convolve(np.ones(n), np.ones(3))[1:-1] for n in (height, width))
    return Tensor((np.outer(rows, columns) / 9).astype(np.float32))


class EqualPool(nn.Cell):
    """Mean of 3x3 around every place. "ceil" divides by 9 also at the border, "port" by what is there."""

    def __init__(self, pools: str) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, 1, pad_mode="same")
        self.nine = pools == "ceil"

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        mean = self.pool(x)  # of what is there
        return mean * _ninths(x.shape[2], x.shape[3]).astype(x.dtype) if self.nine else mean


class Inner(nn.Cell):
    """1x1 and 3x3: of the module 3c what goes on to the 3-D part, and all that ECO Lite has of it."""

    def __init__(self, in_channels: int, channels: Branches, *, eps: float) -> None:
        super().__init__()
        self.double_reduce = Unit2D(in_channels, channels.double[0], 1, eps=eps)
        self.double_1 = Unit2D(channels.double[0], channels.double[1], 3, eps=eps)

    def inner(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, channels.double[1], H, W)."""
        return self.double_1(self.double_reduce(x))

    def construct(self, x: Tensor) -> Tensor:
        """See `inner`."""
        return self.inner(x)


class Inception(Inner):
    """Branches side by side: 1x1; 1x1 and 3x3; 1x1, 3x3 and 3x3; pool and 1x1. Their outputs are stacked."""

    def __init__(self, name: str, in_channels: int, channels: Branches, *, eps: float, pools: str) -> None:
        super().__init__(in_channels, channels, eps=eps)
        stride = 2 if name in STRIDED else 1
        (reduced, triple), (_, between, double) = channels.triple, channels.double
        self.single = Unit2D(in_channels, channels.single, 1, eps=eps) if channels.single else None
        self.triple_reduce = Unit2D(in_channels, reduced, 1, eps=eps)
        self.triple = Unit2D(reduced, triple, 3, stride, eps=eps)
        self.double_2 = Unit2D(between, double, 3, stride, eps=eps)
        if name in STRIDED:
            self.pool: nn.Cell = HalvingPool(pools)
        else:
            self.pool = nn.MaxPool2d(3, 1, pad_mode="same") if name in MAXIMA else EqualPool(pools)
        self.projection = Unit2D(in_channels, channels.projection, 1, eps=eps) if channels.projection else None
        self.out_channels = channels.single + triple + double + (channels.projection or in_channels)

    def construct(self, x: Tensor, inner: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, out_channels, H/s, W/s). `inner`: what `Inner.inner` gives, where it is known already."""
        if inner is None:
            inner = self.inner(x)
        pooled = self.pool(x)
        ends = (
            self.triple(self.triple_reduce(x)),
            self.double_2(inner),
            pooled if self.projection is None else self.projection(pooled),
        )
        return ops.concat(ends if self.single is None else (self.single(x), *ends), 1)


class Stage3D(nn.Cell):
    """Two residual blocks whose shortcuts carry the sums as they are, before batch norm and ReLU.

    The first stage (stride 1) begins with one convolution in place of a block; the others halve T, H and W, the
    shortcut by a 3x3x3 convolution of its own.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, *, eps: float) -> None:
        super().__init__()
        self.strided = stride > 1
        if self.strided:
            self.a_1 = conv3d(in_channels, channels, 3, stride, bias=True)
            self.a_1_bn = nn.BatchNorm3d(channels, eps)
            self.a_down = conv3d(in_channels, channels, 3, stride, bias=True)
        self.a_2 = conv3d(channels if self.strided else in_channels, channels, 3, bias=True)
        self.a_bn = nn.BatchNorm3d(channels, eps)
        self.b_1 = conv3d(channels, channels, 3, bias=True)
        self.b_1_bn = nn.BatchNorm3d(channels, eps)
        self.b_2 = conv3d(channels, channels, 3, bias=True)
        self.b_bn = nn.BatchNorm3d(channels, eps)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, channels, T/s, H/s, W/s)."""
        total = self._block(x) if self.strided else self.a_2(x)
        x = ops.relu(self.a_bn(total))
        total = total + self.b_2(ops.relu(self.b_1_bn(self.b_1(x))))
        return ops.relu(self.b_bn(total))

    def _block(self, x: Tensor) -> Tensor:
        return self.a_2(ops.relu(self.a_1_bn(self.a_1(x)))) + self.a_down(x)


class ECO(nn.Cell):
    """ECO Lite, or with `full` ECO Full: float32 clips (N, 3, T, H, W) -> logits (N, num_classes).

    T frames, one from each of T equal parts of a video; any multiple of 4, the weights do not depend on it. Pixels are
    0..255 in the order blue, green, red, less a mean. `width` multiplies the channels of every layer, rounded down but
    never below 1 (the paper has width 1 only). `dropout` acts on the features before the classifier, of the Full on
    those of every single frame, before their mean, and `dropout_3d` on its 3-D ones. `pools` "port" and `eps` 1e-3
    make the variant of the program for Ascend (ModelZoo-TensorFlow, ECONet_tf_paper99), whose published checkpoints
    need it. Raises ValueError for other pools.
    """

    def __init__(
        self,
        num_classes: int,
        width: float,
        *,
        full: bool,
        dropout: float,
        dropout_3d: float,
        pools: str,
        eps: float,
        seed: int,
    ) -> None:
        if pools not in POOLS:
            raise ValueError(f"pools {pools!r}: expected one of {', '.join(POOLS)}")
        super().__init__()
        self.step = 32 if full else 8
        channels = {name: one.scaled(width) for name, one in MODULES.items()}
        stem, wide = _scaled(64, width), _scaled(192, width)
        modules: OrderedDict[str, Inception] = OrderedDict()
        flat = wide
        for name, one in channels.items():
            modules[name] = Inception(name, flat, one, eps=eps, pools=pools)
            flat = modules[name].out_channels
        self.trunk = nn.SequentialCell(
            OrderedDict[str, nn.Cell](
                conv1_7x7_s2=Unit2D(3, stem, 7, 2, eps=eps),
                pool1_3x3_s2=HalvingPool(pools),
                conv2_3x3_reduce=Unit2D(stem, stem, 1, eps=eps),
                conv2_3x3=Unit2D(stem, wide, 3, eps=eps),
                pool2_3x3_s2=HalvingPool(pools),
                inception_3a=modules.pop("inception_3a"),
                inception_3b=(last := modules.pop("inception_3b")),
            )
        )
        whole, inner = modules.pop("inception_3c"), channels["inception_3c"]
        self.inception_3c: Inner = whole if full else Inner(last.out_channels, inner, eps=eps)
        self.tail = nn.SequentialCell(modules) if full else None
        deep = [inner.double[1], *(_scaled(n, width) for n in (128, 256, 512))]
        self.res3 = Stage3D(deep[0], deep[1], 1, eps=eps)
        self.res4 = Stage3D(deep[1], deep[2], 2, eps=eps)
        self.res5 = Stage3D(deep[2], deep[3], 2, eps=eps)
        self.dropout = Dropout(dropout, seed)
        if full:
            self.dropout_3d = Dropout(dropout_3d, seed + 1)
        self.fc = nn.Dense(flat + deep[3] if full else deep[3], num_classes)
        init_xavier(self, seed)

    def check_clip(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError for a clip (3, T, H, W) that cannot be halved as often as the network does it."""
        _, t, h, w = shape
        if t % 4:
            raise ValueError(f"{t} frames: expected a multiple of 4, as time is halved twice")
        if h % self.step or w % self.step:
            raise ValueError(f"{h} x {w} pixels: expected multiples of {self.step}, as pools halve even sides only")

    def construct(self, x: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) -> logits (N, num_classes). Raises ValueError as `check_clip`."""
        n, _, t, h, w = x.shape
        self.check_clip((3, t, h, w))
        shared = self.trunk(x.transpose(0, 2, 1, 3, 4).reshape(n * t, 3, h, w))
        inner = self.inception_3c.inner(shared)
        _, c, h, w = inner.shape
        volume = inner.reshape(n, t, c, h, w).transpose(0, 2, 1, 3, 4)
        deep = self.res5(self.res4(self.res3(volume))).mean(axis=(2, 3, 4))
        if self.tail is None:
            return self.fc(self.dropout(deep))
        flat = self.tail(self.inception_3c(shared, inner)).mean(axis=(2, 3))
        flat = self.dropout(flat).reshape(n, t, -1).mean(axis=1)
        return self.fc(ops.concat((flat, self.dropout_3d(deep)), 1))


def eco_full(
    num_classes: int,
    width: float = 1.0,
    *,
    dropout: float = 0.6,
    dropout_3d: float = 0.5,
    pools: str = "ceil",
    eps: float = 1e-5,
    seed: int = 0,
) -> ECO:
    """ECO Full, see `ECO`. Dropout as in its UCF101 and HMDB51 trainings (0.5 and 0.5 on Kinetics)."""
    return ECO(num_classes, width, full=True, dropout=dropout, dropout_3d=dropout_3d, pools=pools, eps=eps, seed=seed)


def eco_lite(
    num_classes: int, width: float = 1.0, *, dropout: float = 0.6, pools: str = "ceil", eps: float = 1e-5, seed: int = 0
) -> ECO:
    """ECO Lite, see `ECO`. Dropout as in its UCF101 and HMDB51 trainings (0.3 on Kinetics)."""
    return ECO(num_classes, width, full=False, dropout=dropout, dropout_3d=0.0, pools=pools, eps=eps, seed=seed)
