"""Load the weights of open_clip's models: with few libraries, and without random weights that are overwritten."""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.torchscript import is_torchscript
from imindex.indexer.system.input_files import open_input

OPTIONAL = ("transformers", "timm")
"""Libraries that open_clip imports if they are installed. Only models with a tower of theirs need them."""
_LOADING = threading.RLock()


def import_towers(open_clip: ModuleType, config: Mapping[str, Any]) -> None:
    """Import the libraries that the towers of a model need, where the import of open_clip left them out."""
    needed = (
        ("hf_model", "HFTextEncoder", "transformers", config.get("text_cfg", {}).get("hf_model_name")),
        ("timm_model", "TimmModel", "timm", config.get("vision_cfg", {}).get("timm_model_name")),
    )
    for module, tower, library, name in needed:
        part = sys.modules[f"{open_clip.__name__}.{module}"]
        if name and getattr(part, library, None) is None:
            importlib.reload(part)
            vars(sys.modules[f"{open_clip.__name__}.model"])[tower] = vars(part)[tower]


_mapped: ContextVar[bool] = ContextVar("mapped", default=False)


@contextlib.contextmanager
def weights_mapped() -> Iterator[None]:
    """Let models that are loaded in this context keep weights in their file, mapped into memory.

    Only for commands that are over in seconds. If somebody overwrites the file, a mapped model computes other vectors
    from then on, although the digest of its weights was right.
    """
    token = _mapped.set(True)
    try:
        yield
    finally:
        _mapped.reset(token)


def holds_only(file: str | os.PathLike[str], prefix: str) -> bool:
    """Return whether all tensors of a file of weights have names that begin with a prefix. No tensor is read."""
    names = _tensor_names(file)
    return bool(names) and all(name.startswith(prefix) for name in names)


def _tensor_names(file: str | os.PathLike[str]) -> list[str]:
    """Return the names of a file's tensors, without those of wrappers around the network; empty if it is not clear."""
    try:
        if os.fspath(file).endswith(".safetensors"):
            from safetensors import safe_open

            with safe_open(os.fspath(file), framework="pt") as opened:
                names = list(opened.keys())
        elif is_torchscript(file):
            return []
        else:
            with open_input(file) as read:
                content = torch.load(read, map_location="meta", weights_only=True)
            content = content.get("state_dict", content) if isinstance(content, Mapping) else {}
            names = [str(name) for name in content]
    except (
        ImindexError,
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        KeyError,
        pickle.UnpicklingError,
        SafetensorError,
    ):
        return []  # loading it says what is wrong
    return [name.removeprefix("module.") for name in names]


@contextlib.contextmanager
def weights_assigned(only: str = "") -> Iterator[None]:
    """Make models in this context without random weights, and let `load_state_dict` take tensors into the model.

    Parameters
    ----------
    only : str
        Take only tensors whose names begin with this. The rest of the model is undefined: remove it.

    Notes
    -----
    Tensors of a safetensors file are mapped into memory. Each is copied, so that the model does not change with the
    file, except within `weights_mapped`. A tensor of another type or shape than the model's is converted, or refused,
    as usual. Every weight must be loaded: a model that is used without is undefined.

    Models that other threads make at the same time are not affected, and their turn here comes afterwards.
    """
    from torch.nn.modules import activation

    owner = threading.get_ident()

    def kept(original: Any) -> Any:
        def keep(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            return tensor if threading.get_ident() == owner else original(tensor, *args, **kwargs)

        return keep

    def take(module: torch.nn.Module, state: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner:
            return loads(module, state, *args, **kwargs)
        own, converted = module.state_dict(), dict(state)
        for name, value in converted.items():
            if only and not name.startswith(only):
                continue
            if name in own and isinstance(value, torch.Tensor):
                converted[name] = value.to(own[name].dtype, copy=not _mapped.get())
                if isinstance(state, dict):  # frees the tensor, if it was read and not mapped
                    state[name] = converted[name]
        if only:
            converted = {name: value for name, value in converted.items() if name.startswith(only)}
            surplus = [name for name in converted if name not in own]
            if surplus:
                raise RuntimeError(f"the model has no {', '.join(surplus[:3])}")
            result = loads(module, converted, strict=False, assign=True)
        else:
            result = loads(module, converted, *args, **{**kwargs, "assign": True})
        missing = [name for name in result.missing_keys if name.startswith(only)]
        if missing:
            raise RuntimeError(f"the weights lack {', '.join(missing[:3])}")
        return result

    with _LOADING:
        names = [name for name in vars(torch.nn.init) if name.endswith("_") and not name.startswith("_")]
        places: list[tuple[ModuleType, str]] = [(torch.nn.init, name) for name in names]
        places += [(activation, name) for name in names if name in vars(activation)]
        before = [vars(module)[name] for module, name in places]
        loads = torch.nn.Module.load_state_dict
        try:
            for (module, name), original in zip(places, before, strict=True):
                setattr(module, name, kept(original))
            torch.nn.Module.load_state_dict = take  # type: ignore[method-assign, assignment]
            yield
        finally:
            torch.nn.Module.load_state_dict = loads  # type: ignore[method-assign]
            for (module, name), original in zip(places, before, strict=True):
                setattr(module, name, original)
