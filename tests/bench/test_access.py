"""bench.peers.access and bench.rows.access: every contestant reads the same frames; the others are refused."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from bench.__main__ import run_row
from bench.harness import Peer, Slice
from bench.peers import access as peers
from bench.rounds import Pace
from bench.rows import access as rows
from bench.session import Scale, Session
from bench.textures import textured, write_textured
from hypothesis import given
from hypothesis import strategies as st

from actionbook.video.decode import header
from actionbook.video.frame_folder import FrameFolder
from actionbook.video.frame_pack import FramePack
from actionbook.video.store import StoreInfo, write_store

FRAMES = 24
SCALE = Scale(videos=2, video_frames=FRAMES, pace=Pace(slice_s=0.0, rounds=1, limit_s=0.0))
READERS = (
    "JPEG folder read by the book",
    "pickles of JPEGs + Pillow",
    "video, PyAV from its start",
    "video, OpenCV's seek",
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("access")
    return Session(folder / "scratch", folder / "cache", SCALE, use_torch=False)


@given(st.integers(0, 999), st.integers(1, 400), st.sampled_from(get_args(peers.Kind)))
def test_drawn_indices_exist_and_hang_on_the_number_alone(number: int, frames: int, kind: peers.Kind) -> None:
    indices = peers.drawn(number, frames, kind)
    assert indices == peers.drawn(number, frames, kind)
    assert len(indices) == {"consecutive": 16, "sparse": 8, "super-images": 35}[kind]
    assert 0 <= min(indices) <= max(indices) < frames
    if kind == "super-images":
        assert set(np.diff(np.reshape(indices, (7, 5))).ravel()) <= {1, 1 - frames}  # goes on from the start
    elif kind == "sparse":
        edges = [i * frames // 8 for i in range(9)]
        inside = zip(indices, pairwise(edges), strict=True)
        assert all(low <= index < max(high, low + 1) for index, (low, high) in inside)
    elif frames >= 16:
        assert np.diff(indices).tolist() == [1] * 15


def test_textured_videos_have_their_length_and_no_flat_areas(tmp_path: Path) -> None:
    frames = list(textured(3, seed=1))
    assert [(f.shape, f.dtype) for f in frames] == [((256, 340, 3), np.uint8)] * 3
    assert not np.array_equal(frames[0], next(textured(1, seed=2)))
    blocks = frames[0][..., 1].reshape(32, 8, 85, 4)
    assert blocks.std(axis=(1, 3)).min() > 1
    write_textured(tmp_path / "t.mp4", 20, seed=1)
    found = header(tmp_path / "t.mp4")
    assert (found.codec, found.width, found.height, found.frames) == ("h264", 340, 256, 20)


def test_every_contestant_is_timed_against_pillow_on_a_folder(session: Session) -> None:
    results = run_row("access", session)
    kinds = ("16 consecutive frames", "8 sparse frames")
    assert [r.what for r in results] == [
        f"{kind}: {reader} vs JPEG folder + Pillow, CPU time" for kind in kinds for reader in ("frame store", *READERS)
    ], results[0].note
    assert [r.target for r in results] == [rows.TARGETS[rows.STORE], None, None, None, None] * 2
    assert all(r.rounds == 1 and r.value is not None and r.value > 0 for r in results)
    assert "differ" not in results[0].note
    assert "differ from the frame store's by up to 0.00" in results[1].note
    folder = session.scratch / "access" / "jpegs" / f"340x256-{FRAMES}-1"
    assert len(FrameFolder(folder)) == FRAMES
    assert (folder / "n_frames").read_text() == str(FRAMES)


def test_packs_are_timed_against_the_store_of_the_same_frames(session: Session) -> None:
    results = run_row("packs", session)
    assert [r.what for r in results] == [
        f"7 x 5 frames: {reader} vs frame store, CPU time"
        for reader in ("pack read by the book", "pack unpickled + Pillow")
    ], results[0].note
    assert [r.target for r in results] == [rows.TARGETS[rows.PACK], None]
    assert all(r.rounds == 1 and r.value is not None and r.value > 0 for r in results)
    assert "differ from the frame store's by up to 0.00" in results[0].note


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pack_holds_the_frames_of_the_store(protocol: int, tmp_path: Path) -> None:
    frames = [bytes([k, 255 - k]) * 200 for k in range(3)]
    write_store(tmp_path / "v.zip", frames, StoreInfo("v.mp4", 1, 25.0, 24, 95, "libavcodec 1"))
    peers.pack(tmp_path / "v.zip", tmp_path / "packs" / "7.pkl", protocol)
    assert pickle.loads((tmp_path / "packs" / "7.pkl").read_bytes()) == ("7", 0, frames)
    with FramePack(tmp_path / "packs" / "7.pkl") as pack:
        assert [pack.jpeg(k) for k in range(3)] == frames


def test_frames_of_given_videos_come_out_at_the_size_that_is_stored(tmp_path: Path) -> None:
    write_textured(tmp_path / "small.mp4", 3, seed=0)
    checked = str(tmp_path / "checked.npz")
    shared = {"counts": [3], "kind": "sparse", "checked": checked}
    for contestant in (peers.decoding, peers.seeking):
        contestant([str(tmp_path / "small.mp4")], [(170, 128)], **shared).step()
        with np.load(checked) as clips:
            assert clips["arr_0"].shape == (8, 32, 43, 3)


def test_opencv_that_finds_no_frame_gives_a_short_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "drawn", lambda *_: [0, 1, 99])
    write_textured(tmp_path / "v.mp4", 3, seed=0)
    checked = {label: str(tmp_path / f"{label}.npz") for label in ("long", "short")}
    peers.seeking([str(tmp_path / "v.mp4")], [(340, 256)], counts=[3], kind="sparse", checked=checked["short"])
    monkeypatch.setattr(peers, "drawn", lambda *_: [0, 1, 2])
    peers.seeking([str(tmp_path / "v.mp4")], [(340, 256)], counts=[3], kind="sparse", checked=checked["long"])
    long, short = (Peer(label, "", {"checked": path}, tmp_path) for label, path in checked.items())
    assert rows.difference(long, long) == 0
    assert rows.difference(long, short) == float("inf")


def test_the_worst_video_decides_on_a_difference(tmp_path: Path) -> None:
    for label, levels in (("a", (7, 9)), ("b", (7, 4))):
        clips = [np.full((2, 3, 3, 3), level, np.uint8) for level in levels]
        np.savez(tmp_path / f"{label}.npz", *clips)
    ours, other = (Peer(label, "", {"checked": str(tmp_path / f"{label}.npz")}, tmp_path) for label in "ab")
    assert rows.difference(ours, other) == 5


@pytest.mark.parametrize(("stray", "left"), [("video, OpenCV's seek", 4), (rows.BASE, 0)])
def test_other_frames_are_refused(stray: str, left: int, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[list[str]] = []

    def rounds(_: Session, __: str, contestants: list[Peer], pace: Pace) -> list[dict[str, Slice]]:
        assert pace.steps == rows.STEPS
        timed.append([peer.label for peer in contestants])
        return [{peer.label: Slice(1, 1.0, 1.0, 0.0) for peer in contestants}]

    monkeypatch.setattr(Session, "running", lambda *_: nullcontext())
    monkeypatch.setattr(Session, "rounds", rounds)
    monkeypatch.setattr(rows, "difference", lambda _, peer: 8.5 if peer.label == stray else 1.0)
    results: Iterator = iter(run_row("access", session))
    for kind in ("16 consecutive frames", "8 sparse frames"):
        refused = next(results)
        assert (refused.what, refused.verdict) == (f"{kind}: {stray}", "crashed")
        assert "8.5 of 255" in refused.note
        assert [next(results).value for _ in range(left)] == [1.0] * left
    assert next(results, None) is None
    assert all(stray not in labels for labels in timed)
    assert len(timed) == (2 if left else 0)


def test_the_pictures_are_those_of_the_video(tmp_path: Path) -> None:
    """OpenCV gives blue first; a contestant that forgets to turn it round would read other colours."""
    write_textured(tmp_path / "v.mp4", 4, seed=5)
    checked = str(tmp_path / "c.npz")
    peers.seeking([str(tmp_path / "v.mp4")], [(340, 256)], counts=[4], kind="consecutive", checked=checked)
    capture = cv2.VideoCapture(str(tmp_path / "v.mp4"))
    first = capture.read()[1]
    with np.load(checked) as clips:
        assert np.array_equal(clips["arr_0"][0], first[:: peers.SHOWN, :: peers.SHOWN, ::-1])
