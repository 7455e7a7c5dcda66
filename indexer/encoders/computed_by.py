"""What computed the vectors: the kind of processor, and the version of PyTorch."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imindex.indexer.core.bounds import MAX_NAME

if TYPE_CHECKING:
    import torch

    from imindex.indexer.encoders.base import Encoder

_FLAGS = ("avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "sve", "bf16")


def computed_by(encoder: Encoder) -> str:
    """Return what an encoder computes on, such as `cpu GenuineIntel AVX512 amx_bf16, torch 2.9.0+cpu`.

    The package of a back end that does not come with imindex is part of it.

    Vectors of equal pictures, batches and settings are equal to the last bit where this is equal, as far as is known;
    where it differs, they usually differ in the last bits.
    """
    import torch

    version = str(torch.__version__)
    device = getattr(encoder, "device", None) or torch.device("cpu")
    package = f", {encoder.info.package}" if encoder.info.package else ""
    return f"{_kind(device)}, torch {version}{package}"[:MAX_NAME]


def _kind(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name} sm_{properties.major}{properties.minor}"
    return " ".join(["cpu", *_processor(), torch.backends.cpu.get_cpu_capability()])


def _processor() -> list[str]:
    """Return the maker of the processor and those of its extensions that the arithmetic depends on."""
    if sys.platform != "linux":
        return [platform.machine()]
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    maker = re.search(r"^vendor_id\s*:\s*(\S+)", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.M)
    listed = set(flags[1].split()) if flags else set()
    return [maker[1] if maker else platform.machine(), *(flag for flag in _FLAGS if flag in listed)]
