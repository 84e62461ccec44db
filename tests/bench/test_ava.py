"""The book's average precision is that of loops over keyframes, classes and boxes, whatever the boxes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.peers.ava import SCORED, Row, drawn, listed, loops
from hypothesis import given, settings
from hypothesis import strategies as st

from actionbook.evaluation.ava import mean_average_precision

# Few places, corners the wrong way round among them, so that overlaps and scores are often equal.
CORNER = st.sampled_from([0.0, 0.1, 0.25, 0.5])
FAR = st.sampled_from([0.25, 0.5, 0.6, 1.0])
ROW = st.tuples(
    st.sampled_from(["a,0902", "a,0903", "b,0902"]),
    st.tuples(CORNER, CORNER, FAR, FAR),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
CLASSES = (1, 3, 4, 7)


def table(rows: list[Row]) -> pd.DataFrame:
    keys = [key.split(",") for key, *_ in rows]
    columns = {"video": [video for video, _ in keys], "second": [second for _, second in keys]}
    for place, name in enumerate(("x1", "y1", "x2", "y2")):
        columns[name] = [box[place] for _, box, *_ in rows]  # type: ignore[misc]
    return pd.DataFrame({**columns, "label": [row[2] for row in rows], "score": [row[3] for row in rows]})


@settings(max_examples=150, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=12), st.lists(ROW, max_size=25), st.sampled_from([0.5, 0.3, 1.0]))
def test_small_sets_with_many_ties(truth: list[Row], detections: list[Row], iou: float) -> None:
    found = mean_average_precision(table(truth), table(detections), CLASSES, iou=iou)
    expected = loops(listed(truth), listed(detections), CLASSES, iou)
    np.testing.assert_array_equal([found.per_class[label] for label in CLASSES], expected[np.array(CLASSES) - 1])
    assert found.value == np.nanmean(expected)
    lists = {key: sorted(zip(*of, strict=True), key=lambda row: -row[2]) for key, of in listed(detections).items()}
    falling = [(key, *row) for key, rows in lists.items() for row in rows]
    found = mean_average_precision(table(truth), table(detections), CLASSES, iou=iou, order="score")
    assert found.value == np.nanmean(loops(listed(truth), listed(falling), CLASSES, iou))


def test_a_drawn_set_has_the_counts_of_the_validation_set() -> None:
    keyframes = 2000
    made = drawn(keyframes)
    scale = 57408 / keyframes
    assert len(made.truth) * scale == pytest.approx(280_000, rel=0.05)
    assert len(made.boxes) * scale == pytest.approx(121_000, rel=0.05)
    assert made.scores.shape == (len(made.boxes), 60)
    assert set(made.truth.label) == set(SCORED)
    pd.testing.assert_frame_equal(made.truth, drawn(keyframes).truth)
