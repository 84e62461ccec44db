"""The book's own side: its networks in MindSpore, its exporter, its loader."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from actionbook.clips.pipeline import TrainingSource, training_dataset
from actionbook.conversion import export_onnx, export_onnx_raw
from actionbook.core.runtime import set_device
from actionbook.core.spec import IMAGE, Spec
from actionbook.core.training import Training
from actionbook.models import create_model
from actionbook.models.layers import Dropout
from actionbook.tasks import Classification, Detection
from actionbook.training.optimiser import train_step
from actionbook.weights import export_state, load
from actionbook.weights.golden import rule_made
from bench.peers.batches import BOXES, drawn, read, targets
from bench.peers.book_samples import samples
from bench.worker import Contestant

STEPS = 100_000  # of the training whose rates are made; no run takes so many
# Of the weights that both sides read; of all other networks Efficient-3DCNNs'.
LAYOUTS = {
    "i3d": "piergiaj",
    "eco_full": "eco_pytorch",
    "eco_lite": "eco_lite_pytorch",
    "slowfast_r50": "pyslowfast",
    "stnet_resnet50": "piergiaj",
}
# What makes bottlenecks' last batch norms small, see `fixtures`.
LAST_NORMS = {".bn3.weight": 0.25, ".c_bn.weight": 0.25}


def fixtures(weights: str, clips: str, inputs: dict[str, tuple[int, ...]], **network: Any) -> Contestant:
    """Write the weights and the batch that all contestants share; there is nothing to time. Facts: parameters."""
    set_device("CPU")
    made = create(**network)
    state = export_state(made, layout(network["model"]))
    # Fresh weights let activations die away, and numbers near zero (denormals) are slow in some kernels only. The last
    # batch norm of a bottleneck has a quarter of the others' scale: sums over sixteen of them would grow, and so would
    # rounding, until no two programs had one loss in common.
    tensors = [(name, array.shape) for name, array in state.items()]
    np.savez(weights, **rule_made(tensors, LAST_NORMS))
    np.savez(clips, **drawn(inputs))
    return Contestant(lambda: None, {"parameters": count(made)})


def exports(*, ours: str, raw: str, weights: str, inputs: dict[str, tuple[int, ...]], **network: Any) -> Contestant:
    """Export the network with the book's exporter, and with MindSpore's alone. Facts: parameters, nodes, raw_nodes."""
    made = build(weights, **network)
    spec = Spec({name: tuple(shape) for name, (_, *shape) in inputs.items()})
    example = drawn({name: (3, *shape) for name, shape in spec.inputs.items()})
    export = export_onnx(made, ours, spec, example=example)
    export_onnx_raw(made, raw, spec, batch=next(iter(inputs.values()))[0])
    nodes = {"nodes": export.nodes, "raw_nodes": export.raw_nodes}
    return Contestant(lambda: None, {"parameters": count(made), **nodes})


def forward(weights: str, clips: str, **network: Any) -> Contestant:
    """Inference in MindSpore, GRAPH mode, on one batch. Facts: parameters, logits."""
    made = build(weights, **network)
    batch = [Tensor(array) for array in read(clips).values()]
    return Contestant(
        lambda: made(*batch).asnumpy(),  # asnumpy waits for the result
        {"parameters": count(made), "logits": made(*batch).asnumpy().tolist()},
    )


def train(*, weights: str, clips: str, sgd: dict[str, Any], num_classes: int, **network: Any) -> Contestant:
    """One step of the book's training on one batch. Facts: parameters, the losses of the first three steps."""
    made = build(weights, num_classes=num_classes, **network).set_train(True)
    arrays = read(clips)
    wanted = targets(arrays, num_classes)
    mask = [np.ones(wanted.shape[:2], np.float32)] if BOXES in arrays else []  # no box is there to fill up
    batch = [Tensor(array) for array in (*arrays.values(), wanted, *mask)]
    cell = training_cell(made, len(wanted), sgd, tuple(arrays))
    losses = [float(cell(*batch).asnumpy()) for _ in range(3)]
    return Contestant(lambda: cell(*batch).asnumpy(), {"parameters": count(made), "losses": losses})


def fed_train(
    *,
    weights: str,
    store: str,
    frames: dict[str, int],
    shape: tuple[int, ...],
    workers: int,
    sgd: dict[str, Any],
    **network: Any,
) -> Contestant:
    """The same step, fed by the book's loader with clips of `store`, which holds videos of so many `frames`."""
    made = build(weights, **network).set_train(True)
    cell = training_cell(made, shape[0], sgd)
    repeats = 1 + 500 * shape[0] // len(frames)  # an epoch of about 500 steps, so that its end hardly weighs
    videos = {f"bench/{video}": count for video, count in frames.items()}
    clips = samples(videos, Path(store), {"frames": shape[2], "window": shape[2], "size": shape[3]})
    source = TrainingSource(clips, shape[0], 1, repeats, workers)
    batches = endless(source)

    def step() -> np.ndarray:
        clip, target = next(batches)
        return cell(clip, target).asnumpy()

    return Contestant(step, {"parameters": count(made), "first_loss": float(step())})


def create(model: str, num_classes: int, options: dict[str, Any]) -> nn.Cell:
    """A network of the book by name, with options of its own."""
    return create_model(model, num_classes=num_classes, **options)


def build(weights: str, **network: Any) -> nn.Cell:
    """The network in GRAPH mode with the arrays of an .npz file. No dropout: random masks could not be compared."""
    set_device("CPU")
    made = create(**network)
    for _, cell in made.cells_and_names():
        if isinstance(cell, Dropout):
            cell.rate = 0.0
    with np.load(weights) as arrays:
        load(made, {name: arrays[name] for name in arrays.files}, layout=layout(network["model"]))
    return made


def layout(model: str) -> str:
    """How the original program names the network's parameters."""
    return LAYOUTS.get(model, "okankop")


def training_cell(network: nn.Cell, batch_size: int, sgd: dict[str, Any], inputs: Sequence[str] = (IMAGE,)) -> nn.Cell:
    """The book's training step. `sgd` holds PyTorch's names; the book's recipes use the same but for two."""
    same = {name: sgd[name] for name in ("lr", "momentum", "dampening", "weight_decay")}
    loss = (Detection() if BOXES in inputs else Classification()).loss()
    training = Training(epochs=1, batch_size=batch_size, **same)
    return train_step(network, loss, training, STEPS, len(inputs)).set_train(True)


def endless(source: TrainingSource) -> Iterator[tuple[ms.Tensor, ms.Tensor]]:
    """The loader's batches, epoch after epoch, as the training loop takes them."""
    iterator = training_dataset(source).create_tuple_iterator(num_epochs=-1)
    return itertools.chain.from_iterable(itertools.repeat(iterator))


def count(network: nn.Cell) -> int:
    """Trainable numbers."""
    return sum(parameter.size for parameter in network.trainable_params())
