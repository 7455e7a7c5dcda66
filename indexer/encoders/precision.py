"""Precisions and batch sizes, and their defaults on each device."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

from imindex.indexer.system.device import torch_devices

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
BATCH_SIZES = {"cpu": 32, "cuda": 256}
"""Pictures in one forward pass, by the type of the device, unless the user sets a number."""


def default_batch_size(device: str) -> int:
    """Return the default batch size over all devices: 32 on a CPU, 256 for each CUDA device.

    Parameters
    ----------
    device : str
        As `--device` takes it: auto, cpu, cuda, cuda:N, or several such as cuda:0,cuda:1.

    Raises
    ------
    ImindexError
        There is no such device.
    """
    return sum(BATCH_SIZES[place.type] for place in torch_devices(device))


def default_precision(device: torch.device) -> str:
    """Return what `--precision auto` means: fp16 on CUDA; on a CPU bf16 if it has bf16 instructions, else fp32."""
    if device.type == "cuda":
        return "fp16"
    return "bf16" if _cpu_computes_bf16() else "fp32"


def _cpu_computes_bf16() -> bool:
    if sys.platform != "linux":
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None
