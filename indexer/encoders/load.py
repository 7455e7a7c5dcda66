"""Load an encoder by name, file, folder or configuration."""

from __future__ import annotations

import contextlib
import copy
import logging
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo, require_same
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.encoders.model_names import DEMO, absolute, as_open_clip_name
from imindex.indexer.encoders.open_clip import Encoder, weights_digest
from imindex.indexer.encoders.precision import PRECISIONS, default_precision
from imindex.indexer.system.device import torch_devices

DEFAULT_MODEL = "ViT-B-32"
DEFAULT_PRETRAINED = "laion2b_s34b_b79k"


def load(
    model: str = DEFAULT_MODEL,
    pretrained: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
) -> Encoder:
    """Load an open_clip model.

    Parameters
    ----------
    model : str
        `demo`, a name that open_clip knows, `local-dir:FOLDER`, `hf-hub:ORG/REPO`, or a JSON file with a
        model configuration (open_clip's own, or `{"model_cfg": ..., "preprocess_cfg": ...}`).
    pretrained : str, optional
        A tag that open_clip knows for the model, or a file of weights.
    device : str
        auto (CUDA where there is one), cpu, cuda, cuda:N, or several that share the pictures: cuda:0,cuda:1.
    precision : str
        fp16, bf16, fp32 or auto: fp16 on CUDA; on a CPU bf16 where the processor computes in it, else fp32.
    batch_size : int, optional
        Pictures to a batch, in all; several devices share it.

    Raises
    ------
    ImindexError
        Unknown model, weights not found or not downloadable, no such device.
    """
    places = torch_devices(device)
    if precision == "auto":
        precision = default_precision(places[0])
    if pretrained is None and model == DEFAULT_MODEL:
        pretrained = DEFAULT_PRETRAINED
    model = absolute(model)
    if pretrained and model != DEMO and ":" in model and not model.endswith(".json"):
        raise ImindexError(
            f"--pretrained {pretrained} has no place beside --model {model}, which brings its weights. "
            "Leave it away, or give the model as a JSON configuration."
        )
    if pretrained and Path(pretrained).is_file():
        pretrained = str(Path(pretrained).resolve())
    with as_open_clip_name(model, pretrained) as (name, tag), _quiet():
        network, tokenizer, config = _create(model, pretrained, name, tag)
    preprocess = Preprocess.from_open_clip(network.visual.preprocess_cfg)  # type: ignore[union-attr, arg-type]
    digest = weights_digest(network)
    info = EncoderInfo(
        model=model,
        pretrained=pretrained or "",
        weights_sha256=digest,
        config=config,
        preprocess=preprocess.as_dict(),
        dim=int(config["embed_dim"]),
        precision=precision,
    )
    network.to(dtype=PRECISIONS[precision]).eval()
    if len(places) == 1:
        return Encoder(_put(network, places[0]), tokenizer, info, device=places[0], batch_size=batch_size)
    from imindex.indexer.encoders.multi_device import ManyEncoders

    share = None if batch_size is None else max(1, -(-batch_size // len(places)))
    return ManyEncoders(
        [
            Encoder(_put(copy.deepcopy(network), place), tokenizer, info, device=place, batch_size=share)
            for place in places
        ]
    )


def _put(network: torch.nn.Module, place: torch.device) -> torch.nn.Module:
    """Bring a model to its device; on CUDA convolutions are quickest with the channels last."""
    if place.type == "cpu":
        return network
    try:
        return network.to(place).to(memory_format=torch.channels_last)
    except torch.cuda.OutOfMemoryError as error:
        raise ImindexError(
            f"{place} has not enough memory for the weights. Free it (nvidia-smi shows who uses it), "
            "or use --device cpu or a smaller --model."
        ) from error


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
        As the index has it.
    model, pretrained : str, optional
        Where to find it now, should it have moved.

    Raises
    ------
    ImindexError
        The encoder cannot be found, or it is not the one that made the index.
    """
    encoder = load(
        model or info.model,
        pretrained or (None if model else info.pretrained or None),
        device=device,
        precision=info.precision,
        batch_size=batch_size,
    )
    require_same(info, encoder.info)
    return encoder


def _create(
    model: str, pretrained: str | None, name: str, tag: str | None
) -> tuple[torch.nn.Module, Any, dict[str, Any]]:
    known = open_clip.get_pretrained_cfg(name, tag) if tag and ":" not in name else None
    _trust_no_code()
    try:
        config = open_clip.get_model_config(name)
        network = open_clip.create_model(
            name,
            pretrained=tag,
            require_pretrained=True,
            # open_clip only warns when a tag was trained with the other activation; vectors would be wrong.
            force_quick_gelu=bool(known and known.get("quick_gelu")),
        )
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:
        raise ImindexError(_cannot_load(model, pretrained, name, error)) from error
    config = {**config, **({"quick_gelu": True} if known and known.get("quick_gelu") else {})}
    return network, tokenizer, config


def _trust_no_code() -> None:
    """Let transformers refuse a tokenizer or text tower that brings code, where it would ask whether to run it."""
    with contextlib.suppress(ImportError):
        from transformers import dynamic_module_utils

        dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0


def _cannot_load(model: str, pretrained: str | None, name: str, error: Exception) -> str:
    reason = textwrap.shorten(str(error), 300, placeholder=" ...")
    reason += "" if reason.endswith(".") else "."
    if ":" in name:
        return (
            f"{model} cannot be loaded: {reason} Check the folder or repository; "
            "without a network give local-dir:FOLDER, or --model demo to try imindex."
        )
    if name not in open_clip.list_models():
        return (
            f"{model} is not a model that open_clip knows. See `python -c 'import open_clip; "
            "print(open_clip.list_models())'`, or give local-dir:FOLDER, hf-hub:ORG/REPO or a JSON file."
        )
    if not pretrained:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "a file of weights"
        return f"{model} needs weights: pass --pretrained with one of {tags}, or a path to a file of weights."
    return (
        f"The weights {pretrained} of {model} cannot be loaded: {reason} Without a network, give a file: "
        f"--model {model} --pretrained /path/to/weights.safetensors (or --model local-dir:FOLDER); "
        "--model demo needs no download."
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's and the hub's notes off the screen; what matters comes as an exception."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
