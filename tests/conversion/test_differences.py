from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from mindspore import nn
from onnx import numpy_helper

from actionbook.conversion import ConversionError, export_onnx, export_onnx_raw
from actionbook.conversion.differences import COLUMNS, first_difference, layer_differences, spoil
from actionbook.conversion.graph import attributes, set_attribute
from actionbook.models import create_model

CLIP = (3, 8, 32, 32)
NETWORKS = {"resnet18_3d": {"width": 0.125}, "mobilenet_3d": {"width": 0.25}, "squeezenet_3d": {}}


@pytest.fixture(scope="module")
def resnet(tmp_path_factory) -> tuple[nn.Cell, Path]:
    network = create_model("resnet18_3d", num_classes=5, **NETWORKS["resnet18_3d"])
    return network, export_onnx(network, tmp_path_factory.mktemp("net") / "net.onnx", CLIP, batch=2).path


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, resnet, tmp_path_factory) -> tuple[nn.Cell, Path]:
    if request.param == "resnet18_3d":
        return resnet
    network = create_model(request.param, num_classes=5, **NETWORKS[request.param])
    form = "grouped" if request.param == "squeezenet_3d" else "banded"
    return network, export_onnx(network, tmp_path_factory.mktemp("net") / "net.onnx", CLIP, depthwise=form).path


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(CLIP, dtype=np.float32)


def test_a_good_file_has_no_difference(exported, clip):
    network, path = exported
    table = layer_differences(network, path, clip)
    assert list(table.columns) == COLUMNS
    assert first_difference(table) is None
    assert (table["relative"] < 1e-4).all()
    nodes = [node for node in onnx.load(path).graph.node if node.op_type in ("Conv", "Gemm", "MaxPool")]
    unnamed = [node for node in nodes if not node.doc_string]  # shortcut A is a convolution with constants
    assert len(table) == len(nodes) - len(unnamed)
    assert len(unnamed) == (3 if type(network).__name__ == "ResNet" else 0)
    assert list(table["node"]) == [node.name for node in nodes if node.doc_string]


def test_altered_weights_are_found_where_they_are(exported, clip, tmp_path):
    network, path = exported
    places = [i for i, node in enumerate(onnx.load(path).graph.node) if node.op_type == "Conv" and node.doc_string]
    for place in (places[len(places) // 2], places[-1]):
        model = onnx.load(path)
        node = model.graph.node[place]
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.001), tensor.name))
        onnx.save(model, tmp_path / "altered.onnx")
        first = first_difference(layer_differences(network, tmp_path / "altered.onnx", clip))
        assert (first["node"], first["operator"], first["cell"]) == (node.name, "Conv", node.doc_string)
        assert 1e-4 < first["relative"] < 0.1


def test_one_altered_weight_is_found(resnet, clip, tmp_path):
    name = spoil(resnet[1], tmp_path / "altered.onnx")
    table = layer_differences(resnet[0], tmp_path / "altered.onnx", clip)
    first = first_difference(table)
    assert first["node"] == name
    assert (table["relative"][: first.name] < 1e-5).all()


@pytest.mark.parametrize("pads", [[0, 0, 0, 2, 2, 2], [1, 1, 1, 1, 1, 3]])
def test_a_wrong_pad_is_found_also_where_the_file_does_not_run(resnet, clip, tmp_path, pads):
    network, path = resnet
    model = onnx.load(path)
    (pool,) = (node for node in model.graph.node if node.op_type == "MaxPool")
    assert attributes(pool)["pads"] == [1] * 6
    set_attribute(pool, "pads", pads)  # the first as SAME would have it; with the second, sizes change too
    onnx.save(model, tmp_path / "wrong.onnx")
    table = layer_differences(network, tmp_path / "wrong.onnx", clip)
    first = first_difference(table)
    assert (first["operator"], first["cell"]) == ("MaxPool", "maxpool")
    assert list(table["cell"][:2]) == ["bn1", "maxpool"]
    assert np.isinf(first["relative"]) == (sum(pads) > 6)


def test_a_raw_export_is_told_by_the_names_of_its_weights(resnet, clip, tmp_path):
    network, _ = resnet
    table = layer_differences(network, export_onnx_raw(network, tmp_path / "raw.onnx", CLIP), clip)
    assert first_difference(table) is None
    assert set(table["operator"]) == {"Conv", "BatchNormalization", "MaxPool", "Gemm"}
    assert list(table["cell"][:3]) == ["conv1", "bn1", "maxpool"]


def test_a_cell_used_twice_has_two_rows(clip, tmp_path):
    convolution = nn.Conv3d(3, 3, 3)
    network = nn.SequentialCell(convolution, nn.SequentialCell(nn.ReLU(), convolution), nn.Flatten(), nn.Dense(12, 2))
    path = export_onnx(network, tmp_path / "net.onnx", (3, 1, 2, 2), batch=1).path
    table = layer_differences(network, path, clip[:, :1, :2, :2])
    assert list(table["cell"]) == ["0", "0", "3"]
    assert first_difference(table) is None


def test_a_dense_layer_with_an_activation_is_not_one_node(clip, tmp_path):
    network = nn.SequentialCell(nn.Flatten(), nn.Dense(12, 6, activation="relu"), nn.Dense(6, 2))
    path = export_onnx(network, tmp_path / "net.onnx", (3, 1, 2, 2)).path
    table = layer_differences(network, path, clip[:, :1, :2, :2])
    assert list(table["cell"]) == ["2"]
    assert first_difference(table) is None


def test_another_networks_file_is_refused(resnet, clip, tmp_path):
    with pytest.raises(ConversionError, match="none of its nodes names a layer"):
        layer_differences(nn.SequentialCell(nn.ReLU()), resnet[1], clip)
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(ConversionError, match="cannot be read as ONNX"):
        layer_differences(resnet[0], tmp_path / "text.onnx", clip)


def test_nan_is_a_difference(resnet, clip):
    table = layer_differences(*resnet, clip)
    table.loc[3, "relative"] = np.nan
    assert first_difference(table)["node"] == table["node"][3]
    assert first_difference(table[:3]) is None
    assert first_difference(table[:3], tolerance=0)["node"] == table["node"][0]
