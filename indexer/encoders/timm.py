"""Pooled features of timm: published networks by name, files of weights and folders.

The only module that imports timm. A network is first made without memory (PyTorch's meta device), and compared with the
weights there, so that a configuration costs nothing until it is known to fit them.
"""

from __future__ import annotations

import copy
import difflib
import math
import os
import re
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from imindex.indexer.core.bounds import Bounds
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.preprocess_bounds import (
    AS_ENCODED,
    INTERPOLATIONS,
    MAX_SIDE,
    REJECT,
    preprocess_fault,
)
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.model_options import join_options, split_options
from imindex.indexer.encoders.multi_device import on_devices
from imindex.indexer.encoders.published import OPTION, Settings, taken
from imindex.indexer.encoders.quiet import quiet
from imindex.indexer.encoders.registry import STYLE_MODEL
from imindex.indexer.encoders.timm_config import DATA_KEYS, read_folder
from imindex.indexer.encoders.torch_encoder import TorchEncoder, weights_digest
from imindex.indexer.encoders.torchscript import is_torchscript
from imindex.indexer.encoders.weights import weights_assigned
from imindex.indexer.system.input_files import exists, refuse_special_files
from imindex.indexer.system.light_imports import light_imports

with light_imports():
    import timm
    import timm.data
    import timm.models
    from timm.models import _builder

NAME = "timm"
STYLE_FOLDER = Path(__file__).parents[1] / "demo" / "style"
OPTIONS = ("pooling", "size")
POOLINGS = ("avg", "avgmax", "catavgmax", "map", "max", "token")
"""`map` is the attention pooling that a network has, `token` its class token."""
SIDE = Bounds(1, MAX_SIDE)
_MAKING = threading.RLock()
_WITHOUT_EFFECT = frozenset(
    {"attn_drop_rate", "dynamic_img_size", "drop_block_rate", "drop_path_rate", "drop_rate", "global_pool", "img_size",
     "in_chans", "num_classes", "patch_drop_rate", "pos_drop_rate", "proj_drop_rate", "strict_img_size"}
)  # fmt: skip
"""Arguments that change no vector, or that the size, the pooling or the weights state."""
_SHARE = "crop_pct"
_MOST_GROWTH = 16
"""Times the numbers of a file that a network may have before position embeddings are interpolated."""
_FIT = "Name the network that the weights were made for."
_SHOWN = 3
"""Names of weights that a message lists."""


class TimmEncoder(TorchEncoder):
    """Encodes pictures with a timm network, as its pooled features before the classifier."""

    def features(self, prepared: torch.Tensor) -> torch.Tensor:
        return _pooled(self.model, prepared)


@dataclass(frozen=True)
class _Source:
    """A network as the user names it.

    Attributes
    ----------
    name : str
        What `EncoderInfo.model` records, without options.
    architecture : str
        timm's name of the network, without the tag of published weights.
    tag : str
        The tag of the published weights whose preprocessing is taken, and whose weights are downloaded where there is
        no file. Empty for a folder.
    file : Path, optional
        The weights; None if they are downloaded.
    data : mapping
        Preprocessing as timm has it, of `DATA_KEYS`.
    arguments : mapping
        Arguments of the network, from the configuration of a folder.
    layers : int
        Layers that the arguments ask for.
    taken_from : str
        Where `data` was taken from, if the weights do not state it.
    recorded : Preprocess, optional
        What an index records, in place of `data`.
    """

    name: str
    architecture: str
    tag: str
    file: Path | None
    data: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    layers: int = 0
    taken_from: str = ""
    recorded: Preprocess | None = None

    @property
    def timm_name(self) -> str:
        return f"{self.architecture}.{self.tag}" if self.tag else self.architecture


@dataclass(frozen=True)
class _Sketch:
    """A network on the meta device, and what it takes to load it.

    Attributes
    ----------
    network : torch.nn.Module
    size : (int, int)
        Height and width of its input.
    arguments : mapping
        What `timm.create_model` takes.
    convert : callable, optional
        timm's own conversion of weights of other forms, of which it interpolates position embeddings.
    classifier : frozenset of str
        Names of the weights of the classifier, which a network without classes has not.
    """

    network: torch.nn.Module
    size: tuple[int, int]
    arguments: Mapping[str, Any]
    convert: Callable[..., Mapping[str, Any]] | None
    classifier: frozenset[str]


