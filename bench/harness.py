"""Contestants as processes, and the watch on what else the machine was doing while one of them ran."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import actionbook  # noqa: F401 (sets what MindSpore reads when it is imported; the processes inherit it)
from bench.errors import PeerFailed

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0  # seconds; no contestant takes a third of that to start, export or run a slice
BUSY_LIMIT = 0.08  # share of the machine; above it a barrier between threads waits for a core that is not there
# Since PyTorch asks for every large tensor anew and glibc gives it back to the kernel, page faults take most of its
# time on some machines. These limits make glibc keep the memory.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}
# What the book sets for MindSpore's sake, or a shell may hold, must not slow down or speed up a rival.
OURS_ONLY = ("ONEDNN_MAX_CPU_ISA", *TUNED_MALLOC)


@dataclass(frozen=True)
class Slice:
    """One turn of one contestant. Seconds of wall clock and of CPU, inside its steps."""

    steps: int
    wall: float
    cpu: float
    foreign: float
    """Share of the machine that other processes used meanwhile, 0..1."""

    @property
    def clean(self) -> bool:
        """Whether the machine was quiet enough for the time to count."""
        return self.foreign < BUSY_LIMIT

    def per_step(self, unit: str) -> float:
        """Seconds of `unit` ("wall" or "cpu") that a step took."""
        return (self.cpu if unit == "cpu" else self.wall) / self.steps


def busy_seconds(stat: str, cores: Collection[int]) -> float:
    """Seconds that `cores` were not idle since the machine started, from the text of ``/proc/stat``.

    Time stolen by other virtual machines counts as busy, waiting for a disk does not (proc(5)).
    """
    ticks = 0
    for line in stat.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def foreign_share(busy: float, own: float, seconds: float, cores: int) -> float:
    """Share of `cores` that others used in `seconds`, of which `busy` core-seconds were used, `own` by ourselves."""
    return max(0.0, busy - own) / (seconds * cores)


@dataclass
class Peer:
    """A contestant in a process of its own: ``target`` (module:function of `bench.peers`) with `options`.

    `label` names it in tables. `one_core` ties it to a single core. `pause` is how long to wait after its turn, for
    threads that go on spinning (ONNX Runtime's do). Use as a context manager; entering starts it.
    """

    label: str
    target: str
    options: dict[str, Any]
    logs: Path
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    ours: bool = True
    one_core: bool = False
    pause: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict, init=False)
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def __enter__(self) -> Peer:
        self.logs.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [self.python, "-m", "bench.worker", self.target, json.dumps(self.options)],
                cwd=ROOT,
                env=child_environment(self.environment, ours=self.ours),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        if self.one_core:
            os.sched_setaffinity(self._process.pid, {max(os.sched_getaffinity(0))})
        try:
            self.facts = self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()  # it holds nothing that would have to be saved
            self._process.communicate()
            self._process = None

    def slice(self, seconds: float, steps: int = 1) -> Slice:
        """Let it run for `seconds` and at least `steps` steps. Raises PeerFailed where its process breaks."""
        assert self._process is not None
        assert self._process.stdin is not None
        cores = os.sched_getaffinity(0)
        before, start = busy_seconds(Path("/proc/stat").read_text(encoding="utf-8"), cores), time.perf_counter()
        try:
            self._process.stdin.write(json.dumps({"seconds": seconds, "steps": steps}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # `_answer` finds out why
        found = self._answer()
        elapsed = time.perf_counter() - start
        busy = busy_seconds(Path("/proc/stat").read_text(encoding="utf-8"), cores) - before
        time.sleep(self.pause)
        foreign = foreign_share(busy, found["total_cpu"], elapsed, len(cores))
        return Slice(found["steps"], found["wall"], found["cpu"], foreign)

    @property
    def _log(self) -> Path:
        return self.logs / f"{'-'.join(self.label.lower().split())}.log"

    def _answer(self) -> dict[str, Any]:
        """The next line of the process."""
        assert self._process is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            self._process.wait()
            said = self._log.read_text(errors="replace").strip().splitlines()
            errors = [line for line in said if re.match(r"[\w.]*(Error|Exception)\b", line)]
            words = [f"exit status {self._process.returncode}", *said, *errors][-1]
            raise PeerFailed(f"{self.label}: {words} (the rest is in {self._log})")
        answer: dict[str, Any] = json.loads(line)
        return answer


def child_environment(extra: dict[str, str], *, ours: bool) -> dict[str, str]:
    """This process's environment for a contestant, with `extra`; a rival's without what is set for our own sake."""
    inherited = {name: value for name, value in os.environ.items() if ours or name not in OURS_ONLY}
    library = os.pathsep.join(filter(None, [str(ROOT / "lib"), os.environ.get("PYTHONPATH", "")]))
    return {**inherited, **({"PYTHONPATH": library} if ours else {}), **extra}
