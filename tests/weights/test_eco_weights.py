"""ECO's weight files: names in the programs of four frameworks, and the files that its training begins with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from foreign import write_caffe, write_checkpoint, write_graph
from mindspore import Tensor, nn

from actionbook.core.runtime import set_device
from actionbook.models import create_model
from actionbook.weights import LAYOUTS, WeightsError, export_state, fits, load, read, read_shapes
from actionbook.weights.golden import rule_made

State = dict[str, np.ndarray[Any, Any]]
NARROW = {"num_classes": 4, "width": 0.06}
NORM = ("gamma", "beta", "moving_mean", "moving_variance")

# The layers of the programs, written down here a second time.
MODULES = {
    "3a": "1x1 3x3_reduce 3x3 double_3x3_reduce double_3x3_1 double_3x3_2 pool_proj",
    "3c": "3x3_reduce 3x3 double_3x3_reduce double_3x3_1 double_3x3_2",
}
MODULES |= dict.fromkeys(("3b", "4a", "4b", "4c", "4d", "5a", "5b"), MODULES["3a"]) | {"4e": MODULES["3c"]}
STEM = ["conv1_7x7_s2", "conv2_3x3_reduce", "conv2_3x3"]
TRUNK = [*STEM, *(f"inception_{m}_{b}" for m in ("3a", "3b") for b in MODULES[m].split())]
TRUNK += ["inception_3c_double_3x3_reduce", "inception_3c_double_3x3_1"]
FLAT = [*STEM, *(f"inception_{module}_{branch}" for module, row in MODULES.items() for branch in row.split())]
DEEP = [
    "res3a_2",
    "res3b_1",
    "res3b_2",
    "res4a_1",
    "res4a_2",
    "res4a_down",
    "res4b_1",
    "res4b_2",
    "res5a_1",
    "res5a_2",
    "res5a_down",
    "res5b_1",
    "res5b_2",
]
DEEP_NORMS = [
    "res3a_bn",
    "res3b_1_bn",
    "res3b_bn",
    "res4a_1_bn",
    "res4a_bn",
    "res4b_1_bn",
    "res4b_bn",
    "res5a_1_bn",
    "res5a_bn",
    "res5b_1_bn",
    "res5b_bn",
]
ASCEND = {
    "res3/a_1": "res3a_2", "res3/a_1_bn": "res3a_bn", "res3/b_1": "res3b_1", "res3/b_1_bn": "res3b_1_bn",
    "res3/b_2": "res3b_2", "res3/b_2_bn": "res3b_bn", "res4/a_1": "res4a_1", "res4/a_1_bn": "res4a_1_bn",
    "res4/a_2": "res4a_2", "res4/a_down": "res4a_down", "res5/a_1_bn": "res4a_bn", "res5/b_1": "res4b_1",
    "res5/b_1_bn": "res4b_1_bn", "res5/b_2": "res4b_2", "res5/b_2_bn": "res4b_bn", "res6/a_1": "res5a_1",
    "res6/a_1_bn": "res5a_1_bn", "res6/a_2": "res5a_2", "res6/a_down": "res5a_down", "res7/a_1_bn": "res5a_bn",
    "res7/b_1": "res5b_1", "res7/b_1_bn": "res5b_1_bn", "res7/b_2": "res5b_2", "res7/b_2_bn": "res5b_bn",
}  # fmt: skip


def torch_names(flat: list[str], head: str) -> set[str]:
    """Of a file of ECO-pytorch."""
    norms = [*(f"{layer}_bn" for layer in flat), *DEEP_NORMS]
    leaves = ("weight", "bias", "running_mean", "running_var")
    names = {f"base_model.{layer}.{leaf}" for layer in (*flat, *DEEP) for leaf in ("weight", "bias")}
    names |= {f"base_model.{layer}.{leaf}" for layer in norms for leaf in leaves}
    return names | {f"{head}.weight", f"{head}.bias"}


def in_order_of_torch(name: str) -> str:
    """What a variable or blob is called in ECO-pytorch: from the tables of both programs, without the library."""
    if "." in name:  # Caffe
        layer, _, number = name.rpartition(".")
        leaf = ("weight", "bias", "running_mean", "running_var")[int(number)]
        return f"base_model.{ {'res3a_2n': 'res3a_2', 'fc8': 'fc_final'}.get(layer, layer) }.{leaf}"
    *scopes, leaf = name.removeprefix("InceptionV1/").split("/")
    leaf = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}.get(
        leaf, leaf.replace("weights", "weight").replace("biases", "bias")
    )
    if scopes[0] == "3DNet":
        return f"base_model.{ASCEND['/'.join(scopes[1:])]}.{leaf}"
    if scopes[0] == "Fusion":
        return f"base_model.fc_final.{leaf}"
    layer = "".join(scopes[1:]) if scopes[1].startswith("inc") else scopes[2].replace("reduce", "conv2_3x3_reduce")
    return f"base_model.{layer}.{leaf}"


@pytest.fixture(autouse=True, scope="module")
def _graph_mode() -> None:
    set_device("CPU")


@pytest.fixture(scope="module")
def full() -> tuple[nn.Cell, State]:
    """A narrow ECO Full with rule-made weights, and these as a file of ECO-pytorch."""
    network = create_model("eco_full", **NARROW)
    made = rule_made((name, array.shape) for name, array in export_state(network, "eco_pytorch").items())
    load(network, made, "eco_pytorch")
    return network, made


def test_names_of_the_authors_program(full: tuple[nn.Cell, State]) -> None:
    assert set(full[1]) == torch_names(FLAT, "base_model.fc_final")
    assert len(full[1]) == 486
    lite = export_state(create_model("eco_lite", **NARROW), "eco_lite_pytorch")
    assert set(lite) == torch_names(TRUNK, "new_fc")
    assert len(lite) == 186


@pytest.mark.parametrize("layout", ["eco_tensorflow", "eco_caffe"])
def test_names_and_axes_of_the_other_programs(layout: str, full: tuple[nn.Cell, State]) -> None:
    network, made = full
    file = export_state(network, layout)
    assert {in_order_of_torch(name) for name in file} == set(made)
    for name, array in file.items():
        expected = made[in_order_of_torch(name)]
        if layout == "eco_tensorflow" and expected.ndim > 1:
            expected = np.moveaxis(np.moveaxis(expected, 0, -1), 0, -2)  # in and out go last
        np.testing.assert_array_equal(array, expected, strict=True)


def with_slots(file: State) -> State:
    """What a training of the program for Ascend saves beside the variables."""
    slots = {f"{name}/Momentum": array for name, array in file.items() if not re.search("moving", name)}
    return file | slots | {"learning_rate": np.array(17910, np.int32)}


WRITERS: Mapping[str, tuple[str, Callable[[Path, State], Path], int]] = {
    "checkpoint": ("eco_tensorflow", lambda path, file: write_checkpoint(path, with_slots(file), shards=2), 327),
    "graph": ("eco_tensorflow", write_graph, 0),
    "Caffe": ("eco_caffe", write_caffe, 0),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_weights_through_another_format_make_the_same_network(
    kind: str, full: tuple[nn.Cell, State], tmp_path: Path
) -> None:
    network, made = full
    layout, write, ignored = WRITERS[kind]
    path = write(tmp_path / "eco", export_state(network, layout))
    other = create_model("eco_full", **NARROW, seed=9)
    report = load(other, read(path), layout)
    assert (len(report.loaded), len(report.ignored)) == (486, ignored)
    assert (report.missing, report.unexpected, report.kept, report.ones, report.cut) == ((), (), (), (), ())
    for name, array in export_state(other, "eco_pytorch").items():
        np.testing.assert_array_equal(array, made[name], strict=True)
    head = "InceptionV1/Fusion/fc" if layout == "eco_tensorflow" else "fc8"
    assert len(fits(other, read_shapes(path), layout, skip=[head]).kept) == 2


def test_both_networks_give_the_same_answers(full: tuple[nn.Cell, State], tmp_path: Path) -> None:
    network, _ = full
    other = create_model("eco_full", **NARROW, seed=9)
    load(other, read(write_checkpoint(tmp_path / "eco", export_state(network, "eco_tensorflow"))), "eco_tensorflow")
    clip = Tensor(np.random.default_rng(0).standard_normal((1, 3, 4, 32, 32)).astype(np.float32) * 50)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    logits = [one.set_train(False)(clip).asnumpy() for one in (network, other)]
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_array_equal(logits[0], logits[1])
    assert np.ptp(logits[0]) > 0.01


@pytest.mark.parametrize("head", ["fc8", "fc8N", "fc8u", "fc8h"])
def test_every_name_of_the_classifier_in_caffe(head: str, tmp_path: Path) -> None:
    network = create_model("eco_lite", **NARROW)
    file = {name.replace("fc8", head): array for name, array in export_state(network, "eco_caffe").items()}
    assert len(load(network, read(write_caffe(tmp_path / "a", file)), "eco_caffe").loaded) == 186
    wider = create_model("eco_lite", **{**NARROW, "num_classes": 7})
    with pytest.raises(WeightsError, match=r"trained on 4 classes.*skip=\('fc8',\)"):
        load(wider, file, "eco_caffe")
    assert load(wider, file, "eco_caffe", skip=["fc8"]).kept == ("fc8.0", "fc8.1")
    with pytest.raises(WeightsError, match=r"which are both 'fc8\.0'"):
        load(network, file | {"fc8x.0": file[f"{head}.0"]}, "eco_caffe")


# -- what a training begins with ---------------------------------------------------------------------------------------


def bn_inception(full: State, classes: int = 9) -> State:
    """A BN-Inception as its file has it: nothing before the names, batch norms of (1, C), a classifier of its own."""
    names = {name: name.removeprefix("base_model.") for name in full if re.match(r"base_model\.(conv|inc)", name)}
    file = {own: full[name][np.newaxis] if "_bn." in own else full[name] for name, own in names.items()}
    return file | {"fc_action.weight": np.zeros((classes, 5), np.float32), "fc_action.bias": np.zeros(classes)}


def c3d(full: State) -> State:
    """A 3-D ResNet-18 as its file has it: 4 chunks of channels where ECO has 3, layers of its own before and behind."""
    file = {f"module.{name}": array for name, array in full.items() if name.startswith("base_model.res")}
    first = file["module.base_model.res3a_2.weight"]
    more = np.full((first.shape[0], first.shape[1] // 3, 3, 3, 3), 7, np.float32)
    file["module.base_model.res3a_2.weight"] = np.concatenate([first, more], axis=1)
    own = ["conv1.weight", "conv1_bn.weight", "res2b_2.bias", "res3a_1.weight", "res3a_1_bn.bias", "res3a_down.weight"]
    file |= {f"module.base_model.{name}": np.zeros(3, np.float32) for name in own}
    return file | {"module.new_fc.weight": np.zeros((9, 5), np.float32)}


@pytest.mark.parametrize(("name", "flat"), [("eco_full", FLAT), ("eco_lite", TRUNK)])
def test_the_parts_of_a_network_from_two_files(name: str, flat: list[str], full: tuple[nn.Cell, State]) -> None:
    made = full[1]
    network = create_model(name, **NARROW, seed=9)
    head = ("new_fc" if name == "eco_lite" else "base_model.fc_final") + "."
    layout = "eco_lite_pytorch" if name == "eco_lite" else "eco_pytorch"
    fresh = export_state(network, layout)
    deep = {f"base_model.{one}.{leaf}" for one in DEEP for leaf in ("weight", "bias")}
    deep |= {
        f"base_model.{one}.{leaf}" for one in DEEP_NORMS for leaf in ("weight", "bias", "running_mean", "running_var")
    }

    first = load(network, bn_inception(made), "bn_inception")
    assert {f"base_model.{one}" for one in first.loaded} == set(fresh) - deep - {f"{head}weight", f"{head}bias"}
    assert len(first.loaded) == 6 * len(flat)
    assert set(first.kept) == {one.removeprefix("base_model.") for one in deep} | {"fc_final.weight", "fc_final.bias"}
    assert len(first.ignored) == 2 + 6 * (len(FLAT) - len(flat))
    between = export_state(network, layout)
    for one in fresh:
        np.testing.assert_array_equal(between[one], fresh[one] if one in deep or head in one else made[one])

    second = load(network, c3d(made), "eco_c3d")
    assert set(second.loaded) == deep
    assert len(second.kept) == len(fresh) - len(deep)
    assert len(second.ignored) == 7
    assert (second.prefix, second.missing, second.unexpected) == ("module.", (), ())
    (cut,) = second.cut
    channels = made["base_model.res3a_2.weight"].shape[1]
    assert (cut.name, cut.expected[1], cut.found[1]) == (
        "base_model.res3a_2.weight", channels, channels + channels // 3,
    )  # fmt: skip
    assert "of which the first input channels are taken: 1" in str(second)
    after = export_state(network, layout)
    for one in fresh:
        np.testing.assert_array_equal(after[one], fresh[one] if head in one else made[one])


def test_a_part_is_loaded_as_strictly_as_the_whole(full: tuple[nn.Cell, State]) -> None:
    network, made = full
    flat, deep = bn_inception(made), c3d(made)
    with pytest.raises(
        WeightsError, match=r"missing from the file: 1\n  conv2_3x3\.bias\nunexpected.*\n  conv2_3x3\.b"
    ):
        load(network, {name.replace("conv2_3x3.bias", "conv2_3x3.b"): a for name, a in flat.items()}, "bn_inception")
    for wrong in (deep["module.base_model.res3a_2.weight"][:, :1], deep["module.base_model.res3a_2.weight"][:2]):
        with pytest.raises(WeightsError, match=r"wrong shape: 1\n  base_model\.res3a_2\.weight"):
            load(network, deep | {"module.base_model.res3a_2.weight": wrong}, "eco_c3d")
    del deep["module.base_model.res5b_bn.running_var"]
    with pytest.raises(WeightsError, match=r"missing from the file: 1\n  base_model\.res5b_bn\.running_var"):
        load(network, deep, "eco_c3d")


def test_fine_tuning_keeps_the_fresh_classifier_alone(full: tuple[nn.Cell, State]) -> None:
    _, made = full
    network = create_model("eco_full", **{**NARROW, "num_classes": 7}, seed=9)
    fresh = network.fc.weight.asnumpy().copy()
    report = load(
        network, {f"module.{name}": array for name, array in made.items()}, "eco_pytorch", skip=["base_model.fc_final"]
    )
    assert (len(report.loaded), report.missing, report.unexpected) == (484, (), ())
    assert report.kept == ("base_model.fc_final.weight", "base_model.fc_final.bias")
    np.testing.assert_array_equal(network.fc.weight.asnumpy(), fresh)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_has_a_name_for_parameters_of_any_network(layout: str) -> None:
    """The nearest layout is looked for among all."""
    for name in ("gamma", "weight", "features.0.1.bn2d.gamma", "res3.a", "trunk.weight", "bn.bn2d.beta", "fc.weight"):
        assert isinstance(LAYOUTS[layout].original_name(name), str)
