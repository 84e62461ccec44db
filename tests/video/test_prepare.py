"""Preparation: in parallel as one by one, only once, and failures are counted."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path, sha256_file
from actionbook.core.keyframes import Cut
from actionbook.core.sections import Frames
from actionbook.datasets.figures import write_avi
from actionbook.video import frames as frames_module
from actionbook.video import parallel
from actionbook.video import prepare as module
from actionbook.video.prepare import Job, already_prepared, prepare, prepare_video
from actionbook.video.store import FrameStore

Picture = Callable[[int, int, int], np.ndarray]
SETTINGS = Frames(height=32, quality=90)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, picture: Picture) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        write_avi(folder / f"v{number}.avi", picture(5 + number, 64, 48), width=64, height=48)
    return sorted(folder.glob("*.avi"))


def jobs_of(videos: list[Path], store: Path) -> list[Job]:
    return [Job(path.stem, path, store / f"{path.stem}.zip") for path in videos]


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.iterdir())}


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos that are decoded from here on."""
    seen: list[str] = []
    real = module.jpegs

    def counted(path: Path, *settings: Any, **named: Any) -> Iterator[bytes]:
        seen.append(path.name)
        return real(path, *settings, **named)

    monkeypatch.setattr(module, "jpegs", counted)
    return seen


def test_local_workers_give_the_same_bytes_as_one_by_one(videos: list[Path], tmp_path: Path) -> None:
    jobs = jobs_of(videos, tmp_path / "parallel")
    table = prepare(jobs, SETTINGS, workers=2)
    for job in jobs_of(videos, tmp_path / "serial"):
        prepare_video(job, SETTINGS)
    assert contents(tmp_path / "parallel") == contents(tmp_path / "serial")
    assert table.video.tolist() == ["v0", "v1", "v2", "v3"]
    assert table.frames.tolist() == [5, 6, 7, 8]
    assert table.bytes.tolist() == [job.store.stat().st_size for job in jobs]
    assert table.error.tolist() == [""] * 4


def test_a_second_run_decodes_nothing(
    videos: list[Path], tmp_path: Path, scheduler: str, decodings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobs_of(videos, tmp_path)
    first = prepare(jobs, SETTINGS, scheduler=scheduler)
    assert sorted(decodings) == [path.name for path in videos]
    times = [job.store.stat().st_mtime_ns for job in jobs]
    monkeypatch.setattr(parallel, "cluster_client", None)  # not even a cluster is started
    second = prepare(jobs, SETTINGS, scheduler=scheduler)
    pd.testing.assert_frame_equal(first, second)
    assert len(decodings) == 4
    assert [job.store.stat().st_mtime_ns for job in jobs] == times


def test_an_interrupted_run_goes_on(videos: list[Path], tmp_path: Path, scheduler: str, decodings: list[str]) -> None:
    jobs = jobs_of(videos, tmp_path)
    for job in jobs[:2]:
        prepare_video(job, SETTINGS)
    cut = jobs[1].store
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-10])
    decodings.clear()
    table = prepare(jobs, SETTINGS, scheduler=scheduler)
    assert sorted(decodings) == ["v1.avi", "v2.avi", "v3.avi"]
    assert cut.read_bytes() == whole
    assert table.frames.tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("changed", [Frames(height=24, quality=90), Frames(height=32, quality=80)])
def test_other_settings_are_prepared_anew(
    videos: list[Path], tmp_path: Path, scheduler: str, decodings: list[str], changed: Frames
) -> None:
    job = jobs_of(videos, tmp_path)[0]
    prepare_video(job, SETTINGS)
    assert already_prepared(job, SETTINGS)
    assert already_prepared(job, changed) is None
    prepare([job], changed, scheduler=scheduler)
    assert decodings == ["v0.avi", "v0.avi"]
    with FrameStore(job.store) as store:
        assert (store.info.height, store.info.quality) == (changed.height, changed.quality)


