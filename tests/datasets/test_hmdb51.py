"""Reading HMDB51's layout: lists of every class, three flags, awkward names, and errors that say what to do."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, Layout, Split
from actionbook.core.sections import Frames
from actionbook.core.sources import Source
from actionbook.datasets.dataset import store_path
from actionbook.datasets.figures import write_avi
from actionbook.datasets.hmdb51 import hmdb51_index
from actionbook.datasets.index import Index, read_index, write_index
from actionbook.datasets.miniature import Clip, MiniSpec
from actionbook.datasets.miniature.hmdb51 import hmdb51_scene
from actionbook.datasets.miniature.spec import render_scene
from actionbook.video.prepare import Job, prepare_video
from actionbook.video.store import FrameStore

# Three of them are names of HMDB51, the others hold every other character that occurs in it, and an apostrophe.
GOLF = {
    "#122_Cleaning_Up_The_Beach_golf_f_cm_np1_fr_med_0": 1,
    "(HD)_The_most_golf_f_cm_np1_ri_med_1": 1,
    "Golf;-)_[NEW]_&_more_golf_f_nm_np1_le_goo_10": 2,
    "it's_+1@~home_golf_u_nm_np1_ba_bad_0": 0,
}
SHAKE = {
    "Kung_Fu_Hustle_-_&_-_shake_hands_u_cm_np2_le_med_3": 0,
    "likebeckam!_shake_hands_f_cm_np2_ri_med_1": 2,
    "$HOME_`x`_shake_hands_f_cm_np2_ri_med_2": 1,
    "行动_shake_hands_f_cm_np2_ri_med_4": 1,
}
LISTS = {"golf": GOLF, "shake_hands": SHAKE}
MANIFEST = DatasetManifest(
    kind="dataset",
    name="small",
    dataset="hmdb51",
    title="Small",
    licence="none",
    citation="none",
    sources=(Source(name="small.rar", url="https://example.org/small.rar", status="tofu"),),
    layout=Layout(videos="hmdb51_org", annotations="lists"),
    videos=8,
    splits={"2": Split(train=4, test=2, unused=2)},
    classes=("golf", "shake_hands"),
)


def lines_of(label: str) -> list[str]:
    return [f"{name}.avi {flag} " for name, flag in LISTS[label].items()]  # with the space that the published ones have


def write_lists(root: Path, end: str = "\n", **lists: list[str]) -> None:
    for label, lines in ({label: lines_of(label) for label in LISTS} | lists).items():
        path = root / "lists" / f"{label}_test_split2.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(line + end for line in lines).encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_lists(tmp_path)
    for label, names in LISTS.items():
        (tmp_path / "hmdb51_org" / label).mkdir(parents=True)
        for name in names:
            (tmp_path / "hmdb51_org" / label / f"{name}.avi").write_bytes(b"")
    return tmp_path


def index_of(root: Path, **options: Any) -> Index:
    return hmdb51_index(root, MANIFEST, 2, **options)


def read(root: Path, **options: Any) -> pd.DataFrame:
    return index_of(root, **options).table


def test_index_of_a_split(root: Path) -> None:
    table = read(root)
    expected = []
    for subset, flag in (("train", 1), ("test", 2)):
        for target, (label, names) in enumerate(LISTS.items()):
            expected += [
                [name, label, target, subset, f"hmdb51_org/{label}/{name}.avi", f"{label}/{name}", 0]
                for name, own in names.items()
                if own == flag
            ]
    assert table[["item", "label", "target", "subset", "path", "store", "frames"]].to_numpy().tolist() == expected
    assert len(table) == 6  # those with flag 0 have no row


def test_line_ends_make_no_difference(root: Path) -> None:
    expected = read(root)
    write_lists(root, end="\r\n")
    pd.testing.assert_frame_equal(read(root), expected)


def test_awkward_names_survive_all_the_way_to_prepared_frames(root: Path, tmp_path: Path) -> None:
    spec = MiniSpec(min_frames=3, max_frames=3, width=64, height=48)
    frames = render_scene(hmdb51_scene(Clip("golf", 1, 1), spec))
    for path in read(root).path:
        write_avi(root / path, frames, width=64, height=48)
    write_index(index_of(root), tmp_path / "index")
    index = read_index(tmp_path / "index")
    pd.testing.assert_frame_equal(index.table, read(root))
    assert index.sha256 == index_of(root).sha256
    for row in index.items.itertuples():
        store = store_path(tmp_path / "store", str(row.store))
        result = prepare_video(Job(str(row.video), root / str(row.path), store), Frames(height=32))
        assert (result.video, result.frames, result.error) == (row.video, 3, "")
        with FrameStore(store) as opened:
            assert opened.info.source == f"{row.video}.avi"
    assert len(list((tmp_path / "store").glob("*/*.zip"))) == 6


def golf(*changed: str) -> dict[str, list[str]]:
    return {"golf": [*lines_of("golf")[: 4 - len(changed)], *changed]}


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (golf("a_golf_0.avi 3"), r"golf_test_split2\.txt, line 4: expected a file name that ends in \.avi and a flag"),
        (golf("a_golf_0.avi"), r"line 4: expected .*found 'a_golf_0\.avi'; fetch the lists again"),
        (golf("a_golf_0.mpg 0"), r"line 4: expected .*found 'a_golf_0\.mpg 0'"),
        (golf("../a_golf_0.avi 0"), "line 4: expected a file name"),
        (golf("a_golf_0.avi 1"), r"golf_test_split2\.txt: 3 videos have the flag 1 \(train\), 2 expected in every"),
        (golf("a.avi 0", "b.avi 0"), r"golf_test_split2\.txt: 0 videos have the flag 2 \(test\), 1 expected in every"),
        ({"golf": [*lines_of("golf"), "a.avi 0"]}, r"split 2: 4 train, 2 test and 3 unused videos, .* says 4, 2"),
        ({"golf": lines_of("golf")[:3]}, "4 train, 2 test and 1 unused videos"),
        ({"golf": [*lines_of("golf"), lines_of("golf")[3]]}, r"1 videos are listed twice: it's_\+1@~home_golf"),
        (golf(lines_of("shake_hands")[0]), "1 videos are listed twice: Kung_Fu_Hustle"),
        ({"golf": []}, r"golf_test_split2\.txt: 0 videos have the flag 1"),
        ({"run": ["a.avi 1"]}, r"2 files \*_test_split2\.txt expected, .* of small; there is a list of run"),
    ],
)  # fmt: skip
def test_lists_that_contradict_the_manifest(root: Path, lists: dict[str, list[str]], message: str) -> None:
    write_lists(root, **lists)
    with pytest.raises(BookError, match=message):
        read(root, allow_missing=True)


def test_the_list_of_a_class_is_missing(root: Path) -> None:
    (root / "lists" / "shake_hands_test_split2.txt").unlink()
    with pytest.raises(BookError, match=r"there is no list of shake_hands; unpack the train/test lists there"):
        read(root)
    (root / "lists" / "golf_test_split2.txt").unlink()
    (root / "lists").rmdir()
    with pytest.raises(BookError, match=r"lists: 2 files .* there is no list of golf, shake_hands;.*no folder"):
        read(root)


def test_a_split_that_does_not_exist(root: Path) -> None:
    with pytest.raises(BookError, match="small: there is no split 1, only 2"):
        hmdb51_index(root, MANIFEST, 1)


def test_classes_are_numbered_by_name(root: Path) -> None:
    wrong = MANIFEST.model_copy(update={"classes": ("shake_hands", "golf")})
    with pytest.raises(BookError, match="numbered in the order of their names"):
        hmdb51_index(root, wrong, 2)


def test_the_digest_of_the_lists_is_checked(root: Path) -> None:
    text = "".join(f"{name}.avi {flag}\n" for names in LISTS.values() for name, flag in names.items())
    digest = hashlib.sha256(text.encode()).hexdigest()

    def index(sha256: str) -> pd.DataFrame:
        split = MANIFEST.splits["2"].model_copy(update={"lists_sha256": sha256})
        return hmdb51_index(root, MANIFEST.model_copy(update={"splits": {"2": split}}), 2).table

    pd.testing.assert_frame_equal(index(digest), read(root))
    write_lists(root, end="\r\n")
    pd.testing.assert_frame_equal(index(digest), read(root))
    with pytest.raises(BookError, match=rf"lists of split 2: are not the published ones \(sha256 {digest}.*says 0000"):
        index("0" * 64)


def test_missing_videos_are_named_with_the_remedy_or_have_no_path(root: Path) -> None:
    expected = read(root)
    name = "(HD)_The_most_golf_f_cm_np1_ri_med_1"
    (root / "hmdb51_org" / "golf" / f"{name}.avi").unlink()
    (root / "hmdb51_org" / "golf" / "it's_+1@~home_golf_u_nm_np1_ba_bad_0.avi").unlink()  # not used, not missed
    with pytest.raises(BookError) as caught:
        read(root)
    message = str(caught.value)
    assert f"hmdb51_org: 1 of the 6 videos of small are missing: {name}. " in message
    assert "published as small.rar from https://example.org/small.rar" in message
    table = read(root, allow_missing=True)
    assert table.video[table.path == ""].tolist() == [name]
    pd.testing.assert_frame_equal(table[table.path != ""], expected[table.path != ""])


def test_resource_files_of_a_mac_are_no_lists_and_no_videos(root: Path) -> None:
    expected = read(root)
    for path in (*root.glob("lists/*.txt"), *root.glob("hmdb51_org/*/*.avi")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    (root / "lists" / ".DS_Store").touch()
    pd.testing.assert_frame_equal(read(root), expected)


def test_archives_unpacked_into_folders_of_their_own_and_encoded_anew(root: Path) -> None:
    expected = read(root)
    for path in sorted(root.glob("hmdb51_org/*/*.avi")):
        (path.parent / path.parent.name).mkdir(exist_ok=True)
        path.rename(path.parent / path.parent.name / f"{path.stem}.mp4")
    table = read(root)
    assert table.path.tolist() == [
        f"hmdb51_org/{label}/{label}/{video}.mp4" for label, video in zip(table.label, table.video, strict=True)
    ]
    pd.testing.assert_frame_equal(table.drop(columns="path"), expected.drop(columns="path"))


def test_videos_of_no_subset_are_known(root: Path) -> None:
    (root / "hmdb51_org" / "golf" / "#122_Cleaning_Up_The_Beach_golf_f_cm_np1_fr_med_0.avi").unlink()
    with pytest.raises(BookError, match="7 video files lie there, none of them unlisted"):
        read(root)


def test_lists_with_a_byte_order_mark(root: Path) -> None:
    expected = read(root)
    for path in root.glob("lists/*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    pd.testing.assert_frame_equal(read(root), expected)
