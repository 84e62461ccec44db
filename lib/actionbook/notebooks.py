"""From MyST sources to executed notebooks, in one direction.

`NN_name.md` (MyST, read through jupytext) is what people edit. It is executed into ``executed`` in ``_build`` (or
ACTIONBOOK_BUILD), from where the book is rendered and where tests read its outputs. `NN_name.ipynb` beside the source
is its committed pair: an executed notebook that somebody has accepted, and what later runs are held against. Nothing
ever flows back from an `.ipynb`.

Command line: ``python -m actionbook.notebooks {execute,accept,pair,check} …`` (``--help`` says the rest).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode
from traitlets.config import Config

from actionbook.core.console import print_any_text
from actionbook.core.errors import BookError
from actionbook.core.files import require_writable, write_bytes_atomic, write_text_atomic
from actionbook.core.interrupts import program, stopped_in_one_line
from actionbook.core.paths import LIBRARY, NOTEBOOKS, ROOT, build_root, default_work_root
from actionbook.core.record import FOLDER as RECORD
from actionbook.notebook_pictures import small_png
from actionbook.notebook_rules import find_pages, unnamed_figures, wide_lines

_FORMAT = {"extension": ".md", "format_name": "myst"}
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"}
_WIDGET = "application/vnd.jupyter.widget-view+json"
_PICTURE = "image/png"


class NotebookError(BookError):
    """A notebook cannot be read, does not know a parameter, or one of its cells failed."""


def kernel_environment() -> dict[str, str]:
    """Environment in which notebooks run, the same for papermill and for nbval, so that their outputs can agree.

    The inline backend is forced because an exported ``MPLBACKEND=Agg`` loses every figure; ``GLOG_v=3`` silences
    MindSpore's warnings, which carry process numbers and times; the kernel of this environment wins over one of the
    user's that is also called ``python3``; and the library is found from the notebook's folder also when not installed.
    """
    inherited = [str(Path(part).resolve()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {
        "GLOG_v": "3",
        "TQDM_DISABLE": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(LIBRARY.parent), *inherited])),
    }


@contextmanager
def kernel_sockets() -> Iterator[Config]:
    """Configuration of a kernel that is spoken to through socket files of its own, in a folder that ends with it.

    By default a kernel gets five TCP ports that were free a moment before it binds them: of several kernels that start
    together, one dies now and then with "Address already in use" (or another program has taken the port).
    """
    with TemporaryDirectory(prefix="kernel-") as folder:  # short: the path of a socket has at most 107 bytes
        yield Config(KernelManager={"transport": "ipc", "ip": f"{folder}/socket"})


def is_source(path: Path) -> bool:
    """Whether `path` is a notebook's source: a ``.md`` file whose front matter names a kernel."""
    if path.suffix != ".md" or not path.is_file():
        return False
    text = path.read_text(encoding="utf-8")
    return text.startswith("---\n") and "\nkernelspec:" in text.split("\n---", 1)[0]


