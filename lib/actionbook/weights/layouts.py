"""How a foreign checkpoint names its tensors and lays their axes: from MindSpore's parameters to the original ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from actionbook.weights.errors import WeightsError
from actionbook.weights.inflation import inflate, inflate_channels
from actionbook.weights.names import (
    bn_inception_name,
    deepmind_name,
    eco_caffe_name,
    eco_lite_name,
    eco_name,
    eco_tensorflow_name,
    hassony2_name,
    okankop_name,
    stnet_paddle_name,
    torch_name,
    torchvision_name,
)
from actionbook.weights.slowfast_names import any_depth, slowfast_caffe2_name, slowfast_picture_name
from actionbook.weights.stored import Array

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """One family of checkpoints. The patterns are regular expressions of whole original names.

    Attributes:
        name: what `load` and `export_state` call it.
        original_name: MindSpore parameter name -> name in the file.
        ignored: entries of the file that are no parameters of a network, or none that it would take from such a file.
        channels_last: kernels are stored as (k, ..., in, out) and dense layers as (in, out), as TensorFlow does; else
            as (out, in, k, ...) and (out, in).
        dense_last: dense layers are stored as (in, out) and kernels as (out, in, k, ...), as Paddle does.
        padded: shapes may be filled up with ones in front, as Caffe does.
        respelt: name in a file -> the original name, where the files of a family differ among themselves.
        ones: parameters that the original network does not have, because they are one there.
        part: parameters that these files hold; all others of the network keep their values. Empty: they hold all.
        cut: parameters with more input channels in the file than in the network, which takes the first ones.
        inflated: parameters for one picture in the file and for several frames in the network, which are stacked on the
            channel axis (`actionbook.weights.inflation.inflate_channels`) or have one of their own (`inflate`).
        groups_option: option of the network, ``dense`` or ``grouped``, that some kernels depend on; for messages.
    """

    name: str
    original_name: Callable[[str], str]
    ignored: str = ""
    channels_last: bool = False
    dense_last: bool = False
    padded: bool = False
    respelt: Callable[[str], str] = str
    ones: str = ""
    part: str = ""
    cut: str = ""
    inflated: str = ""
    groups_option: str = ""

    def holds(self, name: str) -> bool:
        """Whether such files have the parameter of that original name."""
        return not self.part or re.fullmatch(self.part, name) is not None

    def turned(self, stored: Shape, expected: Shape) -> Shape:
        """The shape of a stored array once it lies as this library's, which would be `expected`."""
        if self.padded:
            extra = max(len(stored) - len(expected), 0)
            stored = stored[extra:] if stored[:extra] == (1,) * extra else stored
        if self._turns(len(stored)):
            return stored[-1], stored[-2], *stored[:-2]
        return stored

    def from_file(self, name: str, array: Array, expected: Shape) -> Array:
        """A stored array as the parameter of that original name and of shape `expected`."""
        shape = self.turned(array.shape, expected)
        if self._turns(len(shape)):
            array = array.reshape(*shape[2:], shape[1], shape[0])
            array = array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))
        array = array.reshape(shape)
        if self.inflates(name, shape, expected):
            if len(shape) < len(expected):
                return inflate({name: array}, expected[2])[name]
            return inflate_channels(array, expected[1])
        return array[:, : expected[1]] if self.cuts(name, shape, expected) else array

    def to_file(self, array: Array) -> Array:
        """A parameter's array as it is stored."""
        if self._turns(array.ndim):
            return array.transpose(*range(2, array.ndim), 1, 0)
        return array

    def cuts(self, name: str, found: Shape, expected: Shape) -> bool:
        """Whether the network takes only the first input channels of an array of shape `found`."""
        return bool(re.fullmatch(self.cut, name)) and _differ_in_channels(found, expected) and found[1] > expected[1]

    def inflates(self, name: str, found: Shape, expected: Shape) -> bool:
        """Whether an array of shape `found` is made into one with several times as many channels, or with a time."""
        if not re.fullmatch(self.inflated, name):
            return False
        if len(expected) == 5 and found == (*expected[:2], *expected[3:]):
            return True
        return _differ_in_channels(found, expected) and 0 < found[1] < expected[1] and expected[1] % found[1] == 0

    def _turns(self, axes: int) -> bool:
        """Whether arrays of so many axes are stored with the channels last."""
        return (self.channels_last and axes > 1) or (self.dense_last and axes == 2)


