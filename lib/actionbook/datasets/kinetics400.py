"""Kinetics-400 on disk: class folders of .mp4 files and the CSV lists, as ActivityNet's crawler and CVDF leave them.

Kay, Carreira, Simonyan et al., "The Kinetics Human Action Video Dataset", arXiv 1705.06950.
"""

from __future__ import annotations

import csv
import re
from io import StringIO
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import shown
from actionbook.datasets.index import Index
from actionbook.datasets.lists import finish_index, read_text, split_of

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
"""Columns of ``train.csv`` and ``val.csv``; some copies have ``is_cc`` after them."""

_SUBSETS = {"train": ("train", ("train",)), "test": ("val", ("val", "validate", "validation"))}
_ID = re.compile(r"[A-Za-z0-9_-]{11}")


def kinetics400_index(root: Path, manifest: DatasetManifest, split: int, allow_missing: bool = False) -> Index:
    """Read the one split: train from ``train.csv``, test from ``val.csv`` (the labels of ``test.csv`` are not public);
    or from ``kinetics-400_train.csv`` and ``kinetics-400_val.csv``, as ActivityNet's copies are called.

    A video's id is ``<youtube_id>_<start>_<end>``, times in whole seconds with six digits; its file is
    ``<train or val>/<class name>/<id>.mp4`` below the manifest's folder, or ``<youtube_id>.mp4`` there, or what
    `video_files` finds. Checked: the columns, every label, the number of rows of both lists, that no video stands
    twice, and that every file exists. Cells may be parted by commas, or by semicolons or tabs as spreadsheets do.
    Raises BookError saying what is wrong; with `allow_missing` videos that do not exist have an empty path.
    """
    expected = split_of(manifest, split)
    rows: list[dict[str, object]] = []
    for subset, count in (("train", expected.train), ("test", expected.test)):
        folder, names = _SUBSETS[subset]
        path = _list_file(root / manifest.layout.annotations, folder)
        found = _read_list(path, manifest, names)
        if len(found) != count:
            raise BookError(f"{shown(path)}: {len(found)} videos, the manifest says {count}; fetch the lists again")
        rows += [{**row, "subset": subset} for row in found]
    return finish_index(root, manifest, rows, allow_missing)


def _list_file(annotations: Path, name: str) -> Path:
    names = (f"{name}.csv", f"kinetics-400_{name}.csv")
    return next((annotations / one for one in names if (annotations / one).is_file()), annotations / names[0])


def _read_list(path: Path, manifest: DatasetManifest, split_names: tuple[str, ...]) -> list[dict[str, object]]:
    """(video, label, target) of every row. Labels may hold commas and quotes, as CSV writes them."""
    numbers = {name: number for number, name in enumerate(manifest.classes)}
    text = read_text(path)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    lines = csv.reader(StringIO(text, newline=""), strict=True, delimiter=delimiter)
    rows: list[dict[str, object]] = []
    try:
        header = next(lines, [])
        if tuple(header[: len(COLUMNS)]) != COLUMNS or len(header) > len(COLUMNS) + 1:
            raise BookError(
                f"{shown(path)}: expected the columns {', '.join(COLUMNS)} and perhaps is_cc, found "
                f"{', '.join(header) or 'nothing'}; fetch the lists again"
            )
        for cells in lines:
            if not any(cells):
                continue
            label, video = cells[0], _video(cells, len(header), split_names)
            if label not in numbers or not video:
                what = "a class of the manifest" if video else f"{', '.join(header)} ({' or '.join(split_names)})"
                raise BookError(f"{shown(path)}, line {lines.line_num}: expected {what}, found {cells}")
            rows.append({"video": video, "label": label, "target": numbers[label]})
    except csv.Error as error:
        raise BookError(f"{shown(path)}, line {lines.line_num}: is not CSV ({error}); fetch the lists again") from error
    return rows


def _video(cells: list[str], columns: int, split_names: tuple[str, ...]) -> str:
    """The id of one row's video, empty where the row does not hold what it should."""
    if len(cells) != columns or not _ID.fullmatch(cells[1]) or cells[4] not in split_names:
        return ""
    if not all(re.fullmatch(r"[0-9]{1,6}", time) for time in cells[2:4]) or int(cells[2]) >= int(cells[3]):
        return ""
    return f"{cells[1]}_{int(cells[2]):06d}_{int(cells[3]):06d}"
