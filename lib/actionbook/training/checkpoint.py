"""Checkpoints: MindSpore's own format, written in one step, loaded strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path
from actionbook.core.paths import shown


def save_checkpoint(cell: nn.Cell, path: Path, **extra: Any) -> None:
    """Write every parameter of `cell`, with scalars in `extra` (such as epoch=3), to a .ckpt file."""
    with atomic_path(path) as temporary:
        ms.save_checkpoint(cell, str(temporary), append_dict=extra or None)


def load_checkpoint(cell: nn.Cell, path: Path) -> dict[str, Any]:
    """Load a .ckpt file into `cell` and return its extra scalars.

    Raises BookError if the file is missing or damaged, or if any parameter is missing, left over or of another shape.
    """
    try:
        stored = ms.load_checkpoint(str(path))
    except (ValueError, OSError, RuntimeError, TypeError) as error:
        raise BookError(f"{shown(path)}: is not a readable checkpoint ({str(error).splitlines()[0]})") from error
    wanted = {p.name: tuple(p.shape) for p in cell.get_parameters()}
    found = {name: value for name, value in stored.items() if isinstance(value, ms.Parameter) and name in wanted}
    missing = sorted(set(wanted) - set(found))
    wrong = [f"{n} {tuple(p.shape)} instead of {wanted[n]}" for n, p in found.items() if tuple(p.shape) != wanted[n]]
    extra = {name: value for name, value in stored.items() if name not in wanted}
    tensors = sorted(name for name, value in extra.items() if len(getattr(value, "shape", ())) > 0)
    if missing or wrong or tensors:
        raise BookError(
            f"{shown(path)}: does not fit the network (missing: {missing[:5]}; wrong shape: {wrong[:5]}; "
            f"left over: {tensors[:5]}); it belongs to another model, width or number of classes"
        )
    ms.load_param_into_net(cell, found, strict_load=True)
    return {name: value.asnumpy().item() if hasattr(value, "asnumpy") else value for name, value in extra.items()}
