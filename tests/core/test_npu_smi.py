from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.core import npu_smi
from actionbook.core.npu_smi import Chip, NpuSmiError, Soc, driver_version, read_npu_smi, soc_remark, soc_version

STAND_INS = Path(__file__).parent / "stand_ins"
TEXTS = STAND_INS / "npu_smi"


def text(name: str) -> str:
    return (TEXTS / f"{name}.txt").read_text()


@pytest.fixture
def smi(monkeypatch, tmp_path):
    """Put the stand-in on the PATH, to print the text of that name; returns the file of its calls."""

    def use(name: str, status: int = 0) -> Path:
        monkeypatch.setenv(
            "PATH", os.pathsep.join([str(STAND_INS), str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        monkeypatch.setenv("STAND_IN", name)
        monkeypatch.setenv("STAND_IN_TEXTS", str(TEXTS))
        monkeypatch.setenv("STAND_IN_EXIT", str(status))
        monkeypatch.setenv("STAND_IN_CALL", str(tmp_path / "calls"))
        return tmp_path / "calls"

    return use


@pytest.mark.parametrize(
    ("name", "chips", "driver"),
    [
        (
            "310P",
            [
                Chip(0, 0, "310P3", "OK"),
                Chip(3, 0, "310P3", "Warning"),
            ],
            "23.0.0",
        ),
        (
            "310P_duo",
            [
                Chip(1, 0, "310P3", "OK"),
                Chip(1, 1, "310P3", "OK"),
            ],
            "24.1.0",
        ),
        (
            "310P_virtual",
            [Chip(7, 0, "310Pvir02", "OK")],
            "22.0.4",
        ),
        ("310B", [Chip(0, 0, "310B4", "Alarm")], "23.0.rc3"),
        (
            "A1",
            [
                Chip(0, 0, "910B", "OK"),
                Chip(3, 0, "910A", "OK"),
            ],
            "23.0.rc2",
        ),
        ("A2", [Chip(0, 0, "910B3", "OK")], "24.1.rc1"),
        (
            "A3",
            [
                Chip(0, 0, "Ascend910", "OK"),
                Chip(0, 1, "Ascend910", "OK"),
            ],
            "25.2.0",
        ),
        (
            "950",
            [Chip(0, 0, "Ascend950PR", "OK")],
            "25.7.rc1.6",
        ),
    ],
)
def test_every_layout(name, chips, driver):
    assert read_npu_smi(text(name)) == tuple(chips)
    assert driver_version(text(name)) == driver


def test_carriage_returns_and_indents_do_not_matter():
    changed = "\r\n".join(f"   {line}" for line in text("A2").splitlines())
    assert read_npu_smi(changed) == read_npu_smi(text("A2"))


@given(st.data())
def test_a_mangled_table_is_read_or_refused(data):
    lines = text(data.draw(st.sampled_from(["310P_duo", "A1", "A3", "950"]))).splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    line = lines[number]
    at = data.draw(st.integers(0, len(line)))
    lines[number] = (
        line[:at] + data.draw(st.text("| 09A-/.:²x", max_size=4)) + line[at + data.draw(st.integers(0, 9)) :]
    )
    try:
        chips = read_npu_smi("\n".join(lines))
    except NpuSmiError:
        return
    assert 1 <= len(chips) <= 2


@pytest.mark.parametrize("broken", ["", "no table here", "\n".join(text("A2").splitlines()[:6])])
def test_no_chip(broken):
    with pytest.raises(NpuSmiError, match="no chip in its output"):
        read_npu_smi(broken)


def test_second_line_is_missing():
    lines = text("310P").splitlines()
    with pytest.raises(NpuSmiError, match="no second line with bus and memory for NPU 0"):
        read_npu_smi("\n".join(lines[:7] + lines[9:]))
    with pytest.raises(NpuSmiError, match="no second line"):
        read_npu_smi("\n".join(lines[:7]))


@pytest.mark.parametrize(
    ("name", "index", "soc"),
    [
        ("310P", 1, "Ascend310P3"),
        ("310B", 0, "Ascend310B4"),
        ("A1", 1, "Ascend910A"),
        ("A2", 0, "Ascend910B3"),
    ],
)
def test_soc_version_is_ascend_and_the_name(smi, name, index, soc):
    calls = smi(name)
    assert soc_version(index) == Soc(soc)
    assert calls.read_text() == "info\n"


@pytest.mark.parametrize(
    ("name", "index", "soc", "asked"),
    [
        ("A3", 0, "Ascend910_9391", "-i 0 -c 0"),
        ("A3", 1, "Ascend910_9391", "-i 0 -c 1"),
        ("950", 0, "Ascend950PR_9579", "-i 0 -c 0"),
    ],
)
def test_soc_version_where_the_table_shows_the_family_only(smi, name, index, soc, asked):
    calls = smi(name)
    found = soc_version(index)
    assert found.name == soc
    assert "npu-smi info -t board" in str(found.remark)
    assert calls.read_text().splitlines() == ["info", f"info -t board {asked}"]


def test_plain_910b_is_the_first_generation(smi):
    smi("A1")
    found = soc_version(0)
    assert found.name == "Ascend910B"
    assert "first-generation" in str(found.remark)
    assert soc_remark("Ascend910B3") is None
    assert "Ascend910_9391" in str(soc_remark("Ascend910"))


@pytest.mark.parametrize(
    ("name", "index", "message"),
    [
        ("310P_virtual", 0, "virtual 310Pvir02"),
        ("A2", 1, "this machine has 1"),
        ("A2", -1, "this machine has 1"),
        ("no_name", 0, "gives no NPU Name"),
    ],
)
def test_soc_version_that_cannot_be_told(smi, name, index, message):
    smi(name)
    with pytest.raises(NpuSmiError, match=message):
        soc_version(index)


@pytest.mark.parametrize(("name", "status"), [("dcmi", 0), ("dcmi", 187)])
def test_no_device(smi, name, status):
    smi(name, status)
    with pytest.raises(NpuSmiError, match=r"dcmi module initialize failed\. ret is -8005") as caught:
        npu_smi.npu_smi("info")
    assert f"exit status {status}" in str(caught.value)
    assert "HwHiAiUser" in str(caught.value)


def test_exit_status_counts_although_there_is_a_table(smi):
    smi("A2", 3)
    with pytest.raises(NpuSmiError, match="exit status 3"):
        soc_version()


def test_no_tool(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NpuSmiError, match="npu-smi is not on the PATH"):
        soc_version()


def test_hanging_driver(monkeypatch, tmp_path):
    tool = tmp_path / "npu-smi"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "import time; time.sleep(60)"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(npu_smi, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(NpuSmiError, match="no answer"):
        soc_version()
