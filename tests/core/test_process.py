"""Running another program: its output while it runs, its end, and that nothing of it is left."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from actionbook.core.process import PAGE_WIDTH, ProgramError, run_logged, typed, was_killed


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_output_goes_to_the_log_and_line_by_line_to_the_caller(tmp_path: Path) -> None:
    lines: list[str] = []
    ticks: list[int] = []
    code = r"""
import os, sys, time
print('one'); print('zwei, 二', file=sys.stderr); sys.stdout.flush(); time.sleep(0.5)
os.write(1, b'\xff broken\r\nno end')
sys.exit(3)
"""
    status = run_logged(
        python(code),
        tmp_path,
        tmp_path / "log",
        first_line="$ it\n",
        on_line=lines.append,
        tick=lambda: ticks.append(1),
    )
    assert status == 3
    assert lines == ["one", "zwei, 二", "\ufffd broken", "no end"]
    assert (tmp_path / "log").read_bytes() == b"$ it\none\nzwei, \xe4\xba\x8c\n\xff broken\r\nno end"
    assert len(ticks) >= 2


def test_the_program_works_in_the_folder_and_gets_no_input(tmp_path: Path) -> None:
    assert run_logged(python("import sys; open('here', 'w').write(sys.stdin.read())"), tmp_path, tmp_path / "log") == 0
    assert (tmp_path / "here").read_text() == ""


def test_a_relative_path_finds_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\npwd\n")
    tool.chmod(0o755)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "bin", prepend=os.pathsep)
    assert run_logged(["tool"], tmp_path / "work", tmp_path / "log") == 0
    assert (tmp_path / "log").read_text() == f"{(tmp_path / 'work').resolve()}\n"


CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("why", ["timeout", "interrupt"])
def test_whoever_is_stopped_takes_its_children_along(tmp_path: Path, why: str) -> None:
    pids: list[int] = []

    def interrupt() -> None:
        if pids and why == "interrupt":
            raise KeyboardInterrupt

    with pytest.raises(ProgramError if why == "timeout" else KeyboardInterrupt):
        run_logged(
            python(CHILD), tmp_path, tmp_path / "log", timeout=2.0 if why == "timeout" else None,
            on_line=lambda line: pids.append(int(line)), tick=interrupt,
        )  # fmt: skip
    (child,) = pids
    for _ in range(50):
        if not alive(child):
            break
        time.sleep(0.1)
    assert not alive(child)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"no-such-program: no such program.*PATH"):
        run_logged(["no-such-program"], tmp_path, tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_a_program_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("neither a script nor a program")
    (tmp_path / "tool").chmod(0o755)
    with pytest.raises(ProgramError, match="tool: cannot be started"):
        run_logged([str(tmp_path / "tool")], tmp_path, tmp_path / "log")


@pytest.mark.parametrize(("code", "killed"), [("os.kill(os.getpid(), 9)", True), ("sys.exit(137)", True), ("1", False)])
def test_what_the_system_killed_is_told_from_the_status(tmp_path: Path, code: str, killed: bool) -> None:
    assert was_killed(run_logged(python(f"import os, sys; {code}"), tmp_path, tmp_path / "log")) is killed


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    with pytest.raises(ProgramError, match=r"log: .*'s output cannot be written there \(Is a directory\)\. Remove"):
        run_logged(python("pass"), tmp_path, tmp_path / "log")


@pytest.mark.parametrize(("name", "plain"), [("plain", True), ("ein Ordner 书 + @ = (1)", False), ("a'b;$(c)", False)])
def test_a_command_for_people_is_quoted_for_the_shell(tmp_path: Path, name: str, plain: bool) -> None:
    folder = tmp_path / name
    folder.mkdir()
    line = typed([sys.executable, "-c", "import os; print(os.getcwd(), end='')", "a b"], folder)
    assert os.popen(line).read() == str(folder)
    assert shlex.split(line, comments=True)[:2] == ["cd", str(folder)]
    assert ("# newer CANN" in line) != plain


def test_a_wide_command_is_broken_between_words_and_means_the_same(tmp_path: Path) -> None:
    words = ["printf", "%s\\n", *(f"--option_{number}=a 'b' \\ {number}" for number in range(9)), "x" * 200]
    line = typed(words, tmp_path)
    assert os.popen(line).read().splitlines() == words[2:]
    *most, last = line.split("\n")
    assert last.strip() == "x" * 200  # a word is never broken
    assert all(len(one) <= PAGE_WIDTH and one.endswith(" \\") for one in most)
    assert "\n" not in typed(["true"], tmp_path)
