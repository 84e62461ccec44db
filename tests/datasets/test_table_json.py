"""Rows as canonical JSON: byte for byte what the encoder writes, at a table's speed."""

from __future__ import annotations

import json

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from actionbook.datasets.table_json import json_rows

ROW = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(["", "null", '"', "\\", "\u2028"]),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 0.077, 1.0, 1e-7, 1e22]),
)


@given(rows=st.lists(ROW, max_size=6))
def test_each_row_is_what_json_makes_of_it(rows: list[tuple[str, int, float]]) -> None:
    table = pd.DataFrame(rows, columns=["text", "number", "share"])
    table = table.astype({"text": "str", "number": "int64", "share": "float64"})
    assert json_rows(table) == [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]


def test_what_is_not_there_is_null() -> None:
    table = pd.DataFrame({"item": ["a", "b"], "x1": [float("nan"), -0.0]})
    assert json_rows(table) == ['["a",null]', '["b",-0.0]']
    assert json_rows(table[:0]) == []
