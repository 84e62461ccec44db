"""Published figures: they agree with each other, and mistakes in their files are found."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from actionbook.core.errors import BookError
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.results.published import FOLDER, aims_of, figure, figures, published, read_published
from actionbook.results.scoreboard import scoreboard

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


def values(pattern: str, chapter: str = "i3d") -> dict[str, float]:
    """Values of the chapter whose ids match, by the rest of the id."""
    return {m[1]: f.value for key, f in figures().items() if (m := re.fullmatch(rf"{chapter}\.{pattern}", key))}


def test_the_i3d_ports_table() -> None:
    found = values(r"port\.(.*)")
    assert found == {
        "hmdb51.rgb": 0.524,
        "hmdb51.flow": 0.591,
        "hmdb51.joint": 0.652,
        "ucf101.rgb": 0.854,
        "ucf101.flow": 0.868,
        "ucf101.joint": 0.925,
        "hmdb51.rgb_310": 81.364,
    }
    for key, quoted in (
        ("hmdb51.rgb", "0.498"),
        ("hmdb51.flow", "0.619"),
        ("hmdb51.joint", "0.664"),
        ("ucf101.rgb", "0.845"),
        ("ucf101.flow", "0.906"),
        ("ucf101.joint", "0.934"),
    ):
        assert f"calls {quoted} the paper's" in (figure(f"i3d.port.{key}").note or "")
        assert figure(f"i3d.port.{key}").split == 1
        # What the README calls the paper's is the row of the networks that never saw Kinetics.
        dataset, stream = key.split(".")
        row = f"i3d.paper.table2.i3d_{stream.replace('joint', 'both')}.{dataset}"
        assert figure(row).share == pytest.approx(float(quoted))


def test_the_i3d_ports_training() -> None:
    rows = {
        "hmdb51_rgb": ((40, 8, 2200, 5508.7, 1.30), (14.46, 6.37, 4.59, 2.43, 3.63)),
        "hmdb51_flow": ((60, 16, 2100, 5147.5, 2.06), (15.53, 5.65, 4.91, 1.77, 2.97)),
        "ucf101_rgb": ((40, 8, 1550, 2506.9, 2.80), (4.17, 2.91, 1.77, 1.20, 1.18)),
        "ucf101_flow": ((60, 16, 600, 1508.0, 1.44), (3.07, 2.48, 2.62, 0.451, 0.531)),
    }
    for row, (costs, losses) in rows.items():
        assert tuple(values(rf"port_training\.{row}\.(.*)").values()) == costs
        assert tuple(values(rf"port_loss\.{row}\.(.*)").values()) == losses
        epochs, _, step, _, hours = costs
        steps = 56 if "hmdb51" in row else 148
        assert epochs * steps * step / 3.6e6 == pytest.approx(hours, rel=0.1)  # the total is that of its parts


def test_the_i3d_ports_offline_figure_is_a_count_of_training_videos() -> None:
    found = figure("i3d.port.hmdb51.rgb_310")
    assert (found.correct, found.expected) == (358, 440)
    assert "training videos" in found.protocol
    assert "not to be reproduced" in str(found.note)
    # One of eight shards of 3,570 training videos holds 447; without its last, incomplete batch of 8 these remain.
    shard = -(-3570 // 8)
    assert 8 * (-(-shard // 8) - 1) == found.expected
    # It is the only number of whole batches up to a shard's size that gives this value; the test list gives it never.
    fitting = [n for n in range(8, shard + 8, 8) if any(round(100 * k / n, 3) == found.value for k in range(n + 1))]
    assert fitting == [440]
    for videos in (1528, 1530):
        assert all(round(100 * k / videos, 3) != found.value for k in range(videos + 1))


def test_the_i3d_papers_table_2() -> None:
    rows: dict[str, tuple[float | None, ...]] = {
        "lstm_rgb": (81.0, 36.0, 63.3),
        "convnet3d_rgb": (51.6, 24.3, 56.1),
        "two_stream_rgb": (83.6, 43.2, 62.2),
        "two_stream_flow": (85.6, 56.3, 52.4),
        "two_stream_both": (91.2, 58.3, 65.6),
        "fused_rgb": (83.2, 49.2, None),
        "fused_flow": (85.8, 55.5, None),
        "fused_both": (89.3, 56.8, 67.2),
        "i3d_rgb": (84.5, 49.8, 71.1),
        "i3d_flow": (90.6, 61.9, 63.4),
        "i3d_both": (93.4, 66.4, 74.2),
    }
    columns = ("ucf101", "hmdb51", "kinetics400")
    expected = {
        f"{r}.{c}": v for r, cells in rows.items() for c, v in zip(columns, cells, strict=True) if v is not None
    }
    assert values(r"paper\.table2\.(.*)") == expected


def test_the_i3d_papers_tables_3_4_and_5() -> None:
    assert values(r"paper\.table3\.i3d_(.*)") == {
        "rgb_imagenet.top1": 71.1, "rgb_imagenet.top5": 89.3, "flow_imagenet.top1": 63.4, "flow_imagenet.top5": 84.9,
        "both_imagenet.top1": 74.2, "both_imagenet.top5": 91.3, "rgb_scratch.top1": 68.4, "rgb_scratch.top5": 88.0,
        "flow_scratch.top1": 61.5, "flow_scratch.top5": 83.4, "both_scratch.top1": 71.6, "both_scratch.top5": 90.0,
    }  # fmt: skip
    assert values(r"paper\.table4\.i3d_(.*)") == {
        "original_imagenet.ucf101": 93.4, "original_scratch.ucf101": 88.8, "fixed_imagenet.ucf101": 97.7,
        "fixed_scratch.ucf101": 97.4, "tuned_imagenet.ucf101": 98.0, "tuned_scratch.ucf101": 97.6,
        "original_imagenet.hmdb51": 66.4, "original_scratch.hmdb51": 62.2, "fixed_imagenet.hmdb51": 79.7,
        "fixed_scratch.hmdb51": 78.6, "tuned_imagenet.hmdb51": 81.2, "tuned_scratch.hmdb51": 81.3,
    }  # fmt: skip
    assert values(r"paper\.table5\.((?:ucf101|hmdb51)\..*)") == {
        "ucf101.rgb": 95.6, "ucf101.flow": 96.7, "ucf101.both": 98.0,
        "hmdb51.rgb": 74.8, "hmdb51.flow": 77.1, "hmdb51.both": 80.7,
    }  # fmt: skip
    assert values(r"paper\.table5\.kinetics_(.*)") == {
        "rgb.ucf101": 95.1, "rgb.hmdb51": 74.3, "flow.ucf101": 96.5, "flow.hmdb51": 77.3,
        "both.ucf101": 97.8, "both.hmdb51": 80.9,
    }  # fmt: skip
    assert values(r"paper\.table1\.(.*)\.parameters") == {
        "lstm": 9, "convnet3d": 79, "two_stream": 12, "fused": 39, "i3d": 25,
    }  # fmt: skip
    assert len(values(r"paper\.table3\.(.*)")) == 11 + 2 * 6
    assert len(values(r"paper\.table4\.(.*)")) == 27 * 2
    assert len(values(r"paper\.table5\.(.*)")) == 6 + 14 * 2 - 4


def test_the_i3d_papers_tables_agree_with_each_other() -> None:
    """The same network, data and start stand in several tables."""
    table2, table3 = values(r"paper\.table2\.(.*)"), values(r"paper\.table3\.(.*)\.top1")
    starts = {"convnet3d": "scratch"}  # the only network of table 2 without ImageNet
    for key in [key for key in table2 if key.endswith(".kinetics400")]:
        row = key.removesuffix(".kinetics400")
        assert table3[f"{row}_{starts.get(row.split('_')[0], 'imagenet')}"] == table2[key]
    table4 = values(r"paper\.table4\.(.*)")
    for network in ("two_stream", "fused", "i3d"):
        for dataset in ("ucf101", "hmdb51"):
            assert table4[f"{network}_original_imagenet.{dataset}"] == table2[f"{network}_both.{dataset}"]


@pytest.mark.parametrize("stream", ["rgb", "flow", "both"])
def test_what_i3d_aims_at_is_comparable_with_every_split(stream: str) -> None:
    for dataset in ("ucf101", "hmdb51"):
        found = figure(f"i3d.paper.table5.{dataset}.{stream}")
        assert (found.dataset, found.split, found.table) == (dataset, None, None)
        assert "ImageNet and Kinetics-400" in found.protocol
        assert found.share > figure(f"i3d.paper.table2.i3d_{stream}.{dataset}").share


def test_the_eco_ports_tables() -> None:
    assert values(r"port\.(.*)", "eco") == {
        "ucf101.npu": 88.4, "hmdb51.npu": 59.8, "ucf101.om": 0.8837, "hmdb51.om": 0.5980,
    }  # fmt: skip
    assert values(r"port_accuracy\.(.*)", "eco") == {
        "required.ucf101": 87.4, "required.hmdb51": 58.1, "gpu.ucf101": 88.1, "gpu.hmdb51": 58.6,
    }  # fmt: skip
    assert values(r"port_speed\.(.*)", "eco") == {
        "batch4.v100": 49, "batch4.ascend910": 70, "batch8.v100": 61, "batch8.ascend910": 90,
        "batch16.v100": 69, "batch16.ascend910": 98,
    }  # fmt: skip
    assert values(r"port_offline\.ucf101\.(.*)", "eco") == {"top1": 88.4, "top5": 98.2}
    assert values(r"port_mindspore\.(.*)", "eco") == {
        "ascend910.top1": 88.03, "ascend910.top5": 98.04, "ascend310.top1": 88.06, "ascend310.top5": 98.04,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "correct", "videos", "digits"),
    [
        ("port.ucf101.om", 3343, 3783, 4),
        ("port.hmdb51.om", 915, 1530, 4),
        ("port_mindspore.ascend910.top1", 3324, 3776, 4),
        ("port_mindspore.ascend310.top1", 3325, 3776, 4),
        ("port_mindspore.ascend910.top5", 3702, 3776, 4),
    ],
)
def test_what_ports_of_eco_print_is_one_count_of_videos(key: str, correct: int, videos: int, digits: int) -> None:
    printed = round(figure(f"eco.{key}").share, digits)
    assert [n for n in range(videos + 1) if round(n / videos, digits) == printed] == [correct]
    assert figure(f"eco.{key}").correct in (None, correct)


def test_what_was_required_of_the_eco_port_is_another_network() -> None:
    """ECO Lite's, while ECO Full was trained; its own figures in the paper are higher on both data sets."""
    for dataset in ("ucf101", "hmdb51"):
        required = figure(f"eco.port_accuracy.required.{dataset}").share
        lite, full = (figure(f"eco.paper.{one}4.{dataset}").share for one in ("lite", "full"))
        assert required == lite
        assert lite < figure(f"eco.port.{dataset}.npu").share < full


