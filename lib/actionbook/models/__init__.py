"""The networks, one readable file each, made by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mindspore import nn

from actionbook.core.errors import BookError
from actionbook.core.spec import Spec
from actionbook.models.eco import eco_full, eco_lite
from actionbook.models.i3d import I3D
from actionbook.models.inputs import mismatch
from actionbook.models.mobilenet_3d import MobileNet
from actionbook.models.mobilenetv2_3d import MobileNetV2
from actionbook.models.resnet_3d import resnet18, resnet50, resnet101, resnext101
from actionbook.models.shufflenet_3d import ShuffleNet
from actionbook.models.shufflenetv2_3d import ShuffleNetV2
from actionbook.models.slowfast import SlowFast
from actionbook.models.squeezenet_3d import SqueezeNet
from actionbook.models.stnet import StNet

MODELS: dict[str, Callable[..., nn.Cell]] = {
    "eco_full": eco_full,
    "eco_lite": eco_lite,
    "i3d": I3D,
    "mobilenet_3d": MobileNet,
    "mobilenetv2_3d": MobileNetV2,
    "resnet18_3d": resnet18,
    "resnet50_3d": resnet50,
    "resnet101_3d": resnet101,
    "resnext101_3d": resnext101,
    "shufflenet_3d": ShuffleNet,
    "shufflenetv2_3d": ShuffleNetV2,
    "slowfast_r50": SlowFast,
    "squeezenet_3d": SqueezeNet,
    "stnet_resnet50": StNet,
}


def list_models() -> list[str]:
    """Names that `create_model` knows, sorted."""
    return sorted(MODELS)


def create_model(name: str, *, num_classes: int, **options: Any) -> nn.Cell:
    """Build a network, in evaluation mode, with freshly initialised weights.

    They take float32 clips (N, C, T, H, W), or what their ``construct`` says, and return logits (N, num_classes), of
    boxes (N, M, num_classes). `options` are those of the network's class or function. Raises BookError for a name or an
    option that does not exist, or a value that an option does not take.
    """
    if name not in MODELS:
        raise BookError(f"model {name!r} is not known; there are: {', '.join(list_models())}")
    try:
        network = MODELS[name](num_classes, **options)
    except (TypeError, ValueError) as error:
        raise BookError(f"model {name!r} does not take these options: {error}") from error
    return network.set_train(False)


def check_clips(network: nn.Cell, spec: Spec, where: str) -> None:
    """Raise BookError, which begins with `where`, if the network says that it cannot take clips of these shapes.

    A network's ``check_clip`` gets the shapes of its inputs, without N, in the order of its ``construct``.
    """
    if wrong := mismatch(network, spec):
        raise BookError(f"{where}: {wrong}")
    check = getattr(network, "check_clip", None)
    if check is None:
        return
    try:
        check(*spec.inputs.values())
    except ValueError as error:
        raise BookError(f"{where}: {error}") from error
