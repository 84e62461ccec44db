"""Frames named by content: the same wherever they lie and however they are stored, another for every difference."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.core.files import sha256_json
from actionbook.video import digests as module
from actionbook.video.digests import digest_of, digests, frames_sha256
from actionbook.video.frame_folder import open_frames
from actionbook.video.reader import StoreError
from actionbook.video.store import StoreInfo, write_store

INFO = StoreInfo(source="v.avi", source_bytes=1, fps=25.0, height=24, quality=95, ffmpeg="libavcodec 1")
FRAMES = [b"one", b"two", b"three"]
Frames = list[bytes] | list[tuple[bytes, bytes]]


def stored(path: Path, frames: Frames = FRAMES, **info: Any) -> Path:
    """A store file at `path`; its bytes need not be JPEGs, nothing here decodes them."""
    write_store(path, frames, StoreInfo(**{**vars(INFO), **info}))
    return path


def unpack(store: Path, folder: Path) -> Path:
    """The folder that the original scripts would have made, by the path that `open_frames` takes."""
    shutil.unpack_archive(store, folder)
    return folder.with_name(f"{folder.name}.zip")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders whose files are all read from here on."""
    seen: list[str] = []
    real = module.digest_of

    def counted(frames: Any) -> str:
        seen.append(frames.path.name)
        return real(frames)

    monkeypatch.setattr(module, "digest_of", counted)
    return seen


@pytest.mark.parametrize("frames", [FRAMES, [(b"x1", b"y1"), (b"x2", b"y2")]], ids=["colour", "flow"])
def test_a_store_and_its_folder_have_one_digest(frames: Frames, tmp_path: Path) -> None:
    store = stored(tmp_path / "v.zip", frames)
    moved = stored(tmp_path / "elsewhere" / "w.zip", frames, source="another.avi", quality=80, note="whence")
    folder = unpack(store, tmp_path / "folders" / "v")
    found = digests([store, moved, folder], tmp_path / "memory.json")
    assert len(set(found)) == 1
    assert len(found[0]) == 64
    assert frames_sha256([store], tmp_path / "m.json") == frames_sha256([folder], tmp_path / "m.json")
    (tmp_path / "folders" / "v" / "n_frames").write_text(str(len(frames)))
    (tmp_path / "folders" / "v" / "Thumbs.db").write_text("")
    assert digests([folder]) == found[:1]


@pytest.mark.parametrize(
    "other",
    [
        [b"one", b"twO", b"three"], [b"two", b"one", b"three"], [b"one", b"two"], [*FRAMES, b"three"],
        [b"one", b"two", b"thre"], [(b"one", b"two"), (b"three", b"three")],
    ],
    ids=["a pixel", "order", "fewer", "more", "shorter", "flow"],
)  # fmt: skip
def test_other_frames_have_another(other: Frames, tmp_path: Path) -> None:
    first, second = stored(tmp_path / "a.zip"), stored(tmp_path / "b.zip", other)
    folder = unpack(second, tmp_path / "folder")
    found = digests([first, second, folder], tmp_path / "m.json")
    assert found[0] != found[1] == found[2]


JPEGS = st.lists(st.binary(min_size=1, max_size=2), min_size=1, max_size=3)


