"""SlowFast's weight files: names in three programs, files of Caffe2, PyTorch and MindSpore, other depths and heads."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest

from actionbook.core.manifest import load_weights
from actionbook.models import create_model
from actionbook.weights import LAYOUTS, WeightsError, export_state, fits, load, read, read_metadata, read_shapes
from actionbook.weights.fit import fit
from actionbook.weights.golden import rule_made
from actionbook.weights.inflation import inflate
from actionbook.weights.report import LoadReport
from actionbook.weights.slowfast_names import any_depth, slowfast_caffe2_name

Shapes = dict[str, tuple[int, ...]]
State = Mapping[str, np.ndarray[Any, Any]]
NAMES = Path(__file__).parent / "data" / "slowfast_names.txt"
ROWS = [line.split() for line in NAMES.read_text().splitlines()]
CAFFE2 = {name: blob for name, blob, _ in ROWS}
AVA: Shapes = {name: tuple(map(int, shape.split(","))) for name, _, shape in ROWS}
KINETICS = AVA | {"head.projection.weight": (400, 2304), "head.projection.bias": (400,)}
HEADS = {
    "slowfast_caffe2": ("pred_w", "pred_b"),
    "pyslowfast": ("head.projection",),
    "slowfast_mindspore": ("head.projection",),
}
SMALL = {"width": 0.125, "depth": 14}


def named(shapes: Shapes, layout: str) -> Shapes:
    """The same by the names of a file."""
    return {LAYOUTS[layout].original_name(name): shape for name, shape in shapes.items()}


def report_of(network: Shapes, file: Shapes, layout: str, skip: tuple[str, ...] = ()) -> LoadReport:
    return fit(network, file, LAYOUTS[layout], skip=skip).report


def deep() -> Shapes:
    """The authors' network of depth 101 for AVA: fusions over 5 frames, and what it has beside SlowFast's layers."""
    made = {name: (*shape[:2], 5, 1, 1) if "conv_f2s" in name else shape for name, shape in AVA.items()}
    for number in range(6, 23):
        for name, shape in AVA.items():
            if "s4." in name and "_res5." in name:
                made[name.replace("_res5.", f"_res{number}.")] = shape
    for number in (6, 13, 20):
        block = f"s4.pathway0_nonlocal{number}"
        made |= {f"{block}.conv_theta.weight": (512, 1024, 1, 1, 1), f"{block}.conv_out.bias": (1024,)}
    return made


DEEP = deep()


def deep_file(layout: str) -> Shapes:
    """Its file. Caffe2 calls the fusion behind the fourth stage after block 22."""
    if layout == "pyslowfast":
        return named(DEEP, layout)
    made = named({name: shape for name, shape in DEEP.items() if "nonlocal" not in name}, layout)
    made = {
        blob.replace("t_res4_5_branch2c_bn_sub", "t_res4_22_branch2c_bn_sub"): shape for blob, shape in made.items()
    }
    return made | {f"nonlocal_conv4_{number}_theta_w": (512, 1024, 1, 1, 1) for number in (6, 13, 20)}


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_in_every_program() -> None:
    """Those of the table were found by loading each program's network from the other's."""
    assert len(AVA) == 552
    assert {name: slowfast_caffe2_name(name) for name in AVA} == CAFFE2
    assert len(set(CAFFE2.values())) == 552
    for layout in ("slowfast_caffe2", "pyslowfast", "slowfast_mindspore"):
        report = report_of(AVA, named(AVA, layout), layout)
        assert (report.ok, len(report.loaded), report.kept, report.ignored) == (True, 552, (), ())
    assert sum(int(np.prod(shape)) for shape in AVA.values()) == 33_889_576


@pytest.mark.parametrize("name", ["features.0.1.bn2d.gamma", "s4.conv.weight", "x", "s9_fuse.bn.bn2d.beta"])
def test_networks_that_resemble_it_have_names_too(name: str) -> None:
    """The nearest layout is looked for among all."""
    assert all(isinstance(layout.original_name(name), str) for layout in LAYOUTS.values())


def test_a_fusion_is_found_whatever_the_depth() -> None:
    for last in (0, 1, 2, 5, 22):
        assert any_depth(f"t_res4_{last}_branch2c_bn_subsample_bn_riv") == "t_res4_5_branch2c_bn_subsample_bn_riv"
    for blob in ("t_res4_22_branch2c_bn_s", "t_res4_22_branch2c_bn_riv", "t_pool1_subsample_w", "res4_22_branch2c_w"):
        assert any_depth(blob) == blob
    assert slowfast_caffe2_name("s4.pathway1_res22.branch2.c_bn.bn2d.moving_variance") == "t_res4_22_branch2c_bn_riv"


# -- whole networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", HEADS)
def test_what_is_written_out_is_read_in(layout: str) -> None:
    network = create_model("slowfast_r50", num_classes=5, **SMALL)
    state = rule_made((name, array.shape) for name, array in export_state(network, layout).items())
    report = load(network, state, layout)
    assert (len(report.loaded), report.kept, report.ignored) == (len(state), (), ())
    for name, parameter in network.parameters_dict().items():
        if (key := LAYOUTS[layout].original_name(name)) in state:
            np.testing.assert_array_equal(parameter.asnumpy(), state[key], strict=True)
    for name, array in export_state(network, layout).items():
        np.testing.assert_array_equal(array, state[name], strict=True)


@pytest.mark.parametrize("layout", HEADS)
def test_ava_begins_with_kinetics_but_for_the_head(layout: str) -> None:
    """Stride and gaps of the last stage change no weight."""
    kinetics = create_model("slowfast_r50", num_classes=400, task="classification", **SMALL)
    network = create_model("slowfast_r50", num_classes=80, **SMALL)
    state = rule_made((name, array.shape) for name, array in export_state(kinetics, layout).items())
    fresh = network.head.projection.weight.asnumpy().copy()
    with pytest.raises(WeightsError, match=r"(?s)wrong shape: 2.*trained on 400 classes.*network has 80") as caught:
        load(network, state, layout)
    assert f"pass skip={HEADS[layout]!r}: " in str(caught.value)
    report = load(network, state, layout, skip=HEADS[layout])
    head = {LAYOUTS[layout].original_name(f"head.projection.{leaf}") for leaf in ("weight", "bias")}
    assert (set(report.kept), set(report.loaded)) == (head, set(state) - head)
    assert (report.missing, report.unexpected, report.wrong_shape, report.ignored) == ((), (), (), ())
    np.testing.assert_array_equal(network.head.projection.weight.asnumpy(), fresh)
    found = export_state(network, layout)
    assert all((found[name] == state[name]).all() for name in report.loaded)


@pytest.mark.parametrize("layout", HEADS)
def test_full_size_from_kinetics_to_ava(layout: str) -> None:
    report = report_of(AVA, named(KINETICS, layout), layout, HEADS[layout])
    assert (report.ok, len(report.loaded), len(report.kept)) == (True, 550, 2)


# -- files of Caffe2 ---------------------------------------------------------------------------------------------------


def python2(array: np.ndarray[Any, Any]) -> bytes:
    """An array as Python 2 pickles it with protocol 2: names and numbers are strings of bytes."""

    def small(number: int) -> bytes:
        return b"M" + struct.pack("<H", number)

    data = array.astype("<f4").tobytes()
    kind = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(map(small, array.shape)) + b"t"
    state = b"(K\x01" + shape + kind + b"\x89T" + struct.pack("<I", len(data)) + data + b"t"
    return b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR" + state + b"b"


def write_python2(path: Path, blobs: State) -> None:
    """A file as Caffe2's tools wrote it: blobs, among them plain numbers and the optimiser's, and a configuration."""
    stream = b"\x80\x02}(U\x03cfgU\x0bMODEL: {}\n\nU\x05blobs}("
    for name, array in blobs.items():
        stream += b"U" + bytes([len(name)]) + name.encode() + python2(array)
        stream += b"U" + bytes([len(name) + 9]) + name.encode() + b"_momentum" + python2(0 * array)
    path.write_bytes(stream + b"U\x02lrG?\x84z\xe1G\xae\x14{U\nmodel_iterJ\x10'\x00\x00uu.")


def write_python3(protocol: int) -> Callable[[Path, State], None]:
    def write(path: Path, blobs: State) -> None:
        momentum = {f"{name}_momentum": np.zeros_like(array) for name, array in blobs.items()}
        others = {"lr": np.array([0.01], "f4"), "model_iter": np.array([10000]), "note": None}
        path.write_bytes(pickle.dumps({"blobs": {**blobs, **momentum, **others}, "cfg": "MODEL: {}"}, protocol))

    return write


@pytest.mark.parametrize("write", [write_python2, write_python3(2), write_python3(4)])
def test_a_file_of_the_authors(write: Callable[[Path, State], None], tmp_path: Path) -> None:
    network, path = create_model("slowfast_r50", num_classes=5, **SMALL), tmp_path / "SLOWFAST_8x8_R50.pkl"
    own = {name: array.shape for name, array in export_state(network, "slowfast_caffe2").items()}
    # The fusion behind a stage of one block is called after block 0 there.
    blobs = {blob.replace("_2_", "_0_").replace("_3_", "_0_").replace("_5_", "_0_"): own[blob] for blob in own}
    assert set(blobs) != set(own)
    made = rule_made(blobs.items())
    write(path, made)
    state = read(path)
    assert state.origin.under == "'blobs'"
    report = load(network, state, "slowfast_caffe2")
    assert len(report.loaded) == len(made)
    beside = {f"{any_depth(blob)}_momentum" for blob in made}
    assert beside <= set(report.ignored) <= beside | {"lr", "model_iter"}
    found = export_state(network, "slowfast_caffe2")
    for blob, array in made.items():
        np.testing.assert_array_equal(found[any_depth(blob)], array, strict=True)
    shapes = read_shapes(path)
    assert fits(network, shapes, "slowfast_caffe2").ok


def test_the_variance_is_no_inverse() -> None:
    network = create_model("slowfast_r50", num_classes=5, **SMALL)
    state = export_state(network, "slowfast_caffe2")
    state["res_conv1_bn_riv"][:] = 4
    load(network, state, "slowfast_caffe2")
    assert (network.parameters_dict()["s1.pathway0_stem.bn.bn2d.moving_variance"].asnumpy() == 4).all()


class Call:
    """A function that reading must not call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def test_nothing_in_a_file_of_the_authors_is_executed(tmp_path: Path) -> None:
    path, array = tmp_path / "SLOWFAST_8x8_R50.pkl", np.ones(2, np.float32)
    orders: list[Any] = [Call(os.system, f"touch {tmp_path}/ran"), Call(eval, f"open('{tmp_path}/ran', 'w')", {})]
    for protocol in (2, 4):
        for order in orders:
            path.write_bytes(pickle.dumps({"blobs": {"conv1_w": array, "pred_w": order}, "cfg": order}, protocol))
            state = read(path)
            assert (list(state), len(state.origin.skipped), len(state.origin.beside)) == (["conv1_w"], 1, 1)
            path.write_bytes(pickle.dumps({"blobs": order}, protocol))
            with pytest.raises(WeightsError, match="were not built: nothing was imported or run"):
                read(path)
    assert not (tmp_path / "ran").exists()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "SLOWFAST_8x8_R50.pkl"
    write_python2(path, {"conv1_w": np.ones((2, 3), np.float32), "pred_b": np.ones(4, np.float32)})
    whole = path.read_bytes()
    assert set(read(path)) == {"conv1_w", "conv1_w_momentum", "pred_b", "pred_b_momentum"}
    for length in range(2, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"SLOWFAST_8x8_R50\.pkl: "):
            read(path)
    path.write_bytes(whole.replace(b"(M\x02\x00M\x03\x00t", b"(M\x02\x00M\x04\x00t", 1))
    with pytest.raises(WeightsError, match="its bytes do not fit its shape"):
        read(path)
    path.write_bytes(pickle.dumps({"blobs": {"conv1_w": np.array(["a"], object)}}, 2))
    with pytest.raises(WeightsError, match="no tensors by name"):
        read(path)


