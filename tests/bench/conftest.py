"""Makes the package `bench`, which lies beside `lib` and is not installed, importable."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture(scope="session")
def in_torch() -> Callable[[str, Any], str]:
    """A function that runs a script in PyTorch's environment, its argument as JSON, and gives what it has printed."""
    from bench import torch_env
    from bench.harness import ROOT, child_environment

    def run(script: str, argument: Any) -> str:
        done = subprocess.run(
            [str(torch_env.FOLDER / "bin" / "python"), "-c", script, json.dumps(argument)],
            cwd=ROOT,
            env=child_environment({}, ours=False),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
