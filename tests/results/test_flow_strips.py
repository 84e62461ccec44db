"""What the notebooks show of the flow of a video, and what where none was computed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from actionbook.core.sections import Data
from actionbook.datasets.dataset import Dataset
from actionbook.datasets.index import make_index
from actionbook.results.flow_strips import flow_pair, flow_strips, some_flow, stored_flow

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


def add_flow(dataset: Dataset) -> None:
    """Everything goes to the right by half of the bound."""
    assert dataset.flow_folder is not None
    folder = dataset.flow_folder / STORE
    folder.mkdir(parents=True)
    for number in range(FRAMES):
        for axis, value in (("x", 191), ("y", 128)):
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


def test_what_is_stored_is_shown(dataset: Dataset) -> None:
    add_flow(dataset)
    assert f"{FRAMES} frames" in stored_flow(dataset, STORE)
    rows = dict(flow_strips(dataset, STORE, flow_pair(dataset, STORE)))
    assert list(rows) == ["frames", "x, to the right", "y, down", "flow"]
    assert abs(int(rows["x, to the right"][0, 0, 0, 0]) - 191) <= 1
    flows = some_flow(dataset, index())
    bound = dataset.data.flow.bound
    assert len(flows) == len(range(1, FRAMES, 3))
    np.testing.assert_allclose(flows[0][..., 0], bound / 2, atol=bound / 50)


def test_where_no_flow_was_computed(dataset: Dataset) -> None:
    assert "no flow" in stored_flow(dataset, STORE)
    assert [what for what, _ in flow_strips(dataset, STORE, flow_pair(dataset, STORE))] == ["frames"]
    assert some_flow(dataset, index()) == []
