"""All trainings of a recipe: each run with each of its seeds, in folders named by the content that decides them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from mindspore import nn

from actionbook.clips.pipeline import TrainingSource
from actionbook.clips.samples import Samples
from actionbook.core import manifest, runtime
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json, write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.recipe import Recipe
from actionbook.core.sources import verify
from actionbook.core.weight_files import WeightFile
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.datasets.index import Index
from actionbook.models import check_clips, create_model
from actionbook.tasks import task_of
from actionbook.training import FLOORS, VALIDATION
from actionbook.training.checkpoint import load_checkpoint
from actionbook.training.compiled import CompiledStep
from actionbook.training.launch import train_on_devices
from actionbook.training.loop import Validate, train
from actionbook.training.micro_batches import micro_batch
from actionbook.training.ranks import ALONE, Ranks
from actionbook.weights import export_state, load
from actionbook.weights.pretrained import load_file

logger = logging.getLogger(__name__)

Validation = Callable[[Stage, Index], Validate]


@dataclass(frozen=True)
class TrainedRun:
    """One finished training."""

    stage: Stage
    """The stage as this run changes it, with its recipe and data set."""
    index: Index
    """Of the run's data set."""
    run: str
    seed: int
    folder: Path
    network: nn.Cell
    """In evaluation mode. The next training of the same kind goes on in this very cell: use it before asking for that
    one, or get a copy of your own from `trained_network`."""
    log: pd.DataFrame
    rests_on: dict[str, Any]
    """Digests of all that decides the training, see `rests_on`."""


def train_runs(
    stage: Stage,
    validation: Validation | None = None,
    ranks: Ranks = ALONE,
    *,
    run: str | None = None,
    seeds: Collection[int] | None = None,
) -> Iterator[TrainedRun]:
    """Train every run of a stream with every seed, one after the other, and yield each as it is finished.

    Of one `run`, or of some `seeds`, only those.

    Finished trainings are loaded, interrupted ones go on. `validation`, given a run's stage and index, returns what is
    called with the network after every epoch (see `training.loop.train`). Where the stage asks for several devices,
    other processes train first (`training.launch`), and what they have learned is loaded; each of those calls this with
    the `ranks` that it belongs to. Raises BookError where notebook 01_data has not prepared the data set of a run.
    """
    if stage.devices > 1 and ranks is ALONE and unfinished(stage):
        train_on_devices(stage)
    compiled = CompiledStep()
    for one in stage.recipe.training.runs:
        chosen = [seed for seed in one.seeds if seeds is None or seed in seeds] if run in (None, one.name) else []
        if not chosen:
            continue
        own = stage.for_run(one)
        recipe, index = own.recipe, dataset_of(own).index()
        if ranks.leads:
            _warn(own, index)
        classes, loss = len(own.manifest.classes), task_of(recipe.task).loss()
        inputs, same = len(recipe.spec(classes).inputs), rests_on(own, index, chosen[0])
        for seed in chosen:
            basis = same | {"seed": seed}
            folder = _folder(own, basis)
            runtime.seed_everything(seed)
            network = initial_network(own, seed)
            ranks.mark(network)
            source = step = None
            if recipe.training.epochs:
                source = _source(own, index, seed, ranks)
                kind = _kind(own, len(source))
                network, step = compiled.take(kind, network, loss, recipe.training, steps=len(source), inputs=inputs)
            if ranks.leads:
                write_json_atomic(folder / "rests_on.json", basis)
            validate = validation(own, index) if validation else None
            log = train(network, step, source, recipe.training, folder, validate=validate, ranks=ranks)
            yield TrainedRun(own, index, one.name, seed, folder, network, log, basis)


def _kind(stage: Stage, steps: int) -> str:
    """Digest of all that is compiled into a training step: equal for the seeds of a run, and for runs that differ in
    data or initial weights alone."""
    recipe, classes = stage.recipe, len(stage.manifest.classes)
    model = [recipe.model.name, recipe.model_options, recipe.spec(classes, tested=False).as_dict()]
    return sha256_json([model, recipe.task.name, _optimisation(recipe), steps])


def _optimisation(recipe: Recipe) -> dict[str, object]:
    """The section `training` without what has no influence on the result of a run."""
    kept = {"checkpoint_epochs", "checkpoint_steps", "keep_epochs"}
    free = {"runs", "result", "any_library", "hang_minutes", *kept}
    if recipe.training.plateau is None:
        free.add("validate_epochs")
    return {key: value for key, value in recipe.as_dict()["training"].items() if key not in free}