def test_figures_of_eco_that_nobody_compared_with_the_paper_say_so() -> None:
    doubtful = {
        key.split(".")[1]
        for key, f in figures().items()
        if (f.chapter, f.system) == ("eco", "paper") and re.search("second-hand|uncertain", f.version)
    }
    assert doubtful == {"paper_quoted", "paper_unchecked", "cost_quoted"}
    kinds = [values(rf"{table}\.(.*)", "eco") for table in ("paper", "paper_quoted", "paper_unchecked")]
    assert sum(len(kind) for kind in kinds) == len({key for kind in kinds for key in kind}), "said in one place only"


def test_the_eco_papers_table() -> None:
    assert values(r"paper\.((?:lite|full).*)", "eco") == {
        "lite4.speed": 237.3, "lite4.ucf101": 87.4, "lite4.hmdb51": 58.1,
        "full4.speed": 163.4, "full4.ucf101": 90.3, "full4.hmdb51": 61.7,
        "full12.speed": 52.6, "full12.ucf101": 92.4, "full12.hmdb51": 68.3,
        "full20.speed": 32.9, "full20.ucf101": 93.0, "full20.hmdb51": 69.0,
        "full24.speed": 28.2, "full24.ucf101": 93.6, "full24.hmdb51": 68.4,
    }  # fmt: skip
    assert figure("eco.paper.i3d.ucf101").value == figure("i3d.paper.table5.ucf101.rgb").value
    assert figure("eco.paper.i3d.hmdb51").value == figure("i3d.paper.table5.hmdb51.rgb").value
    assert figure("eco.paper_quoted.full16.ucf101").value == 92.8


