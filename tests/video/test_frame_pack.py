"""Packed videos of StNet's programs: read as a store is, as data, and refused by name where they hold anything else."""

from __future__ import annotations

import contextlib
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionbook.video import frame_pack
from actionbook.video.digests import digest_of, digests
from actionbook.video.frame_folder import FrameFolder, frames_path, open_frames
from actionbook.video.frame_pack import FramePack, label_of
from actionbook.video.frames_in_place import frames_in_place
from actionbook.video.store import FrameStore, StoreError, StoreInfo, write_store

INFO = StoreInfo(source="v.mp4", source_bytes=1, fps=25.0, height=24, quality=95, ffmpeg="libavcodec 1")


def jpegs(count: int) -> list[bytes]:
    """Grey pictures of 32 x 24 pixels, the k-th of the level 20 * k."""
    return [cv2.imencode(".jpg", np.full((24, 32, 3), 20 * k, np.uint8))[1].tobytes() for k in range(count)]


def python2(video: str, label: int, frames: list[bytes]) -> bytes:
    """The same pack as Python 2 pickles it with protocol 2: its strings are bytes."""
    name = video.encode()
    listed = b"".join(b"T" + struct.pack("<I", len(frame)) + frame for frame in frames)
    return b"\x80\x02U" + bytes([len(name)]) + name + b"K" + bytes([label]) + b"](" + listed + b"e\x87."


def write(path: Path, value: Any, protocol: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return path


FRAMES = jpegs(4)
WAYS = {
    "the port's": pickle.dumps(("./v", 7, FRAMES), 2),
    "the list second": pickle.dumps(("./v", FRAMES, 7), 2),
    "protocol 3": pickle.dumps(("./v", 7, FRAMES), 3),
    "protocol 4": pickle.dumps(("./v", 7, FRAMES), 4),
    "protocol 5, the list second": pickle.dumps(("./v", FRAMES, 7), 5),
    "an id of bytes": pickle.dumps((b"./v", 7, FRAMES), 2),
    "Python 2": python2("./v", 7, FRAMES),
}


@pytest.mark.parametrize("way", WAYS)
def test_packs_are_read_as_the_store_of_the_same_frames_is(way: str, tmp_path: Path) -> None:
    path = write(tmp_path / "v.pkl", WAYS[way])
    write_store(tmp_path / "v.zip", FRAMES, INFO)
    with FrameStore(tmp_path / "v.zip") as store, FramePack(path) as pack:
        assert (len(pack), pack.label, pack.components, pack.frame_size) == (4, 7, ("",), (32, 24))
        assert [pack.jpeg(k) for k in range(4)] == FRAMES
        for mine, stored in zip(pack.read([3, 0, 3]), store.read([3, 0, 3]), strict=True):
            np.testing.assert_array_equal(mine, stored)
        with zipfile.ZipFile(store.path) as archive:
            assert pack.names() == archive.namelist()
        assert list(pack.sizes().values()) == list(map(len, FRAMES))
        assert pack.stored_bytes == sum(map(len, FRAMES))
        assert digest_of(pack) == digest_of(store)
        for beyond in (-1, 4):
            with pytest.raises(IndexError, match=f"frame {beyond} of 4"):
                pack.jpeg(beyond)
    assert label_of(path) == 7


def test_a_pack_takes_the_place_of_a_store_or_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "train" / "v.pkl", ("./v", 7, FRAMES))
    asked = tmp_path / "train" / "v.zip"
    assert frames_path(asked) == frames_path(path) == path
    for one in (asked, path):
        opened = open_frames(one)
        assert isinstance(opened, FramePack)
        assert opened.path == path
    known = digests([asked], tmp_path / "memory.json")
    write(path, WAYS["the list second"])
    assert digests([asked], tmp_path / "memory.json") == known  # other bytes of the pack, the same frames
    write(path, ("./v", 7, FRAMES[:3]))
    assert digests([asked], tmp_path / "memory.json") != known
    (tmp_path / "train" / "v").mkdir()
    with pytest.raises(StoreError, match=r"holds no image_00001\.jpg"):
        open_frames(asked)  # a folder of the very name goes first
    (tmp_path / "train" / "v").rmdir()
    write_store(asked, FRAMES, INFO)
    assert isinstance(open_frames(asked), FrameStore)


def test_a_look_at_packs_tells_what_is_wrong_with_each(tmp_path: Path) -> None:
    write(tmp_path / "train" / "good.pkl", ("./good", 0, FRAMES))
    write(tmp_path / "train" / "lost.pkl", ("./lost", 0, []))
    write(tmp_path / "train" / "cut.pkl", ("./cut", 0, [*FRAMES, FRAMES[0][:-9]]))
    write(tmp_path / "train" / "empty.pkl", ("./empty", 0, [FRAMES[0], b"", FRAMES[0]]))
    names = ["good", "lost", "cut", "empty", "gone"]
    items = pd.DataFrame({"video": names, "store": [f"train/{name}" for name in names], "frames": 0})
    table = frames_in_place(items, tmp_path).set_index("video")
    assert table.frames.tolist() == [4, 0, 0, 0, 0]
    assert table.loc["good", ["bytes", "error", "note"]].tolist() == [sum(map(len, FRAMES)), "", ""]
    for name, said in {
        "lost": "lost.pkl: holds no frames. The program that packs videos (video2pkl.py) calls FFmpeg through a shell",
        "cut": "cut.pkl/image_00005.jpg: is damaged",
        "empty": "empty.pkl/image_00002.jpg: is an empty file",
        "gone": f"{tmp_path}/train/gone does not exist",
    }.items():
        assert said in table.error[name]


