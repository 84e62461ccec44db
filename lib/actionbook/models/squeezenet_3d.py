"""3-D SqueezeNet: "fire" modules squeeze to few channels and expand by 1x1x1 and 3x3x3 side by side.

Köpüklü et al., "Resource Efficient 3D Convolutional Neural Networks" (arXiv 1904.02422), Table 1;
original program okankop/Efficient-3DCNNs, models/squeezenet.py, whose parameter names this file keeps.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from actionbook.models.layers import Dropout, conv3d, init_fan_out
from actionbook.models.pooling import MaxPool3d

POOL = None
# Squeeze channels and channels of each expansion; POOL halves time and space. Inputs follow from what is before.
FIRES = {
    "1.0": (
        POOL, (16, 64), (16, 64), POOL, (32, 128), (32, 128), POOL, (48, 192), (48, 192), (64, 256), POOL, (64, 256),
    ),
    "1.1": (
        POOL, (16, 64), (16, 64), POOL, (32, 128), (32, 128), POOL, (48, 192), (48, 192), POOL, (64, 256), (64, 256),
    ),
}  # fmt: skip
STEMS = {"1.0": (96, 7), "1.1": (64, 3)}  # channels, kernel


class Fire(nn.Cell):
    """Squeeze 1x1x1, then expand by 1x1x1 and 3x3x3; the input is added where the channels allow."""

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = conv3d(in_channels, squeeze, 1, bias=True)
        self.squeeze_bn = nn.BatchNorm3d(squeeze)
        self.expand1x1 = conv3d(squeeze, expand, 1, bias=True)
        self.expand1x1_bn = nn.BatchNorm3d(expand)
        self.expand3x3 = conv3d(squeeze, expand, 3, bias=True)
        self.expand3x3_bn = nn.BatchNorm3d(expand)
        self.add_input = in_channels == 2 * expand

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, 2 * expand, T, H, W)."""
        y = ops.relu(self.squeeze_bn(self.squeeze(x)))
        wide = ops.concat((self.expand1x1_bn(self.expand1x1(y)), self.expand3x3_bn(self.expand3x3(y))), 1)
        return ops.relu(wide + x if self.add_input else wide)


class SqueezeNet(nn.Cell):
    """3-D SqueezeNet: float32 clips (N, 3, T, H, W) -> logits (N, num_classes), never negative.

    `version` is "1.1", the paper's, or "1.0". `width` multiplies the channels of every layer, rounded down (the paper
    has width 1 only). The classifier is a 1x1x1 convolution with ReLU before the mean, as in the original. At
    16x112x112 the features end as 512 channels of 1x4x4. Raises ValueError for another version.
    """

    def __init__(
        self, num_classes: int, version: str = "1.1", width: float = 1.0, dropout: float = 0.5, seed: int = 0
    ) -> None:
        super().__init__()
        if version not in FIRES:
            raise ValueError(f"version {version!r}: expected one of {', '.join(FIRES)}")
        stem, kernel = STEMS[version]
        channels = int(stem * width)
        features: list[nn.Cell] = [
            conv3d(3, channels, kernel, (1, 2, 2), bias=True),
            nn.BatchNorm3d(channels),
            nn.ReLU(),
        ]
        for fire in FIRES[version]:
            if fire is POOL:
                features.append(MaxPool3d())
                continue
            squeeze, expand = (int(c * width) for c in fire)
            features.append(Fire(channels, squeeze, expand))
            channels = 2 * expand
        self.features = nn.SequentialCell(*features)
        self.classifier = nn.SequentialCell(
            Dropout(dropout, seed), conv3d(channels, num_classes, 1, bias=True), nn.ReLU()
        )
        init_fan_out(self, seed)

    def construct(self, x: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) -> logits (N, num_classes); the head averages over T, H and W."""
        return self.classifier(self.features(x)).mean(axis=(2, 3, 4))
