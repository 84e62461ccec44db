"""bench.harness and bench.worker: processes that take turns, and the watch on the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bench.errors import PeerFailed
from bench.harness import TUNED_MALLOC, Peer, Slice, busy_seconds, child_environment, foreign_share

STAT = """cpu  900 0 0 0 0 0 0 0 0 0
cpu0 100 20 30 5000 700 4 5 6 50 0
cpu1 200 0 0 5000 0 0 0 0 0 0
cpu10 999 0 0 0 0 0 0 0 0 0
intr 12345
"""


def peer(function: str, logs: Path, **options: object) -> Peer:
    return Peer("toy", f"tests.bench.toy:{function}", dict(options), logs)


def test_busy_time_is_of_the_named_cores_without_idle_and_waiting() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    assert busy_seconds(STAT, {0}) * tick == pytest.approx(100 + 20 + 30 + 4 + 5 + 6)  # guests are in user already
    assert busy_seconds(STAT, {0, 1}) * tick == pytest.approx(365)


def test_foreign_share_leaves_out_our_own_time() -> None:
    assert foreign_share(busy=1.5, own=1.0, seconds=1.0, cores=2) == pytest.approx(0.25)
    assert foreign_share(busy=0.99, own=1.0, seconds=1.0, cores=2) == 0.0  # ticks are coarser than rusage


@pytest.mark.parametrize(("foreign", "clean"), [(0.0, True), (0.079, True), (0.08, False), (0.5, False)])
def test_a_slice_counts_only_on_a_quiet_machine(foreign: float, clean: bool) -> None:
    assert Slice(1, 1.0, 1.0, foreign).clean is clean


def test_rivals_do_not_get_what_is_set_for_mindspore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    rival = child_environment({}, ours=False)
    assert "ONEDNN_MAX_CPU_ISA" not in rival
    assert "MALLOC_TOP_PAD_" not in rival
    assert rival["OMP_NUM_THREADS"] == "2"
    assert child_environment(TUNED_MALLOC, ours=False)["MALLOC_TOP_PAD_"] == str(256 * 2**20)
    assert child_environment({}, ours=True)["ONEDNN_MAX_CPU_ISA"] == "AVX2"


def test_a_turn_times_steps_only_and_lasts_long_enough(tmp_path: Path) -> None:
    with peer("counting", tmp_path, label="printed") as toy:
        assert toy.facts["label"] == "printed"
        assert toy.facts["isa"]  # set by the library for MindSpore
        by_time, by_count = toy.slice(0.05), toy.slice(0.0, steps=4)
    assert 2 <= by_time.steps <= 5
    assert by_time.wall >= 0.05
    assert by_count.steps == 4
    assert by_count.per_step("wall") < 0.045  # without the 50 ms before each step
    assert "printed" in (tmp_path / "toy.log").read_text()


def test_cpu_time_is_told_from_waiting_and_one_core_is_one_core(tmp_path: Path) -> None:
    toy = peer("burning", tmp_path, seconds=0.05)
    toy.one_core = True
    with toy:
        turn = toy.slice(0.0, steps=2)
    assert turn.per_step("cpu") == pytest.approx(0.05, abs=0.02)
    with peer("counting", tmp_path, label="x") as waiting:
        assert waiting.slice(0.0, steps=2).cpu < 0.01


def test_cpu_time_of_running_helpers_is_the_contestants_own(tmp_path: Path) -> None:
    with peer("employing", tmp_path, seconds=0.2) as employer:
        turn = employer.slice(0.0, steps=2)
    assert turn.per_step("cpu") == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(
    ("function", "words"), [("failing_to_start", "no such kernel"), ("failing_later", "step went wrong")]
)
def test_a_broken_contestant_says_its_last_words(function: str, words: str, tmp_path: Path) -> None:
    toy = peer(function, tmp_path)
    with pytest.raises(PeerFailed, match=f"toy: .*{words}"), toy:
        toy.slice(0.1)
    assert toy._process is None
