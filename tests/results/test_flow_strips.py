"""What the notebooks show of the flow of a video, and what where none was computed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.sections import Data
from actionbook.datasets.dataset import Dataset
from actionbook.datasets.index import make_index
from actionbook.results.flow_strips import flow_pair, flow_strips, moving_flow, some_flow, stored_flow

FRAMES = 14
STORE = "run/one"


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """A video whose square goes a pixel to the right from frame to frame; no flow yet."""
    folder = tmp_path / "frames" / STORE
    folder.mkdir(parents=True)
    for number in range(FRAMES):
        frame = np.full((32, 40, 3), 60, np.uint8)
        frame[10:20, number + 5 : number + 15] = 200
        cv2.imwrite(str(folder / f"image_{number + 1:05}.jpg"), frame)
    data = Data(manifest="mini_hmdb51", frames_folder="frames", flow_folder="flow")
    return Dataset(data, tmp_path, tmp_path / "stores", tmp_path)


def add_flow(dataset: Dataset, still_until: int = 0) -> None:
    """Everything goes to the right by half of the bound, from the frame `still_until` on (from 0)."""
    assert dataset.flow_folder is not None
    folder = dataset.flow_folder / STORE
    folder.mkdir(parents=True)
    for number in range(FRAMES):
        for axis, value in (("x", 191 if number >= still_until else 128), ("y", 128)):
            cv2.imwrite(str(folder / f"image_{number + 1:05}{axis}.jpg"), np.full((32, 40), value, np.uint8))


def index():
    row = {"video": "one", "label": "run", "target": 0, "subset": "train", "path": STORE}
    return make_index([row | {"store": STORE, "frames": FRAMES}])


def test_a_pair_moves_as_the_square_does(dataset: Dataset) -> None:
    pair = flow_pair(dataset, STORE)
    titles = [ax.get_title(loc="left") for ax in pair.picture().axes]
    assert titles == ["frame 7", "frame 8", "flow, this book", "flow, OpenCV", "the colours"]
    for flow in (pair.ours, pair.opencv):
        assert 0.5 < flow[12:18, 13:19, 0].mean() < 1.5


def test_the_pair_and_the_strip_are_where_most_moves(dataset: Dataset) -> None:
    add_flow(dataset, still_until=9)
    pair = flow_pair(dataset, STORE)
    assert pair.numbers == range(8, 14)
    assert [ax.get_title(loc="left") for ax in pair.picture().axes][:2] == ["frame 9", "frame 10"]
    for _, frames, numbers in flow_strips(dataset, STORE, pair):
        assert (len(frames), numbers) == (6, [9, 10, 11, 12, 13, 14])


def test_a_moving_picture_has_every_frame_beside_the_flow_that_led_to_it(dataset: Dataset) -> None:
    assert [(title, numbers) for title, _, numbers in moving_flow(dataset, STORE)] == [("frames", list(range(2, 15)))]
    add_flow(dataset)
    (_, frames, numbers), (_, flow, same) = moving_flow(dataset, STORE)
    assert (frames.shape, numbers) == (flow.shape, same)
    assert (flow[0, 5, 5] == (255, 0, 0)).sum() >= 2  # to the right is red, and nothing moves further


def test_a_single_frame_has_no_flow(dataset: Dataset, tmp_path: Path) -> None:
    for number in range(2, FRAMES + 1):
        (tmp_path / "frames" / STORE / f"image_{number:05}.jpg").unlink()
    with pytest.raises(BookError, match="has 1 frames, flow is between two"):
        flow_pair(dataset, STORE)


def test_what_is_stored_is_shown(dataset: Dataset) -> None:
    add_flow(dataset)
    assert f"{FRAMES} frames" in stored_flow(dataset, STORE)
    rows = {title: frames for title, frames, _ in flow_strips(dataset, STORE, flow_pair(dataset, STORE))}
    assert list(rows) == ["frames", "x, to the right, contrast × 2", "y, down, contrast × 16", "flow"]
    assert abs(int(rows["x, to the right, contrast × 2"][0, 0, 0, 0]) - (128 + 2 * (191 - 128))) <= 2
    flows = some_flow(dataset, index())
    bound = dataset.data.flow.bound
    assert len(flows) == len(range(1, FRAMES, 3))
    np.testing.assert_allclose(flows[0][..., 0], bound / 2, atol=bound / 50)


def test_where_no_flow_was_computed(dataset: Dataset) -> None:
    assert "no flow" in stored_flow(dataset, STORE)
    assert [one.title for one in flow_strips(dataset, STORE, flow_pair(dataset, STORE))] == ["frames"]
    assert some_flow(dataset, index()) == []
