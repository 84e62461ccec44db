"""Checkpoints: MindSpore's own format with its checksum, written in one step, loaded strictly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path
from actionbook.core.paths import shown


def save_checkpoint(cell: nn.Cell, path: Path, **extra: Any) -> None:
    """Write every parameter of `cell`, with numbers and texts in `extra` (such as epoch=3), to a .ckpt file.

    Raises BookError if it cannot be written, on a full disk for example; an earlier file of that name then stays.
    """
    try:
        with atomic_path(path) as temporary:
            ms.save_checkpoint(cell, str(temporary), append_dict=extra or None, crc_check=True)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())  # renamed only once it is on the disk: a power cut leaves the old or the new
    except OSError as error:
        kept = "; the earlier one is kept" if path.exists() else ""
        raise BookError(
            f"{shown(path)}: cannot be written ({error.strerror or error}){kept}. "
            "Make room and run again: it goes on from the last checkpoint"
        ) from error


def load_checkpoint(cell: nn.Cell, path: Path) -> dict[str, Any]:
    """Load a .ckpt file into `cell` and return its extra numbers and texts.

    Raises BookError if the file is missing or damaged, or if any parameter is missing, left over or of another shape.
    """
    try:
        stored = ms.load_checkpoint(str(path), crc_check=True)
    except (ValueError, OSError, RuntimeError, TypeError) as error:
        raise BookError(
            f"{shown(path)}: is not a readable checkpoint ({str(error).splitlines()[0]}); "
            "delete it, and what it was made by will make it again"
        ) from error
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
