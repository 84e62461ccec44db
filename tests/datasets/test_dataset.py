"""A data set's places: what shares a store and what does not, and frames named by content."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.paths import ROOT
from actionbook.core.sections import Data
from actionbook.datasets.dataset import Dataset, store_path
from actionbook.datasets.index import write_index
from actionbook.video.reader import StoreError


def one(root: Path, manifest: str = "mini_ucf101", **data: Any) -> Dataset:
    return Dataset(Data.model_validate({"manifest": manifest, **data}), root / "data", root / "frames", root / "work")


def test_recipes_that_want_the_same_frames_share_a_store(tmp_path: Path) -> None:
    first = one(tmp_path)
    assert first.store("rgb") == first.colour_store == tmp_path / "frames" / "mini_ucf101-h240-q95"
    assert one(tmp_path, split=2).colour_store == one(tmp_path, flow={"bound": 15.0}).colour_store == first.colour_store
    others = [
        one(tmp_path, frames=frames).colour_store for frames in ({"height": 64}, {"quality": 80}, {"side": "short"})
    ]
    assert len({first.colour_store, *others}) == 4
    assert others[2].name == "mini_ucf101-s240-q95"


def test_flow_lies_in_a_store_of_its_own_beside_the_frames(tmp_path: Path) -> None:
    first = one(tmp_path)
    assert first.store("flow") == first.flow_store != first.colour_store
    assert first.flow_store.name == "mini_ucf101-h240-q95-tvl1-b20-q95"
    changes = ({"algorithm": "opencv"}, {"bound": 12.0}, {"bound": 12.5}, {"quality": 80})
    others = [one(tmp_path, flow=flow) for flow in changes]
    assert len({first.flow_store, *(other.flow_store for other in others)}) == 5
    assert {other.colour_store for other in others} == {first.colour_store}


def test_frames_that_others_have_prepared_take_the_stores_place(tmp_path: Path) -> None:
    frames, plain = tmp_path / "work_of_others", one(tmp_path)
    assert (plain.frames_folder, plain.flow_folder, plain.annotation_json) == (None, None, None)
    given = one(
        tmp_path, frames_folder="../work_of_others/jpg", flow_folder=str(frames / "flow"), annotation_json="a.json"
    )
    assert given.frames_folder == given.colour_store == given.store("rgb") == frames / "jpg"
    assert given.flow_folder == given.store("flow") == frames / "flow"
    assert given.annotation_json == tmp_path / "data" / "a.json"
    assert given.index_file == plain.index_file
    # Flow that the book computes never lies among the files of others, nor that of two folders in one place.
    own = [one(tmp_path, frames_folder=name).flow_store for name in ("jpg", "jpg2", str(tmp_path / "data" / "jpg"))]
    assert {path.parent for path in own} == {tmp_path / "frames"}
    assert own[0] == own[2] != own[1]
    assert own[0] != plain.flow_store
    assert one(tmp_path, flow_folder="flow").colour_store == plain.colour_store


def test_every_data_set_and_split_has_an_index_of_its_own(tmp_path: Path, prepared: Any) -> None:
    first = one(tmp_path)
    assert first.index_file == tmp_path / "work" / "index-mini_ucf101-1"
    assert len({first.index_file, one(tmp_path, split=2).index_file, one(tmp_path, "ucf101").index_file}) == 3
    assert one(tmp_path, frames={"height": 64}).index_file == first.index_file
    with pytest.raises(BookError, match=r"index-mini_ucf101-1-items\.csv: .*run notebook 01_data"):
        first.index()
    write_index(prepared.index, first.index_file)
    assert first.index().sha256 == prepared.index.sha256


def test_the_manifest_may_be_a_file(tmp_path: Path) -> None:
    path = shutil.copy(ROOT / "data_manifests" / "mini_hmdb51.yaml", tmp_path / "mine.yaml")
    assert one(tmp_path, str(path)).manifest.name == "mini_hmdb51"
    with pytest.raises(BookError, match="manifest 'gone'"):
        _ = one(tmp_path, "gone").manifest


@pytest.fixture
def stored(dataset: Callable[..., Dataset], tiny: Any, prepared: Any) -> Dataset:
    """The tiny data set with frames of its own, which a test may change."""
    found = dataset(tiny.manifest, tiny.root, frames={"height": 32})
    shutil.copytree(prepared.store, found.colour_store)
    return found


def test_frames_are_named_by_their_content_wherever_they_lie(
    dataset: Callable[..., Dataset], stored: Dataset, tiny: Any, prepared: Any, tmp_path: Path
) -> None:
    index, expected = prepared.index, stored.frames_sha256(prepared.index, "rgb")
    jpg = tmp_path / "jpg"
    for name in index.items.store:
        shutil.unpack_archive(store_path(stored.colour_store, name), jpg / name)
    given = dataset(tiny.manifest, tmp_path / "gone", frames_folder=jpg, flow_folder=jpg)
    assert given.frames_sha256(index, "rgb") == expected
    assert given.frames_sha256(index, "flow") == expected  # these are no flow, which whoever reads them will say
    jpg.rename(tmp_path / "moved")
    moved = dataset(tiny.manifest, tmp_path / "gone", frames_folder=tmp_path / "moved")
    assert moved.frames_sha256(index, "rgb") == expected
    (next((tmp_path / "moved" / "Walking").iterdir()) / "image_00002.jpg").write_bytes(b"black")
    assert moved.frames_sha256(index, "rgb") != expected
    with pytest.raises(StoreError, match="run 01_data again"):
        stored.frames_sha256(index, "flow")


def test_only_frames_of_prepared_items_count(stored: Dataset, prepared: Any) -> None:
    index = prepared.index
    train, test = index.subset("train"), index.subset("test")
    first, second = stored.frames_sha256(train, "rgb"), stored.frames_sha256(test, "rgb")
    assert first != second
    lost = test.items.store.iloc[3]
    items = test.items.assign(frames=test.items.frames.where(test.items.store != lost, 0))
    partly = stored.frames_sha256(test.with_items(items), "rgb")
    store_path(stored.colour_store, lost).unlink()
    assert stored.frames_sha256(train, "rgb") == first
    assert stored.frames_sha256(test.with_items(items), "rgb") == partly != second
    with pytest.raises(StoreError):
        stored.frames_sha256(test, "rgb")
