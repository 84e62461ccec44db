"""Helpers for the tests of foreign weight files."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import actionbook  # noqa: F401  before any test module imports MindSpore, whose environment it sets

DATA = Path(__file__).parent / "data"

sys.path.append(str(Path(__file__).parent))  # for `foreign`: pytest's import mode leaves helpers out


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the small checkpoints that PyTorch wrote."""
    return DATA


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a checkpoint in the zip format from a pickle and named storages."""

    def write(
        pickle: bytes,
        storages: Mapping[str, bytes] | None = None,
        compression: int = zipfile.ZIP_STORED,
        **records: bytes,
    ) -> Path:
        path = tmp_path / "made.pth"
        with zipfile.ZipFile(path, "w", compression) as file:
            file.writestr("made/data.pkl", pickle)
            for name, content in records.items():
                file.writestr(f"made/{name}", content)
            for key, content in (storages or {}).items():
                file.writestr(f"made/data/{key}", content)
        return path

    return write


@pytest.fixture(scope="session")
def tensor_pickle() -> Callable[..., bytes]:
    """A function that writes the operations which rebuild one tensor on storage ``0``."""

    def number(value: int) -> bytes:
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def write(
        size: tuple[int, ...],
        stride: tuple[int, ...],
        offset: int = 0,
        *,
        count: int = 2,
        kind: bytes = b"FloatStorage",
        view: bytes = b"",
    ) -> bytes:
        storage = b"(U\x07storagectorch\n" + kind + b"\nU\x010U\x03cpu" + number(count) + view + b"tQ"
        arguments = storage + number(offset) + numbers(size) + numbers(stride) + b"\x89}"
        return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"

    return write