def load(
    model: str,
    pretrained: str | None,
    *,
    devices: Sequence[torch.device],
    precision: str,
    batch_size: int | None,
    preprocess_from: str | EncoderInfo | None = None,
) -> Encoder:
    """Load a timm network, see `imindex.indexer.encoders.base.Backend`.

    Parameters
    ----------
    model : str
        `demo-style`, `timm:NAME` or `timm:NAME.TAG` as timm lists them, or `timm:local-dir:FOLDER` with `config.json`
        and `model.safetensors` as timm saves them. Options: `pooling`, one of `POOLINGS`, and `size`, a side or
        HEIGHTxWIDTH in pixels.
    pretrained : str, optional
        A file of weights for a network by name.
    devices, precision, batch_size, preprocess_from
        See `imindex.indexer.encoders.base.Backend`. A network by name without a tag and a file of weights do not state
        how pictures are prepared.

    Raises
    ------
    ImindexError
        The network is unknown, its weights are not found, cannot be downloaded or do not fit it, or an option does not
        apply to it.
    """
    name, options = split_options(model, OPTIONS)
    source = _source(name.removeprefix(NAME).removeprefix(":"), pretrained, preprocess_from)
    wanted = _size(model, options.get("size"))
    with quiet():
        state = _read(source.file) if source.file else None
        if state is not None and source.layers > len(state):
            raise ImindexError(
                f"{source.file} does not fit {source.timm_name}: it has {len(state)} weights, and the configuration "
                f"asks for {source.layers} layers. {_FIT}"
            )
        sketch = _sketch(model, source, wanted)
        network = _downloaded(source, sketch) if state is None else _filled(source, sketch, state)
    digest = weights_digest(network)
    for each in (network, sketch.network):
        _pool(model, each, options.get("pooling"))
    preprocess = (
        replace(source.recorded, size=sketch.size)
        if source.recorded
        else preprocessing(model, source.data, sketch.size)
    )
    kept = {key: value for key, value in source.arguments.items() if key not in _WITHOUT_EFFECT}
    info = EncoderInfo(
        model=join_options(source.name, options),
        pretrained=pretrained or "",
        weights_sha256=digest,
        config={
            "backend": NAME,
            "architecture": source.architecture,
            "pooling": options.get("pooling") or _pooling_of(network),
            **({"arguments": kept} if kept else {}),
        },
        preprocess=preprocess.as_dict(),
        dim=_dimensions(model, sketch),
        precision=precision,
        preprocess_from=source.taken_from,
    )

    def make(device: torch.device, batch_size: int | None) -> Encoder:
        own = network if len(devices) == 1 else copy.deepcopy(network)
        return TimmEncoder(own, info, device=device, batch_size=batch_size)

    return on_devices(make, devices, batch_size)


def knows(model: str, pretrained: str | None) -> bool:
    """Whether timm publishes the weights of this name, or imindex brings them; not a folder, a file or a repository."""
    name, _ = split_options(model)
    name = name.removeprefix(NAME).removeprefix(":")
    if name == STYLE_MODEL:
        return not pretrained
    architecture, _, tag = name.partition(".")
    tags = _tags(architecture)
    return not pretrained and (tag in tags if tag else bool(tags))


def is_network(name: str) -> bool:
    """Whether timm has a network of this name, without a tag. Paths and repositories are none."""
    return re.fullmatch(r"\w+", name) is not None and bool(timm.is_model(name))


def published(architecture: str) -> dict[str, Settings]:
    """Return how pictures are prepared for the published weights of a network, by their tags.

    Parameters
    ----------
    architecture : str
        As timm lists it, or as `--model` takes it.

    Examples
    --------
    >>> published("vit_base_patch16_siglip_224")["v2_webli"].size
    (224, 224)
    """
    architecture = architecture.removeprefix(f"{NAME}:")
    return {tag: _settings(_data(_published(f"{architecture}.{tag}"))) for tag in _tags(architecture)}


def _settings(data: Mapping[str, Any]) -> Settings:
    _, height, width = data["input_size"]
    return Settings(
        mean=tuple(map(float, data["mean"])),
        std=tuple(map(float, data["std"])),
        interpolation=str(data["interpolation"]),
        resize_mode=str(data["crop_mode"]),
        size=(int(height), int(width)),
        other=((_SHARE, repr(float(data["crop_pct"]))),),
    )


