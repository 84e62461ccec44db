"""What several floors share: a tiny data set of real video files in UCF101's layout, its frames, its stage; a store."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import LocalCluster
from hypothesis import settings

import actionbook  # noqa: F401  before any test module imports MindSpore, whose environment it sets
from actionbook.core.manifest import DatasetManifest, Layout, Split
from actionbook.core.runtime import spare_libraries
from actionbook.core.schema import merge
from actionbook.core.sections import Frames
from actionbook.core.stage_results import DataResults, DatasetRow
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of, store_path
from actionbook.datasets.index import Index, write_index
from actionbook.datasets.miniature import MiniSpec, write_ucf101
from actionbook.datasets.ucf101 import ucf101_index
from actionbook.video.prepare import Job, prepare_video

settings.register_profile("book", deadline=None)  # how long an example takes says what else the machine is doing
settings.load_profile("book")


def pytest_collection_finish() -> None:
    """For tests that compile without having chosen a device."""
    spare_libraries()


SPEC = MiniSpec(
    seed=5,
    groups=10,
    clips_per_group=1,
    min_frames=18,
    max_frames=36,
    width=64,
    height=48,
    classes=("MoonWalk", "Walking"),
)


@dataclass(frozen=True)
class Tiny:
    """A data set of 20 videos: split 1 trains on 6 and tests on 14, splits 2 and 3 as their groups fall."""

    root: Path
    manifest: DatasetManifest


@dataclass(frozen=True)
class Prepared:
    """The frame store of the tiny data set and its index of split 1, numbers of frames filled in."""

    store: Path
    index: Index
    frames: Frames


class Bucket:
    """One bucket of the server, looked at by Amazon's own client: a peer of what is tested."""

    def __init__(self, endpoint: str, name: str) -> None:
        import boto3  # half a second that most tests do not need

        self.endpoint, self.name = endpoint, name
        self.client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
        )
        self.client.create_bucket(Bucket=name)

    def put(self, key: str, body: bytes) -> None:
        """Make an object."""
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        """The content of an object."""
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def names(self, prefix: str = "") -> list[str]:
        """Names of all objects below a prefix, in order."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny data set with a manifest of its own counts; tests must not write to it."""
    root = tmp_path_factory.mktemp("tiny") / "data"
    write_ucf101(root, spec=SPEC)
    manifest = DatasetManifest(
        kind="dataset",
        name="tiny",
        dataset="ucf101",
        title="Twenty small videos",
        licence="none",
        citation="none",
        layout=Layout(videos="UCF-101", annotations="ucfTrainTestlist"),
        videos=20,
        # Of ten groups, 1 to 7 test in split 1, 8 to 10 in split 2, none in split 3.
        splits={"1": Split(train=6, test=14), "2": Split(train=14, test=6), "3": Split(train=20, test=0)},
        classes=SPEC.classes,
    )
    return Tiny(root, manifest)