def test_accuracies_on_the_page_of_eco_are_those_published() -> None:
    page = (NOTEBOOKS / "eco" / "index.md").read_text(encoding="utf-8")
    printed = {float(number) for number in re.findall(r"(\d\d\.\d) %", page)}
    known = {round(100 * f.share, 1) for f in figures().values() if f.chapter == "eco" and f.metric == "top1"}
    assert len(printed) > 10
    assert printed <= known


def test_the_cost_quoted_of_eco_is_that_of_the_network() -> None:
    """16.10 thousand million multiply-accumulates for 4 segments, and all but the classifier are once a segment."""
    assert figure("eco.cost_quoted.full8.operations").value == pytest.approx(2 * 16_100, rel=0.01)
    assert figure("eco.cost_quoted.full8.parameters").value == pytest.approx(47_502_128 / 1e6, abs=0.05)


def test_the_slowfast_ports_figures() -> None:
    npu, card, released = (figure(f"slowfast.{key}") for key in ("port.ava22", "port.ava22.ascend310", "hub.ava22"))
    assert (npu.value, card.value, released.value) == (0.2173776249697695, 0.21723233494686453, 21.93)
    assert {(f.dataset, f.split, f.metric) for f in (npu, card, released)} == {("ava", 1, "mAP")}
    assert npu.protocol == card.protocol == released.protocol
    assert "57,408" in (npu.note or "")  # 64 videos of 897 seconds, the first 902, the last 1798
    assert 64 * (1798 - 902 + 1) == 57_408
    copy = values(r"port_doubtful\.(.*)", "slowfast")
    assert copy == {"gpu.ava": npu.value, "introduction.ava_v2_1": 28.3, "introduction.kinetics400": 79.0}
    chips = [values(rf"port_ap\.{chip}_(.*)\.ap", "slowfast") for chip in ("ascend910", "ascend310")]
    assert set(chips[1]) - set(chips[0]) == {"touch"}
    assert max(abs(value - chips[1][key]) for key, value in chips[0].items()) < 4e-4


