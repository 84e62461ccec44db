"""Every row runs once, as small as can be; PyTorch and ffmpeg only where they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench import __main__ as cli
from bench import torch_env
from bench.__main__ import run_row
from bench.agreement import PUBLISHED_PARAMETERS, same_logits, same_losses, same_parameters
from bench.cases import Case, Workload
from bench.errors import NotRun, PeerFailed
from bench.harness import Peer
from bench.report import Result
from bench.rounds import Pace
from bench.rows import ROWS, eco, flow, i3d, inference, paper, slowfast, stnet
from bench.rows.i3d import FLOW, RGB, SHORT
from bench.session import Scale, Session

from actionbook.models import list_models
from actionbook.video.store import FrameStore

TORCH = torch_env.FOLDER / "bin" / "python"
PACE = Pace(slice_s=0.01, steps=1, rounds=1, limit_s=0.0)
TINY = Scale(
    batch=2,
    frames=4,
    size=32,
    num_classes=5,
    width=0.25,
    videos=2,
    video_frames=12,
    flow_height=48,
    flow_frames=3,
    keyframes=20,
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
    monkeypatch.setattr(inference, "FAMILY", (inference.Entry(Workload("resnet18_3d", 8), raw=1.2, nodes=0.5),))
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
    def compared(session: Session, row: str, what: str, entry: inference.Entry) -> Iterator[Result]:
        assert session.torch_missing
        if entry.workload.model == "resnet18_3d":
            raise PeerFailed("logits differ")
        yield Result(row, what, 2.0, 1.0)

    monkeypatch.setattr(inference, "compared", compared)
    chosen = replace(session, models=("mobilenet_3d", "resnet18_3d", "resnext101_3d"))
    results = run_row("family", chosen)
    assert [(r.what, r.verdict) for r in results] == [
        ("vs PyTorch", "not run"),
        ("mobilenet_3d, batch 2", "met"),
        ("resnet18_3d, batch 2", "crashed"),
        ("resnext101_3d, batch 2", "met"),
    ]


def test_every_network_of_the_book_has_a_row() -> None:
    assert (
        sorted(
            {
                *inference.MODELS,
                RGB.model,
                *(workload.model for row in (eco, slowfast, stnet) for workload in row.FORWARD),
            }
        )
        == list_models()
        == sorted({name for name, *_ in PUBLISHED_PARAMETERS})
    )


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
    scale = replace(TINY, batch=8, frames=8, size=48)
    with_torch = Session(session.scratch, session.cache, scale)
    with_torch.torch = str(TORCH)  # as found: a test never installs it
    results = run_row(row, with_torch)
    assert [result.state for result in results] == ["measured"] * 2, results[0].note
    assert [result.target is None for result in results] == [False, True]
    assert "agree" in results[0].note


def test_i3d_row_without_pytorch(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i3d, "FILES", (inference.Entry(FLOW, nodes=0.5),))
    missing, timing, nodes = run_row("i3d", session)
    assert (missing.verdict, missing.what) == ("not run", "vs PyTorch")
    assert timing.what == "forward, 1x2x4x32x32: our ONNX vs MindSpore's raw ONNX", timing.note
    assert timing.target == 1.0
    assert nodes.verdict == "met"


@pytest.mark.skipif(not TORCH.exists(), reason="no .venv-bench; make bench makes it")
def test_i3d_row_shows_pytorch_in_both_layouts(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i3d, "FORWARD", {RGB: 1.0})
    monkeypatch.setattr(i3d, "TRAINING", {})
    monkeypatch.setattr(i3d, "FILES", ())
    with_torch = Session(session.scratch, session.cache, session.scale)
    with_torch.torch = str(TORCH)
    results = run_row("i3d", with_torch)
    kinds = ["PyTorch", "PyTorch, tuned malloc", "PyTorch, channels last", "PyTorch, channels last, tuned malloc"]
    assert [r.what for r in results] == [f"MindSpore vs {kind}, forward, 1x3x4x32x32" for kind in kinds], results[
        0
    ].note
    assert [r.target for r in results] == [1.0, None, None, None]
    assert "PyTorch's faster layout: " in results[0].note


def test_one_broken_part_of_a_row_leaves_the_others_their_turn(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Session, row: str, workload: Workload, target: float | None, *, layouts: bool) -> Iterator[Result]:
        assert layouts
        if workload == SHORT:
            raise PeerFailed("losses differ")
        yield Result(row, str(workload), 1.0, target)

    monkeypatch.setattr(i3d, "FORWARD", {})
    monkeypatch.setattr(paper, "training", broken)
    monkeypatch.setattr(i3d, "FILES", ())
    with_torch = Session(session.scratch, session.cache, session.scale)
    with_torch.torch = "python"
    results = run_row("i3d", with_torch)
    assert [(r.what, r.verdict) for r in results] == [
        ("1x3x64x224x224", "met"),
        ("training step, 2x3x4x32x32", "crashed"),
    ]


def test_flow_row(session: Session) -> None:
    results = run_row("flow", session)
    assert [r.state for r in results] == ["measured"] * 4, results[-1].note
    kernel, difference, stored, workers = results
    assert [r.target for r in results] == [10.0, 0.1, None, 1.8 if session.threads > 1 else None]
    assert "TV-L1, 63 x 48, vs OpenCV's" in kernel.what
    assert "2 pairs, one of each video" in kernel.note
    assert (difference.at_most, difference.verdict) == (True, "met")
    assert "2 pieces of video with 6 frames of 48 rows" in stored.note
    assert "16 pieces of video with 46 frames" in workers.note
    with FrameStore(session.scratch / "flow-stores" / f"{session.videos[0].stem}-7.zip") as last:
        assert len(last) == 2  # of 12 frames those from 10 on
        assert min(last.frame_size) == 48


def test_flow_that_differs_is_refused(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(_: Session, peers: list[Peer]) -> nullcontext[None]:
        for level, peer in zip((128, 129), peers, strict=True):
            np.save(peer.options["checked"], np.full((2, 48, 63, 2), level, np.uint8))
        return nullcontext()

    monkeypatch.setattr(Session, "running", answered)
    monkeypatch.setattr(flow, "preparation", lambda *_: iter([Result("flow", "the rest", 1.0)]))
    monkeypatch.setattr(flow, "scaling", lambda *_: iter(()))
    refused, rest = run_row("flow", session)
    assert (refused.verdict, refused.what, rest.what) == ("crashed", "TV-L1", "the rest")
    assert "the flow of both sides differs by 1.000 of 255" in refused.note


def test_ava_score_row(session: Session) -> None:
    (result,) = run_row("ava-score", session)
    assert result.state == "measured", result.note
    assert result.target == 25.0
    assert "20 keyframes" in result.note


def test_a_score_that_differs_is_refused(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(_: Session, peers: list[Peer]) -> nullcontext[None]:
        for value, peer in zip((0.25, 0.25000000000000006), peers, strict=True):
            peer.facts["value"] = value
        return nullcontext()

    monkeypatch.setattr(Session, "running", answered)
    (refused,) = run_row("ava-score", session)
    assert refused.verdict == "crashed"
    assert refused.note == "the scores of both sides differ: 0.25 and 0.25000000000000006"


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
    case = Case(Workload("resnet18_3d", 2, num_classes=5), 1.0, "", "", parameters=7)
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
    for workload, published in ((Workload("resnet18_3d", 2), 33081893), (FLOW, 12675312)):
        with pytest.raises(PeerFailed, match=f"ours: 7 parameters, expected {published}"):
            same_parameters([ours], replace(case, workload=workload))


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
