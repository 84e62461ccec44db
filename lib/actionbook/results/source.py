"""The library's own code, shown where a notebook speaks of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from IPython.display import Code


def source_of(what: type | Callable[..., Any]) -> Code:
    """The source of a class or function as a notebook shows it, coloured."""
    return Code(inspect.getsource(what), language="python")
