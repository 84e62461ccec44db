"""ONNX files with fewer bits: weights stored in 16, or everything computed in 8. The accuracy they lose is measured."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Graph, batch_spec, model_inputs, read_model, value_sizes
from actionbook.conversion.msexport import quiet, with_suffix
from actionbook.core.files import atomic_path
from actionbook.core.spec import BOXES, Arrays, samples

CALIBRATION_BATCH = 16


def store_half(source: Path | str, path: Path | str) -> Path:
    """Write the ONNX file `source` with the weights of its convolutions and dense layers as float16; returns `path`.

    Each is cast back to float32 before it is used, so the arithmetic is as before and the file half as large: what is
    lost is the rounding of the weights alone, one of the losses that ATC's force_fp16 brings. Raises ConversionError
    for a weight beyond the range of float16.
    """
    path = with_suffix(path, ".onnx")
    graph = Graph.from_model(read_model(source))
    casts = []
    for name in dict.fromkeys(n.input[1] for n in graph.nodes if n.op_type in ("Conv", "Gemm", "MatMul")):
        weight = graph.constants.get(name)
        if weight is None or weight.dtype != np.float32:
            continue
        if np.abs(weight).max(initial=0) > np.finfo(np.float16).max:
            raise ConversionError(f"{source}: {name!r} holds {np.abs(weight).max():.3g}, beyond float16's 65504")
        half = graph.add_constant(f"{name}.half", weight.astype(np.float16))
        del graph.constants[name]
        casts.append(helper.make_node("Cast", [half], [name], f"{name}/Cast", to=TensorProto.FLOAT))
    graph.nodes = [*casts, *graph.nodes]
    with atomic_path(path) as temporary:
        onnx.save(graph.to_model(), temporary)
    return path


def quantise(source: Path | str, path: Path | str, calibration: Arrays | np.ndarray) -> Path:
    """Write the ONNX file `source` as 8-bit integers, by ONNX Runtime's static quantisation; returns `path`.

    Ranges of the activations are the least and greatest values that the samples of `calibration` give, a batch of any
    size by the names of the inputs (an array alone, (N, C, T, H, W), is the only input); take them from the training
    set. Activations are unsigned with one scale for each tensor, weights signed with one for each output channel; the
    boxes of a RoiAlign stay as they are. The file is for ONNX Runtime: Ascend quantises with its own tools. Raises
    SpecError for samples that `source` does not take, and ConversionError for a file that is not ONNX or that ONNX
    Runtime cannot quantise.
    """
    path = with_suffix(path, ".onnx")
    graph = read_model(source).graph
    batch, spec = batch_spec({value.name: value_sizes(value) for value in model_inputs(graph)})
    arrays = spec.check(calibration, f"{source}: calibration samples")
    with atomic_path(path) as temporary, quiet(logging.getLogger()):  # it advises to fold what is folded already
        try:
            quantize_static(
                str(source),
                str(temporary),
                _Samples(arrays, batch),
                quant_format=QuantFormat.QOperator,
                nodes_to_exclude=_boxing(graph),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # ONNX Runtime's exceptions share no narrower base
            raise ConversionError(f"{source}: ONNX Runtime cannot quantise it: {error}") from error
    return path


def _boxing(graph: GraphProto) -> list[str]:
    """Names of the nodes that compute boxes and their samples' numbers: in 8 bits they would be other regions.

    They lead to the boxes of a RoiAlign, or come behind the input of boxes: there the whole head, which is little work.
    """
    wanted = {name for node in graph.node if node.op_type == "RoiAlign" for name in node.input[1:]}
    found = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            found.append(node.name)
            wanted.update(node.input)
    behind = {BOXES}
    for node in graph.node:
        if behind.intersection(node.input):
            behind.update(node.output)
            found.append(node.name)
    return found


class _Samples(CalibrationDataReader):
    """Batches of calibration samples, as ONNX Runtime asks for them; the first ones fill up the last batch."""

    def __init__(self, arrays: Arrays, batch: int | None) -> None:
        self.arrays, self.size = arrays, batch or min(samples(arrays), CALIBRATION_BATCH)
        self.starts = iter(range(0, samples(arrays), self.size))

    def get_next(self) -> dict[str, np.ndarray] | None:
        start = next(self.starts, None)
        if start is None:
            return None
        places = range(start, start + self.size)
        return {name: array.take(places, axis=0, mode="wrap") for name, array in self.arrays.items()}
