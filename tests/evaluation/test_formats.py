"""Every format of a network: what can be made here is, what cannot is said with reason, remedy and command."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.conversion import ConversionError
from actionbook.core.files import sha256_file
from actionbook.core.runtime import set_device
from actionbook.core.sections import Export
from actionbook.core.spec import Spec
from actionbook.core.stage_results import Step
from actionbook.evaluation import formats as module
from actionbook.evaluation.formats import CRITERIA, FORMATS, Criterion, Made, make_formats

STAND_INS = Path(__file__).parents[1] / "conversion" / "stand_ins"
SPEC = Spec({"image": (3, 2, 8, 8)}, (4,))
EXPORT = Export(inference_batch=2, soc_version="Ascend310P3")
HERE = ["network", "MINDIR", "ONNX", "ONNX-fp16", "ONNX-int8"]
TOOLS = ["OM", "MINDIR for MindSpore Lite"]


class Small(nn.Cell):
    """A convolution and a dense layer: (N, 3, 2, 8, 8) -> (N, 4)."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        weight = Tensor(rng.standard_normal((4, 3, 1, 3, 3)).astype(np.float32))
        self.conv = nn.Conv3d(3, 4, (1, 3, 3), pad_mode="pad", padding=(0, 0, 1, 1, 1, 1), weight_init=weight)
        self.dense = nn.Dense(4, 4, Tensor(rng.standard_normal((4, 4)).astype(np.float32)), "zeros")

    def construct(self, image: Tensor) -> Tensor:
        return self.dense(self.conv(image).mean((2, 3, 4)))


@pytest.fixture(scope="module")
def network() -> nn.Cell:
    set_device("CPU")
    return Small().set_train(False)


@pytest.fixture
def calibration() -> dict[str, np.ndarray]:
    return SPEC.random(4, seed=1)


@pytest.fixture
def without_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without CANN and MindSpore Lite."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine with stand-ins for both, which do what the environment variable STAND_IN says."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(STAND_INS), str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("STAND_IN_CALL", str(tmp_path / "call.json"))
    monkeypatch.setenv("STAND_IN", "success")
    return monkeypatch


def words(command: str) -> list[str]:
    """Those of a command that may be broken into lines, without remarks."""
    return shlex.split(command.replace("\\\n", " "), comments=True)


def make(network: nn.Cell, folder: Path, calibration: Any, *only: str) -> Made:
    return make_formats(network, SPEC, folder, EXPORT, calibration, only=only)


@pytest.mark.usefixtures("without_tools")
def test_what_a_machine_without_tools_makes(network: nn.Cell, tmp_path: Path, calibration: Any) -> None:
    folder = tmp_path / "a b, 网络" / "export"
    made = make(network, folder, calibration)
    assert list(made.engines) == HERE
    assert [row.format for row in made.exports] == HERE[1:]
    for row in made.exports:
        path = folder.parent / row.file
        assert (row.bytes, row.sha256) == (path.stat().st_size, sha256_file(path))
        assert (row.nodes is not None) == (row.raw_nodes is not None) == (row.format == "ONNX")
    assert made.onnx is not None
    assert made.onnx.path == folder / "network.onnx"
    assert not made.half  # and so all are held to the tolerances of 32 bits
    # All of them take the same batches and say the same.
    batch = SPEC.random(2, seed=3)
    outputs = {name: engine.run(batch) for name, engine in made.engines.items()}
    for name in HERE[1:4]:
        np.testing.assert_allclose(outputs[name], outputs["network"], atol=1e-2)
    assert {engine.batch_size for name, engine in made.engines.items() if name in HERE[:2]} == {2}
    # What is missing is said, with the commands to be run in that folder on another machine.
    assert [step.format for step in made.not_made] == TOOLS
    om, lite = made.not_made
    assert om.reason.startswith("atc is not on the PATH")
    assert "--soc_version=Ascend310P3" in om.command
    assert words(om.command)[:4] == ["cd", str(folder), "&&", "atc"]
    assert "converter_lite" in lite.reason
    assert words(lite.command)[3] == "converter_lite"
    assert "--input_shape=image:2,3,2,8,8" in om.command


