"""The miniature of UCF101: figures who act, in the folders, names, codec and split lists of the real data set.

A group is one person in one place, as in UCF101, and every class draws its groups and clips from the same random
numbers: nothing but the motion tells classes apart, and of a reversed pair (`figures.REVERSED_PAIRS`) nothing but the
direction of time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from actionbook.core.errors import BookError
from actionbook.core.files import write_json_atomic, write_text_atomic
from actionbook.datasets.figures import ACTIONS, Actor, Camera, Place, Prop, Scene, draw_person, render_frame, write_avi
from actionbook.datasets.figures.backgrounds import OUTDOORS, PLACES
from actionbook.datasets.figures.canvas import Image
from actionbook.datasets.figures.props import KINDS_INDOORS, KINDS_OUTDOORS

GENERATOR_VERSION = 6
"""Raised whenever equal specs give other videos than before."""

MARK = "miniature.json"
TEST_GROUPS: tuple[range, ...] = (range(1, 8), range(8, 15), range(15, 22))
"""The test groups of UCF101's splits 1 to 3; all other groups train (UCF101's own train/test lists)."""

UCF101_CLASSES: tuple[str, ...] = (
    "ArmCirclesInward", "ArmCirclesOutward", "Boxing", "JumpingJack", "Kicking",
    "MoonWalk", "SittingDown", "StandingUp", "Walking", "Waving",
)  # fmt: skip

Progress = Callable[[int, int], None]
_CHUNK = 5  # videos handed to a worker at a time


class MiniatureError(BookError):
    """A miniature data set cannot be written, or is not what was asked for."""


@dataclass(frozen=True)
class MiniSpec:
    """Everything that decides the videos: the seed, how many, how long (frames, both ends included) and how large."""

    seed: int = 2012
    groups: int = 25
    clips_per_group: int = 2
    min_frames: int = 22
    max_frames: int = 28
    width: int = 320
    height: int = 240
    classes: tuple[str, ...] = UCF101_CLASSES

    def __post_init__(self) -> None:
        unknown = [name for name in self.classes if name not in ACTIONS]
        if unknown or not self.classes or len(set(self.classes)) != len(self.classes):
            raise MiniatureError(f"classes {list(self.classes)}: expected different names out of {sorted(ACTIONS)}")
        if not (1 <= self.groups <= 99 and 1 <= self.clips_per_group <= 99 and 2 <= self.min_frames <= self.max_frames):
            raise MiniatureError(
                f"{self}: expected 1 to 99 groups and clips per group, and 2 <= min_frames <= max_frames"
            )
        if self.width < 32 or self.height < 32 or self.width % 2 or self.height % 2:
            raise MiniatureError(f"{self.width} x {self.height}: expected even sides of at least 32 pixels")


def ucf101_scene(class_name: str, group: int, clip: int, spec: MiniSpec) -> Scene:
    """The scene of one video; `group` and `clip` count from 1.

    The random numbers depend on seed, group and clip, not on the class. The scene of the second class of a reversed
    pair is the first's, backwards.
    """
    if class_name not in ACTIONS:
        raise MiniatureError(f"no action {class_name!r}: expected one of {sorted(ACTIONS)}")
    own = np.random.default_rng([spec.seed, 1, group])
    person = draw_person(own)
    kinds = sorted(PLACES)
    shuffled = np.random.default_rng([spec.seed, 0]).permutation(len(kinds))
    place = Place(kinds[int(shuffled[group % len(kinds)])], int(own.integers(2**31)))
    view = spec.width / spec.height * 240.0
    tempo, height, stand = own.uniform(18.0, 23.5), own.uniform(162.0, 176.0), own.uniform(216.0, 224.0)
    pan = own.uniform(-30.0, 30.0)
    rng = np.random.default_rng([spec.seed, 2, group, clip])
    length = int(rng.integers(spec.min_frames, spec.max_frames + 1))
    actor = Actor(
        person=person,
        action=class_name,
        x=pan + view * (0.5 + rng.uniform(-0.05, 0.05)),
        y=stand + rng.uniform(-3.0, 3.0),
        height=height * rng.uniform(0.94, 1.06),
        facing=1,  # so that the direction of travel alone tells a walk from its reverse, also in few pixels
        phase=float(rng.uniform()),
        period=tempo * rng.uniform(0.92, 1.08),
        length=length,
    )
    camera = Camera(pan, rng.uniform(-3, 3), rng.uniform(0.0, 1.2), rng.uniform(40, 80), float(rng.uniform()), 0.3)
    return Scene(
        place, (actor,), length, spec.width, spec.height, camera, _props(rng, place, pan, view),
        grain=int(rng.integers(2**20)), backwards=ACTIONS[class_name].backwards,
    )  # fmt: skip


def _props(rng: np.random.Generator, place: Place, pan: float, view: float) -> tuple[Prop, ...]:
    kinds = KINDS_OUTDOORS if place.kind in OUTDOORS else KINDS_INDOORS
    props = []
    for kind in rng.permutation(kinds)[: int(rng.integers(0, 2))]:
        edge = view * (0.12 if rng.integers(2) else 0.88)
        colour = tuple(int(channel) for channel in rng.integers(90, 256, 3))
        props.append(
            Prop(
                kind=str(kind),
                x=pan + edge + rng.uniform(-22, 22),
                y=rng.uniform(26, 64),
                drift=rng.uniform(-0.6, 0.6),
                period=rng.uniform(22, 44),
                phase=float(rng.uniform()),
                colour=(colour[0], colour[1], colour[2]),
            )
        )
    return tuple(props)


def render_clip(class_name: str, group: int, clip: int, spec: MiniSpec) -> Image:
    """All frames of one video before encoding, RGB uint8 ``(T, H, W, 3)``; `group` and `clip` count from 1."""
    scene = ucf101_scene(class_name, group, clip, spec)
    return np.stack([render_frame(scene, t) for t in range(scene.length)])


def video_name(class_name: str, group: int, clip: int) -> str:
    """A video's path inside ``UCF-101/`` as the split lists spell it: ``Class/v_Class_g01_c01.avi``."""
    return f"{class_name}/v_{class_name}_g{group:02d}_c{clip:02d}.avi"


