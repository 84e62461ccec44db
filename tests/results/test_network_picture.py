"""The picture of a network shows the network: its sizes and costs, each once, and the ways between its stages."""

from __future__ import annotations

import re

import mindspore as ms
import numpy as np
import pandas as pd
import pytest
from mindspore import nn

from actionbook.core.spec import Spec
from actionbook.models import create_model
from actionbook.models.profile import count_parameters, watch_outputs
from actionbook.results.network_picture import MeasuredNetwork, Part, _arrows, measure_network, network_picture

CLIP = (3, 8, 32, 32)
BLOCKS = [
    Part("conv", ["features.0"]),
    Part("narrow", [f"features.{i}" for i in range(1, 11)], "inverted residuals"),
    Part("wide", [f"features.{i}" for i in range(11, 18)], "inverted residuals"),
    Part("last", ["features.18"]),
    Part("classes", ["classifier.1"]),
]
BRANCHES = [
    Part("b0", ["Mixed_3b.b0"], "1×1×1", path="0"),
    Part("b1a", ["Mixed_3b.b1a"], "1×1×1", path="1"),
    Part("b1b", ["Mixed_3b.b1b"], "3×3×3", path="1"),
    Part("b2a", ["Mixed_3b.b2a"], "1×1×1", path="2"),
    Part("b2b", ["Mixed_3b.b2b"], "3×3×3", path="2"),
    Part("b3a", ["Mixed_3b.b3a"], "max pool", path="3"),
    Part("b3b", ["Mixed_3b.b3b"], "1×1×1", path="3"),
    Part("stacked", ["Mixed_3b"]),
]


@pytest.fixture(scope="module")
def small() -> tuple[nn.Cell, MeasuredNetwork]:
    network = create_model("mobilenetv2_3d", num_classes=5, width=0.2)
    return network, measure_network(network, CLIP)


@pytest.fixture(scope="module")
def inception() -> MeasuredNetwork:
    return measure_network(create_model("i3d", num_classes=5, width=0.125), CLIP)


def test_sizes_and_costs_are_those_of_the_network(small: tuple[nn.Cell, MeasuredNetwork]) -> None:
    network, measured = small
    stages = network_picture(measured, BLOCKS).stages
    seen = {}
    zeros = np.zeros((1, *CLIP), np.float32)
    watch_outputs(network, zeros, lambda cell: True, lambda name, cell, y: seen.update({name: tuple(y.shape[1:])}))
    assert stages[0].output == CLIP
    for stage, part in zip(stages[1:], BLOCKS, strict=True):
        assert stage.outputs == tuple(seen[name] for name in part.modules)
    assert stages[-1].output == (5,)
    assert sum(stage.parameters for stage in stages) == count_parameters(network)
    assert sum(stage.macs for stage in stages) == measured.layers.macs.sum()
    assert not network.training


def test_a_picture_is_the_same_each_time_and_says_its_sizes(small: tuple[nn.Cell, MeasuredNetwork]) -> None:
    picture = network_picture(small[1], BLOCKS)
    assert picture.html == network_picture(measure_network(small[0], CLIP), BLOCKS).html
    assert repr(picture).splitlines()[:2] == ["input: 3 × 8 × 32 × 32", "conv: 6 × 8 × 16 × 16"]
    assert "conv 6 × 8 × 16 × 16" in re.findall('aria-label="([^"]*)"', picture.html)[0]
    assert ">narrow ×10</text>" in picture.html
    assert picture.html.count("inverted residuals") == 1  # the legend


def test_the_inside_of_a_block(inception: MeasuredNetwork) -> None:
    stages = {stage.part.title: stage for stage in network_picture(inception, BRANCHES, "MaxPool3d_3a_3x3").stages}
    ends = [stages[title].output[0] for title in ("b0", "b1b", "b2b", "b3b")]
    assert stages["input"].output == inception.outputs["MaxPool3d_3a_3x3"]
    assert stages["stacked"].output == (sum(ends), *stages["b0"].output[1:])
    assert (stages["input"].parameters, stages["stacked"].parameters, stages["b3a"].parameters) == (0, 0, 0)
    mine = inception.layers[inception.layers.name.str.startswith("Mixed_3b.")]
    assert sum(stage.parameters for stage in stages.values()) == mine.parameters.sum()


