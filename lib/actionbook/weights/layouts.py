"""How a foreign checkpoint names its tensors and lays their axes: from MindSpore's parameters to the original ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from actionbook.weights.errors import WeightsError
from actionbook.weights.names import (
    bn_inception_name,
    deepmind_name,
    eco_caffe_name,
    eco_lite_name,
    eco_name,
    eco_tensorflow_name,
    hassony2_name,
    okankop_name,
    torch_name,
)
from actionbook.weights.stored import Array

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """One family of checkpoints. The patterns are regular expressions of whole original names.

    Attributes:
        name: what `load` and `export_state` call it.
        original_name: MindSpore parameter name -> name in the file.
        ignored: entries of the file that are no parameters of a network, where the network has none of that name.
        channels_last: kernels are stored as (k, ..., in, out) and dense layers as (in, out), as TensorFlow does; else
            as (out, in, k, ...) and (out, in).
        padded: shapes may be filled up with ones in front, as Caffe does.
        respelt: name in a file -> the original name, where the files of a family differ among themselves.
        ones: parameters that the original network does not have, because they are one there.
        part: parameters that these files hold; all others of the network keep their values. Empty: they hold all.
        cut: parameters with more input channels in the file than in the network, which takes the first ones.
    """

    name: str
    original_name: Callable[[str], str]
    ignored: str = ""
    channels_last: bool = False
    padded: bool = False
    respelt: Callable[[str], str] = str
    ones: str = ""
    part: str = ""
    cut: str = ""

    def holds(self, name: str) -> bool:
        """Whether such files have the parameter of that original name."""
        return not self.part or re.fullmatch(self.part, name) is not None

    def turned(self, stored: Shape, expected: Shape) -> Shape:
        """The shape of a stored array once it lies as this library's, which would be `expected`."""
        if self.padded:
            extra = max(len(stored) - len(expected), 0)
            stored = stored[extra:] if stored[:extra] == (1,) * extra else stored
        if self.channels_last and len(stored) > 1:
            return stored[-1], stored[-2], *stored[:-2]
        return stored

    def from_file(self, name: str, array: Array, expected: Shape) -> Array:
        """A stored array as the parameter of that original name and of shape `expected`."""
        shape = self.turned(array.shape, expected)
        if self.channels_last and len(shape) > 1:
            array = array.reshape(*shape[2:], shape[1], shape[0])
            array = array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))
        array = array.reshape(shape)
        return array[:, : expected[1]] if self.cuts(name, shape, expected) else array

    def to_file(self, array: Array) -> Array:
        """A parameter's array as it is stored."""
        if self.channels_last and array.ndim > 1:
            return array.transpose(*range(2, array.ndim), 1, 0)
        return array

    def cuts(self, name: str, found: Shape, expected: Shape) -> bool:
        """Whether the network takes only the first input channels of an array of shape `found`."""
        if not re.fullmatch(self.cut, name) or len(found) < 2 or len(found) != len(expected):
            return False
        return found[1] > expected[1] and (found[0], *found[2:]) == (expected[0], *expected[2:])


_COUNTERS: Final = r"(.*\.)?num_batches_tracked"  # of batches that a norm has seen; PyTorch has them since 0.4.1

_MASKS: Final = r"(.*\.)?mask_key"  # the state of this library's dropout: no weight

# The slots of TensorFlow's optimisers and averages, and its counters of steps.
_SLOTS: Final = r"(.*/)?(Momentum|Adam(_1)?|RMSProp(_1)?|ExponentialMovingAverage|global_step|learning_rate)"

_TAIL_2D: Final = r"inception_(3c_(3x3|double_3x3_2)|4[a-e]_|5[ab]_).*"  # of BN-Inception, what ECO Lite does not have

# Layouts by name. `okankop`: Efficient-3DCNNs. `piergiaj`: pytorch-i3d. `hassony2`: kinetics_i3d_pytorch, and the files
# of video_features. `deepmind`: kinetics-i3d, whose batch norm has no scale. `eco_...`: ECO's programs (of Caffe's,
# files for different data call the classifier differently). `bn_inception` and `eco_c3d`: what ECO begins with, the one
# for its 2-D part and the other, a whole 3-D network with 128 channels where ECO has 96, for its 3-D part.
# `mindspore`: this library.
LAYOUTS: Final[Mapping[str, Layout]] = {
    one.name: one
    for one in (
        Layout("okankop", okankop_name, ignored=_COUNTERS),
        Layout("piergiaj", torch_name, ignored=_COUNTERS),
        Layout("hassony2", hassony2_name, ignored=_COUNTERS),
        Layout("deepmind", deepmind_name, ignored=_SLOTS, channels_last=True, padded=True, ones=r".*/batch_norm/gamma"),
        Layout("eco_pytorch", eco_name, ignored=_COUNTERS),
        Layout("eco_lite_pytorch", eco_lite_name, ignored=_COUNTERS),
        Layout("eco_tensorflow", eco_tensorflow_name, ignored=_SLOTS, channels_last=True),
        Layout(
            "eco_caffe", eco_caffe_name, padded=True, respelt=lambda name: re.sub(r"^fc8[A-Za-z]*(?=\.)", "fc8", name)
        ),
        Layout(
            "bn_inception",
            bn_inception_name,
            ignored=rf"{_COUNTERS}|(fc|fc_action|classifier)\..*|{_TAIL_2D}",
            padded=True,
            part=r"(conv|inception_).*",
        ),
        Layout(
            "eco_c3d",
            eco_name,
            ignored=rf"{_COUNTERS}|new_fc\..*|base_model\.(?!res[345]).*|base_model\.res3a_(1|1_bn|down)\..*",
            part=r"base_model\.res[345].*",
            cut=r"base_model\.res3a_2\.weight",
        ),
        Layout("mindspore", str, ignored=_MASKS),
    )
}


def get_layout(layout: str | Layout) -> Layout:
    """The layout of that name, or `layout` itself. Raises WeightsError for an unknown name."""
    if isinstance(layout, Layout):
        return layout
    if layout not in LAYOUTS:
        raise WeightsError(f"weight layout {layout!r} is not known; there are: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[layout]
