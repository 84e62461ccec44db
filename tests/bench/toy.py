"""Contestants that do almost nothing, for the tests of the harness."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from bench.worker import Contestant


def counting(label: str) -> Contestant:
    """Counts what is called on standard output, which must not disturb the answers."""
    calls = {"before": 0, "step": 0}

    def step() -> None:
        calls["step"] += 1
        print(f"{label}: {calls}")  # noqa: T201
        assert calls["before"] == calls["step"]
        time.sleep(0.01)

    def before() -> None:
        calls["before"] += 1
        time.sleep(0.05)

    return Contestant(step, {"label": label, "isa": os.environ.get("ONEDNN_MAX_CPU_ISA")}, before)


def burning(seconds: float) -> Contestant:
    """Uses a core for so many CPU seconds a step."""

    def step() -> None:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    return Contestant(step, {"cores": len(os.sched_getaffinity(0))})


def failing_to_start() -> Contestant:
    """Never gets as far as a contestant."""
    raise RuntimeError("no such kernel")


def failing_later() -> Contestant:
    """Breaks in its first step."""

    def step() -> None:
        raise ValueError("step went wrong")

    return Contestant(step)


def employing(seconds: float) -> Contestant:
    """Waits while another process, which goes on between the steps, uses a core for so many CPU seconds."""
    orders = "import sys, time\nfor line in sys.stdin:\n    end = time.process_time() + float(line)\n"
    orders += "    while time.process_time() < end:\n        pass\n    print(flush=True)\n"
    helper = subprocess.Popen([sys.executable, "-c", orders], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert helper.stdin is not None
    assert helper.stdout is not None
    ordered, done = helper.stdin, helper.stdout

    def step() -> None:
        ordered.write(f"{seconds}\n")
        ordered.flush()
        done.readline()

    return Contestant(step, helpers=(helper.pid,))
