"""The authors' own example for I3D: one video of UCF101, for whose two streams they publish logits.

deepmind/kinetics-i3d holds a clip of 79 frames, v_CricketShot_g04_c01, ready for the networks, and under ``out`` what
their program makes of it with the weights called imagenet: the norm of the 400 logits and the highest of them.
Converted weights that reproduce these numbers have been converted without a fault, and so has the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from mindspore import Tensor

from actionbook.core.errors import BookError
from actionbook.core.manifest import load_weights
from actionbook.core.paths import shown
from actionbook.core.sources import Source, verify
from actionbook.core.weight_files import WeightsManifest
from actionbook.weights.pretrained import load_pretrained
from actionbook.weights.stored import Array

CLASSES: Final = {"playing cricket": 227, "hurling (sport)": 161}  # places in the authors' label_map.txt, from 0
NORM: Final = "norm of the logits"
# out/imagenet_rgb.txt, imagenet_flow.txt and imagenet_joint.txt at commit 0667e889. Joint is the sum of the logits.
PUBLISHED: Final = {
    ("rgb", NORM): 87.108871,
    ("rgb", "playing cricket"): 25.856646,
    ("rgb", "hurling (sport)"): 8.685253,
    ("flow", NORM): 63.252754,
    ("flow", "playing cricket"): 15.957031,
    ("flow", "hurling (sport)"): 12.808723,
    ("joint", NORM): 138.468658,
    ("joint", "playing cricket"): 41.813675,
    ("joint", "hurling (sport)"): 21.493977,
}
CLIPS: Final = {"rgb": "v_CricketShot_g04_c01_rgb.npy", "flow": "v_CricketShot_g04_c01_flow.npy"}
NETWORKS: Final = {"rgb": "i3d_rgb_imagenet", "flow": "i3d_flow_imagenet"}
TOLERANCE: Final = 1e-3
"""Of the published figures: float32 sums in another order differ by some 1e-5, the least figure by a little more."""


@dataclass(frozen=True)
class CricketCheck:
    """What came of the authors' example."""

    table: pd.DataFrame | None
    """One row for each stream ("rgb", "flow", "joint": the sum of both) and figure; columns ``stream``, ``what``,
    ``published``, ``found``, ``relative`` (difference, of the published figure). None where files are missing."""
    note: str
    """The result, or what is missing and where it is had, in a sentence."""


def cricket_check(folder: Path | str, manifest: str = "weights_i3d") -> CricketCheck:
    """What the two published networks make of the authors' clip, beside what the authors publish.

    The files are looked for in `folder` and below: weights and clips of the manifest, under their published names.
    Raises BookError for a file that is there but not the published one, WeightsError for weights that do not fit.
    """
    book = load_weights(manifest)
    needed = [one for one in book.files if one.id in NETWORKS.values()]
    clips = {stream: next(one for one in book.others if one.name == name) for stream, name in CLIPS.items()}
    if missing := [one.name for one in (*needed, *clips.values()) if not _is_there(book, one, folder)]:
        command = f"python -m actionbook.datasets.fetch {book.name} --root {shown(folder)} --only {' '.join(missing)}"
        return CricketCheck(
            None, f"Not run here: {', '.join(missing)} missing in {shown(folder)}. `{command}` gets them."
        )
    logits = {}
    for stream, source in clips.items():
        pretrained = load_pretrained(NETWORKS[stream], folder, manifest)
        clip = _read_clip(book.find(source, folder), source, pretrained.transform.channels)
        logits[stream] = pretrained.network(Tensor(clip)).asnumpy()[0].astype(np.float64)
    logits["joint"] = logits["rgb"] + logits["flow"]
    table = pd.DataFrame(_rows(logits), columns=["stream", "what", "published", "found", "relative"])
    worst = float(table.relative.abs().max())
    verdict = "reproduced" if worst < TOLERANCE else "NOT reproduced"
    return CricketCheck(table, f"The authors' logits are {verdict}: the greatest relative difference is {worst:.1e}.")


def _is_there(book: WeightsManifest, source: Source, folder: Path | str) -> bool:
    try:
        book.find(source, folder)
    except BookError:
        return False
    return True


def _read_clip(path: Path, source: Source, channels: int) -> Array:
    """A published clip, (1, T, H, W, C) of values in -1..1, as the network takes it: float32 (1, C, T, H, W)."""
    verify(path, source)
    try:
        clip: Array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise BookError(f"{shown(path)}: cannot be read as an array ({error}). Fetch the file again.") from error
    if clip.ndim != 5 or clip.shape[0] != 1 or clip.shape[4] != channels:
        raise BookError(f"{shown(path)}: a clip of shape {clip.shape}; expected (1, T, H, W, {channels}), as published")
    return np.ascontiguousarray(clip.transpose(0, 4, 1, 2, 3), np.float32)


def _rows(logits: Mapping[str, Array]) -> Iterator[tuple[str, str, float, float, float]]:
    for (stream, what), published in PUBLISHED.items():
        values = logits[stream]
        found = float(np.linalg.norm(values) if what == NORM else values[CLASSES[what]])
        yield stream, what, published, found, (found - published) / published
