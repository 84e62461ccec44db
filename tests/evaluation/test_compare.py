"""Formats against the network: what each is compared with, what it is judged by, and that a failed one says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from actionbook.core.score import Score
from actionbook.core.sections import Evaluation
from actionbook.core.spec import Arrays, Spec
from actionbook.core.stage_results import FormatRow, Step
from actionbook.datasets.index import BOX, Index, make_index
from actionbook.evaluation.compare import compare_formats, read_formats, run_formats
from actionbook.evaluation.formats import CRITERIA
from actionbook.inference import BatchSet, InferenceError, write_batches
from actionbook.tasks import Classification, Detection, Predictions

SPEC = Spec({"image": (3, 1, 2, 2)}, (4,))
VIDEOS = [f"v{i:02}" for i in range(20)]
TRUTH = {video: number % 4 for number, video in enumerate(VIDEOS)}
INDEX = make_index(
    {"video": video, "label": "ABCD"[target], "target": target, "subset": "test", "path": ""}
    for video, target in TRUTH.items()
)
Change = Callable[[np.ndarray], np.ndarray]


def of(items: list[str], outputs: np.ndarray, index: Index = INDEX) -> Predictions:
    return Predictions(items, outputs, index, Evaluation(), Classification())


class Engine:
    """Logits from the clip's first value, its class number; `change` may spoil them."""

    name = "engine"
    batch_size = None
    spec = SPEC

    def __init__(self, change: Change = lambda logits: logits) -> None:
        self.change = change
        self.sha256 = f"{id(self):064d}"

    def run(self, batch: Arrays) -> np.ndarray:
        numbers = batch["image"][:, 0, 0, 0, 0]
        logits = np.stack([-((numbers - k) ** 2) for k in range(4)], axis=1)
        return self.change(logits.astype(np.float32))


@pytest.fixture
def batches(tmp_path: Path) -> BatchSet:
    clips = [
        (video, {"image": np.full(SPEC.inputs["image"], TRUTH[video], np.float32)})
        for video in VIDEOS
        for _ in range(2)
    ]
    return write_batches(clips, tmp_path / "batches", batch_size=8, spec=SPEC, progress=False)


def run(
    changes: dict[str, Change | None], batches: BatchSet, folder: Path
) -> tuple[dict[str, FormatRow], tuple[Step, ...]]:
    """The rows of formats that differ from the network by these changes, and what could not be done."""
    engines = {"network": Engine(), **{name: Engine(change) for name, change in changes.items() if change}}
    found, failed = run_formats(engines, batches, folder, of, progress=False)  # type: ignore[arg-type]
    return {row.format: row for row in compare_formats(found)}, failed


def same(logits: np.ndarray) -> np.ndarray:
    return logits


def shifted(amount: float) -> Change:
    return lambda logits: logits + np.float32(amount) * np.array([1, -1, 1, -1], np.float32)


def mistaken(logits: np.ndarray, count: int = 4) -> np.ndarray:
    """Class 3 becomes class 0: a quarter is lost, or of each batch no more than so many."""
    found = logits.copy()
    rows = np.flatnonzero(found.argmax(1) == 3)[:count]
    found[rows] = found[rows][:, ::-1]
    return found


def spoilt(value: float) -> Change:
    def change(logits: np.ndarray) -> np.ndarray:
        found = logits.copy()
        found[0, 0] = value
        return found

    return change


def test_equal_formats_pass(batches: BatchSet, tmp_path: Path) -> None:
    rows, failed = run({"MINDIR": same, "ONNX": shifted(1e-5)}, batches, tmp_path / "r")
    assert list(rows) == ["network", "MINDIR", "ONNX"]
    assert [(row.passed, row.reason) for row in rows.values()] == [(True, "")] * 3
    assert failed == ()
    assert rows["MINDIR"].max_abs_difference == 0
    assert rows["ONNX"].max_abs_difference == pytest.approx(1e-5, rel=0.2)
    assert rows["ONNX"].score == Score(metric="top1", value=1, evaluated=20, expected=20, correct=20)
    assert rows["ONNX"].samples == 40
    assert rows["ONNX"].cosine == pytest.approx(1, abs=1e-6)
    assert (tmp_path / "r" / "ONNX" / "4_0.bin").exists()


def test_an_exact_format_fails_by_its_difference_alone(batches: BatchSet, tmp_path: Path) -> None:
    row = run({"ONNX": shifted(0.01)}, batches, tmp_path / "r")[0]["ONNX"]
    assert row.agreement == 1
    assert not row.passed
    assert row.required
    assert row.reason.endswith("is above 0.0001")
    assert row.tolerance == CRITERIA["ONNX"].tolerance


