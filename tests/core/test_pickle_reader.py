"""The pickle interpreter: plain data is read, nothing is ever called, no stream costs more than it is long."""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionbook.core.pickle_bytes import Latin
from actionbook.core.pickle_reader import Function, PickleError, read_pickle
from actionbook.core.placeholders import Placeholder
from actionbook.weights.torch_tensors import KNOWN_GLOBALS


def read(stream: bytes) -> Any:
    return read_pickle(io.BytesIO(stream), KNOWN_GLOBALS, lambda identifier: ("kept", identifier), "file")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(-(2**60), 2**60), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=100, database=None)
@given(value=PLAIN, protocol=st.sampled_from([3, 4, 5]))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


def test_ordered_dictionary_keeps_its_order_and_shared_objects_stay_shared() -> None:
    shared = [1]
    made = read(pickle.dumps(OrderedDict(b=shared, a=shared), 2))
    assert list(made) == ["b", "a"]
    assert made["a"] is made["b"]


def test_ordered_dictionary_of_python_2() -> None:
    """Python 2 passes [[key, value], ...] to the class, with byte strings."""
    stream = b"\x80\x02ccollections\nOrderedDict\n](](U\x01be](U\x01aNee\x85R."
    assert read(stream).name == "collections.OrderedDict"  # [key, value] needs both
    assert read(b"\x80\x02ccollections\nOrderedDict\n](](U\x01bK\x01e](U\x01aNee\x85R.") == {"b": 1, "a": None}


def test_the_list_given_to_a_dictionary_is_used_up() -> None:
    """Otherwise a short stream could have one long list copied a hundred thousand times."""
    pairs = b"](](U\x01bK\x01ee"
    stream = b"\x80\x02(" + pairs + b"q\x00ccollections\nOrderedDict\nh\x00\x85Rccollections\nOrderedDict\nh\x00\x85Rt."
    assert read(stream) == ([], {"b": 1}, {})


def test_stream_is_left_behind_the_object() -> None:
    stream = io.BytesIO(pickle.dumps([1], 2) + pickle.dumps("two", 2) + b"rest")
    assert [read_pickle(stream, {}, lambda _: None, "file") for _ in range(2)] == [[1], "two"]
    assert stream.read() == b"rest"


def test_known_globals_are_the_callers_objects() -> None:
    known = {("os", "system"): Function("shout", lambda text: text.upper())}
    stream = io.BytesIO(b"\x80\x02cos\nsystem\nU\x02hi\x85R.")
    assert read_pickle(stream, known, lambda _: None, "file") == "HI"


