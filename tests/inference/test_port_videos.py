"""The files of ECO's port, byte by byte, and back into predictions."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actionbook.core.files import TEMPORARY
from actionbook.core.spec import Spec, SpecError
from actionbook.inference import InferenceError, MsameEngine, run_batches, write_batches
from actionbook.inference.port_videos import (
    PortVideos,
    read_port_labels,
    read_port_results,
    read_port_videos,
    write_port_labels,
    write_port_videos,
)
from actionbook.tasks.classification import topk
from actionbook.tasks.pooling import pool_clips

SHAPE = (3, 2, 4, 5)
ITEMS = ["Bow/v_打_g08_c01", "Bow/v_B_g08_c02", "v_C_g09_c01"]
CLIPS = np.random.default_rng(2).standard_normal((3, *SHAPE), dtype=np.float32)


@pytest.fixture
def videos(tmp_path: Path) -> PortVideos:
    return write_port_videos(zip(ITEMS, CLIPS, strict=True), tmp_path / "clips" / "ucf101", SHAPE, progress=False)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """As msame leaves them: logits of three videos and two classes, in a folder named for the time of the call."""
    folder = tmp_path / "out" / "20261128_21_05_00_1"
    folder.mkdir(parents=True)
    for clip, logits in {"v_打_g08_c01": (0, 1), "v_B_g08_c02": (2, -1), "v_C_g09_c01": (0.5, 0)}.items():
        (folder / f"{clip}_output_0.bin").write_bytes(struct.pack("<2f", *logits))
    (folder / "sumary.txt").write_text("")
    return folder.parent


def test_a_file_is_frames_rows_columns_and_channels(videos: PortVideos) -> None:
    assert sorted(path.name for path in videos.folder.iterdir()) == [
        "v_B_g08_c02.bin",
        "v_C_g09_c01.bin",
        "v_打_g08_c01.bin",
    ]
    data = (videos.folder / "v_打_g08_c01.bin").read_bytes()
    expected = [CLIPS[0, c, t, y, x] for t in range(2) for y in range(4) for x in range(5) for c in range(3)]
    assert data == struct.pack("<120f", *expected)


def test_the_ports_own_size(tmp_path: Path) -> None:
    clips = np.broadcast_to(np.float32(1), (1, 3, 4, 224, 224))
    videos = write_port_videos([("a", clips[0])], tmp_path, (3, 4, 224, 224), progress=False)
    assert videos.path(0).stat().st_size == 2_408_448
    assert videos.spec == Spec({"clip_holder": (4, 224, 224, 3)})


def test_files_are_read_as_batches_of_one_video(videos: PortVideos) -> None:
    found = read_port_videos(videos.folder, ITEMS[::-1], SHAPE)
    assert (found.ids, len(found), found.batch_size) == (tuple((item,) for item in ITEMS[::-1]), 3, 1)
    np.testing.assert_array_equal(found.load(0)["clip_holder"][0], CLIPS[2].transpose(1, 2, 3, 0))
    assert found.sha256 != videos.sha256  # another order
    assert read_port_videos(videos.folder, ITEMS, SHAPE).sha256 == videos.sha256


def test_the_librarys_networks_get_their_own_layout(videos: PortVideos, tmp_path: Path) -> None:
    ours = write_batches(videos.samples(), tmp_path / "ours", batch_size=2, spec=SHAPE, progress=False)
    assert [name for ids in ours.ids for name in ids] == ITEMS
    np.testing.assert_array_equal(ours.load(1)["image"][0], CLIPS[2])


def test_an_om_of_the_port_runs_the_files_as_they_are(videos: PortVideos, om, tools, tmp_path: Path) -> None:
    engine = MsameEngine(om(1), batch_size=1, spec=videos.spec)
    folder = run_batches(engine, videos, tmp_path / "results", progress=False)
    assert sorted(path.name for path in folder.glob("*.bin")) == ["0_0.bin", "1_0.bin", "2_0.bin"]
    other = MsameEngine(om(1), batch_size=1, spec=SHAPE)  # one of (C, T, H, W) must not be given these
    with pytest.raises(InferenceError, match=r"batches of clip_holder; the engine was told the inputs image"):
        run_batches(other, videos, tmp_path / "others", progress=False)


def test_results_are_scored_with_the_one_metric(results: Path) -> None:
    items, outputs = read_port_results(results, ITEMS, 2)
    assert items == ITEMS
    np.testing.assert_array_equal(outputs, np.array([[0, 1], [2, -1], [0.5, 0]], np.float32))
    truth = pd.Series({"Bow/v_打_g08_c01": 1, "Bow/v_B_g08_c02": 0, "v_C_g09_c01": 1})
    score = topk(pool_clips(items, outputs), truth, 1)
    assert score.figures() == "0.6667 = 2/3"


def test_labels(tmp_path: Path) -> None:
    path = write_port_labels({"Bow/v_打_g08_c01": np.int64(1), "v_C_g09_c01": 0}, tmp_path / "ucf101_label.json")
    assert json.loads(path.read_text(encoding="utf-8")) == {"v_打_g08_c01": 1, "v_C_g09_c01": 0}
    assert read_port_labels(path) == {"v_打_g08_c01": 1, "v_C_g09_c01": 0}
    for protocol in range(2, 6):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps({"v_打_g08_c01": 1, "b": np.int64(7)}, protocol))
        assert read_port_labels(tmp_path / "x.pkl") == {"v_打_g08_c01": 1, "b": 7}


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("harmed"),)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[1]", "holds no labels"),
        ("a.json", b"{}", "holds no labels"),
        ("a.json", b'{"a": true}', "found 'a': True, expected a clip name and a class number"),
        ("a.json", b'{"a": -1}', "found 'a': -1"),
        ("a.json", b"\xff", "cannot be read as labels"),
        ("a.pkl", b"\x80\x03}", "cannot be read as labels"),
        ("a.pkl", pickle.dumps({"a": "b"}), "found 'a': 'b'"),
        ("a.pkl", pickle.dumps({"a": Evil()}), "found 'a': "),
        ("a.pkl", b"Pabc\n.", "cannot be read as labels"),
        ("a.csv", b"a,1", r"ends in \.json, \.pkl, \.npy"),
    ],
)
def test_other_files_are_no_labels(
    name: str, content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InferenceError, match=message):
        read_port_labels(tmp_path / name)
    assert not (tmp_path / "harmed").exists()
    with pytest.raises(InferenceError, match=r"none\.pkl does not exist"):
        read_port_labels(tmp_path / "none.pkl")


def test_what_does_not_belong_together_is_named(videos: PortVideos) -> None:
    folder = videos.folder
    (folder / f"{TEMPORARY}v_D.bin").write_bytes(b"")  # half written: no clip
    with pytest.raises(InferenceError, match=r"1 of 4 files are missing: v_D\.bin"):
        read_port_videos(folder, [*ITEMS, "v_D"], SHAPE)
    with pytest.raises(InferenceError, match=r"1 files are of no clip that was asked for: v_C_g09_c01\.bin"):
        read_port_videos(folder, ITEMS[:2], SHAPE)
    with pytest.raises(InferenceError, match=r"A/v_C and B/v_C have one clip name, v_C"):
        read_port_videos(folder, ["A/v_C", "B/v_C"], SHAPE)
    with pytest.raises(InferenceError, match=r"1 of 4 clips are asked for twice"):
        read_port_videos(folder, [*ITEMS, ITEMS[0]], SHAPE)
    with pytest.raises(InferenceError, match=r"bin: 480 bytes, expected 432 for float32 \(2, 6, 3, 3\)"):
        read_port_videos(folder, ITEMS, (3, 2, 6, 3))
    videos.path(1).write_bytes(bytes(8))
    with pytest.raises(InferenceError, match=r"v_B_g08_c02\.bin: 8 bytes, expected 480 for float32 \(2, 4, 5, 3\)"):
        read_port_videos(folder, ITEMS, SHAPE)


def test_only_different_clips_of_the_shape_are_written(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=r"A/v_C and B/v_C have one clip name"):
        write_port_videos([("A/v_C", CLIPS[0]), ("B/v_C", CLIPS[1])], tmp_path, SHAPE, progress=False)
    with pytest.raises(SpecError, match=r"sample 'a': input 'image' is float32 \(1, 2, 4, 5, 3\)"):
        write_port_videos([("a", CLIPS[0].transpose(1, 2, 3, 0))], tmp_path, SHAPE, progress=False)
    with pytest.raises(InferenceError, match="no clips"):
        write_port_videos([], tmp_path / "none", SHAPE, progress=False)
    with pytest.raises(InferenceError, match="A/c and B/c have one clip name"):
        write_port_labels({"A/c": 0, "B/c": 1}, tmp_path / "labels.json")


def test_results_that_do_not_fit_are_named(results: Path) -> None:
    (folder,) = results.iterdir()
    with pytest.raises(InferenceError, match=r"1 of 4 files are missing: v_D_output_0\.bin"):
        read_port_results(results, [*ITEMS, "v_D"], 2)
    with pytest.raises(InferenceError, match=r"of no clip that was asked for: v_C_g09_c01_output_0\.bin"):
        read_port_results(results, ITEMS[:2], 2)
    with pytest.raises(InferenceError, match=r"8 bytes, expected 404 for float32 \(101,\)"):
        read_port_results(results, ITEMS, 101)
    (folder / "v_B_g08_c02_output_0.bin").write_bytes(struct.pack("<2f", float("nan"), 0))
    with pytest.raises(InferenceError, match=r"v_B_g08_c02_output_0\.bin: values that are not finite"):
        read_port_results(results, ITEMS, 2)
    again = results / "20261128_21_06_00_1"
    again.mkdir()
    (again / "v_B_g08_c02_output_0.bin").write_bytes(struct.pack("<2f", 0, 0))
    with pytest.raises(InferenceError, match=r"is of the same clip; name the folder of one call"):
        read_port_results(results, ITEMS, 2)
    assert read_port_results(again, ["v_B_g08_c02"], 2)[1].tolist() == [[0, 0]]
