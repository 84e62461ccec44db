from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from actionbook.core.files import temporary_prefix
from actionbook.inference import AisBenchEngine, InferenceError, read_results, run_batches, runner


def expected_logits(clips) -> np.ndarray:
    return np.array([[clip.sum(), clip[0].sum()] for _, clip in clips], np.float32)


def test_results_come_back_in_order_without_padding(clips, batches, sum_engine, tmp_path):
    folder = run_batches(sum_engine(), batches, tmp_path / "out", progress=False)
    ids, logits = read_results(folder, batches)
    assert ids == [name for name, _ in clips]
    np.testing.assert_allclose(logits, expected_logits(clips), rtol=1e-4, atol=1e-4)
    assert (folder / "2_0.bin").stat().st_size == 3 * 2 * 4  # padding rows are on disk, as ais_bench writes them


def test_numbers_decide_not_the_order_of_names(batches, sum_engine, clips, tmp_path):
    from actionbook.inference import write_batches

    many = [(f"v{i}", clips[i % 7][1] + i) for i in range(12)]  # 10_0.bin sorts before 2_0.bin
    ones = write_batches(many, tmp_path / "ones", batch_size=1, spec=(3, 2, 4, 5), progress=False)
    ids, logits = read_results(run_batches(sum_engine(), ones, tmp_path / "out", progress=False), ones)
    assert ids == [name for name, _ in many]
    np.testing.assert_allclose(logits, expected_logits(many), rtol=1e-4, atol=1e-3)


def test_an_interrupted_run_goes_on_and_ends_the_same(batches, sum_engine, tmp_path, capsys):
    whole = read_results(run_batches(sum_engine(), batches, tmp_path / "whole", progress=False), batches)[1]
    with pytest.raises(KeyboardInterrupt):
        run_batches(sum_engine(fail_at=2), batches, tmp_path / "out", progress=False)
    assert not capsys.readouterr().err
    again = sum_engine()
    run_batches(again, batches, tmp_path / "out")
    drawn = capsys.readouterr().err
    assert " 6/7 [" in drawn  # what was there before
    assert " 7/7 [" in drawn
    assert again.runs == 1
    np.testing.assert_array_equal(read_results(tmp_path / "out", batches)[1], whole)
    run_batches(again, batches, tmp_path / "out")
    assert (again.runs, capsys.readouterr().err) == (1, "")


@pytest.mark.parametrize("count", [2, 5])
def test_several_processes_make_what_one_makes(count, batches, sum_engine, tmp_path):
    whole = read_results(run_batches(sum_engine(), batches, tmp_path / "whole", progress=False), batches)[1]
    runs = []
    for rank in reversed(range(count)):
        engine = sum_engine()
        run_batches(engine, batches, tmp_path / "out", rank=rank, count=count, progress=False)
        runs.append(engine.runs)
    assert runs[::-1] == ([2, 1] if count == 2 else [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(read_results(tmp_path / "out", batches)[1], whole)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["sweep_temporary", "_result_files", "_read_record", "write_json_atomic"])
@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_begin_at_once_leave_each_others_results(
    *, rank, step, after, batches, sum_engine, tmp_path, monkeypatch
):
    """On an empty folder, one makes its whole share before or after a step of the other's beginning."""
    engines, real = (sum_engine(), sum_engine()), getattr(runner, step)

    def run(number):
        run_batches(engines[number], batches, tmp_path, rank=number, count=2, progress=False)

    def interrupted(*given):
        monkeypatch.setattr(runner, step, real)
        if not after:
            run(1 - rank)
        result = real(*given)
        if after:
            run(1 - rank)
        return result

    tmp_path /= "out"
    monkeypatch.setattr(runner, step, interrupted)
    run(rank)
    assert [engine.runs for engine in engines] == [2, 1]
    assert len(read_results(tmp_path, batches)[0]) == 7


def test_processes_that_share_a_folder_remove_nothing_of_others(batches, sum_engine, tmp_path):
    folder = run_batches(sum_engine(), batches, tmp_path / "out", progress=False)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    other = sum_engine()
    other.sha256 = "1" * 64
    with pytest.raises(InferenceError, match="of another model"):
        run_batches(other, batches, folder, rank=1, count=2, progress=False)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_tool_runs_in_one_process(batches, om, tmp_path):
    engine = AisBenchEngine(om(3), batch_size=3, spec=batches.spec)
    with pytest.raises(InferenceError, match="in one process"):
        run_batches(engine, batches, tmp_path / "out", rank=1, count=2)
    assert not (tmp_path / "out").exists()


def test_a_cut_result_is_run_again(batches, sum_engine, tmp_path):
    folder = run_batches(sum_engine(), batches, tmp_path / "out", progress=False)
    whole = read_results(folder, batches)[1]
    (folder / "1_0.bin").write_bytes(bytes(8))
    again = sum_engine()
    run_batches(again, batches, folder, progress=False)
    assert again.runs == 1
    for path in folder.glob("*_0.bin"):  # all alike: the batches say what is right
        path.write_bytes(path.read_bytes()[:12])
    run_batches(again, replace(batches, spec=batches.spec.with_output((2,))), folder, progress=False)
    assert again.runs == 4
    np.testing.assert_array_equal(read_results(folder, batches)[1], whole)


def test_results_of_another_model_are_not_kept(batches, sum_engine, tmp_path):
    folder = run_batches(sum_engine(), batches, tmp_path / "out", progress=False)
    other = sum_engine()
    other.sha256 = "1" * 64
    run_batches(other, batches, folder, progress=False)
    assert other.runs == 3


def test_an_engine_for_smaller_batches_is_refused(batches, sum_engine, tmp_path):
    with pytest.raises(InferenceError, match="takes batches of 2 clips"):
        run_batches(sum_engine(batch_size=2), batches, tmp_path / "out", progress=False)


@pytest.mark.parametrize("pattern", ["{}_0.bin", "{}_output_0.bin"])
def test_folders_of_the_ascend_tools_are_read(batches, tmp_path, pattern):
    for k in range(3):
        np.full((3, 4), k, np.float32).tofile(tmp_path / pattern.format(k))
    (tmp_path / "sumary.json").write_text("{}")  # old ais_bench leaves this among the results
    _, logits = read_results(tmp_path, replace(batches, spec=batches.spec.with_output((4,))))
    np.testing.assert_array_equal(logits[:, 0], [0, 0, 0, 1, 1, 1, 2])


def cut(folder):
    (folder / "1_0.bin").write_bytes(bytes(20))


def remove(folder):
    (folder / "1_0.bin").unlink()


def add(folder):
    (folder / "3_0.bin").write_bytes(bytes(24))


def halve(folder):
    for path in folder.glob("*_0.bin"):
        np.fromfile(path, "<f4").astype("<f2").tofile(path)


def widen(folder):
    for path in folder.glob("*_0.bin"):
        np.fromfile(path, "<f4").astype("<f8").tofile(path)


def double(folder):
    (folder / "1_output_0.bin").write_bytes(bytes(24))


def misname(folder):
    (folder / "logits.bin").write_bytes(bytes(24))


def poison(folder):
    np.full((3, 2), np.nan, np.float32).tofile(folder / "1_0.bin")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "1_0.bin: 20 bytes, expected 24"),
        (remove, "1_0.bin is missing"),
        (add, "3_0.bin: there are only 3 batches"),
        (double, "batch 1 has a result already"),
        (misname, "logits.bin: expected names like"),
        (poison, "1_0.bin: values that are not finite"),
    ],
)
def test_damage_is_named(batches, sum_engine, tmp_path, damage, message):
    folder = run_batches(sum_engine(), batches, tmp_path / "out", progress=False)
    damage(folder)
    with pytest.raises(InferenceError, match=message):
        read_results(folder, batches)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(halve, r"0_0\.bin: 12 bytes, expected 24.*float16\?"), (widen, r"0_0\.bin: 48 bytes, expected 24.*float64")],
)
def test_other_types_are_named(batches, sum_engine, tmp_path, damage, message):
    folder = run_batches(sum_engine(), batches, tmp_path / "out", progress=False)
    damage(folder)
    with pytest.raises(InferenceError, match=message):
        read_results(folder, replace(batches, spec=batches.spec.with_output((2,))))


