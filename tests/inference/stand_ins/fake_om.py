"""A stand-in for tests, not an OM file's runtime: "models" are JSON files, their logits are sums.

A model file holds {"batch": clips per inference, "clip": numbers per clip, "channels": C, and options}; the logits of
a clip are its sum and the sum of its first channel. Options:
"fail": "device" or "load", as the documented tools do;
"die_after": the process kills itself in the middle of that result, counted from 0;
"exit": fail after the last result; "skip": numbers of inputs that get no result; "sleep": seconds after each result;
"float16": write two bytes a number; "classes": how many of the two logits; "outputs": how many outputs there are;
"ms": the first time, each later one being 1 ms longer; "old": the summary's old place.
"""

from __future__ import annotations

import array
import json
import os
import signal
import struct
from pathlib import Path
from typing import Any


def load(path: str) -> dict[str, Any]:
    return {"channels": 3, "outputs": 1, "classes": 2, "ms": 2.0, "skip": [], **json.loads(Path(path).read_text())}


def logits(model: dict[str, Any], data: bytes) -> list[tuple[float, float]]:
    numbers, clip = array.array("f", data), model["clip"]
    assert len(numbers) == model["batch"] * clip, (len(numbers), model)
    clips = [numbers[i * clip : (i + 1) * clip] for i in range(model["batch"])]
    return [(sum(values), sum(values[: clip // model["channels"]])) for values in clips]


def write(model: dict[str, Any], path: Path, rows: list[tuple[float, float]], written: int) -> None:
    """Write a result, the `written`-th of this call, counted from 0."""
    kind = "<e" if model.get("float16") else "<f"
    data = b"".join(
        struct.pack(kind, number % 1000 if model.get("float16") else number)
        for row in rows
        for number in row[: model["classes"]]
    )
    if model.get("die_after") == written:
        path.write_bytes(data[:-3])
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_bytes(data)
