"""Networks of several inputs, images, boxes and masks, through everything that converts; and specs that do not fit."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn, ops
from onnx import helper

from actionbook.conversion import (
    ConversionError,
    OnnxExport,
    export_air,
    export_mindir,
    export_onnx,
    export_onnx_raw,
    layer_differences,
    preflight,
    quantise,
    store_half,
)
from actionbook.conversion.check import compare
from actionbook.conversion.differences import first_difference
from actionbook.conversion.mindir import inputs, read_mindir
from actionbook.core.difference import difference
from actionbook.core.spec import Spec, SpecError

SIZES = {"slow": (3, 4, 16, 16), "fast": (3, 8, 16, 16), "boxes": (5, 4)}
SPEC = Spec(SIZES, (5, 7), "scores")


class Pathways(nn.Cell):
    """Two clips of other rates, read at boxes: their corners stand for what a region pool would make of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 4, 3, (1, 2, 2), "pad", 1)
        self.norm = nn.BatchNorm3d(4)
        self.quick = nn.Conv3d(3, 4, (5, 3, 3), (2, 2, 2), "pad", (2, 2, 1, 1, 1, 1))
        self.corners, self.head = nn.Dense(4, 8), nn.Dense(8, 7)

    def construct(self, slow: Tensor, fast: Tensor, boxes: Tensor) -> Tensor:
        x = ops.concat((ops.relu(self.norm(self.stem(slow))), ops.relu(self.quick(fast))), 1)
        x = x.mean(axis=(2, 3, 4)).expand_dims(1) * ops.relu(self.corners(boxes))
        return self.head(x)


