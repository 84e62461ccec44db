"""What every page of the book keeps to besides being executed: how wide its code is, and what its figures say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nbformat import NotebookNode

from actionbook.core.process import PAGE_WIDTH

_FENCE = re.compile(r"(?P<indent> *)(?P<marks>`{3,}|~{3,}|:{3,})(?P<info>.*)")
_DIRECTIVE = re.compile(r"\{([\w-]+)\}")
_SHOWN_CODE = ("code", "code-block", "code-cell", "sourcecode")
"""Directives whose content is code; those of others is text, in which code may stand."""
_IMAGES = ("image/png", "image/svg+xml", "image/jpeg")


def find_pages(paths: Iterable[Path]) -> list[Path]:
    """The ``.md`` files among `paths` and, for folders, below them, sorted; hidden and generated folders are left out.

    Both notebooks' sources and plain pages: their readers see the same code.
    """
    found: list[Path] = []
    for path in paths:
        below = sorted(path.rglob("*.md")) if path.is_dir() else [path]
        found.extend(p for p in below if not any(part.startswith((".", "_")) for part in p.relative_to(path).parts))
    return found


def wide_lines(page: Path) -> list[str]:
    """One line for each line of code on a Markdown page (code cells, fenced blocks) that is wider than `PAGE_WIDTH`.

    The options of a cell, which a page does not show, may be as wide as they like.
    """
    faults = []
    for number, line in _code_lines(page.read_text(encoding="utf-8").splitlines()):
        if len(line) > PAGE_WIDTH:
            remedy = f"break it (commands with a backslash), a page shows {PAGE_WIDTH} without scrolling"
            faults.append(f"{page}:{number}: code of {len(line)} columns; {remedy}: {line.strip()}")
    return faults


def _code_lines(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(line number from 1, text as it is shown) of the lines of code."""
    around: list[str] = []  # fences of the open directives that hold text, the innermost last
    fence, indent, options = "", 0, ""
    for number, line in enumerate(lines, start=1):
        found = _FENCE.fullmatch(line)
        marks, info = (found["marks"], found["info"].strip()) if found else ("", "")
        ends = bool(marks) and not info
        if fence:
            if ends and marks.startswith(fence):
                fence = ""
            elif options == "---":
                options = "" if line == "---" else options
            elif options == "first" and line == "---":
                options = "---"
            elif options and line.startswith(":"):
                options = ":"
            else:
                options = ""
                yield number, line[indent:]
        elif ends and around and marks.startswith(around[-1]):
            around.pop()
        elif found and marks:
            directive = _DIRECTIVE.match(info)
            if directive and directive[1] not in _SHOWN_CODE:
                around.append(marks)
            elif directive or marks[0] != ":":
                fence, indent, options = marks, len(found["indent"]), "first" if directive else ""


def unnamed_figures(notebook: Path, cells: Sequence[NotebookNode]) -> list[str]:
    """One line for each code cell that shows a picture without caption, name or a text for those who cannot see it."""
    faults = []
    for number, cell in enumerate(cells, start=1):
        if not any(kind in out.get("data", {}) for out in cell.get("outputs", []) for kind in _IMAGES):
            continue
        options = cell.metadata.get("mystnb", {})
        said = {
            "mystnb.figure.caption": options.get("figure", {}).get("caption"),
            "mystnb.figure.name": options.get("figure", {}).get("name"),
            "mystnb.image.alt": options.get("image", {}).get("alt"),
        }
        if lacking := [name for name, value in said.items() if not str(value or "").strip()]:
            first = next(iter(cell.source.splitlines()), "")
            where = f"{notebook}: cell {number} ({first})"
            faults.append(f"{where}: shows a picture without {', '.join(lacking)}; say them in the cell's options")
    return faults
