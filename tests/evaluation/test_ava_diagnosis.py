"""evaluation.ava_diagnosis: each mistake is named, the right set gives no finding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.evaluation.ava import mean_average_precision
from actionbook.evaluation.ava_diagnosis import Finding, diagnose, findings_table

CLASSES = {1: "bend", 2: "crouch", 4: "sit", 5: "stand"}
CORNERS = ["x1", "y1", "x2", "y2"]


def right_set() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two people in ten seconds of two videos, and detections that find them, each with every class."""
    rng = np.random.default_rng(7)
    truth, detections = [], []
    for video in ("Aa1", "Bb2"):
        for second in range(902, 912):
            for left in (0.05, 0.55):
                # Taller than wide and in either half, so that no other order of corners fits.
                box = np.array([left, 0.1, left + 0.25, 0.85]) + rng.uniform(-0.04, 0.04, 4)
                here = rng.choice(list(CLASSES), 2, replace=False)
                key = {"video": video, "second": second}
                truth += [{**key, **dict(zip(CORNERS, box, strict=True)), "label": label} for label in here]
                moved = dict(zip(CORNERS, box + rng.uniform(-0.02, 0.02, 4), strict=True))
                scores = {label: rng.uniform(0.4, 0.9) if label in here else rng.uniform(0, 0.5) for label in CLASSES}
                detections += [{**key, **moved, "label": label, "score": score} for label, score in scores.items()]
    return pd.DataFrame(truth), pd.DataFrame(detections)


TRUTH, FOUND = right_set()
FRAMES = {"Aa1": 27030, "Bb2": 27030}
Change = Callable[[pd.DataFrame], pd.DataFrame]


def findings(truth: pd.DataFrame = TRUTH, detections: pd.DataFrame = FOUND, **options: Any) -> list[Finding]:
    return diagnose(truth, detections, CLASSES, **options)


def test_a_right_set_gives_no_finding() -> None:
    assert mean_average_precision(TRUTH, FOUND, CLASSES).value > 0.8
    assert findings(frames=FRAMES, min_score=0.3) == []
    assert findings(TRUTH.assign(second=TRUTH.second.map("{:04d}".format))) == []
    assert findings(TRUTH, FOUND.iloc[::-1]) == []


def scaled(width: float, height: float) -> Change:
    return lambda table: table.assign(**{name: table[name] * (width if name[0] == "x" else height) for name in CORNERS})


