"""Where things are in a checkout of the book."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = ROOT / "lib" / "actionbook"
MANIFESTS = ROOT / "data_manifests"
NOTEBOOKS = ROOT / "notebooks"


def default_work_root() -> Path:
    """The folder of workspaces: the environment variable ACTIONBOOK_WORK, else ``work`` in the checkout."""
    return Path(os.environ.get("ACTIONBOOK_WORK") or ROOT / "work").resolve()


def shown(path: Path | str) -> str:
    """A path for people: relative to the checkout where it lies inside, so that outputs are the same on any machine."""
    path = Path(path)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def is_plain(path: Path | str) -> bool:
    """Whether Ascend's tools take a path: ASCII letters, digits and ``_ - . /`` alone (else atc says E10001).

    Chinese letters pass some of the tools' checks and not others, so they count as not plain.
    """
    return re.fullmatch(r"[A-Za-z0-9_\-./]+", str(path)) is not None
