"""What a run takes, computed: numbers that could be checked by hand."""

from __future__ import annotations

import pytest

from actionbook.core.chapters import chapters
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.results.needs import Needs, pages, published_recipes, size
from actionbook.results.side_by_side import full_size, hours

BOOK = chapters()


def needs(name: str, **overrides: object) -> Needs:
    chapter, recipe = name.split("/")
    return Needs(Recipe.load(NOTEBOOKS / chapter / "recipes" / f"{recipe}.yaml", dict(overrides)))


def test_every_recipe_of_a_published_data_set_has_a_row_and_no_drawn_one() -> None:
    found = {f"{chapter.name}/{recipe.name}" for chapter, recipe in published_recipes(BOOK)}
    files = {path for path in NOTEBOOKS.glob("*/recipes/*.yaml") if path.stem != "mini"}
    assert found == {f"{path.parts[-3]}/{path.stem}" for path in files}
    made = pages(BOOK)
    assert made["needs_disk.md"].count("\n") == len(found) + 2
    for chapter in BOOK:
        whole = full_size(chapter.name)
        assert whole is not None
        (row,) = (
            line
            for line in made["needs_training.md"].splitlines()
            if line.startswith(f"| {chapter.title}, `{whole.name}` |")
        )
        assert row.endswith(f"| {hours(chapter.name) or '–'} |")
    assert "_released" not in made["needs_training.md"]


def test_clips_are_counted_as_they_are_tested() -> None:
    assert needs("eco/ucf101").tested_clips == [3783]
    assert needs("i3d/hmdb51").tested_clips == [1530, 1530]
    assert needs("efficient3d/ucf101").tested_clips == [3783 * 12]  # windows of 16 in the mean 186 frames
    assert needs("slowfast/ava22").tested_clips == [57408]  # 64 videos of 897 keyframes


def test_batches_have_every_input_of_every_stream() -> None:
    assert needs("eco/ucf101").batches_bytes == 3783 * 4 * 3 * 4 * 224 * 224
    assert needs("i3d/ucf101").batches_bytes == 3783 * 4 * (3 + 2) * 64 * 224 * 224
    slow, fast, boxes = 3 * 8 * 256 * 640, 3 * 32 * 256 * 640, 28 * 4
    assert needs("slowfast/ava22").batches_bytes == 57408 * 4 * (slow + fast + boxes)


def test_training_is_clips_times_epochs_times_operations_of_a_training_clip() -> None:
    (eco,) = needs("eco/ucf101").training
    assert eco == (9537, 30, pytest.approx(9537 * 30 * 16.10 / 1e6))
    rgb, flow = needs("i3d/ucf101").training
    assert (rgb[1], flow[1]) == (40, 60)
    assert flow[2] == pytest.approx(9537 * 60 * 102.34 / 1e6)
    assert needs("efficient3d/ucf101_released").training == []
    (twice,) = needs("eco/ucf101", training={"clips_per_video": 2}).training
    assert twice[0] == 2 * 9537
    (other,) = needs("eco/ucf101", transforms={"size": 112}).training
    assert other[2] is None  # nobody has counted the network with such clips


def test_what_nobody_states_is_no_number() -> None:
    assert needs("eco/ucf101").videos_bytes == 6932971618 + 113943
    for name in ("i3d/hmdb51", "stnet/kinetics400", "slowfast/ava22"):
        assert needs(name).videos_bytes is None
    assert needs("slowfast/ava22").answers_bytes is None
    assert needs("eco/ucf101").answers_bytes == 6 * 3783 * 101 * 4


def test_flow_takes_as_much_again() -> None:
    both, colours = needs("i3d/ucf101"), needs("eco/ucf101", data={"frames": both_frames()})
    assert both.frames_bytes == 2 * colours.frames_bytes


def both_frames() -> dict[str, object]:
    return dict(needs("i3d/ucf101").recipe.data.frames.model_dump())


@pytest.mark.parametrize(
    ("count", "text"), [(None, None), (1.06e11, "110 GB"), (4.5e12, "4.5 TB"), (740, "740 B"), (3.72e6, "3.7 MB")]
)
def test_sizes_have_two_digits(count: float | None, text: str | None) -> None:
    assert size(count) == text
