"""ONNX files with fewer bits: what is stored, what is lost, and what is refused."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from actionbook.conversion import ConversionError, quantise, store_half
from actionbook.core.spec import SpecError

RNG = np.random.default_rng(0)
CLIPS = RNG.standard_normal((24, 3, 4, 8, 8), dtype=np.float32)


@pytest.fixture
def source(build, tmp_path):
    """Two convolutions in three dimensions, a mean and a dense layer, weights as they come from a random start."""
    weights = {
        "one": RNG.standard_normal((32, 3, 3, 3, 3), dtype=np.float32) * np.float32(np.sqrt(2 / 81)),
        "two": RNG.standard_normal((32, 32, 1, 3, 3), dtype=np.float32) * np.float32(np.sqrt(2 / 288)),
        "dense": RNG.standard_normal((5, 32), dtype=np.float32),
        "bias": RNG.standard_normal(5, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "one"], ["a"], kernel_shape=[3, 3, 3], pads=[1] * 6),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "two"], ["c"], kernel_shape=[1, 3, 3], pads=[0, 1, 1, 0, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("ReduceMean", ["d"], ["e"], axes=[2, 3, 4], keepdims=0),
        helper.make_node("Gemm", ["e", "dense", "bias"], ["class"], transB=1),
    ]
    path = tmp_path / "network.onnx"
    onnx.save(build(nodes, ("n", 3, 4, 8, 8), ("n", 5), **weights), path)
    return path


def logits(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["class"], {"image": CLIPS})[0]


def test_half_weights_are_rounded_and_nothing_else(source, tmp_path):
    half = store_half(source, tmp_path / "half.onnx")
    model = onnx.load(half)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert {name: kind for name, kind in types.items() if name.endswith(".half")} == {
        "one.half": TensorProto.FLOAT16, "two.half": TensorProto.FLOAT16, "dense.half": TensorProto.FLOAT16,
    }  # fmt: skip
    assert types["bias"] == TensorProto.FLOAT
    operators = [node.op_type for node in model.graph.node]
    assert operators == [*["Cast"] * 3, "Conv", "Relu", "Conv", "Relu", "ReduceMean", "Gemm"]
    assert half.stat().st_size < 0.56 * source.stat().st_size
    # The same as the source with its weights rounded by hand.
    rounded = onnx.load(source)
    for tensor in rounded.graph.initializer:
        if tensor.name != "bias":
            value = onnx.numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    onnx.save(rounded, tmp_path / "rounded.onnx")
    np.testing.assert_allclose(logits(half), logits(tmp_path / "rounded.onnx"), rtol=1e-5, atol=1e-6)
    difference = np.abs(logits(half) - logits(source)).max()
    assert 0 < difference < 1e-2 * logits(source).std()


def test_a_weight_beyond_half_is_refused(source, tmp_path):
    model = onnx.load(source)
    value = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    value.flat[3] = 7e4
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(value, "one"))
    onnx.save(model, source)
    with pytest.raises(ConversionError, match=r"network\.onnx: 'one' holds 7e\+04, beyond float16's 65504"):
        store_half(source, tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()


def test_integers_are_a_quarter_of_the_size_and_close(source, tmp_path, caplog):
    level = logging.getLogger().level
    integers = quantise(source, tmp_path / "int8.onnx", CLIPS[:16])
    operators = [node.op_type for node in onnx.load(integers).graph.node]
    assert operators.count("QLinearConv") == 2
    assert "Conv" not in operators
    assert integers.stat().st_size < 0.35 * source.stat().st_size
    expected, found = logits(source), logits(integers)
    assert np.abs(found - expected).max() < 0.5 * expected.std()
    assert np.abs(found - expected).max() > 0
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.75
    assert logging.getLogger().level == level
    assert not caplog.records
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.onnx", "network.onnx"]


def test_the_calibration_clips_decide(source, tmp_path):
    narrow = quantise(source, tmp_path / "narrow.onnx", CLIPS[:8] * np.float32(0.01))
    wide = quantise(source, tmp_path / "wide.onnx", CLIPS[:8])
    worst = {path.stem: np.abs(logits(path) - logits(source)).max() for path in (narrow, wide)}
    assert worst["narrow"] > 3 * worst["wide"]  # larger values than calibrated are cut off


@pytest.mark.parametrize("clips", [CLIPS[:0], CLIPS.astype(np.float64), CLIPS[:, :2], {"images": CLIPS}])
def test_samples_that_cannot_calibrate(source, tmp_path, clips):
    with pytest.raises(SpecError, match=r"network\.onnx: calibration samples"):
        quantise(source, tmp_path / "int8.onnx", clips)


def test_a_file_of_a_fixed_batch_takes_any_number_of_samples(build, tmp_path):
    node = helper.make_node("MatMul", ["image", "w"], ["class"])
    model = build([node], (4, 3), (4, 2), w=np.eye(3, 2, dtype=np.float32))
    onnx.save(model, tmp_path / "network.onnx")
    samples = np.full((6, 3), -1, np.float32)
    samples[5] = 3  # beyond the first batch
    quantise(tmp_path / "network.onnx", tmp_path / "int8.onnx", samples)
    session = onnxruntime.InferenceSession(str(tmp_path / "int8.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["class"], {"image": samples[2:]})[0], samples[2:, :2], atol=0.03)


def test_what_cannot_be_quantised_is_said(source, tmp_path):
    model = onnx.load(source)
    model.graph.node[1].op_type = "Unknown"
    onnx.save(model, source)
    with pytest.raises(ConversionError, match=r"network\.onnx: ONNX Runtime cannot quantise it"):
        quantise(source, tmp_path / "int8.onnx", CLIPS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.onnx"]
