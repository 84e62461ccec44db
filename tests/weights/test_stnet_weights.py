"""StNet's weight files: names in its two programs, and the ResNet-50 of ImageNet that its training begins with."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from actionbook.core.manifest import load_weights
from actionbook.weights import LAYOUTS, WeightsError, export_state, fits, load, read, read_shapes
from actionbook.weights.fit import fit
from actionbook.weights.golden import rule_made
from actionbook.weights.inflation import inflate_channels
from actionbook.weights.report import LoadReport

Shapes = dict[str, tuple[int, ...]]
State = dict[str, np.ndarray[Any, Any]]
NAMES = Path(__file__).parent / "data" / "stnet_names.txt"
ROWS = [line.split() for line in NAMES.read_text().splitlines()]
PADDLE = {name: paddle for name, paddle, _ in ROWS}
GROUPED: Shapes = {name: tuple(map(int, shape.split(","))) for name, _, shape in ROWS}
DENSE = GROUPED | {f"xception.{one}.weight": (size, size, 3, 1) for one, size in (("att_conv", 2048), ("att_1", 1024))}
FLAT = [name for name in GROUPED if name.startswith(("conv1.", "bn1.", "layer"))]
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def resnet50(shortcut: str, norm: Iterable[str]) -> Shapes:
    """A ResNet-50 of pictures without its classifier, layer by layer."""

    def normed(name: str, channels: int) -> Shapes:
        return {f"{name}.{leaf}": (channels,) for leaf in norm}

    made, before = {"conv1.weight": (64, 3, 7, 7)} | normed("bn1", 64), 64
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        thin = 32 * 2**stage
        wide = 4 * thin
        for block in (f"layer{stage}.{number}" for number in range(blocks)):
            for number, shape in enumerate([(thin, before, 1, 1), (thin, thin, 3, 3), (wide, thin, 1, 1)], 1):
                made |= {f"{block}.conv{number}.weight": shape} | normed(f"{block}.bn{number}", shape[0])
            if block.endswith(".0"):
                made |= {f"{block}.{shortcut}.0.weight": (wide, before, 1, 1)} | normed(f"{block}.{shortcut}.1", wide)
            before = wide
    return made


def head(name: str, classes: int, *, turned: bool = False) -> Shapes:
    weight, bias = (f"{name}.w_0", f"{name}.b_0") if turned else (f"{name}.weight", f"{name}.bias")
    return {weight: (2048, classes) if turned else (classes, 2048), bias: (classes,)}


TORCH = resnet50("downsample", NORM.values())
ZOO = resnet50("down_sample_layer", NORM)
MINDCV = resnet50("down_sample", NORM)
FLAT_PADDLE = {PADDLE[name]: shape for name, shape in ZOO.items()}
COUNTERS: Shapes = {name.replace("running_mean", "num_batches_tracked"): () for name in TORCH if "running_mean" in name}
MOMENTS = {f"moments.{name}": shape for name, shape in ZOO.items() if "moving" not in name}

# Of each ResNet-50 its layout, its parameters, and what else its file holds.
STARTS: Mapping[str, tuple[str, Shapes, Shapes]] = {
    "torchvision": ("resnet50_torch", TORCH, COUNTERS | head("fc", 1000)),
    "model zoo": (
        "resnet50_mindspore",
        ZOO,
        MOMENTS | head("end_point", 1001) | {"learning_rate": (90,), "momentum": (1,), "global_step": (1,)},
    ),
    "MindCV": ("resnet50_mindspore", MINDCV, head("classifier", 1000)),
    "Paddle": ("resnet50_paddle", FLAT_PADDLE, head("fc_0", 1000, turned=True)),
}


def narrow(shapes: Shapes) -> Shapes:
    """The same with a 32nd of the channels, and 4 classes for 400."""
    return {
        name: tuple(4 if size == 400 else size if size < 64 else size // 32 for size in shape)
        for name, shape in shapes.items()
    }


def cell(shapes: Shapes) -> nn.Cell:
    """Something with these parameters, all of them 9."""
    made = nn.Cell()
    for name, shape in shapes.items():
        made.insert_param_to_cell(
            name, ms.Parameter(ms.Tensor(np.full(shape, 9, np.float32)), name), check_name_contain_dot=False
        )
    return made


def report_of(network: Shapes, file: Shapes, layout: str) -> LoadReport:
    return fit(network, file, LAYOUTS[layout]).report


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_in_every_program() -> None:
    """Those of StNet are in a table that its two programs were asked for."""
    assert len(GROUPED) == 301
    assert {name: LAYOUTS["stnet_paddle"].original_name(name) for name in GROUPED} == PADDLE
    assert {name: GROUPED[name] for name in FLAT} | {"conv1.weight": (64, 3, 7, 7)} == ZOO
    assert {LAYOUTS["resnet50_torch"].original_name(name): shape for name, shape in ZOO.items()} == TORCH
    assert len(TORCH) + len(COUNTERS) + 2 == 320  # entries of torchvision's state dict


@pytest.mark.parametrize("name", ["layer3.22.conv1.weight", "layer2.9.bn3.bn2d.gamma", "layer1.0.conv9.bias"])
def test_networks_that_resemble_it_have_names_too(name: str) -> None:
    """The nearest layout is looked for among all."""
    assert LAYOUTS["resnet50_paddle"].original_name(name)


# -- whole networks ----------------------------------------------------------------------------------------------------


def paddle_file(network: Shapes) -> Shapes:
    made = {PADDLE[name]: shape for name, shape in network.items()}
    return made | {"fc_0.w_0": made["fc_0.w_0"][::-1]}


FILES: Mapping[str, Callable[[Shapes], Shapes]] = {"stnet_mindspore": dict, "stnet_paddle": paddle_file}


@pytest.mark.parametrize("layout", FILES)
def test_dense_and_grouped_kernels_are_told_by_their_shapes(layout: str) -> None:
    write = FILES[layout]
    for network in (DENSE, GROUPED):
        report = report_of(network, write(network), layout)
        assert report.ok
        assert (len(report.loaded), report.ignored, report.kept) == (301, (), ())
    for network, file, kind in ((GROUPED, DENSE, "dense"), (DENSE, GROUPED, "grouped")):
        report = report_of(network, write(file), layout)
        assert len(report.wrong_shape) == 2
        assert f"make the network with xception='{kind}'; in a recipe, model.options: {{xception: {kind}}}" in (
            report.remedy
        )
    with pytest.raises(
        WeightsError, match=r"(?s)wrong shape: 2.*the network expects \(64, 1, 3, 1\).*xception='dense'"
    ):
        load(cell(narrow(GROUPED)), rule_made(write(narrow(DENSE)).items()), layout)


@pytest.mark.parametrize("layout", FILES)
def test_another_number_of_classes(layout: str) -> None:
    other = GROUPED | {"fc.weight": (101, 1024), "fc.bias": (101,)}
    module = "fc" if layout == "stnet_mindspore" else "fc_0"
    report = report_of(other, FILES[layout](GROUPED), layout)
    assert report.resized_head == ((module,), 400, 101)
    skipped = fit(other, FILES[layout](GROUPED), LAYOUTS[layout], skip=[module]).report
    assert (skipped.ok, len(skipped.loaded), len(skipped.kept)) == (True, 299, 2)


def test_a_checkpoint_of_the_port(tmp_path: Path) -> None:
    """What MindSpore's `ModelCheckpoint` saves of a training: parameters, the optimiser's, numbers of steps."""
    made = rule_made(narrow(DENSE).items())
    beside = {f"moments.{name}": array for name, array in made.items() if "moving" not in name}
    beside |= {"learning_rate": np.float32(0.01), "momentum": np.float32(0.9), "global_step": np.array([7], np.int32)}
    parameters = [{"name": name, "data": ms.Tensor(array)} for name, array in (made | beside).items()]
    ms.save_checkpoint(parameters, str(tmp_path / "stnet.ckpt"), append_dict={"epoch_num": 60, "step_num": 105360})
    state = read(tmp_path / "stnet.ckpt")
    assert {array.dtype for array in state.values()} == {np.dtype("f4"), np.dtype("i4")}
    assert read_shapes(tmp_path / "stnet.ckpt") == {name: array.shape for name, array in state.items()}
    network = cell(narrow(DENSE))
    report = load(network, state, "stnet_mindspore")
    assert set(report.loaded) == set(DENSE)
    assert set(report.ignored) == {f"moments.{name}" for name in DENSE if "moving" not in name} | {"global_step"}
    for name, parameter in network.parameters_dict().items():
        np.testing.assert_array_equal(parameter.asnumpy(), made[name])


# -- files of Paddle ---------------------------------------------------------------------------------------------------


class Parameter:
    """One as Paddle 2.1 and later pickles it."""

    def __init__(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self.pair = (name, array)

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self.pair,)


def arrays_alone(state: State) -> dict[str, Any]:
    return dict(state)


def arrays_and_names(state: State) -> dict[str, Any]:
    return {**state, "StructuredToParameterName@@": {name: f"linear_0.{name}" for name in state}}


def pairs(state: State) -> dict[str, Any]:
    made = {name: Parameter(f"linear_0.{name}", array) for name, array in state.items()}
    return {**made, "StructuredToParameterName@@": {name: f"linear_0.{name}" for name in state}}


@pytest.mark.parametrize("version", [arrays_alone, arrays_and_names, pairs])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_of_paddle(version: Callable[[State], dict[str, Any]], protocol: int, tmp_path: Path) -> None:
    network, path = cell(narrow(GROUPED)), tmp_path / "STNET.pdparams"
    made = rule_made(paddle_file(narrow(GROUPED)).items())
    path.write_bytes(pickle.dumps(version(made), protocol))
    state = read(path)
    assert read_shapes(path) == {name: array.shape for name, array in made.items()}
    assert (state.origin.under, state.origin.others, state.origin.beside) == ("", (), ())
    assert state.origin.skipped == (() if version is arrays_alone else ("StructuredToParameterName@@ (dict)",))
    report = load(network, state, "stnet_paddle")
    assert (len(report.loaded), report.ignored, report.kept, report.inflated) == (301, (), (), ())
    for name, parameter in network.parameters_dict().items():
        expected = made[PADDLE[name]]
        np.testing.assert_array_equal(parameter.asnumpy(), expected.T if name == "fc.weight" else expected)
    for name, array in export_state(network, "stnet_paddle").items():
        np.testing.assert_array_equal(array, made[name])


class Call:
    """A function that reading must not call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def test_nothing_in_a_file_of_paddle_is_executed(tmp_path: Path) -> None:
    path, array = tmp_path / "STNET.pdparams", np.ones(2, np.float32)
    orders: list[Any] = [Call(os.system, f"touch {tmp_path}/ran"), Call(eval, f"open('{tmp_path}/ran', 'w')", {})]
    for order in orders:
        path.write_bytes(pickle.dumps({"a": array, "b": order}, 2))
        state = read(path)
        assert (list(state), len(state.origin.skipped)) == (["a"], 1)
        path.write_bytes(pickle.dumps({"a": order}, 2))
        with pytest.raises(WeightsError, match="were not built: nothing was imported or run"):
            read(path)
    # `tuple` is known because Paddle calls it, and makes nothing but a pair out of a pair.
    many = [Call(tuple, [1, 2]), Call(tuple, "ab"), Call(tuple, ("name", array, array)), Call(tuple, (array, "name"))]
    path.write_bytes(pickle.dumps({"a": array} | {str(number): one for number, one in enumerate(many)}, 2))
    assert list(read(path)) == ["a"]
    # What `paddle.save` makes of a static network calls `eval`, which nobody should.
    path.write_bytes(pickle.dumps({"a": Call(eval, "data", {"data": array})}, 2))
    with pytest.raises(WeightsError, match=r"objects of '\w+\.eval'"):
        read(path)
    assert not (tmp_path / "ran").exists()


