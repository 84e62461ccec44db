"""3-D MobileNetV2 in PyTorch."""

from __future__ import annotations

from torch import Tensor, nn

from bench.peers.networks.layers import conv_bn

# (expansion, output channels, repeats, stride of the first): arXiv 1904.02422, Table 3.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project; the input is added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [*conv_bn(inputs, hidden, 1), nn.ReLU6(inplace=True)] if expansion != 1 else []
        depthwise = [*conv_bn(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(inplace=True)]
        self.conv = nn.Sequential(*expand, *depthwise, *conv_bn(hidden, outputs, 1))
        self.add_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        return x + self.conv(x) if self.add_input else self.conv(x)


class MobileNetV2(nn.Module):
    """Clips (N, 3, T, H, W) -> logits (N, num_classes)."""

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__()
        channels = int(32 * width)
        last = int(1280 * width) if width > 1 else 1280
        features: list[nn.Module] = [nn.Sequential(*conv_bn(3, channels, 3, (1, 2, 2)), nn.ReLU6(inplace=True))]
        for expansion, base, repeats, stride in STAGES:
            for i in range(repeats):
                outputs = int(base * width)
                features.append(Block(channels, outputs, stride if i == 0 else 1, expansion))
                channels = outputs
        features.append(nn.Sequential(*conv_bn(channels, last, 1), nn.ReLU6(inplace=True)))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Clips -> logits; the head averages over T, H and W."""
        return self.classifier(self.features(x).mean((2, 3, 4)))