# -- files of PySlowFast -----------------------------------------------------------------------------------------------


def write_pyth(path: Path, state: State, write_torch: Any) -> None:
    """What PySlowFast saves of a training: the state dict, the optimiser's state, the configuration as text."""
    write_torch(path, state)
    with zipfile.ZipFile(path) as file:
        records = {name: file.read(name) for name in file.namelist()}
    inner = records["net/data.pkl"][2:-1]
    tensor = inner[inner.index(b"ctorch._utils") :]
    tensor = tensor[: tensor.index(b"\x89}tR") + 4]
    buffers = b"}(" + b"".join(b"K" + bytes([n]) + b"}U\x0fmomentum_buffer" + tensor + b"s" for n in range(3)) + b"u"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    config = text("AVA:\n  BGR: false\nDETECTION:\n  ENABLE: true\n")
    optimiser = (
        b"}(U\x05state"
        + buffers
        + b"U\x0cparam_groups]}(U\x02lrG?\xb9\x99\x99\x99\x99\x99\x9aU\x06params]K\x00aua"
        + b"u"
    )
    stream = b"\x80\x02}(U\x05epochK\x13U\x0bmodel_state" + inner + b"U\x0foptimizer_state" + optimiser
    records["net/data.pkl"] = stream + b"U\x03cfg" + config + b"u."
    with zipfile.ZipFile(path, "w") as file:
        for name, content in records.items():
            file.writestr(name, content)


