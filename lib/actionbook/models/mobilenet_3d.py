"""3-D MobileNet (the first version): blocks of a depthwise and a pointwise convolution.

Köpüklü et al., "Resource Efficient 3D Convolutional Neural Networks" (arXiv 1904.02422), Table 2;
original program okankop/Efficient-3DCNNs, models/mobilenet.py, whose parameter names this file keeps.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from actionbook.models.layers import Dropout, conv3d, init_uniform

# (output channels, repeats, stride of the first repeat, in T, H and W alike)
STAGES = ((64, 1, 2), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 1))


class Block(nn.Cell):
    """Depthwise 3x3x3, then pointwise 1x1x1, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3d(in_channels, in_channels, 3, stride, groups=in_channels)
        self.bn1 = nn.BatchNorm3d(in_channels)
        self.conv2 = conv3d(in_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm3d(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        x = ops.relu(self.bn1(self.conv1(x)))
        return ops.relu(self.bn2(self.conv2(x)))


class MobileNet(nn.Cell):
    """3-D MobileNet: float32 clips (N, 3, T, H, W) -> logits (N, num_classes).

    `width` multiplies the channels of every layer, rounded down. At width 1 and 16x112x112 the features end as 1024
    channels of 1x4x4; unlike in two dimensions, six of the blocks work at that size.
    """

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.2, seed: int = 0) -> None:
        super().__init__()
        channels = int(32 * width)
        features: list[nn.Cell] = [
            nn.SequentialCell(conv3d(3, channels, 3, (1, 2, 2)), nn.BatchNorm3d(channels), nn.ReLU())
        ]
        for base, repeats, stride in STAGES:
            for i in range(repeats):
                features.append(Block(channels, int(base * width), stride if i == 0 else 1))
                channels = int(base * width)
        self.features = nn.SequentialCell(*features)
        self.classifier = nn.SequentialCell(Dropout(dropout, seed), nn.Dense(channels, num_classes))
        init_uniform(self, seed)

    def construct(self, x: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) -> logits (N, num_classes); the head averages over T, H and W."""
        return self.classifier(self.features(x).mean(axis=(2, 3, 4)))
