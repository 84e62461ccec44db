"""Training on several devices at once: ``msrun`` starts one process for each, this one follows them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from actionbook.core import card_memory
from actionbook.core.errors import BookError
from actionbook.core.files import write_json_atomic
from actionbook.core.interrupts import stopped_in_one_line
from actionbook.core.paths import shown
from actionbook.core.process import run_logged
from actionbook.core.progress import MIRROR, Mirror
from actionbook.core.workspace import Stage
from actionbook.training.micro_batches import micro_batch

PROGRAM = "actionbook.train"
"""The module that every process runs."""
LAST_LINES = 15
LOST_SECONDS = 10.0
"""So long a process may be gone that has not said that it is done; msrun needs a moment to tell of one that failed."""
LAUNCHER, _FOLDER = "ACTIONBOOK_LAUNCHER", "ACTIONBOOK_DEVICES"  # environment: a process number, a folder


@stopped_in_one_line("stopped; the training is kept up to its last checkpoint, run again to go on")
def train_on_devices(stage: Stage) -> None:
    """Train all unfinished runs of the stage's recipe on ``stage.devices`` devices of this machine.

    One bar follows the leading process. Raises BookError with the last lines of the process that failed; the others are
    stopped then, and also when no figure has changed for ``training.hang_minutes`` or this process is interrupted.
    Raises BookError at once where a batch cannot be shared equally.
    """
    for run in stage.recipe.training.runs:
        micro_batch(stage.for_run(run).recipe.training, stage.devices)
    folder = stage.folder / "training" / "devices"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.*"):
        old.unlink()
    recipe, mirror = write_recipe(stage, folder), Mirror(folder / "progress.json")
    command = [sys.executable, "-m", "mindspore.parallel.cluster.run"]
    command += [f"--worker_num={stage.devices}", f"--local_worker_num={stage.devices}", "--master_addr=127.0.0.1"]
    command += [f"--master_port={_free_port()}", f"--log_dir={folder}", "--join=True", "python"]
    command += program(stage, recipe, stage.stream, workers=max(1, stage.workers // stage.devices))
    hang, lost = stage.recipe.training.hang_minutes * 60, _Lost(folder)

    def follow() -> None:
        mirror.look()
        lost.look()
        if time.monotonic() - mirror.changed > hang:
            raise TimeoutError(f"no figure has changed for {hang / 60:g} minutes (training.hang_minutes)")

    log = folder / "msrun.log"
    try:
        status = run_logged(command, folder, log, environment=_environment(folder, mirror.file), tick=follow)
        if status:
            raise ChildProcessError
    except ChildProcessError as error:
        raise BookError(f"training on {stage.devices} devices failed. {_failure(folder)}") from error
    except TimeoutError as error:
        raise BookError(f"training on {stage.devices} devices was stopped: {error}. {_failure(folder)}") from error
    finally:
        mirror.close()
        _stop(folder)


def write_recipe(stage: Stage, folder: Path) -> Path:
    """The whole recipe of a stage, overrides applied, as a file that `program` names."""
    recipe = folder / "recipe.yaml"
    write_json_atomic(recipe, stage.whole.as_dict())  # JSON is YAML, too
    return recipe


def program(stage: Stage, recipe: Path, stream: str, *, workers: int | None) -> list[str]:
    """What ``python`` is given to train a stream of `recipe` as `stage` would, in another process."""
    command = ["-m", PROGRAM, stage.recipe.chapter, str(recipe), "--stream", stream, "--device", stage.device]
    command += ["--data-root", str(stage.data_root), "--work-root", str(stage.work_root)]
    return command if workers is None else [*command, "--workers", str(workers)]


def announce() -> None:
    """In a process that another one of this book has started: it ends with that, and of several devices' only the
    leading one shows its bar."""
    launcher = os.environ.get(LAUNCHER)
    if launcher is None:
        return
    if os.environ.get("MS_ROLE") == "MS_SCHED" or os.environ.get("RANK_ID", "0") != "0":
        os.environ[MIRROR] = "none"
    threading.Thread(target=_end_with, args=(int(launcher),), daemon=True).start()


def announce_end() -> None:
    """In a process of `train_on_devices` that has done its work: it goes, and is not lost, while others still work."""
    if os.environ.get("MS_ROLE") == "MS_WORKER" and _FOLDER in os.environ:
        Path(os.environ[_FOLDER], f"{os.environ.get('RANK_ID', os.getpid())}.done").touch()


def _end_with(launcher: int) -> None:
    """A notebook that is killed cannot stop what it has started."""
    while Path(f"/proc/{launcher}").exists():
        time.sleep(1)
    os._exit(1)


def _environment(folder: Path, mirror: Path) -> dict[str, str]:
    """What the processes inherit. msrun starts ``python`` from the PATH: let it be this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {MIRROR: str(mirror), _FOLDER: str(folder), LAUNCHER: str(os.getpid()), "PATH": path}


def started(folder: Path) -> dict[int, dict[str, str]]:
    """The processes that were started with the log folder `folder` and are still there: environment by process number.

    msrun gives each a session of its own, out of reach of a signal to it.
    """
    found = {}
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            entries = file.read_bytes().decode(errors="replace").split("\0")
            environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
            if environment.get(_FOLDER) == str(folder):
                found[int(file.parent.name)] = environment
    return found


class _Lost:
    """Sees that a process has ended before its time.

    The others wait for it, and msrun's scheduler gives it half a minute to come back.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._seen, self._whole, self._next = folder, 0, 0.0, 0.0

    def look(self) -> None:
        """Raises ChildProcessError once one has been missing for `LOST_SECONDS`."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1  # a server has thousands of processes to look at
        running = started(self._folder).items()
        ranks = {each.get("RANK_ID", str(pid)) for pid, each in running if each.get("MS_ROLE") == "MS_WORKER"}
        there = len(ranks | {path.stem for path in self._folder.glob("*.done")})
        if there >= self._seen:
            self._seen, self._whole = there, now
        elif now - self._whole > LOST_SECONDS:
            raise ChildProcessError


def _stop(folder: Path) -> None:
    """End the processes that are still there."""
    for process in started(folder):
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _failed(folder: Path) -> list[Path]:
    """Logs of the processes that have written an error, the one that did so first before the others."""
    logs = sorted(folder.glob("worker_*.log"), key=lambda path: path.stat().st_mtime)
    return [path for path in logs if re.search(r"^(Traceback|\S*Error\b)", _text(path), re.MULTILINE)]


def _failure(folder: Path) -> str:
    """The last lines of the process that failed: of those with an error, the one that wrote it first.

    Before them, where the memory of a card was full, that.
    """
    log = next(iter(_failed(folder) or sorted(folder.glob("worker_*.log"))), folder / "msrun.log")
    text = _text(log)
    full = card_memory.explained(text, "training.batch_size, raise training.accumulate")
    kept = [line for line in text.splitlines() if not re.match(r"\[(INFO|WARNING)\]", line)]
    lines = "\n".join(f"  {line}" for line in kept[-LAST_LINES:])
    return f"{full}{'. ' if full else ''}Last lines of {shown(log)}:\n{lines or '  (it has written nothing)'}"


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
