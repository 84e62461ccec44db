"""The original scripts' annotation files: what they say, the round trip, and files that contradict themselves."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.datasets.annotation_json import read_annotation_json, write_annotation_json
from actionbook.datasets.hmdb51 import hmdb51_index
from actionbook.datasets.index import Index, make_index
from actionbook.datasets.miniature import HMDB51, MiniSpec

DATA = Path(__file__).parent / "data"
CLASSES = ("golf", "riding a bike", "swing_baseball")
GOOD: dict[str, Any] = {
    "labels": list(CLASSES),
    "database": {
        "#1_(HD)_golf_0": {"subset": "training", "annotations": {"label": "golf", "segment": [1, 41]}},
        "行动;_&!": {"subset": "validation", "annotations": {"label": "swing_baseball", "segment": [1, 2]}},
    },
}


def rows(*videos: str, **changes: Any) -> list[dict[str, object]]:
    label = {"label": "golf", "target": 0, "subset": "train", "path": "x.avi", "frames": 40}
    return [{"video": video, **label, **changes} for video in videos]


def index(*videos: str, **changes: Any) -> Index:
    return make_index(rows(*videos, **changes))


def manifest_of(name: str) -> DatasetManifest:
    return load_dataset(name).model_copy(update={"classes": CLASSES})


def read(path: Path, data: Any, manifest: DatasetManifest | None = None) -> Index:
    path = path / "split.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return read_annotation_json(path, manifest)


def assert_same_but_for_paths(found: Index, expected: Index) -> None:
    assert found.sha256 == expected.sha256
    assert (found.items.path == "").all()
    assert (found.items.store == found.labels.label + "/" + found.items.video).all()


def test_the_file_is_what_the_original_scripts_write(tmp_path: Path) -> None:
    last = rows("行动;_&!", label="swing_baseball", target=2, subset="test", frames=1)
    write_annotation_json(make_index([*rows("#1_(HD)_golf_0"), *last]), CLASSES, tmp_path / "out" / "hmdb51_1.json")
    assert json.loads((tmp_path / "out" / "hmdb51_1.json").read_text(encoding="utf-8")) == GOOD


def test_round_trip_of_ucf101s_miniature(tiny: Any, prepared: Any, tmp_path: Path) -> None:
    write_annotation_json(prepared.index, tiny.manifest.classes, tmp_path / "ucf101_01.json")
    again = read_annotation_json(tmp_path / "ucf101_01.json", tiny.manifest)
    assert_same_but_for_paths(again, prepared.index)


def test_round_trip_of_hmdb51s_miniature(tmp_path: Path) -> None:
    manifest = load_dataset("mini_hmdb51")
    assert manifest.generator is not None
    spec = MiniSpec(**manifest.generator.model_dump(), classes=manifest.classes)
    for name, text in HMDB51.lists(spec).items():  # the lists and empty videos are enough
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        for line in text.splitlines():
            video = tmp_path / "hmdb51_org" / name.split("/")[1].rsplit("_", 2)[0] / line.split()[0]
            video.parent.mkdir(parents=True, exist_ok=True)
            video.touch()
    for split in (1, 2, 3):
        found = hmdb51_index(tmp_path, manifest, split)
        found = found.with_items(found.items.assign(frames=np.arange(len(found)) + 22))
        write_annotation_json(found, manifest.classes, tmp_path / f"hmdb51_{split}.json")
        assert_same_but_for_paths(read_annotation_json(tmp_path / f"hmdb51_{split}.json", manifest), found)


def test_names_that_are_one_up_to_the_first_dot(tmp_path: Path) -> None:
    write_annotation_json(index("a.b", "ab"), CLASSES, tmp_path / "a.json")
    assert read_annotation_json(tmp_path / "a.json").items.video.tolist() == ["a", "ab"]
    with pytest.raises(BookError, match=r"'St\._Moritz_golf_0' and 'St\._Anton_golf_0' are one name .* \('St'\)"):
        write_annotation_json(index("St._Moritz_golf_0", "St._Anton_golf_0"), CLASSES, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (index("a", "b", frames=0), r"b\.json: 2 videos have no frames.*: a, b; prepare them"),
        (index("a", target=1), r"a has the class golf and the number 1, which is not its place"),
        (index("a", target=3), r"a has the class golf and the number 3"),
        (index("a", label="walk"), r"a has the class walk and the number 0"),
        (make_index([*rows("a"), *rows("a", target=1)]), "1 items have no class or several"),
    ],
)
def test_indexes_that_cannot_be_written(table: Index, message: str, tmp_path: Path) -> None:
    with pytest.raises(BookError, match=message):
        write_annotation_json(table, CLASSES, tmp_path / "b.json")
    assert list(tmp_path.iterdir()) == []


def test_efficient3dcnns_form_byte_for_byte(tmp_path: Path) -> None:
    """As json.dump writes it: one line, no end of line, names beyond ASCII escaped, in the index's order."""
    last = rows("行", label="riding a bike", target=1, subset="test", frames=0)
    table = make_index([*rows("v_b", "v_a", frames=0), *last])
    write_annotation_json(table, CLASSES, tmp_path / "ucf101_01.json", style="efficient3d")
    assert (tmp_path / "ucf101_01.json").read_bytes() == (
        b'{"labels": ["golf", "riding a bike", "swing_baseball"], "database": {'
        b'"v_b": {"subset": "training", "annotations": {"label": "golf"}}, '
        b'"v_a": {"subset": "training", "annotations": {"label": "golf"}}, '
        b'"\\u884c": {"subset": "validation", "annotations": {"label": "riding a bike"}}}}'
    )
    again = read_annotation_json(tmp_path / "ucf101_01.json")
    assert_same_but_for_paths(again, table)


