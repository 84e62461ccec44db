from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn, ops

from actionbook.conversion import (
    ConversionError,
    OnnxExport,
    export_mindir,
    export_onnx,
    export_onnx_raw,
    exporter,
    first_difference,
    layer_differences,
)
from actionbook.conversion.names import tidy_names
from actionbook.core.difference import difference
from actionbook.models import create_model
from actionbook.models.layers import GroupedConv3d
from actionbook.weights.golden import Golden, golden_runs


@pytest.fixture(scope="module")
def golden() -> Golden:
    return next(run for run in golden_runs("efficient3d") if run.name == "mobilenetv2_0.45x")


def run_onnx(path: Path, clips: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["class"], {"image": clips})[0]


def test_golden_network_through_onnx_and_mindir(golden, tmp_path):
    network, clip = golden.network(), golden.batch["image"]
    export = export_onnx(network, tmp_path / "net.onnx", golden.spec)
    export_mindir(network, tmp_path / "net.mindir", golden.spec, batch=1)
    graph = nn.GraphCell(ms.load(str(tmp_path / "net.mindir")))
    for logits in (run_onnx(export.path, clip), graph(Tensor(clip)).asnumpy()):
        assert difference(logits[0], golden.logits).relative < 1e-4
    assert export.raw_nodes == 359
    assert export.nodes == 125
    assert export.nodes <= 0.35 * export.raw_nodes
    assert export.operators == {"Conv": 51, "Clip": 35, "Reshape": 27, "Add": 10, "ReduceMean": 1, "Gemm": 1}
    assert export.relative_difference < 5e-5  # rounding alone: the plain folded graph is as far off
    assert export.bytes == export.path.stat().st_size
    names = [node.name for node in onnx.load(export.path).graph.node]
    assert names[0] == "features.0.0"
    assert len(set(names)) == len(names)


class Unequal(nn.Cell):
    """Convolutions whose axes have different pads, which MindSpore exports in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 4, (5, 7, 7), (1, 2, 2), "pad", (2, 2, 3, 3, 3, 3), has_bias=True)
        self.norm = nn.BatchNorm3d(4)
        self.plane = nn.Conv3d(4, 5, (1, 3, 3), 1, "pad", (0, 0, 1, 1, 1, 1))
        self.same = nn.Conv3d(5, 6, (3, 1, 2), (2, 1, 1), "same")
        self.depthwise = GroupedConv3d(6, 6, 3, 2, groups=6)
        self.dense = nn.Dense(6, 3)

    def construct(self, x: Tensor) -> Tensor:
        x = ops.relu(self.norm(self.stem(x)))
        x = self.depthwise(ops.relu(self.same(self.plane(x))))
        return self.dense(x.mean(axis=(2, 3, 4)))


SMALL = (3, 6, 14, 12)


@pytest.fixture(scope="module")
def unequal() -> nn.Cell:
    return Unequal()


@pytest.fixture(scope="module")
def unequal_export(unequal, tmp_path_factory) -> OnnxExport:
    return export_onnx(unequal, tmp_path_factory.mktemp("unequal") / "net.onnx", SMALL)


def convolution_ranks(path: Path) -> list[int]:
    nodes = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    return [len(onnx.helper.get_node_attr_value(node, "kernel_shape")) for node in nodes]


def test_unequal_pads_come_out_right(unequal_export):
    assert unequal_export.relative_difference < 1e-5
    assert "BatchNormalization" not in unequal_export.operators
    assert onnx.load(unequal_export.path).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert convolution_ranks(unequal_export.path) == [3, 3, 3, 2]


def test_a_fixed_batch_and_grouped_form(unequal, tmp_path):
    export = export_onnx(unequal, tmp_path / "net.onnx", SMALL, batch=2, depthwise="grouped")
    assert onnx.load(export.path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    assert convolution_ranks(export.path) == [3, 3, 3, 3]


def test_the_raw_export_runs_and_agrees(unequal, unequal_export, tmp_path):
    clips = np.random.default_rng(0).standard_normal((2, *SMALL), dtype=np.float32)
    raw = export_onnx_raw(unequal, tmp_path / "raw.onnx", SMALL, batch=2)
    np.testing.assert_allclose(run_onnx(unequal_export.path, clips), run_onnx(raw, clips), atol=1e-5)
    assert len(onnx.load(raw).graph.node) == unequal_export.raw_nodes


def test_names_are_those_of_the_cells_whatever_they_are_called(tmp_path):
    convolution = nn.Conv3d(3, 4, 1, has_bias=True)
    network = nn.SequentialCell(
        OrderedDict(image=convolution, shape=nn.BatchNorm3d(4), flat=nn.Flatten(), last=nn.Dense(32, 2))
    )
    path = export_onnx(network, tmp_path / "a.onnx", (3, 2, 2, 2)).path
    graph = onnx.load(path).graph
    assert [node.name for node in graph.node] == ["image.2", "image/Flatten", "last"]  # "image" is the input
    numbered = nn.SequentialCell(nn.Conv3d(3, 4, 1, has_bias=True), nn.Flatten(), nn.Dense(32, 2))
    graph = onnx.load(export_onnx(numbered, tmp_path / "b.onnx", (3, 2, 2, 2)).path).graph
    assert [node.name for node in graph.node] == ["0", "0/Flatten", "2"]
    assert {tensor.name for tensor in graph.initializer} == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_the_network_is_as_before(unequal, tmp_path):
    unequal.set_train(True)
    unequal.norm.set_train(False)  # a frozen batch norm in a network that trains
    mode = ms.get_context("mode")
    names = [parameter.name for parameter in unequal.get_parameters()]
    try:
        export_onnx_raw(unequal, tmp_path / "net.onnx", SMALL)
        export_mindir(unequal, tmp_path / "net.mindir", SMALL)
        assert unequal.training
        assert unequal.depthwise.training
        assert not unequal.norm.training
        assert unequal.depthwise.form == "banded"
        assert unequal.phase == "train"
        assert ms.get_context("mode") == mode
        assert [parameter.name for parameter in unequal.get_parameters()] == names
    finally:
        unequal.set_train(False)


def test_changed_weights_are_exported(unequal, unequal_export, tmp_path):
    clip = np.random.default_rng(0).standard_normal((1, *SMALL), dtype=np.float32)
    before = run_onnx(unequal_export.path, clip)
    unequal.dense.bias.set_data(unequal.dense.bias + 1)
    after = run_onnx(export_onnx(unequal, tmp_path / "a.onnx", SMALL, batch=1).path, clip)
    np.testing.assert_allclose(after, before + 1, atol=1e-5)


def test_a_graph_that_differs_gets_no_name(unequal, tmp_path, monkeypatch):
    def spoil(graph):
        tidy_names(graph)
        graph.constants["plane.weight"] = graph.constants["plane.weight"] * 1.01

    monkeypatch.setattr(exporter, "tidy_names", spoil)
    with pytest.raises(ConversionError, match=r"differs from the network by .*, first in node 'plane'"):
        export_onnx(unequal, tmp_path / "net.onnx", SMALL, batch=1)
    assert list(tmp_path.iterdir()) == []


class Pooled(nn.Cell):
    """A padded pool, written as SAME by MindSpore: on 6 frames that would pad 0 before and 1 behind."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = ops.MaxPool3D(3, 2, "pad", (1, 1, 1, 1, 1, 1))

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(x).mean(axis=(2, 3, 4))


