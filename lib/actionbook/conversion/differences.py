"""Where an ONNX file goes wrong: its nodes against the network's own layers, one by one."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from mindspore import Tensor, nn
from onnx import NodeProto, ValueInfoProto, numpy_helper

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Graph, batch_spec, read_model, value_sizes
from actionbook.conversion.interface import check_inputs
from actionbook.conversion.names import LAYERS, mark_cells, stem
from actionbook.core.difference import Difference, difference
from actionbook.core.files import atomic_path
from actionbook.core.spec import Arrays
from actionbook.models.forward import forward_only
from actionbook.models.layers import GroupedConv3d
from actionbook.models.pooling import MaxPool3d, SamePool3d
from actionbook.models.profile import watch_outputs

# Cells that become one node, whose output is theirs.
CELLS = (
    nn.Conv2d,
    nn.Conv3d,
    GroupedConv3d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.Dense,
    nn.MaxPool2d,
    nn.MaxPool3d,
    MaxPool3d,
    SamePool3d,
)
COLUMNS = ["node", "operator", "cell", "max_abs", "relative"]


def layer_differences(network: nn.Cell, onnx_path: Path | str, sample: Arrays | np.ndarray) -> pd.DataFrame:
    """Compare the nodes of an ONNX file with the layers of `network` that they stand for, on one sample.

    `sample` is the inputs by name, without N; an array alone, (C, T, H, W), is the only input.

    One row per node whose output should be that of a cell of the network (convolutions, with the batch norm folded
    into them; batch norms; dense layers; max pools), in order of execution. Columns: node; operator; cell; max_abs,
    the greatest absolute difference of the two outputs; relative, the same divided by the standard deviation of the
    cell's output. Both are infinite where the sizes differ, or where ONNX Runtime cannot compute the node. Activations
    and the like carry no cell's name: what is wrong with them shows in the next row.

    The cells are those that `export_onnx` notes in each node's `doc_string`; in a file without such notes
    (`export_onnx_raw`) they are told from the names of the weights. A file with a fixed batch gets copies of the
    sample. Raises ConversionError for a file that is not ONNX, where no node has a cell in this network or the network
    takes another number of inputs, and SpecError for a sample that the file does not take.
    """
    graph = Graph.from_model(read_model(onnx_path))
    if not any(node.doc_string for node in graph.nodes if node.op_type in LAYERS):
        mark_cells(graph.nodes)
    cells = _cell_names(network)
    nodes = [node for node in graph.nodes if node.doc_string in cells]
    if not nodes:
        raise ConversionError(f"{onnx_path}: none of its nodes names a layer of this network; export it again")
    batch, spec = batch_spec({value.name: value_sizes(value) for value in graph.inputs})
    check_inputs(network, spec)
    arrays = {name: np.repeat(array[np.newaxis], batch or 1, axis=0) for name, array in spec.named(sample).items()}
    arrays = spec.check(arrays, f"{onnx_path}: sample")
    found = _onnx_outputs(graph, [node.output[0] for node in nodes], arrays)
    waiting: dict[str, list[NodeProto]] = defaultdict(list)
    for node in nodes:
        waiting[cells[node.doc_string]].append(node)
    rows: dict[str, dict[str, Any]] = {}

    def note(name: str, _cell: nn.Cell, output: Tensor) -> None:
        if waiting[name]:  # one node for each time that the cell runs
            node = waiting[name].pop(0)
            missing = Difference(np.inf, np.inf)
            values = found.pop(node.output[0], None)
            differences = missing if values is None else difference(values, output.asnumpy())
            rows[node.output[0]] = dict(zip(COLUMNS, (node.name, node.op_type, name, *differences), strict=True))

    with forward_only(network):
        watch_outputs(network, arrays, _is_one_node, note)
    return pd.DataFrame([rows[node.output[0]] for node in nodes if node.output[0] in rows], columns=COLUMNS)


def first_difference(table: pd.DataFrame, tolerance: float = 1e-4) -> pd.Series | None:
    """The first row of `layer_differences` whose relative difference is above `tolerance` or NaN; None without one."""
    wrong = table[~(table["relative"] <= tolerance)]
    return None if wrong.empty else wrong.iloc[0]


def spoil(onnx_path: Path, spoilt: Path) -> str:
    """Write a copy in which the greatest weight of the middle convolution is a tenth too large; the name of its node.

    To see whether `first_difference` finds it.
    """
    model = read_model(onnx_path)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    victim = convolutions[len(convolutions) // 2]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == victim.input[1])
    values = numpy_helper.to_array(tensor).copy()
    values.flat[np.abs(values).argmax()] *= 1.1
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    with atomic_path(spoilt) as temporary:
        onnx.save(model, temporary)
    return str(victim.name)


def _is_one_node(cell: nn.Cell) -> bool:
    return isinstance(cell, CELLS) and not getattr(cell, "activation_flag", False)  # a dense layer may hold a second


def _cell_names(network: nn.Cell) -> dict[str, str]:
    """What a node's mark may say -> the name of the cell: its own, that of a cell in it, or the one in its parameters'
    names.

    The last differs where a cell has two places in the network.
    """
    cells = {name: cell for name, cell in network.cells_and_names() if _is_one_node(cell)}
    names = {stem(parameter.name): name for name, cell in cells.items() for parameter in cell.get_parameters()}
    inner = {f"{name}.{part}": name for name, cell in cells.items() for part, _ in cell.cells_and_names() if part}
    return inner | names | {name: name for name in cells}


def _onnx_outputs(graph: Graph, wanted: list[str], arrays: Arrays) -> dict[str, np.ndarray]:
    """The tensors named `wanted`, in order of execution, as far as the graph can be run."""
    outputs, failing = _run(graph, wanted, arrays), len(wanted)
    if outputs is not None:
        return outputs
    working, best = 0, {}
    while failing - working > 1:
        middle = (working + failing) // 2
        outputs = _run(graph, wanted[:middle], arrays)
        if outputs is None:
            failing = middle
        else:
            working, best = middle, outputs
    return best


def _run(graph: Graph, wanted: list[str], arrays: Arrays) -> dict[str, np.ndarray] | None:
    """The wanted tensors, computed as the file says, without ONNX Runtime's own rewriting; None where it fails."""
    outputs = [ValueInfoProto(name=name) for name in wanted]  # float32, or float16 where the network computes in it
    part = Graph(graph.nodes, graph.constants, graph.inputs, outputs, graph.opset, graph.ir_version).to_model()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # a graph that fails is an answer here, not news
    try:
        session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return dict(zip(wanted, session.run(wanted, arrays), strict=True))
    except Exception:  # ONNX Runtime's exceptions share no narrower base
        return None
