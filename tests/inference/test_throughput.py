from __future__ import annotations

import logging
import mmap

import numpy as np
import pytest

from actionbook.inference import (
    AisBenchEngine,
    InferenceError,
    MsameEngine,
    measure,
    measure_sizes,
    throughput,
    throughput_table,
)
from actionbook.inference.throughput import peak_rss_mib, resident_mib

SHAPE = (3, 2, 4, 5)


def test_figures_are_consistent(sum_engine):
    engine = sum_engine()
    result = measure(engine, 2, SHAPE, warmup=2, warm_seconds=0, repeats=7, progress=False)
    assert (result.runs, engine.runs) == (7, 9)
    assert 0 < result.lower_quartile <= result.clips_per_second <= result.upper_quartile
    assert result.clips_per_second == pytest.approx(2 * 1e3 / result.ms_per_batch, rel=1e-6)
    assert result.peak_rss_mib > 50
    assert 0 <= result.growth_rss_mib < result.peak_rss_mib
    assert measure(sum_engine(), 2, SHAPE, warm_seconds=0, repeats=9, seconds=0, progress=False).runs == 3


class Waking:
    """Slow in its first runs, as a process is whose memory is not there yet; knows the time that it has taken."""

    name, batch_size, sha256 = "waking", None, "0" * 64

    def __init__(self, monkeypatch):
        self.now, self.runs = 0.0, 0
        monkeypatch.setattr(throughput.time, "perf_counter", lambda: self.now)

    def run(self, batch):
        self.runs += 1
        self.now += 0.001 if self.now > 0.4 else 0.1
        return np.zeros((len(batch["image"]), 2), np.float32)


def test_nothing_is_timed_before_an_engine_is_warm(monkeypatch):
    one = measure(Waking(monkeypatch), 2, SHAPE, warmup=1, warm_seconds=0, seconds=0.5, progress=False)
    assert (one.runs, one.first_ms) == (pytest.approx(103, abs=1), pytest.approx(100))
    assert one.lower_quartile == pytest.approx(2000)
    cold = measure(Waking(monkeypatch), 2, SHAPE, warmup=1, warm_seconds=0, repeats=4, progress=False)
    warm = measure(Waking(monkeypatch), 2, SHAPE, warmup=1, warm_seconds=0.5, repeats=4, progress=False)
    assert cold.clips_per_second == pytest.approx(20)
    assert warm.clips_per_second == pytest.approx(2000)
    assert warm.runs == cold.runs == 4


def test_speed_and_time_belong_together_where_runs_are_of_two_kinds(monkeypatch):
    """As on a machine that others use, too; a pack whose figures do not is refuted."""

    class Uneven(Waking):
        def run(self, batch):
            self.runs += 1
            self.now += 0.002 if self.runs % 2 else 0.004
            return np.zeros((len(batch["image"]), 2), np.float32)

    one = measure(Uneven(monkeypatch), 2, SHAPE, warmup=1, warm_seconds=0, repeats=4, progress=False)
    assert (one.runs, one.ms_per_batch) == (4, pytest.approx(3))
    assert one.clips_per_second == pytest.approx(2 * 1e3 / one.ms_per_batch)
    assert one.lower_quartile <= one.clips_per_second <= one.upper_quartile


def test_what_does_not_fit_is_refused(sum_engine):
    with pytest.raises(InferenceError, match="at most 4"):
        measure(sum_engine(batch_size=4), 8, SHAPE, progress=False)
    with pytest.raises(InferenceError, match="expected 1 or more"):
        measure(sum_engine(), 0, SHAPE, progress=False)


class Hoarder:
    """Keeps 8 MiB for each clip that it has not seen so many of before, and takes `spent` more while it runs."""

    name, batch_size, sha256 = "hoarder", None, "0" * 64

    def __init__(self, spent=0):
        self.kept, self.spent, self.peak = 0, spent, 100

    def run(self, batch):
        clips = len(batch["image"])
        self.kept = max(self.kept, clips)
        self.peak = max(self.peak, self.resident() + self.spent)
        return np.zeros((clips, 2), np.float32)

    def resident(self):
        return 90 + 8 * self.kept


