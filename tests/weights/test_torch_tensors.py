"""Views of storages: what lies inside is copied, what does not is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionbook.core.placeholders import Placeholder
from actionbook.weights import WeightsError, read_torch
from actionbook.weights.torch_tensors import KNOWN_GLOBALS, TensorRef, materialise, storage_from_id

FLOAT = KNOWN_GLOBALS["torch", "FloatStorage"]
STORAGE = np.arange(12, dtype="<f4")


def view(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> TensorRef:
    storage = storage_from_id(("storage", FLOAT, "0", "cuda:0", 12, None))
    return TensorRef(storage, FLOAT.element, offset, size, stride)


SMALL = st.integers(0, 13)


@settings(max_examples=300, database=None)
@given(axes=st.lists(st.tuples(SMALL, SMALL), max_size=3), offset=SMALL)
def test_every_view_is_indexed_as_pytorch_does_or_refused(axes: list[tuple[int, int]], offset: int) -> None:
    size, stride = tuple(n for n, _ in axes), tuple(s for _, s in axes)
    places = offset + sum(
        (np.arange(n).reshape([-1] + [1] * (len(axes) - i - 1)) * s for i, (n, s) in enumerate(axes)),
        np.zeros(size, np.int64),
    )
    inside = places.size == 0 or (places.max() < 12 and places.size <= 12)
    if inside:
        found = materialise(view(size, stride, offset), lambda _: STORAGE.tobytes(), "<", "x")
        np.testing.assert_array_equal(found, places.astype(np.float32), strict=True)
    else:
        with pytest.raises(WeightsError, match=r"^x: "):
            materialise(view(size, stride, offset), lambda _: STORAGE.tobytes(), "<", "x")


@pytest.mark.parametrize(("size", "stride"), [((), ()), ((0,), (1,)), ((3, 0, 2), (0, 2, 1)), ((1, 1), (5, 9))])
def test_tensors_of_no_axis_and_of_no_element(
    size: tuple[int, ...], stride: tuple[int, ...], archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]
) -> None:
    values = np.array([2.5, 7], "<f4").tobytes()
    path = archive(b"\x80\x02}U\x01w" + tensor_pickle(size, stride) + b"s.", {"0": values})
    found = read_torch(path)["w"]
    assert (found.shape, found.dtype) == (size, np.float32)
    assert found.ravel().tolist() == [2.5] * found.size
    found[...] = 1  # its own memory, also where it has no axis


KINDS = {
    b"HalfStorage": np.array([1.5, -2], "<f2"),
    b"FloatStorage": np.array([1.5, -2], "<f4"),
    b"DoubleStorage": np.array([1.5, -2], "<f8"),
    b"CharStorage": np.array([-128, 127], "<i1"),
    b"ByteStorage": np.array([0, 255], "<u1"),
    b"ShortStorage": np.array([-(2**15), 2**15 - 1], "<i2"),
    b"IntStorage": np.array([-(2**31), 7], "<i4"),
    b"LongStorage": np.array([-(2**63), 7], "<i8"),
    b"ComplexFloatStorage": np.array([1 + 2j, -1j], "<c8"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_number_type_in_both_byte_orders(
    kind: bytes, order: str, archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]
) -> None:
    values = KINDS[kind]
    stream = b"\x80\x02}U\x01w" + tensor_pickle((2,), (1,), kind=kind) + b"s."
    stored = values.astype(values.dtype.newbyteorder(order)).tobytes()
    found = read_torch(archive(stream, {"0": stored}, byteorder=b"little" if order == "<" else b"big"))["w"]
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values.astype(values.dtype.newbyteorder("=")), strict=True)


BAD_VIEWS = {
    "beyond the end": ((3,), (1,), 0),
    "offset beyond the end": ((1,), (1,), 2),
    "stride beyond the end": ((2,), (2,), 0),
    "negative stride": ((2,), (-1,), 1),
    "negative offset": ((1,), (1,), -1),
    "negative size": ((-1,), (1,), 0),
    "huge size of stride 0": ((2**40,), (0,), 0),
    "product beyond 64 bits": ((2**31, 2**31, 2**31), (0, 0, 0), 0),
    "huge empty size": ((0, 2**39, 2**39), (1, 1, 1), 0),
    "expanded beyond the storage": ((3,), (0,), 0),
    "lengths differ": ((1, 1), (1,), 0),
    "too many axes": ((1,) * 33, (1,) * 33, 0),
}


@pytest.mark.parametrize("name", BAD_VIEWS)
def test_views_that_leave_their_storage(
    name: str, archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]
) -> None:
    size, stride, offset = BAD_VIEWS[name]
    path = archive(b"\x80\x02}U\x01w" + tensor_pickle(size, stride, offset) + b"s.", {"0": bytes(8)})
    with pytest.raises(WeightsError, match=r"made.pth: tensor 'w': "):
        read_torch(path)


def test_big_endian_bfloat16(archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]) -> None:
    brain = tensor_pickle((2,), (1,), kind=b"BFloat16Storage")
    path = archive(b"\x80\x02}U\x01w" + brain + b"s.", {"0": b"\x3f\xc0\xc0\x00"}, byteorder=b"big")
    assert read_torch(path)["w"].tolist() == [1.5, -2.0]


def test_storage_views_of_early_versions(archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]) -> None:
    """Elements 2 to 4 of a storage of 6, as ("key", first, count); the tensor's offset counts from there."""
    part = b"(U\x011K\x02K\x03t"
    six = {"0": np.arange(6, dtype="<f4").tobytes()}
    inner = tensor_pickle((2,), (1,), 1, count=6, view=part)
    assert read_torch(archive(b"\x80\x02}U\x01w" + inner + b"s.", six))["w"].tolist() == [3.0, 4.0]
    for operations in (
        tensor_pickle((3,), (1,), 1, count=6, view=part),  # inside the storage, outside the view
        tensor_pickle((1,), (1,), 0, count=6, view=b"(U\x011K\x04K\x03t"),
    ):
        with pytest.raises(WeightsError):
            read_torch(archive(b"\x80\x02}U\x01w" + operations + b"s.", six))


