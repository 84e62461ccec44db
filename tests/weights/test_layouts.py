"""Names of parameters in MindSpore and in the original repositories."""

from __future__ import annotations

import pytest

from actionbook.weights import LAYOUTS, WeightsError
from actionbook.weights.layouts import get_layout, okankop_name, torch_name

NAMES = {
    "features.0.0.weight": "features.0.0.weight",
    "features.0.1.bn2d.gamma": "features.0.1.weight",
    "features.1.conv.1.bn2d.beta": "features.1.conv.1.bias",
    "features.1.conv.1.bn2d.moving_mean": "features.1.conv.1.running_mean",
    "bn1.moving_variance": "bn1.running_var",
    "classifier.1.bias": "classifier.1.bias",
    "gamma": "weight",
}


@pytest.mark.parametrize("name", NAMES)
def test_torch_names(name: str) -> None:
    assert torch_name(name) == NAMES[name]


BRANCHES = {
    "features.0.branch1.1.bn2d.moving_mean": "features.0.banch1.1.running_mean",
    "features.15.branch2.0.weight": "features.15.banch2.0.weight",
    "branch1.weight": "banch1.weight",
    # Only ShuffleNetV2's two branches are misspelt, and only as a whole part of a name.
    "features.branch3.weight": "features.branch3.weight",
    "features.branch12.weight": "features.branch12.weight",
    "features.my_branch1.weight": "features.my_branch1.weight",
}


@pytest.mark.parametrize("name", [*NAMES, *BRANCHES])
def test_names_of_efficient_3d_cnns(name: str) -> None:
    assert okankop_name(name) == {**NAMES, **BRANCHES}[name]


@pytest.mark.parametrize("name", NAMES)
def test_branches_keep_their_spelling_in_other_layouts(name: str) -> None:
    assert torch_name(f"branch1.{name}") == f"branch1.{NAMES[name]}"


def test_unknown_layout_lists_the_known() -> None:
    assert get_layout(LAYOUTS["okankop"]) is get_layout("okankop")
    with pytest.raises(WeightsError, match=r"'okancop'.*okankop"):
        get_layout("okancop")
