"""Cores are held by one at a time, given back however their holder ends, and a measurement gets all of them."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actionbook.core import cores

HOLD = """
import sys
from actionbook.core import cores
with cores.held(int(sys.argv[1]) or None) as mine:
    print(*mine, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of this test alone, on a machine of three cores."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(cores, "usable", lambda: [0, 2, 5])
    monkeypatch.setattr(cores, "POLL_SECONDS", 0.01)


def holder(count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_nobody_gets_what_another_holds() -> None:
    with cores.held(1) as first, cores.held(1) as second, cores.held(1) as third:
        assert sorted([*first, *second, *third]) == [0, 2, 5]
    with cores.held(2) as pair, cores.held(1) as one:
        assert (pair, one) == ([0, 2], [5])
    with cores.held() as everything:
        assert everything == [0, 2, 5]
    with cores.held(9) as everything:
        assert everything == [0, 2, 5]


def test_another_process_is_waited_for_and_gives_back_when_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable", lambda: sorted(os.sched_getaffinity(0)))
    other = holder(0)
    asked = []

    def tick() -> None:
        if not asked:
            other.send_signal(signal.SIGKILL)
        asked.append(other.wait())

    with cores.held(1, tick=tick) as mine:
        assert len(mine) == 1
    assert asked[0] == -signal.SIGKILL


def test_patience_ends(caplog: pytest.LogCaptureFixture) -> None:
    with cores.held(1), caplog.at_level(logging.WARNING), cores.held(patience=0.05) as everything:
        assert everything == [0, 2, 5]
    assert "were not free within 0.05 s" in caplog.text
    with cores.held() as everything:  # what had been locked meanwhile is free again
        assert everything == [0, 2, 5]


def test_work_keeps_measurements_away_and_other_work_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cores, "PATIENCE_SECONDS", 0.05)
    with cores.busy(), cores.busy():
        assert not caplog.records
        with cores.alone():
            assert "going on beside others" in caplog.text


def test_an_interruption_while_waiting_gives_everything_back() -> None:
    def tick() -> None:
        raise InterruptedError

    with cores.held(2), pytest.raises(InterruptedError), cores.held(2, tick=tick):
        pass
    with cores.held() as everything:
        assert everything == [0, 2, 5]


@pytest.mark.parametrize("count", [None, 2])
def test_many_who_ask_at_once_all_get_their_turn(count: int | None) -> None:
    inside, most, turns = [0], [0], []

    def ask() -> None:
        with cores.held(count) as mine:
            inside[0] += len(mine)
            most[0] = max(most[0], inside[0])
            turns.append(mine)
            inside[0] -= len(mine)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(turns) == 12
    assert most[0] <= 3
