"""The first trial of ``stress.py``: preparation, training and evaluation, killed and started again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from stress_common import SESSION, Failed, leftovers, processes, say, write_manifest

from actionbook.core.files import TEMPORARY, sha256_json, sha256_tree
from actionbook.core.manifest import Split, load_dataset
from actionbook.core.paths import LIBRARY
from actionbook.core.record import read_record
from actionbook.core.schema import merge
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.stages import data

PIECES = ("preparation", "training", "evaluation")
START_UP_SHARE = 0.2
"""Of the kills; the others come after the piece has begun to write."""
TRAINING: dict[str, Any] = {
    # Masks of dropout are part of what a checkpoint has to hold; of the family, this one compiles quickest.
    "model": {"name": "squeezenet_3d", "options": {"width": 0.25, "dropout": 0.5}},
    "training": {
        "epochs": 3, "warmup_epochs": 1, "lr_steps": [2], "checkpoint_epochs": 1, "checkpoint_steps": 3,
        "keep_epochs": 1, "validate_epochs": 1, "runs": [{"name": "clip", "seeds": [1]}],
    },
    "export": {"inference_batch": 4},
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """Where the pieces work, and on what."""

    folder: Path
    overrides: dict[str, Any]
    """Of the recipe efficient3d/mini."""
    workers: int

    @property
    def reference(self) -> Path:
        """Work root of the undisturbed runs."""
        return self.folder / "undisturbed"

    def stage(self, root: Path) -> Stage:
        """The stage whose work root is `root`."""
        data_root = self.folder / "data" / load_dataset(self.overrides["data"]["manifest"]).name
        return Stage.open(
            "efficient3d", "01_data", data_root=data_root, work_root=root, device="CPU", workers=self.workers,
            overrides=self.overrides,
        ).first  # fmt: skip

    def command(self, piece: str, root: Path) -> list[str]:
        """What is started and killed."""
        if piece == "preparation":
            return [sys.executable, str(Path(__file__).resolve().parent), "piece", json.dumps(
                {"folder": str(self.folder), "overrides": self.overrides, "workers": self.workers, "root": str(root)}
            )]  # fmt: skip
        stage = self.stage(root)
        options = {"--data-root": stage.data_root, "--work-root": root, "--workers": self.workers, "--device": "CPU"}
        command = [sys.executable, "-m", "actionbook.train", "efficient3d", "mini", "--overrides"]
        return [*command, json.dumps(self.overrides), *(str(word) for option in options.items() for word in option)]

    def fresh(self, piece: str, root: Path) -> None:
        """A work root as it is before the piece begins."""
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        if piece == "preparation":
            return
        (root / "frames").symlink_to(self.reference / "frames")
        source, target = self.stage(self.reference).folder, self.stage(root).folder
        target.mkdir(parents=True)
        for file in source.glob("index-*.csv"):
            shutil.copy(file, target)
        shutil.copytree(source / "record", target / "record")
        if piece == "evaluation":
            shutil.copytree(source / "training", target / "training", copy_function=shutil.copy2)


def prepare_piece(trial: Trial, root: Path) -> None:
    """What notebook 01_data does to a data set, without its pictures."""
    stage = trial.stage(root)
    data.obtain(stage)
    found = data.read(stage)
    prepared = data.prepare_data(found)
    for name, one in prepared.items():
        one.frames.to_csv(root / f"prepared-{name}.csv", index=False)
    data.finish(found, prepared)


@dataclass(frozen=True)
class Moment:
    """When to kill: seconds after the start, or after the piece's first sign of work."""

    seconds: float
    start_up: bool


@dataclass(frozen=True)
class Times:
    """Of one process, seconds after its start."""

    begun: float
    """It wrote something."""
    trained: float
    """There was a finished training."""
    ended: float
    killed: bool = False


def launch(trial: Trial, piece: str, root: Path, moment: Moment | None = None) -> Times:
    """Start a piece and wait for its end, or kill it with all its processes. Raises Failed where it fails by itself."""
    before, begun, trained, start = _trace(root), None, None, time.monotonic()
    log = trial.folder / f"{piece}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            trial.command(piece, root), cwd=trial.folder, env={**os.environ, "TQDM_DISABLE": "1"},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    killed = False
    try:
        while process.poll() is None and not killed:
            now = time.monotonic() - start
            if begun is None and _trace(root) != before:
                begun = now
            if trained is None and begun is not None and any(root.glob("*/*/training/*/done.json")):
                trained = now
            if moment is not None:
                since = 0.0 if moment.start_up else begun
                killed = since is not None and now >= since + moment.seconds
            time.sleep(0.02)
    finally:
        _kill(process)
    ended = time.monotonic() - start
    if process.returncode and not killed:
        lines = log.read_text(errors="replace").splitlines()[-25:]
        raise Failed("\n".join([f"{piece} ended with status {process.returncode}; last lines of {log}:", *lines]))
    return Times(ended if begun is None else begun, ended if trained is None else trained, ended, killed)


