"""Manifests: what a data set or a set of weight files is, by size, digest and count."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.core.paths import MANIFESTS, shown
from actionbook.core.schema import Strict, load

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Source(Strict):
    """One file as published: where it is had, and how it is recognised."""

    name: str
    url: str | None = None
    bytes: Count | None = None
    sha256: Sha256 | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    git_blob: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """What git calls the file where it is published: SHA-1 of ``blob <size>``, a zero byte, and the file's bytes."""
    status: Literal["verified", "single", "tofu"]
    """verified: two independent sources agree on the digest; single: one source names it; tofu: none is published,
    the first download's size and digest are recorded (trust on first use)."""
    note: str = ""

    @model_validator(mode="after")
    def _digest_known(self) -> Source:
        if self.status != "tofu" and not (self.sha256 or self.md5 or self.git_blob):
            raise ValueError(f"status {self.status!r} needs a sha256 or an md5, or a git_blob")
        return self


class Split(Strict):
    """Numbers of videos of one train/test split, and of those that it leaves out."""

    train: Count
    test: Count
    unused: Count = 0
    lists_sha256: Sha256 | None = None
    """Of all list files of the split, where a data set has one for each class: one after the other in class order,
    every line as two words, a space between, LF after them."""


class Layout(Strict):
    """Folders below the data root, with ``/`` between the parts."""

    videos: str
    annotations: str
    suffix: str = ".avi"


class Generator(Strict):
    """Settings of a procedural data set."""

    seed: int
    groups: Annotated[int, Field(ge=2, le=99)] = 25
    clips_per_group: Annotated[int, Field(ge=1, le=99)] = 2
    min_frames: Annotated[int, Field(ge=17)] = 34
    max_frames: Annotated[int, Field(ge=17)] = 50
    width: Annotated[int, Field(ge=32, multiple_of=2)] = 320
    height: Annotated[int, Field(ge=32, multiple_of=2)] = 240


class DatasetManifest(Strict):
    """A data set: sources, licence, layout, classes, counts, known traps."""

    kind: Literal["dataset"]
    name: str
    dataset: Literal["hmdb51", "kinetics400", "ucf101"]
    """The reader in `actionbook.datasets` that understands the layout."""
    title: str
    licence: str
    citation: str
    homepage: str = ""
    sources: tuple[Source, ...] = ()
    annotation_files: tuple[Source, ...] = ()
    layout: Layout
    videos: Count
    splits: dict[str, Split]
    classes: tuple[str, ...]
    class_groups: dict[str, tuple[tuple[str, ...], ...]] = {}
    """Named sets of classes that the book looks at together, such as pairs that are reversals of each other."""
    generator: Generator | None = None
    traps: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _counts_agree(self) -> DatasetManifest:
        for name, split in self.splits.items():
            if split.train + split.test + split.unused != self.videos:
                parts = f"{split.train} + {split.test}" + (f" + {split.unused} unused" if split.unused else "")
                raise ValueError(f"split {name}: {parts} videos, but the data set has {self.videos}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is listed twice")
        unknown = {c for sets in self.class_groups.values() for s in sets for c in s} - set(self.classes)
        if unknown:
            raise ValueError(f"class_groups name classes that do not exist: {', '.join(sorted(unknown))}")
        if self.generator is not None:
            drawn = len(self.classes) * self.generator.groups * self.generator.clips_per_group
            if drawn != self.videos:
                raise ValueError(f"the generator draws {drawn} videos, but the data set has {self.videos}")
        return self


class WeightsManifest(Strict):
    """Published weight files."""

    kind: Literal["weights"]
    name: str
    title: str
    licence: str
    homepage: str
    files: tuple[Source, ...]
    traps: tuple[str, ...] = ()

    def file(self, name: str) -> Source:
        """The entry called `name`. Raises BookError listing those that exist."""
        for source in self.files:
            if source.name == name:
                return source
        raise BookError(f"{self.name}: no weight file {name!r}; there are: {', '.join(f.name for f in self.files)}")


def load_dataset(name: str) -> DatasetManifest:
    """The manifest ``data_manifests/<name>.yaml`` of a data set; a `name` that ends in .yaml is a path."""
    return load(DatasetManifest, _path(name))


def load_weights(name: str) -> WeightsManifest:
    """The manifest ``data_manifests/<name>.yaml`` of weight files; a `name` that ends in .yaml is a path."""
    return load(WeightsManifest, _path(name))


def verify(path: Path, source: Source) -> str:
    """Check a file against its manifest entry before it is used, and return its sha256.

    Raises BookError naming the file, what was expected and what was found. An entry of status ``tofu`` has nothing
    to be compared with: its digest is returned for the record.
    """
    if not path.is_file():
        where = f"; it is published at {source.url}" if source.url else ""
        raise BookError(f"{shown(path)}: is missing{where}")
    size = path.stat().st_size
    if source.bytes is not None and size != source.bytes:
        raise BookError(f"{shown(path)}: {size} bytes, the manifest says {source.bytes}; fetch the file again")
    digest = sha256_file(path)
    if source.sha256 is not None and digest != source.sha256:
        raise BookError(
            f"{shown(path)}: sha256 {digest}, the manifest says {source.sha256}; it is another or a damaged file"
        )
    if source.md5 is not None:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if md5 != source.md5:
            raise BookError(
                f"{shown(path)}: md5 {md5}, the manifest says {source.md5}; it is another or a damaged file"
            )
    if source.git_blob is not None and (blob := _git_blob(path)) != source.git_blob:
        raise BookError(
            f"{shown(path)}: git blob {blob}, the manifest says {source.git_blob}; it is another or a damaged file "
            "(or a pointer of git LFS: fetch the file itself)"
        )
    return digest


def _git_blob(path: Path) -> str:
    """The id of the file's contents in git, as ``git hash-object`` prints it."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _path(name: str) -> Path:
    if name.endswith(".yaml"):
        return Path(name).expanduser().resolve()
    path = MANIFESTS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in MANIFESTS.glob("*.yaml")))
        raise BookError(f"manifest {name!r}: {shown(path)} does not exist; there are: {known}")
    return path
