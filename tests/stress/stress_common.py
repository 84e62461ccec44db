"""What the two trials of ``stress.py`` share."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

from actionbook.core.files import TEMPORARY
from actionbook.core.manifest import DatasetManifest

PARENT, SESSION = 1, 3
"""Fields of a process's state after its name; see `processes`."""


class Failed(Exception):
    """What is not as it should be."""


def processes(field: int, number: int) -> list[int]:
    """The living processes, zombies apart, of a parent or of a session."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = file.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[field]) == number and fields[0] not in {"Z", "X"}:
                found.append(int(file.parent.name))
    return found


def leftovers(root: Path) -> list[Path]:
    """Temporary files of writers that did not come to their end."""
    return sorted(root.rglob(f"{TEMPORARY}*"))


def write_manifest(manifest: DatasetManifest, folder: Path) -> str:
    """The path of a manifest file for a recipe to name."""
    path = folder / f"{manifest.name}.yaml"
    path.write_text(json.dumps(manifest.model_dump(mode="json")), encoding="utf-8")  # JSON is YAML, too
    return str(path)


def say(text: str) -> None:
    """A line about how far the trial is, with the time."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
