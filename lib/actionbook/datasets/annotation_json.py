"""The annotation files of the original scripts: one JSON for each split, to and from the index.

``labels`` lists the classes, its order is their numbers. ``database.<clip>`` holds ``subset`` (``training`` or
``validation``) and ``annotations`` with ``label``, after the manner of ActivityNet; the order of the clips is that of
the lists. These are the files of Efficient-3DCNNs (its ``ucf101_json.py``). Those of the I3D port (``hmdb51_json.py``,
``ucf101_json.py``) also hold ``annotations.segment``, the first frame and one past the last, counted from 1. In those
of ``kinetics_json.py`` the clips are named as files, have ``n_frames``, and lie one level deeper, by subset. Clips of
the subset ``testing``, whose labels were held back, are left out.
"""

from __future__ import annotations

import json
import logging
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from actionbook.core.errors import BookError
from actionbook.core.files import read_text_file, write_text_atomic
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import shown
from actionbook.datasets.index import Index, make_index
from actionbook.video.names import loose, without_suffix

logger = logging.getLogger(__name__)

_SUBSETS = {"train": "training", "test": "validation"}
_NAMES = {name: subset for subset, name in _SUBSETS.items()}
_TESTING = "testing"
"""The subset without labels."""

Style = Literal["efficient3d", "i3d"]


def write_annotation_json(index: Index, classes: tuple[str, ...], path: Path, style: Style = "i3d") -> None:
    """Write the videos of `index` to `path`; `classes` in the order of their numbers.

    In the style "efficient3d" the bytes are those that Efficient-3DCNNs' script writes from the same lists; "i3d" adds
    the segments, for which the index must be a prepared one. A clip's name is the video's up to the first dot, as both
    scripts cut it. Raises BookError if two videos get one name by that, if a video's class number is not its place in
    `classes`, or if a video has no frames where a segment has to count them.
    """
    if style == "i3d" and (unprepared := index.missing):
        raise BookError(
            f"{shown(path)}: {len(unprepared)} videos have no frames, and a segment has none to count: "
            f"{', '.join(unprepared[:10])}; prepare them (notebook 01_data), or leave them out (`Index.with_items`)"
        )
    table = index.table
    names: dict[str, str] = {}
    database: dict[str, Any] = {}
    for video, label, target, subset, frames in zip(
        table.video, table.label, table.target, table.subset, table.frames, strict=True
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
        segment = {"segment": [1, int(frames) + 1]} if style == "i3d" else {}
        database[name] = {"subset": _SUBSETS[subset], "annotations": {"label": label, **segment}}
    write_text_atomic(path, json.dumps({"labels": list(classes), "database": database}))


def read_annotation_json(path: Path, manifest: DatasetManifest | None = None) -> Index:
    """The index that a file of the original scripts describes, in its order; ``path`` is empty, the file has none.

    ``frames`` is 0 where an entry has neither a segment nor ``n_frames``. With `manifest` the labels must be its
    classes, in order; where only the spelling differs (``HandStandPushups``, underscores for spaces), the manifest's
    are taken. How many clips of the subset testing are left out is logged.
    Raises BookError naming the file and the entry that is wrong; of labels, the first that differs; and where no clip
    is left.
    """
    data = _load(path)
    labels, database = data.get("labels"), data.get("database")
    if not isinstance(labels, list) or not isinstance(database, dict) or not all(isinstance(x, str) for x in labels):
        raise BookError(f"{shown(path)}: expected 'labels', a list of names, and 'database', clips by name")
    names = labels
    if manifest is not None:
        _check_labels(path, labels, manifest)
        names = list(manifest.classes)
    numbers = {label: (name, number) for number, (label, name) in enumerate(zip(labels, names, strict=True))}
    if len(numbers) != len(labels):
        raise BookError(f"{shown(path)}: a label is listed twice, so that its number is not known")
    every = _flat(path, database)
    clips = {clip: entry for clip, entry in every.items() if not _is_testing(entry)}
    if not clips:
        raise BookError(
            f"{shown(path)}: holds {len(every)} clips, none of them of training or validation; make the file "
            "from lists with labels"
        )
    if left_out := len(every) - len(clips):
        logger.warning(
            "%s: %d clips of the subset %s are left out: they have no labels", shown(path), left_out, _TESTING
        )
    return make_index([_row(path, clip, entry, numbers) for clip, entry in clips.items()])


def _is_testing(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("subset") == _TESTING


def _flat(path: Path, database: dict[str, Any]) -> dict[str, Any]:
    """The clips by name, training first; those of Kinetics out of the mapping of their subset, without suffix."""
    if not database or not set(database) <= {*_NAMES, _TESTING}:
        return database
    if any(not isinstance(entries, dict) or "annotations" in entries for entries in database.values()):
        return database
    flat: dict[str, Any] = {}
    for subset in _NAMES:
        for file, entry in database.get(subset, {}).items():
            clip = without_suffix(file) or file
            if clip in flat:
                raise BookError(f"{shown(path)}: {clip!r} stands under training and validation; keep one")
            if not isinstance(entry, dict) or entry.get("subset") != subset:
                raise BookError(f"{shown(path)}: clip {clip!r} stands under {subset}, its entry says otherwise")
            flat[clip] = entry
    for file in database.get(_TESTING, {}):
        flat.setdefault(file, {"subset": _TESTING})
    return flat


def _load(path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} stands twice")
        return found

    try:
        data = json.loads(read_text_file(path), object_pairs_hook=unique)
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
        if found is None or expected is None or loose(found) != loose(expected):
            raise BookError(
                f"{shown(path)}: label {number} is {found or 'missing'}, {expected or 'no more labels'} expected "
                f"({len(labels)} labels, {manifest.name} has {len(manifest.classes)}); class numbers would differ: "
                "make the file from this data set's own lists"
            )


def _row(path: Path, clip: str, entry: Any, numbers: dict[str, tuple[str, int]]) -> dict[str, object]:
    try:
        annotations = entry["annotations"]
        label, target = numbers[annotations["label"]]
        first, end = annotations.get("segment", (1, entry.get("n_frames", 0) + 1))
        subset = _NAMES[entry["subset"]]
        if first != 1 or not isinstance(end, int) or end < 1:
            raise ValueError(f"segment {[first, end]}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BookError(
            f"{shown(path)}: clip {clip!r} ({error}): expected subset training or validation, annotations.label out of "
            "the labels and segment [1, number of frames + 1]"
        ) from error
    row = {"label": label, "target": target, "subset": subset, "path": "", "frames": end - 1}
    return {"video": clip, "store": f"{label}/{clip}", **row}
