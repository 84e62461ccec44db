"""What stands in a file that was read as data for all that is not known here, and must not be built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

# Hashing must stay cheap: a nested tuple takes exponential time, long integers can be made to collide.
MAX_KEY_LENGTH: Final = 4096
MAX_KEY_BITS: Final = 64


@dataclass(slots=True, eq=False)
class Placeholder:
    """What stands for a class, function or object that is not known here: its name, and nothing that could act.

    States, arguments and elements that the stream gives it are dropped; entries are kept, as of a kind of dictionary.
    """

    name: str
    """``module.name`` of the class or function, of at most 200 characters."""
    entries: dict[Any, Any] | None = field(default=None, repr=False)  # they may lie in one another without end

    @property
    def is_tensor(self) -> bool:
        """Whether it stands for a tensor, though of a kind that cannot be read."""
        return "_rebuild" in self.name or self.name.endswith(("Tensor", "tensor"))


def cheap_key(key: Any) -> str | bytes | int | Placeholder:
    """`key`, if it is a short string or an integer of at most 64 bits; else a placeholder that says what it is."""
    if isinstance(key, str | bytes) and len(key) <= MAX_KEY_LENGTH:
        return key
    if isinstance(key, int) and key.bit_length() <= MAX_KEY_BITS:
        return key
    return key if isinstance(key, Placeholder) else Placeholder(f"key of type {type(key).__name__}")
