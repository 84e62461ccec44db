"""Clips as raw tensor batches on disk, the way the Ascend tools (ais_bench, msame) take them.

``<k>.bin``, k = 0, 1, 2, ...: little-endian float32 (B, C, T, H, W) in C order, no header. ``batches.info``: one line
per file, the video id of each clip followed by one space. Both as the Ascend port of Efficient-3DCNNs writes them,
with one difference: the port drops an incomplete last batch; here the file is filled up with zeros and its line holds
only the real ids, so no clip is lost. ``batches.json``, written last, says what the folder must hold.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actionbook.core.files import TEMPORARY, atomic_path, sha256_file, write_json_atomic, write_text_atomic
from actionbook.core.progress import tracked
from actionbook.inference.errors import InferenceError

DTYPE = np.dtype("<f4")
INFO_NAME, MANIFEST_NAME = "batches.info", "batches.json"


@dataclass(frozen=True)
class BatchSet:
    """A folder of batches, complete and of the right sizes."""

    folder: Path
    ids: tuple[tuple[str, ...], ...]  # of each batch, the ids of its real clips (at most batch_size)
    batch_size: int
    clip_shape: tuple[int, ...]  # (C, T, H, W)
    info_sha256: str

    @property
    def clips(self) -> int:
        """Number of real clips."""
        return sum(len(ids) for ids in self.ids)

    @property
    def flat_ids(self) -> list[str]:
        """The video id of every clip, in order; a video with several clips occurs that often."""
        return [name for ids in self.ids for name in ids]

    def __len__(self) -> int:
        return len(self.ids)

    def path(self, number: int) -> Path:
        """The file of batch `number`."""
        return self.folder / f"{number}.bin"

    def load(self, number: int) -> np.ndarray:
        """Batch `number` as a read-only memory map, float32 (B, C, T, H, W), padding rows included."""
        _check_size(self.path(number), self.batch_size, self.clip_shape)
        return np.memmap(self.path(number), DTYPE, "r", shape=(self.batch_size, *self.clip_shape))

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """Yield (ids, batch): as many ids as the batch has real clips, which come first."""
        for number, ids in enumerate(self.ids):
            yield ids, self.load(number)


def write_batches(
    clips: Iterable[tuple[str, np.ndarray]],
    folder: Path | str,
    *,
    batch_size: int,
    clip_shape: tuple[int, ...],
    progress: bool = True,
) -> BatchSet:
    """Write clips, pairs of (video id, float32 (C, T, H, W)), as batches into `folder`.

    Every file appears whole or not at all; ``batches.json`` comes last, so an interrupted folder is recognised.
    Batches already in the folder are replaced. Raises InferenceError for a clip of another shape or dtype, an id with
    white space (the info file separates by it), no clip at all, or foreign ``.bin`` files in the folder.
    """
    folder = Path(folder)
    if batch_size < 1:
        raise InferenceError(f"batch size {batch_size}: expected 1 or more")
    _clear(folder)
    ids: list[tuple[str, ...]] = []
    names: list[str] = []
    batch = np.zeros((batch_size, *clip_shape), DTYPE)
    for name, clip in tracked(clips, "clips to batches", "clips", progress=progress):
        if not name or name != "".join(name.split()):
            raise InferenceError(f"clip id {name!r}: expected text without white space")
        if clip.shape != tuple(clip_shape) or clip.dtype != np.float32:
            raise InferenceError(f"clip {name!r}: {clip.dtype} {clip.shape}, expected float32 {tuple(clip_shape)}")
        batch[len(names)] = clip
        names.append(name)
        if len(names) == batch_size:
            _write_bin(folder / f"{len(ids)}.bin", batch)
            ids.append(tuple(names))
            names = []
    if names:
        batch[len(names) :] = 0
        _write_bin(folder / f"{len(ids)}.bin", batch)
        ids.append(tuple(names))
    if not ids:
        raise InferenceError(f"{folder}: no clips to write")
    write_text_atomic(folder / INFO_NAME, "".join("".join(f"{name} " for name in line) + "\n" for line in ids))
    digest = sha256_file(folder / INFO_NAME)
    result = BatchSet(folder, tuple(ids), batch_size, tuple(clip_shape), digest)
    write_json_atomic(folder / MANIFEST_NAME, asdict(_Manifest.of(result)))
    return result


def read_batches(folder: Path | str) -> BatchSet:
    """Open a folder that `write_batches` has finished.

    Raises InferenceError, naming the file, where one is missing, superfluous or of another size than it must have, or
    where the info file is not the one that was written.
    """
    folder = Path(folder)
    manifest = _Manifest.read(folder / MANIFEST_NAME)
    info = folder / INFO_NAME
    if not info.is_file() or sha256_file(info) != manifest.info_sha256:
        state = "has been changed" if info.is_file() else "is missing"
        raise InferenceError(f"{info} {state}: it must list the clips of this folder. Write the batches again")
    ids = parse_info(info.read_text(encoding="utf-8"))
    result = BatchSet(folder, ids, manifest.batch_size, tuple(manifest.clip_shape), manifest.info_sha256)
    if len(result) != manifest.batches or result.clips != manifest.clips:
        raise InferenceError(
            f"{info}: {len(result)} batches, {result.clips} clips; {MANIFEST_NAME} says {manifest.batches}, "
            f"{manifest.clips}. Write the batches again"
        )
    check_files(result, info)
    return result


def check_files(batches: BatchSet, info: Path) -> None:
    """Raise InferenceError unless the folder has exactly the files of `batches`, each full but perhaps the last.

    `info` names the file of ids in messages.
    """
    for number, names in enumerate(batches.ids):
        last = number == len(batches) - 1
        if len(names) != batches.batch_size and not (last and 0 < len(names) < batches.batch_size):
            raise InferenceError(f"{info}, line {number + 1}: {len(names)} ids, expected {batches.batch_size}")
        _check_size(batches.path(number), batches.batch_size, batches.clip_shape)
    expected = {f"{number}.bin" for number in range(len(batches))}
    found = {path.name for path in batches.folder.glob("*.bin") if not path.name.startswith(TEMPORARY)}
    extra = sorted(found - expected)
    if extra:
        raise InferenceError(
            f"{batches.folder / extra[0]}: not one of the {len(batches)} batches of this folder. Remove it"
        )


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, without copying it.

    A hard link where the file system allows it, since some tools refuse symbolic ones; else a symbolic one.
    """
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        target.symlink_to(source.resolve())


