"""The engines that run in this process: ONNX Runtime, MINDIR in MindSpore, and the network itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import mindspore as ms
import numpy as np
import onnxruntime
from mindspore import Tensor, nn

from actionbook.conversion import mindir
from actionbook.conversion.errors import first_line
from actionbook.conversion.graph import Sizes, batch_spec
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.core.spec import Arrays, Shape, Spec, samples
from actionbook.inference.errors import InferenceError
from actionbook.inference.interface import existing
from actionbook.models.forward import ForwardCell, graph_mode


class OnnxEngine:
    """An ONNX file in ONNX Runtime on the CPU, on all cores."""

    name = "ONNX Runtime"

    def __init__(self, path: Path | str) -> None:
        self.path = existing(Path(path))
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise InferenceError(f"{path}: not a model that ONNX Runtime can load: {first_line(error)}") from error
        sizes = {
            value.name: tuple(n if isinstance(n, int) and n > 0 else None for n in value.shape)
            for value in self._session.get_inputs()
        }
        outputs = [value.name for value in self._session.get_outputs()]
        if len(outputs) != 1:
            raise InferenceError(f"{path}: has the outputs {', '.join(outputs)}, expected one")
        self._output = outputs[0]
        self.batch_size, self.spec = _batch_spec(self.path, sizes)
        self.sha256 = sha256_file(self.path)

    def run(self, batch: Arrays | np.ndarray) -> np.ndarray:
        """See `Engine.run`."""
        full = self.spec.padded(batch, str(self.path), self.batch_size)
        return _float32(self._session.run([self._output], full)[0][: samples(self.spec.named(batch))])


class MindirEngine:
    """A MINDIR file in MindSpore, GRAPH mode, on the device that is set. The first run of a batch size compiles."""

    name = "MINDIR"

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.batch_size, self.spec = _mindir_spec(existing(self.path))
        try:
            self._graph = nn.GraphCell(ms.load(str(self.path)))
        except Exception as error:
            raise InferenceError(f"{path}: not a model that MindSpore can load: {first_line(error)}") from error
        self.sha256 = sha256_file(self.path)

    def run(self, batch: Arrays | np.ndarray) -> np.ndarray:
        """See `Engine.run`."""
        full = self.spec.padded(batch, str(self.path), self.batch_size)
        return _float32(self._graph(*map(Tensor, full.values())).asnumpy()[: samples(self.spec.named(batch))])


class NetworkEngine:
    """The network itself, in GRAPH and evaluation mode. `batch_size` None takes any, and compiles for each.

    With a `spec` inputs are checked and given in its order; without one the network takes one input of any shape.
    """

    name = "network"

    def __init__(self, network: nn.Cell, batch_size: int | None = None, spec: Spec | Shape | None = None) -> None:
        self.batch_size = batch_size
        self.spec = None if spec is None else Spec.of(spec)
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

    def run(self, batch: Arrays | np.ndarray) -> np.ndarray:
        """See `Engine.run`. Leaves the network in evaluation mode."""
        spec = self.spec or Spec.of(_only(batch).shape[1:])
        full = spec.padded(batch if self.spec else _only(batch), "network", self.batch_size)
        with graph_mode():
            self._forward.set_train(False)
            output = self._forward(*map(Tensor, full.values()))
        if not isinstance(output, Tensor):
            raise InferenceError(f"network: returns {len(output)} outputs, expected one")
        return _float32(output.asnumpy()[: samples(spec.named(batch if self.spec else _only(batch)))])


def _float32(output: np.ndarray) -> np.ndarray:
    """An output as engines give it: that of a network computed in 16 bits may be float16."""
    return output.astype(np.float32, copy=False)


def _only(batch: Arrays | np.ndarray) -> np.ndarray:
    """The one array of a batch. Raises InferenceError where there are several."""
    if isinstance(batch, np.ndarray):
        return batch
    if len(batch) != 1:
        raise InferenceError(f"network: inputs {', '.join(batch)}; give the engine a spec, which says their order")
    return next(iter(batch.values()))


def _mindir_spec(path: Path) -> tuple[int | None, Spec]:
    """Batch size and inputs of a MINDIR file. Raises InferenceError for another file, or one of several outputs."""
    try:
        model = mindir.read_mindir(path)
    except BookError as error:
        raise InferenceError(f"{path}: not a MINDIR file: {first_line(error)}") from error
    if (outputs := len(mindir.outputs(model))) > 1:
        raise InferenceError(f"{path}: has {outputs} outputs, expected one")
    return _batch_spec(path, mindir.inputs(model))


def _batch_spec(path: Path, inputs: Mapping[str, Sizes | None]) -> tuple[int | None, Spec]:
    """`batch_spec` of a file. Raises InferenceError naming it."""
    try:
        return batch_spec(inputs)
    except BookError as error:
        raise InferenceError(f"{path}: not a model of static inputs: {first_line(error)}") from error