def test_the_tools_work_in_the_folder_wherever_the_notebook_runs(
    network: nn.Cell, stand_ins: pytest.MonkeyPatch, tmp_path: Path, calibration: Any
) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "a b, 网络" / "export"
    elsewhere.mkdir()
    stand_ins.chdir(elsewhere)
    made = make(network, folder, calibration, "network", "MINDIR", "ONNX", *TOOLS)
    rows = {row.format: row for row in made.exports}
    assert (folder / "network_bs2.om").read_bytes() == b"OM of " + (folder / "network.onnx").read_bytes()
    assert rows["OM"].file == "export/network_bs2.om"
    assert rows["OM"].sha256 == sha256_file(folder / "network_bs2.om")
    assert rows["MINDIR for MindSpore Lite"].file == "export/lite.mindir"
    assert Path.cwd() == elsewhere
    assert not list(elsewhere.iterdir())
    # The OM is there, and what runs it is not.
    assert "OM" not in made.engines
    assert [step.format for step in made.not_made] == ["OM"]
    assert "network_bs2.om" in made.not_made[0].reason
    assert "ais_bench" in made.not_made[0].reason + made.not_made[0].remedy


def test_atc_that_ends_with_an_error_is_a_step_and_the_others_go_on(
    network: nn.Cell, stand_ins: pytest.MonkeyPatch, tmp_path: Path, calibration: Any
) -> None:
    stand_ins.setenv("STAND_IN", "codes")
    made = make(network, tmp_path / "export", calibration, "network", "ONNX", "OM")
    assert list(made.engines) == ["network", "ONNX"]
    (step,) = made.not_made
    assert step.format == "OM"
    assert step.reason.startswith("atc failed: exit status 255")
    assert "EZ3003" in step.remedy
    assert words(step.command)[3:5] == ["atc", "--framework=5"]
    assert json.loads((tmp_path / "call.json").read_text())["argv"]
    assert not list((tmp_path / "export").glob("*.om"))


ATC_WITHOUT_THE_CHIP = Path(__file__).parent / "data" / "atc_chip_not_installed"


def test_atc_without_the_chip_s_operators_is_a_step_with_cause_and_remedy(
    network: nn.Cell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calibration: Any
) -> None:
    """CANN 8.5 without the operator package of the chip, in a folder that the tools would refuse."""
    tool = tmp_path / "bin" / "atc"
    tool.parent.mkdir()
    tool.write_text(ATC_WITHOUT_THE_CHIP.read_text())
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tool.parent), os.environ["PATH"]]))
    folder = tmp_path / "ein Ordner 书 + @ = (1)" / "export"
    made = make(network, folder, calibration, *HERE, "OM")
    assert list(made.engines) == HERE
    (step,) = made.not_made
    reason = "atc failed: exit status 255 (E10001: The chip named by --soc_version is not known)"
    assert step.reason == reason
    assert "must be one of Ascend910B1, Ascend910B2" in step.remedy
    assert "install its operator package" in step.remedy
    assert words(step.command)[:4] == ["cd", str(folder), "&&", "atc"]
    assert step.remedy.count("--framework=5") == 0  # the command stands once
    assert "copy the folder" in step.command


def test_a_chip_that_cannot_be_is_a_step_too(
    network: nn.Cell, stand_ins: pytest.MonkeyPatch, tmp_path: Path, calibration: Any
) -> None:
    export = Export(inference_batch=2, soc_version="310P3")
    made = make_formats(network, SPEC, tmp_path / "export", export, calibration, only=["network", "ONNX", "OM"])
    assert list(made.engines) == ["network", "ONNX"]
    (step,) = made.not_made
    assert "did you mean 'Ascend310P3'?" in step.reason
    assert step.command == ""


def test_a_network_in_16_bits_is_exported_as_that_and_held_to_what_that_allows(
    stand_ins: pytest.MonkeyPatch, tmp_path: Path, calibration: Any
) -> None:
    half = Small().to_float(ms.float16).set_train(False)
    made = make(half, tmp_path / "export", calibration, *HERE[:3], "OM")
    assert [step.reason for step in made.not_made if step.format in HERE] == []
    assert made.half
    assert made.onnx is not None
    assert 1e-4 < made.onnx.relative_difference < 1e-2
    outputs = {name: engine.run(SPEC.random(2, seed=3)) for name, engine in made.engines.items()}
    assert {array.dtype for array in outputs.values()} == {np.dtype(np.float32)}
    assert "--output_type=FP32" in json.loads((tmp_path / "call.json").read_text())["argv"]
    assert str(CRITERIA["ONNX"].in_half()) == "relative difference <= 0.01, as the network computes in 16 bits"
    assert CRITERIA["OM"].in_half() == CRITERIA["OM"]


