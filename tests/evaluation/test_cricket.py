"""The authors' example for I3D: with their files where the machine has them, and its code path without."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import load_weights, verify
from actionbook.core.runtime import set_device
from actionbook.evaluation import cricket
from actionbook.evaluation.cricket import PUBLISHED, CricketFiles, cricket_check, find_cricket, read_cricket
from actionbook.models import create_model
from actionbook.weights import export_state
from actionbook.weights.golden import rule_made

FOLDER = os.environ.get("ACTIONBOOK_I3D_WEIGHTS", "")
NAMES = ("rgb_imagenet.pt", "flow_imagenet.pt", "v_CricketShot_g04_c01_rgb.npy", "v_CricketShot_g04_c01_flow.npy")


@pytest.fixture
def _pynative() -> Iterator[None]:
    set_device("CPU")
    ms.set_context(mode=ms.PYNATIVE_MODE)  # each network runs once
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.skipif(
    not FOLDER, reason="ACTIONBOOK_I3D_WEIGHTS names no folder with the published I3D weights and clips"
)
@pytest.mark.usefixtures("_pynative")
def test_published_logits() -> None:
    files = find_cricket(FOLDER)
    assert files is not None, f"{FOLDER} does not hold all of {', '.join(NAMES)}"
    manifest = load_weights("weights_i3d")
    for path in (files.rgb_weights, files.flow_weights, files.rgb_clip, files.flow_clip):
        verify(path, manifest.file(path.name))
    table = cricket_check(*read_cricket(files))
    assert table.relative.abs().max() < 1e-3
    assert table[table.what == "norm of the logits"].relative.abs().max() < 1e-4


@pytest.mark.usefixtures("_pynative")
def test_the_table_holds_norms_and_logits_of_both_streams_and_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = partial(create_model, width=0.06)  # with these weights the numbers mean nothing, the table does
    monkeypatch.setattr(cricket, "create_model", narrow)
    rng = np.random.default_rng(0)
    states, clips = [], []
    for channels in (3, 2):
        network = narrow("i3d", num_classes=400, in_channels=channels)
        shapes = [(name, array.shape) for name, array in export_state(network, "hassony2").items()]
        states.append(rule_made(shapes))
        clips.append(rng.uniform(-1, 1, (1, 9, 32, 40, channels)).astype(np.float32))
    table = cricket_check(*states, *clips, layout="hassony2")
    assert list(table.columns) == ["stream", "what", "published", "found", "relative"]
    assert list(zip(table.stream, table.what, strict=True)) == list(PUBLISHED)
    found = table.set_index(["stream", "what"]).found
    for what in ("playing cricket", "hurling (sport)"):
        assert found["joint", what] == pytest.approx(found["rgb", what] + found["flow", what])
    norms = [found[stream, "norm of the logits"] for stream in ("rgb", "flow", "joint")]
    assert abs(norms[0] - norms[1]) <= norms[2] <= norms[0] + norms[1]
    assert (table.relative == (table.found - table.published) / table.published).all()


def test_clips_of_the_wrong_stream_are_refused() -> None:
    with pytest.raises(BookError, match=r"expected \(1, T, H, W, 3\)"):
        cricket_check({}, {}, np.zeros((1, 4, 8, 8, 2)), np.zeros((1, 4, 8, 8, 2)))


def test_the_files_are_found_only_together(tmp_path: Path) -> None:
    for name in NAMES[1:]:
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / name).write_bytes(b"")
    assert find_cricket(tmp_path) is None
    (tmp_path / NAMES[0]).write_bytes(b"")
    paths = (tmp_path / NAMES[0], *(tmp_path / "models" / name for name in NAMES[1:]))
    assert find_cricket(tmp_path) == CricketFiles(*paths)
    with pytest.raises(BookError, match=r"rgb\.npy: cannot be read as an array"):
        read_cricket(CricketFiles(*paths))


def test_clips_are_read_without_running_code(tmp_path: Path) -> None:
    np.save(tmp_path / "v_CricketShot_g04_c01_rgb.npy", np.array([{}], dtype=object))
    path = tmp_path / "v_CricketShot_g04_c01_rgb.npy"
    with pytest.raises(BookError, match="cannot be read as an array"):
        read_cricket(CricketFiles(path, path, path, path))


def test_published_figures_agree_with_each_other() -> None:
    for what in ("playing cricket", "hurling (sport)"):
        total = PUBLISHED["rgb", what] + PUBLISHED["flow", what]
        assert total == pytest.approx(PUBLISHED["joint", what], abs=2e-6)
