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
from actionbook.core.recipe import Recipe
from actionbook.core.workspace import Stage
from actionbook.datasets.index import index_sha256, subset
from actionbook.models import create_model
from actionbook.training.checkpoint import load_checkpoint
from actionbook.training.loop import Validate, train
from actionbook.weights import load, read_torch

logger = logging.getLogger(__name__)

DECIDING = ("data", "clips", "model", "weights")  # sections of the recipe that decide a training, beside its own


@dataclass(frozen=True)
class TrainedRun:
    """One finished training."""

    recipe: Recipe
    """The recipe as this run changes it."""
    run: str
    seed: int
    folder: Path
    network: nn.Cell
    """In evaluation mode."""
    log: pd.DataFrame


def train_runs(
    stage: Stage, index: pd.DataFrame, validate: Callable[[Recipe], Validate] | None = None
) -> Iterator[TrainedRun]:
    """Train every run with every seed, one after the other, and yield each as it is finished.

    Finished trainings are loaded, interrupted ones go on. `validate`, given a run's recipe, returns what is called
    with the network after every epoch (see `training.loop.train`).
    """
    for run in stage.recipe.training.runs:
        recipe = stage.recipe.for_run(run)
        for seed in run.seeds:
            folder = run_folder(stage, recipe, index, seed)
            runtime.seed_everything(seed)
            network = initial_network(stage, recipe, seed)
            source = _source(stage, recipe, index, seed) if recipe.training.epochs else None
            log = train(network, source, recipe.training, folder, validate(recipe) if validate else None)
            yield TrainedRun(recipe, run.name, seed, folder, network, log)


def _source(stage: Stage, recipe: Recipe, index: pd.DataFrame, seed: int) -> TrainingSource:
    training = recipe.training
    return TrainingSource(
        subset(index, "train"),
        stage.frame_store,
        recipe.clips,
        training.batch_size,
        seed,
        training.clips_per_video,
        stage.workers,
    )


def initial_network(stage: Stage, recipe: Recipe, seed: int) -> nn.Cell:
    """A fresh network from `seed`, with the recipe's foreign weights loaded if it names any.

    The file is looked for in ``<data_root>/weights/`` and checked against its manifest before it is read.
    """
    options = {"seed": seed, **recipe.model.options}
    network = create_model(recipe.model.name, num_classes=len(stage.manifest.classes), **options)
    if recipe.weights is not None:
        weights = recipe.weights
        path = stage.data_root / "weights" / weights.file
        digest = manifest.verify(path, manifest.load_weights(weights.manifest).file(weights.file))
        report = load(network, read_torch(path), weights.layout, skip=weights.skip)
        logger.info("%s (sha256 %s): %s", weights.file, digest, report)
    return network


def run_folder(stage: Stage, recipe: Recipe, index: pd.DataFrame, seed: int) -> Path:
    """``training/<run>-seed<n>-<digest>``: another recipe, data set or library gets another folder; nothing is lost.

    With ``training.any_library`` the newest folder that differs by the library alone is taken instead.
    """
    training = recipe.as_dict()["training"]
    for key in ("runs", "any_library", "checkpoint_epochs", "validate_epochs"):
        training.pop(key)
    what = sha256_json([recipe.sha256(*DECIDING), training, index_sha256(index), seed])[:8]
    stem = f"{recipe.training.runs[0].name}-seed{seed}-{what}"
    folder = stage.folder / "training" / f"{stem}-{runtime.library_sha256()[:8]}"
    others = sorted(folder.parent.glob(f"{stem}-*"), key=lambda path: path.stat().st_mtime)
    if folder.exists() or not others:
        return folder
    if recipe.training.any_library:
        return others[-1]
    logger.warning(
        "%s was trained by another version of the library and is left alone; this training starts afresh. "
        "To go on with it, set training.any_library.",
        others[-1].name,
    )
    return folder


def trained_network(stage: Stage, folder: str, run: str | None = None) -> nn.Cell:
    """The network of a run, by default the recipe's first, from its training folder (relative to the workspace).

    Raises BookError if its checkpoint is missing or belongs to another network.
    """
    runs = stage.recipe.training.runs
    recipe = stage.recipe.for_run(next(r for r in runs if run in (None, r.name)))
    network = create_model(recipe.model.name, num_classes=len(stage.manifest.classes), **recipe.model.options)
    load_checkpoint(network, stage.folder / folder / "network.ckpt")
    return network


def runs_of_same_clips(recipe: Recipe) -> list[str]:
    """Names of the runs that see clips as the recipe describes them, so that one set of test batches serves all."""
    return [run.name for run in recipe.training.runs if recipe.for_run(run).clips == recipe.clips]
