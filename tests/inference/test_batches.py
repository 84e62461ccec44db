from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actionbook.core.spec import SpecError
from actionbook.inference import InferenceError, read_batches, write_batches
from actionbook.inference.batches import link

SHAPE = (3, 2, 4, 5)
BYTES = 3 * 4 * int(np.prod(SHAPE))


def test_files_are_as_the_port_writes_them(clips, batches):
    files = sorted(path.relative_to(batches.folder).as_posix() for path in batches.folder.rglob("*"))
    assert files == ["batches.info", "batches.json", "image", "image/0.bin", "image/1.bin", "image/2.bin"]
    assert {batches.path(k).stat().st_size for k in range(3)} == {BYTES}
    second = np.fromfile(batches.path(1), "<f4").reshape(3, *SHAPE)
    np.testing.assert_array_equal(second, np.stack([clip for _, clip in clips[3:6]]))
    lines = (batches.folder / "batches.info").read_text(encoding="utf-8").split("\n")
    assert lines == ["v_打_g00 v_打_g00 v_打_g01 ", "v_打_g01 v_打_g02 v_打_g02 ", "v_打_g03 ", ""]


def test_the_last_batch_is_padded_with_zeros_and_masked(clips, batches):
    opened = read_batches(batches.folder)
    assert opened == batches
    assert (len(opened), opened.clips) == (3, 7)
    assert [name for ids in opened.ids for name in ids] == [name for name, _ in clips]
    assert opened.ids[-1] == ("v_打_g03",)
    first, last = opened.ready([0, 2])
    np.testing.assert_array_equal(first["image"], np.stack([clip for _, clip in clips[:3]]))
    np.testing.assert_array_equal(last["image"][0], clips[6][1])
    assert not last["image"][1:].any()


def test_rewriting_leaves_no_old_batch(clips, batches):
    smaller = write_batches(clips[:2], batches.folder, batch_size=3, spec=SHAPE, progress=False)
    assert len(read_batches(smaller.folder)) == 1
    assert not smaller.path(2).exists()


def test_batches_without_files_are_the_same_and_are_made_again(clips, batches):
    """The files that were there are gone; ids and digest stay, and results of one are those of the other."""
    bare = write_batches(clips, batches.folder, batch_size=3, spec=SHAPE, keep=False, progress=False)
    assert sorted(path.name for path in bare.folder.rglob("*")) == ["batches.info", "batches.json"]
    assert (bare.ids, bare.sha256, bare.bytes()) == (batches.ids, batches.sha256, BYTES)
    opened = read_batches(bare.folder)
    assert opened == bare
    for using in (lambda: opened.load(0), lambda: opened.ready([0])):
        with pytest.raises(InferenceError, match=r"3e-06 GB|4\.32e-06 GB, were not kept \(export\.keep_batches"):
            using()

    def again(numbers):
        return ({"image": np.full((3, *SHAPE), number, np.float32)} for number in numbers)

    filled = replace(opened, again=again)
    assert [batch["image"].max() for batch in filled.ready([0, 2])] == [0, 2]
    assert filled.load(1)["image"].min() == 1
    kept = write_batches(clips, batches.folder, batch_size=3, spec=SHAPE, progress=False)
    assert kept == batches == read_batches(batches.folder)


def test_files_among_those_that_were_not_kept_are_said(clips, batches):
    left = batches.path(0).read_bytes()
    bare = write_batches(clips, batches.folder, batch_size=3, spec=SHAPE, keep=False, progress=False)
    bare.folder_of("image").mkdir()
    bare.path(0).write_bytes(left)
    with pytest.raises(InferenceError, match=r"0\.bin: not one of the 0 batches"):
        read_batches(bare.folder)


def test_an_interrupted_write_is_recognised(clips, tmp_path):
    def stopping():
        yield from clips[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_batches(stopping(), tmp_path, batch_size=3, spec=SHAPE, progress=False)
    assert (tmp_path / "image" / "0.bin").exists()
    with pytest.raises(InferenceError, match="not written completely"):
        read_batches(tmp_path)


def test_links_are_hard_where_they_can_be(batches, tmp_path, monkeypatch):
    link(batches.path(0), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").samefile(batches.path(0))
    assert not (tmp_path / "a.bin").is_symlink()

    def refuse(self, target):
        raise OSError("another file system")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.chdir(tmp_path)
    link(batches.path(0).relative_to(tmp_path), tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == batches.path(0).read_bytes()


def test_what_a_killed_writer_left_is_no_batch(clips, batches):
    (batches.folder / ".tmp-77-abc.bin").write_bytes(b"half")
    assert read_batches(batches.folder) == batches
    assert write_batches(clips, batches.folder, batch_size=3, spec=SHAPE, progress=False) == batches


def cut(folder):
    (folder / "image" / "1.bin").write_bytes((folder / "image" / "1.bin").read_bytes()[:-4])


def remove(folder):
    (folder / "image" / "1.bin").unlink()


def add(folder):
    (folder / "image" / "3.bin").write_bytes(bytes(BYTES))


def tamper(folder):
    info = folder / "batches.info"
    info.write_text(info.read_text(encoding="utf-8").replace("g00", "g09"), encoding="utf-8")


def lose_info(folder):
    (folder / "batches.info").unlink()


def halve(folder):
    describe(folder, dtype="float16")


def lie(folder):
    describe(folder, clips=8)


def half_keep(folder):
    describe(folder, kept="half")


def scramble(folder):
    (folder / "batches.json").write_text("[1, 2]")


def describe(folder, **changes):
    path = folder / "batches.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, f"1.bin: {BYTES - 4} bytes, expected {BYTES}"),
        (remove, "1.bin is missing"),
        (add, "3.bin: not one of the 3 batches"),
        (tamper, "batches.info has been changed"),
        (lose_info, "batches.info is missing"),
        (halve, "dtype 'float16'"),
        (lie, "7 clips; batches.json says 3, 8"),
        (half_keep, "not readable"),
        (scramble, "not readable"),
    ],
)
def test_damage_is_named(batches, damage, message):
    damage(batches.folder)
    with pytest.raises(InferenceError, match=message):
        read_batches(batches.folder)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (("a b", np.zeros(SHAPE, np.float32)), "without white space"),
        (("", np.zeros(SHAPE, np.float32)), "without white space"),
        (("a", np.zeros((3, 2, 4, 4), np.float32)), r"expected float32 \(b, 3, 2, 4, 5\)"),
        (("a", np.zeros(SHAPE)), "float64"),
    ],
)
def test_clips_that_do_not_fit_are_refused(tmp_path, clip, message):
    with pytest.raises((InferenceError, SpecError), match=message):
        write_batches([clip], tmp_path, batch_size=2, spec=SHAPE, progress=False)


def test_nothing_to_write_and_foreign_files_are_refused(clips, tmp_path):
    with pytest.raises(InferenceError, match="no clips"):
        write_batches([], tmp_path, batch_size=2, spec=SHAPE, progress=False)
    (tmp_path / "weights.bin").write_bytes(b"precious")
    with pytest.raises(InferenceError, match=r"weights\.bin"):
        write_batches(clips, tmp_path, batch_size=2, spec=SHAPE, progress=False)
    assert (tmp_path / "weights.bin").read_bytes() == b"precious"
