"""What must be true of an ONNX graph before it is called good."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from mindspore import Tensor, nn
from onnx import ModelProto, TensorProto

from actionbook.conversion.errors import ConversionError, first_line
from actionbook.conversion.graph import Graph, attributes
from actionbook.conversion.interface import check_inputs, check_outputs
from actionbook.core.difference import Difference, difference
from actionbook.core.spec import Arrays, Shape, Spec, samples
from actionbook.models.forward import eager, forward_only

TOLERANCE = 1e-4  # of the logits' standard deviation; float32 rounding gives 1e-6 to 1e-5
HALF_TOLERANCE = 1e-2  # numbers rounded to 11 bits each move by up to 2^-12, and there are some fifty layers of them
MOST_SAMPLES = 8  # that the network takes at once: memory is bounded
SPLIT_LIMIT = 4  # outputs of one Split; MindSpore's grouped nn.Conv3d becomes a Split with one output per group
WINDOWED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")


def check_explicit(model: ModelProto) -> None:
    """Raise ConversionError unless the graph says everything itself and shape inference fits.

    One operator set, ONNX's own; no `auto_pad`; pads written on every convolution and pool; no convolution taken apart
    by a Split into many; every tensor's sizes static, but for the batch.
    """
    graph = Graph.from_model(model)  # refuses other operator sets
    for node in graph.nodes:
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
    shapes = graph.shapes()
    for node in graph.nodes:
        for name in node.output:
            shape = shapes.get(name)
            if shape is None or None in shape[1:]:
                raise ConversionError(
                    f"node {node.name or name!r} ({node.op_type}): the shape of {name!r} is {shape}, "
                    "expected static sizes for all axes but the batch"
                )


def computes_in_half(model: ModelProto) -> bool:
    """Whether some node of the graph gives float16: casts to it, or weights in it. Shapes need not be inferred."""
    casts = (attributes(node).get("to") for node in model.graph.node if node.op_type == "Cast")
    kinds = (tensor.data_type for tensor in model.graph.initializer)
    return TensorProto.FLOAT16 in (*casts, *kinds)


def compare(
    network: nn.Cell, path: Path, spec: Spec | Shape, arrays: Arrays | np.ndarray, batch_sizes: Sequence[int]
) -> Difference:
    """Run `arrays`, a batch of what `spec` says, through the network and, at each batch size, through an ONNX file.

    The network takes them 8 at a time, each of `batch_sizes` the first so many. Returns the greatest difference of the
    logits; it is relative to the standard deviation of all the network's logits. Raises ConversionError where the
    network takes or gives something else, where ONNX Runtime cannot load or run the file, or shapes differ, and
    SpecError where the arrays do not fit `spec`.
    """
    spec = Spec.of(spec)
    arrays = spec.check(arrays, f"{path}: arrays to compare on")
    expected = _logits(network, spec, arrays)
    found = [Difference(0.0, 0.0)]
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for size in batch_sizes:
            actual = session.run([spec.output_name], {name: array[:size] for name, array in arrays.items()})[0]
            actual = actual.astype(np.float32, copy=False)  # of a network computed in 16 bits it may be float16
            wanted = expected if size == samples(arrays) else expected[:size]  # a row need not be a sample: detectors
            if actual.shape != wanted.shape:
                raise ConversionError(f"{path}: logits {actual.shape}, expected {wanted.shape}")
            found.append(difference(np.concatenate((actual, expected[len(actual) :])), expected))
    except ConversionError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no narrower base
        raise ConversionError(f"{path}: ONNX Runtime cannot run it: {first_line(error)}") from error
    return max(found)


def _logits(network: nn.Cell, spec: Spec, arrays: Arrays) -> np.ndarray:
    check_inputs(network, spec)
    found = []
    with forward_only(network) as forward, eager():
        for start in range(0, samples(arrays), MOST_SAMPLES):
            made = forward(*(Tensor(array[start : start + MOST_SAMPLES]) for array in arrays.values()))
            logits = made if isinstance(made, tuple) else (made,)
            check_outputs([one.shape for one in logits], spec)
            found.append(logits[0].asnumpy().astype(np.float32, copy=False))
    return np.concatenate(found)