def find_sources(paths: Iterable[Path]) -> list[Path]:
    """Notebook sources among `paths` and, for folders, below them, sorted by path.

    Raises `NotebookError` for a file that is not a notebook's source, and where nothing is found.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = (p for p in sorted(path.rglob("*.md")) if not any(part.startswith(".") for part in p.parts))
            found.extend(p for p in below if is_source(p))
        elif is_source(path):
            found.append(path)
        else:
            raise NotebookError(f"{path}: expected a MyST notebook (.md with a kernelspec in its front matter)")
    if not found:
        raise NotebookError("no notebook source found: name a .md notebook, or a folder that holds some")
    return found


def read_source(path: Path) -> NotebookNode:
    """Read a MyST source as a notebook without outputs; cell ids depend on the cells' content alone.

    An id is made from the cell's type and text and, for equal cells, their count, so that writing the pair again
    changes nothing.
    """
    try:
        notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt=_FORMAT)
    except Exception as error:  # jupytext and its parsers raise many types
        raise NotebookError(f"{path}: not readable as a MyST notebook: {error}") from error
    return _with_ids(notebook)


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of `notebook` without what changes from run to run or from tool to tool.

    Dropped: papermill's and the front end's metadata, widget states and views, empty ``tags``, versions of Python and
    jupytext. Neighbouring pieces of one stream are joined, as the kernel cuts them at random, and pictures take fewer
    bytes. Outputs stay otherwise.
    """
    clean = nbformat.from_dict(
        {
            "cells": [],
            "metadata": {"kernelspec": _KERNEL, "language_info": _LANGUAGE},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in ("mystnb", "tags") if cell.metadata.get(key)}
        fields = {"cell_type": cell.cell_type, "metadata": kept, "source": cell.source}
        if cell.cell_type == "code":
            fields |= {"execution_count": cell.execution_count, "outputs": _normal_outputs(cell.outputs)}
        clean.cells.append(nbformat.from_dict(fields))
    return _with_ids(clean)


def pair(source: Path) -> Path:
    """Write the `.ipynb` beside `source` without running it; outputs of unchanged cells are kept. Returns its path."""
    target = source.with_suffix(".ipynb")
    notebook = read_source(source)
    # Equal ids mean equal text; jupytext's own merge would also hand old outputs to a cell whose code has changed.
    known = {cell.id: cell for cell in normalise(_read_notebook(target)).cells} if target.exists() else {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.id in known:
            cell.execution_count, cell.outputs = known[cell.id].execution_count, known[cell.id].outputs
    _write(notebook, target)
    return target


def executed_path(source: Path) -> Path:
    """Where `source` is executed to: below ``_build/executed`` as it lies below the folder of notebooks."""
    below = source.resolve()
    folder = below.relative_to(NOTEBOOKS).parent if below.is_relative_to(NOTEBOOKS) else Path(below.parent.name)
    return build_root() / "executed" / folder / f"{source.stem}.ipynb"


def execute(
    source: Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    output: Path | None = None,
    failed: Path | None = None,
) -> Path:
    """Run the notebook `source` in its own folder and write the executed, normalised `.ipynb` in one step.

    The default for `output` is `executed_path`, and with `parameters` ``runs/<folder>/<name>.ipynb``: the committed
    pair is never written here, see `accept`. Returns the path written.

    Raises `NotebookError` for a parameter that the notebook's `parameters` cell does not define, and for a failing
    cell: the error then holds the cell's traceback, the unfinished notebook lies under `failed` (default: ``failed`` in
    the folder of what is built), and the target is left as it was. BookError where a folder cannot be written.
    """
    import papermill  # noqa: PLC0415  (a second of imports that pairing and checking do not need)

    parameters = dict(parameters or {})
    notebook = read_source(source)
    known = sorted(papermill.inspect_notebook(notebook)) if parameters else []
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise NotebookError(f"{source}: unknown parameter {', '.join(unknown)}; it knows {', '.join(known)}")
    if output is None:
        output = ROOT / "runs" / source.parent.name / f"{source.stem}.ipynb" if parameters else executed_path(source)
    failed = failed or build_root() / "failed"
    require_writable(failed, "set the variable ACTIONBOOK_BUILD to a folder that you may write")
    require_writable(output.parent, "name another file with --output")
    scratch = failed.resolve() / source.resolve().parent.name / f"{source.stem}.ipynb"
    scratch.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _environment(kernel_environment()), kernel_sockets() as config:
            done = papermill.execute_notebook(
                notebook,
                scratch,
                parameters=parameters,
                kernel_name="python3",
                progress_bar=False,
                start_timeout=300,
                cwd=source.resolve().parent,
                config=config,
            )
    except Exception as error:  # a failing cell, a dead kernel, a kernel that does not start: all end the same way
        raise NotebookError(f"{source} failed; as far as it came: {scratch}\n{str(error).strip()}") from error
    _write(done, output)
    scratch.unlink(missing_ok=True)
    return output


def accept(source: Path) -> Path:
    """Make what `source` was executed to its committed pair; returns the pair's path.

    What the stage of a chapter left in the record of the default workspace is put beside it, into ``record/``: the
    pages on status and scores can then be made without running anything. Raises `NotebookError`, and changes nothing,
    where the notebook has not been executed as it stands now.
    """
    executed = executed_path(source)
    if faults := check(source, executed):
        raise NotebookError("\n".join(faults))
    entry = default_work_root() / source.resolve().parent.name / "mini" / RECORD / f"{source.stem}.json"
    if entry.exists():
        write_bytes_atomic(source.parent / RECORD / entry.name, entry.read_bytes())
    write_bytes_atomic(target := source.with_suffix(".ipynb"), executed.read_bytes())
    return target


def check(source: Path, target: Path | None = None) -> list[str]:
    """Compare a source with an executed notebook, its committed pair where none is named; returns one line per fault.

    The notebook must have the source's cells (type, text, tags, what is said of figures), one cell tagged
    ``parameters``, code cells run once from top to bottom, no error among the outputs, and a caption, a name and a text
    for every picture. A notebook that was not run would pass nbval unnoticed.
    """
    target = target or source.with_suffix(".ipynb")
    remedy = f"run: python -m actionbook.notebooks execute {source}, and accept it"
    if not target.exists():
        return [f"{target}: missing; {remedy}"]
    wanted, found = read_source(source).cells, _read_notebook(target).cells
    faults = []
    if len(wanted) != len(found):
        faults.append(f"{target}: {len(found)} cells, the source has {len(wanted)}; {remedy}")
    for number, (ours, theirs) in enumerate(zip(wanted, found, strict=False), start=1):
        for name, mine, other in (
            ("type", ours.cell_type, theirs.cell_type),
            ("text", ours.source, theirs.source),
            ("tags", sorted(ours.metadata.get("tags", [])), sorted(theirs.metadata.get("tags", []))),
            ("mystnb", dict(ours.metadata.get("mystnb", {})), dict(theirs.metadata.get("mystnb", {}))),
        ):
            if mine != other:
                difference = f"{name} differs from the source ({mine!r} != {other!r})"
                faults.append(f"{target}: cell {number}: {difference}; {remedy}")
    code = [cell for cell in found if cell.cell_type == "code" and cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        faults.append(f"{target}: not run once from top to bottom (execution counts {counts}); {remedy}")
    if any(out.output_type == "error" for cell in code for out in cell.outputs):
        faults.append(f"{target}: holds the output of a failed cell; {remedy}")
    if any(out.get("name") == "stderr" for cell in code for out in cell.outputs):
        faults.append(f"{target}: holds words of stderr, which no other machine may say; {remedy}")
    faults += unnamed_figures(target, found)
    tagged = sum("parameters" in cell.metadata.get("tags", []) for cell in wanted)
    if tagged != 1:
        faults.append(f"{source}: {tagged} cells are tagged `parameters`; tag exactly one")
    return faults


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _with_ids(notebook: NotebookNode) -> NotebookNode:
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        key = f"{cell.cell_type}\0{cell.source}"
        seen[key] += 1
        cell["id"] = hashlib.sha256(f"{key}\0{seen[key]}".encode()).hexdigest()[:12]
    return notebook


def _normal_outputs(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    joined: list[NotebookNode] = []
    for out in outputs:
        if _WIDGET in out.get("data", {}):
            continue
        last = joined[-1] if joined else None
        if last is not None and out.output_type == last.output_type == "stream" and out.name == last.name:
            last.text += out.text
        else:
            joined.append(nbformat.from_dict(dict(out)))
            if _PICTURE in out.get("data", {}):
                joined[-1].data[_PICTURE] = small_png(out.data[_PICTURE])
    return joined


def _read_notebook(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # broken JSON, a conflict marker, a file of another kind
        raise NotebookError(f"{path}: not a notebook ({error}); delete it and execute its source again") from error


def _write(notebook: NotebookNode, path: Path) -> None:
    text = nbformat.writes(normalise(notebook))
    write_text_atomic(path, text if text.endswith("\n") else text + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m actionbook.notebooks", description="Run, pair and check notebooks."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("execute", help="run notebooks and write them with their outputs")
    run.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter; the value is read as YAML (may be given several times)",
    )
    run.add_argument("-o", "--output", type=Path, help="where to write (one notebook only)")
    commands.add_parser("accept", help="make the executed notebooks, and their records, the committed ones")
    commands.add_parser("pair", help="bring the .ipynb up to date with its source, without running it")
    commands.add_parser("check", help="fail where an .ipynb is stale, was not run or holds an error, or code is wide")
    for command in commands.choices.values():
        command.add_argument("paths", type=Path, nargs="+", help="MyST notebooks, or folders of them")
    return parser


def _processor_seconds() -> float:
    """Of all cores, used by processes that this one has started and that have ended, with those that they started."""
    times = os.times()
    return times.children_user + times.children_system


def _execute_all(sources: Sequence[Path], options: argparse.Namespace) -> None:
    if options.output and len(sources) > 1:
        raise NotebookError(f"--output names one file, but there are {len(sources)} notebooks: run them one by one")
    parameters = {name: yaml.safe_load(value) for name, value in options.parameter}
    for source in sources:
        start, before = time.perf_counter(), _processor_seconds()
        target = execute(source, parameters=parameters, output=options.output)
        passed, used = time.perf_counter() - start, _processor_seconds() - before
        sys.stdout.write(f"{target}  {passed:.1f} s, {used:.1f} s of processor time\n")
        sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status: 0 when all went well, 1 with the reason on standard error."""
    print_any_text()
    options = _parser().parse_args(arguments)
    try:
        sources = find_sources(options.paths)
        if options.command == "execute":
            with program(), stopped_in_one_line("stopped; what the notebook had done is kept, run it again to go on"):
                _execute_all(sources, options)
        elif options.command in ("accept", "pair"):
            work = accept if options.command == "accept" else pair
            for source in sources:
                sys.stdout.write(f"{work(source)}\n")
        else:
            pages = find_pages(options.paths)
            faults = [fault for page in pages for fault in wide_lines(page)]
            faults += [fault for source in sources for fault in check(source)]
            if faults:
                raise NotebookError("\n".join(faults))
            sys.stdout.write(f"{len(sources)} notebooks agree with their sources; {len(pages)} pages fit\n")
    except BookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
