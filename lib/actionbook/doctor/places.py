"""Checks of where the book runs: the checkout and the folders in its stead, the home, the encoding, the user."""

from __future__ import annotations

import locale
import os
import pwd
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.files import require_writable
from actionbook.core.home import GIVEN, own_folder, unusable
from actionbook.core.paths import ROOT, build_root, default_data_root, default_work_root
from actionbook.doctor.findings import Check, Finding, ok, problem, warning

VARIABLES = "ACTIONBOOK_DATA, ACTIONBOOK_WORK and ACTIONBOOK_BUILD"


def place_checks() -> dict[str, Check]:
    """The checks by name."""
    return {
        "checkout": checkout,
        "home": home,
        "encoding": encoding,
        "user": user,
        "working directory": working_directory,
    }


def checkout() -> Iterator[Finding]:
    """Whether the checkout can be written; if not, whether data, work and what is built go where that is possible."""
    roots = {"data": default_data_root(), "work": default_work_root(), "build": build_root()}
    elsewhere = ", ".join(f"{name} in {path}" for name, path in roots.items() if not path.is_relative_to(ROOT))
    if _writable(ROOT):
        yield ok("checkout", f"{ROOT} can be written{f'; {elsewhere}' if elsewhere else ''}")
    elif all(map(_writable, (roots["work"], roots["build"]))):
        # Data may be read-only where they are whole; whether they are is a question of the recipe.
        yield ok("checkout", f"{ROOT} is read-only; {elsewhere or 'the folders made by running can be written'}")
    else:
        refused = ", ".join(f"{name} ({path})" for name, path in roots.items() if not _writable(path))
        remedy = f"set {VARIABLES} to folders that you may write, or data_root and work_root for each notebook"
        yield warning("checkout", f"{ROOT} is read-only, so these cannot be written: {refused}", remedy)


def home() -> Iterator[Finding]:
    """Whether programs find a home for caches and settings, or what they get instead."""
    folder = Path("~").expanduser()
    if left := unusable():  # although `GIVEN` is in the environment
        message = f"it cannot be written, and no folder can be made that takes its place ({', '.join(left)})"
        yield warning("home", message, "set HOME or TMPDIR to a folder that you may write")
    elif GIVEN:
        lacks = "it does not exist" if "HOME" in GIVEN else f"{folder} or parts of it cannot be written"
        message = f"{lacks}: for the book's programs Matplotlib and others get folders in {own_folder()}"
        export = " ".join(f"{name}={shlex.quote(path)}" for name, path in GIVEN.items())
        yield warning("home", message, f"before papermill or jupyter: export {export}")
    else:
        yield ok("home", f"{folder} can hold the caches of Matplotlib, Numba, IPython and Jupyter")


def encoding() -> Iterator[Finding]:
    """Whether names of files and printed text can be of any language."""
    names, printed = sys.getfilesystemencoding(), sys.stdout.encoding or "unknown"
    said = next(
        (f"{name}={os.environ[name]}" for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "none"
    )
    if names == "utf-8":
        forced = " by Python itself" if sys.flags.utf8_mode else ""
        yield ok("encoding", f"names of files are UTF-8{forced}, output is {printed} (locale: {said})")
    else:
        message = f"names of files are {names} (locale: {said}, {locale.getencoding()}): Chinese ones fail"
        yield warning("encoding", message, "export PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8")


def user() -> Iterator[Finding]:
    """Who this is, since files belong to who made them."""
    number = os.getuid()
    name = f"number {number}, without a name here"
    with suppress(KeyError):
        name = pwd.getpwuid(number).pw_name
    rest = ": what is made now cannot be changed by other users" if number == 0 else ""
    yield ok("user", f"{name}{rest}")


def working_directory() -> Iterator[Finding]:
    """Where relative parameters start."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        yield problem("working directory", "it does not exist any more", "cd to a folder that does")
        return
    where = "the checkout" if folder == ROOT else f"not the checkout, {ROOT}"
    yield ok("working directory", f"{folder} ({where}): relative paths in parameters begin here")


def _writable(folder: Path) -> bool:
    try:
        require_writable(folder, "")
    except BookError:
        return False
    return True
