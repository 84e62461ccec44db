"""The inputs of `fuzzing.py`: changed files, streams of operations, and streams made to exhaust a reader."""

from __future__ import annotations

import io
import pickletools
import random
import struct
import zipfile
from itertools import pairwise

from actionbook.weights.torch_tensors import KNOWN_GLOBALS

# -- changes of whole files --------------------------------------------------------------------------------

Edit = tuple[str, int, int, int]
"""(kind, place, length, value); places count modulo the length of what is left, so that every tuple is a change."""
KINDS = ("flip", "set", "delete", "insert", "swap", "repeat", "truncate", "number")
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1)


def edited(content: bytes, edits: list[Edit]) -> bytes:
    """`content` after these changes, one after the other."""
    data = bytearray(content)
    for kind, place, length, value in edits:
        at = place % max(len(data), 1)
        end = min(at + length, len(data))
        if kind == "flip" and data:
            data[at] ^= 1 << (value % 8)
        elif kind == "set" and data:
            data[at] = value % 256
        elif kind == "delete":
            del data[at:end]
        elif kind == "insert":
            data[at:at] = bytes([value % 256]) * length
        elif kind == "swap":
            data[at:end] = data[at:end][::-1]
        elif kind == "repeat":
            data[at:at] = data[at:end]
        elif kind == "truncate":
            del data[at:]
        elif kind == "number":  # where sizes stand, the values that overflow them
            number = NUMBERS[value % len(NUMBERS)]
            packed = struct.pack("<Q", number)[: (1, 2, 4, 8)[length % 4]]
            data[at : at + len(packed)] = packed
    return bytes(data)


def random_edits(rng: random.Random) -> list[Edit]:
    """One to four changes, most of them small."""
    return [
        (rng.choice(KINDS), rng.randrange(1 << 16), rng.choice((1, 2, 4, 8, 30, 500)), rng.randrange(1 << 16))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 4)))
    ]


