"""SlowFast: a pathway with few frames and many channels, and one with many frames and few channels that it listens to.

Feichtenhofer et al., "SlowFast Networks for Video Recognition" (ICCV 2019, arXiv 1812.03982), Table 1 and section 4;
original program facebookresearch/SlowFast, slowfast/models/video_model_builder.py, whose parameter names this file
keeps, as its port for Ascend does (mindspore-ai/models, research/cv/slowfast).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mindspore import Tensor, nn, ops

from actionbook.models.layers import Dropout, GroupedConv3d, Triple, init_fan_out
from actionbook.models.pooling import MaxPool3d
from actionbook.models.roi_align import RoIAlign

BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
TASKS = ("detection", "classification")
PATHWAYS = {"both": (0, 1), "slow": (0,), "fast": (1,)}
STEM_FRAMES = (1, 5)  # frames that the kernels of the slow and the fast pathway reach over, in the stem
STAGE_FRAMES = ((1, 3), (1, 3), (3, 3), (3, 3))  # and in each stage
BINS, CELL = 7, 16  # RoIAlign: bins along an axis of a box, pixels of a cell of the map
HEAD_STD = 0.01
FEW = 16
"""Channels of a stem over 5 frames that are too few for MindSpore's 3-D convolution, see `GroupedConv3d`.

The network of the paper takes 7 % less time for it, in one clip of 224 x 224 and in a training step of 112 x 112. Of
its further layers of 8 channels the same was tried, and gained nothing."""


def _conv(in_channels: int, out_channels: int, kernel: Triple, stride: Triple = (1, 1, 1), apart: int = 1) -> nn.Cell:
    """A convolution whose maps keep their size at stride 1. `apart` is the distance of neighbours in H and W."""
    t, h, w = kernel[0] // 2, apart * (kernel[1] // 2), apart * (kernel[2] // 2)
    dilation = (1, apart, apart)
    padding = (t, t, h, h, w, w)
    return nn.Conv3d(in_channels, out_channels, kernel, stride, pad_mode="pad", padding=padding, dilation=dilation)


class Stem(nn.Cell):
    """Convolution of 7x7 pixels with stride 2, and a max pool that halves once more."""

    def __init__(self, out_channels: int, frames: int) -> None:
        super().__init__()
        self.conv = (
            GroupedConv3d(3, out_channels, 7, (1, 2, 2), frames=frames)
            if frames > 1 and out_channels <= FEW
            else _conv(3, out_channels, (frames, 7, 7), (1, 2, 2))
        )
        self.bn = nn.BatchNorm3d(out_channels)
        self.pool = MaxPool3d((1, 3, 3), (1, 2, 2))

    def construct(self, x: Tensor) -> Tensor:
        """(N, 3, T, H, W) -> (N, C, T, H/4, W/4)."""
        return self.pool(ops.relu(self.bn(self.conv(x))))


class Branch(nn.Cell):
    """Over time, over the picture, over channels: the bottleneck of a block, without its last activation."""

    def __init__(
        self, in_channels: int, middle: int, out_channels: int, *, frames: int, stride: int, apart: int
    ) -> None:
        super().__init__()
        self.a = _conv(in_channels, middle, (frames, 1, 1))
        self.a_bn = nn.BatchNorm3d(middle)
        self.b = _conv(middle, middle, (1, 3, 3), (1, stride, stride), apart)
        self.b_bn = nn.BatchNorm3d(middle)
        self.c = _conv(middle, out_channels, (1, 1, 1))
        self.c_bn = nn.BatchNorm3d(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, out_channels, T, H/s, W/s)."""
        x = ops.relu(self.a_bn(self.a(x)))
        x = ops.relu(self.b_bn(self.b(x)))
        return self.c_bn(self.c(x))


