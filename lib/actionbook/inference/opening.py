"""From a model file to the engine that runs it."""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import indent

from actionbook.core.process import typed
from actionbook.core.spec import Shape, Spec
from actionbook.inference.commands import ais_bench_command, has_ais_bench
from actionbook.inference.engines import MindirEngine, OnnxEngine
from actionbook.inference.errors import InferenceError
from actionbook.inference.interface import Engine
from actionbook.inference.om import AisBenchEngine, MsameEngine


def open_engine(
    path: Path | str,
    *,
    batch_size: int | None = None,
    spec: Spec | Shape | None = None,
    device: int = 0,
    dynamic_batch: bool = False,
    python: str = "python3",
) -> Engine:
    """The engine for a model file, by its suffix: ``.onnx``, ``.mindir`` or ``.om``.

    The options are for ``.om``, which runs on Ascend only: the batch size and the spec (or clip shape (C, T, H, W)) it
    was compiled for, which this library cannot read from the file, the number of the card, `dynamic_batch` where it
    takes several batch sizes, of which `batch_size` is one, and the Python that ais_bench is installed in. ais_bench is
    taken where it is installed, else msame. Raises InferenceError for a missing file, another suffix, or an OM file
    where there is no tool; the message then gives the command.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return OnnxEngine(path)
    if path.suffix == ".mindir":
        return MindirEngine(path)
    if path.suffix != ".om":
        raise InferenceError(f"{path}: not a kind of model that is known here; expected .onnx, .mindir or .om")
    ais_bench = has_ais_bench(python)
    if not ais_bench and shutil.which("msame") is None:
        command = typed(ais_bench_command(path.name, "BATCHES", "RESULTS"), path.absolute().parent)
        raise InferenceError(
            f"{path}: an OM file runs on a machine with an Ascend card, CANN, and ais_bench or msame; here is neither "
            "tool (a Python package ais_bench without a part `infer` is another program of that name). There:\n"
            f"{indent(command, '    ')}\nThen read RESULTS/logits with read_results"
        )
    if batch_size is None or spec is None:
        raise InferenceError(
            f"{path}: say what it was compiled for, the shape in atc's --input_shape: "
            "open_engine(path, batch_size=..., spec=(C, T, H, W))"
        )
    if ais_bench:
        return AisBenchEngine(
            path, batch_size=batch_size, spec=spec, device=device, dynamic_batch=dynamic_batch, python=python
        )
    return MsameEngine(path, batch_size=batch_size, spec=spec, device=device, dynamic_batch=dynamic_batch)
