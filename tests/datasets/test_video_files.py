"""Trees of files as people really have them: what belongs to a listed video is found, what is unclear is an error."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import load_dataset, load_manifest
from actionbook.core.paths import MANIFESTS
from actionbook.datasets.index import Index
from actionbook.datasets.lists import MissingVideos, UnclearVideos, finish_index
from actionbook.datasets.video_files import Listed, VideoFiles, contents, videos_folder
from actionbook.video.names import loose

ARCHERY = ("Archery", "v_Archery_g01_c01")
BRUSH = ("brush_hair", "Aussie_Brunette_Brushing_Hair_II_brush_hair_u_nm_np1_ri_med_3")
TANGO = ("tango dancing", "abcdefghijk_000007_000017")
ABSEILING = ("abseiling", "abcdefghijk_000001_000011")
ID = "abcdefghijk"


def plant(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def index_of(
    root: Path, dataset: str, *videos: tuple[str, str], allow_missing: bool = False, subset: str = "train", **more: Any
) -> Index:
    manifest = load_dataset(dataset)
    numbers = {name: number for number, name in enumerate(manifest.classes)}
    rows: list[dict[str, object]] = [
        {"video": video, "label": label, "target": numbers[label], "subset": subset} for label, video in videos
    ]
    return finish_index(root, manifest, rows, allow_missing, **more)


def paths_of(root: Path, dataset: str, *videos: tuple[str, str], **options: Any) -> list[str]:
    return index_of(root, dataset, *videos, **options).items.path.tolist()


@pytest.mark.parametrize(
    ("dataset", "video", "path"),
    [
        # The library of cases, line by line.
        ("kinetics400", TANGO, "videos/train/tango_dancing/abcdefghijk_000007_000017.mp4"),
        ("kinetics400", ABSEILING, "videos/train/abseiling/abcdefghijk_000001_000011.mkv"),
        ("kinetics400", ABSEILING, "videos/train/abseiling/abcdefghijk_000001_000011.webm"),
        ("kinetics400", ABSEILING, "videos/train/abseiling/abcdefghijk_000001_000011.mp4"),
        ("kinetics400", ABSEILING, "videos/train/abseiling/abcdefghijk_000001_000011.mp4.mkv"),
        ("kinetics400", ABSEILING, "videos/train/abseiling/abcdefghijk_1_11.mp4"),
        ("ucf101", ARCHERY, "UCF-101/UCF-101/Archery/v_Archery_g01_c01.avi"),
        ("ucf101", ARCHERY, "UCF-101/v_Archery_g01_c01.avi"),
        ("ucf101", ARCHERY, "UCF-101/Archery/v_Archery_g01_c01.mp4"),
        ("ucf101", ARCHERY, "UCF-101/Archery/v_Archery_g01_c01.AVI"),
        ("hmdb51", BRUSH, f"hmdb51_org/brush_hair/brush_hair/{BRUSH[1]}.avi"),
        ("hmdb51", BRUSH, f"hmdb51_org/brush_hair/{BRUSH[1]}.mp4"),
        # Others of their kind.
        ("kinetics400", TANGO, "videos/train_256/tango_dancing/abcdefghijk_7_17.MKV"),
        ("kinetics400", TANGO, "videos/train/Tango Dancing/abcdefghijk.webm"),
        ("kinetics400", TANGO, "videos/train/abcdefghijk_000007_000017.mp4"),
        ("kinetics400", TANGO, "videos/tango dancing/abcdefghijk_000007_000017.mp4"),
        ("kinetics400", TANGO, "videos/videos/train/tango dancing/abcdefghijk_000007_000017.mp4"),
        ("kinetics400", TANGO, "videos/compress/train_256/tango dancing/abcdefghijk_000007_000017.mp4"),
        ("kinetics400", TANGO, "train/tango dancing/abcdefghijk_000007_000017.mp4"),
        ("kinetics400", TANGO, "Videos/videos_train/tango dancing/abcdefghijk_000007_000017.mp4"),
        ("ucf101", ARCHERY, "UCF101/archery/V_Archery_G01_C01.m4v"),
        ("ucf101", ARCHERY, "ucf-101/Archery/Archery/v Archery g01 c01.avi.MOV"),
        ("ucf101", ARCHERY, "Archery/v_Archery_g01_c01.avi"),
        ("ucf101", ("HandstandPushups", "v_HandStandPushups_g01_c01"),
         "UCF-101/Handstand_Pushups/v_HandstandPushups_g01_c01.avi"),
        ("hmdb51", BRUSH, f"hmdb51_org/Brush Hair/{BRUSH[1].replace('_', ' ')}.avi"),
    ],
)  # fmt: skip
def test_what_a_person_would_recognise_is_found(
    dataset: str, video: tuple[str, str], path: str, tmp_path: Path
) -> None:
    plant(tmp_path, path)
    index = index_of(tmp_path, dataset, video)
    assert index.items.path.tolist() == [path]
    assert index.items.store.tolist() == ["/".join(video)]  # whatever the file is called


@pytest.mark.parametrize("folder", ["val", "val_256", "validate", "validation", "Validation_320p", "videos_val"])
def test_validation_videos_under_any_name_of_their_folder(folder: str, tmp_path: Path) -> None:
    plant(
        tmp_path, f"videos/{folder}/abseiling/{ABSEILING[1]}.mp4", f"videos/train/abseiling/bbcdefghijk_{TANGO[1]}.mp4"
    )
    assert paths_of(tmp_path, "kinetics400", ABSEILING, subset="test") == [
        f"videos/{folder}/abseiling/{ABSEILING[1]}.mp4"
    ]


def test_mixed_containers_side_by_side(tmp_path: Path) -> None:
    names = ["abcdefghijk_000001_000011.mkv", "bbcdefghijk_000002_000012.webm", "cbcdefghijk_000003_000013.mp4"]
    plant(tmp_path, *(f"videos/train/abseiling/{name}" for name in names))
    videos = [("abseiling", name.partition(".")[0]) for name in names]
    assert paths_of(tmp_path, "kinetics400", *videos) == [f"videos/train/abseiling/{name}" for name in names]


def test_accents_may_be_composed_or_not(tmp_path: Path) -> None:
    plant(tmp_path, "UCF-101/Archery/v_Arche\u0301ry.avi")
    assert paths_of(tmp_path, "ucf101", ("Archery", "v_Arch\u00e9ry")) == ["UCF-101/Archery/v_Arche\u0301ry.avi"]


@pytest.mark.parametrize(
    "other",
    [
        "UCF-101/Archery/v_Archery_g01_c01.mp4",
        "UCF-101/Archery/v_archery_g01_c01.avi",
        "UCF-101/archery/v_Archery_g01_c01.avi",
        "UCF-101/v_Archery_g01_c01.avi",
        "UCF-101/UCF-101/Archery/v_Archery_g01_c01.avi",
        "UCF-101/Archery/Archery/v_Archery_g01_c01.avi",
        "UCF-101/Archery/._v_Archery_g01_c01.avi",
        "UCF-101/.trash/Archery/v_Archery_g01_c01.avi",
    ],
)
def test_an_exact_match_goes_before_all_others(other: str, tmp_path: Path) -> None:
    plant(tmp_path, "UCF-101/Archery/v_Archery_g01_c01.avi", other)
    assert paths_of(tmp_path, "ucf101", ARCHERY) == ["UCF-101/Archery/v_Archery_g01_c01.avi"]


@pytest.mark.parametrize("allow_missing", [False, True])
def test_two_candidates_are_an_error_that_names_both(allow_missing: bool, tmp_path: Path) -> None:
    plant(tmp_path, "UCF-101/Archery/v_Archery_g01_c01.mp4", "UCF-101/v_Archery_g01_c01.avi")
    with pytest.raises(UnclearVideos) as caught:
        index_of(tmp_path, "ucf101", ARCHERY, allow_missing=allow_missing)
    assert (
        "Archery/v_Archery_g01_c01 may be UCF-101/Archery/v_Archery_g01_c01.mp4 or UCF-101/v_Archery_g01_c01.avi; "
        "remove or rename what is not meant"
    ) in str(caught.value)
    assert caught.value.index.items.path.tolist() == [""]


def test_one_file_for_two_listed_videos_is_an_error_that_names_both(tmp_path: Path) -> None:
    plant(tmp_path, f"videos/train/abseiling/{ID}.mp4")
    two = [("abseiling", f"{ID}_000001_000011"), ("abseiling", f"{ID}_000021_000031")]
    with pytest.raises(
        BookError,
        match=rf"abseiling/{ID}\.mp4 may be abseiling/{ID}_000001_000011 or abseiling/{ID}_000021_000031; remove",
    ):
        index_of(tmp_path, "kinetics400", *two, allow_missing=True)
    plant(tmp_path, f"videos/train/abseiling/{ID}_21_31.mp4")  # the one that is left is the other's
    assert paths_of(tmp_path, "kinetics400", two[1]) == [f"videos/train/abseiling/{ID}.mp4"]


def test_a_file_that_is_anothers_by_its_exact_name_is_not_taken(tmp_path: Path) -> None:
    plant(tmp_path, "hmdb51_org/hit/A_b.avi")
    one, other = ("hit", "a_b"), ("hit", "A_b")
    assert paths_of(tmp_path, "hmdb51", one) == ["hmdb51_org/hit/A_b.avi"]
    assert paths_of(tmp_path, "hmdb51", one, other, allow_missing=True) == ["", "hmdb51_org/hit/A_b.avi"]
    unused = [Listed("hit", "A_b", "")]
    plant(tmp_path, "hmdb51_org/hit/c.avi")
    both = paths_of(tmp_path, "hmdb51", one, ("hit", "c"), allow_missing=True, unused=unused)
    assert both == ["", "hmdb51_org/hit/c.avi"]


def test_a_file_in_the_folder_of_another_class_is_not_taken(tmp_path: Path) -> None:
    plant(tmp_path, "UCF-101/Biking/v_Archery_g01_c01.avi", "UCF-101/Biking/v_Biking_g01_c01.avi")
    with pytest.raises(MissingVideos) as caught:
        index_of(tmp_path, "ucf101", ARCHERY, ("Biking", "v_Biking_g01_c01"))
    assert "the nearest to v_Archery_g01_c01 is UCF-101/Biking/v_Archery_g01_c01.avi" in str(caught.value)


def test_the_error_says_what_is_there(tmp_path: Path) -> None:
    def message() -> str:
        with pytest.raises(MissingVideos) as caught:
            index_of(tmp_path, "ucf101", ARCHERY, ("Archery", "v_Archery_g01_c02"), allow_missing=True)
        assert caught.value.there in str(caught.value)
        return caught.value.there

    assert message() == f"{tmp_path / 'UCF-101'} does not exist; {tmp_path} holds nothing."
    plant(tmp_path, "frames/Archery/1.jpg")
    assert message() == f"{tmp_path / 'UCF-101'} does not exist; {tmp_path} holds frames."
    (tmp_path / "UCF-101" / "Bogenschiessen").mkdir(parents=True)
    assert message() == "No video file lies there; folders of no class: UCF-101/Bogenschiessen."
    plant(tmp_path, "UCF-101/Archery/Archery-g01-c01.avi", *(f"UCF-101/Archery/{number}.avi" for number in range(5)))
    assert message() == (
        "6 video files lie there, 6 of them match no listed video, such as UCF-101/Archery/0.avi, "
        "UCF-101/Archery/1.avi, UCF-101/Archery/2.avi and 3 more; the nearest to v_Archery_g01_c01 is "
        "UCF-101/Archery/Archery-g01-c01.avi; folders of no class: UCF-101/Bogenschiessen."
    )


def test_files_that_match_nothing_are_told_even_where_videos_may_be_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    videos = [ARCHERY, ("Archery", "v_Archery_g01_c02")]
    plant(tmp_path, "UCF-101/Archery/v_Archery_g01_c01.avi")
    with caplog.at_level(logging.WARNING):
        index_of(tmp_path, "ucf101", *videos, allow_missing=True)
        assert not caplog.messages  # nothing there that could be meant
        plant(tmp_path, "UCF-101/Archery/v-Archery-g01-c02.avi", "UCF-101/Archery/v_Archery_g01_c02.avi.part")
        index_of(tmp_path, "ucf101", *videos, allow_missing=True)
    assert caplog.messages == [
        f"{tmp_path / 'UCF-101'}: 1 videos are missing. 2 video files lie there, 1 of them match no listed video, "
        "such as UCF-101/Archery/v-Archery-g01-c02.avi; the nearest to v_Archery_g01_c02 is "
        "UCF-101/Archery/v-Archery-g01-c02.avi."
    ]


def test_unused_videos_are_listed_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plant(tmp_path, "hmdb51_org/hit/a.avi", "hmdb51_org/hit/b.avi")
    index = index_of(
        tmp_path, "hmdb51", ("hit", "a"), ("hit", "c"), allow_missing=True, unused=[Listed("hit", "b", "")]
    )
    assert index.items.path.tolist() == ["hmdb51_org/hit/a.avi", ""]
    assert not caplog.messages


def test_each_folder_is_listed_once_and_links_in_circles_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "UCF-101/Archery/v_Archery_g01_c01.avi", "UCF-101/jpg/v_Archery_g01_c01/1.jpg")
    (tmp_path / "UCF-101" / "UCF-101").symlink_to(tmp_path / "UCF-101")
    (tmp_path / "UCF-101" / "archery").symlink_to(tmp_path / "UCF-101" / "Archery")
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(Path(path)) or scandir(path))
    files = VideoFiles(tmp_path, load_dataset("ucf101"))
    assert listed == [tmp_path / "UCF-101", tmp_path / "UCF-101" / "Archery"]
    assert [file.path for file in files.files] == ["UCF-101/Archery/v_Archery_g01_c01.avi"]
    assert files.others == ["UCF-101/jpg"]


def test_links_to_videos_are_videos_and_folders_named_as_videos_are_not(tmp_path: Path) -> None:
    plant(tmp_path, "extracted/a.mp4")
    folder = tmp_path / "videos" / "train" / "abseiling"
    (folder / "bbcdefghijk_000001_000011.mp4").mkdir(parents=True)
    (folder / f"{ABSEILING[1]}.mp4").symlink_to(tmp_path / "extracted" / "a.mp4")
    videos = [ABSEILING, ("abseiling", "bbcdefghijk_000001_000011")]
    found = paths_of(tmp_path, "kinetics400", *videos, allow_missing=True)
    assert found == [f"videos/train/abseiling/{ABSEILING[1]}.mp4", ""]


def test_the_folder_of_all_videos(tmp_path: Path) -> None:
    manifest = load_dataset("ucf101")
    assert videos_folder(tmp_path, manifest) == tmp_path / "UCF-101"
    (tmp_path / "train").mkdir()  # of nothing that this layout has
    assert videos_folder(tmp_path, manifest) == tmp_path / "UCF-101"
    (tmp_path / "ucf101").mkdir()
    assert videos_folder(tmp_path, manifest) == tmp_path / "ucf101"
    (tmp_path / "UCF_101").mkdir()
    with pytest.raises(BookError, match="UCF_101 and ucf101 may both be UCF-101; rename one of them"):
        videos_folder(tmp_path, manifest)
    (tmp_path / "UCF-101").mkdir()
    assert videos_folder(tmp_path, manifest) == tmp_path / "UCF-101"
    assert contents(tmp_path) == f"{tmp_path} holds UCF-101, UCF_101, train, ucf101"
    assert contents(tmp_path / "gone") == f"there is no folder {tmp_path / 'gone'}"


@pytest.mark.parametrize("name", [path.stem for path in sorted(MANIFESTS.glob("*.yaml")) if "weights" not in path.stem])
def test_no_two_classes_of_a_manifest_are_spellings_of_one(name: str) -> None:
    classes = getattr(load_manifest(name), "classes", ())
    assert len({loose(label) for label in classes}) == len(classes)


def test_what_is_missing_of_each_class_in_one_line(tmp_path: Path) -> None:
    plant(tmp_path, "UCF-101/Archery/v_Archery_g01_c01.avi")
    videos = [ARCHERY, ("Archery", "v_Archery_g01_c02"), ("Biking", "v_Biking_g01_c01"), ("Biking", "v_Biking_g01_c02")]
    index = index_of(tmp_path, "ucf101", *videos, allow_missing=True)
    assert index.lacks("path") == (
        "3 of 4 videos are missing: v_Archery_g01_c02, v_Biking_g01_c01, v_Biking_g01_c02; "
        "no video at all of Biking (train)"
    )
    some_prepared = Index(index.items.assign(frames=[9, 9, 0, 7]), index.labels)
    assert some_prepared.lacks() == "1 of 4 videos are missing: v_Biking_g01_c01"
    assert Index(index.items.assign(frames=1), index.labels).lacks() == ""


def test_folders_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "UCF-101/Biking/v_Biking_g01_c01.avi", "UCF-101/Archery/v_Archery_g01_c01.avi")
    scandir = os.scandir

    def refuse(path: Path) -> Any:
        if path.name == "Archery":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        MissingVideos, match=r"folders that cannot be read: UCF-101/Archery \(Permission denied\)\. The data set"
    ):
        index_of(tmp_path, "ucf101", ARCHERY)
