"""Packed videos with lists of their own: the index that they make, and what is said of those that make none."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionbook.clips.samples import Samples
from actionbook.core.errors import BookError
from actionbook.core.manifest import Split
from actionbook.datasets.dataset import Dataset, store_path
from actionbook.datasets.obtain import obtain, read
from actionbook.datasets.packs import holds_packs
from actionbook.datasets.preparation import made_from, prepare, source_table, stored_names, unprepared_frames
from actionbook.video.frame_folder import open_frames
from actionbook.video.store import FrameStore

Make = Callable[..., Dataset]
FOLDERS = {"train": "train", "test": "val"}


@pytest.fixture(scope="module")
def whole(prepared: Any, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set's frames as StNet's programs would pack them; tests must not write to it."""
    folder = tmp_path_factory.mktemp("packs")
    lists: dict[str, list[dict[str, str]]] = {name: [] for name in FOLDERS.values()}
    for row in prepared.index.table.itertuples():
        with FrameStore(store_path(prepared.store, str(row.store))) as store:
            frames = [store.jpeg(k) for k in range(len(store))]
        path = folder / FOLDERS[str(row.subset)] / f"{row.video}.pkl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps((f"./{row.video}", row.target, frames), 2))
        lists[path.parent.name].append({"video_name": f"{row.video}.mp4"})
    for name, entries in lists.items():
        (folder / f"{name}.json").write_text(json.dumps(entries))
    labels = [f"{name} {number}\n" for number, name in enumerate(tiny.manifest.classes)]
    (folder / "ucf101_label.txt").write_text("".join(labels))
    return folder


@pytest.fixture
def packs(whole: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(whole, tmp_path / "packs"))


def test_packs_make_the_index_of_their_lists(
    tiny: Any, prepared: Any, dataset: Make, whole: Path, tmp_path: Path
) -> None:
    given = dataset(tiny.manifest, tmp_path / "gone", frames_folder=whole)
    assert obtain(given) == f"Twenty small videos: packed videos in {whole}, as train.json and val.json there name them"
    index = read(given)
    done = prepare(given, index)
    assert not (tmp_path / "gone").exists()  # neither videos nor lists were asked for, and nothing was made
    assert list(done.frames.error) == [""] * 20
    by_video = prepared.index.table.set_index("video")
    columns = ["target", "label", "subset", "frames"]
    found = done.index.table.set_index("video")
    assert found[columns].to_dict("index") == by_video[columns].to_dict("index")
    assert found.store.tolist() == [f"{FOLDERS[subset]}/{video}" for video, subset in found.subset.items()]
    assert found.path.tolist() == [f"{store}.pkl" for store in found.store]
    stores = prepared.index.items.set_index("video").store
    for row in done.index.items.head(3).itertuples():
        with (
            open_frames(store_path(given.colour_store, str(row.store))) as pack,
            FrameStore(store_path(prepared.store, stores[row.video])) as store,
        ):
            np.testing.assert_array_equal(pack.read([0, 1]), store.read([0, 1]))
            np.testing.assert_array_equal(unprepared_frames(given, str(row.path), [0, 1]), store.read([0, 1]))
            assert made_from(pack) == "a pack of others, made elsewhere"
            assert stored_names(pack) == stored_names(store)
    assert source_table(given, done.index.items).frames.tolist() == done.index.items.frames.tolist()


def test_clips_of_packs_are_those_of_the_stores(tiny_stage: Any, tiny: Any, prepared: Any, whole: Path) -> None:
    recipe = tiny_stage(sampling={"name": "superframes", "frames": 2, "segments": 2}).recipe
    items = prepared.index.items
    stores = [f"{FOLDERS[subset]}/{video}" for subset, video in zip(items.subset, items.video, strict=True)]
    index = prepared.index.with_items(items.assign(store=stores))
    own, packed = (
        Samples(one, store, recipe, len(tiny.manifest.classes))
        for one, store in ((prepared.index, prepared.store), (index, whole))
    )
    for number, frames in zip(own.tests.number[:3], own.tests.frames[:3], strict=True):
        for mine, other in ((own.test(number, frames), packed.test(number, frames)),):
            np.testing.assert_array_equal(mine.inputs["image"], other.inputs["image"])
    mine, other = (one.train(0, np.random.default_rng(1)).inputs["image"] for one in (own, packed))
    assert mine.shape == (3, 4, 16, 16)
    np.testing.assert_array_equal(mine, other)


def test_a_part_of_a_split_must_be_allowed(tiny: Any, dataset: Make, packs: Path, tmp_path: Path) -> None:
    entries = json.loads((packs / "val.json").read_text())
    (packs / "val.json").write_text(json.dumps(entries[:-2]))
    with pytest.raises(BookError, match=r"6 training and 12 validation videos, split 1 of tiny has 6 and 14: set data"):
        read(dataset(tiny.manifest, tmp_path, frames_folder=packs))
    assert len(read(dataset(tiny.manifest, tmp_path, frames_folder=packs, allow_missing=True))) == 18
    smaller = tiny.manifest.model_copy(update={"videos": 17, "splits": {"1": Split(train=6, test=11)}})
    with pytest.raises(BookError, match="12 validation videos"):
        read(dataset(smaller, tmp_path, frames_folder=packs, allow_missing=True))


