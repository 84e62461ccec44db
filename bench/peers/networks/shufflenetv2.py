"""3-D ShuffleNetV2 in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.peers.networks.layers import channel_shuffle, conv_bn

# Width -> output channels of the stages and of the last convolution: arXiv 1904.02422, Table 5, and the program.
CHANNELS = {
    0.25: (32, 64, 128, 1024),
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (224, 488, 976, 2048),
}
REPEATS = (4, 8, 4)
STEM = 24


def pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    """1x1x1 convolution with batch norm and ReLU."""
    return [*conv_bn(inputs, outputs, 1), nn.ReLU(inplace=True)]


class Unit(nn.Module):
    """Half of the channels pass as they are; with stride 2 all go through both branches. A shuffle mixes them.

    The branches are called as in the original program.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.stride = stride
        if stride == 2:
            self.banch1 = nn.Sequential(*conv_bn(inputs, inputs, 3, 2, groups=inputs), *pointwise(inputs, half))
        self.banch2 = nn.Sequential(
            *pointwise(inputs if stride == 2 else half, half),
            *conv_bn(half, half, 3, stride, groups=half),
            *pointwise(half, half),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        if self.stride == 2:
            return channel_shuffle(torch.cat((self.banch1(x), self.banch2(x)), 1), 2)
        kept, changed = x.chunk(2, 1)
        return channel_shuffle(torch.cat((kept, self.banch2(changed)), 1), 2)


class ShuffleNetV2(nn.Module):
    """Clips (N, 3, T, H, W) -> logits (N, num_classes)."""

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__()
        *stages, last = CHANNELS[width]
        self.conv1 = nn.Sequential(*conv_bn(3, STEM, 3, (1, 2, 2)), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        channels, features = STEM, []
        for outputs, repeats in zip(stages, REPEATS, strict=True):
            features += [Unit(channels, outputs, 2), *(Unit(outputs, outputs, 1) for _ in range(repeats - 1))]
            channels = outputs
        self.features = nn.Sequential(*features)
        self.conv_last = nn.Sequential(*pointwise(channels, last))
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Clips -> logits; the head averages over T, H and W."""
        x = self.conv_last(self.features(self.maxpool(self.conv1(x))))
        return self.classifier(x.mean((2, 3, 4)))
