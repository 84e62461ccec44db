"""The start file of a job on ModelArts or OpenI: takes what those platforms pass, and runs stages by papermill.

``python -m actionbook.cloud --help``, or this file itself as the platform's start file. Arguments have the names that
the original programs of the five chapters give them; ranks and hosts come from the environment that the platform sets.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a file, by whatever Python the platform has: hand over to ours
    _root = Path(__file__).resolve().parents[2]
    _python = _root / ".venv" / "bin" / "python"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_root / "lib"), os.environ.get("PYTHONPATH"))))
    _program = str(_python) if _python.exists() else sys.executable
    os.execv(_program, [_program, "-m", "actionbook.cloud", *sys.argv[1:]])

import argparse
import json
import shlex
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from actionbook.core import remote
from actionbook.core.chapters import chapters, recipe_files
from actionbook.core.console import print_any_text
from actionbook.core.errors import BookError
from actionbook.core.interrupts import program, stopped_in_one_line
from actionbook.core.local_copy import LocalCopy
from actionbook.core.parameters import choice
from actionbook.core.paths import NOTEBOOKS, default_data_root, default_work_root, expanded, is_address, shown
from actionbook.core.recipe import Recipe
from actionbook.core.runtime import DEVICES
from actionbook.notebooks import execute

ALIASES = {
    "data_root": ("data_url", "dataset_path"),
    "work_root": ("train_url", "result_url", "output_path"),
    "weights": ("ckpt_url", "checkpoint_url", "pre_url", "pretrain_url", "model_url"),
    "devices": ("device_num",),
    "device": ("device_target", "target", "run_platform"),
    "workers": ("num_workers",),
    "stream": ("mode", "modality"),
}
"""By our word: what the original programs and the platforms call the same. `weights` is a folder of weight files."""
ONLINE = ("run_online", "enable_modelarts", "openI")
"""Whether the program runs on a platform. An address says that itself: these decide where OpenI's folders are asked."""
DISTRIBUTED = ("run_distribute", "distributed", "is_distributed")
TRAINING = "03_training"
PORT = 8118


@dataclass(frozen=True)
class Job:
    """What is to be run, and on which of how many hosts."""

    chapter: str
    recipe: str
    stages: tuple[str, ...]
    data_root: str | None
    work_root: str | None
    weights: str | None
    device: str
    devices: int
    """Cards of one host that train together."""
    workers: int | None
    stream: str | None
    overrides: dict[str, Any] | None
    hosts: int = 1
    rank: int = 0
    """Of this host, from 0."""
    master: str = ""
    """Name or address of the first host; empty where there is one alone."""
    rank_table: str = ""
    upload: bool = False
    """Whether OpenI has to be told to keep the outputs."""

    def parameters(self, stage: str) -> dict[str, Any]:
        """What papermill sets in the notebook of a stage."""
        values: dict[str, Any] = {
            "recipe": self.recipe,
            "data_root": self.data_root,
            "work_root": self.work_root,
            "device": self.device,
            "workers": self.workers,
            "stream": self.stream,
            "overrides": self.overrides,
        }
        if stage == TRAINING and self.devices * self.hosts > 1:
            values["devices"] = self.devices * self.hosts
        return {name: value for name, value in values.items() if value is not None}

    def training(self, master: str) -> list[str]:
        """The command that trains on this host's share of all cards; empty where there is one host alone."""
        if self.hosts == 1:
            return []
        command = [sys.executable, "-m", "mindspore.parallel.cluster.run", f"--worker_num={self.devices * self.hosts}"]
        command += [f"--local_worker_num={self.devices}", f"--node_rank={self.rank}", f"--master_addr={master}"]
        command += [f"--master_port={PORT}", "--join=True", f"--log_dir=msrun_logs_{self.rank}"]
        command += [f"--rank_table_file={self.rank_table}"] if self.rank_table else []
        command += ["python", "-m", "actionbook.train", self.chapter, self.recipe, "--device", self.device]
        for option, value in (
            ("--data-root", self.data_root),
            ("--work-root", self.work_root),
            ("--stream", self.stream),
            ("--workers", self.workers and str(self.workers)),
            ("--overrides", self.overrides and json.dumps(self.overrides)),
        ):
            command += [option, value] if value else []
        return command


