"""Parameters of a notebook: a misspelt name is refused, and no cell is in the way of another that is run again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from actionbook.core.errors import BookError
from actionbook.core.manifest import load_dataset
from actionbook.core.parameters import address, choice, folder, refuse_unknown, whole_number
from actionbook.core.workspace import PARAMETERS, Stage
from actionbook.notebooks import kernel_environment, kernel_sockets

OWN = (
    "recipe = 'mini'   # a name\ndata_root = None\nwork_root = None\ndevice = 'CPU'\nworkers = None\noverrides = None\n"
)
INJECTED = "# Parameters\nrecipe = 'ucf101'\noverrides = {'training': {'epochs': 2}}\n"
SETUP = "from actionbook.core.workspace import Stage\nstage = Stage.open('efficient3d', '03_training', recipe=recipe)\n"
OTHERS = [
    "epochs = 5",
    "name, value = 'x', 3",
    "for number in range(3):\n    pass",
    "import numpy as np\nfound = {name: np.mean([1, 2]) for name in 'ab'}",
    "recipe2 = 'a'; stage2 = None; widht = 3; recipes = ['mini']",
    "%matplotlib inline",
    "not python at all",
    "recipe = stage.recipe\nworkers = stage.workers\ndevice = stage.device\nspec = recipe.spec(5)",
    "",
]


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that a made-up kernel has run, to be filled by the test."""
    history: list[str] = [""]
    shell = SimpleNamespace(user_ns={"In": history})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return history


@pytest.mark.parametrize("history", [[OWN], [OWN, INJECTED], [INJECTED], [SETUP], [OWN, SETUP], []])
def test_known_names_pass(cells: list[str], history: list[str]) -> None:
    cells += history
    refuse_unknown(PARAMETERS)


def test_a_misspelt_name_that_papermill_has_set_is_refused(cells: list[str]) -> None:
    cells += [OWN, "# Parameters\nrecpie = 'ucf101'\n", SETUP]
    with pytest.raises(BookError, match=r"unknown parameter 'recpie'.*are: recipe, .*Did you mean 'recipe'\?"):
        refuse_unknown(PARAMETERS)


def test_it_is_refused_where_a_stage_is_opened(cells: list[str], tmp_path: Path) -> None:
    cells += [OWN, "# Parameters\nworker = 2\n", SETUP]
    with pytest.raises(BookError, match="unknown parameter 'worker'"):
        Stage.open("efficient3d", "03_training", work_root=tmp_path)


@pytest.mark.parametrize("name", ["widht", "x"])
def test_all_unknown_names_are_listed(cells: list[str], name: str) -> None:
    cells.append(f"# Parameters\n{name} = 1\nzzz = [2, {{'a': -1.5}}]\nzzz = None\n")
    with pytest.raises(BookError, match=rf"unknown parameter '{name}', 'zzz'\. "):
        refuse_unknown(PARAMETERS)


def test_what_other_cells_have_set_is_no_concern(cells: list[str]) -> None:
    cells += [OWN, SETUP, *OTHERS, SETUP]
    refuse_unknown(PARAMETERS)
    cells += [INJECTED, *OTHERS, OWN, SETUP]
    refuse_unknown(PARAMETERS)


def test_a_parameter_cell_that_is_edited_by_hand(cells: list[str]) -> None:
    cells += [OWN, SETUP, *OTHERS, OWN.replace("workers", "worker"), SETUP]
    with pytest.raises(BookError, match=r"unknown parameter 'worker'.*Did you mean 'workers'\?"):
        refuse_unknown(PARAMETERS)
    cells += [OWN, SETUP]  # mended
    refuse_unknown(PARAMETERS)


def test_an_injected_cell_that_is_mended(cells: list[str]) -> None:
    cells += [OWN, "# Parameters\nrecpie = 'ucf101'\n", SETUP, INJECTED, SETUP]
    refuse_unknown(PARAMETERS)


def test_without_a_kernel_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    refuse_unknown(PARAMETERS)
    monkeypatch.delitem(sys.modules, "IPython")
    refuse_unknown(PARAMETERS)
    assert "IPython" not in sys.modules  # which takes half a second


