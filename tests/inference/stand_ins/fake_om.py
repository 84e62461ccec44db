"""A stand-in for tests, not an OM file's runtime: "models" are JSON files, their logits are sums.

A model file holds {"batch": clips per inference, "clip": numbers per clip, "channels": C, and options}; the logits of
a clip are its sum and the sum of its first channel. A model of several inputs holds instead {"inputs": numbers per
sample of each, "boxes": M}: the last input is of M boxes, and the logits of a box are the sum of all other inputs, each
times its number from 1, and the sum of the box. Options:
"batches": the clips per inference that a model of open batch takes, of which the tool is told one ("batch");
"fail": "device", "load" or "memory", as the documented tools do;
"die_after": the process kills itself in the middle of that result, counted from 0;
"exit": fail after the last result; "skip": numbers of inputs that get no result; "sleep": seconds after each result;
"float16": write two bytes a number; "classes": how many of the two logits; "outputs": how many outputs there are;
"ms": the first time, each later one being 1 ms longer; "old": the summary's old place.
"""

from __future__ import annotations

import array
import json
import os
import re
import signal
import struct
from pathlib import Path
from typing import Any


def load(path: str, batch: int = 0) -> dict[str, Any]:
    """The model; of one of open batch, at the batch that the tool was told."""
    if Path(path).is_symlink():
        raise ValueError(f"{path}: a soft link, not supported")
    model = {"channels": 3, "outputs": 1, "classes": 2, "ms": 2.0, "skip": [], **json.loads(Path(path).read_text())}
    if batch and batch not in model.get("batches", []):
        raise ValueError(f"{path}: batch {batch} is none that the model takes")
    if batch:
        model["batch"] = batch
    return {"inputs": [model.get("clip")], **model}


def refused(*paths: str) -> str | None:
    """The first path that the tools would not take, as newer releases of ais_bench look at it; None: all are plain."""
    return next((path for path in paths if re.search(r"[^A-Za-z0-9_./-]", str(Path(path).absolute()))), None)


def sizes(model: dict[str, Any]) -> list[int]:
    """Bytes of each input of a full batch."""
    return [model["batch"] * numbers * 4 for numbers in model["inputs"]]


def logits(model: dict[str, Any], data: list[bytes]) -> list[list[tuple[float, float]]]:
    """Of each sample the logits of its one clip, or of its boxes."""
    inputs = []
    for part, numbers in zip(data, model["inputs"], strict=True):
        values = array.array("f", part)
        assert len(values) == model["batch"] * numbers, (len(values), model)
        inputs.append([values[i * numbers : (i + 1) * numbers] for i in range(model["batch"])])
    return [_sample(model, sample) for sample in zip(*inputs, strict=True)]


def _sample(model: dict[str, Any], sample: tuple[array.array[float], ...]) -> list[tuple[float, float]]:
    *clips, last = sample
    if "boxes" not in model:
        return [(sum(last), sum(last[: len(last) // model["channels"]]))]
    seen = sum(number * sum(values) for number, values in enumerate(clips, 1))
    each = len(last) // model["boxes"]
    return [(seen, sum(last[start : start + each])) for start in range(0, len(last), each)]


def write(model: dict[str, Any], path: Path, rows: list[list[tuple[float, float]]], written: int) -> None:
    """Write a result, the `written`-th of this call, counted from 0."""
    kind = "<e" if model.get("float16") else "<f"
    data = b"".join(
        struct.pack(kind, number % 1000 if model.get("float16") else number)
        for row in rows
        for of_box in row
        for number in of_box[: model["classes"]]
    )
    if model.get("die_after") == written:
        path.write_bytes(data[:-3])
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_bytes(data)