def read_job(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> tuple[Job, bool]:
    """The job that a platform's arguments and environment describe, and whether it is only to be shown.

    Variables of ModelArts that are read: MA_NUM_HOSTS (or VC_WORKER_NUM), VC_TASK_INDEX, VC_WORKER_HOSTS, MA_NUM_GPUS
    (cards of one host), RANK_TABLE_FILE; see its page "Managing Environment Variables of a Training Container".
    Raises BookError naming the argument or variable, what was expected and what was found.
    """
    given = vars(_parser().parse_args(arguments))
    found = {word: _one(word, given) for word in ALIASES}
    book = {one.name: one for one in chapters()}
    chapter = book[choice("chapter", given["chapter"], book)]
    wanted = chapter.stages if given["stage"] == "all" else given["stage"].split(",")
    stages = tuple(choice("stage", one.strip(), chapter.stages) for one in wanted)
    hosts = _number("MA_NUM_HOSTS", environment.get("MA_NUM_HOSTS") or environment.get("VC_WORKER_NUM"), 1)
    addresses = [one for one in environment.get("VC_WORKER_HOSTS", "").split(",") if one]
    devices = _number("device_num", found["devices"] or environment.get("MA_NUM_GPUS"), 1)
    if any(_truth(name, given[name]) is False for name in DISTRIBUTED):
        devices = 1
    upload = False
    if not found["data_root"] and not found["work_root"] and any(_truth(name, given[name]) for name in ONLINE):
        found |= _openi_folders()
        upload = True
    mapping = yaml.safe_load(given["overrides"]) if given["overrides"] else None
    recipe = load_recipe(chapter.name, given["recipe"], mapping)
    if found["data_root"] and (Path(found["data_root"]) / recipe.data.manifest).is_dir():
        found["data_root"] = str(Path(found["data_root"]) / recipe.data.manifest)  # OpenI: a folder for each data set
    stream = choice("mode", found["stream"].lower(), recipe.stream_names) if found["stream"] else None
    job = Job(
        chapter=chapter.name,
        recipe=str(Path(given["recipe"]).resolve()) if given["recipe"].endswith((".yaml", ".yml")) else given["recipe"],
        stages=stages,
        data_root=_absolute(found["data_root"]),
        work_root=_absolute(found["work_root"]),
        weights=_absolute(found["weights"]),
        device=_device(found["device"]),
        devices=max(1, devices),
        workers=_number("workers", found["workers"], 0) or None,
        stream=stream if recipe.streams else None,  # of a recipe of one stream the notebooks do not ask
        overrides=mapping,
        hosts=max(1, hosts),
        rank=_number("VC_TASK_INDEX", environment.get("VC_TASK_INDEX"), 0) if hosts > 1 else 0,
        master=addresses[0] if addresses and hosts > 1 else "",
        rank_table=environment.get("RANK_TABLE_FILE", "") if hosts > 1 else "",
        upload=upload,
    )
    _check(job)
    return job, given["dry_run"]


def _check(job: Job) -> None:
    if job.hosts == 1:
        return
    if job.stages != (TRAINING,):
        raise BookError(f"stage {', '.join(job.stages)}: several hosts only train; run the others in a job of one host")
    if job.work_root is None or is_address(job.work_root):
        raise BookError(
            f"train_url {job.work_root!r}: several hosts need one folder that all of them see, such as a mounted SFS; "
            "object storage serves one host"
        )
    if not job.master:
        raise BookError(f"VC_WORKER_HOSTS: expected the names of {job.hosts} hosts, the first one first, found none")


def _parser() -> argparse.ArgumentParser:
    text = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser("python -m actionbook.cloud", description=text, allow_abbrev=False)
    parser.add_argument("--chapter", required=True, help="efficient3d, i3d, ...")
    parser.add_argument(
        "--stage", default=TRAINING, help="01_data, ..., several with commas, or all; default: training"
    )
    parser.add_argument("--recipe", required=True, help="a name in the chapter's recipes/, or the path of a file")
    parser.add_argument("--overrides", help="changes to the recipe as YAML")
    parser.add_argument("--dry_run", "--dry-run", action="store_true", help="say what would be run, and run nothing")
    for word, others in ALIASES.items():
        for name in (word, *others):
            parser.add_argument(f"--{name}", help=argparse.SUPPRESS if name != word else f"also: {', '.join(others)}")
    for name in (*ONLINE, *DISTRIBUTED):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    return parser


def _one(word: str, given: Mapping[str, Any]) -> str | None:
    """The value of a word, under whichever of its names it was given."""
    values = {name: given[name] for name in (word, *ALIASES[word]) if given[name]}
    if len(set(values.values())) > 1:
        raise BookError(f"{', '.join(values)}: all say {word}, and say different things; give one of them")
    return next(iter(values.values()), None)


def _number(name: str, value: str | None, default: int) -> int:
    if not value:
        return default
    if not value.strip().isdigit():
        raise BookError(f"{name}: expected a whole number, found {value!r}")
    return int(value)


def _truth(name: str, value: str | None) -> bool | None:
    """Truth as people write it: of the original programs some take "False" for true."""
    if value is None:
        return None
    if value.lower() not in ("true", "false", "1", "0"):
        raise BookError(f"{name}: expected True or False, found {value!r}")
    return value.lower() in ("true", "1")


def _absolute(place: str | None) -> str | None:
    """A path as this program understands it: a notebook's kernel has another working directory."""
    return place if place is None or is_address(place) else str(expanded(place).resolve())


def _device(value: str | None) -> str:
    known = {one.lower(): one for one in DEVICES}
    return known[choice("device", (value or "auto").lower(), known)]


def _openi_folders() -> dict[str, str | None]:
    """Where OpenI has put data set and weights, and wants outputs."""
    try:
        from c2net.context import prepare  # noqa: PLC0415 (OpenI's own package, on its machines alone)
    except ImportError as error:
        raise BookError("data_url, train_url: expected both, or OpenI's package c2net, found neither") from error
    context = prepare()
    return {
        "data_root": context.dataset_path,
        "work_root": context.output_path,
        "weights": context.pretrain_model_path if any(Path(context.pretrain_model_path).glob("*")) else None,
    }


def run(job: Job) -> None:
    """Run the job to its end. Raises BookError, as the stages do."""
    recipe = load_recipe(job.chapter, job.recipe, job.overrides)
    if job.weights:
        place_weights(job.weights, remote.root("data_url", job.data_root, default_data_root() / recipe.data.manifest))
    try:
        if command := job.training(_address(job.master)):
            _train(command)
        if job.rank == 0:
            for stage in job.stages:
                sys.stdout.write(f"{execute_stage(job, recipe, stage)}\n")
                sys.stdout.flush()
    finally:
        if job.upload:
            from c2net.context import upload_output  # noqa: PLC0415

            upload_output()


def load_recipe(chapter: str, recipe: str, overrides: dict[str, Any] | None) -> Recipe:
    """The recipe of that name, or path. Raises BookError where there is none."""
    if recipe.endswith((".yaml", ".yml")):
        return Recipe.load(expanded(recipe).resolve(), overrides)
    known = {one.stem: one for one in recipe_files(chapter)}
    return Recipe.load(known[choice("recipe", recipe, known)], overrides)


def _address(master: str) -> str:
    try:
        return socket.gethostbyname(master) if master else ""
    except OSError as error:
        raise BookError(f"VC_WORKER_HOSTS: {master} has no address ({error.strerror}); is that host up?") from error


def _train(command: Sequence[str]) -> None:
    # msrun starts the python of the PATH: let it be this one.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    status = subprocess.run(command, check=False, env={**os.environ, "PATH": path}).returncode
    if status:
        raise BookError(f"training ended with status {status}; what each card said is in msrun_logs_*/worker_*.log")


def place_weights(source: str, data_root: Path) -> list[Path]:
    """Make the weight files of a folder or address known where recipes look for them: in ``weights`` of the data root.

    They are linked, not copied; a file that is there already stays. Returns their places. Raises BookError where the
    source holds none, or the data root cannot be written.
    """
    if is_address(source):
        copy = LocalCopy.of("ckpt_url", source)
        copy.fetch()
        source = str(copy.folder)
    start = Path(source)
    files = [start] if start.is_file() else sorted(path for path in start.rglob("*") if path.is_file())
    if not files:
        raise BookError(f"ckpt_url {source}: expected weight files in it, found none")
    places = [data_root / "weights" / path.name for path in files]
    try:
        (data_root / "weights").mkdir(parents=True, exist_ok=True)
        for path, place in zip(files, places, strict=True):
            if not place.exists():
                place.unlink(missing_ok=True)  # a link of an earlier job to what is no more
                place.symlink_to(path.resolve())
    except OSError as error:
        raise BookError(
            f"{shown(data_root / 'weights')}: cannot be written ({error.strerror}); put the weight files there yourself"
        ) from error
    return places


def execute_stage(job: Job, recipe: Recipe, stage: str) -> Path:
    """Run one notebook; the executed one, or as far as it came, goes into ``notebooks`` of the recipe's workspace.

    Where the work root is an address it is written back, too. Raises BookError as `notebooks.execute`.
    """
    own = f"{recipe.chapter}/{recipe.name}/notebooks/"
    folder = remote.root("work_root", job.work_root, default_work_root()) / own
    try:
        return execute(
            NOTEBOOKS / job.chapter / f"{stage}.md",
            parameters=job.parameters(stage),
            output=folder / f"{stage}.ipynb",
            failed=folder / "failed",
        )
    finally:
        if job.work_root and is_address(job.work_root):
            copy = LocalCopy.of("work_root", job.work_root)
            copy.push((own,), set(copy.store.files(own)))  # what the kernel has sent while it ran, and is no more, goes


def _text(job: Job) -> str:
    """What would be run, in lines that can be typed."""
    lines = [f"# host {job.rank} of {job.hosts}, {job.devices} cards on each"]
    lines += [f"# weight files of {job.weights} are linked into weights/ of the data root"] if job.weights else []
    lines += [shlex.join(command)] if (command := job.training(job.master)) else []
    for stage in job.stages if job.rank == 0 else ():
        source = shown(NOTEBOOKS / job.chapter / f"{stage}.md")
        pairs = [("-p", name, json.dumps(value)) for name, value in job.parameters(stage).items()]
        words = ["python", "-m", "actionbook.notebooks", "execute", *(word for pair in pairs for word in pair), source]
        lines.append(shlex.join(words))
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, or only show, the job. Returns the exit status: 1 after an error that a user can mend."""
    print_any_text()
    try:
        job, dry = read_job(arguments, os.environ)
        if dry:
            sys.stdout.write(_text(job))
            return 0
        with program(), stopped_in_one_line("stopped; what is written back is kept, start the same job again to go on"):
            run(job)
    except BookError as error:
        sys.stderr.write(f"BookError: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
