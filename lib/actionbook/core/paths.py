"""Where things are in a checkout of the book, and where what is made of it goes.

The checkout may be read-only: three environment variables name folders elsewhere, relative ones from the checkout.
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


def _folder(variable: str, name: str) -> Path:
    # From the checkout: a notebook's kernel has another working directory than what has started it.
    return (ROOT / expanded(os.environ.get(variable) or name)).resolve()


def expanded(path: os.PathLike[str] | str) -> Path:
    """A path as it was typed, with ``~`` and ``~user`` replaced. Raises BookError where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise BookError(f"{path}: the home that it begins with is not known; write the whole path") from error


def shown(path: Path | str) -> str:
    """A path for people: relative to the checkout where it lies inside, so that outputs are the same on any machine."""
    path = Path(path)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def is_plain(path: Path | str) -> bool:
    """Whether Ascend's tools take a path: ASCII letters, digits and ``_ - . /`` alone (else atc says E10001).

    Chinese letters pass some of the tools' checks and not others, so they count as not plain.
    """
    return re.fullmatch(r"[A-Za-z0-9_\-./]+", str(path)) is not None