@pytest.fixture(scope="session")
def prepared(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """All 20 videos as frame store files; tests must not write to them."""
    store, frames = tmp_path_factory.mktemp("tiny_store"), Frames(height=32)
    index = ucf101_index(tiny.root, tiny.manifest, 1)
    counts = []
    for item in index.items.itertuples():
        result = prepare_video(Job(item.video, tiny.root / item.path, store_path(store, item.store)), frames)
        assert not result.error
        counts.append(result.frames)
    return Prepared(store, Index(index.items.assign(frames=counts), index.labels), frames)


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a Dask cluster whose worker is a thread of this process, where patches reach it."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None, memory_limit=0
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def tiny_stage(tiny: Tiny, prepared: Prepared, tmp_path: Path) -> Callable[..., Stage]:
    """A function that opens stage 03 of a recipe over the tiny data set, given the recipe's differences.

    Indexes and frames of all its runs are there. ``other.yaml`` in `tmp_path` is the manifest of a second data set with
    the same videos and three classes. The work root is the folder `work` in `tmp_path`. Of a recipe of one stream it is
    that stream's stage.
    """
    for manifest in (
        tiny.manifest,
        tiny.manifest.model_copy(update={"name": "other", "classes": (*SPEC.classes, "Waving")}),
    ):
        (tmp_path / f"{manifest.name}.yaml").write_text(json.dumps(manifest.model_dump(mode="json")), encoding="utf-8")
    recipe: dict[str, Any] = {
        "chapter": "tiny",
        "name": "tiny",
        "title": "Tiny",
        "data": {"manifest": str(tmp_path / "tiny.yaml"), "frames": {"height": 32}},
        "sampling": {"name": "windows", "frames": 4, "stride": 1, "window": 8},
        "transforms": {"size": 16},
        "model": {"name": "resnet18_3d", "options": {"width": 0.0625}},  # of all the quickest to compile
        "training": {"epochs": 0, "batch_size": 2, "lr": 0.02},
        "export": {"inference_batch": 5},
    }

    def open_stage(work: str = "work", *, file: str = "recipe", root: Path | None = None, **differences: Any) -> Stage:
        path = tmp_path / f"{file}.yaml"
        path.write_text(json.dumps(merge(recipe, differences)), encoding="utf-8")  # JSON is YAML
        whole = Stage.open(
            "tiny",
            "03_training",
            recipe=str(path),
            data_root=root or tiny.root,
            work_root=tmp_path / work,
            device="CPU",
            workers=2,
        )
        for stream in whole.streams.values():
            for own in (stream, *map(stream.for_run, stream.recipe.training.runs)):
                data = dataset_of(own)
                write_index(prepared.index, data.index_file)
                for store in {data.colour_store, data.store(own.recipe.transforms.modality)}:
                    store.parent.mkdir(parents=True, exist_ok=True)
                    if not store.exists():
                        store.symlink_to(prepared.store)
        return whole if whole.recipe.streams else whole.first

    return open_stage


@pytest.fixture
def after_data() -> Callable[[Stage], Stage]:
    """A function that writes what stage 01 would have into the record of a stage, and returns that stage."""

    def finish(stage: Stage) -> Stage:
        index, name = dataset_of(stage).index(), stage.manifest.name
        row = DatasetRow(
            manifest=name,
            manifest_sha256="0" * 64,
            generated=True,
            split=stage.recipe.data.split,
            videos_expected=len(index),
            videos_found=len(index),
            missing=(),
            missing_sha256=None,
            frames=int(index.items.frames.sum()),
            store_bytes=1,
            index_sha256=index.sha256,
        )
        replace(stage, name="01_data").finish(DataResults(own=name, sets={name: row}))
        return stage

    return finish


@pytest.fixture(scope="session")
def write_torch() -> Callable[[Path, Mapping[str, np.ndarray]], Path]:
    """A function that writes float32 arrays by name as PyTorch would, and returns the path."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"".join(b"\x8a\x09" + value.to_bytes(9, "little") for value in values)

    def text(value: str) -> bytes:
        return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()

    def write(path: Path, state: Mapping[str, np.ndarray]) -> Path:
        stream = b"\x80\x02}("
        with zipfile.ZipFile(path, "w") as file:
            for key, (name, array) in enumerate(state.items()):
                strides = tuple(int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim))
                storage = (
                    text("storage") + b"ctorch\nFloatStorage\n" + text(str(key)) + text("cpu") + numbers((array.size,))
                )
                view = b"(" + storage + b"tQ" + numbers((0,))
                view += b"".join(b"(" + numbers(values) + b"t" for values in (array.shape, strides))
                stream += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + view + b"\x89}tR"
                file.writestr(f"net/data/{key}", array.astype("<f4").tobytes())
            file.writestr("net/data.pkl", stream + b"u.")
        return path

    return write


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a real S3 server on loopback, in a thread of this process."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket, the environment that leads to it, and a cache of the test's own."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "ACTIONBOOK_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    return Bucket(s3_server, f"b{abs(hash(request.node.nodeid)):x}"[:40])
