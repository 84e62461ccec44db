"""ONNX files with fewer bits: weights stored in 16, or everything computed in 8. The accuracy they lose is measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Graph
from actionbook.conversion.msexport import INPUT_NAME, with_suffix
from actionbook.core.files import atomic_path

CALIBRATION_BATCH = 16


def store_half(source: Path | str, path: Path | str) -> Path:
    """Write the ONNX file `source` with the weights of its convolutions and dense layers as float16; returns `path`.

    Each is cast back to float32 before it is used, so the arithmetic is as before and the file half as large: what is
    lost is the rounding of the weights alone, one of the losses that ATC's force_fp16 brings. Raises ConversionError
    for a weight beyond the range of float16.
    """
    path = with_suffix(path, ".onnx")
    graph = Graph.from_model(onnx.load(source))
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


def quantise(source: Path | str, path: Path | str, clips: np.ndarray) -> Path:
    """Write the ONNX file `source` as 8-bit integers, by ONNX Runtime's static quantisation; returns `path`.

    Ranges of the activations are the least and greatest values that the calibration `clips` (N, C, T, H, W), float32,
    give; take them from the training set. Activations are unsigned with one scale for each tensor, weights signed with
    one for each output channel. The file is for ONNX Runtime: Ascend quantises with its own tools. Raises
    ConversionError for no clips, and where ONNX Runtime cannot quantise the graph.
    """
    path = with_suffix(path, ".onnx")
    if clips.ndim < 2 or not len(clips) or clips.dtype != np.float32:
        raise ConversionError(f"calibration clips {clips.dtype} {clips.shape}: expected float32 (N, C, T, H, W), N > 0")
    with atomic_path(path) as temporary, _quiet():
        try:
            quantize_static(
                str(source),
                str(temporary),
                _Clips(clips),
                quant_format=QuantFormat.QOperator,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # ONNX Runtime's exceptions share no narrower base
            raise ConversionError(f"{source}: ONNX Runtime cannot quantise it: {error}") from error
    return path


class _Clips(CalibrationDataReader):
    """Batches of calibration clips, as ONNX Runtime asks for them."""

    def __init__(self, clips: np.ndarray) -> None:
        starts = range(0, len(clips), CALIBRATION_BATCH)
        self._batches = iter([clips[start : start + CALIBRATION_BATCH] for start in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that ONNX Runtime logs to the root logger: to fold what is folded already."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
