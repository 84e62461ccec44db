"""What the original's evaluation of AVA made of made-up boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from actionbook.evaluation.ava import every_class

DATA = Path(__file__).parent / "data"


class Case(NamedTuple):
    """Truth and detections, and the original's results."""

    truth: pd.DataFrame
    detections: pd.DataFrame
    excluded: list[str]
    expected: dict[str, Any]


class Golden(NamedTuple):
    """The cases of facebookresearch/SlowFast's ava_evaluation and ava_eval_helper.run_evaluation."""

    classes: dict[int, str]
    a: Case
    """From a network's outputs: every class of every detected box."""
    b: Case
    """Rows at the edge: boxes twice, overlaps of just 0.5, without area, excluded, without truth, never found."""
    c: Case
    """Equal scores."""


def rows_of(rows: list[list[Any]]) -> pd.DataFrame:
    """Rows of "video,0902", x1, y1, x2, y2, class and perhaps a score."""
    names = ["key", "x1", "y1", "x2", "y2", "label", "score"]
    table = pd.DataFrame(rows, columns=names[: len(rows[0])])
    table[["video", "second"]] = table.key.str.split(",", expand=True)
    return table.drop(columns="key")


@pytest.fixture(scope="session")
def golden() -> Golden:
    """Tables anew for nobody: tests leave them as they are."""
    read = json.loads((DATA / "ava_golden.json").read_text())
    classes = {int(label): name for label, name in read["classes"].items()}
    b, c = (
        Case(rows_of(case["truth"]), rows_of(case["detections"]), case.get("excluded", []), case)
        for case in (read["B"], read["C"])
    )
    arrays = np.load(DATA / "ava_case_a.npz")
    boxes = pd.DataFrame(arrays["boxes"], columns=["x1", "y1", "x2", "y2"])  # float32, as a network's
    videos, seconds = arrays["metadata"].T
    boxes["video"], boxes["second"] = np.array(read["A"]["videos"])[videos], seconds
    labels = list(classes)
    found = every_class(boxes, arrays["scores"][:, np.array(labels) - 1], labels)
    return Golden(classes, Case(rows_of(read["A"]["truth"]), found, read["A"]["excluded"], read["A"]), b, c)
