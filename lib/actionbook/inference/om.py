"""OM files on an Ascend card, through the tools ais_bench and msame, which run a folder of raw batches at a time.

Their habits, from their sources (Ascend/tools, folders ais-bench_workload/tool/ais_bench and msame):

========================  ===========================================  ==========================================
\\                         ais_bench                                    msame
========================  ===========================================  ==========================================
takes from the folder     ``.bin`` and ``.npy``, 2.bin before 10.bin   every file not hidden, 10.bin before 2.bin
files in an inference     as many as fill the OM's batch               one
last inference            filled up with its first file, not saved     the same as any
output of ``12.bin``      ``<output>/<dirname>/12_0.bin``              ``<output>/<time>/12_output_0.bin``
several inputs            a folder each, commas between                a folder each, commas between
failure                   exit status 1                                often exit status 0
========================  ===========================================  ==========================================

So the tools run in a folder of their own, with links to the batches and plain relative paths, and success is what they
have written, not what they say.
"""

from __future__ import annotations

import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from actionbook.core.files import sha256_file
from actionbook.core.paths import is_plain
from actionbook.core.process import run_logged
from actionbook.core.progress import progress_bar
from actionbook.core.spec import Arrays, Shape, Spec, samples
from actionbook.inference.batches import DTYPE, link
from actionbook.inference.commands import DIR_NAME, ais_bench_command, msame_command
from actionbook.inference.errors import InferenceError
from actionbook.inference.interface import IN_NAME, FolderRun, existing
from actionbook.inference.summaries import Summary, parse_ais_bench_summary, parse_msame_console
from actionbook.inference.throughput import Throughput, write_inputs
from actionbook.inference.tools import explained

OUT_NAME, LOG_NAME = "out", "tool.log"
# Output 0 of <k>.bin: <k>_0.bin of ais_bench, <k>_output_0.bin of msame.
RESULT_NAME = re.compile(r"(0|[1-9]\d*)(?:_output)?_0\.bin")


