"""Folders that Ascend's converters can work in, whatever the folders of the model and its result are called.

ATC refuses most signs in a path (E10001), and its newer releases look at the whole of it with links resolved, not at
what they were given (`CheckInputPathValid` in CANN's graph engine). So relative names alone do not help where a folder
above has a space in its name: the tool then works elsewhere, on a copy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import read_model
from actionbook.core.files import temporary_prefix
from actionbook.core.paths import is_plain, shown


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[tuple[Path, Path]]:
    """A folder to work in, and one inside `parent`, from which a result can be renamed into place in one step.

    They are the same where the path of `parent` is plain (`is_plain`), or the system's folder of temporary files is no
    better. Raises ConversionError where nothing can be written into `parent`.
    """
    with contextlib.ExitStack() as stack:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            beside = stack.enter_context(_folder(parent))
        except OSError as error:
            raise ConversionError(f"{shown(parent)}: no file can be written there ({error.strerror})") from error
        elsewhere = Path(tempfile.gettempdir()).resolve()
        if is_plain(parent.resolve()) or not is_plain(elsewhere):
            yield beside, beside
        else:
            yield stack.enter_context(_folder(elsewhere)), beside


@contextlib.contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=temporary_prefix(), dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name)


def name_from(folder: Path, path: Path, stem: str) -> str:
    """How a tool that runs in `folder` is to call a file: by its relative path, where all of that is plain.

    Else the file is brought into `folder`, as a link or a copy named `stem` with its suffix, and with it the files in
    which an ONNX model keeps its weights. What is no file (a folder for the tool's own cache) stays where it is.
    """
    place = path.parent.resolve() / path.name  # a link keeps its name: it may lead to a file without suffix
    if is_plain(place.resolve()) or not place.is_file():
        return os.path.relpath(place, folder.resolve())
    name = f"{stem}{path.suffix}"
    _bring(place, folder / name)
    for location in _weights(place):
        _bring(place.parent / location, folder / location)
    return name


def _bring(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source.resolve())  # not a symbolic link, which would be followed
    except OSError:
        shutil.copyfile(source, target)


def _weights(path: Path) -> list[str]:
    """The files beside an ONNX model, by their paths from its folder, that hold its weights."""
    if path.suffix.lower() != ".onnx":
        return []
    try:
        tensors = read_model(path, weights=False).graph.initializer
    except ConversionError:  # the tool itself will refuse it, in its own words
        return []
    found = {ExternalDataInfo(tensor).location for tensor in tensors if uses_external_data(tensor)}
    inside = (name for name in found if not Path(name).is_absolute() and ".." not in Path(name).parts)
    return sorted(name for name in inside if (path.parent / name).is_file())
