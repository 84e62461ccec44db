"""The nine 3-D networks of Efficient-3DCNNs: the original program's outputs, stage by stage, and its exact counts.

The 14 golden networks run once each, operator by operator; what the tests ask for is noted on the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mindspore import Tensor, nn

from actionbook.models import create_model, list_models
from actionbook.models.layers import set_grouped_form
from actionbook.models.profile import count_parameters, layer_table
from actionbook.weights import LoadReport, load
from actionbook.weights.golden import EFFICIENT3D, GoldenNetwork, rule_made

GOLDEN = json.loads((Path(__file__).parent / "data" / "efficient3d_golden.json").read_text())["nets"]
TENSORS = {
    "mobilenetv2_3d": 262,
    "mobilenet_3d": 137,
    "shufflenet_3d": 247,
    "shufflenetv2_3d": 282,
    "squeezenet_3d": 152,
    "resnet18_3d": 87,
    "resnet50_3d": 267,
    "resnext101_3d": 522,
}
# These are compiled too. The tests of the exporter hold a compiled MobileNetV2 to its golden logits.
COMPILED = {"shufflenetv2_0.25x", "squeezenet1.1", "resnet18_A"}


@dataclass(frozen=True)
class Count:
    """Trainable parameters with 600 and 101 classes, multiply-accumulates with 600, as the original's layers have."""

    at_600: int
    at_101: int
    millions: str
    at_27: int | None = None

    def is_that_of(self, table: pd.DataFrame, classes: int) -> None:
        """Assert it of the layer table of a network with that many classes: only its last layer knows how many."""
        for wanted, parameters in ((600, self.at_600), (101, self.at_101), (27, self.at_27)):
            if parameters is not None:
                assert with_classes(table.parameters, classes, wanted) == parameters
        tolerance = 10 ** -len(self.millions.partition(".")[2]) * 1e6
        assert with_classes(table.macs, classes, 600) == pytest.approx(float(self.millions) * 1e6, abs=tolerance)


def with_classes(column: pd.Series, classes: int, wanted: int) -> int:
    *rest, last = column
    assert last % classes == 0
    return sum(rest) + last // classes * wanted


# The golden networks; measured with the original program.
COUNTS = {
    "mobilenetv2_1.0x": Count(3_122_648, 2_483_429, "519.05", 2_388_635),
    "mobilenetv2_0.45x": Count(1_399_834, 760_615, "157.96"),
    "mobilenet_1.0x": Count(3_912_984, 3_401_509, "233.03", 3_325_659),
    "mobilenet_0.5x": Count(1_171_896, 915_909, "94.02"),
    "shufflenet_1.0x_g3": Count(1_521_504, 1_041_965, "187.71", 970_851),
    "shufflenet_0.5x_g3": Count(545_772, 305_753, "71.96"),
    "shufflenet_1.5x_g3": Count(2_924_916, 2_205_857, "329.19"),
    "shufflenetv2_1.0x": Count(1_914_180, 1_402_705, "186.54", 1_326_855),
    "shufflenetv2_0.25x": Count(829_656, 318_181, "110.47"),
    "squeezenet1.1": Count(2_145_560, 1_889_573, "902.61", 1_851_611),
    "squeezenet1.0": Count(2_239_768, 1_983_781, "5641.9"),
    "resnet18_A": Count(33_337_880, 33_081_893, "8296.4", 33_043_931),
    "resnet50_B": Count(47_428_376, 46_405_925, "10069.7"),
    "resnext101_B": Count(48_750_616, 47_728_165, "9568.1", 47_576_539),
}
OTHERS: list[tuple[str, dict[str, Any], Count]] = [
    ("shufflenet_3d", {"width": 2.0}, Count(4_758_888, 3_800_309, "514.45")),
    ("shufflenetv2_3d", {"width": 0.5}, Count(976_664, 465_189, "119.92")),
    ("shufflenetv2_3d", {"width": 1.5}, Count(3_161_880, 2_650_405, "280.86")),
    ("shufflenetv2_3d", {"width": 2.0}, Count(6_639_816, 5_617_365, "424.91")),
    ("mobilenet_3d", {"width": 1.5}, Count(8_223_864, 7_456_901, "417.03")),
    ("mobilenet_3d", {"width": 2.0}, Count(14_104_536, 13_082_085, "646.02")),
    ("mobilenetv2_3d", {"width": 0.2}, Count(964_110, 324_891, "54.90")),
    ("mobilenetv2_3d", {"width": 0.7}, Count(2_049_942, 1_410_723, "295.70")),
    ("resnet18_3d", {"shortcut": "B"}, Count(33_511_704, 33_255_717, "8308.1")),
    ("resnet101_3d", {"shortcut": "B"}, Count(86_474_520, 85_452_069, "13891.1")),
]
# Without the convolutions and norms of the shortcuts, the networks of shortcut B are those of shortcut A.
SHORTCUT_A = {
    "resnet18_3d": Count(33_337_880, 33_081_893, "8296.4", 33_043_931),
    "resnet50_3d": Count(44_651_800, 43_629_349, "9779.3"),
    "resnet101_3d": Count(83_697_944, 82_675_493, "13600.7"),
}


@dataclass
class Run:
    """One golden network and what it made of the golden clip."""

    case: GoldenNetwork
    network: nn.Cell
    report: LoadReport
    clip: Tensor
    logits: np.ndarray = field(default_factory=lambda: np.empty(0))
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def golden(self) -> dict[str, Any]:
        """What the original program made of it."""
        return GOLDEN[self.case.name]


def summary(array: np.ndarray) -> dict[str, Any]:
    wide = array.astype(np.float64)
    return {"shape": list(array.shape), "mean": wide.mean(), "std": wide.std(ddof=1), "first": wide.flat[0]}


