"""The annotation files of the original two-stream scripts: one JSON for each split, to and from the index.

``labels`` lists the classes, its order is their numbers. ``database.<clip>`` holds ``subset`` (``training`` or
``validation``) and ``annotations`` with ``label`` and ``segment``, the first frame and one past the last, counted from
1. These are the files that the port's ``hmdb51_json.py`` and ``ucf101_json.py`` make, after the manner of ActivityNet.
"""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import write_json_atomic
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import shown
from actionbook.datasets.index import make_index

_SUBSETS = {"train": "training", "test": "validation"}


def write_annotation_json(index: pd.DataFrame, classes: tuple[str, ...], path: Path) -> None:
    """Write the videos of a prepared `index` to `path`; `classes` in the order of their numbers.

    A clip's name is the video's up to the first dot, as the original scripts cut it. Raises BookError if two videos
    get one name by that, if a video's class number is not its place in `classes`, or if a video has no frames.
    """
    if unprepared := index.video[index.frames <= 0].tolist():
        raise BookError(
            f"{shown(path)}: {len(unprepared)} videos have no frames, and a segment has none to count: "
            f"{', '.join(unprepared[:10])}; prepare them (notebook 01_data), or pass index[index.frames > 0]"
        )
    names: dict[str, str] = {}
    database: dict[str, Any] = {}
    for video, label, target, subset, frames in zip(
        index.video, index.label, index.target, index.subset, index.frames, strict=True
    ):
        if target >= len(classes) or classes[target] != label:
            raise BookError(
                f"{shown(path)}: {video} has the class {label} and the number {target}, which is not its place in the "
                "list of classes; take the classes of the manifest that the index was read with"
            )
        name = video.partition(".")[0]
        if name in names:
            raise BookError(
                f"{shown(path)}: {names[name]!r} and {video!r} are one name up to the first dot ({name!r}), where the "
                "original scripts cut it; rename one of the videos"
            )
        names[name] = video
        database[name] = {
            "subset": _SUBSETS[subset],
            "annotations": {"label": label, "segment": [1, int(frames) + 1]},
        }
    write_json_atomic(path, {"labels": list(classes), "database": database})


def read_annotation_json(path: Path, manifest: DatasetManifest | None = None) -> pd.DataFrame:
    """The index that a file of the original scripts describes, in its order; ``path`` is empty, the file has none.

    ``frames`` is 0 where an entry has no segment. With `manifest` the labels must be its classes, in order.
    Raises BookError naming the file and the entry that is wrong; of labels, the first that differs.
    """
    data = _load(path)
    labels, database = data.get("labels"), data.get("database")
    if not isinstance(labels, list) or not isinstance(database, dict) or not all(isinstance(x, str) for x in labels):
        raise BookError(f"{shown(path)}: expected 'labels', a list of names, and 'database', clips by name")
    if manifest is not None:
        _check_labels(path, labels, manifest)
    numbers = {name: number for number, name in enumerate(labels)}
    if len(numbers) != len(labels):
        raise BookError(f"{shown(path)}: a label is listed twice, so that its number is not known")
    return make_index([{"video": clip, **_row(path, clip, entry, numbers)} for clip, entry in database.items()])


def _load(path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} stands twice")
        return found

    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except (OSError, ValueError) as error:
        raise BookError(
            f"{shown(path)}: cannot be read as annotations ({error}); make it again with write_annotation_json or "
            "the original script"
        ) from error
    if not isinstance(data, dict):
        raise BookError(f"{shown(path)}: expected 'labels' and 'database', found {type(data).__name__}")
    return data


def _check_labels(path: Path, labels: list[str], manifest: DatasetManifest) -> None:
    for number, (found, expected) in enumerate(zip_longest(labels, manifest.classes)):
        if found != expected:
            raise BookError(
                f"{shown(path)}: label {number} is {found or 'missing'}, {expected or 'no more labels'} expected "
                f"({len(labels)} labels, {manifest.name} has {len(manifest.classes)}); class numbers would differ: "
                "make the file from this data set's own lists"
            )


def _row(path: Path, clip: str, entry: Any, numbers: dict[str, int]) -> dict[str, object]:
    try:
        label, subset = entry["annotations"]["label"], entry["subset"]
        first, end = entry["annotations"].get("segment", (1, 1))
        target = numbers[label]
        subset = {value: key for key, value in _SUBSETS.items()}[subset]
        if first != 1 or not isinstance(end, int) or end < 1:
            raise ValueError(f"segment {[first, end]}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BookError(
            f"{shown(path)}: clip {clip!r} ({error}): expected subset training or validation, annotations.label out of "
            "the labels and segment [1, number of frames + 1]"
        ) from error
    return {"label": label, "target": target, "subset": subset, "path": "", "frames": end - 1}
