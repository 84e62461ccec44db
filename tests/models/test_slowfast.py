"""SlowFast: its parts, what each pathway sees, boxes, and what it does not take."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import ParameterTuple, Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.spec import Spec
from actionbook.models import check_clips, create_model
from actionbook.models.layers import undrawn
from actionbook.models.profile import layer_table
from actionbook.models.slowfast import Block, Branch
from actionbook.tasks.losses import MaskedBinaryCrossEntropy
from actionbook.training.optimiser import LossCell
from actionbook.weights.names import torch_name

SMALL: dict[str, Any] = {"num_classes": 5, "width": 0.125, "depth": 14}
GOLDEN = Path(__file__).parent / "data" / "slowfast_golden.json"
RNG = np.random.default_rng(3)
BOXES = np.array([[4.0, 6.0, 60.0, 30.0], [33.0, 1.5, 50.0, 20.0], [0.0, 0.0, 0.0, 0.0]], np.float32)
Inside = Callable[..., list[np.ndarray]]
Batch = dict[str, np.ndarray]


def small(**options: Any) -> nn.Cell:
    """A small network in which every layer counts."""
    return create_model("slowfast_r50", **{"zero_init": False, **SMALL, **options})


def drawn(clips: int = 1, frames: int = 8, alpha: int = 4, size: tuple[int, int] = (32, 64)) -> Batch:
    """Random clips, the slow one with frames of its own, and the three boxes."""
    slow, fast = (RNG.standard_normal((clips, 3, t, *size)).astype(np.float32) for t in (frames // alpha, frames))
    return {"slow": slow, "fast": fast, "boxes": np.stack([BOXES] * clips)}


def full(**options: Any) -> nn.Cell:
    """The network of the paper, whose values do not count."""
    with undrawn():
        return create_model("slowfast_r50", **{"num_classes": 80, **options})


def test_the_table_of_parts() -> None:
    clip = {"slow": (3, 8, 32, 32), "fast": (3, 32, 32, 32), "boxes": (3, 4)}
    table = layer_table(full(), Spec(clip))
    part = table.name.str.replace(r"(^\w+?)(\.pathway\d|\.).*", r"\1\2", regex=True).str.rstrip(".")
    totals = table.groupby(part)[["parameters", "macs"]].sum()
    assert totals.parameters.to_dict() == {
        "s1.pathway0": 9_536,
        "s1.pathway1": 5_896,
        "s1_fuse": 928,
        "s2.pathway0": 220_928,
        "s2.pathway1": 4_832,
        "s2_fuse": 14_464,
        "s3.pathway0": 1_260_544,
        "s3.pathway1": 27_008,
        "s3_fuse": 57_600,
        "s4.pathway0": 10_211_328,
        "s4.pathway1": 158_208,
        "s4_fuse": 229_888,
        "s5.pathway0": 21_125_120,
        "s5.pathway1": 318_208,
        "head": 184_400,
    }
    billions = totals.macs * 49 / 1e9  # at 32 x 32 every map has a 49th of the places that it has at 224 x 224
    stages = billions[billions.index.str.contains("pathway")]
    by_stage = stages.groupby(stages.index.str[:2]).sum()
    assert by_stage.round(2).tolist() == [3.30, 5.92, 9.40, 19.38, 35.07]
    of_paths = [billions[billions.index.str.contains(kind)].sum() for kind in ("pathway0", "pathway1", "fuse")]
    assert np.round(of_paths, 3).tolist() == [66.428, 6.651, 1.101]


def test_parameters_are_called_as_in_the_authors_program() -> None:
    tensors = {name: tuple(shape) for name, shape in json.loads(GOLDEN.read_text())["tensors"]["slowfast"]}
    network = full()
    found = {torch_name(p.name): tuple(p.shape) for p in network.get_parameters()}
    assert found.pop("head.dropout.mask_key") == (2,)
    assert found == tensors
    assert (len(tensors), len(network.trainable_params())) == (552, 332)


def test_other_depths_have_other_blocks() -> None:
    for depth, blocks in ((14, [1, 1, 1, 1]), (26, [2, 2, 2, 2]), (101, [3, 4, 23, 3])):
        cells = full(depth=depth, width=0.125).cells_and_names()
        names = [name for name, cell in cells if isinstance(cell, Block)]
        assert [sum(name.startswith(f"s{s}.pathway1") for name in names) for s in (2, 3, 4, 5)] == blocks


def test_the_slow_pathway_hears_the_fast_one_behind_its_own_channels(inside: Inside) -> None:
    network, batch = small(), drawn()
    stem, fast, fused, last = inside(network, batch, "s1.pathway0_stem", "s1.pathway1_stem", "s1_fuse", "s4_fuse")
    assert (stem.shape, fast.shape, fused.shape) == ((1, 8, 2, 8, 16), (1, 1, 8, 8, 16), (1, 10, 2, 8, 16))
    np.testing.assert_array_equal(fused[:, :8], stem)
    weight = network.s1_fuse.conv_f2s.weight.asnumpy()[:, 0, :, 0, 0]  # (2, 7)
    padded = np.pad(fast[0, 0], ((3, 3), (0, 0), (0, 0)))
    heard = np.stack([np.tensordot(weight, padded[4 * t : 4 * t + 7], 1) for t in range(2)], 1)
    np.testing.assert_allclose(fused[0, 8:], np.maximum(heard / np.sqrt(1 + 1e-5), 0), atol=1e-5)
    assert last.shape == (1, 128 + 2 * 16, 2, 2, 4)


@pytest.mark.parametrize("pathways", ["both", "slow", "fast"])
def test_what_each_pathway_sees(inside: Inside, pathways: str) -> None:
    network, batch = small(pathways=pathways), drawn()
    logits = inside(network, batch, "")[0]
    for name in ("slow", "fast"):
        moved = np.abs(inside(network, {**batch, name: -batch[name]}, "")[0] - logits).max()
        assert (moved > 1e-4) == (pathways in ("both", name))
    names = [p.name for p in network.get_parameters()]
    assert any("pathway0" in name for name in names) == (pathways != "fast")
    assert any("pathway1" in name for name in names) == (pathways != "slow")
    assert any("_fuse" in name for name in names) == (pathways == "both")
    wide = {"both": 256 + 32, "slow": 256, "fast": 32}[pathways]
    assert network.head.projection.weight.shape == (5, wide)


def test_detection_keeps_the_size_of_its_last_maps_with_the_same_weights(inside: Inside) -> None:
    batch, last = drawn(), "s5.pathway1_res0"
    detection, classification = small(), small(task="classification")
    assert [(p.name, p.shape) for p in detection.get_parameters()] == [
        (p.name, p.shape) for p in classification.get_parameters()
    ]
    assert inside(detection, batch, last)[0].shape == (1, 32, 8, 2, 4)
    clips = {name: batch[name] for name in ("slow", "fast")}
    maps, slow, logits = inside(classification, clips, last, "s5.pathway0_res0", "")
    assert (maps.shape, logits.shape) == ((1, 32, 8, 1, 2), (1, 5))
    features = np.concatenate([slow.mean(axis=(2, 3, 4)), maps.mean(axis=(2, 3, 4))], 1)
    dense = classification.head.projection
    np.testing.assert_allclose(logits, features @ dense.weight.asnumpy().T + dense.bias.asnumpy(), atol=1e-5)
    taps = {name: cell.dilation for name, cell in detection.cells_and_names() if isinstance(cell, nn.Conv3d)}
    apart = [name for name, dilation in taps.items() if tuple(dilation[-2:]) == (2, 2)]
    assert apart == ["s5.pathway0_res0.branch2.b", "s5.pathway1_res0.branch2.b"]


def test_the_features_of_a_box_are_the_largest_of_its_bins(inside: Inside) -> None:
    network = small(pathways="fast")
    maps, bins, logits = inside(network, drawn(), "s5.pathway1_res0", "head.roi", "")
    assert (maps.shape, bins.shape) == ((1, 32, 8, 2, 4), (1, 3, 7, 7, 32))
    again = network.head.roi(Tensor(maps.mean(axis=2)), Tensor(BOXES[None])).asnumpy()
    np.testing.assert_allclose(bins, again, atol=1e-5)
    expected = bins.max(axis=(2, 3)) @ network.head.projection.weight.asnumpy().T
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_boxes_and_clips_do_not_mix(inside: Inside) -> None:
    network, batch = small(), drawn(2)
    logits = inside(network, batch, "")[0]
    assert logits.shape == (2, 3, 5)
    assert np.isfinite(logits).all()
    order = [2, 0, 1]
    turned = inside(network, {**batch, "boxes": batch["boxes"][:, order]}, "")[0]
    np.testing.assert_allclose(turned, logits[:, order], atol=1e-6)
    alone = {name: array[1:] for name, array in batch.items()}
    alone["boxes"] = alone["boxes"][:, :1]
    np.testing.assert_allclose(inside(network, alone, "")[0], logits[1:, :1], atol=1e-5)
    assert np.abs(logits[:, 0] - logits[:, 1]).max() > 1e-3


@pytest.mark.parametrize(("alpha", "frames"), [(2, 4), (8, 16)])
def test_other_ratios_of_frames(inside: Inside, alpha: int, frames: int) -> None:
    batch = drawn(frames=frames, alpha=alpha)
    fused, logits = inside(small(alpha=alpha, beta_inv=4, fusion_kernel=5), batch, "s1_fuse", "")
    assert fused.shape == (1, 8 + 2 * 2, 2, 8, 16)
    assert logits.shape == (1, 3, 5)


@pytest.mark.usefixtures("_pynative")
def test_gradients_are_the_slope_of_the_loss() -> None:
    """Along their own direction, of the masked loss of two clips; padded boxes leave no trace."""
    network, batch = small(dropout=0.0).set_train(), drawn(2)
    mask = np.array([[1, 1, 0], [1, 0, 0]], np.float32)
    targets = (RNG.random((2, 3, 5)) > 0.5).astype(np.float32)
    cell = LossCell(network, MaskedBinaryCrossEntropy(), 3)
    weights = ParameterTuple(network.trainable_params())
    arrays = [*map(Tensor, batch.values())]
    rest = Tensor(targets), Tensor(mask)
    loss, found = ms.value_and_grad(cell, None, weights)(*arrays, *rest)
    gradients = [gradient.asnumpy() for gradient in found]
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert all(gradient.any() for gradient in gradients)
    length = np.sqrt(sum(np.square(gradient).sum() for gradient in gradients))
    before = [weight.asnumpy().copy() for weight in weights]

    def moved(step: float) -> float:
        for weight, value, gradient in zip(weights, before, gradients, strict=True):
            weight.set_data(Tensor(value + np.float32(step / length) * gradient))
        return float(cell(*arrays, *rest).asnumpy())

    slope = (moved(2e-3) - moved(-2e-3)) / 4e-3
    assert slope == pytest.approx(length, rel=0.02)
    moved(0)
    other = targets.copy()
    other[:, 2] = 1 - other[:, 2]  # of boxes that are not there
    again = cell(*arrays, Tensor(other), Tensor(mask))
    assert float(again.asnumpy()) == pytest.approx(float(loss.asnumpy()), rel=1e-6)


def test_what_it_does_not_take() -> None:
    network = small()
    for slow, fast in (((3, 2, 32, 64), (3, 9, 32, 64)), ((3, 2, 32, 64), (3, 8, 32, 32))):
        with pytest.raises(BookError, match=r"recipe 'x'.*expected 4 times as many fast frames \(alpha\).*same size"):
            check_clips(network, Spec({"slow": slow, "fast": fast, "boxes": (3, 4)}), "recipe 'x'")
    both = {"slow": (3, 2, 32, 64), "fast": (3, 8, 32, 64)}
    check_clips(network, Spec({**both, "boxes": (3, 4)}), "")
    check_clips(small(task="classification"), Spec(both), "")
    with pytest.raises(BookError, match=r"recipe 'x'.*'detection'.*none"):
        check_clips(network, Spec(both), "recipe 'x'")
    with pytest.raises(BookError, match=r"recipe 'x'.*'classification'.*boxes \(3, 4\)"):
        check_clips(small(task="classification"), Spec({**both, "boxes": (3, 4)}), "recipe 'x'")
    with pytest.raises(BookError, match=r"recipe 'x': .*2 to 3 inputs \(slow, fast, boxes\), the spec has 1 \(image"):
        check_clips(network, Spec.of((3, 8, 32, 64)), "recipe 'x'")
    with pytest.raises(BookError, match=r"recipe 'x': .*1 inputs \(x\), the spec has 2 \(slow .*, fast"):
        check_clips(create_model("stnet_resnet50", num_classes=5, width=0.05), Spec(both), "recipe 'x'")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"depth": 18}, "depth 18: expected one of 14, 26, 50, 101"),
        ({"task": "keyframes"}, "task 'keyframes'.*detection, classification"),
        ({"pathways": "none"}, "pathways 'none'.*both, slow, fast"),
        ({"roi": "aligned"}, "roi 'aligned'.*exact, unaligned, port"),
        ({"fusion_kernel": 4}, "fusion_kernel 4.*odd"),
        ({"alpha": 0}, "alpha 0.*1 or more"),
        ({"beta_inv": 0}, "beta_inv 0.*1 or more"),
        ({"fusion_ratio": 0}, "fusion_ratio 0.*1 or more"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(BookError, match=match):
        small(**options)


def test_initial_weights() -> None:
    one, same, other = (small(seed=seed, zero_init=True, width=0.5) for seed in (1, 1, 2))
    weights = [network.s3.pathway0_res0.branch2.b.weight.asnumpy() for network in (one, same, other)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()
    assert weights[0].std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)
    assert one.head.projection.weight.asnumpy().std() == pytest.approx(0.01, rel=0.05)
    assert not one.head.projection.bias.asnumpy().any()
    last = [cell.c_bn.bn2d.gamma.asnumpy() for _, cell in one.cells_and_names() if isinstance(cell, Branch)]
    assert len(last) == 8
    assert not any(gamma.any() for gamma in last)
    assert small().s2.pathway0_res0.branch2.c_bn.bn2d.gamma.asnumpy().all()
