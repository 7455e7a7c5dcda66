"""Load an encoder by its name, or the encoder that made an index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imindex.indexer.core.arguments import one_of
from imindex.indexer.core.bounds import BATCH
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.precision import PRECISIONS, default_precision
from imindex.indexer.encoders.registry import DEFAULT_MODEL, backend, name_for, name_of, require_same
from imindex.indexer.system.device import torch_devices


def load(
    model: str = DEFAULT_MODEL,
    pretrained: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
) -> Encoder:
    """Load an encoder.

    Parameters
    ----------
    model : str
        `NAME` or `NAME:MODEL`, where NAME is a back end of `imindex.indexer.encoders.registry.BACKENDS`. Everything
        else names an open_clip model, see `imindex.indexer.encoders.open_clip.load`.
    pretrained : str, optional
        The weights, where the model does not bring them: a tag of the back end, or a file.
    device : str
        auto (the first CUDA device, or else the CPU), cpu, cuda, cuda:N, or several that share the pictures, such as
        cuda:0,cuda:1.
    precision : str
        fp16, bf16, fp32 or auto: fp16 on CUDA; on a CPU bf16 if the processor has bf16 instructions, else fp32.
    batch_size : int, optional
        Pictures in one forward pass, over all devices.

    Returns
    -------
    Encoder

    Raises
    ------
    ImindexError
        The precision or the batch size is invalid, the model is unknown, its weights are not found or cannot be
        downloaded, there is no such device, or the encoder does not compute at that precision.
    """
    one_of(precision, ("auto", *PRECISIONS), "precision")
    if batch_size is not None:
        BATCH.check(batch_size, "batch_size")
    devices = torch_devices(device)
    requested = precision
    if precision == "auto":
        precision = default_precision(devices[0])
    if pretrained and Path(pretrained).is_file():
        pretrained = str(Path(pretrained).resolve())
    name = name_for(model)
    encoder = backend(name).load(
        model, pretrained, devices=devices, precision=precision, batch_size=batch_size
    )
    if encoder is None:
        raise ImindexError(f"The back end {name} returned no encoder. Let its load return one.")
    if name_of(encoder.info) != name:
        raise ImindexError(
            f"The back end {name} made an encoder whose configuration names the back end {name_of(encoder.info)}. "
            f'Set config={{"backend": "{name}", ...}} in its EncoderInfo.'
        )
    if requested not in ("auto", encoder.info.precision):
        raise ImindexError(
            f"The encoder {model} computes at {encoder.info.precision}, not {requested}. Drop precision (--precision)."
        )
    return encoder


def load_as(
    info: EncoderInfo,
    *,
    model: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
) -> Encoder:
    """Load the encoder that made an index, and refuse any other.

    Parameters
    ----------
    info : EncoderInfo
        The encoder that the index records.
    model, pretrained : str, optional
        Where to find it now, if it has moved.
    device, batch_size
        See `load`.

    Returns
    -------
    Encoder

    Raises
    ------
    ImindexError
        The encoder cannot be found, or it is not the one that made the index.
    """
    backend(name_of(info))  # an unknown back end is refused before its model's name is tried
    encoder = load(
        model or info.model,
        pretrained or (None if model else info.pretrained or None),
        device=device,
        precision=info.precision,
        batch_size=batch_size,
    )
    require_same(info, encoder.info)
    return encoder


def load_with(info: EncoderInfo, where: Mapping[str, Any]) -> Encoder:
    """Load the encoder of an index with overrides from the caller.

    Parameters
    ----------
    info : EncoderInfo
    where : mapping
        `model`, `pretrained`, `device` or `batch_size`, as in `load_as`.

    Raises
    ------
    ImindexError
        A key is unknown, or as in `load_as`.
    """
    if not isinstance(where, Mapping):
        raise ImindexError(
            f'encoder: expected a mapping, not {where!r}. Pass {{"model": ..., "device": ...}}.'
        )
    for key in where:
        one_of(key, ("model", "pretrained", "device", "batch_size"), "encoder")
    return load_as(info, **where)
