"""Samples as raw tensor batches on disk, the way the Ascend tools (ais_bench, msame) take them.

``<input>/<k>.bin``, k = 0, 1, 2, ...: a folder for each input of the network, little-endian float32 (B, ...) in C
order, no header. ``batches.info``: one line per batch, the id of each sample followed by one space. Files and ids are
as the Ascend port of Efficient-3DCNNs writes them, with one difference: the port drops an incomplete last batch; here
it is filled up with zeros and its line holds only the real ids, so no sample is lost. ``batches.json``, written last,
says what the folder must hold, by content.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from actionbook.core.files import TEMPORARY, atomic_path, sha256_file, write_json_atomic, write_text_atomic
from actionbook.core.progress import tracked
from actionbook.core.spec import Arrays, Shape, Spec, SpecError
from actionbook.inference.errors import InferenceError

DTYPE = np.dtype("<f4")
INFO_NAME, MANIFEST_NAME = "batches.info", "batches.json"


@dataclass(frozen=True)
class BatchSet:
    """A folder of batches, complete and of the right sizes, or what they were where their files were not kept."""

    folder: Path
    ids: tuple[tuple[str, ...], ...]  # of each batch, the ids of its real samples (at most batch_size)
    batch_size: int
    spec: Spec
    sha256: str
    """Digest of the content: of the ids and of all files. Results are told apart by it."""
    folders: Mapping[str, Path] = field(default_factory=dict)
    """Where the files of an input lie, if not in the folder of its name."""
    kept: bool = field(default=True, kw_only=True)
    """Whether the batches are on disk."""
    again: Callable[[Sequence[int]], Iterator[Arrays]] | None = field(default=None, compare=False, kw_only=True)
    """Makes batches that are not on disk, see `Batches.ready`."""

    @property
    def clips(self) -> int:
        """Number of real samples."""
        return sum(len(ids) for ids in self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __str__(self) -> str:
        return str(self.folder)

    def folder_of(self, name: str) -> Path:
        """The folder of an input's files."""
        return self.folders.get(name, self.folder / name)

    def path(self, number: int, name: str | None = None) -> Path:
        """The file of batch `number` and an input; of the only one, where none is named."""
        return self.folder_of(name or self.spec.single) / f"{number}.bin"

    def bytes(self, name: str | None = None) -> int:
        """Of the file of a batch and an input (None: of all inputs), whether it is on disk or not."""
        return self.batch_size * self.spec.bytes(name)

    @property
    def total_bytes(self) -> int:
        """Of the files of all batches."""
        return len(self) * self.bytes()

    def load(self, number: int) -> Arrays:
        """Batch `number` by input, float32 (B, ...), padding rows included; read-only memory maps of files on disk.

        Raises InferenceError for a file of another size, and for batches that are not on disk and cannot be made again.
        """
        if not self.kept:
            return next(self.ready([number]))
        found: dict[str, np.ndarray] = {}
        for name, shape in self.spec.inputs.items():
            _check_size(self, number, name)
            found[name] = np.memmap(self.path(number, name), DTYPE, "r", shape=(self.batch_size, *shape))
        return found

    def ready(self, numbers: Sequence[int]) -> Iterator[Arrays]:
        """See `Batches.ready`. Raises InferenceError as `load`."""
        if self.kept:
            return map(self.load, numbers)
        if self.again is None:
            raise InferenceError(
                f"{self}: the batches, {self.total_bytes / 1e9:,.3g} GB, were not kept (export.keep_batches of "
                "the recipe). Write them with keep=True"
            )
        return self.again(numbers)


def write_batches(
    samples: Iterable[tuple[str, Arrays | np.ndarray]],
    folder: Path | str,
    *,
    batch_size: int,
    spec: Spec | Shape,
    keep: bool = True,
    progress: bool = True,
) -> BatchSet:
    """Write samples, pairs of (id, inputs by name), as batches into `folder`; an array alone is the only input.

    Without `keep` only their ids and their digest are written, which are the same; `BatchSet.again` then has to make
    the batches. Every file appears whole or not at all; ``batches.json`` comes last, so an interrupted folder is
    recognised. Batches already in the folder are replaced. Raises InferenceError for an input of another shape or
    dtype, an id with white space (the info file separates by it), no sample at all, or foreign files in the folder.
    """
    folder, spec = Path(folder), Spec.of(spec)
    if batch_size < 1:
        raise InferenceError(f"batch size {batch_size}: expected 1 or more")
    _clear(folder, spec)
    digest = hashlib.sha256()
    ids: list[tuple[str, ...]] = []
    names: list[str] = []
    batch = {name: np.zeros((batch_size, *shape), DTYPE) for name, shape in spec.inputs.items()}

    def flush() -> None:
        for name, array in batch.items():
            array[len(names) :] = 0
            if keep:
                with atomic_path(folder / name / f"{len(ids)}.bin") as temporary:
                    array.tofile(temporary)
            digest.update(f"{name} {array.shape}".encode() + array.tobytes())
        ids.append(tuple(names))
        names.clear()

    for name, arrays in tracked(samples, "clips to batches", "clips", progress=progress):
        if not name or name != "".join(name.split()):
            raise InferenceError(f"sample id {name!r}: expected text without white space")
        given = {key: array[np.newaxis] for key, array in spec.named(arrays).items()}
        for key, array in spec.check(given, f"sample {name!r}").items():
            batch[key][len(names)] = array[0]
        names.append(name)
        if len(names) == batch_size:
            flush()
    if names:
        flush()
    if not ids:
        raise InferenceError(f"{folder}: no clips to write")
    write_text_atomic(folder / INFO_NAME, "".join("".join(f"{name} " for name in line) + "\n" for line in ids))
    digest.update((folder / INFO_NAME).read_bytes())
    result = BatchSet(folder, tuple(ids), batch_size, spec, digest.hexdigest(), kept=keep)
    write_json_atomic(folder / MANIFEST_NAME, asdict(_Manifest.of(result)))
    return result


