"""3-D ShuffleNet, the first version, in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.peers.networks.layers import channel_shuffle, conv3d, conv_bn

# Groups -> output channels of the stages: arXiv 1904.02422, Table 4, and the original program.
CHANNELS = {
    1: (144, 288, 567),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
REPEATS = (4, 8, 4)


class Unit(nn.Module):
    """Grouped 1x1x1, shuffle, depthwise 3x3x3, grouped 1x1x1; the pooled input is appended, or the input added."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        middle = outputs // 4
        made = outputs - inputs if stride == 2 else outputs
        self.conv1 = conv3d(inputs, middle, 1, groups=1 if inputs == 24 else groups)
        self.bn1 = nn.BatchNorm3d(middle)
        self.conv2 = conv3d(middle, middle, 3, stride, groups=middle)
        self.bn2 = nn.BatchNorm3d(middle)
        self.conv3 = conv3d(middle, made, 1, groups=groups)
        self.bn3 = nn.BatchNorm3d(made)
        self.shortcut = nn.AvgPool3d((2, 3, 3), 2, (0, 1, 1)) if stride == 2 else None
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        y = channel_shuffle(F.relu(self.bn1(self.conv1(x)), inplace=True), self.groups)
        y = self.bn3(self.conv3(self.bn2(self.conv2(y))))
        y = x + y if self.shortcut is None else torch.cat((y, self.shortcut(x)), 1)
        return F.relu(y, inplace=True)


class ShuffleNet(nn.Module):
    """Clips (N, 3, T, H, W) -> logits (N, num_classes)."""

    def __init__(self, num_classes: int, width: float = 1.0, groups: int = 3, dropout: float = 0.2) -> None:
        super().__init__()
        channels = int(24 * width)
        self.conv1 = nn.Sequential(*conv_bn(3, channels, 3, (1, 2, 2)), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        stages = []
        for base, repeats in zip(CHANNELS[groups], REPEATS, strict=True):
            outputs = int(base * width)
            repeated = [Unit(outputs, outputs, 1, groups) for _ in range(repeats - 1)]
            stages.append(nn.Sequential(Unit(channels, outputs, 2, groups), *repeated))
            channels = outputs
        self.layer1, self.layer2, self.layer3 = stages
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Clips -> logits; the head averages over T, H and W."""
        x = self.layer3(self.layer2(self.layer1(self.maxpool(self.conv1(x)))))
        return self.classifier(x.mean((2, 3, 4)))
