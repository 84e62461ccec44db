"""Small ONNX graphs, and networks of one or two layers that MindSpore exports wrongly or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import actionbook  # noqa: F401 (sets what MindSpore reads when it is imported)
from actionbook.conversion.graph import Graph

Run = Callable[[ModelProto, np.ndarray], np.ndarray]


def build_model(
    nodes: list[NodeProto], shape: tuple[int | str, ...], out: tuple[int | str | None, ...], **constants: np.ndarray
) -> ModelProto:
    """A model with input ``image`` and output ``class``."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("class", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=4)


def run_model(model: ModelProto, image: np.ndarray) -> np.ndarray:
    """Output ``class`` in ONNX Runtime, on one thread, with its own graph rewriting off."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["class"], {"image": image})[0]


@pytest.fixture(scope="session")
def build() -> Callable[..., ModelProto]:
    return build_model


@pytest.fixture(scope="session")
def run() -> Run:
    return run_model


@pytest.fixture(scope="session")
def kept() -> Callable[..., Graph]:
    """A function that lets a pass rewrite a model, sees that it computes the same, and returns the graph."""

    def rewrite(model: ModelProto, change: Callable[[Graph], None], *, rtol: float = 0, atol: float = 1e-5) -> Graph:
        sizes = [dim.dim_value or 3 for dim in model.graph.input[0].type.tensor_type.shape.dim]
        image = np.random.default_rng(1).standard_normal(sizes, dtype=np.float32)
        expected = run_model(model, image)  # before the pass: nodes are shared
        rewritten = Graph.from_model(model)
        change(rewritten)
        np.testing.assert_allclose(run_model(rewritten.to_model(), image), expected, rtol=rtol, atol=atol)
        return rewritten

    return rewrite


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a converter's run, with models in it and the stand-ins on the PATH."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("net.onnx", "net;1.mindir"):
        (folder / name).write_bytes(b"network")
    stand_ins = Path(__file__).parent / "stand_ins"
    monkeypatch.setenv("PATH", os.pathsep.join([str(stand_ins), str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("STAND_IN_CALL", str(tmp_path / "call.json"))
    monkeypatch.setenv("STAND_IN", "success")
    return folder


@pytest.fixture(scope="session")
def graph() -> Callable[..., Graph]:
    return lambda *args, **constants: Graph.from_model(build_model(*args, **constants))
