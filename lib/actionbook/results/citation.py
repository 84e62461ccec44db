"""How the book is cited and where it lies, from CITATION.cff and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actionbook.core.errors import BookError
from actionbook.core.paths import ROOT, shown
from actionbook.core.schema import read_yaml

FILE = "CITATION.cff"
ADDRESS = "repository-code"
"""Key of the citation file that says where the book's source lies; absent while it lies nowhere public."""


def bibtex(root: Path = ROOT) -> str:
    """The book as a BibTeX entry, of the kind that every style knows.

    Raises BookError where the citation file lacks what an entry needs.
    """
    stated = _read(root)
    fields = {
        "author": " and ".join(_author(one) for one in stated["authors"]),
        "title": f"{{{stated['title']}}}",
        "year": str(stated["date-released"])[:4] if "date-released" in stated else None,
        "url": stated.get(ADDRESS),
        "note": f"Version {stated['version']}, {stated['license']}",
    }
    lines = [f"  {name} = {{{value}}},\n" for name, value in fields.items() if value]
    return f"@misc{{actionbook,\n{''.join(lines)}}}\n"


def citation_page(root: Path = ROOT) -> str:
    """Markdown: the BibTeX entry, then where source and issues are if that is stated."""
    text = f"```bibtex\n{bibtex(root)}```\n"
    if address := _read(root).get(ADDRESS):
        issues = f"{str(address).rstrip('/')}/issues"
        text += f"\nThe source lies at <{address}>; questions and faults go to <{issues}>.\n"
    return text


def _read(root: Path) -> dict[str, Any]:
    path = root / FILE
    stated = read_yaml(path)
    missing = [key for key in ("authors", "license", "title", "version") if not stated.get(key)]
    if missing:
        raise BookError(f"{shown(path)}: expected the key {missing[0]!r}, found {', '.join(stated) or 'nothing'}")
    return stated


def _author(stated: dict[str, Any]) -> str:
    """A person as "Family, Given"; a group in braces, so that it is not taken apart."""
    if "name" in stated:
        return f"{{{stated['name']}}}"
    return ", ".join(str(stated[key]) for key in ("family-names", "given-names") if key in stated)
