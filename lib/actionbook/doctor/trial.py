"""What the doctor has another process do, since it may crash: import MindSpore, run a convolution, make networks.

Of a network that starts from a weight file, names and shapes are compared with the file's table of contents.

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
    """Do it and print what came of it as one object of JSON; an exception passes through.

    ``{"device": …, "made": …, "untried": …, "mistakes": […], "fitting": …, "misfits": […]}``; the last two: of
    a file and a network each.
    """
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

    end, made, untried, fitting = time.monotonic() + SECONDS, 0, 0, 0
    mistakes: list[str] = []
    misfits: list[str] = []
    for number, one in enumerate(wanted):
        if time.monotonic() > end:
            untried = len(wanted) - number
            break
        try:
            network = create_model(one["name"], num_classes=one["classes"], **one["options"])
            freeze(network, tuple(one["trainable"]))
            made += 1
        except BookError as error:
            mistakes.append(f"run {one['run']!r}: {error}")
            continue
        for weights in one.get("weights", ()):
            misfit = _misfit(network, **weights)
            fitting += misfit == ""
            misfits += [f"run {one['run']!r}: {misfit}"] if misfit else []
    return {"made": made, "untried": untried, "mistakes": mistakes, "fitting": fitting, "misfits": misfits}


def _misfit(network: Any, path: str, layout: str, skip: list[str]) -> str | None:
    """Why a weight file does not fit a network, empty if it does; None if it cannot be read: that is another check."""
    from actionbook.weights import WeightsError, fits, read_shapes  # noqa: PLC0415

    try:
        shapes = read_shapes(path)
    except WeightsError:
        return None
    try:
        report = fits(network, shapes, layout, skip=skip)
    except WeightsError as error:
        return f"{path}: {error}"
    return (
        "" if report.ok else f"{path} does not fit the network. {'; '.join(str(report).splitlines())}. {report.remedy}"
    )


if __name__ == "__main__":
    from actionbook.core.errors import BookError

    try:
        main(*sys.argv[1:3])
    except BookError as error:
        sys.exit(" ".join(str(error).split()))
