"""MindSpore's own exporters, called so that the network is as before afterwards."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
import onnx
from mindspore import Tensor, nn
from mindspore.graph.api import _cell_graph_executor
from mindspore.train.mind_ir_pb2 import ModelProto

from actionbook.conversion.errors import ConversionError, first_line
from actionbook.conversion.graph import Graph, value_sizes
from actionbook.conversion.interface import check_inputs, check_outputs
from actionbook.conversion.mindir import name_inputs, outputs, read_mindir
from actionbook.conversion.pools import Pool, needs_pools, recorded_pools
from actionbook.conversion.repair import put_pads_right, reconnect_output
from actionbook.core.files import atomic_path, write_bytes_atomic
from actionbook.core.spec import Shape, Spec
from actionbook.models.forward import forward_only

# MindSpore operator without an ONNX form -> what to write instead.
REMEDIES = {
    "AvgPool3D": "actionbook.models.pooling.AvgPool3d (also for 2-D average pools with padding)",
    "MaxPool3DWithArgmax": "actionbook.models.pooling.MaxPool3d (also for 2-D max pools with padding)",
    "MaxPoolWithArgmaxV2": "actionbook.models.pooling.MaxPool3d, which pools in 2-D too",
    "AdaptiveAvgPool2D": "x.mean(axis=(2, 3))",
    "AdaptiveAvgPool3D": "x.mean(axis=(2, 3, 4))",
    "AdaptiveMaxPool2D": "ops.amax(x, (2, 3))",
    "AdaptiveMaxPool3D": "ops.amax(x, (2, 3, 4))",
    "HSigmoid": "ops.relu6(x + 3) / 6",
    "HSwish": "x * ops.relu6(x + 3) / 6",
    "PadV3": "the padding of the convolution or pool that follows, or nn.Pad",
}


def export_mindir(
    network: nn.Cell,
    path: Path | str,
    spec: Spec | Shape,
    *,
    batch: int | None = None,
) -> Path:
    """Write `network` as MINDIR, for MindSpore on any device and for MindSpore Lite; returns the path.

    `spec` names the inputs in the order of the network's ``construct``; a shape alone, (C, T, H, W), is one input
    ``image``. With `batch` None the file takes any batch size, else only that one. Behind a pool MindSpore loses all
    sizes of an open batch: networks with pools need a fixed one. Weights are stored inside the file. Raises
    ConversionError where the network takes other inputs or gives another output than `spec` says, where MindSpore
    cannot export it, or `path` does not end in ``.mindir``; SpecError for impossible sizes.
    """
    path, spec = with_suffix(path, ".mindir"), Spec.of(spec)
    examples = _examples(network, spec, batch)
    with tempfile.TemporaryDirectory(prefix="mindir-") as folder, forward_only(network, "banded") as forward:
        raw = Path(folder) / "network.mindir"
        with _exporter("MINDIR", "" if batch else ". With a fixed `batch` it may"):
            ms.export(forward, *examples, file_name=str(raw), file_format="MINDIR")
        if not raw.is_file():
            raise ConversionError(f"{path}: the weights are too large for one MINDIR file (1 GiB)")
        model = read_mindir(raw)
    check_outputs(outputs(model), spec)
    name_inputs(model, list(spec.inputs))
    write_bytes_atomic(path, model.SerializeToString())
    return path


def export_air(
    network: nn.Cell,
    path: Path | str,
    spec: Spec | Shape,
    *,
    batch: int,
) -> Path:
    """Write `network` as AIR, the file of MindSpore 1.x for ``atc --framework=1``; returns the path.

    `spec` is as in `export_mindir`; the file takes `batch` samples at once and no other number. MindSpore writes AIR
    with its Ascend backend only and has deprecated it in 2.x; ONNX (`export_onnx`) serves the same end on any machine.
    Raises ConversionError on another device, where MindSpore cannot export the network, or if `path` does not end in
    ``.air``.
    """
    path = with_suffix(path, ".air")
    examples = _examples(network, Spec.of(spec), batch)
    device = ms.get_context("device_target")
    if device != "Ascend":
        raise ConversionError(
            f"{path}: MindSpore writes AIR on Ascend only, and the device is {device}. AIR is deprecated in MindSpore "
            "2.x: export ONNX with export_onnx, which atc_command takes too (--framework=5)"
        )
    with tempfile.TemporaryDirectory(prefix="air-") as folder, forward_only(network, "banded") as forward:
        raw = Path(folder) / "network.air"
        with _exporter("AIR"):
            ms.export(forward, *examples, file_name=str(raw), file_format="AIR")
        if not raw.is_file() or any(found.is_dir() for found in Path(folder).iterdir()):
            raise ConversionError(f"{path}: the weights are too large for one AIR file (2 GB); export ONNX")
        write_bytes_atomic(path, raw.read_bytes())
    return path


def export_raw(
    network: nn.Cell, spec: Spec, batch: int, pools: list[Pool] | None = None
) -> tuple[onnx.ModelProto, list[Pool]]:
    """What MindSpore's ONNX exporter makes of `network`, faults included, and the geometry of the pools that it lost.

    Static batch, opset 11. Grouped convolutions are exported as grouped Conv nodes: the exporter knows no other form.
    `pools` is the geometry where it is known already, from an export at another batch size.
    """
    examples = _examples(network, spec, batch)
    names = {"input_names": list(spec.inputs), "output_names": [spec.output_name]}
    with tempfile.TemporaryDirectory(prefix="onnx-") as folder, forward_only(network, "grouped") as forward:
        raw = Path(folder) / "network.onnx"
        with _exporter("ONNX"):
            ms.onnx.export(forward, *examples, file_name=str(raw), **names)
        model = onnx.load(raw)
        check_outputs([value_sizes(value) or () for value in model.graph.output], spec)
        if pools is None and needs_pools(model):
            pools = recorded_pools(_compiled_last(forward))
        return model, pools or []


def _compiled_last(cell: nn.Cell) -> ModelProto:
    """The graph that was compiled last for a cell, as a MINDIR file would have it: exporting one compiles it anew."""
    found = ModelProto()
    found.ParseFromString(_cell_graph_executor._get_func_graph_proto(cell, cell.compile_phase, "mind_ir"))
    return found


def export_onnx_raw(network: nn.Cell, path: Path | str, spec: Spec | Shape, *, batch: int = 1) -> Path:
    """Write MindSpore's export with the pads put right and no more, so that it runs: the baseline to compare with."""
    path = with_suffix(path, ".onnx")
    model, pools = export_raw(network, Spec.of(spec), batch)
    graph = Graph.from_model(model)  # the nodes are shared with `model`
    reconnect_output(graph)
    put_pads_right(graph, pools)
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)
    return path


