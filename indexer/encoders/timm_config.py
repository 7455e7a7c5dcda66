"""The check of a folder that timm saved: `config.json` is untrusted, and states a network that timm has and no code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.system.input_files import exists, read_text, refuse_special_files

DATA_KEYS = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
"""What timm's preprocessing consists of."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The weights in a folder: the first that is there."""
_ARGUMENT = re.compile(r"[a-z][a-z0-9_]{0,60}")
_FORBIDDEN = frozenset(
    {"cache_dir", "checkpoint_path", "device", "dtype", "exportable", "feature_cfg", "feature_cls", "features_only",
     "kwargs_filter", "model_cfg", "model_name", "no_jit", "out_indices", "pretrained", "pretrained_cfg",
     "pretrained_cfg_overlay", "pretrained_filter_fn", "pretrained_model_args", "pretrained_strict", "pruned",
     "scriptable"}
)  # fmt: skip
"""Arguments of `timm.create_model` that are no part of a network."""
_FOREIGN = ("auto_map", "custom_code", "custom_load", "custom_pipelines", "trust_remote_code")
_MOST_LAYERS = 200
_MOST = 1 << 16
"""The largest number among the arguments of a network."""


@dataclass(frozen=True)
class FolderConfig:
    """What a folder that timm saved states.

    Attributes
    ----------
    architecture : str
        Letters, digits and underscores; not checked to be one that timm has.
    weights : Path
    data : mapping
        Preprocessing, of `DATA_KEYS`, as far as it is stated; mean and std are.
    arguments : mapping
        Arguments of the network: numbers, short texts, and lists of them.
    layers : int
        Layers that the arguments ask for.
    """

    architecture: str
    weights: Path
    data: Mapping[str, Any]
    arguments: Mapping[str, Any]
    layers: int


def read_folder(folder: Path) -> FolderConfig:
    """Read and check the configuration of a folder, and find its weights.

    Raises
    ------
    ImindexError
        There is no configuration, no weights, or the configuration asks for code, or for more than a network has.
    """
    refuse_special_files(folder)
    config = folder / "config.json"
    try:
        settings = parse_json(read_text(config), finite=True)
    except (OSError, ValueError) as error:
        raise ImindexError(
            f"{config} cannot be read as the configuration of a timm network: {error}. Pass a folder that timm saved "
            "(config.json and model.safetensors)."
        ) from error
    if not isinstance(settings, dict) or not isinstance(settings.get("architecture"), str):
        raise ImindexError(f"{config} names no architecture. Pass a folder that timm saved.")
    nested = settings.get("pretrained_cfg", settings)
    data = nested if isinstance(nested, dict) else {}
    foreign = [key for key in _FOREIGN if settings.get(key) or data.get(key)]
    if foreign:
        raise ImindexError(
            f"{config} has {', '.join(foreign)}: it asks to load the network by code of its own, which imindex never "
            "runs. Use a network that timm has."
        )
    architecture = settings["architecture"]
    if not re.fullmatch(r"\w{1,100}", architecture):
        raise ImindexError(
            f"{config} names {architecture[:100]!r}, which is no architecture of timm. Correct it."
        )
    file = next((folder / one for one in WEIGHTS if exists(folder / one)), None)
    if file is None:
        raise ImindexError(f"{folder} has no weights ({' or '.join(WEIGHTS)}). Check the folder.")
    stated = {key: data[key] for key in DATA_KEYS if data.get(key) is not None}
    if not {"mean", "std"} <= stated.keys():
        raise ImindexError(
            f"{config} does not say how pictures are prepared (mean and std in pretrained_cfg). Add it, as it is in "
            "the configuration of the published weights that these come from."
        )
    _check_data(config, stated)
    arguments = _arguments(config, settings.get("model_args") or {})
    if "input_size" not in stated and "img_size" in arguments:
        side = arguments["img_size"]
        stated["input_size"] = [3, *(side if isinstance(side, list) else [side, side])]
    layers = _layers(arguments)
    if layers > _MOST_LAYERS:
        raise ImindexError(
            f"{config}: model_args asks for {layers} layers. A network has at most {_MOST_LAYERS}."
        )
    return FolderConfig(architecture, file, stated, arguments, layers)


def _check_data(config: Path, data: Mapping[str, Any]) -> None:
    """Check the types of an untrusted preprocessing; the ranges are checked where it is used."""
    for key, value in data.items():
        if key in ("interpolation", "crop_mode"):
            valid, expected = isinstance(value, str), "a text"
        elif key == "crop_pct":
            valid, expected = _is_number(value), "a number"
        else:
            valid = isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))
            expected = "a list of three numbers"
        if not valid:
            raise ImindexError(f"{config} has the {key} {repr(value)[:60]}, not {expected}. Correct it.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _arguments(config: Path, arguments: object) -> Mapping[str, Any]:
    """Check the arguments of a network in an untrusted configuration."""
    if not isinstance(arguments, dict):
        raise ImindexError(f"{config}: model_args is not an object. Pass a folder that timm saved.")
    for key, value in arguments.items():
        if not _ARGUMENT.fullmatch(key) or key in _FORBIDDEN or not _is_plain(value):
            raise ImindexError(
                f"{config}: model_args has {key[:40]!r}, which is not an argument of a network with a value that "
                f"imindex accepts (numbers up to {_MOST}, short texts, lists of them). Remove it."
            )
    if arguments.get("in_chans", 3) != 3:
        raise ImindexError(f"{config}: the network takes {arguments['in_chans']} channels. Pictures have 3.")
    return dict(arguments)


def _layers(arguments: Mapping[str, Any]) -> int:
    """Return how many layers the arguments of a network ask for, at most."""
    values = [
        value for key, value in arguments.items() if re.search(r"depth|layers|blocks|repeat|stages", key)
    ]
    return sum(one for one in _flat(values) if isinstance(one, int))


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def _is_plain(value: object, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 2 and len(value) <= 64 and all(_is_plain(one, depth + 1) for one in value)
    if isinstance(value, str):
        return len(value) <= 60
    return (
        value is None or isinstance(value, bool) or (isinstance(value, (int, float)) and abs(value) <= _MOST)
    )
