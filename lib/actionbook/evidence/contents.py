"""What a pack holds, read strictly: nothing in it is taken for what its name says."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from actionbook.clips.samples import Samples
from actionbook.core.errors import BookError
from actionbook.core.evidence import (
    INDEX,
    MANIFEST,
    PREDICTIONS,
    RECIPE,
    SAMPLES,
    TRAINING,
    Listing,
    parse_json,
    read_json,
    read_listing,
    read_text,
)
from actionbook.core.files import sha256_json
from actionbook.core.manifest import DatasetManifest
from actionbook.core.recipe import JOINT, Recipe
from actionbook.core.record import Record, read_record
from actionbook.core.schema import load, read_yaml
from actionbook.core.sections import Detection
from actionbook.core.stage_results import AccuracyResults
from actionbook.datasets.index import Index, read_index
from actionbook.evaluation.answers import boxes_each, outputs_of
from actionbook.evaluation.formats import CRITERIA, NETWORK
from actionbook.evaluation.predict import expected
from actionbook.evidence.archive import COMPRESSED, MOST_BYTES, unpack
from actionbook.evidence.pack import NEEDED
from actionbook.evidence.planes import read_planes
from actionbook.stages.conversion import fuse_formats
from actionbook.tasks import Predictions, task_of


@dataclass(frozen=True)
class Contents:
    """A pack that could be read; what it says may still be wrong."""

    folder: Path
    listing: Listing
    recipe: Recipe
    """As it lies in the pack, see `Listing.left_out`."""
    manifest: DatasetManifest
    record: Record
    index: Index

    def sha256(self, section: str) -> str:
        """Digest of a section of the recipe as it was written, by which stages name it: without the settings that the
        book has learned to know since.
        """
        return sha256_json({section: self._written.get(section)})

    @cached_property
    def _written(self) -> dict[str, Any]:
        return read_yaml(self.folder / RECIPE)

    @cached_property
    def whole(self) -> Recipe:
        """The recipe with the pack's own manifest."""
        data = self.recipe.data.model_copy(update={"manifest": str((self.folder / MANIFEST).resolve())})
        return self.recipe.model_copy(update={"data": data})

    @cached_property
    def streams(self) -> dict[str, Recipe]:
        """The recipe of each stream that stage 05 has scored."""
        results = self.record.results(AccuracyResults)
        scored = results.protocols if results else {}
        return {name: self.whole.for_stream(name) for name in self.whole.stream_names if name in scored}

    @cached_property
    def asked(self) -> dict[str, list[str]]:
        """The item of every sample that each stream's recipe tests, in order, from the index alone."""
        test, classes = self.index.subset("test"), len(self.manifest.classes)
        return {
            name: Samples(test, Path("frames"), recipe, classes).tests.item.tolist()
            for name, recipe in self.streams.items()
        }

    @cached_property
    def samples(self) -> dict[str, list[str]]:
        """The item of every sample that was predicted, in order, as the pack says."""
        files = {name: self.folder / PREDICTIONS / name / SAMPLES for name in self.streams}
        return {name: read_text(path).splitlines() for name, path in files.items()}

    @cached_property
    def found(self) -> Mapping[tuple[str, str], Predictions]:
        """The predictions by stream and format, in the order of `evaluation.formats`; "joint" last."""
        by_stream = {name: self._formats(name) for name in self.streams}
        found = {(name, kind): one for name, its in by_stream.items() for kind, one in its.items()}
        if len(by_stream) > 1:
            both = fuse_formats(by_stream, self.whole.evaluation.fuse, missing="miss")
            found |= {(JOINT, kind): one for kind, one in both.items()}
        return found

    def _formats(self, stream: str) -> dict[str, Predictions]:
        recipe, items, folder = self.streams[stream], self.samples[stream], self.folder / PREDICTIONS / stream
        boxes = recipe.task.boxes if isinstance(recipe.task, Detection) else None
        classes, test, task = len(self.manifest.classes), expected(self.index), task_of(recipe.task)
        strange = sorted({path.stem for path in folder.glob("*.npz")} - set(CRITERIA))
        if strange or not (folder / f"{NETWORK}.npz").is_file():
            why = f"{strange[0]}.npz is of no format that is known" if strange else f"{NETWORK}.npz is missing"
            raise BookError(f"{PREDICTIONS}/{stream}: {why}; there are: {', '.join(CRITERIA)}")
        if unknown := sorted(set(items) - set(test.items["item"]))[:1]:
            raise BookError(f"{PREDICTIONS}/{stream}/{SAMPLES}: {unknown[0]} is no test item of the index")
        rows = len(items) if boxes is None else int(boxes_each(items, test, classes).sum())
        found: dict[str, Predictions] = {}
        reference = None
        for kind in (kind for kind in CRITERIA if (folder / f"{kind}.npz").is_file()):
            values = read_planes(folder / f"{kind}.npz", (rows, classes), reference)
            if not np.isfinite(values).all():
                raise BookError(f"{PREDICTIONS}/{stream}/{kind}.npz: values that are not finite numbers")
            reference = values if kind == NETWORK else reference
            outputs = outputs_of(values, items, test, boxes)
            found[kind] = Predictions(items, outputs, test, recipe.evaluation, task)
        return found

    def log(self, stream: str, run: str, seed: int) -> list[dict[str, object]] | None:
        """The lines of a training's log, None where the pack has none. Raises BookError for one that is no log."""
        path = self.folder / TRAINING / stream / f"{run}-seed{seed}.jsonl"
        if not path.is_file():
            return None
        lines = [parse_json(line, path.name) for line in read_text(path).splitlines()]
        if not all(isinstance(line, dict) for line in lines):
            raise BookError(f"{path.name}: expected one JSON mapping a line")
        return lines


@contextmanager
def unpacked(source: Path | str) -> Iterator[Path]:
    """The folder of a pack: `source` itself if it is one, else a temporary one with what the archive holds."""
    source = Path(source)
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise BookError(f"{source}: does not exist; expected a pack, made by python -m actionbook.evidence pack")
    with tempfile.TemporaryDirectory(prefix="actionbook-evidence-") as name:
        unpack(source, Path(name))
        yield Path(name)


def read_contents(folder: Path) -> Contents:
    """Read an unpacked pack. Raises BookError that names the file in it that is missing or is not what it should be."""
    listing = read_listing(folder)
    recipe, manifest = Recipe.load(folder / RECIPE), load(DatasetManifest, folder / MANIFEST)
    for path in (folder / "record").glob("*.json"):
        read_json(path)
    record = read_record(folder)
    if lacking := [name for name in NEEDED if name not in record.stages]:
        raise BookError(f"{folder.name}: the record has no stage {lacking[0]}")
    for path in folder.glob("index/*"):
        _bounded(path)
    return Contents(folder, listing, recipe, manifest, record, read_index(folder / INDEX, COMPRESSED))


def _bounded(path: Path) -> None:
    """Raise BookError for a compressed table that would fill the memory."""
    try:
        with gzip.open(path) as file:
            size = 0
            while block := file.read(1 << 20):
                if (size := size + len(block)) > MOST_BYTES:
                    raise BookError(f"index/{path.name}: more than {MOST_BYTES:,} bytes once it is unpacked")
    except (OSError, EOFError) as error:
        raise BookError(f"index/{path.name}: cannot be unpacked ({error}); pack again") from error
