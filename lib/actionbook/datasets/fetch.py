"""Downloads that are verified before they get their name, and unpacked into the layout of their data set.

Command line: ``python -m actionbook.datasets.fetch NAME`` (``--help`` says the rest).
"""

from __future__ import annotations

import argparse
import logging
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from actionbook.core import parameters
from actionbook.core.console import print_any_text
from actionbook.core.errors import BookError
from actionbook.core.files import require_writable
from actionbook.core.manifest import DatasetManifest, WeightsManifest, load_manifest
from actionbook.core.paths import default_data_root, shown
from actionbook.core.sources import NotTheFile, Source, first_seen, verify
from actionbook.datasets.archives import is_archive, rar_programs
from actionbook.datasets.lists import check_class_folders
from actionbook.datasets.transfer import Transfer
from actionbook.datasets.unpack import is_unpacked, sole_user, unpack

logger = logging.getLogger(__name__)

PAUSES = (2.0, 8.0, 30.0)
"""Seconds before an attempt is repeated; they begin anew whenever an attempt got further than any before."""
ARCHIVES = "archives"
"""Folder below a data set's root where archives lie."""

Manifest = DatasetManifest | WeightsManifest


def fetch(source: Source, folder: Path, *, pauses: Sequence[float] = PAUSES) -> Path:
    """Download a file into `folder`, verify it (`core.sources.verify`) and return its path.

    What has come lies in ``<name>.part``; after a break, also one of this program, the transfer goes on from there if
    the server can do that and the file has not changed. A file that is there and right is not fetched again.
    Raises BookError naming address, file and remedy: no address is known, the server cannot be reached or refuses,
    there is no room, or what came is not the published file, which is then deleted.
    """
    path = folder / source.name
    if path.exists():
        try:
            verify(path, source)
        except NotTheFile as error:
            raise BookError(f"{error}. Move or delete it, then fetch it again") from error
        return path
    if source.url is None:
        raise BookError(f"{shown(path)}: is missing, and no address of it is known. {source.note}".strip())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with sole_user(path.parent):
            _transfer(Transfer(source, path), pauses)
    except OSError as error:
        raise BookError(f"{shown(path)}: cannot be written ({error}); mend that and start again") from error
    return path


def _transfer(transfer: Transfer, pauses: Sequence[float]) -> None:
    """Fetch, verify, and give the file its name; where the beginning may be of another file, once more from nothing."""
    for attempts_left in (1, 0):
        transfer.run(pauses)
        try:
            verify(transfer.part, transfer.source, transfer.path)
        except NotTheFile as error:
            transfer.drop()
            if not (transfer.resumed and attempts_left):
                raise BookError(
                    f"{transfer.source.url}: what came from there is not the published file and was deleted. {error}. "
                    f"Try again later, or get the file another way and put it at {shown(transfer.path)}"
                ) from error
        else:
            transfer.finish()
            return


def fetch_all(
    manifest: Manifest,
    root: Path,
    *,
    only: Sequence[str] = (),
    keep_archives: bool = False,
    pauses: Sequence[float] = PAUSES,
) -> Iterator[str]:
    """Fetch the files of a manifest, or those named in `only`, and unpack a data set's archives below `root`.

    Yields a sentence about each. Of sources with the same contents one is fetched: that which is there already, else
    the first that can be unpacked on this machine. An archive is deleted when all of it is unpacked, unless
    `keep_archives` is set or it was there before. Whatever is done already is left alone.
    Raises BookError, after all has been tried, with what went wrong and what is missing.
    """
    wrong = []
    for source in _chosen(manifest, root, only):
        try:
            yield _fetch_one(manifest, root, source, keep_archives, pauses)
        except BookError as error:
            wrong.append(str(error))
    if not only and isinstance(manifest, DatasetManifest) and manifest.generator is None:
        videos = manifest.layout.videos
        if manifest.by_hand and not (root / videos).is_dir():
            wrong.append(f"{shown(root / videos)}: is not fetched by this program.\n{_by_hand(manifest, root)}")
        elif not wrong:
            wrong = [
                f"{shown(root / folder)}: is still missing. The sources that have an address do not contain it: "
                f"{manifest.homepage} says how to get it, and the traps in the manifest of {manifest.name} what to mind"
                for folder in (manifest.layout.annotations, videos)
                if not (root / folder).is_dir()
            ]
    if wrong:
        raise BookError("\n".join(wrong))


