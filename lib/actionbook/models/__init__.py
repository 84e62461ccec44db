"""The networks, one readable file each, made by name."""

from __future__ import annotations

from typing import Any

from mindspore import nn

from actionbook.core.errors import BookError
from actionbook.models.mobilenetv2_3d import MobileNetV2

MODELS = {"mobilenetv2_3d": MobileNetV2}


def list_models() -> list[str]:
    """Names that `create_model` knows, sorted."""
    return sorted(MODELS)


def create_model(name: str, *, num_classes: int, **options: Any) -> nn.Cell:
    """Build a network, in evaluation mode, with freshly initialised weights.

    It takes float32 clips (N, C, T, H, W) and returns logits (N, num_classes). `options` are those of the network's
    class (`mobilenetv2_3d`: width, dropout, seed). Raises BookError for a name or an option that does not exist.
    """
    if name not in MODELS:
        raise BookError(f"model {name!r} is not known; there are: {', '.join(list_models())}")
    try:
        network = MODELS[name](num_classes, **options)
    except TypeError as error:
        raise BookError(f"model {name!r} does not take these options: {error}") from error
    return network.set_train(False)
