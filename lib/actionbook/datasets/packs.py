"""A folder of packed videos, as StNet's programs leave it, as an index.

It holds ``train/<video>.pkl`` and ``val/<video>.pkl`` (`video.frame_pack`), and the lists ``train.json`` and
``val.json``: JSON lists of ``{"video_name": "<video>.mp4"}``. The lists name no classes, the packs do, by numbers;
whose numbers they are a file ``<data set>_label.txt`` may say, with a line ``<class> <number>`` for each.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from actionbook.core.errors import BookError, some
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import shown
from actionbook.datasets.index import Index, make_index
from actionbook.datasets.lists import check_split, read_lines, read_text, split_of
from actionbook.video.frame_pack import SUFFIX, label_of
from actionbook.video.names import loose, without_suffix
from actionbook.video.parallel import in_threads

_FOLDERS = {"train": "train", "test": "val"}


def holds_packs(folder: Path) -> bool:
    """Whether a folder of prepared frames is one of packs: it has a list of them, or packs."""
    return any(
        (folder / f"{name}.json").is_file() or next((folder / name).glob(f"*{SUFFIX}"), None)
        for name in _FOLDERS.values()
    )


def packed_index(folder: Path, manifest: DatasetManifest, split: int, allow_missing: bool = False) -> Index:
    """The index of the split that the two lists describe, with the packs as its paths.

    Raises BookError for a list that cannot be read, packs that are missing or damaged (those without frames are found
    when frames are looked at), class numbers that the manifest does not have, and another number of videos than the
    split has; with `allow_missing` only for more. A pack that is missing is an error with `allow_missing`, too, since
    nothing else says of which class it is.
    """
    split_of(manifest, split)  # before a file is read
    _check_classes(folder, manifest)
    listed = [(subset, video) for subset, name in _FOLDERS.items() for video in _read_list(folder / f"{name}.json")]
    found = [sum(subset == own for subset, _ in listed) for own in _FOLDERS]
    start, remedy = f"{shown(folder)}: its lists name", "set data.allow_missing if that is a part"
    check_split(start, found, manifest, split, allow_missing=allow_missing, remedy=remedy)
    stores = [f"{_FOLDERS[subset]}/{video}" for subset, video in listed]
    if missing := [store for store in stores if not (folder / f"{store}{SUFFIX}").is_file()]:
        raise BookError(
            f"{shown(folder)}: {len(missing)} of {len(stores)} listed packs are missing: {some(missing, 3)}. "
            "Pack these videos, or take them off the list"
        )
    labels = in_threads(lambda store: label_of(folder / f"{store}{SUFFIX}"), stores, "looking at packs")
    if wrong := [(store, label) for store, label in zip(stores, labels, strict=True) if label >= len(manifest.classes)]:
        raise BookError(
            f"{shown(folder / wrong[0][0])}{SUFFIX}: its class is {wrong[0][1]}, {manifest.name} has "
            f"{len(manifest.classes)} classes from 0 ({len(wrong)} such packs): they were packed for another data set"
        )
    return make_index(
        {
            "video": video,
            "store": store,
            "path": f"{store}{SUFFIX}",
            "label": manifest.classes[label],
            "target": label,
            "subset": subset,
        }
        for (subset, video), store, label in zip(listed, stores, labels, strict=True)
    )


def _read_list(path: Path) -> list[str]:
    """The names of videos in a list, without suffix."""
    try:
        entries = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise BookError(f"{shown(path)}: is not JSON ({error}); make it again") from error
    if not isinstance(entries, list):
        raise BookError(f"{shown(path)}: expected a list of videos, found {type(entries).__name__}; make it again")
    return [_video(path, number, entry) for number, entry in enumerate(entries)]


def _video(path: Path, number: int, entry: Any) -> str:
    name = entry.get("video_name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name or "/" in name:
        raise BookError(
            f'{shown(path)}: entry {number} is {str(entry)[:80]}, expected {{"video_name": "<video>.mp4"}}; '
            "make the list again"
        )
    return without_suffix(name) or name


def _check_classes(folder: Path, manifest: DatasetManifest) -> None:
    """Raise BookError where the packing program's list of classes is there and is not the manifest's."""
    path = folder / f"{manifest.dataset}_label.txt"
    if not path.is_file():
        return
    numbers: dict[int, str] = {}
    for line in read_lines(path):
        match = re.fullmatch(r"(.+) ([0-9]{1,6})", line)
        number = int(match[2]) if match else -1
        if match is None or number in numbers:
            raise BookError(f"{shown(path)}: expected a line '<class> <number>' for each class once, found {line!r}")
        numbers[number] = match[1].strip("\"'")
    for number, name in enumerate(manifest.classes):
        if loose(numbers.get(number, "")) != loose(name):
            raise BookError(
                f"{shown(path)}: class {number} is {numbers.get(number, 'missing')}, in {manifest.name} it is {name}: "
                "the packs have other class numbers; pack the videos again with the classes in the manifest's order"
            )
    if len(numbers) > len(manifest.classes):
        raise BookError(f"{shown(path)}: {len(numbers)} classes, {manifest.name} has {len(manifest.classes)}")
