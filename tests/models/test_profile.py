"""The layer table: names, kinds, sizes and counts of small networks."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from actionbook.models import create_model
from actionbook.models.layers import GroupedConv3d
from actionbook.models.profile import layer_table, watch_outputs


def test_layer_table_of_a_small_network() -> None:
    network = create_model("mobilenetv2_3d", num_classes=5, width=0.2)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    table = layer_table(network, (3, 4, 32, 32))
    assert list(table.columns) == ["name", "kind", "output", "parameters", "macs"]
    assert table.kind.value_counts().to_dict() == {
        "batch norm": 52, "pointwise convolution": 34, "depthwise convolution": 17, "convolution": 1, "dense": 1,
    }  # fmt: skip
    stem, head = table.iloc[0], table.iloc[-1]
    assert (stem["name"], stem.output, stem.parameters, stem.macs) == (
        "features.0.0", (6, 4, 16, 16), 6 * 81, 6 * 81 * 4 * 16 * 16,
    )  # fmt: skip
    assert (head["name"], head.output, head.parameters, head.macs) == ("classifier.1", (5,), 6405, 6400)
    # Depthwise: 27 products for every output.
    depthwise = table[table.kind == "depthwise convolution"]
    assert (depthwise.macs == [27 * int(np.prod(shape)) for shape in depthwise.output]).all()
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])
    assert not network.training
    assert ms.get_context("mode") == ms.GRAPH_MODE  # as it was


def test_grouped_convolutions_in_the_layer_table() -> None:
    table = layer_table(create_model("shufflenet_3d", num_classes=5), (3, 16, 32, 32)).set_index("name")
    assert table.kind.value_counts().to_dict() == {
        "batch norm": 49, "grouped convolution": 31, "depthwise convolution": 16, "pointwise convolution": 1,
        "convolution": 1, "dense": 1,
    }  # fmt: skip
    assert table.kind["layer1.0.conv1"] == "pointwise convolution"
    one = table.loc["layer1.1.conv1"]  # 240 -> 60 channels in three groups
    assert (one.kind, one.output, one.parameters, one.macs) == (
        "grouped convolution", (60, 4, 4, 4), 60 * 80, 60 * 80 * 64,
    )  # fmt: skip


def test_one_table_row_for_each_path_of_a_fire_module() -> None:
    table = layer_table(create_model("squeezenet_3d", num_classes=5, width=0.25), (3, 16, 32, 32)).set_index("name")
    assert list(table.index[2:8]) == [
        f"features.4.{name}"
        for name in ("squeeze", "squeeze_bn", "expand1x1", "expand1x1_bn", "expand3x3", "expand3x3_bn")
    ]
    assert table.parameters["features.4.expand3x3"] == 16 * 4 * 27 + 16  # with bias, which costs no product
    assert table.macs["features.4.expand3x3"] == 16 * 4 * 27 * 8 * 8 * 8
    assert table.iloc[-1].kind == "pointwise convolution"


LAYERS: list[tuple[type[nn.Cell], dict[str, Any], tuple[int, ...]]] = [
    (nn.Conv3d, {"kernel_size": 3}, (6, 9, 10)),
    (nn.Conv3d, {"kernel_size": (5, 7, 7), "stride": (1, 2, 2)}, (6, 9, 10)),
    (nn.Conv3d, {"kernel_size": 3, "stride": 2, "pad_mode": "valid"}, (6, 9, 10)),
    (nn.Conv3d, {"kernel_size": 3, "stride": 2, "pad_mode": "pad", "padding": 1}, (6, 9, 10)),
    (nn.Conv3d, {"kernel_size": (3, 1, 1), "pad_mode": "pad", "padding": (1, 1, 0, 0, 0, 0)}, (6, 9, 10)),
    (nn.Conv3d, {"kernel_size": (1, 3, 3), "pad_mode": "pad", "padding": (0, 0, 1, 2, 3, 4)}, (6, 9, 10)),
    (nn.Conv3d, {"kernel_size": (1, 3, 3), "dilation": (1, 2, 2), "pad_mode": "valid"}, (2, 9, 10)),
    (nn.Conv2d, {"kernel_size": 7, "stride": 2, "pad_mode": "pad", "padding": 3}, (12, 13)),
    (nn.Conv2d, {"kernel_size": 3, "stride": 2, "pad_mode": "same"}, (12, 13)),
    (nn.Conv2d, {"kernel_size": (3, 5), "pad_mode": "pad", "padding": (1, 0, 2, 3), "dilation": 2}, (12, 13)),
    (nn.Conv2d, {"kernel_size": 1, "stride": 2, "pad_mode": "valid", "has_bias": True}, (12, 13)),
    (GroupedConv3d, {"kernel": 3, "stride": (1, 2, 2), "groups": 3}, (6, 9, 10)),
    (GroupedConv3d, {"kernel": 7, "stride": (2, 2, 2), "frames": 5}, (6, 9, 10)),
]


@pytest.mark.parametrize(("kind", "settings", "sizes"), LAYERS, ids=str)
def test_sizes_are_those_of_what_the_layer_gives(
    kind: type[nn.Cell], settings: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    network = nn.SequentialCell(kind(3, 6, **settings))
    computed: list[tuple[int, ...]] = []
    clip = np.ones((1, 3, *sizes), np.float32)
    watch_outputs(network, clip, lambda cell: cell is network[0], lambda _n, _c, y: computed.append(y.shape[1:]))
    assert layer_table(network, (3, *sizes)).output.tolist() == computed
    again = network[0](ms.Tensor(clip)).asnumpy()
    assert again.any()
    assert again.shape[1:] == computed[0]
