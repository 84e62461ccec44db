"""nbval runs notebooks in the environment in which their outputs were recorded; or reads a run that is over.

``--executed FOLDER``: cells are not run; their outputs are those of the executed notebooks below FOLDER, and nbval
compares them with the committed ones as ever, by the same tags and patterns. What a library said on stderr is no result
of a cell: it is not compared, and stands among the warnings of pytest.
"""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbval.plugin import IPyNbFile

from actionbook.notebooks import kernel_environment

os.environ.update(kernel_environment())
HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--executed", type=Path, metavar="FOLDER", help="compare these executed notebooks, run nothing")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    folder = config.getoption("--executed")
    for file in {item.parent for item in items if isinstance(item.parent, IPyNbFile)} if folder else ():
        file.setup = partial(_replay, file, folder / file.path.relative_to(HERE))


def _replay(file: IPyNbFile, executed: Path) -> None:
    file.kernel = Replay(executed)
    file.setup_sanitize_files()


class Replay:
    """What nbval asks of a kernel, answered from an executed notebook: its code cells in their order."""

    def __init__(self, executed: Path) -> None:
        if not executed.exists():
            raise FileNotFoundError(f"{executed}: this notebook has not been executed; run make notebooks")
        self.executed = executed
        cells = nbformat.read(executed, as_version=4).cells
        self._cells = iter([cell for cell in cells if cell.cell_type == "code"])
        self._messages: list[dict[str, Any]] = []

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        """Take the next cell; returns the number under which its messages come."""
        cell = next(self._cells, None)
        if cell is None or cell.source != source:
            raise ValueError("the executed notebook has other cells than the committed one; accept it or run it again")
        number = str(cell.execution_count)
        outputs = [(output.output_type, dict(output)) for output in cell.outputs if not self._said(output, number)]
        self._messages = [
            {"msg_type": kind, "content": content, "parent_header": {"msg_id": number}}
            for kind, content in [*outputs, ("status", {"execution_state": "idle"})]
        ]
        return number

    def _said(self, output: nbformat.NotebookNode, number: str) -> bool:
        """Whether `output` went to stderr, where a machine may say what another does not; it is shown in any case."""
        if output.get("name") != "stderr":
            return False
        warnings.warn(f"{self.executed}: cell {number} wrote to stderr: {output.text.strip()}", stacklevel=2)
        return True

    def await_reply(self, _number: str, timeout: float | None = None) -> None:
        """The cell has been run."""

    await_idle = await_reply

    def get_message(self, _stream: str, timeout: float | None = None) -> dict[str, Any]:
        """The next message of the cell."""
        return self._messages.pop(0)

    def is_alive(self) -> bool:
        """Always."""
        return True

    def stop(self) -> None:
        """Nothing to stop."""
