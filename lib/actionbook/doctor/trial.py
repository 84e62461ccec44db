"""What the doctor has another process do, since it may crash: import MindSpore, run a convolution, make networks.

``python -m actionbook.doctor.trial DEVICE JSON`` prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

SECONDS = 6.0
"""After so many no further network is made."""


def main(device: str, networks: str) -> None:
    """Do it and print ``{"device": …, "made": …, "untried": …, "mistakes": […]}``; an exception passes through."""
    from actionbook.core.runtime import set_device  # noqa: PLC0415 (sets the environment before MindSpore is imported)

    used = set_device(device)
    import mindspore as ms  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from mindspore import nn  # noqa: PLC0415

    clip = ms.Tensor(np.ones((1, 2, 3, 8, 8), np.float32))
    kernel = ms.Tensor(np.ones((4, 2, 3, 3, 3), np.float32))
    convolution = nn.Conv3d(2, 4, 3, weight_init=kernel, bias_init="zeros", has_bias=True)
    found = convolution(clip).asnumpy()
    if found.shape != (1, 4, 3, 8, 8) or found[0, 0, 1, 4, 4] != 2 * 27:
        raise RuntimeError(f"a convolution over ones gave {found[0, 0, 1, 4, 4]}, not {2 * 27}")
    sys.stdout.write(json.dumps({"device": used, **_networks(json.loads(networks))}) + "\n")


def _networks(wanted: list[dict[str, Any]]) -> dict[str, Any]:
    from actionbook.core.errors import BookError  # noqa: PLC0415
    from actionbook.models import create_model  # noqa: PLC0415
    from actionbook.training.optimiser import freeze  # noqa: PLC0415

    end, made = time.monotonic() + SECONDS, 0
    mistakes: list[str] = []
    for number, one in enumerate(wanted):
        if time.monotonic() > end:
            return {"made": made, "untried": len(wanted) - number, "mistakes": mistakes}
        try:
            freeze(create_model(one["name"], num_classes=one["classes"], **one["options"]), tuple(one["trainable"]))
            made += 1
        except BookError as error:
            mistakes.append(f"run {one['run']!r}: {error}")
    return {"made": made, "untried": 0, "mistakes": mistakes}


if __name__ == "__main__":
    from actionbook.core.errors import BookError

    try:
        main(*sys.argv[1:3])
    except BookError as error:
        sys.exit(" ".join(str(error).split()))
