"""What the parameters of this library are called in the files of others: one function for each family of files."""

from __future__ import annotations

import re
from typing import Final

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


def torchvision_name(name: str) -> str:
    """The name in a ResNet of torchvision.

    ``layer1.0.down_sample_layer.1.gamma`` -> ``layer1.0.downsample.1.weight``.
    """
    return torch_name(name).replace(".down_sample_layer.", ".downsample.")


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


_DEEPMIND: Final = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
    "logits": "Logits/Conv3d_0c_1x1",
    "conv3d": "conv_3d",
    "bn": "batch_norm",
    "weight": "w",
    "bias": "b",
}


def deepmind_name(name: str) -> str:
    """The name in a TensorFlow checkpoint of kinetics-i3d, without the ``RGB/inception_i3d/`` before it.

    ``Mixed_3b.b1a.conv3d.weight`` -> ``Mixed_3b/Branch_1/Conv3d_0a_1x1/conv_3d/w``. One unit of the module Mixed_5b is
    called unlike its fellows.
    """
    found = "/".join(_DEEPMIND.get(part, part) for part in name.split(".") if part != "bn2d")
    return found.replace("Mixed_5b/Branch_2/Conv3d_0b_3x3", "Mixed_5b/Branch_2/Conv3d_0a_3x3")


_ECO: Final = {
    "single": "1x1",
    "triple_reduce": "3x3_reduce",
    "triple": "3x3",
    "double_reduce": "double_3x3_reduce",
    "double_1": "double_3x3_1",
    "double_2": "double_3x3_2",
    "projection": "pool_proj",
}


def eco_layer(name: str) -> tuple[str, bool, str]:
    """The layer of ECO's own programs that a parameter belongs to, whether that is a batch norm, and the last part.

    ``trunk.inception_3a.single.bn.gamma`` -> ``inception_3a_1x1_bn``, True, ``gamma``; ``res3.b_1.weight`` ->
    ``res3b_1``, False, ``weight``.
    """
    *modules, leaf = [part for part in name.split(".") if part != "bn2d"]
    norm = leaf in _BATCH_NORM
    if modules[:1] in (["trunk"], ["tail"]):
        modules = modules[1:]
    if modules and modules[0].startswith("res"):
        return "".join(modules), norm, leaf
    modules = [_ECO.get(part, part) for part in modules if part not in ("conv", "bn")]
    return "_".join(modules) + ("_bn" if norm else ""), norm, leaf


def eco_name(name: str) -> str:
    """The name in a checkpoint of ECO-pytorch.

    ``trunk.inception_3a.single.bn.gamma`` -> ``base_model.inception_3a_1x1_bn.weight``, ``res3.b_1.weight`` ->
    ``base_model.res3b_1.weight``.
    """
    layer, _, leaf = eco_layer(name)
    return f"base_model.{'fc_final' if layer == 'fc' else layer}.{_BATCH_NORM.get(leaf, leaf)}"


def eco_lite_name(name: str) -> str:
    """The same, of ECO Lite, whose classifier is ``new_fc``."""
    return eco_name(name).replace("base_model.fc_final", "new_fc")


def bn_inception_name(name: str) -> str:
    """The same, of BN-Inception, in whose checkpoints nothing stands before the layer."""
    return eco_name(name).removeprefix("base_model.")


_CAFFE: Final = {"weight": 0, "bias": 1, "gamma": 0, "beta": 1, "moving_mean": 2, "moving_variance": 3}


def eco_caffe_name(name: str) -> str:
    """The blob in a Caffe model of ECO: layer and number. ``res3.b_1_bn.bn2d.moving_mean`` -> ``res3b_1_bn.2``.

    The classifier is called ``fc8``, which its models call ``fc8``, ``fc8N``, ``fc8u`` or ``fc8h``.
    """
    layer, _, leaf = eco_layer(name)
    return f"{ {'res3a_2': 'res3a_2n', 'fc': 'fc8'}.get(layer, layer) }.{_CAFFE.get(leaf, leaf)}"


# Behind its first sum a stage is another one to the program.
_UP_TO_THE_SUM: Final = {"res3": "res3", "res4": "res4", "res5": "res6"}
_BEHIND_IT: Final = {"res3": "res3", "res4": "res5", "res5": "res7"}