class OmEngine(ABC):
    """What both tools have in common.

    `batch_size` and `spec` (a shape alone: one input) are what the OM was compiled for (atc's --input_shape); they
    cannot be read from the file here. An OM that takes several batch sizes (atc's --dynamic_batch_size) is run at
    `batch_size`, one of them, with `dynamic_batch`. `device` is the number of the card. The outputs must be float32:
    compile with --output_type=FP32 if the network does not end so.
    """

    name = "OM"

    def __init__(
        self,
        path: Path | str,
        *,
        batch_size: int,
        spec: Spec | Shape,
        device: int = 0,
        dynamic_batch: bool = False,
    ) -> None:
        self.path = existing(Path(path)).absolute()  # the tool runs in another folder
        if batch_size < 1:
            raise InferenceError(f"{path}: batch size {batch_size}: expected 1 or more")
        self.batch_size: int | None = batch_size
        self.spec = Spec.of(spec)
        self.device = device
        self.dynamic_batch = dynamic_batch
        self.sha256 = sha256_file(self.path)
        self._batch = batch_size
        self._summary: Summary | None = None

    def run(self, batch: Arrays | np.ndarray) -> np.ndarray:
        """See `Engine.run`. Starts the tool and loads the model for this one batch: slow; see `run_batches`."""
        full = self.spec.padded(batch, str(self.path), self._batch)
        shape = self.spec.output or (-1,)
        with tempfile.TemporaryDirectory(prefix="actionbook-om-") as name:
            write_inputs(Path(name), full)
            done = self.run_folder(Path(name), progress=False)
            return np.fromfile(done.results[0], DTYPE).reshape(self._batch, *shape)[: samples(self.spec.named(batch))]

    def throughput(self, clips: int | None = None) -> Throughput:
        """Of the last call of the tool: NPU compute time only, for `clips` real ones in each batch (None: all).

        Raises InferenceError where there was no call, or where ais_bench counted another batch than stated.
        """
        if self._summary is None:
            raise InferenceError(f"{self.path}: nothing has been run yet; call run_batches or measure first")
        stated = self._summary.batch
        if stated is not None and stated != self._batch:
            raise InferenceError(
                f"{self.path}: {self.name} counts {stated} clips in an inference, the engine was told {self._batch}. "
                "Open it with the batch size of atc's --input_shape"
            )
        return self._summary.throughput(self.name, clips or self._batch, self.spec)

    @abstractmethod
    def check_files(self, clips: int) -> None:
        """See `FolderEngine.check_files`."""

    def run_folder(self, work: Path, *, progress: bool = True) -> FolderRun:
        """See `FolderEngine.run_folder`."""
        inputs = self._numbers(work)
        clips = self._clips_per_file(work)
        self.check_files(clips)
        (work / OUT_NAME).mkdir()
        log = work / LOG_NAME
        with ExitStack() as stack:
            bar = stack.enter_context(progress_bar(len(inputs), self.name, "batches")) if progress else None

            def tick() -> None:
                if bar is not None:
                    bar.update(len(self._found(work)) - bar.n)

            place, command = stack.enter_context(self._started(work))
            status = run_logged(command, place, log, tick=tick)
            tick()
        console = log.read_text(encoding="utf-8", errors="replace")
        found = self._found(work)
        missing = sorted(inputs - set(found))
        if status or missing:
            raise InferenceError(
                f"{self.path}: {len(inputs) - len(missing)} of {len(inputs)} batches have results"
                f"{f', {missing[0]}.bin has none' if missing else ''}; "
                + explained(command, status, console, {k: self._batch * self.spec.bytes(k) for k in self.spec.inputs})
            )
        self._check_results(work, found, clips)
        self._summary, path = self._read_times(work, console)
        return FolderRun({number: found[number] for number in inputs}, console, path)

    def finished(self, work: Path) -> dict[int, Path]:
        """See `FolderEngine.finished`. The last one written may be cut off, and is not among them."""
        found = self._found(work)
        if found:
            del found[max(found, key=lambda number: found[number].stat().st_mtime_ns)]
        try:
            self._check_results(work, found, self._clips_per_file(work))
        except (InferenceError, OSError):  # wrong for the model, not only for this call; or half removed already
            return {}
        return found

    def _numbers(self, work: Path) -> set[int]:
        """Numbers of the batches that a call is to run."""
        given = sorted(path.name for path in (work / IN_NAME).iterdir())
        if given != sorted(self.spec.inputs):
            told = ", ".join(self.spec.inputs)
            raise InferenceError(f"{self.path}: batches of {', '.join(given)}; the engine was told the inputs {told}")
        found = [{int(path.stem) for path in (work / IN_NAME / name).glob("*.bin")} for name in given]
        if any(numbers != found[0] for numbers in found):
            raise InferenceError(f"{self.path}: inputs {', '.join(given)} have files of other batches")
        return found[0]

    def _clips_per_file(self, work: Path) -> int:
        counts = set()
        for name in self.spec.inputs:
            size = self.spec.bytes(name)
            sizes = {path.stat().st_size for path in (work / IN_NAME / name).glob("*.bin")}
            if len(sizes) != 1 or sizes == {0} or min(sizes) % size:
                raise InferenceError(
                    f"{self.path}: batches of {sorted(sizes)} bytes of {name!r}, expected one size, a multiple of "
                    f"{size} (float32 {tuple(self.spec.inputs[name])}). Write the batches for the OM's shapes"
                )
            counts.add(min(sizes) // size)
        if len(counts) > 1:
            raise InferenceError(f"{self.path}: inputs have files of {sorted(counts)} samples; expected one number")
        return counts.pop()

    @contextmanager
    def _started(self, work: Path) -> Iterator[tuple[Path, list[str]]]:
        """Where the tool runs over the folder `work`, and its command there, with plain relative names.

        ais_bench refuses other signs than letters, digits and ``_ - . /`` in a path, its newest releases in the
        absolute one, and files that are symbolic links. So where the folders are called otherwise the tool runs in one
        from which links lead to them.
        """
        with ExitStack() as stack:
            place, model, seen = work.resolve(), os.path.relpath(self.path, work.resolve()), Path()
            if not (is_plain(place) and is_plain(self.path)):
                place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="actionbook-om-")))
                seen = Path("work")
                (place / seen).symlink_to(work.resolve())
                if is_plain(self.path.name):
                    model = f"model/{self.path.name}"
                    (place / "model").symlink_to(self.path.parent)
                else:
                    model = "model.om"
                    link(self.path, place / model)
            inputs = [seen / IN_NAME / name for name in self.spec.inputs]
            yield place, self._command(model, inputs, seen / OUT_NAME)

    def _check_results(self, work: Path, found: dict[int, Path], clips: int) -> None:
        others = sorted(path.name for path in self._outputs(work) if not RESULT_NAME.fullmatch(path.name))
        if others:
            raise InferenceError(f"{self.path}: {self.name} wrote {others[0]} as well; expected one output, the logits")
        row, shape = clips * DTYPE.itemsize, self.spec.output
        if shape is None:
            usual, expected = max((path.stat().st_size for path in found.values()), default=0), f"a multiple of {row}"
        else:
            usual = row * int(np.prod(shape))
            expected = f"{usual}, {shape} each"
        for number, path in sorted(found.items()):
            size = path.stat().st_size
            if size == 0 or size != usual or size % row:
                half = size and (size == usual or (shape is not None and size * 2 == usual))
                hint = "; float16? export with output_type FP32" if half else ""
                raise InferenceError(
                    f"{self.path}: {self.name} wrote {size} bytes for {number}.bin, expected {expected} "
                    f"(float32 logits of {clips} clips), the same for every file{hint}"
                )

    def _found(self, work: Path) -> dict[int, Path]:
        """Number -> result, as far as the tool has got."""
        matches = ((RESULT_NAME.fullmatch(path.name), path) for path in self._outputs(work))
        return {int(match[1]): path for match, path in matches if match}

    def _outputs(self, work: Path) -> list[Path]:
        """Every file that the tool has written for a batch, in its folder below ``out``."""
        return sorted((work / OUT_NAME).glob("*/*.bin"))

    @abstractmethod
    def _command(self, model: str, inputs: Sequence[Path], results: Path) -> list[str]:
        """The tool's command line."""

    @property
    def _gear(self) -> int | None:
        """The batch that the tool is to set, of an OM that takes several."""
        return self._batch if self.dynamic_batch else None

    @abstractmethod
    def _read_times(self, work: Path, console: str) -> tuple[Summary, Path | None]:
        """What the tool said of its times, and the file it said it in."""


