"""nbval compares notebooks that have been executed without running anything again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from actionbook.core.paths import NOTEBOOKS, ROOT

Edit = Callable[[list[NotebookNode]], object]


def stream(text: str) -> NotebookNode:
    return nbformat.v4.new_output("stream", name="stdout", text=text)


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """A folder of notebooks with one whose cells could not be run."""
    folder = tmp_path / "notebooks" / "toy"
    folder.mkdir(parents=True)
    shutil.copy(NOTEBOOKS / "conftest.py", folder.parent)
    result = nbformat.v4.new_output("execute_result", data={"text/plain": "17"}, execution_count=2)
    shown = [[stream("42 of 100 in 3.1 s\n")], [result], [stream("0.75\n")]]
    cells = [
        nbformat.v4.new_code_cell(f"import nothing_{number}", outputs=outputs, execution_count=number)
        for number, outputs in enumerate(shown, start=1)
    ]
    cells[2].metadata["tags"] = ["nbval-ignore-output"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "01_toy.ipynb")
    return folder


def compare(committed: Path, edit: Edit | None) -> subprocess.CompletedProcess[str]:
    """nbval of the committed notebook against a copy in which `edit` has changed cells; None: there is none."""
    executed = committed.parents[1] / "executed" / "toy"
    executed.mkdir(parents=True)
    if edit is not None:
        book = nbformat.read(committed / "01_toy.ipynb", as_version=4)
        edit(book.cells)
        nbformat.write(book, executed / "01_toy.ipynb")
    options = [
        "--nbval",
        "--executed",
        str(executed.parent),
        "--color",
        "no",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    options += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg"), "--rootdir", str(committed.parent)]
    command = [sys.executable, "-m", "pytest", "-q", *options, str(committed)]
    return subprocess.run(
        command, cwd=committed.parent, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=120
    )


def other_times(cells: list[NotebookNode]) -> None:
    cells[0].outputs[0].text = "42 of 100 in 7 min\n"
    cells[2].outputs = []


@pytest.mark.parametrize("edit", [lambda cells: None, other_times], ids=["equal", "other times"])
def test_what_agrees_passes(committed: Path, edit: Edit) -> None:
    run = compare(committed, edit)
    assert run.returncode == 0, run.stdout
    assert "3 passed" in run.stdout


def changed(cells: list[NotebookNode]) -> None:
    cells[0].outputs[0].text = "43 of 100 in 3.1 s\n"


def failed(cells: list[NotebookNode]) -> None:
    cells[1].outputs = [nbformat.v4.new_output("error", ename="KeyError", evalue="'x'", traceback=["KeyError: 'x'"])]


def warned(cells: list[NotebookNode]) -> None:
    cells[1].outputs.append(nbformat.v4.new_output("stream", name="stderr", text="deprecated\n"))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (changed, ["1 failed, 2 passed", "+ 42 of 100", "- 43 of 100"]),
        (failed, ["1 failed, 2 passed", "Cell execution caused an exception", "KeyError"]),
        (lambda cells: cells[1].update(source="other"), ["other cells than the committed one"]),
        (lambda cells: cells.pop(), ["1 failed, 2 passed", "other cells than the committed one"]),
        (None, ["3 errors", "this notebook has not been executed; run make notebooks"]),
    ],
    ids=["changed", "failed", "other cell", "cell fewer", "not executed"],
)
def test_what_differs_fails_with_both_sides(committed: Path, edit: Edit | None, words: list[str]) -> None:
    run = compare(committed, edit)
    assert run.returncode == 1
    for word in words:
        assert word in run.stdout


def test_words_on_stderr_are_shown_and_not_compared(committed: Path) -> None:
    run = compare(committed, warned)
    assert run.returncode == 0, run.stdout
    assert "3 passed" in run.stdout
    assert "cell 2 wrote to stderr: deprecated" in run.stdout