def test_converter_lite_that_ends_with_an_error_is_a_step_too(
    network: nn.Cell, stand_ins: pytest.MonkeyPatch, tmp_path: Path, calibration: Any
) -> None:
    stand_ins.setenv("STAND_IN", "failure")
    made = make(network, tmp_path / "export", calibration, "network", "MINDIR", "MINDIR for MindSpore Lite")
    assert list(made.engines) == ["network", "MINDIR"]
    assert [row.format for row in made.exports] == ["MINDIR"]
    (step,) = made.not_made
    assert step.format == "MINDIR for MindSpore Lite"
    assert "converter_lite failed" in step.reason
    assert "Failed to find operator" in step.reason + step.remedy
    assert words(step.command)[3] == "converter_lite"


@pytest.mark.usefixtures("without_tools")
def test_a_format_whose_source_could_not_be_made_is_not_made_of_an_older_one(
    network: nn.Cell, stand_ins: pytest.MonkeyPatch, tmp_path: Path, calibration: Any
) -> None:
    folder = tmp_path / "export"
    make(network, folder, calibration, "ONNX", "MINDIR")
    old = (folder / "network.onnx").read_bytes()

    def fails(*_: Any, **__: Any) -> Any:
        raise ConversionError("the exporter says no\nAsk another one")

    stand_ins.setattr(module, "export_onnx", fails)
    stand_ins.setattr(module, "export_mindir", fails)
    made = make(Small(1).set_train(False), folder, calibration)
    assert list(made.engines) == ["network"]
    assert made.exports == ()
    assert made.onnx is None
    steps = {step.format: step for step in made.not_made}
    assert list(steps) == [one.name for one in FORMATS][1:]
    assert steps["ONNX"] == Step(format="ONNX", reason="the exporter says no", remedy="Ask another one")
    for name in ("ONNX-fp16", "ONNX-int8", "OM"):
        assert "ONNX could not be made" in steps[name].reason
    assert "MINDIR could not be made" in steps["MINDIR for MindSpore Lite"].reason
    assert (folder / "network.onnx").read_bytes() == old
    assert not list(folder.glob("*-fp16.onnx"))


def test_formats_that_could_not_be_run_are_noted_once() -> None:
    steps = (Step(format="OM", reason="no atc"), Step(format="Lite", reason="no tool"))
    made = Made({"network": None, "ONNX": None}, (), steps, None)  # type: ignore[dict-item]
    failed = (Step(format="ONNX", reason="not finite"), Step(format="OM", reason="2_0.bin is missing"))
    found = made.without(failed)
    assert list(found.engines) == ["network"]
    assert found.not_made == (steps[1], *failed)


def test_every_format_says_when_it_is_good() -> None:
    assert len(CRITERIA) == len(FORMATS)
    assert next(iter(CRITERIA)) == module.NETWORK
    for criterion in CRITERIA.values():
        assert (criterion.tolerance is None) != (criterion.points is None)
        assert str(criterion.tolerance or criterion.points)[:1] in str(criterion)
        assert (criterion.points is None) == (criterion.agreement is None)
    assert str(Criterion(points=1.0)) == "loses <= 1 point"
    assert str(Criterion(points=2, agreement=0.985)) == "loses <= 2 points, same winner >= 98.5 %"
    assert str(Criterion(tolerance=1e-4)) == "relative difference <= 0.0001"
    assert [name for name, one in CRITERIA.items() if not one.required] == ["ONNX-fp16", "ONNX-int8"]


def test_the_pass_marks() -> None:
    """That of the OM is the Ascend ports' (their READMEs: within 1 % of the accuracy); the tolerances are ours."""
    assert {name: one.points for name, one in CRITERIA.items() if one.points} == {"ONNX-int8": 1.0, "OM": 1.0}
    assert {name: one.tolerance for name, one in CRITERIA.items() if one.tolerance} == {
        "network": 1e-4,
        "MINDIR": 1e-4,
        "ONNX": 1e-4,
        "ONNX-fp16": 1e-2,
        "MINDIR for MindSpore Lite": 1e-4,
    }
    assert Criterion(tolerance=1e-4).in_half() == Criterion(tolerance=1e-2, half=True)
    assert Criterion(tolerance=0.5).in_half() == Criterion(tolerance=0.5, half=True)  # never stricter