def _data_of(settings: Settings) -> Mapping[str, Any]:
    """Return timm's preprocessing; the inverse of `_settings`."""
    assert settings.size is not None
    return {
        "input_size": (3, *settings.size),
        "interpolation": settings.interpolation,
        "mean": settings.mean,
        "std": settings.std,
        "crop_pct": float(dict(settings.other)[_SHARE]),
        "crop_mode": settings.resize_mode,
    }


def preprocessing(model: str, data: Mapping[str, Any], size: tuple[int, int]) -> Preprocess:
    """Return the settings with which pictures are prepared as timm's transform for evaluation does.

    Parameters
    ----------
    model : str
        For messages.
    data : mapping
        timm's preprocessing, of `DATA_KEYS`. Its `input_size` is not used.
    size : (int, int)
        Height and width of the input.

    Raises
    ------
    ImindexError
        A setting is not one that imindex has.
    """
    resolved = timm.data.resolve_data_config(pretrained_cfg={**data, "input_size": (3, *size)})
    share, mode, interpolation = resolved["crop_pct"], resolved["crop_mode"], resolved["interpolation"]
    if interpolation not in INTERPOLATIONS:
        raise ImindexError(
            f"{model} resizes pictures by {str(interpolation)[:40]!r}, and imindex by {' or '.join(INTERPOLATIONS)}. "
            "Use another model."
        )
    if not isinstance(share, (int, float)) or not 0.05 <= share <= 1:
        raise ImindexError(
            f"{model} crops the share {share!r} of a picture, and imindex from 0.05 to 1. Use another model."
        )
    mean, std = (tuple(map(float, resolved[key])) for key in ("mean", "std"))
    scaled = (math.floor(size[0] / share), math.floor(size[1] / share))
    plain = Preprocess(size=size, mean=mean, std=std, interpolation=interpolation)
    if mode == "border":
        grey = {round(255 * value) for value in mean}
        if scaled != size or len(grey) != 1:
            raise ImindexError(
                f"{model} pads pictures with a colour, or crops them after padding, which imindex does not do. "
                "Use another model."
            )
        settings = replace(plain, resize_mode="longest", fill_color=grey.pop())
    else:
        squash = mode == "squash"
        edge = scaled[0] if scaled[0] == scaled[1] else scaled
        stated = scaled != size or (size[0] != size[1] and not squash and interpolation != "bicubic")
        settings = replace(
            plain, resize_mode="squash" if squash else "shortest", resize_to=edge if stated else None
        )
    return Preprocess.from_dict(settings.as_dict())


def _source(name: str, pretrained: str | None, preprocess_from: str | EncoderInfo | None) -> _Source:
    """Return the network that a name, without back end and options, and a file of weights stand for."""
    chosen = preprocess_from if isinstance(preprocess_from, str) else None
    if name == STYLE_MODEL:
        if pretrained:
            raise ImindexError(
                f"--pretrained {pretrained} has no place beside --model {name}, which brings its weights. Drop it."
            )
        _refuse_choice(chosen, "the config.json that comes with imindex")
        return replace(_folder(f"local-dir:{STYLE_FOLDER}", None), name=name)
    if name.startswith("local-dir:"):
        _refuse_choice(chosen, "the config.json of the folder")
        return _folder(name, pretrained)
    architecture, _, tag = name.partition(".")
    if not is_network(architecture):
        raise ImindexError(_unknown(name))
    tags = _tags(architecture)
    if tag and tag not in tags:
        raise ImindexError(
            f"{NAME}:{architecture} has no published weights {tag}: it has {', '.join(tags) or 'none'}. "
            f"Name one of them (--model {NAME}:{architecture}.TAG), or pass a file with --pretrained."
        )
    file = None
    if pretrained:
        if not exists(pretrained) or Path(pretrained).is_dir():
            raise ImindexError(
                f"{pretrained} is not a file of weights for {NAME}:{name}. Pass --pretrained FILE, or name published "
                f"weights as --model {NAME}:{architecture}.TAG, where TAG is one of {', '.join(tags) or 'none'}."
            )
        file = Path(pretrained)
    if file is None or tag:
        if not tags:
            raise ImindexError(
                f"timm has no published weights of {architecture}. Pass a file with --pretrained FILE and {OPTION} "
                f"MODEL:TAG, or a folder that timm saved as --model {NAME}:local-dir:FOLDER."
            )
        tag = tag or str(_published(architecture)["tag"])
        _refuse_choice(chosen, f"the tag {tag} of {architecture}")
        named = name if file else f"{architecture}.{tag}"
        return _Source(f"{NAME}:{named}", architecture, tag, file, _data(_published(f"{architecture}.{tag}")))
    first = tags[0] if tags else ""
    if isinstance(preprocess_from, EncoderInfo) and not preprocess_fault(preprocess_from.preprocess):
        recorded = Preprocess.from_dict(preprocess_from.rendered(AS_ENCODED, REJECT).preprocess)
        size = {"input_size": (3, *recorded.size)}
        origin = preprocess_from.preprocess_from
        return _Source(
            f"{NAME}:{name}", architecture, first, file, size, taken_from=origin, recorded=recorded
        )
    if not tags and chosen is None:
        raise ImindexError(
            f"A file of weights does not say how pictures are prepared for it, and timm has no published weights of "
            f"{architecture}. Pass {OPTION} MODEL:TAG if it was trained as published ones of another network were, or "
            f"a folder that timm saved as --model {NAME}:local-dir:FOLDER."
        )
    found = taken(architecture, chosen, published)
    return _Source(
        f"{NAME}:{name}", architecture, first, file, _data_of(found.settings), taken_from=found.source
    )


