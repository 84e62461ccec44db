"""What goes into a pack, what stays on the machine, and what must have run before."""

from __future__ import annotations

import gzip
import io
import json
import platform
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.evidence import pack as module
from actionbook.evidence.__main__ import main
from actionbook.evidence.check import check
from actionbook.evidence.pack import pack, stage_of
from actionbook.evidence.planes import read_planes, write_planes
from actionbook.evidence.scrub import names_of_machine, scrub, without_places

Finished = Callable[..., Stage]


def texts(archive: Path) -> dict[str, bytes]:
    """Every file of a pack, unpacked to the last layer."""
    found = {}
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            data = file.read(name)
            if name.endswith(".gz"):
                data += gzip.decompress(data)
            elif name.endswith(".npz"):
                with zipfile.ZipFile(io.BytesIO(data)) as inner:
                    data += b"".join(map(inner.read, inner.namelist()))
            found[name] = data
    return found


def test_nothing_names_the_machine_or_its_user(
    make_finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "magrathea.example.org")
    monkeypatch.setenv("USER", "zaphod")
    monkeypatch.setenv("HOME", str(tmp_path / "zaphod"))
    stage = make_finished(tmp_path / "zaphod's work")
    (stage.workspace / "failures-tiny.csv").write_text(f"video,error\nx,{tmp_path}/zaphod/x.avi: no such file\n")
    record = stage.workspace / "record" / "04_conversion.json"
    data = json.loads(record.read_text())
    step = {
        "format": "OM",
        "reason": f"{tmp_path}/atc failed on magrathea",
        "remedy": "",
        "command": "atc --model=/a/b",
    }
    data["results"]["streams"]["fast"]["not_run"] = [step]
    record.write_text(json.dumps(data))
    files = texts(pack(stage))
    secrets = [b"zaphod", b"magrathea", str(tmp_path).encode(), tmp_path.name.encode(), b"10.1.2.3", b"/home/", b"/a/b"]
    assert [(name, secret) for name, data in files.items() for secret in secrets if secret in data] == []
    assert b"1250.0" in files["conversion/fast/OM/console.log"]
    assert b"<path>/network.om" in files["conversion/fast/OM/console.log"]
    assert check(stage.workspace / "evidence.zip").holds


def test_no_frames_and_no_weights(packed: Path) -> None:
    kinds = {name.rpartition(".")[2] for name in texts(packed)}
    assert kinds == {"json", "yaml", "txt", "gz", "npz", "jsonl", "log"}


def test_a_recipe_keeps_its_settings_and_loses_its_places(finished: Stage) -> None:
    data, left_out = without_places(finished.whole.as_dict())
    assert left_out == ["data.manifest"]
    assert data["data"]["manifest"] == "tiny"
    assert data["streams"] == finished.whole.as_dict()["streams"]
    places = {"data": {"frames_folder": "/data/x", "flow_folder": "below", "annotation_json": "~/x.json"}}
    cleaned, keys = without_places(places)
    assert cleaned == {"data": {"frames_folder": None, "flow_folder": "below", "annotation_json": None}}
    assert keys == ["data.frames_folder", "data.annotation_json"]


TEXTS = {
    "/usr/local/Ascend/atc failed": "<path>/atc failed",
    "see https://example.org/a/b": "see https://example.org/a/b",
    "N evaluated / expected, 3 / 4, carry/hold": "N evaluated / expected, 3 / 4, carry/hold",
    "--model=/a/b.onnx": "--model=<path>/b.onnx",
    "work/eco/mini/x": "work/eco/mini/x",
    "/home/ada/ada.log": "<path>/<user>.log",
    "~ada/x and ~/y": "<path>/x and <path>/y",
    "ada on node7, adapter": "<user> on <host>, adapter",
    "192.168.0.12:8118, version 1.2.3": "<host>:8118, version 1.2.3",
    "/srv/my work/eco/x.onnx": "<path>/eco/x.onnx",
}


@pytest.mark.parametrize(("text", "clean"), TEXTS.items())
def test_scrubbed_texts(text: str, clean: str) -> None:
    assert scrub(text, {"node7": "<host>", "ada": "<user>", "/srv/my work": "<path>"}) == clean


