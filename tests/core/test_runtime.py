"""Device, seeds and the environment report."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from actionbook.core import runtime
from actionbook.core.errors import BookError
from actionbook.core.paths import LIBRARY
from actionbook.core.progress import progress_bar


def isa_in_a_new_process(**variables: str) -> str:
    """The value of ONEDNN_MAX_CPU_ISA after importing the library in a process that has only `variables`."""
    env = {k: v for k, v in os.environ.items() if k != "ONEDNN_MAX_CPU_ISA"} | {"PYTHONPATH": str(LIBRARY.parent)}
    code = "import sys, actionbook, os; assert 'mindspore' not in sys.modules; print(os.environ['ONEDNN_MAX_CPU_ISA'])"
    done = subprocess.run([sys.executable, "-c", code], env=env | variables, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_library_chooses_the_fast_convolutions() -> None:
    assert isa_in_a_new_process() == "AVX2"


def test_the_users_choice_is_left_alone() -> None:
    assert isa_in_a_new_process(ONEDNN_MAX_CPU_ISA="AVX512_CORE") == "AVX512_CORE"


def test_environment_names_everything_that_numbers_hang_on() -> None:
    found = runtime.environment()
    assert list(found)[:4] == ["python", "machine", "cpu", "cores"]
    assert set(runtime.PACKAGES) < set(found)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["numpy"] == np.__version__
    assert found["cores"] == runtime.default_workers() >= 1
    assert found["ffmpeg"].startswith("libavcodec ")
    assert "libavformat" in found["ffmpeg"]
    assert found["ONEDNN_MAX_CPU_ISA"] == os.environ["ONEDNN_MAX_CPU_ISA"]
    assert found["library_sha256"] == runtime.library_sha256()
    assert {"opencv_ffmpeg", "cann", "driver"} < set(found)
    assert found["mindspore"] is not None


def test_packages_that_are_not_installed_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "PACKAGES", ("numpy", "no-such-package-at-all"))
    assert runtime.environment()["no-such-package-at-all"] is None


def test_version_of_cann_is_read_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ascend_toolkit_install.info").write_text(
        "package_name=Ascend-cann-toolkit\nversion=8.0.RC2\narch=aarch64\n"
    )
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    assert runtime.environment()["cann"] == "8.0.RC2"


def test_version_of_the_driver_is_read_from_npu_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "npu-smi"
    tool.write_text("#!/bin/sh\necho '| npu-smi 24.1.rc2   Version: 24.1.rc2 |'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert runtime.environment()["driver"] == "24.1.rc2"
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert runtime.environment()["driver"] is None


def test_device_of_an_unknown_name() -> None:
    with pytest.raises(BookError, match=r"device 'cpu': expected one of auto, CPU, GPU, Ascend"):
        runtime.set_device("cpu")


def test_auto_takes_the_cpu_where_there_is_no_npu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "has_npu", lambda: False)
    assert runtime.set_device("auto") == "CPU"
    assert runtime.set_device("CPU") == "CPU"


@pytest.mark.parametrize("device", ["GPU", "Ascend"])
def test_a_device_that_is_not_here(device: str) -> None:
    if device == "Ascend" and runtime.has_npu():
        pytest.skip("this machine has an Ascend device")
    with pytest.raises(BookError, match=rf"device '{device}' cannot be used here: .+ Use device='CPU'"):
        runtime.set_device(device)


@pytest.fixture
def generators() -> Iterator[None]:
    """Puts the global generators back, so that no other test hangs on this one's seeds."""
    python, numpy = random.getstate(), np.random.get_state()
    yield
    random.setstate(python)
    np.random.set_state(numpy)


@pytest.mark.usefixtures("generators")
def test_seeds_make_the_global_generators_repeat() -> None:
    def draw(seed: int) -> tuple[float, float]:
        runtime.seed_everything(seed)
        return random.random(), float(np.random.rand())

    assert draw(3) == draw(3) != draw(4)


def test_progress_bar_counts_and_starts_where_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(10, "preparing", "videos", initial=4) as bar:
        bar.disable = False
        bar.update(2)
        assert (bar.n, bar.total) == (6, 10)
    assert capsys.readouterr().out == ""