@pytest.mark.parametrize("value", [0, -3, True, False, 2.0, 0.5, "2", "", [1]])
def test_whole_numbers(value: Any) -> None:
    assert (whole_number("n", None, 7), whole_number("n", 3, 7)) == (7, 3)
    with pytest.raises(BookError, match=r"^n: expected a whole number of at least 1, or None, found "):
        whole_number("n", value, 7)


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = [folder("f", value, Path("default")) for value in (None, "a b", Path("a b"), "~/x", "/y/../z")]
    root = tmp_path.resolve()
    assert found == [root / "default", root / "a b", root / "a b", root / "home" / "x", Path("/z")]
    for value in ("", "  ", 3, False, ["a"]):
        with pytest.raises(BookError, match=r"^f: expected the path of a folder, or None, found "):
            folder("f", value, Path("default"))


@pytest.mark.parametrize(
    "read",
    [
        lambda path: folder("work_root", path, Path("default")),
        lambda path: load_dataset(f"{path}/own.yaml"),
        lambda path: Stage.open("efficient3d", "01_data", recipe=f"{path}/own.yaml"),
    ],
)
def test_a_home_that_nobody_has_is_refused(read: Callable[[str], object]) -> None:
    with pytest.raises(BookError, match=r"^~no-such-user/x.*: the home that it begins with is not known"):
        read("~no-such-user/x")


def test_addresses() -> None:
    assert [address("a", value) for value in (None, "tcp://one:8786")] == [None, "tcp://one:8786"]
    for value in ("", " ", 8786, False):
        with pytest.raises(BookError, match=r"^a: expected an address such as .*found "):
            address("a", value)


def test_choices() -> None:
    assert choice("c", "a", iter(["a", "b"])) == "a"
    for value in ("", "A", None, ["a"], 1):
        with pytest.raises(BookError, match=r"^c .*: expected one of a, b$"):
            choice("c", value, iter(["a", "b"]))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotebookClient]:
    """A real kernel with the environment of the book's notebooks."""
    work = tmp_path_factory.mktemp("work")
    with kernel_sockets() as config:
        client = NotebookClient(nbformat.v4.new_notebook(), kernel_name="python3", allow_errors=True, config=config)
        with client.setup_kernel(env={**os.environ, **kernel_environment(), "ACTIONBOOK_WORK": str(work)}):
            yield client


def test_in_a_real_kernel(kernel: NotebookClient) -> None:
    """All, the setup cell again, every cell twice, from the middle; misspelt by papermill and by hand, and mended."""

    def run(*cells: str) -> list[str]:
        """The errors of cells, "" for those without one."""
        errors = []
        for code in cells:
            kernel.nb.cells.append(nbformat.v4.new_code_cell(code))
            done = kernel.execute_cell(kernel.nb.cells[-1], len(kernel.nb.cells) - 1)
            errors += [next((f"{o.ename}: {o.evalue}" for o in done.outputs if o.output_type == "error"), "")]
        return errors

    injected = "# Parameters\nworkers = 1\n"
    rest = ["import pandas as pd\nsettings, widht = stage.recipe.training, 3", "epochs = 5; table = pd.DataFrame()"]
    assert run(OWN, injected, SETUP, *rest) == [""] * 5  # all
    assert run(SETUP) == [""]  # again
    assert run(*(cell for cell in (OWN, injected, SETUP, *rest) for _ in range(2))) == [""] * 10
    assert run(rest[1], SETUP, rest[0]) == [""] * 3
    wrong = run("# Parameters\nrecpie = 'ucf101'\n", SETUP)[1]
    assert wrong.startswith("BookError: unknown parameter 'recpie'")
    assert "'recipe'?" in wrong
    assert run(injected, SETUP) == ["", ""]
    assert "Did you mean 'workers'?" in run(OWN.replace("workers", "worker"), SETUP)[1]
    assert run(OWN, SETUP, *rest, SETUP) == [""] * 5
