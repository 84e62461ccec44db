"""Published figures: they agree with each other, and mistakes in their files are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from actionbook.core.errors import BookError
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.results.published import FOLDER, check_ids, figure, figures, published, read_published

RECIPES = sorted(NOTEBOOKS.glob("*/recipes/*.yaml"))


def test_the_ports_accuracy_is_a_count_of_videos() -> None:
    top1, top5 = figure("efficient3d.port.top1"), figure("efficient3d.port.top5")
    assert (top1.correct, top1.expected, top5.correct) == (3069, 3783, 3643)
    assert str(top1) == "0.81126 = 3069/3783"
    for found in (top1, top5):
        assert found.correct is not None
        assert found.expected is not None
        assert round(found.correct / found.expected, 5) == found.value
        # no neighbouring count would have been printed with the same digits
        assert round((found.correct + 1) / found.expected, 5) != found.value


def test_the_papers_table() -> None:
    row = {key.rsplit(".", 1)[1]: f.value for key, f in figures().items() if ".mobilenetv2_1.0." in key}
    assert row == {
        "operations": 561,
        "parameters": 3.12,
        "titan_xp": 93,
        "jetson_tx2": 9,
        "kinetics600": 50.65,
        "jester": 94.59,
        "ucf101": 81.60,
    }
    assert figure("efficient3d.paper.mobilenetv2_1.0.ucf101").share == pytest.approx(0.816)
    widths = [figure(f"efficient3d.paper.mobilenetv2_{w}.parameters").value for w in ("0.2", "0.45", "0.7", "1.0")]
    assert widths == [0.96, 1.40, 2.05, 3.12]


@pytest.mark.parametrize("batch", [1, 4, 8, 16, 32, 64])
def test_throughput_ratios_follow_from_their_columns(batch: int) -> None:
    row = {
        column: figure(f"efficient3d.port_throughput.batch{batch}.{column}")
        for column in ("ascend310", "ascend310p", "t4", "ratio_310", "ratio_t4")
    }
    assert {f.batch for f in row.values()} == {batch}
    fast = row["ascend310p"].value
    assert row["ratio_310"].value == pytest.approx(fast / row["ascend310"].value, abs=2e-4)
    assert row["ratio_t4"].value == pytest.approx(fast / row["t4"].value, abs=2e-4)


def test_best_batch_is_the_greatest_of_each_column() -> None:
    for column in ("ascend310", "ascend310p", "t4"):
        values = [figure(f"efficient3d.port_throughput.batch{b}.{column}").value for b in (1, 4, 8, 16, 32, 64)]
        assert figure(f"efficient3d.port_throughput.best.{column}").value == max(values)


def test_table_of_a_chapter_says_where_each_figure_comes_from() -> None:
    table = published("efficient3d")
    assert table.index.is_unique
    assert table[["value", "unit", "protocol", "source", "where", "version"]].notna().all(axis=None)
    assert (table["metric"] == "clips_per_second").sum() == 21 * 2 + 7 * 3 + 6
    with pytest.raises(BookError, match=r"nothing\.yaml"):
        published("nothing")


def test_an_unknown_id_names_those_that_are_near() -> None:
    with pytest.raises(BookError, match=r"efficient3d\.port\.top1"):
        figure("efficient3d.port.top11")
    with pytest.raises(BookError, match="not a share"):
        _ = figure("efficient3d.paper.resnet18.titan_xp").share


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_recipes_aim_at_figures_that_exist(path: Path) -> None:
    check_ids(Recipe.load(path))


def test_a_recipe_with_an_unknown_id_is_found() -> None:
    recipe = Recipe.load(RECIPES[0], {"published": ["efficient3d.port.top2"]})
    with pytest.raises(BookError, match=rf"{recipe.name}, key 'published': .*top2"):
        check_ids(recipe)


def test_every_chapters_file_reads() -> None:
    assert [path.stem for path in sorted(FOLDER.glob("*.yaml")) if not read_published(path)] == []


ENTRY = {
    "id": "a",
    "system": "port",
    "what": "net",
    "dataset": "d",
    "metric": "top1",
    "unit": "fraction",
    "value": 0.5,
    "correct": 1,
    "expected": 2,
    "protocol": "p",
    "source": "s",
    "where": "w",
}
FILE: dict[str, Any] = {"chapter": "x", "sources": {"s": {"title": "t", "version": "v"}}, "figures": [ENTRY]}
COLUMN = {"metric": "top1", "unit": "percent", "protocol": "p"}
TABLE: dict[str, Any] = {"title": "t", "system": "paper", "source": "s", "where": "w", "columns": {"c": COLUMN}}


def write(folder: Path, data: dict[str, Any], name: str = "x.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(data))
    return path


def test_the_smallest_file_and_a_gap_in_a_table(tmp_path: Path) -> None:
    columns = {"c": COLUMN, "d": COLUMN}
    table = {**TABLE, "columns": columns, "rows": {"r": {"what": "net", "values": [50.0, None]}}}
    found = read_published(write(tmp_path, {**FILE, "tables": {"t": table}}))
    assert [f.id for f in found] == ["a", "t.r.c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 0.49}, "1/2 is 0.500000, not 0.49"),
        ({"expected": None}, "together"),
        ({"correct": 3}, "do not fit"),
        ({"unit": "clips/s"}, "fraction or percent"),
        ({"metric": "top3"}, "metric"),
        ({"source": "z"}, "unknown source 'z'"),
        ({"valeu": 1.0}, "did you mean 'value'"),
        ({"value": "0.5"}, "figures.0.value"),
    ],
)
def test_a_mistake_in_a_figure_is_an_error_that_names_the_file(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, {**FILE, "figures": [{**ENTRY, **change}]})
    with pytest.raises(BookError, match=r"x\.yaml") as caught:
        read_published(path)
    assert message in str(caught.value)


def test_a_short_row_a_double_id_and_a_wrong_name_are_errors(tmp_path: Path) -> None:
    table = {**TABLE, "rows": {"r": {"what": "net", "values": [1.0, 2.0]}}}
    with pytest.raises(BookError, match="2 values for 1 columns"):
        read_published(write(tmp_path, {**FILE, "tables": {"t": table}}))
    with pytest.raises(BookError, match="twice: a"):
        read_published(write(tmp_path, {**FILE, "figures": [ENTRY, ENTRY]}))
    with pytest.raises(BookError, match=r"name the file x\.yaml"):
        read_published(write(tmp_path, FILE, "y.yaml"))
