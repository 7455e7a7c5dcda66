"""Convert the value of `--device` to torch devices."""

from __future__ import annotations

import re

import torch

from imindex.indexer.core.errors import ImindexError


def torch_devices(name: str) -> list[torch.device]:
    """Return one or more devices, for work that can be split among them.

    Parameters
    ----------
    name : str
        auto (the first CUDA device, or the CPU if there is none), cpu, cuda, cuda:N, or several: cuda:0,cuda:1.

    Raises
    ------
    ImindexError
        If a name is unknown, a device does not exist or is named twice, or the CPU is combined with others.
    """
    names = name.split(",")
    if len(names) == 1:
        return [_device(name, name)]
    for part in names:
        if not re.fullmatch(r"cuda:\d+", part):
            raise ImindexError(
                f"--device {name}: only numbered CUDA devices can share the work, and "
                f"{part or 'an empty name'} is not one. Use cuda:0,cuda:1, or a single device."
            )
    devices = [_device(part, name) for part in names]
    if len(set(devices)) < len(devices):
        raise ImindexError(f"--device {name} names a device twice. Name each device once.")
    return devices


def torch_device(name: str) -> torch.device:
    """Return a single device, for work that cannot be split.

    Parameters
    ----------
    name : str
        auto (CUDA if available), cpu, cuda or cuda:N.

    Raises
    ------
    ImindexError
        If the name is unknown, the device does not exist, or several devices are named.
    """
    devices = torch_devices(name)
    if len(devices) > 1:
        raise ImindexError(
            f"--device {name} names {len(devices)} devices, but this runs on one. Use --device {devices[0]}."
        )
    return devices[0]


def _device(name: str, option: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ImindexError(
            f"--device {option} is unknown. Use auto, cpu, cuda or cuda:N (several: cuda:0,cuda:1)."
        )
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ImindexError(
                f"--device {option}: this machine has {count or 'no'} CUDA devices. Use --device cpu."
                if count == 0 or option == name
                else f"--device {option}: this machine has {count} CUDA devices, but no {name}. Use only these."
            )
    return device
