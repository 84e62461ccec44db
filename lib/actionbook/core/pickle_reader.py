"""A pickle stream read as data: a small interpreter that cannot call anything but what its caller lists.

`pickle.Unpickler` is a machine for calling functions. This one is not: it walks the operations that `pickletools`
decodes, and knows those that pickles in files have; others are refused by name. A global is looked up in a table that
the caller passes and becomes one of the caller's own objects; one that is not there becomes an inert `Placeholder`, and
so does all that is made of it. Nothing is ever imported. Streams of protocols 2 to 5 are understood, also those that
Python 2 wrote.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from actionbook.core.errors import BookError
from actionbook.core.pickle_spans import passing_over
from actionbook.core.placeholders import Placeholder, cheap_key

# Generous for real files: ResNeXt-101 with its optimiser state needs some 60,000 operations.
MAX_OPERATIONS: Final = 1_000_000
MAX_STREAM_BYTES: Final = 64 * 2**20
# A call passes its arguments on by copying them, and a stream may repeat one call with one long tuple.
MAX_ARGUMENTS: Final = 16


class PickleError(BookError):
    """A stream cannot be read. The message says where and why; whoever reads a file adds the remedy.

    `damaged`: whether the stream is not whole. If it is, it holds what is never carried out, or too much.
    """

    def __init__(self, message: str, *, damaged: bool) -> None:
        super().__init__(message)
        self.damaged = damaged


@dataclass(frozen=True, slots=True)
class Function:
    """What a callable global of the stream stands for: `call` is one of our own functions.

    Arguments that it does not understand (it raises TypeError or ValueError) give a `Placeholder` called `name`.
    """

    name: str
    call: Callable[..., Any]  # must be cheap for any arguments: the stream may call it a hundred thousand times


class Settable:
    """A value that the stream may furnish with a state after it was made."""

    def set_state(self, state: Any) -> None:
        """Take the state; cheap for any."""
        raise NotImplementedError


def read_pickle(
    stream: IO[bytes],
    known: Mapping[tuple[str, str], Any],
    persistent_load: Callable[[Any], Any],
    source: str,
    max_bytes: int = MAX_STREAM_BYTES,
    *,
    spans: bool = False,
) -> Any:
    """Read one pickled object, leaving `stream` behind its last byte.

    Args:
        stream: seekable; its `read` must not allocate more than what is there (`io.BytesIO`, `mmap`).
        known: (module, name) of the globals that mean something, and what they become. A `Function` may be called by
            the stream; any other value is only passed on. All other globals become placeholders.
        persistent_load: turns a persistent identifier (for PyTorch: a storage) into an object.
        source: name of the file, for messages.
        max_bytes: length of the longest stream that is read; a file that keeps its arrays in it may be all stream.
        spans: whether long texts and bytes become a `pickle_spans.Span` instead, so that a stream which stays open
            (`mmap`) can be asked for a few of them later.

    Returns:
        Plain containers, numbers, strings, bytes, what `known` and `persistent_load` made, and placeholders: also for
        sets and for keys of dictionaries that are neither short strings nor integers.

    Raises:
        PickleError: damaged stream, an operation that is not known, or one of the limits above exceeded.
    """
    machine = _Machine(known, persistent_load, source)
    for name, argument in _operations(stream, source, max_bytes, spans):
        if name == "STOP":
            break
        try:
            machine.step(name, argument)
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise PickleError(f"{source}: damaged pickle: operation {name} does not fit", damaged=True) from error
    return machine.result()


def _operations(stream: IO[bytes], source: str, max_bytes: int, spans: bool) -> Iterator[tuple[str, Any]]:
    """The (name, argument) pairs of one pickle, as `pickletools` decodes them, up to the limits."""
    start = stream.tell()
    decoded = passing_over(stream) if spans else pickletools.genops(stream)
    for _ in range(MAX_OPERATIONS):
        try:
            operation, argument, _position = next(decoded)
        except Exception as error:  # the decoder documents no closed set, and every one means the same
            raise PickleError(f"{source}: damaged or truncated pickle: {error}", damaged=True) from error
        yield operation.name, argument
        if operation.name == "STOP":
            return
        if stream.tell() - start > max_bytes:
            break
    why = f"the pickle is longer than {MAX_OPERATIONS} operations or {max_bytes} bytes, which its data never needs"
    raise PickleError(f"{source}: {why}", damaged=False)


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
                why = f"the pickle uses the operation {name}, which plain data never needs; it was not carried out"
                raise PickleError(f"{self.source}: {why}", damaged=False)
            method(self, argument)

    def result(self) -> Any:
        """The one object left when the stream ends."""
        if self.marked or len(self.stack) != 1:
            raise PickleError(f"{self.source}: damaged pickle: it does not end with one object", damaged=True)
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

    def pop_group(self, _: Any) -> None:
        """POP_MARK: drop the group."""
        self.group()

    def append(self, items: list[Any]) -> None:
        """APPEND, APPENDS: put items at the end of the list on the stack."""
        target = self.stack[-1]
        if isinstance(target, Placeholder):
            return
        if not isinstance(target, list):
            raise TypeError("not a list")
        target.extend(items)

    def add_items(self, _: Any) -> None:
        """ADDITEMS: the elements of a set, which is a placeholder."""
        self.group()
        if not isinstance(self.stack[-1], Placeholder):
            raise TypeError("not a set")

    def make_frozen_set(self, _: Any) -> None:
        """FROZENSET: the group is dropped."""
        self.group()
        self.stack.append(Placeholder("builtins.frozenset"))

    def set_items(self, items: list[Any]) -> None:
        """SETITEM, SETITEMS: put alternating keys and values into the dictionary on the stack."""
        target = self.stack[-1]
        if isinstance(target, Placeholder):
            target.entries = {} if target.entries is None else target.entries
            target = target.entries
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError("not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[cheap_key(key)] = value

    def set_item(self, _: Any) -> None:
        """SETITEM."""
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def find(self, module: Any, name: Any) -> None:
        """GLOBAL, STACK_GLOBAL: what the caller's table has under this name, else a placeholder."""
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("not a name")
        found = self.known.get((module, name))
        self.stack.append(Placeholder(f"{module[:100]}.{name[:99]}") if found is None else found)

    def find_written(self, argument: str) -> None:
        """GLOBAL: `pickletools` joins module and name with a space; neither may contain one."""
        module, _, name = argument.partition(" ")
        self.find(module, name)

    def find_on_stack(self, _: Any) -> None:
        """STACK_GLOBAL: module and name are the last two items."""
        name, module = self.stack.pop(), self.stack.pop()
        self.find(module, name)

    def reduce(self, _: Any) -> None:
        """REDUCE, NEWOBJ: call one of our own functions; of a placeholder comes another one."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(arguments, tuple):
            raise TypeError("not arguments")
        if isinstance(function, Function) and len(arguments) <= MAX_ARGUMENTS:
            try:
                made = function.call(*arguments)
            except (TypeError, ValueError):
                made = Placeholder(function.name)
        elif isinstance(function, Function | Placeholder):
            # `copyreg._reconstructor(class, ...)` and its like make an object of the class that they are given.
            made_of = arguments[0] if function.name.startswith(("copyreg.", "copy_reg.")) and arguments else function
            made = Placeholder(made_of.name if isinstance(made_of, Placeholder) else function.name)
        else:
            raise TypeError("not a function")
        self.stack.append(made)

    def reduce_by_name(self, _: Any) -> None:
        """NEWOBJ_EX: NEWOBJ with arguments by name, which are dropped."""
        self.stack.pop()
        self.reduce(None)

    def make_object(self, argument: str | None) -> None:
        """INST, OBJ: an object of the class that is named or comes first, the group being its arguments."""
        items = self.group()
        if argument is None:
            self.stack.append(items.pop(0))
        else:
            self.find_written(argument)
        self.stack.append(tuple(items))
        self.reduce(None)

    def build(self, _: Any) -> None:
        """BUILD: a `Settable` takes its state; dictionaries and placeholders drop theirs (`_metadata`, attributes)."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Settable):
            target.set_state(state)
        elif not isinstance(target, dict | Placeholder):
            raise TypeError("takes no state")

    def persistent(self, _: Any) -> None:
        """BINPERSID: an object kept outside the stream."""
        self.stack.append(self.load(self.stack.pop()))


_PUSH_ARGUMENT: Final = frozenset(
    {
        "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE",
        "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    }
)  # fmt: skip
_PUSH_VALUE: Final[Mapping[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": lambda: Placeholder("builtins.set"),
}
_TUPLES: Final[Mapping[str, int]] = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_METHODS: Final[Mapping[str, Callable[[_Machine, Any], object]]] = {
    "MARK": _Machine.mark,
    "TUPLE": _Machine.make_tuple,
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.group()),
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.group()),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": _Machine.pop_group,
    "ADDITEMS": _Machine.add_items,
    "FROZENSET": _Machine.make_frozen_set,
    "GLOBAL": _Machine.find_written,
    "STACK_GLOBAL": _Machine.find_on_stack,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.reduce_by_name,
    "INST": _Machine.make_object,
    "OBJ": _Machine.make_object,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
