"""Put a LoRA on a loaded pipeline, and refuse one of which only a part fits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError

ADAPTER = "imindex"
"""The name of the LoRA in the pipeline."""
_INSTALL = "Install it: pip install 'imindex[lora]' (or pip install -U peft)."


def require_peft() -> None:
    """Refuse a LoRA where diffusers cannot load it, before anything is loaded.

    Raises
    ------
    ImindexError
        peft is not installed, or is too old.
    """
    from diffusers.utils import USE_PEFT_BACKEND, is_peft_available

    if not is_peft_available():
        raise ImindexError(f"A LoRA needs the package peft, which is not installed. {_INSTALL}")
    if not USE_PEFT_BACKEND:
        raise ImindexError(f"A LoRA needs a newer peft (or transformers) than the installed one. {_INSTALL}")


def put_on(pipe: Any, file: Path, scale: float) -> None:
    """Load a LoRA into a pipeline, all of it.

    Parameters
    ----------
    pipe : DiffusionPipeline
    file : Path
        Weights that `imindex.indexer.generate.components.check_lora` has accepted.
    scale : float

    Raises
    ------
    ImindexError
        Some of its tensors have no place in the pipeline, or another shape.
    Exception
        What diffusers and peft raise about a file that they cannot use at all.
    """
    tensors = _tensors(pipe, file)
    try:
        pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=ADAPTER, use_safetensors=True)
    except Exception as error:
        if any("lora" in name for name in tensors):  # otherwise it is something else
            _refuse_part(file, len(_fitting(pipe, tensors)), len(tensors), error)
        raise
    used = [
        name
        for part in pipe.components.values()
        if hasattr(part, "named_parameters")
        for name, _ in part.named_parameters()
        if f".{ADAPTER}" in name
    ]
    _refuse_part(file, len(used), len(tensors))
    pipe.set_adapters([ADAPTER], [scale])


def _refuse_part(file: Path, fit: int, total: int, error: Exception | None = None) -> None:
    if fit < total:
        raise ImindexError(
            f"The LoRA {file} was made for another model: {fit:,} of {total:,} tensors fit. Pass a LoRA of this model, "
            "or the model that the LoRA was made for."
        ) from error


def _tensors(pipe: Any, file: Path) -> dict[str, tuple[int, ...]]:
    """Return names, as diffusers names them, and shapes of the tensors of a LoRA; without the scaling factors."""
    more = {"unet_config": pipe.unet.config} if hasattr(pipe, "unet") else {}
    read = pipe.lora_state_dict(file.parent, weight_name=file.name, use_safetensors=True, **more)
    weights = read[0] if isinstance(read, tuple) else read
    return {name: tuple(tensor.shape) for name, tensor in weights.items() if not name.endswith("alpha")}


def _fitting(pipe: Any, tensors: dict[str, tuple[int, ...]]) -> list[str]:
    """Return the names of the tensors whose layer exists and has their shape."""
    layers = {
        f"{name}.{path}": tuple(layer.weight.shape)
        for name, part in pipe.components.items()
        if hasattr(part, "named_modules")
        for path, layer in part.named_modules()
        if getattr(layer, "weight", None) is not None
    }
    fit = []
    for name, shape in tensors.items():
        match = re.fullmatch(r"(.+?)\.(?:lora\.|lora_)?(A|B|down|up)\.weight", name)
        layer = layers.get(match[1]) if match else None
        if match is None or layer is None or len(shape) < 2 or len(layer) < 2:
            continue
        first = match[2] in ("A", "down")
        if shape[1] == layer[1] if first else shape[0] == layer[0]:
            fit.append(name)
    return fit
