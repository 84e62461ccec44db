"""What says that a card's memory was full, and what sounds like it and does not."""

from __future__ import annotations

import pytest

from actionbook.core.card_memory import explained, full_card


@pytest.mark.parametrize(
    "line",
    [
        "EL0004: [PID: 28794] 2025-08-26-03:58:55.257.127 Failed to allocate memory.",
        "[PID: 9] 2026-04-09-21:56 Memory_Allocation_Failure(EL0004): Failed to allocate memory requested by GE.",
        "malloc physical memory failed, runtime result = 207001[FUNC:ReportCallError][FILE:log_inner.cpp][LINE:161]",
        "[ERROR] malloc device buffer failed. size is 96337920",
        "RuntimeError: aclrtMalloc failed, errorCode is 207018",
        "Call rtMalloc fail, purpose: page caching, type = 2, size:3221291008, device_id:0[FUNC:Alloc]",
        "Memory not enough: Device(id:0) memory isn't enough and alloc failed, kernel name: Default/Conv3D-op1, "
        "alloc size: 822083584B.",
        "RuntimeError: NPU out of memory. Tried to allocate 22.00 MiB",
        "Allocate device memory failed!",
        "cudaMalloc failed, ret[2], out of memory",
    ],
)
def test_a_full_card(line: str) -> None:
    text = f"[INFO] open device 0 success\n    {line}\n[ERROR] load model from file failed"
    assert full_card(text) == line
    message = explained(text, "training.batch_size")
    assert message.startswith(f"the card's memory is full ({line}): lower training.batch_size, or take a card")
    assert "npu-smi info" in message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[INFO] load model net.om success",
        "[ERROR] load model from file failed, model file is net.om",
        "OSError: [Errno 12] Cannot allocate memory",  # the host's
        "tensorsize: 207001 filesize: 207018 not match",
        "Inference time: 207.001ms",
        "207 MiB of device memory in use",
    ],
)
def test_something_else(text: str) -> None:
    assert full_card(text) is None
    assert explained(text, "the batch") == ""
