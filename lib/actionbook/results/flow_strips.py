"""What can be shown of optical flow: one pair of frames, what is stored, and how large the displacements are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.figure import Figure

from actionbook.clips.samples import Samples
from actionbook.clips.transforms import to_pixels
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import Dataset, dataset_of, store_path
from actionbook.datasets.index import Index
from actionbook.datasets.preparation import made_from, stored_names
from actionbook.results.flow_pictures import flow_colours, in_colours, wheel
from actionbook.results.style import figure, style
from actionbook.video.flow import dequantise
from actionbook.video.frame_folder import frames_path, open_frames
from actionbook.video.tvl1 import opencv_tvl1, tvl1

STRIP = range(6, 12)
"""Frames of a video that are shown, from 0."""


@dataclass(frozen=True)
class FlowPair:
    """Two neighbouring frames, and the flow between them by this book's kernel and by OpenCV's."""

    frames: np.ndarray
    """uint8 (T, H, W, 3); the first two are the pair."""
    ours: np.ndarray
    """float32 (H, W, 2), pixels to the right and down."""
    opencv: np.ndarray

    @property
    def limit(self) -> float:
        """Displacement in pixels that gets the strongest colour."""
        return float(np.percentile(np.hypot(*self.ours.transpose(2, 0, 1)), 99.5))

    def picture(self) -> Figure:
        """Both frames, both flows in colours, and what the colours mean."""
        flows = (flow_colours(flow, self.limit) for flow in (self.ours, self.opencv))
        number = STRIP[0] + 1
        titles = (f"frame {number}", f"frame {number + 1}", "flow, this book", "flow, OpenCV", "the colours")
        with style():
            fig, axes = figure(1.7, columns=5)
            for ax, picture, title in zip(axes, [*self.frames[:2], *flows, wheel()], titles, strict=True):
                ax.imshow(picture)
                ax.set_title(title)
                ax.set_axis_off()
        return fig


def flow_pair(dataset: Dataset, store: str) -> FlowPair:
    """The flow between two frames in the middle of a prepared video."""
    with open_frames(store_path(dataset.colour_store, store)) as frames:
        shown = np.stack(frames.read(STRIP))
    before, after = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in shown[:2])
    return FlowPair(shown, tvl1(before, after), opencv_tvl1(before, after))


def stored_flow(dataset: Dataset, store: str) -> str:
    """The first files of a video's stored flow, and how it was made; where there is none, that."""
    if not _has_flow(dataset, store):
        return "no flow of this video was computed"
    with open_frames(store_path(dataset.flow_store, store)) as frames:
        return f"{stored_names(frames)[:4]} …\n{len(frames)} frames; {made_from(frames)}"


def flow_strips(dataset: Dataset, store: str, pair: FlowPair) -> list[tuple[str, np.ndarray]]:
    """(what, pictures): frames, both stored planes, and the flow in colours, of the frames of `pair`.

    The frames alone where no flow was computed.
    """
    if not _has_flow(dataset, store):
        return [("frames", pair.frames)]
    with open_frames(store_path(dataset.flow_store, store)) as frames:
        planes = np.stack(frames.read(STRIP))
    return [
        ("frames", pair.frames),
        ("x, to the right", np.repeat(planes[..., :1], 3, axis=-1)),
        ("y, down", np.repeat(planes[..., 1:], 3, axis=-1)),
        ("flow", in_colours(planes, dataset.data.flow.bound, pair.limit)),
    ]


def some_flow(dataset: Dataset, index: Index) -> list[np.ndarray]:
    """Every third flow, float32 (H, W, 2) in pixels, of two videos of each class; none where none was computed."""
    table = index.table.query("frames > 0").groupby("label", sort=False).head(2)
    flows: list[np.ndarray] = []
    for store in (store for store in table.store if _has_flow(dataset, store)):
        with open_frames(store_path(dataset.flow_store, store)) as frames:
            stored = frames.read(range(1, len(frames), 3))
        flows += [dequantise(plane, dataset.data.flow.bound) for plane in stored]
    return flows


def draws_of_streams(stage: Stage) -> list[tuple[str, np.ndarray]]:
    """(stream and draw, pictures) of two training clips of one video: the same random numbers in every stream."""
    rows = []
    for draw in range(2):
        for name, stream in stage.streams.items():
            dataset, transforms = dataset_of(stream), stream.recipe.transforms
            store = dataset.store(transforms.modality)
            samples = Samples(dataset.index().subset("train"), store, stream.recipe, len(stream.manifest.classes))
            inputs = samples.train(0, np.random.default_rng([1, 0, draw])).inputs
            pixels = to_pixels(next(iter(inputs.values())), transforms)[::2]
            pixels = in_colours(pixels, dataset.data.flow.bound)
            rows.append((f"{name}, draw {draw + 1}", pixels))
    return rows


def _has_flow(dataset: Dataset, store: str) -> bool:
    return frames_path(store_path(dataset.flow_store, store)).exists()
