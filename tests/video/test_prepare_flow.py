"""Flow of a data set: beside its frames, only once, and never half of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simplejpeg

from actionbook.core.errors import BookError
from actionbook.core.sections import Flow, Frames
from actionbook.datasets.figures import write_avi
from actionbook.video import flow, parallel
from actionbook.video.flow import NO_MOTION, algorithm_version, quantise
from actionbook.video.prepare import Job, prepare_video
from actionbook.video.prepare_flow import FlowJob, flow_already_prepared, prepare_flow, prepare_video_flow
from actionbook.video.store import FrameStore, unpacked, write_store
from actionbook.video.tvl1 import tvl1

Picture = Callable[[int, int, int], np.ndarray]
SETTINGS = Flow(bound=10.0, quality=90)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, picture: Picture) -> list[Path]:
    """Frames of three videos, of 3, 4 and 5 frames of 32 x 24 pixels."""
    folder = tmp_path_factory.mktemp("frames")
    for number in range(3):
        source = folder / f"v{number}.avi"
        write_avi(source, picture(3 + number, 64, 48), width=64, height=48)
        assert not prepare_video(Job(f"v{number}", source, folder / f"v{number}.zip"), Frames(height=24)).error
    return sorted(folder.glob("*.zip"))


def jobs_of(stores: list[Path], folder: Path) -> list[FlowJob]:
    return [FlowJob(path.stem, path, folder / path.name) for path in stores]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the images that flow is computed of from here on; the flow itself is quick and wrong."""
    seen: list[tuple[int, ...]] = []

    def compute(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        seen.append(current.shape)
        return np.stack([current.astype(np.float32) - previous] * 2, axis=-1)

    monkeypatch.setitem(flow.ALGORITHMS, "tvl1", compute)
    return seen


def test_one_frame_has_one_frame_of_flow_without_motion(
    tmp_path: Path, picture: Picture, computed: list[tuple[int, ...]]
) -> None:
    source = tmp_path / "v.avi"
    write_avi(source, picture(1, 64, 48), width=64, height=48)
    assert prepare_video(Job("v", source, tmp_path / "v.zip"), Frames(height=24)).frames == 1
    job = FlowJob("v", tmp_path / "v.zip", tmp_path / "flow" / "v.zip")
    assert prepare_video_flow(job, SETTINGS).frames == 1
    assert computed == []
    with FrameStore(job.store) as store:
        assert (store.read([0])[0] == NO_MOTION).all()


def test_the_flow_of_the_stored_frames_is_stored(stores: list[Path], tmp_path: Path, scheduler: str) -> None:
    jobs = jobs_of(stores, tmp_path)
    table = prepare_flow(jobs, SETTINGS, scheduler=scheduler)
    assert list(table.columns) == ["video", "frames", "bytes", "error", "note"]
    assert table.video.tolist() == ["v0", "v1", "v2"]
    assert table.frames.tolist() == [3, 4, 5]
    assert table.bytes.tolist() == [job.store.stat().st_size for job in jobs]
    assert table.error.tolist() == [""] * 3
    with FrameStore(jobs[2].store) as store, FrameStore(stores[2]) as source:
        assert store.components == ("x", "y")
        assert store.frame_size == source.frame_size == (32, 24)
        assert (store.info.source, store.info.source_bytes) == ("v2.zip", stores[2].stat().st_size)
        assert (store.info.bound, store.info.quality, store.info.fps) == (10.0, 90, 25.0)
        assert store.info.flow == algorithm_version(SETTINGS)
        found, grey = store.read(range(5)), [flow.grey(frame) for frame in source.read(range(5))]
    assert (found[0] == NO_MOTION).all()
    for number in range(1, 5):
        expected = quantise(tvl1(grey[number - 1], grey[number]), 10.0)
        assert np.abs(found[number] - expected.astype(int)).mean() < 2
    planes = unpacked(jobs[0].store)
    assert list(planes) == [f"image_{i:05d}{component}.jpg" for i in (1, 2, 3) for component in "xy"]
    assert {simplejpeg.decode_jpeg_header(jpeg)[2] for jpeg in planes.values()} == {"Gray"}


def test_x_is_to_the_right_and_y_down(stores: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of the original scripts (convert_rgb_to_flow.py, save_flow), and the channels of published weights."""
    motion = np.array([6, -3], np.float32)  # to the right, and up
    monkeypatch.setitem(flow.ALGORITHMS, "tvl1", lambda _, frame: np.broadcast_to(motion, (*frame.shape, 2)))
    job = jobs_of(stores, tmp_path)[0]
    assert prepare_video_flow(job, SETTINGS).frames == 3
    right, down = quantise(motion, SETTINGS.bound)
    planes = {name: simplejpeg.decode_jpeg(jpeg, "GRAY") for name, jpeg in unpacked(job.store).items()}
    assert (planes["image_00003x.jpg"] == right).all()
    assert (planes["image_00003y.jpg"] == down).all()
    with FrameStore(job.store) as store:
        assert (store.read([2])[0] == [right, down]).all()


def test_a_second_run_computes_nothing(
    stores: list[Path], tmp_path: Path, scheduler: str, computed: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobs_of(stores, tmp_path)
    first = prepare_flow(jobs, SETTINGS, scheduler=scheduler)
    assert len(computed) == 2 + 3 + 4
    monkeypatch.setattr(parallel, "cluster_client", None)  # not even a cluster is started
    pd.testing.assert_frame_equal(first, prepare_flow(jobs, SETTINGS, scheduler=scheduler))
    assert len(computed) == 9


def test_an_interrupted_run_goes_on(stores: list[Path], tmp_path: Path, scheduler: str, computed: list[object]) -> None:
    jobs = jobs_of(stores, tmp_path)
    for job in jobs[:2]:
        prepare_video_flow(job, SETTINGS)
    whole = jobs[1].store.read_bytes()
    jobs[1].store.write_bytes(whole[:-10])
    computed.clear()
    table = prepare_flow(jobs, SETTINGS, scheduler=scheduler)
    assert len(computed) == 3 + 4
    assert jobs[1].store.read_bytes() == whole
    assert table.frames.tolist() == [3, 4, 5]


@pytest.mark.parametrize("change", [{"bound": 20.0}, {"quality": 80}, {"algorithm": "opencv"}])
def test_other_settings_are_computed_anew(
    stores: list[Path], tmp_path: Path, computed: list[object], change: dict[str, object]
) -> None:
    job = jobs_of(stores, tmp_path)[0]
    prepare_video_flow(job, SETTINGS)
    assert flow_already_prepared(job, SETTINGS)
    assert flow_already_prepared(job, Flow.model_validate(SETTINGS.model_dump() | change)) is None


def test_other_frames_under_the_name_are_computed_anew(
    stores: list[Path], tmp_path: Path, computed: list[object]
) -> None:
    frames = tmp_path / "frames.zip"
    frames.write_bytes(stores[0].read_bytes())
    job = FlowJob("v", frames, tmp_path / "flow.zip")
    assert prepare_video_flow(job, SETTINGS).frames == 3
    assert flow_already_prepared(job, SETTINGS)
    frames.write_bytes(stores[1].read_bytes())
    assert flow_already_prepared(job, SETTINGS) is None
    frames.unlink()
    assert flow_already_prepared(job, SETTINGS) is None


def test_equal_frames_keep_their_flow_whatever_was_written_down_of_them(
    stores: list[Path], tmp_path: Path, computed: list[object]
) -> None:
    frames = tmp_path / "frames.zip"
    frames.write_bytes(stores[0].read_bytes())
    job = FlowJob("v", frames, tmp_path / "flow.zip")
    prepare_video_flow(job, SETTINGS)
    with FrameStore(frames) as store:
        info, jpegs = store.info, [store.jpeg(index) for index in range(len(store))]
    write_store(frames, jpegs, replace(info, source="v.mkv", ffmpeg="another", note="prepared again"))
    assert flow_already_prepared(job, SETTINGS)
    write_store(frames, [*jpegs[:-1], jpegs[0]], info)
    assert flow_already_prepared(job, SETTINGS) is None


def test_frames_of_a_folder_that_differ_in_no_size_are_other_frames(
    tmp_path: Path, scheduler: str, computed: list[object]
) -> None:
    """As two folders of black and of grey pictures under one name, whose files are equally long."""
    folder, memory = tmp_path / "v", tmp_path / "memory.json"
    folder.mkdir()

    def draw(level: int) -> int:
        jpeg = simplejpeg.encode_jpeg(np.full((24, 32, 3), level, np.uint8))
        for number in (1, 2):
            (folder / f"image_{number:05d}.jpg").write_bytes(jpeg)
        return len(jpeg)

    jobs = [FlowJob("v", tmp_path / "v.zip", tmp_path / "flow" / "v.zip")]
    sizes = set()
    for runs, level in enumerate((40, 41), start=1):
        sizes.add(draw(level))
        for _ in range(2):
            prepare_flow(jobs, SETTINGS, scheduler=scheduler, memory=memory)
            assert len(computed) == runs
    assert len(sizes) == 1
    assert memory.exists()


def test_folders_of_the_original_scripts_are_sources_too(
    stores: list[Path], tmp_path: Path, computed: list[object]
) -> None:
    folder = tmp_path / "v1"
    shutil.unpack_archive(stores[1], folder)
    job = FlowJob("v1", tmp_path / "v1.zip", tmp_path / "flow" / "v1.zip")
    assert prepare_video_flow(job, SETTINGS).frames == 4
    assert flow_already_prepared(job, SETTINGS)
    packed = prepare_video_flow(FlowJob("v1", stores[1], tmp_path / "packed.zip"), SETTINGS)
    assert packed.frames == 4
    assert unpacked(tmp_path / "packed.zip") == unpacked(job.store)
    (folder / "image_00004.jpg").unlink()
    assert flow_already_prepared(job, SETTINGS) is None


def test_failures_are_listed_after_all_others_are_done(
    stores: list[Path], tmp_path: Path, scheduler: str, computed: list[object]
) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(stores[0].read_bytes()[:-5])
    gone, twice = tmp_path / "gone.zip", tmp_path / "twice.zip"
    prepare_video_flow(FlowJob("v", stores[0], twice), SETTINGS)
    jobs = jobs_of([broken, *stores, gone, twice], tmp_path / "flow")
    report = tmp_path / "failures.csv"
    with pytest.raises(
        BookError, match="3 of 6 videos have frames whose flow could not be computed, flow allows a share of 0; all"
    ) as caught:
        prepare_flow(jobs, SETTINGS, scheduler=scheduler, report=report)
    broken_line, gone_line, twice_line = str(caught.value).splitlines()[1:]
    assert "broken.zip: is not a whole frame store" in broken_line
    assert "gone.zip: cannot be read" in gone_line
    assert "twice.zip: holds flow already" in twice_line
    assert sorted(path.name for path in (tmp_path / "flow").iterdir()) == [path.name for path in stores]
    rows = pd.read_csv(report, keep_default_na=False)
    assert rows.columns.tolist() == ["video", "file", "reason", "note"]
    assert rows.file.tolist() == [str(broken), str(gone), str(twice)]
    assert rows.reason.tolist() == [broken_line, gone_line, twice_line]


def test_a_damaged_frame_leaves_no_store(tmp_path: Path, stores: list[Path], computed: list[object]) -> None:
    folder = tmp_path / "v"
    shutil.unpack_archive(stores[2], folder)
    (folder / "image_00003.jpg").write_bytes(b"no jpeg")
    result = prepare_video_flow(FlowJob("v", tmp_path / "v.zip", tmp_path / "flow" / "v.zip"), SETTINGS)
    assert (result.frames, result.bytes) == (0, 0)
    assert "frame 2 is damaged" in result.error
    assert len(computed) == 1
    assert list((tmp_path / "flow").iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from actionbook.core.sections import Flow
from actionbook.video import flow
from actionbook.video.prepare_flow import FlowJob, prepare_video_flow

def forever(previous, current):
    Path(sys.argv[3]).touch()
    time.sleep(600)

flow.ALGORITHMS["tvl1"] = forever
prepare_video_flow(FlowJob("v", Path(sys.argv[1]), Path(sys.argv[2])), Flow(bound=10.0, quality=90))
"""


def test_killed_in_the_middle(stores: list[Path], tmp_path: Path) -> None:
    job, begun = FlowJob("v", stores[0], tmp_path / "flow" / "v.zip"), tmp_path / "begun"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(job.frames), str(job.store), str(begun)]) as process:
        while not begun.exists() and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert begun.exists()
    assert not job.store.exists()
    assert flow_already_prepared(job, SETTINGS) is None
    assert prepare_video_flow(job, SETTINGS).frames == 3
    prepare_video_flow(FlowJob("v", stores[0], tmp_path / "undisturbed.zip"), SETTINGS)
    assert job.store.read_bytes() == (tmp_path / "undisturbed.zip").read_bytes()
