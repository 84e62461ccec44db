"""What a miniature is: the numbers that decide its videos, and how one data set lays them out on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from actionbook.core.errors import BookError
from actionbook.datasets.figures import Scene, render_frame
from actionbook.datasets.figures.canvas import Image

UCF101_CLASSES: tuple[str, ...] = (
    "ArmCirclesInward", "ArmCirclesOutward", "Boxing", "JumpingJack", "Kicking",
    "MoonWalk", "SittingDown", "StandingUp", "Walking", "Waving",
)  # fmt: skip
"""The ten classes of the miniature UCF101."""


class MiniatureError(BookError):
    """A miniature data set cannot be written, or is not what was asked for."""


@dataclass(frozen=True)
class MiniSpec:
    """Everything that decides the videos: the seed, how many, how long (frames, both ends included) and how large.

    A group is one person; every class has a video of each clip of each group.
    """

    seed: int = 2012
    groups: int = 25
    clips_per_group: int = 2
    min_frames: int = 22
    max_frames: int = 28
    width: int = 320
    height: int = 240
    classes: tuple[str, ...] = UCF101_CLASSES

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise MiniatureError(f"classes {list(self.classes)}: expected at least one, and all different")
        if not (1 <= self.groups <= 99 and 1 <= self.clips_per_group <= 99 and 2 <= self.min_frames <= self.max_frames):
            raise MiniatureError(
                f"{self}: expected 1 to 99 groups and clips per group, and 2 <= min_frames <= max_frames"
            )
        if self.width < 32 or self.height < 32 or self.width % 2 or self.height % 2:
            raise MiniatureError(f"{self.width} x {self.height}: expected even sides of at least 32 pixels")


class Clip(NamedTuple):
    """One video: `group` and `clip` count from 1."""

    class_name: str
    group: int
    clip: int


def all_clips(spec: MiniSpec) -> list[Clip]:
    """Every video in the order of the lists: class by class, group by group."""
    numbers = [(group, clip) for group in range(1, spec.groups + 1) for clip in range(1, spec.clips_per_group + 1)]
    return [Clip(name, group, clip) for name in spec.classes for group, clip in numbers]


@dataclass(frozen=True)
class Miniature:
    """The miniature of one data set: what its videos show, and the names and lists that the data set would have.

    All functions depend on their arguments alone. `version` is raised whenever equal specs give other videos than
    before. `actions` holds the classes that can be drawn.
    """

    name: str
    version: int
    actions: tuple[str, ...]
    path: Callable[[Clip, MiniSpec], str]
    """A video's path below the data root."""
    scene: Callable[[Clip, MiniSpec], Scene]
    lists: Callable[[MiniSpec], dict[str, str]]
    """The text files beside the videos: path below the data root and content."""
    write: Callable[..., None]
    """A function of `figures` that writes frames to a file, such as `write_avi`."""
    clips: Callable[[MiniSpec], list[Clip]] = all_clips
    """Every video in the order of the lists."""

    def check(self, spec: MiniSpec) -> None:
        """Raise MiniatureError where `spec` names a class that cannot be drawn."""
        unknown = [name for name in spec.classes if name not in self.actions]
        if unknown:
            raise MiniatureError(f"{self.name}: no action {unknown[0]!r}: expected classes out of {list(self.actions)}")

    def mark(self, spec: MiniSpec) -> dict[str, Any]:
        """What `miniature.json` says of `spec`; the digest of the videos is filled in when they are complete."""
        fields = {**asdict(spec), "classes": list(spec.classes)}
        return {"layout": self.name, "generator": self.version, "spec": fields, "videos_sha256": ""}


def render_scene(scene: Scene) -> Image:
    """All frames of `scene` before encoding, RGB uint8 ``(T, H, W, 3)``."""
    return np.stack([render_frame(scene, t) for t in range(scene.length)])
