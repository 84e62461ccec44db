"""Stage 03: all trainings of all streams, their scores, and the streams together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from actionbook.core.files import sha256_file, sha256_json
from actionbook.core.manifest import DatasetManifest
from actionbook.core.recipe import JOINT
from actionbook.core.score import WITHIN_GROUPS, metric_title
from actionbook.core.sections import Detection
from actionbook.core.stage_results import Claim, FusedRow, ModelRow, TrainingResults, TrainingRow
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.evaluation.fusion import fuse
from actionbook.evaluation.predict import centre_validation, missing_rule, predict_test
from actionbook.models.profile import layer_table
from actionbook.stages.data import ORDERED, data_sets, warn_of_partial_copy
from actionbook.tasks import Predictions, task_of
from actionbook.training.jobs import side_by_side, train_side_by_side
from actionbook.training.runs import TrainedRun, train_runs


@dataclass(frozen=True)
class Trainings:
    """Every training of a stage."""

    stage: Stage
    rows: tuple[TrainingRow, ...]
    logs: Mapping[str, pd.DataFrame]
    """By "run, seed n"; with several streams "stream: run, seed n"."""
    predictions: Mapping[tuple[str, str, int], Predictions]
    """Of the test set, by stream, run and seed."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a training: stream, run, seed, data, epochs, loss, value (its task's main score), others, costs."""
        return pd.DataFrame(
            {
                **row.model_dump(include={"stream", "run", "seed", "data", "epochs", "loss"}),
                "value": row.score.value,
                **{score.metric: score.value for score in row.further},
                **row.model_dump(include={"parameters", "macs", "seconds", "data_wait"}),
            }
            for row in self.rows
        )

    @property
    def metric(self) -> str:
        """The main score of the recipe's own task; a run on other data may have another one."""
        return task_of(self.stage.recipe.task).main

    @property
    def repeated(self) -> pd.DataFrame:
        """The table's rows of runs with several seeds, on the recipe's task; all of them where there is no such run."""
        table = self.table[[row.score.metric == self.metric for row in self.rows]]
        several = table[table.duplicated(["stream", "run"], keep=False)]
        return several if len(several) else table

    @property
    def spread(self) -> pd.DataFrame:
        """Of the repeated runs, for people: how many seeds, and mean ± standard deviation of each score."""
        further = [score.metric for row in self.rows if row.score.metric == self.metric for score in row.further]
        scores = {self.metric: "value"} | {metric: metric for metric in further}
        groups = self.repeated.groupby(["stream", "run"] if len(self.stage.streams) > 1 else "run", sort=False)
        table = pd.DataFrame({"seeds": groups.size()})
        for metric, column in scores.items():
            table[metric_title(metric)] = groups[column].agg(mean_and_spread)
        return table

    @property
    def by_run(self) -> pd.DataFrame:
        """One row a run, for people: how many seeds, means over them, and mean ± standard deviation of the main score.

        Loss is that of the last epoch, in nats; seconds are of one training; data_wait is the share of the time in
        which the network waited for clips. Stream and data are left out where all rows have the same. A run with
        another task has its score in a column of its own.
        """
        keys = ["stream", "run"]
        table = self.table.astype({"loss": float, "data_wait": float})  # None where nothing was trained
        groups = table.groupby(keys, sort=False)
        rows = pd.DataFrame(
            {"seeds": groups.size(), "data": groups["data"].first(), "epochs": groups["epochs"].first()}
        )
        rows["loss"] = groups["loss"].mean()
        metrics = pd.Series([row.score.metric for row in self.rows])
        for metric in dict.fromkeys(metrics):
            own = table.assign(value=table["value"].where(metrics == metric))
            rows[metric_title(metric)] = own.groupby(keys, sort=False)["value"].agg(mean_and_spread)
        rows["seconds"], rows["data_wait"] = groups["seconds"].mean(), groups["data_wait"].mean()
        rows = rows.reset_index()
        return rows.drop(columns=[name for name in ("stream", "data") if rows[name].nunique() == 1])

    @property
    def seeds(self) -> dict[str, Any]:
        """What `seeds_plot` takes: accuracy within classes of one group (`ORDERED`), if any, else the main score.

        The main score of detection has no level of chance: that depends on how often each class occurs.
        """
        values, manifest, kind = self.repeated, self.stage.manifest, ordered_kind(self.stage.manifest)
        if kind is not None:
            values, size = values.assign(value=values[WITHIN_GROUPS]), len(manifest.groups(kind)[0])
            right = "right" if isinstance(self.stage.recipe.task, Detection) else "top-1"
            return {"values": values, "chance": 1 / size, "ylabel": f"{right} within {ORDERED[kind]}"}
        if isinstance(self.stage.recipe.task, Detection):
            return {"values": values, "ylabel": metric_title(self.metric)}
        return {"values": values, "chance": 1 / len(manifest.classes)}

    def curves(self, *leave_out: str) -> dict[str, pd.DataFrame]:
        """The logs of runs with several seeds, to be drawn, without the runs named in `leave_out`."""
        names = set(self.repeated.run) - set(leave_out)
        return {
            name: log for name, log in self.logs.items() if len(log) and name.split(", ")[0].split(": ")[-1] in names
        }

    def mean(self, run: str, column: str = "value", stream: str | None = None) -> float | None:
        """The mean over a run's seeds of a column of the table; None where there is no such run or figure."""
        table = self.table
        mine = table[(table.run == run) & ((table.stream == stream) if stream else True)]
        values = mine[column].dropna() if column in mine else mine.iloc[:0, 0]
        return float(values.mean()) if len(values) else None

    def after(self, epoch: int) -> pd.DataFrame:
        """What the logs say of one epoch: columns run, seed, loss and value, a row for each training that came so far.

        `loss` is the mean of the epoch, in nats, `value` the main score in the validation, NaN where there was none.
        """
        column, rows = f"centre_clip_{self.metric}", []
        for row, log in zip(self.rows, self.logs.values(), strict=True):
            for _, at in log[log.epoch == epoch].iterrows():
                rows.append((row.run, row.seed, float(at.loss), float(at.get(column, np.nan))))
        return pd.DataFrame(rows, columns=["run", "seed", "loss", "value"])

    def within(self, kind: str) -> pd.DataFrame:
        """Accuracy within the groups of classes that the manifest calls `kind`, of which the true one is known.

        Columns run, seed, value and expected (videos, or boxes, of these classes), a row for each training on data that
        has such classes; see `Task.within_groups`. Raises BookError for a kind that the recipe's own manifest does not
        name.
        """
        self.stage.manifest.groups(kind)
        manifests = {
            (name, run.name): stream.for_run(run).manifest
            for name, stream in self.stage.streams.items()
            for run in stream.recipe.training.runs
        }
        scores = {
            key: found.task.within_groups(found, manifests[key[:2]].groups(kind))
            for key, found in self.predictions.items()
            if kind in manifests[key[:2]].class_groups
        }
        rows = [(run, seed, score.value, score.expected) for (_, run, seed), score in scores.items()]
        return pd.DataFrame(rows, columns=["run", "seed", "value", "expected"])

    @cached_property
    def fused(self) -> tuple[FusedRow, ...]:
        """The streams together, for each seed of the main run that all of them have; none for a single stream."""
        streams = self.stage.streams
        if len(streams) < 2:
            return ()
        mains = {name: stage.recipe.main_run for name, stage in streams.items()}
        seeds = set.intersection(*(set(run.seeds) for run in mains.values()))
        rows, missing = [], missing_rule(streams, dataset_of(self.stage.first).index())
        for seed in sorted(seeds):
            found = {name: self.predictions[name, run.name, seed] for name, run in mains.items()}
            both = fuse(found, self.stage.recipe.evaluation.fuse, missing=missing)
            scores = {name: one.score.value for name, one in found.items()}
            rows.append(FusedRow(seed=seed, values={**scores, JOINT: both.score.value}, score=both.score))
        return tuple(rows)

    @property
    def fused_table(self) -> pd.DataFrame:
        """One row a seed: each stream's score and that of both together."""
        rows = [{"seed": row.seed, **row.values} for row in self.fused]
        return pd.DataFrame(rows, columns=["seed", *self.stage.streams, JOINT])

    def finish(self, learns: Iterable[Claim]) -> TrainingResults:
        """Write the record: trainings, the networks that go on to conversion, and what was claimed."""
        models, rests_on = {}, {"index": dataset_of(self.stage).index().sha256}
        for name, stage in self.stage.streams.items():
            main = [row for row in self.rows if (row.stream, row.run) == (name, stage.recipe.main_run.name)]
            digests = [sha256_file(self.stage.workspace / row.folder / "network.ckpt") for row in main]
            models[name] = ModelRow(folder=main[0].folder, sha256=digests[0])
            rests_on |= {f"{name}.checkpoint": digests[0], f"{name}.seeds": sha256_json(digests)}
        results = TrainingResults(runs=self.rows, models=models, fused=self.fused, learns=tuple(learns))
        self.stage.finish(results, rests_on)
        return results


