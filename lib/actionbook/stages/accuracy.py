"""Stage 05: every format of every stream scored, the streams together, and what was right and wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd

from actionbook.core import cores
from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.recipe import JOINT, Recipe
from actionbook.core.record import read_record
from actionbook.core.score import QUIRK, Score
from actionbook.core.sections import Detection
from actionbook.core.spec import IMAGE, Arrays
from actionbook.core.stage_results import AccuracyResults, AccuracyRow
from actionbook.core.transforms import Transforms
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of, store_path
from actionbook.datasets.index import Index
from actionbook.evaluation.checkpoints import evaluate_checkpoints
from actionbook.evaluation.compare import read_formats
from actionbook.evaluation.fusion import class_gains, fuse
from actionbook.evaluation.predict import (
    engine_of,
    missing_rule,
    predict_test,
    predictions,
    run_samples,
    tested_samples,
    without_clip,
)
from actionbook.inference import NetworkEngine, read_batches
from actionbook.stages.conversion import fuse_formats
from actionbook.stages.data import partial_copy, warn_of_partial_copy
from actionbook.stages.strips import Strip, counted
from actionbook.tasks import Predictions
from actionbook.tasks.classification import Classification, pooled, topk
from actionbook.training.runs import finished_run, trained_network
from actionbook.video.frame_folder import open_frames

LAST_VIDEO = f"top1, {QUIRK}"
"""The metric of the original's quirk, see `topk`."""
_BEST = ("OM", "ONNX", "network")
"""Whose predictions are looked at: the first of these that there is."""


@dataclass(frozen=True)
class Scored:
    """Predictions and scores of a stage."""

    stage: Stage
    index: Index
    found: Mapping[tuple[str, str], Predictions]
    """By stream ("joint" among them) and format."""
    rests_on: Mapping[str, str]
    """Digests of what the chosen streams' conversion was made from."""

    @property
    def streams(self) -> list[str]:
        """Names of the streams, "joint" last where there is one."""
        return list(dict.fromkeys(stream for stream, _ in self.found))

    @cached_property
    def without_clip(self) -> dict[str, str]:
        """Test items that have no clip in some stream, with the reason: they count as misses."""
        found: dict[str, str] = {}
        for stream in self.stage.streams.values():
            found = without_clip(stream, self.index) | found
        return found

    @property
    def missing(self) -> int:
        """How many test items have no clip: they count as misses."""
        return len(self.without_clip)

    @property
    def rows(self) -> tuple[AccuracyRow, ...]:
        """All scores, see `accuracy_rows`."""
        return accuracy_rows(self.found)

    def table(self, *formats: str) -> pd.DataFrame:
        """One row a stream and format (None named: all): the scores, N evaluated and N expected.

        Where these differ, a column more: the first score over those evaluated, which is not the result.
        """
        table = pd.DataFrame(
            {
                "stream": row.stream,
                "format": row.format,
                **{score.metric: score.value for score in row.scores if score.metric != LAST_VIDEO},
                "correct": row.scores[0].correct,
                "N evaluated": row.scores[0].evaluated,
                "N expected": row.scores[0].expected,
                "of those evaluated": None if row.scores[0].complete else row.scores[0].of_evaluated,
            }
            for row in self.rows
            if not formats or row.format in formats
        )
        partial = any(not row.scores[0].complete for row in self.rows)
        return table if partial else table.drop(columns="of those evaluated", errors="ignore")

    def best(self, stream: str | None = None) -> Predictions:
        """The predictions to look at, of a stream or of the last one: those of OM, else ONNX, else the network."""
        own = {kind: found for (name, kind), found in self.found.items() if name == (stream or self.streams[-1])}
        return next(own[kind] for kind in (*_BEST, *own) if kind in own)

    def finish(self) -> AccuracyResults:
        """Write the record: scores, protocols, what is missing, and the published figures that are aimed at."""
        stage = self.stage
        recipes = {name: stream.recipe for name, stream in stage.streams.items()}
        protocols = protocols_of(stage.recipe, recipes)
        published = {name: recipe.published for name, recipe in recipes.items()}
        if JOINT in self.streams:
            published[JOINT] = stage.recipe.published
        if lacks := partial_copy(dataset_of(stage.first), self.index):
            protocols = {name: f"{text}; {lacks}" for name, text in protocols.items()}
        results = AccuracyResults(scores=self.rows, protocols=protocols, missing=self.missing, published=published)
        stage.finish(results, self.rests_on)
        return results