def _refuse_choice(chosen: str | None, states: str) -> None:
    if chosen:
        raise ImindexError(
            f"{OPTION} {chosen} has no place beside {states}, which says how pictures are prepared. Drop it."
        )


def _unknown(name: str) -> str:
    known = timm.list_models()
    near = difflib.get_close_matches(name.partition(".")[0].casefold(), known, 3, 0.8)
    hint = f"Did you mean {' or '.join(f'{NAME}:{one}' for one in near)}? " if near else ""
    return (
        f"{NAME}:{name[:100]} is not a network that timm knows. {hint}See `python -c 'import timm; "
        f"print(timm.list_models())'`, or give {NAME}:local-dir:FOLDER."
    )


def _tags(architecture: str) -> tuple[str, ...]:
    """Return the tags of the published weights of a network."""
    if not is_network(architecture):
        return ()
    names = timm.list_pretrained(f"{architecture}.*")
    return tuple(name.partition(".")[2] for name in names)


def _published(name: str) -> Mapping[str, Any]:
    """Return timm's configuration of published weights."""
    config = timm.models.get_pretrained_cfg(name)
    assert config is not None, name
    return dict(config.to_dict())


def _data(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the preprocessing of a configuration, with timm's defaults."""
    resolved = timm.data.resolve_data_config(pretrained_cfg=dict(config))
    return {key: resolved[key] for key in DATA_KEYS}


def _folder(name: str, pretrained: str | None) -> _Source:
    folder = Path(os.path.normpath(Path(name.removeprefix("local-dir:")).absolute()))
    model = f"{NAME}:local-dir:{folder}"
    if pretrained:
        raise ImindexError(
            f"--pretrained {pretrained} has no place beside --model {model}, which brings its weights. Drop it."
        )
    found = read_folder(folder)
    if not is_network(found.architecture):
        raise ImindexError(f"{folder}: {_unknown(found.architecture)}")
    own = _published(found.architecture) if _tags(found.architecture) else {}
    size = {"input_size": own["input_size"]} if "input_size" in own else {}
    try:
        data = _data({**size, **found.data})
    except (AssertionError, TypeError, ValueError) as error:
        raise ImindexError(
            f"{folder} has a preprocessing that cannot be used: {_reason(error)} Correct it."
        ) from error
    return _Source(model, found.architecture, "", found.weights, data, found.arguments, found.layers)


# Networks


def _size(model: str, option: str | None) -> tuple[int, int] | None:
    """Return height and width from the option `size`."""
    if option is None:
        return None
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", option)
    sides = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise ImindexError(
            f"{model}: the size is {option!r}, not one side or HEIGHTxWIDTH, each from 1 to {MAX_SIDE} pixels. "
            "Correct it."
        )
    return sides


def _sketch(model: str, source: _Source, wanted: tuple[int, int] | None) -> _Sketch:
    """Make the network on the meta device."""
    channels, *sides = source.data["input_size"]
    size = wanted or (sides[0], sides[1])
    if not all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in size):
        raise ImindexError(
            f"{model} takes pictures of the size {size}. Each side has to be from 1 to {MAX_SIDE} pixels."
        )
    if channels != 3:
        raise ImindexError(f"{model} takes {channels} channels. Pictures have 3.")
    arguments = {**source.arguments, "num_classes": 0}
    with quiet():
        known = timm.models.get_pretrained_cfg(source.timm_name, allow_unregistered=True)
    fixed = bool(known is not None and known.to_dict().get("fixed_input_size"))
    if fixed or "img_size" in arguments:
        arguments["img_size"] = size
    network, convert = _made(model, source.timm_name, arguments)
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if isinstance(patch, (tuple, list)) and len(patch) == 2 and any(map(int.__mod__, size, patch)):
        near = "x".join(str(max(1, round(side / one)) * one) for side, one in zip(size, patch, strict=True))
        raise ImindexError(
            f"{model} has patches of {patch[0]}x{patch[1]} pixels, and {size[0]}x{size[1]} is no multiple of them. "
            f"Pass a multiple, such as size={near}."
        )
    named = network.pretrained_cfg.get("classifier") or ()  # type: ignore[operator, union-attr]
    layers = (named,) if isinstance(named, str) else named
    classifier = frozenset(f"{layer}.{part}" for layer in layers for part in ("weight", "bias"))
    return _Sketch(network, size, arguments, convert, classifier)