def test_what_the_port_of_slowfast_prints_of_time_and_loss() -> None:
    times = values(r"port_training\.(.*)", "slowfast")
    assert 20 * 3056 * times["ascend.step"] / 3.6e6 == pytest.approx(times["ascend.total"], abs=0.05)
    assert 20 * 3056 * times["gpu.step"] / 3.6e6 == pytest.approx(25.5, abs=0.05)  # not the 30.6 that stand there
    assert times["gpu.total"] == 30.6
    for key, loss in values(r"port_loss\.(.*)", "slowfast").items():
        assert (loss > 0.6932) == key.startswith("ascend"), key  # ln 2, of a sigmoid that knows nothing


def test_what_the_paper_of_slowfast_has_in_place_of_what_is_quoted() -> None:
    paper = values(r"paper_(?:ava2.|kinetics)\.(.*)", "slowfast")
    assert not {28.3, 79.0} & set(paper.values())
    assert (paper["r101_boxes.ava_v2_1"], paper["r101_nl.top1"]) == (28.2, 79.8)
    assert paper["r50_8x8.operations"] == 65_700  # what is counted: 65.708 thousand million
    authors, port = figure("slowfast.original.ava22"), figure("slowfast.port.ava22")
    assert authors.share - port.share == pytest.approx(0.0316, abs=1e-4)


def test_accuracies_on_the_page_of_slowfast_are_those_published() -> None:
    page = (NOTEBOOKS / "slowfast" / "index.md").read_text(encoding="utf-8")
    printed = {float(number) for number in re.findall(r"\b(2\d\.\d\d?)(?! hours)\b", page)}
    known = [f.share for f in figures().values() if f.chapter == "slowfast" and f.metric == "mAP"]
    assert len(printed) >= 8
    assert printed - {25.5} <= {round(100 * share, digits) for share in known for digits in (1, 2)}


@pytest.mark.parametrize("chapter", sorted({f.chapter for f in figures().values()}))
def test_every_figure_of_a_table_has_a_cell_of_its_own(chapter: str) -> None:
    """Columns or rows of the same name would hide each other."""
    for part in scoreboard(chapter, []).split("::::{dropdown} ")[1:]:
        title, _, rest = part.partition("\n")
        rows = [line for line in rest.splitlines() if line.startswith("| ")]
        cells = [one for line in rows[2:] for one in line.split(" | ")[1:] if one.strip(" |") != "–"]
        assert len(cells) == sum(f.chapter == chapter and f.table == title for f in figures().values()), title


def test_a_speed_without_a_batch_is_shown_without_one() -> None:
    page = scoreboard("eco", [])
    assert "| one GPU, clips/s |" in page
    assert "None" not in page


def test_an_unknown_id_names_those_that_are_near() -> None:
    with pytest.raises(BookError, match=r"efficient3d\.port\.top1"):
        figure("efficient3d.port.top11")
    with pytest.raises(BookError, match="not a share"):
        _ = figure("efficient3d.paper.resnet18.titan_xp").share


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_recipes_aim_at_figures_that_exist(path: Path) -> None:
    assert set(aims_of(Recipe.load(path))) <= set(figures())


def test_a_recipe_with_an_unknown_id_is_found() -> None:
    recipe = Recipe.load(RECIPES[0], {"published": ["efficient3d.port.top2"]})
    with pytest.raises(BookError, match=rf"{recipe.name}, key 'published': .*top2"):
        aims_of(recipe)


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
FILE: dict[str, Any] = {
    "chapter": "x",
    "summary": {"idea": "i", "accuracy": ["a"]},
    "sources": {"s": {"title": "t", "version": "v"}},
    "figures": [ENTRY],
}
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accuracy": ["aa"]}, "summary.accuracy: no figure 'aa' in fraction or percent; near it: a"),
        ({"accuracy": []}, "summary.accuracy': expected a list"),
        ({"time": ["a"]}, "summary.time: no figure 'a' in hours; near it: none"),
    ],
)
def test_a_summary_names_figures_of_its_file(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path, {**FILE, "summary": {**FILE["summary"], **change}})
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
