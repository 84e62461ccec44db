"""Wrong numbers of frames never make a clip of one picture: in others' loaders that cost ECO 10 to 15 points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.datasets.annotation_json import write_annotation_json
from actionbook.datasets.dataset import dataset_of
from actionbook.evaluation.predict import samples_of
from actionbook.stages.data import prepare_data, read
from actionbook.video.store import unpacked

Open = Callable[..., Stage]


@pytest.fixture
def given(tiny_stage: Open, tiny: Any, prepared: Any, tmp_path: Path) -> Callable[..., Stage]:
    """A function that opens a stage of segments over folders of frames and an annotation file, both after a change."""

    def make(*, rename: Callable[[int], int | None] = lambda n: n, **annotations: Any) -> Stage:
        for path in sorted(prepared.store.rglob("*.zip")):
            folder = tmp_path / "jpg" / path.relative_to(prepared.store).with_suffix("")
            folder.mkdir(parents=True)
            for name, jpeg in unpacked(path).items():
                if (number := rename(int(name[6:11]))) is not None:
                    (folder / f"image_{number:05d}.jpg").write_bytes(jpeg)
        file = tmp_path / "ucf101_01.json"
        write_annotation_json(prepared.index, tiny.manifest.classes, file)
        written = json.loads(file.read_text())
        for clip in written["database"].values():
            clip["annotations"] |= annotations
        file.write_text(json.dumps(written))
        data = {"frames_folder": str(tmp_path / "jpg"), "annotation_json": str(file)}
        return tiny_stage(data=data, sampling={"name": "segments", "frames": 4})

    return make


@pytest.mark.parametrize("segment", [[1, 2], [1, 1]])
def test_the_counts_of_an_annotation_file_are_not_believed(
    given: Callable[..., Stage], prepared: Any, segment: list[int]
) -> None:
    stage = given(segment=segment)
    done = prepare_data(read(stage))["tiny"]
    assert done.index.items.frames.tolist() == prepared.index.items.frames.tolist()
    samples = samples_of(stage, done.index.subset("train"))
    for number, count in enumerate(samples.index.items.frames):
        drawn = samples.train(number, np.random.default_rng(0))
        assert drawn.frames is not None
        assert (drawn.frames // (count // 4)).tolist() == [0, 1, 2, 3]
        assert len({drawn.inputs["image"][:, t].tobytes() for t in range(4)}) == 4
    noted = done.remarks.note.str.contains("1 frames expected")
    assert noted.sum() == (20 if segment == [1, 2] else 0)


def test_frames_whose_numbers_begin_elsewhere(given: Callable[..., Stage]) -> None:
    with pytest.raises(BookError, match=r"image_00001\.jpg is missing, the last frame is \d+; make the frames again"):
        prepare_data(read(given(rename=lambda number: number + 6)))


def test_a_program_that_wrote_the_first_frame_alone(given: Callable[..., Stage]) -> None:
    said = r"jpg: 14 of 14 videos have one frame, which all 4 frames of a clip would be: v_MoonWalk.*and 11 more"
    with pytest.raises(BookError, match=said):
        prepare_data(read(given(rename=lambda number: number if number == 1 else None)))


def test_frames_that_were_made_again_at_another_rate(given: Callable[..., Stage]) -> None:
    stage = given()
    done = prepare_data(read(stage))["tiny"]
    samples = samples_of(stage, done.index.subset("train"))
    row = samples.index.items.iloc[0]
    folder = dataset_of(stage).colour_store / row.store
    for path in sorted(folder.iterdir())[row.frames // 2 :]:
        path.unlink()
    said = rf"{row['item']}: holds {row.frames // 2} frames, the index says {row.frames}.*run notebook 01_data again"
    with pytest.raises(BookError, match=said):
        samples.train(0, np.random.default_rng(0))
