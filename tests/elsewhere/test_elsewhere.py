"""From a workspace to a machine without the book, and back: what belongs together does, everything else is said."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from actionbook.conversion import ConversionError
from actionbook.core.errors import BookError
from actionbook.core.paths import LIBRARY
from actionbook.core.spec import Spec
from actionbook.elsewhere import bring, take
from actionbook.elsewhere.__main__ import main
from actionbook.evaluation.compare import run_formats
from actionbook.inference import InferenceError, read_batches, read_results, read_summary

CLIP = Spec({"image": (3, 2, 4, 5)}, (2,))
FLOW = Spec({"image": (2, 2, 4, 5)}, (2,))
BOXES = Spec({"slow": (3, 2, 4, 4), "fast": (3, 4, 4, 4), "boxes": (3, 4)}, (3, 2))
COUNT = 12


def sums(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """What the stand-ins of the tools answer, see tests/inference/stand_ins/fake_om.py."""
    if "boxes" not in arrays:
        image = arrays["image"]
        third = image.reshape(len(image), -1)[:, : image[0].size // 3]  # "the first of three channels"
        return np.stack([image.sum(axis=(1, 2, 3, 4)), third.sum(axis=1)], 1)
    seen = sum(weight * arrays[name].sum(axis=(1, 2, 3, 4)) for name, weight in (("slow", 1), ("fast", 2)))
    boxes = arrays["boxes"].sum(axis=2)
    return np.stack([np.broadcast_to(seen[:, None], boxes.shape), boxes], 2)


def test_the_script_is_of_python_3_7_and_its_standard_library():
    source = (LIBRARY / "elsewhere" / "run_om.py").read_text()
    tree = ast.parse(source, feature_version=(3, 7))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names) | {"importlib.util"}


@pytest.mark.parametrize("tool", ["ais_bench", "msame"])
@pytest.mark.parametrize(
    "streams", [{"rgb": CLIP}, {"rgb": CLIP, "flow": FLOW}, {"rgb": BOXES}], ids=["one", "two", "boxes"]
)
def test_there_and_back(*, streams, tool, workspace, card, tmp_path):
    work, samples = workspace(streams)
    size = take(work, tmp_path / "out")
    taken = card.carry(tmp_path / "out")
    assert size == sum(
        path.stat().st_size for path in taken.glob("*/**/*") if path.suffix in {".bin", ".info", ".onnx"}
    )
    assert not any(path.is_symlink() for path in taken.rglob("*"))
    done = card.run("--device", "1", tool=tool)
    assert done.returncode == 0, done.stderr
    assert "All is answered" in done.stdout
    folders = bring(taken, work)
    assert folders == tuple((work / name if len(streams) > 1 else work) / "results" / "OM" for name in streams)
    for (name, arrays), folder in zip(samples.items(), folders, strict=True):
        batches = read_batches(folder.parents[1] / "batches")
        ids, answers = read_results(folder, batches)
        assert ids == [f"v{k}" for k in range(COUNT)]
        assert answers.shape == (COUNT, *streams[name].output)
        np.testing.assert_allclose(answers, sums(arrays), atol=1e-4)
        assert read_summary(folder).tool == tool
        assert len(read_summary(folder).compute_ms) == COUNT
        said = json.loads((folder / "results.json").read_text())
        assert (said["engine"], said["batches_sha256"]) == (f"OM, {tool}", batches.sha256)
        machine = json.loads((folder / "machine.json").read_text())
        assert {key: machine[key] for key in ("tool", "cann")} == {"tool": tool, "cann": "8.0.RC2"}
        assert "310P3" in machine["npu_smi"]
        assert "Process" not in machine["npu_smi"]
        log = folder.parents[1] / "export" / "network_bs1.atc.log"
        assert "ATC run success" in log.read_text()
    # Nothing is run a second time, and the same answers may be brought again.
    before = {path: path.stat().st_mtime_ns for path in taken.rglob("*_0.bin")}
    assert card.run(tool="").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in taken.rglob("*_0.bin")} == before
    for folder in taken.glob("*/batches"):  # they need not come back
        shutil.rmtree(folder)
    assert bring(taken, work) == folders
    assert not list(work.rglob(".tmp-*"))


def test_batches_that_were_not_kept_cannot_be_taken(workspace, tmp_path):
    work, _ = workspace({"rgb": CLIP, "flow": FLOW}, kept=False)
    remedy = r'04 again with -y "overrides: \{export: \{keep_batches: true\}\}"'
    with pytest.raises(BookError, match=rf"rgb/batches: .* 5\.76e-06 GB, were not kept\. Run notebook {remedy}"):
        take(work, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_killed_tool_goes_on(workspace, card, tmp_path):
    work, samples = workspace({"rgb": CLIP})
    take(work, tmp_path / "out")
    taken = card.carry(tmp_path / "out")
    done = card.run(FAKE_OM='{"die_after": 7}')
    assert done.returncode == 1
    assert "5 batches have no answer" in done.stderr
    with pytest.raises(InferenceError, match=r"results\.json: cannot be read .*Run run_om\.py there to its end"):
        bring(taken, work)
    om = taken / "rgb" / "network_bs1.om"
    om.write_text(om.read_text().replace('"die_after": 7', '"die_after": -1'))
    kept = {path.name: path.stat().st_mtime_ns for path in (taken / "rgb" / "results" / "OM").glob("*_0.bin")}
    assert len(kept) == 7
    assert card.run().returncode == 0
    (folder,) = bring(taken, work)
    np.testing.assert_allclose(read_results(folder, read_batches(work / "batches"))[1], sums(samples["rgb"]), atol=1e-4)
    (taken / "rgb" / "results" / "OM" / "9_0.bin").unlink()
    assert card.run(tool="msame").returncode == 0
    assert read_summary(bring(taken, work)[0]).tool == "msame"  # the times are those of the last call
    again = {name: (taken / "rgb" / "results" / "OM" / name).stat().st_mtime_ns for name in kept}
    assert again == kept


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.unlink()
    path.write_bytes(bytes(data))


def test_batches_that_were_hurt_on_the_way_are_not_run(workspace, card, tmp_path):
    work, _ = workspace({"rgb": BOXES})
    take(work, tmp_path / "out")
    batch = card.carry(tmp_path / "out") / "rgb" / "batches" / "fast" / "10.bin"
    whole = batch.read_bytes()
    for harm, said in (
        (batch.unlink, r"10\.bin: 0 bytes, expected 768\. Copy the folder here again"),
        (lambda: batch.write_bytes(whole[:-4]), r"10\.bin: 764 bytes, expected 768"),
        (lambda: (batch.write_bytes(whole), damage(batch)), "batches or network.onnx are damaged"),
        (lambda: (batch.write_bytes(whole), damage(batch.parents[2] / "network.onnx")), "network.onnx are damaged"),
    ):
        harm()
        done = card.run()
        assert done.returncode == 1
        assert re.search(said, done.stderr), done.stderr
        assert not list(card.folder.rglob("*.om"))


def test_a_compiler_that_fails_leaves_no_model(workspace, card, tmp_path):
    work, _ = workspace({"rgb": CLIP})
    take(work, tmp_path / "out")
    taken = card.carry(tmp_path / "out")
    done = card.run(ATC_SAYS="refused")
    assert "atc ended with 0 and made 1 OM files" in done.stderr
    assert "E10001" in done.stdout
    assert not list(taken.glob("*/*.om"))
    assert card.run().returncode == 0


def test_answers_of_another_size_are_said(workspace, card, tmp_path):
    work, _ = workspace({"rgb": CLIP})
    take(work, tmp_path / "out")
    card.carry(tmp_path / "out")
    assert "files of [4] bytes, expected 8" in card.run(FAKE_OM='{"float16": true}').stderr


@pytest.mark.parametrize("name", ["a b", "网络"])
def test_a_path_that_the_tools_refuse_is_said_first(name, workspace, card, tmp_path):
    work, _ = workspace({"rgb": CLIP})
    take(work, tmp_path / "out")
    (card.folder / "taken").symlink_to(shutil.copytree(tmp_path / "out", card.folder / name))
    assert "letters, digits and _ - . / only. Move it" in card.run().stderr


@pytest.fixture
def answered(workspace, card, tmp_path):
    """A workspace, and the folder that came back from the machine with the card."""
    work, _ = workspace({"rgb": CLIP})
    take(work, tmp_path / "out")
    taken = card.carry(tmp_path / "out")
    assert card.run().returncode == 0
    return work, taken


class Sums:
    """An engine that answers as the stand-ins of the tools."""

    name, spec, batch_size, sha256 = "network", CLIP, 1, "0" * 64

    def run(self, batch):
        return sums(batch).astype(np.float32)


def test_the_notebooks_read_what_came_back_and_leave_it_there(answered):
    work, taken = answered
    (folder,) = bring(taken, work)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found, unread = run_formats(
        {"network": Sums()},
        read_batches(work / "batches"),
        work / "results",
        lambda ids, answers: answers,
        progress=False,
    )
    assert list(found) == ["network", "OM"]
    assert unread == ()
    np.testing.assert_allclose(found["OM"], found["network"], atol=1e-4)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda answers: (answers / "3_0.bin").write_bytes(b"123"), r"3_0\.bin: 3 bytes, expected 8"),
        (lambda answers: (answers / "3_0.bin").unlink(), r"3_0\.bin is missing"),
        (lambda answers: damage(answers / "3_0.bin"), "not the bytes that the other machine wrote"),
        (lambda answers: (answers / "3_0.bin").write_bytes(b"\xff" * 8), "not finite"),
        (lambda answers: (answers / "results.json").write_text("[]"), "expected what run_om.py writes"),
        (lambda answers: shutil.copy(answers / "3_0.bin", answers / "40_0.bin"), "only 12 batches"),
    ],
)
def test_answers_that_were_hurt_stay_outside(harm, said, answered):
    work, taken = answered
    harm(taken / "rgb" / "results" / "OM")
    with pytest.raises(InferenceError, match=said):
        bring(taken, work)
    assert not (work / "results").exists()


def test_answers_of_others_stay_outside(answered, workspace):
    _, taken = answered
    other, _ = workspace({"rgb": CLIP}, name="other", seed=1)
    with pytest.raises(InferenceError, match=r"answers of other batches"):
        bring(taken, other)
    retrained, _ = workspace({"rgb": CLIP}, name="retrained", network=1)
    with pytest.raises(InferenceError, match=r"answers of another network\.onnx"):
        bring(taken, retrained)
    two, _ = workspace({"rgb": CLIP, "flow": FLOW}, name="two")
    with pytest.raises(InferenceError, match=r"flow/results/OM/results\.json: cannot be read"):
        bring(taken, two)
    assert not (two / "rgb" / "results").exists()


def test_a_folder_of_another_recipe_is_not_written_over(answered, workspace, tmp_path):
    work, taken = answered
    take(work, taken)
    assert len(list(taken.rglob("*_0.bin"))) == COUNT  # answers stay
    other, _ = workspace({"rgb": CLIP}, name="other", seed=1)
    with pytest.raises(BookError, match="another network, chip or other batches; choose an empty folder"):
        take(other, taken)
    with pytest.raises(BookError, match="choose an empty folder"):
        take(work, taken, "Ascend310")
    with pytest.raises(ConversionError, match="did you mean 'Ascend310P3'"):
        take(work, tmp_path / "new", "310P3")


def test_the_command(answered, capsys, tmp_path):
    work, taken = answered
    assert main(["take", str(work), str(tmp_path / "new"), "--soc-version", "Ascend310"]) == 0
    assert "python3 run_om.py" in capsys.readouterr().out
    job = json.loads((tmp_path / "new" / "rgb" / "job.json").read_text())
    assert "--soc_version=Ascend310" in job["atc"]
    assert main(["bring", str(taken), str(work)]) == 0
    assert "Run notebooks 04 and 05 again" in capsys.readouterr().out
    assert main(["bring", str(taken), str(tmp_path)]) == 1
    assert "in which notebook 04_conversion has run" in capsys.readouterr().err
