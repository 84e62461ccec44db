"""actionbook.notebooks: pairing, running, normalising and checking."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import nbformat
import pytest
from jupyter_client.provisioning.local_provisioner import LocalPortCache

from actionbook import notebooks
from actionbook.notebooks import NotebookError, check, execute, find_sources, kernel_environment, main, pair

FRONT = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n"
PARAMETERS = "```{code-cell} ipython3\n:tags: [parameters]\n\nsize = 2\n```\n\n"


def cell(code: str, tags: str = "") -> str:
    return f"```{{code-cell}} ipython3\n{f':tags: [{tags}]' if tags else ''}\n\n{code}\n```\n\n"


def write(folder: Path, body: str, name: str = "01_toy.md") -> Path:
    path = folder / name
    path.write_text(FRONT + "# A toy\n\n" + body, encoding="utf-8")
    return path


def mark_as_run(path: Path, text: str = "shown\n") -> None:
    """Give a paired notebook counts and an output, as if it had been run, without the seconds of a kernel."""
    book = nbformat.read(path, as_version=4)
    code = [c for c in book.cells if c.cell_type == "code"]
    for count, each in enumerate(code, start=1):
        each.execution_count = count
        each.outputs = [nbformat.v4.new_output("stream", text=text)]
    nbformat.write(book, path)


def test_plain_pages_are_no_notebooks(tmp_path: Path) -> None:
    source = write(tmp_path, PARAMETERS)
    (tmp_path / "index.md").write_text("# Chapter\n\nAbout `kernelspec:` in prose.\n\n---\n\nkernelspec: no\n")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    write(tmp_path / ".ipynb_checkpoints", PARAMETERS)
    assert find_sources([tmp_path]) == [source]
    with pytest.raises(NotebookError, match=r"index\.md: expected a MyST notebook"):
        find_sources([tmp_path / "index.md"])


def test_pairing_again_changes_no_byte_and_equal_cells_get_their_own_ids(tmp_path: Path) -> None:
    source = write(tmp_path, PARAMETERS + cell("x = 1") + cell("x = 1"))
    target = pair(source)
    first = target.read_bytes()
    assert pair(source).read_bytes() == first
    ids = [c.id for c in nbformat.read(target, as_version=4).cells]
    assert len(set(ids)) == len(ids) == 4


def test_pairing_keeps_outputs_of_unchanged_cells_only(tmp_path: Path) -> None:
    source = write(tmp_path, PARAMETERS + cell("print('old')") + cell("print('same')"))
    mark_as_run(pair(source))
    write(tmp_path, PARAMETERS + cell("print('new')", "hide-input") + cell("print('same')"))
    cells = nbformat.read(pair(source), as_version=4).cells
    assert [len(c.outputs) for c in cells if c.cell_type == "code"] == [1, 0, 1]
    assert cells[2].metadata.tags == ["hide-input"]


def test_normalising_drops_what_changes_from_run_to_run() -> None:
    book = nbformat.v4.new_notebook(
        metadata={"papermill": {"duration": 3}, "widgets": {}, "language_info": {"name": "python", "version": "3"}}
    )
    code = nbformat.v4.new_code_cell("a", execution_count=1, metadata={"tags": [], "papermill": {}, "execution": {}})
    code.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="on"),
        nbformat.v4.new_output("stream", name="stdout", text="e\n"),
        nbformat.v4.new_output("stream", name="stderr", text="two\n"),
        nbformat.v4.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {"model_id": "f00"}}),
    ]
    book.cells = [code]
    clean = notebooks.normalise(book)
    assert set(clean.metadata) == {"kernelspec", "language_info"}
    assert "version" not in clean.metadata.language_info
    assert clean.cells[0].metadata == {}
    assert [out.text for out in clean.cells[0].outputs] == ["one\n", "two\n"]
    assert code.outputs[0].text == "on"  # the argument is left as it was
    nbformat.validate(clean)


def test_an_executed_pair_in_step_has_no_fault(tmp_path: Path) -> None:
    source = write(tmp_path, PARAMETERS + cell("print(size)"))
    mark_as_run(pair(source))
    assert check(source) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (PARAMETERS + cell("print(size + 1)"), "cell 3: text differs"),
        (PARAMETERS + cell("print(size)", "hide-input"), "cell 3: tags differs"),
        (PARAMETERS + cell("print(size)") + "More.\n", "3 cells, the source has 4"),
        (PARAMETERS + "print(size)\n", "cell 3: type differs"),
    ],
)
def test_a_source_changed_after_the_run_is_found(tmp_path: Path, body: str, fault: str) -> None:
    mark_as_run(pair(write(tmp_path, PARAMETERS + cell("print(size)"))))
    faults = check(write(tmp_path, body))
    assert any(fault in line for line in faults), faults


def test_a_pair_that_was_not_run_is_found(tmp_path: Path) -> None:
    source = write(tmp_path, PARAMETERS)
    assert "missing" in check(source)[0]
    pair(source)
    assert "not run once from top to bottom (execution counts [None])" in check(source)[0]


def test_an_error_among_the_outputs_is_found(tmp_path: Path) -> None:
    source = write(tmp_path, PARAMETERS)
    target = pair(source)
    mark_as_run(target)
    book = nbformat.read(target, as_version=4)
    book.cells[1].outputs = [nbformat.v4.new_output("error", ename="E", evalue="v", traceback=[])]
    nbformat.write(book, target)
    assert "output of a failed cell" in check(source)[0]


@pytest.mark.parametrize(("body", "count"), [(cell("x = 1"), 0), (PARAMETERS * 2, 2)])
def test_exactly_one_cell_holds_the_parameters(tmp_path: Path, body: str, count: int) -> None:
    source = write(tmp_path, body)
    mark_as_run(pair(source))
    assert check(source) == [f"{source}: {count} cells are tagged `parameters`; tag exactly one"]


def test_a_broken_pair_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    source = write(tmp_path, PARAMETERS)
    source.with_suffix(".ipynb").write_text("<<<<<<< HEAD")
    with pytest.raises(NotebookError, match="delete it and execute its source again"):
        check(source)


def test_execution_in_the_notebooks_folder_with_the_books_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    look = "import os, actionbook\nprint(os.getcwd(), os.environ['MPLBACKEND'], os.environ['GLOG_v'])"
    source = write(tmp_path, PARAMETERS + cell(look))
    target = execute(source, output=source.with_suffix(".ipynb"), failed=tmp_path / "failed")
    book = nbformat.read(target, as_version=4)
    assert book.cells[2].outputs[0].text == f"{tmp_path} module://matplotlib_inline.backend_inline 3\n"
    assert check(source) == []
    assert os.environ["MPLBACKEND"] == "Agg"
    assert not list((tmp_path / "failed").rglob("*.ipynb"))


def test_a_kernel_needs_no_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that start together are given each other's ports, and one of them dies."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(LocalPortCache, "find_available_port", lambda *_: taken.getsockname()[1])
        source = write(tmp_path, PARAMETERS + cell("print(size + 1)"))
        done = nbformat.read(execute(source, output=tmp_path / "done.ipynb", failed=tmp_path / "failed"), as_version=4)
    assert done.cells[-1].outputs[0].text == "3\n"


def test_a_failing_cell_leaves_the_pair_and_shows_its_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, PARAMETERS + cell("1 / (size - 2)") + cell("print('never')"))
    mark_as_run(pair(source))
    before = source.with_suffix(".ipynb").read_bytes()
    with pytest.raises(NotebookError, match="ZeroDivisionError"):
        execute(source, failed=tmp_path / "failed")
    assert source.with_suffix(".ipynb").read_bytes() == before
    left = nbformat.read(tmp_path / "failed" / tmp_path.name / "01_toy.ipynb", as_version=4)
    assert any(out.output_type == "error" for c in left.cells for out in c.get("outputs", []))

    assert main(["execute", str(source), "-p", "size", "3", "-o", str(tmp_path / "out.ipynb")]) == 0
    assert "out.ipynb" in capsys.readouterr().out
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert "injected-parameters" in out.cells[2].metadata.tags
    assert out.cells[3].outputs[0].data["text/plain"] == "1.0"
    assert source.with_suffix(".ipynb").read_bytes() == before


def test_only_what_was_executed_as_it_stands_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chapter, entry = tmp_path / "toy", tmp_path / "work" / "toy" / "mini" / "record" / "01_toy.json"
    chapter.mkdir()
    entry.parent.mkdir(parents=True)
    entry.write_text("{}")
    monkeypatch.setenv("ACTIONBOOK_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("ACTIONBOOK_BUILD", str(tmp_path / "_build"))
    source = write(chapter, PARAMETERS + cell("print(size)"))
    assert main(["accept", str(source)]) == 1
    assert "missing; run: python -m actionbook.notebooks execute" in capsys.readouterr().err

    mark_as_run(pair(source))
    executed = notebooks.executed_path(source)
    assert executed == tmp_path / "_build" / "executed" / "toy" / "01_toy.ipynb"
    executed.parent.mkdir(parents=True)
    source.with_suffix(".ipynb").rename(executed)
    assert main(["accept", str(source)]) == 0
    assert source.with_suffix(".ipynb").read_bytes() == executed.read_bytes()
    assert (chapter / "record" / "01_toy.json").read_text() == "{}"

    before = source.with_suffix(".ipynb").read_bytes()
    write(chapter, PARAMETERS + cell("print(size + 1)"))
    assert main(["accept", str(source)]) == 1
    assert "cell 3: text differs" in capsys.readouterr().err
    assert source.with_suffix(".ipynb").read_bytes() == before


def test_the_committed_notebook_is_never_executed_into() -> None:
    source = notebooks.NOTEBOOKS / "efficient3d" / "01_data.md"
    assert notebooks.executed_path(source) == notebooks.ROOT / "_build" / "executed" / "efficient3d" / "01_data.ipynb"


def test_folders_that_cannot_be_written_are_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, file = write(tmp_path, PARAMETERS), tmp_path / "file"
    file.touch()
    assert main(["execute", str(source), "-o", str(file / "out.ipynb")]) == 1
    assert f"{file} cannot be written (Not a directory): name another file with --output" in capsys.readouterr().err
    monkeypatch.setenv("ACTIONBOOK_BUILD", str(file))
    assert main(["execute", str(source)]) == 1
    assert (
        f"{file}/failed cannot be written (Not a directory): set the variable ACTIONBOOK_B" in capsys.readouterr().err
    )


def test_unknown_parameters_are_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path, PARAMETERS)
    assert main(["execute", str(source), "-p", "sise", "3"]) == 1
    assert "unknown parameter sise; it knows size" in capsys.readouterr().err
    assert not source.with_suffix(".ipynb").exists()


def test_processor_time_is_that_of_the_notebook_and_what_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {busy!r}], check=True)"
    source = write(tmp_path, PARAMETERS + cell(busy) + cell(child))
    assert main(["execute", str(source)]) == 0
    found = re.search(r"01_toy\.ipynb  ([\d.]+) s, ([\d.]+) s of processor time\n", capsys.readouterr().out)
    assert found is not None
    assert float(found[2]) > 1.0


def test_check_command_reports_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("01_a.md", "02_b.md"):
        write(tmp_path, PARAMETERS, name)
    assert main(["check", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "01_a.ipynb: missing" in err
    assert "02_b.ipynb: missing" in err
    assert main(["check", str(tmp_path / "none.md")]) == 1
    assert "none.md: expected a MyST notebook" in capsys.readouterr().err


def test_relative_library_paths_survive_the_change_of_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"lib{os.pathsep}")
    parts = kernel_environment()["PYTHONPATH"].split(os.pathsep)
    assert all(Path(part).is_absolute() for part in parts)
    assert (Path(parts[0]) / "actionbook" / "notebooks.py").is_file()