class AisBenchEngine(OmEngine):
    """An OM file in ais_bench (also called ais_infer), as ``python -m ais_bench`` of the Python given.

    Files of fewer clips than the OM's batch are combined into full batches, where their number divides it.
    """

    name = "OM, ais_bench"

    def __init__(
        self,
        path: Path | str,
        *,
        batch_size: int,
        spec: Spec | Shape,
        device: int = 0,
        dynamic_batch: bool = False,
        python: str = "python3",
    ) -> None:
        super().__init__(path, batch_size=batch_size, spec=spec, device=device, dynamic_batch=dynamic_batch)
        self._python = python

    def check_files(self, clips: int) -> None:
        """Files must hold a number of clips that divides the OM's batch."""
        if self._batch % clips:
            raise InferenceError(
                f"{self.path}: takes batches of {self._batch} clips, made up of files of {clips}; {self._batch} is no "
                f"multiple of {clips}. Write batches of {self._batch}, or of a number that divides it"
            )

    def _command(self, model: str, inputs: Sequence[Path], results: Path) -> list[str]:
        return ais_bench_command(
            model, inputs, results, device=self.device, dynamic_batch=self._gear, python=self._python
        )

    def _read_times(self, work: Path, console: str) -> tuple[Summary, Path | None]:
        for name in (f"{DIR_NAME}_summary.json", f"{DIR_NAME}/sumary.json"):  # the second in old versions
            if (work / OUT_NAME / name).is_file():
                return parse_ais_bench_summary(work / OUT_NAME / name), work / OUT_NAME / name
        raise InferenceError(f"{self.path}: ais_bench wrote no summary; end of its output:\n{console[-1000:]}")


class MsameEngine(OmEngine):
    """An OM file in msame, the older tool, from the PATH. It runs every file by itself, so files hold full batches."""

    name = "OM, msame"

    def check_files(self, clips: int) -> None:
        """Files must hold exactly the OM's batch."""
        if clips != self._batch:
            raise InferenceError(
                f"{self.path}: takes batches of {self._batch} clips, the files have {clips}, and msame does not "
                f"combine files. Write batches of {self._batch}, or use ais_bench"
            )

    def _command(self, model: str, inputs: Sequence[Path], results: Path) -> list[str]:
        return msame_command(model, inputs, results, device=self.device, dynamic_batch=self._gear)

    def _read_times(self, work: Path, console: str) -> tuple[Summary, Path | None]:
        return parse_msame_console(console, f"{self.path}, console of msame"), None
