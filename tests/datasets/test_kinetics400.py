"""Reading Kinetics-400's layout: CSV lists with odd rows, class folders with spaces, and errors that say what to do."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, Layout, Split
from actionbook.datasets.kinetics400 import kinetics400_index

DATA = Path(__file__).parent / "data"
CLASSES = ("abseiling", 'playing "cymbals", loud', "punching person (boxing)", "riding a bike")
HEADER = "label,youtube_id,time_start,time_end,split,is_cc"
TRAIN = [
    "abseiling,0wR5jVB-WPk,417,427,train,0",
    '"playing ""cymbals"", loud",-egPJubR-CE,2,12,train,0',
    '"riding a bike",_wR5jVB_WPk,0,10,train,1',
]
VAL = ['"punching person (boxing)",--nQbRBEz2s,6734,6744,val,0', '"riding a bike",3caPS4FHFF8,36,46,val,0']
PATHS = [
    "train/abseiling/0wR5jVB-WPk_000417_000427.mp4",
    'train/playing "cymbals", loud/-egPJubR-CE_000002_000012.mp4',
    "train/riding a bike/_wR5jVB_WPk_000000_000010.mp4",
    "val/punching person (boxing)/--nQbRBEz2s_006734_006744.mp4",
    "val/riding a bike/3caPS4FHFF8_000036_000046.mp4",
]
MANIFEST = DatasetManifest(
    kind="dataset",
    name="small",
    dataset="kinetics400",
    title="Small",
    licence="none",
    citation="none",
    layout=Layout(videos="videos", annotations="annotations", suffix=".mp4"),
    videos=5,
    splits={"1": Split(train=3, test=2)},
    classes=CLASSES,
)


def write_lists(
    root: Path, train: list[str] = TRAIN, val: list[str] = VAL, header: str = HEADER, end: str = "\n"
) -> None:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("val", val)):
        (root / "annotations" / f"{name}.csv").write_bytes("".join(f"{line}{end}" for line in [header, *rows]).encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_lists(tmp_path)
    for path in PATHS:
        (tmp_path / "videos" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / path).write_bytes(b"")
    return tmp_path


def read(root: Path, **options: Any) -> pd.DataFrame:
    return kinetics400_index(root, MANIFEST, 1, **options).table


def test_index_of_the_split(root: Path) -> None:
    table = read(root)
    labels = [path.split("/")[1] for path in PATHS]
    assert table.video.tolist() == [Path(path).stem for path in PATHS]
    assert table.label.tolist() == labels
    assert table.target.tolist() == [CLASSES.index(label) for label in labels]
    assert table.subset.tolist() == ["train", "train", "train", "test", "test"]
    assert table.path.tolist() == [f"videos/{path}" for path in PATHS]
    assert table.store.tolist() == [f"{label}/{Path(path).stem}" for label, path in zip(labels, PATHS, strict=True)]


def test_line_ends_empty_lines_and_a_missing_last_column_make_no_difference(root: Path) -> None:
    expected = read(root)
    write_lists(root, end="\r\n")
    pd.testing.assert_frame_equal(read(root), expected)
    write_lists(root, train=["", *TRAIN, ""])
    pd.testing.assert_frame_equal(read(root), expected)
    write_lists(
        root,
        train=[row.rpartition(",")[0] for row in TRAIN],
        val=[row.rpartition(",")[0].replace(",val", ",validate") for row in VAL],
        header=HEADER.removesuffix(",is_cc"),
    )
    pd.testing.assert_frame_equal(read(root), expected)


def test_lists_may_be_called_as_activitynets_copies(root: Path) -> None:
    expected = read(root)
    for name in ("train", "val"):
        (root / "annotations" / f"{name}.csv").rename(root / "annotations" / f"kinetics-400_{name}.csv")
    pd.testing.assert_frame_equal(read(root), expected)
    (root / "annotations" / "val.csv").write_text("nothing")  # goes before the other
    with pytest.raises(BookError, match=r"annotations/val\.csv: expected the columns"):
        read(root)
    (root / "annotations" / "kinetics-400_train.csv").unlink()
    with pytest.raises(BookError, match=r"annotations/train\.csv: cannot be read"):
        read(root)


def test_class_folders_may_lie_in_the_root(root: Path) -> None:
    for folder in ("train", "val"):
        (root / "videos" / folder).rename(root / folder)
    layout = MANIFEST.layout.model_copy(update={"videos": "."})
    index = kinetics400_index(root, MANIFEST.model_copy(update={"layout": layout}), 1)
    assert index.items.path.tolist() == PATHS


def test_files_named_by_their_youtube_id_alone_are_found(root: Path) -> None:
    path = root / "videos" / PATHS[2]
    path.rename(path.with_name("_wR5jVB_WPk.mp4"))
    table = read(root)
    assert table.video[2] == "_wR5jVB_WPk_000000_000010"  # results are listed under the id of the lists
    assert table.path[2] == "videos/train/riding a bike/_wR5jVB_WPk.mp4"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "climbing,0wR5jVB-WPk,417,427,train,0",
            r"train\.csv, line 4: expected a class of the manifest, found",
        ),
        ("riding_a_bike,0wR5jVB-WPj,417,427,train,0", "expected a class of the manifest"),
        ("abseiling,0wR5jVB-WPj,417,427,val,0", r"line 4: expected label, youtube_id, .* \(train\), found"),
        ("abseiling,0wR5jVB-WP,417,427,train,0", "line 4: expected label, youtube_id"),
        ("abseiling,../R5jVB-WP,417,427,train,0", "line 4: expected label, youtube_id"),
        ("abseiling,0wR5jVB-WPj,427,417,train,0", "line 4: expected label, youtube_id, time_start, time_end"),
        ("abseiling,0wR5jVB-WPj,4.5,417,train,0", "line 4: expected label"),
        ("abseiling,0wR5jVB-WPj,417,427,train", "line 4: expected label"),
        ("riding, a bike,0wR5jVB-WPj,417,427,train,0", "line 4: expected label"),
        ('"abseiling,0wR5jVB-WPj,417,427,train,0', r"train\.csv, line 4: is not CSV \(.*\); fetch the lists again"),
    ],
)
def test_rows_that_are_wrong(root: Path, row: str, message: str) -> None:
    write_lists(root, train=[*TRAIN[:2], row])
    with pytest.raises(BookError, match=message):
        read(root, allow_missing=True)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": TRAIN[:2]}, r"train\.csv: 2 videos, the manifest says 3; fetch the lists again"),
        ({"val": [*VAL, VAL[0]]}, r"val\.csv: 3 videos, the manifest says 2"),
        ({"val": [VAL[0], VAL[0]]}, "1 videos are listed twice: --nQbRBEz2s_006734_006744"),
        ({"train": [*TRAIN[:2], VAL[1].replace(",val,", ",train,")]}, "1 videos are listed twice: 3caPS4FHFF8_000036"),
        ({"header": "youtube_id,time_start,time_end,split"}, "expected the columns label, .* found youtube_id"),
        ({"header": HEADER + ",more"}, "expected the columns label, .*and perhaps is_cc, found"),
        ({"header": "", "train": [], "val": []}, r"train\.csv: expected the columns .* found nothing"),
    ],
)  # fmt: skip
def test_lists_that_are_wrong(root: Path, lists: dict[str, Any], message: str) -> None:
    write_lists(root, **lists)
    with pytest.raises(BookError, match=message):
        read(root, allow_missing=True)


def test_a_missing_list_and_an_unknown_split(root: Path) -> None:
    with pytest.raises(BookError, match="small: there is no split 2, only 1"):
        kinetics400_index(root, MANIFEST, 2)
    (root / "annotations" / "val.csv").unlink()
    with pytest.raises(BookError, match=r"val\.csv: cannot be read"):
        read(root)


def test_videos_that_have_vanished(root: Path) -> None:
    expected = read(root)
    for path in PATHS[1:3]:
        (root / "videos" / path).unlink()
    with pytest.raises(BookError, match=r"videos: 2 of the 5 videos of small are missing: -egPJubR-CE_000002_000012, "):
        read(root)
    table = read(root, allow_missing=True)
    assert table.path.tolist() == [f"videos/{p}" if i not in (1, 2) else "" for i, p in enumerate(PATHS)]
    pd.testing.assert_frame_equal(table.drop(columns="path"), expected.drop(columns="path"))
    for path in PATHS:
        (root / "videos" / path).unlink(missing_ok=True)
    with pytest.raises(BookError, match="5 of the 5 videos"):
        read(root, allow_missing=True)


def test_lists_that_a_spreadsheet_has_saved(root: Path) -> None:
    expected = read(root)
    lists = {"train": [HEADER, *TRAIN], "val": [HEADER, *VAL]}
    for encoding, sign in (("utf-8-sig", ","), ("utf-8-sig", ";"), ("utf-16", "\t")):
        for name, lines in lists.items():
            rows = csv.reader(lines)
            with (root / "annotations" / f"{name}.csv").open("w", encoding=encoding, newline="") as file:
                csv.writer(file, delimiter=sign).writerows([*rows, [""] * 6])  # CR LF, and a row of empty cells
        pd.testing.assert_frame_equal(read(root), expected)


def test_a_list_of_the_library_of_cases(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    shutil.copy(DATA / "kinetics_from_a_spreadsheet.csv", tmp_path / "annotations" / "train.csv")
    (tmp_path / "annotations" / "val.csv").write_text(HEADER + "\n")
    paths = [
        "videos/train/abseiling/abcdefghijk_417_427.webm",
        "videos/train/massaging_person's_head/-bcdefghij0_000004_000014.mp4",
    ]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    classes = ("abseiling", "massaging person's head")
    manifest = MANIFEST.model_copy(update={"splits": {"1": Split(train=2, test=0)}, "classes": classes})
    table = kinetics400_index(tmp_path, manifest, 1).table
    assert table.path.tolist() == paths
    assert table.video.tolist() == ["abcdefghijk_000417_000427", "-bcdefghij0_000004_000014"]
