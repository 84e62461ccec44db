"""PyTorch checkpoints (`.pth`, `.pt`, `.pth.tar`) as NumPy arrays, without PyTorch and without executing anything.

Two file formats are read: the zip archive of PyTorch 1.6 and later, and the sequence of pickles with the storages
behind it that came before (also by Python 2). The archive's checksums are verified; the older format has none, so
compare such a file's sha256 with its manifest first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from actionbook.weights.errors import WeightsError
from actionbook.weights.torch_files import open_checkpoint
from actionbook.weights.torch_tensors import Array, TensorRef, materialise

STATE_KEYS: Final = ("state_dict", "model_state", "model", "net")

_AGAIN: Final = "Fetch the file again and compare its size and sha256 with the manifest."
# bfloat16 doubles; tied weights and the master copies of some trainers repeat a storage.
_MAX_GROWTH: Final = 8
_MIN_RESULT_BYTES: Final = 64 * 2**20


def read_torch(path: Path | str) -> dict[str, Array]:
    """Read the tensors of a state dict from a PyTorch checkpoint.

    If the file holds a dictionary with an entry `state_dict`, `model_state`, `model` or `net` that contains tensors,
    that entry is the state dict; else the dictionary itself is. Entries that are no tensors (epoch, arch, optimiser)
    are left out and never copied. Keys stay as stored, a leading ``module.`` included.

    Returns:
        Name -> array, writable, contiguous, in native byte order. Types as stored, except bfloat16, which becomes
        float32 without loss.

    Raises:
        WeightsError: the file is missing, is not a checkpoint (an LFS pointer, a web page, another archive), is
            truncated or damaged, or asks for anything but tensors, containers and numbers.
    """
    path = Path(path)
    with open_checkpoint(path) as checkpoint:
        tensors = _state_dict(checkpoint.root, path)
        limit = max(_MAX_GROWTH * path.stat().st_size, _MIN_RESULT_BYTES)
        state: dict[str, Array] = {}
        for name, tensor in tensors.items():
            state[name] = materialise(tensor, checkpoint.read, checkpoint.order, f"{path}: tensor {name!r}")
            limit -= state[name].nbytes
            if limit < 0:
                raise WeightsError(
                    f"{path}: its views of shared storages unfold to far more bytes than the file has. {_AGAIN}"
                )
        return state


def read_torch_metadata(path: Path | str) -> dict[str, str | int | float | bool | None]:
    """The plain values beside the weights: epoch, arch, best_prec1 and the like.

    Strings, numbers, None and tensors of one element (as Python numbers) at the top level of the dictionary; the
    tensors of a bare state dict are weights. An object that is no dictionary has none. Raises WeightsError as
    `read_torch` does.
    """
    path = Path(path)
    found: dict[str, str | int | float | bool | None] = {}
    with open_checkpoint(path) as checkpoint:
        whole = checkpoint.root if isinstance(checkpoint.root, dict) else {}
        bare = not any(isinstance(whole.get(key), dict) for key in STATE_KEYS)
        for name, value in whole.items():
            plain = value
            if isinstance(value, TensorRef) and value.size in ((), (1,)) and not bare:
                plain = materialise(value, checkpoint.read, checkpoint.order, f"{path}: tensor {name!r}").item()
            if isinstance(name, str) and (plain is None or isinstance(plain, str | int | float)):
                found[name] = plain
    return found


def _state_dict(root: Any, path: Path) -> dict[str, TensorRef]:
    """The tensors of the state dict within the object of a checkpoint."""
    if not isinstance(root, dict):
        kind = "tensor" if isinstance(root, TensorRef) else type(root).__name__
        raise WeightsError(f"{path}: holds a {kind}, not a dictionary of tensors. Save `model.state_dict()`.")
    candidates = [root[key] for key in STATE_KEYS if isinstance(root.get(key), dict)]
    for candidate in [*candidates, root]:
        tensors = {name: value for name, value in candidate.items() if isinstance(value, TensorRef)}
        if tensors:
            if not all(isinstance(name, str) for name in tensors):
                raise WeightsError(f"{path}: its tensors have no names. Save `model.state_dict()`.")
            return tensors
    keys = ", ".join(repr(key)[:60] for key in list(root)[:12]) or "nothing"
    raise WeightsError(
        f"{path}: no tensors, neither at the top level nor under {', '.join(STATE_KEYS)}; it holds {keys}. "
        "Save `model.state_dict()`, or a dictionary with it under `state_dict`."
    )
