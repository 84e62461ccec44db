"""Manifests: what a data set or a set of weight files is, by size, digest and count."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file, write_json_atomic
from actionbook.core.paths import MANIFESTS, shown
from actionbook.core.schema import Name, Strict, load, read_yaml

FIRST_SEEN = "first_seen.json"
"""Beside files of status ``tofu``: what each of them was when it was first used."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Below = Annotated[str, Field(pattern=r"^(\.|[^/.][^/]*(/[^/.][^/]*)*)$")]
"""A folder below another one: no ``/`` at the beginning, no ``..``."""


class NotTheFile(BookError):
    """A file is there, but is not the one that its manifest entry means."""


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
    into: Below = "."
    """Folder below the root where the file lies or, of an archive, where it is unpacked."""
    nested: bool = False
    """The archive holds archives, one for each class, which are unpacked into folders of their names."""
    by_class: bool = False
    """The archive holds all videos side by side; they go into folders of their classes, which their names tell."""
    alternative_to: str | None = None
    """Name of another source with the same contents: one of the two is enough."""
    note: str = ""

    @field_validator("name")
    @classmethod
    def _stays_below_the_root(cls, value: str) -> str:
        if not value or "\\" in value or PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts:
            raise ValueError("expected a path below the root, with / between its parts")
        return value

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

    videos: Below
    annotations: Below
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

    @model_validator(mode="after")
    def _ordered(self) -> Generator:
        if self.max_frames < self.min_frames:
            raise ValueError(f"max_frames {self.max_frames} is less than min_frames {self.min_frames}")
        return self


class DatasetManifest(Strict):
    """A data set: sources, licence, layout, classes, counts, known traps."""

    kind: Literal["dataset"]
    name: Name
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
    splits: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]*$")], Split]
    """By number, as text: ``"1"``."""
    classes: Annotated[tuple[Annotated[str, Field(pattern=r"^[^/.][^/]*$")], ...], Field(min_length=1)]
    """In the order of their numbers. They are names of folders, too."""
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
            twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
            raise ValueError(f"a class is listed twice: {', '.join(twice)}")
        if not self.splits:
            raise ValueError("splits: at least one is needed, found none")
        _check_sources(self.sources)
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

    @model_validator(mode="after")
    def _names_differ(self) -> WeightsManifest:
        names = [source.name for source in self.files]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"files: a name stands twice: {', '.join(twice)}")
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files, under the name that they have in a data set's manifest."""
        return self.files

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


def load_manifest(name: str) -> DatasetManifest | WeightsManifest:
    """The manifest of that name, or at that path, of a data set or of weight files."""
    path = _path(name)
    if read_yaml(path).get("kind") == "weights":
        return load(WeightsManifest, path)
    return load(DatasetManifest, path)


def verify(path: Path, source: Source, final: Path | None = None) -> str:
    """Check a file against its manifest entry before it is used, and return its sha256.

    An entry of status ``tofu`` has nothing published to be compared with: size and digest at first use are recorded in
    ``first_seen.json`` beside the file, and from then on the file must agree with them. `final` is where the file will
    lie if it has a temporary name as yet; the record and the messages name that.
    Raises BookError naming the file, what was expected and what was found: `NotTheFile` where these differ.
    """
    name = shown(final or path)
    if not path.is_file():
        where = f"; it is published at {source.url}" if source.url else ""
        raise BookError(f"{name}: is missing{where}")
    size = path.stat().st_size
    if source.bytes is not None and size != source.bytes:
        raise NotTheFile(f"{name}: {size} bytes, the manifest says {source.bytes}; fetch the file again")
    digest = sha256_file(path)
    if source.sha256 is not None and digest != source.sha256:
        raise NotTheFile(f"{name}: sha256 {digest}, the manifest says {source.sha256}; it is another or a damaged file")
    if source.md5 is not None:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if md5 != source.md5:
            raise NotTheFile(f"{name}: md5 {md5}, the manifest says {source.md5}; it is another or a damaged file")
    if source.git_blob is not None and (blob := _git_blob(path)) != source.git_blob:
        raise NotTheFile(
            f"{name}: git blob {blob}, the manifest says {source.git_blob}; it is another or a damaged file "
            "(or a pointer of git LFS: fetch the file itself)"
        )
    if source.status == "tofu":
        _check_first_seen(final or path, source, {"bytes": size, "sha256": digest})
    return digest


def first_seen(path: Path) -> dict[str, Any] | None:
    """Bytes, sha256, url and date of the first use of the file at `path`; None where it was never used.

    Raises BookError if the record is damaged.
    """
    entry = _read_first_seen(path.with_name(FIRST_SEEN)).get(path.name)
    return None if entry is None else dict(entry)


def _check_first_seen(path: Path, source: Source, found: dict[str, Any]) -> None:
    """Compare with the record of the first use, or make it."""
    record = path.with_name(FIRST_SEEN)
    seen = _read_first_seen(record)
    before = seen.get(path.name)
    if before is None:
        entry = {**found, "url": source.url, "date": datetime.now(UTC).date().isoformat()}
        try:
            write_json_atomic(record, dict(sorted({**seen, path.name: entry}.items())))
        except OSError as error:
            raise BookError(
                f"{shown(record)}: cannot be written ({error.strerror}), but no digest of {path.name} is published and "
                f"the first one seen has to be recorded there. Make the folder writable, or give the file's entry in "
                f"the manifest `sha256: {found['sha256']}` and `status: single`"
            ) from error
    elif {key: before[key] for key in found} != found:
        raise NotTheFile(
            f"{shown(path)}: {found['bytes']} bytes with sha256 {found['sha256']}, but when first used, on "
            f"{before.get('date')}, it had {before['bytes']} with {before['sha256']}: it has been changed since, here "
            f"or where it is published. If the new one is right, delete its entry in {shown(record)}"
        )


def _read_first_seen(record: Path) -> dict[str, dict[str, Any]]:
    try:
        seen = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BookError(f"{shown(record)}: cannot be read ({error}); mend it, or delete it to start anew") from error
    entries = list(seen.values()) if isinstance(seen, dict) else [None]
    if not all(isinstance(entry, dict) and {"bytes", "sha256"} <= set(entry) for entry in entries):
        raise BookError(f"{shown(record)}: is no record of files first seen; mend it, or delete it to start anew")
    return dict(seen)


def _check_sources(sources: tuple[Source, ...]) -> None:
    """Raise ValueError where two sources have one name, or an alternative does not name a source of its own right."""
    firsts = {source.name for source in sources if source.alternative_to is None}
    if len({source.name for source in sources}) != len(sources):
        raise ValueError("two sources have the same name")
    for source in sources:
        if source.alternative_to not in {None, *firsts}:
            raise ValueError(
                f"{source.name}: alternative_to names {source.alternative_to!r}, expected one of the others"
            )


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
