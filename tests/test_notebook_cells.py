"""A notebook in a real kernel: any cell may be run again, alone or all of them, and a misspelt parameter is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from actionbook.core.paths import NOTEBOOKS
from actionbook.notebooks import kernel_environment, kernel_sockets

SOURCE = NOTEBOOKS / "efficient3d" / "01_data.md"


@pytest.fixture
def client(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotebookClient]:
    """The first chapter's first notebook, on the tiny data set, in a kernel that has started."""
    manifest = tmp_path / "tiny.yaml"
    manifest.write_text(json.dumps(tiny.manifest.model_dump(mode="json")), encoding="utf-8")
    recipe = yaml.safe_load((SOURCE.parent / "recipes" / "mini.yaml").read_text(encoding="utf-8"))
    recipe["data"] = {"manifest": str(manifest), "frames": {"height": 48}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    for name, value in kernel_environment().items():
        monkeypatch.setenv(name, value)
    notebook = jupytext.reads(SOURCE.read_text(encoding="utf-8"), fmt="md:myst")
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    values = {
        "recipe": str(tmp_path / "recipe.yaml"),
        "data_root": str(tiny.root),
        "work_root": str(tmp_path / "work"),
        "workers": 1,
    }
    injected = "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in values.items())
    notebook.cells.insert(1, nbformat.v4.new_code_cell(injected))
    with kernel_sockets() as config:
        resources = {"metadata": {"path": SOURCE.parent}}
        client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources, config=config)
        with client.setup_kernel():
            yield client


def run(client: NotebookClient, *numbers: int) -> None:
    for number in numbers:
        client.execute_cell(client.nb.cells[number], number)


def test_cells_run_again_alone_and_all_of_them(client: NotebookClient) -> None:
    every = range(len(client.nb.cells))
    run(client, *every)
    run(client, 2)  # the setup cell, among all that the others have set
    for number in every:
        run(client, number, number)
    texts = [cell.source for cell in client.nb.cells]
    assert any("Stage.open" in text for text in texts[2:3])


def test_a_kernel_that_starts_again_goes_on_from_the_middle(client: NotebookClient) -> None:
    every = list(range(len(client.nb.cells)))
    run(client, *every[: len(every) // 2])
    run(client, every[0], every[1], every[2])
    run(client, *every[3:])


def test_a_misspelt_parameter_is_refused_until_it_is_mended(client: NotebookClient) -> None:
    run(client, 0)
    right = client.nb.cells[1].source
    client.nb.cells[1].source = right + "worker = 2\n"
    run(client, 1)
    with pytest.raises(CellExecutionError, match=r"(?s)unknown parameter 'worker'.*Did you mean 'workers'"):
        run(client, 2)
    client.nb.cells[1].source = right
    run(client, 1, 2)