def test_clips_without_labels_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat = json.loads((DATA / "kinetics_testing.json").read_text())
    entries = flat["database"]
    labelled, testing = ({name: entry} for name, entry in entries.items())
    nested = {"training": labelled, "validation": {}, "testing": testing}
    with caplog.at_level(logging.WARNING):
        for data in (flat, {**flat, "database": nested}):
            assert read(tmp_path, data).items.video.tolist() == ["abcdefghijk_000417_000427"]
    assert (
        caplog.messages
        == [f"{tmp_path / 'split.json'}: 1 clips of the subset testing are left out: they have no labels"] * 2
    )
    with pytest.raises(BookError, match="holds 1 clips, none of them of training or validation"):
        read(tmp_path, {**flat, "database": {"testing": testing}})
    entries["abcdefghijk_000417_000427"]["annotations"] = {}  # a label that is missing elsewhere is an error
    with pytest.raises(BookError, match=r"clip 'abcdefghijk_000417_000427' \('label'\)"):
        read(tmp_path, flat)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_makes_no_difference(encoding: str, tmp_path: Path) -> None:
    expected = read(tmp_path, GOOD)
    (tmp_path / "split.json").write_text(json.dumps(GOOD, ensure_ascii=False, indent=1), encoding, newline="\r\n")
    assert read_annotation_json(tmp_path / "split.json").sha256 == expected.sha256


def test_capitals_of_labels_are_the_manifests(tmp_path: Path) -> None:
    data = json.loads(json.dumps(GOOD).replace('"golf"', '"Golf"').replace("riding a", "riding_a"))
    assert read(tmp_path, data, manifest_of("mini_hmdb51")).labels.label.tolist() == ["golf", "swing_baseball"]
    assert read(tmp_path, data).labels.label.tolist() == ["Golf", "swing_baseball"]
    data["database"]["#1_(HD)_golf_0"]["annotations"]["label"] = "GOLF"  # not a label of the file
    with pytest.raises(BookError, match="'GOLF'"):
        read(tmp_path, data, manifest_of("mini_hmdb51"))


def kinetics(**training: Any) -> dict[str, Any]:
    validation = {"b_000003_000013.mp4": {"subset": "validation", "annotations": {"label": "golf"}, "n_frames": 7}}
    return {"labels": list(CLASSES), "database": {"validation": validation, "training": training}}


