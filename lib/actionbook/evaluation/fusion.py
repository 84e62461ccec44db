"""Two-stream fusion: several networks have seen the same items, and one prediction comes out.

Adding logits and averaging probabilities are two different rules. With logits a and b of two streams,

    softmax(a + b)[i]  =  exp(a[i]) exp(b[i]) / sum_j exp(a[j]) exp(b[j])  =  c * softmax(a)[i] * softmax(b)[i]

with one factor c for all classes: the sum of logits ranks classes by the *product* of the streams' probabilities, and a
class that one stream rules out is lost, however sure the other one is. The mean of the softmaxes ranks them by the
*sum*: one sure stream is enough. The paper (arXiv 1705.07750, 2.4) says that predictions are averaged; its program
(deepmind/kinetics-i3d, evaluate_sample.py) adds logits, and so does the Ascend port (eval.py).

Of detection each class of a box has a sigmoid of its own, and the sum of logits multiplies the streams' odds. A softmax
over classes that do not exclude each other has no meaning there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError, some
from actionbook.datasets.index import BOX, Index
from actionbook.tasks import Classification, Predictions
from actionbook.tasks.classification import pooled

How = Literal["logit_sum", "softmax_mean"]

_OWN = ("class", "videos", "joint", "gain")  # columns of the table of gains


class FusionError(BookError):
    """The predictions of two streams do not belong together."""


def fuse(
    streams: Mapping[str, Predictions], how: How = "logit_sum", *, missing: Literal["error", "miss"] = "error"
) -> Predictions:
    """The joint predictions of streams, by name (such as "rgb" and "flow"), with equal weights.

    Rows are paired by the item's identity, and within an item clip by clip: first with first, second with second. The
    order of the rows makes no difference; the result follows the index of the first stream. ``logit_sum`` adds the
    logits, of classes (clips, classes) or of boxes (clips, boxes, classes). ``softmax_mean``, of classification, gives
    the logarithm of the mean probability of each class, whose softmax is that mean.

    All streams must expect the same items with the same labels and boxes, and the result expects them too. An item that
    one stream has predicted and another has not is an error, unless `missing` is "miss": then it is left out of the
    joint predictions and so counts as a miss. Raises FusionError that names the items where the streams disagree.
    """
    first = _first(streams)
    if how != "logit_sum" and not isinstance(first.task, Classification):
        raise FusionError(
            f"{how} is of classification, where one class excludes the others; a box has any number of classes: "
            "set evaluation.fuse to logit_sum"
        )
    rows = {name: _rows(name, found) for name, found in streams.items()}
    common = set.intersection(*(set(found) for found in rows.values()))
    lacking = {name: _missing(rows, name) for name in streams}
    if missing == "error" and any(lacking.values()):
        said = "; ".join(f"{name} lacks {some(videos)}" for name, videos in lacking.items() if videos)
        raise FusionError(
            f"streams hold predictions of different videos: {said}. Evaluate the streams on the same prepared videos, "
            'or pass missing="miss" to count these videos as misses'
        )
    order = [video for video in first.index.items["item"] if video in common]
    if not order:
        raise FusionError(f"no video has a prediction in all of {', '.join(streams)}: nothing can be fused")
    _check_clips(rows, order)
    # In the order of names, so that the last bits do not hang on the order in which streams are given.
    parts = [
        streams[name].outputs[[row for video in order for row in rows[name][video]]].astype(np.float64)
        for name in sorted(streams)
    ]
    joint = np.sum(parts, axis=0) if how == "logit_sum" else _log_mean_softmax(parts)
    videos = [video for video in order for _ in rows[next(iter(streams))][video]]
    return replace(first, items=videos, outputs=joint)


def class_gains(streams: Mapping[str, Predictions], joint: Predictions, names: Sequence[str]) -> pd.DataFrame:
    """What fusion does to each class: one row each, in class order. Of classification.

    Columns: ``class`` (its name), ``videos`` (expected), one with each stream's name and ``joint`` (recall, 0..1: a
    video without a prediction is a miss), and ``gain``, the joint's recall less that of the stream which is best *for
    this class*. No single stream has all of these bests, so the mean of the gains is less than the gain in accuracy. A
    class without videos has no recall (NaN). Raises FusionError where the videos' classes and names, or the streams'
    names and the columns, do not fit, and TaskError for predictions of another task.
    """
    taken = sorted(set(streams) & set(_OWN))
    if not streams or taken:
        raise FusionError(
            f"expected streams with names other than {', '.join(_OWN)}; found {', '.join(taken) or 'none'}"
        )
    winners = {name: pooled(found).idxmax(axis=1) for name, found in {**streams, "joint": joint}.items()}
    truth = joint.index.truth
    counts = truth.value_counts().reindex(range(len(names)), fill_value=0)
    if counts.sum() != len(truth):
        raise FusionError(f"videos have class numbers outside 0..{len(names) - 1}: give the names of all classes")
    recalls = {name: _recall(found, truth, counts) for name, found in winners.items()}
    table = pd.DataFrame({"class": list(names), "videos": counts.to_numpy(), **recalls})
    table["gain"] = table["joint"] - table[list(streams)].max(axis=1)
    return table


def _first(streams: Mapping[str, Predictions]) -> Predictions:
    """The first stream, after comparing it with the others: pooling, sizes of outputs, items expected, their labels."""
    if not streams:
        raise FusionError("no stream given: expected at least one, such as {'rgb': ..., 'flow': ...}")
    (name, first), *others = streams.items()
    for other_name, other in others:
        both = f"streams {name} and {other_name}"
        if other.evaluation.pool != first.evaluation.pool:
            raise FusionError(
                f"{both} pool clips by {first.evaluation.pool} and {other.evaluation.pool}: "
                "give both streams one evaluation.pool"
            )
        sizes = [" x ".join(map(str, one.outputs.shape[1:])) for one in (first, other)]
        if sizes[0] != sizes[1]:
            raise FusionError(f"{both} have {sizes[0]} and {sizes[1]} outputs a sample (classes, or boxes x classes)")
        mine, theirs = _labels(first.index), _labels(other.index)
        alone = [item for item in {**mine, **theirs} if (item in mine) != (item in theirs)]
        if alone:
            raise FusionError(
                f"{both} should evaluate different items: only one lists {some(alone)}. Use one index for both"
            )
        wrong = [item for item, labels in mine.items() if labels != theirs[item]]
        if wrong:
            raise FusionError(f"{both} disagree about the labels or boxes of {some(wrong)}. Use one index for both")
    return first


def _labels(index: Index) -> dict[str, list[tuple[float, ...]]]:
    """Class numbers and boxes of each item, in order: that of an item's boxes is that of the outputs.

    Boxes that a detector has found follow them, as boxes without a class.
    """
    found: dict[str, list[tuple[float, ...]]] = {item: [] for item in index.items["item"]}
    rows = index.labels if index.boxes is None else pd.concat([index.labels, index.boxes])
    for item, *label in rows[["item", "target", *BOX]].fillna(-1).itertuples(index=False):
        found[item].append(tuple(label))
    return found


def _rows(name: str, found: Predictions) -> dict[str, list[int]]:
    """Rows of the logits of each video."""
    if len(found.items) != len(found.outputs):
        raise FusionError(f"stream {name}: {len(found.items)} clip names for {len(found.outputs)} rows of logits")
    rows: dict[str, list[int]] = {}
    for row, video in enumerate(found.items):
        rows.setdefault(video, []).append(row)
    known = set(found.index.items["item"])
    strangers = [video for video in rows if video not in known]
    if strangers:
        raise FusionError(f"stream {name} holds predictions that were not asked for: {some(strangers)}")
    return rows


def _missing(rows: Mapping[str, Mapping[str, list[int]]], name: str) -> list[str]:
    """Videos that another stream has predicted and this one has not, sorted."""
    return sorted({video for found in rows.values() for video in found} - set(rows[name]))


def _check_clips(rows: Mapping[str, Mapping[str, list[int]]], videos: Iterable[str]) -> None:
    wrong = [video for video in videos if len({len(found[video]) for found in rows.values()}) > 1]
    if wrong:
        counts = ", ".join(f"{len(found[wrong[0]])} in {name}" for name, found in rows.items())
        raise FusionError(
            f"streams cut different numbers of clips from {some(wrong)} ({wrong[0]}: {counts}). "
            "Give both streams the same sampling, and prepare flow from the same frames"
        )


def _log_mean_softmax(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Logarithm of the mean of the softmaxes, finite also where a probability is too small for a float."""
    logs = [part - np.logaddexp.reduce(part, axis=1, keepdims=True) for part in parts]
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - np.log(len(logs)))


def _recall(winners: pd.Series, truth: pd.Series, counts: pd.Series) -> np.ndarray:
    right = truth.loc[winners.index][winners.to_numpy() == truth.loc[winners.index].to_numpy()]
    hits = right.value_counts().reindex(counts.index, fill_value=0).to_numpy()
    return np.divide(hits, counts.to_numpy(), out=np.full(len(counts), np.nan), where=counts.to_numpy() > 0)
