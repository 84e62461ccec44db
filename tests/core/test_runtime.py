"""Device, seeds and the environment report."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import weakref
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


SOURCE = '''"""Doubles."""

FACTOR = 2


class Doubler:
    """Twice."""

    factor: int = FACTOR
    """By how much."""

    async def run(self, x):
        """The value of it."""
        return x * self.factor
'''
SAME = {
    "comments": SOURCE.replace("2\n", "2  # two\n# and no more\n"),
    "documentation": SOURCE.replace("Twice.", "Two times.").replace("By how much.", "So much.").replace("value", "sum"),
    "none of it": "FACTOR = 2\nclass Doubler:\n    factor: int = FACTOR\n    async def run(self, x):\n"
    "        return x * self.factor\n",
    "layout": SOURCE.replace("x * self.factor", "(\n            x\n\n            * self.factor\n        )"),
}
OTHER = {
    "a constant": SOURCE.replace("= 2", "= 3"),
    "another kind of it": SOURCE.replace("= 2", "= 2.0"),
    "an operation": SOURCE.replace("x *", "x +"),
    "a name": SOURCE.replace("Doubler", "Twofold"),
    "a text that is used": SOURCE + 'NAME = """Doubles."""\n',
}


@pytest.fixture
def floors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of two floors."""
    for floor in ("low", "high"):
        (tmp_path / floor / "inner").mkdir(parents=True)
        (tmp_path / floor / "__init__.py").write_text("")
    (tmp_path / "low" / "inner" / "code.py").write_text(SOURCE)
    (tmp_path / "low" / "table.yaml").write_text("a: 1\n")
    monkeypatch.setattr(runtime, "LIBRARY", tmp_path)
    return tmp_path


def code(*names: str) -> str:
    runtime._floor_sha256.cache_clear()
    return runtime.code_sha256(*names)


@pytest.mark.parametrize("change", SAME)
def test_what_code_does_hangs_on_no_comment(change: str, floors: Path) -> None:
    before = code("low")
    assert SAME[change] != SOURCE
    (floors / "low" / "inner" / "code.py").write_text(SAME[change])
    assert code("low") == before


@pytest.mark.parametrize("change", OTHER)
def test_what_code_does_hangs_on_all_else(change: str, floors: Path) -> None:
    before = code("low")
    (floors / "low" / "inner" / "code.py").write_text(OTHER[change])
    assert code("low") != before


def test_files_of_a_floor_and_of_those_not_named(floors: Path) -> None:
    seen = [code("low"), code("high"), code("low", "high")]
    assert code("high", "low") == seen[-1]
    for name, text in (("low/new.py", ""), ("low/table.yaml", "a: 2\n"), ("low/table.json", "{}"), ("low/t.csv", "")):
        (floors / name).write_text(text)
        seen.append(code("low"))
    (floors / "low" / "new.py").rename(floors / "low" / "other.py")
    seen.append(code("low"))
    assert len(set(seen)) == len(seen)
    assert code("high") == seen[1]
    (floors / "low" / "note.txt").write_text("no part of it")
    assert code("low") == seen[-1]


@pytest.mark.parametrize("floor", ["attic", "", "low/inner"])
def test_floors_that_are_not_there(floor: str, floors: Path) -> None:
    (floors / "low" / "inner" / "__init__.py").write_text("")
    with pytest.raises(BookError, match=rf"floor '{floor}': .* is no package"):
        code("low", floor)


def test_packages_that_are_not_installed_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "PACKAGES", ("numpy", "no-such-package-at-all"))
    assert runtime.environment()["no-such-package-at-all"] is None


RUNNING = """\
# version: 1.0
runtime_running_version=[7.6.0.1.220:8.0.0]
toolkit_running_version=[7.6.0.1.220:8.0.0]
toolkit_installed_version=[7.1.0.3.220:7.0.0][7.6.0.1.220:8.0.0]
"""


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        ("version.cfg", RUNNING, "8.0.0"),
        ("version.cfg", "toolkit_installed_version=[7.1.0.3.220:7.0.0][7.3.0.1.231:8.0.RC2]\n", "8.0.RC2"),
        ("ascend_toolkit_install.info", "package_name=Ascend-cann-toolkit\nversion=8.0.RC2\narch=aarch64\n", "8.0.RC2"),
        ("aarch64-linux/ascend_toolkit_install.info", "version=8.5.0\ninnerversion=V100R001\n", "8.5.0"),
        ("compiler/version.info", "Version=7.6.0.1.220\n", "7.6.0.1.220"),
        ("version.cfg", "# version: 1.0\n", None),
    ],
)
def test_version_of_cann_is_read_from_its_folder(
    *, name: str, text: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    assert runtime.environment()["cann"] == version


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


def test_choosing_the_device_again_keeps_nothing_alive() -> None:
    class Network:
        pass

    runtime.set_device("CPU")
    network = Network()
    network.itself = network  # type: ignore[attr-defined]  # only a collection frees it
    seen = weakref.ref(network)
    runtime.set_device("CPU")
    del network
    gc.collect()
    assert seen() is None
