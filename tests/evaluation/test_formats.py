"""The accuracy ladder: what every rung is compared with, what it is judged by, and that a failed one says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actionbook.evaluation.formats import CRITERIA, climb
from actionbook.inference import BatchSet, InferenceError, write_batches

SHAPE = (3, 1, 2, 2)
VIDEOS = [f"v{i:02}" for i in range(20)]
TRUTH = pd.Series([i % 4 for i in range(20)], index=VIDEOS)


class Engine:
    """Logits from the clip's first value, its class number; `change` may spoil them."""

    name = "engine"
    batch_size = None

    def __init__(self, change: Callable[[np.ndarray], np.ndarray] = lambda logits: logits) -> None:
        self.change = change
        self.sha256 = f"{id(self):064d}"

    def run(self, batch: np.ndarray) -> np.ndarray:
        numbers = batch[:, 0, 0, 0, 0]
        logits = np.stack([-((numbers - k) ** 2) for k in range(4)], axis=1)
        return self.change(logits.astype(np.float32))


@pytest.fixture
def batches(tmp_path: Path) -> BatchSet:
    clips = [(video, np.full(SHAPE, TRUTH[video], np.float32)) for video in VIDEOS for _ in range(2)]
    return write_batches(clips, tmp_path / "batches", batch_size=8, clip_shape=SHAPE, progress=False)


def run(engines: dict, batches: BatchSet, folder: Path) -> dict:
    rungs = climb(engines, batches, folder, TRUTH, num_classes=4, progress=False)
    return {rung.format: rung for rung in rungs}


def shifted(amount: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda logits: logits + np.float32(amount) * np.array([1, -1, 1, -1], np.float32)


def test_equal_formats_pass(batches, tmp_path):
    rungs = run({"network": Engine(), "MINDIR": Engine(), "ONNX": Engine(shifted(1e-5))}, batches, tmp_path / "r")
    assert [rung.passed for rung in rungs.values()] == [True] * 3
    assert rungs["MINDIR"].max_abs_difference == 0
    assert rungs["ONNX"].max_abs_difference == pytest.approx(1e-5, rel=0.2)
    assert rungs["ONNX"].accuracy == {
        "k": 1, "correct": 20, "evaluated": 20, "expected": 20, "missing_sha256": None, "value": 1.0,
    }  # fmt: skip
    assert rungs["ONNX"].clips == 40
    assert rungs["ONNX"].cosine == pytest.approx(1, abs=1e-6)
    assert (tmp_path / "r" / "ONNX" / "4_0.bin").exists()


def test_an_exact_format_fails_by_its_difference_alone(batches, tmp_path):
    rung = run({"network": Engine(), "ONNX": Engine(shifted(0.01))}, batches, tmp_path / "r")["ONNX"]
    assert rung.top1_agreement == 1
    assert not rung.passed
    assert rung.required
    assert rung.reason.endswith("is above 0.0001")


def test_a_rounded_format_is_judged_by_what_it_loses(batches, tmp_path):
    def wrong(logits: np.ndarray) -> np.ndarray:
        found = logits.copy()
        found[found.argmax(1) == 3] = found[found.argmax(1) == 3][:, ::-1]  # class 3 becomes class 0: a quarter lost
        return found

    rungs = run({"network": Engine(), "ONNX-fp16": Engine(shifted(1e-3)), "ONNX-int8": Engine(shifted(0.4)),
                 "OM": Engine(wrong)}, batches, tmp_path / "r")  # fmt: skip
    assert rungs["ONNX-fp16"].passed
    assert rungs["ONNX-int8"].passed  # far off, and the winners are the same
    assert rungs["ONNX-int8"].relative_difference > 0.05
    assert not rungs["ONNX-int8"].required
    assert rungs["OM"].reason == "loses 25.00 percentage points of top-1, more than 1"
    assert rungs["OM"].accuracy["correct"] == 15
    assert rungs["OM"].top1_agreement == 0.75
    assert rungs["OM"].cosine < 0.9


def test_a_format_without_a_rule_must_be_exact(batches, tmp_path):
    rung = run({"network": Engine(), "TensorRT": Engine(shifted(0.01))}, batches, tmp_path / "r")["TensorRT"]
    assert rung.criterion == str(CRITERIA["ONNX"])
    assert not rung.passed


def test_results_from_another_machine(batches, tmp_path):
    run({"network": Engine(), "OM": Engine()}, batches, tmp_path / "r")
    folder = tmp_path / "copied" / "OM"
    folder.mkdir(parents=True)
    for path in (tmp_path / "r" / "OM").glob("*.bin"):
        (folder / path.name).write_bytes(path.read_bytes())
    rungs = run({"network": Engine(), "OM": None}, batches, tmp_path / "copied")
    assert rungs["OM"].passed
    (folder / "2_0.bin").unlink()
    with pytest.raises(InferenceError, match=r"2_0\.bin is missing"):
        run({"network": Engine(), "OM": None}, batches, tmp_path / "copied")
