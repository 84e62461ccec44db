"""What must be true of an ONNX graph before it is called good."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from mindspore import Tensor, nn
from onnx import ModelProto

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.forward import forward_only
from actionbook.conversion.graph import attributes, model_shapes
from actionbook.conversion.msexport import INPUT_NAME, OUTPUT_NAME

TOLERANCE = 1e-4  # of the logits' standard deviation; float32 rounding gives 1e-6 to 1e-5
MOST_CLIPS = 8  # that the network takes at once: memory is bounded, and one batch size is one compilation
SPLIT_LIMIT = 4  # outputs of one Split; MindSpore's grouped nn.Conv3d becomes a Split with one output per group
WINDOWED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")


def check_explicit(model: ModelProto) -> None:
    """Raise ConversionError unless the graph says everything itself and shape inference fits.

    One operator set, ONNX's own; no `auto_pad`; pads written on every convolution and pool; no convolution taken apart
    by a Split into many; every tensor's sizes static, but for the batch.
    """
    domains = [entry.domain for entry in model.opset_import]
    if domains != [""]:
        raise ConversionError(f"operator sets {domains}: expected one entry, ONNX's own (ATC refuses more, E16005)")
    for node in model.graph.node:
        label = f"node {node.name or node.output[0]!r} ({node.op_type})"
        values = attributes(node)
        if values.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise ConversionError(f"{label}: auto_pad {values['auto_pad'].decode()}, expected explicit pads")
        if node.op_type in WINDOWED and len(values.get("pads", ())) != 2 * len(values.get("kernel_shape", ())):
            raise ConversionError(f"{label}: expected explicit pads, two for each axis of kernel_shape")
        if node.op_type == "Split" and len(node.output) > SPLIT_LIMIT:
            raise ConversionError(
                f"{label}: {len(node.output)} outputs; a grouped convolution was exported group by group. "
                "Use the Conv3D primitive with `group`"
            )
    shapes = model_shapes(model)
    for node in model.graph.node:
        for name in node.output:
            shape = shapes.get(name)
            if shape is None or None in shape[1:]:
                raise ConversionError(
                    f"node {node.name or name!r} ({node.op_type}): the shape of {name!r} is {shape}, "
                    "expected static sizes for all axes but the batch"
                )


def compare(network: nn.Cell, path: Path, clips: np.ndarray, batch_sizes: Sequence[int]) -> tuple[float, float]:
    """Run `clips` (N, C, T, H, W) through the network and, at each batch size, through the ONNX file at `path`.

    The network takes them all at once (more than 8 in equal parts), each of `batch_sizes` the first so many. Returns
    the greatest absolute difference of the logits and the same divided by the standard deviation of the network's
    logits (infinite for NaN). Raises ConversionError where ONNX Runtime cannot load or run the file, or shapes differ.
    """
    with forward_only(network) as forward:
        part = next(size for size in range(MOST_CLIPS, 0, -1) if len(clips) % size == 0)
        parts = [forward(Tensor(clips[i : i + part])) for i in range(0, len(clips), part)]
        expected = np.concatenate([logits.asnumpy() for logits in parts])
    worst = 0.0
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for size in batch_sizes:
            actual = session.run([OUTPUT_NAME], {INPUT_NAME: clips[:size]})[0]
            wanted = expected if size == len(clips) else expected[:size]  # a row need not be a clip: detectors
            if actual.shape != wanted.shape:
                raise ConversionError(f"{path}: logits {actual.shape}, expected {wanted.shape}")
            difference = float(np.max(np.abs(actual - wanted)))
            worst = max(worst, difference if np.isfinite(difference) else np.inf)
    except ConversionError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no narrower base
        raise ConversionError(f"{path}: ONNX Runtime cannot run it: {str(error).strip().splitlines()[0]}") from error
    return worst, worst / (float(expected.std()) or 1.0)