def _videos(spec: MiniSpec) -> list[tuple[str, int, int]]:
    """(class, group, clip) of every video, in the order of the lists."""
    numbers = [(group, clip) for group in range(1, spec.groups + 1) for clip in range(1, spec.clips_per_group + 1)]
    return [(name, group, clip) for name in spec.classes for group, clip in numbers]


def write_ucf101(
    root: Path | str, *, spec: MiniSpec | None = None, workers: int = 1, progress: Progress | None = None
) -> None:
    """Write the miniature to `root`: ``UCF-101/<Class>/*.avi`` and ``ucfTrainTestlist/*.txt``.

    `workers` processes draw the videos; the bytes do not depend on how many. `progress(done, total)` is called after
    each video. A folder that already holds this spec, complete, is left as it is; missing videos are written again.
    Everything is made in ``.<root>.part`` beside `root` and renamed at the end; a stopped run goes on from there.
    Raises MiniatureError when `root` holds something else.
    """
    root, spec = Path(root), spec or MiniSpec()
    root.parent.mkdir(parents=True, exist_ok=True)
    with _alone(root.parent):
        stated = _stated(root)
        wanted = _mark(spec)
        if root.exists() and not root.is_dir():
            raise MiniatureError(f"{root} is a file: choose a folder")
        if stated is None and root.is_dir() and any(root.iterdir()):
            raise MiniatureError(f"{root} is not empty and has no {MARK}: choose another folder, or empty this one")
        if stated is not None and {**stated, "videos_sha256": ""} != wanted:
            raise MiniatureError(
                f"{root} holds a miniature of another spec or version: choose another folder, or delete it"
            )
        part = root.parent / f".{root.name}.part"
        target = part if stated is None else root
        if stated is None and _stated(part) != wanted:
            _empty(part, root)
            write_json_atomic(part / MARK, wanted)
        _write_videos(target, spec, workers, progress)
        digest = _digest(target, spec)
        if stated is None:
            _write_lists(part, spec)
            write_json_atomic(part / MARK, {**wanted, "videos_sha256": digest})
            with suppress(OSError):
                root.rmdir()  # an empty folder in the way
            part.replace(root)
        elif digest != stated.get("videos_sha256"):
            raise MiniatureError(
                f"videos under {root} differ from those in {root / MARK}: delete the folder and run again"
            )


