"""Where the state dict lies in the object of a checkpoint: training scripts put it where they like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final

from actionbook.core.placeholders import Placeholder
from actionbook.weights.errors import WeightsError
from actionbook.weights.numpy_pickles import NumpyArray
from actionbook.weights.stored import Plain
from actionbook.weights.torch_tensors import StorageRef, TensorRef

STATE_KEYS: Final = ("state_dict", "model_state", "model", "net")
"""Of dictionaries with as many tensors, one under such a key is the state dict."""
MAX_DEPTH: Final = 8
_AVERAGES: Final = ("ema", "swa", "average", "teacher")
_NAMED: Final = 20
"""So many things that were left out are named, of each sort."""


@dataclass(frozen=True)
class Located:
    """A state dict within an object.

    Attributes:
        tensors: its tensors by name.
        under, others, skipped, beside: as of `actionbook.weights.stored.Origin`.
        metadata: plain values at the top level, and tensors of one element there, unless that is the state dict.
    """

    tensors: dict[str, TensorRef | NumpyArray]
    under: str
    others: tuple[str, ...]
    skipped: tuple[str, ...]
    beside: tuple[str, ...]
    metadata: dict[str, Plain | TensorRef]


@dataclass(frozen=True)
class _Place:
    """A container, and how it is reached."""

    keys: tuple[Any, ...]
    entries: dict[Any, Any]
    is_dictionary: bool

    @cached_property
    def tensors(self) -> dict[str, TensorRef | NumpyArray]:
        named = {_text(key): _tensor(one) for key, one in self.entries.items() if isinstance(key, str | bytes)}
        return {key: one for key, one in named.items() if one is not None}

    @property
    def rank(self) -> tuple[bool, int, int, int, bool]:
        """Greater is likelier: more tensors of some axis, a usual key, more tensors, not the top."""
        last = _text(self.keys[-1]).lower() if self.keys and isinstance(self.keys[-1], str | bytes) else ""
        usual = len(STATE_KEYS) - STATE_KEYS.index(last) if last in STATE_KEYS else 0
        usual -= any(part in last for part in _AVERAGES)
        # Optimisers number their parameters: what they keep of one may be more tensors than a small network has.
        numbered = any(isinstance(key, int) for key in self.keys)
        return (not numbered, self.arrays, usual, len(self.tensors), bool(self.keys) and not self.arrays)

    @cached_property
    def arrays(self) -> int:
        """Named tensors that are no scalars: those may be the figures of a training."""
        return sum(not isinstance(one, TensorRef) or one.size != () for one in self.tensors.values())


def locate(root: Any, path: str) -> Located:
    """Find the dictionary with the most named tensors, at most `MAX_DEPTH` containers deep.

    Raises WeightsError if there is none, or if it has a tensor that cannot be read.
    """
    places = list(_places(root))
    candidates = [place for place in places if place.is_dictionary and place.tensors]
    if not candidates:
        raise WeightsError(f"{path}: {_without_tensors(root, places)}")
    ranked = sorted(candidates, key=lambda place: place.rank, reverse=True)  # stable: the first of equal ones
    found = ranked[0]
    for key, value in found.entries.items():
        if isinstance(value, Placeholder) and value.is_tensor:
            raise WeightsError(
                f"{path}: tensor {_text(key)[:200]!r} is of a kind that cannot be read ({value.name}): sparse, "
                "quantised, distributed or of a later PyTorch. Save it as a plain float32 tensor, with `torch.save`."
            )
    skipped = (
        f"{_text(key)[:200]} ({_kind(value)})"
        for key, value in found.entries.items()
        if _tensor(value) is None or not isinstance(key, str | bytes)
    )
    others = (
        f"{_shown(place.keys) or 'the top level'} ({len(place.tensors)} tensors)"
        for place in ranked[1:]
        if place.rank[0] and 2 * place.arrays >= found.arrays > 0
    )
    beside = (name for place in places if place is not found for name in _unknown(place))
    return Located(
        found.tensors, _shown(found.keys), _some(others), _some(skipped), _some(beside), _metadata(root, found)
    )


def _places(root: Any) -> Iterator[_Place]:
    """Every container once, those near the top first."""
    level: list[tuple[tuple[Any, ...], Any]] = [((), root)]
    seen: set[int] = set()
    for _ in range(MAX_DEPTH):
        inner: list[tuple[tuple[Any, ...], Any]] = []
        for keys, value in level:
            entries = _entries(value)
            if entries is None or id(value) in seen:
                continue
            seen.add(id(value))
            is_dictionary = not isinstance(value, list | tuple)
            yield _Place(keys, entries, is_dictionary)
            inner += [
                ((*keys, key if is_dictionary else [key]), one)
                for key, one in entries.items()
                if isinstance(one, dict | list | tuple | Placeholder) and _tensor(one) is None
            ]
        level = inner


def _entries(value: Any) -> dict[Any, Any] | None:
    """What is in a container; None for anything else."""
    if isinstance(value, Placeholder):
        return value.entries
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else None


def _tensor(value: Any) -> TensorRef | NumpyArray | None:
    """The tensor that a value is; also that of a pair (name, array), as Paddle 2 writes it. None for all others."""
    if isinstance(value, TensorRef):
        return value
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return value if isinstance(value, NumpyArray) and value.is_numeric else None


def _metadata(root: Any, found: _Place) -> dict[str, Plain | TensorRef]:
    """The plain values at the top level; tensors of one element there, unless it is the state dict."""
    metadata: dict[str, Plain | TensorRef] = {}
    for key, value in root.items() if isinstance(root, dict) else ():
        number = isinstance(value, TensorRef) and value.size in ((), (1,)) and found.keys
        if isinstance(key, str) and (number or value is None or isinstance(value, str | int | float)):
            metadata[key] = value
    return metadata


def _some(names: Iterator[str]) -> tuple[str, ...]:
    """The first of many names."""
    first = tuple(islice(names, _NAMED + 1))
    return first if len(first) <= _NAMED else (*first[:-1], "and more")


def _unknown(place: _Place) -> Iterator[str]:
    """What is in a container and was not built: a line for each."""
    for key, value in place.entries.items():
        where = _shown((*place.keys, key if place.is_dictionary else [key]))
        if isinstance(key, Placeholder):
            yield f"{_shown(place.keys) or 'the top level'} (a {key.name})"
        if isinstance(value, Placeholder | NumpyArray):
            yield f"{where} ({_kind(value)})"


def _without_tensors(root: Any, places: list[_Place]) -> str:
    """What an object is in which no tensor has a name, and what to do."""
    if any(_tensor(one) is not None for place in places for one in place.entries.values()):
        return "its tensors have no names. Save `model.state_dict()`."
    objects = [root] if isinstance(root, Placeholder) else []
    objects += [one for place in places for one in place.entries.values() if isinstance(one, Placeholder)]
    if objects:
        names = ", ".join(repr(name) for name in list(dict.fromkeys(one.name for one in objects))[:5])
        return (
            f"no tensors by name, but objects of {names}, which were not built: nothing was imported or run. If it is "
            "a whole pickled network, load it where its program is installed and save only `model.state_dict()`."
        )
    if not isinstance(root, dict):
        return f"holds a {_kind(root)}, not a dictionary of tensors. Save `model.state_dict()`."
    keys = ", ".join(repr(_text(key))[:60] for key in list(root)[:12]) or "nothing"
    return (
        f"no tensors by name, neither at the top level nor in a dictionary below it; it holds {keys}. "
        "Save `model.state_dict()`, or a dictionary with it under `state_dict`."
    )


def _kind(value: Any) -> str:
    """What a value is, for people."""
    if isinstance(value, Placeholder):
        return value.name
    names = {TensorRef: "tensor", NumpyArray: "numpy.ndarray", StorageRef: "storage", type(None): "None"}
    return names.get(type(value), type(value).__name__)


def _text(key: Any) -> str:
    """A key as text; Python 2 and others keep names as bytes."""
    if isinstance(key, bytes):
        return key.decode("latin-1")
    return key.name if isinstance(key, Placeholder) else str(key)


def _shown(keys: tuple[Any, ...]) -> str:
    """Keys as they would be written behind the object: 'model'['state_dict']; places in lists as numbers."""
    parts = [f"{key[0]}" if isinstance(key, list) else repr(_text(key))[:80] for key in keys]
    return parts[0] + "".join(f"[{part}]" for part in parts[1:]) if parts else ""
