from __future__ import annotations

import os

import numpy as np
import pytest

from actionbook.core.spec import Spec, SpecError
from actionbook.inference import InferenceError, read_port_batches, read_results, run_batches

SHAPE = (3, 2, 4, 5)
CLIPS = np.random.default_rng(2).standard_normal((4, *SHAPE), dtype=np.float32)


@pytest.fixture
def written(tmp_path):
    """As the port writes: two full batches of two, info elsewhere, no description."""
    folder = tmp_path / "bin1"
    folder.mkdir()
    for number in range(2):
        CLIPS[2 * number : 2 * number + 2].tofile(folder / f"{number}.bin")
    info = tmp_path / "ucf101.info"
    info.write_text("v_A_g08_c01 v_A_g08_c01 \nv_A_g08_c01 v_B_g08_c01 \n")
    return folder, info


def test_the_ports_batches_run_as_ours(written, sum_engine, tmp_path):
    batches = read_port_batches(*written, SHAPE, 2)
    ids, logits = read_results(run_batches(sum_engine(), batches, tmp_path / "out", progress=False), batches)
    assert ids == ["v_A_g08_c01"] * 3 + ["v_B_g08_c01"]
    np.testing.assert_allclose(logits[:, 0], CLIPS.sum(axis=(1, 2, 3, 4)), atol=1e-4)


def test_other_pixels_under_the_same_names_are_other_batches(written, sum_engine, tmp_path):
    (folder, info), out = written, tmp_path / "out"
    first = read_port_batches(folder, info, SHAPE, 2)
    assert (first.spec, first.path(1)) == (Spec.of(SHAPE), folder / "1.bin")
    assert read_port_batches(folder, info, SHAPE, 2).sha256 == first.sha256
    run_batches(sum_engine(), first, out, progress=False)
    time = (folder / "1.bin").stat().st_mtime_ns
    (-CLIPS[2:]).tofile(folder / "1.bin")
    os.utime(folder / "1.bin", ns=(time, time + 1))
    second = read_port_batches(folder, info, SHAPE, 2)
    with pytest.raises(InferenceError, match="results of other batches"):
        read_results(out, second)
    again = sum_engine()
    run_batches(again, second, out, progress=False)
    assert again.runs == 2
    np.testing.assert_allclose(read_results(out, second)[1][2:, 0], -CLIPS[2:].sum(axis=(1, 2, 3, 4)), atol=1e-4)
    info.write_text(info.read_text().replace("v_B", "v_C"))
    assert read_port_batches(folder, info, SHAPE, 2).sha256 != second.sha256


def test_the_port_knows_one_input(written):
    with pytest.raises(SpecError, match="one input"):
        read_port_batches(*written, Spec({"slow": SHAPE, "fast": SHAPE}), 2)


def cut(folder, info):
    (folder / "1.bin").write_bytes(bytes(8))


def remove(folder, info):
    (folder / "1.bin").unlink()


def add(folder, info):
    (folder / "2.bin").write_bytes(bytes(8))


def shorten(folder, info):
    info.write_text("v_A_g08_c01 \nv_A_g08_c01 v_B_g08_c01 \n")


def blank(folder, info):
    info.write_text("v_A_g08_c01 v_A_g08_c01 \n\nv_A_g08_c01 v_B_g08_c01 \n")


def empty(folder, info):
    info.write_text("")


def lose(folder, info):
    info.unlink()


def scramble(folder, info):
    info.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"1\.bin: 8 bytes, expected 960"),
        (remove, r"1\.bin is missing"),
        (add, r"2\.bin: not one of the 2 batches"),
        (shorten, r"ucf101\.info, line 1: 1 ids, expected 2"),
        (blank, r"ucf101\.info, line 2: 0 ids, expected 2"),
        (empty, r"ucf101\.info: empty"),
        (lose, r"ucf101\.info is missing"),
        (scramble, r"ucf101\.info: not text"),
    ],
)
def test_damage_is_named(written, damage, message):
    damage(*written)
    with pytest.raises(InferenceError, match=message):
        read_port_batches(*written, SHAPE, 2)
