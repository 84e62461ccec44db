"""Files that are not whole checkpoints: each a clear error, never a wrong array, never another exception."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actionbook.weights import WeightsError, read_metadata, read_torch
from actionbook.weights.torch_files import LEGACY_MAGIC

DATA = Path(__file__).parent / "data"
ZIPPED, LEGACY = (DATA / "training.pth").read_bytes(), (DATA / "training_legacy.pth.tar").read_bytes()
FUZZ = settings(max_examples=250, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tar_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        entry = tarfile.TarInfo("storages")
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


OTHER_FILES = {
    "empty": (b"", "empty.*Fetch"),
    "LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n",
        "Git LFS pointer.*lfs pull",
    ),
    "web page": (b"\n <!DOCTYPE html><html><title>Confirm</title></html>", "web page.*browser"),
    "tar": (tar_of(b"x"), "tar archive"),
    "gzip": (b"\x1f\x8b\x08\x00", "compressed. Unpack"),
    "text": (b"epoch 3", "no weight file of a known kind"),
    "pickle": (pickle.dumps({"a": 1}, 2), "no tensors by name.*'a'"),
    "zip without end": (ZIPPED[:3000], "truncated zip"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
@pytest.mark.parametrize("reader", [read_torch, read_metadata])
def test_other_files(name: str, reader: Callable[[Path], object], tmp_path: Path) -> None:
    content, message = OTHER_FILES[name]
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"net\.pth: .*{message}"):
        reader(tmp_path / "net.pth")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pth: cannot be opened"):
        read_torch(tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match="cannot be opened"):
        read_torch(tmp_path)


def one_tensor(tensor_pickle: Callable[..., bytes], count: int = 2) -> bytes:
    return b"\x80\x02}U\x01w" + tensor_pickle((2,), (1,), count=count) + b"s."


def test_archive_records(archive: Callable[..., Path], tensor_pickle: Callable[..., bytes]) -> None:
    stream = one_tensor(tensor_pickle)
    assert read_torch(archive(stream, {"0": bytes(8)}))["w"].tolist() == [0.0, 0.0]
    with pytest.raises(WeightsError, match="'data/0' is missing"):
        read_torch(archive(stream))
    with pytest.raises(WeightsError, match="has 4 bytes, not 8"):
        read_torch(archive(stream, {"0": bytes(4)}))
    with pytest.raises(WeightsError, match="compressed or encrypted"):
        read_torch(archive(stream, {"0": bytes(8)}, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(WeightsError, match="unknown byte order"):
        read_torch(archive(stream, {"0": bytes(8)}, byteorder=b"middle"))
    with pytest.raises(WeightsError, match="TorchScript"):
        read_torch(archive(stream, {"0": bytes(8)}, **{"constants.pkl": b"\x80\x02)."}))


def test_archive_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", a=np.ones(2))
    with pytest.raises(WeightsError, match=r"'NumPy archive', not one of PyTorch's; `actionbook\.weights\.read`"):
        read_torch(tmp_path / "arrays.npz")


def test_two_records_of_one_name(tmp_path: Path, tensor_pickle: Callable[..., bytes]) -> None:
    path = tmp_path / "twice.pth"
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        file.writestr("made/data.pkl", one_tensor(tensor_pickle))
        file.writestr("made/data/0", bytes(8))
        file.writestr("made/data/0", b"\x01" * 8)
    with pytest.raises(WeightsError, match="two records"):
        read_torch(path)


def test_declared_sizes_beyond_the_file(tmp_path: Path) -> None:
    """A central directory that promises a large record must fail before anything of that size is made."""
    content = bytearray(ZIPPED)
    entry = content.index(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)  # compressed and plain size
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="declares more bytes"):
        read_torch(tmp_path / "net.pth")


def test_a_flipped_bit_in_a_tensor_fails_the_checksum(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(ZIPPED)) as file:
        place = ZIPPED.index(file.read("training/data/0"))
    content = bytearray(ZIPPED)
    content[place + 5] ^= 1
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"'data/0' is damaged.*CRC"):
        read_torch(tmp_path / "net.pth")


def boundaries(content: bytes) -> list[int]:
    """Where something begins or ends in an archive: local headers, contents, rows of the directory, the end record."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        places = [file.start_dir, len(content) - 22, len(content)]
        row = file.start_dir
        for info in file.infolist():
            name, extra = struct.unpack("<HH", content[info.header_offset + 26 : info.header_offset + 30])
            start = info.header_offset + 30 + name + extra
            places += [info.header_offset, start, start + info.file_size]
            name, extra, comment = struct.unpack("<HHH", content[row + 28 : row + 34])
            row += 46 + name + extra + comment
            places.append(row)
    return sorted({place + near for place in places for near in (-1, 0, 1)} & set(range(len(content))))


@pytest.mark.parametrize("name", ["training.pth", "dtypes.pt"])
def test_archives_cut_at_every_boundary_are_refused(name: str, tmp_path: Path) -> None:
    content, path = (DATA / name).read_bytes(), tmp_path / "cut.pth"
    places = boundaries(content)
    assert len(places) > 50
    for place in places:
        path.write_bytes(content[:place])
        with pytest.raises(WeightsError, match=r"cut\.pth: .*(damaged|truncated|empty|of a known kind)"):
            read_torch(path)


def test_archives_without_their_beginning_are_refused(tmp_path: Path) -> None:
    """`zipfile` reads an archive behind other bytes; a download that lost its beginning must not pass for whole."""
    path = tmp_path / "cut.pth"
    for place in boundaries(ZIPPED)[1:]:
        path.write_bytes(ZIPPED[place:])
        with pytest.raises(WeightsError, match=r"cut\.pth: "):
            read_torch(path)