def test_a_checkpoint_of_pyslowfast(write_torch: Any, tmp_path: Path) -> None:
    network, path = create_model("slowfast_r50", num_classes=5, **SMALL), tmp_path / "checkpoint_epoch_00020.pyth"
    made = rule_made((name, array.shape) for name, array in export_state(network, "pyslowfast").items())
    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.ones(1, "f4") for name in made if "_mean" in name
    }
    write_pyth(path, {**made, **counters}, write_torch)
    state = read(path)
    assert state.origin.under == "'model_state'"
    assert read_metadata(path) == {"epoch": 19, "cfg": "AVA:\n  BGR: false\nDETECTION:\n  ENABLE: true\n"}
    report = load(network, state, "pyslowfast")
    assert (set(report.loaded), set(report.ignored)) == (set(made), set(counters))
    for name, array in export_state(network, "pyslowfast").items():
        np.testing.assert_array_equal(array, made[name], strict=True)


# -- files of the port -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "net."])
def test_a_checkpoint_of_the_port(prefix: str, tmp_path: Path) -> None:
    """Of its training, where the network lies in the cell of the loss and all beside it is the optimiser's."""
    network, path = create_model("slowfast_r50", num_classes=5, **SMALL), tmp_path / "slowfast-20_3056.ckpt"
    made = rule_made((name, array.shape) for name, array in export_state(network, "slowfast_mindspore").items())
    trained = [name for name in made if "moving" not in name]
    slots = {f"{slot}.{prefix}{name}": made[name] for slot in ("accum", "stat") for name in trained}
    slots |= {name: np.ones(1, "f4") for name in ("learning_rate", "momentum", "current_iterator_step", "scale_sense")}
    stored = {f"{prefix}{name}": array for name, array in made.items()} | slots
    ms.save_checkpoint([{"name": name, "data": ms.Tensor(array)} for name, array in stored.items()], str(path))
    report = load(network, read(path), "slowfast_mindspore")
    assert (set(report.loaded), set(report.ignored), report.prefix) == (set(made), set(slots), prefix)
    for name, array in export_state(network, "slowfast_mindspore").items():
        np.testing.assert_array_equal(array, made[name], strict=True)


