"""Writing a miniature: in parallel, going on where it stopped, all or nothing, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2

from actionbook.core.files import TEMPORARY, require_writable, write_json_atomic, write_text_atomic
from actionbook.core.paths import shown
from actionbook.datasets.figures import render_frame
from actionbook.datasets.miniature.spec import Clip, Miniature, MiniatureError, MiniSpec
from actionbook.datasets.unpack import sole_user

MARK = "miniature.json"

Progress = Callable[[int, int], None]
_CHUNK = 5  # videos handed to a worker at a time


def write_miniature(
    miniature: Miniature, root: Path | str, spec: MiniSpec, *, workers: int = 1, progress: Progress | None = None
) -> None:
    """Write the miniature to `root`: its videos, the lists beside them, and `miniature.json`.

    `workers` processes draw the videos; the bytes do not depend on how many. `progress(done, total)` is called after
    each video. A folder that already holds this spec, complete, is left as it is; missing videos are written again.
    Everything is made in ``.<root>.part`` beside `root` and renamed at the end; a stopped run goes on from there.
    Raises MiniatureError when `root` holds something else, or `spec` names a class that cannot be drawn.
    """
    miniature.check(spec)
    root = Path(root)
    if _stated(root) is None:
        remedy = "set data_root (or the variable ACTIONBOOK_DATA) to a folder that you may write"
        require_writable(root.parent, remedy)
        root.parent.mkdir(parents=True, exist_ok=True)
    with sole_user(root.parent, wait=True):
        stated = _stated(root)
        wanted = miniature.mark(spec)
        if root.exists() and not root.is_dir():
            raise MiniatureError(f"{shown(root)} is a file: choose a folder")
        if stated is None and root.is_dir() and any(root.iterdir()):
            raise MiniatureError(
                f"{shown(root)} is not empty and has no {MARK}: choose another folder, or empty this one"
            )
        if stated is not None and {**stated, "videos_sha256": ""} != wanted:
            raise MiniatureError(
                f"{shown(root)} holds a miniature of another spec or version: choose another folder, or delete it"
            )
        part = root.parent / f".{root.name}.part"
        target = part if stated is None else root
        if stated is None and _stated(part) != wanted:
            _empty(part, root)
            write_json_atomic(part / MARK, wanted)
        _write_videos(miniature, target, spec, workers, progress)
        digest = _digest(miniature, target, spec)
        if stated is None:
            for name, text in miniature.lists(spec).items():
                write_text_atomic(part / name, text)
            write_json_atomic(part / MARK, {**wanted, "videos_sha256": digest})
            with suppress(OSError):
                root.rmdir()  # an empty folder in the way
            part.replace(root)
        elif digest != stated.get("videos_sha256"):
            raise MiniatureError(
                f"videos under {shown(root)} differ from those in its {MARK}: delete the folder and run again"
            )


def _stated(folder: Path) -> dict[str, Any] | None:
    """The folder's `miniature.json`, or None where there is none."""
    try:
        stated = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise MiniatureError(f"{shown(folder / MARK)} is not JSON ({error}): delete the folder, run again") from error
    if not isinstance(stated, dict):
        raise MiniatureError(f"{shown(folder / MARK)} does not describe a miniature: delete the folder, run again")
    return stated


def _empty(part: Path, root: Path) -> None:
    """Make `part` an empty folder, removing what an earlier run of this module left there, and nothing else."""
    if part.exists():
        if _stated(part) is None and any(part.iterdir()):
            raise MiniatureError(
                f"{shown(part)} is in the way of writing {shown(root)} and is no unfinished miniature: move it away"
            )
        shutil.rmtree(part)
    part.mkdir()


def _write_videos(miniature: Miniature, folder: Path, spec: MiniSpec, workers: int, progress: Progress | None) -> None:
    clips = miniature.clips(spec)
    for parent in {(folder / miniature.path(clip, spec)).parent for clip in clips}:
        for stale in parent.glob(f"{TEMPORARY}*"):  # what a killed run was writing
            stale.unlink()
    missing = [clip for clip in clips if not (folder / miniature.path(clip, spec)).is_file()]
    missing.sort(key=lambda clip: clip[1:])  # a worker meets the videos of one place in a row and paints it once
    done = len(clips) - len(missing)
    if missing and workers > 1:
        jobs = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
        # MindSpore may be loaded and threaded in this process, so it is never forked.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers, len(jobs)), context, initializer=cv2.setNumThreads, initargs=(1,)
        ) as pool:
            written = pool.map(_write_some, repeat(miniature), repeat(folder), repeat(spec), jobs)
            _report(written, done, len(clips), progress)
    elif missing:
        _report((_write_some(miniature, folder, spec, [clip]) for clip in missing), done, len(clips), progress)


def _report(written: Iterator[int], done: int, total: int, progress: Progress | None) -> None:
    for count in written:
        done += count
        if progress is not None:
            progress(done, total)


def _write_some(miniature: Miniature, folder: Path, spec: MiniSpec, clips: list[Clip]) -> int:
    for clip in clips:
        scene = miniature.scene(clip, spec)
        frames = (render_frame(scene, t) for t in range(scene.length))
        miniature.write(folder / miniature.path(clip, spec), frames, width=spec.width, height=spec.height)
    return len(clips)


def _digest(miniature: Miniature, folder: Path, spec: MiniSpec) -> str:
    """SHA-256 of all videos' bytes, one after the other in the order of the lists."""
    digest = hashlib.sha256()
    for clip in miniature.clips(spec):
        digest.update((folder / miniature.path(clip, spec)).read_bytes())
    return digest.hexdigest()