def test_archives_with_64_bit_sizes(tmp_path: Path, tensor_pickle: Callable[..., bytes]) -> None:
    path = tmp_path / "large.pth"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in (("made/data.pkl", one_tensor(tensor_pickle)), ("made/data/0", bytes(4) + b"\0\0\x80?")):
            with file.open(name, "w", force_zip64=True) as record:
                record.write(content)
    assert read_torch(path)["w"].tolist() == [0.0, 1.0]


NAMES = ("../../data/0", "/etc/passwd", "C:\\data\\0", "..", "0/", "", "0\u202e", "a/../0")


@pytest.mark.parametrize("key", NAMES)
def test_names_that_are_paths_are_only_names(key: str, tmp_path: Path, tensor_pickle: Callable[..., bytes]) -> None:
    """A storage is looked up among the archive's records, never among the files of the machine."""
    raw = key.encode()
    stream = one_tensor(tensor_pickle).replace(b"U\x010", b"X" + struct.pack("<I", len(raw)) + raw)
    path = tmp_path / "made.pth"
    for present in (False, True):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("made/data.pkl", stream)
            file.writestr("../../outside", b"x")
            if present:
                entry = zipfile.ZipInfo("x")
                entry.filename = f"made/data/{key}"
                file.writestr(entry, b"\0\0\x80?" * 2)
        if present:
            assert read_torch(path)["w"].tolist() == [1.0, 1.0]
        else:
            with pytest.raises(WeightsError, match="is missing from the archive"):
                read_torch(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["made.pth"]


def same(path: Path) -> bool:
    """Whether a file reads as the right arrays (True) or is refused (False); anything else fails the test."""
    try:
        state = read_torch(path)
        read_metadata(path)
    except WeightsError:
        return False
    with np.load(DATA / "training.npz") as expected:
        assert list(state) == expected.files
        for key, array in state.items():
            np.testing.assert_array_equal(array, expected[key], strict=True)
    return True


@FUZZ
@given(flips=st.dictionaries(st.integers(0, len(ZIPPED) - 1), st.integers(1, 255), min_size=1, max_size=4))
def test_changed_archives_are_right_or_refused(flips: dict[int, int], tmp_path: Path) -> None:
    content = bytearray(ZIPPED)
    for place, change in flips.items():
        content[place] ^= change
    (tmp_path / "net.pth").write_bytes(content)
    same(tmp_path / "net.pth")


@FUZZ
@given(length=st.integers(0, len(ZIPPED) - 1))
def test_truncated_archives_are_refused(length: int, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(ZIPPED[:length])
    assert not same(tmp_path / "net.pth")


@FUZZ
@given(length=st.integers(0, len(LEGACY) - 1), extra=st.binary(min_size=1, max_size=9))
def test_truncated_and_prolonged_legacy_files_are_refused(length: int, extra: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.pth.tar").write_bytes(LEGACY[:length])
    assert not same(tmp_path / "net.pth.tar")
    (tmp_path / "net.pth.tar").write_bytes(LEGACY + extra)
    assert not same(tmp_path / "net.pth.tar")


@FUZZ
@given(flips=st.dictionaries(st.integers(0, 2400), st.integers(1, 255), min_size=1, max_size=4))
def test_changed_legacy_files_raise_nothing_else(flips: dict[int, int], tmp_path: Path) -> None:
    """The older format has no checksum, so a changed value cannot be seen; names and shapes are `load`'s to check."""
    content = bytearray(LEGACY)
    for place, change in flips.items():
        content[place] ^= change
    (tmp_path / "net.pth.tar").write_bytes(content)
    try:
        state = read_torch(tmp_path / "net.pth.tar")
    except WeightsError:
        return
    assert sum(array.nbytes for array in state.values()) <= 2 * len(LEGACY)


def test_legacy_storages_must_be_those_of_the_object(tmp_path: Path) -> None:
    keys = LEGACY.index(b"\x80\x02]q\x00(X")
    (tmp_path / "net.pth").write_bytes(LEGACY[:keys] + pickle.dumps(["1", "2"], 2) + LEGACY[keys:])
    with pytest.raises(WeightsError, match="list of storages"):
        read_torch(tmp_path / "net.pth")


def test_legacy_magic_protocol_and_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(LEGACY.replace(b"little_endian", b"little-endian"))
    with pytest.raises(WeightsError, match="unknown version or byte order"):
        read_torch(path)
    path.write_bytes(LEGACY.replace(b"\x80\x02M\xe9\x03.", b"\x80\x02M\xea\x03."))
    with pytest.raises(WeightsError, match="unknown version or byte order"):
        read_torch(path)


def test_legacy_storages_of_unknown_types_have_no_known_size(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(LEGACY.replace(b"FloatStorage", b"OddsyStorage"))
    with pytest.raises(WeightsError, match=r"a storage of the type 'torch\.OddsyStorage'"):
        read_torch(path)


def test_a_legacy_network_that_was_pickled_whole_is_named(tmp_path: Path) -> None:
    head = b"".join(pickle.dumps(one, 2) for one in (LEGACY_MAGIC, 1001, {"little_endian": True}))
    whole = b"\x80\x02(U\x06modulecnets\nNet\nU\x07nets.pyU\x09import ostQ)\x81}U\x08trainingI01\nsb."
    path = tmp_path / "net.pth"
    path.write_bytes(head + whole.replace(b"I01\n", b"\x88") + pickle.dumps([], 2))
    with pytest.raises(WeightsError, match=r"objects of 'nets\.Net', which were not built"):
        read_torch(path)
