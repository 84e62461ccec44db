"""The doctor, a notebook and its comparison on machines as people have them: homes, locales, users, read-only folders.

Each is a process of its own with another environment. The notebook that is compared was executed as this test runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from actionbook.core.paths import ROOT

STRANGER = 54321
"""The number of a user without a name and a home."""
TOY = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A toy

```{code-cell} ipython3
:tags: [parameters]

recipe = "mini"
```

```{code-cell} ipython3
import matplotlib.pyplot as plt
import numpy as np

from actionbook.core.workspace import Stage
from actionbook.video.median import median5

stage = Stage.open("i3d", "01_data", recipe=recipe)
image = np.arange(48, dtype=np.float32).reshape(6, 8)
median5(image, np.empty((5, 12), np.float32), found := np.empty_like(image))
print("\\u2212中", stage.whole.title, found[3, 4])
_ = plt.imshow(found)
```
"""
VARIABLES = ("ACTIONBOOK_DATA", "ACTIONBOOK_WORK", "ACTIONBOOK_BUILD")
DOCTOR = """
import sys
from actionbook.doctor import __main__, environment
environment.mindspore = lambda *_: ()  # ten seconds
sys.exit(__main__.main(["--recipe", "i3d/mini"]))
"""
COPIED = ("lib", "data_manifests", "book/_toc.yml", "notebooks/conftest.py", "notebooks/i3d/recipes")