def test_a_variable_of_the_first_versions_is_named_for_what_it_is(tmp_path: Path) -> None:
    shape = b"\x08\x05\x10\x02"  # a TensorDesc: float32, one axis of 2
    (tmp_path / "fc_0.b_0").write_bytes(bytes(16) + len(shape).to_bytes(4, "little") + shape + bytes(8))
    with pytest.raises(WeightsError, match=r"fc_0\.b_0: one variable of PaddlePaddle.*load_program_state"):
        read(tmp_path / "fc_0.b_0")


# -- what a training begins with ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", STARTS)
@pytest.mark.parametrize("network", [GROUPED, DENSE])
def test_a_resnet_fills_the_flat_part(origin: str, network: Shapes) -> None:
    layout, own, beside = STARTS[origin]
    report = report_of(network, own | beside, layout)
    names = {name: LAYOUTS[layout].original_name(name) for name in network}
    assert report.ok
    assert set(report.loaded) == {names[name] for name in FLAT}
    assert set(report.kept) == {names[name] for name in network if name not in FLAT}
    assert set(report.ignored) == set(beside)
    assert (len(report.loaded), len(report.kept)) == (265, 36)
    (inflated,) = report.inflated
    assert (inflated.name, inflated.expected, inflated.found) == (
        names["conv1.weight"], (64, 15, 7, 7), (64, 3, 7, 7),
    )  # fmt: skip
    assert "of which are inflated from a picture to frames: 1\n  conv1" in str(report)


