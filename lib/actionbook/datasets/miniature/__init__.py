"""Miniatures: procedural data sets of acting figures, in the folders, names, codec and lists of real data sets."""

from __future__ import annotations

from actionbook.datasets.miniature.ava_lists import AVA
from actionbook.datasets.miniature.hmdb51 import HMDB51
from actionbook.datasets.miniature.kinetics400 import KINETICS400
from actionbook.datasets.miniature.sequences import SEQUENCES
from actionbook.datasets.miniature.spec import UCF101_CLASSES, Clip, Miniature, MiniatureError, MiniSpec, all_clips
from actionbook.datasets.miniature.ucf101 import TEST_GROUPS, UCF101, render_clip, ucf101_scene, write_ucf101
from actionbook.datasets.miniature.writing import MARK, write_miniature

GENERATOR_VERSION = UCF101.version
"""Raised whenever equal specs give other videos of the miniature UCF101 than before."""

__all__ = [
    "AVA", "GENERATOR_VERSION", "HMDB51", "KINETICS400", "MARK", "SEQUENCES", "TEST_GROUPS", "UCF101", "UCF101_CLASSES",
    "Clip", "MiniSpec", "Miniature", "MiniatureError", "all_clips", "render_clip", "ucf101_scene", "write_miniature",
    "write_ucf101",
]  # fmt: skip