def _differ_in_channels(one: Shape, other: Shape) -> bool:
    """Whether two shapes of kernels are the same but for the number of input channels."""
    return len(one) > 1 < len(other) and one[1] != other[1] and (one[0], *one[2:]) == (other[0], *other[2:])


_COUNTERS: Final = r"(.*\.)?num_batches_tracked"  # of batches that a norm has seen; PyTorch has them since 0.4.1

_MASKS: Final = r"(.*\.)?mask_key"  # the state of this library's dropout: no weight

# The slots of TensorFlow's optimisers and averages, and its counters of steps.
_SLOTS: Final = r"(.*/)?(Momentum|Adam(_1)?|RMSProp(_1)?|ExponentialMovingAverage|global_step|learning_rate)"

# The same of MindSpore, and of Paddle's Momentum.
_MINDSPORE_SLOTS: Final = (
    r"(accum|moments?[12]?|stat|velocity)\..*|learning_rate|momentum|weight_decay|global_step|epoch_num|step_num"
    r"|scale_sense|(current|last_overflow)_iterator_step|beta[12]_power"
)
_PADDLE_SLOTS: Final = r".*_velocity_\d+|learning_rate_\d+|@LR_DECAY_COUNTER@"
_CAFFE2_SLOTS: Final = r".*(momentum|lr|model_iter).*"  # what PySlowFast passes over, too

_RESNET: Final = r"(conv1|bn1|layer[1-4])\..*"  # of a ResNet in PyTorch and MindSpore, without its classifier

_TAIL_2D: Final = r"inception_(3c_(3x3|double_3x3_2)|4[a-e]_|5[ab]_).*"  # of BN-Inception, what ECO Lite does not have

# Layouts by name. `okankop`: Efficient-3DCNNs. `piergiaj`: pytorch-i3d. `hassony2`: kinetics_i3d_pytorch, and the files
# of video_features. `deepmind`: kinetics-i3d, whose batch norm has no scale. `eco_...`: ECO's programs (of Caffe's,
# files for different data call the classifier differently). `bn_inception` and `eco_c3d`: what ECO begins with, the one
# for its 2-D part and the other, a whole 3-D network with 128 channels where ECO has 96, for its 3-D part.
# `mindspore`: this library. `stnet_paddle`: the authors' StNet, `stnet_mindspore`: its port. `resnet50_...`: what StNet
# begins with, a ResNet-50 of ImageNet without its classifier: of torchvision, of MindSpore (model zoo and MindCV, whose
# shortcuts have different names) and of the authors. `slowfast_caffe2`, `pyslowfast`: the first and the second program
# of SlowFast's authors, `slowfast_mindspore`: its port. `slowfast_pictures`: a ResNet of torchvision, whose kernels are
# inflated for the slow pathway.
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
        Layout("stnet_mindspore", str, ignored=_MINDSPORE_SLOTS, groups_option="xception"),
        Layout("stnet_paddle", stnet_paddle_name, ignored=_PADDLE_SLOTS, dense_last=True, groups_option="xception"),
        Layout(
            "resnet50_torch",
            torchvision_name,
            ignored=rf"{_COUNTERS}|fc\..*",
            part=_RESNET,
            inflated=r"conv1\.weight",
        ),
        Layout(
            "resnet50_mindspore",
            str,
            ignored=rf"{_MINDSPORE_SLOTS}|(end_point|classifier)\..*",
            respelt=lambda name: name.replace(".down_sample.", ".down_sample_layer."),
            part=_RESNET,
            inflated=r"conv1\.weight",
        ),
        Layout(
            "resnet50_paddle",
            stnet_paddle_name,
            ignored=rf"{_PADDLE_SLOTS}|fc_.*",
            part=r"conv1_weights|bn_conv1_.*|(res|bn)[2-5].*",
            inflated="conv1_weights",
        ),
        Layout("pyslowfast", torch_name, ignored=_COUNTERS),
        Layout("slowfast_caffe2", slowfast_caffe2_name, ignored=_CAFFE2_SLOTS, respelt=any_depth),
        Layout("slowfast_mindspore", str, ignored=_MINDSPORE_SLOTS),
        Layout(
            "slowfast_pictures",
            slowfast_picture_name,
            ignored=rf"{_COUNTERS}|fc\..*",
            part=_RESNET,
            inflated=r".*\.weight",
        ),
    )
}


def get_layout(layout: str | Layout) -> Layout:
    """The layout of that name, or `layout` itself. Raises WeightsError for an unknown name."""
    if isinstance(layout, Layout):
        return layout
    if layout not in LAYOUTS:
        raise WeightsError(f"weight layout {layout!r} is not known; there are: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[layout]