def test_names_of_this_machine_are_known() -> None:
    assert "" not in names_of_machine()
    assert "<host>" in names_of_machine().values()


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (44, 2), (300, 7)])
def test_planes_keep_every_bit(tmp_path: Path, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    network = rng.normal(size=shape).astype(np.float32)
    network.ravel()[:2] = [-0.0, 1e-45][: network.size]
    other = network + rng.normal(scale=1e-6, size=shape).astype(np.float32)
    write_planes(tmp_path / "a.npz", network)
    write_planes(tmp_path / "b.npz", other, network)
    again = read_planes(tmp_path / "a.npz", shape)
    assert again.tobytes() == network.tobytes()
    assert read_planes(tmp_path / "b.npz", shape, again).tobytes() == other.tobytes()


def test_a_format_that_agrees_takes_next_to_nothing(tmp_path: Path) -> None:
    network = np.random.default_rng(3).normal(size=(3783, 101)).astype(np.float32)
    write_planes(tmp_path / "network.npz", network)
    write_planes(tmp_path / "MINDIR.npz", network, network)
    assert (tmp_path / "MINDIR.npz").stat().st_size < 2_000
    assert (tmp_path / "network.npz").stat().st_size > 1_000_000


# --- what must have run ---


def test_a_stage_that_has_not_run_is_named(make_finished: Finished) -> None:
    stage = make_finished()
    (stage.workspace / "record" / "04_conversion.json").unlink()
    with pytest.raises(BookError, match=r"stage 04_conversion has not run: run notebooks/tiny/04_conversion\.ipynb"):
        pack(stage)
    assert not (stage.workspace / "evidence.zip").exists()


def test_a_recipe_other_than_the_one_that_ran_is_refused(make_finished: Finished) -> None:
    stage = make_finished()
    path = stage.workspace / "recipe.yaml"
    path.write_text(path.read_text().replace("title: Two streams", "title: Three streams"))
    with pytest.raises(BookError, match="ran with another recipe"):
        pack(stage_of(stage.workspace))


def test_an_index_made_again_is_refused(make_finished: Finished) -> None:
    stage = make_finished()
    path = stage.workspace / "index-tiny-1-labels.csv"
    path.write_text(path.read_text().replace("Walking,1", "Walking,0", 1))
    with pytest.raises(BookError, match="not the one of stage 01"):
        pack(stage)


def test_results_cut_short_are_refused(make_finished: Finished) -> None:
    stage = make_finished()
    (stage.workspace / "slow" / "results" / "OM" / "0_0.bin").write_bytes(b"1234")
    with pytest.raises(BookError, match=r"OM: .*run notebook 04_conversion again"):
        pack(stage)


def test_a_log_that_is_gone_is_named(make_finished: Finished) -> None:
    stage = make_finished()
    (stage.workspace / "slow" / "training" / "clip-seed1" / "log.jsonl").unlink()
    with pytest.raises(BookError, match=r"log\.jsonl: is missing"):
        pack(stage)


def test_an_interrupted_pack_leaves_the_last_one(make_finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = make_finished()
    before = pack(stage).read_bytes()

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "files_of", stopped)
    with pytest.raises(KeyboardInterrupt):
        pack(stage)
    assert (stage.workspace / "evidence.zip").read_bytes() == before


# --- the command line ---


def test_the_command_packs_and_checks(finished: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "run.zip"
    assert main(["pack", str(finished.workspace), "-o", str(target), "--by", "Ada L."]) == 0
    said = capsys.readouterr().out
    assert "The pack holds: not comparable." in said
    options = ["check", str(target), "--json", str(tmp_path / "c.json"), "--markdown", str(tmp_path / "c.md")]
    assert main(options) == 0
    assert json.loads((tmp_path / "c.json").read_text())["chapter"] == "tiny"
    assert "| scores | **proven** |" in (tmp_path / "c.md").read_text()


def test_the_command_refuses_with_a_status(
    finished: Stage, opened: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (opened / "README.txt").write_text("other")
    assert main(["check", str(opened)]) == 1
    assert "refuted   files: not as listed: README.txt" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "none.zip")]) == 2
    assert main(["pack", str(tmp_path)]) == 2
    assert "expected a workspace" in capsys.readouterr().err
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "recipe.yaml").write_text((finished.workspace / "recipe.yaml").read_text())
    with pytest.raises(BookError, match="name the folder tiny/tiny"):
        stage_of(tmp_path / "moved")


def test_a_line_break_in_a_name_is_refused(finished: Stage, tmp_path: Path) -> None:
    with pytest.raises(BookError, match="by"):
        pack(finished, tmp_path / "x.zip", by="Ada\n# Title")
