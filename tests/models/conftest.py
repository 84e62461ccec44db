"""The mode in which the tests of this floor run: compiled, as everywhere else, unless they ask for the other."""

from __future__ import annotations

from collections.abc import Iterator

import mindspore as ms
import pytest

from actionbook.core.runtime import set_device


@pytest.fixture(autouse=True, scope="module")
def _graph_mode() -> None:
    set_device("CPU")


@pytest.fixture
def _pynative() -> Iterator[None]:
    """Operator by operator: for a network that runs once, quicker than to compile it."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)
