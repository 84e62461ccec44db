"""Whether a program has failed because a card's memory was full: the same words in training, atc and inference."""

from __future__ import annotations

import re

# EL0004 and 207001 (memory allocation) and 207018 (out of memory) are codes of CANN's runtime; "malloc device buffer"
# is ais_bench's and msame's; the sentences about memory that is not enough are MindSpore's (2.10, Ascend and GPU).
# Want of the host's memory says "Cannot allocate memory" or "MemoryError", and is none of these.
_SIGNS = re.compile(
    r"\bEL0004\b"
    r"|(?:result|code|ret|error)\D{0,12}(?:207001|207018)(?!\d)"
    r"|failed to allocate memory"
    r"|malloc (?:device|physical) \w+ fail"
    r"|(?:aclrt|rt)malloc\w* fail|call rtmalloc fail"
    r"|(?:npu|cudaMalloc|device|hbm)\b.{0,40}\bout of memory"
    r"|\bmemory (?:is not|isn't|not) enough"
    r"|(?:allocate|malloc) (?:device|hbm) memory fail"
    r"|hbm memory allocation fail",
    re.IGNORECASE,
)


def full_card(text: str) -> str | None:
    """The first line of a console or message that says so, without white space around it; None where none does."""
    return next((line.strip() for line in text.splitlines() if _SIGNS.search(line)), None)


def explained(text: str, setting: str) -> str:
    """The same as a sentence with the remedy, of which one is to lower `setting`; empty where no line says so."""
    line = full_card(text)
    if line is None:
        return ""
    free = "take a card that is free (`npu-smi info` shows the memory in use and by which process)"
    return f"the card's memory is full ({line}): lower {setting}, or {free}"
