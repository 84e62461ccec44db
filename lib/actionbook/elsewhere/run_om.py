#!/usr/bin/env python3
"""Run networks of the book on the Ascend card of this machine, without the book.

    source /usr/local/Ascend/ascend-toolkit/set_env.sh     # newer releases: cann/set_env.sh
    python3 run_om.py                                      # --device 1: another card than the first

Each folder beside this file that holds a job.json is one network with its input. Its ONNX file is compiled by atc, run
over the folder batches by ais_bench, or by msame, and what it answers goes to results/OM. The commands stand in
job.json. Needs Python 3.7 or newer, CANN, and one of the two tools, in this Python or on the PATH. Started again it
goes on where it stopped. Nothing is sent anywhere; what is noted of the machine is in results/OM/machine.json.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run every network beside this file; ends with a message that says what to do where one cannot be run."""
    parser = argparse.ArgumentParser(description="Run the networks beside this file on an Ascend card.")
    parser.add_argument("--device", type=int, default=0, help="number of the card (default: 0)")
    device, here = parser.parse_args().device, Path(__file__).resolve().parent
    jobs = sorted(here.glob("*/job.json"))
    if not jobs or not re.match(r"[A-Za-z0-9_\-./]+$", str(here)):
        sys.exit(f"{here}: expected folders with a job.json, below a path of letters, digits and _ - . / only. Move it")
    for path in jobs:
        answer(path.parent, json.loads(path.read_text(encoding="utf-8")), device)
    sys.stdout.write("All is answered. Take this folder back to the machine with the book.\n")


def answer(folder: Path, job: dict, device: int) -> None:
    """Run the batches that have no answer yet; when all have one, results.json says what was run."""
    results, numbers = folder / "results" / "OM", range(job["batches"])
    results.mkdir(parents=True, exist_ok=True)
    keep_answers(folder, job)  # of a tool that was stopped
    todo = [k for k in numbers if not (results / f"{k}_0.bin").is_file()]
    if todo:
        check_batches(folder, job)
        compile_model(folder, job)
        lay_out(folder, job, todo)
        tool = "ais_bench" if has_ais_bench() else "msame"
        command = [sys.executable, *job[tool][1:]] if tool == "ais_bench" else job[tool]
        for old in results.glob("summary.json"):  # perhaps of the other tool
            old.unlink()
        write_json(results / "machine.json", {"tool": tool, **machine()})
        status, _ = run([*command, "--device", str(device)], folder, results / "console.log")
        keep_answers(folder, job)
        missing = [k for k in todo if not (results / f"{k}_0.bin").is_file()]
        if status or missing:
            sizes = sorted({path.stat().st_size for path in (folder / "out").glob("*/*.bin")})
            strange = f"; it wrote files of {sizes} bytes, expected {job['answer_bytes']}" if sizes else ""
            sys.exit(f"{folder}: {tool} ended with {status}, {len(missing)} batches have no answer{strange}")
    tool = json.loads((results / "machine.json").read_text(encoding="utf-8"))["tool"]
    run_here = {"engine": f"OM, {tool}", "model_sha256": digest([folder / job["om"]]), "answers_sha256": ""}
    run_here["answers_sha256"] = digest([results / f"{k}_0.bin" for k in numbers])
    same = {key: job[key] for key in ("onnx_sha256", "batches_sha256", "batch_size", "batches")}
    write_json(results / "results.json", {**run_here, **same})


def check_batches(folder: Path, job: dict) -> None:
    """End with a message unless the batches are byte by byte those that the book wrote, and the ONNX file is its."""
    said, again = hashlib.sha256(), "Copy the folder here again"
    files = [
        (folder / "batches" / name / f"{k}.bin", size, f"{name} {tuple(shape)}".encode())
        for k in range(job["batches"])
        for name, (size, shape) in job["inputs"].items()
    ]
    for path, size, _ in files:
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            sys.exit(f"{path}: {found} bytes, expected {size}. {again}")
    for path, _, head in files:
        said.update(head + path.read_bytes())
    said.update((folder / "batches" / "batches.info").read_bytes())
    if said.hexdigest() != job["batches_sha256"] or digest([folder / "network.onnx"]) != job["onnx_sha256"]:
        sys.exit(f"{folder}: batches or network.onnx are damaged, or of another network. {again}")


