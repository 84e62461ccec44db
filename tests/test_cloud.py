"""The start file for ModelArts and OpenI: what their arguments and variables become."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from actionbook import cloud
from actionbook.core.errors import BookError
from actionbook.core.paths import LIBRARY, NOTEBOOKS
from actionbook.notebooks import read_source

I3D = ["--chapter=i3d", "--recipe=hmdb51"]


def job(*arguments: str, **environment: str) -> cloud.Job:
    return cloud.read_job([*I3D, *arguments], environment)[0]


def test_arguments_of_the_original_programs() -> None:
    found = job(
        "--data_url=obs://b/hmdb51",
        "--train_url=obs://b/out",
        "--openI=True",
        "--mode=RGB",
        "--device_target=Ascend",
        "--distributed=True",
        "--device_num=8",
        "--num_workers=16",
        "--stage=01_data, 03_training",
    )
    same: dict[str, Any] = {"recipe": "hmdb51", "data_root": "obs://b/hmdb51", "work_root": "obs://b/out"}
    same |= {"device": "Ascend", "workers": 16, "stream": "rgb"}
    assert found.stages == ("01_data", "03_training")
    assert found.parameters("01_data") == same
    assert found.parameters("03_training") == {**same, "devices": 8}
    assert found.training("") == []


@pytest.mark.parametrize("chapter", ["eco", "efficient3d", "i3d", "slowfast", "stnet"])
def test_every_parameter_is_one_of_the_notebook(chapter: str) -> None:
    arguments = [f"--chapter={chapter}", "--recipe=mini", "--stage=all", "--data_url=d", "--train_url=w"]
    arguments += ["--device_num=2", "--mode=rgb", "--workers=3", "--overrides={training: {epochs: 1}}"]
    arguments = [one for one in arguments if chapter != "slowfast" or "mode" not in one]
    found, _ = cloud.read_job(arguments, {})
    for stage in found.stages:
        (cell,) = (
            cell
            for cell in read_source(NOTEBOOKS / chapter / f"{stage}.md").cells
            if "parameters" in cell.metadata.get("tags", [])
        )
        known = {line.partition("=")[0].strip() for line in cell.source.splitlines() if "=" in line}
        assert set(found.parameters(stage)) <= known


def test_the_variables_of_modelarts_make_one_command_of_a_host() -> None:
    environment = {
        "MA_NUM_HOSTS": "2",
        "VC_TASK_INDEX": "1",
        "VC_WORKER_HOSTS": "job-worker-0.job,job-worker-1.job",
        "MA_NUM_GPUS": "8",
        "RANK_TABLE_FILE": "/user/config/jobstart_hccl.json",
    }
    found = job(
        "--data_url=obs://b/hmdb51", "--train_url=/mnt/sfs/work", "--overrides={training: {epochs: 2}}", **environment
    )
    assert found.training("10.0.0.1") == [
        *(sys.executable, "-m", "mindspore.parallel.cluster.run", "--worker_num=16", "--local_worker_num=8"),
        *("--node_rank=1", "--master_addr=10.0.0.1", "--master_port=8118", "--join=True", "--log_dir=msrun_logs_1"),
        *("--rank_table_file=/user/config/jobstart_hccl.json", "python", "-m", "actionbook.train", "i3d", "hmdb51"),
        *("--device", "auto", "--data-root", "obs://b/hmdb51", "--work-root", "/mnt/sfs/work"),
        *("--overrides", '{"training": {"epochs": 2}}'),
    ]
    assert found.parameters("03_training")["devices"] == 16  # finds the trainings of all cards finished
    alone = job("--train_url=obs://b/out", MA_NUM_HOSTS="1", VC_TASK_INDEX="0", VC_WORKER_HOSTS="a", MA_NUM_GPUS="8")
    assert (alone.hosts, alone.devices, alone.master, alone.training("")) == (1, 8, "", [])


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--data_url=a", "--data_root=b"], {}, "data_root, data_url: all say data_root, and say different things"),
        (["--run_online=yes"], {}, "run_online: expected True or False, found 'yes'"),
        (["--device_num=all"], {}, "device_num: expected a whole number, found 'all'"),
        (["--device_target=TPU"], {}, "device 'tpu': expected one of auto, cpu, gpu, ascend"),
        (["--mode=joint"], {}, "mode 'joint': expected one of rgb, flow"),
        (["--stage=06_fame"], {}, "stage '06_fame': expected one of 01_data"),
        (["--recipe=hmdb52"], {}, "recipe 'hmdb52': expected one of hmdb51"),
        (["--openI=True"], {}, "expected both, or OpenI's package c2net, found neither"),
        (["--train_url=obs://b/o"], {"MA_NUM_HOSTS": "2"}, "several hosts need one folder that all of them see"),
        (["--train_url=/sfs"], {"MA_NUM_HOSTS": "2"}, "VC_WORKER_HOSTS: expected the names of 2 hosts"),
        (["--train_url=/sfs", "--stage=all"], {"MA_NUM_HOSTS": "2"}, "several hosts only train"),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], environment: dict[str, str], message: str) -> None:
    with pytest.raises(BookError, match=message):
        job(*arguments, **environment)


def test_unknown_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        job("--data_ur=x")
    assert "unrecognized arguments: --data_ur=x" in capsys.readouterr().err


def test_false_is_false() -> None:
    assert job("--device_num=8", "--distributed=False").devices == 1  # of which the I3D program made true


@dataclass(frozen=True)
class Context:
    """As OpenI's package hands it out."""

    dataset_path: str
    pretrain_model_path: str
    output_path: str


