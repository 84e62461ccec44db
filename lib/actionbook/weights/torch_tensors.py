"""What the globals of a PyTorch checkpoint mean: storages, tensors, number types, and their NumPy arrays.

A tensor in the file is a view of a storage: offset, size and stride, all counted in elements. Reading the pickle only
makes `TensorRef` records; bytes are touched when `materialise` is called for the tensors that are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from actionbook.core.pickle_reader import MAX_ARGUMENTS, Function
from actionbook.core.placeholders import MAX_KEY_LENGTH, Placeholder, cheap_key
from actionbook.weights.errors import WeightsError
from actionbook.weights.numpy_pickles import NUMPY_GLOBALS
from actionbook.weights.stored import MAX_DIMENSIONS, MAX_ELEMENTS, Array, from_bfloat16

ByteOrder: TypeAlias = Literal["<", ">"]


@dataclass(frozen=True, slots=True)
class ElementType:
    """A number type of PyTorch: its name, and the NumPy type of the bytes in the file (bfloat16: as uint16)."""

    name: str
    stored: str


@dataclass(frozen=True, slots=True)
class StorageType:
    """The class of a storage. `element` is None for `UntypedStorage`, which counts bytes."""

    element: ElementType | None


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A storage in the file: `count` elements (bytes if untyped) under `key`; visible are `length` from `first` on."""

    key: str
    element: ElementType | None
    count: int
    first: int
    length: int

    @property
    def nbytes(self) -> int:
        """Bytes of the whole storage."""
        return self.count * (np.dtype(self.element.stored).itemsize if self.element else 1)


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor as the pickle describes it, not yet checked."""

    storage: StorageRef
    element: ElementType
    offset: Any
    size: Any
    stride: Any


ReadStorage: TypeAlias = Callable[[StorageRef], bytes | memoryview]

_ELEMENTS: Final = {
    name: ElementType(name, stored)
    for name, stored in {
        "float16": "f2", "bfloat16": "u2", "float32": "f4", "float64": "f8", "complex64": "c8", "complex128": "c16",
        "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8", "bool": "u1",
        "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
    }.items()
}  # fmt: skip
_STORAGES: Final = {
    "HalfStorage": "float16", "BFloat16Storage": "bfloat16", "FloatStorage": "float32", "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128", "CharStorage": "int8",
    "ShortStorage": "int16", "IntStorage": "int32", "LongStorage": "int64", "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "QInt8Storage": "int8", "QUInt8Storage": "uint8", "QInt32Storage": "int32",
}  # fmt: skip


def materialise(tensor: TensorRef, read: ReadStorage, order: ByteOrder, what: str) -> Array:
    """Copy one tensor out of its storage, as a writable, contiguous array in native byte order.

    bfloat16 becomes float32 (exactly: it is its upper half); every other type is kept, float16 included.

    Args:
        tensor: the description from the pickle.
        read: gives the bytes of a storage, exactly as many as it declares.
        order: byte order of the storages.
        what: file and tensor name, for messages.

    Raises:
        WeightsError: the view leaves its storage, repeats elements beyond the storage's size, or is ill-formed.
    """
    shape, stride, offset = checked_view(tensor, what)
    stored = np.dtype(tensor.element.stored).newbyteorder(order)
    if math.prod(shape) == 0:
        view: Array = np.empty(shape, stored)
    else:
        data = read(tensor.storage)
        steps = tuple(step * stored.itemsize for step in stride)
        view = np.ndarray(shape, stored, data, offset * stored.itemsize, steps)
    if tensor.element.name == "bfloat16":
        return from_bfloat16(view)
    if tensor.element.name == "bool":
        return np.array(view != 0)
    return np.array(view, stored.newbyteorder("="), order="C")


def result_type(tensor: TensorRef) -> np.dtype[Any]:
    """The number type of the array that `materialise` makes."""
    own = {"bfloat16": "f4", "bool": "?"}
    return np.dtype(own.get(tensor.element.name, tensor.element.stored))


def checked_view(tensor: TensorRef, what: str) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Size, stride and offset in elements from the start of the storage, once they are known to stay inside it.

    A tensor may repeat elements (an expanded view), but not be larger than its storage, or a small file could demand
    any amount of memory. Raises WeightsError.
    """
    size, stride, offset = tensor.size, tensor.stride, tensor.offset
    if not (
        isinstance(size, tuple)
        and isinstance(stride, tuple)
        and len(size) == len(stride) <= MAX_DIMENSIONS
        and all(isinstance(value, int) and 0 <= value <= MAX_ELEMENTS for value in (offset, *size, *stride))
        and math.prod(max(value, 1) for value in size) <= MAX_ELEMENTS
    ):
        raise WeightsError(f"{what}: ill-formed size, stride or offset. {_DAMAGED}")
    available = tensor.storage.length
    if tensor.storage.element is None:
        available //= np.dtype(tensor.element.stored).itemsize
    elif tensor.storage.element != tensor.element:
        raise WeightsError(
            f"{what}: {tensor.element.name} tensor on a {tensor.storage.element.name} storage. {_DAMAGED}"
        )
    elements = math.prod(size)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if elements and last >= available:
        raise WeightsError(f"{what}: reads element {last} of a storage of {available} elements. {_DAMAGED}")
    if elements > available:
        raise WeightsError(
            f"{what}: an expanded view of {elements} elements on a storage of {available}. "
            "Save the tensor after `.contiguous()`."
        )
    return size, stride, offset + tensor.storage.first


_DAMAGED: Final = "The file is damaged or forged; fetch it again and compare its sha256 with the manifest."


