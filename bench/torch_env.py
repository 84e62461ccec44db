"""PyTorch in an environment of its own, ``.venv-bench``: the book's environment never sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.errors import NotRun
from bench.harness import ROOT, child_environment

FOLDER = ROOT / ".venv-bench"
REQUIREMENTS = ROOT / "bench" / "requirements.txt"
IMPORTED = "import numpy, onnx, onnxscript, torch"


def torch_python(folder: Path = FOLDER, requirements: Path = REQUIREMENTS) -> str:
    """The interpreter of `folder`, where PyTorch and what its ONNX exporter needs can be imported.

    The folder is made, or filled up, first if need be. Raises NotRun where that is not possible.
    """
    python = folder / "bin" / "python"
    if not _runs(python, IMPORTED):
        sys.stderr.write(
            f"PyTorch is not there, or not all: installing {requirements.name} into {folder.name} (some minutes)\n"
        )
        fresh = [] if _runs(python, "") else ["--clear"]  # what an earlier run has put there is worth keeping
        _command([sys.executable, "-m", "venv", *fresh, str(folder)])
        (folder / ".gitignore").write_text("*\n")
        _command(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
        )
        if not _runs(python, IMPORTED):
            raise NotRun(f"PyTorch was installed into {folder.name} and cannot be imported there")
    return str(python)


def _runs(python: Path, code: str) -> bool:
    if not python.exists():
        return False
    environment = child_environment({}, ours=False)
    return subprocess.run([str(python), "-c", code], capture_output=True, check=False, env=environment).returncode == 0


def _command(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise NotRun(f"PyTorch cannot be installed ({words[-1]}); put bench/requirements.txt into .venv-bench by hand")
