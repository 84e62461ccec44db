"""PyTorch in an environment of its own, ``.venv-bench``: the book's environment never sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.errors import NotRun
from bench.harness import ROOT, child_environment

FOLDER = ROOT / ".venv-bench"
REQUIREMENTS = ROOT / "bench" / "requirements.txt"


def torch_python(folder: Path = FOLDER, requirements: Path = REQUIREMENTS) -> str:
    """The interpreter of `folder`, where PyTorch can be imported; it is made and filled first if need be.

    Raises NotRun where that is not possible.
    """
    python = folder / "bin" / "python"
    if not _has_torch(python):
        sys.stderr.write(
            f"PyTorch is not there yet: installing {requirements.name} into {folder.name} (some minutes)\n"
        )
        _command([sys.executable, "-m", "venv", "--clear", str(folder)])
        (folder / ".gitignore").write_text("*\n")
        _command(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
        )
        if not _has_torch(python):
            raise NotRun(f"PyTorch was installed into {folder.name} and cannot be imported there")
    return str(python)


def _has_torch(python: Path) -> bool:
    if not python.exists():
        return False
    probe = [str(python), "-c", "import torch, numpy"]
    return (
        subprocess.run(probe, capture_output=True, check=False, env=child_environment({}, ours=False)).returncode == 0
    )


def _command(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise NotRun(f"PyTorch cannot be installed ({words[-1]}); put bench/requirements.txt into .venv-bench by hand")
