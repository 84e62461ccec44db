"""Folders of the original scripts: read as a store is, and refused where a frame is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from actionbook.video import frame_folder as module
from actionbook.video.frame_folder import FrameFolder, frames_path, open_frames
from actionbook.video.store import FrameStore, StoreError, StoreInfo, write_store

INFO = StoreInfo(source="v.avi", source_bytes=1, fps=25.0, height=24, quality=95, ffmpeg="libavcodec 1")


def write(folder: Path, names: list[str], *, size: tuple[int, int] = (32, 24)) -> Path:
    """Images as cv2.imwrite makes them: in colour, or grey for flow; the k-th has the level 20 * k."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        channels = () if name.endswith(("x.jpg", "y.jpg")) else (3,)
        cv2.imwrite(str(folder / name), np.full((size[1], size[0], *channels), 20 * number, np.uint8))
    return folder


def colour(count: int) -> list[str]:
    return [f"image_{i:05d}.jpg" for i in range(1, count + 1)]


def flow(count: int) -> list[str]:
    return [f"image_{i:05d}{component}.jpg" for i in range(1, count + 1) for component in "xy"]


def test_frames_in_colour(tmp_path: Path) -> None:
    folder = write(tmp_path / "视频 #1 (a;b)!", colour(5))
    (folder / "n_frames").write_text("5\n")
    (folder / "Thumbs.db").write_bytes(b"")
    (folder / "image_00006.png").write_bytes(b"")
    with FrameFolder(folder) as frames:
        assert (len(frames), frames.components, frames.frame_size) == (5, ("",), (32, 24))
        assert [round(frame.mean(), -1) for frame in frames.read([4, 0, 4, 1])] == [80, 0, 80, 20]
        assert frames.read([0])[0].shape == (24, 32, 3)
        assert frames.stored_bytes == sum(path.stat().st_size for path in folder.glob("*.jpg"))
        assert next(frames.frames([2], min_size=12, fast=True)).shape == (12, 16, 3)


def test_flow(tmp_path: Path) -> None:
    folder = write(tmp_path / "v", flow(3))
    with FrameFolder(folder) as frames:
        assert (len(frames), frames.components, frames.frame_size) == (3, ("x", "y"), (32, 24))
        found = frames.read([0, 2])
        assert frames.jpeg(1, "y") == (folder / "image_00002y.jpg").read_bytes()
    assert [frame.shape for frame in found] == [(24, 32, 2)] * 2
    assert [tuple(frame[3, 3]) for frame in found] == [(0, 20), (80, 100)]


