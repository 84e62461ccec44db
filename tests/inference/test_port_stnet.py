"""The files of StNet's port for the Ascend 310, byte by byte, and what its program leaves as predictions."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actionbook.core.spec import Spec
from actionbook.inference import InferenceError, run_batches
from actionbook.inference.port_videos import (
    STNET,
    PortVideos,
    read_port_labels,
    read_port_results,
    read_port_time,
    read_port_videos,
    write_port_labels,
    write_port_videos,
)
from actionbook.tasks.classification import topk
from actionbook.tasks.pooling import pool_clips

SHAPE = (3, 10, 4, 5)  # two super-images of five frames
ITEMS = ["riding a bike/打_000001_000011", "riding a bike/b_000002_000012", "dancing/b_000002_000012"]
CLIPS = np.random.default_rng(3).standard_normal((3, *SHAPE), dtype=np.float32)
STEMS = [f"stnet_data_bs1_{number}" for number in range(3)]


@pytest.fixture
def videos(tmp_path: Path) -> PortVideos:
    folder = tmp_path / "preprocess_Result" / "data"
    return write_port_videos(zip(ITEMS, CLIPS, strict=True), folder, SHAPE, STNET, progress=False)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """As the program leaves them: logits of three videos and two classes, and the mean of its times."""
    folder = tmp_path / "result_Files"
    folder.mkdir()
    for stem, logits in zip(STEMS, ((0, 1), (2, -1), (0.5, 0)), strict=True):
        (folder / f"{stem}_0.bin").write_bytes(struct.pack("<2f", *logits))
    return folder


def test_a_file_is_super_images_of_frames_in_a_row(videos: PortVideos) -> None:
    assert sorted(path.name for path in videos.folder.iterdir()) == [f"{stem}.bin" for stem in STEMS]
    frames = [CLIPS[1][:, frame] for frame in range(10)]  # each (3, H, W), as the port's transform leaves them
    supers = np.stack([np.concatenate(frames[5 * part : 5 * part + 5]) for part in range(2)])
    assert supers.shape == (2, 15, 4, 5)
    assert (videos.folder / "stnet_data_bs1_1.bin").read_bytes() == struct.pack("<600f", *supers.ravel())
    assert (videos.spec, videos.batch_size) == (Spec({"data": (2, 15, 4, 5)}), 1)
    np.testing.assert_array_equal(videos.load(1)["data"], supers[np.newaxis])


def test_the_ports_own_size(tmp_path: Path) -> None:
    clip = np.broadcast_to(np.float32(1), (3, 35, 224, 224))
    videos = write_port_videos([("a", clip)], tmp_path, (3, 35, 224, 224), STNET, progress=False)
    assert videos.path(0).stat().st_size == 21_073_920
    assert videos.spec == Spec({"data": (7, 15, 224, 224)})


def test_clips_come_back_as_they_were(videos: PortVideos) -> None:
    found = read_port_videos(videos.folder, ITEMS, SHAPE, STNET)
    assert (found, found.sha256) == (videos, videos.sha256)
    for (item, clip), wanted, mine in zip(found.samples(), ITEMS, CLIPS, strict=True):
        assert item == wanted
        np.testing.assert_array_equal(clip, mine)
    by_name = read_port_videos(videos.folder, STEMS, SHAPE, STNET)
    assert by_name.path(2) == videos.path(2)


def test_an_engine_of_the_ports_network_runs_them_as_they_are(videos: PortVideos, tmp_path: Path) -> None:
    class Largest:
        name, sha256, batch_size, spec = "largest", "0" * 64, 1, videos.spec

        def run(self, batch: dict[str, np.ndarray]) -> np.ndarray:
            return batch["data"].max(axis=(2, 3, 4))

    folder = run_batches(Largest(), videos, tmp_path / "out", progress=False)
    outputs = [np.fromfile(folder / f"{number}_0.bin", np.float32) for number in range(3)]
    np.testing.assert_array_equal(outputs, CLIPS.reshape(3, 3, 2, 5, 4, 5).max(axis=(1, 3, 4, 5)))


def test_labels_are_the_ports_array_byte_by_byte(tmp_path: Path) -> None:
    path = write_port_labels(dict(zip(ITEMS, (np.int64(7), 0, 399), strict=True)), tmp_path / "label_ids.npy")
    whole = io.BytesIO()
    np.save(whole, [np.array([label], np.int32) for label in (7, 0, 399)])  # as preprocess.py does
    assert path.read_bytes() == whole.getvalue()
    assert read_port_labels(path) == dict(zip(STEMS, (7, 0, 399), strict=True))


def test_results_are_scored_against_the_labels(results: Path, tmp_path: Path) -> None:
    labels = read_port_labels(write_port_labels(dict(zip(ITEMS, (1, 0, 1), strict=True)), tmp_path / "label_ids.npy"))
    items, logits = read_port_results(results, list(labels), 2, STNET)
    assert items == STEMS
    np.testing.assert_array_equal(logits, np.array([[0, 1], [2, -1], [0.5, 0]], np.float32))
    assert topk(pool_clips(items, logits), pd.Series(labels), 1).figures() == "0.6667 = 2/3"
    assert read_port_results(results, ITEMS, 2, STNET)[0] == ITEMS


def test_ten_videos_are_not_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in range(11):
        (tmp_path / f"stnet_data_bs1_{number}_0.bin").write_bytes(struct.pack("<2f", number, 0))
    items = [f"v{number}" for number in range(11)]
    assert read_port_results(tmp_path, items, 2, STNET)[1][:, 0].tolist() == list(range(11))


def test_inputs_that_do_not_fit_are_named(videos: PortVideos) -> None:
    folder = videos.folder
    with pytest.raises(InferenceError, match=r"data: 1 of 4 files are missing: stnet_data_bs1_3\.bin\. Write the"):
        read_port_videos(folder, [*ITEMS, "d"], SHAPE, STNET)
    with pytest.raises(InferenceError, match=r"1 files are of no clip that was asked for: stnet_data_bs1_2\.bin"):
        read_port_videos(folder, ITEMS[:2], SHAPE, STNET)
    with pytest.raises(InferenceError, match=r"0\.bin: 2400 bytes, expected 3600 for float32 \(3, 15, 4, 5\)\. Write"):
        read_port_videos(folder, ITEMS, (3, 15, 4, 5), STNET)
    with pytest.raises(InferenceError, match=r"\(3, 12, 4, 5\): 12 frames, expected a multiple of 5"):
        write_port_videos([], folder, (3, 12, 4, 5), STNET, progress=False)
    (folder / "notes.txt").write_text("the program would run this, too")
    with pytest.raises(InferenceError, match=r"of no clip that was asked for: notes\.txt"):
        read_port_videos(folder, ITEMS, SHAPE, STNET)


def test_results_that_do_not_fit_are_named(results: Path) -> None:
    with pytest.raises(InferenceError, match=r"1 of 4 files are missing: stnet_data_bs1_3_0\.bin\. Run the tool on"):
        read_port_results(results, [*ITEMS, "d"], 2, STNET)
    with pytest.raises(InferenceError, match=r"of no clip that was asked for: stnet_data_bs1_2_0\.bin\. Run the tool"):
        read_port_results(results, ITEMS[:2], 2, STNET)
    with pytest.raises(InferenceError, match=r"0_0\.bin: 8 bytes, expected 1600 for float32 \(400,\)\. .* classes"):
        read_port_results(results, ITEMS, 400, STNET)
    (results / "stnet_data_bs1_1_0.bin").write_bytes(struct.pack("<2f", float("inf"), 0))
    with pytest.raises(InferenceError, match=r"1_1_0\.bin: values that are not finite numbers; run it again"):
        read_port_results(results, ITEMS, 2, STNET)


LONG = b"\x93NUMPY\x01\x00v\x00{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000, 1), }"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((2, 16), np.int32), r"int32 \(2, 16\), expected whole numbers \(videos, 1\); .* --batch_size=1"),
        (np.zeros(2, np.int32), r"int32 \(2,\), expected"),
        (np.zeros((2, 1), np.float32), r"float32 \(2, 1\), expected"),
        (np.array([[Path()]], object), "cannot be read as labels"),
        (np.array([[-1]], np.int32), r"found 'stnet_data_bs1_0': -1, expected"),
        (np.zeros((0, 1), np.int32), "label_ids"),
        (b"", "cannot be read as labels"),
        (LONG.ljust(127) + b"\n" + bytes(8), "cannot be read as labels"),
    ],
)
def test_other_arrays_are_no_labels(content: np.ndarray | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "label_ids.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(InferenceError, match=message):
        read_port_labels(path)


def test_the_mean_time_is_that_of_the_same_videos(tmp_path: Path) -> None:
    path = tmp_path / "test_perform_static.txt"
    with pytest.raises(InferenceError, match=r"static\.txt does not exist: .* Run it again"):
        read_port_time(path, 3)
    path.write_text("NN inference cost average time: 1234.57 ms of infer_count 3\n")
    assert read_port_time(path, 3) == 1234.57
    with pytest.raises(InferenceError, match=r"of 3 runs, expected 4\. It is of other files"):
        read_port_time(path, 4)


@pytest.mark.parametrize("mean", ["-nan", "0", "-3", "1e999", "1.2.3", ""])
def test_no_mean_time(mean: str, tmp_path: Path) -> None:
    path = tmp_path / "test_perform_static.txt"
    path.write_text(f"NN inference cost average time: {mean} ms of infer_count 3\n")
    with pytest.raises(InferenceError, match=r"found 'NN .*expected 'NN inference cost average time: \.\.\. ms"):
        read_port_time(path, 3)
