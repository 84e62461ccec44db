"""Golden runs: the rule of their weights, how they are read, and that whatever differs is seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from mindspore import Tensor

from actionbook.core.errors import BookError
from actionbook.core.runtime import set_device
from actionbook.core.spec import Spec
from actionbook.models import create_model, specified
from actionbook.models.profile import watch_outputs
from actionbook.models.specified import Specified
from actionbook.weights import WeightsError, export_state, golden
from actionbook.weights.golden import TOLERANCE, Golden, agreement, equivalent, golden_runs, rule_made

# One tensor of every kind, and how it is drawn from the generator that its name seeds.
DRAWN = {
    "features.0.0.weight": lambda rng: rng.standard_normal((4, 3, 3, 3, 3)) * np.sqrt(2 / 81),
    "features.0.1.weight": lambda rng: rng.uniform(0.5, 1.5, (4,)),
    "features.0.1.bias": lambda rng: 0.1 * rng.standard_normal((4,)),
    "features.0.1.running_mean": lambda rng: 0.1 * rng.standard_normal((4,)),
    "features.0.1.running_var": lambda rng: rng.uniform(0.5, 1.5, (4,)),
    "classifier.1.weight": lambda rng: rng.standard_normal((5, 4)) * np.sqrt(2 / 4),
}
STAGES = {"features.0": {}, "last": {"cell": "features.13"}, "pooled": {"cell": "features.13", "pooled": True}}


def test_every_tensor_is_drawn_from_its_own_name() -> None:
    expected = {name: draw(np.random.RandomState(crc32(name.encode()))) for name, draw in DRAWN.items()}
    found = rule_made((name, array.shape) for name, array in expected.items())
    assert list(found) == list(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name].astype(np.float32), strict=True)
    backwards = rule_made((name, array.shape) for name, array in reversed(expected.items()))
    np.testing.assert_array_equal(backwards["classifier.1.weight"], found["classifier.1.weight"])


@pytest.fixture(scope="module")
def tiny() -> Golden:
    """A narrow network with what it gives, written down here a second time, for the program of the authors."""
    set_device("CPU")
    options, spec = {"width": 0.125}, Spec({"image": (3, 8, 32, 48)})
    state = export_state(create_model("mobilenet_3d", num_classes=5, **options))
    run = Golden(
        "tiny",
        "mobilenet_3d",
        options,
        5,
        spec,
        "okankop",
        tuple((k, a.shape) for k, a in state.items()),
        {},
        np.zeros((1, 5)),
    )
    network, outputs = run.network(), {}
    cells = dict(network.cells_and_names())

    def note(name: str, _cell: Any, output: Tensor) -> None:
        outputs[name] = output.asnumpy().astype(np.float64)

    watch_outputs(
        network, run.batch, lambda cell: any(cell is cells[name] for name in ("", "features.0", "features.13")), note
    )
    stages = {}
    for name, stage in STAGES.items():
        values = outputs[stage.get("cell", name)]
        if stage.get("pooled"):
            values = values.reshape(*values.shape[:2], -1).mean(axis=2)[..., None, None, None]
        figures = {"mean": values.mean(), "std": values.std(ddof=1), "first": values.flat[0]}
        stages[name] = {**stage, "shape": list(values.shape), **figures}
    return replace(run, stages=stages, logits=outputs[""])


def test_a_network_agrees_with_its_own_run(tiny: Golden) -> None:
    found = agreement(tiny)
    assert set(found.differences) == {*STAGES, "logits"}
    assert found.row["network"] == "tiny"
    assert found.row["tolerance"] == TOLERANCE
    assert found.row["relative_difference"] == max(found.differences.values()) < 1e-5
    np.testing.assert_allclose(found.logits, tiny.logits, atol=1e-5)


@pytest.mark.parametrize("figure", ["mean", "std", "first"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_differs_is_seen(stage: str, figure: str, tiny: Golden) -> None:
    one = tiny.stages[stage]
    other = {**one, figure: one[figure] + 2 * TOLERANCE * one["std"]}
    found = agreement(replace(tiny, stages={**tiny.stages, stage: other}))
    assert max(found.differences, key=found.differences.__getitem__) == stage
    assert TOLERANCE < found.row["relative_difference"] < 3 * TOLERANCE


def test_shapes_and_modules_that_differ_are_seen(tiny: Golden) -> None:
    shape = {**tiny.stages["last"], "shape": [1, 128, 1, 2, 1]}
    assert agreement(replace(tiny, stages={"last": shape})).differences["last"] == np.inf
    gone = {**tiny.stages["last"], "cell": "features.14"}
    assert agreement(replace(tiny, stages={"last": gone})).row["relative_difference"] == np.inf


def test_logits_and_weights_that_differ_are_seen(tiny: Golden) -> None:
    logits = tiny.logits + 2 * TOLERANCE * tiny.logits.std() * np.array([0, 0, 1, 0, 0])
    assert 1.5 * TOLERANCE < agreement(replace(tiny, logits=logits)).differences["logits"] < 2.5 * TOLERANCE
    network = tiny.network()
    weight = network.features[12].bn2.bn2d.gamma
    weight.set_data(Tensor(weight.asnumpy() * np.float32(1.01)))
    found = agreement(tiny, network)
    assert found.differences["features.0"] < TOLERANCE < found.differences["last"]
    network.classifier[1].bias.set_data(Tensor(np.array([0, np.nan, 0, 0, 0], np.float32)))
    assert agreement(tiny, network).row["relative_difference"] == np.inf
    with pytest.raises(WeightsError, match=r"classifier\.1\.bias"):
        replace(tiny, tensors=tiny.tensors[:-1]).network()


def test_boxes_come_from_the_file_and_real_ones_are_compared() -> None:
    one = golden_runs("slowfast")[1]
    batch = one.batch
    assert {name: array.shape for name, array in batch.items()} == {
        "slow": (2, 3, 8, 128, 160),
        "fast": (2, 3, 32, 128, 160),
        "boxes": (2, 2, 4),
    }
    # The first numbers that the authors' program was given.
    for name, seed in (("slow", 0), ("fast", 1)):
        assert batch[name].flat[0] == np.float32(np.random.RandomState(seed).standard_normal())
    np.testing.assert_allclose(batch["boxes"][1], [[30.5, 12.2, 99.7, 70.4], [0, 0, 0, 0]], rtol=1e-6)
    assert one.spec.output == (2, 80)
    logits = np.arange(12).reshape(2, 2, 3)
    np.testing.assert_array_equal(one.real(logits), [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    assert one.logits.shape == (3, 80)
    assert replace(one, boxes=None).real(logits) is logits


def test_a_chapter_is_run_as_its_table_and_file_say(
    tiny: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Specified(tiny.model, tiny.options, {5: 1}, {(3, 8, 32, 48): "1 M"}, ("tiny",))
    monkeypatch.setattr(specified, "TABLE", {"made": (row,)})
    monkeypatch.setattr(golden, "ROOT", tmp_path)
    file = tmp_path / "tests" / "models" / "data" / "made_golden.json"
    file.parent.mkdir(parents=True)
    case = {key: getattr(tiny, key) for key in ("name", "num_classes", "tensors", "stages")}
    case |= {"inputs": tiny.spec.inputs, "logits": tiny.logits[0].tolist()}
    file.write_text(json.dumps({"layout": "okankop", "cases": [case]}), encoding="utf-8")
    found = equivalent("made")
    assert [one.golden.name for one in found] == ["tiny"]
    assert found[0].row["relative_difference"] < TOLERANCE
    monkeypatch.setattr(specified, "TABLE", {"made": (replace(row, golden=("other",)),)})
    with pytest.raises(BookError, match=r"made_golden\.json.*other, tiny"):
        equivalent("made")
    with pytest.raises(BookError, match=r"'eco'.*made"):
        equivalent("eco")