def parse_info(text: str) -> tuple[tuple[str, ...], ...]:
    """Ids by line of an info file in the port's format (a space after each id)."""
    return tuple(tuple(line.split()) for line in text.splitlines())


@dataclass(frozen=True)
class _Manifest:
    batches: int
    clips: int
    batch_size: int
    clip_shape: tuple[int, ...]
    dtype: str
    info_sha256: str

    @classmethod
    def of(cls, batches: BatchSet) -> _Manifest:
        return cls(len(batches), batches.clips, batches.batch_size, batches.clip_shape, "float32", batches.info_sha256)

    @classmethod
    def read(cls, path: Path) -> _Manifest:
        if not path.is_file():
            raise InferenceError(
                f"{path} is missing: the batches were not written completely, or not by this library. Write them again"
            )
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            manifest = cls(**data)
            sizes = [manifest.batches, manifest.clips, manifest.batch_size, *manifest.clip_shape]
            if all(isinstance(size, int) and size > 0 for size in sizes) and isinstance(manifest.info_sha256, str):
                if manifest.dtype != "float32":
                    raise InferenceError(f"{path}: dtype {manifest.dtype!r}, expected 'float32'")
                return manifest
        raise InferenceError(f"{path}: not readable as a description of batches. Write the batches again")


def _write_bin(path: Path, batch: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        batch.tofile(temporary)


def _check_size(path: Path, batch_size: int, clip_shape: tuple[int, ...]) -> None:
    expected = batch_size * int(np.prod(clip_shape)) * DTYPE.itemsize
    if not path.is_file():
        raise InferenceError(f"{path} is missing. Write the batches again")
    if path.stat().st_size != expected:
        raise InferenceError(
            f"{path}: {path.stat().st_size} bytes, expected {expected} for float32 {(batch_size, *clip_shape)}. "
            "Write the batches again"
        )


def _clear(folder: Path) -> None:
    """Remove an earlier set of batches; the description first, so that what is left never looks complete."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    (folder / INFO_NAME).unlink(missing_ok=True)
    for path in folder.glob("*.bin"):
        if not path.stem.isdecimal() and not path.name.startswith(TEMPORARY):
            raise InferenceError(f"{path}: a file that no batch writer made; choose an empty folder")
        path.unlink()
