"""What SlowFast's parameters are called in the files of its authors' first program, and in a ResNet of pictures.

The first program was written with Caffe2. The second one, PySlowFast, has the names of this library with PyTorch's
leaves (`names.torch_name`); the port for Ascend has those of this library.
"""

from __future__ import annotations

import re
from typing import Final

from actionbook.weights.names import torch_name

_LEAVES: Final = {
    "weight": "w", "bias": "b", "gamma": "s", "beta": "b", "moving_mean": "rm", "moving_variance": "riv",
}  # fmt: skip
_LAST_BLOCKS: Final = {"2": 2, "3": 3, "4": 5}  # of ResNet-50's stages that a fusion stands behind


def slowfast_caffe2_name(name: str) -> str:
    """The blob in a file such as ``SLOWFAST_8x8_R50.pkl`` (facebookresearch/SlowFast, utils/c2_model_loading.py).

    ``s4.pathway1_res5.branch2.a_bn.bn2d.gamma`` -> ``t_res4_5_branch2a_bn_s``: ``t_`` is the fast pathway, ``s``,
    ``b``, ``rm`` and ``riv`` are a batch norm's scale, offset, mean and variance (not its inverse, whatever the name
    says). The fusion behind a stage is called after the stage's last block, here after ResNet-50's: `any_depth` brings
    the names in files of other depths to that.
    """
    module, _, leaf = name.rpartition(".")
    module, norm = re.subn(r"(\.bn)?\.bn2d$|_bn\.bn2d$", "", module)
    fast = "t_" if ".pathway1_" in module else ""
    if found := re.fullmatch(r"s(\d+)\.pathway\d_res(\d+)\.branch(1|2\.[abc])", module):
        stage, block, branch = found.groups()
        layer = f"{fast}res{stage}_{block}_branch{branch.replace('.', '')}"
    elif re.fullmatch(r"s1\.pathway\d_stem(\.conv)?", module):
        layer = f"{fast}res_conv1" if norm else f"{fast}conv1"
    elif found := re.fullmatch(r"s(\d+)_fuse(\.conv_f2s)?", module):
        stage = found[1]
        before = "pool1" if stage == "1" else f"res{stage}_{_LAST_BLOCKS.get(stage, 0)}_branch2c_bn"
        layer = f"t_{before}_subsample"
    else:
        layer = {"head.projection": "pred"}.get(module, module)
    return f"{layer}{'_bn' if norm else ''}_{_LEAVES.get(leaf, leaf)}"


def slowfast_picture_name(name: str) -> str:
    """The name in a ResNet of torchvision, of what the slow pathway has of one.

    ``s2.pathway0_res1.branch2.a_bn.bn2d.gamma`` -> ``layer1.1.bn1.weight``, ``s3.pathway0_res0.branch1.weight`` ->
    ``layer2.0.downsample.0.weight``. Others are called as in PySlowFast.
    """
    module, _, leaf = torch_name(name).rpartition(".")
    if stem := re.fullmatch(r"s1\.pathway0_stem\.(conv|bn)", module):
        return f"{stem[1]}1.{leaf}"
    found = re.fullmatch(r"s(\d+)\.pathway0_res(\d+)\.branch(?:1|2\.([abc]))(_bn)?", module)
    if found is None:
        return f"{module}.{leaf}"
    stage, block, layer, norm = found.groups()
    kind = f"downsample.{1 if norm else 0}" if layer is None else f"{'bn' if norm else 'conv'}{'abc'.index(layer) + 1}"
    return f"layer{int(stage) - 1}.{block}.{kind}.{leaf}"


def any_depth(blob: str) -> str:
    """A blob's name with a fusion called as in ResNet-50: ``t_res4_22_branch2c_bn_subsample_w`` -> ``t_res4_5_...``."""
    found = re.fullmatch(r"t_res(\d)_\d+(_branch2c_bn_subsample_.*)", blob)
    return f"t_res{found[1]}_{_LAST_BLOCKS.get(found[1], 0)}{found[2]}" if found else blob