def test_a_network_in_16_bits_allows_more(batches: BatchSet, tmp_path: Path) -> None:
    engines = {"network": Engine(), "ONNX": Engine(shifted(0.01)), "OM": Engine(mistaken)}
    found, _ = run_formats(engines, batches, tmp_path / "r", of, progress=False)  # type: ignore[arg-type]
    network, onnx, om = compare_formats(found, half=True)
    assert onnx.passed
    assert onnx.tolerance == 0.01
    assert onnx.criterion == "relative difference <= 0.01, as the network computes in 16 bits"
    assert om.criterion == str(CRITERIA["OM"])
    assert not om.passed
    assert network.passed


def test_a_rounded_format_is_judged_by_what_it_loses(batches: BatchSet, tmp_path: Path) -> None:
    changes = {"ONNX-fp16": shifted(1e-3), "ONNX-int8": shifted(0.4), "OM": mistaken}
    rows, _ = run(changes, batches, tmp_path / "r")
    assert rows["ONNX-fp16"].passed
    assert rows["ONNX-int8"].passed  # far off, and the winners are the same
    assert rows["ONNX-int8"].relative_difference is not None
    assert rows["ONNX-int8"].relative_difference > 0.05
    assert not rows["ONNX-int8"].required
    assert rows["OM"].reason == (
        "loses 25.00 percentage points of the main score, more than 1; "
        "only 30 of 40 winners (75.0%) are the network's, below 99 %"
    )
    assert rows["OM"].score.correct == 15
    assert rows["OM"].agreement == 0.75
    assert rows["OM"].cosine is not None
    assert rows["OM"].cosine < 0.9


@pytest.mark.parametrize(("wrong", "passed"), [(1, True), (2, False)])
def test_exactly_a_point_may_be_lost(wrong: int, passed: bool) -> None:
    """100 x (1.0 - 0.99) is a little more than 1 in floating point."""
    names = [f"v{i}" for i in range(100)]
    index = make_index({"video": name, "label": "A", "target": 0, "subset": "test", "path": ""} for name in names)
    right = np.tile(np.array([[1.0, 0.0]], np.float32), (100, 1))
    less = right.copy()
    less[:wrong] = [[0.0, 1.0]]
    for lost in (0, 7):  # of what the network itself gets wrong
        right[50 : 50 + lost] = less[50 : 50 + lost] = [[0.0, 1.0]]
        row = compare_formats({"network": of(names, right, index), "OM": of(names, less, index)})[1]
        assert row.passed == passed
        assert ("percentage points" in row.reason) != passed


@pytest.mark.parametrize("size", [1.0, 1e-6])
def test_the_lowest_cosine_of_all_samples(size: float) -> None:
    network = size * np.eye(4, dtype=np.float32)
    turned = size * np.array([[1, 0, 0, 0], [0, 2, 0, 0], [0, 0.6, 0.8, 0], [0, 0, 0, 0]], np.float32)
    found = {"network": of(VIDEOS[:4], network), "ONNX-int8": of(VIDEOS[:4], turned)}
    assert [row.cosine for row in compare_formats(found)] == pytest.approx([1, 0.8], abs=1e-6)


def test_gains_and_losses_that_cancel_do_not_pass() -> None:
    """A network that is right in half of the videos, and a format that is right in the other half."""
    right = np.eye(4, dtype=np.float32)[list(TRUTH.values())]
    wrong = np.roll(right, 1, axis=1)
    half = np.arange(len(right))[:, None] % 2 == 0
    found = {"network": of(VIDEOS, np.where(half, right, wrong)), "OM": of(VIDEOS, np.where(half, wrong, right))}
    network, om = compare_formats(found)
    assert om.score.value == network.score.value == 0.5
    assert om.reason == "only 0 of 20 winners (0.0%) are the network's, below 99 %"


@pytest.mark.parametrize(("changed", "passed"), [(2, True), (3, False)])
def test_one_winner_in_a_hundred_may_change_even_to_a_better_one(changed: int, passed: bool) -> None:
    names = [f"v{i}" for i in range(200)]
    index = make_index({"video": name, "label": "A", "target": 0, "subset": "test", "path": ""} for name in names)
    network = np.tile(np.array([[1.0, 0.0]], np.float32), (200, 1))
    network[:10] = [[0.0, 1.0]]
    better = network.copy()
    better[:changed] = [[1.0, 0.0]]
    rows = compare_formats({"network": of(names, network, index), "ONNX-int8": of(names, better, index)})
    assert rows[1].score.value > rows[0].score.value
    assert rows[1].passed == passed


