from __future__ import annotations

import json

import pytest

from actionbook.inference import InferenceError, parse_msame_console, read_summary

# As the tools' documents show them; the numbers of ais_bench are those of a published log of a batch of 64.
AIS = {
    "NPU_compute_time": {"min": 431.949, "max": 432.242, "mean": 432.0568511962891, "median": 432.048, "count": 3},
    "npu_compute_time_list": [431.949, 431.9795535888672, 432.242],
    "throughput": 148.1286544184991,
    "pid": 1,
}
MSAME = """[INFO] model execute success
Inference time: 105.383ms
[INFO] model execute success
Inference time: 105.5ms
Inference time: 1.05e+02ms
[INFO] output data success
Inference average time{space}: 105.294333 ms
Inference average time without first time: 105.250000 ms
[INFO] Execute sample success
"""


@pytest.mark.parametrize("place", ["r_summary.json", "r/sumary.json"])
def test_ais_bench(tmp_path, place):
    (tmp_path / "r").mkdir()
    (tmp_path / place).write_text(json.dumps(AIS))
    summary = read_summary(tmp_path / "r")
    assert (summary.tool, summary.batch) == ("ais_bench", 64)
    throughput = summary.throughput("OM", 64, (3, 16, 112, 112))
    assert throughput.clips_per_second == pytest.approx(AIS["throughput"], rel=1e-12)
    assert (throughput.runs, throughput.first_ms, throughput.peak_rss_mib) == (3, None, None)
    assert throughput.lower_quartile < throughput.clips_per_second < throughput.upper_quartile
    assert summary.throughput("OM", 32, (3, 16, 112, 112)).clips_per_second == pytest.approx(AIS["throughput"] / 2)


def test_the_folder_may_be_given_from_inside(tmp_path, monkeypatch):
    (tmp_path / "r").mkdir()
    (tmp_path / "r_summary.json").write_text(json.dumps(AIS))
    monkeypatch.chdir(tmp_path / "r")
    assert read_summary(".").batch == 64


@pytest.mark.parametrize("space", ["", " "])  # both are printed, for one file and for a folder
def test_msame(space):
    summary = parse_msame_console(MSAME.format(space=space))
    assert summary.compute_ms == (105.383, 105.5, 105.0)
    assert summary.mean_ms == 105.25
    throughput = summary.throughput("OM", 4, (3, 8, 8, 8))
    assert throughput.clips_per_second == pytest.approx(4000 / 105.25)
    assert (throughput.runs, throughput.first_ms) == (2, 105.383)


def test_one_inference_of_msame_is_its_own_mean():
    summary = parse_msame_console("Inference time: 4.5ms\nInference average time : 4.50 ms\n")
    throughput = summary.throughput("OM", 1, (3, 8, 8, 8))
    assert (throughput.runs, throughput.ms_per_batch, throughput.first_ms) == (1, 4.5, None)


def damaged(**changes):
    return json.dumps({key: value for key, value in {**AIS, **changes}.items() if value is not None})


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(AIS)[:-20],
        "[]",
        damaged(throughput=None),
        damaged(npu_compute_time_list=[]),
        damaged(npu_compute_time_list=[1.0, -1.0]),
        damaged(npu_compute_time_list=[[1.0, 2.0]]),
        damaged(NPU_compute_time=3.0),
    ],
)
def test_broken_summaries_are_named(tmp_path, text):
    (tmp_path / "sumary.json").write_text(text)
    with pytest.raises(InferenceError, match=r"sumary\.json: not a summary of ais_bench"):
        read_summary(tmp_path)


def test_nothing_to_read_is_named(tmp_path):
    with pytest.raises(InferenceError, match="no times here"):
        read_summary(tmp_path)
    (tmp_path / "console.log").write_text("Inference time: 4.5ms\n[ERROR] device lost\n")
    with pytest.raises(InferenceError, match=r"console\.log: no line 'Inference average time"):
        read_summary(tmp_path)