def test_the_form_of_kinetics(tmp_path: Path) -> None:
    data = kinetics(
        **{"a_000001_000011.mp4": {"subset": "training", "annotations": {"label": "golf"}, "n_frames": 250}}
    )
    assert read(tmp_path, data).table[["item", "label", "subset", "frames"]].to_numpy().tolist() == [
        ["a_000001_000011", "golf", "train", 250],
        ["b_000003_000013", "golf", "test", 7],
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (kinetics(**{"a.mp4": {"subset": "validation"}}), "'a' stands under training, its entry says otherwise"),
        (kinetics(**{"a.mp4": None}), "'a' stands under training, its entry says otherwise"),
        (kinetics(b_000003_000013={"subset": "training"}), "'b_000003_000013' stands under training and validation"),
        (kinetics(a={"subset": "training", "annotations": {"label": "golf"}, "n_frames": "many"}), "clip 'a' "),
    ],
)
def test_files_of_kinetics_that_contradict_themselves(data: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BookError, match=message):
        read(tmp_path, data)


def test_a_clip_may_be_called_training(tmp_path: Path) -> None:
    data = {"labels": ["golf"], "database": {"training": {"subset": "training", "annotations": {"label": "golf"}}}}
    assert read(tmp_path, data).items.video.tolist() == ["training"]


def test_segments_are_optional(tmp_path: Path) -> None:
    data = {"labels": ["golf"], "database": {"a": {"subset": "training", "annotations": {"label": "golf"}}}}
    found = read(tmp_path, data).table.iloc[0].to_dict()
    assert found == {
        "item": "a", "video": "a", "frame": -1, "subset": "train", "path": "", "store": "golf/a", "frames": 0,
        "label": "golf", "target": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["golf", "swing_baseball", "riding a bike"], r"label 1 is swing_baseball, riding a bike expected \(3 labels"),
        (["golf", "riding a bike"], r"label 2 is missing, swing_baseball expected \(2 labels, mini_hmdb51 has 3\)"),
        ([*CLASSES, "walk"], "label 3 is walk, no more labels expected"),
    ],
)
def test_labels_in_another_order_than_the_manifests(labels: list[str], message: str, tmp_path: Path) -> None:
    manifest = manifest_of("mini_hmdb51")
    assert read(tmp_path, GOOD, manifest).truth.tolist() == [0, 2]
    with pytest.raises(BookError, match=message):
        read(tmp_path, {**GOOD, "labels": labels}, manifest)


def entry(**changes: Any) -> dict[str, Any]:
    good = {"subset": "training", "annotations": {"label": "golf", "segment": [1, 9]}}
    return {**GOOD, "database": {"a": {**good, **changes}}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", r"split\.json: cannot be read as annotations"),
        ([], "expected 'labels' and 'database', found list"),
        ({"labels": list(CLASSES)}, "expected 'labels', a list of names, and 'database'"),
        ({"labels": "golf", "database": {}}, "expected 'labels', a list of names"),
        ({"labels": ["golf", "golf"], "database": {}}, "a label is listed twice"),
        ('{"labels": ["golf"], "database": {"a": {}, "b": {}, "a": {}}}', r"annotations \('a' stands twice\)"),
        (entry(subset="tests"), r"clip 'a' \('tests'\): expected subset training or validation"),
        (entry(annotations={"label": "walk"}), r"clip 'a' \('walk'\): expected"),
        (entry(annotations=[{"label": "golf"}]), "clip 'a' "),
        (entry(annotations={"label": "golf", "segment": [0, 9]}), r"clip 'a' \(segment \[0, 9\]\)"),
        (entry(annotations={"label": "golf", "segment": [1, 0]}), r"clip 'a' \(segment \[1, 0\]\)"),
        (entry(annotations={"label": "golf", "segment": [1, 9.5]}), r"clip 'a' \(segment \[1, 9\.5\]\)"),
        (entry(annotations={"label": "golf", "segment": [1]}), r"clip 'a' \("),
        ({**GOOD, "database": {"a": None}}, "clip 'a' "),
    ],
)
def test_files_that_contradict_themselves(data: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BookError, match=message):
        read(tmp_path, data)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"gone\.json: cannot be read as annotations"):
        read_annotation_json(tmp_path / "gone.json")