def test_a_format_without_a_rule_must_be_exact(batches: BatchSet, tmp_path: Path) -> None:
    network = Engine().run({"image": np.zeros((1, 3, 1, 2, 2), np.float32)})
    index = INDEX.with_items(INDEX.items.iloc[:1])
    other = compare_formats({"network": of(["v00"], network, index), "Other": of(["v00"], network + 0.01, index)})[1]
    assert other.criterion == str(CRITERIA["ONNX"])
    assert not compare_formats(
        {"network": of(["v00"], network, index), "Other": of(["v00"], shifted(0.01)(network), index)}
    )[1].passed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_are_a_step_and_the_others_go_on(
    batches: BatchSet, tmp_path: Path, value: float
) -> None:
    changes = {"MINDIR": spoilt(value), "ONNX": same, "ONNX-int8": spoilt(value)}
    rows, failed = run(changes, batches, tmp_path / "r")
    assert list(rows) == ["network", "ONNX"]
    assert [step.format for step in failed] == ["MINDIR", "ONNX-int8"]
    assert all("not finite" in step.reason for step in failed)
    # A later look at the stored results does not stop there either.
    found, unread = read_formats(tmp_path / "r", batches, of)
    assert list(found) == ["network", "ONNX"]
    assert unread == failed


class Broken(Engine):
    """A tool that ends with an error, as that of a card that is not there."""

    def run(self, batch: Arrays) -> np.ndarray:
        raise InferenceError("no card\nPut one in")


def test_an_engine_that_fails_is_a_step_and_the_others_go_on(batches: BatchSet, tmp_path: Path) -> None:
    engines = {"network": Engine(), "ONNX": Engine(), "OM": Broken()}
    found, failed = run_formats(engines, batches, tmp_path / "r", of, progress=False)  # type: ignore[dict-item]
    assert list(found) == ["network", "ONNX"]
    assert failed == (Step(format="OM", reason="no card", remedy="Put one in"),)


def test_the_network_itself_has_to_run(batches: BatchSet, tmp_path: Path) -> None:
    for broken in (Broken(), Engine(spoilt(np.nan))):
        with pytest.raises(InferenceError):
            run_formats({"network": broken}, batches, tmp_path / "r", of, progress=False)  # type: ignore[dict-item]


def test_results_from_another_machine(batches: BatchSet, tmp_path: Path) -> None:
    run({"OM": same}, batches, tmp_path / "r")
    folder = tmp_path / "copied" / "OM"
    folder.mkdir(parents=True)
    for path in (tmp_path / "r" / "OM").glob("*.bin"):
        (folder / path.name).write_bytes(path.read_bytes())
    rows, failed = run({}, batches, tmp_path / "copied")
    assert rows["OM"].passed
    assert failed == ()
    (folder / "2_0.bin").unlink()
    rows, failed = run({}, batches, tmp_path / "copied")
    assert list(rows) == ["network"]
    assert failed[0].format == "OM"
    assert "2_0.bin is missing" in failed[0].reason


def test_results_of_other_samples_are_not_taken(batches: BatchSet, tmp_path: Path) -> None:
    run({"ONNX": same}, batches, tmp_path / "r")
    clips = [(video, {"image": np.full(SPEC.inputs["image"], 7, np.float32)}) for video in VIDEOS for _ in range(2)]
    other = write_batches(clips, tmp_path / "other", batch_size=8, spec=SPEC, progress=False)
    with pytest.raises(InferenceError):
        read_formats(tmp_path / "r", other, of)
    _, failed = run({}, other, tmp_path / "r")  # the network runs again, ONNX does not
    assert [step.format for step in failed] == ["ONNX"]


def test_boxes_are_compared_by_their_classes_and_average_precision() -> None:
    rows = [
        {"video": f"v{k}", "item": f"v{k}@0", "frame": 0, "store": f"v{k}", "label": "AB"[target], "target": target}
        | {"subset": "test", "path": "", **dict(zip(BOX, (0.0, 0.0, 1.0, 0.5 + k / 4), strict=True))}
        for k in (0, 1)
        for target in ((0, 1) if k else (0,))
    ]
    boxes = partial(Predictions, index=make_index(rows), evaluation=Evaluation(), task=Detection())
    outputs = np.array([[[3.0, -3.0], [0.0, 0.0]], [[3.0, 3.0], [0.0, 0.0]]], np.float32)
    other = outputs.copy()
    other[0, 0, 1] = 4  # the first box is taken for a B, too, and more surely than the one that is
    items = ["v0@0", "v1@0"]
    network, om = compare_formats({"network": boxes(items, outputs), "OM": boxes(items, other)})
    assert (network.score.metric, network.score.value) == ("mAP", 1)
    assert om.agreement == 3 / 4  # of two real boxes and two classes; what fills up is not counted
    assert om.score.parts == {"A": 1, "B": 0.5}
    assert om.reason.startswith("loses 25.00 percentage points of the main score, more than 1; only 3 of 4 winners")
