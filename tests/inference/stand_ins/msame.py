"""A stand-in for tests that follows msame's documented names, order and console output; not the tool."""

# ruff: noqa: T201 (its console is what is read)

from __future__ import annotations

import getopt
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import fake_om


def main() -> int:
    pairs, _ = getopt.gnu_getopt(sys.argv[1:], "", ["model=", "input=", "output=", "outfmt=", "device=", "dymBatch="])
    options = {name[2:]: value for name, value in pairs}
    if ".om" not in options["model"]:
        print("[ERROR] input model file type is not .om , please check your model type!")
        return 0  # as the tool does
    if path := fake_om.refused(options["model"], *options["input"].split(","), options["output"]):
        print(f"[ERROR] {path}: illegal path")
        return 0
    model = fake_om.load(options["model"], int(options.get("dymBatch", 0)))
    if int(options.get("device", 0)) > 7 or model.get("fail") == "device":
        print("[ERROR] open device 0 failed\n[ERROR] Sample init resource failed")
        return 1
    if model.get("fail") == "memory":
        print("[INFO] load model net.om success\n[ERROR] malloc device buffer failed. size is 96337920")
        print("[ERROR] model create input failed\n[ERROR] Execute sample failed")
        return 0
    output = Path(options["output"])
    folder = output / time.strftime("%Y%m%d_%H_%M_%S_123456")
    folder.mkdir()  # the folder given must be there, as for the tool
    print(folder)
    folders = [Path(name) for name in options["input"].split(",")]
    if len(folders) != len(model["inputs"]):
        print("[ERROR] the number of inputs does not match the model's")
        return 1
    names = sorted(path.name for path in folders[0].iterdir() if not path.name.startswith("."))
    times = []
    for name in names:
        print("\n".join(f"[INFO] start to process file:{folder}/{name}" for folder in folders))
        data = [(folder / name).read_bytes() for folder in folders]
        number = len(times)
        if list(map(len, data)) != fake_om.sizes(model) or int(name.split(".")[0]) in model["skip"]:
            print("[ERROR] model execute failed")
            continue
        times.append(model["ms"] + number)
        print(f"[INFO] model execute success\nInference time: {times[-1]:g}ms\n[INFO] output data success", flush=True)
        fake_om.write(model, folder / f"{name.rpartition('.')[0]}_output_0.bin", fake_om.logits(model, data), number)
    print(f"Inference average time : {sum(times) / max(len(times), 1):.2f} ms")
    if len(times) > 1:
        print(f"Inference average time without first time: {sum(times[1:]) / (len(times) - 1):.2f} ms")
    print("[INFO] Execute sample success")
    return 0


sys.exit(main())