def mean_and_spread(values: pd.Series) -> str:
    """For people: the mean, and ± the standard deviation where there are several; nothing where there are none."""
    values = values.dropna()
    if not len(values):
        return ""
    # Spaces at which no line is broken.
    return f"{values.mean():.3f}\u00a0±\u00a0{values.std():.3f}" if len(values) > 1 else f"{values.mean():.3f}"


def ordered_kind(manifest: DatasetManifest) -> str | None:
    """The first of `ORDERED` that the manifest names groups of."""
    return next((kind for kind in ORDERED if kind in manifest.class_groups), None)


def order_claims(
    trainings: Trainings,
    clips: str = "clip",
    frames: str = "one_frame",
    words: tuple[str, str] = ("clips tell reversed classes apart", "single frames do not"),
    kind: str | None = None,
) -> tuple[Claim, ...]:
    """That one run tells classes apart which differ by the order of time alone, and another does not.

    `clips` and `frames` are the runs, `words` what is claimed of them, `kind` the manifest's groups of classes (None:
    the first of `ORDERED`). Within four, and within three, standard deviations of a coin thrown for every video or
    box. None where a run is missing, or where the manifest names no such classes.
    """
    kind = kind or ordered_kind(trainings.stage.manifest)
    if kind is None:
        return ()
    table = trainings.within(kind)
    means, counts = table.groupby("run").value.mean(), table.groupby("run").expected.max()
    moving, still, expected = means.get(clips), means.get(frames), int(counts.get(clips, 0))
    if moving is None or still is None or not expected:
        return ()
    coin = (0.25 / expected) ** 0.5
    what = "boxes" if isinstance(trainings.stage.recipe.task, Detection) else "videos"
    of = f"of {expected} {what}, mean of seeds; a coin: 0.5 ± {coin:.3f}"
    return (
        Claim(claim=words[0], holds=bool(moving > 0.5 + 4 * coin), shown=f"{moving:.3f} {of}"),
        Claim(claim=words[1], holds=bool(abs(still - 0.5) < 3 * coin), shown=f"{still:.3f} {of}"),
    )