def as_sizes(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(x2=table.x2 - table.x1, y2=table.y2 - table.y1)


def as_middles(table: pd.DataFrame) -> pd.DataFrame:
    sizes = as_sizes(table)
    return sizes.assign(x1=table.x1 + sizes.x2 / 2, y1=table.y1 + sizes.y2 / 2)


def swapped(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={"x1": "y1", "y1": "x1", "x2": "y2", "y2": "x2"})


def in_frames(rate: float, first: int = 0, start: int = 900) -> Change:
    return lambda table: table.assign(second=((table.second - start) * rate).round().astype(int) + first)


BROKEN: dict[str, tuple[Change, str, str]] = {
    "labels from 0": (lambda t: t.assign(label=t.label - 1), "labels of the {} are counted from 0", "0"),
    "labels as text": (lambda t: t.assign(label=t.label.astype(str)), "labels of the {} are text", "the classes are 1"),
    "labels by name": (lambda t: t.assign(label=t.label.map(CLASSES)), "labels of the {} are names", "100%"),
    "other labels": (
        lambda t: t.assign(label=t.label + 70),
        "labels of the {} are not among the classes",
        "the classes are 1, 2, 4, 5",
    ),
    "pixels": (scaled(640, 360), "boxes of the {} are in pixels", "100% of"),
    "sizes": (as_sizes, "boxes of the {} are x1, y1, width, height", "read so, 100%"),
    "middles": (as_middles, "boxes of the {} are middle x, middle y, width, height", "100% of 40 boxes"),
    "frames": (in_frames(30), "second of the {} holds frame numbers, from 0 and 30 a second, of the part", "Aa1,60"),
    "frames from 1": (in_frames(30, 1), "second of the {} holds frame numbers, from 1 and 30 a second", "100%"),
    "frames at 25": (in_frames(25), "second of the {} holds frame numbers, from 0 and 25 a second", "now 0%"),
    "all frames": (in_frames(24, 0, 0), "second of the {} holds frame numbers, from 0 and 24 a second", "20 keyframes"),
    "seconds of the part": (in_frames(1), "second of the {} holds seconds of the part from 900 s on", "Aa1,2"),
    "suffixes": (lambda t: t.assign(video=t.video + ".mp4"), "one name in the truth and another", ".mp4'"),
    "capitals": (lambda t: t.assign(video=t.video.str.lower()), "one name in the truth and another", "2 of 2 videos"),
    "other videos": (lambda t: t.assign(video="Zz"), "videos of the detections do not occur in the truth", "Zz"),
}


@pytest.mark.parametrize("side", ["truth", "detections"])
@pytest.mark.parametrize("name", list(BROKEN))
def test_the_first_finding_names_the_mistake(name: str, side: str) -> None:
    change, what, example = BROKEN[name]
    truth, detections = (change(TRUTH), FOUND) if side == "truth" else (TRUTH, change(FOUND))
    found = findings(truth, detections)
    problems = [one for one in found if one.severity == "problem"]
    assert any(what.format(side) in one.what for one in problems[:2]), found
    (finding,) = [one for one in problems if what.format(side) in one.what]
    assert example in finding.found or name == "other videos", finding
    assert finding.remedy
    assert 0 < finding.weight <= 1


def test_axes_that_are_swapped() -> None:
    for truth, detections in ((swapped(TRUTH), FOUND), (TRUTH, swapped(FOUND))):
        first = findings(truth, detections)[0]  # which side it is cannot be told
        assert (first.severity, first.what) == (
            "problem",
            "the boxes of the detections are y1, x1, y2, x2, not x1, y1, x2, y2",
        )


def test_labels_one_too_low_that_are_all_classes() -> None:
    """As where the classes of outputs 1, 2, 4 and 5 are written, but counted from 0."""
    classes = {label: str(label) for label in range(1, 7)}
    for step, word in ((-1, "low"), (1, "high")):
        moved = FOUND[FOUND.label + step > 0].assign(label=lambda t, by=step: t.label + by)
        first = diagnose(TRUTH, moved, classes)[0]
        assert first.what == f"the labels of the detections are one too {word}"
        assert f"with {-step:+d} it is" in first.found


def only(found: list[Finding], words: str, severity: str = "warning") -> Finding:
    (finding,) = found
    assert words in finding.what
    assert finding.severity == severity
    return finding


def test_labels_that_are_not_scored() -> None:
    more = pd.concat([FOUND, FOUND.iloc[:16:4].assign(label=2.5)])
    finding = only(findings(TRUTH, more), "labels of the detections are not among the classes")
    assert finding.found.startswith("2% of 164 rows: 2.5")


def test_boxes_outside_the_frame_and_without_area() -> None:
    outside = FOUND.assign(x2=FOUND.x2.where(FOUND.index > 3, 1.1))
    assert "(0.0" in only(findings(TRUTH, outside), "boxes of the detections reach outside").found
    turned = FOUND.assign(x2=FOUND.x2.where(FOUND.index > 3, 0.0))
    assert "4 of 160 rows" in only(findings(TRUTH, turned), "have no area").found


def test_boxes_that_lie_elsewhere() -> None:
    elsewhere = FOUND.assign(y1=0.0, y2=0.2)
    assert "0% of 40" in only(findings(TRUTH, elsewhere), "few boxes of the truth have a detected box").found


def test_seconds_without_truth_and_keyframes_without_detections() -> None:
    half = TRUTH[TRUTH.second < 907]
    assert "50% of 20 keyframes, such as Aa1,907" in only(findings(half), "seconds for which there is no truth").found
    missed = FOUND[FOUND.second < 907]
    assert (
        "50% of 20, such as Aa1,907" in only(findings(TRUTH, missed), "keyframes of the truth have no detection").found
    )
    assert findings(TRUTH, FOUND[FOUND.second < 911]) == []  # one of ten: somebody was not seen
    late = FOUND.assign(second=FOUND.second + 500)
    assert "there is no truth" in findings(TRUTH, late)[0].what
    assert findings(TRUTH, late)[0].severity == "problem"


def test_seconds_outside_the_keyframes() -> None:
    early = [table.assign(second=table.second - 2) for table in (TRUTH, FOUND)]
    assert [one.what for one in findings(*early)] == [
        "seconds of the truth lie outside 902 to 1798",
        "seconds of the detections lie outside 902 to 1798",
    ]
    assert findings(*early, seconds=(900, 1798)) == []
    assert findings(*early, seconds=(900, 1798), excluded=TRUTH[["video", "second"]]) == []


def test_videos_without_truth() -> None:
    more = pd.concat([FOUND, FOUND[FOUND.video == "Aa1"].assign(video="Cc3")])
    assert "1 of 3: Cc3" in only(findings(TRUTH, more), "do not occur in the truth").found


def test_keyframes_and_frames() -> None:
    assert findings(frames={**FRAMES, "more": 3}) == []
    assert [one.what for one in findings(frames={"Aa1": 27030})] == [
        "videos of the truth have no frames",
        "videos of the detections have no frames",
    ]
    short = findings(frames={"Aa1": 27030, "Bb2": 300})
    assert [one.what for one in short] == [
        "keyframes of the truth are shown by no frame",
        "keyframes of the detections are shown by no frame",
    ]
    assert "2 of 20: second 910 of Bb2 is frame 300, and there are 300" in short[0].found
    assert findings(frames={"Aa1": 330, "Bb2": 330}, start=901) == []


def test_another_rate() -> None:
    """Ten seconds of keyframes, of a part of eleven to twelve."""
    for frames, rate in ((12 * 25, "24 or 25"), (12 * 60, "60")):
        found = findings(frames=dict.fromkeys(FRAMES, frames))
        assert "another rate" in found[0].what
        assert f"Aa1 has {frames} frames, as many as {rate} a second give up to second 911" in found[0].found
    assert findings(frames=dict.fromkeys(FRAMES, 12 * 25), rate=25) == []


def test_scores_below_the_threshold() -> None:
    finding = only(findings(min_score=0.95), "below the threshold of 0.95", "problem")
    assert "160 of 160" in finding.found
    assert "100% of the keyframes" in finding.found
    only(findings(min_score=0.88), "below the threshold")


def test_scores_that_do_not_rank() -> None:
    only(findings(TRUTH, FOUND.assign(score=1.0)), "do not rank", "problem")
    assert "0 or 1" in only(findings(TRUTH, FOUND.assign(score=(FOUND.score > 0.5) * 1.0)), "do not rank").found


def test_duplicates() -> None:
    found = findings(TRUTH, pd.concat([FOUND, FOUND.iloc[:40]]))
    assert "40 of 200 rows" in only(found, "several times").found


def test_classes_that_are_never_found() -> None:
    assert "1 of 4: sit" in only(findings(TRUTH, FOUND[FOUND.label != 4]), "have no detection at all").found


def test_nothing_there() -> None:
    assert only(findings(TRUTH, FOUND.iloc[:0]), "no row of detections", "problem").found == "no rows"
    nowhere = findings(excluded=TRUTH[["video", "second"]])
    assert only(nowhere, "no row of truth", "problem").found == "80 rows, all at excluded keyframes"
    with pytest.raises(BookError, match="detections: no column score"):
        findings(TRUTH, FOUND.drop(columns="score"))
    with pytest.raises(BookError, match=r"detections, row 0 \(from 0\): score is nan"):
        findings(TRUTH, FOUND.assign(score=np.nan))


def test_the_table_has_the_gravest_first() -> None:
    table = findings_table(findings(TRUTH, pd.concat([FOUND, FOUND.iloc[:1]]).assign(video="x")))
    assert table.columns.tolist() == ["severity", "what", "found", "remedy"]
    assert table.severity.tolist() == sorted(table.severity)
    assert findings_table([]).empty
