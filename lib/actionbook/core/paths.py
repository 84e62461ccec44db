"""Where things are in a checkout of the book, and where what is made of it goes.

The checkout may be read-only: environment variables name folders elsewhere, relative ones from the checkout.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from actionbook.core.errors import BookError

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = ROOT / "lib" / "actionbook"
MANIFESTS = ROOT / "data_manifests"
NOTEBOOKS = ROOT / "notebooks"


def default_data_root() -> Path:
    """The folder that holds a folder for each data set: ACTIONBOOK_DATA, else ``data`` in the checkout."""
    return _folder("ACTIONBOOK_DATA", "data")


def default_work_root() -> Path:
    """The folder of workspaces: ACTIONBOOK_WORK, else ``work`` in the checkout."""
    return _folder("ACTIONBOOK_WORK", "work")


def build_root() -> Path:
    """The folder of executed notebooks and of the rendered book: ACTIONBOOK_BUILD, else ``_build`` in the checkout."""
    return _folder("ACTIONBOOK_BUILD", "_build")


def cache_root() -> Path:
    """The folder of local copies of object storage: ACTIONBOOK_CACHE, else ``actionbook`` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or expanded("~/.cache")
    return _folder("ACTIONBOOK_CACHE", str(Path(cache) / "actionbook"))


def _folder(variable: str, name: str) -> Path:
    # From the checkout: a notebook's kernel has another working directory than what has started it.
    return (ROOT / expanded(os.environ.get(variable) or name)).resolve()


def expanded(path: os.PathLike[str] | str) -> Path:
    """A path as it was typed, with ``~`` and ``~user`` replaced.

    Raises BookError where there is no such home, and for an address in object storage.
    """
    if is_address(path):
        raise BookError(f"{path}: expected a path; only the parameters data_root and work_root may be addresses")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise BookError(f"{path}: the home that it begins with is not known; write the whole path") from error


def is_address(value: object) -> bool:
    """Whether a text names something in object storage, such as ``s3://bucket/folder``."""
    return isinstance(value, str) and re.match(r"\s*[a-z][a-z0-9+.-]*://", value, re.IGNORECASE) is not None


def shown(path: Path | str) -> str:
    """A path for people: relative to the checkout where it lies inside, so that outputs are the same on any machine."""
    path = Path(path)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def is_plain(path: Path | str) -> bool:
    """Whether Ascend's tools take a path: ASCII letters, digits and ``_ - . /`` alone (else atc says E10001).

    Chinese letters pass some of the tools' checks and not others, so they count as not plain.
    """
    return re.fullmatch(r"[A-Za-z0-9_\-./]+", str(path)) is not None
