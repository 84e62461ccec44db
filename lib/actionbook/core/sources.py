"""Published files: where each is had, how it is recognised, and the check before it is used."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file, write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.schema import Strict

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


def _git_blob(path: Path) -> str:
    """The id of the file's contents in git, as ``git hash-object`` prints it."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
