"""Every row runs once, as small as can be; PyTorch and ffmpeg only where they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench import __main__ as cli
from bench import torch_env
from bench.__main__ import run_row
from bench.agreement import same_logits, same_losses, same_parameters
from bench.errors import NotRun, PeerFailed
from bench.harness import Peer
from bench.rounds import Pace
from bench.rows import ROWS
from bench.session import Scale, Session

TORCH = torch_env.FOLDER / "bin" / "python"
PACE = Pace(slice_s=0.01, steps=1, rounds=1, limit_s=0.0)
TINY = Scale(
    batch=2, clip=(3, 4, 32, 32), width=0.2, num_classes=5, videos=2, video_frames=12, pace=PACE, loader_pace=PACE
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("bench")
    return Session(folder / "scratch", folder / "cache", TINY, use_torch=False)


@pytest.fixture(autouse=True)
def _scratch(session: Session) -> Iterator[None]:
    session.scratch.mkdir(exist_ok=True)
    yield
    for name in ("jpegs-32", "jpegs-64", "ours", "ffmpeg"):
        shutil.rmtree(session.scratch / name, ignore_errors=True)


@pytest.mark.parametrize("row", ["forward", "train", "onnx"])
def test_rows_without_pytorch_say_so(row: str, session: Session) -> None:
    (result,) = run_row(row, session)
    assert result.verdict == "not run"
    assert "--no-torch" in result.note


def test_export_row(session: Session) -> None:
    timing, nodes = run_row("export", session)
    assert timing.verdict == "too few clean rounds", timing.note
    assert timing.value is not None
    assert timing.value > 0
    assert "logits agree" in timing.note
    assert nodes.value is not None
    assert int(nodes.ours) / int(nodes.peer) == pytest.approx(nodes.value)
    assert nodes.verdict == "met"


def test_clips_row(session: Session) -> None:
    results = run_row("clips", session)
    assert ["4 x 32 x 32" in results[0].what, "4 x 64 x 64" in results[1].what] == [True, True], results[0].note
    for result in results:
        assert result.rounds == 1
        assert "same frames, crops and flips" in result.note


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not on the search path")
def test_frames_row(session: Session) -> None:
    (result,) = run_row("frames", session)
    assert result.state == "measured", result.note
    assert "24 frames (24 of ffmpeg)" in result.note


def test_frames_row_without_ffmpeg(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (result,) = run_row("frames", session)
    assert result.verdict == "not run"
    assert "apt-get install ffmpeg" in result.note


def test_loader_row(session: Session) -> None:
    (result,) = run_row("loader", session)
    assert result.state == "measured", result.note
    assert result.percent
    assert result.at_most


@pytest.mark.skipif(not TORCH.exists(), reason="no .venv-bench; make bench makes it")
@pytest.mark.parametrize("row", ["forward", "train"])
def test_rows_with_pytorch(row: str, session: Session) -> None:
    # A batch norm over two or four values would magnify rounding without bounds, hence the larger batch.
    scale = replace(TINY, batch=8, clip=(3, 8, 48, 48))
    with_torch = Session(session.scratch, session.cache, scale)
    with_torch.torch = str(TORCH)  # as found: a test never installs it
    results = run_row(row, with_torch)
    assert [result.state for result in results] == ["measured"] * 2, results[0].note
    assert [result.target is None for result in results] == [False, True]
    assert "agree" in results[0].note


def test_a_folder_without_videos_is_a_crash_with_words(session: Session, tmp_path: Path) -> None:
    (result,) = run_row("clips", replace(session, videos_folder=tmp_path))
    assert result.verdict == "crashed"
    assert "holds no" in result.note


def facts(label: str, tmp_path: Path, **values: object) -> Peer:
    peer = Peer(label, "", {}, tmp_path)
    peer.facts.update(values)
    return peer


def test_rivals_that_compute_something_else_are_refused(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).standard_normal((2, 5))
    ours = facts("ours", tmp_path, logits=logits.tolist(), losses=[4.0, 3.0], parameters=7)
    near = facts("near", tmp_path, logits=(logits + 5e-6).tolist(), losses=[4.0, 3.001], parameters=7)
    far = facts("far", tmp_path, logits=(logits + 1e-3).tolist(), losses=[4.0, 3.1], parameters=8)
    odd = facts("odd", tmp_path, logits=(logits * np.nan).tolist(), losses=[4.0, float("nan")])
    assert same_logits(ours, [near]) == pytest.approx(5e-6 / logits.std(), rel=1e-6)
    assert same_losses(ours, [near]) == pytest.approx(1 / 3000)
    same_parameters([ours, near], 7)
    for other in (far, odd):
        with pytest.raises(PeerFailed, match=f"{other.label}: logits differ"):
            same_logits(ours, [near, other])
        with pytest.raises(PeerFailed, match=f"{other.label}: losses"):
            same_losses(ours, [near, other])
    with pytest.raises(PeerFailed, match="far: 8 parameters, expected 7"):
        same_parameters([ours, far], 7)


def test_pytorch_that_cannot_be_installed_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_index(command: list[str]) -> None:
        if "pip" in command:
            raise NotRun("PyTorch cannot be installed (no index)")
        (tmp_path / "env").mkdir()

    monkeypatch.setattr(torch_env, "_command", no_index)
    with pytest.raises(NotRun, match="no index"):
        torch_env.torch_python(tmp_path / "env")
    assert (tmp_path / "env" / ".gitignore").read_text() == "*\n"


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: Session) -> Iterator[None]:
        raise ZeroDivisionError("by nought")

    monkeypatch.setitem(ROWS, "train", broken)
    path = tmp_path / "bench.json"
    assert cli.main(["--quick", "--no-torch", "--only", "forward", "--json", str(path)]) == 0
    assert cli.main(["--no-torch", "--only", "forward", "--only", "train", "--json", str(path)]) == 1
    data = json.loads(path.read_text())
    assert [(r["row"], r["verdict"]) for r in data["results"]] == [("forward", "not run"), ("train", "crashed")]
    assert data["results"][1]["note"] == "ZeroDivisionError: by nought"
    assert data["environment"]["threads"] >= 1
    assert "crashed" in capsys.readouterr().out
