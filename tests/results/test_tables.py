"""Tables for people: counts, shares, missing values and heads, as text and in the browser."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.results.tables import show


def cells(table: object, digits: dict[str, int] | None = None) -> list[list[str]]:
    """The text of every cell of every row of the HTML, heads first."""
    rows = re.findall(r"<tr>(.*?)</tr>", show(table, digits).html, re.DOTALL)  # type: ignore[arg-type]
    return [[re.sub(r"&nbsp;", "", one) for one in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_counts_have_no_decimals_though_some_are_missing() -> None:
    table = pd.DataFrame({"videos": [540, None], "parameters": [1_294_152, 7], "N_expected": [3783.0, 1.0]})
    assert cells(table) == [["videos", "parameters", "N expected"], ["540", "1,294,152", "3,783"], ["", "7", "1"]]


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([0.96, 0.5], ["0.960", "0.500"]),
        ([1.0, 0.0], ["1.000", "0.000"]),
        ([461.709991, 5.25], ["462", "5"]),
        ([45.123, 1.0], ["45.1", "1.0"]),
        ([2.3e-6, 1e-7], ["2.3e-06", "1.0e-07"]),
        ([2.3e-6, 0.0], ["2.3e-06", "0"]),
        ([1.02, 2.6e-5, 0.0], ["1.02", "2.6e-05", "0.00"]),
        ([3783.5, 0.4, -0.2], ["3,784", "0.4", "-0.2"]),
        ([np.inf, 0.25], ["not finite", "0.250"]),
        ([0.0, 0.0], ["0.000", "0.000"]),
        ([-1234.5, 3.0], ["-1,234", "3"]),
    ],
)
def test_measures_have_the_digits_of_the_greatest(values: list[float], written: list[str]) -> None:
    assert [row[0] for row in cells(pd.DataFrame({"x": values}))[1:]] == written


def test_digits_can_be_named() -> None:
    assert show(pd.DataFrame({"s": [0.123456]}), {"s": 1}).text.split() == ["s", "0.1"]
    assert show(pd.DataFrame({"s": [100.0]}), {"s": 1}).text.split() == ["s", "100.0"]
    two = pd.DataFrame([[0.5, 0.5]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    assert cells(two, {"y": 1})[-1] == ["0.500", "0.5"]


def test_words() -> None:
    rows = [{"ok": True, "shape": (3, 16, 112, 112), "options": {"width": 0.7}, "note": None, "x": "<b>"}]
    assert cells(rows) == [["ok", "shape", "options", "x"], ["yes", "3 × 16 × 112 × 112", "width: 0.7", "&lt;b&gt;"]]


def test_numbers_are_flush_right_under_their_heads() -> None:
    html = show(pd.DataFrame({"what": ["a"], "count": [3]}, index=["r"])).html
    style = re.search(r"<style.*?</style>", html, re.DOTALL)
    assert style is not None
    found = re.findall(r"\.col(\d) \{\s*text-align: (\w+)", style[0])
    assert found == [("0", "left"), ("1", "right")]
    html = show([{"count": "5,641.9", "what": "3 of 4"}, {"count": "", "what": "1"}]).html
    assert re.findall(r"\.col(\d) \{\s*text-align: (\w+)", html) == [("0", "right"), ("1", "left")]
    assert 'class="dataframe"' in html


def test_names_stay_in_one_line_and_sentences_do_not() -> None:
    html = show([{"name": "ONNX-int8", "reason": "only 394 of 420 winners are the network's"}]).html
    assert re.search(r"\.col0 \{\s*text-align: left;\s*white-space: nowrap;", html)
    assert re.search(r"\.col1 \{\s*text-align: left;\s*\}", html)


def test_the_same_table_is_the_same_output() -> None:
    table = pd.DataFrame({"a": [1, 2]})
    assert show(table).html == show(table.copy()).html != show(table + 1).html


def test_names_of_rows_are_shown_and_numbers_of_rows_are_not() -> None:
    assert cells(pd.Series({"one": 1, "two": 2}, name="count"))[-1] == ["two", "2"]
    assert cells([{"a": 1}, {"a": 2}]) == [["a"], ["1"], ["2"]]
    assert "index" not in show([{"a": 1}]).text
    ordered = pd.DataFrame({"a": [2, 1]}).sort_values("a")
    assert cells(pd.concat([ordered, ordered]))[1:] == [["1"], ["2"]] * 2
    assert cells(ordered) == [["a"], ["1"], ["2"]]
    assert cells(ordered.rename_axis("batch")) == [["batch", "a"], ["1", "1"], ["0", "2"]]


def test_rows_of_one_name_are_all_shown() -> None:
    table = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "a"], name="run"))
    assert cells(table) == [["run", "x"], ["a", "1"], ["a", "2"]]


def test_names_of_an_index_are_heads_in_the_same_row() -> None:
    table = pd.DataFrame({"x": [1.5, 2.5]}, index=pd.Index(["a", "b"], name="run_name"))
    assert cells(table) == [["run name", "x"], ["a", "1.50"], ["b", "2.50"]]
    both = pd.DataFrame({"x": [1]}, index=pd.MultiIndex.from_tuples([("rgb", 16)], names=["stream", "batch"]))
    assert cells(both.rename_axis(columns="unused")) == [["stream", "batch", "x"], ["rgb", "16", "1"]]
    assert list(both.index.names) == ["stream", "batch"]  # the argument is left as it was


def test_heads_of_two_levels() -> None:
    table = pd.DataFrame([[1, 2.5]], columns=pd.MultiIndex.from_tuples([("a", "x_y"), ("a", "z")]), index=["r"])
    assert cells(table)[-1] == ["r", "1", "2.50"]
    found = cells(table.rename_axis("network"))
    assert found == [["", "a"], ["network", "x y", "z"], ["r", "1", "2.50"]]


def test_a_metric_is_not_broken_at_its_hyphen() -> None:
    assert cells([{"top-1, %": 1}, {"top-1, %": 2}])[0] == ["top\N{NON-BREAKING HYPHEN}1, %"]


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="different heads"):
        show(pd.DataFrame([[1, 2]], columns=["a_b", "a b"]))


@pytest.mark.parametrize("table", [[], pd.DataFrame(columns=["run", "mAP"]), pd.Series([], dtype=float)])
def test_a_table_without_rows_says_so(table: Any) -> None:
    shown = show(table)
    assert (shown.html, repr(shown)) == ("<p>no rows</p>", "no rows")