def unfinished(stage: Stage) -> list[tuple[Stage, tuple[int, ...]]]:
    """The runs of a stream that have still to be trained: each one's own stage, and the seeds that it lacks."""
    found = []
    for own in map(stage.for_run, stage.recipe.training.runs):
        seeds = own.recipe.main_run.seeds
        same = rests_on(own, dataset_of(own).index(), seeds[0])
        lacking = tuple(seed for seed in seeds if not (_folder(own, same | {"seed": seed}) / "done.json").exists())
        if lacking:
            found.append((own, lacking))
    return found


def _source(stage: Stage, index: Index, seed: int, ranks: Ranks) -> TrainingSource:
    recipe = stage.recipe
    store = dataset_of(stage).store(recipe.transforms.modality)
    samples = Samples(index.subset("train"), store, recipe, len(stage.manifest.classes))
    training = recipe.training
    micro_batch(training, ranks.count)  # whether it can be shared
    return TrainingSource(
        samples, training.batch_size, seed, training.clips_per_video, stage.workers, ranks.rank, ranks.count
    )


def _warn(stage: Stage, index: Index) -> None:
    """Of what a run does not train on, and of what it does not train."""
    name, recipe = stage.recipe.main_run.name, stage.recipe
    listed, used = len(index.of_subset("train")), len(index.subset("train"))
    if recipe.training.epochs and used < listed:
        left = listed - used
        logger.warning("%s: %d of %d training items have no frames and are left out (01_data)", name, left, listed)
    if recipe.untrained:
        logger.warning("%s: %s; its scores mean nothing", name, recipe.untrained)


def initial_network(stage: Stage, seed: int) -> nn.Cell:
    """A fresh network from `seed`, with the weights loaded that the recipe names, if it names any.

    A file is looked for in ``<data_root>/weights/`` and checked against its manifest before it is read. What an earlier
    run has learned is taken from that run's first seed, with its own number of classes.
    Raises BookError where the recipe's values are on another scale than those that a file was trained on.
    """
    network, weights = new_network(stage, seed=seed), stage.recipe.weights
    if weights is not None and weights.run:
        earlier, first = _origin(stage)
        trained, folder = new_network(earlier), run_folder(earlier, first)
        load_checkpoint(trained, folder / "network.ckpt")
        report = load(network, export_state(trained, "mindspore"), "mindspore", skip=weights.skip)
        logger.info("%s: %s", folder.name, report)
    for path, entry, skip in _weight_files(stage):
        _check_scale(stage.recipe, entry)
        logger.info("%s: %s", entry.name, load_file(network, entry, path, skip=skip))
    return network


def _check_scale(recipe: Recipe, entry: WeightFile) -> None:
    """Clips with another mean or scale do not fail, they only cost accuracy."""
    for key in ("mean", "std"):
        found, needed = getattr(recipe.transforms, key), getattr(entry.transform, key)
        if found != needed:
            raise BookError(
                f"recipe {recipe.name!r}: transforms.{key} is {list(found)}, {entry.name} was trained with "
                f"{list(needed)} ({recipe.weights.manifest if recipe.weights else ''}): set it to that"
            )


def new_network(stage: Stage, **options: int) -> nn.Cell:
    """The network of the stage's recipe for its data set, freshly initialised.

    Raises BookError where it cannot take the recipe's clips.
    """
    recipe = stage.recipe
    classes = len(stage.manifest.classes)
    network = create_model(recipe.model.name, num_classes=classes, **{**options, **recipe.model_options})
    tests = (recipe, *map(recipe.with_test_frames, recipe.evaluation.compare_frames))
    for spec in (recipe.spec(classes, tested=False), *(one.spec(classes) for one in tests)):
        check_clips(network, spec, f"recipe {recipe.name!r}, {recipe.model.name}: sampling or transforms.size")
    return network


def _origin(stage: Stage) -> tuple[Stage, int]:
    """Stage and first seed of the run that the weights come from."""
    assert stage.recipe.weights is not None
    earlier = _run(stage.parent or stage, stage.recipe.weights.run)
    return earlier, earlier.recipe.main_run.seeds[0]


def _run(stage: Stage, name: str | None) -> Stage:
    """The stage of the run of that name, of the main run where none is named."""
    recipe = stage.recipe
    return stage.for_run(next(run for run in recipe.training.runs if run.name == (name or recipe.main_run.name)))