def read_batches(folder: Path | str) -> BatchSet:
    """Open a folder that `write_batches` has finished, with or without the files of batches.

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
    result = BatchSet(folder, ids, manifest.batch_size, manifest.spec, manifest.sha256, kept=manifest.kept)
    if len(result) != manifest.batches or result.clips != manifest.clips:
        raise InferenceError(
            f"{info}: {len(result)} batches, {result.clips} clips; {MANIFEST_NAME} says {manifest.batches}, "
            f"{manifest.clips}. Write the batches again"
        )
    check_files(result, info)
    return result


def check_files(batches: BatchSet, info: Path) -> None:
    """Raise InferenceError unless the folder has exactly the files of `batches`, each full but perhaps the last, or
    none where they were not kept.

    `info` names the file of ids in messages.
    """
    for number, names in enumerate(batches.ids):
        last = number == len(batches) - 1
        if len(names) != batches.batch_size and not (last and 0 < len(names) < batches.batch_size):
            raise InferenceError(f"{info}, line {number + 1}: {len(names)} ids, expected {batches.batch_size}")
        for name in batches.spec.inputs if batches.kept else ():
            _check_size(batches, number, name)
    expected = {f"{number}.bin" for number in range(len(batches)) if batches.kept}
    for folder in map(batches.folder_of, batches.spec.inputs):
        found = {path.name for path in folder.glob("*.bin") if not path.name.startswith(TEMPORARY)}
        extra = sorted(found - expected)
        if extra:
            raise InferenceError(
                f"{folder / extra[0]}: not one of the {len(expected)} batches of this folder. Remove it"
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
    inputs: dict[str, list[int]]
    output: list[int] | None
    dtype: str
    info_sha256: str
    sha256: str
    kept: bool = True

    @classmethod
    def of(cls, batches: BatchSet) -> _Manifest:
        inputs = {name: list(shape) for name, shape in batches.spec.inputs.items()}
        output = None if batches.spec.output is None else list(batches.spec.output)
        info = sha256_file(batches.folder / INFO_NAME)
        digests = info, batches.sha256
        return cls(len(batches), batches.clips, batches.batch_size, inputs, output, "float32", *digests, batches.kept)

    @property
    def spec(self) -> Spec:
        inputs = {name: tuple(shape) for name, shape in self.inputs.items()}
        return Spec(inputs, None if self.output is None else tuple(self.output))

    @classmethod
    def read(cls, path: Path) -> _Manifest:
        if not path.is_file():
            raise InferenceError(
                f"{path} is missing: the batches were not written completely, or not by this library. Write them again"
            )
        with contextlib.suppress(ValueError, TypeError, AttributeError, SpecError):
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            manifest = cls(**data)
            sizes = [manifest.batches, manifest.clips, manifest.batch_size]
            digests = [manifest.info_sha256, manifest.sha256]
            whole = all(isinstance(size, int) and size > 0 for size in sizes) and all(
                isinstance(d, str) for d in digests
            )
            if whole and isinstance(manifest.kept, bool) and manifest.spec.inputs:
                if manifest.dtype != "float32":
                    raise InferenceError(f"{path}: dtype {manifest.dtype!r}, expected 'float32'")
                return manifest
        raise InferenceError(f"{path}: not readable as a description of batches. Write the batches again")


def _check_size(batches: BatchSet, number: int, name: str) -> None:
    path, expected = batches.path(number, name), batches.batch_size * batches.spec.bytes(name)
    if not path.is_file():
        raise InferenceError(f"{path} is missing. Write the batches again")
    if path.stat().st_size != expected:
        shape = (batches.batch_size, *batches.spec.inputs[name])
        raise InferenceError(
            f"{path}: {path.stat().st_size} bytes, expected {expected} for float32 {shape}. Write the batches again"
        )


def _clear(folder: Path, spec: Spec) -> None:
    """Remove an earlier set of batches; the description first, so that what is left never looks complete."""
    folder.mkdir(parents=True, exist_ok=True)
    earlier = {*spec.inputs}
    with contextlib.suppress(InferenceError):
        earlier |= set(_Manifest.read(folder / MANIFEST_NAME).inputs)
    ours = {folder / name for name in earlier}
    for path in sorted({*folder.rglob("*.bin"), *(path for own in ours for path in own.glob("*"))}):
        batch = path.parent in ours and path.suffix == ".bin" and path.stem.isdecimal()
        if not batch and not path.name.startswith(TEMPORARY):
            raise InferenceError(f"{path}: a file that no batch writer made; choose an empty folder")
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    (folder / INFO_NAME).unlink(missing_ok=True)
    for name in earlier:
        shutil.rmtree(folder / name, ignore_errors=True)
