"""Manifests of weight files: what an entry must say, those of the book, and where a file is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import load_dataset, load_weights, weights_manifests
from actionbook.core.schema import merge, read_yaml, validate
from actionbook.core.spec import Spec
from actionbook.core.weight_files import WeightsManifest

GOOD: dict[str, Any] = read_yaml(Path(__file__).parent / "data" / "documents.yaml")["weights"]


def made(**changes: Any) -> WeightsManifest:
    """The small manifest with its one file changed."""
    return validate(WeightsManifest, {**GOOD, "files": [merge(GOOD["files"][0], changes)]}, "own.yaml")


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a number of classes that is none": ({"options": {"num_classes": 0}}, ["files.0", "num_classes", "found 0"]),
    "channels of the other stream": ({"options": {"in_channels": 2}}, ["in_channels is 2", "rgb has 3"]),
    "values of the other stream": ({"transform": {"mean": [1.0, 1.0]}}, ["transform", "mean has 2", "rgb has 3"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_name_file_and_key(name: str) -> None:
    changes, parts = REFUSED[name]
    with pytest.raises(BookError) as caught:
        made(**changes)
    assert str(caught.value).startswith("own.yaml: ")
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("key", ["modality", "size", "mean", "std", "frames", "stride"])
def test_nothing_of_a_transform_is_left_to_defaults(key: str) -> None:
    entry = {**GOOD["files"][0], "transform": {k: v for k, v in GOOD["files"][0]["transform"].items() if k != key}}
    with pytest.raises(BookError, match=key):
        validate(WeightsManifest, {**GOOD, "files": [entry]}, "own.yaml")


def test_consecutive_frames_have_a_stride_and_segments_none() -> None:
    transform = {key: value for key, value in GOOD["files"][0]["transform"].items() if key != "stride"}
    for sampling in ("segments", "superframes"):
        entry = {**GOOD["files"][0], "transform": {**transform, "sampling": sampling}}
        (file,) = validate(WeightsManifest, {**GOOD, "files": [entry]}, "own.yaml").files
        assert (file.transform.sampling, file.transform.stride) == (sampling, None)
        with pytest.raises(BookError, match=r"stride: consecutive frames have one and segments none, found 1"):
            made(transform={"sampling": sampling, "stride": 1})


def test_pathways_and_boxes_are_inputs() -> None:
    keyframe = {"sampling": "keyframe", "frames": 8, "pathways": {"slow": 4, "fast": 1}, "boxes": 5}
    (file,) = made(transform=keyframe).files
    assert file.spec == Spec({"slow": (3, 2, 16, 16), "fast": (3, 8, 16, 16), "boxes": (5, 4)}, (5, 2))
    assert list(file.spec.inputs) == ["slow", "fast", "boxes"]
    (whole,) = made(transform={**keyframe, "test_size": [32, 48]}).files
    assert whole.spec.inputs["fast"] == (3, 8, 32, 48)
    assert made().files[0].spec == Spec({"image": (3, 1, 16, 16)}, (2,))
    for changes, message in (
        ({"frames": 6}, r"pathway 'slow': 6 frames are no multiple of 4"),
        ({"boxes": None}, r"boxes: clips around a keyframe have them and others none, found None"),
        ({"sampling": "consecutive"}, r"boxes: clips around a keyframe .* found 5"),
        ({"channel_order": "bgr"}, r"channel_order bgr: only the first kernels of a network of one pathway"),
    ):
        with pytest.raises(BookError, match=message):
            made(transform=keyframe | changes)


@pytest.mark.parametrize("key", ["id", "name"])
def test_names_and_ids_differ(key: str) -> None:
    first = GOOD["files"][0]
    second = {**first, "id": "b", "name": "b.pth", key: first[key]}
    with pytest.raises(BookError, match=rf"stands twice: {first[key]}"):
        validate(WeightsManifest, {**GOOD, "files": [first, second]}, "own.yaml")


def test_files_that_are_not_loaded_say_what_they_are() -> None:
    silent = {key: value for key, value in GOOD["others"][0].items() if key != "note"}
    with pytest.raises(BookError, match=r"note.*a\.zip"):
        validate(WeightsManifest, {**GOOD, "others": [silent]}, "own.yaml")


def test_weight_files_by_name() -> None:
    manifest = made()
    assert manifest.file("a.pth") is manifest.files[0]
    assert [source.name for source in manifest.sources] == ["a.pth", "a.zip"]
    with pytest.raises(BookError, match=r"'best\.pth'.*a\.pth"):
        manifest.file("best.pth")
    with pytest.raises(BookError, match=r"'a\.zip' \(other\).*a\.pth"):
        manifest.file("a.zip")


def test_a_file_is_found_in_the_folder_or_below(tmp_path: Path) -> None:
    manifest = made(name="models/[1] a.pth", url=None)
    source = manifest.files[0]
    with pytest.raises(BookError, match=r"\[1\] a\.pth: is missing.*from h "):
        manifest.find(source, tmp_path)
    with pytest.raises(BookError, match=r"is missing.*from u "):
        made().find(made().files[0], tmp_path / "gone")
    below = tmp_path / "clone" / "models" / "[1] a.pth"
    below.mkdir(parents=True)  # a folder of that name is no file
    with pytest.raises(BookError, match="is missing"):
        manifest.find(source, tmp_path)
    below.rmdir()
    below.touch()
    assert manifest.find(source, tmp_path) == below
    first = tmp_path / "models" / "[1] a.pth"
    first.parent.mkdir()
    first.touch()
    assert manifest.find(source, tmp_path) == first


def test_the_manifest_of_i3d_pins_every_file() -> None:
    manifest = load_weights("weights_i3d")
    assert len(manifest.files) == 11
    assert len(manifest.sources) == 18
    for source in manifest.sources:
        assert source.status in ("single", "verified")
        assert source.url is not None
        assert source.url.endswith(source.name)
    assert manifest.file("rgb_imagenet.pt").git_blob == "73a4fd1d87eb3dbd97f33a9779fa1caa3d28111a"
    assert len({source.git_blob for source in manifest.sources}) == 18


def test_ids_are_of_the_whole_book_and_classes_those_of_the_data_set() -> None:
    entries = [entry for name in weights_manifests() for entry in load_weights(name).files]
    assert len({entry.id for entry in entries}) == len(entries)
    assert {"i3d_rgb_imagenet", "i3d_flow_imagenet", "mobilenetv2_3d_ucf101"} <= {entry.id for entry in entries}
    for entry in entries:
        if entry.trained_on.manifest is not None:
            assert len(load_dataset(entry.trained_on.manifest).classes) == entry.classes


def test_colours_of_the_files_that_opencv_read() -> None:
    orders = {entry.id: entry.transform.channel_order for entry in load_weights("weights_efficient3d").files}
    assert orders == {"mobilenetv2_3d_kinetics600": "bgr", "mobilenetv2_3d_ucf101": "rgb"}
