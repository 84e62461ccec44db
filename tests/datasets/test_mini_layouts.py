"""The miniatures of HMDB51 and Kinetics-400: layout, lists, groups apart, and which cue tells which classes apart."""

from __future__ import annotations

import csv
import dataclasses
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest

from actionbook.core.files import sha256_json
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.sections import Data
from actionbook.datasets.ava import ava_index
from actionbook.datasets.figures import actor_box
from actionbook.datasets.lists import MissingVideos
from actionbook.datasets.miniature import (
    AVA,
    HMDB51,
    KINETICS400,
    MARK,
    UCF101,
    Clip,
    Miniature,
    MiniSpec,
    all_clips,
    write_miniature,
)
from actionbook.datasets.miniature.hmdb51 import LOOKS, hmdb51_flag, hmdb51_name
from actionbook.datasets.miniature.kinetics400 import is_validation, kinetics400_video
from actionbook.datasets.miniature.spec import render_scene
from actionbook.datasets.obtain import READERS

SMALL = {"min_frames": 3, "max_frames": 5, "width": 64, "height": 48}
SMALL_HMDB51 = MiniSpec(seed=3, groups=11, clips_per_group=1, classes=("golf", "swing_baseball"), **SMALL)
SMALL_KINETICS = MiniSpec(seed=3, groups=6, clips_per_group=2, classes=("squat",), **SMALL)


def manifest_and_spec(name: str) -> tuple[DatasetManifest, MiniSpec]:
    manifest = load_dataset(name)
    assert manifest.generator is not None
    return manifest, MiniSpec(**manifest.generator.model_dump(), classes=manifest.classes)


STANDING = [("mini_hmdb51", HMDB51), ("mini_kinetics400", KINETICS400), ("mini_sequences", UCF101)]
MANIFESTS = [*STANDING, ("mini_timescales", KINETICS400)]


@pytest.fixture(scope="module")
def hmdb51(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hmdb51") / "mini"
    write_miniature(HMDB51, root, SMALL_HMDB51)
    return root


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kinetics") / "mini"
    write_miniature(KINETICS400, root, SMALL_KINETICS)
    return root


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_tree_is_that_of_hmdb51(hmdb51: Path) -> None:
    lists = {f"testTrainMulti_7030_splits/{c}_test_split{k}.txt" for c in SMALL_HMDB51.classes for k in (1, 2, 3)}
    videos = {f"hmdb51_org/{c.class_name}/{hmdb51_name(c, SMALL_HMDB51)}" for c in all_clips(SMALL_HMDB51)}
    assert files(hmdb51) == lists | videos | {MARK}
    assert len(videos) == 22
    names = {path.name for path in hmdb51.rglob("*.avi")}
    assert {c for name in names for c in name} >= set("#;()&!+[]'@-_")
    assert all(name.count(".") == 1 for name in names)


def test_hmdb51s_lists_are_in_the_official_format(hmdb51: Path) -> None:
    text = (hmdb51 / "testTrainMulti_7030_splits" / "golf_test_split1.txt").read_bytes()
    lines = text.decode().split("\n")
    assert lines.pop() == ""
    assert b"\r" not in text
    assert lines == sorted(lines)
    assert all(line.endswith((".avi 0 ", ".avi 1 ", ".avi 2 ")) for line in lines)
    assert [sum(line.endswith(f" {flag} ") for line in lines) for flag in (0, 1, 2)] == [1, 7, 3]


def test_tree_and_lists_are_those_of_kinetics(kinetics: Path) -> None:
    lists = {f"annotations/{name}.csv" for name in ("train", "val", "test")}
    found = files(kinetics)
    assert found > lists | {MARK}
    for name, count in (("train", 10), ("val", 2)):
        with (kinetics / "annotations" / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["split"] for row in rows] == [name] * count
        videos = {
            f"videos/{name}/{r['label']}/{r['youtube_id']}_{int(r['time_start']):06d}_{int(r['time_end']):06d}.mp4"
            for r in rows
        }
        assert videos == {path for path in found if path.startswith(f"videos/{name}/")}
    assert (kinetics / "annotations" / "test.csv").read_text() == "youtube_id,time_start,time_end,split\n"


@pytest.mark.parametrize(("fixture", "container", "codec"), [("hmdb51", "avi", "mpeg4"), ("kinetics", "mp4", "h264")])
def test_videos_look_as_rendered(fixture: str, container: str, codec: str, request: pytest.FixtureRequest) -> None:
    miniature, spec = {"hmdb51": (HMDB51, SMALL_HMDB51), "kinetics": (KINETICS400, SMALL_KINETICS)}[fixture]
    clip = all_clips(spec)[4]
    with av.open(str(request.getfixturevalue(fixture) / miniature.path(clip, spec))) as opened:
        stream = opened.streams.video[0]
        assert container in opened.format.name
        assert (stream.codec_context.name, stream.average_rate, stream.width, stream.height) == (codec, 25, 64, 48)
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)])
    expected = render_scene(miniature.scene(clip, spec))
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(float) - expected).mean() < 10