def test_a_padded_pool_keeps_its_padding(tmp_path):
    export = export_onnx(Pooled(), tmp_path / "net.onnx", SMALL, batch=2)
    (pool,) = (node for node in onnx.load(export.path).graph.node if node.op_type == "MaxPool")
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in pool.attribute}
    assert values == {"kernel_shape": [3, 3, 3], "strides": [2, 2, 2], "pads": [1] * 6}
    clips = np.random.default_rng(0).standard_normal((2, *SMALL), dtype=np.float32) - 5  # zeros would win
    padded = np.pad(clips, [(0, 0), (0, 0), (1, 1), (1, 1), (1, 1)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3), axis=(2, 3, 4))[:, :, ::2, ::2, ::2]
    np.testing.assert_allclose(run_onnx(export.path, clips), windows.max((-3, -2, -1)).mean((2, 3, 4)), atol=1e-5)


class Operation(nn.Cell):
    """One operation on the clips, then the mean."""

    def __init__(self, operation: nn.Cell | ops.Primitive) -> None:
        super().__init__()
        self.operation = operation

    def construct(self, x: Tensor) -> Tensor:
        return self.operation(x).mean(axis=(2, 3, 4))


@pytest.mark.parametrize(
    ("operation", "operator", "remedy"),
    [
        (nn.AvgPool3d(3, 2), "AvgPool3D", r"models\.pooling\.AvgPool3d"),
        (nn.AdaptiveAvgPool3d(1), "AdaptiveAvgPool3D", r"x\.mean"),
        (nn.HSwish(), "HSwish", "relu6"),
        (ops.Erfinv(), "Erfinv", "export_mindir"),
    ],
)
def test_what_mindspore_cannot_export_is_said_with_what_to_use_instead(tmp_path, operation, operator, remedy):
    message = f"MindSpore cannot export this network as ONNX: its operator {operator} .*Use .*{remedy}.* instead"
    with pytest.raises(ConversionError, match=message):
        export_onnx(Operation(operation), tmp_path / "net.onnx", SMALL, batch=1)
    assert list(tmp_path.iterdir()) == []


