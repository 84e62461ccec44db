"""The one way to show a table on the book's pages: counts as counts, measures with the digits that they deserve."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

_NUMBERS = "text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums"
_WORDS = "text-align: left"
_NAMES = f"{_WORDS}; white-space: nowrap"
_SHORT = 20
"""Columns of text in which nothing is longer hold names, which are not broken."""
_CELLS = "padding: 0.25em 0.65em; vertical-align: top"
_HEADS = "white-space: normal; vertical-align: bottom"
_SPANNING = "text-align: center"
_WRITTEN = re.compile(r"([-+]?\d[\d,]*(\.\d+)?)?")
_NOTHING = "no rows"
_SIGNIFICANT = 3
_TINY = 1e-3
"""Smaller values of which nothing would be left are written with an exponent."""


@dataclass(frozen=True)
class Shown:
    """A table as a notebook shows it: in a browser, and as text."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def show(
    table: pd.DataFrame | pd.Series[Any] | Iterable[Mapping[str, Any]], digits: Mapping[str, int] | None = None
) -> Shown:
    """A table for people, from a frame, a series (one column) or one mapping for each row.

    Whole numbers have no decimals and thousands are parted by commas. Of other columns the greatest value gets three
    significant digits and the rest as many decimals, or an exponent where nothing would be left of them; `digits` names
    the decimals of single columns instead. Missing values are empty, columns without any value left out, truth is "yes"
    and "no", shapes are written 3 × 16 × 112 × 112 and underscores in heads are spaces. Numbers, also those that are
    given as text, are flush right under their heads, other text flush left. An index with a name stands in the first
    columns, under that name; one that merely counts (whole numbers without a name) is not shown. Of a table without
    rows, that is said. Raises ValueError for two columns with the same head.
    """
    frame = table.to_frame() if isinstance(table, pd.Series) else table
    if not isinstance(frame, pd.DataFrame):
        frame = pd.DataFrame(list(frame))
    if not len(frame):
        return Shown(f"<p>{_NOTHING}</p>", _NOTHING)
    frame = frame.dropna(axis="columns", how="all").copy()
    named = any(name is not None for name in frame.index.names)
    counted = not named and pd.api.types.is_integer_dtype(frame.index.dtype)
    if named or counted or not frame.index.is_unique:
        frame, counted = frame.reset_index(drop=counted), True
    names: list[Any] = list(frame.columns)
    if frame.columns.nlevels > 1:  # the head of a single column stands right above it
        names = [("", *name[:-1]) if name[-1] == "" else name for name in names]
        frame.columns = pd.MultiIndex.from_tuples(names)
    frame.columns.names = [None] * frame.columns.nlevels
    digits = digits or {}
    keys = [name[-1] if isinstance(name, tuple) else name for name in names]
    written = pd.DataFrame(
        {place: _column(frame.iloc[:, place], digits.get(key)) for place, key in enumerate(keys)},
        index=None if counted else frame.index.map(_word),
    )
    numeric = [
        _is_numeric(frame.iloc[:, place]) or all(map(_WRITTEN.fullmatch, written.iloc[:, place]))
        for place in range(frame.shape[1])
    ]
    written.columns = frame.columns.map(_head)
    text = written.to_string(index=not counted)
    if not written.columns.is_unique:
        raise ValueError(f"a table needs different heads, found {list(written.columns)}")
    styler = written.style.format(escape="html").format_index(escape="html", axis=0).format_index(escape="html", axis=1)
    styles: dict[Any, Any] = {}
    for place, name in enumerate(written.columns):
        words = _NAMES if written.iloc[:, place].str.len().max() <= _SHORT else _WORDS
        styles[name] = [{"selector": "", "props": _NUMBERS if numeric[place] else words}]
    styler = styler.set_table_styles([{"selector": "th, td", "props": _CELLS}, {"selector": "th", "props": _WORDS}])
    heads: Any = [
        {"selector": "th.col_heading", "props": _HEADS},
        {"selector": "th.col_heading[colspan]", "props": _SPANNING},
    ]
    styler = styler.set_table_styles(styles, overwrite=False).set_table_styles(heads, overwrite=False)
    styler = styler.set_table_attributes('class="dataframe"')
    if counted:
        styler = styler.hide(axis="index")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]  # not random: the same table is the same output
    return Shown(styler.set_uuid(digest).to_html(), text)


def _is_numeric(column: pd.Series[Any]) -> bool:
    present = column.dropna()
    return not any(isinstance(value, bool | np.bool_) for value in present) and all(
        isinstance(value, int | float | np.number) for value in present
    )


def _column(column: pd.Series[Any], decimals: int | None) -> list[str]:
    """The text of every cell."""
    if not _is_numeric(column):
        return ["" if _is_missing(value) else _word(value) for value in column]
    values = column.to_numpy(dtype=float, na_value=np.nan)
    finite = values[np.isfinite(values)]
    greatest = float(np.abs(finite).max(initial=0.0))
    # Shares that happen to be all 0 or 1 stay shares.
    whole = bool((finite == finite.round()).all()) and (greatest > 1 or column.dtype.kind in "iu")
    decimals = 0 if whole and decimals is None else decimals
    return ["" if np.isnan(value) else _number(value, greatest, decimals) for value in values]


def _number(value: float, greatest: float, decimals: int | None) -> str:
    if not np.isfinite(value):
        return "not finite"
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    if not 0 < greatest < _TINY:
        decimals = max(0, _SIGNIFICANT - int(np.ceil(np.log10(greatest)))) if greatest else _SIGNIFICANT
        if not value or round(value, decimals):
            return f"{value:,.{decimals}f}"
    return "0" if not value else f"{value:.1e}" if abs(value) < _TINY else f"{value:.1g}"


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _word(value: Any) -> str:
    """Anything but a number in a column of numbers."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        whole = len(value) > 1 and all(isinstance(one, int | np.integer) for one in value)
        return (" × " if whole else ", ").join(map(_word, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_word(one)}" for key, one in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _head(name: Any) -> Any:
    if isinstance(name, tuple):
        return tuple(map(_head, name))
    if not isinstance(name, str):
        return name
    # A head that is broken into "top-" and "1" is hard to read.
    return re.sub(r"\btop-(\d)", "top\N{NON-BREAKING HYPHEN}\\1", name.replace("_", " "))
