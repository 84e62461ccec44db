"""3-D ResNets and ResNeXts: the heavy networks that the paper's small ones are measured against.

Hara et al., "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?" (arXiv 1711.09577), Table 1;
original program okankop/Efficient-3DCNNs, models/resnet.py and resnext.py, whose parameter names this file keeps.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from actionbook.models.layers import GroupedConv3d, conv3d, init_fan_out
from actionbook.models.pooling import MaxPool3d

PLANES = (64, 128, 256, 512)
SHORTCUTS = ("A", "B")
FEW = 16  # channels of a stem, measured at 4 and 16 of them with clips of 8x48x48; with 64 it is the slower one


class ShortcutA(nn.Cell):
    """Every stride-th value in T, H and W, and channels of zeros behind: a shortcut without parameters.

    A convolution with ones on the diagonal does it in one step that MindSpore can differentiate and export; strided
    slices and padding in five dimensions are neither. The original detaches the shortcut from the graph, so that no
    gradient passes; here it does, as He et al. meant it (arXiv 1512.03385, section 3.3). The values are the same.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        ones = np.eye(out_channels, in_channels, dtype=np.float32)
        self.ones = Tensor(ones.reshape(out_channels, in_channels, 1, 1, 1))
        self.pick = ops.Conv3D(out_channels, 1, stride=stride)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, ceil(T/s), ceil(H/s), ceil(W/s))."""
        return self.pick(x, self.ones.astype(x.dtype))


def shortcut(kind: str, in_channels: int, out_channels: int, stride: int) -> nn.Cell | None:
    """The way past a block; None stands for the input itself, which is taken where the shapes allow.

    `kind` "A" has no parameters, "B" is a 1x1x1 convolution with batch norm. Raises ValueError for another.
    """
    if kind not in SHORTCUTS:
        raise ValueError(f"shortcut {kind!r}: expected one of {', '.join(SHORTCUTS)}")
    if stride == 1 and in_channels == out_channels:
        return None
    if kind == "A":
        return ShortcutA(in_channels, out_channels, stride)
    return nn.SequentialCell(conv3d(in_channels, out_channels, 1, stride), nn.BatchNorm3d(out_channels))


class BasicBlock(nn.Cell):
    """Two 3x3x3 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, planes: int, stride: int, kind: str) -> None:
        super().__init__()
        self.conv1 = conv3d(in_channels, planes, 3, stride)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = conv3d(planes, planes, 3)
        self.bn2 = nn.BatchNorm3d(planes)
        self.downsample = shortcut(kind, in_channels, planes, stride)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, planes, T/s, H/s, W/s)."""
        y = ops.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return ops.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Cell):
    """1x1x1 -> 3x3x3, in `groups` and with the stride -> 1x1x1, beside a shortcut."""

    def __init__(
        self, in_channels: int, middle: int, out_channels: int, stride: int, kind: str, *, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = conv3d(in_channels, middle, 1)
        self.bn1 = nn.BatchNorm3d(middle)
        self.conv2 = conv3d(middle, middle, 3, stride, groups=groups)
        self.bn2 = nn.BatchNorm3d(middle)
        self.conv3 = conv3d(middle, out_channels, 1)
        self.bn3 = nn.BatchNorm3d(out_channels)
        self.downsample = shortcut(kind, in_channels, out_channels, stride)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        y = ops.relu(self.bn1(self.conv1(x)))
        y = ops.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return ops.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Cell):
    """Stem 7x7x7, pooling and four stages: float32 clips (N, 3, T, H, W) -> logits (N, num_classes).

    `stages` holds the blocks of each stage, `channels` the channels that a stage ends with. The head averages over
    T, H and W, which at 16 frames and at whole multiples of 32 pixels is what the original's fixed window does.
    """

    def __init__(self, num_classes: int, stem: int, stages: list[list[nn.Cell]], channels: int, seed: int) -> None:
        super().__init__()
        # With few channels to fill, one 2-D convolution over all frames trains in a third of the time of a 3-D one.
        make = GroupedConv3d if stem <= FEW else conv3d
        self.conv1 = make(3, stem, 7, (1, 2, 2))
        self.bn1 = nn.BatchNorm3d(stem)
        self.maxpool = MaxPool3d()
        self.layer1, self.layer2, self.layer3, self.layer4 = (nn.SequentialCell(*blocks) for blocks in stages)
        self.fc = nn.Dense(channels, num_classes)
        init_fan_out(self, seed)

    def construct(self, x: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) -> logits (N, num_classes)."""
        x = self.maxpool(ops.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(axis=(2, 3, 4)))


def resnet18(num_classes: int, width: float = 1.0, shortcut: str = "A", seed: int = 0) -> ResNet:
    """3-D ResNet-18, with the original's shortcut of type A. `width` multiplies all channels, rounded down."""
    channels, stages = int(64 * width), []
    for stage, base in enumerate(PLANES):
        planes, stride = int(base * width), 2 if stage else 1
        stages.append([BasicBlock(channels, planes, stride, shortcut), BasicBlock(planes, planes, 1, shortcut)])
        channels = planes
    return ResNet(num_classes, int(64 * width), stages, channels, seed)


def resnet50(num_classes: int, width: float = 1.0, shortcut: str = "B", seed: int = 0) -> ResNet:
    """3-D ResNet-50. The paper counts its operations with shortcut A and its README trains it with B."""
    return _bottlenecks(num_classes, (3, 4, 6, 3), width, shortcut, seed)


def resnet101(num_classes: int, width: float = 1.0, shortcut: str = "B", seed: int = 0) -> ResNet:
    """3-D ResNet-101. The paper counts its operations with shortcut A and its README trains it with B."""
    return _bottlenecks(num_classes, (3, 4, 23, 3), width, shortcut, seed)


def resnext101(
    num_classes: int, width: float = 1.0, cardinality: int = 32, shortcut: str = "B", seed: int = 0
) -> ResNet:
    """3-D ResNeXt-101: bottlenecks twice as wide inside, in `cardinality` groups.

    The groups have ``int(planes / 32)`` channels, planes = 128, 256, 512, 1024 times `width`. Raises ValueError where
    that is none: a width below 1/4.
    """
    channels, stages = int(64 * width), []
    for stage, (base, repeats) in enumerate(zip(PLANES, (3, 4, 23, 3), strict=True)):
        planes = int(2 * base * width)
        middle, out = cardinality * (planes // 32), 2 * planes
        if middle == 0:
            raise ValueError(f"width {width}: the groups of the first stage would be empty; expected 1/4 or more")
        blocks = []
        for i in range(repeats):
            stride = 2 if stage and i == 0 else 1
            blocks.append(Bottleneck(channels, middle, out, stride, shortcut, groups=cardinality))
            channels = out
        stages.append(blocks)
    return ResNet(num_classes, int(64 * width), stages, channels, seed)


def _bottlenecks(num_classes: int, repeats: tuple[int, ...], width: float, kind: str, seed: int) -> ResNet:
    channels, stages = int(64 * width), []
    for stage, (base, count) in enumerate(zip(PLANES, repeats, strict=True)):
        planes, blocks = int(base * width), []
        for i in range(count):
            blocks.append(Bottleneck(channels, planes, 4 * planes, 2 if stage and i == 0 else 1, kind))
            channels = 4 * planes
        stages.append(blocks)
    return ResNet(num_classes, int(64 * width), stages, channels, seed)