# -- other networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "blocks", "beside"),
    [
        ("pyslowfast", "s4.pathway0_res6 to 22, s4.pathway1_res6 to 22", "s4.pathway0_nonlocal6, 13 and 20"),
        ("slowfast_caffe2", "res4_6 to 22, t_res4_6 to 22", "nonlocal_conv4"),
    ],
)
def test_a_file_of_depth_101_says_what_it_has_more(layout: str, blocks: str, beside: str) -> None:
    report = report_of(AVA, deep_file(layout), layout)
    assert not report.missing
    assert f"the file has {blocks}, {beside}, which the network lacks. Make the network as" in report.remedy
    assert [(one.found[2], one.expected[2]) for one in report.wrong_shape] == [(5, 7)] * 4
    network = {name: shape for name, shape in DEEP.items() if "nonlocal" not in name}
    report = report_of(network, named(AVA, layout), layout)
    assert len(report.missing) == 2 * 17 * 15
    assert f"the network has {blocks}, which the file lacks. Make the network as" in report.remedy
    # The network as deep as the file still lacks something, and is told so.
    assert f"the file has {beside}, which the network lacks." in report_of(network, deep_file(layout), layout).remedy


@pytest.mark.parametrize(
    ("layout", "other"),
    [
        ("slowfast_mindspore", "slowfast_caffe2"),
        ("pyslowfast", "slowfast_caffe2"),
        ("slowfast_caffe2", "mindspore"),
    ],
)
def test_a_file_of_another_program_is_told_by_its_names(layout: str, other: str) -> None:
    report = report_of(AVA, named(AVA, other), layout)
    assert report.remedy == f"The file's names are those of another layout: pass layout={other!r}."


# -- pictures ----------------------------------------------------------------------------------------------------------


def flat(network: Shapes) -> Shapes:
    """A ResNet of pictures by torchvision's names, with what its slow pathway has: kernels without a time."""
    layout = LAYOUTS["slowfast_pictures"]
    own = {layout.original_name(name): shape for name, shape in network.items()}
    return {name: (*s[:2], *s[3:]) if len(s) == 5 else s for name, s in own.items() if layout.holds(name)}