class Block(nn.Cell):
    """A bottleneck beside a shortcut, which has a convolution where sizes or channels change."""

    def __init__(
        self, in_channels: int, middle: int, out_channels: int, *, frames: int, stride: int, apart: int
    ) -> None:
        super().__init__()
        self.branch1: nn.Cell | None = None
        if stride > 1 or in_channels != out_channels:
            self.branch1 = _conv(in_channels, out_channels, (1, 1, 1), (1, stride, stride))
            self.branch1_bn = nn.BatchNorm3d(out_channels)
        self.branch2 = Branch(in_channels, middle, out_channels, frames=frames, stride=stride, apart=apart)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, out_channels, T, H/s, W/s)."""
        shortcut = x if self.branch1 is None else self.branch1_bn(self.branch1(x))
        return ops.relu(shortcut + self.branch2(x))


class Part(nn.Cell):
    """A part of the network with layers of its own for each pathway that is looked at, 0 the slow, 1 the fast one."""

    def __init__(self, chains: Mapping[int, Mapping[str, nn.Cell]]) -> None:
        super().__init__()
        for pathway, chain in chains.items():
            for name, cell in chain.items():
                self.insert_child_to_cell(f"pathway{pathway}_{name}", cell)
        self.chains = tuple(tuple(chain.values()) for chain in chains.values())

    def construct(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """(N, C, T, H, W) of each pathway -> the same of what its layers make of it."""
        made: tuple[Tensor, ...] = ()
        for x, chain in zip(maps, self.chains):  # noqa: B905 (graphs know no `strict`)
            y = x
            for cell in chain:
                y = cell(y)
            made = (*made, y)
        return made


class Fusion(nn.Cell):
    """What the slow pathway hears of the fast one: a convolution over time that ends with as many frames as it has."""

    def __init__(self, channels: int, ratio: int, kernel: int, alpha: int) -> None:
        super().__init__()
        self.conv_f2s = _conv(channels, ratio * channels, (kernel, 1, 1), (alpha, 1, 1))
        self.bn = nn.BatchNorm3d(ratio * channels)

    def construct(self, slow: Tensor, fast: Tensor) -> Tensor:
        """(N, C, T/alpha, H, W) and (N, F, T, H, W) -> (N, C + ratio * F, T/alpha, H, W), slow channels first."""
        return ops.concat((slow, ops.relu(self.bn(self.conv_f2s(fast)))), 1)


def _joined(features: tuple[Tensor, ...]) -> Tensor:
    """The channels of the pathways, (N, C, ...), one behind the other."""
    return features[0] if len(features) == 1 else ops.concat(features, 1)


class BoxHead(nn.Cell):
    """Logits of boxes: the mean over time, the largest value of all bins of a box, a dense layer."""

    def __init__(self, channels: int, num_classes: int, roi: str, dropout: float, seed: int) -> None:
        super().__init__()
        self.roi = RoIAlign(BINS, 1 / CELL, roi)
        self.dropout = Dropout(dropout, seed)
        self.projection = nn.Dense(channels, num_classes)

    def construct(self, maps: tuple[Tensor, ...], boxes: Tensor) -> Tensor:
        """(N, C, T, H, W) of each pathway, corners in pixels (N, M, 4) -> (N, M, classes)."""
        return self.read(self.means(maps), boxes)

    def means(self, maps: tuple[Tensor, ...]) -> Tensor:
        """(N, C, T, H, W) of each pathway -> their means over time, (N, sum of C, H, W)."""
        made: tuple[Tensor, ...] = ()
        for x in maps:
            made = (*made, x.mean(axis=2))
        return _joined(made)

    def read(self, x: Tensor, boxes: Tensor) -> Tensor:
        """Means over time (N, C, H, W), corners in pixels (N, M, 4) -> (N, M, classes)."""
        return self.projection(self.dropout(ops.amax(self.roi(x, boxes), (2, 3))))


class ClipHead(nn.Cell):
    """Logits of clips: the mean over everything, a dense layer."""

    def __init__(self, channels: int, num_classes: int, dropout: float, seed: int) -> None:
        super().__init__()
        self.dropout = Dropout(dropout, seed)
        self.projection = nn.Dense(channels, num_classes)

    def construct(self, maps: tuple[Tensor, ...]) -> Tensor:
        """(N, C, T, H, W) of each pathway -> (N, classes)."""
        made: tuple[Tensor, ...] = ()
        for x in maps:
            made = (*made, x.mean(axis=(2, 3, 4)))
        return self.projection(self.dropout(_joined(made)))


class SlowFast(nn.Cell):
    """SlowFast on a ResNet: float32 clips of one moment at two frame rates, and boxes -> logits.

    Inputs are ``slow`` (N, 3, T/alpha, H, W), ``fast`` (N, 3, T, H, W) and, for `task` "detection", ``boxes`` (N, M, 4)
    with corners x1, y1, x2, y2 in pixels of the clip. Detection gives (N, M, num_classes), "classification" (N,
    num_classes). Both are logits: the sigmoid is in the loss and the scores. Boxes of zeros, which fill up M, give
    numbers without a meaning, and take part in nothing else.

    Detection keeps the size of the maps in the last stage and sets the taps of its kernels two cells apart (section 4),
    which takes no other weights. `roi` is a rule of `roi_align.RULES`; the checkpoint of the port for Ascend needs
    "port". The fast pathway has a `beta_inv`-th of the channels; `fusion_ratio` times as many join the slow one,
    through kernels of `fusion_kernel` frames (the paper has 5, the released networks of depth 50 have 7). `width`
    multiplies the channels of every layer, rounded down but never below 1 (the paper has width 1 only). `depth` is one
    of `BLOCKS`: 50 and 101 of the paper, 14 and 26 for small trials. With `pathways` "slow" or "fast" only that one is
    looked at, and nothing joins it. `zero_init` begins every block as its shortcut (Goyal et al., arXiv 1706.02677,
    section 5.1). Raises ValueError for a value that is not among these.
    """

    def __init__(
        self,
        num_classes: int,
        width: float = 1.0,
        *,
        depth: int = 50,
        task: str = "detection",
        alpha: int = 4,
        beta_inv: int = 8,
        fusion_ratio: int = 2,
        fusion_kernel: int = 7,
        dropout: float = 0.5,
        roi: str = "exact",
        pathways: str = "both",
        zero_init: bool = True,
        seed: int = 0,
    ) -> None:
        for name, value, known in (("depth", depth, BLOCKS), ("task", task, TASKS), ("pathways", pathways, PATHWAYS)):
            if value not in known:
                raise ValueError(f"{name} {value!r}: expected one of {', '.join(map(str, known))}")
        for name, number in (("alpha", alpha), ("beta_inv", beta_inv), ("fusion_ratio", fusion_ratio)):
            if number < 1:
                raise ValueError(f"{name} {number}: expected 1 or more")
        if fusion_kernel < 1 or fusion_kernel % 2 == 0:
            raise ValueError(f"fusion_kernel {fusion_kernel}: expected an odd number of frames")
        super().__init__()
        self.alpha, self.detects, self.looked_at = alpha, task == "detection", PATHWAYS[pathways]

        def scaled(channels: int) -> list[int]:
            """Of the slow and of the fast pathway."""
            slow = max(1, int(channels * width))
            return [slow, max(1, slow // beta_inv)]

        channels = scaled(64)
        self.s1 = Part({p: {"stem": Stem(channels[p], STEM_FRAMES[p])} for p in self.looked_at})
        stages: list[Part] = []
        fusions: list[Fusion | None] = []
        for stage, blocks in enumerate(BLOCKS[depth]):
            if pathways == "both":
                fusions.append(Fusion(channels[1], fusion_ratio, fusion_kernel, alpha))
                channels[0] += fusion_ratio * channels[1]
            middle, out = scaled(64 * 2**stage), scaled(256 * 2**stage)
            large = self.detects and stage == len(STAGE_FRAMES) - 1
            stride, apart = (1 if large or stage == 0 else 2), (2 if large else 1)
            chains = {}
            for p in self.looked_at:
                like = {"frames": STAGE_FRAMES[stage][p], "apart": apart}
                first = Block(channels[p], middle[p], out[p], stride=stride, **like)
                rest = [Block(out[p], middle[p], out[p], stride=1, **like) for _ in range(blocks - 1)]
                chains[p] = {f"res{k}": block for k, block in enumerate([first, *rest])}
            stages.append(Part(chains))
            channels = out
        fusions += [None] * (len(stages) - len(fusions))
        self.s1_fuse, self.s2_fuse, self.s3_fuse, self.s4_fuse = fusions
        self.s2, self.s3, self.s4, self.s5 = stages
        features = sum(channels[p] for p in self.looked_at)
        self.head: nn.Cell
        if self.detects:
            self.head = BoxHead(features, num_classes, roi, dropout, seed)
        else:
            self.head = ClipHead(features, num_classes, dropout, seed)
        init_fan_out(self, seed, HEAD_STD)
        for gamma in [cell.c_bn.bn2d.gamma for _, cell in self.cells_and_names() if isinstance(cell, Branch)]:
            if zero_init:
                gamma.set_data(Tensor(np.zeros(gamma.shape, np.float32)))

    def check_clip(self, slow: tuple[int, ...], fast: tuple[int, ...], boxes: tuple[int, ...] | None = None) -> None:
        """Raise ValueError for clips (3, T, H, W) that do not show the same moment, and for boxes (M, 4) not wanted."""
        if fast != (slow[0], self.alpha * slow[1], *slow[2:]):
            raise ValueError(
                f"slow clips {slow} and fast ones {fast}: expected {self.alpha} times as many fast frames (alpha), "
                "and the same size"
            )
        if self.detects != (boxes is not None):
            task, found = ("detection", "none") if self.detects else ("classification", f"boxes {boxes}")
            raise ValueError(f"task {task!r}, inputs of boxes: {found}; expected (M, 4) for detection alone")

    def construct(self, slow: Tensor, fast: Tensor, boxes: Tensor | None = None) -> Tensor:
        """See the class. Raises ValueError as `check_clip`."""
        self.check_clip(slow.shape[1:], fast.shape[1:], None if boxes is None else boxes.shape[1:])
        maps = self.maps(slow, fast)
        return self.head(maps, boxes) if self.detects else self.head(maps)

    def maps(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, ...]:
        """What the head reads: (N, C, T, H/16, W/16) of each pathway, of classification H/32 and W/32."""
        maps: tuple[Tensor, ...] = ()
        for pathway in self.looked_at:
            maps = (*maps, slow if pathway == 0 else fast)
        maps = self.s2(self.heard(self.s1_fuse, self.s1(maps)))
        maps = self.s3(self.heard(self.s2_fuse, maps))
        maps = self.s4(self.heard(self.s3_fuse, maps))
        return self.s5(self.heard(self.s4_fuse, maps))

    def heard(self, fuse: Fusion | None, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The maps, the slow one with what `fuse` makes of the fast one."""
        return maps if fuse is None else (fuse(*maps), maps[1])