def _made(
    model: str, name: str, arguments: Mapping[str, Any]
) -> tuple[torch.nn.Module, Callable[..., Mapping[str, Any]] | None]:
    """Return a network on the meta device, and timm's conversion of its weights.

    timm hands the conversion to the function that loads published weights, which is replaced while the network is made.
    """
    converting: list[Callable[..., Mapping[str, Any]] | None] = []
    owner = threading.get_ident()

    def instead(network: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner:
            return original(network, *args, **kwargs)
        converting.append(kwargs.get("filter_fn"))
        return None

    with _MAKING:
        original = _builder.load_pretrained
        _builder.load_pretrained = instead
        try:
            with torch.device("meta"):
                network = timm.create_model(name, pretrained=True, **arguments)
        except Exception as error:
            raise ImindexError(f"{model} cannot be made: {_reason(error)} Check its arguments.") from error
        finally:
            _builder.load_pretrained = original
    return network.eval(), converting[0] if converting else None


def _downloaded(source: _Source, sketch: _Sketch) -> torch.nn.Module:
    """Load published weights, from the cache or from the network."""
    try:
        with weights_assigned():
            network: torch.nn.Module = timm.create_model(
                source.timm_name, pretrained=True, **sketch.arguments
            )
    except Exception as error:
        raise ImindexError(
            f"The weights of {source.name} cannot be loaded: {_reason(error)} Without a network give a file: "
            f"--model {source.name} --pretrained /path/to/model.safetensors; --model demo needs no download."
        ) from error
    return network.eval()


def _filled(source: _Source, sketch: _Sketch, state: Mapping[str, Any]) -> torch.nn.Module:
    """Load the tensors of a file; every weight has to have its place."""
    file = source.file
    n_file = sum(value.numel() for value in state.values() if isinstance(value, torch.Tensor))
    n_network = sum(value.numel() for value in sketch.network.state_dict().values())
    if n_network > _MOST_GROWTH * max(n_file, 1):
        raise ImindexError(
            f"{file} does not fit {source.timm_name}: it has {n_file:,} numbers, and the network {n_network:,}. {_FIT}"
        )
    if sketch.convert is not None:
        try:
            state = dict(sketch.convert(state, sketch.network))
        except Exception as error:
            raise ImindexError(f"{file} does not fit {source.timm_name}: {_reason(error)} {_FIT}") from error
    state = _fitting(source, sketch, state)
    network: torch.nn.Module = timm.create_model(source.timm_name, pretrained=False, **sketch.arguments)
    network.load_state_dict(state, strict=False)
    return network.eval()


def _read(file: Path) -> Mapping[str, Any]:
    """Return the tensors of a file of weights, as timm reads it. No code of the file is run."""
    refuse_special_files(file)
    if is_torchscript(file):
        raise ImindexError(
            f"{file} is a TorchScript archive, which holds code, and imindex never runs it. Convert it to safetensors."
        )
    try:
        state = timm.models.load_state_dict(str(file), weights_only=True)
    except Exception as error:
        if "weights_only" in str(error):
            raise ImindexError(
                f"{file} holds Python objects beside tensors, which could run code, so it is not loaded. Convert it to "
                "safetensors where you trust it."
            ) from error
        raise ImindexError(
            f"{file} cannot be read as weights: {_reason(error)} Pass a .safetensors file, or a .pth file with tensors."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ImindexError(f"{file} holds no tensors by name. Pass a file of weights.")
    return state


def _fitting(source: _Source, sketch: _Sketch, state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights of the network, without its classifier, or refuse a file that has others."""
    own = sketch.network.state_dict()
    kept = {key: value for key, value in state.items() if key in own or key not in sketch.classifier}
    missing = [key for key in own if key not in kept and not key.endswith(".num_batches_tracked")]
    unexpected = [key for key in kept if key not in own]
    other = [
        f"{key} {_shape(kept[key])} for {_shape(value)}"
        for key, value in own.items()
        if key in kept and _shape(kept[key]) != _shape(value)
    ]
    faults = [
        f"{len(keys)} {of}{what} ({', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''})"
        for keys, of, what in (
            (missing, f"of {len(own)} weights ", "are missing"),
            (unexpected, "", "are unexpected"),
            (other, "", "have another shape"),
        )
        if keys
    ]
    if faults:
        raise ImindexError(f"{source.file} does not fit {source.timm_name}: {'; '.join(faults)}. {_FIT}")
    return kept


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else f"({type(value).__name__})"


# Pooling


def _pool(model: str, network: torch.nn.Module, pooling: str | None) -> None:
    """Let a network pool its features in another way than by default."""
    if pooling is None:
        return
    if pooling not in POOLINGS:
        raise ImindexError(
            f"{model}: the pooling is {pooling!r}, not one of {', '.join(POOLINGS)}. Correct it."
        )
    reset: Any = network.reset_classifier
    try:
        if pooling == "token" and getattr(network, "cls_token", None) is None:
            raise ValueError("it has no class token")
        reset(0, pooling)
    except (AssertionError, TypeError, ValueError) as error:
        raise ImindexError(
            f"{model} cannot pool by {pooling}: {_reason(error)} By default it pools by {_pooling_of(network)}. "
            "Drop the option, or take another pooling."
        ) from error


def _pooling_of(network: torch.nn.Module) -> str:
    """Return how a network pools its features."""
    head = getattr(network, "head", None)
    for holder in (network, head):
        pool: Any = getattr(holder, "global_pool", None)
        name = pool if isinstance(pool, str) else getattr(pool, "pool_type", None)
        if isinstance(name, str) and name:
            return name
    kind = getattr(head, "pool_type", None)  # heads that pool by themselves, as those of hiera and mambaout
    return kind if isinstance(kind, str) and kind else "as trained"


def _pooled(network: Any, prepared: torch.Tensor) -> torch.Tensor:
    """Return the features before the classifier, as timm documents them."""
    features: torch.Tensor = network.forward_head(network.forward_features(prepared), pre_logits=True)
    return features


def _dimensions(model: str, sketch: _Sketch) -> int:
    """Return the length of a vector, by a forward pass without arithmetic."""
    try:
        with torch.inference_mode(), torch.device("meta"):
            shape = _pooled(sketch.network, torch.zeros(1, 3, *sketch.size)).shape
    except Exception as error:
        raise ImindexError(
            f"{model} cannot encode pictures of {sketch.size[0]}x{sketch.size[1]} pixels: {_reason(error)} "
            "Pass another size."
        ) from error
    if len(shape) != 2:
        raise ImindexError(
            f"{model} returns features of the shape {tuple(shape)} for a picture, not a vector. Pass a pooling: "
            f"{', '.join(POOLINGS)}."
        )
    return int(shape[1])


def _reason(error: BaseException) -> str:
    reason = textwrap.shorten(str(error) or type(error).__name__, 300, placeholder=" ...")
    return reason if reason.endswith(".") else f"{reason}."
