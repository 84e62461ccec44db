"""Samples of several inputs as batches on disk: a folder for each input, and a digest of all that they hold."""

from __future__ import annotations

import numpy as np
import pytest

from actionbook.core.spec import Spec, SpecError
from actionbook.inference import InferenceError, read_batches, write_batches

BOXES = 3
SIZES = {"slow": (3, 2, 6, 6), "fast": (3, 4, 6, 6), "boxes": (BOXES, 4)}  # not in alphabetical order
SPEC = Spec(SIZES, (BOXES, 2))
COUNT = 7


def test_every_input_has_a_folder_and_comes_back(samples, stacked, write, tmp_path):
    batches = write(samples, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batches.info", "batches.json", *sorted(SIZES)]
    assert sorted(path.name for path in (tmp_path / "boxes").iterdir()) == ["0.bin", "1.bin", "2.bin"]
    assert batches.path(1, "boxes").stat().st_size == 3 * 4 * BOXES * 4
    opened = read_batches(tmp_path)
    assert opened == batches
    assert list(opened.spec.inputs) == list(SIZES)
    assert (opened.spec.output, opened.clips, len(opened)) == ((BOXES, 2), COUNT, 3)
    expected = stacked(samples)
    for name, shape in SIZES.items():
        raw = np.concatenate([np.fromfile(opened.path(k, name), "<f4").reshape(3, *shape) for k in range(3)])
        np.testing.assert_array_equal(raw[:COUNT], expected[name])
        assert not raw[COUNT:].any()
    assert (opened.ids[-1], list(opened.load(2))) == (("v,6",), list(SIZES))
    with pytest.raises(SpecError, match="slow, fast, boxes"):
        opened.path(0)  # of which input?


@pytest.mark.parametrize("name", SIZES)
def test_damage_of_any_input_is_named(name, samples, write, tmp_path):
    path = write(samples, tmp_path).path(1, name)
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    with pytest.raises(InferenceError, match=rf"{name}/1\.bin: {len(content) - 4} bytes, expected {len(content)}"):
        read_batches(tmp_path)
    path.unlink()
    with pytest.raises(InferenceError, match=rf"{name}/1\.bin is missing"):
        read_batches(tmp_path)
    path.write_bytes(content)
    path.with_name("3.bin").write_bytes(content)
    with pytest.raises(InferenceError, match=rf"{name}/3\.bin: not one of the 3"):
        read_batches(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": None}, "inputs .*fast.*expected slow, fast, boxes"),
        ({"mask": np.zeros(BOXES, np.float32)}, "mask.*expected slow, fast, boxes"),
        ({"boxes": np.zeros((BOXES + 1, 4), np.float32)}, r"'boxes' is .*expected float32 \(b, 3, 4\)"),
        ({"fast": np.zeros(SIZES["fast"])}, "'fast' is float64"),
    ],
    ids=["missing", "superfluous", "shape", "type"],
)
def test_samples_that_do_not_fit_are_refused(change, message, samples, write, tmp_path):
    name, arrays = samples[3]
    samples[3] = (name, {key: value for key, value in {**arrays, **change}.items() if value is not None})
    with pytest.raises(SpecError, match=message) as error:
        write(samples, tmp_path)
    assert "v,3" in str(error.value)
    with pytest.raises(InferenceError, match="not written completely"):
        read_batches(tmp_path)


def test_one_array_is_not_three_inputs(write, tmp_path):
    with pytest.raises(SpecError, match="one input"):
        write([("v", np.zeros(SIZES["slow"], np.float32))], tmp_path)


def test_another_set_leaves_nothing_of_the_first(samples, write, tmp_path):
    write(samples, tmp_path)
    (tmp_path / "fast" / ".tmp-77-x.bin").write_bytes(b"half")
    single = [(name, arrays["slow"]) for name, arrays in samples[:2]]
    again = write_batches(single, tmp_path, batch_size=2, spec=SIZES["slow"], progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batches.info", "batches.json", "image"]
    assert read_batches(tmp_path) == again


@pytest.mark.parametrize(
    "place", ["boxes/precious.bin", "slow/image_00001.jpg", "slow/deep/0.bin", "mask/0.bin", "0.bin"]
)
def test_foreign_files_are_named_and_left(place, samples, write, tmp_path):
    write(samples, tmp_path)
    foreign = tmp_path / place
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_bytes(b"precious")
    with pytest.raises(InferenceError, match=r"no batch writer made; choose an empty folder") as error:
        write(samples, tmp_path)
    assert str(tmp_path / place.split("/")[0]) in str(error.value)
    assert foreign.read_bytes() == b"precious"


def test_the_digest_is_of_content_and_of_nothing_else(samples, drawn, write, tmp_path):
    first = write(samples, tmp_path / "a").sha256
    assert write(drawn(), tmp_path / "elsewhere").sha256 == first
    assert read_batches(tmp_path / "a").sha256 == first
    changes = []
    for name in SIZES:
        other = drawn()
        other[-1][1][name].flat[-1] += 1
        changes.append(other)
    changes += [samples[::-1], samples[:-1], [("other", samples[0][1]), *samples[1:]]]
    found = [write(other, tmp_path / "b").sha256 for other in changes]
    sizes = [write(samples, tmp_path / "b", size).sha256 for size in (1, 7)]
    assert len({first, *found, *sizes}) == 1 + len(found) + len(sizes)


def test_inputs_that_have_changed_places_are_other_content(write, tmp_path):
    one, two = np.zeros(4, np.float32), np.ones(4, np.float32)
    first = write([("v", {"a": one, "b": two})], tmp_path / "1", spec=Spec({"a": (4,), "b": (4,)}))
    second = write([("v", {"a": two, "b": one})], tmp_path / "2", spec=Spec({"b": (4,), "a": (4,)}))
    shaped = write([("v", {"a": one, "b": two.reshape(2, 2)})], tmp_path / "3", spec=Spec({"a": (4,), "b": (2, 2)}))
    assert len({first.sha256, second.sha256, shaped.sha256}) == 3
