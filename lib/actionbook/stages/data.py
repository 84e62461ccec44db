"""Stage 01: the data sets of a recipe, obtained, read, prepared and indexed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from actionbook.clips.pipeline import tested
from actionbook.clips.samples import Sample, Samples
from actionbook.clips.transforms import to_pixels
from actionbook.core.errors import BookError
from actionbook.core.recipe import Recipe
from actionbook.core.stage_results import DataResults
from actionbook.core.transforms import Transforms
from actionbook.core.workspace import Stage
from actionbook.datasets import obtain as obtaining
from actionbook.datasets.dataset import Dataset, dataset_of
from actionbook.datasets.index import Index
from actionbook.datasets.preparation import Prepared, estimate_frames, prepare, source_table, unprepared_frames
from actionbook.stages.strips import Strip, counted, spaced
from actionbook.video.decode import header, iterate
from actionbook.video.resample import cut_frames

logger = logging.getLogger(__name__)

PAIRS, SAME_ACTIONS = "reversed_pairs", "same_actions"
"""Of a manifest's class groups: classes that are each other's reversal, and those of one set of actions."""
ORDERED = {PAIRS: "reversed pairs", SAME_ACTIONS: "the same two actions"}
"""Groups of classes that differ by the order of time alone, as manifests call them, and in words."""
_TRIED = 5
"""Videos of a class that may be looked at for one that can be shown."""
_SHOWN = 15
"""Frames of a video that are shown. Odd, so that its first and its last are among every second one."""


@dataclass(frozen=True)
class StageData:
    """The data sets of a stage: the recipe's own first, then those that only some run needs."""

    stage: Stage
    sets: Mapping[str, Dataset]
    indexes: Mapping[str, Index]

    @property
    def own(self) -> Dataset:
        """The recipe's own data set."""
        return next(iter(self.sets.values()))

    @property
    def index(self) -> Index:
        """The recipe's own items, as the lists name them."""
        return next(iter(self.indexes.values()))


def data_sets(stage: Stage) -> dict[str, Dataset]:
    """The data sets that the chosen streams and their runs need, by name, the recipe's own first.

    A second one of the same name, with another split or other frames, gets a number.
    """
    found: dict[str, Dataset] = {}
    for stream in stage.streams.values():
        for own in (stream, *map(stream.for_run, stream.recipe.training.runs)):
            one = dataset_of(own)
            if one not in found.values():
                name = own.manifest.name
                found[f"{name}.{len(found) + 1}" if name in found else name] = one
    return found


def obtain(stage: Stage) -> list[str]:
    """Make sure that all data sets are there: drawn, or where the user says. One sentence each."""
    with stage.timed("obtain"):
        return [obtaining.obtain(one, stage.workers) for one in data_sets(stage).values()]


def read(stage: Stage) -> StageData:
    """The items and labels of all data sets from their lists. Raises BookError as the readers do."""
    sets = data_sets(stage)
    return StageData(stage, sets, {name: obtaining.read(one) for name, one in sets.items()})


def split_table(stage: Stage) -> pd.DataFrame:
    """The counts of the data set's splits, as its manifest has them: one row a split, and no column of zeros."""
    splits = stage.manifest.splits.items()
    rows = {split: counts.model_dump(include={"train", "test", "unused"}) for split, counts in splits}
    table = pd.DataFrame(rows.values(), index=pd.Index(rows, name="split"))
    return table.loc[:, (table != 0).any()]


def prepared_table(prepared: Mapping[str, Prepared]) -> pd.DataFrame:
    """What was prepared, one row a data set: videos found, frames, bytes of frames and of flow, frames a second."""
    rows = {
        name: {
            "videos": done.row.videos_found,
            "frames": done.row.frames,
            "MB of frames": round(done.row.store_bytes / 1e6, 1),
            "MB of flow": None if done.flow is None else round(done.row.flow_bytes / 1e6, 1),
            "frames/s": round(done.rate),
        }
        for name, done in prepared.items()
    }
    return pd.DataFrame(rows.values(), index=pd.Index(rows, name="data set"))


