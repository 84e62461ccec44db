"""Interrupts: of graphs that MindSpore runs, and of programs."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from actionbook.core import interrupts

GRAPHS = """
import sys, time
import numpy as np
from actionbook.core.runtime import set_device
set_device("CPU")
from mindspore import Tensor, nn
network, batch = nn.Dense(2000, 2000), Tensor(np.ones((200, 2000), np.float32))
network(batch).asnumpy()
try:
    print("ready", flush=True)
    while True:
        network(batch).asnumpy()
except KeyboardInterrupt:
    print("interrupted", flush=True)
while True:
    time.sleep(0.1)  # a signal that another thread has been given does not end a longer one
"""


def test_an_interrupt_of_a_graph_is_a_keyboard_interrupt_and_the_next_one_too() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", GRAPHS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for expected in ("ready", "interrupted"):
            assert process.stdout.readline() == f"{expected}\n"
            process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert words.endswith("KeyboardInterrupt\n")


def test_a_handler_that_is_there_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        interrupts.keep_interrupts()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


PROGRAM = """
import sys, time
from actionbook.core import interrupts
{before}
with interrupts.program(), interrupts.stopped_in_one_line({words!r}):
    try:
        print("ready", flush=True)
        while True:
            time.sleep(0.1)
    finally:
        print("tidied", flush=True)
"""


@pytest.mark.parametrize("before", ["", "interrupts.keep_interrupts()", "interrupts.wait_for_interrupts()"])
@pytest.mark.parametrize(
    ("sent", "line"), [(signal.SIGINT, "stopped; all is kept"), (signal.SIGTERM, interrupts.STOPPED)]
)
def test_a_program_ends_in_one_line_by_the_signal(sent: signal.Signals, line: str, before: str) -> None:
    source = PROGRAM.format(before=before, words="stopped; all is kept")
    with subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(sent)
        printed, words = process.communicate(timeout=30)
    assert (process.returncode, printed, words) == (-sent, "tidied\n", f"{line}\n")


def test_the_innermost_words_are_kept() -> None:
    with (
        pytest.raises(KeyboardInterrupt, match=r"^inner$") as stopped,
        interrupts.stopped_in_one_line("outer"),
        interrupts.stopped_in_one_line("inner"),
    ):
        raise KeyboardInterrupt
    assert stopped.value._render_traceback_() == ["inner"]  # type: ignore[attr-defined]