def _fetch_one(manifest: Manifest, root: Path, source: Source, keep_archives: bool, pauses: Sequence[float]) -> str:
    path, folder = _file(manifest, root, source), root / source.into
    if _is_unpacked(manifest, root, source):
        return f"{source.name}: is unpacked in {shown(folder)}"
    there = path.exists()
    if not there and source.url is None:
        where = f" ({manifest.homepage})" if manifest.homepage else ""
        raise BookError(
            f"{shown(path)}: is missing, and no address of it is known: get it yourself{where} and put it there. "
            f"{source.note}".strip()
        )
    if not there and source.name.endswith(".rar") and not rar_programs():
        logger.warning("%s: %s", source.name, "may need a program that is not installed here (apt-get install unar)")
    if not there:
        require_writable(root, "name another folder with --root or the variable ACTIONBOOK_DATA")
    try:
        fetch(source, path.parents[len(PurePosixPath(source.name).parts) - 1], pauses=pauses)
    except BookError as error:
        raise BookError(f"{error}{_another_way(manifest, source)}") from error
    verified = "the one first seen (no digest is published)" if source.status == "tofu" else "verified"
    done = f"{shown(path)}: {'was there and is' if there else 'fetched and'} {verified}"
    if not _unpacks(manifest, source):
        return done
    place = _class_folders(manifest) if source.by_class and isinstance(manifest, DatasetManifest) else None
    count = unpack(path, folder, sha256=_known_digest(source, path), nested=source.nested, place=place)
    if not (there or keep_archives):
        path.unlink()
    return f"{done}, {count} files unpacked into {shown(folder)}"


def _another_way(manifest: Manifest, source: Source) -> str:
    """What can be fetched in place of a source, to follow the reason why that failed; empty if nothing can."""
    same = {source.name, source.alternative_to or source.name}
    others = [other for other in manifest.sources if {other.name, other.alternative_to} & same and other != source]
    return "".join(f". Another way: --only {other.name} ({other.note or other.url or 'by hand'})" for other in others)


def _by_hand(manifest: DatasetManifest, root: Path) -> str:
    """The commands by which a reader gets what no source holds, for a shell."""
    return f"cd {shlex.quote(str(root.absolute()))}\n{manifest.by_hand.rstrip()}"


def _class_folders(manifest: DatasetManifest) -> Callable[[str], str]:
    """Where videos named ``v_<class>_...``, in whatever case, belong; other files get no folder.

    Raises BookError as `check_class_folders`.
    """
    check_class_folders(manifest)
    classes = {name.lower(): name for name in manifest.classes}

    def place(name: str) -> str:
        file = PurePosixPath(name).name
        if not file.endswith(manifest.layout.suffix):
            return file
        found = re.match(r"v_([^_]+)_", file)
        if not found or found[1].lower() not in classes:
            raise BookError(f"{name}: its name tells no class of {manifest.name}; v_<class>_... was expected")
        return f"{classes[found[1].lower()]}/{file}"

    return place


def _unpacks(manifest: Manifest, source: Source) -> bool:
    return isinstance(manifest, DatasetManifest) and is_archive(source.name)  # weights may be called .pth.tar


def _file(manifest: Manifest, root: Path, source: Source) -> Path:
    return root / (ARCHIVES if _unpacks(manifest, source) else source.into) / source.name


def _known_digest(source: Source, path: Path) -> str | None:
    return source.sha256 or (first_seen(path) or {}).get("sha256")


