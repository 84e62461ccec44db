"""The chapters side by side: every one in every table, with its own numbers."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from matplotlib.figure import Figure

from actionbook.core.chapters import Chapter, chapters
from actionbook.core.recipe import Recipe
from actionbook.core.record import Record
from actionbook.models.specified import TABLE, Specified
from actionbook.results import side_by_side
from actionbook.results.pictures import size_against_cost
from actionbook.results.published import figure, summary
from actionbook.results.side_by_side import full_size, gmacs, network_of, pages

MakeRecord = Callable[..., Record]
BOOK = chapters()


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """All pages, without a record."""
    return pages(BOOK, [])


def cells(text: str) -> list[list[str]]:
    """The rows of a table without its head."""
    return [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]


def test_every_chapter_stands_in_every_table(made: dict[str, str]) -> None:
    for name in ("networks", "accuracy", "needs", "ladder"):
        first = [re.sub(r"^\[|\].*$|, \w+$", "", row[0]) for row in cells(made[f"papers_{name}.md"])]
        assert list(dict.fromkeys(first)) == [one.title for one in BOOK], name
    for chapter in BOOK:
        assert f"[{chapter.title}](../notebooks/{chapter.name}/index.md)\n: " in made["papers_ideas.md"]


@pytest.mark.parametrize("chapter", [one.name for one in BOOK])
def test_the_recipe_at_full_size_has_a_network_that_is_counted(chapter: str) -> None:
    recipe = full_size(chapter)
    assert recipe is not None
    assert recipe.name != "mini"
    assert not set(summary(chapter).accuracy).isdisjoint(recipe.published)
    for stream in recipe.stream_names:
        network = network_of(recipe.for_stream(stream))
        assert network is not None
        assert network.model == recipe.for_stream(stream).model.name


def test_numbers_are_those_of_the_network_and_its_input(made: dict[str, str]) -> None:
    rows = {row[0]: row[2:] for row in cells(made["papers_networks.md"])}
    assert rows["Efficient-3DCNNs"] == ["3 × 16 × 112 × 112", "101", "2,483,429", "0.519"]
    assert rows["I3D, flow"] == ["2 × 64 × 224 × 224", "101", "12,368,837", "102"]
    assert rows["StNet"] == ["3 × 35 × 224 × 224", "400", "33,158,864", "40.6"]


def test_operations_of_another_clip_than_the_tested_one_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Specified("eco_full", {}, {7: 1}, {(3, 4, 8, 8): "2.50 G"})
    monkeypatch.setattr(side_by_side, "TABLE", {**TABLE, "eco": (other,)})
    (row,) = (row for row in cells(pages(BOOK, [])["papers_networks.md"]) if row[0] == "ECO")
    assert row[2:] == ["3 × 4 × 224 × 224", "7", "1", "2.5 of 3 × 4 × 8 × 8"]


def test_of_several_networks_the_one_with_the_recipes_options_is_taken() -> None:
    recipe = full_size("stnet")
    assert recipe is not None
    grouped, dense = TABLE["stnet"]
    assert network_of(recipe) is grouped
    assert network_of(changed(recipe, xception="dense", max_pool="port")) is dense
    width = full_size("efficient3d")
    assert width is not None
    assert network_of(changed(width, width=0.3)) is None


def changed(recipe: Recipe, **options: float | str) -> Recipe:
    model = recipe.model.model_copy(update={"options": {**recipe.model.options, **options}})
    return recipe.model_copy(update={"model": model})


def test_operations_are_of_the_shape_that_is_wanted_or_of_the_first() -> None:
    network = Specified("x", {}, {5: 1}, {(3, 4, 8, 8): "2.50 G", (3, 8, 8, 8): "500.1 M"})
    assert gmacs(network, [(1, 1, 1, 1), (3, 8, 8, 8)]) == ((3, 8, 8, 8), pytest.approx(0.5001))
    assert gmacs(network, [(1, 1, 1, 1)]) == gmacs(network) == ((3, 4, 8, 8), 2.5)


def test_accuracies_have_the_digits_that_were_published(made: dict[str, str]) -> None:
    rows = cells(made["papers_accuracy.md"])
    assert ["StNet", "StNet-ResNet50", "Kinetics-400", "top-1", "69 %", "original"] in rows
    assert ["Efficient-3DCNNs", "3D-MobileNetV2 1.0x", "UCF101", "top-1", "81.13 %", "port"] in rows
    for chapter in BOOK:
        printed = [row[4] for row in rows if row[0] == chapter.title]
        shares = [100 * figure(key).share for key in summary(chapter.name).accuracy]
        assert [float(text.removesuffix(" %")) for text in printed] == pytest.approx(shares, abs=0.006)


def test_a_chapter_of_boxes_has_another_measure() -> None:
    found = pages([Chapter("slowfast", "SlowFast", ("01_data",), ())], [])
    assert [row[3:5] for row in cells(found["papers_accuracy.md"]) if row[0] == "SlowFast"] == [
        ["mAP", "24.9 %"],
        ["mAP", "21.74 %"],
    ]
    assert "[SlowFast](../notebooks/slowfast/index.md)\n: Few frames" in found["papers_ideas.md"]


def test_a_chapter_without_published_figures_is_left_out() -> None:
    assert pages([*BOOK, Chapter("nobody", "Nobody", (), ())], []) == pages(BOOK, [])


def test_claims_are_those_of_the_miniature_alone(make_record: MakeRecord, real_run: MakeRecord) -> None:
    text = pages(BOOK, [make_record(), real_run(3069)])["papers_miniature.md"]
    assert cells(text) == [["Efficient-3DCNNs", "clips beat frames", "85.0 % against 50.0 %", "holds"]]
    claim = {"claim": "it|fails", "holds": False, "shown": "s"}
    results = make_record().stages["03_training"].results.model_dump(mode="json")
    wrong = pages(BOOK, [make_record(stage_03={**results, "learns": [claim]})])["papers_miniature.md"]
    assert "| Efficient-3DCNNs | it\\|fails | s | **fails** |\n" in wrong
    assert "No record" in pages(BOOK, [])["papers_miniature.md"]


def test_rungs_are_those_of_the_status_page(make_record: MakeRecord) -> None:
    (row, *others) = cells(pages(BOOK, [make_record()])["papers_ladder.md"])
    assert row[1:] == ["shown", "shown", "shown", "shown", "not run here"]
    assert {state for other in others for state in other[1:]} == {"not run here"}


def test_the_picture_has_a_full_mark_for_each_network_of_the_table(
    made: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', made["papers_cost.md"])
    svg = base64.b64decode(source)
    assert ET.fromstring(svg).tag.endswith("svg")
    assert len(svg) < 100_000
    drawn: list[pd.DataFrame] = []

    def draw(table: pd.DataFrame) -> Figure:
        drawn.append(table)
        return size_against_cost(table)

    monkeypatch.setattr(side_by_side, "size_against_cost", draw)
    pages(BOOK, [])
    (points,) = drawn
    assert len(points) == sum(len(TABLE[one.name]) for one in BOOK)
    assert points.groupby("label", sort=False).main.sum().tolist() == [
        len(recipe.stream_names) for one in BOOK if (recipe := full_size(one.name))
    ]
    main = points[points.main & (points.label == "I3D")]
    assert main.gmacs.tolist() == [111.15, 102.34]
    assert main.parameters.tolist() == [12_390_789, 12_368_837]