REFUSED = {
    "extension": (b"U%c%s\x82\x01R.", "EXT1"),
    "extension of two bytes": (b"U%c%s\x83\x01\x01R.", "EXT2"),
    "extension of four bytes": (b"U%c%s\x84\x01\x00\x00\x00R.", "EXT4"),
    "buffer outside the stream": (b"U%c%s\x97.", "NEXT_BUFFER"),
    "doubled top of the stack": (b"U%c%s22.", "DUP"),
    "text persistent id": (b"U%c%sPposix\n.", "PERSID"),
    "call of a string": (b"U%c%s)R.", "REDUCE"),
    "call of a storage type": (b"ctorch\nFloatStorage\nU%c%s\x85R.", "REDUCE"),
    "call without a tuple": (b"cposix\nsystem\nU%c%sR.", "REDUCE"),
    "state of a list": (b"]}U%c%sU\x01xsb.", "BUILD"),
    "state of a function": (b"ccollections\nOrderedDict\n}U%c%sU\x01xsb.", "BUILD"),
    "append to a dictionary": (b"}U%c%sa.", "APPEND"),
    "element of a dictionary": (b"}(U%c%s\x90.", "ADDITEMS"),
}
PLACEHOLDERS = {
    "global": (b"cposix\nsystem\nU%c%s\x85R.", "posix.system"),
    "stack global": (b"\x8c\x05posix\x8c\x06system\x93U%c%s\x85R.", "posix.system"),
    "nested name": (b"ctorch\n_utils.os.system\nU%c%s\x85R.", "torch._utils.os.system"),
    "builtins": (b"cbuiltins\nexec\nU%c%s\x85R.", "builtins.exec"),
    "getattr": (b"c__builtin__\ngetattr\n(ctorch\nSize\nU%c%stR.", "__builtin__.getattr"),
    "inst": (b"(U%c%siposix\nsystem\n.", "posix.system"),
    "obj": (b"(cposix\nsystem\nU%c%so.", "posix.system"),
    "newobj": (b"cposix\nsystem\nU%c%s\x85\x81.", "posix.system"),
    "newobj_ex": (b"cposix\nsystem\nU%c%s\x85}\x92.", "posix.system"),
    "copy registry": (b"ccopyreg\n_reconstructor\n(cposix\nsystem\nU%c%stR.", "posix.system"),
    "copy registry without a class": (b"ccopyreg\n_reconstructor\nU%c%s\x85R.", "copyreg._reconstructor"),
    "pickle in a pickle": (b"ctorch.storage\n_load_from_bytes\nU%c%s\x85R.", "torch.storage._load_from_bytes"),
    "call of what a call gave": (b"cbuiltins\ngetattr\n)RU%c%s\x85R.", "builtins.getattr"),
    "state": (b"cposix\nsystem\nU%c%s\x85R}U\x01xK\x01sb.", "posix.system"),
    "state of two parts": (b"cposix\nsystem\n)\x81N}U%c%sK\x01s\x86b.", "posix.system"),
    "elements of a list": (b"cposix\nsystem\n)\x81(U%c%sK\x01e.", "posix.system"),
    "set": (b"\x8f(U%c%s\x90.", "builtins.set"),
    "frozen set": (b"(U%c%s\x91.", "builtins.frozenset"),
    "call of a tensor function": (b"ctorch._utils\n_rebuild_tensor_v2\nU%c%s\x85R.", "torch._utils._rebuild_tensor_v2"),
    "codec": (b"c_codecs\nencode\nU%c%sU\x03rot\x86R.", "_codecs.encode"),
    "object type": (b"cnumpy\ndtype\nU%c%s\x85R.", "numpy.dtype"),
    "array of another class": (
        b"cnumpy.core.multiarray\n_reconstruct\ncposix\nsystem\nU%c%s\x86R.",
        "numpy.core.multiarray._reconstruct",
    ),
    "tensor of another function": (
        b"ctorch._tensor\n_rebuild_from_type_v2\n(cposix\nsystem\nNU%c%s\x85NtR.",
        "torch._tensor._rebuild_from_type_v2",
    ),
}


def hostile(template: bytes) -> bytes:
    command = b"echo > marker"
    return b"\x80\x02" + template.replace(b"%c%s", bytes([len(command)]) + command)


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_streams_are_errors_and_run_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    template, named = REFUSED[name]
    with pytest.raises(PickleError, match=r"^file: ") as caught:
        read(hostile(template))
    assert named in str(caught.value)
    assert caught.value.damaged == ("damaged" in str(caught.value))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_what_is_not_known_is_a_placeholder_and_runs_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    template, named = PLACEHOLDERS[name]
    found = read(hostile(template))
    assert type(found) is Placeholder
    assert (found.name, found.entries) == (named, None)
    assert not list(tmp_path.iterdir())


def test_a_placeholder_keeps_the_entries_of_a_dictionary_and_nothing_else() -> None:
    found = read(b"\x80\x02ceasydict\nEasyDict\n)\x81}U\x01xK\x01sb(U\x01aK\x02K\x03Nu.")
    assert (found.name, found.entries) == ("easydict.EasyDict", {"a": 2, 3: None})
    assert repr(found) == "Placeholder(name='easydict.EasyDict')"  # entries may lie in one another without end


def test_names_of_placeholders_are_short() -> None:
    assert len(read(b"\x80\x02c" + b"m" * 5000 + b"\n" + b"n" * 5000 + b"\n.").name) == 200


def test_odd_keys_are_placeholders() -> None:
    values = {None: 1, 0.5: 2, ("val", 1): 3, frozenset({1}): 4, "x" * 5000: 5, 2**70: 6, True: 7}
    made = read(pickle.dumps(values, 4))
    names = [key.name if isinstance(key, Placeholder) else key for key in made]
    kinds = ("NoneType", "float", "tuple")
    assert names == [*(f"key of type {kind}" for kind in kinds), "builtins.frozenset", *names[4:]]
    assert names[4:] == ["key of type str", "key of type int", True]
    assert list(made.values()) == [1, 2, 3, 4, 5, 6, 7]