def _weight_files(stage: Stage) -> list[tuple[Path, WeightFile, tuple[str, ...]]]:
    """The files that the recipe names, with their entries in the manifest, and what is skipped in each."""
    weights = stage.recipe.weights
    if weights is None or weights.run:
        return []
    book = manifest.load_weights(str(weights.manifest))
    return [(stage.data_root / "weights" / name, book.file(name), weights.skipped(name)) for name in weights.files]


def _weights_content(stage: Stage) -> Any:
    """What the initial weights are, None for fresh ones: digests of the files, or what the earlier run rests on.

    Not on which code: that is named beside it, and a training of another library may be gone on with.
    """
    weights = stage.recipe.weights
    if weights is None:
        return None
    if not weights.run:
        return [
            part for path, entry, skip in _weight_files(stage) for part in (verify(path, entry), entry.layout, skip)
        ]
    earlier, seed = _origin(stage)
    basis = rests_on(earlier, dataset_of(earlier).index(), seed)
    return [{key: value for key, value in basis.items() if key != "code"}, weights.skip]


def rests_on(stage: Stage, index: Index, seed: int) -> dict[str, Any]:
    """All that decides the result of a run, by content: two runs that differ in it never share a training.

    `stage` is the run's own (`Stage.for_run`). Frames are named by their bytes, labels and numbers of frames by the
    index, initial weights by the file's digest or by what their run rests on, code by the floors that take part.
    Where things lie, and what they are called, makes no difference.
    """
    recipe = stage.recipe
    basis: dict[str, Any] = {
        "sampling": sha256_json(recipe.sampling.model_dump(mode="json", exclude={"test_frames"})),
        "recipe": recipe.sha256("task", "transforms", "model"),
        "training": sha256_json(_optimisation(recipe)),
        "classes": sha256_json(stage.manifest.classes),
        "index": index.sha256,
        "frames": dataset_of(stage).frames_sha256(index, recipe.transforms.modality),
        "weights": sha256_json(_weights_content(stage)),
        "seed": seed,
        "code": runtime.code_sha256(*FLOORS),
    }
    if recipe.training.plateau:
        basis |= {"evaluation": recipe.sha256("evaluation"), "code": runtime.code_sha256(*FLOORS, *VALIDATION)}
    if stage.devices > 1:  # each normalises by its own part of a batch
        basis["devices"] = stage.devices
    return basis


def run_folder(stage: Stage, seed: int) -> Path:
    """``training/<run>-seed<n>-<digest>-<code>`` of a run's own stage, see `rests_on`."""
    return _folder(stage, rests_on(stage, dataset_of(stage).index(), seed))


def _folder(stage: Stage, basis: dict[str, Any]) -> Path:
    """Where a run lies that rests on `basis`; nothing is lost when that changes.

    With ``training.any_library`` the newest folder that differs by the library's code alone is taken instead.
    """
    inputs = sha256_json({key: value for key, value in basis.items() if key != "code"})
    stem = f"{stage.recipe.main_run.name}-seed{basis['seed']}-{inputs[:12]}"
    folder = stage.folder / "training" / f"{stem}-{basis['code'][:8]}"
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


def finished_run(stage: Stage, run: str | None = None) -> Path:
    """The folder of a run's first seed, of the main run where none is named, by what decides it *now*.

    Raises BookError where that training is not there: data, weights, recipe or library have changed since.
    """
    own = _run(stage, run)
    folder = run_folder(own, own.recipe.main_run.seeds[0])
    if not (folder / "done.json").exists():
        raise BookError(
            f"{shown(folder)}: this training does not exist. Data, weights, recipe or library have changed since stage "
            f"03 ran, or it did not: run notebooks/{stage.recipe.chapter}/03_training.ipynb"
        )
    return folder


def trained_network(stage: Stage, run: str | None = None) -> nn.Cell:
    """The network of a run's first seed, by default of the main run. Raises BookError as `finished_run`."""
    folder, network = finished_run(stage, run), new_network(_run(stage, run))
    load_checkpoint(network, folder / "network.ckpt")
    return network


def runs_of_same_clips(recipe: Recipe) -> list[str]:
    """Names of the runs whose data, clips and protocol are the recipe's: one set of test batches serves all of them."""
    what = ("task", "data", "sampling", "transforms", "evaluation")
    return [run.name for run in recipe.training.runs if recipe.for_run(run).sha256(*what) == recipe.sha256(*what)]
