"""All trainings of a recipe: each run with each of its seeds, in folders named by what decides the result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mindspore import nn

from actionbook.clips.pipeline import TrainingSource
from actionbook.core import manifest, runtime
from actionbook.core.files import sha256_json
from actionbook.core.recipe import Recipe, Weights
from actionbook.core.workspace import Stage
from actionbook.datasets.index import index_sha256, read_index, subset
from actionbook.models import create_model
from actionbook.training.checkpoint import load_checkpoint
from actionbook.training.compiled import CompiledStep
from actionbook.training.launch import train_on_devices
from actionbook.training.loop import Validate, train
from actionbook.training.ranks import ALONE, Ranks
from actionbook.weights import export_state, load, read_torch

logger = logging.getLogger(__name__)

Validation = Callable[[Stage, pd.DataFrame], Validate]
DECIDING = ("data", "clips", "model", "weights")  # sections of the recipe that decide a training, beside its own


@dataclass(frozen=True)
class TrainedRun:
    """One finished training."""

    stage: Stage
    """The stage as this run changes it, with its recipe, data set and frame store."""
    index: pd.DataFrame
    """Of the run's data set."""
    run: str
    seed: int
    folder: Path
    network: nn.Cell
    """In evaluation mode. The next training of the same kind goes on in this very cell: use it before asking for that
    one, or get a copy of your own from `trained_network`."""
    log: pd.DataFrame


def train_runs(stage: Stage, validation: Validation | None = None, ranks: Ranks = ALONE) -> Iterator[TrainedRun]:
    """Train every run with every seed, one after the other, and yield each as it is finished.

    Finished trainings are loaded, interrupted ones go on. `validation`, given a run's stage and index, returns what is
    called with the network after every epoch (see `training.loop.train`). Where the stage asks for several devices,
    other processes train first (`training.launch`), and what they have learned is loaded; each of those calls this with
    the `ranks` that it belongs to. Raises BookError where notebook 01_data has not prepared the data set of a run.
    """
    if stage.devices > 1 and ranks is ALONE and _unfinished(stage):
        train_on_devices(stage)
    compiled = CompiledStep()
    for run in stage.recipe.training.runs:
        own = stage.for_run(run)
        index = read_index(own.index_file)
        for seed in run.seeds:
            folder = run_folder(own, index, seed)
            runtime.seed_everything(seed)
            network = initial_network(own, seed)
            ranks.mark(network)
            training = own.recipe.training
            source = step = None
            if training.epochs:
                source = _source(own, index, seed, ranks)
                network, step = compiled.take(_kind(own, len(source)), network, training, len(source))
            validate = validation(own, index) if validation else None
            log = train(network, source, training, folder, validate, step=step, ranks=ranks)
            yield TrainedRun(own, index, run.name, seed, folder, network, log)


def _kind(stage: Stage, steps: int) -> str:
    """Digest of all that is compiled into a training step: equal for the seeds of a run, and for runs that differ in
    data or initial weights alone."""
    recipe = stage.recipe
    model = [recipe.model.name, recipe.model_options, len(stage.manifest.classes)]
    return sha256_json([model, list(recipe.clips.shape), _optimisation(recipe), steps])


def _optimisation(recipe: Recipe) -> dict[str, object]:
    """The section `training` without what has no influence on the result of a run."""
    kept = {"checkpoint_epochs", "checkpoint_steps", "keep_epochs"}
    free = {"runs", "result", "any_library", "validate_epochs", "hang_minutes", *kept}
    return {key: value for key, value in recipe.as_dict()["training"].items() if key not in free}


def _unfinished(stage: Stage) -> bool:
    """Whether some run has still to be trained."""
    stages = [(own, read_index(own.index_file)) for own in map(stage.for_run, stage.recipe.training.runs)]
    folders = [run_folder(own, index, seed) for own, index in stages for seed in own.recipe.main_run.seeds]
    return any(not (folder / "done.json").exists() for folder in folders)


def _source(stage: Stage, index: pd.DataFrame, seed: int, ranks: Ranks) -> TrainingSource:
    training = stage.recipe.training
    return TrainingSource(
        subset(index, "train"),
        stage.frame_store,
        stage.recipe.clips,
        training.batch_size,
        seed,
        training.clips_per_video,
        stage.workers,
        ranks.rank,
        ranks.count,
    )


