"""UCF101 on disk: class folders of .avi files and the official train/test lists.

Soomro, Zamir, Shah, "UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild", CRCV-TR-12-01.
"""

from __future__ import annotations

import re
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import shown
from actionbook.datasets.index import Index
from actionbook.datasets.lists import finish_index, read_lines, split_of

_LINE = re.compile(r"(?P<label>[^/]+)/(?P<video>v_[^/]+_g\d\d_c\d\d)\.avi(?: (?P<number>\d+))?")


def ucf101_index(root: Path, manifest: DatasetManifest, split: int, allow_missing: bool = False) -> Index:
    """Read one split: the index in the lists' order, train then test, with a row for every video that should exist.

    Everything is checked against the manifest: the class list, the number of lines of both lists, that no video
    stands in both, and that every file exists (as `video_files` finds it). The lists' line ends may be CRLF (as
    published) or LF.
    Raises BookError listing what is wrong; with `allow_missing` videos that do not exist have an empty path.
    """
    expected = split_of(manifest, split)
    lists = root / manifest.layout.annotations
    _check_classes(lists / "classInd.txt", manifest)
    rows: list[dict[str, object]] = []
    for subset, count in (("train", expected.train), ("test", expected.test)):
        path = lists / f"{subset}list{split:02d}.txt"
        found = _read_list(path, manifest)
        if len(found) != count:
            raise BookError(f"{shown(path)}: {len(found)} videos, the manifest says {count}; fetch the lists again")
        rows += [{**row, "subset": subset} for row in found]
    return finish_index(root, manifest, rows, allow_missing)


def _check_classes(path: Path, manifest: DatasetManifest) -> None:
    found = [line.split(maxsplit=1) for line in read_lines(path)]
    expected = [[str(i + 1), name] for i, name in enumerate(manifest.classes)]
    if found != expected:
        wrong = [" ".join(f) for f, e in zip(found, expected, strict=False) if f != e][:3]
        raise BookError(
            f"{shown(path)}: is not the class list of {manifest.name} "
            f"({len(found)} classes, {len(expected)} expected; first differences: {wrong})"
        )


def _read_list(path: Path, manifest: DatasetManifest) -> list[dict[str, object]]:
    numbers = {name: i for i, name in enumerate(manifest.classes)}
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        match = _LINE.fullmatch(line)
        if not match or match["label"] not in numbers:
            raise BookError(f"{shown(path)}, line {number}: expected Class/v_Class_g01_c01.avi, found {line!r}")
        target = numbers[match["label"]]
        if match["number"] and int(match["number"]) != target + 1:
            raise BookError(f"{shown(path)}, line {number}: class number {match['number']}, expected {target + 1}")
        rows.append({"video": match["video"], "label": match["label"], "target": target})
    return rows
