"""StNet: its super-images, what joins them, and what it does not take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from actionbook.core.errors import BookError
from actionbook.core.spec import Spec
from actionbook.models import check_clips, create_model
from actionbook.models.layers import undrawn
from actionbook.models.profile import layer_table
from actionbook.models.stnet import Temporal, TemporalXception

NARROW: dict[str, Any] = {"num_classes": 5, "width": 0.05}
RNG = np.random.default_rng(3)
Inside = Callable[..., list[np.ndarray]]


def clip(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_the_table_of_parts() -> None:
    with undrawn():
        network = create_model("stnet_resnet50", num_classes=400)
    table = layer_table(network, (3, 35, 32, 32))
    part = table.name.str.split(".").str[0]
    totals = table.groupby(part)[["parameters", "macs"]].sum()
    assert totals.parameters.drop("fc").to_dict() == {
        "conv1": 47_040,
        "bn1": 128,
        "layer1": 215_808,
        "layer2": 1_219_584,
        "temp1": 787_968,
        "layer3": 7_098_368,
        "temp2": 3_148_800,
        "layer4": 14_964_736,
        "xception": 5_266_432,
    }
    blocks = totals.macs[["temp1", "temp2"]].sum() * 49 / 1e9  # at 32 x 32 every map has a 49th of the places
    assert blocks == pytest.approx(8.632, abs=1e-3)
    assert totals.macs["xception"] / 1e9 == pytest.approx(0.037, abs=1e-3)


@pytest.mark.usefixtures("_pynative")
def test_a_super_image_is_stacked_frame_by_frame() -> None:
    network = create_model("stnet_resnet50", frames=2, **NARROW)
    x = np.arange(2 * 3 * 6, dtype=np.float32).reshape(2, 3, 6, 1, 1)
    found = network.super_images(Tensor(x)).asnumpy()
    assert found.shape == (2 * 3, 2 * 3, 1, 1)
    for video in range(2):
        for segment in range(3):
            frames = [x[video, :, 2 * segment + number, 0, 0] for number in range(2)]
            np.testing.assert_array_equal(found[3 * video + segment, :, 0, 0], np.concatenate(frames))
    # A later version of the port for Ascend reshapes without a transposition: pictures of one colour in six frames.
    scrambled = x.reshape(6, 6)
    assert (found[:, :, 0, 0] != scrambled).any()
    middle = create_model("stnet_resnet50", frames=3, local=False, **NARROW).super_images(Tensor(x)).asnumpy()
    np.testing.assert_array_equal(middle.reshape(2, 2, 3), x[:, :, [1, 4], 0, 0].transpose(0, 2, 1))


def test_frames_in_another_order_are_another_clip_to_the_local_part_alone(inside: Inside) -> None:
    x = clip(1, 3, 10, 32, 32)
    turned = x.reshape(1, 3, 2, 5, 32, 32)[:, :, :, ::-1].reshape(x.shape)
    whole = create_model("stnet_resnet50", **NARROW)
    assert np.abs(inside(whole, x, "")[0] - inside(whole, turned, "")[0]).max() > 1e-3
    middle = create_model("stnet_resnet50", local=False, **NARROW)
    np.testing.assert_array_equal(inside(middle, x, "")[0], inside(middle, turned, "")[0])


def test_segments_in_another_order_are_another_clip_to_the_temporal_part_alone(inside: Inside) -> None:
    x = clip(1, 3, 15, 32, 32)
    turned = x.reshape(1, 3, 3, 5, 32, 32)[:, :, ::-1].reshape(x.shape)
    whole = create_model("stnet_resnet50", **NARROW)
    assert np.abs(inside(whole, x, "")[0] - inside(whole, turned, "")[0]).max() > 1e-3
    mean = create_model("stnet_resnet50", temporal=False, **NARROW)
    np.testing.assert_allclose(inside(mean, x, "")[0], inside(mean, turned, "")[0], atol=1e-5)
    of_each = [inside(mean, x[:, :, start : start + 5].copy(), "")[0] for start in (0, 5, 10)]
    np.testing.assert_allclose(inside(mean, x, "")[0], np.mean(of_each, axis=0), atol=1e-5)


@pytest.mark.usefixtures("_pynative")
def test_a_temporal_block_activates_before_it_normalises_and_joins_neighbours_of_one_video() -> None:
    block = Temporal(4, eps=1e-5).set_train(False)
    block.bn1.bn2d.moving_mean.set_data(Tensor(np.array([2, -1, 1, 0], np.float32)))
    x = Tensor(clip(2 * 3, 4, 2, 2))
    found = block(x, 2).asnumpy()
    weight, bias = block.conv1.weight.asnumpy()[:, :, :, 0, 0], block.conv1.bias.asnumpy()
    video = np.pad(x.asnumpy().reshape(2, 3, 4, 2, 2), ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    taps = [np.einsum("oc,ntchw->ntohw", weight[:, :, k], video[:, k : k + 3]) for k in range(3)]
    active = np.maximum(sum(taps) + bias[:, None, None], 0)
    normed = (active - block.bn1.bn2d.moving_mean.asnumpy()[:, None, None]) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(found, x.asnumpy() + normed.reshape(x.shape), atol=1e-5)
    assert (found - x.asnumpy()).min() < -0.1  # no activation behind


@pytest.mark.usefixtures("_pynative")
@pytest.mark.parametrize("dense", [True, False])
def test_the_xception_sees_each_channel_alone_and_the_ports_all(dense: bool) -> None:
    block = TemporalXception(6, 4, dense=dense, eps=1e-5).set_train(False)
    assert block.att_conv.weight.shape == ((6, 6, 3, 1) if dense else (6, 1, 3, 1))
    x = clip(1, 6, 5, 1)
    changed = x.copy()
    changed[:, 0] += 1
    apart = np.abs(block.att_conv(Tensor(changed)).asnumpy() - block.att_conv(Tensor(x)).asnumpy())
    assert (apart[0, 1:].max() > 1e-3) == dense
    normed = block.bn1(Tensor(x))
    y = ops.relu(block.bn2(block.att_2(block.att_conv(normed))))
    expected = ops.relu(block.bn3(block.att1_2(block.att_1(y)) + block.dw(normed)))
    np.testing.assert_allclose(block(Tensor(x)).asnumpy(), expected.asnumpy(), atol=1e-6)


def test_the_last_features_are_the_largest_of_all_segments(inside: Inside) -> None:
    network = create_model("stnet_resnet50", **NARROW)
    features, logits = inside(network, clip(2, 3, 15, 32, 32), "xception", "")
    assert features.shape == (2, 51, 3, 1)
    expected = features.max(axis=(2, 3)) @ network.fc.weight.asnumpy().T + network.fc.bias.asnumpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("max_pool", ["symmetric", "port"])
def test_the_first_pool_is_padded_on_all_sides_and_the_ports_at_the_end(inside: Inside, max_pool: str) -> None:
    network = create_model("stnet_resnet50", max_pool=max_pool, **NARROW)
    before, after = inside(network, clip(1, 3, 5, 32, 32), "relu", "maxpool")
    first = 0 if max_pool == "port" else 1
    padded = np.pad(before, ((0, 0), (0, 0), (first, 2), (first, 2)))
    windows = [[padded[:, :, i : i + 3, j : j + 3].max(axis=(2, 3)) for j in range(0, 16, 2)] for i in range(0, 16, 2)]
    np.testing.assert_array_equal(after, np.array(windows).transpose(2, 3, 0, 1))


def test_videos_of_a_batch_do_not_mix_and_any_number_of_segments_is_taken(inside: Inside) -> None:
    network = create_model("stnet_resnet50", **NARROW)
    x = clip(2, 3, 10, 32, 32)
    both, alone = inside(network, x, "")[0], [inside(network, one[None], "")[0][0] for one in x]
    np.testing.assert_allclose(both, alone, atol=1e-5)
    assert [inside(network, clip(1, 3, 5 * n, 32, 48), "")[0].shape for n in (1, 3)] == [(1, 5)] * 2


def test_what_it_does_not_take(inside: Inside) -> None:
    network = create_model("stnet_resnet50", **NARROW)
    with pytest.raises(ValueError, match=r"7 frames.*multiple of 5"):
        inside(network, clip(1, 3, 7, 32, 32), "")
    with pytest.raises(BookError, match=r"recipe 'x'.*7 frames.*multiple of 5"):
        check_clips(network, Spec.of((3, 7, 32, 32)), "recipe 'x'")
    for options, match in (
        ({"xception": "port"}, "xception 'port'.*grouped, dense"),
        ({"max_pool": "same"}, "max_pool 'same'.*symmetric, port"),
        ({"frames": 0}, "frames 0.*1 or more"),
    ):
        with pytest.raises(BookError, match=match):
            create_model("stnet_resnet50", **options, **NARROW)


def test_options_and_initial_weights() -> None:
    one, same, other = (create_model("stnet_resnet50", seed=seed, eps=1e-4, **NARROW) for seed in (1, 1, 2))
    assert {c.eps for _, c in one.cells_and_names() if isinstance(c, nn.BatchNorm2d)} == {1e-4}
    weights = [network.fc.weight.asnumpy() for network in (one, same, other)]
    assert np.abs(weights[0]).max() == pytest.approx(1 / np.sqrt(4 * 25), rel=0.02)
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()
    assert np.abs(one.temp1.conv1.weight.asnumpy()).max() == pytest.approx(np.sqrt(6 / (24 * 3)), rel=0.02)
    assert not one.temp1.conv1.bias.asnumpy().any()
    names = {p.name for p in create_model("stnet_resnet50", temporal=False, **NARROW).get_parameters()}
    assert not [name for name in names if name.startswith(("temp", "xception"))]