@pytest.fixture
def hoarder(monkeypatch):
    """A maker of hoarders whose memory is the process's: what a real process keeps hangs on all that ran before."""

    def make(spent=0):
        engine = Hoarder(spent)
        monkeypatch.setattr(throughput, "resident_mib", engine.resident)
        monkeypatch.setattr(throughput, "peak_rss_mib", lambda: engine.peak)
        return engine

    return make


def test_growth_counts_what_an_engine_keeps(hoarder):
    small, large = measure_sizes(hoarder(), [8, 2], SHAPE, warmup=1, warm_seconds=0, repeats=3, progress=False)
    assert (small.batch, large.batch) == (2, 8)
    assert small.growth_rss_mib == 16
    assert large.growth_rss_mib == 64  # from before the smaller one, though only six are new


def test_growth_sees_a_new_peak_that_is_given_back(hoarder):
    one = measure(hoarder(spent=64), 2, SHAPE, warmup=1, warm_seconds=0, repeats=1, progress=False)
    assert one.growth_rss_mib == 16 + 64
    assert one.peak_rss_mib == 90 + 16 + 64


def test_an_old_peak_says_nothing_about_growth(hoarder):
    engine = hoarder(spent=64)
    engine.peak = 1000
    assert measure(engine, 2, SHAPE, warmup=1, warm_seconds=0, repeats=1, progress=False).growth_rss_mib == 16


def test_memory_of_this_process_is_read():
    before = resident_mib()
    fresh = mmap.mmap(-1, 2**26)  # pages that nobody had
    np.frombuffer(fresh, np.uint8)[:] = 1
    assert 50 < resident_mib() - before < 90
    assert peak_rss_mib() >= resident_mib() - 1


def test_sizes_above_the_engines_are_left_out_and_named(sum_engine, caplog):
    with caplog.at_level(logging.WARNING):
        measured = measure_sizes(
            sum_engine(batch_size=4), [1, 4, 8, 16], SHAPE, warm_seconds=0, repeats=3, progress=False
        )
    assert [one.batch for one in measured] == [1, 4]
    assert "sums takes at most 4 clips at once; not measured: 8, 16" in caplog.text


def test_the_table_goes_into_the_plot(sum_engine):
    from actionbook.results.pictures import throughput_plot

    measured = measure_sizes(sum_engine(), [1, 2], SHAPE, warm_seconds=0, repeats=3, progress=False)
    table = throughput_table(measured)
    assert list(table.batch) == [1, 2]
    assert list(table.columns[:7]) == ["engine", "batch", "inputs", "runs", "clips_per_second", "low", "high"]
    assert table.clips_per_second[1] == measured[1].clips_per_second
    assert len(throughput_plot(table).axes[0].patches) == 2
    assert list(throughput_table([]).columns) == list(table.columns)


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize(("kind", "runs", "mean"), [(AisBenchEngine, 5, 4.0), (MsameEngine, 4, 4.5)])
def test_an_om_is_timed_by_its_tool(kind, runs, mean, om):
    """5 batches of 2, 3, 4, 5 and 6 ms in one call; msame leaves out the first."""
    engine = kind(om(4), batch_size=4, spec=SHAPE)
    result = measure(engine, 4, SHAPE, repeats=5, progress=False)
    assert (result.runs, result.ms_per_batch) == (runs, mean)
    assert result.clips_per_second == pytest.approx(4000 / mean)
    assert "NPU only" in result.inside
    assert result.growth_rss_mib is None
    padded = measure(engine, 3, SHAPE, repeats=5, progress=False)
    assert (padded.batch, padded.clips_per_second) == (3, pytest.approx(3000 / mean))
    assert [one.batch for one in measure_sizes(engine, [4, 8], SHAPE, repeats=2, progress=False)] == [4]
