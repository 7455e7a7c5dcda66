"""Models of open_clip, however they are named: pictures and texts through two towers.

The only module that imports open_clip.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import json
import logging
import os
import re
import shutil
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.model_options import join_options, split_options
from imindex.indexer.encoders.multi_device import on_devices
from imindex.indexer.encoders.open_clip_config import (
    check_config,
    check_no_folder,
    check_text_tower,
    has_weights,
    text_tower,
)
from imindex.indexer.encoders.probe import PROBE_TEXTS, tokens_digest
from imindex.indexer.encoders.published import OPTION, Settings, taken
from imindex.indexer.encoders.registry import BACKENDS, DEMO_MODEL, open_clip_spelling, options_apart
from imindex.indexer.encoders.tokens import Tokens
from imindex.indexer.encoders.torch_encoder import TorchEncoder, weights_digest
from imindex.indexer.encoders.torchscript import refuse_torchscript
from imindex.indexer.encoders.weights import OPTIONAL, holds_only, import_towers, weights_assigned
from imindex.indexer.system.input_files import read_text, refuse_special_files
from imindex.indexer.system.light_imports import light_imports

with light_imports(*OPTIONAL):
    import open_clip

DEFAULT_PRETRAINED = {"ViT-B-32": "laion2b_s34b_b79k"}
"""The weights of a model that is named without any."""
_QUIET = threading.RLock()
_CONFIG = "open_clip_config.json"
TOWERS = ("both", "image")
_IMAGE_TOWER = "visual."
"""How the names of the tensors of an image tower begin."""
DEMO_FOLDER = Path(__file__).parents[1] / "demo" / "clip"


class OpenClipEncoder(TorchEncoder):
    """Encodes pictures and texts with an open_clip model.

    Parameters
    ----------
    model : torch.nn.Module
        An open_clip model, which has `encode_image` and `encode_text`.
    tokenizer : callable, optional
        Takes a list of texts and returns a tensor of tokens. Without it the encoder has no text side.
    info, device, batch_size
        See `TorchEncoder`.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: Callable[[list[str]], torch.Tensor] | None,
        info: EncoderInfo,
        *,
        device: torch.device,
        batch_size: int | None = None,
    ):
        super().__init__(model, info, device=device, batch_size=batch_size)
        self._tokenizer = tokenizer
        self.has_text = tokenizer is not None

    def features(self, prepared: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model.encode_image(prepared)
        return features

    def text_features(self, texts: list[str]) -> torch.Tensor:
        assert self._tokenizer is not None  # has_text
        features: torch.Tensor = self.model.encode_text(self._tokenizer(texts).to(self.device))
        return features

    def tokens(self, texts: Sequence[str]) -> Tokens | None:
        """Return how many tokens of texts are read, see `Encoder.tokens`."""
        tokenizer: Any = self._tokenizer
        limit = getattr(tokenizer, "context_length", None)
        needed = _tokens_needed(tokenizer, texts)
        if needed is None or not limit:
            return None
        read = tuple(tuple(ids) for ids in tokenizer(list(texts)).tolist()) if texts else ()
        return Tokens(tuple(needed), int(limit), read)


def _tokens_needed(tokenizer: Any, texts: Sequence[str]) -> list[int] | None:
    """Return the lengths of whole texts in tokens, with special ones; None for a tokenizer of another kind."""
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        plain = tokenizer.reduction_fn is None
        return [len(tokenizer.encode(text)) + 2 for text in texts] if plain else None
    if not isinstance(tokenizer, (open_clip.tokenizer.HFTokenizer, open_clip.tokenizer.SigLipTokenizer)):
        return None
    cleaned = [tokenizer.clean_fn(text) for text in texts]
    in_clips = (
        getattr(tokenizer, "tokenizer_mode", "") == "clips"
    )  # open_clip adds three special tokens itself
    ids = (
        tokenizer.tokenizer(text, add_special_tokens=not in_clips, verbose=False).input_ids
        for text in cleaned
    )
    return [len(one) + 3 * in_clips for one in ids]


def load(
    model: str,
    pretrained: str | None,
    *,
    devices: Sequence[torch.device],
    precision: str,
    batch_size: int | None,
    preprocess_from: str | EncoderInfo | None = None,
) -> Encoder:
    """Load an open_clip model, see `imindex.indexer.encoders.base.Backend`.

    Parameters
    ----------
    model : str
        `demo`, a name that open_clip knows (`ViT-B-32`, or as OpenAI writes it, `ViT-B/32`), `local-dir:FOLDER`,
        `hf-hub:ORG/REPO`, or a JSON file with a model
        configuration (open_clip's own, or `{"model_cfg": ..., "preprocess_cfg": ...}`). With `?tower=image` at its end,
        and where a file of weights holds nothing else, only the image tower is loaded.
    pretrained : str, optional
        A tag that open_clip knows for the model, or a file of weights.
    devices, precision, batch_size, preprocess_from
        See `imindex.indexer.encoders.base.Backend`. A tag, a `preprocess_cfg` in the configuration, and the file
        open_clip_config.json beside weights named open_clip_* say how pictures are prepared. Other weights do not.

    Raises
    ------
    ImindexError
        The model is unknown, its weights are not found or cannot be downloaded, or nothing says how pictures are
        prepared for them.
    """
    model, options = _split(model)
    tower = options.get("tower", "both")
    if tower not in TOWERS:
        raise ImindexError(f"tower={tower} is not one of {', '.join(TOWERS)}. Correct it, or drop it.")
    model = _absolute(registered_name(model))
    pretrained = pretrained or DEFAULT_PRETRAINED.get(model)
    if pretrained and model != DEMO_MODEL and ":" in model and not model.endswith(".json"):
        raise ImindexError(
            f"--pretrained {pretrained} has no place beside --model {model}, which brings its weights. "
            "Drop it, or give the model as a JSON configuration."
        )
    if pretrained and Path(pretrained).is_file():
        refuse_torchscript(model, pretrained)
    with _open_clip_name(model, pretrained) as (name, tag), _quiet():
        alone = _is_image_tower(name, tag)
        if alone:
            tower = "image"
        network, tokenizer, config, source = _create(
            model, pretrained, name, tag, preprocess_from, image_only=tower == "image", alone=alone
        )
    preprocess = Preprocess.from_dict(network.visual.preprocess_cfg)  # type: ignore[union-attr, arg-type]
    info = EncoderInfo(
        model=join_options(model, options) if options else model,
        pretrained=pretrained or "",
        weights_sha256=weights_digest(network),
        config=config,
        preprocess=preprocess.as_dict(),
        dim=int(config["embed_dim"]),
        precision=precision,
        tokens_sha256=tokens_digest(tokenizer(list(PROBE_TEXTS)).tolist()) if tokenizer else "",
        preprocess_from=source,
    )

    def make(device: torch.device, batch_size: int | None) -> Encoder:
        own = network if len(devices) == 1 else copy.deepcopy(network)
        return OpenClipEncoder(own, tokenizer, info, device=device, batch_size=batch_size)

    return on_devices(make, devices, batch_size)


def knows(model: str, pretrained: str | None) -> bool:
    """Whether open_clip has a model of this name, and weights of this tag; not a folder, a file or a repository."""
    model = registered_name(_split(model)[0])
    if model == DEMO_MODEL:
        return not pretrained
    return model in open_clip.list_models() and (
        not pretrained or bool(open_clip.get_pretrained_cfg(model, pretrained))
    )


def _split(model: str) -> tuple[str, dict[str, str]]:
    """Split a name from its options. A question mark without options belongs to the name, as it always did."""
    return split_options(model, ("tower",)) if options_apart(model)[1] else (model, {})


def _is_image_tower(name: str, tag: str | None) -> bool:
    """Return whether a file of weights of the user's has no tensors but those of an image tower."""
    if not name.startswith("local-dir:"):
        is_tag = bool(tag and open_clip.get_pretrained_cfg(name, tag))
        return not is_tag and Path(tag or "").is_file() and holds_only(str(tag), _IMAGE_TOWER)
    found = open_clip.factory._find_checkpoint_in_dir(Path(name.removeprefix("local-dir:")))
    return bool(found) and holds_only(str(found), _IMAGE_TOWER)


def registered_name(model: str) -> str:
    """Return the name of a model as open_clip lists it, also where it is spelled as OpenAI spells it.

    Examples
    --------
    >>> registered_name("open_clip:ViT-B/32"), registered_name("ViT-L/14@336px"), registered_name("local-dir:a/b")
    ('ViT-B-32', 'ViT-L-14-336', 'local-dir:a/b')
    """
    model = model.removeprefix("open_clip:")
    known = open_clip.list_models()
    name = open_clip_spelling(model)
    return name if options_apart(name)[0] in known and model not in known else model


def compared_config(config: Mapping[str, Any]) -> dict[str, object]:
    """Return what vectors depend on, of a model configuration, that the weights do not tell.

    That is the activation, and the shape of the two towers (such as the number of heads), as a short digest.
    """
    towers = {key: config.get(key) for key in ("vision_cfg", "text_cfg")}
    return {
        "tower": config.get("tower", "both"),
        "activation": bool(config.get("quick_gelu")),
        "architecture": json_digest(towers)[:12],
    }


def _absolute(model: str) -> str:
    """Make the path of a folder or file absolute, so that an index finds it from any working directory."""
    if model.startswith("local-dir:"):
        return f"local-dir:{os.path.normpath(Path(model.removeprefix('local-dir:')).absolute())}"
    return os.path.normpath(Path(model).absolute()) if model.endswith(".json") else model


@contextlib.contextmanager
def _open_clip_name(model: str, pretrained: str | None) -> Iterator[tuple[str, str | None]]:
    """Translate `--model` and `--pretrained` for open_clip. A JSON file becomes a temporary local-dir."""
    if model == DEMO_MODEL:
        yield f"local-dir:{DEMO_FOLDER}", None
    elif model.endswith(".json"):
        with tempfile.TemporaryDirectory(prefix="imindex-") as folder:
            _write_local_dir(Path(model), pretrained, Path(folder))
            yield f"local-dir:{folder}", None
    elif ":" in model:
        if model.startswith("local-dir:"):
            refuse_special_files(model.removeprefix("local-dir:"))
        yield model, None
    else:
        yield model, pretrained


def _write_local_dir(config: Path, pretrained: str | None, folder: Path) -> None:
    try:
        settings = parse_json(read_text(config), finite=True)
    except (OSError, ValueError) as error:
        raise ImindexError(f"{config} cannot be read as a model configuration: {error}.") from error
    if not pretrained or not Path(pretrained).is_file():
        raise ImindexError(f"{config} is a model configuration: pass its weights with --pretrained FILE.")
    if not isinstance(settings, dict):
        raise ImindexError(
            f"{config} is not a model configuration: it is not a JSON object. See open_clip's configurations."
        )
    settings = settings if "model_cfg" in settings else {"model_cfg": settings}
    (folder / _CONFIG).write_text(json.dumps(settings, allow_nan=False), encoding="utf-8")
    # open_clip looks for these suffixes only, and reads .pt as it reads .bin.
    suffix = ".safetensors" if pretrained.endswith(".safetensors") else ".bin"
    weights = folder / f"open_clip_model{suffix}"
    try:
        weights.symlink_to(Path(pretrained).resolve())
    except OSError:
        shutil.copyfile(pretrained, weights)


def _create(
    model: str,
    pretrained: str | None,
    name: str,
    tag: str | None,
    preprocess_from: str | EncoderInfo | None,
    *,
    image_only: bool,
    alone: bool,
) -> tuple[torch.nn.Module, Any, dict[str, Any], str]:
    """Return the network, its tokenizer, its configuration, and where its preprocessing was taken from."""
    known = open_clip.get_pretrained_cfg(name, tag) if tag and ":" not in name else None
    # open_clip only warns if a tag was trained with the other activation, and the vectors would be wrong.
    quick_gelu = bool(known and known.get("quick_gelu"))
    unstated = None
    try:
        config = open_clip.get_model_config(name)
        if config is not None:
            _check(model, name, check_config(model, config), image_only=image_only)
            import_towers(open_clip, config)
            unstated = _unstated(model, pretrained, name, config, preprocess_from)
            quick_gelu = quick_gelu or bool(unstated and unstated.quick_gelu)
        with weights_assigned(_IMAGE_TOWER if image_only else ""):
            network = open_clip.create_model(
                name,
                pretrained=tag,
                require_pretrained=True,
                force_quick_gelu=quick_gelu,
                force_preprocess_cfg=unstated and dict(unstated.preprocess),
                **(_without_text(config or {}, alone=alone) if image_only else {}),
            )
        if image_only:
            _keep_image_tower(network)
        tokenizer = None if image_only else open_clip.get_tokenizer(name)
    except ImindexError:
        raise
    except Exception as error:
        raise ImindexError(_cannot_load(model, pretrained, name, error)) from error
    config = {**config, "quick_gelu": True} if quick_gelu else {**config}
    if image_only:
        kept = ("embed_dim", "vision_cfg", "quick_gelu")
        config = {**{key: config[key] for key in kept if key in config}, "tower": "image"}
    return network, tokenizer, config, unstated.source if unstated else ""


def _without_text(config: Mapping[str, Any], *, alone: bool) -> dict[str, object]:
    """Return arguments of a model whose text side is not needed: nothing of it is downloaded."""
    arguments: dict[str, object] = {}
    if alone and "init_logit_bias" in config:
        arguments["init_logit_bias"] = (
            None  # open_clip would derive it from a tensor that the weights do not have
        )
    if text_tower(config):
        arguments["text_cfg"] = {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
    return arguments


def _keep_image_tower(network: torch.nn.Module) -> None:
    """Remove everything from a network but its image tower."""
    for members in (network._modules, network._parameters, network._buffers):
        for name in [name for name in members if name != "visual"]:
            delattr(network, name)


@dataclass(frozen=True)
class _Unstated:
    """What weights do not state: preprocessing as in open_clip's `PreprocessCfg`, activation, and their source."""

    preprocess: Mapping[str, Any]
    quick_gelu: bool
    source: str


def _unstated(
    model: str,
    pretrained: str | None,
    name: str,
    config: Mapping[str, Any],
    preprocess_from: str | EncoderInfo | None,
) -> _Unstated | None:
    """Return what the weights do not state, from where it was taken; None if they state it."""
    own = _own_settings(pretrained, name)
    chosen = preprocess_from if isinstance(preprocess_from, str) else None
    if own and chosen:
        raise ImindexError(
            f"{OPTION} {chosen} has no place beside {own}, which says how pictures are prepared. Drop it."
        )
    if own or (":" not in name and not Path(pretrained or "").is_file()):
        return None  # without a file, open_clip says what is wrong
    if isinstance(preprocess_from, EncoderInfo) and {"mean", "std"} <= preprocess_from.preprocess.keys():
        keys = ("mean", "std", "interpolation", "resize_mode", "fill_color")
        recorded = {key: preprocess_from.preprocess[key] for key in keys if key in preprocess_from.preprocess}
        quick_gelu = ":" not in name and bool(preprocess_from.config.get("quick_gelu"))
        return _Unstated(recorded, quick_gelu, preprocess_from.preprocess_from)
    if ":" not in name and (beside := _beside(model, str(pretrained), config, chosen)):
        return beside
    if ":" in name and not chosen:
        raise ImindexError(
            f"The configuration of {model} has no preprocess_cfg, so nothing says how pictures are prepared for it. "
            f'Add "preprocess_cfg": {{"mean": [...], "std": [...]}}, or pass {OPTION} MODEL:TAG with published weights '
            "that have the same preprocessing, such as ViT-B-32:openai."
        )
    if chosen:
        named, colon, tag = chosen.rpartition(":")
        chosen = f"{registered_name(named)}{colon}{tag.lower().replace('-', '_')}"  # as open_clip reads names and tags
    found = taken(model, chosen, published)
    quick_gelu = found.settings.activation == "quick_gelu" and ":" not in name
    if ":" not in name and config.get("quick_gelu") and not quick_gelu:
        raise ImindexError(
            f"{OPTION} {preprocess_from} has the activation {found.settings.activation}, and {model} has quick_gelu. "
            "Pass a tag with the same activation, or the --model whose name does not end in -quickgelu."
        )
    names = ("mean", "std", "interpolation", "resize_mode")
    return _Unstated({key: getattr(found.settings, key) for key in names}, quick_gelu, found.source)


def published(model: str) -> dict[str, Settings]:
    """Return what the published weights of a model are used with, by their tags.

    Parameters
    ----------
    model : str
        A name that open_clip knows; others have no published weights.

    Examples
    --------
    >>> sorted({settings.activation for settings in published("ViT-B-32").values()})
    ['gelu', 'quick_gelu']
    """
    model = registered_name(model)
    config = open_clip.get_model_config(model) if ":" not in model else None
    if config is None:
        return {}
    settings = {}
    for tag in open_clip.list_pretrained_tags_by_model(model):
        stated = open_clip.get_pretrained_cfg(model, tag)
        given = {
            key: stated[key] for key in ("mean", "std", "interpolation", "resize_mode") if stated.get(key)
        }
        quick_gelu = stated.get("quick_gelu") or config.get("quick_gelu")
        settings[tag] = replace(
            Settings(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD, **given)
            if not {"mean", "std"} <= given.keys()
            else Settings(**given),
            activation="quick_gelu" if quick_gelu else "gelu",
        )
    return settings


def _own_settings(pretrained: str | None, name: str) -> str:
    """Return what states the preprocessing of the weights themselves; empty if nothing does."""
    if ":" not in name:
        known = bool(pretrained) and open_clip.get_pretrained_cfg(name, pretrained)
        return f"the tag {pretrained}" if known else ""
    scheme, _, place = name.partition(":")
    if scheme == "local-dir":
        file = Path(place) / _CONFIG
    else:
        file = Path(open_clip.pretrained.download_pretrained_from_hf(place, filename=_CONFIG))
    settings = parse_json(read_text(file))
    return "the preprocess_cfg of the model" if "preprocess_cfg" in settings else ""


def _beside(model: str, pretrained: str, config: Mapping[str, Any], chosen: str | None) -> _Unstated | None:
    """Return what open_clip_config.json states of the weights that it was published with, in their folder."""
    file = Path(pretrained).with_name(_CONFIG)
    if not Path(pretrained).name.startswith("open_clip_") or not file.is_file():
        return None
    try:
        settings = parse_json(read_text(file), finite=True)
    except (OSError, ValueError) as error:
        raise ImindexError(
            f"{file}, beside the weights, cannot be read: {error}. Correct it, or move it away."
        ) from error
    own = settings.get("model_cfg") if isinstance(settings, dict) else None
    if not isinstance(own, dict) or not isinstance(settings.get("preprocess_cfg"), dict):
        return None
    if chosen:
        raise ImindexError(
            f"{OPTION} {chosen} has no place beside {file}, which says how pictures are prepared. Drop it."
        )
    parts = ("embed_dim", "vision_cfg", "text_cfg")
    if any(own.get(part) != config.get(part) for part in parts) or (
        config.get("quick_gelu") and not own.get("quick_gelu")
    ):
        raise ImindexError(
            f"{file}, beside the weights, describes another network than {model}. Pass --model local-dir:{file.parent} "
            "to load the weights as it says."
        )
    return _Unstated(settings["preprocess_cfg"], bool(own.get("quick_gelu")), f"{_CONFIG} beside the weights")


def _check(model: str, name: str, config: Mapping[str, Any], *, image_only: bool) -> None:
    """Refuse a model whose text tower is not a plain one, or whose weights are missing."""
    if not name.startswith("local-dir:") and not image_only:
        check_no_folder(model, config)
    tower = None if image_only else text_tower(config)
    if tower is not None:
        from transformers import PretrainedConfig

        check_text_tower(model, PretrainedConfig.get_config_dict(tower)[0])
    folder = Path(name.removeprefix("local-dir:"))
    if name.startswith("local-dir:") and folder.is_dir():
        refuse_torchscript(model, folder)
    if name.startswith("local-dir:") and folder.is_dir() and not has_weights(folder):
        raise ImindexError(f"{model} has no weights (open_clip_model.safetensors). Check the folder.")


def _cannot_load(model: str, pretrained: str | None, name: str, error: Exception) -> str:
    reason = textwrap.shorten(str(error), 300, placeholder=" ...")
    reason += "" if reason.endswith(".") else "."
    if ":" in name:
        return (
            f"{model} cannot be loaded: {reason} Check the folder or repository; "
            "without a network give local-dir:FOLDER, or --model demo to try imindex."
        )
    if name not in open_clip.list_models():
        near = _near_names(model)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        return (
            f"{model} is not a model that open_clip knows. {hint}See `python -c 'import open_clip; "
            "print(open_clip.list_models())'`, or give local-dir:FOLDER, hf-hub:ORG/REPO or a JSON file. "
            f"Registered back ends: {', '.join(BACKENDS)}."
        )
    if not pretrained:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "a file of weights"
        return f"{model} needs weights: pass --pretrained with one of {tags}, or a path to a file of weights."
    return (
        f"The weights {pretrained} of {model} cannot be loaded: {reason} Without a network, give a file: "
        f"--model {model} --pretrained /path/to/weights.safetensors (or --model local-dir:FOLDER); "
        "--model demo needs no download."
    )


def _near_names(model: str) -> list[str]:
    """Return the names of models that are spelled almost like one that does not exist, the nearest first."""
    known = {name.casefold(): name for name in open_clip.list_models()}
    wanted = re.sub(r"[/_@\s]", "-", model).casefold()
    near = [known[name] for name in difflib.get_close_matches(wanted, known, 3, 0.8)]
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        near.append(f"hf-hub:{model}")
    return near


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log messages of open_clip and the hub; what matters arrives as an exception."""
    with _QUIET:
        before = logging.root.manager.disable
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(before)
