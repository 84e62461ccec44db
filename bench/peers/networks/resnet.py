"""3-D ResNets and ResNeXt in PyTorch."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bench.peers.networks.layers import conv3d, conv_bn

PLANES = (64, 128, 256, 512)  # arXiv 1711.09577, Table 1
REPEATS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class ShortcutA(nn.Module):
    """Every stride-th value in T, H and W; zeros for the channels that are missing."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.missing = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        s = self.stride
        return F.pad(x[:, :, ::s, ::s, ::s], (0, 0, 0, 0, 0, 0, 0, self.missing))


def shortcut(kind: str, inputs: int, outputs: int, stride: int) -> nn.Module | None:
    """The way past a block: A without parameters, B a convolution; None where the shapes allow the input itself."""
    if stride == 1 and inputs == outputs:
        return None
    return ShortcutA(inputs, outputs, stride) if kind == "A" else nn.Sequential(*conv_bn(inputs, outputs, 1, stride))


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, planes: int, stride: int, kind: str) -> None:
        super().__init__()
        self.conv1 = conv3d(inputs, planes, 3, stride)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = conv3d(planes, planes, 3)
        self.bn2 = nn.BatchNorm3d(planes)
        self.downsample = shortcut(kind, inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, planes, T/s, H/s, W/s)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 in `groups` and with the stride, 1x1x1, beside a shortcut."""

    def __init__(self, inputs: int, middle: int, outputs: int, *, stride: int, kind: str, groups: int) -> None:
        super().__init__()
        self.conv1 = conv3d(inputs, middle, 1)
        self.bn1 = nn.BatchNorm3d(middle)
        self.conv2 = conv3d(middle, middle, 3, stride, groups=groups)
        self.bn2 = nn.BatchNorm3d(middle)
        self.conv3 = conv3d(middle, outputs, 1)
        self.bn3 = nn.BatchNorm3d(outputs)
        self.downsample = shortcut(kind, inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class ResNet(nn.Module):
    """Clips (N, 3, T, H, W) -> logits (N, num_classes). `stages` holds blocks, `channels` what the last one makes."""

    def __init__(self, num_classes: int, stem: int, stages: list[nn.Sequential], channels: int) -> None:
        super().__init__()
        self.conv1 = conv3d(3, stem, 7, (1, 2, 2))
        self.bn1 = nn.BatchNorm3d(stem)
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Clips -> logits; the head averages over T, H and W."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3, 4)))


def resnet18(num_classes: int, width: float = 1.0, shortcut: str = "A") -> ResNet:
    """3-D ResNet-18."""
    channels, stages = int(64 * width), []
    for stage, (base, repeats) in enumerate(zip(PLANES, REPEATS[18], strict=True)):
        planes, blocks = int(base * width), []
        for i in range(repeats):
            blocks.append(BasicBlock(channels, planes, 2 if stage and i == 0 else 1, shortcut))
            channels = planes
        stages.append(nn.Sequential(*blocks))
    return ResNet(num_classes, int(64 * width), stages, channels)


def resnet50(num_classes: int, width: float = 1.0, shortcut: str = "B") -> ResNet:
    """3-D ResNet-50."""
    widths = [(planes, 4 * planes) for planes in (int(base * width) for base in PLANES)]
    return _bottlenecks(num_classes, 50, int(64 * width), widths, kind=shortcut)


def resnet101(num_classes: int, width: float = 1.0, shortcut: str = "B") -> ResNet:
    """3-D ResNet-101."""
    widths = [(planes, 4 * planes) for planes in (int(base * width) for base in PLANES)]
    return _bottlenecks(num_classes, 101, int(64 * width), widths, kind=shortcut)


def resnext101(num_classes: int, width: float = 1.0, cardinality: int = 32, shortcut: str = "B") -> ResNet:
    """3-D ResNeXt-101: twice as wide inside, in `cardinality` groups."""
    widths = [(cardinality * (planes // 32), 2 * planes) for planes in (int(2 * base * width) for base in PLANES)]
    return _bottlenecks(num_classes, 101, int(64 * width), widths, kind=shortcut, groups=cardinality)


def _bottlenecks(
    num_classes: int, depth: int, stem: int, widths: list[tuple[int, int]], *, kind: str, groups: int = 1
) -> ResNet:
    """`widths`: channels inside and at the end of each stage's blocks."""
    channels, stages = stem, []
    for stage, ((middle, outputs), repeats) in enumerate(zip(widths, REPEATS[depth], strict=True)):
        blocks = []
        for i in range(repeats):
            stride = 2 if stage and i == 0 else 1
            blocks.append(Bottleneck(channels, middle, outputs, stride=stride, kind=kind, groups=groups))
            channels = outputs
        stages.append(nn.Sequential(*blocks))
    return ResNet(num_classes, stem, stages, channels)