def storage_from_id(identifier: Any) -> StorageRef | Placeholder:
    """The storage that a persistent identifier names: ("storage", type, key, location, count[, view]).

    `view`, only in files from before PyTorch 1.6, is None or (key, first, count). The location (a device) is ignored.
    ("module", class, file, source), of a network that was pickled whole before 1.6, is a placeholder for the class;
    so is a storage of an unknown type.
    Raises TypeError or ValueError for any other identifier.
    """
    if isinstance(identifier, tuple) and identifier and identifier[0] == "module" and len(identifier) <= 4:
        return next(one for one in (*identifier[1:2], Placeholder("module")) if isinstance(one, Placeholder))
    tag, kind, key, _location, count, *rest = identifier
    if tag in ("storage", b"storage") and isinstance(kind, Placeholder):
        return Placeholder(kind.name)
    if tag not in ("storage", b"storage") or not isinstance(kind, StorageType) or len(rest) > 1:
        raise TypeError("not a storage")
    if not isinstance(key, str) or len(key) > MAX_KEY_LENGTH:
        raise TypeError("not a storage key")
    if not isinstance(count, int) or not 0 <= count <= MAX_ELEMENTS:
        raise TypeError("not a number of elements")
    if not rest or rest[0] is None:
        return StorageRef(key, kind.element, count, 0, count)
    _view_key, first, length = rest[0]
    if not (isinstance(first, int) and isinstance(length, int) and first >= 0 and 0 <= length <= count - first):
        raise ValueError("storage view outside its storage")
    return StorageRef(key, kind.element, count, first, length)


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> TensorRef:
    """`torch._utils._rebuild_tensor` and `_v2`; gradients and hooks are dropped."""
    if not isinstance(storage, StorageRef) or storage.element is None:
        raise TypeError("not a typed storage")
    if any(rest[2:]):  # after requires_grad and backward_hooks
        raise TypeError("a conjugate or negative view")
    return TensorRef(storage, storage.element, offset, size, stride)


def _rebuild_tensor_v3(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> TensorRef:
    """`torch._utils._rebuild_tensor_v3`: a number type beside an untyped storage."""
    _grad, _hooks, element, *metadata = rest
    if not isinstance(storage, StorageRef) or not isinstance(element, ElementType) or any(metadata):
        raise TypeError("not a storage and number type")
    return TensorRef(storage, element, offset, size, stride)


def _rebuild_parameter(tensor: Any, *_: Any) -> TensorRef:
    """`torch._utils._rebuild_parameter` and `_with_state`: the tensor itself."""
    if not isinstance(tensor, TensorRef):
        raise TypeError("not a tensor")
    return tensor


def _rebuild_from_type(function: Any, _type: Any, arguments: Any, *_: Any) -> TensorRef:
    """`torch._tensor._rebuild_from_type` and `_v2`: a tensor with attributes or of another class; both are dropped."""
    if not isinstance(function, Function) or function.call not in _REBUILD.values():
        raise TypeError("not a known function")
    if not isinstance(arguments, tuple) or len(arguments) > MAX_ARGUMENTS:
        raise TypeError("not arguments")
    tensor: TensorRef = function.call(*arguments)
    return tensor


def _dictionary(items: Any = ()) -> dict[Any, Any]:
    """`collections.OrderedDict` and `Counter`. Python 2 passes a list of [key, value], which is used up."""
    if isinstance(items, dict):
        return items
    if not isinstance(items, list) and items != ():
        raise TypeError("not items")
    pairs = list(items)
    if isinstance(items, list):
        items.clear()  # or a stream could have the same list copied again and again
    return {cheap_key(key): value for key, value in pairs}


def _default_dictionary(*_: Any) -> dict[Any, Any]:
    """`collections.defaultdict`, which is filled afterwards."""
    return {}


def _size(items: Any = ()) -> tuple[Any, ...]:
    """`torch.Size`."""
    if not isinstance(items, tuple):
        raise TypeError("not a tuple")
    return items


def _device(kind: Any, index: Any = None) -> str:
    """`torch.device` as text, e.g. ``cuda:0``."""
    if not isinstance(kind, str) or len(kind) > 16:
        raise TypeError("not a device")
    if index is None:
        return kind
    if not isinstance(index, int) or not -1 <= index < 2**16:  # a long number would take long to write, again and again
        raise TypeError("not the number of a device")
    return f"{kind}:{index}"


_REBUILD: Final[Mapping[str, Callable[..., Any]]] = {
    "_rebuild_tensor": _rebuild_tensor,
    "_rebuild_tensor_v2": _rebuild_tensor,
    "_rebuild_tensor_v3": _rebuild_tensor_v3,
    "_rebuild_parameter": _rebuild_parameter,
    "_rebuild_parameter_with_state": _rebuild_parameter,
}


def _table() -> dict[tuple[str, str], Any]:
    """Every global of a checkpoint that means something here, under the modules that different versions write."""
    functions: dict[tuple[str, str], Callable[..., Any]] = {
        ("collections", "OrderedDict"): _dictionary,
        ("collections", "Counter"): _dictionary,
        ("collections", "defaultdict"): _default_dictionary,
        ("torch._tensor", "_rebuild_from_type"): _rebuild_from_type,
        ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
        ("torch", "Size"): _size,
        ("torch", "device"): _device,
    }
    functions |= {("torch._utils", name): call for name, call in _REBUILD.items()}
    table: dict[tuple[str, str], Any] = {key: Function(".".join(key), call) for key, call in functions.items()}
    for name, element in _STORAGES.items():
        table["torch", name] = table["torch.cuda", name] = StorageType(_ELEMENTS[element])
    for module in ("torch", "torch.storage"):
        table[module, "UntypedStorage"] = StorageType(None)
    table.update({("torch", name): element for name, element in _ELEMENTS.items()})
    return table | dict(NUMPY_GLOBALS)


KNOWN_GLOBALS: Final[Mapping[tuple[str, str], Any]] = _table()
