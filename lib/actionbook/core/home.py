"""Folders for programs that keep something in the user's home, where there is none or it cannot be written.

Containers run as users without a home, and batch jobs on nodes that mount it read-only. Matplotlib, Numba, IPython and
Jupyter then fail, warn in the middle of a notebook, or do the same work in every process again.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.files import existing


def own_folder(name: str = "") -> Path:
    """The folder `name` in ``actionbook-<user number>`` in the temporary folder, made where it is absent.

    Only this user can read or change what lies there. Raises BookError where another user holds that name, and OSError
    where there is no temporary folder that can be written.
    """
    top = Path(tempfile.gettempdir()) / f"actionbook-{os.getuid()}"
    with suppress(FileExistsError):
        top.mkdir(mode=0o700)
    found = top.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise BookError(f"{top} is not a folder of this user's: remove it, or set TMPDIR to a folder of your own")
    folder = top / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def unusable() -> list[str]:
    """Environment variables that have to name other folders for programs that keep something in the home.

    A home that does not exist has to be replaced as a whole. Of one that exists only what cannot be written has, since
    it may hold data and settings. What the user has set is left alone.
    """
    home = _home()
    if home is None:
        return ["HOME"]
    cache = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    config = os.environ.get("XDG_CONFIG_HOME") or home / ".config"
    data = os.environ.get("JUPYTER_DATA_DIR") or home / ".local" / "share" / "jupyter"
    written = {
        "XDG_CACHE_HOME": [Path(cache, "matplotlib"), Path(cache, "numba")],
        "MPLCONFIGDIR": [Path(config, "matplotlib")],
        "IPYTHONDIR": [home / ".ipython"],
        "JUPYTER_RUNTIME_DIR": [Path(data, "runtime")],
    }
    free = [name for name in written if not os.environ.get(name)]
    return [name for name in free if not all(map(_usable, written[name]))]


def replacements() -> dict[str, str]:
    """Folders of ours by the variables that are `unusable`; none where no folder of ours can be made."""
    with suppress(OSError, BookError):
        return {name: str(own_folder(name.lower())) for name in unusable()}
    return {}


def _home() -> Path | None:
    """The user's home, None where it is not known, does not exist or is not for this user to see."""
    with suppress(OSError, RuntimeError):
        home = Path("~").expanduser()
        return home if home.is_absolute() and home.is_dir() else None
    return None


def _usable(folder: Path) -> bool:
    """Whether the folder can be written, or made."""
    there = existing(folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


GIVEN = replacements()
"""What `actionbook` lays over the environment as it is imported."""
