"""The table that every network of the book stands in: what the authors' programs count in it, and its golden runs.

Rung 1 of the ladder holds the networks to its numbers, rung 2 to the runs (`actionbook.weights.golden`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from mindspore import nn

from actionbook.core.errors import BookError
from actionbook.core.spec import Shape, Spec
from actionbook.models import create_model
from actionbook.models.layers import undrawn
from actionbook.models.profile import count_parameters, layer_table

_UNITS: Final = {"M": (1e6, "million MACs"), "G": (1e9, "GMACs")}


@dataclass(frozen=True)
class Specified:
    """One network at full size, as its authors' program counts it."""

    model: str
    options: Mapping[str, Any]
    parameters: Mapping[int, int]
    """Trainable values by number of classes."""
    macs: Mapping[Shape, str]
    """Multiply-accumulates by shape of the clip (C, T, H, W), with the first of these numbers of classes: millions (M)
    or thousands of millions (G), to the digits given."""
    golden: tuple[str, ...] = ()
    """Names of the runs of the authors' program with it; none where it was not run."""
    takes: Callable[[Shape], Spec] = Spec.of
    """What the network takes where a clip has this shape, of several pathways the one with the most frames."""

    @property
    def name(self) -> str:
        """Model and options, to be read."""
        return " ".join([self.model, *(f"{key} {value}" for key, value in self.options.items())])

    def counts(self, *, macs: bool = True) -> list[dict[str, Any]]:
        """Rows {what, found, expected}: parameters and multiply-accumulates, neither of which hangs on weights."""
        classes = next(iter(self.parameters))
        with undrawn():
            network = create_model(self.model, num_classes=classes, **self.options)
        total, head = count_parameters(network), _head(network)
        rows: list[dict[str, Any]] = [
            {
                "what": f"parameters, {self.name}, {number} classes",
                "found": total - head + head // classes * number,
                "expected": expected,
            }
            for number, expected in self.parameters.items()
        ]
        for shape, text in self.macs.items() if macs else ():
            value, unit = text.split()
            one, words = _UNITS[unit]
            found = round(float(layer_table(network, self.takes(shape)).macs.sum()) / one, len(value.partition(".")[2]))
            what = f"{words} at {self._clip(shape)}, {self.name}, {classes} classes"
            rows.append({"what": what, "found": found, "expected": float(value)})
        return rows

    def _clip(self, shape: Shape) -> str:
        """What tells a shape from the others: its frames, and the size of these where they alone do not."""
        alike = sum(other[1] == shape[1] for other in self.macs) > 1
        return f"{shape[1]} frames" + (f" of {shape[2]} x {shape[3]}" if alike else "")


def specified(chapter: str) -> list[dict[str, Any]]:
    """Rung 1: rows {what, found, expected} of every network of a chapter, counted here and by the authors' program.

    Each network is made at full size and run once for each clip, for its sizes alone. Raises BookError for a chapter
    without networks.
    """
    return [row for one in of_chapter(chapter) for row in one.counts()]


def counts_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """What was found, for people: one row a network, one column for each thing counted and number of classes."""
    table = pd.DataFrame(rows)
    table[["what", "network", "of"]] = table.what.str.split(", ", expand=True)
    table["found"] = table.found.map("{:,.10g}".format)
    return table.pivot(index="network", columns=["what", "of"], values="found").loc[table.network.unique()].fillna("")


def of_chapter(chapter: str) -> tuple[Specified, ...]:
    """The networks of a chapter. Raises BookError listing the chapters that have some."""
    if chapter not in TABLE:
        raise BookError(f"no networks are specified for chapter {chapter!r}; there are some for: {', '.join(TABLE)}")
    return TABLE[chapter]


def _head(network: nn.Cell) -> int:
    """Trainable values of the last module, the only one that knows the classes."""
    parameters = network.trainable_params()
    module = parameters[-1].name.rpartition(".")[0]
    return sum(int(p.size) for p in parameters if p.name.rpartition(".")[0] == module)


