"""MindSpore's own exporters, called so that the network is as before afterwards."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
import onnx
from mindspore import Tensor, nn

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.forward import forward_only
from actionbook.conversion.graph import Graph
from actionbook.conversion.repair import make_pads_explicit, permute_conv_pads
from actionbook.core.files import atomic_path

ClipShape = tuple[int, int, int, int]
INPUT_NAME, OUTPUT_NAME = "image", "class"  # of the Ascend port of Efficient-3DCNNs, so that its commands still fit


def export_mindir(
    network: nn.Cell,
    path: Path | str,
    clip_shape: ClipShape,
    *,
    batch: int | None = None,
    depthwise: str = "banded",
) -> Path:
    """Write `network` as MINDIR, for MindSpore on any device and for MindSpore Lite; returns the path.

    `clip_shape` is (C, T, H, W). With `batch` None the file takes any batch size, else only that one. Weights are
    stored inside the file. Raises ConversionError where MindSpore cannot export the network, or `path` does not end
    in ``.mindir``.
    """
    path = with_suffix(path, ".mindir")
    with tempfile.TemporaryDirectory(prefix="mindir-") as folder, forward_only(network, depthwise) as forward:
        raw = Path(folder) / "network.mindir"
        with _exporter("MINDIR"):
            ms.export(forward, _example(clip_shape, batch), file_name=str(raw), file_format="MINDIR")
        if not raw.is_file():
            raise ConversionError(f"{path}: the weights are too large for one MINDIR file (1 GiB)")
        with atomic_path(path) as temporary:
            shutil.copyfile(raw, temporary)
    return path


def export_raw(network: nn.Cell, clip_shape: ClipShape, batch: int) -> onnx.ModelProto:
    """What MindSpore's ONNX exporter makes of `network`, faults included; static batch, opset 11.

    Depthwise convolutions are exported as grouped Conv nodes: the exporter knows no other form of them.
    """
    with tempfile.TemporaryDirectory(prefix="onnx-") as folder, forward_only(network, "grouped") as forward:
        raw = Path(folder) / "network.onnx"
        with _exporter("ONNX"):
            ms.onnx.export(
                forward,
                _example(clip_shape, batch),
                file_name=str(raw),
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
            )
        return onnx.load(raw)


def export_onnx_raw(network: nn.Cell, path: Path | str, clip_shape: ClipShape, *, batch: int = 1) -> Path:
    """Write MindSpore's export with nothing but the pads put right, so that it runs: the baseline to compare with."""
    path = with_suffix(path, ".onnx")
    model = export_raw(network, clip_shape, batch)
    graph = Graph.from_model(model)  # only to find the pads: the nodes are shared with `model`
    permute_conv_pads(graph)
    make_pads_explicit(graph)
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)
    return path


@contextlib.contextmanager
def _exporter(kind: str) -> Iterator[None]:
    """Run MindSpore's exporter without its warnings; its errors become ConversionError."""
    logger = logging.getLogger("MindSpore")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except (RuntimeError, ValueError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConversionError(f"MindSpore cannot export this network as {kind}: {first}") from error
    finally:
        logger.setLevel(level)


def _example(clip_shape: ClipShape, batch: int | None) -> Tensor:
    """An input of the right shape; with batch None one whose first size is left open."""
    if len(clip_shape) != 4 or min(clip_shape) < 1 or (batch is not None and batch < 1):
        raise ConversionError(f"clip shape {clip_shape}, batch {batch}: expected (C, T, H, W) and a batch of 1 or more")
    if batch is None:
        return Tensor(shape=[None, *clip_shape], dtype=ms.float32)
    return Tensor(np.zeros((batch, *clip_shape), np.float32))


def with_suffix(path: Path | str, suffix: str) -> Path:
    """The path, if it ends in `suffix` (readers and writers go by it); ConversionError if not."""
    if Path(path).suffix != suffix:
        raise ConversionError(f"{path}: expected a name that ends in {suffix}")
    return Path(path)
