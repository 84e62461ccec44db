"""A quick number of the inputs of `fuzzing.py`, in a process of their own that may neither call nor import anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "fuzzing.py"
FOLDER = str(PROGRAM.parent)  # where it finds its inputs when it is not run as a program


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=300)


def test_every_input_gives_arrays_or_a_weights_error_and_nothing_is_called() -> None:
    done = run(str(PROGRAM), "--cases", "2400", "--search", "60", "--seed", "7")
    assert done.returncode == 0, done.stderr or done.stdout
    counts = dict(re.findall(r"^  ([a-z :]+): (\d+)$", done.stdout, re.MULTILINE))
    assert sum(map(int, counts.values())) >= 2400 + 4 * 60
    # Both ways must occur, or the inputs have become too wild or too tame to say anything.
    assert int(counts["bomb: refused"]) >= 10
    for kind in ("changed file", "changed pickle", "checkpoint", "grown file", "grown message", "stream"):
        assert int(counts[f"{kind}: arrays"]) > 0
        assert int(counts[f"{kind}: refused"]) > 0


CALLS = {
    "os.system": "import os; call = lambda _: os.system('true')",
    "subprocess.Popen": "import subprocess; call = lambda _: subprocess.Popen(['true'])",
    "import": "call = lambda _: __import__('colorsys')",
    "compile": "call = lambda _: eval('1')",
    "open": "call = lambda _: open('written', 'w')",
    "open ('/etc/hostname'": "call = lambda _: open('/etc/hostname')",
    "socket.connect": "import socket; one = socket.socket(); call = lambda _: one.connect(('127.0.0.1', 1))",
    "pickle.find_class": "import pickle; data = pickle.dumps(dict); call = lambda _: pickle.loads(data)",
}


@pytest.mark.parametrize("event", CALLS)
def test_the_guard_ends_the_process(event: str, tmp_path: Path) -> None:
    code = (
        f"import runpy, os, sys; os.chdir({str(tmp_path)!r}); sys.path.insert(0, {FOLDER!r})\n"
        f"fuzzing = runpy.run_path({str(PROGRAM)!r})\n"
        f"{CALLS[event]}\nfuzzing['guard']()\nfuzzing['watched'](call, None)"
    )
    # `global` of the run module's functions is its own dictionary, so the flag that `watched` sets is the guard's.
    done = run("-c", code)
    assert done.returncode == 97, done.stderr
    assert f"forbidden: {event}" in done.stderr
    assert not (tmp_path / "written").exists()


def test_another_exception_is_a_failure_with_the_input_kept(tmp_path: Path) -> None:
    code = (
        f"import runpy, pathlib, sys, tempfile; sys.path.insert(0, {FOLDER!r}); tempfile.tempdir = {str(tmp_path)!r}\n"
        f"fuzzing = runpy.run_path({str(PROGRAM)!r}); bench = fuzzing['Bench'](pathlib.Path({str(tmp_path)!r}))\n"
        "def broken(stream): raise KeyError(stream)\n"
        "bench._run(broken, b'abc', 'stream')"
    )
    done = run("-c", code)
    assert "Failure: stream: KeyError" in done.stderr
    assert (tmp_path / "actionbook-fuzz-failure").read_bytes() == b"abc"
