"""Small ONNX graphs, and networks of one or two layers that MindSpore exports wrongly or not at all."""

from __future__ import annotations

from collections.abc import Callable

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
def graph() -> Callable[..., Graph]:
    return lambda *args, **constants: Graph.from_model(build_model(*args, **constants))
