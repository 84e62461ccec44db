"""One table over `list_models`: exact counts at full size, and what a narrow network of each makes of one clip.

The golden runs of the authors' programs, and multiply-accumulates at full size, are the notebooks' 02: they run there
once, and `make test` holds the notebooks to it. `narrow_golden.json` was written by this library when all of them
agreed, so that a network that changes is noticed here, within the second.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.spec import Spec
from actionbook.models import create_model, list_models
from actionbook.models import specified as table
from actionbook.models.layers import Dropout, undrawn
from actionbook.models.profile import count_parameters
from actionbook.models.specified import Specified, of_chapter, specified
from actionbook.weights import WeightsError, export_state, load
from actionbook.weights.golden import Golden, agreement, golden_runs, rule_made

NARROW = json.loads((Path(__file__).parent / "data" / "narrow_golden.json").read_text())
ALL = [one for chapter in table.TABLE for one in of_chapter(chapter)]
NEVER_RUN = {"resnet101_3d"}  # the authors' program gives its counts alone
COMPILED = ["resnet18_3d", "shufflenetv2_3d", "squeezenet_3d"]


def narrow(model: str, **changes: Any) -> tuple[Golden, nn.Cell]:
    """What the narrow network of this name should give, and that network, or with `changes` another one."""
    case = NARROW["networks"][model]
    options, classes, spec = (
        case["options"] | changes,
        NARROW["num_classes"],
        Spec(case.get("inputs", NARROW["inputs"])),
    )
    network = create_model(model, num_classes=classes, **options)
    tensors = tuple((name, array.shape) for name, array in export_state(network).items())
    load(network, rule_made(tensors))
    logits, boxes = np.atleast_2d(case["logits"]), (np.array(case["boxes"]),) if "boxes" in case else None
    golden = Golden(model, model, options, classes, spec, "okankop", tensors, case["stages"], logits, boxes=boxes)
    return golden, network


def test_every_network_stands_in_the_table() -> None:
    assert {one.model for one in ALL} == set(list_models()) == set(NARROW["networks"])
    assert len({one.name for one in ALL}) == len(ALL)
    assert {one.model for one in ALL if one.golden} == set(list_models()) - NEVER_RUN
    assert all(one.macs and one.parameters for one in ALL)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_parameters_are_the_originals(one: Specified) -> None:
    rows = one.counts(macs=False)
    assert len(rows) == len(one.parameters)
    assert [row["found"] for row in rows] == [row["expected"] for row in rows]


@pytest.mark.parametrize("model", list_models())
def test_narrow_networks_give_what_they_gave(model: str) -> None:
    golden, network = narrow(model)
    row = agreement(golden, network).row
    assert row["relative_difference"] < row["tolerance"]
    if model in COMPILED:
        compiled = network(*map(Tensor, golden.batch.values())).asnumpy()
        assert np.abs(compiled - golden.logits).max() < row["tolerance"] * golden.logits.std()


DROPOUT = {name: [0.2] for name in ("mobilenet_3d", "mobilenetv2_3d", "shufflenet_3d", "shufflenetv2_3d")}
DROPOUT |= {"squeezenet_3d": [0.5], "i3d": [0.5], "eco_full": [0.6, 0.5], "eco_lite": [0.6]}
DROPOUT |= {"slowfast_r50": [0.5]}
"""okankop/Efficient-3DCNNs, models/*.py; kinetics-i3d and its ports: i3d.py; ECO-efficient-video-understanding,
models_ECO_*/ucf101, of the features in two and in three dimensions; SlowFast, configs/AVA/SLOWFAST_32x2_R50_SHORT.yaml.
The ResNets and StNet have none."""
NORMS = {"i3d": (1e-3, 0.99)}
"""eps, and the share of the running statistics that a step keeps: pytorch-i3d; of all others PyTorch's defaults."""


