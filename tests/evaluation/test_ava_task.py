"""The task detection on the original's own case of AVA: from a network's outputs to its mAP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.sections import Evaluation
from actionbook.datasets.ava import keyframe_id
from actionbook.datasets.index import BOX, BOXES, ITEMS, LABELS, Index, check
from actionbook.tasks import Detection, Predictions


def golden_predictions(golden: Any) -> Predictions:
    """Case A as an index and outputs (keyframes, M, 80); its detections hold every box once for each class.

    An index has each box of a keyframe once, and would merge those that come again; of this case's 114 boxes no two of
    a keyframe are the same. Their order in a keyframe is that of the case, which its result depends on.
    """
    truth, detections, excluded, _ = golden.a
    names = {(video, float(second)) for video, second in (one.split(",") for one in excluded)}
    left_out = {keyframe_id(*one) for one in names}

    def rows_of(table: pd.DataFrame) -> pd.DataFrame:
        seconds = table.second.astype(float)
        table = table.assign(
            item=[keyframe_id(*one) for one in zip(table.video, seconds, strict=True)], frame=(seconds - 900) * 30
        )
        return table[~table["item"].isin(left_out) & table.label.isin(golden.classes)].reset_index(drop=True)

    truth, found = rows_of(truth), rows_of(detections)
    boxes = found.iloc[:: len(golden.classes)].reset_index(drop=True)
    # Some are 1, which no finite number gives; the next float32 below is 6e-8 away, so that the order stays.
    shares = found.score.to_numpy().reshape(len(boxes), -1).clip(1e-30, 1 - 1e-9)
    assert not boxes.duplicated(["item", *BOX]).any()
    items = pd.concat([boxes, truth]).drop_duplicates("item")
    items = items.assign(subset="test", path="", store=items.video, frames=27030)
    labels = truth.assign(label=truth.label.map(golden.classes), target=truth.label - 1)
    index = Index(
        items[list(ITEMS)].astype(ITEMS).reset_index(drop=True),
        labels[list(LABELS)].astype(LABELS),
        boxes.assign(score=1.0)[list(BOXES)].astype(BOXES),
    )
    check(index)
    order, place = boxes["item"].unique().tolist(), boxes.groupby("item").cumcount().to_numpy()
    outputs = np.full((len(order), place.max() + 1, 80), 9.0)  # what fills up is sure of everything
    columns = np.array(list(golden.classes)) - 1
    for number, name in enumerate(order):
        mine = shares[boxes["item"] == name]
        outputs[number, : len(mine)] = 9.0  # of classes that no score counts
        outputs[number, : len(mine), columns] = np.log(mine / (1 - mine)).T
    return Predictions(order, outputs, index, Evaluation(), Detection())


def test_the_original_through_the_task(golden: Any) -> None:
    score = golden_predictions(golden).score
    expected = golden.a.expected
    assert score.value == pytest.approx(expected["mAP"], abs=1e-9)
    known = {golden.classes[int(label)]: value for label, value in expected["AP"].items() if value is not None}
    assert score.parts == pytest.approx(known, abs=1e-9)
    assert score.complete
