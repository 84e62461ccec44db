"""The two file formats of PyTorch: where the pickle is, and where the bytes of each storage are."""

from __future__ import annotations

import io
import mmap
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from actionbook.core.pickle_reader import MAX_STREAM_BYTES, read_pickle
from actionbook.core.placeholders import Placeholder
from actionbook.weights.errors import FETCH_AGAIN, WeightsError
from actionbook.weights.torch_tensors import KNOWN_GLOBALS, ByteOrder, ReadStorage, StorageRef, storage_from_id

# Constants of the older format, from torch/serialization.py.
LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL: Final = 1001

ZIP_ERRORS: Final = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError,
    KeyError, IndexError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """The object in a file, and how to get at the bytes of its storages while the file is open.

    Attributes:
        format: what the file is.
        root: what was pickled: containers, plain values and `TensorRef` records.
        read: the bytes of a storage, exactly as many as it declares, or WeightsError.
        order: byte order of the storages.
    """

    format: str
    root: Any
    read: ReadStorage
    order: ByteOrder


def open_archive(file: IO[bytes], path: Path) -> Checkpoint:
    """The checkpoint in a zip archive; its storages can be read while `file` is open. Raises WeightsError."""
    try:
        archive = zipfile.ZipFile(file)
    except ZIP_ERRORS as error:
        raise WeightsError(f"{path}: damaged or truncated zip archive: {error}. {FETCH_AGAIN}") from error
    return _Archive(archive, path).checkpoint()


def open_pickle(data: mmap.mmap, path: Path) -> Checkpoint:
    """What a file that begins with a pickle holds: PyTorch's older format, or one pickle with all in it.

    Storages can be read while `data` is open. Raises WeightsError.
    """

    def refuse(_: Any) -> None:
        raise WeightsError(f"{path}: a pickle that refers to objects outside of it. Save it with `torch.save`.")

    first = read_pickle(data, KNOWN_GLOBALS, refuse, str(path), len(data))  # type: ignore[arg-type]
    if first == LEGACY_MAGIC:
        return _read_legacy(data, str(path))
    if data.tell() != len(data):
        raise WeightsError(
            f"{path}: something follows behind its first object. Load it where it was made and save one dictionary."
        )
    return Checkpoint("pickle", first, _no_storages, "<")


def _no_storages(storage: StorageRef) -> bytes:
    raise WeightsError(f"storage {storage.key!r} is in no file")  # never: only persistent identifiers make a StorageRef


class _Archive:
    """The zip format: `<prefix>/data.pkl`, `<prefix>/data/<storage key>` and a few small records, none compressed."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive, self.path = archive, path
        self.cache: dict[str, bytes] = {}
        infos = archive.infolist()
        self.entries = {info.filename: info for info in infos}
        pickles = [name for name in self.entries if re.fullmatch(r"[^/]+/data\.pkl", name)]
        if len(self.entries) != len(infos):
            raise WeightsError(f"{path}: two records of the archive have one name. {FETCH_AGAIN}")
        if sum(info.file_size for info in infos) > path.stat().st_size:
            raise WeightsError(f"{path}: the archive declares more bytes than the file has. {FETCH_AGAIN}")
        if len(pickles) != 1:
            raise WeightsError(f"{path}: a zip archive with {len(pickles)} records data.pkl, not one. {FETCH_AGAIN}")
        self.prefix = pickles[0].removesuffix("data.pkl")

    def checkpoint(self) -> Checkpoint:
        """Read the pickle; storages come later."""
        order = self.record("byteorder") if f"{self.prefix}byteorder" in self.entries else b"little"
        if order not in {b"little", b"big"}:
            raise WeightsError(f"{self.path}: unknown byte order {order[:20]!r}. {FETCH_AGAIN}")
        name = f"{self.prefix}data.pkl"
        if self.entries[name].file_size > MAX_STREAM_BYTES:
            raise WeightsError(
                f"{self.path}: data.pkl is larger than {MAX_STREAM_BYTES} bytes. Save only the state dict."
            )
        root = read_pickle(io.BytesIO(self.record("data.pkl")), KNOWN_GLOBALS, storage_from_id, str(self.path))
        return Checkpoint("PyTorch", root, self.storage, "<" if order == b"little" else ">")

    def record(self, name: str) -> bytes:
        """One record; its checksum is verified by `zipfile`."""
        info = self.entries.get(self.prefix + name)
        if info is None:
            raise WeightsError(f"{self.path}: record {name[:60]!r} is missing from the archive. {FETCH_AGAIN}")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise WeightsError(
                f"{self.path}: record {name[:60]!r} is compressed or encrypted, which PyTorch never does. {FETCH_AGAIN}"
            )
        try:
            return self.archive.read(info)
        except ZIP_ERRORS as error:
            raise WeightsError(f"{self.path}: record {name[:60]!r} is damaged: {error}. {FETCH_AGAIN}") from error

    def storage(self, storage: StorageRef) -> bytes:
        """The bytes of one storage, of exactly the declared length."""
        if storage.key not in self.cache:
            self.cache[storage.key] = self.record(f"data/{storage.key}")
        found = self.cache[storage.key]
        if len(found) != storage.nbytes:
            raise WeightsError(
                f"{self.path}: storage {storage.key!r} has {len(found)} bytes, not {storage.nbytes}. {FETCH_AGAIN}"
            )
        return found


def _read_legacy(data: mmap.mmap, source: str) -> Checkpoint:
    """The older format: magic number, protocol, system, object, storage keys (five pickles), then the storages.

    `data` stands behind the magic number.
    A storage is its number of elements (int64) and its bytes, little-endian whatever the machine was.
    """
    storages: dict[str, StorageRef] = {}

    def load(identifier: Any) -> StorageRef | Placeholder:
        storage = storage_from_id(identifier)
        if isinstance(storage, Placeholder):
            if identifier[0] == "module":
                return storage
            raise WeightsError(
                f"{source}: a storage of the type {storage.name!r}, whose size is not known here. "
                "Save the state dict again as float32."
            )
        if (storages.setdefault(storage.key, storage).nbytes, storage.element) != (
            storage.nbytes,
            storages[storage.key].element,
        ):
            raise ValueError("one storage with two sizes or types")
        return storage

    def refuse(_: Any) -> None:
        raise ValueError("a storage before the object")

    protocol, system = (read_pickle(data, {}, refuse, source) for _ in range(2))  # type: ignore[arg-type]
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise WeightsError(f"{source}: an unknown version or byte order of the PyTorch format. {FETCH_AGAIN}")
    root = read_pickle(data, KNOWN_GLOBALS, load, source)  # type: ignore[arg-type]
    keys = read_pickle(data, {}, refuse, source)  # type: ignore[arg-type]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise WeightsError(f"{source}: its list of storages does not agree with its tensors. {FETCH_AGAIN}")
    places: dict[str, int] = {}
    position = data.tell()
    for key in keys:
        storage = storages[key]
        if data[position : position + 8] != struct.pack("<q", storage.count):
            raise WeightsError(f"{source}: truncated or damaged at storage {key!r}. {FETCH_AGAIN}")
        places[key] = position + 8
        position += 8 + storage.nbytes
    if position != len(data) or len(places) != len(keys):
        raise WeightsError(f"{source}: {len(data)} bytes, but its tensors need {position}. {FETCH_AGAIN}")

    @cache
    def read(storage: StorageRef) -> bytes:
        return data[places[storage.key] : places[storage.key] + storage.nbytes]

    return Checkpoint("PyTorch", root, read, "<")