def compile_model(folder: Path, job: dict) -> None:
    """Have atc make the OM file, unless it is there; in a folder of its own, so that a failure leaves nothing."""
    if (folder / job["om"]).is_file():
        return
    place = folder / "atc"
    shutil.rmtree(str(place), ignore_errors=True)
    place.mkdir()
    link(folder / "network.onnx", place / "network.onnx")
    status, console = run(job["atc"], place, folder / "atc.log")
    made = [path for path in place.glob("*.om") if path.stat().st_size]
    if status or "ATC run failed" in console or len(made) != 1:
        sys.exit(f"{folder}: atc ended with {status} and made {len(made)} OM files, expected 1. Look above")
    made[0].replace(folder / job["om"])
    shutil.rmtree(str(place))


def lay_out(folder: Path, job: dict, todo: list) -> None:
    """A folder of the batches to be run for each input; the tools run every file that they find."""
    for name in ("in", "out"):
        shutil.rmtree(str(folder / name), ignore_errors=True)
    (folder / "out").mkdir()
    for name in job["inputs"]:
        (folder / "in" / name).mkdir(parents=True)
        for k in todo:
            link(folder / "batches" / name / f"{k}.bin", folder / "in" / name / f"{k}.bin")


def keep_answers(folder: Path, job: dict) -> None:
    """Answers of the right size and the tool's own times; ais_bench writes 3_0.bin for 3.bin, msame 3_output_0.bin."""
    for path in (folder / "out").glob("*/*_0.bin"):
        found = re.match(r"(\d+)(_output)?_0\.bin$", path.name)
        if found and path.stat().st_size == job["answer_bytes"]:
            path.replace(folder / "results" / "OM" / f"{found.group(1)}_0.bin")
    for path in (folder / "out" / "logits_summary.json", folder / "out" / "logits" / "sumary.json"):
        if path.is_file():
            path.replace(folder / "results" / "OM" / "summary.json")


def run(command: list, folder: Path, log: Path) -> tuple:
    """Exit status and console of a program; the console goes to the screen as well, and into a file."""
    if shutil.which(command[0]) is None:
        sys.exit(f"{command[0]} is not on the PATH: source CANN's set_env.sh; ais_bench or msame must be installed")
    with log.open("wb") as file, subprocess.Popen(
        command, cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as program:
        for line in program.stdout or ():
            file.write(line)
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
    return program.returncode, log.read_text(encoding="utf-8", errors="replace")


def machine() -> dict:
    """The cards as npu-smi lists them, without its table of processes, CANN's version and the processor's kind."""
    cards, home = "", os.environ.get("ASCEND_HOME_PATH") or os.environ.get("ASCEND_TOOLKIT_HOME") or ""
    if shutil.which("npu-smi"):
        said = subprocess.run(["npu-smi", "info"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        cards = re.split(r"\n[^\n]*Process id", said.stdout.decode(errors="replace"))[0]
    versions = []
    for name in ("", platform.machine() + "-linux"):
        for path in (Path(home, name, "version.cfg"), Path(home, name, "ascend_toolkit_install.info")):
            text = path.read_text(encoding="utf-8", errors="replace") if home and path.is_file() else ""
            versions += re.findall(r"(?m)^(?:toolkit_running_version=.*:|version=)([^\]\s]+)", text)
    return {"npu_smi": cards, "cann": (versions or [""])[0], "machine": platform.machine()}


def has_ais_bench() -> bool:
    """Whether this Python has the tool; AISBench, which evaluates language models, has no part infer."""
    return bool(importlib.util.find_spec("ais_bench") and importlib.util.find_spec("ais_bench.infer"))


def digest(paths: list) -> str:
    """SHA-256 of the contents of files, one after the other."""
    said = hashlib.sha256()
    for path in paths:
        said.update(path.read_bytes())
    return said.hexdigest()


def link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no hard links, as the tools want no others."""
    try:
        os.link(str(source), str(target))
    except OSError:
        shutil.copyfile(str(source), str(target))


def write_json(path: Path, value: dict) -> None:
    """Write `value` for programs and people."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