_FUSED = {"logit_sum": "sum of the streams' logits", "softmax_mean": "mean of the streams' softmax"}


def protocols_of(whole: Recipe, streams: Mapping[str, Recipe]) -> dict[str, str]:
    """How every stream is measured, see `protocol`; of several streams all of them together, too."""
    protocols = {name: protocol(recipe) for name, recipe in streams.items()}
    if len(streams) > 1:
        protocols[JOINT] = f"{protocol(whole)}, {_FUSED[whole.evaluation.fuse]}"
    return protocols


def score(stage: Stage) -> Scored:
    """Score every format of every chosen stream from the results that stage 04 has stored, and the streams together.

    Raises BookError where stage 04 has not run for a stream, or not on the training, batches and recipe that are there
    now.
    """
    stage.require("04_conversion", "data", "sampling", "transforms", "model", "export")
    stage.set_device()
    converted = read_record(stage.workspace).stages["04_conversion"].rests_on
    by_stream: dict[str, dict[str, Predictions]] = {}
    notebook = f"notebooks/{stage.recipe.chapter}/04_conversion.ipynb"
    if lacking := [name for name in stage.streams if f"{name}.network" not in converted]:
        raise BookError(f"the record of stage 04 does not hold {', '.join(lacking)}: run {notebook} for it")
    for name, stream in stage.streams.items():
        index, batches = dataset_of(stream).index(), read_batches(stream.folder / "batches")
        network = NetworkEngine(trained_network(stream)).sha256
        if (converted.get(f"{name}.network"), converted.get(f"{name}.samples")) != (network, batches.sha256):
            raise BookError(f"stage 04 ran with another training or other samples of {name}: run {notebook} again")
        by_stream[name], _ = read_formats(stream.folder / "results", batches, partial(predictions, stream, index))
    index = dataset_of(stage.first).index()
    warn_of_partial_copy(dataset_of(stage.first), index)
    found = {(name, kind): one for name, its in by_stream.items() for kind, one in its.items()}
    if len(by_stream) > 1:
        missing = missing_rule(stage.streams, index)
        both = fuse_formats(by_stream, stage.recipe.evaluation.fuse, missing=missing)
        found |= {(JOINT, kind): one for kind, one in both.items()}
    own = {key: digest for key, digest in converted.items() if key.partition(".")[0] in stage.streams}
    return Scored(stage, index, found, {**own, "index": index.sha256})


def accuracy_rows(found: Mapping[tuple[str, str], Predictions]) -> tuple[AccuracyRow, ...]:
    """All scores by stream and format; of classification with the original's way of counting the last video beside."""
    return tuple(
        AccuracyRow(stream=stream, format=kind, scores=(*one.scores, *_without_last(one)))
        for (stream, kind), one in found.items()
    )


def _without_last(found: Predictions) -> tuple[Score, ...]:
    if not isinstance(found.task, Classification):
        return ()
    score = topk(pooled(found), found.index.truth, 1, skip_last_video=True)
    return (score.model_copy(update={"metric": LAST_VIDEO}),)


