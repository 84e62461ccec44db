"""3-D ShuffleNetV2: half of the channels pass each unit untouched, and a shuffle deals them out again.

Köpüklü et al., "Resource Efficient 3D Convolutional Neural Networks" (arXiv 1904.02422), Table 5;
original program okankop/Efficient-3DCNNs, models/shufflenetv2.py, whose parameter names this file keeps, but for the
spelling of "branch", which the weight layout translates.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from actionbook.models.layers import ChannelShuffle, Dropout, conv3d, init_uniform
from actionbook.models.pooling import MaxPool3d

# Width -> output channels of the three stages and of the last convolution.
CHANNELS = {
    0.25: (32, 64, 128, 1024),
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (224, 488, 976, 2048),
}
REPEATS = (4, 8, 4)
STEM = 24


def depthwise(channels: int, stride: int) -> list[nn.Cell]:
    """Depthwise 3x3x3 with batch norm, without activation."""
    return [conv3d(channels, channels, 3, stride, groups=channels), nn.BatchNorm3d(channels)]


def pointwise(in_channels: int, out_channels: int) -> list[nn.Cell]:
    """1x1x1 with batch norm and ReLU."""
    return [conv3d(in_channels, out_channels, 1), nn.BatchNorm3d(out_channels), nn.ReLU()]


class Unit(nn.Cell):
    """Stride 1: one half of the channels as it is, the other through the convolutions. Stride 2: all through both."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        into = in_channels if stride == 2 else half
        self.branch1 = (
            nn.SequentialCell(*depthwise(in_channels, 2), *pointwise(in_channels, half)) if stride == 2 else None
        )
        self.branch2 = nn.SequentialCell(*pointwise(into, half), *depthwise(half, stride), *pointwise(half, half))
        self.shuffle = ChannelShuffle(2 * half, 2)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        if self.branch1 is None:
            kept, changed = ops.split(x, x.shape[1] // 2, 1)
        else:
            kept, changed = self.branch1(x), x
        return self.shuffle(ops.concat((kept, self.branch2(changed)), 1))


class ShuffleNetV2(nn.Cell):
    """3-D ShuffleNetV2: float32 clips (N, 3, T, H, W) -> logits (N, num_classes).

    `width` is one of the published ones: 0.25, 0.5, 1, 1.5, 2; the stem has 24 channels in all of them. At width 1 and
    16x112x112 the features end as 1024 channels of 1x4x4. Raises ValueError for another width.
    """

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.2, seed: int = 0) -> None:
        super().__init__()
        if width not in CHANNELS:
            raise ValueError(f"width {width}: expected one of {', '.join(map(str, CHANNELS))}")
        *stages, last = CHANNELS[width]
        self.conv1 = nn.SequentialCell(conv3d(3, STEM, 3, (1, 2, 2)), nn.BatchNorm3d(STEM), nn.ReLU())
        self.maxpool = MaxPool3d()
        channels, features = STEM, []
        for out, repeats in zip(stages, REPEATS, strict=True):
            features += [Unit(channels, out, 2), *(Unit(out, out, 1) for _ in range(repeats - 1))]
            channels = out
        self.features = nn.SequentialCell(*features)
        self.conv_last = nn.SequentialCell(*pointwise(channels, last))
        self.classifier = nn.SequentialCell(Dropout(dropout, seed), nn.Dense(last, num_classes))
        init_uniform(self, seed)

    def construct(self, x: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) -> logits (N, num_classes); the head averages over T, H and W."""
        x = self.conv_last(self.features(self.maxpool(self.conv1(x))))
        return self.classifier(x.mean(axis=(2, 3, 4)))
