"""Small pieces of MyST Markdown: cells, tables and links that render without warnings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from actionbook.core.paths import ROOT

ABSENT = "–"


def cell(value: Any) -> str:
    """A value as the text of a table's cell: a dash for None, figures with separators, no line ends, no bare pipes."""
    if value is None or value == "":
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.10g}" if math.isfinite(value) else "not finite"
    line = re.sub(r"[^\S\N{NO-BREAK SPACE}]+", " ", str(value)).strip()
    return re.sub(r"(?<!\\)\|", r"\\|", line)


def escape(text: str) -> str:
    """Text in which no character has a meaning for Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#$|~&" else letter for letter in text)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[int] = ()) -> str:
    """A table with these column titles; `right` are the numbers of the columns that are set flush right, from 0."""
    flush = set(right)
    lines = [header, ["---:" if place in flush else "---" for place in range(len(header))]]
    lines += [[cell(value) for value in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def file_link(path: str) -> str:
    """A link from a page in ``book/`` to a notebook or a page of the checkout; plain code for what is neither."""
    if path.endswith((".ipynb", ".md")) and (ROOT / path).is_file():
        return f"[{path.rsplit('/', 1)[-1].rpartition('.')[0]}](../{path})"
    return f"`{path}`"


def spread(values: Sequence[float]) -> str | None:
    """Shares of several seeds as "68.1% ± 6.6": mean and standard deviation (n - 1), which one alone has not.

    None without any.
    """
    if not values:
        return None
    text = f"{np.mean(values):.1%}"
    return text if len(values) < 2 else f"{text} ± {100 * np.std(values, ddof=1):.1f}"
