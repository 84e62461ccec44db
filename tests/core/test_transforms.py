"""The section of spatial transforms: squares and rectangles, and values that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.schema import validate
from actionbook.core.transforms import Transforms


def made(**values: Any) -> Transforms:
    return validate(Transforms, values, "own.yaml")


def test_a_clip_is_a_square_or_a_rectangle() -> None:
    square, wide = made(size=224), made(size=[224, 320], short_side=256)
    assert (square.height, square.width, square.channels) == (224, 224, 3)
    assert (wide.height, wide.width) == (224, 320)
    assert made(modality="flow", mean=[0.0, 0.0], std=[1.0, 1.0]).channels == 2


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"size": [112, 120]}, ["'size.1'", "multiple of 16", "120"]),
        ({"size": [112]}, ["'size'", "[112]"]),
        ({"size": 32, "short_side": 16}, ["short_side 16", "size 32"]),
        ({"size": [224, 320], "short_side": 208}, ["short_side 208", "224, 320"]),
        ({"box": [256, 341]}, ["box names the longer side first", "[256, 341]"]),
        ({"size": 224, "box": [256, 192]}, ["box [256, 192] is less than size 224"]),
        ({"box": [341, 256], "short_side": 256}, ["box says both sides", "short_side and keep_aspect"]),
        ({"box": [341, 256], "keep_aspect": False}, ["box says both sides", "short_side and keep_aspect"]),
        ({"modality": "flow"}, ["mean has 3", "flow has 2"]),
        ({"modality": "flow", "mean": [1.0, 2.0]}, ["std has 3", "flow has 2"]),
        ({"std": [1.0]}, ["std has 1", "rgb has 3"]),
        (
            {"modality": "flow", "mean": [0.0, 0.0], "std": [1.0, 1.0], "channel_order": "bgr"},
            ["channel_order bgr", "modality is flow"],
        ),
        ({"crop": "tsn"}, ["crop tsn: scales must be said", "[1.0, 0.875, 0.75, 0.66]"]),
        ({"crop": "tsn", "scales": [1.0], "size": [224, 320]}, ["crop tsn is of square clips", "224 x 320"]),
        ({"crop": "ten"}, ["random", "corner", "center", "tsn", "'ten'"]),
    ],
)
def test_mistakes_name_the_key(values: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(BookError) as caught:
        made(**values)
    assert str(caught.value).startswith("own.yaml: ")
    for part in parts:
        assert part in str(caught.value)
