"""A finished run as one file that others can score again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.evidence import (
    CONVERSION,
    FAILURES,
    INDEX,
    LISTING,
    MANIFEST,
    PREDICTIONS,
    README,
    RECIPE,
    SAMPLES,
    TRAINING,
    Listing,
)
from actionbook.core.files import write_json_atomic, write_text_atomic
from actionbook.core.paths import shown
from actionbook.core.recipe import Recipe
from actionbook.core.record import FOLDER, Record, read_record
from actionbook.core.schema import as_yaml, validate
from actionbook.core.stage_results import AccuracyResults, DataResults, DatasetRow, TrainingResults
from actionbook.core.workspace import Stage
from actionbook.datasets.index import Index, read_index, write_index
from actionbook.evaluation.answers import answers
from actionbook.evaluation.compare import read_formats
from actionbook.evaluation.formats import NETWORK
from actionbook.evaluation.predict import predictions
from actionbook.evidence.archive import COMPRESSED, OF_RESULTS, files_of, write_archive
from actionbook.evidence.planes import write_planes
from actionbook.evidence.scrub import names_of_machine, scrub, scrub_data, without_places
from actionbook.inference import read_batches

NEEDED = ("01_data", "03_training", "04_conversion", "05_accuracy")
"""Stages without whose results there is nothing to score."""
FILE = "evidence.zip"
"""What a pack is called in its workspace."""
_HOW_TO_READ = """A run of a recipe of "Action Recognition on Ascend: a reproducibility book", packed so that
others can score it again.

evidence.json      whose run it is, and the size and SHA-256 of every other file
recipe.yaml        the recipe as it ran, and manifest.yaml the data set that it ran on
record/            what each stage measured, in which environment
index/             items (what is scored), labels, and a detector's boxes, if there are any
predictions/       for each stream samples.txt, the item of every sample, and for each format a .npz file
training/          the log of every training, a line for each epoch
conversion/        what the tools of Ascend printed, where they ran
failures/          videos that could not be decoded, with the reason

A .npz file holds one array "planes", uint8 (4, rows, classes): the bytes of float32 outputs, lowest first. Those of
other formats than "network" were combined with the network's by exclusive or. In Python, with NumPy:

    planes = numpy.load("ONNX.npz")["planes"] ^ numpy.load("network.npz")["planes"]    # of "network" its planes alone
    outputs = numpy.ascontiguousarray(planes.transpose(1, 2, 0)).view("<f4")[..., 0]