def test_a_layer_beside_the_modules_counts_with_the_one_before(small: tuple[nn.Cell, MeasuredNetwork]) -> None:
    layers = small[1].layers.set_index("name").parameters
    inside = [Part("expand", ["features.3.conv.0"]), Part("sum", ["features.3"], adds="input")]
    _, expand, whole = network_picture(small[1], inside, "features.2").stages
    assert expand.parameters == layers[layers.index.str.startswith("features.3.")].sum()
    assert whole.parameters == 0
    assert whole.output == small[1].outputs["features.2"]


def test_the_ways_of_four_branches() -> None:
    ways = _arrows([Part("input", ()), *BRANCHES])
    assert [way[:2] for way in ways] == [
        (0, 1), (0, 2), (2, 3), (0, 4), (4, 5), (0, 6), (6, 7), (1, 8), (3, 8), (5, 8), (7, 8),
    ]  # fmt: skip


def test_two_inputs_with_a_lateral_connection_and_a_shortcut() -> None:
    outputs = {"s1": (8, 2, 4, 4), "f1": (2, 8, 4, 4), "s2": (16, 2, 2, 2), "f2": (4, 8, 2, 2), "head": (7,)}
    layers = pd.DataFrame({"name": list(outputs), "parameters": 1, "macs": range(5)})
    spec = Spec({"slow": (3, 2, 8, 8), "fast": (3, 8, 8, 8)}, (7,))
    parts = [
        Part("slow 1", ["s1"], path="slow"),
        Part("fast 1", ["f1"], "fast", path="fast", into="slow"),
        Part("slow 2", ["s2"], path="slow", adds="slow 1"),
        Part("fast 2", ["f2"], "fast", path="fast"),
        Part("head", ["head"]),
    ]
    picture = network_picture(MeasuredNetwork(spec, outputs, layers), parts)
    assert [stage.part.title for stage in picture.stages[:2]] == ["slow", "fast"]
    ways = _arrows([stage.part for stage in picture.stages])
    assert {(2, 4, ""), (3, 4, "lateral"), (2, 4, "shortcut"), (4, 6, ""), (5, 6, "")} <= set(ways)
    assert len(ways) == 8
    assert picture.html.count("stroke-dasharray") == 1
    # Boxes are a row of their own, which has neither frames nor rows for the heads of the lines to name.
    boxes = Spec({**spec.inputs, "boxes": (3, 4)}, (3, 7))
    for given, rows in ((spec, 2), (boxes, 3)):
        drawn = network_picture(MeasuredNetwork(given, outputs, layers), parts).html
        assert (drawn.count(">C × T<"), drawn.count('font-weight="bold">boxes<')) == (2, rows - 2)


def test_outputs_of_two_dimensional_layers_have_their_frames_in_the_batch() -> None:
    class Folded(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.dense = nn.Conv2d(3, 4, 3), nn.Dense(4, 5)

        def construct(self, x: ms.Tensor) -> ms.Tensor:
            n, c, t, h, w = x.shape
            maps = self.conv(x.transpose(0, 2, 1, 3, 4).reshape(n * t, c, h, w))
            return self.dense(maps.mean(axis=(2, 3)).reshape(n, t, -1).mean(axis=1))

    outputs = measure_network(Folded(), (3, 6, 8, 8)).outputs
    assert (outputs["conv"], outputs["dense"]) == ((4, 6, 8, 8), (5,))


@pytest.mark.parametrize(
    ("parts", "start", "words"),
    [
        ([Part("a", ["features.99"])], None, r"nothing in this network is called features\.99.*classifier"),
        ([Part("a", ["features.0"])], "head", "called head"),
        ([Part("a", ["features.0"]), Part("a", ["features.1"])], None, "different titles"),
        ([Part("a", ["features.0"], into="fast")], None, "'a' leads into 'fast'"),
        ([Part("a", ["features.0"], adds="b"), Part("b", ["features.1"])], None, "'a' adds 'b': before it are input"),
    ],
)
def test_what_does_not_fit_is_named(
    small: tuple[nn.Cell, MeasuredNetwork], parts: list[Part], start: str | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        network_picture(small[1], parts, start)
