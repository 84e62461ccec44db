"""From network to an ONNX file that runtimes and Ascend's ATC read as it is meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from mindspore import nn

from actionbook.conversion.batch import may_hold_batch, open_batch
from actionbook.conversion.check import HALF_TOLERANCE, TOLERANCE, check_explicit, compare, computes_in_half
from actionbook.conversion.differences import first_difference, layer_differences
from actionbook.conversion.errors import ConversionError
from actionbook.conversion.few_channels import give_frames_at_once
from actionbook.conversion.fold import fold_batch_norm, merge_pointwise
from actionbook.conversion.graph import Graph, count_operators
from actionbook.conversion.interface import check_inputs
from actionbook.conversion.layout import use_2d_convolutions
from actionbook.conversion.msexport import export_raw, with_suffix
from actionbook.conversion.names import mark_cells, tidy_names
from actionbook.conversion.pools import Pool, count_the_padding
from actionbook.conversion.repair import (
    drop_identities,
    fold_casts,
    put_pads_right,
    reconnect_output,
    unwrap_batch_norm,
)
from actionbook.core.files import atomic_path, sha256_file
from actionbook.core.spec import Arrays, Shape, Spec, samples
from actionbook.models.layers import GROUPED_FORMS


@dataclass(frozen=True)
class OnnxExport:
    """An ONNX file that agrees with its network.

    The difference is over the logits of random or given samples, through ONNX Runtime on the CPU, at every batch size
    tried.
    """

    path: Path
    batch: int | None  # None: any
    raw_nodes: int  # as MindSpore exported it
    nodes: int
    raw_operators: dict[str, int]
    operators: dict[str, int]
    max_abs_difference: float
    relative_difference: float  # to the standard deviation of the network's logits
    half: bool  # whether the network computes in 16 bits, all of it or in part
    bytes: int
    sha256: str


def export_onnx(
    network: nn.Cell,
    path: Path | str,
    spec: Spec | Shape,
    *,
    batch: int | None = None,
    depthwise: str = "banded",
    example: Arrays | np.ndarray | None = None,
) -> OnnxExport:
    """Write `network` as ONNX with the inputs and the output that `spec` names, float32, in its order, opset 11.

    A shape alone, (C, T, H, W), is one input ``image`` (N, C, T, H, W) and an output ``class`` (N, num_classes), the
    logits. `batch` None leaves the batch open (an axis named ``batch``, first in every input), a number fixes it, which
    is what ATC wants. `depthwise` "banded" computes depthwise 3-D convolutions as grouped 2-D ones: on a CPU
    MobileNetV2-3D then runs 1.7 times as fast, no grouped Conv3D is needed, and the file is 1.7 times as large. Large
    convolutions of few channels, such as the first one of SlowFast's fast pathway, give a few frames at once.
    "grouped" leaves both as MindSpore wrote them. Batch norm is folded in either form.

    A network that computes in 16 bits (mixed precision O1 to O3, ``to_float(float16)``, float16 weights) is exported as
    what it is, with its casts.

    Before the file gets its name, the logits of `example`, a batch of `batch` or more samples (3 where it is open), are
    compared with the network's; None: of random numbers (standard normal), which boxes cannot be. Raises
    ConversionError, and leaves no file, where they differ by more than 1e-4 of the logits' standard deviation (1e-2
    where the network computes in 16 bits, which no two programs round alike), where the exporter's faults cannot be
    undone, where the network takes or gives something else than `spec` says, or for an unknown form or suffix;
    SpecError for impossible sizes and an `example` that does not fit.
    """
    spec = Spec.of(spec)
    if depthwise not in GROUPED_FORMS:
        raise ConversionError(f"depthwise form {depthwise!r}: expected one of {', '.join(GROUPED_FORMS)}")
    path = with_suffix(path, ".onnx")
    check_inputs(network, spec, batch)
    sizes = (3, 1) if batch is None else (batch,)
    arrays = _example(spec, example, max(sizes))
    raw, graph = _graph(network, spec, batch, depthwise)
    model = graph.to_model()
    check_explicit(model)
    half = computes_in_half(model)
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)
        difference, relative = compare(network, temporary, spec, arrays, sizes)
        if not relative <= tolerance:
            raise ConversionError(
                f"{path}: the ONNX graph differs from the network by {difference:.3g} "
                f"({relative:.3g} of the logits' standard deviation; allowed {tolerance:g})"
                f"{_where(network, temporary, arrays, tolerance)}. Nothing was written"
            )
        size, digest = temporary.stat().st_size, sha256_file(temporary)
    counts = len(raw.graph.node), len(model.graph.node), count_operators(raw), count_operators(model)
    return OnnxExport(path, batch, *counts, difference, relative, half, size, digest)


def _example(spec: Spec, example: Arrays | np.ndarray | None, size: int) -> Arrays:
    """The first `size` samples of the example, or as many random ones."""
    if example is None:
        return spec.random(size)
    arrays = spec.check(example, "example")
    if samples(arrays) < size:
        raise ConversionError(f"example: {samples(arrays)} samples, expected {size} or more")
    return {name: array[:size] for name, array in arrays.items()}


def _graph(network: nn.Cell, spec: Spec, batch: int | None, depthwise: str) -> tuple[onnx.ModelProto, Graph]:
    """MindSpore's export as it is, and what is made of it."""
    raw, pools = export_raw(network, spec, batch or 2)
    graph = repaired(raw, pools)
    if batch is None:
        twin = repaired(*export_raw(network, spec, 3, pools)) if may_hold_batch(graph) else None
        open_batch(graph, 2, twin, 3)
    fold_batch_norm(graph)
    merge_pointwise(graph)
    if depthwise == "banded":
        use_2d_convolutions(graph)
        give_frames_at_once(graph)
    tidy_names(graph)
    return raw, graph


def repaired(raw: onnx.ModelProto, pools: list[Pool]) -> Graph:
    """MindSpore's export with its faults put right, pads explicit, and the nodes marked with their cells."""
    graph = Graph.from_model(raw)
    reconnect_output(graph)
    drop_identities(graph)
    fold_casts(graph)
    mark_cells(graph.nodes)
    put_pads_right(graph, pools)
    count_the_padding(graph)
    unwrap_batch_norm(graph)
    graph.prune()
    return graph


def _where(network: nn.Cell, path: Path, arrays: Arrays, tolerance: float) -> str:
    """The layer from which on the file differs, for an error message; nothing where that cannot be told."""
    try:
        sample = {name: array[0] for name, array in arrays.items()}
        found = first_difference(layer_differences(network, path, sample), tolerance)
    except ConversionError:  # no layer with a name; the difference itself is the news
        return ""
    return "" if found is None else f", first in node {found['node']!r} ({found['operator']}, cell {found['cell']!r})"