Rows are samples, of detection the boxes of each sample one after another.
Names of hosts and users, and folders of absolute paths, have been left out. There are no frames and no weights in it.
"""


def stage_of(workspace: Path | str) -> Stage:
    """Stage 05 of the run whose workspace is ``<work_root>/<chapter>/<recipe>``, with the recipe as it ran.

    Raises BookError for another folder, and where no stage has left its recipe there.
    """
    folder = Path(workspace).resolve()
    if not (file := folder / RECIPE).is_file():
        raise BookError(
            f"{shown(folder)}: expected a workspace, such as work/efficient3d/ucf101, with {RECIPE} in it: run "
            "notebook 05_accuracy, which leaves it there"
        )
    recipe = Recipe.load(file)
    if folder.parts[-2:] != (recipe.chapter, recipe.name):
        expected = f"{recipe.chapter}/{recipe.name}"
        raise BookError(f"{shown(folder)}: holds the recipe of {expected}; name the folder {expected} as it was")
    return Stage.open(recipe.chapter, "05_accuracy", recipe=str(file), work_root=folder.parents[1])


def pack(stage: Stage, target: Path | str | None = None, *, by: str = "", note: str = "") -> Path:
    """Pack the run of a stage's recipe into a zip file (default: ``evidence.zip`` in its workspace); returns its path.

    All streams and formats that stage 05 has scored are packed. `by` names the one who ran it, `note` says what others
    should know. Raises BookError where a stage has not run, or its results are not those of what lies there now: the
    message names the notebook to run. The file appears whole or not at all.
    """
    target = Path(target) if target is not None else stage.workspace / FILE
    record = _finished(stage)
    data, accuracy = record.results(DataResults), record.results(AccuracyResults)
    assert data is not None
    assert accuracy is not None
    stage = replace(stage, chosen=tuple(name for name in stage.whole.stream_names if name in accuracy.protocols))
    names = names_of_machine(stage.work_root, stage.data_root, target.parent.absolute())
    clean: Callable[[str], str] = partial(scrub, names=names)
    with tempfile.TemporaryDirectory(prefix="actionbook-pack-") as temporary:
        folder = Path(temporary)
        recipe, left_out = without_places(stage.whole.as_dict())
        for name, plain in ((RECIPE, recipe), (MANIFEST, stage.manifest.model_dump(mode="json"))):
            write_text_atomic(folder / name, as_yaml(plain))
        write_text_atomic(folder / README, _HOW_TO_READ)
        for path in (stage.workspace / FOLDER / f"{one}.json" for one in record.stages):
            write_json_atomic(folder / FOLDER / path.name, scrub_data(json.loads(path.read_text("utf-8")), names))
        index = _index(stage, data.dataset, folder)
        for stream, own in stage.streams.items():
            formats = {row.format for row in accuracy.scores if row.stream == stream}
            _predictions(own, index, folder / PREDICTIONS / stream, formats)
            _consoles(own, folder / CONVERSION / stream, clean)
        _logs(stage, record, folder)
        for path in sorted(stage.workspace.glob("failures-*.csv")):
            write_text_atomic(folder / FAILURES / path.name, clean(path.read_text("utf-8")))
        listing = {
            "chapter": stage.whole.chapter,
            "recipe": stage.whole.name,
            "packed": datetime.now(UTC).date().isoformat(),
            "by": by,
            "note": note,
            "left_out": left_out,
            "files": {name: file.model_dump() for name, file in files_of(folder).items()},
        }
        write_json_atomic(folder / LISTING, validate(Listing, listing, "pack").model_dump(mode="json"))
        return write_archive(folder, target)


def _finished(stage: Stage) -> Record:
    """The record, complete and of the recipe that lies beside it."""
    record = read_record(stage.workspace)
    where = f"notebooks/{stage.whole.chapter}"
    if lacking := [name for name in NEEDED if name not in record.stages]:
        raise BookError(f"{shown(stage.workspace)}: stage {lacking[0]} has not run: run {where}/{lacking[0]}.ipynb")
    if record.heads[NEEDED[-1]].recipe_sha256 != stage.whole.sha256():
        raise BookError(
            f"{shown(stage.workspace)}: stage {NEEDED[-1]} ran with another recipe than this, or other overrides: "
            f"run {where}/{NEEDED[-1]}.ipynb with these"
        )
    return record


def _index(stage: Stage, data: DatasetRow, folder: Path) -> Index:
    """Put the index into the pack, without what videos were called on this machine."""
    index = read_index(stage.workspace / f"index-{data.manifest}-{data.split}")
    if index.sha256 != data.index_sha256:
        raise BookError(f"{shown(stage.workspace)}: the index is not the one of stage 01: run 01_data again")
    there = index.items.path != ""
    items = index.items.assign(path=index.items.store.where(there, ""))
    write_index(replace(index, items=items), folder / INDEX, COMPRESSED)
    return index


def _predictions(stream: Stage, index: Index, folder: Path, formats: set[str]) -> None:
    """The outputs of these formats of a stream, as they lie in its workspace."""
    batches = read_batches(stream.folder / "batches")
    found, unread = read_formats(stream.folder / "results", batches, partial(predictions, stream, index))
    if gone := sorted(formats - set(found)):
        reason = next((step.reason for step in unread if step.format == gone[0]), "its results are gone")
        raise BookError(f"{gone[0]}: {reason}; run notebook 04_conversion again")
    network = found[NETWORK]
    write_text_atomic(folder / SAMPLES, "".join(f"{item}\n" for item in network.items))
    reference = answers(network)
    write_planes(folder / f"{NETWORK}.npz", reference)
    for name in formats - {NETWORK}:
        write_planes(folder / f"{name}.npz", answers(found[name]), reference)


def _consoles(stream: Stage, folder: Path, clean: Callable[[str], str]) -> None:
    """What the tools said, and which model and batches each result is of."""
    for result in sorted((stream.folder / "results").glob("*/")):
        for name in OF_RESULTS:
            if (path := result / name).is_file():
                write_text_atomic(folder / result.name / name, clean(path.read_text("utf-8", errors="replace")))
    for path in sorted((stream.folder / "export").glob("*.log")):
        write_text_atomic(folder / path.name, clean(path.read_text("utf-8", errors="replace")))


def _logs(stage: Stage, record: Record, folder: Path) -> None:
    results = record.results(TrainingResults)
    for row in (row for row in results.runs if row.stream in stage.chosen) if results else ():
        log = stage.workspace / row.folder / "log.jsonl"
        if row.epochs:
            if not log.is_file():
                raise BookError(f"{shown(log)}: is missing; run notebook 03_training again")
            path = folder / TRAINING / row.stream / f"{row.run}-seed{row.seed}.jsonl"
            write_text_atomic(path, log.read_text("utf-8"))
