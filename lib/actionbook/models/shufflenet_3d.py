"""3-D ShuffleNet (the first version): grouped pointwise convolutions, and a shuffle that mixes their groups.

Köpüklü et al., "Resource Efficient 3D Convolutional Neural Networks" (arXiv 1904.02422), Table 4;
original program okankop/Efficient-3DCNNs, models/shufflenet.py, whose parameter names this file keeps.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from actionbook.models.layers import ChannelShuffle, Dropout, conv3d, init_uniform
from actionbook.models.pooling import AvgPool3d, MaxPool3d

# Groups of the pointwise convolutions -> output channels of the three stages. 567 is what the program says; with one
# group ShuffleNet's own table has 576.
CHANNELS = {
    1: (144, 288, 567),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
REPEATS = (4, 8, 4)
STEM = 24


@ops.constexpr
def _paired(frames: int) -> Tensor:
    """Indices of the frames, the last one twice if they are odd in number."""
    return Tensor(np.minimum(np.arange(frames + frames % 2), frames - 1).astype(np.int32))


class Unit(nn.Cell):
    """Grouped 1x1x1 -> shuffle -> depthwise 3x3x3 -> grouped 1x1x1, beside a shortcut.

    With stride 1 the input is added. With stride 2 its average pooling is appended, so the convolutions make only the
    channels that are missing. The pooling takes frames in pairs; where one is left over, which the original program
    cannot take, it is a pair with itself.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int) -> None:
        super().__init__()
        middle = out_channels // 4
        made = out_channels - in_channels if stride == 2 else out_channels
        # The first unit's input is too narrow to be grouped. The original asks literally for 24 channels, which is so
        # at width 1 only; its weights need the same test.
        first = 1 if in_channels == STEM else groups
        self.conv1 = conv3d(in_channels, middle, 1, groups=first)
        self.bn1 = nn.BatchNorm3d(middle)
        self.shuffle = ChannelShuffle(middle, groups)
        self.conv2 = conv3d(middle, middle, 3, stride, groups=middle)
        self.bn2 = nn.BatchNorm3d(middle)
        self.conv3 = conv3d(middle, made, 1, groups=groups)
        self.bn3 = nn.BatchNorm3d(made)
        self.pool = AvgPool3d(in_channels, (2, 3, 3), 2, (0, 1, 1)) if stride == 2 else None

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s), sizes rounded up."""
        y = self.shuffle(ops.relu(self.bn1(self.conv1(x))))
        y = self.bn3(self.conv3(self.bn2(self.conv2(y))))  # no activation after the depthwise convolution
        if self.pool is None:
            return ops.relu(x + y)
        if x.shape[2] % 2:
            x = ops.gather(x, _paired(x.shape[2]), 2)
        return ops.relu(ops.concat((y, self.pool(x)), 1))


class ShuffleNet(nn.Cell):
    """3-D ShuffleNet: float32 clips (N, 3, T, H, W) -> logits (N, num_classes).

    `width` multiplies the channels of every layer, rounded down; `groups` is 1, 2, 3 (the paper's), 4 or 8. At width 1
    with 3 groups and 16x112x112 the features end as 960 channels of 1x4x4. Clips may have any number of frames, those
    of the original program multiples of 16. Raises ValueError for other groups, or a width whose channels do not fill
    them.
    """

    def __init__(
        self, num_classes: int, width: float = 1.0, groups: int = 3, dropout: float = 0.2, seed: int = 0
    ) -> None:
        super().__init__()
        if groups not in CHANNELS:
            raise ValueError(f"groups {groups}: expected one of {', '.join(map(str, CHANNELS))}")
        channels = int(STEM * width)
        self.conv1 = nn.SequentialCell(conv3d(3, channels, 3, (1, 2, 2)), nn.BatchNorm3d(channels), nn.ReLU())
        self.maxpool = MaxPool3d()
        stages = []
        for base, repeats in zip(CHANNELS[groups], REPEATS, strict=True):
            out = int(base * width)
            units = [Unit(channels, out, 2, groups), *(Unit(out, out, 1, groups) for _ in range(repeats - 1))]
            stages.append(nn.SequentialCell(*units))
            channels = out
        self.layer1, self.layer2, self.layer3 = stages
        self.classifier = nn.SequentialCell(Dropout(dropout, seed), nn.Dense(channels, num_classes))
        init_uniform(self, seed)

    def construct(self, x: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) -> logits (N, num_classes); the head averages over T, H and W."""
        x = self.layer3(self.layer2(self.layer1(self.maxpool(self.conv1(x)))))
        return self.classifier(x.mean(axis=(2, 3, 4)))
