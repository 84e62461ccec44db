"""SlowFast for boxes in PyTorch, with RoIAlign as two matrix products.

Modules are called as in the original program (facebookresearch/SlowFast, slowfast/models/video_model_builder.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS = {14: (1, 1, 1, 1), 50: (3, 4, 6, 3)}  # by depth; 14 for tests
STEM = (1, 5)  # frames that a kernel of the slow and of the fast pathway sees
STAGES = ((1, 3), (1, 3), (3, 3), (3, 3))
ALPHA, BETA_INV, FUSED = 4, 8, 2
BINS, CELL = 7, 16


class Stem(nn.Module):
    """7x7 pixels with stride 2, max pool. (N, 3, T, H, W) -> (N, C, T, H/4, W/4)."""

    def __init__(self, outputs: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, outputs, (frames, 7, 7), (1, 2, 2), (frames // 2, 3, 3), bias=False)
        self.bn = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.max_pool3d(F.relu(self.bn(self.conv(x)), inplace=True), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class Branch(nn.Module):
    """Tx1x1, 1x3x3 with the stride, 1x1x1. Tensors are (N, C, T, H, W)."""

    def __init__(self, inputs: int, middle: int, outputs: int, *, frames: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.a = nn.Conv3d(inputs, middle, (frames, 1, 1), padding=(frames // 2, 0, 0), bias=False)
        self.a_bn = nn.BatchNorm3d(middle)
        spaced = (1, dilation, dilation)
        self.b = nn.Conv3d(
            middle, middle, (1, 3, 3), (1, stride, stride), (0, dilation, dilation), dilation=spaced, bias=False
        )
        self.b_bn = nn.BatchNorm3d(middle)
        self.c = nn.Conv3d(middle, outputs, 1, bias=False)
        self.c_bn = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, outputs, T, H/s, W/s)."""
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = F.relu(self.b_bn(self.b(x)), inplace=True)
        return self.c_bn(self.c(x))


class Block(nn.Module):
    """A branch beside a shortcut, a projection where the first block of a stage is."""

    def __init__(self, inputs: int, middle: int, outputs: int, *, first: bool, **spacing: int) -> None:
        super().__init__()
        self.first = first
        stride = spacing["stride"]
        if first:
            self.branch1 = nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False)
            self.branch1_bn = nn.BatchNorm3d(outputs)
        self.branch2 = Branch(inputs, middle, outputs, **spacing)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, outputs, T, H/s, W/s)."""
        y = self.branch2(x)
        y += self.branch1_bn(self.branch1(x)) if self.first else x
        return F.relu(y, inplace=True)


class Fuse(nn.Module):
    """Every fourth frame of the fast pathway, seen with three on either side, joins the slow one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_f2s = nn.Conv3d(channels, FUSED * channels, (7, 1, 1), (ALPHA, 1, 1), (3, 0, 0), bias=False)
        self.bn = nn.BatchNorm3d(FUSED * channels)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        """(N, C, T/4, H, W), (N, F, T, H, W) -> (N, C + 2F, T/4, H, W)."""
        return torch.cat((slow, F.relu(self.bn(self.conv_f2s(fast)), inplace=True)), 1)


class Head(nn.Module):
    """Mean over time, the largest of 7x7 bins of each box, a dense layer."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.projection = nn.Linear(channels, num_classes)

    def forward(self, slow: Tensor, fast: Tensor, boxes: Tensor) -> Tensor:
        """(N, C, T, H, W) of both pathways, corners in pixels (N, M, 4) -> (N, M, num_classes)."""
        maps = torch.cat((slow.mean(2), fast.mean(2)), 1)
        n, channels, height, width = (int(size) for size in maps.shape)
        m = int(boxes.shape[1])
        rows = bilinear(boxes[..., 1], boxes[..., 3], height).reshape(n, m * BINS, height)
        columns = bilinear(boxes[..., 0], boxes[..., 2], width)
        bands = torch.matmul(rows, maps.permute(0, 2, 3, 1).reshape(n, height, width * channels))
        bins = torch.matmul(columns[:, :, None], bands.reshape(n, m, BINS, width, channels))
        return self.projection(self.dropout(torch.amax(bins, (2, 3))))


def bilinear(start: Tensor, end: Tensor, size: int) -> Tensor:
    """Ends of boxes along an axis in pixels (N, M) -> what each of `size` cells weighs in each bin, (N, M, bins, size).

    RoIAlign, aligned, with as many samples as a bin has cells: the mean of their bilinear weights. Boxes lie within the
    picture, so that there is no need to look for samples outside.
    """
    start, end = start / CELL - 0.5, end / CELL - 0.5
    step = ((end - start) / BINS)[..., None, None]  # (N, M, 1, 1), with bins and samples behind
    samples = torch.ceil(step)
    bins = torch.arange(BINS, dtype=start.dtype)[:, None]
    numbers = torch.arange(-(-size // BINS), dtype=start.dtype)
    places = start[..., None, None] + (bins + (numbers + 0.5) / samples) * step
    distance = places.clamp(0, size - 1)[..., None] - torch.arange(size, dtype=start.dtype)
    return (F.relu(1 - distance.abs()) * ((numbers < samples) / samples)[..., None]).sum(3)


class SlowFast(nn.Module):
    """Clips of a moment, (N, 3, T/4, H, W) and (N, 3, T, H, W), and boxes (N, M, 4) -> logits (N, M, num_classes)."""

    def __init__(self, num_classes: int, width: float = 1.0, depth: int = 50) -> None:
        super().__init__()
        self.blocks = BLOCKS[depth]

        def wide(channels: int) -> tuple[int, int]:
            slow = max(1, int(channels * width))
            return slow, max(1, slow // BETA_INV)

        channels = wide(64)
        self.s1 = nn.Module()
        for path in (0, 1):
            self.s1.add_module(f"pathway{path}_stem", Stem(channels[path], STEM[path]))
        for stage, blocks in enumerate(self.blocks):
            self.add_module(f"s{stage + 1}_fuse", Fuse(channels[1]))
            inputs = channels[0] + FUSED * channels[1], channels[1]
            middle, outputs = wide(64 << stage), wide(256 << stage)
            stride, dilation = (2 if stage in (1, 2) else 1), (2 if stage == 3 else 1)
            part = nn.Module()
            for path in (0, 1):
                for block in range(blocks):
                    first = block == 0
                    sizes = inputs[path] if first else outputs[path], middle[path], outputs[path]
                    spacing = {"frames": STAGES[stage][path], "stride": stride if first else 1, "dilation": dilation}
                    part.add_module(f"pathway{path}_res{block}", Block(*sizes, first=first, **spacing))
            self.add_module(f"s{stage + 2}", part)
            channels = outputs
        self.head = Head(sum(channels), num_classes)

    def forward(self, slow: Tensor, fast: Tensor, boxes: Tensor) -> Tensor:
        """See the class."""
        slow, fast = self.s1.pathway0_stem(slow), self.s1.pathway1_stem(fast)
        for stage, blocks in enumerate(self.blocks):
            slow = self.get_submodule(f"s{stage + 1}_fuse")(slow, fast)
            for block in range(blocks):
                slow = self.get_submodule(f"s{stage + 2}.pathway0_res{block}")(slow)
                fast = self.get_submodule(f"s{stage + 2}.pathway1_res{block}")(fast)
        return self.head(slow, fast, boxes)
