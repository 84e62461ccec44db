"""Values of a manifest that contradict each other, and names that would lead out of its folder."""

from __future__ import annotations

from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest
from actionbook.core.schema import merge, validate

DATA: dict[str, Any] = {
    "kind": "dataset",
    "name": "own",
    "dataset": "ucf101",
    "title": "Own",
    "licence": "none",
    "citation": "none",
    "layout": {"videos": "UCF-101", "annotations": "lists"},
    "videos": 8,
    "splits": {"1": {"train": 6, "test": 2}},
    "classes": ["A", "B"],
}
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "counts that do not add up": ({"videos": 9}, ["split 1: 6 + 2 videos", "the data set has 9"]),
    "no split": ({"splits": None}, ["'splits'", "a mapping", "found None"]),
    "a split that no recipe can name": (
        {"splits": {"first": {"train": 6, "test": 2}}},
        ["'splits.first'", "of the form ^[1-9][0-9]*$"],
    ),
    "a class twice": ({"classes": ["A", "B", "A"]}, ["a class is listed twice: A"]),
    "no class": ({"classes": []}, ["'classes'", "length at least 1", "found []"]),
    "a class with space around its name": ({"classes": ["A", "B "]}, ["'classes.1'", "of the form", "found 'B '"]),
    "a class without a name": ({"classes": ["", "B"]}, ["'classes.0'", "of the form", "found ''"]),
    "a group of no class": ({"class_groups": {"g": [["A", "C"]]}}, ["class_groups name classes that do not exist: C"]),
    "a generator of other counts": (
        {"generator": {"seed": 1, "groups": 3, "clips_per_group": 1}},
        ["the generator draws 6 videos", "the data set has 8"],
    ),
    "videos longer at least than at most": (
        {"generator": {"seed": 1, "groups": 2, "min_frames": 40, "max_frames": 30}},
        ["'generator'", "max_frames 30 is less than min_frames 40"],
    ),
    "a name that is a path": ({"name": "../own"}, ["'name'", "of the form", "found '../own'"]),
    "videos at the root": ({"layout": {"videos": "/data"}}, ["'layout.videos'", "of the form", "found '/data'"]),
    "lists above the root": ({"layout": {"annotations": "a/../b"}}, ["'layout.annotations'", "found 'a/../b'"]),
    "a status without a digest": (
        {"sources": [{"name": "a.rar", "status": "single"}]},
        ["'sources.0'", "status 'single' needs a sha256 or an md5"],
    ),
    "a digest cut short": (
        {"sources": [{"name": "a.rar", "status": "single", "sha256": "0" * 63}]},
        ["'sources.0.sha256'", "^[0-9a-f]{64}$"],
    ),
    "a size below nothing": (
        {"sources": [{"name": "a.rar", "status": "tofu", "bytes": -1}]},
        ["'sources.0.bytes'", "at least 0", "found -1"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_contradictions_name_file_key_and_remedy(name: str) -> None:
    changes, parts = REFUSED[name]
    assert validate(DatasetManifest, DATA, "own.yaml").videos == 8
    with pytest.raises(BookError) as caught:
        # Splits are replaced whole: merged, the good one would stay beside the bad one.
        validate(
            DatasetManifest, merge(DATA, changes) | {k: v for k, v in changes.items() if k == "splits"}, "own.yaml"
        )
    assert str(caught.value).startswith("own.yaml: ")
    for part in parts:
        assert part in str(caught.value)


def test_an_empty_mapping_of_splits() -> None:
    with pytest.raises(BookError, match=r"^own\.yaml: .*splits: at least one is needed, found none"):
        validate(DatasetManifest, DATA | {"splits": {}}, "own.yaml")


def test_classes_need_not_be_names_of_folders() -> None:
    names = ("carry/hold (an object)", ".hidden", "行动", "B")
    assert validate(DatasetManifest, DATA | {"classes": names}, "own.yaml").classes == names


@pytest.mark.parametrize("folder", [".", "a", "UCF-101", "a/b.c", "Kinetics 400/videos"])
def test_folders_below_the_root_are_fine(folder: str) -> None:
    assert validate(DatasetManifest, merge(DATA, {"layout": {"videos": folder}}), "own.yaml").layout.videos == folder
