"""Manifests: their own counts agree, UCF101's is the published data set."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, WeightsManifest, load_dataset, load_manifest, load_weights
from actionbook.core.paths import MANIFESTS
from actionbook.core.schema import load, merge, read_yaml, validate

FILES = sorted(MANIFESTS.glob("*.yaml"))
GOOD: dict[str, Any] = {
    "kind": "dataset",
    "name": "made",
    "dataset": "ucf101",
    "title": "Made",
    "licence": "none",
    "citation": "none",
    "layout": {"videos": "UCF-101", "annotations": "lists"},
    "videos": 8,
    "splits": {"1": {"train": 6, "test": 2}},
    "classes": ["A", "B"],
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_manifest_of_the_book_loads(path: Path) -> None:
    kind: Any = {"dataset": DatasetManifest, "weights": WeightsManifest}[read_yaml(path)["kind"]]
    assert load(kind, path).name == path.stem


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("mini_ucf101", {"train": 540, "test": 210, "unused": 0}),
        ("mini_hmdb51", {"train": 168, "test": 72, "unused": 24}),
        ("mini_kinetics400", {"train": 300, "test": 60, "unused": 0}),
        ("mini_sequences", {"train": 108, "test": 42, "unused": 0}),
        ("mini_timescales", {"train": 192, "test": 96, "unused": 0}),
    ],
)
def test_procedural_data_sets_count_what_they_draw(name: str, split: dict[str, int]) -> None:
    manifest = load_dataset(name)
    assert manifest.generator is not None
    per_class = manifest.generator.groups * manifest.generator.clips_per_group
    assert manifest.videos == len(manifest.classes) * per_class == sum(split.values())
    assert [s.model_dump(include=set(split)) for s in manifest.splits.values()] == [split] * len(manifest.splits)


def test_hmdb51_has_the_published_counts() -> None:
    manifest = load_dataset("hmdb51")
    assert manifest.videos == 6_766
    assert len(manifest.classes) == 51
    assert list(manifest.classes) == sorted(manifest.classes)
    assert set(manifest.splits) == {"1", "2", "3"}
    for split in manifest.splits.values():
        assert (split.train, split.test) == (3_570, 1_530) == (51 * 70, 51 * 30)
        assert split.unused == 1_666
    assert len({split.lists_sha256 for split in manifest.splits.values()}) == 3


def test_what_the_lists_hold_is_named_by_digest_where_a_published_copy_was_at_hand() -> None:
    names = [path.stem for path in FILES if read_yaml(path)["kind"] == "dataset"]
    named = {name: [split.truth_sha256 for split in load_dataset(name).splits.values()] for name in names}
    assert {name for name, digests in named.items() if None in digests} == {"ava", "ava_v2_1"}
    known = [digest for digests in named.values() for digest in digests if digest]
    assert len(set(known)) == len(known) == 3 + 3 + 1 + 3 + 3 + 1 + 3 + 1 + 1


def test_kinetics400_has_the_published_counts_and_class_order() -> None:
    manifest = load_dataset("kinetics400")
    assert {name: (split.train, split.test) for name, split in manifest.splits.items()} == {"1": (246_534, 19_906)}
    assert len(set(manifest.classes)) == 400
    # data/label_map.txt of deepmind/kinetics-i3d at 0667e88, the order of the published weights
    text = "".join(f"{name}\n" for name in manifest.classes)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "e9f2806fe9109b851a80a74841244f6f8c9d10917fa0229cd82bab67f2f8e28f"
    )
    assert set(load_dataset("mini_kinetics400").classes) < set(manifest.classes)
    assert set(load_dataset("mini_hmdb51").classes) < set(load_dataset("hmdb51").classes)


def test_ucf101_has_the_published_counts() -> None:
    manifest = load_dataset("ucf101")
    assert manifest.videos == 13_320
    assert len(manifest.classes) == 101
    splits = {name: (split.train, split.test) for name, split in manifest.splits.items()}
    assert splits == {"1": (9_537, 3_783), "2": (9_586, 3_734), "3": (9_624, 3_696)}


def test_ucf101_class_list_is_the_published_file() -> None:
    manifest = load_dataset("ucf101")
    text = "".join(f"{number} {name}\r\n" for number, name in enumerate(manifest.classes, start=1)).encode()
    entry = next(source for source in manifest.annotation_files if source.name == "classInd.txt")
    assert len(text) == entry.bytes == 1_586
    assert hashlib.sha256(text).hexdigest() == entry.sha256
    assert entry.sha256 == "d7abbb76074d04e80c62ad8a61529bb8eec32ef978569601b2890edec3af0359"
    assert {source.name for source in manifest.annotation_files} == {"classInd.txt"} | {
        f"{subset}list0{split}.txt" for subset in ("train", "test") for split in (1, 2, 3)
    }


# Values out of range, and of another type, are those of test_every_key.py.
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "counts that do not add up": ({"videos": 9}, ["split 1: 6 + 2 videos", "the data set has 9"]),
    "counts of a second split that do not add up": (
        {"splits": {"1": {"train": 6, "test": 2}, "2": {"train": 6, "test": 3}}},
        ["split 2: 6 + 3 videos"],
    ),
    "counts that leave some out": (
        {"splits": {"1": {"train": 6, "test": 2, "unused": 1}}},
        ["split 1: 6 + 2 + 1 unused videos", "the data set has 8"],
    ),
    "a class twice": ({"classes": ["A", "B", "A"]}, ["a class is listed twice: A"]),
    "a class with space after its name": ({"classes": ["A", "B "]}, ["'classes.1'", "of the form", "found 'B '"]),
    "a group of no class": ({"class_groups": {"g": [["A", "C"]]}}, ["class_groups name classes that do not exist: C"]),
    "a generator of other counts": (
        {"generator": {"seed": 1, "groups": 3, "clips_per_group": 1}},
        ["the generator draws 6 videos", "the data set has 8"],
    ),
    "videos longer at least than at most": (
        {"generator": {"seed": 1, "groups": 2, "min_frames": 40, "max_frames": 30}},
        ["'generator'", "max_frames 30 is less than min_frames 40"],
    ),
    "a status without a digest": (
        {"sources": [{"name": "a.rar", "status": "single"}]},
        ["'sources.0'", "status 'single' needs a sha256 or an md5"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_contradictions_name_file_key_and_remedy(name: str) -> None:
    changes, parts = REFUSED[name]
    assert validate(DatasetManifest, GOOD, "made.yaml").videos == 8
    with pytest.raises(BookError) as caught:
        # Splits are replaced whole: merged, the good one would stay beside the bad one.
        validate(
            DatasetManifest, merge(GOOD, changes) | {k: v for k, v in changes.items() if k == "splits"}, "made.yaml"
        )
    assert str(caught.value).startswith("made.yaml: ")
    for part in parts:
        assert part in str(caught.value)


def test_an_empty_mapping_of_splits() -> None:
    with pytest.raises(BookError, match=r"^made\.yaml: .*splits: at least one is needed, found none"):
        validate(DatasetManifest, GOOD | {"splits": {}}, "made.yaml")


def test_classes_need_not_be_names_of_folders() -> None:
    names = ("carry/hold (an object)", ".hidden", "行动", "B")
    assert validate(DatasetManifest, GOOD | {"classes": names}, "made.yaml").classes == names


@pytest.mark.parametrize("folder", [".", "a", "UCF-101", "a/b.c", "Kinetics 400/videos"])
def test_folders_below_the_root_are_fine(folder: str) -> None:
    assert validate(DatasetManifest, merge(GOOD, {"layout": {"videos": folder}}), "made.yaml").layout.videos == folder


def test_unknown_manifest_lists_those_that_exist() -> None:
    with pytest.raises(BookError, match=r"data_manifests/nothing\.yaml does not exist; there are: .*ucf101"):
        load_dataset("nothing")


def test_a_manifest_of_ones_own_by_path(tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    path.write_text(json.dumps(GOOD), encoding="utf-8")
    assert load_dataset(str(path)).classes == ("A", "B")
    with pytest.raises(BookError, match=r"gone\.yaml: cannot be read"):
        load_dataset(str(tmp_path / "gone.yaml"))


def test_a_manifest_of_another_kind_is_refused() -> None:
    with pytest.raises(BookError, match="kind"):
        load_weights("ucf101")


@pytest.mark.parametrize("name", ["../a.rar", "/a.rar", "b/../../a.rar", "b\\a.rar", ""])
def test_names_of_files_stay_below_the_root(name: str) -> None:
    changes = {"sources": [{"name": name, "status": "tofu"}]}
    with pytest.raises(BookError, match=r"sources\.0\.name.*expected a path below the root"):
        validate(DatasetManifest, {**GOOD, **changes}, "made.yaml")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([{"name": "a", "alternative_to": "b"}], "a: alternative_to names 'b'"),
        ([{"name": "a", "alternative_to": "a"}], "a: alternative_to names 'a'"),
        (
            [{"name": "a"}, {"name": "b", "alternative_to": "a"}, {"name": "c", "alternative_to": "b"}],
            "c: alternative_to names 'b'",
        ),
        ([{"name": "a"}, {"name": "a"}], "two sources have the same name"),
    ],
)
def test_alternatives_name_a_source_of_its_own_right(sources: list[dict[str, Any]], message: str) -> None:
    entries = [{**source, "status": "tofu"} for source in sources]
    with pytest.raises(BookError, match=message):
        validate(DatasetManifest, {**GOOD, "sources": entries}, "made.yaml")


def test_manifests_of_both_kinds_by_name() -> None:
    assert load_manifest("ucf101") == load_dataset("ucf101")
    weights = load_manifest("weights_i3d")
    assert weights == load_weights("weights_i3d")