def _mark(spec: MiniSpec) -> dict[str, Any]:
    """What `miniature.json` says of `spec`; the digest of the videos is filled in when they are complete."""
    fields = {**asdict(spec), "classes": list(spec.classes)}
    return {"layout": "ucf101", "generator": GENERATOR_VERSION, "spec": fields, "videos_sha256": ""}


def _stated(folder: Path) -> dict[str, Any] | None:
    """The folder's `miniature.json`, or None where there is none."""
    try:
        stated = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise MiniatureError(f"{folder / MARK} is not JSON ({error}): delete the folder and run again") from error
    if not isinstance(stated, dict):
        raise MiniatureError(f"{folder / MARK} does not describe a miniature: delete the folder and run again")
    return stated


def _empty(part: Path, root: Path) -> None:
    """Make `part` an empty folder, removing what an earlier run of this module left there, and nothing else."""
    if part.exists():
        if _stated(part) is None and any(part.iterdir()):
            raise MiniatureError(f"{part} is in the way of writing {root} and is no unfinished miniature: move it away")
        shutil.rmtree(part)
    part.mkdir()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock on `folder`, so that two processes do not write the same miniature at once."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks; single files are still written whole
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write_videos(folder: Path, spec: MiniSpec, workers: int, progress: Progress | None) -> None:
    for stale in folder.glob("UCF-101/*/.tmp-*"):  # what a killed run was writing
        stale.unlink()
    videos = _videos(spec)
    missing = [video for video in videos if not (folder / "UCF-101" / video_name(*video)).is_file()]
    missing.sort(key=lambda video: video[1:])  # a worker meets the videos of one place in a row and paints it once
    done = len(videos) - len(missing)
    if missing and workers > 1:
        jobs = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
        # MindSpore may be loaded and threaded in this process, so it is never forked.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers, len(jobs)), context, initializer=cv2.setNumThreads, initargs=(1,)
        ) as pool:
            written: Iterator[int] = (n for n in pool.map(_write_some, repeat(folder), repeat(spec), jobs))
            done = _report(written, done, len(videos), progress)
    elif missing:
        _report((_write_some(folder, spec, [video]) for video in missing), done, len(videos), progress)


def _report(written: Iterator[int], done: int, total: int, progress: Progress | None) -> int:
    for count in written:
        done += count
        if progress is not None:
            progress(done, total)
    return done


def _write_some(folder: Path, spec: MiniSpec, videos: list[tuple[str, int, int]]) -> int:
    for video in videos:
        scene = ucf101_scene(*video, spec)
        frames = (render_frame(scene, t) for t in range(scene.length))
        write_avi(folder / "UCF-101" / video_name(*video), frames, width=spec.width, height=spec.height)
    return len(videos)


def _write_lists(folder: Path, spec: MiniSpec) -> None:
    """The seven text files of ``ucfTrainTestlist/``, with CRLF line ends as in the official ones."""
    lists = folder / "ucfTrainTestlist"
    index = {name: number for number, name in enumerate(spec.classes, start=1)}
    _write_lines(lists / "classInd.txt", [f"{number} {name}" for name, number in index.items()])
    for split, groups in enumerate(TEST_GROUPS, start=1):
        train = [video for video in _videos(spec) if video[1] not in groups]
        test = [video for video in _videos(spec) if video[1] in groups]
        _write_lines(
            lists / f"trainlist{split:02d}.txt", [f"{video_name(*video)} {index[video[0]]}" for video in train]
        )
        _write_lines(lists / f"testlist{split:02d}.txt", [video_name(*video) for video in test])


def _write_lines(path: Path, lines: list[str]) -> None:
    write_text_atomic(path, "".join(f"{line}\r\n" for line in lines))


def _digest(folder: Path, spec: MiniSpec) -> str:
    """SHA-256 of all videos' bytes, one after the other in the order of the lists."""
    digest = hashlib.sha256()
    for video in _videos(spec):
        digest.update((folder / "UCF-101" / video_name(*video)).read_bytes())
    return digest.hexdigest()