def class_strips(data: StageData, most: int | None = None, *, whole: bool = False) -> list[Strip]:
    """The first 15 frames of a video of each class, as they were before preparation; the title is the class.

    With `whole`, 15 frames from its first to its last.

    Of classes that are each other's reversal (`PAIRS`) the second shows its *last* frames: played backwards they are
    the first one's, moment by moment, where the two videos are as long. A video that is shorter or cannot be read gives
    way to the next ones of its class. Of `most` classes, those first that the manifest groups; None: of the reversals
    alone, if the manifest names such, else of six.
    """
    found = data.index.table.query("path != ''").groupby("label", sort=False).path.agg(list)
    groups = data.own.manifest.class_groups
    pairs = groups.get(PAIRS, ())
    grouped = [label for group in (pairs, *groups.values()) for classes in group for label in classes if label in found]
    few = [label for pair in pairs for label in pair if label in found] if most is None else []
    labels = few or list(dict.fromkeys([*grouped, *found.index]))[: most or 6]
    backwards = {label for pair in pairs for label in pair[1:]}
    strips = (_strip(data.own, label, found[label], last=label in backwards, whole=whole) for label in labels)
    return [strip for strip in strips if strip is not None]


def _strip(dataset: Dataset, label: str, paths: Sequence[str], *, last: bool, whole: bool) -> Strip | None:
    for path in paths[:_TRIED]:
        with suppress(BookError, IndexError):  # notebook 01 says of each what is wrong with it, when it is prepared
            numbers: Sequence[int] = range(_SHOWN)
            if whole:
                numbers = spaced(_length(dataset, path), _SHOWN)
            elif last:
                start = max(0, _length(dataset, path) - _SHOWN)
                numbers = range(start, start + _SHOWN)
            return Strip(label, unprepared_frames(dataset, path, numbers), counted(numbers))
    return None


def _length(dataset: Dataset, path: str) -> int:
    """How many frames there are; those of a video are counted, as headers are off by a few or say nothing (WebM).

    Of a film of which a cut is used nothing is decoded: they are those of the cut, as far as the film goes on.
    """
    if dataset.frames_folder:
        return int(source_table(dataset, pd.DataFrame({"video": [path], "path": [path]})).frames.iloc[0])
    if dataset.cut:
        cut, seconds = dataset.cut, header(dataset.root / path).file_seconds
        left = int((seconds - cut.start) * cut.rate) if seconds else cut_frames(cut)
        return max(0, min(cut_frames(cut), left))
    return sum(1 for _ in iterate(dataset.root / path))


def tested_strips(samples: Samples, count: int = 4) -> list[Strip]:
    """The first tested clip of each of some classes, as the network gets it; the title is the class."""
    labels = samples.tests.number.map(samples.index.table.label)
    some = samples.tests.assign(label=labels).drop_duplicates("label").head(count)
    return [clip_strip(samples, label, one) for label, one in zip(some.label, tested(samples, some), strict=True)]


def drawn_strips(samples: Samples, count: int = 4) -> list[Strip]:
    """Some training clips of the first item; the title is the number of the draw."""
    draws = [samples.train(0, np.random.default_rng([1, 0, number])) for number in range(count)]
    return [clip_strip(samples, f"draw {number}", draw) for number, draw in enumerate(draws, 1)]


def clip_strip(samples: Samples, title: str, sample: Sample, pathway: str | None = None) -> Strip:
    """The pixels of a sample: of colour uint8 (T, H, W, 3), of flow (T, H, W, 2).

    Of the input named by `pathway`; None: of that with the most frames.
    """
    pathways = samples.recipe.sampling.pathways
    name = pathway or min(pathways, key=pathways.__getitem__)
    frames = sample.frames
    numbers = None if frames is None else counted(frames[samples.recipe.sampling.shared_out(len(frames))[name]])
    return Strip(title, to_pixels(sample.inputs[name], samples.recipe.transforms), numbers)


def pathway_strips(samples: Samples, sample: Sample) -> list[Strip]:
    """A sample as each of the network's pathways gets it; the title is the pathway."""
    return [clip_strip(samples, name, sample, name) for name in samples.recipe.sampling.pathways]


def drawing_rule(recipe: Recipe) -> str:
    """One line that says what is drawn for a training clip of a recipe, as `protocol` says how a score is measured."""
    sampling, transforms = recipe.sampling, recipe.transforms
    mirrored = {0.0: "never mirrored", 1.0: "always mirrored"}
    return ", ".join(
        [
            sampling.drawn_clip,
            *_cut_out(transforms),
            mirrored.get(transforms.flip, f"mirrored with probability {transforms.flip:g}"),
        ]
    )