@given(one=JPEGS, other=JPEGS)
def test_digests_are_equal_where_frames_are(
    one: list[bytes], other: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    stores = [stored(folder / "one.zip", one), stored(folder / "other.zip", other)]
    first, second = (digest_of(open_frames(path)) for path in stores)
    assert (first == second) == (one == other)
    shutil.rmtree(folder)


def test_videos_count_by_their_order_and_number_not_by_their_names(tmp_path: Path) -> None:
    one, other = stored(tmp_path / "a.zip"), stored(tmp_path / "b.zip", [b"four"])
    same = stored(tmp_path / "c" / "z.zip")

    def digest(*paths: Path) -> str:
        return frames_sha256(paths, tmp_path / "m.json")

    assert digest(one, other) == digest(same, other)
    assert len({digest(one, other), digest(other, one), digest(one), digest(one, one), digest()}) == 5


def test_a_second_look_opens_nothing(tmp_path: Path, reads: list[str]) -> None:
    store, memory = stored(tmp_path / "s.zip"), tmp_path / "stores" / "memory.json"
    paths = [store, *(unpack(store, tmp_path / name) for name in "ab")]
    first = frames_sha256(paths, memory)
    assert sorted(reads) == ["a", "b", "s.zip"]
    times = memory.stat().st_mtime_ns
    assert frames_sha256(paths, memory) == first
    assert memory.stat().st_mtime_ns == times
    assert frames_sha256(paths[::-1], memory) != ""
    assert len(reads) == 3


def same_size(path: Path) -> None:
    path.write_bytes(b"TWO")


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"TWO")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def put_in_its_place(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"TWO")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [same_size, same_size_and_time, put_in_its_place])
def test_a_file_that_was_changed_is_read_again(
    change: Callable[[Path], None], tmp_path: Path, reads: list[str]
) -> None:
    store, memory = stored(tmp_path / "s.zip"), tmp_path / "memory.json"
    paths = [unpack(store, tmp_path / name) for name in "ab"]
    first = digests(paths, memory)
    reads.clear()
    change(tmp_path / "b" / "image_00002.jpg")
    second = digests(paths, memory)
    assert reads == ["b"]
    assert first[0] == first[1] == second[0] != second[1]
    assert second[1] == digests([stored(tmp_path / "t.zip", [b"one", b"TWO", b"three"])])[0]


def test_a_store_that_was_written_anew_is_read_again(tmp_path: Path, reads: list[str]) -> None:
    store, other, memory = stored(tmp_path / "s.zip"), stored(tmp_path / "o.zip"), tmp_path / "memory.json"
    first = digests([store, other], memory)
    reads.clear()
    before = store.stat()
    stored(store, [b"one", b"TWO", b"three"])
    os.utime(store, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.stat().st_size == before.st_size
    second = digests([store, other], memory)
    assert reads == ["s.zip"]
    assert first[0] == first[1] == second[1] != second[0]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"a": 1}', '{"a": ["b"]}', '{"a": ["b", 1]}', "\x00"])
def test_a_damaged_memory_is_made_anew(text: str, tmp_path: Path) -> None:
    path, memory = unpack(stored(tmp_path / "s.zip"), tmp_path / "a"), tmp_path / "memory.json"
    found = digests([path], memory)
    whole = memory.read_text()
    memory.write_text(text)
    assert digests([path], memory) == found
    assert json.loads(memory.read_text()) == json.loads(whole)


def test_memory_keeps_what_it_was_not_asked_for(tmp_path: Path, reads: list[str]) -> None:
    store, memory = stored(tmp_path / "s.zip"), tmp_path / "memory.json"
    paths = [unpack(store, tmp_path / name) for name in "ab"]
    for path in paths:
        digests([path], memory)
    reads.clear()
    digests(paths, memory)
    assert reads == []


def test_frames_that_cannot_be_read(tmp_path: Path) -> None:
    store, memory = stored(tmp_path / "s.zip"), tmp_path / "memory.json"
    cut = stored(tmp_path / "cut.zip")
    cut.write_bytes(cut.read_bytes()[:-5])
    folder = unpack(store, tmp_path / "folder")
    (tmp_path / "folder" / "image_00002.jpg").unlink()
    paths = [store, cut, folder, tmp_path / "gone.zip"]
    found = digests(paths, memory)
    assert [bool(digest) for digest in found] == [True, False, False, False]
    with pytest.raises(StoreError, match=r"cut\.zip: .* 3 videos; run 01_data again"):
        frames_sha256(paths, memory)
    assert list(json.loads(memory.read_text())) == [str(store)]
    assert frames_sha256([], memory) == sha256_json([])
