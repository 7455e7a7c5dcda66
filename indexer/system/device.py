"""Where to compute: what `--device` says -> torch devices."""

from __future__ import annotations

import re

import torch

from imindex.indexer.core.errors import ImindexError


def torch_devices(name: str) -> list[torch.device]:
    """The devices of that name, for pictures that are shared out among several.

    Parameters
    ----------
    name : str
        auto (the first CUDA device where there is one), cpu, cuda, cuda:N or several: cuda:0,cuda:1.

    Raises
    ------
    ImindexError
        No such name, no such device, a device named twice, or the CPU beside others.
    """
    names = name.split(",")
    if len(names) == 1:
        return [_device(name, name)]
    for one in names:
        if not re.fullmatch(r"cuda:\d+", one):
            raise ImindexError(
                f"--device {name}: only CUDA devices can share the work, each named with its number, "
                f"and {one or 'an empty name'} is none. Use cuda:0,cuda:1, or a single device."
            )
    devices = [_device(one, name) for one in names]
    if len(set(devices)) < len(devices):
        raise ImindexError(f"--device {name} names a device twice. Name each once.")
    return devices


def torch_device(name: str) -> torch.device:
    """The device of that name, where one is all that can be used.

    Parameters
    ----------
    name : str
        auto (CUDA where there is one), cpu, cuda or cuda:N.

    Raises
    ------
    ImindexError
        No such name, no such device, or several.
    """
    devices = torch_devices(name)
    if len(devices) > 1:
        raise ImindexError(
            f"--device {name} names {len(devices)} devices, and this runs on one. Use --device {devices[0]}."
        )
    return devices[0]


def _device(name: str, said: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ImindexError(
            f"--device {said} is unknown. Use auto, cpu, cuda or cuda:N (several: cuda:0,cuda:1)."
        )
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ImindexError(
                f"--device {said}: this machine has {count or 'no'} CUDA devices. Use --device cpu."
                if count == 0 or said == name
                else f"--device {said}: this machine has {count} CUDA devices, and no {name}. Name those it has."
            )
    return device
