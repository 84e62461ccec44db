"""From a manifest to checked files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.files import write_bytes_atomic
from actionbook.core.manifest import DatasetManifest, Generator, Split, load_dataset
from actionbook.core.sections import Data
from actionbook.core.sources import Source
from actionbook.datasets.dataset import Dataset
from actionbook.datasets.obtain import obtain, read
from actionbook.datasets.ucf101 import ucf101_index

Make = Callable[..., Dataset]
LISTS = {"classInd.txt": "1 MoonWalk\r\n2 Walking\r\n", "testlist01.txt": "Walking/v_Walking_g01_c01.avi\r\n"}


@pytest.fixture
def published(tiny: Any) -> DatasetManifest:
    """A data set that is not drawn, with digests of its lists as published, CR LF."""
    entries = [
        Source(name=name, sha256=hashlib.sha256(text.encode()).hexdigest(), status="verified")
        for name, text in LISTS.items()
    ]
    return tiny.manifest.model_copy(update={"annotation_files": tuple(entries)})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "UCF-101").mkdir()
    for name, text in LISTS.items():
        write_bytes_atomic(tmp_path / "ucfTrainTestlist" / name, text.encode())
    return tmp_path


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("ucf101", "UCF-101/ and ucfTrainTestlist/"),
        ("hmdb51", "hmdb51_org/ and testTrainMulti_7030_splits/"),
        ("kinetics400", "videos/ and annotations/"),
    ],
)
def test_real_data_sets_must_be_there_and_the_error_names_command_folders_and_sources(
    name: str, folders: str, tmp_path: Path
) -> None:
    manifest = load_dataset(name)
    with pytest.raises(BookError) as caught:
        obtain(Dataset(Data(manifest=name), tmp_path, tmp_path / "frames", tmp_path))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / manifest.layout.videos} does not exist")
    assert f"`python -m actionbook.datasets.fetch {name} --root {tmp_path}`" in message
    assert f"set data_root to the folder that holds {folders}" in message
    for source in manifest.sources:
        assert f"{source.name}: {source.url}" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_published_lists_are_recognised_whatever_their_line_ends(
    published: DatasetManifest, dataset: Make, root: Path, end: str
) -> None:
    for name, text in LISTS.items():
        write_bytes_atomic(root / "ucfTrainTestlist" / name, text.replace("\r\n", end).encode())
    assert "2 list files verified by sha256" in obtain(dataset(published, root))


def test_an_altered_list_is_refused(published: DatasetManifest, dataset: Make, root: Path) -> None:
    path = root / "ucfTrainTestlist" / "testlist01.txt"
    path.write_bytes(path.read_bytes().replace(b"g01", b"g02"))
    with pytest.raises(BookError, match=r"testlist01\.txt: is not the published list .*fetch the lists again"):
        obtain(dataset(published, root))


def test_a_missing_list_is_named(published: DatasetManifest, dataset: Make, root: Path) -> None:
    (root / "ucfTrainTestlist" / "classInd.txt").unlink()
    with pytest.raises(BookError, match=r"classInd\.txt: cannot be read \(No such file or directory\)"):
        obtain(dataset(published, root))


def test_a_generator_draws_once(tiny: Any, dataset: Make, tmp_path: Path) -> None:
    generator = Generator(seed=1, groups=22, clips_per_group=1, min_frames=17, max_frames=17, width=32, height=32)
    split = {"1": Split(train=15, test=7)}
    manifest = tiny.manifest.model_copy(
        update={"generator": generator, "videos": 22, "classes": ("Walking",), "splits": split}
    )
    root = tmp_path / "drawn"
    drawn = dataset(manifest, root)
    assert obtain(drawn) == "Twenty small videos: 22 videos drawn from seed 1"
    videos = sorted(root.glob("UCF-101/Walking/*.avi"))
    assert len(videos) == 22
    times = [path.stat().st_mtime_ns for path in videos]
    obtain(drawn)
    assert [path.stat().st_mtime_ns for path in videos] == times


def test_the_reader_is_that_of_the_layout(tiny: Any, dataset: Make) -> None:
    found = read(dataset(tiny.manifest, tiny.root, split=2))
    pd.testing.assert_frame_equal(found.table, ucf101_index(tiny.root, tiny.manifest, 2).table)


def test_lists_without_a_digest_must_be_there_all_the_same(
    published: DatasetManifest, dataset: Make, root: Path
) -> None:
    entry = Source(name="testlist01.txt", status="tofu")
    manifest = published.model_copy(update={"annotation_files": (entry,)})
    assert "1 list files" in obtain(dataset(manifest, root))
    (root / "ucfTrainTestlist" / "testlist01.txt").unlink()
    with pytest.raises(BookError, match=r"testlist01\.txt: cannot be read"):
        obtain(dataset(manifest, root))
    without = published.model_copy(update={"annotation_files": ()})
    assert obtain(dataset(without, root)).endswith("its lists are checked as a split is read")


@pytest.mark.parametrize("name", ["mini_hmdb51", "mini_kinetics400"])
def test_every_layout_is_drawn_and_read(name: str, dataset: Make, tmp_path: Path) -> None:
    manifest = load_dataset(name)
    classes = manifest.classes[:1]
    generator = Generator(
        seed=2, groups=11, clips_per_group=1, min_frames=17, max_frames=17, width=32, height=32
    )  # the least that a manifest can ask for
    split = {"mini_hmdb51": Split(train=7, test=3, unused=1), "mini_kinetics400": Split(train=10, test=1)}[name]
    manifest = manifest.model_copy(
        update={"generator": generator, "videos": 11, "classes": classes, "splits": {"1": split}, "class_groups": {}}
    )
    drawn = dataset(manifest, tmp_path / "drawn")
    assert obtain(drawn).endswith("11 videos drawn from seed 2")
    table = read(drawn).items
    assert table.groupby("subset").size().to_dict() == {"train": split.train, "test": split.test}
    assert all((tmp_path / "drawn" / path).stat().st_size > 0 for path in table.path)
