"""Where to compute: what `--device` says -> a torch device."""

from __future__ import annotations

import re

import torch

from indexer.errors import ImindexError


def torch_device(name: str) -> torch.device:
    """The device of that name.

    Parameters
    ----------
    name : str
        auto (CUDA where there is one), cpu, cuda or cuda:N.

    Raises
    ------
    ImindexError
        No such name, or no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ImindexError(f"--device {name} is unknown. Use auto, cpu, cuda or cuda:N.")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ImindexError(
                f"--device {name}: this machine has {count or 'no'} CUDA devices. Use --device cpu."
            )
    return device