class Images(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2, "pad", 1)

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(x[:, :, 0]).mean(axis=(2, 3))


def test_a_padded_2d_pool_is_referred_to_the_librarys(tmp_path):
    with pytest.raises(ConversionError, match=r"MaxPool3DWithArgmax .*models\.pooling\.MaxPool3d"):
        export_onnx(Images(), tmp_path / "net.onnx", SMALL, batch=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depthwise": "split"}, "depthwise form 'split'"),
        ({"batch": -1}, "batch -1"),
        ({"path": "net.json"}, r"ends in \.onnx"),
    ],
)
def test_impossible_wishes_are_refused(unequal, tmp_path, options, message):
    with pytest.raises(ConversionError, match=message):
        export_onnx(unequal, **{"path": tmp_path / "net.onnx", "spec": SMALL, **options})


def test_a_pool_needs_a_fixed_batch_in_mindir(tmp_path):
    network = create_model("shufflenetv2_3d", num_classes=3, width=0.25)
    with pytest.raises(ConversionError, match=r"as MINDIR: .+With a fixed `batch` it may"):
        export_mindir(network, tmp_path / "open.mindir", (3, 4, 32, 32))
    assert export_mindir(network, tmp_path / "two.mindir", (3, 4, 32, 32), batch=2).stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == ["two.mindir"]


class Mixed(nn.Cell):
    """A network that casts for itself; it ends in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, (1, 3, 3), pad_mode="pad", padding=(0, 0, 1, 1, 1, 1)).to_float(ms.float16)
        self.norm = nn.BatchNorm3d(4)
        self.dense = nn.Dense(4, 3)

    def construct(self, image: Tensor) -> Tensor:
        return self.dense(self.norm(self.conv(image).astype(ms.float32)).mean((2, 3, 4)))


@pytest.mark.parametrize("level", ["O0", "O2", "O3", "to_float"])
def test_a_network_in_16_bits_is_exported_as_what_it_is(level, tmp_path):
    ms.set_seed(1)
    network = Mixed()
    network = network.to_float(ms.float16) if level == "to_float" else ms.amp.auto_mixed_precision(network, level)
    network.set_train(False)
    export = export_onnx(network, tmp_path / "net.onnx", (3, 2, 8, 8))
    assert export.half
    assert export.relative_difference < 1e-2
    graph = onnx.load(export.path).graph
    casts = {attribute.i for node in graph.node if node.op_type == "Cast" for attribute in node.attribute}
    assert onnx.TensorProto.FLOAT16 in casts | {tensor.data_type for tensor in graph.initializer}
    clip = np.random.default_rng(0).standard_normal((3, 2, 8, 8), dtype=np.float32)
    layers = layer_differences(network, export.path, clip)
    assert first_difference(layers, 1e-2) is None


def test_a_network_in_32_bits_is_held_to_more(tmp_path):
    assert not export_onnx(Unequal(), tmp_path / "net.onnx", (3, 4, 16, 16)).half


class Padded(nn.Cell):
    """Zeros around the values before a pool, by MindSpore's cell or by its function."""

    def __init__(self, pad: nn.Cell) -> None:
        super().__init__()
        self.pad, self.pool, self.dense = pad, nn.MaxPool2d(3, 2, pad_mode="valid"), nn.Dense(3, 2)

    def construct(self, x: Tensor) -> Tensor:
        # Without ReLU the check would refuse the file: ONNX Runtime 1.31 takes zeros before a max pool for the pool's
        # own padding, which never is the maximum.
        return self.dense(self.pool(self.pad(ops.relu(x.mean(axis=2)))).mean(axis=(2, 3)))


def test_zeros_that_are_padded_by_the_cell_are_exported(tmp_path):
    export = export_onnx(Padded(nn.Pad(((0, 0), (0, 0), (2, 1), (1, 0)))), tmp_path / "net.onnx", (3, 2, 6, 8))
    assert export.operators["Pad"] == 1
    graph = onnx.load(export.path).graph
    pads = next(t for t in graph.initializer if t.name == next(n for n in graph.node if n.op_type == "Pad").input[1])
    assert onnx.numpy_helper.to_array(pads).tolist() == [0, 0, 2, 1, 0, 0, 1, 0]


def test_zeros_that_are_padded_by_the_function_are_named_with_the_cell(tmp_path):
    with pytest.raises(ConversionError, match=r"operator PadV3 has no ONNX form there\. Use .* nn\.Pad instead"):
        export_onnx(Padded(nn.ZeroPad2d((1, 0, 2, 1))), tmp_path / "net.onnx", (3, 2, 6, 8))