def test_bool_bytes_other_than_one_are_true(archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]) -> None:
    operations = tensor_pickle((2,), (1,), kind=b"BoolStorage")
    found = read_torch(archive(b"\x80\x02}U\x01w" + operations + b"s.", {"0": b"\x00\x02"}))["w"]
    assert found.view(np.uint8).tolist() == [0, 1]


@pytest.mark.parametrize(
    "identifier",
    [
        ("storage", FLOAT, "0", "cpu", -1),
        ("storage", FLOAT, "0", "cpu", 2**41),
        ("storage", FLOAT, 0, "cpu", 1),
        ("storage", "FloatStorage", "0", "cpu", 1),
        ("module", FLOAT, "0", "cpu", 1),
        ("storage", FLOAT, "0"),
        "0",
        None,
    ],
)
def test_other_persistent_identifiers(identifier: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        storage_from_id(identifier)


def test_storages_of_unknown_types_and_networks_pickled_whole_are_placeholders() -> None:
    odd = storage_from_id(("storage", Placeholder("torch.OddStorage"), "0", "cpu", 1))
    assert isinstance(odd, Placeholder)
    assert odd.name == "torch.OddStorage"
    whole = storage_from_id(("module", Placeholder("nets.Net"), "nets.py", "import os"))
    assert isinstance(whole, Placeholder)
    assert whole.name == "nets.Net"


def test_tensors_of_other_classes_are_tensors(
    archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]
) -> None:
    """`_rebuild_from_type_v2(function, class, arguments, attributes)`: class and attributes are not built."""
    inner = tensor_pickle((2,), (1,))
    function, arguments = (
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        inner[len(b"ctorch._utils\n_rebuild_tensor_v2\n") : -1],
    )
    whole = b"ctorch._tensor\n_rebuild_from_type_v2\n(" + function + b"cnets\nMask\n" + arguments + b"}tR"
    values = np.array([2.5, 7], "<f4").tobytes()
    assert read_torch(archive(b"\x80\x02}U\x01w" + whole + b"s.", {"0": values}))["w"].tolist() == [2.5, 7.0]
    nested = b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nN)NtR"
    with pytest.raises(WeightsError, match="tensor 'w' is of a kind that cannot be read"):
        read_torch(archive(b"\x80\x02}(U\x01w" + nested + b"U\x01v" + inner + b"u.", {"0": values}))


def test_numbers_of_later_versions_are_an_error_only_in_the_state_dict(
    archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]
) -> None:
    view = tensor_pickle((2,), (1,), kind=b"Float4Storage")
    good, storages = tensor_pickle((2,), (1,)), {"0": bytes(8)}
    with pytest.raises(WeightsError, match=r"tensor 'q' is of a kind.*_rebuild_tensor_v2"):
        read_torch(archive(b"\x80\x02}(U\x01w" + good + b"U\x01q" + view + b"u.", storages))
    beside = b"\x80\x02}(U\x03net}U\x01w" + good + b"sU\x01q" + view + b"u."
    assert list(read_torch(archive(beside, storages))) == ["w"]