def train(stage: Stage) -> Trainings:
    """Train every run with every seed of every chosen stream, and test each.

    What is finished is loaded, what was interrupted goes on. Raises BookError where stage 01 has not prepared the data.
    """
    stage.require("01_data", "data")
    for dataset in data_sets(stage).values():
        warn_of_partial_copy(dataset, dataset.index())
    stage.set_device()
    rows: list[TrainingRow] = []
    logs: dict[str, pd.DataFrame] = {}
    predictions: dict[tuple[str, str, int], Predictions] = {}
    several = len(stage.streams) > 1
    cost = _Cost()
    with stage.timed("train"):
        if side_by_side(stage):
            train_side_by_side(stage)
        for name, stream in stage.streams.items():
            for trained in train_runs(stream, centre_validation):
                found = predict_test(trained.network, trained.stage, trained.index)
                predictions[name, trained.run, trained.seed] = found
                logs[f"{f'{name}: ' if several else ''}{trained.run}, seed {trained.seed}"] = trained.log
                rows.append(_row(name, trained, found, stage, cost.of(trained)))
    return Trainings(stage, tuple(rows), logs, predictions)


class _Cost:
    """Parameters and multiply-accumulates of networks, counted once for all that have one structure."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def of(self, trained: TrainedRun) -> tuple[int, int]:
        """(parameters, MACs of one tested sample)."""
        recipe, classes = trained.stage.recipe, len(trained.stage.manifest.classes)
        spec = recipe.spec(classes)
        structure = sha256_json([recipe.model.model_dump(), spec.as_dict(), classes])
        if structure not in self._known:
            layers = layer_table(trained.network, spec)
            self._known[structure] = int(layers.parameters.sum()), int(layers.macs.sum())
        return self._known[structure]


def _row(stream: str, trained: TrainedRun, found: Predictions, stage: Stage, cost: tuple[int, int]) -> TrainingRow:
    manifest, log = trained.stage.manifest, trained.log
    kind = ordered_kind(manifest)
    pairs = manifest.groups(kind) if kind else ()
    main, *others = found.scores
    return TrainingRow(
        stream=stream,
        run=trained.run,
        seed=trained.seed,
        data=manifest.name,
        folder=trained.folder.relative_to(stage.workspace).as_posix(),
        epochs=len(log),
        seconds=round(float(log.seconds.sum()), 1),
        data_wait=round(float(log.data_wait.mean()), 4) if len(log) else None,
        loss=float(log.loss.iloc[-1]) if len(log) else None,
        parameters=cost[0],
        macs=cost[1],
        score=main,
        further=(*others, *([found.task.within_groups(found, pairs)] if pairs else [])),
        rests_on={key: str(value) for key, value in trained.rests_on.items()},
    )


def better_claims(trainings: Trainings, better: str, than: Mapping[str, str]) -> tuple[Claim, ...]:
    """That the mean main score of the run `better` is above that of other runs, by more than chance would have it.

    `than` has what is claimed by the name of the other run. It holds where the means differ by more than twice the
    standard error that the spread of the seeds gives the difference. None where a run is missing or has one seed.
    """
    values = _by_run(trainings.table.value, trainings.table.run)
    return tuple(
        Claim(claim=claim, **_above(values[better], values[other], "means of seeds"))
        for other, claim in than.items()
        if better in values and other in values
    )


def head_start_claims(trainings: Trainings, tuned: str, scratch: str, claim: str) -> tuple[Claim, ...]:
    """That the run `tuned` has a lower training loss in its first epoch than `scratch`.

    By more than chance would have it, as `better_claims`. None where a run is missing or has one seed.
    """
    logged = trainings.after(1)
    losses = _by_run(logged.loss, logged.run)
    if tuned not in losses or scratch not in losses:
        return ()
    of = "training loss of the first epoch, means of seeds"
    return (Claim(claim=claim, **_above(losses[tuned], losses[scratch], of, lower=True)),)


def _by_run(values: pd.Series, runs: pd.Series) -> dict[str, pd.Series]:
    """The values of each run that has several."""
    return {str(run): rows for run, rows in values.groupby(runs) if len(rows) > 1}


def _above(first: pd.Series, second: pd.Series, of: str, *, lower: bool = False) -> dict[str, Any]:
    """Whether the first mean is above the second, or with `lower` below it, by more than two standard errors."""
    error = (first.var() / len(first) + second.var() / len(second)) ** 0.5
    difference = (first.mean() - second.mean()) * (-1 if lower else 1)
    shown = f"{first.mean():.3f} against {second.mean():.3f}, {of}; standard error {error:.3f}"
    return {"holds": bool(difference > 2 * error), "shown": shown}


def stream_claims(trainings: Trainings, tuned: str = "finetune", scratch: str = "scratch") -> tuple[Claim, ...]:
    """That each stream gains from what was learned on other videos, and that all streams together are no worse than
    the best one. None where a run is missing, or of a single stream the second."""
    claims = []
    for stream in trainings.stage.chosen:
        with_it, without = (trainings.mean(run, stream=stream) for run in (tuned, scratch))
        if with_it is not None and without is not None:
            shown = f"{with_it:.3f} against {without:.3f} from scratch, mean of seeds"
            claim = f"{stream}: what was learned on other videos helps"
            claims.append(Claim(claim=claim, holds=with_it > without, shown=shown, stream=stream))
    joint = trainings.fused_table
    if len(joint) > 1:
        means, spread = joint.drop(columns="seed").mean(), joint[JOINT].std()
        alone = means.drop(JOINT)
        others = " and ".join(f"{value:.3f} ({name})" for name, value in alone.items())
        shown = f"{means[JOINT]:.3f} ± {spread:.3f} against {others}, mean of {len(joint)} seeds"
        claim = "both streams together are at least as good as the better one"
        claims.append(Claim(claim=claim, holds=bool(means[JOINT] >= alone.max()), shown=shown))
    return tuple(claims)
