"""Boxes in a list, and the clips that they belong to."""

from __future__ import annotations

import numpy as np
import pytest

from actionbook.core.boxes import by_clip
from actionbook.core.errors import BookError

LIST = np.array([[2, 1, 2, 3, 4], [0, 5, 6, 7, 8], [2, 9, 10, 11, 12]], np.float32)


def test_every_box_is_found_again_where_it_was_put() -> None:
    boxes, places = by_clip(LIST, 3)
    assert (boxes.shape, boxes.dtype) == ((3, 2, 4), np.float32)
    np.testing.assert_array_equal(boxes[places], LIST[:, 1:])
    assert not boxes[1].any()
    assert not boxes[0, 1].any()


def test_room_may_be_given_and_no_boxes_are_no_error() -> None:
    assert by_clip(LIST, 4, room=5)[0].shape == (4, 5, 4)
    boxes, places = by_clip(np.zeros((0, 5)), 2)
    assert boxes.shape == (2, 1, 4)
    assert boxes[places].shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[3, 0, 0, 1, 1]], "box 0 is of clip 3: there are clips 0 to 2"),
        ([[0, 0, 0, 1, 1], [0.5, 0, 0, 1, 1]], r"box 1 is of clip 0\.5"),
        ([[0, 0, 1, 1]], r"boxes \(1, 4\): expected \(R, 5\)"),
        ([[1, 0, 0, 1, 1]] * 3, "clip 1 has 3 boxes: there is room for 2"),
    ],
)
def test_what_cannot_be_placed_is_refused(boxes: list[list[float]], message: str) -> None:
    with pytest.raises(BookError, match=message):
        by_clip(np.array(boxes), 3, room=2)
