"""Packs and workspaces in object storage: each stands on this disk while it is worked on."""

from __future__ import annotations

from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.local_copy import LocalCopy
from actionbook.core.paths import is_address


def workspace_here(place: str) -> Path:
    """The folder of a workspace; of an address such as ``s3://bucket/work/eco/ucf101`` its local copy, fetched."""
    if not is_address(place):
        return Path(place)
    copy, below = _split("workspace", place, 2)
    copy.fetch(f"{below}/", ours=True)
    return copy.folder / below


def pack_here(place: str) -> Path:
    """The file of a pack; of an address its local copy, fetched. Raises BookError where nothing lies there."""
    if not is_address(place):
        return Path(place)
    copy, name = _split("pack", place, 1)
    if not copy.fetch(name):
        raise BookError(f"{place}: there is no such object; check the address")
    return copy.folder / name


def target_here(place: str) -> Path:
    """The file on this disk that is written for a place; see `send`."""
    if not is_address(place):
        return Path(place)
    copy, name = _split("output", place, 1)
    return copy.folder / name


def send(place: str) -> None:
    """Send what was written to `target_here`, if the place is an address. Raises BookError where that fails."""
    if is_address(place):
        copy, name = _split("output", place, 1)
        copy.push([name], set(), quiet=False)


def _split(parameter: str, place: str, parts: int) -> tuple[LocalCopy, str]:
    """The copy of the folder so many names above an address, and these names."""
    above, *names = place.rstrip("/").rsplit("/", parts)
    if "://" not in above:
        raise BookError(f"{parameter} {place!r}: expected an address with at least {parts} names below the bucket")
    return LocalCopy.of(parameter, above), "/".join(names)
