"""What MindSpore's ONNX exporter gets wrong or leaves implicit, put right.

Measured with MindSpore 2.10: convolution pads come in MindSpore's order, and every 3-D batch norm is wrapped into two
Reshapes that carry the batch size. What it does to pools is mended in `actionbook.conversion.pools`.
"""

from __future__ import annotations

from onnx import NodeProto, helper

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Graph, Sizes, attributes, set_attribute
from actionbook.conversion.padding import same_padding
from actionbook.conversion.pools import POOLS, Pool, extend_for_ceil, restore_pools


def put_pads_right(graph: Graph, pools: list[Pool]) -> None:
    """All that a fresh export says of padding, made true and explicit. `pools` is what MINDIR says of the pools."""
    permute_conv_pads(graph)
    restore_pools(graph, pools)
    make_pads_explicit(graph)
    extend_for_ceil(graph)


def permute_conv_pads(graph: Graph) -> None:
    """Reorder every convolution's pads from MindSpore's (begin, end, begin, end, ...) to ONNX's (all begins, all ends).

    Apply once, to a fresh export only: it cannot be told from the numbers which order they are in.
    """
    for node in graph.nodes:
        if node.op_type == "Conv":
            pads = attributes(node).get("pads")
            if pads:
                set_attribute(node, "pads", [*pads[0::2], *pads[1::2]])


def make_pads_explicit(graph: Graph) -> None:
    """Replace `auto_pad` by the pads that it stands for; ATC refuses or misreads it on 5-D tensors.

    The pools' own must have been restored before (`pools.restore_pools`), or SAME may not be what was meant.
    """
    shapes: dict[str, Sizes] = {}
    for node in graph.nodes:
        if node.op_type != "Conv" and node.op_type not in POOLS:
            continue
        values = attributes(node)
        mode, none = values.get("auto_pad", b"NOTSET").decode(), [0] * (2 * len(values["kernel_shape"]))
        if mode == "NOTSET":
            pads = values.get("pads", none)
        elif mode == "VALID":
            pads = none
        else:
            shapes = shapes or graph.shapes()
            pads = _same_pads(node, shapes.get(node.input[0], ())[2:], upper=mode == "SAME_UPPER")
        set_attribute(node, "auto_pad", None)
        set_attribute(node, "pads", pads)


def _same_pads(node: NodeProto, sizes: Sizes, *, upper: bool) -> list[int]:
    """Pads of SAME: those of `same_padding`, whose larger half comes first unless `upper`."""
    values = attributes(node)
    kernel = values["kernel_shape"]
    ones = [1] * len(kernel)
    if len(sizes) != len(kernel) or None in sizes:
        raise ConversionError(
            f"node {node.name or node.output[0]!r}: auto_pad SAME on sizes {sizes}, expected static ones"
        )
    pairs = [
        same_padding(size or 0, (k - 1) * dilation + 1, stride)[:: 1 if upper else -1]
        for size, k, dilation, stride in zip(
            sizes, kernel, values.get("dilations", ones), values.get("strides", ones), strict=True
        )
    ]
    return [pair[end] for end in (0, 1) for pair in pairs]


def reconnect_output(graph: Graph) -> None:
    """Let the last tensor have the name of the graph's output.

    MindSpore gives that name to the last node's output unless the last node is a Reshape (behind `nn.BatchNorm1d`,
    say); then nothing makes the output that the file promises. Raises ConversionError where several tensors are left
    that could be meant.
    """
    producers, read = graph.producers(), {name for node in graph.nodes for name in node.input}
    lost = [value.name for value in graph.outputs if value.name not in producers]
    if not lost:
        return
    unread = [node for node in graph.nodes if not read.intersection(node.output)]
    if len(graph.outputs) != 1 or len(unread) != 1:
        raise ConversionError(
            f"no node makes the output {', '.join(lost)}, and {len(unread)} could be meant: export a network that "
            "returns one tensor"
        )
    unread[0].output[0] = lost[0]


def drop_identities(graph: Graph) -> None:
    """Remove every Identity (MindSpore writes one behind every output of a Split): its tensors become one.

    Only one from the graph's input or output straight to an output stays, for both names are promised.
    """
    outputs = {value.name for value in graph.outputs}
    made = {name for node in graph.nodes for name in node.output}
    renamed: dict[str, str] = {}

    def final(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    gone = []
    for node in graph.nodes:
        if node.op_type != "Identity":
            continue
        source, copy = final(node.input[0]), node.output[0]
        if copy not in outputs:
            renamed[copy] = source
        elif source in made and source not in outputs:
            renamed[source] = copy
        else:
            continue
        gone.append(node)
    graph.drop(gone)
    for node in graph.nodes:
        for names in (node.input, node.output):
            names[:] = [final(name) for name in names]


def fold_casts(graph: Graph) -> None:
    """Make constants of what is cast from constants: MindSpore writes a Python number as double, with a Cast behind.

    The weights of a network that computes in 16 bits are cast, too. What is cast to one type alone keeps its name, by
    which its layer is known.
    """
    outputs, gone, consumers = {value.name for value in graph.outputs}, [], graph.consumers()
    for node in graph.nodes:
        source, made = node.input[0] if node.input else "", node.output[0]
        if node.op_type == "Cast" and source in graph.constants and made not in outputs:
            kind = helper.tensor_dtype_to_np_dtype(attributes(node)["to"])
            name = source if len(consumers[source]) == 1 else made
            graph.constants[name] = graph.constants[source].astype(kind)
            for user in consumers.get(made, []):
                for place, read in enumerate(user.input):
                    user.input[place] = name if read == made else read
            gone.append(node)
    graph.drop(gone)


def unwrap_batch_norm(graph: Graph) -> None:
    """Turn Reshape-BatchNormalization-Reshape, MindSpore's 3-D batch norm, into one BatchNormalization.

    ONNX's works on any rank. Only where the Reshapes keep batch and channel axes and restore the first shape.
    """
    shapes, producers, consumers = graph.shapes(), graph.producers(), graph.consumers()
    gone = []
    for node in graph.nodes:
        if node.op_type != "BatchNormalization":
            continue
        before = producers.get(node.input[0])
        users = consumers.get(node.output[0], [])
        if before is None or before.op_type != "Reshape" or len(users) != 1 or users[0].op_type != "Reshape":
            continue
        after = users[0]
        outer, inner = shapes.get(before.input[0]), shapes.get(before.output[0])
        if outer is None or inner is None or outer[:2] != inner[:2] or shapes.get(after.output[0]) != outer:
            continue
        node.input[0] = before.input[0]
        node.output[0] = after.output[0]
        gone.append(after)  # `before` may have other readers; if not, it is dead and pruned
    graph.drop(gone)
    graph.prune()
