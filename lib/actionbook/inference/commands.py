"""The command lines of the Ascend tools that run OM files, and whether they are here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

DIR_NAME = "logits"  # ais_bench's results, below the folder that it is given


def ais_bench_command(
    model: Path | str,
    inputs: Path | str | Sequence[Path | str],
    results: Path | str,
    *,
    device: int | None = None,
    dynamic_batch: int | None = None,
    python: str = "python3",
) -> list[str]:
    """The `ais_bench` call that runs an OM over batches, into ``<results>/logits/<k>_0.bin``.

    `inputs` are the folders of the inputs in the OM's order; neither they nor `model` may have a comma in their paths.
    `dynamic_batch` is the batch to run of an OM that takes several.
    """
    return [
        python,
        "-m",
        "ais_bench",
        f"--model={model}",
        f"--input={_joined(inputs)}",
        f"--output={results}",
        f"--output_dirname={DIR_NAME}",
        "--outfmt=BIN",
        *([] if device is None else [f"--device={device}"]),
        *([] if dynamic_batch is None else [f"--dymBatch={dynamic_batch}"]),
    ]


def msit_command(
    model: Path | str,
    inputs: Path | str | Sequence[Path | str],
    results: Path | str,
    *,
    device: int | None = None,
    dynamic_batch: int | None = None,
) -> list[str]:
    """The same call through msit, ais_bench's newer front end; the results are laid out alike."""
    command = ais_bench_command(model, inputs, results, device=device, dynamic_batch=dynamic_batch)[3:]
    names = {"--model": "--om-model", "--output_dirname": "--output-dirname", "--dymBatch": "--dym-batch"}
    parts = (part.split("=", 1) for part in command)
    return ["msit", "benchmark", *(word for name, value in parts for word in (names.get(name, name), value))]


def msame_command(
    model: Path | str,
    inputs: Path | str | Sequence[Path | str],
    results: Path | str,
    *,
    device: int | None = None,
    dynamic_batch: int | None = None,
) -> list[str]:
    """The `msame` call that runs an OM over a folder of batches, into ``<results>/<time>/<k>_output_0.bin``.

    The folder must hold the batches only: msame runs every file that is not hidden, ``batches.info`` too.
    """
    options = ["--model", f"{model}", "--input", _joined(inputs), "--output", f"{results}", "--outfmt", "BIN"]
    further = {"--device": device, "--dymBatch": dynamic_batch}
    given = ([name, f"{value}"] for name, value in further.items() if value is not None)
    return ["msame", *options, *(word for pair in given for word in pair)]


def _joined(inputs: Path | str | Sequence[Path | str]) -> str:
    return str(inputs) if isinstance(inputs, str | Path) else ",".join(map(str, inputs))


def has_ais_bench(python: str = "python3") -> bool:
    """Whether the interpreter `python` (a name on the PATH, or a path) has ais_bench, and not another program of that
    name: AISBench, which evaluates language models, has no part ``infer``.
    """
    program = shutil.which(python)
    if program is None:
        return False
    test = "import importlib.util, sys; sys.exit(importlib.util.find_spec('ais_bench.infer') is None)"
    return subprocess.run([program, "-c", test], check=False, capture_output=True).returncode == 0
