"""Preparation: in parallel as one by one, only once, and failures are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.recipe import Frames
from actionbook.datasets.figures import write_avi
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

    def counted(path: Path, *settings: Any) -> Iterator[bytes]:
        seen.append(path.name)
        return real(path, *settings)

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
    monkeypatch.setattr(parallel, "_client", None)  # not even a cluster is started
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


def test_another_video_under_the_name_is_prepared_anew(videos: list[Path], tmp_path: Path) -> None:
    source = tmp_path / "v.avi"
    source.write_bytes(videos[0].read_bytes())
    job = Job("v", source, tmp_path / "v.zip")
    assert prepare_video(job, SETTINGS).frames == 5
    source.write_bytes(videos[3].read_bytes())
    assert already_prepared(job, SETTINGS) is None


@pytest.mark.parametrize("content", [b"no video", b"", None], ids=["text", "empty", "missing"])
def test_a_broken_video_is_a_value_and_leaves_no_store(tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "broken.avi"
    if content is not None:
        source.write_bytes(content)
    result = prepare_video(Job("broken", source, tmp_path / "store" / "broken.zip"), SETTINGS)
    assert (result.video, result.frames, result.bytes) == ("broken", 0, 0)
    assert "broken.avi" in result.error
    assert not list((tmp_path).glob("store/*"))


@pytest.mark.parametrize(("allowed", "fails"), [(0.0, True), (0.19, True), (0.2, False)])
def test_the_recipe_decides_how_many_may_fail(
    videos: list[Path], tmp_path: Path, scheduler: str, allowed: float, fails: bool
) -> None:
    broken = tmp_path / "broken.avi"
    broken.write_text("no video")
    jobs, settings = jobs_of([*videos, broken], tmp_path / "store"), SETTINGS.model_copy(update={"max_failed": allowed})
    if fails:
        with pytest.raises(
            BookError, match=r"1 of 5 videos could not be prepared, .*max_failed\):\n.*broken\.avi: cannot"
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
    assert list(table.columns) == ["video", "frames", "bytes", "error"]
    assert len(table) == 0
