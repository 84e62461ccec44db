"""StNet on ResNet-50 in PyTorch, with grouped convolutions in its Xception.

Modules are called as in the port for Ascend (mindspore-ai/models, research/cv/stnet).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS = (3, 4, 6, 3)


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1, beside a shortcut. Tensors are (N, C, H, W)."""

    def __init__(self, inputs: int, middle: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * middle
        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.down_sample_layer: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.down_sample_layer = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * middle, H/s, W/s)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        y += x if self.down_sample_layer is None else self.down_sample_layer(x)
        return F.relu(y, inplace=True)


class Temporal(nn.Module):
    """A convolution over three super-images, ReLU, batch norm, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
        self.bn1 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor, clips: int) -> Tensor:
        """(clips * segments, C, H, W) -> the same shape."""
        volume = x.reshape(clips, -1, *x.shape[1:]).transpose(1, 2)
        return x + self.bn1(F.relu(self.conv1(volume), inplace=True)).transpose(1, 2).reshape(x.shape)


class TemporalXception(nn.Module):
    """Separable convolutions over the segments, twice, beside a shortcut. Tensors are (N, C, segments, 1)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.att_conv = nn.Conv2d(inputs, inputs, (3, 1), padding=(1, 0), groups=inputs)
        self.att_2 = nn.Conv2d(inputs, outputs, 1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.att_1 = nn.Conv2d(outputs, outputs, (3, 1), padding=(1, 0), groups=outputs)
        self.att1_2 = nn.Conv2d(outputs, outputs, 1)
        self.dw = nn.Conv2d(inputs, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, segments, 1) -> (N, outputs, segments, 1)."""
        x = self.bn1(x)
        y = F.relu(self.bn2(self.att_2(self.att_conv(x))), inplace=True)
        return F.relu(self.bn3(self.att1_2(self.att_1(y)) + self.dw(x)), inplace=True)


class StNet(nn.Module):
    """Clips (N, 3, segments * frames, H, W) -> logits (N, num_classes)."""

    def __init__(self, num_classes: int, width: float = 1.0, frames: int = 5) -> None:
        super().__init__()
        self.frames = frames

        def wide(channels: int) -> int:
            return max(1, int(channels * width))

        channels = wide(64)
        self.conv1 = nn.Conv2d(3 * frames, channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for stage, blocks in enumerate(BLOCKS):
            middle, cells = wide(64 * 2**stage), []
            for block in range(blocks):
                cells.append(Bottleneck(channels, middle, 2 if stage and not block else 1))
                channels = 4 * middle
            self.add_module(f"layer{stage + 1}", nn.Sequential(*cells))
            if stage in (1, 2):
                self.add_module(f"temp{stage}", Temporal(channels))
        self.xception = TemporalXception(channels, wide(1024))
        self.fc = nn.Linear(wide(1024), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        n, c, t, h, w = (int(size) for size in x.shape)
        x = x.transpose(1, 2).reshape(n * t // self.frames, self.frames * c, h, w)
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        x = self.layer2(self.layer1(x))
        x = self.temp2(self.layer3(self.temp1(x, n)), n)
        x = self.layer4(x).mean((2, 3)).reshape(n, t // self.frames, -1)
        x = self.xception(x.transpose(1, 2).unsqueeze(3))
        return self.fc(torch.amax(x, (2, 3)))
