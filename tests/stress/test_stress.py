"""The quickest form of both stress trials, and that they would notice a difference."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def stress(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_killed_preparation_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    done = stress("kill", "--only", "preparation", "--times", 1, "--quick", "--work", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"preparation +[\d.]+ s +1 .* 20 stores, index, 2 reports\n", done.stdout)
    assert "kill 1 of 1 after" in done.stderr


def test_a_tree_like_ucf101_from_links_to_a_few_videos(tiny: Any, tmp_path: Path) -> None:
    clips = tiny.root / "UCF-101" / "Walking"
    done = stress("scale", "--clips", clips, "--videos", 30, "--height", 16, "--workers", 1, "--work", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "30 in 20 classes, links to 10" in done.stdout
    assert "21 + 9, 22 + 8, 22 + 8" in done.stdout
    assert "13 of 13 checks" in done.stdout


def test_what_differs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    kills = importlib.import_module("stress_kills")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "v_a.zip").write_bytes(b"frames")
    (theirs / "v_b.zip").write_bytes(b"frames")
    assert kills._same_files(ours, theirs, complete=False) == 1
    with pytest.raises(kills.Failed, match=r"v_b\.zip"):
        kills._same_files(ours, theirs)
    (ours / "v_b.zip").write_bytes(b"framed")
    with pytest.raises(kills.Failed, match=r"v_b\.zip differs"):
        kills._same_files(ours, theirs)
    (ours / "epoch-001.ckpt").write_bytes(b"cut off")
    with pytest.raises(kills.Failed, match=r"epoch-001\.ckpt is damaged"):
        kills._checkpoint(ours / "epoch-001.ckpt")


def test_published_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    size = importlib.import_module("stress_size")
    manifest, files = size.make_tree(tmp_path / "data", [Path(__file__)], 13_320)
    published = size.load_dataset("ucf101")
    assert len(files) == len(list((tmp_path / "data" / "UCF-101").glob("*/*.avi"))) == 13_320
    assert {name: (split.train, split.test) for name, split in manifest.splits.items()} == {
        name: (split.train, split.test) for name, split in published.splits.items()
    }
    assert all(len(list(folder.iterdir())) > 100 for folder in (tmp_path / "data" / "UCF-101").iterdir())


def test_a_full_disk_is_seen_before(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    size = importlib.import_module("stress_size")
    monkeypatch.setattr(size.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 999_999_999}))
    with pytest.raises(size.Failed, match=r"0\.0 GB of frames are expected and 1\.0 GB are free"):
        size.scale(tiny.root / "UCF-101" / "Walking", 10, 16, tmp_path, 1)