@pytest.mark.parametrize(
    ("fixture", "miniature", "spec"), [("hmdb51", HMDB51, SMALL_HMDB51), ("kinetics", KINETICS400, SMALL_KINETICS)]
)
def test_equal_specs_give_equal_bytes_and_others_do_not(
    fixture: str, miniature: Miniature, spec: MiniSpec, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first = request.getfixturevalue(fixture)
    write_miniature(miniature, tmp_path / "mini", spec)
    assert files(tmp_path / "mini") == files(first)
    assert all((tmp_path / "mini" / name).read_bytes() == (first / name).read_bytes() for name in files(first))
    write_miniature(miniature, tmp_path / "other", dataclasses.replace(spec, seed=4, groups=2))
    assert not {p.read_bytes() for p in (tmp_path / "other").rglob("*.???")} & {
        p.read_bytes() for p in (tmp_path / "mini").rglob("*.???")
    } - {b"youtube_id,time_start,time_end,split\n"}


@pytest.mark.parametrize(("name", "miniature"), MANIFESTS)
def test_manifests_count_what_their_lists_hold(name: str, miniature: Miniature, tmp_path: Path) -> None:
    manifest, spec = manifest_and_spec(name)
    for path, text in miniature.lists(spec).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    paths = [miniature.path(clip, spec) for clip in all_clips(spec)]
    assert len(set(paths)) == len(paths) == manifest.videos
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for number, split in manifest.splits.items():
        table = READERS[manifest.dataset](tmp_path, manifest, int(number)).table
        counts = table.groupby(["label", "subset"]).size()
        for label, subset in product(manifest.classes, ("train", "test")):
            assert counts[label, subset] == getattr(split, subset) / len(manifest.classes)


def test_hmdb51s_groups_stay_apart_and_test_once() -> None:
    _, spec = manifest_and_spec("mini_hmdb51")
    person = {clip: HMDB51.scene(clip, spec).actors[0].person.body for clip in all_clips(spec)}
    tested = []
    for split in (1, 2, 3):
        flags = {clip: hmdb51_flag(clip, split, spec) for clip in all_clips(spec)}
        parts = [{person[clip] for clip in flags if flags[clip] == flag} for flag in (0, 1, 2)]
        assert [len(part) for part in parts] == [1, 7, 3]
        assert len(set.union(*parts)) == 11
        films = [
            {hmdb51_name(c, spec).split(f"_{c.class_name}_f_")[0] for c in flags if flags[c] == f} for f in (0, 1, 2)
        ]
        assert len(set.union(*films)) == sum(len(part) for part in films) == 11
        tested.append({clip.group for clip in flags if flags[clip] == 2})
    assert len(set.union(*tested)) == sum(len(groups) for groups in tested)


def test_kinetics_people_are_not_hmdb51s_and_validation_has_its_own() -> None:
    spec = manifest_and_spec("mini_kinetics400")[1]
    other = manifest_and_spec("mini_hmdb51")[1]
    people = {clip: KINETICS400.scene(clip, spec).actors[0].person.body for clip in all_clips(spec)}
    validation = {body for clip, body in people.items() if is_validation(clip, spec)}
    training = {body for clip, body in people.items() if not is_validation(clip, spec)}
    assert (len(training), len(validation), len(training & validation)) == (30, 6, 0)
    places = {KINETICS400.scene(clip, spec).place for clip in all_clips(spec)}
    for clip in all_clips(other):
        scene = HMDB51.scene(clip, other)
        assert scene.actors[0].person.body not in training | validation
        assert scene.place not in places
    ids = [kinetics400_video(clip, spec)[0] for clip in all_clips(spec)]
    assert len(set(ids)) == 360
    assert any(name.startswith("-") for name in ids)


@pytest.mark.parametrize("pair", load_dataset("mini_hmdb51").class_groups["reversed_pairs"])
@pytest.mark.parametrize("group", [1, 2, 5])
def test_reversed_pairs_are_each_other_backwards_to_the_last_pixel(pair: tuple[str, str], group: int) -> None:
    spec = MiniSpec(seed=1, min_frames=6, max_frames=9, width=160, height=120)
    one, other = (render_scene(HMDB51.scene(Clip(name, group, 1), spec)) for name in pair)
    assert (one == other[::-1]).all()
    assert (one != other).any()


@pytest.mark.parametrize("pair", load_dataset("mini_hmdb51").class_groups["same_motion"])
def test_pairs_of_one_motion_differ_in_look_alone(pair: tuple[str, str]) -> None:
    spec = manifest_and_spec("mini_hmdb51")[1]
    assert not set(LOOKS[pair[0]].places) & set(LOOKS[pair[1]].places)
    for group, clip in product(range(1, 12), (1, 3)):
        one, other = (HMDB51.scene(Clip(name, group, clip), spec) for name in pair)
        assert (one.length, one.camera, one.props) == (other.length, other.camera, other.props)
        first, second = one.actors[0], other.actors[0]
        assert first.person.body == second.person.body
        assert first.tool != second.tool
        for t in range(0, one.length, 4):
            assert first.joints(t) == second.joints(t)
            assert first.placement(t) == second.placement(t)


def test_every_other_pair_of_classes_moves_differently() -> None:
    manifest, spec = manifest_and_spec("mini_hmdb51")
    actions = {name: HMDB51.scene(Clip(name, 1, 1), spec).actors[0].action for name in manifest.classes}
    same = {tuple(sorted(pair)) for pair in manifest.class_groups["same_motion"]}
    assert {(a, b) for a, b in product(actions, actions) if a < b and actions[a] == actions[b]} == same


@pytest.mark.parametrize(("name", "miniature"), STANDING)
def test_everybody_stays_in_view(name: str, miniature: Miniature) -> None:
    _, spec = manifest_and_spec(name)
    for clip in all_clips(spec)[::2]:
        scene = miniature.scene(clip, spec)
        for t in (0, scene.length // 3, 2 * scene.length // 3, scene.length - 1):
            box = actor_box(scene, 0, t)
            assert box is not None
            assert min(box[0], box[1], spec.width - box[2], spec.height - box[3]) > 0


@pytest.mark.parametrize(
    ("name", "miniature", "digest"),
    [
        ("mini_ava", AVA, "31f20b2a2a9d866ea52f2cb66cfc96544c985be705d222802c94638f45b9b6b8"),
        ("mini_hmdb51", HMDB51, "6a20e3838138c9ed78b37bb9da7b4f4d0b5c79a2970238b1c4848f1fc2b078d1"),
        ("mini_sequences", UCF101, "cd2719e7e7d493df6f38d808b72ae89287dfe5c3c82adc4dc96bf778b273b8ca"),
        ("mini_timescales", KINETICS400, "79f3472768c7a92bc43031bcf67ea680dce97b19ae903dab15a85ec1af3d013b"),
        ("mini_kinetics400", KINETICS400, "1e15ab4f654c37d8037996e06162bebadf84b08954457e5c74c2ca77ea5962ac"),
    ],
)
def test_names_and_lists_do_not_change(name: str, miniature: Miniature, digest: str) -> None:
    """The records in the book name an index by its digest, and that hangs on every name."""
    assert sha256_json(miniature.lists(manifest_and_spec(name)[1])) == digest


@pytest.mark.parametrize(("name", "miniature"), [*MANIFESTS, ("mini_ava", AVA), ("mini_ucf101", UCF101)])
def test_what_the_lists_hold_is_what_the_manifest_says_and_needs_no_video(
    name: str, miniature: Miniature, tmp_path: Path
) -> None:
    manifest, spec = manifest_and_spec(name)
    for file, text in miniature.lists(spec).items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    for number, split in manifest.splits.items():
        if manifest.keyframes:
            index = ava_index(tmp_path, manifest, Data(manifest=name), videos=False)
        else:
            with pytest.raises(MissingVideos) as missing:
                READERS[manifest.dataset](tmp_path, manifest, int(number))
            index = missing.value.index
        assert index.truth_sha256 == split.truth_sha256
