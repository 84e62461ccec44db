from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor, nn
from onnx import TensorProto, helper, save

from actionbook.conversion import export_mindir, export_onnx
from actionbook.core.spec import SpecError
from actionbook.inference import (
    Engine,
    InferenceError,
    MindirEngine,
    NetworkEngine,
    OnnxEngine,
    open_engine,
)

SHAPE = (3, 2, 4, 5)
CLIPS = np.random.default_rng(0).standard_normal((5, *SHAPE), dtype=np.float32)


class Small(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, (1, 3, 3), pad_mode="pad", padding=(0, 0, 1, 1, 1, 1))
        self.norm = nn.BatchNorm3d(4)
        self.dense = nn.Dense(4, 6)

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(self.norm(self.conv(x)).mean(axis=(2, 3, 4)))


@pytest.fixture(scope="module")
def network() -> nn.Cell:
    return Small()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "篮球 #1 & (a;b)!"
    export_mindir(network, folder / "any.mindir", SHAPE)
    export_mindir(network, folder / "four.mindir", SHAPE, batch=4)
    export_onnx(network, folder / "any.onnx", SHAPE)
    export_onnx(network, folder / "four.onnx", SHAPE, batch=4)
    return folder


@pytest.fixture(scope="module")
def expected(network) -> np.ndarray:
    engine = NetworkEngine(network, batch_size=5)
    assert isinstance(engine, Engine)
    return engine.run(CLIPS)


@pytest.mark.parametrize(
    ("name", "kind", "batch_size"),
    [
        ("any.mindir", MindirEngine, None),
        ("four.mindir", MindirEngine, 4),
        ("any.onnx", OnnxEngine, None),
        ("four.onnx", OnnxEngine, 4),
    ],
)
def test_every_file_gives_the_networks_logits(folder, expected, name, kind, batch_size):
    engine = open_engine(folder / name)
    assert isinstance(engine, kind)
    assert isinstance(engine, Engine)
    assert engine.batch_size == batch_size
    for size in (1, 3, 4):  # smaller than the batch: padded and cut
        np.testing.assert_allclose(engine.run(CLIPS[:size]), expected[:size], atol=1e-5)


@pytest.mark.parametrize("name", ["four.onnx", "four.mindir"])
def test_batches_that_do_not_fit_are_refused(folder, name):
    engine = open_engine(folder / name)
    with pytest.raises(SpecError, match="at most 4"):
        engine.run(CLIPS)
    with pytest.raises(SpecError, match="expected float32"):
        engine.run(CLIPS[:1].astype(np.float64))
    with pytest.raises(SpecError, match=r"\(1, 3, 2, 4, 4\)"):
        engine.run(CLIPS[:1, ..., :4])


def test_the_network_engine_pads_and_tells_weights_apart(network, expected):
    engine = NetworkEngine(network, batch_size=5)
    digest = engine.sha256
    network.set_train(True)  # a training loop may have run since
    np.testing.assert_allclose(engine.run(CLIPS[:2]), expected[:2], atol=1e-5)
    bias = network.dense.bias.asnumpy()
    network.dense.bias.set_data(Tensor(bias + 1))
    assert engine.sha256 == NetworkEngine(network).sha256 != digest
    network.dense.bias.set_data(Tensor(bias))
    assert engine.sha256 == digest


def test_an_om_needs_an_ascend_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InferenceError, match=r"(?s)Ascend card.*here is neither tool.*ais_bench --model=net\.om"):
        open_engine("net.om")


@pytest.mark.parametrize(
    ("name", "message"), [("a.onnx", "does not exist"), ("a.mindir", "does not exist"), ("a.pb", "not a kind of model")]
)
def test_files_that_cannot_be_opened(tmp_path, name, message):
    with pytest.raises(InferenceError, match=message):
        open_engine(tmp_path / name)


@pytest.mark.parametrize("name", ["a.onnx", "a.mindir"])
def test_files_that_are_something_else(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe not a model")
    with pytest.raises(InferenceError, match="not a"):
        open_engine(tmp_path / name)


@pytest.mark.parametrize("outputs", [1, 2])
def test_an_onnx_file_names_its_inputs_and_has_one_output(tmp_path, outputs):
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3)) for name in ("x", "y", "z")]
    nodes = [helper.make_node("Relu", ["x"], [name]) for name in ("y", "z")[:outputs]]
    graph = helper.make_graph(nodes, "g", value[:1], value[1 : 1 + outputs])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=4), tmp_path / "a.onnx")
    if outputs == 1:
        assert OnnxEngine(tmp_path / "a.onnx").spec.inputs == {"x": (3,)}
        return
    with pytest.raises(InferenceError, match="outputs y, z, expected one"):
        OnnxEngine(tmp_path / "a.onnx")
