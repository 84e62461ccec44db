"""How a foreign checkpoint names its tensors: the rules from MindSpore's names to the original ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from actionbook.weights.errors import WeightsError


@dataclass(frozen=True)
class Layout:
    """The names of one family of checkpoints.

    Attributes:
        name: what `load` and `export_state` call it.
        original_name: MindSpore parameter name -> name in the file.
        ignored: regular expression; entries of the file whose whole name matches are no parameters of any network.
    """

    name: str
    original_name: Callable[[str], str]
    ignored: str = ""


# MindSpore's batch normalisation and PyTorch's hold the same four arrays under other names.
_BATCH_NORM: Final = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def torch_name(name: str) -> str:
    """PyTorch's name of a MindSpore parameter in a network of the same structure.

    ``features.0.1.bn2d.gamma`` -> ``features.0.1.weight`` (`nn.BatchNorm3d` nests a 2-D one); convolution and dense
    parameters are called alike.
    """
    module, dot, leaf = name.rpartition(".")
    if leaf in _BATCH_NORM:
        module, leaf = module.removesuffix(".bn2d"), _BATCH_NORM[leaf]
    return f"{module}{dot}{leaf}"


def okankop_name(name: str) -> str:
    """The name in a checkpoint of Efficient-3DCNNs, whose ShuffleNetV2 spells its branches ``banch1``, ``banch2``."""
    return re.sub(r"\bbranch([12])\b", r"banch\1", torch_name(name))


_HASSONY2: Final = {
    "b0": "branch_0",
    "b1a": "branch_1.0",
    "b1b": "branch_1.1",
    "b2a": "branch_2.0",
    "b2b": "branch_2.1",
    "b3b": "branch_3.1",  # the pool is 0
}


def hassony2_name(name: str) -> str:
    """The name in a checkpoint of kinetics_i3d_pytorch.

    ``Mixed_3b.b1a.bn.bn2d.gamma`` -> ``mixed_3b.branch_1.0.batch3d.weight``.
    """
    module, *rest = torch_name(name).split(".")
    if module == "logits":
        return ".".join(["conv3d_0c_1x1", *rest])
    rest = [_HASSONY2.get(part, "batch3d" if part == "bn" else part) for part in rest]
    return ".".join([module[0].lower() + module[1:], *rest])


_ECO: Final = {
    "single": "1x1",
    "triple_reduce": "3x3_reduce",
    "triple": "3x3",
    "double_reduce": "double_3x3_reduce",
    "double_1": "double_3x3_1",
    "double_2": "double_3x3_2",
    "projection": "pool_proj",
}


def eco_name(name: str) -> str:
    """The name in a checkpoint of ECO-pytorch.

    ``trunk.inception_3a.single.bn.gamma`` -> ``base_model.inception_3a_1x1_bn.weight``, ``res3.b_1.weight`` ->
    ``base_model.res3b_1.weight``.
    """
    *modules, leaf = torch_name(name).split(".")
    if modules == ["fc"]:
        return f"base_model.fc_final.{leaf}"
    if modules[0] in ("trunk", "tail"):
        modules = modules[1:]
    if modules[0].startswith("res"):
        return f"base_model.{''.join(modules)}.{leaf}"
    kind = "_bn" if modules.pop() == "bn" else ""
    return f"base_model.{'_'.join(_ECO.get(one, one) for one in modules)}{kind}.{leaf}"


def eco_lite_name(name: str) -> str:
    """The same, of ECO Lite, whose classifier is ``new_fc``."""
    return eco_name(name).replace("base_model.fc_final", "new_fc")


_COUNTERS: Final = r"(.*\.)?num_batches_tracked"  # of batches that a norm has seen; PyTorch has them since 0.4.1

_MASKS: Final = r"(.*\.)?mask_key"  # the state of this library's dropout: no weight

# Layouts by name. `okankop`: Efficient-3DCNNs. `piergiaj`: pytorch-i3d. `hassony2`: kinetics_i3d_pytorch, and the files
# of video_features. `mindspore`: this library.
LAYOUTS: Final[Mapping[str, Layout]] = {
    "okankop": Layout("okankop", okankop_name, ignored=_COUNTERS),
    "piergiaj": Layout("piergiaj", torch_name, ignored=_COUNTERS),
    "hassony2": Layout("hassony2", hassony2_name, ignored=_COUNTERS),
    "eco_pytorch": Layout("eco_pytorch", eco_name, ignored=_COUNTERS),
    "eco_lite_pytorch": Layout("eco_lite_pytorch", eco_lite_name, ignored=_COUNTERS),
    "mindspore": Layout("mindspore", str, ignored=_MASKS),
}


def get_layout(layout: str | Layout) -> Layout:
    """The layout of that name, or `layout` itself. Raises WeightsError for an unknown name."""
    if isinstance(layout, Layout):
        return layout
    if layout not in LAYOUTS:
        raise WeightsError(f"weight layout {layout!r} is not known; there are: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[layout]
