"""StNet: neighbouring frames as channels of one picture, pictures from all over the video, and what joins them.

He et al., "StNet: Local and Global Spatial-Temporal Modeling for Action Recognition" (AAAI 2019, arXiv 1811.01549);
original program PaddlePaddle/models release/1.8, PaddleCV/video/models/stnet/stnet_res_model.py. Parameter names are
those of its port for Ascend, mindspore-ai/models, research/cv/stnet/src/Stnet_Res_model.py.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from actionbook.models.layers import init_he_uniform
from actionbook.models.pooling import MaxPool3d

MAX_POOLS = ("symmetric", "port")
XCEPTIONS = ("grouped", "dense")
BLOCKS = (3, 4, 6, 3)  # of ResNet-50


class Bottleneck(nn.Cell):
    """1x1, 3x3 with the stride, 1x1, beside a shortcut: a block of ResNet-50, version 1.5."""

    def __init__(self, in_channels: int, middle: int, stride: int, *, eps: float) -> None:
        super().__init__()
        out = 4 * middle
        self.conv1 = nn.Conv2d(in_channels, middle, 1)
        self.bn1 = nn.BatchNorm2d(middle, eps)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, pad_mode="pad", padding=1)
        self.bn2 = nn.BatchNorm2d(middle, eps)
        self.conv3 = nn.Conv2d(middle, out, 1)
        self.bn3 = nn.BatchNorm2d(out, eps)
        self.down_sample_layer: nn.Cell | None = None
        if stride > 1 or in_channels != out:
            self.down_sample_layer = nn.SequentialCell(
                nn.Conv2d(in_channels, out, 1, stride, pad_mode="valid"), nn.BatchNorm2d(out, eps)
            )

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * middle, H/s, W/s)."""
        y = ops.relu(self.bn1(self.conv1(x)))
        y = ops.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return ops.relu(y + (x if self.down_sample_layer is None else self.down_sample_layer(x)))


class Temporal(nn.Cell):
    """What neighbouring super-images of one place say to each other, added to each: the paper's temporal block.

    A convolution over three super-images, ReLU, and only then batch norm; nothing follows the sum.
    """

    def __init__(self, channels: int, *, eps: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, (3, 1, 1), pad_mode="pad", padding=(1, 1, 0, 0, 0, 0), has_bias=True)
        self.bn1 = nn.BatchNorm3d(channels, eps)

    def construct(self, x: Tensor, clips: int) -> Tensor:
        """(clips * segments, C, H, W) -> the same shape."""
        _, c, h, w = x.shape
        volume = x.reshape(clips, -1, c, h, w).transpose(0, 2, 1, 3, 4)
        y = self.bn1(ops.relu(self.conv1(volume)))
        return x + y.transpose(0, 2, 1, 3, 4).reshape(x.shape)


class TemporalXception(nn.Cell):
    """Separable convolutions over the segments of a clip, twice, beside a shortcut: the paper's Figure 3.

    `dense` takes whole convolutions for those that should see each channel alone, as the port for Ascend does.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dense: bool, eps: float) -> None:
        super().__init__()

        def over_time(channels: int) -> nn.Cell:
            return nn.Conv2d(
                channels,
                channels,
                (3, 1),
                pad_mode="pad",
                padding=(1, 1, 0, 0),
                group=1 if dense else channels,
                has_bias=True,
            )

        def pointwise(inputs: int) -> nn.Cell:
            return nn.Conv2d(inputs, out_channels, 1, has_bias=True)

        self.bn1 = nn.BatchNorm2d(in_channels, eps)
        self.att_conv = over_time(in_channels)
        self.att_2 = pointwise(in_channels)
        self.bn2 = nn.BatchNorm2d(out_channels, eps)
        self.att_1 = over_time(out_channels)
        self.att1_2 = pointwise(out_channels)
        self.dw = pointwise(in_channels)
        self.bn3 = nn.BatchNorm2d(out_channels, eps)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, segments, 1) -> (N, out_channels, segments, 1)."""
        x = self.bn1(x)
        y = ops.relu(self.bn2(self.att_2(self.att_conv(x))))
        y = self.att1_2(self.att_1(y))
        return ops.relu(self.bn3(y + self.dw(x)))