@contextlib.contextmanager
def quiet(logger: logging.Logger) -> Iterator[None]:
    """Without what another library logs there below ERROR."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _exporter(kind: str, advice: str = "") -> Iterator[None]:
    """Run MindSpore's exporter without its warnings; its errors become ConversionError, with `advice` behind them."""
    try:
        with quiet(logging.getLogger("MindSpore")):
            yield
    except (RuntimeError, ValueError, TypeError) as error:
        first = first_line(error)
        if operator := re.search(r"Can not find key (\w+) in convert map", first):
            remedy = REMEDIES.get(operator[1], "operators that it has one for, or export MINDIR (export_mindir)")
            first = f"its operator {operator[1]} has no ONNX form there. Use {remedy} instead"
        raise ConversionError(f"MindSpore cannot export this network as {kind}: {first}{advice}") from error


def _examples(network: nn.Cell, spec: Spec, batch: int | None) -> list[Tensor]:
    """Inputs of the right shapes; with batch None such whose first size is left open."""
    check_inputs(network, spec, batch)
    if batch is None:
        return [Tensor(shape=[None, *shape], dtype=ms.float32) for shape in spec.inputs.values()]
    return [Tensor(np.zeros((batch, *shape), np.float32)) for shape in spec.inputs.values()]


def with_suffix(path: Path | str, suffix: str) -> Path:
    """The path, if it ends in `suffix` (readers and writers go by it); ConversionError if not."""
    if Path(path).suffix != suffix:
        raise ConversionError(f"{path}: expected a name that ends in {suffix}")
    return Path(path)