def test_half_numbers_are_named_without_the_class_count(batches, tmp_path):
    for k in range(3):
        np.ones((3, 5), np.float16).tofile(tmp_path / f"{k}_0.bin")  # 15 numbers: no whole float32 for each clip
    with pytest.raises(InferenceError, match=r"30 bytes.*float16\? Compile the OM with --output_type=FP32"):
        read_results(tmp_path, batches)


def test_text_results_are_named(batches, tmp_path):
    (tmp_path / "0_0.txt").write_text("1.0 2.0\n")
    with pytest.raises(InferenceError, match=r"not 0_0\.txt: run the tool with the output format BIN"):
        read_results(tmp_path, batches)


def test_results_that_no_run_has_written_are_left_alone(batches, sum_engine, tmp_path):
    (tmp_path / "1_0.bin").write_bytes(bytes(24))
    with pytest.raises(InferenceError, match=r"not written here.*1_0\.bin"):
        run_batches(sum_engine(), batches, tmp_path, progress=False)
    (tmp_path / "1_0.bin").rename(tmp_path / "weights.bin")
    with pytest.raises(InferenceError, match=r"weights\.bin: expected names like"):
        run_batches(sum_engine(), batches, tmp_path, progress=False)
    assert (tmp_path / "weights.bin").stat().st_size == 24


def test_what_a_killed_writer_left_is_no_result(batches, sum_engine, tmp_path):
    folder = run_batches(sum_engine(), batches, tmp_path / "out", progress=False)
    (folder / ".tmp-77-abc.bin").write_bytes(b"half")  # perhaps of a writer on another machine
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = folder / f"{temporary_prefix().replace(str(os.getpid()), dead.stdout.decode().strip(), 1)}0.bin"
    left.write_bytes(b"half")
    again = sum_engine()
    run_batches(again, batches, folder, progress=False)
    assert again.runs == 0
    assert not left.exists()
    assert len(read_results(folder, batches)[0]) == 7


def test_results_for_other_classes_and_empty_folders_are_refused(batches, sum_engine, tmp_path):
    folder = run_batches(sum_engine(), batches, tmp_path / "out", progress=False)
    with pytest.raises(InferenceError, match="24 bytes, expected 1212"):
        read_results(folder, replace(batches, spec=batches.spec.with_output((101,))))
    with pytest.raises(InferenceError, match="no results"):
        read_results(tmp_path / "nothing", batches)