def test_every_resnet_gives_the_same_start() -> None:
    made = rule_made(narrow(ZOO).items())
    first = np.repeat(made["conv1.weight"].sum(axis=1, keepdims=True) / 15, 15, axis=1)
    for layout, own, beside in STARTS.values():
        network = cell(narrow(GROUPED))
        file = dict(zip(own, made.values(), strict=True)) | {name: np.full(s, 7, "f4") for name, s in beside.items()}
        load(network, file, layout)
        found = {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()}
        np.testing.assert_allclose(found["conv1.weight"], first, rtol=1e-5, atol=1e-7)
        for name in set(FLAT) - {"conv1.weight"}:
            np.testing.assert_array_equal(found[name], made[name], strict=True)
        assert all((found[name] == 9).all() for name in GROUPED if name not in FLAT)


def test_an_inflated_kernel_answers_a_still_grey_clip_as_before() -> None:
    rng = np.random.default_rng(0)
    kernel, grey = rng.standard_normal((4, 3, 7, 7)).astype(np.float32), rng.standard_normal((7, 7))
    inflated = inflate_channels(kernel, 15)
    assert (inflated.shape, inflated.dtype) == ((4, 15, 7, 7), np.float32)
    assert all((inflated[:, channel] == inflated[:, 0]).all() for channel in range(15))
    answers = [(one.astype(np.float64) * grey).sum(axis=(1, 2, 3)) for one in (kernel, inflated)]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5)
    assert inflate_channels(np.array([[[3.0], [6.0]]]), 4).tolist() == [[[2.25], [2.25], [2.25], [2.25]]]


