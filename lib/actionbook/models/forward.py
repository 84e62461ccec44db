"""A network run forward only, as a fresh graph, and left as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import mindspore as ms
from mindspore import Tensor, nn

from actionbook.models.layers import GroupedConv3d, set_grouped_form


class ForwardCell(nn.Cell):
    """The network under a cell of its own: MindSpore keeps compiled graphs by cell, also after the cell has changed."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)  # parameter names stay those of the network
        self.network = network

    def construct(self, *inputs: Tensor) -> Tensor:
        """The network's inputs (N, ...), in the order of its own ``construct`` -> what the network returns."""
        return self.network(*inputs)


@contextlib.contextmanager
def _mode(wanted: int) -> Iterator[None]:
    mode = ms.get_context("mode")
    if mode == wanted:
        yield
        return
    ms.set_context(mode=wanted)
    try:
        yield
    finally:
        ms.set_context(mode=mode)


def graph_mode() -> contextlib.AbstractContextManager[None]:
    """Run in GRAPH mode (needed for export, and far quicker once it is compiled), then as before."""
    return _mode(ms.GRAPH_MODE)


def eager() -> contextlib.AbstractContextManager[None]:
    """Run layer by layer (PYNATIVE mode), then as before: nothing is compiled, and hooks see the outputs.

    The quicker way to run a network once: compiling takes longer than small networks take a hundred batches.
    """
    return _mode(ms.PYNATIVE_MODE)


@contextlib.contextmanager
def forward_only(network: nn.Cell, depthwise: str | None = None) -> Iterator[nn.Cell]:
    """Yield a cell that computes `network` in evaluation and GRAPH mode, freshly compiled.

    `depthwise` is the form of the depthwise convolutions meanwhile, None to leave it. Afterwards the forms, the
    training flag of every cell, and the execution mode are what they were.
    """
    cells = [cell for _, cell in network.cells_and_names()]
    training = [cell.training for cell in cells]
    forms = [(cell, cell.form) for cell in cells if isinstance(cell, GroupedConv3d)]
    phase = network.phase
    try:
        network.set_train(False)
        if depthwise is not None:
            set_grouped_form(network, depthwise)
        with graph_mode():
            yield ForwardCell(network).set_train(False)
    finally:
        for cell, flag in zip(cells, training, strict=True):
            cell.add_flags(training=flag)
        for cell, form in forms:
            cell.set_form(form)
        network.phase = phase