@pytest.mark.parametrize("names", [colour(4), flow(2)], ids=["colour", "flow"])
def test_an_unpacked_store_reads_as_the_store(tmp_path: Path, names: list[str]) -> None:
    jpegs = [path.read_bytes() for path in (write(tmp_path / "made", names) / name for name in names)]
    frames = jpegs if names == colour(4) else list(zip(jpegs[::2], jpegs[1::2], strict=True))
    write_store(tmp_path / "a.zip", frames, INFO)
    shutil.unpack_archive(tmp_path / "a.zip", tmp_path / "b")
    indices = [1, 0, 1]
    with FrameStore(tmp_path / "a.zip") as store, FrameFolder(tmp_path / "b") as folder:
        assert len(store) == len(folder)
        np.testing.assert_array_equal(store.read(indices), folder.read(indices))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"holds no image_00001.jpg or image_00001x.jpg \(the original scripts leave an empty folder"),
        (["image_00002.jpg"], "image_00001.jpg is missing, the last frame is 2"),
        (["image_00000.jpg", "image_00001.jpg", "image_00003.jpg"], "image_00002.jpg is missing"),
        (["image_00000.jpg", "image_00002.jpg"], "image_00001.jpg is missing, the last frame is 2"),
        (["image_1.jpg", "image_3.jpg"], "image_2.jpg is missing"),
        (["image_000001.JPG", "image_000003.JPG"], "image_000002.JPG is missing"),
        (["image_1.jpg", "image_00001.jpg"], "image_00001.jpg and image_1.jpg are one frame; remove one"),
        (["frame_01.jpg", "frame_02.jpg"], r"holds no image_00001.jpg .*, but frame_01.jpg, frame_02.jpg; make"),
        (["img_0001.jpg", "img_0003.jpg"], "img_0002.jpg is missing, the last frame is 3"),
        (["img_00001.jpg", "image_00001.jpg"], "image_00001.jpg and img_00001.jpg are one frame; remove one"),
        ([*colour(3), "image_00007.jpg"], "image_00004.jpg is missing, the last frame is 7"),
        ([*flow(3), "image_00004x.jpg"], "image_00004y.jpg is missing, the last frame is 4"),
        ([*flow(3), "image_00004y.jpg"], "image_00004x.jpg is missing, the last frame is 4"),
        ([name for name in flow(5) if name != "image_00002x.jpg"], "image_00002x.jpg is missing"),
        ([*flow(2), *colour(2)], "holds frames in colour and of flow"),
    ],
)
def test_gaps_are_named(tmp_path: Path, names: list[str], message: str) -> None:
    folder = write(tmp_path / "v_1", names)
    with pytest.raises(StoreError, match=message) as caught:
        FrameFolder(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("names", [
    [f"image_{number}.jpg" for number in range(1, 12)],
    [f"image_{number:06d}.jpg" for number in range(1, 12)],
    [f"image_{number:05d}.JPG" for number in range(1, 12)],
    [f"image_{number:05d}.jpeg" for number in range(11)],
    [f"img_{number:04d}.jpg" for number in range(1, 12)],
])  # fmt: skip
def test_other_padding_and_numbers_from_0(tmp_path: Path, names: list[str]) -> None:
    folder = write(tmp_path / "v", names)
    (folder / "n_frames").write_text(names[-1].split(".")[0].partition("_")[2])  # the highest number
    (folder / f"._{names[0]}").write_bytes(b"")
    with FrameFolder(folder) as frames:
        assert frames.names() == names  # by number, not by letter
        assert (len(frames), frames.first) == (11, 0 if names[0] == "image_00000.jpeg" else 1)
        assert [round(frame.mean(), -1) for frame in frames.read([0, 10])] == [0, 200]
        assert frames.file(10) == folder / names[10]


def test_the_number_of_frames_that_count_from_0_is_no_contradiction(tmp_path: Path) -> None:
    folder = write(tmp_path / "v", [f"image_{number:05d}.jpg" for number in range(5)])
    for text in ("4", "5"):
        (folder / "n_frames").write_text(text)
        assert len(FrameFolder(folder)) == 5
    (folder / "n_frames").write_text("6")
    with pytest.raises(StoreError, match="n_frames says 6, the last frame is image_00004; image_00005 is the first"):
        FrameFolder(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("6", "n_frames says 6, the last frame is image_00005"),
        ("4", "n_frames says 4, the last frame is image_00005"),
        ("6", "image_00006 is the first that is missing: make both again"),
        ("4", "the highest number is meant: make it again"),
        ("4.5", "n_frames: expected a whole number .*4.5"),
        ("inf", "n_frames: expected a whole number"),
        ("many", "n_frames: expected a whole number"),
        ("", "n_frames: expected a whole number"),
    ],
)
def test_a_wrong_n_frames(tmp_path: Path, text: str, message: str) -> None:
    folder = write(tmp_path / "v", colour(5))
    (folder / "n_frames").write_text(text)
    with pytest.raises(StoreError, match=message):
        FrameFolder(folder)


def test_frames_that_cannot_be_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "v", colour(3))
    with FrameFolder(folder) as frames:
        for index in (-1, 3):
            with pytest.raises(IndexError, match=f"frame {index} of 3"):
                frames.jpeg(index)
        (folder / "image_00002.jpg").write_bytes(b"no jpeg")
        with pytest.raises(StoreError, match="frame 1 is damaged"):
            frames.read([0, 1])
        (folder / "image_00003.jpg").unlink()
        with pytest.raises(StoreError, match=r"image_00003\.jpg: cannot be read"):
            frames.read([2])
    with pytest.raises(StoreError, match="gone: cannot be read"):
        FrameFolder(tmp_path / "gone")


def test_the_store_goes_before_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "v_1.5.zip"
    with pytest.raises(StoreError, match=r"v_1\.5\.zip: cannot be read .*run the data stage again"):
        open_frames(path)
    folder = write(tmp_path / "v_1.5", colour(2))
    with open_frames(path) as frames:
        assert isinstance(frames, FrameFolder)
        assert len(frames) == 2
    write_store(path, [(folder / "image_00001.jpg").read_bytes()], INFO)
    with open_frames(path) as frames:
        assert isinstance(frames, FrameStore)
        assert len(frames) == 1


