"""The two file formats of PyTorch: where the pickle is, and where the bytes of each storage are."""

from __future__ import annotations

import io
import mmap
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from actionbook.weights.errors import WeightsError
from actionbook.weights.pickle_reader import MAX_STREAM_BYTES, read_pickle
from actionbook.weights.torch_tensors import KNOWN_GLOBALS, ByteOrder, ReadStorage, StorageRef, storage_from_id

# Constants of the older format, from torch/serialization.py.
LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL: Final = 1001

_AGAIN: Final = "Fetch the file again and compare its size and sha256 with the manifest."
_ZIP_ERRORS: Final = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError,
    KeyError, IndexError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """The object in a file, and how to get at the bytes of its storages while the file is open.

    Attributes:
        root: what was pickled: containers, plain values and `TensorRef` records.
        read: the bytes of a storage, exactly as many as it declares, or WeightsError.
        order: byte order of the storages.
    """

    root: Any
    read: ReadStorage
    order: ByteOrder


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Checkpoint]:
    """Open a checkpoint of either format; storages can be read until the block ends."""
    try:
        head = path.open("rb")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be opened ({error.strerror}). Fetch it as its manifest says.") from error
    with ExitStack() as stack:
        file = stack.enter_context(head)
        start = file.read(512)
        if start.startswith(b"PK\x03\x04"):
            try:
                archive = stack.enter_context(zipfile.ZipFile(file))
            except _ZIP_ERRORS as error:
                raise WeightsError(f"{path}: damaged or truncated zip archive: {error}. {_AGAIN}") from error
            yield _Archive(archive, path).checkpoint()
        elif start.startswith(b"\x80"):
            data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            yield _read_legacy(data, str(path))
        else:
            raise WeightsError(f"{path}: {_what_else(start)}")


def _what_else(start: bytes) -> str:
    """What a file that is no checkpoint may be, by its first 512 bytes, and what to do."""
    text = start.lstrip().lower()
    if not start:
        return f"the file is empty. {_AGAIN}"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the weights themselves. Run `git lfs pull` in its repository."
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return (
            "a web page, not weights: the server asked for a confirmation or the address is gone. "
            "Download it in a browser and put it here."
        )
    if start[257:262] == b"ustar":
        return (
            "a tar archive. If it holds a checkpoint, unpack it; the tar format of PyTorch before 0.2 is not read: "
            "load and save it once with a PyTorch of version 1."
        )
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        return "compressed. Unpack it first."
    return f"not a PyTorch checkpoint (begins with {start[:8]!r}). {_AGAIN}"


class _Archive:
    """The zip format: `<prefix>/data.pkl`, `<prefix>/data/<storage key>` and a few small records, none compressed."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive, self.path = archive, path
        self.cache: dict[str, bytes] = {}
        infos = archive.infolist()
        self.entries = {info.filename: info for info in infos}
        pickles = [name for name in self.entries if re.fullmatch(r"[^/]+/data\.pkl", name)]
        if len(self.entries) != len(infos):
            raise WeightsError(f"{path}: two records of the archive have one name. {_AGAIN}")
        if sum(info.file_size for info in infos) > path.stat().st_size:
            raise WeightsError(f"{path}: the archive declares more bytes than the file has. {_AGAIN}")
        if len(pickles) != 1:
            raise WeightsError(f"{path}: a zip archive without data.pkl is no PyTorch checkpoint. {_AGAIN}")
        self.prefix = pickles[0].removesuffix("data.pkl")
        if f"{self.prefix}constants.pkl" in self.entries:
            raise WeightsError(
                f"{path}: a TorchScript program, not a checkpoint. Save the `state_dict()` of its module instead."
            )

    def checkpoint(self) -> Checkpoint:
        """Read the pickle; storages come later."""
        order = self.record("byteorder") if f"{self.prefix}byteorder" in self.entries else b"little"
        if order not in {b"little", b"big"}:
            raise WeightsError(f"{self.path}: unknown byte order {order[:20]!r}. {_AGAIN}")
        name = f"{self.prefix}data.pkl"
        if self.entries[name].file_size > MAX_STREAM_BYTES:
            raise WeightsError(
                f"{self.path}: data.pkl is larger than {MAX_STREAM_BYTES} bytes. Save only the state dict."
            )
        root = read_pickle(io.BytesIO(self.record("data.pkl")), KNOWN_GLOBALS, storage_from_id, str(self.path))
        return Checkpoint(root, self.storage, "<" if order == b"little" else ">")

    def record(self, name: str) -> bytes:
        """One record; its checksum is verified by `zipfile`."""
        info = self.entries.get(self.prefix + name)
        if info is None:
            raise WeightsError(f"{self.path}: record {name[:60]!r} is missing from the archive. {_AGAIN}")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise WeightsError(
                f"{self.path}: record {name[:60]!r} is compressed or encrypted, which PyTorch never does. {_AGAIN}"
            )
        try:
            return self.archive.read(info)
        except _ZIP_ERRORS as error:
            raise WeightsError(f"{self.path}: record {name[:60]!r} is damaged: {error}. {_AGAIN}") from error

    def storage(self, storage: StorageRef) -> bytes:
        """The bytes of one storage, of exactly the declared length."""
        if storage.key not in self.cache:
            self.cache[storage.key] = self.record(f"data/{storage.key}")
        found = self.cache[storage.key]
        if len(found) != storage.nbytes:
            raise WeightsError(
                f"{self.path}: storage {storage.key!r} has {len(found)} bytes, not {storage.nbytes}. {_AGAIN}"
            )
        return found


def _read_legacy(data: mmap.mmap, source: str) -> Checkpoint:
    """The older format: magic number, protocol, system, object, storage keys (five pickles), then the storages.

    A storage is its number of elements (int64) and its bytes, little-endian whatever the machine was.
    """
    storages: dict[str, StorageRef] = {}

    def load(identifier: Any) -> StorageRef:
        storage = storage_from_id(identifier)
        if (storages.setdefault(storage.key, storage).nbytes, storage.element) != (
            storage.nbytes,
            storages[storage.key].element,
        ):
            raise ValueError("one storage with two sizes or types")
        return storage

    def refuse(_: Any) -> None:
        raise ValueError("a storage before the object")

    if read_pickle(data, {}, refuse, source) != LEGACY_MAGIC:  # type: ignore[arg-type]
        raise WeightsError(
            f"{source}: a pickle, but not one of PyTorch's. If it holds arrays, save them as .npz where it was made."
        )
    protocol, system = (read_pickle(data, {}, refuse, source) for _ in range(2))  # type: ignore[arg-type]
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise WeightsError(f"{source}: an unknown version or byte order of the PyTorch format. {_AGAIN}")
    root = read_pickle(data, KNOWN_GLOBALS, load, source)  # type: ignore[arg-type]
    keys = read_pickle(data, {}, refuse, source)  # type: ignore[arg-type]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise WeightsError(f"{source}: its list of storages does not agree with its tensors. {_AGAIN}")
    places: dict[str, int] = {}
    position = data.tell()
    for key in keys:
        storage = storages[key]
        if data[position : position + 8] != struct.pack("<q", storage.count):
            raise WeightsError(f"{source}: truncated or damaged at storage {key!r}. {_AGAIN}")
        places[key] = position + 8
        position += 8 + storage.nbytes
    if position != len(data) or len(places) != len(keys):
        raise WeightsError(f"{source}: {len(data)} bytes, but its tensors need {position}. {_AGAIN}")

    @cache
    def read(storage: StorageRef) -> bytes:
        return data[places[storage.key] : places[storage.key] + storage.nbytes]

    return Checkpoint(root, read, "<")
