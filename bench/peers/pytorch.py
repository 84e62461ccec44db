"""The networks in PyTorch: eager steps, and PyTorch's own ONNX files.

Needs PyTorch and NumPy, and onnx and onnxscript to export.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from bench.peers.batches import Arrays, read, targets
from bench.peers.networks import NETWORKS
from bench.worker import Contestant

# What a user of today gets without asking: torch.export, of which onnxscript makes a graph in the newest operator set.
# The older exporter, through TorchScript, is deprecated and is the only one that still writes set 11, as the book does.
EXPORTERS: dict[str, dict[str, Any]] = {"default": {}, "torchscript": {"dynamo": False, "opset_version": 11}}


def forward(weights: str, clips: str, threads: int, channels_last: bool = False, **network: Any) -> Contestant:
    """Inference on one batch. Facts: version, parameters, logits."""
    made = load(weights, threads, **network).eval()
    batch = arranged(made, tensors(read(clips)), channels_last)

    def step() -> Tensor:
        with torch.inference_mode():
            return made(*batch)

    return Contestant(step, {**facts(made), "logits": step().numpy().tolist()})


def train(
    *,
    weights: str,
    clips: str,
    threads: int,
    sgd: dict[str, Any],
    num_classes: int,
    channels_last: bool = False,
    **network: Any,
) -> Contestant:
    """Forward, backward and an SGD step on one batch. Facts: version, parameters, the first three losses."""
    made = load(weights, threads, num_classes=num_classes, **network).train()
    arrays = read(clips)
    batch = arranged(made, tensors(arrays), channels_last)
    wanted = torch.from_numpy(targets(arrays, num_classes))
    optimiser = torch.optim.SGD(made.parameters(), **sgd)
    criterion = nn.BCEWithLogitsLoss() if wanted.is_floating_point() else nn.CrossEntropyLoss()
    wanted = wanted if wanted.is_floating_point() else wanted.long()

    def step() -> float:
        optimiser.zero_grad()
        loss = criterion(made(*batch), wanted)
        loss.backward()
        optimiser.step()
        return loss.item()

    return Contestant(step, {**facts(made), "losses": [step() for _ in range(3)]})


def export(*, weights: str, clips: str, threads: int, paths: dict[str, str], **network: Any) -> Contestant:
    """Write ONNX files for batches of the size of `clips`, ``{exporter: path}``; there is nothing to time.

    A fixed batch lets the runtime work out more of the graph beforehand than an open one. Facts: version, parameters;
    files, ``{exporter: {"opset", "nodes"}}``.
    """
    made = load(weights, threads, **network).eval()
    arrays = read(clips)
    names = {"input_names": list(arrays), "output_names": ["class"]}
    for exporter, path in paths.items():
        torch.onnx.export(made, tensors(arrays), path, **names, **EXPORTERS[exporter])
    graphs = {exporter: onnx.load(path, load_external_data=False) for exporter, path in paths.items()}
    files = {name: {"opset": g.opset_import[0].version, "nodes": len(g.graph.node)} for name, g in graphs.items()}
    return Contestant(lambda: None, {**facts(made), "files": files})


def load(weights: str, threads: int, model: str, num_classes: int, options: dict[str, Any]) -> nn.Module:
    """The network with the arrays of an .npz file, strictly; sets the number of threads.

    No dropout: random masks could not be compared.
    """
    torch.set_num_threads(threads)
    network = NETWORKS[model](num_classes, **options)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with np.load(weights) as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict({**state, **counters})
    return network


def tensors(arrays: Arrays) -> tuple[Tensor, ...]:
    """The batch as the network takes it."""
    return tuple(map(torch.from_numpy, arrays.values()))


def arranged(network: nn.Module, batch: tuple[Tensor, ...], channels_last: bool) -> tuple[Tensor, ...]:
    """The batch as it is, or clips and network's weights in the order (N, T, H, W, C), beforehand and for good."""
    if not channels_last:
        return batch
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
    return tuple(x.contiguous(memory_format=formats[x.ndim]) if x.ndim in formats else x for x in batch)


def facts(network: nn.Module) -> dict[str, Any]:
    """Version of PyTorch, and the network's trainable numbers."""
    return {"version": torch.__version__, "parameters": count(network)}


def count(network: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in network.parameters())
