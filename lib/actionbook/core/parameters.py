"""Parameters of a notebook: checked by name and kind, and a misspelt one is refused although papermill is content."""

from __future__ import annotations

import ast
import difflib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from actionbook.core.errors import BookError
from actionbook.core.paths import expanded

_INJECTED = "# Parameters"
"""How papermill begins the cell into which it puts what ``-p`` says."""
_FEW = 3
"""A cell that sets so many parameters and nothing but plain values is the notebook's own cell of parameters."""


def refuse_unknown(known: Iterable[str]) -> None:
    """Refuse names in this kernel's parameter cells that are no parameters, such as ``-p recipee ucf101``.

    papermill sets a misspelt name without a word, and the run would silently use the default. What other cells have set
    is no concern of ours, so a setup cell may be run again. Without a kernel there is nothing to look at.
    """
    names = list(known)
    cells = _history()
    given = [cell for cell in cells if cell.startswith(_INJECTED)][-1:]
    given += [cell for cell in cells if len(set(_assigned(cell)) & set(names)) >= _FEW][-1:]
    unknown = [name for cell in given for name in _assigned(cell) if name not in names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BookError(
            f"unknown parameter {', '.join(map(repr, dict.fromkeys(unknown)))}. The parameters are: "
            f"{', '.join(names)}.{hint}"
        )


def whole_number(name: str, value: Any, default: int) -> int:
    """`value`, or `default` for None. Raises BookError for anything but a whole number of at least 1."""
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BookError(f"{name}: expected a whole number of at least 1, or None, found {value!r}")
    return value


def folder(name: str, value: Any, default: Path) -> Path:
    """The folder that a parameter names, absolute; `default` for None. Raises BookError for anything but a path."""
    if value is None:
        return default.resolve()
    if not isinstance(value, str | os.PathLike) or not str(value).strip():
        raise BookError(f"{name}: expected the path of a folder, or None, found {value!r}")
    return expanded(value).resolve()


def address(name: str, value: Any) -> str | None:
    """The address that a parameter names, if any. Raises BookError for what cannot be one."""
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise BookError(f"{name}: expected an address such as tcp://host:8786, or None, found {value!r}")
    return value


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """`value`, if it is one of `allowed`. Raises BookError."""
    if value not in (names := list(allowed)):
        raise BookError(f"{name} {value!r}: expected one of {', '.join(names)}")
    return str(value)


def _history() -> list[str]:
    """The cells that this kernel has run, in order."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return [] if shell is None else list(shell.user_ns.get("In", []))


def _assigned(cell: str) -> list[str]:
    """The names that a cell gives plain values, if that is all it does; else none."""
    try:
        body = ast.parse(cell).body
    except (SyntaxError, ValueError):
        return []
    names = []
    for statement in body:
        if not isinstance(statement, ast.Assign) or not all(isinstance(t, ast.Name) for t in statement.targets):
            return []
        try:
            ast.literal_eval(statement.value)
        except ValueError:
            return []
        names += [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return names
