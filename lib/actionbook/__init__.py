"""Action recognition on Ascend: the library behind the book.

The names that others call: `create_model`, `list_models`, `load_pretrained`, `list_pretrained`, `Recipe`, and
`weights.read`, `weights.load`.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from actionbook.core.home import GIVEN

# oneDNN picks a reference convolution, a hundred times too slow, for MindSpore's layouts on CPUs with AVX-512.
# It reads the variable once, when MindSpore is first imported, so it is set here, before anything else;
# child processes inherit it. A value that the user has set is left alone.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
# Read by other packages as they are imported, so set here, too.
os.environ.update(GIVEN)

if TYPE_CHECKING:
    from actionbook import weights
    from actionbook.core.recipe import Recipe
    from actionbook.models import create_model, list_models
    from actionbook.weights.pretrained import list_pretrained, load_pretrained

__version__ = "0.1.0"
__all__ = ["Recipe", "create_model", "list_models", "list_pretrained", "load_pretrained", "weights"]

_HOMES = {
    "Recipe": "actionbook.core.recipe",
    "create_model": "actionbook.models",
    "list_models": "actionbook.models",
    "list_pretrained": "actionbook.weights.pretrained",
    "load_pretrained": "actionbook.weights.pretrained",
}


def __getattr__(name: str) -> Any:
    """Import on first use: MindSpore takes seconds, and much of the library (and every worker) does without it."""
    if name == "weights":
        return importlib.import_module("actionbook.weights")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
