"""Precisions and batch sizes, and their defaults on each device."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

from imindex.indexer.system.device import torch_devices

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_BATCH = {"cpu": 32, "cuda": 256}


def default_batch_size(device: str) -> int:
    """Pictures to a batch unless the user says: 32 on a CPU, 256 for each CUDA device."""
    return sum(_BATCH[place.type] for place in torch_devices(device))


def default_precision(place: torch.device) -> str:
    """What `--precision auto` means: fp16 on CUDA; on a CPU bf16 where the processor computes in it, else fp32."""
    if place.type == "cuda":
        return "fp16"
    return "bf16" if _cpu_computes_bf16() else "fp32"


def _cpu_computes_bf16() -> bool:
    if sys.platform != "linux":
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None
