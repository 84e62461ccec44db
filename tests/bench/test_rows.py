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
from bench.agreement import PUBLISHED_PARAMETERS, same_logits, same_losses, same_parameters
from bench.errors import NotRun, PeerFailed
from bench.harness import Peer
from bench.report import Result
from bench.rounds import Pace
from bench.rows import ROWS, inference
from bench.session import Case, Scale, Session

from actionbook.models import list_models

TORCH = torch_env.FOLDER / "bin" / "python"
PACE = Pace(slice_s=0.01, steps=1, rounds=1, limit_s=0.0)
TINY = Scale(
    batch=2,
    clip=(3, 4, 32, 32),
    width=0.25,
    num_classes=5,
    videos=2,
    video_frames=12,
    pace=PACE,
    loader_pace=PACE,
    family_pace=PACE,
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


@pytest.mark.parametrize("row", ["forward", "train"])
def test_rows_without_pytorch_say_so(row: str, session: Session) -> None:
    (result,) = run_row(row, session)
    assert result.verdict == "not run"
    assert "--no-torch" in result.note


def test_family_row(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "FAMILY", (inference.Entry("resnet18_3d", 8, raw=1.2, nodes=0.5),))
    here = Session(session.scratch, session.cache, TINY, use_torch=TORCH.exists())
    rivals = ["MindSpore's raw ONNX"]
    if here.use_torch:
        here.torch = str(TORCH)
        rivals += ["PyTorch's ONNX", "PyTorch's ONNX through TorchScript", "PyTorch", "PyTorch, tuned malloc"]
    results = run_row("family", here)
    missing, timings, nodes = results[: -len(rivals) - 1], results[-len(rivals) - 1 : -1], results[-1]
    assert [timing.what for timing in timings] == [f"resnet18_3d, batch 2: our ONNX vs {name}" for name in rivals]
    assert [timing.target for timing in timings] == [1.2, 1.0, 1.0, None, None][: len(rivals)]
    assert all(timing.value is not None and timing.value > 0 for timing in timings)
    assert "all logits agree" in timings[0].note
    assert nodes.value is not None
    assert int(nodes.ours) / int(nodes.peer) == pytest.approx(nodes.value)
    assert nodes.verdict == "met"
    assert [result.verdict for result in missing] == ([] if here.use_torch else ["not run"])
    assert not list(session.scratch.glob("*/*.onnx"))


def test_a_network_that_breaks_leaves_the_others_their_turn(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(_: Session, entry: inference.Entry, with_torch: bool) -> Iterator[Result]:
        assert not with_torch
        if entry.model == "resnet18_3d":
            raise PeerFailed("logits differ")
        yield Result("family", entry.model, 2.0, 1.0)

    monkeypatch.setattr(inference, "compared", compared)
    chosen = replace(session, models=("mobilenet_3d", "resnet18_3d", "resnext101_3d"))
    results = run_row("family", chosen)
    assert [(r.what, r.verdict) for r in results] == [
        ("vs PyTorch", "not run"),
        ("mobilenet_3d", "met"),
        ("resnet18_3d, batch 4", "crashed"),
        ("resnext101_3d", "met"),
    ]


def test_the_family_is_the_books() -> None:
    assert sorted(inference.MODELS) == list_models() == sorted(PUBLISHED_PARAMETERS)


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
    case = Case({"model": "resnet18_3d", "num_classes": 5, "options": {"width": 1.0}}, 2, "", "", parameters=7)
    near = facts("near", tmp_path, logits=(logits + 5e-6).tolist(), losses=[4.0, 3.001], parameters=7)
    far = facts("far", tmp_path, logits=(logits + 1e-3).tolist(), losses=[4.0, 3.1], parameters=8)
    odd = facts("odd", tmp_path, logits=(logits * np.nan).tolist(), losses=[4.0, float("nan")])
    assert same_logits(ours, [near]) == pytest.approx(5e-6 / logits.std(), rel=1e-6)
    assert same_losses(ours, [near]) == pytest.approx(1 / 3000)
    same_parameters([ours, near], case)
    for other in (far, odd):
        with pytest.raises(PeerFailed, match=f"{other.label}: logits differ"):
            same_logits(ours, [near, other])
        with pytest.raises(PeerFailed, match=f"{other.label}: losses"):
            same_losses(ours, [near, other])
    with pytest.raises(PeerFailed, match="far: 8 parameters, expected 7"):
        same_parameters([ours, far], case)
    published = {"model": "resnet18_3d", "num_classes": 101, "options": {"width": 1.0}}
    with pytest.raises(PeerFailed, match="ours: 7 parameters, expected 33081893"):
        same_parameters([ours], replace(case, network=published))


def test_pytorch_that_cannot_be_installed_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_index(command: list[str]) -> None:
        if "pip" in command:
            raise NotRun("PyTorch cannot be installed (no index)")
        (tmp_path / "env").mkdir()

    monkeypatch.setattr(torch_env, "_command", no_index)
    with pytest.raises(NotRun, match="no index"):
        torch_env.torch_python(tmp_path / "env")
    assert (tmp_path / "env" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("usable", [False, True])
def test_an_environment_that_lacks_something_is_filled_up(
    usable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(torch_env, "_command", commands.append)
    answers = iter([False, usable, True])  # all of it imported; the interpreter alone; all of it after the installation
    monkeypatch.setattr(torch_env, "_runs", lambda _python, _code: next(answers))
    assert torch_env.torch_python(tmp_path) == str(tmp_path / "bin" / "python")
    assert ("--clear" in commands[0]) is not usable
    assert commands[1][-2:] == ["-r", str(torch_env.REQUIREMENTS)]


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