def rezipped(content: bytes, edits: list[Edit]) -> bytes:
    """A zip checkpoint whose pickle was changed and packed again: its checksum is right, so the pickle is read."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            record = old.read(name)
            new.writestr(zipfile.ZipInfo(name), edited(record, edits) if name.endswith("data.pkl") else record)
    return made.getvalue()


# -- streams of operations --------------------------------------------------------------------------------


_WORDS = (b"w", b"0", b"storage", b"cpu", b"f4", b"<", b"state_dict")
_TEXT = [b"X%s%s" % (struct.pack("<I", len(word)), word) for word in _WORDS]
_KNOWN = [b"c%s\n%s\n" % (module.encode(), name.encode()) for module, name in KNOWN_GLOBALS]
_UNKNOWN = [b"cos\nsystem\n", b"cargparse\nNamespace\n", b"ccopyreg\n_reconstructor\n", b"cnumpy\nndarray\n"]
_NUMBERS = [b"K\x00", b"K\x01", b"K\x02", b"M\xff\xff", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f"]
_MEMO = [b"h\x00", b"h\x01"]
_PLAIN = [b"N", b"\x88", b"\x89", b"}", b"]", b")"]
_STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpuK\x02tQ"
_PARAMETER = b"ctorch._utils\n_rebuild_parameter\n"
_ARRAY = (
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85K\x00tR(K\x01K\x02\x85cnumpy\ndtype\nX\x02\0\0\0f4\x85R"
    b"\x89c_codecs\nencode\nX\x08\0\0\0aaaabbbbX\x06\0\0\0latin1\x86Rtb"
)
_WHOLE = [b"ctorch._utils\n_rebuild_tensor_v2\n(" + _STORAGE + b"K\x00K\x02\x85K\x01\x85\x89}tR"]


def _fragments() -> list[bytes]:
    """Whole operations with arguments: all that pickles have, the globals of checkpoints, and hostile ones."""
    bad = [b"cos\nsystem\n", b"cbuiltins\nexec\n", b"csubprocess\nPopen\n", b"ios\nsystem\n", b"Psh\n", b"\x82\x01"]
    numbers = [
        *_NUMBERS,
        b"I01\n",
        b"\x8b\xff\xff\xff\x7f",
        b"L9999999999L\n",
        b"G" + bytes(8),
        b"F1e999\n",
        b"\x8a\x00",
        b"I7\n",
    ]
    plain = [*_PLAIN, b"(", b"t", b"\x85", b"\x86", b"\x87", b"l", b"d", b"\x8f"]
    verbs = [b"a", b"e", b"s", b"u", b"R", b"b", b"Q", b"o", b"\x81", b"\x92", b"\x93", b"0", b"1", b"2", b"\x90"]
    memo = [*_MEMO, b"q\x00", b"q\x01", b"\x94", b"r\xff\xff\xff\xff", b"j\xff\xff\xff\xff", b"g0\n"]
    lengths = [b"\x8e" + b"\xff" * 7 + b"\x7f", b"X\xff\xff\xff\xff", b"B\xff\xff\xff\x7f", b"\x8d" + b"\xff" * 8]
    other = [b"\x80\x02", b"\x80\xff", b"\x95" + bytes(8), b"\x96" + bytes(8), b"\x97", b"\x98", b"S'\\q'\n", b"V\\u\n"]
    return [
        *_TEXT,
        *_KNOWN,
        *_UNKNOWN,
        _ARRAY,
        *bad,
        *numbers,
        *plain * 3,
        *verbs * 2,
        *memo,
        *lengths,
        *other,
        _STORAGE,
        *_WHOLE * 3,
    ]


FRAGMENTS = _fragments()


def operations(stream: bytes) -> list[bytes]:
    """A valid pickle cut into its operations."""
    places = [place for _, _, place in pickletools.genops(stream)]
    return [stream[start:end] for start, end in pairwise([*places, len(stream)])]


def reordered(parts: list[bytes], edits: list[Edit]) -> bytes:
    """A pickle after these changes of whole operations."""
    parts = list(parts)
    for kind, place, length, value in edits:
        at = place % max(len(parts), 1)
        end = min(at + length, len(parts))
        if kind in ("flip", "set", "number"):
            parts[at : at + 1] = [FRAGMENTS[value % len(FRAGMENTS)]]
        elif kind == "delete":
            del parts[at:end]
        elif kind == "insert":
            parts[at:at] = [FRAGMENTS[value % len(FRAGMENTS)]]
        elif kind == "swap":
            parts[at:end] = parts[at:end][::-1]
        elif kind == "repeat":
            parts[at:at] = parts[at:end]
        else:
            del parts[at:-1]
    return b"".join(parts)


def grown(rng: random.Random, depth: int) -> bytes:
    """The operations of one value as checkpoints have them: most such streams are read to their end."""
    kind = rng.randrange(12 if depth else 4)
    inner = [grown(rng, depth - 1) for _ in range(rng.randrange(4))] if depth else []
    if kind < 4:
        value = rng.choice((_NUMBERS, _TEXT, _TEXT + _NUMBERS, _MEMO, [*_WHOLE, _ARRAY], _PLAIN)[rng.randrange(6)])
    elif kind == 4:
        value = b"(" + b"".join(inner) + b"t"
    elif kind == 5:
        value = b"](" + b"".join(inner) + b"e"
    elif kind in (6, 7):
        value = b"}(" + b"".join(rng.choice(_TEXT) + part for part in inner) + b"u"
    elif kind == 8:
        value = rng.choice(_KNOWN + _UNKNOWN * 5) + b"(" + b"".join(inner) + b"t" + rng.choice((b"R", b"\x81"))
        value += rng.choice((b"", b"", b"}b", b"(" + b"".join(_TEXT[0] + part for part in inner) + b"u"))
    elif kind == 9:
        numbers = b"".join(rng.choice(_NUMBERS) for _ in range(rng.randrange(3)))
        value = b"ctorch._utils\n_rebuild_tensor_v2\n(" + _STORAGE + rng.choice(_NUMBERS) + (b"(" + numbers + b"t") * 2
        value += b"\x89}" + b"".join(inner[:1]) + b"tR"
    elif kind == 10:
        value = b"(" + _TEXT[2] + rng.choice(_KNOWN) + _TEXT[1] + _TEXT[3] + b"".join(inner) + b"tQ"
    else:
        value = b"".join(inner[:1] or [b"}"]) + b"}b"
    return value + (rng.choice((b"q\x00", b"q\x01", b"\x94")) if rng.random() < 0.3 else b"")


def joined(parts: list[bytes]) -> bytes:
    """One pickle from these operations."""
    return b"\x80\x02" + b"".join(parts) + b"."


def pickle_of(content: bytes) -> bytes:
    """The pickle in a zip checkpoint."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def zipped(stream: bytes) -> bytes:
    """A checkpoint of this pickle and one storage of two numbers."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("made/data.pkl", stream)
        archive.writestr("made/data/0", bytes(8))
    return made.getvalue()


def bombs(n: int) -> dict[str, bytes]:
    """Short streams that would cost a careless reader endless time, memory or recursion; `n` operations or bytes."""
    long = b"\x8b" + struct.pack("<i", n) + b"\xff" * n
    again = b"h\x00h\x01R"
    names = [b"X\x04\0\0\0%04d" % (i % 10_000) for i in range(n)]
    return {
        "containers": b"(" + b"}" * n + b"t",
        "open marks": b"(" * n,
        "lists in lists": b"]" * (n // 2) + b"a" * (n // 2 - 1),
        "tuples in tuples": b")" + b"\x85" * n,
        "dictionaries in dictionaries": b"}" + b"K\x00}" * (n // 3) + b"s" * (n // 3),
        "doubled tuples": b"}" + _TEXT[0] + b")" + b"q\x00h\x00\x86" * (n // 3) + b"s",
        "far places in the memo": b"]" + b"".join(b"r" + struct.pack("<I", 2**32 - 1 - i) for i in range(n // 2)),
        "a long number": long,
        "a long number in digits": b"L" + b"9" * n + b"L\n",
        "a long text": b"X" + struct.pack("<I", n // 4 * 4) + "\U0001f600".encode() * (n // 4),
        "escapes": b"S'" + b"\\x41" * (n // 4) + b"'\n",
        "calls with a long number": b"ctorch\ndevice\nq\x00(" + _TEXT[3] + long + b"tq\x01" + again * (n // 4),
        "calls with many arguments": _PARAMETER
        + b"q\x00("
        + _WHOLE[0]
        + b"N" * (n // 2)
        + b"tq\x01"
        + again * (n // 5),
        "states": b"}" + b"}b" * (n // 2),
        "placeholders": b"cos\nsystem\nq\x00(" + b"h\x00)\x81" * (n // 3) + b"t",
        "placeholders of placeholders": b"cos\nsystem\n" + b")R" * (n // 2),
        "placeholders in one another": b"cos\nsystem\nq\x00" + b"K\x00h\x00)\x81" * (n // 4) + b"s" * (n // 4),
        "states of a placeholder": b"cos\nsystem\n)\x81" + b"}b" * (n // 2),
        "odd keys": b"}(" + b"NN" * (n // 2) + b"u",
        "many state dicts": b"](" + (b"}X\x01\0\0\0wK\x00s") * (n // 5) + b"e",
        "many tensors": b"]"
        + _WHOLE[0]
        + b"q\x000("
        + b"".join(b"}" + name + b"h\x00s" for name in names[: n // 4])
        + b"e",
        "one array by many names": b"}"
        + _ARRAY
        + b"q\x000("
        + b"".join(name + b"h\x00" for name in names[: n // 2])
        + b"u",
    }


def grown_file(rng: random.Random) -> bytes:
    """A checkpoint whose dictionary holds up to three such values."""
    entries = [rng.choice(_TEXT) + grown(rng, rng.randrange(5)) + b"s" for _ in range(rng.randrange(4))]
    return zipped(joined([b"}", *entries]))