class Regions(nn.Cell):
    """RoIAlign on the two pathways; a box begins with the number of its sample in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.quick = nn.Conv3d(3, 4, 3), nn.Conv3d(3, 4, 3)
        self.align, self.head = ops.ROIAlign(2, 2, 0.5, 2, 0), nn.Dense(32, 7)

    def construct(self, slow: Tensor, fast: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        n, m, _ = boxes.shape
        x = ops.concat((self.stem(slow).mean(axis=2), self.quick(fast).mean(axis=2)), 1)
        x = self.align(x, boxes.reshape(n * m, 5)).reshape(n * m, 32)
        return self.head(x).reshape(n, m, 7) * mask.expand_dims(2)


def run_onnx(path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["scores"], arrays)[0]


@pytest.fixture(scope="module")
def network() -> nn.Cell:
    network, rng = Pathways().set_train(False), np.random.default_rng(0)
    network.norm.bn2d.moving_mean.set_data(Tensor(rng.standard_normal(4, dtype=np.float32)))
    return network


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    made = SPEC.random(4, seed=1)
    made["boxes"] = np.random.default_rng(1).random((4, 5, 4), dtype=np.float32)
    return made


@pytest.fixture(scope="module")
def expected(network, batch) -> np.ndarray:
    return network(*map(Tensor, batch.values())).asnumpy()


@pytest.fixture(scope="module")
def opened(network, batch, tmp_path_factory) -> OnnxExport:
    return export_onnx(network, tmp_path_factory.mktemp("pathways") / "net.onnx", SPEC, example=batch)


def test_an_open_batch_is_open_in_every_input(opened, batch, expected):
    graph = onnx.load(opened.path).graph
    for values, names in ((graph.input, list(SIZES)), (graph.output, ["scores"])):
        assert [value.name for value in values] == names
        assert [value.type.tensor_type.shape.dim[0].dim_param for value in values] == ["batch"] * len(names)
    for size in (1, 2, 4):
        found = run_onnx(opened.path, {name: array[:size] for name, array in batch.items()})
        assert difference(found, expected[:size]).relative < 1e-5
    assert "BatchNormalization" not in opened.operators


def test_a_fixed_batch_and_the_raw_export(network, batch, expected, tmp_path):
    fixed = export_onnx(network, tmp_path / "net.onnx", SPEC, batch=2)
    raw = export_onnx_raw(network, tmp_path / "raw.onnx", SPEC, batch=2)
    for path in (fixed.path, raw):
        graph = onnx.load(path).graph
        shapes = {value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in graph.input}
        assert shapes == {name: (2, *sizes) for name, sizes in SIZES.items()}
        found = run_onnx(path, {name: array[2:] for name, array in batch.items()})
        assert difference(found, expected[2:]).relative < 1e-5
        assert first_difference(layer_differences(network, path, {name: a[1] for name, a in batch.items()})) is None


@pytest.mark.parametrize("size", [None, 4])
def test_mindir_keeps_names_and_order(network, batch, expected, tmp_path, size):
    path = export_mindir(network, tmp_path / "net.mindir", SPEC, batch=size)
    assert inputs(read_mindir(path)) == {name: (size, *sizes) for name, sizes in SIZES.items()}
    graph = nn.GraphCell(ms.load(str(path)))
    assert difference(graph(*map(Tensor, batch.values())).asnumpy(), expected).relative < 1e-5


def test_every_layer_is_compared(network, opened, batch):
    sample = {name: array[3] for name, array in batch.items()}
    table = layer_differences(network, opened.path, sample)
    assert list(table["cell"]) == ["norm", "quick", "corners", "head"]
    assert first_difference(table) is None
    with pytest.raises(SpecError, match=r"sample: inputs slow, fast; expected slow, fast, boxes"):
        layer_differences(network, opened.path, {name: sample[name] for name in ("slow", "fast")})
    with pytest.raises(SpecError, match="network of one input, this one has slow, fast, boxes"):
        layer_differences(network, opened.path, sample["slow"])


def test_the_comparison_sees_every_input(network, opened, batch):
    assert compare(network, opened.path, SPEC, batch, (4, 1)).relative < 1e-5
    other = Pathways().set_train(False)
    for name, parameter in network.parameters_dict().items():
        other.parameters_dict()[name].set_data(parameter)
    other.corners.weight.set_data(other.corners.weight * 1.01)
    assert 1e-4 < compare(other, opened.path, SPEC, batch, (4, 1)).relative < 1


def test_fewer_bits(opened, batch, expected, tmp_path):
    half = store_half(opened.path, tmp_path / "half.onnx")
    assert 0 < difference(run_onnx(half, batch), expected).relative < 1e-2
    integers = quantise(opened.path, tmp_path / "int8.onnx", batch)
    assert 0 < difference(run_onnx(integers, batch), expected).relative < 0.5
    with pytest.raises(SpecError, match=r"calibration samples: batches of \[3, 4\] samples"):
        quantise(opened.path, tmp_path / "int8.onnx", batch | {"boxes": batch["boxes"][:3]})


def test_preflight_judges_every_input(opened):
    found = preflight(opened.path)
    rows = {row.node: row for row in found.rows if row.operator == "(input)"}
    assert list(rows) == list(SIZES)
    assert all((row.verdict, row.why) == ("fine", "the batch is open") for row in rows.values())
    assert ("3 and 5 axes" in found.rows[0].why, found.rows[0].remedy) == (True, "give ATC --input_format=ND")
    model = onnx.load(opened.path)
    model.graph.input[2].type.tensor_type.shape.dim[1].dim_param = "boxes"
    verdicts = {row.node: row.verdict for row in preflight(model).rows if row.operator == "(input)"}
    assert verdicts == {"slow": "fine", "fast": "fine", "boxes": "refused"}


def regions_batch(size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    corners = np.sort(rng.uniform(0, 30, (size, 5, 2, 2)), axis=2).reshape(size, 5, 4)
    numbers = np.broadcast_to(np.arange(size)[:, np.newaxis, np.newaxis], (size, 5, 1))
    boxes = np.concatenate((numbers, corners), 2).astype(np.float32)
    images = Spec({name: SIZES[name] for name in ("slow", "fast")}).random(size, 2)
    return {**images, "boxes": boxes, "mask": (rng.random((size, 5)) < 0.8).astype(np.float32)}


def test_region_features_of_an_open_batch(tmp_path):
    network, batch = Regions().set_train(False), regions_batch(4)
    spec = Spec({name: array.shape[1:] for name, array in batch.items()}, (5, 7), "scores")
    export = export_onnx(network, tmp_path / "net.onnx", spec, example=batch)
    assert export.operators["RoiAlign"] == 1
    found = run_onnx(export.path, batch)
    assert difference(found, network(*map(Tensor, batch.values())).asnumpy()).relative < 1e-5
    assert not found[batch["mask"] == 0].any()
    integers = quantise(export.path, tmp_path / "int8.onnx", batch)
    assert difference(run_onnx(integers, batch), found).relative < 0.3


@pytest.mark.parametrize(
    ("example", "raised"),
    [
        ({"slow": 3, "fast": 3}, (SpecError, "example: inputs slow, fast; expected slow, fast, boxes")),
        ({"slow": 3, "fast": 3, "boxes": 2}, (SpecError, r"example: batches of \[2, 3\]")),
        ({"slow": 2, "fast": 2, "boxes": 2}, (ConversionError, "example: 2 samples, expected 3 or more")),
    ],
)
def test_examples_that_do_not_fit(network, batch, tmp_path, example, raised):
    arrays = {name: batch[name][:size] for name, size in example.items()}
    with pytest.raises(raised[0], match=raised[1]):
        export_onnx(network, tmp_path / "net.onnx", SPEC, example=arrays)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SIZES["slow"], r"Pathways\.construct takes 3 inputs \(slow, fast, boxes\), the spec has 1 \(image"),
        (Spec(SIZES | {"mask": (5,)}), r"takes 3 inputs \(slow, fast, boxes\), the spec has 4 \(slow .*, mask"),
        (Spec(dict(reversed(SIZES.items()))), "construct takes slow, fast, boxes, the spec has them in another order"),
    ],
)
def test_specs_of_other_inputs(network, tmp_path, spec, message):
    for export in (export_onnx, export_onnx_raw, export_mindir):
        suffix = ".mindir" if export is export_mindir else ".onnx"
        with pytest.raises(ConversionError, match=message):
            export(network, tmp_path / f"net{suffix}", spec, batch=2)
    with pytest.raises(ConversionError, match=message):
        export_air(network, tmp_path / "net.air", spec, batch=2)
    with pytest.raises(ConversionError, match=message):
        compare(network, tmp_path / "net.onnx", spec, Spec.of(spec).random(2), (2,))
    assert not list(tmp_path.iterdir())


class Ends(nn.Cell):
    """Two outputs, or a tuple of one; the second input may be left out."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def construct(self, x: Tensor, shift: Tensor | None = None) -> tuple[Tensor, ...]:
        y = ops.relu(x if shift is None else x + shift)
        return (y, y * 2) if self.outputs == 2 else (y,)