def test_n_frames_may_be_written_as_the_scripts_read_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "v", colour(3))
    (folder / "n_frames").write_text("3.0\n")
    assert len(FrameFolder(folder)) == 3


@pytest.mark.parametrize(
    "own",
    ["A/v_HandStand", "A/v_handstand", "a/v_HANDSTAND", "A/v Hand Stand", "A/v_HandStand.avi", "A/A/v_HandStand",
     "v_handstand"],
)  # fmt: skip
def test_folders_are_found_by_other_spellings(tmp_path: Path, own: str) -> None:
    folder = write(tmp_path / own, colour(2))
    path = tmp_path / "A" / "v_HandStand.zip"
    assert frames_path(path) == folder
    with open_frames(path) as frames:
        assert isinstance(frames, FrameFolder)


def test_the_exact_folder_goes_before_others_and_two_others_are_none(tmp_path: Path) -> None:
    for number, name in enumerate(["v_A", "v_a", "V_A"], start=1):
        write(tmp_path / "c" / name, colour(number))
    assert [len(open_frames(tmp_path / "c" / f"{name}.zip")) for name in ("v_A", "v_a", "V_A")] == [1, 2, 3]
    path = tmp_path / "c" / "V_a.zip"
    assert frames_path(path) == path
    with pytest.raises(StoreError, match=r"V_a\.zip: cannot be read"):
        open_frames(path)


def test_sizes(tmp_path: Path) -> None:
    folder = write(tmp_path / "v", flow(2))
    (folder / "image_00002y.jpg").write_bytes(b"12345")
    sizes = FrameFolder(folder).sizes()
    assert list(sizes) == FrameFolder(folder).names() == flow(2)
    assert sizes["image_00002y.jpg"] == 5


AVA = "-_a_5KQ_01"


def ava(count: int, video: str = AVA) -> list[str]:
    return [f"{video}_{number:06d}.jpg" for number in range(1, count + 1)]


def test_frames_named_for_their_video(tmp_path: Path) -> None:
    folder = write(tmp_path / AVA, ava(11))
    with open_frames(tmp_path / f"{AVA}.zip") as frames:
        assert isinstance(frames, FrameFolder)
        assert (len(frames), frames.first, frames.names()) == (11, 1, ava(11))
        assert frames.jpeg(10) == (folder / f"{AVA}_000011.jpg").read_bytes()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([*ava(2), f"{AVA}_000004.jpg"], f"{AVA}_000003.jpg is missing, the last frame is 4"),
        ([*ava(2), *ava(2, "other_1")], "holds 2 frames of other videos, such as other_1_000001.jpg, and 2 of its own"),
        (
            ava(3, AVA.upper()),
            f"such as {AVA.upper()}_000001.jpg, and none named {AVA}_000001.jpg; move",
        ),
        ([*ava(2), "image_00002.jpg"], "are one frame; remove one"),
        ([], f"those of AVA would write {AVA}_000001.jpg"),
    ],
)
def test_what_is_wrong_with_frames_named_for_their_video(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        FrameFolder(write(tmp_path / AVA, names))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders that are listed from here on."""
    seen: list[str] = []
    real = os.listdir
    monkeypatch.setattr(module.os, "listdir", lambda path: (seen.append(Path(path).name), real(path))[1])
    return seen


def test_a_folder_is_listed_once_and_again_when_it_was_changed(tmp_path: Path, listed: list[str]) -> None:
    folder = write(tmp_path / "v", colour(3))
    os.utime(folder, (1e9, 1e9))
    for _ in range(3):
        assert len(open_frames(tmp_path / "v.zip")) == 3
    assert listed == ["v"]
    write(folder, colour(4))
    for _ in range(2):  # a change of just now may not be the last one that the clock cannot tell from it
        assert len(open_frames(tmp_path / "v.zip")) == 4
    assert listed == ["v"] * 3


def test_many_names_take_no_room(tmp_path: Path) -> None:
    names = FrameFolder(write(tmp_path / AVA, ava(20)))._names[""]
    assert isinstance(names, module._Numbered)
    assert list(names) == ava(20)
    (tmp_path / AVA / f"{AVA}_000021.JPG").write_bytes(b"")
    assert FrameFolder(tmp_path / AVA).names() == [*ava(20), f"{AVA}_000021.JPG"]
