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
from actionbook.models import create_model
from actionbook.weights import load, read_torch
from actionbook.weights.layouts import Array, Layout

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


@dataclass(frozen=True)
class CricketFiles:
    """Where the four files of the example are (data_manifests/weights_i3d.yaml says where they are had)."""

    rgb_weights: Path
    flow_weights: Path
    rgb_clip: Path
    flow_clip: Path


def find_cricket(folder: Path | str) -> CricketFiles | None:
    """The files of the example in `folder` or below; None unless all four are there.

    They have their published names: rgb_imagenet.pt, flow_imagenet.pt, v_CricketShot_g04_c01_rgb.npy and
    v_CricketShot_g04_c01_flow.npy.
    """
    clip = "v_CricketShot_g04_c01"
    names = ("rgb_imagenet.pt", "flow_imagenet.pt", f"{clip}_rgb.npy", f"{clip}_flow.npy")
    found = [min((path for path in Path(folder).rglob(name) if path.is_file()), default=None) for name in names]
    paths = [path for path in found if path is not None]
    return CricketFiles(*paths) if len(paths) == len(names) else None


def cricket_check(
    rgb_weights: Mapping[str, Array],
    flow_weights: Mapping[str, Array],
    rgb_clip: Array,
    flow_clip: Array,
    layout: str | Layout = "piergiaj",
) -> pd.DataFrame:
    """What the two networks make of the clip, beside what the authors publish.

    Weights are state dicts of 400 classes in `layout` (`actionbook.weights.read_torch`); clips are as published,
    (1, T, H, W, 3) and (1, T, H, W, 2), of values in -1..1. One row for each stream ("rgb", "flow", "joint": the sum of
    both) and figure; columns ``stream``, ``what``, ``published``, ``found``, ``relative`` (difference, of the published
    figure). Right are differences of some 1e-5: float32 sums in another order.
    Raises BookError for clips of another shape, WeightsError for weights that do not fit.
    """
    logits = {"rgb": _logits(rgb_weights, rgb_clip, 3, layout), "flow": _logits(flow_weights, flow_clip, 2, layout)}
    logits["joint"] = logits["rgb"] + logits["flow"]
    return pd.DataFrame(_rows(logits), columns=["stream", "what", "published", "found", "relative"])


def read_cricket(files: CricketFiles) -> tuple[dict[str, Array], dict[str, Array], Array, Array]:
    """What `cricket_check` takes, from the files. Raises BookError for a file that cannot be read."""
    clips = [_read_clip(path) for path in (files.rgb_clip, files.flow_clip)]
    return read_torch(files.rgb_weights), read_torch(files.flow_weights), clips[0], clips[1]


def _logits(weights: Mapping[str, Array], clip: Array, channels: int, layout: str | Layout) -> Array:
    """The 400 logits of one stream, as float64."""
    if clip.ndim != 5 or clip.shape[0] != 1 or clip.shape[4] != channels:
        raise BookError(f"a clip of shape {clip.shape}: expected (1, T, H, W, {channels}), as published")
    network = create_model("i3d", num_classes=400, in_channels=channels)
    load(network, weights, layout)
    array = np.ascontiguousarray(clip.transpose(0, 4, 1, 2, 3), np.float32)
    return network(Tensor(array)).asnumpy()[0].astype(np.float64)


def _rows(logits: Mapping[str, Array]) -> Iterator[tuple[str, str, float, float, float]]:
    for (stream, what), published in PUBLISHED.items():
        values = logits[stream]
        found = float(np.linalg.norm(values) if what == NORM else values[CLASSES[what]])
        yield stream, what, published, found, (found - published) / published


def _read_clip(path: Path) -> Array:
    try:
        clip: Array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise BookError(f"{path}: cannot be read as an array ({error}). Fetch the file again.") from error
    return clip
