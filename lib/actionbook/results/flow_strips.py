"""What can be shown of optical flow: one pair of frames, what is stored, and how large the displacements are."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.figure import Figure

from actionbook.clips.samples import Samples
from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import Dataset, dataset_of, store_path
from actionbook.datasets.index import Index
from actionbook.datasets.preparation import made_from, stored_names
from actionbook.results.flow_pictures import contrast, flow_colours, in_colours, moving_part, wheel
from actionbook.results.style import figure, style
from actionbook.stages.data import clip_strip
from actionbook.stages.strips import Strip, counted
from actionbook.video.flow import dequantise
from actionbook.video.frame_folder import frames_path, open_frames
from actionbook.video.tvl1 import opencv_tvl1, tvl1

_SHOWN = 6
"""Frames of a video whose flow is shown."""


@dataclass(frozen=True)
class FlowPair:
    """Two neighbouring frames, and the flow between them by this book's kernel and by OpenCV's."""

    numbers: range
    """Of `frames` in their video, from 0."""
    frames: np.ndarray
    """uint8 (T, H, W, 3): the pair, and what comes before and after it."""
    second: int
    """Which of `frames` is the second of the pair."""
    ours: np.ndarray
    """float32 (H, W, 2), pixels to the right and down."""
    opencv: np.ndarray

    @property
    def limit(self) -> float:
        """Displacement in pixels that gets the strongest colour."""
        return max(0.05, float(np.percentile(np.hypot(*self.ours.transpose(2, 0, 1)), 99.5)))

    def picture(self) -> Figure:
        """Both frames, both flows in colours, and what the colours mean; of the frames the part that moves."""
        rows, columns = moving_part([self.ours])
        flows = (flow_colours(flow, self.limit) for flow in (self.ours, self.opencv))
        both = slice(self.second - 1, self.second + 1)
        titles = [*(f"frame {number}" for number in counted(self.numbers[both])), "flow, this book", "flow, OpenCV"]
        with style():
            fig, axes = figure(2.0, columns=5)
            for ax, picture, title in zip(axes, [*self.frames[both], *flows], titles, strict=False):
                ax.imshow(picture[rows, columns])
                ax.set_title(title)
                ax.set_axis_off()
            axes[-1].imshow(wheel(), extent=(-1, 1, 1, -1))
            axes[-1].set_title("the colours")
            axes[-1].set_axis_off()
            axes[-1].text(0, 1.12, f"rim: {self.limit:.2g} pixels or more", ha="center", va="top", fontsize=8)
        return fig


def flow_pair(dataset: Dataset, store: str) -> FlowPair:
    """The flow between two frames of a prepared video: where most moves, or in its middle if no flow was computed.

    Raises BookError for a video of a single frame.
    """
    with open_frames(store_path(dataset.colour_store, store)) as frames:
        if len(frames) < 2:
            raise BookError(f"{frames.path}: has {len(frames)} frames, flow is between two")
        numbers, second = _liveliest(dataset, store, len(frames))
        shown = np.stack(frames.read(numbers))
    before, after = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in shown[second - 1 : second + 1])
    return FlowPair(numbers, shown, second, tvl1(before, after), opencv_tvl1(before, after))


def _liveliest(dataset: Dataset, store: str, frames: int) -> tuple[range, int]:
    """The neighbouring frames between which most moves, and which of them moved most since the one before."""
    shown = min(_SHOWN, frames)
    if not _has_flow(dataset, store):
        start = (frames - shown) // 2
        return range(start, start + shown), shown // 2
    flows = dequantise(_planes(dataset, store, range(1, frames)), dataset.data.flow.bound)
    lengths = np.hypot(flows[..., 0], flows[..., 1]).mean(axis=(1, 2))
    start = int(np.convolve(lengths, np.ones(shown - 1), "valid").argmax())
    return range(start, start + shown), 1 + int(lengths[start : start + shown - 1].argmax())


def _planes(dataset: Dataset, store: str, numbers: range) -> np.ndarray:
    """Stored flow, uint8 (T, H, W, 2)."""
    with open_frames(store_path(dataset.flow_store, store)) as frames:
        return np.stack(frames.read(numbers))


def stored_flow(dataset: Dataset, store: str) -> str:
    """The first files of a video's stored flow, and how it was made; where there is none, that."""
    if not _has_flow(dataset, store):
        return "no flow of this video was computed"
    with open_frames(store_path(dataset.flow_store, store)) as frames:
        made = textwrap.fill(f"{len(frames)} frames; {made_from(frames)}", 88)
        return f"{', '.join(stored_names(frames)[:4])} …\n{made}"