def test_deep_keys_of_arrays_and_tensors_are_never_hashed() -> None:
    made = read(b"\x80\x02}]K\x01s.")
    assert [key.name for key in made] == ["key of type list"]


def test_bytes_of_protocol_2_stay_text_until_they_are_wanted() -> None:
    assert read(pickle.dumps(b"\xff\x00", 2)) == Latin("\xff\x00")


DAMAGED = {
    "empty": b"",
    "no stop": b"\x80\x02K\x01",
    "nothing left": b"\x80\x02.",
    "two left": b"\x80\x02K\x01K\x02.",
    "open mark": b"\x80\x02(K\x01.",
    "no mark": b"\x80\x02K\x01t.",
    "below the mark": b"\x80\x02}K\x01(K\x02st.",
    "short tuple": b"\x80\x02K\x01\x87.",
    "odd items": b"\x80\x02}(K\x01u.",
    "memo": b"\x80\x02h\x07.",
    "declared length": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "declared length of 8 bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.",
    "no operation": b"\xff",
    "not utf-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_streams(name: str) -> None:
    with pytest.raises(PickleError, match=r"damaged") as caught:
        read(DAMAGED[name])
    assert caught.value.damaged


def test_huge_memo_index_costs_nothing() -> None:
    assert read(b"\x80\x02]r\xff\xff\xff\xffj\xff\xff\xff\xff\x86.") == ([], [])


def test_exponential_tuple_is_a_value_but_never_a_key() -> None:
    doubled = b"\x80\x02)" + b"q\x00h\x00\x86" * 200
    assert len(read(doubled + b".")) == 2
    assert [key.name for key in read(b"\x80\x02}" + doubled[2:] + b"K\x01s.")] == ["key of type tuple"]


def test_deep_nesting_needs_no_recursion() -> None:
    made = read(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    depth = 1
    while made:
        (made,) = made
        depth += 1
    assert depth == 100_000


def test_a_pickle_inside_a_string_stays_a_string() -> None:
    inner = b"cposix\nsystem\nU\x04true\x85R."
    assert read(pickle.dumps({"inner": inner}, 4)) == {"inner": inner}


def test_open_marks_and_long_stacks_are_damage() -> None:
    for stream in (b"(" * 100_000, b"N" * 100_000, b"(N" * 50_000 + b"t" * 49_999):
        with pytest.raises(PickleError, match="does not end with one object"):
            read(b"\x80\x02" + stream + b".")


def test_a_call_takes_few_arguments() -> None:
    """Each call copies its arguments, so that one long tuple would be copied as often as a stream repeats the call."""
    known = {("known", "function"): Function("count", lambda *arguments: len(arguments))}
    for count in (0, 16, 17, 60_000):
        stream = io.BytesIO(b"\x80\x02cknown\nfunction\n(" + b"N" * count + b"tR.")
        if count <= 16:
            assert read_pickle(stream, known, lambda _: None, "file") == count
        else:
            assert read_pickle(stream, known, lambda _: None, "file").name == "count"


def test_devices_have_short_numbers() -> None:
    assert read(b"\x80\x02ctorch\ndevice\nU\x04cudaK\x03\x86R.") == "cuda:3"
    assert read(b"\x80\x02ctorch\ndevice\nU\x03cpu\x85R.") == "cpu"
    assert read(b"\x80\x02ctorch\ndevice\nU\x04cuda\x8a\x09" + b"\x01" * 9 + b"\x86R.").name == "torch.device"


def test_too_many_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actionbook.core.pickle_reader.MAX_OPERATIONS", 100)
    assert read(b"\x80\x02(" + b"N" * 96 + b"t.")
    with pytest.raises(PickleError, match="longer than 100 operations"):
        read(b"\x80\x02(" + b"N" * 97 + b"t.")


def test_too_many_bytes() -> None:
    with pytest.raises(PickleError, match="or 100 bytes"):
        read_pickle(io.BytesIO(pickle.dumps("x" * 200, 2)), {}, lambda _: None, "file", max_bytes=100)