def _trace(root: Path) -> list[tuple[str, int]]:
    """Changes with every file that comes or goes."""
    return sorted((path, Path(path).stat().st_mtime_ns) for path, _, _ in os.walk(root))


def _kill(process: subprocess.Popen) -> None:
    """End a process with all of its session, and wait until none of them can write any more."""
    end = time.monotonic() + 20
    while members := processes(SESSION, process.pid):
        if time.monotonic() > end:
            raise Failed(f"processes outlive SIGKILL: {members}")
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.poll()
        time.sleep(0.01)
    process.wait()


def how_far(trial: Trial, piece: str, root: Path) -> str:
    """What a killed piece has left, in words. Raises Failed if anything of it is damaged."""
    stage = trial.stage(root)
    read_record(stage.workspace)
    left = f", {len(leftovers(root))} half written" if leftovers(root) else ""
    if piece == "preparation":
        count = _same_files(_store(stage), _store(trial.stage(trial.reference)), complete=False)
        _same_index(trial, root, complete=False)
        return f"{count} videos{left}"
    written = [path for path in stage.folder.glob("training/*/*.ckpt") if not path.name.startswith(TEMPORARY)]
    states = [_checkpoint(path) for path in written]
    progress = [json.loads(state["progress"]) for state in states if "progress" in state]
    trained = any(stage.folder.glob("training/*/done.json"))
    if trained:
        sizes = [path.stat().st_size for path in stage.folder.glob("predictions/*/[0-9]*_0.bin")]
        if len(set(sizes)) > 1:
            raise Failed(f"outputs of batches have {sorted(set(sizes))} bytes")
        return f"trained, {len(sizes)} batches{left}"
    epochs, steps = (len(progress[0]["log"]), len(progress[0]["losses"])) if progress else (0, 0)
    return f"{epochs} epochs and {steps} steps{left}"


def compare(trial: Trial, piece: str, root: Path) -> str:
    """What is equal to the undisturbed run, in words. Raises Failed saying what is not."""
    ours, theirs = trial.stage(root), trial.stage(trial.reference)
    if left := leftovers(root):
        raise Failed(f"{len(left)} temporary files are left, such as {left[0]}")
    _same_index(trial, root)
    if piece == "preparation":
        count = _same_files(_store(ours), _store(theirs))
        reports = [*root.glob("prepared-*.csv"), *ours.workspace.glob("failures-*.csv")]
        for name in (path.relative_to(root) for path in reports):
            if (root / name).read_bytes() != (trial.reference / name).read_bytes():
                raise Failed(f"{name} differs")
        results = [read_record(stage.workspace).stages["01_data"].results for stage in (ours, theirs)]
        if results[0] != results[1]:
            raise Failed(f"record: {results[0]}, undisturbed {results[1]}")
        return f"{count} stores, index, {len(reports)} reports"
    return f"{_same_training(ours, theirs)}, {_same_outputs(ours, theirs)}"


def _store(stage: Stage) -> Path:
    return dataset_of(stage).colour_store


def _same_index(trial: Trial, root: Path, *, complete: bool = True) -> None:
    ours, theirs = (dataset_of(trial.stage(one)).index_file for one in (root, trial.reference))
    for part in ("items", "labels"):
        found, expected = (stem.with_name(f"{stem.name}-{part}.csv") for stem in (ours, theirs))
        if (complete or found.exists()) and found.read_bytes() != expected.read_bytes():
            raise Failed(f"{found.name} differs")


def _same_files(ours: Path, theirs: Path, *, complete: bool = True) -> int:
    """The number of files; those of `ours` must be byte for byte those of `theirs`, and unless interrupted, all."""
    # Half written ones end in .zip as well.
    names = [{path.relative_to(store) for path in store.rglob("v_*.zip")} for store in (ours, theirs)]
    if names[0] - names[1] or (complete and names[0] != names[1]):
        raise Failed(f"{ours.name}: other files than undisturbed, such as {sorted(names[0] ^ names[1])[:3]}")
    for name in sorted(names[0]):
        if (ours / name).read_bytes() != (theirs / name).read_bytes():
            raise Failed(f"{ours.name}/{name} differs")
    return len(names[0])


def _checkpoint(path: Path) -> dict[str, Any]:
    import mindspore as ms

    try:
        stored = ms.load_checkpoint(str(path), crc_check=True)
    except (ValueError, OSError, RuntimeError, TypeError) as error:
        raise Failed(f"{path} is damaged: {error}") from error
    return {name: value.asnumpy() if hasattr(value, "asnumpy") else value for name, value in stored.items()}


