"""Moving pictures: what is inside them, that they can stand still, and how large they are."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from actionbook.results.loops import loops
from actionbook.stages.strips import Strip

FRAMES = np.zeros((8, 60, 80, 3), np.uint8)
for number, frame in enumerate(FRAMES):
    frame[20:40, 8 * number : 8 * number + 16] = (200, 60, 40)


def pictures(html: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]+)\"", html)]


def test_every_frame_is_shown_in_order_and_one_of_them_stands_still() -> None:
    still, moving = pictures(loops([("a square", FRAMES)], height=60).html)
    assert (still.n_frames, moving.n_frames, moving.size) == (1, 8, (80, 60))  # type: ignore[attr-defined]
    centres = []
    for number in range(8):
        moving.seek(number)
        red = np.asarray(moving.convert("RGB"))[..., 0] > 120
        centres.append(np.nonzero(red)[1].mean())
    assert np.abs(np.diff(centres) - 8).max() < 1


def test_readers_who_want_less_motion_get_the_still() -> None:
    html = loops([("a <b>", FRAMES)]).html
    assert re.search(r'<source media="\(prefers-reduced-motion: reduce\), print" srcset="data:image/webp', html)
    assert html.count("a &lt;b&gt;") == 2  # seen and read aloud
    assert len(html) < 15_000


def test_a_strip_can_be_played_and_its_text_takes_the_pages_colour() -> None:
    html = loops([Strip("a", FRAMES, range(1, 9)), ("b", FRAMES)]).html
    assert html.count("<figure") == 2
    assert html.count("width: min(149px, 46%)") == 2  # side by side on a phone
    assert "width: min(149px, 100%)" in loops([("alone", FRAMES)]).html
    assert re.search(r"<figcaption style=\"[^\"]*color: inherit", html)


def test_the_same_frames_are_the_same_output() -> None:
    assert loops([("a", FRAMES), ("b", FRAMES)]).html == loops([("a", FRAMES.copy()), ("b", FRAMES)]).html


@pytest.mark.parametrize("frames", [FRAMES[0], FRAMES.astype(np.float32), FRAMES[:0], FRAMES[..., :2]])
def test_other_shapes_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        loops([("a", frames)])