def test_packs_without_frames_fail_when_frames_are_looked_at(
    tiny: Any, dataset: Make, packs: Path, tmp_path: Path
) -> None:
    """As the packing program leaves every video whose class has a space in its name."""
    lost = sorted((packs / "val").glob("*.pkl"))[:2]
    for path in lost:
        path.write_bytes(pickle.dumps((f"./{path.stem}", 0, []), 2))
    given = dataset(tiny.manifest, tmp_path, frames_folder=packs)
    with pytest.raises(BookError, match=r"2 of 20 videos have frames that cannot be used.*(?s:.)*without quotes"):
        prepare(given, read(given))
    tolerant = dataset(tiny.manifest, tmp_path, frames_folder=packs, frames={"max_failed": 0.1})
    done = prepare(tolerant, read(tolerant))
    assert done.index.missing == sorted(path.stem for path in lost)
    assert done.row.videos_expected == 20


def damage(packs: Path, what: str) -> None:
    first = sorted((packs / "train").glob("*.pkl"))[0]
    entry = {"video_name": f"{first.stem}.mp4"}
    if what == "a pack is missing":
        first.unlink()
    elif what == "a class too many":
        first.write_bytes(pickle.dumps((f"./{first.stem}", 400, [b"a"]), 2))
    elif what == "no pack":
        first.write_bytes(b"\x80\x02cposix\nsystem\nU\x04true\x85R.")
    elif what == "no list":
        (packs / "train.json").unlink()
    elif what == "no JSON":
        (packs / "train.json").write_text("[")
    elif what == "one video":
        (packs / "train.json").write_text(json.dumps(entry))
    elif what == "a bare name":
        (packs / "train.json").write_text(json.dumps([f"{first.stem}.mp4"]))
    elif what == "a path":
        (packs / "train.json").write_text(json.dumps([entry, {"video_name": "../train/v.mp4"}]))
    elif what == "twice":
        entries = json.loads((packs / "train.json").read_text())
        (packs / "train.json").write_text(json.dumps([*entries[:-1], entries[0]]))
    elif what == "other classes":
        labels = (packs / "ucf101_label.txt").read_text().splitlines()
        swapped = [labels[1].replace(" 1", " 0"), labels[0].replace(" 0", " 1"), *labels[2:]]
        (packs / "ucf101_label.txt").write_text("\n".join(swapped))
    elif what == "a class more":
        with (packs / "ucf101_label.txt").open("a") as file:
            file.write("zumba 2\n")
    else:
        (packs / "ucf101_label.txt").write_text("abseiling\n")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("a pack is missing", r"packs: 1 of 20 listed packs are missing: train/v_.*take them off the list"),
        ("a class too many", r"train/v_.*\.pkl: its class is 400, tiny has 2 classes from 0 \(1 such packs\)"),
        ("no pack", r"train/v_.*\.pkl: expected the tuple .*found posix\.system"),
        ("no list", r"train\.json: cannot be read"),
        ("no JSON", r"train\.json: is not JSON"),
        ("one video", r"train\.json: expected a list of videos, found dict"),
        ("a bare name", r'train\.json: entry 0 is v_.*expected \{"video_name": "<video>\.mp4"\}'),
        ("a path", r"train\.json: entry 1 is .*\.\./train/v\.mp4"),
        ("twice", "listed twice: v_"),
        ("other classes", r"ucf101_label\.txt: class 0 is Walking, in tiny it is MoonWalk: the packs have other class"),
        ("a class more", r"ucf101_label\.txt: 3 classes, tiny has 2"),
        ("no number", r"ucf101_label\.txt: expected a line '<class> <number>' .*found 'abseiling'"),
    ],
)
def test_what_is_wrong_is_named(*, what: str, said: str, tiny: Any, dataset: Make, packs: Path, tmp_path: Path) -> None:
    damage(packs, what)
    given = dataset(tiny.manifest, tmp_path, frames_folder=packs, allow_missing=True)
    with pytest.raises(BookError, match=said):
        read(given)


def test_packs_are_told_from_folders_of_frames(tiny: Any, dataset: Make, packs: Path, tmp_path: Path) -> None:
    assert holds_packs(packs)
    for name in ("train.json", "val.json"):
        (packs / name).unlink()
    assert holds_packs(packs)  # its lists are missing, which `read` says
    assert not holds_packs(packs / "train")
    assert not holds_packs(tmp_path / "gone")
    given = dataset(tiny.manifest, tmp_path, frames_folder=packs, annotation_json=tmp_path / "a.json")
    with pytest.raises(BookError, match=r"data\.annotation_json: the packs in .* have lists and classes of their own"):
        read(given)
