"""The miniature of UCF101: figures who act, in the folders, names, codec and split lists of the real data set.

A group is one person in one place, as in UCF101, and every class draws its groups and clips from the same random
numbers: nothing but the motion tells classes apart, of a reversed pair (`figures.REVERSED_PAIRS`) nothing but the
direction of time, and of two sequences (`miniature.sequences`) of the same actions nothing but their order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actionbook.datasets.figures import ACTIONS, Actor, Camera, Place, Scene, draw_person, random_props, write_avi
from actionbook.datasets.figures.backgrounds import OUTDOORS, PLACES
from actionbook.datasets.figures.canvas import Image
from actionbook.datasets.figures.props import KINDS_INDOORS, KINDS_OUTDOORS
from actionbook.datasets.miniature.sequences import SEQUENCES, SHORTEST, sequence
from actionbook.datasets.miniature.spec import Clip, Miniature, MiniatureError, MiniSpec, all_clips, render_scene
from actionbook.datasets.miniature.writing import Progress, write_miniature

TEST_GROUPS: tuple[range, ...] = (range(1, 8), range(8, 15), range(15, 22))
"""The test groups of UCF101's splits 1 to 3; all other groups train (UCF101's own train/test lists)."""


def ucf101_scene(class_name: str, group: int, clip: int, spec: MiniSpec) -> Scene:
    """The scene of one video; `group` and `clip` count from 1.

    The random numbers depend on seed, group and clip, not on the class. The scene of the second class of a reversed
    pair is the first's, backwards.
    """
    if class_name not in UCF101.actions:
        raise MiniatureError(f"no action {class_name!r}: expected one of {list(UCF101.actions)}")
    if class_name in SEQUENCES and spec.min_frames < SHORTEST:
        raise MiniatureError(f"min_frames {spec.min_frames}: expected at least {SHORTEST} frames for {class_name}")
    action = "Standing" if class_name in SEQUENCES else class_name
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
        action=action,
        x=pan + view * (0.5 + rng.uniform(-0.05, 0.05)),
        y=stand + rng.uniform(-3.0, 3.0),
        height=height * rng.uniform(0.94, 1.06),
        facing=1,  # so that the direction of travel alone tells a walk from its reverse, also in few pixels
        phase=float(rng.uniform()),
        period=tempo * rng.uniform(0.92, 1.08),
        length=length,
        acts=sequence(class_name, length) if class_name in SEQUENCES else (),
    )
    camera = Camera(pan, rng.uniform(-3, 3), rng.uniform(0.0, 1.2), rng.uniform(40, 80), float(rng.uniform()), 0.3)
    passing = KINDS_OUTDOORS if place.kind in OUTDOORS else KINDS_INDOORS
    return Scene(
        place, (actor,), length, spec.width, spec.height, camera, random_props(rng, passing, pan, view),
        grain=int(rng.integers(2**20)), backwards=ACTIONS[action].backwards,
    )  # fmt: skip


def render_clip(class_name: str, group: int, clip: int, spec: MiniSpec) -> Image:
    """All frames of one video before encoding, RGB uint8 ``(T, H, W, 3)``; `group` and `clip` count from 1."""
    return render_scene(ucf101_scene(class_name, group, clip, spec))


def write_ucf101(
    root: Path | str, *, spec: MiniSpec | None = None, workers: int = 1, progress: Progress | None = None
) -> None:
    """Write the miniature to `root`: ``UCF-101/<Class>/*.avi`` and ``ucfTrainTestlist/*.txt``.

    See `write_miniature` for the rest.
    """
    write_miniature(UCF101, root, spec or MiniSpec(), workers=workers, progress=progress)


def _scene(clip: Clip, spec: MiniSpec) -> Scene:
    return ucf101_scene(*clip, spec)


def _name(clip: Clip) -> str:
    """A video's path inside ``UCF-101/`` as the split lists spell it: ``Class/v_Class_g01_c01.avi``."""
    return f"{clip.class_name}/v_{clip.class_name}_g{clip.group:02d}_c{clip.clip:02d}.avi"


def _path(clip: Clip, _: MiniSpec) -> str:
    return f"UCF-101/{_name(clip)}"


def _lists(spec: MiniSpec) -> dict[str, str]:
    """The seven text files of ``ucfTrainTestlist/``, with CRLF line ends as in the official ones."""
    index = {name: number for number, name in enumerate(spec.classes, start=1)}
    lists = {"classInd": [f"{number} {name}" for name, number in index.items()]}
    for split, groups in enumerate(TEST_GROUPS, start=1):
        train = [clip for clip in all_clips(spec) if clip.group not in groups]
        test = [clip for clip in all_clips(spec) if clip.group in groups]
        lists[f"trainlist{split:02d}"] = [f"{_name(clip)} {index[clip.class_name]}" for clip in train]
        lists[f"testlist{split:02d}"] = [_name(clip) for clip in test]
    return {f"ucfTrainTestlist/{name}.txt": "".join(f"{x}\r\n" for x in lines) for name, lines in lists.items()}


UCF101 = Miniature("ucf101", 6, (*sorted(ACTIONS), *SEQUENCES), _path, _scene, _lists, write_avi)
