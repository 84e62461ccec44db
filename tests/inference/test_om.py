from __future__ import annotations

import json
import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actionbook.core.process import ProgramError
from actionbook.core.spec import SpecError
from actionbook.inference import (
    AisBenchEngine,
    Engine,
    FolderEngine,
    InferenceError,
    MsameEngine,
    ais_bench_command,
    msame_command,
    msit_command,
    open_engine,
    read_results,
    read_summary,
    run_batches,
    runner,
    write_batches,
)

SHAPE = (3, 2, 4, 5)
CLIPS = np.random.default_rng(1).standard_normal((12, *SHAPE), dtype=np.float32)
SUMS = np.stack([CLIPS.sum(axis=(1, 2, 3, 4)), CLIPS[:, 0].sum(axis=(1, 2, 3))], axis=1)
KINDS = (AisBenchEngine, MsameEngine)

pytestmark = pytest.mark.usefixtures("tools")


def batches_of(size, tmp_path, clips=CLIPS):
    pairs = [(f"v{i}", clip) for i, clip in enumerate(clips)]
    return write_batches(pairs, tmp_path / f"batches, {size}", batch_size=size, spec=SHAPE, progress=False)


def results(engine, batches, folder):
    return read_results(run_batches(engine, batches, folder, progress=False), batches)


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_keep_their_order_and_the_last_is_masked(kind, size, om, tmp_path):
    """10.bin sorts before 2.bin for msame and after it for ais_bench; both must end up the same."""
    engine = kind(om(size), batch_size=size, spec=SHAPE)
    assert isinstance(engine, Engine)
    assert isinstance(engine, FolderEngine)
    ids, logits = results(engine, batches_of(size, tmp_path), tmp_path / "out")
    assert ids == [f"v{i}" for i in range(12)]
    np.testing.assert_allclose(logits, SUMS, atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".bin") == sorted(
        ["console.log", "results.json", *(["summary.json"] if kind is AisBenchEngine else [])]
    )


