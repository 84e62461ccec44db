"""The book's own side: its networks in MindSpore, its exports in ONNX Runtime, its loader."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import mindspore as ms
import numpy as np
import pandas as pd
from mindspore import Tensor, nn

from actionbook.clips.pipeline import TrainingSource, training_dataset
from actionbook.conversion import export_onnx, export_onnx_raw
from actionbook.core.recipe import Clips, Training
from actionbook.core.runtime import set_device
from actionbook.inference import OnnxEngine
from actionbook.models import create_model
from actionbook.training.loop import train_step
from actionbook.weights import export_state, load
from bench.worker import Contestant

STEPS = 100_000  # of the training whose rates are made; no run takes so many


def fixtures(weights: str, clips: str, shape: tuple[int, ...], width: float, num_classes: int) -> Contestant:
    """Write the weights and the batch that all contestants share; there is nothing to time. Facts: parameters."""
    set_device("CPU")
    network = create_model("mobilenetv2_3d", num_classes=num_classes, width=width)
    np.savez(weights, **{name: drawn(name, array.shape) for name, array in export_state(network, "okankop").items()})
    np.save(clips, np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    return Contestant(lambda: None, {"parameters": count(network)})


def exports(*, ours: str, raw: str, weights: str, shape: tuple[int, ...], width: float, num_classes: int) -> Contestant:
    """Export the network with the book's exporter, and with MindSpore's alone. Facts: nodes, raw_nodes."""
    network = build(weights, width, num_classes)
    clip_shape = (shape[1], shape[2], shape[3], shape[4])
    export = export_onnx(network, ours, clip_shape)
    export_onnx_raw(network, raw, clip_shape, batch=shape[0])
    return Contestant(lambda: None, {"nodes": export.nodes, "raw_nodes": export.raw_nodes})


def forward(weights: str, clips: str, width: float, num_classes: int) -> Contestant:
    """Inference in MindSpore, GRAPH mode, on one batch. Facts: parameters, logits."""
    network = build(weights, width, num_classes)
    batch = Tensor(np.load(clips))
    return Contestant(
        lambda: network(batch).asnumpy(),  # asnumpy waits for the result
        {"parameters": count(network), "logits": network(batch).asnumpy().tolist()},
    )


def train(weights: str, clips: str, width: float, num_classes: int, sgd: dict[str, Any]) -> Contestant:
    """One step of the book's training on one batch. Facts: parameters, the losses of the first three steps."""
    network = build(weights, width, num_classes).set_train(True)
    array = np.load(clips)
    batch, targets = Tensor(array), Tensor((np.arange(len(array)) % num_classes).astype(np.int32))
    cell = training_cell(network, len(array), sgd)
    losses = [float(cell(batch, targets).asnumpy()) for _ in range(3)]
    return Contestant(lambda: cell(batch, targets).asnumpy(), {"parameters": count(network), "losses": losses})


def fed_train(
    *, weights: str, store: str, frames: dict[str, int], shape: tuple[int, ...], workers: int, width: float,
    num_classes: int, sgd: dict[str, Any],
) -> Contestant:  # fmt: skip
    """The same step, fed by the book's loader with clips of `store`, which holds videos of so many `frames`."""
    network = build(weights, width, num_classes).set_train(True)
    cell = training_cell(network, shape[0], sgd)
    index = pd.DataFrame([{"video": v, "label": "bench", "target": 0, "frames": n} for v, n in frames.items()])
    repeats = 1 + 500 * shape[0] // len(index)  # an epoch of about 500 steps, so that its end hardly weighs
    clips = Clips(frames=shape[2], window=shape[2], size=shape[3])
    source = TrainingSource(index, Path(store), clips, shape[0], 1, repeats, workers)
    batches = endless(source)

    def step() -> np.ndarray:
        clip, target = next(batches)
        return cell(clip, target).asnumpy()

    return Contestant(step, {"parameters": count(network), "first_loss": float(step())})


def onnx(path: str, clips: str, threads: int, batch: int) -> Contestant:
    """An ONNX file in ONNX Runtime, on the first `batch` clips. Facts: logits."""
    engine = OnnxEngine(path, threads)
    clip = np.ascontiguousarray(np.load(clips)[:batch])
    return Contestant(lambda: engine.run(clip), {"logits": engine.run(clip).tolist()})


def build(weights: str, width: float, num_classes: int) -> nn.Cell:
    """The network in GRAPH mode with the arrays of an .npz file. No dropout: random masks could not be compared."""
    set_device("CPU")
    network = create_model("mobilenetv2_3d", num_classes=num_classes, width=width, dropout=0.0)
    with np.load(weights) as arrays:
        load(network, {name: arrays[name] for name in arrays.files}, layout="okankop")
    return network


def training_cell(network: nn.Cell, batch_size: int, sgd: dict[str, Any]) -> nn.Cell:
    """The book's training step. `sgd` holds PyTorch's names; the book's recipes use the same but for two."""
    same = {name: sgd[name] for name in ("lr", "momentum", "dampening", "weight_decay")}
    return train_step(network, Training(epochs=1, batch_size=batch_size, **same), STEPS).set_train(True)


def endless(source: TrainingSource) -> Iterator[tuple[ms.Tensor, ms.Tensor]]:
    """The loader's batches, epoch after epoch, as the training loop takes them."""
    iterator = training_dataset(source).create_tuple_iterator(num_epochs=-1)
    return itertools.chain.from_iterable(itertools.repeat(iterator))


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random weights under which activations keep their size through all layers.

    Fresh weights would let them die away, and numbers near zero (denormals) are slow in some kernels only.
    """
    rng = np.random.RandomState(crc32(name.encode()))
    if name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith(("running_mean", "bias")):
        values = rng.standard_normal(shape) * 0.1
    else:
        values = rng.uniform(0.5, 1.5, shape)
    return values.astype(np.float32)


def count(network: nn.Cell) -> int:
    """Trainable numbers."""
    return sum(parameter.size for parameter in network.trainable_params())