def _is_unpacked(manifest: Manifest, root: Path, source: Source) -> bool:
    path = _file(manifest, root, source)
    return _unpacks(manifest, source) and is_unpacked(root / source.into, path.name, _known_digest(source, path))


def _chosen(manifest: Manifest, root: Path, only: Sequence[str]) -> list[Source]:
    """The sources to fetch: those asked for, else all, one of each set of alternatives."""
    names = [source.name for source in manifest.sources]
    if unknown := sorted(set(only) - set(names)):
        raise BookError(f"{manifest.name}: has no source {', '.join(unknown)}; there are: {', '.join(names)}")
    if only:
        return [source for source in manifest.sources if source.name in only]
    chosen = []
    for first in manifest.sources:
        if first.alternative_to is None:
            same = [first, *(source for source in manifest.sources if source.alternative_to == first.name)]
            begun = [source for source in same if _state(manifest, root, source) != "missing"]
            usable = [source for source in same if not source.name.endswith(".rar") or rar_programs()]
            chosen.append((begun or usable or same)[0])
    return chosen


def _state(manifest: Manifest, root: Path, source: Source) -> str:
    """How far a source has come, without reading it."""
    path = _file(manifest, root, source)
    part = path.with_name(f"{path.name}.part")
    if _is_unpacked(manifest, root, source):
        return "unpacked"
    if path.exists():
        return "there"
    return f"{part.stat().st_size:,} bytes there" if part.exists() else "missing"


def _listing(manifest: Manifest, root: Path) -> str:
    """One paragraph for each source."""
    lines = [f"{manifest.title}, root {shown(root)}"]
    for source in manifest.sources:
        size = "size unknown" if source.bytes is None else f"{source.bytes:,} bytes"
        same = f", instead of {source.alternative_to}" if source.alternative_to else ""
        lines.append(f"{source.name}: {_state(manifest, root, source)} ({size}, {source.status}{same})")
        place = f"as {shown(_file(manifest, root, source))}"
        lines += [f"    {text}" for text in (source.url or "no address known", place, source.note) if text]
    if isinstance(manifest, DatasetManifest) and manifest.by_hand:
        lines += [f"{manifest.layout.videos}/: is not fetched by this program", _by_hand(manifest, root)]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m actionbook.datasets.fetch",
        description="Fetch a data set or weight files, verify and unpack them. Can be stopped and started again at any "
        "point. A file that a browser has fetched is taken as well: --list says where to put it.",
    )
    parser.add_argument("name", metavar="NAME", help="a manifest: its name in data_manifests/, or the path of a .yaml")
    parser.add_argument(
        "--root",
        help="where to (default: NAME in the folder ACTIONBOOK_DATA, else in data/ of the checkout, where notebooks "
        "look for a data set; they look for weight files in the folder weights/ of the data set that is trained on, "
        "such as data/hmdb51/weights)",
    )
    parser.add_argument("--list", action="store_true", help="only say what there is to fetch and what is there")
    parser.add_argument("--only", nargs="+", metavar="FILE", default=[], help="fetch these alone")
    parser.add_argument("--keep-archives", action="store_true", help="do not delete archives that are unpacked")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status: 0 if all is there, 1 with the reasons on standard error."""
    print_any_text()
    options = _parser().parse_args(arguments)
    try:
        manifest = load_manifest(options.name)
        root = parameters.folder("--root", options.root, default_data_root() / manifest.name)
        if options.list:
            sys.stdout.write(_listing(manifest, root) + "\n")
        elif isinstance(manifest, DatasetManifest) and manifest.generator is not None:
            sys.stdout.write(f"{manifest.name}: is drawn by the notebooks 01_data; there is nothing to fetch\n")
        else:
            for sentence in fetch_all(manifest, root, only=options.only, keep_archives=options.keep_archives):
                sys.stdout.write(sentence + "\n")
                sys.stdout.flush()
    except BookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
