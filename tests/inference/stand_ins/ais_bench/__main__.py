"""A stand-in for tests that follows ais_bench's documented names, grouping and console output; not the tool."""

# ruff: noqa: T201 (its console is what is read)

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
import fake_om


def natural(name: str) -> list[object]:
    return [int(part) if part.isdigit() else part.lower() for part in re.split("([0-9]+)", name)]


def files_of(folder: str) -> list[Path]:
    files = [path for path in Path(folder).iterdir() if path.suffix.lower() in (".bin", ".npy")]
    return sorted(files, key=lambda path: natural(path.name))


def fail(*lines: str) -> None:
    sys.stdout.buffer.write(b"\xff\xfe bytes that are no text\n")  # logs of drivers hold such
    for line in lines:
        print(f"[ERROR] {line}", flush=True)
    raise RuntimeError


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("model", "input", "output", "output_dirname", "outfmt"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--dymBatch", type=int, default=0)
    run(parser.parse_args())


def opened(args: argparse.Namespace) -> dict[str, Any]:
    """The model, if the card and the paths let it be loaded."""
    if path := fake_om.refused(args.model, *args.input.split(","), args.output):
        fail(f"path:{path} contains illegal char")
    model = fake_om.load(args.model, args.dymBatch)
    if args.device > 7 or model.get("fail") == "device":
        fail("open device 0 failed, error code 507033")
    if model.get("fail") == "memory":
        fail(*(Path(__file__).parents[2] / "data" / "full_card.txt").read_text().splitlines())
    if model.get("fail") == "load":
        fail("load model from file failed, model file is net.om")
    return model


def run(args: argparse.Namespace) -> None:
    model = opened(args)
    print("[INFO] load model net.om success\n[INFO] try get model batchsize:", model["batch"], flush=True)
    folders = args.input.split(",")
    if len(folders) != len(model["inputs"]):
        fail(f"Invalid args. args input dir num:{len(folders)} not equal to model inputs num:{len(model['inputs'])}")
    files = [files_of(folder) for folder in folders]
    if any(len(of_input) != len(files[0]) for of_input in files):
        fail("input_list lengths of the inputs are not equal")
    for number, (tensor, of_input) in enumerate(zip(fake_om.sizes(model), files, strict=True)):
        size = of_input[0].stat().st_size
        if tensor % size:
            fail(f"arg{number} tensorsize: {tensor} filesize: {size} not match")
    each = fake_om.sizes(model)[0] // files[0][0].stat().st_size
    target = Path(args.output, args.output_dirname)
    target.mkdir(parents=True)
    sets = list(zip(*files, strict=True))  # of each file number, one file of every input
    groups = [sets[start : start + each] for start in range(0, len(sets), each)]
    infos: dict[int, object] = {}
    written = 0
    for group in groups:
        filled = group + [group[0]] * (each - len(group))
        rows = fake_om.logits(model, [b"".join(map(Path.read_bytes, parts)) for parts in zip(*filled, strict=True)])
        for position, paths in enumerate(group):
            stem = paths[0].name.split(".")[0]
            if int(stem) in model["skip"]:
                continue
            share = model["batch"] // each
            for output in range(model["outputs"]):
                fake_om.write(
                    model, target / f"{stem}_{output}.bin", rows[position * share : (position + 1) * share], written
                )
            infos[len(infos)] = {"infiles": list(map(str, paths)), "outfiles": [f"{stem}_0.bin"]}
            written += 1
            time.sleep(model.get("sleep", 0))
    times = [model["ms"] + number for number in range(len(groups))]
    mean = sum(times) / len(times)
    rate = 1000 * model["batch"] / mean
    spread = {"min": min(times), "max": max(times), "mean": mean, "median": mean, "percentile(99%)": max(times)}
    copies = {**spread, "mean": 0.25}
    summary = {
        "filesinfo": infos,
        "NPU_compute_time": {**spread, "count": len(times)},
        "H2D_latency": copies,
        "D2H_latency": copies,
        "throughput": rate,
        "npu_compute_time_list": times,
        "pid": os.getpid(),
        "args": sys.argv,
    }
    place = target / "sumary.json" if model.get("old") else Path(args.output, f"{args.output_dirname}_summary.json")
    place.write_text(json.dumps(summary))
    print("[INFO] -----------------Performance Summary------------------")
    print(f"[INFO] throughput 1000*batchsize.mean({model['batch']})/NPU_compute_time.mean({mean}): {rate}", flush=True)
    if model.get("exit"):
        fail("aclrtDestroyContext failed")


main()
