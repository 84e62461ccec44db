"""The layer table of a network: shapes, parameters and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from mindspore import Tensor, nn, ops

from actionbook.core.spec import Arrays, Shape, Spec
from actionbook.models.forward import eager
from actionbook.models.layers import GroupedConv3d


def layer_table(network: nn.Cell, spec: Spec | Shape = (3, 16, 112, 112)) -> pd.DataFrame:
    """One row per layer that has parameters, in order of execution.

    Columns: name; kind; output shape (C, T, H, W), (C, H, W) of each frame, or (classes,); parameters; macs, the
    multiply-accumulates of convolutions and dense layers for one sample of `spec`, or one clip (C, T, H, W).
    Normalisation and activations count none: that is how the literature counts, up to a few per cent.
    """
    rows: list[dict[str, Any]] = []

    def note(name: str, cell: nn.Cell, output: Tensor) -> None:
        if name.endswith(".bn2d"):  # nn.BatchNorm3d has a 2-D one inside
            return
        shape = tuple(output.shape[1:])
        rows.append(
            {
                "name": name,
                "kind": _kind(cell),
                "output": shape,
                "parameters": count_parameters(cell),
                "macs": output.shape[0] * _macs(cell, shape),  # frames that a 2-D part takes one by one
            }
        )

    zeros = {name: np.zeros((1, *shape), np.float32) for name, shape in Spec.of(spec).inputs.items()}
    with _sizes_alone(network):
        watch_outputs(network, zeros, _is_layer, note)
    return pd.DataFrame(rows)


@contextmanager
def _sizes_alone(network: nn.Cell) -> Iterator[None]:
    """While the block runs, layers with parameters give zeros of the size that their outputs have.

    Of a table of sizes nothing hangs on values, and convolutions take nearly all of a network's time.
    """
    layers = [cell for _, cell in network.cells_and_names() if _is_layer(cell)]
    for cell in layers:  # as an attribute of its own, which stands before its class's
        vars(cell)["construct"] = partial(_zeros, cell)
    try:
        yield
    finally:
        for cell in layers:
            del vars(cell)["construct"]


def _zeros(cell: nn.Cell, x: Tensor) -> Tensor:
    """What a layer makes of (N, C, ...), as zeros; of a normalisation that itself."""
    if isinstance(cell, nn.BatchNorm3d | nn.BatchNorm2d):
        return x
    if isinstance(cell, nn.Dense):
        return ops.zeros((*x.shape[:-1], cell.out_channels), x.dtype)
    if isinstance(cell, GroupedConv3d):
        sizes = tuple((size - 1) // step + 1 for size, step in zip(x.shape[2:], cell.stride, strict=True))
        return ops.zeros((len(x), cell.channels[1], *sizes), x.dtype)
    pads = cell.padding if isinstance(cell.padding, tuple) else (cell.padding,) * 2 * len(cell.kernel_size)
    reach = [step * (size - 1) for step, size in zip(cell.dilation, cell.kernel_size, strict=True)]
    if cell.pad_mode == "same":
        reach = [0] * len(reach)
    if cell.pad_mode == "pad":
        reach = [far - before - after for far, before, after in zip(reach, pads[::2], pads[1::2], strict=True)]
    sizes = tuple((n - far - 1) // step + 1 for n, far, step in zip(x.shape[2:], reach, cell.stride, strict=True))
    return ops.zeros((len(x), cell.out_channels, *sizes), x.dtype)


def watch_outputs(
    network: nn.Cell,
    batch: Arrays | np.ndarray,
    wanted: Callable[[nn.Cell], bool],
    note: Callable[[str, nn.Cell, Tensor], None],
) -> None:
    """Run a batch, inputs in the network's order, through `network` and call `note` with outputs of `wanted` cells.

    `note` gets a cell's name, the cell and its output, each time that the cell has run, in order of execution.
    """

    def watch(name: str, cell: nn.Cell) -> Any:
        return cell.register_forward_hook(lambda _cell, _inputs, output: note(name, cell, output))

    hooks = [watch(name, cell) for name, cell in network.cells_and_names() if wanted(cell)]
    try:
        with eager():
            network(*map(Tensor, [batch] if isinstance(batch, np.ndarray) else batch.values())).asnumpy()
    finally:
        for hook in hooks:
            hook.remove()


def count_parameters(network: nn.Cell) -> int:
    """Number of trainable values (running statistics of batch norm do not count)."""
    return sum(int(np.prod(parameter.shape)) for parameter in network.trainable_params())


def _is_layer(cell: nn.Cell) -> bool:
    return isinstance(cell, nn.Conv3d | nn.Conv2d | nn.Dense | nn.BatchNorm3d | nn.BatchNorm2d | GroupedConv3d)


def _kind(cell: nn.Cell) -> str:
    if isinstance(cell, GroupedConv3d) and cell.groups > 1:
        return "depthwise convolution" if cell.groups == cell.channels[0] else "grouped convolution"
    if isinstance(cell, GroupedConv3d):
        return "convolution"
    if isinstance(cell, nn.Conv3d | nn.Conv2d):
        return "pointwise convolution" if set(cell.kernel_size) == {1} else "convolution"
    return "batch norm" if isinstance(cell, nn.BatchNorm3d | nn.BatchNorm2d) else "dense"


def _macs(cell: nn.Cell, output: tuple[int, ...]) -> int:
    """Outputs times the values that each is a weighted sum of."""
    if isinstance(cell, nn.BatchNorm3d | nn.BatchNorm2d):
        return 0
    fan_in = int(np.prod(cell.weight.shape[1:]))
    return int(np.prod(output)) * fan_in
