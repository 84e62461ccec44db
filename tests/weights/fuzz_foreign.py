"""The inputs of `fuzzing.py` in the formats of TensorFlow and Caffe: changed, grown, and made to exhaust a reader."""

from __future__ import annotations

import random
import struct

import numpy as np
from foreign import blob, block, checksum, entry, field, header, literal, node, shape, table, tensor, varint
from fuzz_inputs import Edit, edited

_NUMBERS = (0, 1, 2, 3, 4, 14, 19, 127, 128, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
_BYTES = (b"", bytes(4), bytes(8), b"\xff" * 11, b"\x00\x00\x80?" * 2, b"value", b"w", b"w/read", b"Const", b"Identity")


def _footer(content: bytes) -> tuple[int, int]:
    """Begin and size of the index block."""
    place, numbers = len(content) - 48, []
    for _ in range(4):
        number = shift = 0
        while True:
            byte = content[place]
            place += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        numbers.append(number)
    return numbers[2], numbers[3]


def retabled(content: bytes, edits: list[Edit], rng: random.Random) -> bytes:
    """An index after these changes; of its first block or of its index block with the checksum made right again."""
    kind = rng.randrange(3)
    if kind == 0:
        return edited(content, edits)
    begin, size = _footer(content)
    if kind == 1:  # the first block ends where the empty one about the table begins
        begin, size = 0, begin - 13 - 5
    changed = edited(content[begin : begin + size], edits)[:size].ljust(size, b"\0")
    if rng.random() < 0.2:
        changed = (literal(changed)[:size]).ljust(size, b"\0")
    whole = changed + bytes([rng.choice((0, 0, 0, 0, 1, 2))])
    return content[:begin] + whole + struct.pack("<I", checksum(whole)) + content[begin + size + 5 :]


def _grown(rng: random.Random, depth: int) -> bytes:
    """A message of random fields, some of them messages; now and then of a wrong length."""
    made = b""
    for _ in range(rng.randrange(5)):
        number = rng.choice((1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 100))
        kind = rng.randrange(6)
        if kind == 0:
            made += field(number, rng.choice(_NUMBERS))
        elif kind == 1:
            made += varint(number << 3 | 5) + bytes(4)
        elif kind == 2 or not depth:
            made += field(number, rng.choice(_BYTES))
        else:
            made += field(number, _grown(rng, depth - 1))
        if rng.random() < 0.03:
            made += varint(number << 3 | rng.randrange(8)) + varint(rng.choice(_NUMBERS))
    return made


def _tensor(rng: random.Random) -> bytes:
    sizes = tuple(rng.choice((0, 1, 2, 2, 3, -1, 2**20)) for _ in range(rng.randrange(3)))
    if rng.random() < 0.3:
        return tensor(np.ones(tuple(abs(size) % 5 for size in sizes), rng.choice(("f4", "f2", "i4", "f8"))))
    values = field(rng.choice((4, 5, 6, 7, 10, 11, 13)), rng.choice(_BYTES))
    return field(1, rng.choice((1, 1, 2, 3, 9, 14, 19, 7, 99))) + field(2, shape(sizes)) + values + _grown(rng, 1)


def grown_graph(rng: random.Random) -> bytes:
    """Nodes as graphs have them: some of these are read to their end."""
    made = node("clip", "Placeholder")
    for number in range(rng.randrange(4)):
        name = rng.choice(("w", f"a/{number}", f"b/{number}"))
        made += node(name, "Const", tensor=_tensor(rng))
        made += rng.choice((b"", node(f"{name}/read", "Identity", name), field(1, _grown(rng, 3))))
    return made


def grown_caffe(rng: random.Random) -> bytes:
    """Layers as models have them."""
    made = field(1, "net")
    for number in range(rng.randrange(4)):
        blobs = b"".join(
            field(7, blob(np.ones(2, "f4")) if rng.random() < 0.6 else _grown(rng, 2)) for _ in range(rng.randrange(3))
        )
        made += field(100, field(1, f"layer{number}") + blobs)
    return made + rng.choice((b"", field(100, _grown(rng, 3)), field(2, field(2, "data") + _grown(rng, 3))))


def message_bombs(n: int) -> dict[str, bytes]:
    """Messages that would cost a careless reader endless time, memory or recursion; of about `n` fields or bytes."""
    graph, net = node("clip", "Placeholder"), field(1, "net")
    huge = field(1, 1) + field(2, shape((2**30,))) + field(5, bytes(4))
    nested = b""
    for _ in range(min(n // 4, 5000)):
        nested = field(8, nested)
    one = node("w", "Const", tensor=field(1, 1) + field(2, shape((2**20,))) + field(5, bytes(4)))
    return {
        "one number for a thousand million": graph + node("w", "Const", tensor=huge),
        "many such": graph + b"".join(one.replace(b"w", b"%c" % c, 1) for c in range(65, 65 + 26)),
        "messages in messages": graph + node("w", "Const", tensor=nested),
        "a number without end": graph + b"\n" + b"\xff" * n,
        "many axes": graph + node("w", "Const", tensor=field(1, 1) + field(2, shape((1,) * (n // 8)))),
        "many numbers": graph
        + node("w", "Const", tensor=field(1, 9) + field(2, shape((n,))) + field(10, b"\0" * n))
        + node("w/read", "Identity", "w"),
        "many attributes": graph + field(1, field(1, "w") + field(2, "Const") + field(5, b"") * (n // 2)),
        "many inputs": graph + field(1, field(1, "w") + field(2, "NoOp") + field(3, "a" * 9) * (n // 11)),
        "empty nodes": graph + b"\n\0" * (n // 2),
        "a blob of nothing": net + field(100, field(1, "a") + field(7, field(7, field(1, varint(2**39))))),
        "axes of one": net + field(100, field(1, "a") + field(7, field(5, bytes(4)) + field(7, field(1, b"\1" * n)))),
        "empty layers": net + b"\xa2\x06\0" * (n // 3),
        "empty blobs": net + field(100, field(1, "a") + b"\x3a\0" * (n // 2)),
        "a long name": net + field(100, field(1, "a" * n) + field(7, b"")),
    }


def index_bombs(n: int) -> dict[str, bytes]:
    """Indexes of checkpoints likewise."""
    row, rows = entry(1, (16,), 0, bytes(64)), {b"": header()}
    first = table(rows)
    growing = varint(0) + varint(4000) + varint(0) + b"a" * 4000
    growing += b"".join(
        varint(3995) + varint(5) + varint(len(row)) + b"%05d" % i + row for i in range(min(n // 20, 99_999))
    )
    packed = varint(min(32 * n, 2**31)) + b"\0a" + b"\xfe\1\0" * (n // 3)
    return {
        "one array by many names": table({**rows, **{b"%06d" % i: row for i in range(n // 50)}}, per_block=1000),
        "long keys": first + growing,
        "keys that grow": _with_block(growing + struct.pack("<II", 0, 1)),
        "copies": _with_block(packed, 1),
        "restarts": _with_block(bytes(4) * (n // 4) + struct.pack("<I", n // 4)),
        "restarts beyond": _with_block(struct.pack("<I", 2**32 - 1)),
        "empty entries": _with_block(b"\0\0\0" * (n // 3) + struct.pack("<II", 0, 1)),
    }


def _with_block(content: bytes, kind: int = 0) -> bytes:
    """A table with this one block of data, its checksum right."""
    whole = content + bytes([kind])
    whole += struct.pack("<I", checksum(whole))
    index = block([(b"z", varint(0) + varint(len(content)))])
    handles = varint(len(whole)) + varint(8) + varint(len(whole) + 13) + varint(len(index) - 5)
    return whole + block([]) + index + handles.ljust(40, b"\0") + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