def test_openis_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(*(str(tmp_path / name) for name in ("dataset", "pretrain", "output")))
    (tmp_path / "dataset" / "hmdb51").mkdir(parents=True)
    (tmp_path / "pretrain").mkdir()
    package, module, uploads = ModuleType("c2net"), ModuleType("c2net.context"), []
    vars(module).update(prepare=lambda: context, upload_output=lambda: uploads.append(1))
    monkeypatch.setitem(sys.modules, "c2net", package)
    monkeypatch.setitem(sys.modules, "c2net.context", module)
    found = job("--run_online=True")
    assert (found.data_root, found.work_root, found.weights) == (
        str(tmp_path / "dataset" / "hmdb51"),
        str(tmp_path / "output"),
        None,
    )

    def fails(*_: Any, **__: Any) -> Path:
        raise BookError("a cell failed")

    monkeypatch.setattr(cloud, "execute", fails)
    with pytest.raises(BookError, match="a cell failed"):
        cloud.run(found)
    assert uploads == [1]  # also what a failed notebook has left


def test_a_run_leaves_its_notebook_in_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def execute(source: Path, **given: Any) -> Path:
        calls.append({"source": source, **given})
        return given["output"]

    monkeypatch.setattr(cloud, "execute", execute)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "rgb_imagenet.pt").write_bytes(b"w")
    places = [f"--data_url={tmp_path}/data", f"--train_url={tmp_path}/work", f"--ckpt_url={tmp_path}/weights"]
    assert cloud.main([*I3D, *places, "--stage=04_conversion"]) == 0
    own = tmp_path / "work" / "i3d" / "hmdb51" / "notebooks"
    assert calls == [
        {
            "source": NOTEBOOKS / "i3d" / "04_conversion.md",
            "parameters": {
                "recipe": "hmdb51",
                "data_root": str(tmp_path / "data"),
                "work_root": str(tmp_path / "work"),
                "device": "auto",
            },
            "output": own / "04_conversion.ipynb",
            "failed": own / "failed",
        }
    ]
    assert (tmp_path / "data" / "weights" / "rgb_imagenet.pt").read_bytes() == b"w"


def test_weights_are_linked_and_nothing_is_replaced(tmp_path: Path) -> None:
    for name in ("ours/weights/a.ckpt", "theirs/a.ckpt", "theirs/deep/b.ckpt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    for _ in range(2):
        cloud.place_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    assert (tmp_path / "ours/weights/a.ckpt").read_text(encoding="utf-8") == "ours/weights/a.ckpt"
    assert (tmp_path / "ours/weights/b.ckpt").resolve() == tmp_path / "theirs/deep/b.ckpt"
    with pytest.raises(BookError, match=r"ckpt_url .*/none: expected weight files in it, found none"):
        cloud.place_weights(str(tmp_path / "none"), tmp_path / "ours")


def test_the_file_itself_starts_from_anywhere_and_shows_what_it_would_do(tmp_path: Path) -> None:
    arguments = [*I3D, "--data_url=obs://b/x y", "--stage=01_data", "--dry_run", "--ckpt_url=obs://b/w"]
    done = subprocess.run(
        [sys.executable, LIBRARY / "cloud.py", *arguments],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "# host 0 of 1, 1 cards on each",
        "# weight files of obs://b/w are linked into weights/ of the data root",
        "python -m actionbook.notebooks execute -p recipe '\"hmdb51\"' -p data_root '\"obs://b/x y\"' "
        "-p device '\"auto\"' notebooks/i3d/01_data.md",
    ]