def _cut_out(transforms: Transforms) -> list[str]:
    """What becomes of the frames of a training clip, in words."""
    height, width = transforms.height, transforms.width
    if transforms.jitter:
        lengths = " to ".join(map(str, dict.fromkeys(transforms.jitter)))
        scaled = f"whole frames scaled to a shorter side of {lengths} pixels"
        return [scaled, f"{width} × {height} cut out anywhere"]
    scales = " or ".join(f"{scale:.3g}" for scale in transforms.scales)
    largest = "the frame's shorter side" if height == width else "the largest that fits"
    where = {
        "random": "anywhere",
        "corner": "in a corner or the middle",
        "center": "in the middle",
        "tsn": "at one of 13 places",
    }[transforms.crop]
    shape = f"a {'square' if height == width else 'rectangle'} of {scales} times {largest}"
    if transforms.crop == "tsn":
        shape = f"a rectangle of two sides that are the same or neighbouring ones of {scales} times {largest}"
    return [f"{shape} {where}", f"scaled to {width} × {height} pixels"]


def preparation_line(data: StageData) -> str:
    """What `prepare_data` will take, a line for each data set of which a cut is prepared; empty if there is none.

    Disk and time depend on the machine. Of other data sets it cannot be told, see `estimate_frames`.
    """
    lines = []
    for name, one in data.sets.items():
        try:
            expected = estimate_frames(one, data.indexes[name])
        except BookError as error:  # preparation says of each video what is wrong with it
            lines.append(f"{name}: what preparing it takes cannot be told: {error}")
            continue
        if expected is not None:
            words = expected.words(data.stage.workers) if expected.videos else "nothing is left to prepare"
            lines.append(f"{name}: {words}")
    return "\n".join(lines)


def prepare_data(data: StageData) -> dict[str, Prepared]:
    """Frames of all data sets, and flow where a stream needs it, by name; what is there already is left alone.

    Writes the indexes that the later stages read. Raises BookError where too much fails.
    """
    stage = data.stage
    flow = any(stream.recipe.transforms.modality == "flow" for stream in stage.streams.values())
    with stage.timed("prepare"):
        done = {
            name: prepare(
                one,
                data.indexes[name],
                workers=stage.workers,
                scheduler=stage.scheduler,
                report_folder=stage.workspace,
                flow=flow,
            )
            for name, one in data.sets.items()
        }
    for one in done.values():
        warn_of_partial_copy(one.dataset, one.index)
    return {name: _with_short_ones(stage, one) for name, one in done.items()}


def _with_short_ones(stage: Stage, done: Prepared) -> Prepared:
    """With a note on test videos that are too short for a clip of some stream or run: they will be misses."""
    test, short = done.index.subset("test"), set[str]()
    for stream in stage.streams.values():
        for own in (stream, *map(stream.for_run, stream.recipe.training.runs)):
            if dataset_of(own) == done.dataset:
                one = Samples(test, done.dataset.colour_store, own.recipe, len(own.manifest.classes))
                short.update(one.too_short)
    if not short:
        return done
    # Only whole videos can be too short: their items are called like them.
    mine, frames = done.frames.video.isin(short), done.frames.copy()
    frames.loc[mine, "note"] = [
        "; ".join(filter(None, [note, "too short for a tested clip, so it counts as a miss"]))
        for note in frames.note[mine]
    ]
    return replace(done, frames=frames)


def partial_copy(dataset: Dataset, index: Index) -> str:
    """The line that stands beside every result of a data set that is not whole; empty if it is."""
    lacks = index.lacks()
    return lacks and f"partial copy of {dataset.manifest.name}: {lacks}"


def warn_of_partial_copy(dataset: Dataset, index: Index) -> None:
    """Log that line, if there is one, as a warning, which a notebook shows."""
    if line := partial_copy(dataset, index):
        logger.warning("%s", line)


def finish(data: StageData, prepared: Mapping[str, Prepared]) -> DataResults:
    """Write the record: what was expected, found and missing of each data set."""
    own = data.own.manifest.name
    results = DataResults(sets={name: one.row for name, one in prepared.items()}, own=own)
    data.stage.finish(results, {f"{name}.index": one.row.index_sha256 for name, one in prepared.items()})
    return results
