"""The frames of a random clip, decoded on one core: from what the book reads, from what other programs read.

A contestant opens its file or folder anew for each clip, as a training does that goes through its videos in random
order. It hands the frames on as its programs do: one array at a time, all of a clip, or Pillow's images. Step k reads
the same frames of the same video on all sides.
"""

from __future__ import annotations

import io
import itertools
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from actionbook.clips.sampling import random_clip, random_superframes
from actionbook.video.decode import read_frames
from actionbook.video.frame_folder import COUNT_FILE, open_frames
from actionbook.video.store import unpacked
from bench.worker import Contestant

Read = Callable[[int, list[int]], Iterable[Any]]
"""From a video's number and the frames' indices to the frames."""

Kind = Literal["consecutive", "sparse", "super-images"]
"""Which frames a clip has."""

CONSECUTIVE, SPARSE = 16, 8  # frames of a clip
SUPER_IMAGES, IN_A_ROW = 7, 5  # StNet's: so many parts of a video, so many frames of each
SHOWN = 4  # every so many pixels rivals are compared, in either direction: enough to tell frames apart


def unpack(store: Path, folder: Path) -> None:
    """The JPEGs of a frame store as files, and a file with their number, as the original scripts leave them."""
    folder.mkdir(parents=True, exist_ok=True)
    members = unpacked(store)
    for name, data in members.items():
        (folder / name).write_bytes(data)
    (folder / COUNT_FILE).write_text(str(len(members)))


def pack(store: Path, path: Path, protocol: int) -> None:
    """The JPEGs of a frame store as one pickle, (name, label, JPEGs): the way of StNet and its relatives.

    Their protocol, 2, has no bytes: Python 3 writes them as text, half as large again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps((path.stem, 0, list(unpacked(store).values())), protocol))


def drawn(number: int, frames: int, kind: Kind) -> list[int]:
    """The indices of clip `number`, of a video with so many `frames`.

    16 consecutive ones from a random start, one from each of 8 equal parts, or 5 in a row from each of 7.
    """
    rng = np.random.default_rng(number)
    if kind == "consecutive":
        return random_clip(frames, CONSECUTIVE, 1, rng, last_start=True).tolist()
    if kind == "super-images":
        return random_superframes(frames, SUPER_IMAGES, IN_A_ROW, rng).tolist()
    bounds = np.arange(SPARSE + 1) * frames // SPARSE
    return [int(rng.integers(low, max(high, low + 1))) for low, high in itertools.pairwise(bounds.tolist())]


def book(paths: list[str], **shared: Any) -> Contestant:
    """By the book: from frame stores, folders of JPEGs or packs, with the quick transform that trainings take.

    One frame after the other in one buffer: a training crops each before it takes the next.
    """

    def read(video: int, indices: list[int]) -> Iterator[np.ndarray]:
        with open_frames(paths[video]) as frames:
            yield from frames.frames(indices, fast=True)

    return _contestant(read, **shared)


def pillow(paths: list[str], **shared: Any) -> Contestant:
    """From the same folders by Pillow, as the original programs do it: the names are known, nothing is listed."""

    def read(video: int, indices: list[int]) -> list[Image.Image]:
        images = []
        for index in indices:
            with Image.open(f"{paths[video]}/image_{index + 1:05d}.jpg") as file:
                images.append(file.convert("RGB"))
        return images

    return _contestant(read, **shared)


def pickles(paths: list[str], **shared: Any) -> Contestant:
    """From packs (see `pack`) by Pillow, as their own programs do it: the whole file is unpickled for each clip."""

    def read(video: int, indices: list[int]) -> list[Image.Image]:
        with Path(paths[video]).open("rb") as file:
            _, _, jpegs = pickle.load(file)
        return [Image.open(io.BytesIO(jpegs[index])).convert("RGB") for index in indices]

    return _contestant(read, **shared)


def decoding(videos: list[str], sizes: list[tuple[int, int]], **shared: Any) -> Contestant:
    """From the videos by PyAV, decoded from the start as far as need be. `sizes` (width, height) are to come out."""

    def read(video: int, indices: list[int]) -> list[np.ndarray]:
        return [_sized(frame, sizes[video]) for frame in read_frames(videos[video], indices)]

    return _contestant(read, **shared)


def seeking(videos: list[str], sizes: list[tuple[int, int]], **shared: Any) -> Contestant:
    """From the videos by OpenCV, which is told the frame to go on from wherever that is not the next one.

    A clip is short where OpenCV finds no frame. `sizes` as for `decoding`.
    """

    def read(video: int, indices: list[int]) -> list[np.ndarray]:
        capture, frames, following = cv2.VideoCapture(videos[video]), [], 0
        for index in indices:
            if index != following:
                capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            found, frame = capture.read()
            if not found:
                break
            frames.append(cv2.cvtColor(_sized(frame, sizes[video]), cv2.COLOR_BGR2RGB))
            following = index + 1
        capture.release()
        return frames

    return _contestant(read, **shared)


def _contestant(read: Read, *, counts: list[int], kind: Kind, checked: str) -> Contestant:
    """Reads clips of videos with so many frames. Writes one clip of each to `checked`, smaller (`SHOWN`)."""
    cv2.setNumThreads(1)

    def clip(number: int) -> Iterable[Any]:
        video = number % len(counts)
        return read(video, drawn(number, counts[video], kind))

    shown = [np.array([np.array(frame)[::SHOWN, ::SHOWN] for frame in clip(i)]) for i in range(len(counts))]
    np.savez(checked, *shown)
    numbers = itertools.count()
    return Contestant(lambda: deque(clip(next(numbers)), maxlen=0))


def _sized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return frame if frame.shape[1::-1] == size else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
