"""Samples of two pathways and boxes through every engine; results belong to the content of their batches."""

from __future__ import annotations

import json
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from actionbook.conversion import export_mindir, export_onnx
from actionbook.core.spec import Spec, SpecError
from actionbook.inference import (
    AisBenchEngine,
    InferenceError,
    MindirEngine,
    MsameEngine,
    NetworkEngine,
    OnnxEngine,
    ais_bench_command,
    measure,
    msame_command,
    msit_command,
    read_results,
    run_batches,
)

BOXES = 3
SIZES = {"slow": (3, 2, 6, 6), "fast": (3, 4, 6, 6), "boxes": (BOXES, 4)}  # not in alphabetical order
SPEC = Spec(SIZES, (BOXES, 2))
KINDS = (AisBenchEngine, MsameEngine)
COUNT = 7


class Pathways(nn.Cell):
    """Two clips and boxes -> logits (N, M, 2); each input has a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        ms.set_seed(3)
        self.slow, self.fast = nn.Conv3d(3, 4, (1, 3, 3)), nn.Conv3d(3, 4, 3)
        self.corners, self.head = nn.Dense(4, 8), nn.Dense(8, 2)

    def construct(self, slow: Tensor, fast: Tensor, boxes: Tensor) -> Tensor:
        seen = ops.concat((self.slow(slow).mean(axis=(2, 3, 4)), self.fast(fast).mean(axis=(2, 3, 4))), 1)
        return self.head(ops.tanh(self.corners(boxes)) + seen.expand_dims(1))


class Twice(nn.Cell):
    """Two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(4, 2)

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.dense(x), self.dense(-x)


def sums(samples) -> np.ndarray:
    """What the stand-ins of the Ascend tools give, see stand_ins/fake_om.py: (N, M, 2)."""
    rows = [
        [(arrays["slow"].sum() + 2 * arrays["fast"].sum(), box.sum()) for box in arrays["boxes"]]
        for _, arrays in samples
    ]
    return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def network() -> nn.Cell:
    return Pathways().set_train(False)


