"""Names of parameters in MindSpore and in the original repositories."""

from __future__ import annotations

import numpy as np
import pytest

from actionbook.weights import LAYOUTS, WeightsError
from actionbook.weights.layouts import Layout, get_layout
from actionbook.weights.names import okankop_name, torch_name

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


def test_axes_of_tensorflow() -> None:
    last = Layout("last", str, channels_last=True)
    for stored, expected in (((7, 6), (6, 7)), ((5, 4, 3, 2), (2, 3, 5, 4)), ((6, 5, 4, 3, 2), (2, 3, 6, 5, 4))):
        array = np.arange(np.prod(stored)).reshape(stored)
        assert last.turned(stored, expected) == expected
        turned = last.from_file("w", array, expected)
        assert turned.shape == expected
        assert turned[1, 2, ...].ravel().tolist() == array[..., 2, 1].ravel().tolist()
        np.testing.assert_array_equal(last.to_file(turned), array)
    assert last.turned((5,), (5,)) == (5,)
    np.testing.assert_array_equal(last.to_file(np.arange(5)), np.arange(5))
    assert last.turned((1, 5), (5,)) == (5, 1)  # of the wrong shape, and it stays so


def test_axes_of_paddle() -> None:
    dense = Layout("dense", str, dense_last=True)
    array = np.arange(6).reshape(2, 3)
    assert dense.turned((2, 3), (3, 2)) == (3, 2)
    np.testing.assert_array_equal(dense.from_file("w", array, (3, 2)), array.T)
    np.testing.assert_array_equal(dense.to_file(array), array.T)
    for shape in ((6,), (3, 2, 1), (1, 2, 3, 1)):
        assert dense.turned(shape, shape) == shape
        np.testing.assert_array_equal(dense.from_file("w", array.reshape(shape), shape), array.reshape(shape))
        np.testing.assert_array_equal(dense.to_file(array.reshape(shape)), array.reshape(shape))


def test_shapes_filled_up_with_ones() -> None:
    padded = Layout("padded", str, padded=True)
    assert padded.turned((1, 1, 5, 4), (5, 4)) == (5, 4)
    assert padded.turned((1, 1, 1, 5), (5,)) == (5,)
    assert padded.turned((1, 4), (1, 4)) == (1, 4)  # no more axes than there are
    assert padded.turned((1, 2, 5), (5,)) == (1, 2, 5)
    assert padded.from_file("b", np.arange(5).reshape(1, 1, 1, 5), (5,)).tolist() == [0, 1, 2, 3, 4]
    both = Layout("both", str, padded=True, channels_last=True)
    assert both.turned((1, 1, 1, 1, 5), (5,)) == (5,)
    assert both.turned((3, 3, 1, 1, 5), (5, 1, 3, 3, 1)) == (5, 1, 3, 3, 1)


def test_only_the_first_input_channels() -> None:
    cut = Layout("cut", str, cut="a")
    array = np.arange(2 * 4 * 3).reshape(2, 4, 3)
    np.testing.assert_array_equal(cut.from_file("a", array, (2, 3, 3)), array[:, :3])
    assert cut.from_file("b", array, (2, 3, 3)).shape == (2, 4, 3)
    for name, found, expected in (
        ("b", (2, 4), (2, 3)),
        ("a", (2, 3), (2, 4)),
        ("a", (3, 4), (2, 3)),
        ("a", (4,), (3,)),
    ):
        assert not cut.cuts(name, found, expected)


def test_input_channels_of_several_frames() -> None:
    inflated = Layout("inflated", str, inflated="a", cut="a")
    array = np.array([[[1.0], [2.0], [6.0]], [[0.0], [0.0], [3.0]]])
    assert inflated.from_file("a", array, (2, 6, 1)).tolist() == [[[1.5]] * 6, [[0.5]] * 6]
    assert inflated.from_file("a", array, (2, 1, 1)).tolist() == [[[1.0]], [[0.0]]]  # cut
    assert inflated.from_file("b", array, (2, 6, 1)).shape == (2, 3, 1)
    for name, found, expected in (
        ("b", (2, 3), (2, 6)),
        ("a", (2, 3), (2, 3)),
        ("a", (2, 3), (2, 7)),
        ("a", (2, 0), (2, 6)),
        ("a", (2, 3), (4, 6)),
        ("a", (2, 3, 7), (2, 6, 5)),
        ("a", (3,), (6,)),
    ):
        assert not inflated.inflates(name, found, expected)