def eco_tensorflow_name(name: str) -> str:
    """The name in a checkpoint of the program for Ascend (ModelZoo-TensorFlow, ECONet_tf_paper99).

    ``trunk.inception_3a.single.conv.weight`` -> ``InceptionV1/2DNet/inception_3a/_1x1/weights``, ``res4.b_1.weight`` ->
    ``InceptionV1/3DNet/res5/b_1/weights``.
    """
    layer, norm, leaf = eco_layer(name)
    leaf = leaf if norm else {"weight": "weights", "bias": "biases"}.get(leaf, leaf)
    if layer == "fc":
        return f"InceptionV1/Fusion/fc/{leaf}"
    if stage := re.fullmatch(r"(res[345])([ab])_(\w+)", layer):
        number, block, rest = stage.groups()
        stages = _BEHIND_IT if block == "b" or rest == "bn" else _UP_TO_THE_SUM
        if rest == "bn":
            rest = "1_bn" if block == "a" else "2_bn"
        elif layer == "res3a_2":  # the only convolution before its sum
            rest = "1"
        return f"InceptionV1/3DNet/{stages[number]}/{block}_{rest}/{leaf}"
    if module := re.fullmatch(r"(inception_\w\w)(_\w+)", layer):
        return f"InceptionV1/2DNet/{module[1]}/{module[2]}/{leaf}"
    stem = layer.removesuffix("_bn").removesuffix("_reduce")
    return f"InceptionV1/2DNet/{stem}/{layer.replace('conv2_3x3_reduce', 'reduce')}/{leaf}"


# What is not of the ResNet in StNet. Where its program gives no name Paddle makes one and counts: 24 batch norms stand
# before that of the first temporal block, 44 before that of the second.
_STNET_PADDLE: Final = {
    "temp1.conv1": "conv3d_0",
    "temp1.bn1": "batch_norm_24",
    "temp2.conv1": "conv3d_1",
    "temp2.bn1": "batch_norm_44",
    "xception.bn1": "xception_bn",
    "xception.att_conv": "xception_att_conv",
    "xception.att_2": "xception_att_2",
    "xception.bn2": "xception_bndw",
    "xception.att_1": "xception_att1",
    "xception.att1_2": "xception_att1_2",
    "xception.dw": "xception_dw",
    "xception.bn3": "xception_bn2",
    "fc": "fc_0",
}
_PADDLE: Final = {
    "weight": "w_0", "bias": "b_0", "gamma": "w_0", "beta": "b_0", "moving_mean": "w_1", "moving_variance": "w_2",
}  # fmt: skip
_PADDLE_NORM: Final = {"gamma": "scale", "beta": "offset", "moving_mean": "mean", "moving_variance": "variance"}


def stnet_paddle_name(name: str) -> str:
    """The name in a file of the authors' StNet (PaddlePaddle/models, `stnet_res_model.py`), and of its ResNet-50 alone.

    ``layer1.2.conv3.weight`` -> ``res2c_branch2c_weights``, ``layer1.0.down_sample_layer.1.gamma`` ->
    ``bn2a_branch1_scale``, ``temp1.bn1.bn2d.gamma`` -> ``batch_norm_24.w_0``.
    """
    module, _, leaf = name.rpartition(".")
    module = module.removesuffix(".bn2d")
    if module in ("conv1", "bn1"):
        return f"bn_conv1_{_PADDLE_NORM[leaf]}" if leaf in _PADDLE_NORM else "conv1_weights"
    if found := re.fullmatch(r"layer(\d+)\.(\d+)\.((?:conv|bn)([123])|down_sample_layer\.[01])", module):
        stage, block, _, number = found.groups()
        branch = f"branch2{'abc'[int(number) - 1]}" if number else "branch1"
        layer = f"{int(stage) + 1}{chr(ord('a') + int(block))}_{branch}"
        return f"bn{layer}_{_PADDLE_NORM[leaf]}" if leaf in _PADDLE_NORM else f"res{layer}_weights"
    return f"{_STNET_PADDLE.get(module, module)}.{_PADDLE.get(leaf, leaf)}"
