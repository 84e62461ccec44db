"""The doctor in broken surroundings: each fault is a row with its remedy, and nothing is changed."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actionbook.core import runtime
from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.doctor import Finding, ascend, doctor, environment, machine
from actionbook.doctor import __main__ as program
from actionbook.doctor.findings import ok, run_checks, warning

STAND_INS = Path(__file__).parents[1] / "core" / "stand_ins"


# -- checks themselves -------------------------------------------------------------------------------------------------


def test_a_check_that_fails_is_a_row_and_stops_no_other(table: Any) -> None:
    def halfway() -> Any:
        yield ok("one", "well")
        raise ZeroDivisionError("by 0")

    def leaves() -> Any:
        raise SystemExit("gone")

    def lacks() -> Any:
        raise ModuleNotFoundError("No module named 'av'")

    def named() -> Any:
        raise BookError("file.yaml: is wrong;\n write it right")

    checks = {"half": halfway, "leave": leaves, "lack": lacks, "named": named, "last": lambda: [ok("two", "well")]}
    rows = run_checks("part", lambda: checks)
    assert [(row.check, row.status) for row in rows] == [
        ("one", "ok"),
        ("half", "problem"),
        ("leave", "problem"),
        ("lack", "problem"),
        ("named", "problem"),
        ("two", "ok"),
    ]
    assert {row.section for row in rows} == {"part"}
    assert "ZeroDivisionError: by 0" in rows[1].message
    assert "make install" in rows[3].remedy
    assert rows[4].message == "file.yaml: is wrong; write it right"
    table.of_all(lambda: 1 / 0).row("here", "problem", "ZeroDivisionError", "report it")


# -- machine and packages ----------------------------------------------------------------------------------------------


def test_this_machine_is_looked_at_as_it_is(tmp_path: Path, table: Any) -> None:
    rows = table(doctor(work_root=tmp_path, device="CPU"))
    assert {row.section for row in rows} == {"environment", "Ascend"}
    for check in ("Python", "packages", "NumPy", "libgomp", "FFmpeg", "OpenCV", "work root"):
        rows.row(check, "ok")
    rows.row("MindSpore", "ok", "runs a convolution on CPU")
    assert len(pd.DataFrame(rows)) == len(rows)
    assert not list(tmp_path.iterdir())


def test_pinned_packages_that_are_missing_or_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any
) -> None:
    pinned = tmp_path / "requirements.txt"
    pinned.write_text("numpy==0.1 \\\n    --hash=sha256:0\nno-such-package==1.0\n# numba==7\npyyaml==6.0.3\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", pinned)
    rows = table.of(environment.packages)
    rows.row("packages", "problem", "1 pinned packages are missing: no-such-package", "make install")
    rows.row("packages", "warning", f"numpy {metadata.version('numpy')} instead of 0.1", "make install")
    pinned.unlink()
    table.of(environment.packages).row("packages", "warning", "cannot be compared", "checkout")


def test_another_python_and_a_new_numpy(monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    table.of(environment.python).row("Python", "problem", "pinned packages are for 3.11", "python3.11")
    monkeypatch.setattr(metadata, "version", lambda _: "2.1.0")
    table.of(environment.numpy_version).row("NumPy", "problem", "NumPy 2.1.0", "make install")


def test_no_libgomp(monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    def refuse(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    table.of(environment.libgomp).row("libgomp", "problem", "libgomp.so.1", "apt-get install libgomp1")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'ImportError: libgomp.so.1 is missing' >&2; exit 1", "libgomp.so.1 is missing"),
        ("kill -SEGV $$", "exit status -11"),
        ("exec sleep 60", "has not run one convolution"),
        ("echo nonsense", "exit status 0"),
    ],
)
def test_mindspore_that_does_not_run(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(environment, "SECONDS", 1.0)
    table.of(environment.mindspore, "CPU", []).row("MindSpore", "problem", message)


def test_networks_of_a_recipe_are_made(table: Any) -> None:
    good = {"name": "mobilenetv2_3d", "classes": 2, "options": {"width": 0.2}, "trainable": [], "run": "a"}
    rows = table.of(
        environment.mindspore,
        "CPU",
        [
            good,
            {**good, "run": "b", "name": "mobilenet"},
            {**good, "run": "c", "options": {"widht": 1}},
            {**good, "run": "d", "trainable": ["logits"]},
        ],
    )
    assert rows[0].status == "ok"
    assert len(rows) == 4
    for part in ("run 'b': model 'mobilenet'", "run 'c': ", "begins with 'logits'"):
        rows.row("networks", "problem", part, "section model")


def test_the_weight_files_of_a_recipe_are_held_against_its_networks(tmp_path: Path, table: Any) -> None:
    from actionbook.models import create_model
    from actionbook.weights import export_state, write_safetensors

    state = export_state(create_model("resnet18_3d", num_classes=3, width=0.0625), "okankop")
    write_safetensors(tmp_path / "net.pth", {f"module.{name}": array for name, array in state.items()})
    (tmp_path / "page.pth").write_text("<html>")
    weights = {"path": str(tmp_path / "net.pth"), "layout": "okankop", "skip": []}
    network = {"name": "resnet18_3d", "classes": 3, "options": {"width": 0.0625}, "trainable": [], "run": "a"}
    rows = table.of(
        environment.mindspore,
        "CPU",
        [
            {**network, "weights": [weights]},
            {**network, "run": "b", "classes": 2, "weights": [weights]},
            {**network, "run": "c", "classes": 2, "weights": [{**weights, "skip": ["fc"]}]},
            {**network, "run": "d", "weights": [weights, {**weights, "skip": ["head"]}]},
            {**network, "run": "e", "weights": [{**weights, "path": str(tmp_path / "page.pth")}]},
        ],
    )
    rows.row("weights", "problem", "run 'b': ", "section weights")
    rows.row("weights", "problem", "The file was trained on 3 classes, the network has 2")
    rows.row("weights", "problem", "fc.weight: the network expects (2, ")
    rows.row("weights", "problem", "run 'd': ")
    rows.row("weights", "problem", "skip names 'head'")
    rows.row("weights", "ok", "fit each other in names and shapes: 3")
    assert len([row for row in rows if row.check == "weights"]) == 3


def test_ffmpeg_and_opencv_without_what_is_needed(monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    import av
    import cv2

    def codec(name: str, mode: str) -> None:
        if name == "mpeg4":
            raise ValueError(name)

    monkeypatch.setattr(av.codec, "Codec", codec)
    monkeypatch.delattr(cv2, "optflow")
    table.of(environment.ffmpeg).row("FFmpeg", "problem", "lacks decoders: mpeg4 for MPEG-4 and Xvid")
    table.of(environment.opencv).row("OpenCV", "problem", "no TV-L1", "contrib")


def test_limits_variables_and_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    table.of(environment.open_files).row("open files", "warning", "only 256 files", "ulimit -n")
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    for value, status in (("AVX2", "ok"), ("AVX512_CORE", "warning"), (None, "warning")):
        monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
        if value:
            monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", value)
        table.of(environment.onednn).row("oneDNN", status)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environment.sys, "executable", str(tmp_path / "python"))
    rows = table([*table.of(environment.programs), *table.of(environment.rar)])
    rows.row("RAR", "warning", "no program for RAR", "apt-get install unar")
    rows.row("msrun", "warning", "msrun")
    rows.row("Chromium", "ok", "not found")
    for name in ("unar", "msrun", "chromium"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert {row.status for row in [*table.of(environment.programs), *table.of(environment.rar)]} == {"ok"}


def test_few_cores_and_little_memory_and_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    table.of(machine.cores).row("cores", "warning", "one core")
    monkeypatch.setattr(machine, "available_memory", lambda: 2**29)
    table.of(machine.memory, None).row("memory", "warning", "0.5 GiB free", "batch_size")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    table.of(machine.disk, tmp_path, None).row("disk", "problem", "0.0 GiB free", "make room")


def test_work_roots_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    table.of(machine.writable, tmp_path / "a" / "b").row("work root", "ok", "will be made")
    file = tmp_path / "file"
    file.write_text("")
    table.of(machine.writable, file / "work").row(
        "work root", "problem", "cannot be written: Not a directory", "set work_root"
    )

    with monkeypatch.context() as patch:

        def read_only(**_: Any) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        patch.setattr(tempfile, "mkstemp", read_only)
        table.of(machine.writable, tmp_path).row("work root", "problem", "Read-only file system", "ACTIONBOOK_WORK")
    with monkeypatch.context() as patch:  # a file system that copies instead
        patch.setattr(Path, "replace", lambda self, other: other.write_bytes(self.read_bytes()))
        table.of(machine.writable, tmp_path).row(
            "work root", "problem", "does not replace a file by renaming", "local disk"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# -- Ascend ----------------------------------------------------------------------------------------------------


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """A function that puts a stand-in for `npu-smi` on the PATH, to print the text of that name."""

    def use(name: str) -> None:
        monkeypatch.setattr(runtime, "has_npu", lambda: True)
        paths = [str(STAND_INS), str(Path(sys.executable).parent), os.environ["PATH"]]
        monkeypatch.setenv("PATH", os.pathsep.join(paths))
        monkeypatch.setenv("STAND_IN", name)
        monkeypatch.setenv("STAND_IN_TEXTS", str(STAND_INS / "npu_smi"))
        monkeypatch.setenv("STAND_IN_EXIT", "0")
        monkeypatch.setenv("STAND_IN_CALL", str(tmp_path / "calls"))

    return use


def test_a_card_is_compared_with_the_recipe(
    card: Callable[[str], None], tiny_stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch, table: Any
) -> None:
    recipe = tiny_stage(export={"soc_version": "Ascend310P3"}).recipe
    card("310P")
    rows = table.of_all(ascend.ascend_checks, "auto", recipe)
    rows.row("driver", "warning", "310P3 (NPU 3, chip 0): Warning", "npu-smi info -t health")
    rows.row("chip", "ok", "Ascend310P3")
    card("310P_duo")
    table.of_all(ascend.ascend_checks, "auto", recipe).row("driver", "ok")
    card("A2")
    table.of_all(ascend.ascend_checks, "auto", recipe).row(
        "chip", "problem", "the recipe converts for Ascend310P3", "export.soc_version"
    )
    card("dcmi")
    table.of_all(ascend.ascend_checks, "auto", recipe).row("driver", "problem", "npu-smi info")
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    if runtime.environment()["cann"] is None:
        rows.row("CANN", "problem", "no CANN toolkit", "set_env.sh")


def test_no_card(monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    monkeypatch.setattr(runtime, "has_npu", lambda: False)
    table.of_all(ascend.ascend_checks, "CPU", None).row("device", "ok")
    monkeypatch.setenv("PATH", "/nonexistent")
    rows = table.of_all(ascend.ascend_checks, "Ascend", None)
    rows.row("driver", "problem", "npu-smi is not on the PATH")


# -- command line -----------------------------------------------------------------------------------------------


def test_the_exit_status_and_the_two_forms(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_checks("part", lambda: {"x": lambda: [ok("a", "well"), warning("b", "so so", "look"), ok("c", "ü")]})
    asked: list[Any] = []

    def stand_in(recipe: str | None, **options: Any) -> list[Finding]:
        asked.append((recipe, options))
        return rows

    monkeypatch.setattr(program, "doctor", stand_in)
    assert program.main(["--recipe", "a/b", "--data-root", "d", "--work-root", "w", "--device", "CPU", "--json"]) == 0
    assert asked == [("a/b", {"data_root": "d", "work_root": "w", "device": "CPU"})]
    assert [Finding(**row) for row in json.loads(capsys.readouterr().out)] == rows
    rows.append(Finding("d", "problem", "broken " * 40, "mend " * 40, "other"))
    assert program.main([]) == 1
    text = capsys.readouterr().out
    assert text.startswith("part\n  ok      a: well\n  warning b: so so\n          > look\n")
    assert "\n\nother\n  PROBLEM d: broken" in text
    assert text.endswith("\n2 ok, 1 to read, 1 to mend\n")
    assert max(map(len, text.splitlines())) <= 110


def test_empty_folders_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], table: Any) -> None:
    assert program.main(["--work-root", ""]) == 1
    assert "work_root: expected the path of a folder" in capsys.readouterr().err
    rows = table(doctor("efficient3d/mini", data_root="", work_root=tmp_path, device="CPU"))
    rows.row("recipe", "problem", "data_root: expected the path of a folder", "mend")


def test_the_program_explains_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "actionbook.doctor", "--help"], capture_output=True, text=True, check=True
    )
    for option in ("--recipe", "--data-root", "--work-root", "--device", "--json"):
        assert option in done.stdout
