"""3-D MobileNet in PyTorch."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bench.peers.networks.layers import conv3d, conv_bn

# (output channels, repeats, stride of the first): arXiv 1904.02422, Table 2.
STAGES = ((64, 1, 2), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 1))


class Block(nn.Module):
    """Depthwise, then pointwise convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3d(inputs, inputs, 3, stride, groups=inputs)
        self.bn1 = nn.BatchNorm3d(inputs)
        self.conv2 = conv3d(inputs, outputs, 1)
        self.bn2 = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True)


class MobileNet(nn.Module):
    """Clips (N, 3, T, H, W) -> logits (N, num_classes)."""

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__()
        channels = int(32 * width)
        features: list[nn.Module] = [nn.Sequential(*conv_bn(3, channels, 3, (1, 2, 2)), nn.ReLU(inplace=True))]
        for base, repeats, stride in STAGES:
            for i in range(repeats):
                outputs = int(base * width)
                features.append(Block(channels, outputs, stride if i == 0 else 1))
                channels = outputs
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Clips -> logits; the head averages over T, H and W."""
        return self.classifier(self.features(x).mean((2, 3, 4)))
