"""Targets of detection: boxes with any number of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionbook.clips.targets import boxes_of
from actionbook.core.errors import BookError
from actionbook.datasets.index import BOX, make_index

LEFT, RIGHT, WHOLE = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)


def row(item: str, target: int, box: tuple[float, ...] | None = None) -> dict[str, Any]:
    video = item.partition("@")[0]
    places = {} if box is None else dict(zip(BOX, box, strict=True))
    return {
        "item": item,
        "video": video,
        "frame": int(item.split("@")[1]) if "@" in item else -1,
        "label": "ABC"[target],
        "target": target,
        "subset": "train",
        "path": "",
        "store": video,
        **places,
    }


def test_labels_of_one_box_are_its_classes() -> None:
    index = make_index(
        [row("v@1", 1, RIGHT), row("v@1", 0, LEFT), row("v@1", 2, RIGHT), row("w@1", 0, WHOLE), row("v@1", 2, LEFT)]
    )
    found = boxes_of(index, 3)
    assert list(found) == ["v@1", "w@1"]
    # Boxes stand in the order in which the labels first name them.
    assert found["v@1"].places.tolist() == [list(RIGHT), list(LEFT)]
    assert found["v@1"].targets.tolist() == [[0, 1, 1], [1, 0, 1]]
    assert found["v@1"].targets.dtype == np.float32


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.sampled_from([LEFT, RIGHT, WHOLE])), min_size=1)
)
def test_every_label_is_in_its_box_and_nothing_else(labels: list[tuple[str, int, tuple[float, ...]]]) -> None:
    rows = [row(f"{item}@1", target, box) for item, target, box in dict.fromkeys(labels)]
    rows.sort(key=lambda one: one["item"])
    found = boxes_of(make_index(rows), 3)
    seen = {
        (item[0], target, tuple(place))
        for item, boxes in found.items()
        for place, targets in zip(boxes.places.tolist(), boxes.targets, strict=True)
        for target in np.flatnonzero(targets).tolist()
    }
    assert seen == set(labels)
    assert all(len(set(map(tuple, boxes.places.tolist()))) == len(boxes.places) for boxes in found.values())


@pytest.mark.parametrize("labels", [[row("v", 0)], [row("v@1", 2, LEFT)]])
def test_labels_that_cannot_be_used(labels: list[dict[str, Any]]) -> None:
    with pytest.raises(BookError, match=r"1 labels cannot be used, such as that of item v.*a class of 0\.\.1"):
        boxes_of(make_index(labels), 2)
