"""Reading and augmenting one training clip of 16 frames on one core: the book's way, and Pillow with NumPy."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from actionbook.clips.sampling import random_clip
from actionbook.clips.transforms import draw_crop
from actionbook.video.store import FrameStore
from bench.peers.access import unpack
from bench.peers.book_samples import samples, settings
from bench.worker import Contestant

CHECKED = 4  # clips that both sides must agree on


def ours(stores: list[str], clips: dict[str, Any], checked: str) -> Contestant:
    """From the frame store. Writes the first clips to the file `checked`."""
    cv2.setNumThreads(1)
    paths = [Path(store) for store in stores]
    lengths = {}
    for path in paths:
        with FrameStore(path) as store:
            lengths[str(path.with_suffix("").relative_to(paths[0].parents[1]))] = len(store)
    read_sample = samples(lengths, paths[0].parents[1], clips)

    def read(number: int) -> np.ndarray:
        return read_sample.train(number % len(stores), np.random.default_rng(number)).inputs["image"]

    np.save(checked, np.stack([read(i) for i in range(CHECKED)]))
    numbers = itertools.count()
    return Contestant(lambda: read(next(numbers)))


def pillow(stores: list[str], clips: dict[str, Any], folder: str, checked: str) -> Contestant:
    """From folders of the same JPEGs: decode, crop, resize and mirror by Pillow, then stack and normalise by NumPy.

    The draws are the book's, so clip k is the same piece of the same video on both sides.
    """
    recipe = settings(clips)
    sampling, transforms = recipe.sampling, recipe.transforms
    mean, std = np.array(transforms.mean, np.float32), np.array(transforms.std, np.float32)
    videos = []
    for number, store in enumerate(stores):
        unpack(Path(store), Path(folder) / str(number))
        videos.append(sorted(Path(folder, str(number)).glob("*.jpg")))

    def read(number: int) -> np.ndarray:
        paths = videos[number % len(videos)]
        rng = np.random.default_rng(number)
        indices = random_clip(len(paths), sampling.frames, sampling.stride, rng)
        with Image.open(paths[0]) as first:
            width, height = first.size
        crop = draw_crop(width, height, transforms, rng)
        side = int(min(width, height) * crop.height)
        left, top = round(crop.left * width), round(crop.top * height)
        frames = []
        for index in indices:
            with Image.open(paths[index]) as file:
                image = file.convert("RGB").crop((left, top, left + side, top + side))
            image = image.resize((transforms.width, transforms.height), Image.Resampling.BILINEAR)
            frames.append(np.asarray(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if crop.flip else image))
        clip = (np.stack(frames).astype(np.float32) - mean) / std
        return np.ascontiguousarray(clip.transpose(3, 0, 1, 2))

    np.save(checked, np.stack([read(i) for i in range(CHECKED)]))
    numbers = itertools.count()
    return Contestant(lambda: read(next(numbers)))
