"""Stage 03: all trainings of all streams, their scores, and the streams together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from actionbook.core.files import sha256_file
from actionbook.core.recipe import JOINT
from actionbook.core.stage_results import Claim, FusedRow, ModelRow, TrainingResults, TrainingRow
from actionbook.core.workspace import Stage
from actionbook.evaluation.fusion import fuse
from actionbook.evaluation.predict import centre_validation, predict_test
from actionbook.models.profile import layer_table
from actionbook.stages.data import PAIRS
from actionbook.tasks import Predictions
from actionbook.tasks.classification import within_groups
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
        """One row a training: stream, run, seed, data, epochs, loss, value (the main score), further scores, costs."""
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
    def repeated(self) -> pd.DataFrame:
        """The table's rows of runs with several seeds; all of them where there is no such run."""
        table = self.table
        several = table[table.duplicated(["stream", "run"], keep=False)]
        return several if len(several) else table

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

    @cached_property
    def fused(self) -> tuple[FusedRow, ...]:
        """The streams together, for each seed of the main run that all of them have; none for a single stream."""
        streams = self.stage.streams
        if len(streams) < 2:
            return ()
        mains = {name: stage.recipe.main_run for name, stage in streams.items()}
        seeds = set.intersection(*(set(run.seeds) for run in mains.values()))
        rows = []
        for seed in sorted(seeds):
            found = {name: self.predictions[name, run.name, seed] for name, run in mains.items()}
            both = fuse(found, self.stage.recipe.evaluation.fuse)
            scores = {name: one.score.value for name, one in found.items()}
            rows.append(FusedRow(seed=seed, values={**scores, JOINT: both.score.value}, score=both.score))
        return tuple(rows)

    @property
    def fused_table(self) -> pd.DataFrame:
        """One row a seed: each stream's score and that of both together."""
        return pd.DataFrame([{"seed": row.seed, **row.values} for row in self.fused])

    def finish(self, learns: Iterable[Claim]) -> TrainingResults:
        """Write the record: trainings, the networks that go on to conversion, and what was claimed."""
        models = {}
        for name, stage in self.stage.streams.items():
            run = stage.recipe.main_run
            row = next(r for r in self.rows if (r.stream, r.run, r.seed) == (name, run.name, run.seeds[0]))
            digest = sha256_file(self.stage.workspace / row.folder / "network.ckpt")
            models[name] = ModelRow(folder=row.folder, sha256=digest)
        results = TrainingResults(runs=self.rows, models=models, fused=self.fused, learns=tuple(learns))
        self.stage.finish(results, {f"{name}.network": model.sha256 for name, model in models.items()})
        return results


def train(stage: Stage) -> Trainings:
    """Train every run with every seed of every chosen stream, and test each.

    What is finished is loaded, what was interrupted goes on. Raises BookError where stage 01 has not prepared the data.
    """
    stage.require("01_data", "data")
    stage.set_device()
    rows: list[TrainingRow] = []
    logs: dict[str, pd.DataFrame] = {}
    predictions: dict[tuple[str, str, int], Predictions] = {}
    several = len(stage.streams) > 1
    with stage.timed("train"):
        for name, stream in stage.streams.items():
            for trained in train_runs(stream, centre_validation):
                found = predict_test(trained.network, trained.stage, trained.index)
                predictions[name, trained.run, trained.seed] = found
                logs[f"{f'{name}: ' if several else ''}{trained.run}, seed {trained.seed}"] = trained.log
                rows.append(_row(name, trained, found, stage))
    return Trainings(stage, tuple(rows), logs, predictions)


def _row(stream: str, trained: TrainedRun, found: Predictions, stage: Stage) -> TrainingRow:
    recipe, manifest, log = trained.stage.recipe, trained.stage.manifest, trained.log
    cost = layer_table(trained.network, recipe.spec(len(manifest.classes)))
    numbers = {label: number for number, label in enumerate(manifest.classes)}
    pairs = [tuple(numbers[label] for label in pair) for pair in manifest.class_groups.get(PAIRS, ())]
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
        parameters=int(cost.parameters.sum()),
        macs=int(cost.macs.sum()),
        score=main,
        further=(*others, *([within_groups(found, pairs)] if pairs else [])),
        rests_on={key: str(value) for key, value in trained.rests_on.items()},
    )