@pytest.mark.parametrize(
    ("size", "tall", "short"),
    [((64, 48), (43, 32), (43, 32)), ((48, 64), (24, 32), (32, 43)), ((48, 48), (32, 32), (32, 32))],
    ids=["wide", "upright", "square"],
)
def test_another_side_is_prepared_anew_where_it_matters(
    tmp_path: Path, picture: Picture, size: tuple[int, int], tall: tuple[int, int], short: tuple[int, int]
) -> None:
    source = tmp_path / "v.avi"
    write_avi(source, picture(2, *size), width=size[0], height=size[1])
    job, by_short = Job("v", source, tmp_path / "v.zip"), SETTINGS.model_copy(update={"side": "short"})
    for settings, other, expected in ((SETTINGS, by_short, tall), (by_short, SETTINGS, short)):
        assert prepare_video(job, settings).frames == 2
        with FrameStore(job.store) as store:
            assert store.frame_size == expected
        assert already_prepared(job, settings)
        assert (already_prepared(job, other) is None) == (tall != short)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos of which every byte is compared from here on."""
    seen: list[str] = []
    monkeypatch.setattr(module, "sha256_file", lambda path: (seen.append(path.name), sha256_file(path))[1])
    return seen


def other_length(source: Path, others: list[Path]) -> None:
    source.write_bytes(others[3].read_bytes())


def a_byte_in_the_middle(source: Path, others: list[Path]) -> None:
    """As a download that was whole in name only until now: size, both ends and time are those of before."""
    before, content = source.stat(), bytearray(source.read_bytes())
    content[len(content) // 2] ^= 1
    source.write_bytes(content)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))


def the_last_byte(source: Path, others: list[Path]) -> None:
    source.write_bytes(source.read_bytes()[:-1] + b"!")


def gone(source: Path, others: list[Path]) -> None:
    source.unlink()


@pytest.mark.parametrize("change", [other_length, a_byte_in_the_middle, the_last_byte, gone])
def test_another_video_under_the_name_is_prepared_anew(
    videos: list[Path], tmp_path: Path, change: Callable[[Path, list[Path]], None]
) -> None:
    source = tmp_path / "v.avi"
    source.write_bytes(videos[0].read_bytes() + bytes(100_000))
    job = Job("v", source, tmp_path / "v.zip")
    assert prepare_video(job, SETTINGS).frames == 5
    assert already_prepared(job, SETTINGS)
    change(source, videos)
    assert already_prepared(job, SETTINGS) is None


def test_another_copy_of_the_data_set_is_told_by_its_ends_however_old_it_is(
    videos: list[Path], tmp_path: Path, hashed: list[str]
) -> None:
    sources = [tmp_path / root / "v.avi" for root in ("first", "second")]
    for number, source in enumerate(sources):  # of one size, and both older than the store
        source.parent.mkdir()
        source.write_bytes(videos[0].read_bytes().ljust(100_000, b"%d" % number))
    jobs = [Job("v", source, tmp_path / "v.zip") for source in sources]
    prepare_video(jobs[0], SETTINGS)
    hashed.clear()
    assert [already_prepared(job, SETTINGS) is None for job in jobs] == [False, True]
    assert hashed == []  # a second run reads little of its videos


def test_a_data_set_that_was_moved_is_compared_once_and_not_decoded(
    videos: list[Path], tmp_path: Path, hashed: list[str]
) -> None:
    store = tmp_path / "v.zip"
    prepare_video(Job("v0", videos[0], store), SETTINGS)
    hashed.clear()
    (tmp_path / "moved").mkdir()
    shutil.copy2(videos[0], tmp_path / "moved")
    time.sleep(0.05)  # the clock of file systems is coarse
    moved = Job("v0", tmp_path / "moved" / "v0.avi", store)
    content = store.read_bytes()
    for _ in range(2):
        assert already_prepared(moved, SETTINGS)
    assert hashed == ["v0.avi"]
    assert store.read_bytes() == content


def test_a_video_that_changes_while_it_is_read_is_a_failure(
    videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "v.avi"
    source.write_bytes(videos[0].read_bytes())
    real = module.jpegs

    def changed(path: Path, *settings: Any, **named: Any) -> Iterator[bytes]:
        yield from real(path, *settings, **named)
        path.touch()

    monkeypatch.setattr(module, "jpegs", changed)
    job = Job("v", source, tmp_path / "store" / "v.zip")
    assert "was changed while it was read" in prepare_video(job, SETTINGS).error
    assert list(job.store.parent.iterdir()) == []


@pytest.mark.parametrize(("allowed", "fails"), [(0.0, True), (0.19, True), (0.2, False)])
def test_the_recipe_decides_how_many_may_fail(
    videos: list[Path], tmp_path: Path, scheduler: str, allowed: float, fails: bool
) -> None:
    broken = tmp_path / "broken.avi"
    broken.write_text("no video")
    jobs, settings = jobs_of([*videos, broken], tmp_path / "store"), SETTINGS.model_copy(update={"max_failed": allowed})
    if fails:
        with pytest.raises(
            BookError, match=r"1 of 5 videos could not be prepared, .*max_failed\) allows .*:\n.*broken\.avi: cannot"
        ):
            prepare(jobs, settings, scheduler=scheduler)
    else:
        table = prepare(jobs, settings, scheduler=scheduler)
        assert table.frames.tolist() == [5, 6, 7, 8, 0]
        assert "broken.avi" in table.error.iloc[-1]
    # What could be prepared is there either way.
    assert len(contents(tmp_path / "store")) == 4


def test_nothing_to_do() -> None:
    table = prepare([], SETTINGS)
    assert list(table.columns) == ["video", "frames", "bytes", "error", "note"]
    assert len(table) == 0


@pytest.mark.parametrize("max_failed", [0.0, 0.5])
def test_failures_are_written_whether_or_not_they_are_allowed(
    videos: list[Path], tmp_path: Path, scheduler: str, max_failed: float
) -> None:
    broken, report = tmp_path / 'broken, "1".avi', tmp_path / "run" / "failures.csv"
    broken.write_text("no video")
    jobs, settings = (
        jobs_of([videos[0], broken], tmp_path / "store"),
        SETTINGS.model_copy(update={"max_failed": max_failed}),
    )
    if max_failed:
        prepare(jobs, settings, scheduler=scheduler, report=report)
    else:
        with pytest.raises(BookError, match=r"all of them are listed in .*failures\.csv"):
            prepare(jobs, settings, scheduler=scheduler, report=report)
    (row,) = pd.read_csv(report, keep_default_na=False).to_dict("records")
    assert list(row) == ["video", "file", "reason", "note"]
    assert (row["video"], row["file"], row["note"]) == (broken.stem, str(broken), "")
    assert row["reason"].startswith(f"{broken}: cannot be opened as a video (Invalid data found")
    prepare(jobs[:1], settings, scheduler=scheduler, report=report)
    assert report.read_text() == "video,file,reason,note\n"
    assert list(report.parent.iterdir()) == [report]


@pytest.mark.parametrize("field", ["video", "store"])
def test_two_videos_of_one_name_or_store_are_refused(videos: list[Path], tmp_path: Path, field: str) -> None:
    jobs = jobs_of(videos[:2], tmp_path)
    jobs[1] = replace(jobs[1], **{field: getattr(jobs[0], field)})
    with pytest.raises(BookError, match="more than one video; give each its own"):
        prepare(jobs, SETTINGS)


def test_a_job_that_raises_or_cannot_be_sent_is_a_row(
    videos: list[Path], tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, *settings: Any, **named: Any) -> Iterator[bytes]:
        raise MemoryError("too large")

    class Locked(Job):
        def __reduce__(self) -> str:
            raise TypeError("cannot pickle")

    jobs: list[Job] = jobs_of(videos[:2], tmp_path)
    jobs[0] = Locked("locked", videos[0], tmp_path / "locked.zip")
    monkeypatch.setattr(module, "jpegs", broken)
    table = prepare(jobs, SETTINGS.model_copy(update={"max_failed": 1.0}), scheduler=scheduler)
    assert table.frames.tolist() == [0, 0]
    assert table.error[0].startswith(f"{videos[0]}: cannot be sent to a worker")
    assert table.error[1] == f"{videos[1]}: MemoryError: too large"


def test_a_video_that_is_cut_off_is_a_failure_until_that_is_allowed(tmp_path: Path, picture: Picture) -> None:
    source = tmp_path / "cut.avi"
    write_avi(source, picture(40, 64, 48), width=64, height=48, quantiser=2)
    content = source.read_bytes()
    source.write_bytes(content[: (content.index(b"movi") + len(content)) // 2])  # half of the frames
    job = Job("cut", source, tmp_path / "store" / "cut.zip")
    failed = prepare_video(job, SETTINGS)
    assert re.search(r"cut\.avi: FFmpeg decoded \d+ frames .* header says 40: the file is cut off", failed.error)
    assert list(job.store.parent.iterdir()) == []
    lenient = SETTINGS.model_copy(update={"min_decoded": 0.0})
    result = prepare_video(job, lenient)
    assert 5 < result.frames < 36
    assert result.note.startswith(f"the header says 40 frames, {result.frames} were decoded")
    # The remark is kept with the frames, and so is what the stricter recipe needs to know.
    assert already_prepared(job, lenient) == result
    assert already_prepared(job, SETTINGS) is None


def test_a_header_that_is_off_by_a_few_is_a_note(tmp_path: Path, picture: Picture) -> None:
    source = tmp_path / "v.avi"
    write_avi(source, picture(40, 64, 48), width=64, height=48)
    content = bytearray(source.read_bytes())
    for name, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):  # where AVI counts frames
        start = content.index(name) + offset
        assert int.from_bytes(content[start : start + 4], "little") == 40
        content[start : start + 4] = (42).to_bytes(4, "little")
    source.write_bytes(content)
    job = Job("v", source, tmp_path / "v.zip")
    result = prepare_video(job, SETTINGS)
    assert (result.frames, result.error) == (40, "")
    assert result.note == "the header says 42 frames, 40 were decoded"
    assert already_prepared(job, SETTINGS) == result
    assert already_prepared(job, SETTINGS.model_copy(update={"min_decoded": 0.96})) is None


def test_leftovers_are_swept_and_writers_that_live_are_not(videos: list[Path], tmp_path: Path, scheduler: str) -> None:
    with atomic_path(tmp_path / "other.zip") as living:
        left = tmp_path / living.name.replace(str(os.getpid()), str(2**22 + 1))  # beyond Linux' largest process number
        left.write_text("half")
        prepare(jobs_of(videos[:1], tmp_path), SETTINGS, scheduler=scheduler)
        assert living.exists()
        assert not left.exists()


NATIVE = Frames(height=None)
SECOND = Cut(start=1, seconds=1, rate=30)


@pytest.fixture
def film(encode: Callable[..., Path]) -> Path:
    """Four seconds of 66x46 at 25 frames a second."""
    return encode("yuv420p", frames=100, width=66, height=46)


def test_a_cut_is_stored_as_large_as_it_is_and_each_frame_compressed_once(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed: list[int] = []
    real = frames_module._encode_planes
    monkeypatch.setattr(frames_module, "_encode_planes", lambda *args: compressed.append(1) or real(*args))
    job = Job("v", film, tmp_path / "v.zip", SECOND)
    assert prepare_video(job, NATIVE) == already_prepared(job, NATIVE)
    assert len(compressed) == 25
    with FrameStore(job.store) as store:
        assert (len(store), store.frame_size) == (30, (66, 46))
        assert (store.info.height, store.info.cut, store.info.declared) == (None, "1+1-r30", 0)
        shown = [store.jpeg(number) for number in range(30)]
    assert sum(one == other for one, other in pairwise(shown)) == 5
    every = list(frames_module.jpegs(film, None, NATIVE.quality))
    assert list(dict.fromkeys(shown)) == every[25:50]


@pytest.mark.parametrize("cut", [None, Cut(start=1, seconds=2, rate=30), Cut(start=1, seconds=1, rate=25)])
def test_another_cut_is_prepared_anew(film: Path, tmp_path: Path, cut: Cut | None) -> None:
    job = Job("v", film, tmp_path / "v.zip", SECOND)
    prepare_video(job, NATIVE)
    other = replace(job, cut=cut)
    assert already_prepared(other, NATIVE) is None
    assert already_prepared(job, Frames(height=46)) is None
    prepare_video(other, NATIVE)
    assert already_prepared(other, NATIVE)
    assert already_prepared(job, NATIVE) is None


def test_a_store_without_a_cut_says_nothing_of_one(film: Path, tmp_path: Path) -> None:
    prepare_video(Job("v", film, tmp_path / "v.zip"), SETTINGS)
    with FrameStore(tmp_path / "v.zip") as store:
        assert "cut" not in json.loads(store._comment)


def test_a_video_that_ends_before_its_cut_is_a_remark_or_a_failure(film: Path, tmp_path: Path) -> None:
    job = Job("v", film, tmp_path / "store" / "v.zip", Cut(start=2, seconds=2.1, rate=30))
    result = prepare_video(job, NATIVE)
    assert (result.frames, result.error) == (60, "")
    assert result.note == "the cut has 63 frames, the video gave 60: it ends before the cut does"
    assert already_prepared(job, NATIVE) == result
    strict = NATIVE.model_copy(update={"min_decoded": 0.96})
    assert already_prepared(job, strict) is None
    short = replace(job, store=tmp_path / "short" / "v.zip", cut=Cut(start=2, seconds=4, rate=30))
    error = prepare_video(short, NATIVE).error
    assert re.search(
        r"\.mkv: expected 120 frames \(4 s from 2 s on, 30 a second\), found 60: .* a share of 0\.9\)", error
    )
    assert "the last frame is at 4.0 s" in prepare_video(replace(short, cut=Cut()), NATIVE).error
    assert not list(short.store.parent.iterdir())


def test_a_hole_in_a_cut_is_a_remark(film: Path, tmp_path: Path) -> None:
    holed = tmp_path / "holed.mkv"
    with av.open(str(film)) as source, av.open(str(holed), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size and not 1.0 < packet.pts * packet.time_base < 3.5:
                packet.stream = stream
                target.mux(packet)
    result = prepare_video(Job("v", holed, tmp_path / "v.zip", Cut(start=0, seconds=4, rate=30)), NATIVE)
    assert (result.error, result.note) == ("", "one frame stands for 2.5 s from 1.0 s on")


def test_videos_that_may_end_before_their_cut_are_judged_by_their_own_length(film: Path, tmp_path: Path) -> None:
    settings, cut = Frames(height=None), Cut(start=1, seconds=60, rate=30)
    assert "fetch it again" in prepare_video(Job("v", film, tmp_path / "a.zip", cut), settings).error
    rest = Cut(start=1, seconds=60, rate=30, at_most=True)
    shorter = prepare_video(Job("v", film, tmp_path / "b.zip", rest), settings)
    assert (shorter.error, shorter.note) == ("", "")
    assert shorter.frames == 90  # three of four seconds