@dataclass(frozen=True)
class Machine:
    """A checkout with the toy, and a folder that every user may write."""

    checkout: Path
    free: Path

    def run(self, *command: str | Path, user: Sequence[str] = (), cwd: Path | None = None, **given: str | None) -> str:
        """What the command says on either output; `given` changes the environment (None: not set)."""
        variables = {
            "ACTIONBOOK_DATA": str(self.free / "data"),
            "ACTIONBOOK_WORK": str(self.free / "work"),
            "ACTIONBOOK_BUILD": str(self.free / "build"),
            "PYTHONPATH": str(self.checkout / "lib"),
            "TMPDIR": str(self.free),
        }
        environment = {key: value for key, value in {**os.environ, **variables, **given}.items() if value is not None}
        for name in ("MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
            environment.pop(name, None)
        done = subprocess.run(
            [*user, sys.executable, *map(str, command)],
            cwd=cwd or self.free,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def toy(self) -> Path:
        return self.checkout / "notebooks" / "toy" / "01_toy.md"

    def go(self, user: Sequence[str] = (), cwd: Path | None = None, **given: str | None) -> str:
        """Execute the toy and compare it, both without a warning; what the doctor says, as one line."""
        self.run("-m", "actionbook.notebooks", "execute", self.toy, user=user, cwd=cwd, **given)
        cells = nbformat.read(self.free / "build" / "executed" / "toy" / "01_toy.ipynb", as_version=4).cells
        outputs = cells[-1].outputs
        assert [(one.output_type, one.get("name", "")) for one in outputs] == [
            ("stream", "stdout"),
            ("display_data", ""),
        ]
        assert outputs[0].text.startswith("\u2212中 ")
        assert outputs[0].text.endswith(" 28.0\n")
        options = ["--nbval", "--nbval-sanitize-with", ROOT / "tests" / "nbval_sanitize.cfg", "-q"]
        options += ["-p", "no:xdist", "-p", "no:cacheprovider"]  # fmt: skip
        pair = ["--rootdir", self.toy.parents[1], self.toy.with_suffix(".ipynb")]
        assert "2 passed" in self.run("-m", "pytest", *options, *pair, user=user, cwd=cwd, **given)
        said = self.run("-c", DOCTOR, user=user, cwd=cwd, **given, PYTHONWARNDEFAULTENCODING="1")
        assert not [line for line in said.splitlines() if "EncodingWarning" in line and "actionbook" in line]
        assert "this check itself failed" not in said
        return " ".join(said.split())


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy and its pair, executed here and now."""
    folder = tmp_path_factory.mktemp("toy") / "notebooks" / "toy"
    folder.mkdir(parents=True)
    (folder / "01_toy.md").write_text(TOY, encoding="utf-8")
    machine = Machine(ROOT, folder)
    machine.run("-m", "actionbook.notebooks", "execute", folder / "01_toy.md", "-o", folder / "01_toy.ipynb")
    return folder


@pytest.fixture
def machine(executed: Path) -> Iterator[Machine]:
    """A copy of what the doctor and a notebook read of a checkout; everybody may read it, and only read."""
    top = Path(tempfile.mkdtemp(prefix="actionbook-test-"))  # pytest's folders are closed to other users
    try:
        checkout, free = top / "with spaces 和中文", top / "free"
        free.mkdir()
        for name in COPIED:
            source, target = ROOT / name, checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                shutil.copy(source, target)
        toy = checkout / "notebooks" / "toy"
        toy.mkdir()
        for path in executed.glob("01_toy.*"):
            shutil.copy(path, toy)
        _set_modes(top, 0o555, 0o444)
        free.chmod(0o777)
        yield Machine(checkout, free)
    finally:
        _set_modes(top, 0o755, 0o644)
        shutil.rmtree(top)


def _set_modes(top: Path, folder: int, file: int) -> None:
    for place, _, files in os.walk(top):
        Path(place).chmod(folder)
        for name in files:
            Path(place, name).chmod(file)


@pytest.fixture(scope="module")
def stranger() -> list[str]:
    """How a command begins that shall run as another user, who may write nothing of what this one has."""
    if os.getuid() != 0:
        pytest.skip("only root can start a process of another user")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not on the PATH")
    plain = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    # Where Python itself lies in a folder of root's: a user who may read everything, and is a stranger for the rest.
    reader = [*plain, *(f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient"))]
    for command in (plain, reader):
        test = [*command, "env", sys.executable, "-c", "import numpy"]  # by env: setpriv itself is root as it starts
        if subprocess.run(test, capture_output=True, check=False, cwd="/").returncode == 0:
            return command
    pytest.skip("another user cannot run this Python")


def test_without_a_home_or_programs_from_another_working_directory(machine: Machine) -> None:
    found = machine.go(cwd=Path("/"), HOME="/nonexistent/home", PATH="/nonexistent")
    ours = machine.free / f"actionbook-{os.getuid()}" / "home"
    assert "home: it does not exist" in found
    assert f"export HOME={ours}" in found
    assert list((ours / ".cache" / "matplotlib").glob("fontlist*.json"))
    assert "no ffmpeg program is needed" in found
    assert "working directory: / (not the checkout" in found
    assert not Path("/nonexistent").exists()
    machine.run("-m", "papermill", machine.toy.with_suffix(".ipynb"), machine.free / "out.ipynb", cwd=Path("/"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"LANG": "C", "LC_ALL": "C"}, "ok encoding: names of files are UTF-8 by Python itself"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "warning encoding: names of files are ascii"),
    ],
)
def test_with_a_locale_that_knows_ascii_alone(machine: Machine, given: Mapping[str, str], said: str) -> None:
    assert said in machine.go(**{"PYTHONUTF8": None, "PYTHONIOENCODING": None, **given})


def test_as_a_user_without_name_and_home_in_a_checkout_that_is_read_only(machine: Machine, stranger: list[str]) -> None:
    found = machine.go(user=stranger, HOME=None)
    data, work, build = (machine.free / name for name in ("data", "work", "build"))
    assert f"ok checkout: {machine.checkout} is read-only; data in {data}, work in {work}, build in {build}" in found
    assert f"ok user: number {STRANGER}, without a name here" in found
    ours = machine.free / f"actionbook-{STRANGER}" / "home"
    assert list((ours / ".cache" / "numba").glob("*/median.median5-*.nbc"))
    alone = machine.run("-c", DOCTOR.replace("sys.exit", "str"), user=stranger, **dict.fromkeys(VARIABLES))
    said = " ".join(alone.split())
    assert "warning checkout:" in said
    assert "so these cannot be written: data (" in said
    assert "PROBLEM work root: work cannot be written: Permission denied > set work_root" in said
    assert "set data_root (or the variable ACTIONBOOK_DATA)" in said


def test_with_a_home_that_cannot_be_written(machine: Machine, stranger: list[str]) -> None:
    home = machine.checkout / "book"
    found = machine.go(user=stranger, HOME=str(home))
    ours = machine.free / f"actionbook-{STRANGER}"
    assert f"home: {home} or parts of it cannot be written" in found
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        assert f"{name}={ours / name.lower()}" in found
