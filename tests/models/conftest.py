"""The mode in which the tests of this floor run: compiled, as everywhere else, unless they ask for the other.

And what they see of the inside of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.core.runtime import set_device
from actionbook.models.profile import watch_outputs


@pytest.fixture(autouse=True, scope="module")
def _graph_mode() -> None:
    set_device("CPU")


@pytest.fixture
def _pynative() -> Iterator[None]:
    """Operator by operator: for a network that runs once, quicker than to compile it."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture(scope="session")
def inside() -> Callable[..., list[np.ndarray]]:
    """A function of a network, a batch and names of cells: what these cells give; the name "" is the network."""

    def outputs(network: nn.Cell, x: np.ndarray, *names: str) -> list[np.ndarray]:
        cells, found = dict(network.cells_and_names()), {}

        def note(name: str, _cell: nn.Cell, output: Tensor) -> None:
            found[name] = output.asnumpy()

        watch_outputs(network, x, lambda cell: any(cell is cells[name] for name in names), note)
        return [found[name] for name in names]

    return outputs
