"""A pickle stream read as data: a small interpreter that cannot call anything but what its caller lists.

`pickle.Unpickler` is a machine for calling functions. This one is not: it walks the operations that `pickletools`
decodes, knows the few that containers, numbers, strings and tensors need, and refuses all others by name. A global is
looked up in a table that the caller passes and becomes one of the caller's own objects; nothing is ever imported.
Streams of protocols 2 to 5 are understood, also those that Python 2 wrote.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from actionbook.weights.errors import WeightsError

# Generous for real files: ResNeXt-101 with its optimiser state needs some 60,000 operations.
MAX_OPERATIONS: Final = 1_000_000
MAX_STREAM_BYTES: Final = 64 * 2**20
# Hashing must stay cheap: a nested tuple takes exponential time, long integers can be made to collide.
MAX_KEY_LENGTH: Final = 4096
MAX_KEY_BITS: Final = 64
# A call passes its arguments on by copying them, and a stream may repeat one call with one long tuple.
MAX_ARGUMENTS: Final = 16


@dataclass(frozen=True, slots=True)
class Function:
    """What a callable global of the stream stands for: `call` is one of our own functions."""

    call: Callable[..., Any]  # must be cheap for any arguments: the stream may call it a hundred thousand times


@dataclass(slots=True)
class Settable:
    """A value that the stream may furnish with a state after it was made: `set_state` takes that state."""

    set_state: Callable[[Any], None]


def read_pickle(
    stream: IO[bytes],
    known: Mapping[tuple[str, str], Any],
    persistent_load: Callable[[Any], Any],
    source: str,
) -> Any:
    """Read one pickled object, leaving `stream` behind its last byte.

    Args:
        stream: seekable; its `read` must not allocate more than what is there (`io.BytesIO`, `mmap`).
        known: (module, name) of every global that may occur, and what it becomes. A `Function` may be called by the
            stream; any other value is only passed on.
        persistent_load: turns a persistent identifier (for PyTorch: a storage) into an object.
        source: name of the file, for messages.

    Returns:
        Plain containers, numbers, strings, bytes and what `known` and `persistent_load` made. Dictionaries of every
        kind become `dict`.

    Raises:
        WeightsError: damaged stream, an operation or global that is not known, or one of the limits above exceeded.
    """
    machine = _Machine(known, persistent_load, source)
    for name, argument in _operations(stream, source):
        if name == "STOP":
            break
        try:
            machine.step(name, argument)
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise WeightsError(f"{source}: damaged pickle: operation {name} does not fit. {_AGAIN}") from error
    return machine.result()


_AGAIN: Final = "Fetch the file again and compare its sha256 with the manifest."


def _operations(stream: IO[bytes], source: str) -> Iterator[tuple[str, Any]]:
    """The (name, argument) pairs of one pickle, as `pickletools` decodes them, up to the limits."""
    start = stream.tell()
    decoded = pickletools.genops(stream)
    for _ in range(MAX_OPERATIONS):
        try:
            operation, argument, _position = next(decoded)
        except Exception as error:  # the decoder documents no closed set, and every one means the same
            raise WeightsError(f"{source}: damaged or truncated pickle: {error}. {_AGAIN}") from error
        yield operation.name, argument
        if operation.name == "STOP":
            return
        if stream.tell() - start > MAX_STREAM_BYTES:
            break
    raise WeightsError(
        f"{source}: the pickle is longer than {MAX_OPERATIONS} operations or {MAX_STREAM_BYTES} bytes, "
        "which no state dict needs. Save only the state dict."
    )


class _Machine:
    """Stack, memo and the operations that are allowed."""

    def __init__(self, known: Mapping[tuple[str, str], Any], load: Callable[[Any], Any], source: str) -> None:
        self.known, self.load, self.source = known, load, source
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each MARK
        self.memo: dict[int, Any] = {}  # a dictionary: a huge index costs no memory

    def step(self, name: str, argument: Any) -> None:
        """Do one operation."""
        if name in _PUSH_ARGUMENT:
            self.stack.append(argument)
        elif name in _PUSH_VALUE:
            self.stack.append(_PUSH_VALUE[name]())
        elif name in _TUPLES:
            items = tuple(self.stack[-_TUPLES[name] :])
            if len(items) != _TUPLES[name]:
                raise IndexError(name)
            del self.stack[-len(items) :]
            self.stack.append(items)
        elif name in {"BINPUT", "LONG_BINPUT", "MEMOIZE"}:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in {"BINGET", "LONG_BINGET"}:
            self.stack.append(self.memo[argument])
        elif name not in {"PROTO", "FRAME"}:
            method = _METHODS.get(name)
            if method is None:
                raise WeightsError(
                    f"{self.source}: the pickle uses the operation {name}, which tensors and plain containers never "
                    "need; it was not carried out. Save its state dict again, from a source that you trust."
                )
            method(self, argument)

    def result(self) -> Any:
        """The one object left when the stream ends."""
        if self.marked or len(self.stack) != 1:
            raise WeightsError(f"{self.source}: damaged pickle: it does not end with one object. {_AGAIN}")
        return self.stack[0]

    def mark(self, _: Any) -> None:
        """MARK: begin a group of items."""
        self.marked.append(self.stack)
        self.stack = []

    def group(self) -> list[Any]:
        """The items since the last MARK, removed from the stack."""
        items, self.stack = self.stack, self.marked.pop()
        return items

    def make_tuple(self, _: Any) -> None:
        """TUPLE: the group as one tuple."""
        items = self.group()
        self.stack.append(tuple(items))

    def append(self, items: list[Any]) -> None:
        """APPEND, APPENDS: put items at the end of the list on the stack."""
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError("not a list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        """SETITEM, SETITEMS: put alternating keys and values into the dictionary on the stack."""
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError("not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def set_item(self, _: Any) -> None:
        """SETITEM."""
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def find(self, module: Any, name: Any) -> None:
        """GLOBAL, STACK_GLOBAL: what the caller's table has under this name, or an error."""
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("not a name")
        if (module, name) not in self.known:
            raise WeightsError(
                f"{self.source}: the pickle asks for {f'{module}.{name}'[:200]!r}, which is no tensor and no plain "
                "container; nothing was imported or run. If it is a whole pickled network or carries objects of "
                "its training script, save only `model.state_dict()` from a source you trust."
            )
        self.stack.append(self.known[module, name])

    def find_written(self, argument: str) -> None:
        """GLOBAL: `pickletools` joins module and name with a space; neither may contain one."""
        module, _, name = argument.partition(" ")
        self.find(module, name)

    def find_on_stack(self, _: Any) -> None:
        """STACK_GLOBAL: module and name are the last two items."""
        name, module = self.stack.pop(), self.stack.pop()
        self.find(module, name)

    def reduce(self, _: Any) -> None:
        """REDUCE: call one of our own functions; anything else on the stack is not callable here."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Function) or not isinstance(arguments, tuple) or len(arguments) > MAX_ARGUMENTS:
            raise TypeError("not a known function with few arguments")
        self.stack.append(function.call(*arguments))

    def build(self, _: Any) -> None:
        """BUILD: dictionaries drop their attributes (a state dict's `_metadata`); a `Settable` takes its state."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Settable):
            target.set_state(state)
        elif not isinstance(target, dict):
            raise TypeError("takes no state")

    def persistent(self, _: Any) -> None:
        """BINPERSID: an object kept outside the stream."""
        self.stack.append(self.load(self.stack.pop()))


def checked_key(key: Any) -> str | bytes | int:
    """`key`, if it may be the key of a dictionary: a short string or an integer of at most 64 bits; else TypeError."""
    if isinstance(key, str | bytes) and len(key) <= MAX_KEY_LENGTH:
        return key
    if isinstance(key, int) and key.bit_length() <= MAX_KEY_BITS:
        return key
    raise TypeError("not a key")


_PUSH_ARGUMENT: Final = frozenset(
    {
        "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE",
        "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    }
)  # fmt: skip
_PUSH_VALUE: Final[Mapping[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES: Final[Mapping[str, int]] = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_METHODS: Final[Mapping[str, Callable[[_Machine, Any], None]]] = {
    "MARK": _Machine.mark,
    "TUPLE": _Machine.make_tuple,
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.group()),
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.group()),
    "GLOBAL": _Machine.find_written,
    "STACK_GLOBAL": _Machine.find_on_stack,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