@pytest.mark.parametrize("model", list_models())
def test_what_only_training_shows(model: str) -> None:
    with undrawn():
        network = create_model(model, num_classes=3, **NARROW["networks"][model]["options"])
    cells = [cell for _, cell in network.cells_and_names()]
    assert [cell.rate for cell in cells if isinstance(cell, Dropout)] == DROPOUT.get(model, [])
    norms = {(cell.eps, float(cell.momentum)) for cell in cells if isinstance(cell, nn.BatchNorm2d)}
    assert {(eps, round(1 - momentum, 9)) for eps, momentum in norms} == {NORMS.get(model, (1e-5, 0.9))}


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("i3d", {"head": "max"}),
        ("i3d", {"eps": 1e-1}),
        ("shufflenet_3d", {"groups": 1}),
        ("eco_full", {"pools": "port"}),
        ("eco_lite", {"pools": "port"}),
        ("eco_full", {"eps": 1e-3}),
        ("stnet_resnet50", {"max_pool": "port"}),
        ("stnet_resnet50", {"eps": 1e-4}),
        ("slowfast_r50", {"roi": "unaligned"}),
        ("slowfast_r50", {"roi": "port"}),
    ],
)
def test_another_network_does_not_agree(model: str, changes: dict[str, Any]) -> None:
    row = agreement(*narrow(model, **changes)).row
    assert row["relative_difference"] > 10 * row["tolerance"]


def test_tensors_without_a_place_are_an_error() -> None:
    golden, _ = narrow("resnet18_3d")
    with pytest.raises(WeightsError, match="downsample"):
        replace(golden, options=golden.options | {"shortcut": "B"}).network()


@pytest.mark.parametrize("name", ["mobilenet_3d width 0.5", "squeezenet_3d version 1.1", "i3d in_channels 2"])
def test_only_the_head_knows_the_classes(name: str) -> None:
    one = next(one for one in ALL if one.name == name)
    classes, expected = list(one.parameters.items())[-1]
    assert count_parameters(create_model(one.model, num_classes=classes, **one.options)) == expected


def test_counts_are_rows_of_found_and_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = (3, 16, 112, 112)
    right = Specified("mobilenet_3d", {"width": 0.5}, {600: 1_171_896, 101: 915_909}, {clip: "94.02 M"})
    wrong = Specified("mobilenet_3d", {"width": 0.5}, {600: 1_171_897}, {clip: "0.10 G"})
    monkeypatch.setattr(table, "TABLE", {"made": (right, wrong)})
    rows = specified("made")
    assert [(row["what"], row["found"]) for row in rows[:3]] == [
        ("parameters, mobilenet_3d width 0.5, 600 classes", 1_171_896),
        ("parameters, mobilenet_3d width 0.5, 101 classes", 915_909),
        ("million MACs at 16 frames, mobilenet_3d width 0.5, 600 classes", 94.02),
    ]
    assert [row["found"] == row["expected"] for row in rows] == [True] * 3 + [False] * 2
    assert (rows[-1]["what"].split()[0], rows[-1]["found"]) == ("GMACs", 0.09)


def test_sizes_of_frames_are_told_where_their_number_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    macs = {(3, 16, 32, 32): "1 M", (3, 16, 32, 64): "1 M", (3, 32, 32, 32): "1 M"}
    taken: list[Spec] = []

    def takes(shape: tuple[int, ...]) -> Spec:
        taken.append(Spec.of(shape))
        return taken[-1]

    one = Specified("mobilenet_3d", {"width": 0.25}, {5: 1}, macs, takes=takes)
    monkeypatch.setattr(table, "TABLE", {"made": (one,)})
    rows = specified("made")
    starts = [row["what"].partition(",")[0] for row in rows[1:]]
    assert starts == [
        f"million MACs at {clip}" for clip in ("16 frames of 32 x 32", "16 frames of 32 x 64", "32 frames")
    ]
    assert [spec.single for spec in taken] == ["image"] * 3
    assert table.counts_table(rows).shape == (1, 4)


def test_a_chapter_without_networks() -> None:
    with pytest.raises(BookError, match=r"'a paper'.*efficient3d, i3d"):
        specified("a paper")


@pytest.mark.parametrize("chapter", list(table.TABLE))
def test_golden_runs_are_those_of_the_table(chapter: str) -> None:
    runs = golden_runs(chapter)
    assert [run.name for run in runs] == [name for one in of_chapter(chapter) for name in one.golden]
    sizes = set()
    for run in runs:
        assert run.logits.shape[1] == run.num_classes
        assert run.stages
        clips = [shape for shape in run.spec.inputs.values() if len(shape) == 4]
        assert {clip[0] for clip in clips} == {run.options.get("in_channels", 3)}
        sizes.add(clips[0][2:])
    assert sizes & {shape[2:] for one in of_chapter(chapter) for shape in one.macs}
