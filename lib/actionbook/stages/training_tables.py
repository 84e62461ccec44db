"""What stage 03 is going to do, as tables for people: the recipe's settings and its runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from actionbook.core.workspace import Stage
from actionbook.stages.training import Trainings
from actionbook.training.micro_batches import micro_batch
from actionbook.training.schedule import batch_rate

_HOUSEKEEPING = {
    "runs", "result", "any_library", "checkpoint_epochs", "checkpoint_steps", "keep_epochs", "hang_minutes",
    "validate_epochs",
}  # fmt: skip
_SGD = {"momentum", "dampening", "nesterov"}
_OFF = {"nesterov": False, "accumulate": 1, "norms": "trained"}
"""Values at which a setting does nothing, beside none at all."""


def settings_table(stage: Stage) -> pd.DataFrame:
    """What the recipe says of the training, for people: one row a setting as recipes name it, one column a stream.

    Settings that are switched off, that the optimiser does not have, or that decide when something is stored and not
    what is learned, are left out. Below them, how the batch is shared among the devices, and the
    learning rate of such a batch after the warm-up.
    """
    columns: dict[str, dict[str, str]] = {}
    for name, own in stage.streams.items():
        training = own.recipe.training
        unused = _SGD if training.optimizer == "adam" else set()
        settings = training.model_dump(exclude=_HOUSEKEEPING | unused)
        settings = {key: value for key, value in settings.items() if value not in (None, ()) and value != _OFF.get(key)}
        columns[name] = {key: _words(value) for key, value in settings.items()}
        columns[name] |= {
            "devices": str(stage.devices),
            "clips a step on each device": str(training.batch_size // stage.devices),
            **({"clips at once": str(micro_batch(training, stage.devices))} if training.accumulate > 1 else {}),
            "rate after warm-up": f"{batch_rate(training):g}",
        }
    table = pd.DataFrame(columns).rename_axis("setting").reset_index()
    return table if len(columns) > 1 else table.set_axis(["setting", "value"], axis="columns")


def runs_table(stage: Stage) -> pd.DataFrame:
    """The runs of the recipe, for people: seeds, and what each run changes of the recipe, as recipes name it."""
    runs = {name: own.recipe.training.runs for name, own in stage.streams.items()}
    if all(one == next(iter(runs.values())) for one in runs.values()):  # of all streams the same
        runs = {"": next(iter(runs.values()))}
    rows = [
        {
            "stream": name,
            "run": run.name,
            "seeds": _words(run.seeds),
            "what it changes": "; ".join(_changes(run.overrides)) or "nothing",
        }
        for name in runs
        for run in runs[name]
    ]
    return pd.DataFrame(rows).drop(columns=[] if len(runs) > 1 else ["stream"])


def class_scores(trainings: Trainings) -> pd.DataFrame:
    """The main score of each class where it has parts, mean of the seeds: rows classes, columns runs on these data."""
    own = trainings.stage.manifest.name
    parts = pd.DataFrame([{"run": row.run, **row.score.parts} for row in trainings.rows if row.data == own])
    return parts.groupby("run", sort=False).mean().T.rename_axis(index="class", columns=None)


def _changes(overrides: Mapping[str, Any], place: str = "") -> list[str]:
    """["sampling.frames: 1", "weights.skip: logits"] of nested mappings."""
    found = []
    for key, value in overrides.items():
        inner = isinstance(value, Mapping) and value
        found += _changes(value, f"{place}{key}.") if inner else [f"{place}{key}: {_words(value)}"]
    return found


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_words(one)}" for key, one in value.items() if one not in (None, (), []))
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