def initial_network(stage: Stage, seed: int) -> nn.Cell:
    """A fresh network from `seed`, with the weights loaded that the recipe names, if it names any.

    A file is looked for in ``<data_root>/weights/`` and checked against its manifest before it is read. What an earlier
    run has learned is taken from that run's first seed, with its own number of classes.
    """
    network = _network(stage, seed=seed)
    weights = stage.recipe.weights
    if weights is not None:
        (_load_run if weights.run else _load_file)(stage, network, weights)
    return network


def _network(stage: Stage, **options: int) -> nn.Cell:
    recipe = stage.recipe
    classes = len(stage.manifest.classes)
    return create_model(recipe.model.name, num_classes=classes, **{**options, **recipe.model_options})


def _load_file(stage: Stage, network: nn.Cell, weights: Weights) -> None:
    path = stage.data_root / "weights" / str(weights.file)
    digest = manifest.verify(path, manifest.load_weights(str(weights.manifest)).file(str(weights.file)))
    report = load(network, read_torch(path), str(weights.layout), skip=weights.skip)
    logger.info("%s (sha256 %s): %s", weights.file, digest, report)


def _load_run(stage: Stage, network: nn.Cell, weights: Weights) -> None:
    earlier, index, seed = _origin(stage, weights)
    trained, folder = _network(earlier), run_folder(earlier, index, seed)
    load_checkpoint(trained, folder / "network.ckpt")
    report = load(network, export_state(trained, "mindspore"), "mindspore", skip=weights.skip)
    logger.info("%s: %s", folder.name, report)


def _origin(stage: Stage, weights: Weights) -> tuple[Stage, pd.DataFrame, int]:
    """Stage, index and first seed of the run that the weights come from."""
    whole = stage.parent or stage
    earlier = whole.for_run(next(run for run in whole.recipe.training.runs if run.name == weights.run))
    return earlier, read_index(earlier.index_file), earlier.recipe.main_run.seeds[0]


def run_folder(stage: Stage, index: pd.DataFrame, seed: int) -> Path:
    """``training/<run>-seed<n>-<digest>``: another recipe, data set or library gets another folder; nothing is lost.

    `stage` is the run's own (`Stage.for_run`). What a run starts from counts too. With ``training.any_library`` the
    newest folder that differs by the library alone is taken instead.
    """
    stem = _stem(stage, index, seed)
    folder = stage.folder / "training" / f"{stem}-{runtime.library_sha256()[:8]}"
    others = sorted(folder.parent.glob(f"{stem}-*"), key=lambda path: path.stat().st_mtime)
    if folder.exists() or not others:
        return folder
    if stage.recipe.training.any_library:
        return others[-1]
    logger.warning(
        "%s was trained by another version of the library and is left alone; this training starts afresh. "
        "To go on with it, set training.any_library.",
        others[-1].name,
    )
    return folder


def _stem(stage: Stage, index: pd.DataFrame, seed: int) -> str:
    """``<run>-seed<n>-<digest>`` of all that decides the result but the library."""
    recipe = stage.recipe
    what = [recipe.sha256(*DECIDING), _optimisation(recipe), index_sha256(index), seed]
    if stage.devices > 1:  # each normalises by its own part of a batch
        what.append({"devices": stage.devices})
    if recipe.weights is not None and recipe.weights.run is not None:
        what.append(_stem(*_origin(stage, recipe.weights)))
    return f"{recipe.main_run.name}-seed{seed}-{sha256_json(what)[:8]}"


def trained_network(stage: Stage, folder: str, run: str | None = None) -> nn.Cell:
    """The network of a run, by default of the recipe's main one, from its training folder (relative to the workspace).

    Raises BookError if its checkpoint is missing or belongs to another network.
    """
    recipe = stage.recipe
    chosen = next(r for r in recipe.training.runs if r.name == (run or recipe.main_run.name))
    network = _network(stage.for_run(chosen))
    load_checkpoint(network, stage.folder / folder / "network.ckpt")
    return network


def runs_of_same_clips(recipe: Recipe) -> list[str]:
    """Names of the runs whose data, clips and protocol are the recipe's: one set of test batches serves all of them."""
    what = ("data", "clips", "evaluation")
    return [run.name for run in recipe.training.runs if recipe.for_run(run).sha256(*what) == recipe.sha256(*what)]