def _same_training(ours: Stage, theirs: Stage) -> str:
    """All checkpoints bit for bit, and the log without its times."""
    from actionbook.training.loop import read_log

    names = [sorted(str(p.relative_to(s.folder)) for p in s.folder.glob("training/*/*")) for s in (ours, theirs)]
    if names[0] != names[1]:
        raise Failed(f"the training left {names[0]}, undisturbed {names[1]}")
    count = 0
    for name in (name for name in names[0] if name.endswith(".ckpt")):
        found, expected = _checkpoint(ours.folder / name), _checkpoint(theirs.folder / name)
        unequal = [
            key for key in expected if np.asarray(found.get(key)).tobytes() != np.asarray(expected[key]).tobytes()
        ]
        if unequal or list(found) != list(expected):
            raise Failed(f"{name}: {len(unequal)} of {len(expected)} parameters differ, such as {unequal[:3]}")
        count += len(expected)
    (folder,) = theirs.folder.glob("training/*")
    logs = [read_log(stage.folder / "training" / folder.name) for stage in (ours, theirs)]
    logs = [log.drop(columns=["seconds", "data_wait"]) for log in logs]
    if not logs[0].equals(logs[1]):
        raise Failed(f"the log differs:\n{logs[0]}\nundisturbed:\n{logs[1]}")
    return f"{count} parameters, {len(logs[0])} lines of log"


def _same_outputs(ours: Stage, theirs: Stage) -> str:
    """All outputs, read as notebook 03_training reads them, and as many as there are windows."""
    from actionbook.evaluation.predict import SampleBatches, tested_samples
    from actionbook.inference import read_results

    samples = tested_samples(ours, dataset_of(theirs).index())
    clips = sum(len(range(1, frames, ours.recipe.sampling.window)) for frames in samples.index.items.frames)
    (folder,) = theirs.folder.glob("predictions/*")
    digest = sha256_json(json.loads((folder / "rests_on.json").read_text(encoding="utf-8")))
    batches = SampleBatches(samples, ours.recipe.export.inference_batch, digest, 1)
    found, expected = (read_results(stage.folder / "predictions" / folder.name, batches)[1] for stage in (ours, theirs))
    if found.tobytes() != expected.tobytes():
        raise Failed(f"{(found != expected).sum()} outputs differ")
    videos = samples.tests["item"].nunique()
    if (len(found), videos) != (clips, ours.manifest.splits["1"].test):
        raise Failed(f"{len(found)} clips of {videos} videos, expected {clips} of {len(samples)}")
    return f"{len(found)} clips of {videos} videos"


def disturb(trial: Trial, piece: str, times: int, rng: random.Random, usual: Times) -> dict[str, object]:
    """Kill a piece so many times: in rounds, each from the beginning until the piece is done; a row of the table."""
    root, kills, early, rounds, equal = trial.folder / "killed", 0, 0, 0, ""
    end = usual.trained if piece == "training" else usual.ended
    code = _library()
    while kills < times:
        trial.fresh(piece, root)
        rounds += 1
        while True:
            start_up = rng.random() < START_UP_SHARE
            seconds = rng.uniform(0, usual.begun if start_up else max(end - usual.begun, 0.1))
            done = launch(trial, piece, root, Moment(seconds, start_up) if kills < times else None)
            if not done.killed:
                break
            kills, early = kills + 1, early + start_up
            say(f"{piece}: kill {kills} of {times} after {done.ended:.1f} s: {how_far(trial, piece, root)}")
        if _library() != code:
            raise Failed("the library was changed meanwhile, which starts trainings afresh: begin again")
        equal = compare(trial, piece, root)
        say(f"{piece}: round {rounds} is done and equal: {equal}")
    row = {"piece": piece, "undisturbed": f"{usual.ended:.1f} s", "kills": kills, "in start-up": early}
    return {**row, "rounds": rounds, "equal": equal}


def _library() -> str:
    return sha256_tree(LIBRARY, LIBRARY.rglob("*.py"))


def kill(times: int, seed: int, only: list[str] | None, folder: Path, quick: bool) -> None:
    """The first trial; see the module. Raises Failed where a kill has changed something."""
    manifest, training = load_dataset("mini_ucf101"), TRAINING
    if quick:  # 20 small videos of two classes
        settings = {"groups": 10, "clips_per_group": 1, "width": 64, "height": 48}
        manifest = manifest.model_copy(update={
            "name": "quick", "videos": 20, "classes": ("MoonWalk", "Walking"), "class_groups": {},
            "splits": {"1": Split(train=6, test=14)},
            "generator": manifest.generator and manifest.generator.model_copy(update=settings),
        })  # fmt: skip
    overrides = merge({"data": {"manifest": write_manifest(manifest, folder)}}, training)
    trial, rng, rows = Trial(folder, overrides, 1 if quick else 2), random.Random(seed), []
    say("; ".join(data.obtain(trial.stage(trial.reference))))
    wanted = only or PIECES
    for piece in PIECES[: 1 + max(map(PIECES.index, wanted))]:
        root = trial.folder / "again" if piece == "evaluation" else trial.reference
        if piece != "training":
            trial.fresh(piece, root)
        usual = launch(trial, piece, root)
        say(f"{piece}: undisturbed in {usual.ended:.1f} s, {usual.begun:.1f} s of them before its first file")
        if piece == "evaluation":
            compare(trial, piece, root)
        if piece in wanted:
            rows.append(disturb(trial, piece, times, rng, usual))
    sys.stdout.write(f"{pd.DataFrame(rows).to_string(index=False)}\n")
