"""The authors' example for I3D: with their files where the machine has them, and with stand-ins of the same names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.core.manifest import load_weights
from actionbook.core.runtime import set_device
from actionbook.core.sources import NotTheFile
from actionbook.evaluation.cricket import CLIPS, NETWORKS, PUBLISHED, TOLERANCE, cricket_check
from actionbook.models import create_model
from actionbook.weights import export_state
from actionbook.weights.golden import rule_made

FOLDER = os.environ.get("ACTIONBOOK_I3D_WEIGHTS", "")
NORM = "norm of the logits"


@pytest.fixture(autouse=True)
def _pynative() -> Iterator[None]:
    set_device("CPU")
    ms.set_context(mode=ms.PYNATIVE_MODE)  # each network runs once
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.skipif(
    not FOLDER, reason="ACTIONBOOK_I3D_WEIGHTS names no folder with the published I3D weights and clips"
)
def test_published_logits() -> None:
    checked = cricket_check(FOLDER)
    assert checked.table is not None, checked.note
    assert checked.table.relative.abs().max() < TOLERANCE
    assert checked.table[checked.table.what == NORM].relative.abs().max() < 1e-4


@pytest.fixture
def stand_ins(tmp_path: Path, write_torch: Any) -> Callable[..., str]:
    """A function that writes narrow networks and short clips under the published names, and a manifest of them.

    Clips of both streams have the channels given. Returns the manifest's path.
    """

    def write(channels: tuple[int, int] = (3, 2), folder: str = "models") -> str:
        book = load_weights("weights_i3d")
        (tmp_path / folder).mkdir(exist_ok=True)
        rng, files, others = np.random.default_rng(0), [], []
        for entry in book.files:
            if entry.id in NETWORKS.values():
                new = entry.model_dump(mode="json", exclude_unset=True, exclude={"git_blob"})
                new["options"]["width"] = 0.06
                state = export_state(create_model("i3d", **new["options"]), entry.layout)
                made = rule_made((name, array.shape) for name, array in state.items())
                files.append(new | {"sha256": sha256_file(write_torch(tmp_path / folder / entry.name, made))})
        for name, count in zip(CLIPS.values(), channels, strict=True):
            np.save(tmp_path / name, rng.uniform(-1, 1, (1, 9, 32, 40, count)).astype(np.float32))
            others.append({"name": name, "sha256": sha256_file(tmp_path / name), "status": "single", "note": "a clip"})
        whole = book.model_dump(mode="json") | {"files": files, "others": others}
        (tmp_path / "own.yaml").write_text(json.dumps(whole), encoding="utf-8")
        return str(tmp_path / "own.yaml")

    return write


def test_the_table_holds_norms_and_logits_of_both_streams_and_their_sum(tmp_path: Path, stand_ins: Any) -> None:
    checked = cricket_check(tmp_path, stand_ins())
    table = checked.table
    assert list(table.columns) == ["stream", "what", "published", "found", "relative"]
    assert list(zip(table.stream, table.what, strict=True)) == list(PUBLISHED)
    found = table.set_index(["stream", "what"]).found
    for what in ("playing cricket", "hurling (sport)"):
        assert found["joint", what] == pytest.approx(found["rgb", what] + found["flow", what])
    norms = [found[stream, NORM] for stream in ("rgb", "flow", "joint")]
    assert min(norms) > 0
    assert abs(norms[0] - norms[1]) <= norms[2] <= norms[0] + norms[1]
    assert (table.relative == (table.found - table.published) / table.published).all()
    assert "NOT reproduced" in checked.note  # with such weights the numbers mean nothing, the table does


def test_what_is_missing_is_named_with_where_it_is_had(tmp_path: Path, stand_ins: Any) -> None:
    checked = cricket_check(tmp_path)
    assert checked.table is None
    for name in ("rgb_imagenet.pt", "flow_imagenet.pt", *CLIPS.values(), "actionbook.datasets.fetch weights_i3d"):
        assert name in checked.note
    manifest = stand_ins()
    (tmp_path / CLIPS["flow"]).unlink()
    checked = cricket_check(tmp_path, manifest)
    assert checked.table is None
    assert CLIPS["flow"] in checked.note
    assert "rgb" not in checked.note.partition("missing")[0]


@pytest.mark.parametrize("name", ["rgb_imagenet.pt", CLIPS["flow"]])
def test_another_file_is_refused(name: str, tmp_path: Path, stand_ins: Any) -> None:
    manifest = stand_ins(folder=".")
    with (tmp_path / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(NotTheFile, match=name):
        cricket_check(tmp_path, manifest)


def test_clips_of_the_wrong_stream_are_refused(tmp_path: Path, stand_ins: Any) -> None:
    with pytest.raises(BookError, match=r"rgb\.npy.*\(1, T, H, W, 3\)"):
        cricket_check(tmp_path, stand_ins(channels=(2, 2)))


def test_clips_are_read_without_running_code(tmp_path: Path, stand_ins: Any) -> None:
    manifest, path = stand_ins(), tmp_path / CLIPS["rgb"]
    np.save(path, np.array([{}], dtype=object))
    whole = json.loads(Path(manifest).read_text(encoding="utf-8"))
    whole["others"][0]["sha256"] = sha256_file(path)
    Path(manifest).write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(BookError, match=r"rgb\.npy.*array"):
        cricket_check(tmp_path, manifest)


def test_published_figures_agree_with_each_other() -> None:
    for what in ("playing cricket", "hurling (sport)"):
        total = PUBLISHED["rgb", what] + PUBLISHED["flow", what]
        assert total == pytest.approx(PUBLISHED["joint", what], abs=2e-6)