def pooled(array: np.ndarray) -> np.ndarray:
    """The mean over T, H and W as the original's pooling leaves it: (N, C, 1, 1, 1)."""
    return array.reshape(*array.shape[:2], -1).mean(axis=2)[..., None, None, None]


# Stages of the original that end with its pooling, which is a mean here and no cell: the cell before it.
WITH_POOLING = {("res", "avgpool"): ("layer4", pooled), ("squ", "classifier"): ("classifier", pooled)}


@pytest.fixture(scope="module", params=EFFICIENT3D, ids=lambda case: case.name)
def run(request: pytest.FixtureRequest) -> Run:
    case = request.param
    network = create_model(case.model, num_classes=101, **case.options)
    report = load(network, rule_made(GOLDEN[case.name]["tensors"]), "okankop")
    clip = Tensor(np.random.RandomState(0).standard_normal((1, 3, 16, 112, 112)).astype(np.float32))
    found = Run(case, network, report, clip)
    cells = {"logits": network, **dict(network.cells_and_names())}

    def note(stage: str, name: str, view: Callable[[np.ndarray], np.ndarray]) -> Any:
        def hook(_cell: nn.Cell, _inputs: Any, output: Tensor) -> None:
            array = view(output.asnumpy())
            found.stages[stage] = summary(array)
            if stage == "logits":
                found.logits = array[0]

        return cells[name].register_forward_hook(hook)

    # The layer table runs the network on zeros: here it shall see the golden clip, so that one run serves all.
    hooks = [network.register_forward_pre_hook(lambda _cell, _inputs: (clip,))]
    for stage in ("logits", *GOLDEN[case.name]["stages"]):
        name, view = WITH_POOLING.get((case.model[:3], stage), (stage, np.asarray))
        hooks.append(note(stage, name, view))
    found.table = layer_table(network)
    for hook in hooks:
        hook.remove()
    return found


def test_every_tensor_of_the_original_finds_its_place(run: Run) -> None:
    names = [name for name, _ in run.golden["tensors"]]
    assert sorted(run.report.loaded) == sorted(names)
    assert len(names) == run.golden["n_tensors"] == TENSORS[run.case.model]
    assert run.report.missing == run.report.unexpected == run.report.wrong_shape == run.report.kept == ()


def test_logits_of_the_original_program(run: Run) -> None:
    assert run.logits.shape == (101,)
    answers = [run.logits]
    if run.case.name in COMPILED:
        answers.append(run.network(run.clip).asnumpy()[0])
    for logits in answers:
        assert logits.argmax() == run.golden["argmax"]
        assert np.abs(logits - run.golden["logits"]).max() < 1e-4 * run.golden["std"]


def test_every_stage_of_the_original_program(run: Run) -> None:
    assert set(run.stages) == {"logits", *run.golden["stages"]}
    for stage, expected in run.golden["stages"].items():
        found, tolerance = run.stages[stage], 1e-4 * expected["std"]
        assert found["shape"] == expected["shape"], stage
        assert found["mean"] == pytest.approx(expected["mean"], abs=tolerance), stage
        assert found["std"] == pytest.approx(expected["std"], rel=1e-4), stage
        assert found["first"] == pytest.approx(expected["first"], abs=tolerance), stage


def test_parameters_and_macs_of_the_golden_networks(run: Run) -> None:
    assert run.table.parameters.sum() == count_parameters(run.network)
    assert count_parameters(run.network) == sum(p.size for p in run.network.trainable_params())
    COUNTS[run.case.name].is_that_of(run.table, 101)
    if run.case.name == "mobilenetv2_1.0x":
        assert run.table.macs.sum() == pytest.approx(518.41e6, abs=0.01e6)
    if run.case.options.get("shortcut") == "B" and run.case.model in SHORTCUT_A:
        SHORTCUT_A[run.case.model].is_that_of(without_shortcuts(run.table), 101)


@pytest.mark.parametrize(
    ("model", "options", "count"), OTHERS, ids=lambda value: str(value) if isinstance(value, str | dict) else ""
)
def test_parameters_and_macs_of_the_others(model: str, options: dict[str, Any], count: Count) -> None:
    network = create_model(model, num_classes=600, **options)
    set_grouped_form(network, "grouped")  # fewer operators to launch
    table = layer_table(network)
    assert table.parameters.sum() == count_parameters(network)
    count.is_that_of(table, 600)
    if model in SHORTCUT_A:
        SHORTCUT_A[model].is_that_of(without_shortcuts(table), 600)


def without_shortcuts(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table.name.str.contains("downsample")]


@pytest.mark.parametrize("model", ["resnet18_3d", "resnet50_3d"])
def test_the_shortcuts_differ_in_their_convolutions_only(model: str) -> None:
    a, b = (
        {p.name: p.shape for p in create_model(model, num_classes=3, width=0.0625, shortcut=kind).get_parameters()}
        for kind in "AB"
    )
    assert a == {name: shape for name, shape in b.items() if "downsample" not in name}
    assert len(b) - len(a) == 5 * (3 if model == "resnet18_3d" else 4)


def test_only_the_head_knows_the_classes() -> None:
    for case in EFFICIENT3D[:10:9]:  # a dense head and a convolution
        network = create_model(case.model, num_classes=27, **case.options)
        assert count_parameters(network) == COUNTS[case.name].at_27


def test_every_network_is_held_to_its_golden_one() -> None:
    assert [case.name for case in EFFICIENT3D] == list(GOLDEN)
    assert {case.model for case in EFFICIENT3D} | {"resnet101_3d", "i3d"} == set(list_models())  # i3d: test_i3d.py
    assert set(COUNTS) == set(GOLDEN)
    assert set(COMPILED) < set(GOLDEN)
