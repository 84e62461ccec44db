"""The chapters of the book, as its table of contents lists them: a new one is a folder and its lines there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionbook.core.errors import BookError
from actionbook.core.paths import NOTEBOOKS, ROOT, shown
from actionbook.core.schema import read_yaml

CONTENTS = "book/_toc.yml"


@dataclass(frozen=True)
class Chapter:
    """One paper's folder of notebooks."""

    name: str
    """Of the folder below ``notebooks/``."""
    title: str
    """First heading of its index page."""
    stages: tuple[str, ...]
    """Names of its numbered notebooks, such as ``01_data``, in order."""
    beside: tuple[str, ...]
    """Names of its other notebooks."""


def chapters(root: Path = ROOT) -> tuple[Chapter, ...]:
    """The chapters of the checkout `root`, in the order of the contents: entries ``notebooks/<name>/index``.

    Raises BookError where the contents cannot be read, or a chapter's index page has no heading.
    """
    contents = root / CONTENTS
    found = []
    for entry in _entries(read_yaml(contents)):
        folder, _, page = entry["file"].rpartition("/")
        parent, _, name = folder.rpartition("/")
        if (parent, page) == ("notebooks", "index"):
            inside = [str(one["file"]).rpartition("/")[2] for one in _entries(entry.get("sections", []))]
            stages = tuple(one for one in inside if one[:1].isdigit())
            beside = tuple(one for one in inside if not one[:1].isdigit())
            found.append(Chapter(name, _heading(root / f"{entry['file']}.md", contents), stages, beside))
    return tuple(found)


def recipe_files(chapter: str) -> list[Path]:
    """The files of a chapter's recipes, by name; none of a chapter that the book does not have."""
    return sorted((NOTEBOOKS / chapter / "recipes").glob("*.yaml"))


def _entries(node: Any) -> Iterator[dict[str, Any]]:
    """All mappings with a key ``file``, at any depth, in order."""
    if isinstance(node, dict):
        if isinstance(node.get("file"), str):
            yield node
        node = list(node.values())
    for child in node if isinstance(node, list) else []:
        yield from _entries(child)


def _heading(page: Path, contents: Path) -> str:
    try:
        lines = page.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BookError(f"{shown(contents)}: lists {shown(page)}, which cannot be read ({error.strerror})") from error
    title = next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), "")
    if not title:
        raise BookError(f"{shown(page)}: expected a heading such as '# I3D', found none; the chapter is called by it")
    return title
