"""3-D SqueezeNet 1.1, the paper's version, in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.peers.networks.layers import conv3d

# Squeeze channels and channels of each expansion, by stage; a pooling before each: arXiv 1904.02422, Table 1.
STAGES = (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192)), ((64, 256), (64, 256)))


class Fire(nn.Module):
    """Squeeze, then expand by 1x1x1 and 3x3x3; the input is added where shapes allow."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = conv3d(inputs, squeeze, 1, bias=True)
        self.squeeze_bn = nn.BatchNorm3d(squeeze)
        self.expand1x1 = conv3d(squeeze, expand, 1, bias=True)
        self.expand1x1_bn = nn.BatchNorm3d(expand)
        self.expand3x3 = conv3d(squeeze, expand, 3, bias=True)
        self.expand3x3_bn = nn.BatchNorm3d(expand)
        self.add_input = inputs == 2 * expand

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, 2 * expand, T, H, W)."""
        y = F.relu(self.squeeze_bn(self.squeeze(x)), inplace=True)
        y = torch.cat((self.expand1x1_bn(self.expand1x1(y)), self.expand3x3_bn(self.expand3x3(y))), 1)
        return F.relu(x + y if self.add_input else y, inplace=True)


class SqueezeNet(nn.Module):
    """Clips (N, 3, T, H, W) -> logits (N, num_classes), never negative."""

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        channels = int(64 * width)
        stem = conv3d(3, channels, 3, (1, 2, 2), bias=True)
        features: list[nn.Module] = [stem, nn.BatchNorm3d(channels), nn.ReLU(inplace=True)]
        for stage in STAGES:
            features.append(nn.MaxPool3d(3, 2, 1))
            for squeeze, expand in stage:
                features.append(Fire(channels, int(squeeze * width), int(expand * width)))
                channels = 2 * int(expand * width)
        self.features = nn.Sequential(*features)
        last = conv3d(channels, num_classes, 1, bias=True)
        self.classifier = nn.Sequential(nn.Dropout(dropout), last, nn.ReLU(inplace=True), nn.AdaptiveAvgPool3d(1))

    def forward(self, x: Tensor) -> Tensor:
        """Clips -> logits; the classifier is a convolution whose outputs are averaged."""
        return self.classifier(self.features(x)).flatten(1)
