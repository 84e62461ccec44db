"""Streams are joined video by video, clip by clip, whatever their order; what does not belong together is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.core.files import sha256_json
from actionbook.core.sections import Evaluation
from actionbook.datasets.index import Index, make_index
from actionbook.evaluation.fusion import FusionError, How, class_gains, fuse
from actionbook.tasks import Classification, Detection, Predictions, TaskError
from actionbook.tasks.classification import pooled
from actionbook.tasks.pooling import Pool, softmax

TRUTH = pd.Series([0, 1, 2, 1], index=["a", "b", "c", "d"])


@cache
def index_of(truth: tuple[tuple[str, int], ...]) -> Index:
    return make_index(
        {"video": video, "label": "ABC"[target], "target": target, "subset": "test", "path": ""}
        for video, target in truth
    )


def predictions(videos: list[str], outputs: np.ndarray, truth: pd.Series, pool: Pool = "softmax_mean") -> Predictions:
    return Predictions(videos, outputs, index_of(tuple(truth.items())), Evaluation(pool=pool), Classification())


def stream(
    logits: Mapping[str, Sequence[Sequence[float]]],
    truth: pd.Series = TRUTH,
    pool: Pool = "softmax_mean",
    order: str = "",
) -> Predictions:
    """Predictions of clips by video; `order` names the videos in the order of the rows."""
    videos = [video for video in (order or "".join(logits)) for _ in logits[video]]
    seen = dict.fromkeys(logits, 0)
    rows = []
    for video in videos:
        rows.append(logits[video][seen[video]])
        seen[video] += 1
    return predictions(videos, np.array(rows, np.float32), truth, pool)


# Two clips of b, one of the others.
RGB = {"a": [[3, 1, 0]], "b": [[0, 1, 4], [0, 1, 1]], "c": [[2, 0, 1]], "d": [[0, 2, 1]]}
FLOW = {"a": [[0, 2, 1]], "b": [[1, 5, 0], [0, 2, 0]], "c": [[0, 0, 4]], "d": [[1, 0, 0]]}
JOINT = {"a": [[3, 3, 1]], "b": [[1, 6, 4], [0, 3, 1]], "c": [[2, 0, 5]], "d": [[1, 2, 1]]}


def rgb_and_flow(flow: Predictions | None = None) -> dict[str, Predictions]:
    return {"rgb": stream(RGB), "flow": flow or stream(FLOW)}


def test_logits_are_added_by_video_and_clip() -> None:
    joint = fuse(rgb_and_flow())
    assert joint.items == ["a", "b", "b", "c", "d"]
    assert joint.outputs.tolist() == [row for rows in JOINT.values() for row in rows]
    score = joint.score
    assert (score.correct, score.evaluated, score.expected) == (4, 4, 4)
    assert [found.score.correct for found in rgb_and_flow().values()] == [2, 2]


def test_rows_in_another_order_make_no_difference() -> None:
    shuffled = stream(FLOW, TRUTH.loc[["d", "b", "a", "c"]], order="dbac")
    clips_apart = predictions(
        ["b", "d", "a", "b", "c"], np.array([FLOW[v][i] for v, i in zip("bdabc", (0, 0, 0, 1, 0), strict=True)]), TRUTH
    )
    expected = fuse(rgb_and_flow())
    for other in (shuffled, clips_apart):
        joint = fuse(rgb_and_flow(other))
        assert joint.items == expected.items
        assert np.array_equal(joint.outputs, expected.outputs)
        pd.testing.assert_series_equal(joint.index.truth, TRUTH, check_names=False)


@given(st.permutations("abcd"), st.permutations("abcd"), st.sampled_from(["logit_sum", "softmax_mean"]))
def test_no_order_of_rows_or_streams_changes_a_bit(one: Sequence[str], two: Sequence[str], how: How) -> None:
    expected = fuse({**rgb_and_flow(), "third": stream(FLOW)}, how)
    third, flow = stream(FLOW, order="".join(one)), stream(FLOW, order="".join(two))
    joint = fuse({"third": third, "flow": flow, "rgb": stream(RGB)}, how)
    assert joint.items == expected.items
    assert np.array_equal(joint.outputs, expected.outputs)


def test_the_sum_of_logits_is_the_product_of_softmaxes_and_the_mean_is_another_rule() -> None:
    streams = rgb_and_flow()
    order = [streams["rgb"].outputs, streams["flow"].outputs]
    product = softmax(order[0]) * softmax(order[1])
    np.testing.assert_allclose(softmax(fuse(streams).outputs), product / product.sum(axis=1, keepdims=True))
    mean = fuse(streams, "softmax_mean")
    np.testing.assert_allclose(softmax(mean.outputs), (softmax(order[0]) + softmax(order[1])) / 2)
    np.testing.assert_allclose(pooled(mean).loc["b"], softmax(mean.outputs)[1:3].mean(axis=0))


def test_a_class_that_one_stream_rules_out_is_lost_in_the_sum_and_not_in_the_mean() -> None:
    truth = pd.Series([0], index=["a"])
    streams = {"rgb": stream({"a": [[0, -9, -2]]}, truth), "flow": stream({"a": [[-30, 9, 8.9]]}, truth)}
    assert pooled(fuse(streams)).idxmax(axis=1).tolist() == [2]
    assert pooled(fuse(streams, "softmax_mean")).idxmax(axis=1).tolist() == [0]


def test_equal_logits_of_both_streams_tie_towards_the_lower_class() -> None:
    truth = pd.Series([0, 1], index=["a", "b"])
    one = stream({"a": [[0, 1]], "b": [[0, 1]]}, truth)
    two = stream({"a": [[1, 0]], "b": [[1, 0]]}, truth)
    for how in ("logit_sum", "softmax_mean"):
        joint = fuse({"rgb": one, "flow": two}, how)
        assert joint.score.correct == 1  # class 0 wins both
        assert joint.outputs[0, 0] == joint.outputs[0, 1]


def test_the_joint_of_one_stream_is_the_stream() -> None:
    alone = stream(RGB)
    assert np.array_equal(fuse({"rgb": alone}).outputs, alone.outputs)
    pd.testing.assert_frame_equal(pooled(fuse({"rgb": alone})), pooled(alone))
    pd.testing.assert_frame_equal(pooled(fuse({"rgb": alone}, "softmax_mean")), pooled(alone))
    assert fuse({"rgb": alone, "again": alone}).score == alone.score


def test_probabilities_too_small_for_a_float_stay_finite() -> None:
    truth = pd.Series([0], index=["a"])
    far = stream({"a": [[0, 2000, -2000]]}, truth)
    joint = fuse({"rgb": far, "flow": far}, "softmax_mean")
    np.testing.assert_allclose(joint.outputs, [[-2000, 0, -4000]], atol=1e-9)


@pytest.mark.parametrize("how", ["logit_sum", "softmax_mean"])
def test_a_video_without_prediction_in_one_stream_is_an_error_or_a_miss(how: How) -> None:
    flow = stream({video: clips for video, clips in FLOW.items() if video != "b"})
    with pytest.raises(FusionError, match=r"flow lacks b\. .*missing=\"miss\""):
        fuse(rgb_and_flow(flow), how)
    joint = fuse(rgb_and_flow(flow), how, missing="miss")
    assert joint.items == ["a", "c", "d"]
    score = joint.score
    assert (score.evaluated, score.expected) == (3, 4)
    assert score.missing_sha256 == sha256_json(["b"])
    assert fuse(rgb_and_flow(flow), missing="miss").score.correct == 3


def test_a_video_that_no_stream_has_is_a_miss_as_everywhere() -> None:
    without = {"rgb": {v: c for v, c in RGB.items() if v != "d"}, "flow": {v: c for v, c in FLOW.items() if v != "d"}}
    score = fuse({name: stream(clips) for name, clips in without.items()}).score
    assert (score.correct, score.evaluated, score.expected) == (3, 3, 4)


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (stream({**FLOW, "b": FLOW["b"][:1]}), r"clips from b \(b: 2 in rgb, 1 in flow\)"),
        (stream(FLOW, TRUTH.replace({0: 2})), "disagree about the labels or boxes of a"),
        (stream(FLOW, pd.concat([TRUTH, pd.Series({"e": 0})])), "different items: only one lists e"),
        (stream({**FLOW, "z": [[0, 0, 0]]}), "flow holds predictions that were not asked for: z"),
        (stream(FLOW, pool="logit_mean"), "pool clips by softmax_mean and logit_mean"),
        (stream({v: [c[:2] for c in clips] for v, clips in FLOW.items()}), "have 3 and 2 outputs"),
        (predictions(["a"], np.zeros((2, 3)), TRUTH), "stream flow: 1 clip names for 2 rows"),
    ],
)
def test_streams_that_do_not_belong_together_are_refused(flow: Predictions, message: str) -> None:
    for missing in ("error", "miss"):
        with pytest.raises(FusionError, match=message):
            fuse(rgb_and_flow(flow), missing=missing)


def test_messages_name_five_videos_at_most() -> None:
    names = [f"v{i}" for i in range(9)]
    truth = pd.Series(0, index=names)
    full, short = predictions(names, np.zeros((9, 2)), truth), predictions(["v8"], np.zeros((1, 2)), truth)
    with pytest.raises(FusionError, match="flow lacks v0, v1, v2, v3, v4 and 3 more"):
        fuse({"rgb": full, "flow": short})


def test_nothing_to_fuse_is_an_error() -> None:
    with pytest.raises(FusionError, match="no stream given"):
        fuse({})
    truth = pd.Series([0, 0], index=["a", "b"])
    one, two = predictions(["a"], np.zeros((1, 2)), truth), predictions(["b"], np.zeros((1, 2)), truth)
    with pytest.raises(FusionError, match="no video has a prediction in all of rgb, flow"):
        fuse({"rgb": one, "flow": two}, missing="miss")


def test_gains_of_each_class() -> None:
    streams = rgb_and_flow()
    table = class_gains(streams, fuse(streams), ("sit", "stand", "wave", "jump"))
    assert list(table.columns) == ["class", "videos", "rgb", "flow", "joint", "gain"]
    assert table["class"].tolist() == ["sit", "stand", "wave", "jump"]
    assert table["videos"].tolist() == [1, 2, 1, 0]
    # rgb is right on a and d, flow on b and c, both together on all.
    assert table["rgb"].tolist()[:3] == [1.0, 0.5, 0.0]
    assert table["flow"].tolist()[:3] == [0.0, 0.5, 1.0]
    assert table["joint"].tolist()[:3] == [1.0, 1.0, 1.0]
    assert table["gain"].tolist()[:3] == [0.0, 0.5, 0.0]
    assert table.loc[3, ["rgb", "flow", "joint", "gain"]].isna().all()


def test_missing_videos_lower_the_recall_of_their_class_and_a_loss_is_negative() -> None:
    flow = stream({video: clips for video, clips in FLOW.items() if video != "b"})
    streams = rgb_and_flow(flow)
    table = class_gains(streams, fuse(streams, missing="miss"), "012").set_index("class")
    assert table.loc["1", ["rgb", "flow", "joint", "gain"]].tolist() == [0.5, 0.0, 0.5, 0.0]
    worse = class_gains(streams, flow, "012").set_index("class")
    assert worse.loc["0", ["joint", "gain"]].tolist() == [0.0, -1.0]


def test_gains_need_names_of_all_classes_and_streams_with_names_of_their_own() -> None:
    streams = rgb_and_flow()
    joint = fuse(streams)
    with pytest.raises(FusionError, match=r"outside 0\.\.1"):
        class_gains(streams, joint, ("sit", "stand"))
    with pytest.raises(FusionError, match="found joint"):
        class_gains({"joint": joint}, joint, "012")
    with pytest.raises(FusionError, match="found none"):
        class_gains({}, joint, "012")


BOXES = {"a": {0.1: (0, 2), 0.2: (1,)}, "b": {0.3: (2,)}, "c": {}}
"""Items, the left sides of their boxes, and the classes of each."""


def boxes(outputs: np.ndarray, items: str = "abc", labels: Mapping[str, Any] = BOXES) -> Predictions:
    """Predictions of two boxes an item, the classes of each."""
    rows = [
        {"item": item, "video": item, "label": "ABC"[k], "target": k, "subset": "test", "path": ""}
        | {"x1": left, "y1": 0.0, "x2": 1.0, "y2": 1.0}
        for item, its in labels.items()
        for left, targets in (its or {0.0: (0,)}).items()
        for k in targets
    ]
    index, empty = make_index(rows), [item for item, its in labels.items() if not its]
    index = Index(index.items, index.labels[~index.labels["item"].isin(empty)].reset_index(drop=True))
    return Predictions(list(items), outputs, index, Evaluation(), Detection())


def test_logits_of_boxes_are_added_item_by_item() -> None:
    one, two = np.random.default_rng(0).standard_normal((2, 3, 2, 3))
    joint = fuse({"rgb": boxes(one), "flow": boxes(two[[2, 0, 1]], "cab")})
    assert joint.items == ["a", "b", "c"]
    np.testing.assert_allclose(joint.outputs, one + two)
    # Odds are multiplied: p / (1 - p) is the exponential of a logit.
    odds = [1 / (1 + np.exp(-logits)) for logits in (one, two, joint.outputs)]
    odds = [p / (1 - p) for p in odds]
    np.testing.assert_allclose(odds[2], odds[0] * odds[1])
    assert (joint.score.metric, joint.score.evaluated, joint.score.expected) == ("mAP", 3, 3)
    right = np.zeros((3, 2, 3))
    right[0, 0, [0, 2]] = right[0, 1, 1] = right[1, 0, 2] = 9
    assert fuse({"rgb": boxes(right), "flow": boxes(one)}).score.value == 1


def test_boxes_are_fused_by_their_logits_and_have_no_gains_by_class() -> None:
    found = boxes(np.zeros((3, 2, 3)))
    with pytest.raises(FusionError, match=r"softmax_mean is of classification.*set evaluation.fuse to logit_sum"):
        fuse({"rgb": found, "flow": found}, "softmax_mean")
    with pytest.raises(TaskError, match=r"of classification, .*the recipe's task is detection.*\(mAP\)"):
        class_gains({"rgb": found}, found, "ABC")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (boxes(np.zeros((3, 2, 3)), labels={**BOXES, "b": {0.4: (2,)}}), "disagree about the labels or boxes of b"),
        (
            boxes(np.zeros((3, 2, 3)), labels={**BOXES, "a": {0.2: (1,), 0.1: (0, 2)}}),
            "disagree about the labels or boxes of a",
        ),
        (boxes(np.zeros((3, 2, 3)), labels={**BOXES, "c": {0.5: (0,)}}), "disagree about the labels or boxes of c"),
        (boxes(np.zeros((3, 2, 3)), labels={**BOXES, "d": {}}), "only one lists d"),
        (boxes(np.zeros((3, 4, 3))), "have 2 x 3 and 4 x 3 outputs"),
        (boxes(np.zeros((2, 2, 3)), "ab"), "flow lacks c"),
    ],
)
def test_streams_of_other_boxes_are_refused(other: Predictions, message: str) -> None:
    with pytest.raises(FusionError, match=message):
        fuse({"rgb": boxes(np.zeros((3, 2, 3))), "flow": other})
