"""Check the configuration of an open_clip model before open_clip acts on it.

open_clip passes parts of a configuration to transformers and to timm: arguments of a tokenizer, names of models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.preprocess_bounds import MAX_SIDE

TOKENIZER_ARGUMENTS = (
    "clean",
    "strip_sep_token",
    "language",
    "add_prefix_space",
    "do_lower_case",
    "legacy",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "use_fast",
)
"""The arguments of a tokenizer that a configuration may set. They are plain values, and name no file and no class."""
TOKENIZER_MODES = (None, "", "clips")
TEXT_TOWERS = ("bert", "m2m_100", "mt5", "roberta", "xlm-roberta")
"""The types of transformers models that open_clip can use as text towers."""
ATTENTION = (None, "eager", "sdpa")
"""Attention implementations of PyTorch; others are compiled kernels, which may be downloaded."""
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_LARGEST = {
    "embed_dim": 1 << 16,
    "image_size": MAX_SIDE,
    "patch_size": MAX_SIDE,
    "width": 1 << 15,
    "layers": 512,
    "heads": 512,
    "head_width": 1 << 15,
    "mlp_ratio": 64,
    "context_length": 1 << 16,
    "vocab_size": 1 << 22,
    "attn_pooler_queries": 1 << 16,
}
"""The largest sizes that a configuration may have. Larger ones would only exhaust the memory."""
_LARGEST_TOWER = {
    **dict.fromkeys(("hidden_size", "d_model", "d_kv"), 1 << 15),
    **dict.fromkeys(("intermediate_size", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim"), 1 << 18),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "num_decoder_layers"), 512),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_attention_heads", "num_heads"), 512),
    **dict.fromkeys(("max_position_embeddings", "type_vocab_size"), 1 << 20),
    "vocab_size": 1 << 22,
}
"""The same for the text towers of transformers."""


def check_config(model: str, config: object) -> Mapping[str, Any]:
    """Return the configuration of a model, or refuse it. Nothing is loaded.

    Parameters
    ----------
    model : str
        The model's name, for messages.
    config : object
        open_clip's `model_cfg`, from an untrusted file.

    Raises
    ------
    ImindexError
        It is not a configuration, a size in it is out of range, or it passes an argument or a name to another library
        that could make it load anything but a model of its own.

    Examples
    --------
    >>> towers = {"vision_cfg": {}, "text_cfg": {"tokenizer_kwargs": {"trust_remote_code": True}}}
    >>> check_config("evil", {"embed_dim": 32, **towers})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    imindex...ImindexError: The configuration of evil sets the tokenizer argument trust_remote_code, ...
    """
    if not isinstance(config, Mapping):
        raise ImindexError(f"{model} has no model configuration: it is {_shown(config)}, not a JSON object.")
    towers = {key: config.get(key) for key in ("vision_cfg", "text_cfg")}
    for key, tower in {**towers, "multimodal_cfg": config.get("multimodal_cfg", {})}.items():
        if not isinstance(tower, Mapping):
            raise ImindexError(
                f"The configuration of {model} has the {key} {_shown(tower)}, not a JSON object. "
                "Use a configuration that open_clip wrote."
            )
        _check_sizes(model, tower, f"{key}.")
    _check_sizes(model, config, "")
    vision, text = (dict(tower or {}) for tower in towers.values())
    _check_tokenizer(model, text)
    _check_timm(model, vision.get("timm_model_name"))
    return config


def check_text_tower(model: str, config: Mapping[str, Any]) -> None:
    """Refuse the configuration of a transformers model that is not a plain text tower.

    Parameters
    ----------
    model : str
        The model's name, for messages.
    config : mapping
        The content of the text tower's config.json.

    Raises
    ------
    ImindexError
        It brings code, is of a type that open_clip cannot use, is quantized, asks for a compiled kernel, or has a
        size out of range.
    """
    _check_sizes(model, config, "text tower's ", _LARGEST_TOWER)
    kind = config.get("model_type")
    nested = (config, *(value for value in config.values() if isinstance(value, Mapping)))
    asked = [part.get(key) for part in nested for key in ("attn_implementation", "_attn_implementation")]
    attention = next((one for one in asked if one not in ATTENTION), None)
    if "auto_map" in config:
        fault = f"brings code of its own (auto_map {_shown(config['auto_map'])}), which imindex never runs"
    elif kind not in TEXT_TOWERS:
        fault = f"is of the type {_shown(kind)}, and open_clip uses only {', '.join(TEXT_TOWERS)}"
    elif config.get("quantization_config") is not None:
        fault = "is quantized, which imindex does not load"
    elif attention not in ATTENTION:
        fault = f"asks for the attention {_shown(attention)}, which may be a compiled kernel"
    else:
        return
    raise ImindexError(f"The text tower of {model} {fault}. Use a model with another text tower.")


def check_no_folder(model: str, config: Mapping[str, Any]) -> None:
    """Refuse a folder that would take the place of a model on the hub: transformers looks in the current folder first.

    Parameters
    ----------
    model : str
        The model's name, for messages.
    config : mapping
        open_clip's `model_cfg`.

    Raises
    ------
    ImindexError
        The text tower or the tokenizer has the name of an existing file or folder.
    """
    for key in ("hf_model_name", "hf_tokenizer_name"):
        name = config["text_cfg"].get(key)
        if name and Path(name).exists():
            raise ImindexError(
                f"{Path(name).absolute()} would be loaded in place of {name}, which {model} takes from the Hugging "
                f"Face hub ({key}). Rename it, or work in another folder."
            )


def text_tower(config: Mapping[str, Any]) -> str | None:
    """Return the name of the transformers model that is the text tower; None if open_clip makes it itself."""
    name = config["text_cfg"].get("hf_model_name")
    return str(name) if name else None


def has_weights(folder: Path) -> bool:
    """Whether open_clip finds weights in a folder. Without, it would load those of the towers from elsewhere."""
    return any(next(folder.glob(f"*{suffix}"), None) for suffix in (".safetensors", ".bin", ".pth"))


def _check_tokenizer(model: str, text: Mapping[str, Any]) -> None:
    arguments = text.get("tokenizer_kwargs") or {}
    if not isinstance(arguments, Mapping):
        raise ImindexError(
            f"The configuration of {model} has the tokenizer_kwargs {_shown(arguments)}, not a JSON object."
        )
    for name, value in arguments.items():
        if name not in TOKENIZER_ARGUMENTS or not isinstance(value, (str, int, float, type(None))):
            raise ImindexError(
                f"The configuration of {model} sets the tokenizer argument {name}, and imindex passes on plain values "
                f"of {', '.join(TOKENIZER_ARGUMENTS)} only. "
                "Remove it from text_cfg.tokenizer_kwargs if the model does not need it, or use another model."
            )
    if text.get("tokenizer_mode") not in TOKENIZER_MODES:
        raise ImindexError(
            f"The configuration of {model} has the tokenizer_mode {_shown(text['tokenizer_mode'])}, which is unknown."
        )
    tokenizer = text.get("hf_tokenizer_name") or ""
    if not isinstance(tokenizer, str) or (tokenizer and not _is_name(tokenizer)):
        raise ImindexError(
            f"The configuration of {model} has the hf_tokenizer_name {_shown(tokenizer)}, which is neither a name on "
            "the Hugging Face hub nor an existing folder."
        )
    tower = text.get("hf_model_name") or ""
    if not isinstance(tower, str) or (tower and not _is_name(tower)):
        raise ImindexError(
            f"The configuration of {model} has the hf_model_name {_shown(tower)}, which is neither a name on the "
            "Hugging Face hub nor an existing folder."
        )


def _is_name(name: str) -> bool:
    return _HUB_NAME.fullmatch(name) is not None or Path(name).is_dir()


def _check_timm(model: str, name: object) -> None:
    """Let through the names of timm's own models: others are paths or repositories, which name further models."""
    if name is None:
        return
    from imindex.indexer.encoders.timm import is_network

    if not isinstance(name, str) or re.search(r"[:/\\]", name) or not is_network(name.partition(".")[0]):
        raise ImindexError(
            f"The configuration of {model} has the timm_model_name {_shown(name)}, which is not a model of the "
            "installed timm. Update timm, or use another model."
        )


def _check_sizes(
    model: str, config: Mapping[str, Any], where: str, limits: Mapping[str, int] = _LARGEST
) -> None:
    for name, largest in limits.items():
        value = config.get(name)
        numbers = value if isinstance(value, (list, tuple)) else [value]
        for number in numbers:
            if number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= largest:
                raise ImindexError(
                    f"The configuration of {model} has the {where}{name} {_shown(value)}, which is not a number from 1 "
                    f"to {largest:,}. Use another model."
                )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