def test_a_start_is_loaded_as_strictly_as_a_whole_network() -> None:
    layout, own, beside = STARTS["model zoo"]
    for name, shape in (("conv1.weight", (64, 4, 7, 7)), ("conv1.weight", (64, 3, 5, 5)), ("bn1.gamma", (32,))):
        assert [one.name for one in report_of(GROUPED, own | {name: shape}, layout).wrong_shape] == [name]
    lacking = {name: shape for name, shape in own.items() if name != "layer4.2.bn3.beta"}
    assert report_of(GROUPED, lacking | beside, layout).missing == ("layer4.2.bn3.beta",)
    one_frame = report_of(GROUPED | {"conv1.weight": (64, 3, 7, 7)}, own, layout)
    assert (one_frame.ok, one_frame.inflated) == (True, ())  # the ResNet itself
    whole = report_of(GROUPED, GROUPED, layout)  # an StNet, which has more to give than this layout takes
    assert set(whole.unexpected) == set(GROUPED) - set(FLAT)


def test_a_shortcut_by_both_names_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"which are both 'layer1\.0\.down_sample_layer\.0\.weight'"):
        report_of(GROUPED, ZOO | MINDCV, "resnet50_mindspore")


def test_a_resnet_of_another_program_is_told_by_its_names() -> None:
    report = fit(GROUPED, TORCH, LAYOUTS["resnet50_mindspore"]).report
    assert report.remedy == "The file's names are those of another layout: pass layout='resnet50_torch'."
    assert fits(cell(narrow(GROUPED)), narrow(MINDCV), "resnet50_mindspore").ok


def test_what_every_origin_wants_is_said_in_its_entry() -> None:
    """Kernels, padding and epsilon cannot be told from a file of the other origins' names and shapes."""
    entries = {entry.id: entry for entry in load_weights("weights_stnet").files}
    said = {name: (entry.layout, entry.options) for name, entry in entries.items()}
    assert said == {
        "stnet_kinetics": ("stnet_paddle", {"num_classes": 400}),
        "stnet_kinetics_mindspore": (
            "stnet_mindspore",
            {"num_classes": 400, "xception": "dense", "max_pool": "port"},
        ),
        "stnet_init_torchvision": ("resnet50_torch", {"num_classes": 400}),
        "stnet_init_torchvision_v2": ("resnet50_torch", {"num_classes": 400}),
        "stnet_init_mindspore": ("resnet50_mindspore", {"num_classes": 400, "max_pool": "port", "eps": 1e-4}),
        "stnet_init_mindcv": ("resnet50_mindspore", {"num_classes": 400}),
    }
    assert {entry.network for entry in entries.values()} == {"stnet_resnet50"}
    assert [name for name, entry in entries.items() if entry.sha256] == [
        "stnet_kinetics_mindspore", "stnet_init_mindspore",
    ]  # fmt: skip
    for entry in entries.values():
        np.testing.assert_allclose(np.array(entry.transform.mean) / 255, [0.485, 0.456, 0.406], rtol=1e-12)
        np.testing.assert_allclose(np.array(entry.transform.std) / 255, [0.229, 0.224, 0.225], rtol=1e-12)