def _small(model: str, options: dict[str, Any], counts: tuple[int, ...], macs: str, golden: str = "") -> Specified:
    """A network of Efficient-3DCNNs at 16 frames of 112 x 112; parameters for the classes of Kinetics-600, UCF101 and,
    where it was counted with them, Jester."""
    parameters = dict(zip((600, 101, 27), counts, strict=False))
    return Specified(model, options, parameters, {(3, 16, 112, 112): macs}, (golden,) if golden else ())


def _pathways(shape: Shape) -> Spec:
    """Every fourth frame for the slow pathway, all of them for the fast one."""
    c, t, *size = shape
    return Spec({"slow": (c, t // 4, *size), "fast": shape})


def _boxes(shape: Shape) -> Spec:
    """The same, and three boxes."""
    return Spec({**_pathways(shape).inputs, "boxes": (3, 4)})


TABLE: Final[Mapping[str, tuple[Specified, ...]]] = {
    "efficient3d": (
        _small("mobilenetv2_3d", {"width": 1.0}, (3_122_648, 2_483_429, 2_388_635), "519.05 M", "mobilenetv2_1.0x"),
        _small("mobilenetv2_3d", {"width": 0.7}, (2_049_942, 1_410_723), "295.70 M"),
        _small("mobilenetv2_3d", {"width": 0.45}, (1_399_834, 760_615), "157.96 M", "mobilenetv2_0.45x"),
        _small("mobilenetv2_3d", {"width": 0.2}, (964_110, 324_891), "54.90 M"),
        _small("mobilenet_3d", {"width": 2.0}, (14_104_536, 13_082_085), "646.02 M"),
        _small("mobilenet_3d", {"width": 1.5}, (8_223_864, 7_456_901), "417.03 M"),
        _small("mobilenet_3d", {"width": 1.0}, (3_912_984, 3_401_509, 3_325_659), "233.03 M", "mobilenet_1.0x"),
        _small("mobilenet_3d", {"width": 0.5}, (1_171_896, 915_909), "94.02 M", "mobilenet_0.5x"),
        _small("shufflenet_3d", {"width": 2.0, "groups": 3}, (4_758_888, 3_800_309), "514.45 M"),
        _small("shufflenet_3d", {"width": 1.5, "groups": 3}, (2_924_916, 2_205_857), "329.19 M", "shufflenet_1.5x_g3"),
        _small(
            "shufflenet_3d",
            {"width": 1.0, "groups": 3},
            (1_521_504, 1_041_965, 970_851),
            "187.71 M",
            "shufflenet_1.0x_g3",
        ),
        _small("shufflenet_3d", {"width": 0.5, "groups": 3}, (545_772, 305_753), "71.96 M", "shufflenet_0.5x_g3"),
        _small("shufflenetv2_3d", {"width": 2.0}, (6_639_816, 5_617_365), "424.91 M"),
        _small("shufflenetv2_3d", {"width": 1.5}, (3_161_880, 2_650_405), "280.86 M"),
        _small("shufflenetv2_3d", {"width": 1.0}, (1_914_180, 1_402_705, 1_326_855), "186.54 M", "shufflenetv2_1.0x"),
        _small("shufflenetv2_3d", {"width": 0.5}, (976_664, 465_189), "119.92 M"),
        _small("shufflenetv2_3d", {"width": 0.25}, (829_656, 318_181), "110.47 M", "shufflenetv2_0.25x"),
        _small("squeezenet_3d", {"version": "1.1"}, (2_145_560, 1_889_573, 1_851_611), "902.61 M", "squeezenet1.1"),
        _small("squeezenet_3d", {"version": "1.0"}, (2_239_768, 1_983_781), "5641.9 M", "squeezenet1.0"),
        _small("resnet18_3d", {"shortcut": "A"}, (33_337_880, 33_081_893, 33_043_931), "8296.4 M", "resnet18_A"),
        _small("resnet18_3d", {"shortcut": "B"}, (33_511_704, 33_255_717), "8308.1 M"),
        _small("resnet50_3d", {"shortcut": "A"}, (44_651_800, 43_629_349), "9779.3 M"),
        _small("resnet50_3d", {"shortcut": "B"}, (47_428_376, 46_405_925), "10069.7 M", "resnet50_B"),
        _small("resnet101_3d", {"shortcut": "A"}, (83_697_944, 82_675_493), "13600.7 M"),
        _small("resnet101_3d", {"shortcut": "B"}, (86_474_520, 85_452_069), "13891.1 M"),
        _small("resnext101_3d", {"shortcut": "B"}, (48_750_616, 47_728_165, 47_576_539), "9568.1 M", "resnext101_B"),
    ),
    "i3d": (
        Specified(
            "i3d",
            {"in_channels": 3},
            {400: 12_697_264, 600: 12_902_264, 101: 12_390_789, 51: 12_339_539},
            {(3, 64, 224, 224): "111.15 G", (3, 16, 224, 224): "27.79 G"},
            ("rgb_T16_224", "rgb_T17_224_odd_time", "rgb_T64_224"),
        ),
        Specified(
            "i3d",
            {"in_channels": 2},
            {400: 12_675_312, 600: 12_880_312, 101: 12_368_837, 51: 12_317_587},
            {(2, 64, 224, 224): "102.34 G"},
            ("flow_T16_224",),
        ),
    ),
    "eco": (
        Specified(
            "eco_full",
            {},
            {400: 47_502_128, 101: 47_042_565, 51: 46_965_715},
            {(3, 4, 224, 224): "16.10 G", (3, 8, 224, 224): "32.21 G", (3, 16, 224, 224): "64.41 G"},
            ("full_K400_N4", "full_K101_N16", "full_K51_N4_B2"),
        ),
        Specified(
            "eco_lite",
            {},
            {400: 37_503_856, 101: 37_350_469, 51: 37_324_819},
            {(3, 4, 224, 224): "11.62 G", (3, 8, 224, 224): "23.24 G", (3, 16, 224, 224): "46.49 G"},
            ("lite_K101_N4", "lite_K101_N16", "lite_K51_N4_B2"),
        ),
    ),
    "stnet": (
        Specified(
            "stnet_resnet50",
            {},
            {400: 33_158_864},
            {(3, 35, 224, 224): "40.583 G", (3, 125, 256, 256): "189.269 G"},
            ("grouped_K400_T7_N5_B1", "grouped_K400_T3_N5_B1_256"),
        ),
        Specified(
            "stnet_resnet50",
            {"xception": "dense", "max_pool": "port"},
            {400: 48_878_288, 101: 48_571_813},
            {(3, 35, 224, 224): "40.693 G", (3, 125, 256, 256): "189.662 G"},
            ("dense_K400_T7_N5_B1", "dense_K51_T3_N3_B2"),
        ),
    ),
    "slowfast": (
        Specified(
            "slowfast_r50",
            {},
            {80: 33_828_888},
            {(3, 32, 224, 224): "74.181 G", (3, 32, 256, 384): "145.333 G"},
            ("ava_224_B1", "ava_128x160_B2"),
            _boxes,
        ),
        Specified(
            "slowfast_r50",
            {"task": "classification"},
            {400: 34_566_488},
            {(3, 32, 256, 256): "65.71 G"},
            ("kinetics400_224_B1",),
            _pathways,
        ),
    ),
}
"""By chapter. Counted in okankop/Efficient-3DCNNs at commit 9db09f6, piergiaj/pytorch-i3d at commit 05783d1,
mzolfaghari/ECO-pytorch at commit b175e7c, mindspore-ai/models and PaddlePaddle/models at baa3220 and b71cf63, and
facebookresearch/SlowFast at commit 287ec00."""