@pytest.mark.parametrize(("files", "om_batch"), [(1, 5), (1, 16), (2, 4), (4, 16)])
def test_ais_bench_combines_small_files(files, om_batch, om, tmp_path):
    """The last group is not full, and its filling must not show up as a result."""
    engine = AisBenchEngine(om(om_batch), batch_size=om_batch, spec=SHAPE)
    batches = batches_of(files, tmp_path)
    _, logits = results(engine, batches, tmp_path / "out")
    np.testing.assert_allclose(logits, SUMS, atol=1e-4)
    assert len(list((tmp_path / "out").glob("*_0.bin"))) == len(batches)
    assert engine.throughput().runs == -(-12 // om_batch)


@pytest.mark.parametrize(
    ("kind", "files", "message"),
    [
        (AisBenchEngine, 3, "4 is no multiple of 3"),
        (AisBenchEngine, 8, "4 is no multiple of 8"),
        (MsameEngine, 2, "msame does not combine"),
    ],
)
def test_files_that_do_not_fit_are_refused_before_the_tool_starts(kind, files, message, om, tmp_path):
    with pytest.raises(InferenceError, match=message):
        run_batches(kind(om(4), batch_size=4, spec=SHAPE), batches_of(files, tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_batch_is_padded_and_cut(kind, om):
    engine = kind(om(4), batch_size=4, spec=SHAPE)
    for size in (1, 4):
        np.testing.assert_allclose(engine.run(CLIPS[:size]), SUMS[:size], atol=1e-4)
    with pytest.raises(SpecError, match="at most 4"):
        engine.run(CLIPS[:5])
    with pytest.raises(SpecError, match="expected float32"):
        engine.run(CLIPS[:4].astype(np.float64))


@pytest.mark.parametrize("old", [False, True])
def test_ais_bench_summaries_of_both_kinds_are_read_and_kept(old, om, tmp_path):
    engine = AisBenchEngine(om(4, old=old), batch_size=4, spec=SHAPE)
    with pytest.raises(InferenceError, match="nothing has been run"):
        engine.throughput()
    results(engine, batches_of(4, tmp_path), tmp_path / "out")
    measured = engine.throughput()
    assert (measured.batch, measured.runs, measured.ms_per_batch) == (4, 3, 3.0)  # 2, 3 and 4 ms
    assert measured.clips_per_second == pytest.approx(4000 / 3)
    assert "NPU only" in measured.inside
    summary = read_summary(tmp_path / "out")
    assert (summary.compute_ms, summary.batch) == ((2.0, 3.0, 4.0), 4)
    assert not (tmp_path / "out" / "sumary.json").exists()


def test_msame_times_leave_out_the_first(om, tmp_path):
    engine = MsameEngine(om(4), batch_size=4, spec=SHAPE)
    results(engine, batches_of(4, tmp_path), tmp_path / "out")
    measured = engine.throughput()
    assert (measured.runs, measured.ms_per_batch, measured.first_ms) == (2, 3.5, 2.0)
    assert measured.clips_per_second == pytest.approx(4000 / 3.5)
    assert read_summary(tmp_path / "out").compute_ms == (2.0, 3.0, 4.0)


def test_a_wrong_batch_size_shows_in_the_throughput(om, tmp_path):
    engine = AisBenchEngine(om(8), batch_size=4, spec=SHAPE)
    results(engine, batches_of(4, tmp_path), tmp_path / "out")
    with pytest.raises(InferenceError, match="counts 8 clips in an inference, the engine was told 4"):
        engine.throughput()


@pytest.fixture
def made_as_needed(tmp_path):
    """Batches of one clip whose files are not on disk, and the numbers of those that were made."""
    kept, made = batches_of(1, tmp_path), []

    def again(numbers):
        for number in numbers:
            made.append(number)
            yield {"image": CLIPS[number : number + 1]}

    pairs = [(f"v{i}", clip) for i, clip in enumerate(CLIPS)]
    bare = write_batches(pairs, tmp_path / "bare", batch_size=1, spec=SHAPE, keep=False, progress=False)
    assert bare.sha256 == kept.sha256
    return replace(bare, again=again), made


@pytest.mark.parametrize("files", [1, 5, 12, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_not_on_disk_are_given_a_few_at_a_time(*, kind, files, om, made_as_needed, tmp_path, monkeypatch):
    batches, made = made_as_needed
    monkeypatch.setattr(runner, "_AT_ONCE", files * batches.bytes() + 1)
    engine = kind(om(1), batch_size=1, spec=SHAPE)
    ids, logits = results(engine, batches, tmp_path / "out")
    assert (ids, made) == ([f"v{i}" for i in range(12)], list(range(12)))
    np.testing.assert_allclose(logits, SUMS, atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "bare").rglob("*")) == ["batches.info", "batches.json"]
    last = 12 % min(files, 12) or min(files, 12)  # of the last call
    assert len(read_summary(tmp_path / "out").compute_ms) == last
    run_batches(engine, batches, tmp_path / "out", progress=False)
    assert len(made) == 12  # nothing is made where all is there


def test_what_is_interrupted_between_calls_is_carried_on(om, made_as_needed, tmp_path, monkeypatch):
    """While the files of the second call are being made; the results of the first stay."""
    batches, made = made_as_needed
    monkeypatch.setattr(runner, "_AT_ONCE", 5 * batches.bytes())
    engine, out = AisBenchEngine(om(1), batch_size=1, spec=SHAPE), tmp_path / "out"

    def interrupted(numbers):
        yield from batches.again([number for number in numbers if number < 7])
        if 7 in numbers:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batches(engine, replace(batches, again=interrupted), out, progress=False)
    assert (made, len(list(out.glob("*_0.bin")))) == (list(range(7)), 5)
    assert not list(out.glob(".tmp-*"))
    made.clear()
    _, logits = results(engine, batches, out)
    np.testing.assert_allclose(logits, SUMS, atol=1e-4)
    assert made == list(range(5, 12))


def test_a_tool_runs_all_batches_in_one_process(om, made_as_needed, tmp_path):
    engine = AisBenchEngine(om(1), batch_size=1, spec=SHAPE)
    with pytest.raises(InferenceError, match="in one process, not in 2"):
        run_batches(engine, made_as_needed[0], tmp_path / "out", count=2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_that_is_killed_is_carried_on(kind, om, tmp_path):
    batches = batches_of(1, tmp_path)
    path = om(1, die_after=7)
    with pytest.raises(InferenceError, match=r"(?s)7 of 12 batches have results|8 of 12.*it was killed"):
        run_batches(kind(path, batch_size=1, spec=SHAPE), batches, tmp_path / "out", progress=False)
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*_0.bin")}
    assert len(kept) == 7  # the eighth was cut off
    assert not list((tmp_path / "out").glob(".tmp-*"))
    path.write_text(path.read_text().replace('"die_after": 7', '"die_after": -1'))
    engine = kind(path, batch_size=1, spec=SHAPE)
    record = tmp_path / "out" / "results.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "model_sha256": engine.sha256}))
    _, logits = results(engine, batches, tmp_path / "out")
    np.testing.assert_allclose(logits, SUMS, atol=1e-4)
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in kept} == kept
    assert engine.throughput().runs == 5 - (kind is MsameEngine)


def test_an_interrupt_ends_the_tool_and_keeps_what_is_whole(om, tmp_path, monkeypatch):
    engine = AisBenchEngine(om(1, sleep=0.05), batch_size=1, spec=SHAPE)
    found = AisBenchEngine._found

    def interrupted(self, work):
        results = found(self, work)
        if len(results) >= 3 and not seen:
            seen.append(len(results))
            raise KeyboardInterrupt
        return results

    seen: list[int] = []
    monkeypatch.setattr(AisBenchEngine, "_found", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_batches(engine, batches_of(1, tmp_path), tmp_path / "out")
    kept = len(list((tmp_path / "out").glob("*_0.bin")))
    assert seen[0] - 1 <= kept < 12
    time.sleep(0.15)  # three results' time, had the tool gone on
    assert not list((tmp_path / "out").glob(".tmp-*"))
    assert len(list((tmp_path / "out").glob("*_0.bin"))) == kept


def test_a_first_result_that_is_cut_off_is_not_kept(om, tmp_path):
    engine = AisBenchEngine(om(1, die_after=0), batch_size=1, spec=SHAPE)
    with pytest.raises(InferenceError, match="it was killed"):
        run_batches(engine, batches_of(1, tmp_path), tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").glob("*_0.bin"))


def test_this_process_killed_is_carried_on_too(om, tmp_path):
    """SIGKILL leaves the folder that the tool worked in; what is whole there is taken over, of the same model only."""
    engine, batches, out = (
        AisBenchEngine(om(1), batch_size=1, spec=SHAPE),
        batches_of(1, tmp_path),
        tmp_path / "o",
    )

    def stop_after(six):
        run_batches(six, batches, out, progress=False)
        left = out / ".tmp-run-x" / "out" / "logits"
        left.mkdir(parents=True)
        (out / ".tmp-run-x" / "in" / "image").mkdir(parents=True)
        for number in range(12):
            (out / ".tmp-run-x" / "in" / "image" / f"{number}.bin").hardlink_to(batches.path(number))
        for number in range(6):
            os.utime((out / f"{number}_0.bin").rename(left / f"{number}_0.bin"), ns=(number, number))
        (left / "5_0.bin").write_bytes(b"cut")
        for path in out.glob("*_0.bin"):
            path.unlink()
        (out / ".tmp-77-x.bin").write_bytes(b"left by a writer that was killed")

    stop_after(engine)
    _, logits = results(engine, batches, out)
    np.testing.assert_allclose(logits, SUMS, atol=1e-4)
    assert engine.throughput().runs == 12 - 5
    assert not list(out.glob(".tmp-run-*"))
    stop_after(engine)
    other = AisBenchEngine(om(1, fail="device"), batch_size=1, spec=SHAPE)
    with pytest.raises(InferenceError, match="0 of 12"):
        run_batches(other, batches, out, progress=False)
    assert not list(out.glob("*_0.bin"))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_run_where_all_is_there(kind, om, tmp_path):
    batches = batches_of(4, tmp_path)
    run_batches(kind(om(4), batch_size=4, spec=SHAPE), batches, tmp_path / "out", progress=False)
    engine = kind(om(4), batch_size=4, spec=SHAPE)
    run_batches(engine, batches, tmp_path / "out", progress=False)
    with pytest.raises(InferenceError, match="nothing has been run"):
        engine.throughput()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (AisBenchEngine, {"fail": "device"}, r"exit status 1: the card cannot be opened.*HwHiAiUser"),
        (MsameEngine, {"fail": "device"}, r"exit status 1: the card cannot be opened.*HwHiAiUser"),
        (AisBenchEngine, {"fail": "memory"}, r"exit status 1: the card's memory is full \(.*EL0004.*npu-smi info"),
        (MsameEngine, {"fail": "memory"}, r"missing: the card's memory is full \(.*malloc device buffer failed.*lower"),
        (AisBenchEngine, {"fail": "load"}, r"another chip \(atc --soc_version\)"),
        (AisBenchEngine, {"batch": 6}, r"input takes 2880 bytes.*has 1920.*stated here make 1920.*--input_shape"),
        (AisBenchEngine, {"skip": [1]}, r"2 of 3 batches have results, 1\.bin has none; exit status 0, but"),
        (MsameEngine, {"skip": [1]}, r"1\.bin has none; exit status 0.*the card refused a batch"),
        (MsameEngine, {"batch": 6}, r"0 of 3 .*the card refused a batch"),
        (AisBenchEngine, {"exit": True}, r"3 of 3 batches have results; exit status 1: cause not known.*aclrtDestroy"),
        (AisBenchEngine, {"outputs": 2}, r"wrote 0_1\.bin as well; expected one output"),
    ],
)
def test_failures_are_explained(kind, options, message, om, tmp_path):
    engine = kind(om(**{"batch": 4, **options}), batch_size=4, spec=SHAPE)
    with pytest.raises(InferenceError, match=f"(?s){message}") as error:
        run_batches(engine, batches_of(4, tmp_path), tmp_path / "out", progress=False)
    assert "net.om" in str(error.value)
    assert options != {"fail": "memory"} or "another chip" not in str(error.value)
    assert "outputs" not in options or not list((tmp_path / "out").glob("*.bin"))  # of the wrong kind: not kept


def test_float16_results_are_recognised(om, tmp_path):
    half = AisBenchEngine(om(4, float16=True), batch_size=4, spec=SHAPE)
    batches = batches_of(4, tmp_path)
    folder = run_batches(half, batches, tmp_path / "out", progress=False)
    with pytest.raises(
        InferenceError, match=r"16 bytes, expected 32.*float16\? Compile the OM with --output_type=FP32"
    ):
        read_results(folder, replace(batches, spec=batches.spec.with_output((2,))))
    odd = AisBenchEngine(om(1, float16=True, classes=1), batch_size=1, spec=SHAPE)
    with pytest.raises(InferenceError, match=r"wrote 2 bytes for 0\.bin, expected a multiple of 4.*float16\?"):
        run_batches(odd, batches_of(1, tmp_path), tmp_path / "odd", progress=False)
    assert not list((tmp_path / "odd").glob("*.bin"))


def test_results_of_another_model_are_replaced_those_of_nobody_are_left(om, tmp_path):
    batches = batches_of(4, tmp_path)
    run_batches(AisBenchEngine(om(4), batch_size=4, spec=SHAPE), batches, tmp_path / "out", progress=False)
    other = AisBenchEngine(om(4, ms=9.0), batch_size=4, spec=SHAPE)
    run_batches(other, batches, tmp_path / "out", progress=False)
    assert other.throughput().runs == 3
    (tmp_path / "out" / "results.json").unlink()
    with pytest.raises(InferenceError, match="not written here"):
        run_batches(other, batches, tmp_path / "out", progress=False)
    assert len(list((tmp_path / "out").glob("*_0.bin"))) == 3


def test_batches_are_linked_not_copied_and_stay(om, tmp_path):
    batches = batches_of(4, tmp_path)
    before = {path: path.read_bytes() for path in batches.folder.rglob("*") if path.is_file()}
    run_batches(MsameEngine(om(4), batch_size=4, spec=SHAPE), batches, tmp_path / "out", progress=False)
    assert {path: path.read_bytes() for path in batches.folder.rglob("*") if path.is_file()} == before


def test_missing_tools_are_named(om, tools, tmp_path):
    batches = batches_of(4, tmp_path)
    (tools / "msame").unlink()
    with pytest.raises(ProgramError, match="msame: no such program"):
        run_batches(MsameEngine(om(4), batch_size=4, spec=SHAPE), batches, tmp_path / "out", progress=False)


def test_a_python_without_ais_bench_is_named(om, monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHONPATH")
    engine = AisBenchEngine(om(4), batch_size=4, spec=SHAPE, python=sys.executable)
    with pytest.raises(InferenceError, match=r"(?s)install the two wheels.*No module named"):
        run_batches(engine, batches_of(4, tmp_path), tmp_path / "out", progress=False)


def test_open_engine_takes_the_tool_that_is_there(om, tools, monkeypatch):
    path = om(4)
    with pytest.raises(InferenceError, match=r"what it was compiled for.*batch_size="):
        open_engine(path)
    engine = open_engine(path, batch_size=4, spec=SHAPE, device=3)
    assert isinstance(engine, AisBenchEngine)
    assert engine.device == 3
    monkeypatch.delenv("PYTHONPATH")
    assert isinstance(open_engine(path, batch_size=4, spec=SHAPE), MsameEngine)
    (tools / "msame").unlink()
    with pytest.raises(InferenceError, match="neither") as error:
        open_engine(path, batch_size=4, spec=SHAPE)
    command = str(error.value).split("There:\n")[1].split("\nThen read")[0].replace("\\\n", "")
    assert shlex.split(command, comments=True)[:6] == ["cd", str(path.parent), "&&", "python3", "-m", "ais_bench"]
    assert "--model=net.om" in shlex.split(command, comments=True)


def test_another_program_of_the_name_is_not_taken_for_ais_bench(om, tmp_path, monkeypatch):
    """AISBench, which evaluates language models, is a package of that name, too."""
    (tmp_path / "other" / "ais_bench" / "benchmark").mkdir(parents=True)
    for folder in ("ais_bench", "ais_bench/benchmark"):
        (tmp_path / "other" / folder / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    assert isinstance(open_engine(om(4), batch_size=4, spec=SHAPE), MsameEngine)


def test_the_device_reaches_the_tool(om):
    for kind in KINDS:
        with pytest.raises(InferenceError, match="HwHiAiUser"):
            kind(om(4), batch_size=4, spec=SHAPE, device=8).run(CLIPS[:4])


@pytest.mark.parametrize("name", ["net.om", "网络 (1).om"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_folder_will_do(kind, name, om, tmp_path):
    """The stand-ins refuse what the tools refuse: other signs in an absolute path, a model that is a symbolic link."""
    folder = tmp_path / "ein Ordner 书 + @ = (1), $x"
    folder.mkdir()
    path = om(4).rename(folder / name)
    engine = kind(path, batch_size=4, spec=SHAPE)
    _, logits = results(engine, batches_of(4, folder), folder / "out")
    np.testing.assert_allclose(logits, SUMS, atol=1e-4)
    np.testing.assert_allclose(engine.run(CLIPS[:3]), SUMS[:3], atol=1e-4)
    assert not list((folder / "out").glob(".tmp-*"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_om_of_several_batch_sizes_runs_at_one_of_them(kind, om, tmp_path):
    path = om(99, batches=[1, 4])
    engine = open_engine(path, batch_size=4, spec=SHAPE, dynamic_batch=True)
    assert isinstance(engine, AisBenchEngine)
    engine = kind(path, batch_size=4, spec=SHAPE, dynamic_batch=True)
    _, logits = results(engine, batches_of(4, tmp_path), tmp_path / "out")
    np.testing.assert_allclose(logits, SUMS, atol=1e-4)
    assert engine.throughput().batch == 4
    with pytest.raises(InferenceError, match="batch 2 is none that the model takes"):
        kind(path, batch_size=2, spec=SHAPE, dynamic_batch=True).run(CLIPS[:2])


def test_relative_paths_are_of_the_callers_folder(om, tools, tmp_path, monkeypatch):
    path = om(4)
    monkeypatch.chdir(tmp_path)
    engine = AisBenchEngine(path.relative_to(tmp_path), batch_size=4, spec=SHAPE, python=f"{tools.name}/python3")
    monkeypatch.chdir(tools.parent)
    np.testing.assert_allclose(engine.run(CLIPS[:4]), SUMS[:4], atol=1e-4)


@pytest.mark.parametrize(("batch_size", "shape"), [(0, SHAPE), (4, ()), (4, (3, 0, 4, 5))])
def test_impossible_shapes_are_refused(om, batch_size, shape):
    with pytest.raises((InferenceError, SpecError), match="1 or more"):
        AisBenchEngine(om(4), batch_size=batch_size, spec=shape)


def test_a_missing_om_is_named():
    with pytest.raises(InferenceError, match=r"absent\.om does not exist"):
        MsameEngine(Path("absent.om"), batch_size=1, spec=SHAPE)


def test_commands():
    ais = ["python3", "-m", "ais_bench", "--model=net.om", "--input=in", "--output=out", "--output_dirname=logits"]
    assert ais_bench_command("net.om", "in", "out") == [*ais, "--outfmt=BIN"]
    assert ais_bench_command("net.om", "in", "out", device=2, python="py")[-1] == "--device=2"
    assert ais_bench_command("net.om", "in", "out", dynamic_batch=4)[-1] == "--dymBatch=4"
    msame = "msame --model net.om --input in --output out --outfmt BIN"
    assert " ".join(msame_command("net.om", "in", "out")) == msame
    assert " ".join(msame_command("net.om", "in", "out", device=1)) == f"{msame} --device 1"
    assert " ".join(msame_command("net.om", "in", "out", dynamic_batch=4)) == f"{msame} --dymBatch 4"
    msit = "msit benchmark --om-model net.om --input in --output out --output-dirname logits --outfmt BIN --device 0"
    assert " ".join(msit_command("net.om", "in", "out", device=0)) == msit
    assert msit_command("net.om", "in", "out", dynamic_batch=4)[-2:] == ["--dym-batch", "4"]
