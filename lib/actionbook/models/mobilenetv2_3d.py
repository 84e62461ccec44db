"""3-D MobileNetV2: inverted residual blocks with depthwise 3x3x3 convolutions.

Köpüklü et al., "Resource Efficient 3D Convolutional Neural Networks" (arXiv 1904.02422), Table 3;
original program okankop/Efficient-3DCNNs, models/mobilenetv2.py, whose parameter names this file keeps.
"""

from __future__ import annotations

from mindspore import Tensor, nn

from actionbook.models.layers import Dropout, conv3d, init_fan_out

# (expansion t, output channels c, repeats n, stride s of the first repeat, in T, H and W alike)
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Cell):
    """Expand 1x1x1 -> depthwise 3x3x3 -> project 1x1x1; the input is added where shapes allow.

    Narrow-wide-narrow: the block's ends carry few channels, its middle `expansion` times more. The projection is
    linear (no activation), nor is there one after the addition.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = round(in_channels * expansion)
        expand = [conv3d(in_channels, hidden, 1), nn.BatchNorm3d(hidden), nn.ReLU6()] if expansion != 1 else []
        self.conv = nn.SequentialCell(
            *expand,
            conv3d(hidden, hidden, 3, stride, groups=hidden),
            nn.BatchNorm3d(hidden),
            nn.ReLU6(),
            conv3d(hidden, out_channels, 1),
            nn.BatchNorm3d(out_channels),
        )
        self.add_input = stride == 1 and in_channels == out_channels

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        y = self.conv(x)
        return x + y if self.add_input else y


class MobileNetV2(nn.Cell):
    """3-D MobileNetV2: float32 clips (N, 3, T, H, W) -> logits (N, num_classes).

    `width` multiplies the channels of every layer (the last only where width > 1), rounded down.
    At width 1 and 16x112x112 the features end as 1280 channels of 1x4x4.
    """

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.2, seed: int = 0) -> None:
        super().__init__()
        channels = int(32 * width)
        last = int(1280 * width) if width > 1 else 1280
        features: list[nn.Cell] = [
            nn.SequentialCell(conv3d(3, channels, 3, (1, 2, 2)), nn.BatchNorm3d(channels), nn.ReLU6())
        ]
        for expansion, base, repeats, stride in STAGES:
            for i in range(repeats):
                out_channels = int(base * width)
                features.append(InvertedResidual(channels, out_channels, stride if i == 0 else 1, expansion))
                channels = out_channels
        features.append(nn.SequentialCell(conv3d(channels, last, 1), nn.BatchNorm3d(last), nn.ReLU6()))
        self.features = nn.SequentialCell(*features)
        self.classifier = nn.SequentialCell(Dropout(dropout, seed), nn.Dense(last, num_classes))
        init_fan_out(self, seed, linear_std=0.01)

    def construct(self, x: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) -> logits (N, num_classes); the head averages over T, H and W."""
        return self.classifier(self.features(x).mean(axis=(2, 3, 4)))
