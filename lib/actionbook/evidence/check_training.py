"""What was learned from what: initial weights, logs, and whether a training can have been as fast as it says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from actionbook.core.errors import BookError, some
from actionbook.core.evidence import Finding
from actionbook.core.files import sha256_json
from actionbook.core.manifest import load_weights, weights_manifests
from actionbook.core.recipe import Recipe
from actionbook.core.sections import Weights
from actionbook.core.stage_results import TrainingResults, TrainingRow
from actionbook.evidence.contents import Contents
from actionbook.training.schedule import step_rates

FASTEST = 2e15
"""Operations a second of one device that no training reaches: five times what the fastest card of 2026 promises."""


def trainings(pack: Contents) -> Iterator[Finding]:
    """Every training of the record is one that the recipe asks for, of this data, and has a log that fits."""
    results = pack.record.results(TrainingResults)
    assert results is not None  # `read_contents` asks for the stage
    recipes = {(stream, run.name): (recipe.for_run(run), run.seeds) for stream, recipe in pack.streams.items()
               for run in recipe.training.runs}  # fmt: skip
    asked = {(stream, run, seed) for (stream, run), (_, seeds) in recipes.items() for seed in seeds}
    rows = [row for row in results.runs if row.stream in pack.streams]
    ran = {(row.stream, row.run, row.seed) for row in rows}
    if asked != ran or len(ran) != len(rows):
        other = sorted(", seed ".join((f"{s}: {r}", str(n))) for s, r, n in asked ^ ran)
        detail = f"the recipe asks for {len(asked)}, the record has {len(rows)}: {some(other)}"
        yield Finding(what="trainings", state="refuted", detail=detail)
        return
    wrong = [why for row in rows for why in _contradictions(pack, row, recipes[row.stream, row.run][0])]
    wrong += _copies(pack, rows)
    if wrong:
        yield Finding(what="trainings", state="refuted", detail="; ".join(wrong[:4]))
    else:
        epochs = sum(row.epochs for row in rows)
        detail = f"{len(ran)} trainings of {epochs:,} epochs: rates, losses, times and digests agree with their logs"
        yield Finding(what="trainings", state="agrees", detail=detail)
    yield _speed(pack, [(row, recipes[row.stream, row.run][0]) for row in rows])


def weights(pack: Contents) -> Iterator[Finding]:
    """Initial weights are the released ones, fresh ones, or those of a run of this record."""
    results = pack.record.results(TrainingResults)
    assert results is not None
    for stream, recipe in pack.streams.items():
        for run in recipe.training.runs:
            own = recipe.for_run(run)
            rows = [row for row in results.runs if (row.stream, row.run) == (stream, run.name)]
            if own.weights is not None and rows:
                yield _origin(f"initial weights, {stream}: {run.name}", own.weights, rows, results)


def models(pack: Contents) -> Iterator[Finding]:
    """What was converted and scored is what was trained."""
    results = pack.record.results(TrainingResults)
    assert results is not None
    converted, scored = (pack.record.stages[name].rests_on for name in ("04_conversion", "05_accuracy"))
    for stream in pack.streams:
        model = results.models.get(stream)
        digests = {model.sha256 if model else None, *(one.get(f"{stream}.checkpoint") for one in (converted, scored))}
        keys = (f"{stream}.network", f"{stream}.samples")
        if len(digests) > 1 or any(converted.get(key) != scored.get(key) for key in keys):
            detail = "the stages name different checkpoints, networks or samples: they did not work on one training"
            yield Finding(what=f"model, {stream}", state="refuted", detail=detail)
        else:
            detail = "stages 03, 04 and 05 name one checkpoint, one network and one set of samples"
            yield Finding(what=f"model, {stream}", state="agrees", detail=detail)


def _contradictions(pack: Contents, row: TrainingRow, recipe: Recipe) -> Iterator[str]:
    name = f"{row.stream}: {row.run}, seed {row.seed}"
    digests = {"recipe": recipe.sha256("task", "transforms", "model"), "seed": str(row.seed)}
    if row.data == pack.manifest.name:
        digests |= {"classes": sha256_json(list(pack.manifest.classes)), "index": pack.index.sha256}
    for key, value in digests.items():
        if str(row.rests_on.get(key)) != value:
            yield f"{name} rests on another {key}"
    if row.epochs != recipe.training.epochs:
        yield f"{name} has {row.epochs} epochs, the recipe {recipe.training.epochs}"
        return
    if not row.epochs:
        return
    log = pack.log(row.stream, row.run, row.seed)
    if log is None or [line.get("epoch") for line in log] != list(range(1, row.epochs + 1)):
        yield f"{name} has {'no log' if log is None else 'a log of other epochs'}"
        return
    if recipe.training.plateau is None:
        planned = step_rates(recipe.training, 1)  # a rate is noted at the end of each epoch, where warm-up is whole
        if any(not _close(line.get("lr"), rate) for line, rate in zip(log, planned, strict=True)):
            yield f"{name}: the rates in the log are not those that the recipe plans"
    if not _close(log[-1].get("loss"), row.loss):
        yield f"{name}: the log ends with a loss of {log[-1].get('loss')}, the record says {row.loss}"
    seconds = [line.get("seconds") for line in log]
    if not all(isinstance(one, int | float) and one > 0 for one in seconds):
        yield f"{name}: an epoch took no time"
    elif not math.isclose(sum(seconds), row.seconds, rel_tol=0.02, abs_tol=1.0):  # type: ignore[arg-type]
        yield f"{name}: the epochs took {sum(seconds):,.0f} s, the record says {row.seconds:,.0f}"  # type: ignore[arg-type]


def _copies(pack: Contents, rows: list[TrainingRow]) -> Iterator[str]:
    """Two trainings never have all losses in common, nor all times."""
    seen: dict[tuple[Any, ...], str] = {}
    for row in rows:
        name = f"{row.stream}: {row.run}, seed {row.seed}"
        lines = pack.log(row.stream, row.run, row.seed) or []
        for key in ("loss", "seconds"):
            values = (key, *(line.get(key) for line in lines))
            if len(values) > 2 and values in seen:
                yield f"{name} has every {key} of {seen[values]}: one log is a copy"
            seen[values] = name


def _speed(pack: Contents, trained: list[tuple[TrainingRow, Recipe]]) -> Finding:
    """Operations a second that the fastest training must have made; a step costs three forward runs."""
    devices = pack.record.stages["03_training"].devices
    train = len(pack.index.subset("train"))
    rates = []
    for row, recipe in trained:
        if row.epochs and row.data == pack.manifest.name:
            rate = row.epochs * train * recipe.training.clips_per_video / max(row.seconds, 1e-9)
            rates.append((3 * 2 * row.macs * rate / devices, rate))
    if not rates:
        return Finding(what="speed of training", state="believed", detail="nothing was trained on this data set")
    fastest, clips = max(rates)
    detail = f"at most {clips:,.0f} clips and {fastest / 1e12:,.2f} TFLOP a second on each device"
    if fastest > FASTEST:
        return Finding(what="speed of training", state="refuted", detail=f"{detail}: no device does that")
    return Finding(what="speed of training", state="agrees", detail=f"{detail}: possible")


def _origin(what: str, named: Weights, rows: list[TrainingRow], results: TrainingResults) -> Finding:
    said = {row.rests_on.get("weights") for row in rows}
    if named.run:
        origin = next((row for row in results.runs if row.stream == rows[0].stream and row.run == named.run), None)
        basis = {key: value for key, value in origin.rests_on.items() if key != "code"} if origin else {}
        content: Any = [{**basis, "seed": origin.seed if origin else None}, list(named.skip)]
        if said == {sha256_json(content)}:
            return Finding(what=what, state="agrees", detail=f"those of run {named.run} of this record")
        return Finding(what=what, state="refuted", detail=f"not those of run {named.run} of this record")
    try:
        if str(named.manifest) not in weights_manifests():  # nor a path on this machine
            raise BookError(f"{named.manifest}: no manifest of the book")
        book = load_weights(str(named.manifest))
        entries = [(book.file(name), named.skipped(name)) for name in named.files]
    except BookError:
        detail = f"{', '.join(named.files)}: the book knows no such files"
        return Finding(what=what, state="believed", detail=detail)
    files = ", ".join(entry.name for entry, _ in entries)
    if any(entry.sha256 is None for entry, _ in entries):
        return Finding(what=what, state="believed", detail=f"{files}: nobody has published a digest of it")
    released = [part for entry, skip in entries for part in (entry.sha256, entry.layout, list(skip))]
    if said == {sha256_json(released)}:
        return Finding(what=what, state="proven", detail=f"{files}, with the digests of the released files")
    return Finding(what=what, state="refuted", detail=f"not {files} as released, or not loaded as the recipe says")


def _close(one: Any, other: Any) -> bool:
    both = isinstance(one, int | float) and isinstance(other, int | float)
    return bool(both and math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-9))