def test_two_outputs_where_one_is_expected(build, tmp_path):
    message = r"the network returns 2 outputs \[\(2, 3\), \(2, 3\)\], the spec has one, 'class'"
    with pytest.raises(ConversionError, match=message):
        export_onnx(Ends(2), tmp_path / "net.onnx", (3,), batch=2)
    with pytest.raises(ConversionError, match=message):
        export_mindir(Ends(2), tmp_path / "net.mindir", (3,), batch=2)
    assert not list(tmp_path.iterdir())
    onnx.save(build([helper.make_node("Relu", ["image"], ["class"])], (2, 3), (2, 3)), tmp_path / "net.onnx")
    with pytest.raises(ConversionError, match=message):
        compare(Ends(2), tmp_path / "net.onnx", (3,), np.ones((2, 3), np.float32), (2,))
    assert compare(nn.ReLU(), tmp_path / "net.onnx", (3,), np.ones((2, 3), np.float32), (2,)) == (0, 0)


def test_inputs_that_may_be_left_out(tmp_path):
    for spec in (Spec({"x": (3,)}), Spec({"x": (3,), "shift": (3,)})):
        export = export_onnx(Ends(1), tmp_path / "net.onnx", spec, batch=2)
        assert [value.name for value in onnx.load(export.path).graph.input] == list(spec.inputs)


def test_another_output_than_the_spec_says(network, tmp_path):
    other = SPEC.with_output((5, 6))
    with pytest.raises(ConversionError, match=r"output 'scores' is \(5, 7\) for a sample, the spec says \(5, 6\)"):
        export_onnx(network, tmp_path / "net.onnx", other)
    with pytest.raises(ConversionError, match=r"output 'scores' is \(5, 7\) for a sample, the spec says \(5, 6\)"):
        export_mindir(network, tmp_path / "net.mindir", other, batch=2)