def flow_strips(dataset: Dataset, store: str, pair: FlowPair) -> list[Strip]:
    """Frames, both stored planes, and the flow in colours, of the frames of `pair`: the part of them that moves.

    The contrast of a plane is raised by a whole factor, which its title says. The frames alone where no flow was
    computed.
    """
    numbers = counted(pair.numbers)
    if not _has_flow(dataset, store):
        return [Strip("frames", pair.frames, numbers)]
    planes, bound = _planes(dataset, store, pair.numbers), dataset.data.flow.bound
    rows, columns = moving_part(dequantise(planes, bound))
    planes = planes[:, rows, columns]
    strips = {"frames": pair.frames[:, rows, columns]}
    for channel, name in enumerate(("x, to the right", "y, down")):
        times, clear = contrast(planes[..., channel])
        strips[f"{name}, contrast × {times}" if times > 1 else name] = np.repeat(clear[..., None], 3, axis=-1)
    strips["flow"] = in_colours(planes, bound, pair.limit)
    return [Strip(title, pictures, numbers) for title, pictures in strips.items()]


def moving_flow(dataset: Dataset, store: str) -> list[Strip]:
    """Frames of a video and the flow that led to each of them in colours, for `results.loops`.

    From the second frame on: there is no flow to the first. The frames alone where no flow was computed.
    """
    with open_frames(store_path(dataset.colour_store, store)) as frames:
        numbers = range(min(1, len(frames) - 1), len(frames))
        found = [Strip("frames", np.stack(frames.read(numbers)), counted(numbers))]
    if _has_flow(dataset, store):
        planes = _planes(dataset, store, numbers)
        found.append(Strip("flow", in_colours(planes, dataset.data.flow.bound), counted(numbers)))
    return found


def some_flow(dataset: Dataset, index: Index) -> list[np.ndarray]:
    """Every third flow, float32 (H, W, 2) in pixels, of two videos of each class; none where none was computed."""
    table = index.table.query("frames > 0").groupby("label", sort=False).head(2)
    flows: list[np.ndarray] = []
    for store in (store for store in table.store if _has_flow(dataset, store)):
        with open_frames(store_path(dataset.flow_store, store)) as frames:
            stored = frames.read(range(1, len(frames), 3))
        flows += [dequantise(plane, dataset.data.flow.bound) for plane in stored]
    return flows


def draws_of_streams(stage: Stage) -> list[Strip]:
    """Every second frame of two training clips of one video in every stream, by the same random numbers.

    The title is stream and draw.
    """
    rows = []
    for draw in range(2):
        for name, stream in stage.streams.items():
            dataset, transforms = dataset_of(stream), stream.recipe.transforms
            store = dataset.store(transforms.modality)
            samples = Samples(dataset.index().subset("train"), store, stream.recipe, len(stream.manifest.classes))
            sample = samples.train(0, np.random.default_rng([1, 0, draw]))
            title, frames, numbers = clip_strip(samples, f"{name}, draw {draw + 1}", sample)
            frames = in_colours(frames, dataset.data.flow.bound)
            rows.append(Strip(title, frames[::2], numbers and numbers[::2]))
    return rows


def _has_flow(dataset: Dataset, store: str) -> bool:
    return frames_path(store_path(dataset.flow_store, store)).exists()