def lengths(stage: Stage) -> pd.DataFrame:
    """The main score with tested clips of other numbers of frames (``evaluation.compare_frames``).

    Rows are numbers of frames, columns the streams, and "joint" where there are several.
    """
    found: dict[tuple[int, str], Predictions] = {}
    with cores.busy():
        for name, stream in stage.streams.items():
            network, index = trained_network(stream), dataset_of(stream).index()
            for frames in (stream.recipe.sampling.tested, *stream.recipe.evaluation.compare_frames):
                other = replace(stream, recipe=stream.recipe.with_test_frames(frames))
                found[frames, name] = predict_test(network, other, index)
    table = pd.Series({key: one.score.value for key, one in found.items()}).unstack()
    if len(stage.streams) > 1:
        how, missing = stage.recipe.evaluation.fuse, missing_rule(stage.streams, dataset_of(stage.first).index())
        both = ({name: found[frames, name] for name in stage.streams} for frames in table.index)
        table[JOINT] = [fuse(one, how, missing=missing).score.value for one in both]
    return table.rename_axis(index="frames", columns="stream")


def rearranged(
    stage: Stage, changes: Mapping[str, Callable[[np.ndarray], np.ndarray]], most: int = 500, *, what: str = IMAGE
) -> pd.DataFrame:
    """The trained network's scores on tested samples of which one input is changed: what does a mistake cost?

    `changes` take the input named by `what`, clips float32 (N, C, T, H, W) or boxes (N, M, 4), and return an array of
    that shape. Rows are the changes, columns the main score and the accuracy within each kind of the manifest's class
    groups (`Task.within_groups`). Of about `most` tested samples, spread over the list, and of those alone. For a
    recipe of one stream.
    """
    network, index = trained_network(stage), dataset_of(stage).index()
    samples, batch = tested_samples(stage, index), stage.recipe.export.inference_batch
    spec = stage.recipe.spec(samples.classes)
    engine = engine_of(network, spec, batch)

    def run(inputs: Arrays) -> np.ndarray:
        """(N, changes, classes)"""
        changed = (np.ascontiguousarray(change(inputs[what])) for change in changes.values())
        return np.stack([engine.run({**inputs, what: one}) for one in changed], axis=1)

    with cores.busy():
        few = samples.tests.iloc[:: -(-len(samples.tests) // most)]
        items, outputs = run_samples(run, samples, few, batch, stage.workers)
    index = index.with_items(index.items[index.items["item"].isin(set(items))].reset_index(drop=True))
    rows = {}
    for number, change in enumerate(changes):
        found = predictions(stage, index, items, outputs[:, number])
        scores = {found.score.metric: found.score}
        scores |= {
            kind: found.task.within_groups(found, stage.manifest.groups(kind)) for kind in stage.manifest.class_groups
        }
        rows[change] = {key: score.value for key, score in scores.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def kept_checkpoints(stage: Stage) -> pd.DataFrame:
    """The main score of every checkpoint that the main run of each stream has kept, see `evaluate_checkpoints`."""
    tables = {}
    with cores.busy():
        for name, stream in stage.streams.items():
            index = dataset_of(stream).index()
            predict = partial(predict_test, stage=stream, index=index)
            tables[name] = evaluate_checkpoints(trained_network(stream), finished_run(stream), predict)
    return pd.concat(tables, names=["stream"]).reset_index(level=0)


def right_and_wrong(scored: Scored, count: int = 3, frames: int = 16) -> list[Strip]:
    """First frames of a few videos that were right, then of a few that were wrong; the title is what was said.

    For `results.film.film_strip`. Of the first stream's frames. Raises TaskError where the task is not classification.
    """
    best, stage = scored.best(), scored.stage.first
    guess, truth = pooled(best).idxmax(axis=1), best.index.truth
    test = scored.index.subset("test").table.set_index("item")
    one_each = test.loc[guess.index].groupby("label", sort=False).head(3).index  # a few of every class, in list order
    right = [item for item in one_each[::3] if guess[item] == truth[item]][:count]
    wrong = [item for item in guess.index if guess[item] != truth[item]]
    wrong = wrong[:: max(1, len(wrong) // count)][:count]
    classes = stage.manifest.classes
    rows = []
    for item in right + wrong:
        said = "right" if item in right else f"taken for {classes[guess[item]]}"
        rows.append(first_frames(stage, f"{test.label[item]}: {said}", test.store[item], frames))
    return rows


def first_frames(stage: Stage, title: str, store: str, frames: int = 16) -> Strip:
    """Every second one of a video's first frames in colour, uint8 (T, H, W, 3)."""
    with open_frames(store_path(dataset_of(stage).colour_store, store)) as opened:
        numbers = range(0, min(frames, len(opened)), 2)
        return Strip(title, np.stack(opened.read(numbers)), counted(numbers))


def protocol(recipe: Recipe, split: int | None = None) -> str:
    """One line that says how a score was measured; stands beside every number."""
    sampling, transforms, evaluation = recipe.sampling, recipe.transforms, recipe.evaluation
    manifest = load_dataset(recipe.data.manifest)
    boxes = recipe.task.boxes if isinstance(recipe.task, Detection) else 0
    pooled_by = {"softmax_mean": "mean of softmax", "logit_mean": "mean of logits"}[evaluation.pool]
    parts = [
        f"{manifest.name} split {split or recipe.data.split}",
        _asked(recipe, manifest, boxes) if boxes else "video level",
        *(["optical flow"] if transforms.modality == "flow" else []),
        sampling.tested_clips,
        *_tested_frames(transforms),
        "mean of sigmoid" if boxes else pooled_by,
        *(["last video not scored"] if evaluation.skip_last_video and not boxes else []),
    ]
    return ", ".join(parts)


def _asked(recipe: Recipe, manifest: DatasetManifest, boxes: int) -> str:
    """Which boxes of an item are scored, at most `boxes`."""
    settings = recipe.data.boxes
    if settings.test == "detected" and manifest.keyframes and manifest.keyframes.detected.test:
        return f"up to {boxes} an item of the detector's boxes of a score of at least {settings.min_score:g}"
    return f"up to {boxes} given boxes an item"


def _tested_frames(transforms: Transforms) -> list[str]:
    """What becomes of the frames of a tested clip, in words."""
    size = {transforms.height, transforms.width}
    if transforms.test_size:
        room = "{} x {}".format(*transforms.test_size)
        return ["whole frames", f"short side {transforms.short_side}", f"at the top left of {room}"]
    if transforms.box:
        scaled = "scaled to {} x {}".format(*transforms.box)
    elif transforms.keep_aspect:
        scaled = f"short side {transforms.short_side or min(size)}"
    else:
        scaled = f"scaled to {transforms.short_side or transforms.height} x {transforms.short_side or transforms.width}"
    crop = transforms.height if len(size) == 1 else f"{transforms.height} x {transforms.width}"
    return ["1 centre crop", scaled, f"crop {crop}"]


def one_stream_wrong(scored: Scored, count: int = 6, frames: int = 16) -> list[Strip]:
    """First frames of videos that all streams together get right, and just one gets wrong; the title is what it said.

    One of each class and stream, for `results.film.film_strip`; none where there is a single stream. Raises TaskError
    where the task is not classification.
    """
    names = [name for name in scored.streams if name != JOINT]
    if JOINT not in scored.streams:
        return []
    guess = {name: pooled(scored.best(name)).idxmax(axis=1) for name in scored.streams}
    table, classes = scored.index.subset("test").table.set_index("item"), scored.stage.manifest.classes
    seen: dict[tuple[str, str], Strip] = {}
    rows = zip(map(str, table.index), map(str, table.label), map(str, table.store), table.target, strict=True)
    for item, label, store, target in rows:
        wrong = [name for name in names if guess[name].get(item) != target]
        if guess[JOINT].get(item) == target and len(wrong) == 1 and len(seen) < count:
            said = f"{label}: {wrong[0]} says {classes[guess[wrong[0]][item]]}"
            seen.setdefault((label, wrong[0]), first_frames(scored.stage.first, said, store, frames))
    return list(seen.values())


def gains(scored: Scored) -> pd.DataFrame:
    """What fusion does to each class, see `evaluation.fusion.class_gains`; a single stream is set beside itself.

    Raises TaskError where the task is not classification.
    """
    streams = {name: scored.best(name) for name in scored.streams}
    joint = streams.pop(JOINT, scored.best())
    return class_gains(streams, joint, scored.stage.manifest.classes)