def test_a_resnet_of_pictures_fills_the_slow_pathway() -> None:
    network = create_model("slowfast_r50", num_classes=5, pathways="slow", **SMALL)
    own = {name: tuple(parameter.shape) for name, parameter in network.parameters_dict().items() if "mask" not in name}
    made = rule_made(flat(own).items())
    beside = {"fc.weight": np.ones((7, 9), "f4"), "bn1.num_batches_tracked": np.ones(1, "f4")}
    report = load(network, made | beside, "slowfast_pictures")
    assert (set(report.loaded), set(report.ignored)) == (set(made), set(beside))
    assert set(report.kept) == {"head.projection.weight", "head.projection.bias"}
    assert {one.name for one in report.inflated} == {name for name, array in made.items() if array.ndim == 4}
    found = network.parameters_dict()
    kernel = made["layer4.0.conv1.weight"]
    expected = inflate({"w": kernel}, 3)["w"]
    np.testing.assert_array_equal(found["s5.pathway0_res0.branch2.a.weight"].asnumpy(), expected)
    np.testing.assert_allclose(expected.sum(axis=2), kernel, rtol=1e-5)
    pairs = {
        "s1.pathway0_stem.bn.bn2d.moving_variance": "bn1.running_var",
        "s3.pathway0_res0.branch1_bn.bn2d.beta": "layer2.0.downsample.1.bias",
        "s2.pathway0_res0.branch2.c_bn.bn2d.gamma": "layer1.0.bn3.weight",
    }
    for name, key in pairs.items():
        np.testing.assert_array_equal(found[name].asnumpy(), made[key])


def test_a_resnet_of_pictures_for_both_pathways() -> None:
    """What joins makes the first kernels of a stage wider than the file's."""
    slow = {name: shape for name, shape in AVA.items() if "pathway0" in name}
    fused = {80: 64, 320: 256, 640: 512, 1280: 1024}
    file = flat({name: (s[0], fused.get(s[1], s[1]), *s[2:]) if len(s) == 5 else s for name, s in slow.items()})
    assert len(file) == 265  # those of ResNet-50 without its classifier
    report = report_of(AVA, file, "slowfast_pictures")
    wider = {f"layer{stage}.0.{kind}.weight" for stage in (1, 2, 3, 4) for kind in ("conv1", "downsample.0")}
    assert {one.name for one in report.wrong_shape} == wider
    assert (report.missing, report.unexpected) == ((), ())
    skipped = report_of(AVA, file, "slowfast_pictures", tuple(name.removesuffix(".weight") for name in wider))
    assert (skipped.ok, len(skipped.loaded), len(skipped.kept)) == (True, 265 - 8, 552 - 265 + 8)


# -- the manifest ------------------------------------------------------------------------------------------------------


def test_what_every_file_wants_is_said_in_its_entry() -> None:
    entries = {entry.id: entry for entry in load_weights("weights_slowfast").files}
    assert {name: (entry.layout, entry.options) for name, entry in entries.items()} == {
        "slowfast_kinetics": ("slowfast_caffe2", {"num_classes": 400, "task": "classification"}),
        "slowfast_kinetics_4x16": (
            "slowfast_caffe2",
            {"num_classes": 400, "task": "classification", "alpha": 8, "fusion_kernel": 5},
        ),
        "slowfast_ava_mindspore": ("slowfast_mindspore", {"num_classes": 80, "roi": "port"}),
        "slowfast_init_torchvision": ("slowfast_pictures", {"num_classes": 80, "pathways": "slow"}),
    }
    assert [name for name, entry in entries.items() if entry.sha256] == ["slowfast_ava_mindspore"]
    for name in ("slowfast_kinetics", "slowfast_kinetics_4x16", "slowfast_ava_mindspore"):
        transform = entries[name].transform
        np.testing.assert_allclose(np.array(transform.mean) / 255, [0.45] * 3, rtol=1e-12)
        np.testing.assert_allclose(np.array(transform.std) / 255, [0.225] * 3, rtol=1e-12)
        assert (transform.channel_order, transform.frames, transform.stride, transform.jitter) == (
            "rgb", 32, 2, (256, 320),
        )  # fmt: skip
    inputs = {name: dict(entry.spec.inputs) for name, entry in entries.items()}
    clip = (224, 224)
    assert inputs["slowfast_kinetics"] == {"slow": (3, 8, *clip), "fast": (3, 32, *clip)}
    assert inputs["slowfast_kinetics_4x16"] == {"slow": (3, 4, *clip), "fast": (3, 32, *clip)}
    assert list(inputs["slowfast_ava_mindspore"].items()) == [
        ("slow", (3, 8, 256, 640)), ("fast", (3, 32, 256, 640)), ("boxes", (28, 4)),
    ]  # fmt: skip
    assert entries["slowfast_ava_mindspore"].spec.output == (28, 80)