@pytest.fixture(scope="module")
def models(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, batch in (("any", None), ("four", 4)):
        export_mindir(network, folder / f"{name}.mindir", SPEC, batch=batch)
        export_onnx(network, folder / f"{name}.onnx", SPEC, batch=batch)
    return folder


@pytest.fixture
def two_pathways(om):
    """Writes a model file of these inputs for the stand-ins."""

    def write(batch, **options):
        numbers = [int(np.prod(shape)) for shape in SIZES.values()]
        return om(batch, inputs=numbers, boxes=BOXES, **options)

    return write


# What tells batches apart


def test_results_of_the_same_ids_and_other_pixels_are_never_shared(network, samples, drawn, write, tmp_path):
    out = tmp_path / "out"
    first = write(samples, tmp_path / "first")
    run_batches(NetworkEngine(network, 3, SPEC), first, out, progress=False)
    before = read_results(out, first)[1]
    other = drawn()
    other[0][1]["boxes"][0, 0] += 1
    second = write(other, tmp_path / "second")
    assert second.ids == first.ids
    with pytest.raises(InferenceError, match="results of other batches"):
        read_results(out, second)
    run_batches(NetworkEngine(network, 3, SPEC), second, out, progress=False)
    after = read_results(out, second)[1]
    assert (after[0, 0] != before[0, 0]).any()
    np.testing.assert_array_equal(after[1:], before[1:])
    with pytest.raises(InferenceError, match="results of other batches"):
        read_results(out, first)
    rewritten = write(samples, tmp_path / "second")  # in the place of the second, with the first's content
    run_batches(NetworkEngine(network, 3, SPEC), rewritten, out, progress=False)
    np.testing.assert_array_equal(read_results(out, first)[1], before)


# Engines of this process


@pytest.mark.parametrize("name", ["network", "any.mindir", "four.mindir", "any.onnx", "four.onnx"])
def test_every_engine_gives_the_networks_logits_of_every_box(
    *, name, network, models, samples, stacked, write, tmp_path
):
    arrays = stacked(samples)
    expected = network(*(Tensor(arrays[key]) for key in SIZES)).asnumpy()
    assert expected.shape == (COUNT, BOXES, 2)
    kinds = {"mindir": MindirEngine, "onnx": OnnxEngine}
    engine = NetworkEngine(network, 4, SPEC) if name == "network" else kinds[name.split(".")[1]](models / name)
    assert engine.spec.inputs == SIZES
    assert list(engine.spec.inputs) == list(SIZES)
    batches = write(samples, tmp_path / "in", 4)
    ids, logits = read_results(run_batches(engine, batches, tmp_path / "out", progress=False), batches)
    assert ids == [key for key, _ in samples]
    assert logits.shape == (COUNT, BOXES, 2)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    some = {key: arrays[key][:2] for key in reversed(SIZES)}  # names decide, not the order; fewer are padded
    np.testing.assert_allclose(engine.run(some), expected[:2], atol=1e-5)
    with pytest.raises(SpecError, match="boxes"):
        engine.run({key: arrays[key][:2] for key in ("slow", "fast")})
    with pytest.raises(SpecError, match="samples"):
        engine.run({**some, "boxes": arrays["boxes"][:3]})
    with pytest.raises(SpecError, match="one input"):
        engine.run(arrays["slow"][:2])


def test_a_network_without_a_spec_takes_one_input(network, samples, stacked):
    with pytest.raises(InferenceError, match="spec"):
        NetworkEngine(network).run(stacked(samples))


def test_models_of_two_outputs_are_refused(tmp_path):
    network = Twice().set_train(False)
    x = np.ones((2, 4), np.float32)
    with pytest.raises(InferenceError, match="2 outputs"):
        NetworkEngine(network).run(x)
    ms.export(network, Tensor(x), file_name=str(tmp_path / "two"), file_format="MINDIR")
    with pytest.raises(InferenceError, match=r"two\.mindir: has 2 outputs"):
        MindirEngine(tmp_path / "two.mindir")


def test_an_output_of_another_shape_than_the_batches_say(network, samples, write, tmp_path):
    batches = write(samples, tmp_path / "in", spec=SPEC.with_output((BOXES, 5)))
    with pytest.raises(InferenceError, match=r"batch 0: output \(3, 3, 2\), expected \(3, 3, 5\)"):
        run_batches(NetworkEngine(network, 3, SPEC), batches, tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").glob("*_0.bin"))


def test_what_is_timed_are_all_inputs(models):
    timed = measure(MindirEngine(models / "any.mindir"), 2, repeats=3, progress=False)
    assert (timed.inputs, timed.batch) == (SIZES, 2)
    assert measure(OnnxEngine(models / "four.onnx"), 3, repeats=3, progress=False).batch == 3


# The tools of Ascend


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("kind", KINDS)
def test_the_tools_take_a_folder_for_each_input(*, kind, two_pathways, drawn, stacked, write, tmp_path):
    many = drawn(count=12)
    batches = write(many, tmp_path / "in, 1", 1)  # 10.bin sorts before 2.bin for msame
    engine = kind(two_pathways(1), batch_size=1, spec=SPEC)
    ids, logits = read_results(run_batches(engine, batches, tmp_path / "out", progress=False), batches)
    assert ids == [name for name, _ in many]
    assert logits.shape == (12, BOXES, 2)
    np.testing.assert_allclose(logits, sums(many), atol=1e-3)
    four = kind(two_pathways(4), batch_size=4, spec=SPEC)
    some = {name: array[:3] for name, array in stacked(many).items()}
    np.testing.assert_allclose(four.run(some), sums(many)[:3], atol=1e-3)
    timed = measure(four, 3, repeats=5, progress=False)
    assert (timed.inputs, timed.batch) == (SIZES, 3)


@pytest.mark.usefixtures("tools")
def test_ais_bench_combines_small_files_of_every_input(two_pathways, samples, write, tmp_path):
    batches = write(samples, tmp_path / "in", 2)
    engine = AisBenchEngine(two_pathways(4), batch_size=4, spec=SPEC)
    _, logits = read_results(run_batches(engine, batches, tmp_path / "out", progress=False), batches)
    np.testing.assert_allclose(logits, sums(samples), atol=1e-3)
    assert len(list((tmp_path / "out").glob("*_0.bin"))) == 4


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_tool_is_carried_on_with_all_inputs(kind, two_pathways, drawn, write, tmp_path):
    many, path = drawn(count=12), two_pathways(1, die_after=7)
    batches = write(many, tmp_path / "in", 1)
    with pytest.raises(InferenceError, match=r"killed"):
        run_batches(kind(path, batch_size=1, spec=SPEC), batches, tmp_path / "out", progress=False)
    assert len(list((tmp_path / "out").glob("*_0.bin"))) == 7
    path.write_text(path.read_text().replace('"die_after": 7', '"die_after": -1'))
    engine, record = kind(path, batch_size=1, spec=SPEC), tmp_path / "out" / "results.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "model_sha256": engine.sha256}))
    _, logits = read_results(run_batches(engine, batches, tmp_path / "out", progress=False), batches)
    np.testing.assert_allclose(logits, sums(many), atol=1e-3)
    assert engine.throughput().runs == 5 - (kind is MsameEngine)


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inputs", [{"slow": SIZES["slow"]}, {**SIZES, "mask": (BOXES,)}], ids=["fewer", "more"])
def test_batches_of_other_inputs_are_refused_before_the_tool_starts(
    *, kind, inputs, two_pathways, samples, write, tmp_path
):
    engine = kind(two_pathways(3), batch_size=3, spec=Spec(inputs))
    with pytest.raises(InferenceError, match=f"slow.*told the inputs {', '.join(inputs)}"):
        run_batches(engine, write(samples, tmp_path / "in"), tmp_path / "out", progress=False)


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_of_another_size_than_stated_are_refused(*, kind, two_pathways, samples, stacked, write, tmp_path):
    batches = write(samples, tmp_path / "in")
    engine = kind(two_pathways(3), batch_size=3, spec=SPEC.with_output((BOXES, 5)))
    with pytest.raises(InferenceError, match=r"wrote 72 bytes for 0\.bin, expected 180"):
        run_batches(engine, batches, tmp_path / "out", progress=False)
    with pytest.raises(InferenceError, match=r"expected 180"):
        engine.run(stacked(samples[:3]))
    half = kind(two_pathways(3, float16=True), batch_size=3, spec=SPEC)
    with pytest.raises(InferenceError, match=r"wrote 36 bytes .* expected 72.*float16\?"):
        run_batches(half, batches, tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").glob("*_0.bin"))


@pytest.mark.usefixtures("tools")
def test_a_model_of_another_number_of_inputs_is_explained(om, samples, write, tmp_path):
    """The engine was told three inputs, the file has one."""
    engine = AisBenchEngine(om(3), batch_size=3, spec=SPEC)
    with pytest.raises(
        InferenceError, match=r"(?s)exit status 1.*--input=work/in/slow,work/in/fast,work/in/boxes.*input dir num:3"
    ):
        run_batches(engine, write(samples, tmp_path / "in"), tmp_path / "out", progress=False)


def test_commands_of_several_inputs():
    folders = ["in/slow", "in/fast", "in/boxes"]
    assert "--input=in/slow,in/fast,in/boxes" in ais_bench_command("net.om", folders, "out")
    msame = "msame --model net.om --input in/slow,in/fast,in/boxes --output out --outfmt BIN --device 1"
    assert " ".join(msame_command("net.om", folders, "out", device=1)) == msame
    msit = (
        "msit benchmark --om-model net.om --input in/slow,in/fast,in/boxes --output out --output-dirname logits "
        "--outfmt BIN"
    )
    assert " ".join(msit_command("net.om", folders, "out")) == msit


def test_results_of_boxes_must_be_of_the_size_that_the_spec_says(network, samples, write, tmp_path):
    batches = write(samples, tmp_path / "in")
    out = run_batches(NetworkEngine(network, 3, SPEC), batches, tmp_path / "out", progress=False)
    with pytest.raises(InferenceError, match="72 bytes, expected 180"):
        read_results(out, replace(batches, spec=SPEC.with_output((BOXES, 5))))
    flat = read_results(out, replace(batches, spec=SPEC.with_output(None)))[1]
    np.testing.assert_array_equal(flat.reshape(COUNT, BOXES, 2), read_results(out, batches)[1])
