"""The process of one contestant: ``python -m bench.worker MODULE:FUNCTION OPTIONS``, driven by JSON lines.

It builds the contestant, answers with its facts, and then times slices of steps as it is told on standard input, one
JSON object a line. Standard output carries the answers only: whatever libraries print goes to standard error.
Standard library only, because it also runs in PyTorch's environment.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any


def _nothing() -> None:
    """No preparation."""


@dataclass(frozen=True)
class Contestant:
    """What a function of `bench.peers` returns.

    `step` is timed and comes back only when its work is done; `before` runs before each step, outside the time.
    `facts` are sent to the harness once, as JSON: what was built, and what rivals must agree on. `helpers` are the
    processes that work for it and go on between the steps: their CPU time is its own.
    """

    step: Callable[[], object]
    facts: dict[str, Any] = field(default_factory=dict)
    before: Callable[[], None] = _nothing
    helpers: tuple[int, ...] = ()


def cpu_seconds(helpers: Sequence[int] = ()) -> float:
    """CPU seconds, user and system, of this process with all its threads, its finished children and `helpers`."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + sum(map(_process_seconds, helpers))


def _process_seconds(process: int) -> float:
    """The same of another running process (proc(5): fields 14 and 15; its name, field 2, may hold spaces)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed_slice(contestant: Contestant, seconds: float, steps: int) -> dict[str, float]:
    """Repeat the step until it has taken `seconds` in all, and at least `steps` times.

    Returns steps, wall and cpu (seconds inside the steps), and total_cpu (with what happened between them).
    """
    done, wall, cpu = 0, 0.0, 0.0
    used = partial(cpu_seconds, contestant.helpers)
    total = used()
    while done < steps or wall < seconds:
        contestant.before()
        cpu_start, start = used(), time.perf_counter()
        contestant.step()
        wall += time.perf_counter() - start
        cpu += used() - cpu_start
        done += 1
    return {"steps": done, "wall": wall, "cpu": cpu, "total_cpu": used() - total}


def main(arguments: list[str]) -> None:
    """Build the contestant, then serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, function = arguments[0].split(":")
    contestant: Contestant = getattr(importlib.import_module(module), function)(**json.loads(arguments[1]))
    answers.write(json.dumps(contestant.facts) + "\n")
    answers.flush()
    for line in sys.stdin:
        order = json.loads(line)
        answers.write(json.dumps(timed_slice(contestant, order["seconds"], order["steps"])) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
