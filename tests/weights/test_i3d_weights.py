"""I3D's weight files: names in four families, and inflation from pictures."""

from __future__ import annotations

import itertools
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from foreign import write_checkpoint
from mindspore import Tensor, nn, ops

from actionbook.core.runtime import set_device
from actionbook.models import create_model
from actionbook.models.i3d import MODULES
from actionbook.weights import LAYOUTS, WeightsError, export_state, load, read
from actionbook.weights.golden import rule_made
from actionbook.weights.inflation import inflate

UNITS = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")


@pytest.fixture(autouse=True, scope="module")
def _graph_mode() -> None:
    set_device("CPU")


@pytest.fixture
def network() -> nn.Cell:
    return create_model("i3d", num_classes=4, width=0.125, in_channels=2)


def published_names(layout: str) -> set[str]:
    """The 287 names of a published file, written down here a second time."""
    if layout == "piergiaj":
        stems = ["Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"]
        units = [*stems, *(f"{module}.{unit}" for module in MODULES for unit in UNITS)]
        norm, head = "bn", "logits.conv3d"
    else:
        branches = ("branch_0", "branch_1.0", "branch_1.1", "branch_2.0", "branch_2.1", "branch_3.1")
        modules = [f"mixed_{name}" for name in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")]
        units = ["conv3d_1a_7x7", "conv3d_2b_1x1", "conv3d_2c_3x3"]
        units += [f"{module}.{branch}" for module in modules for branch in branches]
        norm, head = "batch3d", "conv3d_0c_1x1.conv3d"
    names = {f"{unit}.conv3d.weight" for unit in units} | {f"{head}.weight", f"{head}.bias"}
    leaves = ("weight", "bias", "running_mean", "running_var")
    return names | {f"{unit}.{norm}.{leaf}" for unit in units for leaf in leaves}


@pytest.mark.parametrize("layout", ["piergiaj", "hassony2"])
def test_published_names(network: nn.Cell, layout: str) -> None:
    names = published_names(layout)
    assert len(names) == 287
    assert set(export_state(network, layout)) == names


# -- the authors' own --------------------------------------------------------------------------------------------------

DEEPMIND = ("Branch_0/Conv3d_0a_1x1", "Branch_1/Conv3d_0a_1x1", "Branch_1/Conv3d_0b_3x3", "Branch_2/Conv3d_0a_1x1",
            "Branch_2/Conv3d_0b_3x3", "Branch_3/Conv3d_0b_1x1")  # fmt: skip


def deepmind_file(made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of piergiaj's names as DeepMind's checkpoint has them, written down without the library."""
    file = {}
    for name, array in made.items():
        module, *parts, leaf = name.split(".")
        unit = f"/{DEEPMIND[UNITS.index(parts[0])]}" if len(parts) == 2 else ""
        unit = unit.replace("_2/Conv3d_0b", "_2/Conv3d_0a") if module == "Mixed_5b" else unit
        place = module.replace("logits", "Logits/Conv3d_0c_1x1") + unit
        if parts[-1] == "conv3d" and leaf == "weight":
            file[f"{place}/conv_3d/w"] = array.transpose(2, 3, 4, 1, 0)
        elif parts[-1] == "conv3d":
            file[f"{place}/conv_3d/b"] = array
        elif leaf != "weight":
            own = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}[leaf]
            file[f"{place}/batch_norm/{own}"] = array
    return file


@pytest.mark.parametrize("prefix", ["Flow/inception_i3d/", ""])
def test_the_authors_checkpoint(network: nn.Cell, prefix: str, tmp_path: Path) -> None:
    """Without scales, which are one; that of Kinetics-600 has no prefix, shapes with ones in front, and momenta."""
    state = export_state(network, "piergiaj")
    made = rule_made((name, array.shape) for name, array in state.items())
    file = {f"{prefix}{name}": array for name, array in deepmind_file(made).items()}
    assert len(file) == 230
    if not prefix:
        file = {n: a.reshape(1, 1, 1, 1, -1) if "batch_norm" in n else a for n, a in file.items()}
        file |= {f"{n}/Momentum": a for n, a in file.items() if "moving" not in n}
        file["global_step"] = np.array(5)
    load(network, made, "piergiaj")  # with scales other than one
    report = load(network, read(write_checkpoint(tmp_path / "model.ckpt", file)), "deepmind")
    assert (len(report.loaded), len(report.ones), report.prefix) == (230, 57, prefix)
    assert len(report.ignored) == (0 if prefix else 117)
    assert "not in such files, set to one: 57" in str(report).splitlines()
    for name, array in export_state(network, "piergiaj").items():
        norm = name.endswith(".bn.weight")
        np.testing.assert_array_equal(array, np.ones_like(array) if norm else made[name], strict=True)


def test_export_has_no_place_for_a_scale(network: nn.Cell) -> None:
    assert len(export_state(network, "deepmind")) == 230  # fresh scales are one
    network.Mixed_5c.b0.bn.bn2d.gamma.set_data(Tensor(np.full(48, 1.5, np.float32)))
    with pytest.raises(WeightsError, match=r"deepmind: Mixed_5c/Branch_0/Conv3d_0a_1x1/batch_norm/gamma is not one"):
        export_state(network, "deepmind")


def test_what_else_is_missing_stays_missing(network: nn.Cell) -> None:
    file = {f"RGB/inception_i3d/{name}": array for name, array in export_state(network, "deepmind").items()}
    del file["RGB/inception_i3d/Mixed_3b/Branch_0/Conv3d_0a_1x1/batch_norm/beta"]
    with pytest.raises(
        WeightsError, match=r"missing from the file: 1\n  Mixed_3b/Branch_0/Conv3d_0a_1x1/batch_norm/be"
    ):
        load(network, file, "deepmind")
    with pytest.raises(WeightsError, match="pass layout='deepmind'"):
        load(network, file, "piergiaj")


@pytest.mark.parametrize("layout", ["piergiaj", "hassony2", "mindspore"])
def test_every_layout_carries_every_tensor_there_and_back(network: nn.Cell, layout: str) -> None:
    state = export_state(network, "piergiaj")
    made = rule_made((name, array.shape) for name, array in state.items())
    load(network, made, "piergiaj")
    file = export_state(network, layout)
    if layout != "mindspore":
        file |= {name.replace("running_mean", "num_batches_tracked"): np.array(7) for name in file if "mean" in name}
    other = create_model("i3d", num_classes=4, width=0.125, in_channels=2, seed=5)
    report = load(other, file, layout)
    assert len(report.loaded) == 287
    assert len(report.ignored) == (0 if layout == "mindspore" else 57)
    for name, array in export_state(other, "piergiaj").items():
        np.testing.assert_array_equal(array, made[name])


def test_own_names_are_those_of_mindspore(network: nn.Cell) -> None:
    # The state of dropout is no weight.
    assert set(export_state(network, "mindspore")) == {p.name for p in network.get_parameters()} - {"dropout.mask_key"}
    assert LAYOUTS["mindspore"].original_name("a.bn.bn2d.gamma") == "a.bn.bn2d.gamma"


def test_a_head_of_other_classes_and_a_file_of_the_other_stream_are_told_apart(network: nn.Cell) -> None:
    kinetics = export_state(create_model("i3d", num_classes=9, width=0.125, in_channels=2), "hassony2")
    with pytest.raises(WeightsError, match="9 classes"):
        load(network, kinetics, "hassony2")
    report = load(network, kinetics, "hassony2", skip=["conv3d_0c_1x1"])
    assert sorted(report.kept) == ["conv3d_0c_1x1.conv3d.bias", "conv3d_0c_1x1.conv3d.weight"]
    rgb = export_state(create_model("i3d", num_classes=4, width=0.125), "piergiaj")
    with pytest.raises(WeightsError, match=r"Conv3d_1a_7x7\.conv3d\.weight"):
        load(network, rgb, "piergiaj")


def test_inflated_kernels_sum_to_the_flat_ones() -> None:
    rng = np.random.default_rng(0)
    flat = {"a.weight": rng.standard_normal((4, 3, 5, 5)).astype(np.float32), "a.bias": np.ones(4, np.float32)}
    for frames in (3, {"a.weight": 3}):
        state = inflate(flat, frames)
        assert state["a.weight"].shape == (4, 3, 3, 5, 5)
        assert state["a.weight"].dtype == np.float32
        for frame in range(3):
            np.testing.assert_array_equal(state["a.weight"][:, :, frame], flat["a.weight"] / np.float32(3))
        np.testing.assert_array_equal(state["a.bias"], flat["a.bias"])
    np.testing.assert_array_equal(inflate(flat, 1)["a.weight"][:, :, 0], flat["a.weight"])
    for wrong in (0, {"b.weight": 3}):
        with pytest.raises(WeightsError, match=r"a\.weight: no number of frames"):
            inflate(flat, wrong)


class Pictures:
    """The 2-D network up to Mixed_3b, from MindSpore's 2-D operators: what the inflated one is held to."""

    def __init__(self, state: dict[str, np.ndarray]) -> None:
        self.state = state

    def unit(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = Tensor(self.state[f"{name}.conv3d.weight"])
        y = ops.conv2d(x, weight, None, stride, "same").asnumpy()
        gamma, beta, mean, variance = (
            self.state[f"{name}.bn.{leaf}"].reshape(1, -1, 1, 1)
            for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        return Tensor(np.maximum((y - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0))

    def stages(self, picture: Tensor) -> dict[str, Tensor]:
        pool = nn.MaxPool2d(3, 2, "same")
        found = {"Conv3d_1a_7x7": self.unit("Conv3d_1a_7x7", picture, 2)}
        found["Conv3d_2b_1x1"] = self.unit("Conv3d_2b_1x1", pool(found["Conv3d_1a_7x7"]))
        found["Conv3d_2c_3x3"] = self.unit("Conv3d_2c_3x3", found["Conv3d_2b_1x1"])
        x, m = pool(found["Conv3d_2c_3x3"]), "Mixed_3b"
        branches = [
            self.unit(f"{m}.b0", x),
            self.unit(f"{m}.b1b", self.unit(f"{m}.b1a", x)),
            self.unit(f"{m}.b2b", self.unit(f"{m}.b2a", x)),
            self.unit(f"{m}.b3b", nn.MaxPool2d(3, 1, "same")(x)),
        ]
        return found | {m: ops.concat(branches, 1)}


def test_an_inflated_network_sees_a_still_video_as_the_flat_one_sees_the_picture() -> None:
    network = create_model("i3d", num_classes=4, width=0.125)
    shapes = {name: array.shape for name, array in export_state(network, "piergiaj").items()}
    flat = rule_made((name, shape[:2] + shape[3:] if len(shape) == 5 else shape) for name, shape in shapes.items())
    depths = {name: shape[2] for name, shape in shapes.items() if len(shape) == 5}
    report = load(network, inflate(flat, depths), "piergiaj")
    assert len(report.loaded) == 287
    picture = np.random.default_rng(0).standard_normal((1, 3, 40, 33)).astype(np.float32)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    expected = Pictures(flat).stages(Tensor(picture))
    x = Tensor(np.repeat(picture[:, :, np.newaxis], 32, axis=2))
    found = {}
    for name, cell in itertools.islice(network.name_cells().items(), 6):
        x = found[name] = cell(x)
    ms.set_context(mode=ms.GRAPH_MODE)
    # Of 16 frames, those whose filters see no padding in time: a stem of 7 at stride 2, then twice one of 3.
    for name, inner in (("Conv3d_1a_7x7", slice(1, 14)), ("Conv3d_2c_3x3", slice(2, 13)), ("Mixed_3b", slice(3, 12))):
        video, still = found[name].asnumpy(), expected[name].asnumpy()
        tolerance = 1e-4 * still.std()
        assert video.shape[2] == 16
        assert np.abs(video[:, :, inner] - still[:, :, np.newaxis]).max() < tolerance, name
        for outer in (inner.start - 1, inner.stop):
            assert np.abs(video[:, :, outer] - still).max() > 100 * tolerance, (name, outer)