REFUSED: dict[str, tuple[Any, str]] = {
    "a call": (b"\x80\x02cposix\nsystem\nU\x0decho > marker\x85R.", r"expected the tuple .*, found posix\.system"),
    "a call as a frame": (
        b"\x80\x02U\x03./vK\x01](cposix\nsystem\nU\x0decho > marker\x85Re\x87.",
        r"frame 0 is posix\.system, expected the bytes of a JPEG",
    ),
    "a call as the class": (
        b"\x80\x02U\x03./vcposix\nsystem\nU\x0decho > marker\x85R]\x87.",
        r"the class is posix\.system, expected a number",
    ),
    "another encoding": (
        b"\x80\x02U\x03./vK\x01](c_codecs\nencode\nU\x02hiU\x03rot\x86Re\x87.",
        r"frame 0 is _codecs\.encode",
    ),
    "something outside": (b"\x80\x02U\x03./vK\x01U\x01aQ\x87.", "refers to something outside"),
    "an unknown operation": (b"\x80\x02U\x03./vK\x01]\x82\x01\x87.", r"operation EXT1.*not carried out; make it again"),
    "two things": (("./v", 1), r"expected the tuple of an id, a class number and frames, found tuple of 2"),
    "a list": (["./v", 1, [b"a"]], "found list of 3"),
    "no id": ((None, 1, [b"a"]), r"expected an id, .* found None, 1, list of 1"),
    "no frames": (("./v", 1, 2), r"found './v', 1, 2"),
    "a class of text": (("./v", "abseiling", [b"a"]), r"the class is 'abseiling', expected a number from 0"),
    "a class below 0": (("./v", -1, [b"a"]), "the class is -1"),
    "true": (("./v", True, [b"a"]), "the class is True"),
    "a long number": (("./v", 10**5000, [b"a"]), "the class is a long number"),
    "a number as a frame": (("./v", 1, [b"a", 5]), "frame 1 is 5, expected the bytes"),
    "nothing": (b"", "cannot be read"),
    "half a pack": (pickle.dumps(("./v", [b"a" * 500], 1), 2)[:200], r"truncated pickle.*; make it again"),
    "no pickle": (b"PK\x03\x04 this is no pickle", "damaged"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_pack_is_refused_by_name(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, said = REFUSED[what]
    path = write(tmp_path / "v.pkl", content, protocol=4)
    with pytest.raises(StoreError, match=said) as caught:
        FramePack(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.pkl"]


def test_text_that_is_no_bytes_is_a_damaged_frame(tmp_path: Path) -> None:
    pack = FramePack(write(tmp_path / "v.pkl", ("./v", 1, ["视频"])))
    for use in (lambda: pack.frame_size, lambda: pack.jpeg(0), lambda: pack.read([0])):
        with pytest.raises(StoreError, match="frame 0 is damaged"):
            use()


def test_a_pack_that_is_not_there_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for use in (FramePack, label_of):
        with pytest.raises(StoreError, match=r"gone\.pkl: cannot be read"):
            use(tmp_path / "gone.pkl")
    path = write(tmp_path / "v.pkl", ("./v", FRAMES, 1))
    monkeypatch.setattr(frame_pack, "MAX_PACK_BYTES", 100)
    with pytest.raises(StoreError, match="more than the 100 of any pack"):
        FramePack(path)


def test_the_class_is_found_without_reading_the_frames(tmp_path: Path) -> None:
    """Hundreds of thousands of packs are asked for it; the rest of these is damaged."""
    early = pickle.dumps(("./v", 300, [bytes(9000)]), 2)
    assert label_of(write(tmp_path / "early.pkl", early[:5000])) == 300
    assert label_of(write(tmp_path / "no_frames.pkl", ("./v", 70_000, []))) == 70_000
    late = pickle.dumps(("./v", [5, 6], 300), 2)  # numbers in the list are not the class
    with pytest.raises(StoreError, match="frame 0 is 5"):
        label_of(write(tmp_path / "late.pkl", late))
    with pytest.raises(StoreError, match="the class is -1"):
        label_of(write(tmp_path / "below.pkl", ("./v", -1, [])))


def test_folders_are_looked_at_before_packs(tmp_path: Path) -> None:
    folder = tmp_path / "c" / "v"
    folder.mkdir(parents=True)
    (folder / "image_00001.jpg").write_bytes(FRAMES[0])
    write(tmp_path / "c" / "v.pkl", ("./v", 1, FRAMES))
    assert isinstance(open_frames(tmp_path / "c" / "v.zip"), FrameFolder)
    items = pd.DataFrame({"video": ["v"], "store": ["c/v"], "frames": [0]})
    assert frames_in_place(items, tmp_path).frames.tolist() == [1]


@settings(max_examples=300, database=None, derandomize=True)
@given(
    way=st.sampled_from(sorted(WAYS)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.floats(0, 1),
)
def test_damaged_packs_are_frames_or_an_error(way: str, edits: list[tuple[float, int]], cut: float) -> None:
    """Bytes changed in its structure, which is dense at both ends, and sometimes its end cut off."""
    content = bytearray(WAYS[way])
    for place, value in edits:
        content[int(place**3 * (len(content) - 1))] = value
    if cut < 0.3:
        del content[int(len(content) * (1 - cut)) :]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "v.pkl", bytes(content))
        for use in (lambda: FramePack(path).read([0]), lambda: label_of(path)):
            with contextlib.suppress(StoreError):
                use()
