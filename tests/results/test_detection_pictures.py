"""Pictures of boxes: what is drawn where, and in which lines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from actionbook.evaluation.ava import mean_average_precision
from actionbook.evaluation.ava_confusion import confusion
from actionbook.results.detection_pictures import ap_curves, boxes_plot, confusion_plot

pytestmark = pytest.mark.usefixtures("_no_window")

BOX = {"video": "v", "second": 902, "x1": 0.1, "y1": 0.25, "x2": 0.5, "y2": 0.75}
NAMES = {1: "sit", 2: "open (e.g., a window, a car door)", 3: "talk"}
TRUTH = pd.DataFrame([{**BOX, "label": 1}, {**BOX, "label": 2}, {**BOX, "second": 903, "label": 1}])
FOUND = pd.DataFrame(
    [{**BOX, "x1": 0.15, "label": label, "score": score} for label, score in ((1, 0.2), (2, 0.7), (3, 0.6))]
)
FRAME = np.zeros((100, 200, 3), np.uint8)


def test_boxes_on_a_frame() -> None:
    figure = boxes_plot({("v", 902): FRAME}, TRUTH, FOUND, NAMES)
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "v, 902 s"
    true, found = (patch for patch in ax.patches if isinstance(patch, Rectangle))
    assert true.get_bbox().bounds == pytest.approx((19.5, 24.5, 80, 50))
    assert found.get_bbox().bounds == pytest.approx((29.5, 24.5, 70, 50))
    assert true.get_linestyle() != found.get_linestyle()
    # The example in brackets goes, not the score; what scores below one half is not written.
    assert [text.get_text() for text in ax.texts] == ["sit\nopen", "open 0.70\ntalk 0.60"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["truth", "detections"]


def test_texts_do_not_cover_each_other_and_stay_in_the_frame() -> None:
    several = pd.concat([FOUND.assign(y1=FOUND.y1 + shift) for shift in (0.0, 0.02, 0.04)])
    figure = boxes_plot({("v", 902): np.zeros((300, 600, 3), np.uint8)}, TRUTH, several, NAMES)
    figure.canvas.draw()
    (ax,) = figure.axes
    frame = ax.get_window_extent()
    places = [text.get_window_extent() for text in ax.texts]
    assert len(places) == 4
    for number, place in enumerate(places):
        assert frame.x0 <= place.x0 < place.x1 <= frame.x1
        assert frame.y0 <= place.y0 < place.y1 <= frame.y1
        assert not any(place.overlaps(other) for other in places[:number])


def test_several_frames_and_no_detections() -> None:
    frames = {("v", 902): FRAME, ("v", 903): FRAME, ("w", 903): FRAME}
    figure = boxes_plot(frames, TRUTH.assign(second=TRUTH.second.map("{:04d}".format)))
    assert [len(ax.patches) for ax in figure.axes] == [1, 1, 0, 0]
    assert figure.axes[0].texts[0].get_text() == "1\n2"
    assert len(figure.legends[0].get_texts()) == 1
    assert boxes_plot({}, TRUTH).axes[0].texts[0].get_text() == "no frame to show"


def test_the_area_under_the_curve_is_the_average_precision() -> None:
    rng = np.random.default_rng(0)
    seconds = np.arange(902, 942)
    truth = pd.DataFrame([{**BOX, "second": second, "label": 1} for second in seconds])
    found = pd.DataFrame(
        [{**BOX, "second": second, "x1": rng.choice([0.1, 0.9]), "x2": 0.5, "label": 1} for second in seconds]
    )
    found["x2"] = found.x1 + 0.4
    result = mean_average_precision(truth, found.assign(score=rng.random(len(found))), NAMES)
    (ax,) = ap_curves(result).axes
    (line,) = ax.lines
    x, y = line.get_data()
    assert float(np.sum(np.diff(x) * y[1:])) == pytest.approx(result.per_class[1], abs=1e-12)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [f"sit, {result.per_class[1]:.1%}"]


def test_classes_without_a_hit_or_without_truth() -> None:
    result = mean_average_precision(TRUTH, FOUND[FOUND.label == 3], NAMES)
    (ax,) = ap_curves(result).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "sit, 0.0%, nothing found",
        "open, 0.0%, nothing found",
    ]
    assert ap_curves(result, []).axes[0].texts[0].get_text() == "no class to show"


def test_confused_classes() -> None:
    found = confusion(TRUTH, FOUND, NAMES)
    ax, _ = confusion_plot(found).axes
    # One box that sits and opens: talking scores above sitting, and opening is there.
    assert [text.get_text() for text in ax.get_yticklabels()] == ["sit, 1", "talk, 0"]
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(1, 0): "100", (0, 1): "·"}
    nothing = confusion(TRUTH, FOUND.assign(score=0.0), NAMES)
    assert confusion_plot(nothing).axes[0].texts[0].get_text() == "no class scores above one that a box has"
