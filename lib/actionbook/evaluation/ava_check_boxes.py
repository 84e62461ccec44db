"""Checks of a diagnosis: are the corners of both sides shares of the frame, in the same order?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from actionbook.evaluation import ava_tables
from actionbook.evaluation.ava_findings import Finding, Side, Sides
from actionbook.tasks.boxes import nearest

_PIXELS = 2.0
"""Shares of a frame are below this, whatever a detector does at its border."""
_ROUNDING = 0.01
_FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "y1, x1, y2, x2": lambda box: box[[1, 0, 3, 2]],
    "x1, y1, width, height": lambda box: np.stack([box[0], box[1], box[0] + box[2], box[1] + box[3]]),
    "middle x, middle y, width, height": lambda box: np.concatenate([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2]),
}
"""What else four numbers may be, and the corners that they then mean."""


def boxes(sides: Sides) -> Iterator[Finding]:
    """Pixels, corners outside the frame or the wrong way round, and other orders."""
    pixels = [side for side in sides.both if len(side) and np.median(side.corners.max(axis=0)) > _PIXELS]
    for side in pixels:
        share = float((side.corners.max(axis=0) > _PIXELS).mean())
        yield Finding(
            "problem",
            f"the boxes of the {side.what} are in pixels",
            f"{share:.0%} of {len(side):,} rows have a corner above {_PIXELS:g}, the largest is {side.corners.max():g}",
            "divide x1 and x2 by the width of the frame, y1 and y2 by its height",
            share,
        )
    for side in sides.both:
        if not any(side is one for one in pixels):
            yield from _outside(side)
    if not pixels:
        yield from _order(sides.shared())


def _outside(side: Side) -> Iterator[Finding]:
    """Boxes that leave the frame by more than rounding."""
    outside = (side.corners < -_ROUNDING).any(axis=0) | (side.corners > 1 + _ROUNDING).any(axis=0)
    if outside.any():
        yield Finding(
            "warning",
            f"boxes of the {side.what} reach outside the frame",
            f"{outside.sum():,} of {len(side):,} rows, such as {_box(side, outside)}",
            "corners are shares of the frame, 0 to 1: clip them, as AVA's are",
            float(outside.mean()),
        )
    turned = (side.corners[0] >= side.corners[2]) | (side.corners[1] >= side.corners[3])
    if turned.any():
        yield Finding(
            "warning",
            f"boxes of the {side.what} have no area: x1 is not below x2, or y1 not below y2",
            f"{turned.sum():,} of {len(side):,} rows, such as {_box(side, turned)}",
            "corners are the top left and the bottom right one, not a place and a size",
            float(turned.mean()),
        )


def _box(side: Side, chosen: np.ndarray) -> str:
    row = int(np.argmax(chosen))
    return f"({', '.join(f'{value:g}' for value in side.corners[:, row])}) in row {side.table.index[row]}"


def _order(sides: Sides) -> Iterator[Finding]:
    """Boxes of which few lie on those of the truth, and what they would be in another order."""
    if not len(sides.truth):
        return
    true, found = (ava_tables.distinct(side.keyframe, side.corners)[0] for side in sides.both)

    def covered(one: np.ndarray, other: np.ndarray) -> float:
        """Share of the boxes of the truth with a detected one on them."""
        on, under = (type(true)(each.keyframe, each.label, box) for each, box in ((found, other), (true, one)))
        return float((nearest(on, under)[1] >= 0.5).mean())

    now = covered(true.corners, found.corners)
    tried = {("detections", name): covered(true.corners, form(found.corners)) for name, form in _FORMS.items()}
    for name, form in list(_FORMS.items())[1:]:  # with axes that are swapped it cannot be told on which side
        tried["truth", name] = covered(form(true.corners), found.corners)
    (what, name), best = max(tried.items(), key=lambda pair: pair[1])
    if best > 1.5 * now + 0.15:
        yield Finding(
            "problem",
            f"the boxes of the {what} are {name}, not x1, y1, x2, y2",
            f"read so, {best:.0%} of {len(true):,} boxes of the truth have a detected box on them; now {now:.0%} have",
            "write the left, top, right and bottom of each box, in this order",
            best,
        )
    elif now < 0.3:
        yield Finding(
            "warning",
            "few boxes of the truth have a detected box on them (an overlap of half at least)",
            f"{now:.0%} of {len(true):,}, in keyframes that have both",
            "look at some frames with both (`boxes_plot`): boxes of another frame, of another crop, or a weak detector",
            1 - now,
        )
