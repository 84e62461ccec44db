"""The engines that run in this process: ONNX Runtime, MINDIR in MindSpore, and the network itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import mindspore as ms
import numpy as np
import onnxruntime
from google.protobuf.message import DecodeError
from mindspore import Tensor, nn
from mindspore.train.mind_ir_pb2 import ModelProto

from actionbook.conversion.forward import ForwardCell, graph_mode
from actionbook.conversion.msexport import INPUT_NAME, OUTPUT_NAME
from actionbook.core.files import sha256_file
from actionbook.inference.errors import InferenceError
from actionbook.inference.interface import existing, fitting


class OnnxEngine:
    """An ONNX file in ONNX Runtime on the CPU; `threads` None takes all cores."""

    name = "ONNX Runtime"

    def __init__(self, path: Path | str, threads: int | None = None) -> None:
        self.path = Path(path)
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(existing(self.path)), options, providers=["CPUExecutionProvider"]
            )
        except InferenceError:
            raise
        except Exception as error:
            raise InferenceError(f"{path}: not a model that ONNX Runtime can load: {_first_line(error)}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [value.name for value in inputs] != [INPUT_NAME] or [value.name for value in outputs] != [OUTPUT_NAME]:
            raise InferenceError(f"{path}: expected one input {INPUT_NAME!r} and one output {OUTPUT_NAME!r}")
        shape = inputs[0].shape
        self.batch_size: int | None = shape[0] if isinstance(shape[0], int) else None
        self.clip_shape = tuple(shape[1:])
        self.sha256 = sha256_file(self.path)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """See `Engine.run`."""
        full = fitting(batch, self.batch_size, self.clip_shape, self.path)
        return self._session.run([OUTPUT_NAME], {INPUT_NAME: full})[0][: len(batch)]


class MindirEngine:
    """A MINDIR file in MindSpore, GRAPH mode, on the device that is set. The first run of a batch size compiles."""

    name = "MINDIR"

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        shape = _mindir_input(existing(self.path))
        self.batch_size: int | None = shape[0] if shape[0] > 0 else None
        self.clip_shape = tuple(shape[1:])
        try:
            self._graph = nn.GraphCell(ms.load(str(self.path)))
        except Exception as error:
            raise InferenceError(f"{path}: not a model that MindSpore can load: {_first_line(error)}") from error
        self.sha256 = sha256_file(self.path)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """See `Engine.run`."""
        full = fitting(batch, self.batch_size, self.clip_shape, self.path)
        return self._graph(Tensor(full)).asnumpy()[: len(batch)]


class NetworkEngine:
    """The network itself, in GRAPH and evaluation mode. `batch_size` None takes any, and compiles for each."""

    name = "network"

    def __init__(self, network: nn.Cell, batch_size: int | None = None) -> None:
        self.batch_size = batch_size
        self._forward = ForwardCell(network).set_train(False)
        self._network = network

    @property
    def sha256(self) -> str:
        """Digest of the parameters as they are now, names, shapes and types included."""
        digest = hashlib.sha256()
        for name, parameter in sorted(self._network.parameters_and_names(), key=lambda item: item[0]):
            digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}\0".encode())
            digest.update(parameter.asnumpy().tobytes())
        return digest.hexdigest()

    def run(self, batch: np.ndarray) -> np.ndarray:
        """See `Engine.run`. Leaves the network in evaluation mode."""
        full = fitting(batch, self.batch_size, None, "network")
        with graph_mode():
            self._forward.set_train(False)
            return self._forward(Tensor(full)).asnumpy()[: len(batch)]


def _mindir_input(path: Path) -> list[int]:
    """Sizes of the one input of a MINDIR file; -1 for an open one."""
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
        (value,) = model.graph.input
        shape = list(value.tensor[0].dims)
    except (DecodeError, ValueError, IndexError) as error:
        raise InferenceError(f"{path}: not a MINDIR file with one input: {_first_line(error)}") from error
    if len(shape) < 2 or min(shape[1:]) < 1:
        raise InferenceError(f"{path}: input {shape}, expected static sizes for all axes but the batch")
    return shape


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
