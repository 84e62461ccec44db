"""Names and shapes of a file against those of a network."""

from __future__ import annotations

import pytest

from actionbook.weights import LAYOUTS, WeightsError
from actionbook.weights.fit import common_prefix, fit

NETWORK = {"a.conv.weight": (2, 3), "a.bn.bn2d.gamma": (2,), "fc.bias": (5,)}
NAMES = ["a.conv.weight", "a.bn.weight", "fc.bias"]
OKANKOP = LAYOUTS["okankop"]


def file(*prefixes: str) -> dict[str, tuple[int, ...]]:
    return {"".join(prefixes) + name: shape for name, shape in zip(NAMES, NETWORK.values(), strict=True)}


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "_orig_mod.", "net.", "module.module.", "model._orig_mod.", "_orig_mod.module.", "own.",
     "learner.0.backbone."],
)  # fmt: skip
def test_what_stands_before_every_name_is_taken_off(prefix: str) -> None:
    counter = {f"{prefix}a.bn.num_batches_tracked": ()}
    report = fit(NETWORK, file(prefix) | counter, OKANKOP).report
    assert report.ok
    assert (report.prefix, report.loaded) == (prefix, tuple(NAMES))
    assert report.ignored == ("a.bn.num_batches_tracked",)
    assert (f"taken off every name: {prefix}" in str(report).splitlines()) == bool(prefix)


@pytest.mark.parametrize(
    ("names", "wanted", "prefix"),
    [
        (["model.a", "model.b"], ["model.a", "model.b"], ""),  # the network's own
        (["module.model.a", "module.model.b"], ["model.a", "model.b"], "module."),
        (["module.a", "b"], ["a", "b"], ""),  # not every one has it
        (["module.x", "module.y"], ["a"], "module."),  # nothing fits: a known wrapper all the same
        (["encoder.x", "encoder.y"], ["a"], ""),
        (["module.encoder.x"], ["a"], "module."),
        (["module.weight"], ["weight"], "module."),
        (["weight"], ["weight"], ""),
        ([], ["weight"], ""),
        (["m." * 30 + "a"], ["a"], ""),  # bounded
    ],
)
def test_common_prefix(names: list[str], wanted: list[str], prefix: str) -> None:
    assert common_prefix(names, wanted) == prefix


def test_names_without_the_prefix_are_no_obstacle_once_they_are_allowed() -> None:
    state = file("model.") | {"criterion.weight": (5,)}
    report = fit(NETWORK, state, OKANKOP).report
    assert (len(report.missing), report.prefix) == (3, "")
    report = fit(NETWORK, state, OKANKOP, allow_unexpected=("criterion",)).report
    assert report.ok
    assert (report.prefix, report.ignored) == ("model.", ("criterion.weight",))


def test_one_name_twice() -> None:
    with pytest.raises(WeightsError, match=r"hold 'module\.fc\.bias' and 'fc\.bias', which are both 'fc\.bias'"):
        fit(NETWORK, file("module.") | {"fc.bias": (5,)}, OKANKOP, allow_unexpected=("fc",))


def test_the_nearest_layout_is_named_with_an_example_of_each_side() -> None:
    network = {"Mixed_3b.b1a.conv3d.weight": (2,), "Mixed_3b.b1a.bn.bn2d.gamma": (2,), "logits.conv3d.bias": (3,)}
    state = {LAYOUTS["hassony2"].original_name(name): shape for name, shape in network.items()}
    report = fit(network, {f"module.{name}": shape for name, shape in state.items()}, LAYOUTS["piergiaj"]).report
    assert str(report.nearest) == "nearest layout: hassony2, by which 3 of 3 names fit"
    assert str(report.nearest) in str(report)
    assert report.remedy == "The file's names are those of another layout: pass layout='hassony2'."
    other = {"blocks.0.conv.weight": (2,), "blocks.0.bn.weight": (2,), "head.bias": (3,)}
    report = fit(network, other, LAYOUTS["piergiaj"]).report
    assert report.nearest is not None
    assert (report.nearest.layout, report.nearest.matches, report.nearest.total) == ("piergiaj", 0, 3)
    assert report.nearest.ours == "Mixed_3b.b1a.bn.weight"
    assert report.nearest.theirs in other
    assert "Check that the network" in report.remedy


def test_own_checkpoints_carry_the_state_of_dropout() -> None:
    report = fit(NETWORK, {**NETWORK, "dropout.mask_key": (2,)}, LAYOUTS["mindspore"]).report
    assert report.ok
    assert report.ignored == ("dropout.mask_key",)
