"""From an engine and clips to predictions and accuracies: the one way in which every format is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from mindspore import nn

from actionbook.clips.pipeline import batched, centre_table, test_clips, window_table
from actionbook.core import runtime
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json
from actionbook.core.paths import shown
from actionbook.core.workspace import Stage
from actionbook.datasets.index import index_sha256, subset
from actionbook.evaluation.accuracy import Accuracy, topk_accuracy
from actionbook.evaluation.parts import Parts
from actionbook.evaluation.video_level import pool_clips
from actionbook.inference import Engine, NetworkEngine


@dataclass(frozen=True)
class Predictions:
    """Clip logits of a test set, and what follows from them."""

    videos: list[str]
    """The video of every clip, in order."""
    logits: np.ndarray
    """(clips, classes)"""
    truth: pd.Series
    """Class number of every video that should be evaluated, by video, in evaluation order."""
    pool: str = "softmax_mean"

    @property
    def scores(self) -> pd.DataFrame:
        """Video-level scores: rows videos, columns class numbers."""
        return pool_clips(self.videos, self.logits, self.pool)  # type: ignore[arg-type]

    def accuracy(self, k: int = 1, *, skip_last_video: bool = False) -> Accuracy:
        """Top-k accuracy at video level over all expected videos."""
        return topk_accuracy(self.scores, self.truth, k, skip_last_video=skip_last_video)


@lru_cache(maxsize=1)
def _engine(network: nn.Cell, batch: int) -> NetworkEngine:
    """One compilation for all validations and the test of a network; weights are read afresh at every call."""
    return NetworkEngine(network, batch)


def predict(engine: Engine, clips: Iterable[tuple[str, np.ndarray]], batch_size: int) -> tuple[list[str], np.ndarray]:
    """Run clips (video, float32 (C, T, H, W)) through an engine: (video of every clip, logits (clips, classes))."""
    videos: list[str] = []
    logits: list[np.ndarray] = []
    for ids, batch in batched(clips, batch_size):
        videos += ids
        logits.append(engine.run(batch))
    return videos, np.concatenate(logits)


def expected_truth(index: pd.DataFrame) -> pd.Series:
    """Class number of every test video that should be evaluated, missing ones included, in the list's order."""
    return index[index.subset == "test"].set_index("video").target


def predict_test(network: nn.Cell, stage: Stage, index: pd.DataFrame) -> Predictions:
    """All test clips of all test videos of `index`, by the protocol of the stage's recipe, through a network.

    Logits are kept in the workspace, by all that decides them: an evaluation that was interrupted goes on, and one that
    is finished is read. Raises BookError if the number of clips is not the expected one.
    """
    parts = predict_share(network, stage, index)
    logits = parts.read()
    if logits is None:
        raise BookError(f"{shown(parts.folder)}: logits of some clips are missing although all were made; run again")
    return Predictions(parts.table.video.tolist(), logits, expected_truth(index), stage.recipe.evaluation.pool)


def predict_share(network: nn.Cell, stage: Stage, index: pd.DataFrame, rank: int = 0, count: int = 1) -> Parts:
    """Classify the test clips that belong to process `rank` among `count` and are not classified yet.

    Returns where the logits of all of them lie.
    """
    parts = _parts(network, stage, index)
    run = _engine(network, parts.batch).run
    parts.make(run, stage.frame_store, stage.recipe.tested, stage.workers, rank=rank, count=count)
    return parts


def _parts(network: nn.Cell, stage: Stage, index: pd.DataFrame) -> Parts:
    """Where the logits of these clips through this network lie."""
    recipe, batch = stage.recipe, stage.recipe.export.inference_batch
    table = window_table(subset(index, "test"), recipe)
    if not len(table):
        raise BookError("there are no test videos: look at the failures in notebook 01_data")
    weights = _engine(network, batch).sha256
    network_and_clips = [recipe.model.name, recipe.model_options, weights, recipe.tested.model_dump(mode="json")]
    data: list[Any] = [recipe.sha256("data"), index_sha256(index), table.to_dict("split")]
    what = [*network_and_clips, *data, batch, stage.device, runtime.library_sha256()]
    return Parts(stage.folder / "predictions" / sha256_json(what)[:16], table, batch)


def centre_validation(stage: Stage, index: pd.DataFrame) -> Callable[[nn.Cell], dict[str, float]]:
    """What `training.runs.train_runs` calls after every epoch: accuracy over the middle clip of every test video.

    The same figure as the original's prec@1 while training. It is quick and, where a video has several windows, not
    the reported accuracy, which pools all of them.
    """
    test = subset(index, "test")
    table = centre_table(test, stage.recipe.clips)
    batch = stage.recipe.export.inference_batch

    def validate(network: nn.Cell) -> dict[str, float]:
        clips = test_clips(table, stage.frame_store, stage.recipe.clips, stage.workers)
        _, logits = predict(_engine(network, batch), clips, batch)
        return {"centre_clip_top1": round(float((logits.argmax(axis=1) == test.target.to_numpy()).mean()), 6)}

    return validate


def group_accuracy(scores: pd.DataFrame, truth: pd.Series, groups: Iterable[tuple[int, ...]]) -> Accuracy:
    """Top-1 accuracy of choosing only among the classes of the group that the true class belongs to.

    For pairs of classes that are reversals of each other: does the network see the direction of time? Chance is one
    over the size of a group. Videos of classes in no group are left out.
    """
    correct = evaluated = expected = 0
    for group in groups:
        videos = truth.index[truth.isin(group)]
        found = videos.intersection(scores.index, sort=False)
        best = np.asarray(group)[scores.loc[found, list(group)].to_numpy().argmax(axis=1)]
        correct += int((best == truth.loc[found].to_numpy()).sum())
        evaluated, expected = evaluated + len(found), expected + len(videos)
    return Accuracy(1, correct, evaluated, expected)