class StNet(nn.Cell):
    """StNet on ResNet-50: float32 clips (N, 3, segments * frames, H, W) -> logits (N, num_classes).

    `frames` in a row are one super-image, a picture of 3 * frames channels, frame by frame; a clip holds as many of
    them as it is long, and the weights do not depend on their number. `xception` "dense" and `max_pool` "port" (which
    pads the first pool at the end alone) make the variant of the program for Ascend (mindspore-ai/models), whose
    published checkpoint needs them. `eps` is that of all batch norms; ResNet-50 of MindSpore's model zoo was trained
    with 1e-4. `width` multiplies the channels of every layer, rounded down but never below 1 (the paper has width 1
    only).

    Without `local` only the middle frame of a super-image is looked at. Without `temporal` nothing joins the segments
    but the mean of what each says, as in temporal segment networks. Raises ValueError for a variant that is not known.
    """

    def __init__(
        self,
        num_classes: int,
        width: float = 1.0,
        *,
        frames: int = 5,
        xception: str = "grouped",
        max_pool: str = "symmetric",
        eps: float = 1e-5,
        local: bool = True,
        temporal: bool = True,
        seed: int = 0,
    ) -> None:
        for name, value, known in (("xception", xception, XCEPTIONS), ("max_pool", max_pool, MAX_POOLS)):
            if value not in known:
                raise ValueError(f"{name} {value!r}: expected one of {', '.join(known)}")
        if frames < 1:
            raise ValueError(f"frames {frames}: expected 1 or more, of one super-image")
        super().__init__()
        self.frames, self.local = frames, local

        def scaled(channels: int) -> int:
            return max(1, int(channels * width))

        channels = scaled(64)
        self.conv1 = nn.Conv2d(3 * frames if local else 3, channels, 7, 2, pad_mode="pad", padding=3)
        self.bn1 = nn.BatchNorm2d(channels, eps)
        self.relu = nn.ReLU()
        ends_alone = max_pool == "port"
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="same") if ends_alone else MaxPool3d((1, 3, 3), (1, 2, 2))
        stages, ends = [], []
        for stage, blocks in enumerate(BLOCKS):
            cells = []
            for block in range(blocks):
                middle = scaled(64 * 2**stage)
                cells.append(Bottleneck(channels, middle, 2 if stage and not block else 1, eps=eps))
                channels = 4 * middle
            stages.append(nn.SequentialCell(cells))
            ends.append(channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.temp1 = self.temp2 = self.xception = None
        if temporal:
            self.temp1, self.temp2 = Temporal(ends[1], eps=eps), Temporal(ends[2], eps=eps)
            self.xception = TemporalXception(channels, scaled(1024), dense=xception == "dense", eps=eps)
        self.fc = nn.Dense(scaled(1024) if temporal else channels, num_classes)
        init_he_uniform(self, seed)
        for _, cell in self.cells_and_names():
            if isinstance(cell, Bottleneck):  # begins as its shortcut (Goyal et al., arXiv 1706.02677, section 5.1)
                cell.bn3.gamma.set_data(Tensor(np.zeros(cell.bn3.gamma.shape, np.float32)))
        bound = 1 / np.sqrt(channels)  # of the features before the Xception, as the authors' program has it
        drawn = np.random.default_rng(seed).uniform(-bound, bound, self.fc.weight.shape)
        self.fc.weight.set_data(Tensor(drawn.astype(np.float32)))

    def check_clip(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError for a clip (3, T, H, W) that is not a whole number of super-images."""
        if shape[1] % self.frames:
            raise ValueError(f"{shape[1]} frames: expected a multiple of {self.frames}, the frames of a super-image")

    def super_images(self, x: Tensor) -> Tensor:
        """Clips (N, 3, segments * frames, H, W) -> pictures (N * segments, frames * 3, H, W), frame by frame."""
        n, c, t, h, w = x.shape
        segments = t // self.frames
        if not self.local:
            middle = x.reshape(n, c, segments, self.frames, h, w)[:, :, :, self.frames // 2]
            return middle.transpose(0, 2, 1, 3, 4).reshape(n * segments, c, h, w)
        return x.transpose(0, 2, 1, 3, 4).reshape(n * segments, self.frames * c, h, w)

    def construct(self, x: Tensor) -> Tensor:
        """Clips (N, 3, segments * frames, H, W) -> logits (N, num_classes). Raises ValueError as `check_clip`."""
        n = x.shape[0]
        self.check_clip(x.shape[1:])
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.super_images(x)))))
        x = self.layer2(self.layer1(x))
        if self.temp1 is not None:
            x = self.temp1(x, n)
        x = self.layer3(x)
        if self.temp2 is not None:
            x = self.temp2(x, n)
        x = self.layer4(x).mean(axis=(2, 3))
        x = x.reshape(n, -1, x.shape[1])
        if self.xception is None:
            return self.fc(x.mean(axis=1))
        x = self.xception(x.transpose(0, 2, 1).expand_dims(3))
        return self.fc(ops.amax(x, (2, 3)))
