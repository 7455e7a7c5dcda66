"""Vision towers of transformers, and models with an image and a text tower, from folders or the Hugging Face hub.

`FAMILIES` says which output of each type of model is the vector of a picture, and where that is documented. Weights are
read from safetensors only, and every tensor has to have its place: a pooler that the file lacks would be random.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from imindex.indexer.core.bounds import Bounds
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.preprocess_bounds import MAX_SIDE
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.image_processor import read_preprocess
from imindex.indexer.encoders.model_options import join_options, split_options
from imindex.indexer.encoders.multi_device import on_devices
from imindex.indexer.encoders.open_clip_config import ATTENTION
from imindex.indexer.encoders.probe import PROBE_TEXTS, tokens_digest
from imindex.indexer.encoders.quiet import quiet
from imindex.indexer.encoders.tokens import Tokens
from imindex.indexer.encoders.torch_encoder import TorchEncoder, tensors_digest
from imindex.indexer.system.input_files import exists, read_text, refuse_special_files

NAME = "transformers"
OPTIONS = ("pooling", "size")
POOLINGS = ("cls", "mean", "pooler", "projection")
"""`cls`: the first token of last_hidden_state. `mean`: the mean of its tokens of patches, without class token and
registers. `pooler`: pooler_output. `projection`: pooler_output projected into the space of the texts."""
SIDE = Bounds(1, MAX_SIDE)


@dataclass(frozen=True)
class Family:
    """How a type of model is used.

    Attributes
    ----------
    network : str
        The class in transformers.
    pooling : str
        The default, one of `POOLINGS`.
    poolings : tuple of str
        What the model has.
    prefix : int
        Tokens before those of the patches, without registers, which the configuration counts.
    positions : {"any", "flag"}
        Whether the model takes pictures of any size by itself, or interpolates its positions if it is told to.
    processor : str
        The class of its image processor, for files that do not name one.
    optional_pooler : bool
        Whether the network can be made without a pooler.
    text : bool
        Whether there is a text tower, in the space of the default pooling.
    source : str
        Where the default is documented.
    """

    network: str
    pooling: str
    source: str
    poolings: tuple[str, ...] = ("cls", "mean", "pooler")
    prefix: int = 1
    positions: str = "flag"
    processor: str = "ViTImageProcessor"
    optional_pooler: bool = False
    text: bool = False


_CLIP = ("cls", "mean", "pooler", "projection")
_BIT, _CONVNEXT = "BitImageProcessor", "ConvNextImageProcessor"
FAMILIES: Mapping[str, Family] = {
    "beit": Family(
        "BeitModel", "pooler", "card of microsoft/beit-base-patch16-224: the mean of the final states of the patches",
        positions="any", processor="BeitImageProcessor", optional_pooler=True,
    ),
    "clip": Family(
        "CLIPModel", "projection", "card of openai/clip-vit-base-patch32: image_embeds",
        poolings=_CLIP, processor="CLIPImageProcessor", text=True,
    ),
    "clip_vision_model": Family(
        "CLIPVisionModelWithProjection", "projection", "CLIPVisionModelWithProjection: image_embeds",
        poolings=_CLIP, processor="CLIPImageProcessor",
    ),
    "convnext": Family(
        "ConvNextModel", "pooler", "Liu et al. 2022: global average pooling and layer norm",
        poolings=("mean", "pooler"), prefix=0, positions="any", processor=_CONVNEXT,
    ),
    "convnextv2": Family(
        "ConvNextV2Model", "pooler", "Woo et al. 2023: global average pooling and layer norm",
        poolings=("mean", "pooler"), prefix=0, positions="any", processor=_CONVNEXT,
    ),
    "deit": Family(
        "DeiTModel", "cls", "card of facebook/deit-base-distilled-patch16-224: the class token",
        prefix=2, processor="DeiTImageProcessor", optional_pooler=True,
    ),
    "dinov2": Family(
        "Dinov2Model", "cls", "facebookresearch/dinov2, vision_transformer.py: x_norm_clstoken",
        positions="any", processor=_BIT,
    ),
    "dinov2_with_registers": Family(
        "Dinov2WithRegistersModel", "cls", "facebookresearch/dinov2, vision_transformer.py: x_norm_clstoken",
        positions="any", processor=_BIT,
    ),
    "dinov3_convnext": Family(
        "DINOv3ConvNextModel", "pooler", "card of facebook/dinov3-convnext-tiny-pretrain-lvd1689m: pooler_output",
        positions="any", processor="DINOv3ViTImageProcessor",
    ),
    "dinov3_vit": Family(
        "DINOv3ViTModel", "cls", "card of facebook/dinov3-vits16-pretrain-lvd1689m: pooler_output, the class token",
        positions="any", processor="DINOv3ViTImageProcessor",
    ),
    "ijepa": Family(
        "IJepaModel", "mean", "card of facebook/ijepa_vith14_1k: the mean of last_hidden_state",
        poolings=("mean",), prefix=0,
    ),
    "resnet": Family(
        "ResNetModel", "pooler", "He et al. 2015: global average pooling",
        poolings=("mean", "pooler"), prefix=0, positions="any", processor=_CONVNEXT,
    ),
    "siglip": Family(
        "SiglipModel", "pooler", "card of google/siglip-base-patch16-224: get_image_features",
        poolings=("mean", "pooler"), prefix=0, processor="SiglipImageProcessor", text=True,
    ),
    "siglip_vision_model": Family(
        "SiglipVisionModel", "pooler", "SiglipVisionModel: pooler_output, the attention pooling head",
        poolings=("mean", "pooler"), prefix=0, processor="SiglipImageProcessor",
    ),
    "swin": Family(
        "SwinModel", "pooler", "Liu et al. 2021: average pooling after the last layer norm",
        poolings=("mean", "pooler"), prefix=0,
    ),
    "swinv2": Family(
        "Swinv2Model", "pooler", "Liu et al. 2022: average pooling after the last layer norm",
        poolings=("mean", "pooler"), prefix=0,
    ),
    "vit": Family(
        "ViTModel", "cls", "card of google/vit-base-patch16-224-in21k: the last hidden state of the [CLS] token",
        optional_pooler=True,
    ),
    "vit_msn": Family("ViTMSNModel", "cls", "Assran et al. 2022: the class token", poolings=("cls", "mean")),
}  # fmt: skip
"""By `model_type`. Each is tested against the forward pass of transformers with random weights."""
REFUSED = {
    "siglip2": "takes pictures of any aspect ratio as lists of patches (NaFlex), which imindex does not make. Use one "
    "of the SigLIP 2 models of a fixed resolution, whose model_type is siglip",
    "timm_wrapper": "is a timm model. Use --model timm:NAME",
}

_UNUSED = (
    r"(^|\.)(position_ids|relative_position_index|relative_coords_table|attn_mask)$|"
    r"^((cls_|distillation_)?classifier|lm_head|decoder)\."
)
"""Tensors that make no vector: buffers that older versions stored, and heads of classifiers."""
_POOLER = r"(^|\.)pooler\."
_PROJECTION = r"^visual_projection\."
_NEUTRAL = re.compile(
    r"_.*|transformers_version|architectures|torch_dtype|dtype|id2label|label2id|problem_type|initializer_.*|"
    r"(?!token_).*dropout(_prob|_rate)?|.*drop_path_rate|attn_implementation|use_cache|output_attentions|"
    r"output_hidden_states|output_scores|return_dict|out_features|out_indices|stage_names|chunk_size_feed_forward|"
    r"finetuning_task"
)
"""Keys of a configuration that change no vector. `token_dropout` scales embeddings without training, too."""
_STAGES = frozenset({"out_features", "out_indices", "stage_names"})
"""Keys that choose the features of a backbone within a network, and change vectors there."""
_LARGEST = {
    r".*(hidden|embed|projection)_(size|dim)|d_model|embedding_size": 1 << 15,
    r"intermediate_size": 1 << 18,
    r"(num|encoder|decoder)_.*layers|num_.*heads|num_register_tokens|num_stages": 512,
    r"patch_size|image_size": MAX_SIDE,
    r"vocab_size": 1 << 22,
    r"max_position_embeddings": 1 << 20,
    r"mlp_ratio": 64,
}
"""The largest numbers that a configuration may have. Larger ones would only exhaust time and memory."""
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "spiece.model", "tokenizer.model")
_HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")


class PaddedTokenizer:
    """Turns texts into the arguments of a text tower, padded and cut to one length.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    length : int
        Tokens that the text tower reads.
    """

    def __init__(self, tokenizer: Any, length: int):
        self._tokenizer = tokenizer
        self.length = length

    def __call__(self, texts: list[str]) -> Mapping[str, torch.Tensor]:
        """Return `input_ids`, (n, length), and whatever else the tokenizer gives the text tower."""
        tokens: Mapping[str, torch.Tensor] = self._tokenizer(
            texts, padding="max_length", max_length=self.length, truncation=True, return_tensors="pt"
        )
        return tokens

    def needed(self, texts: Sequence[str]) -> tuple[int, ...]:
        """Return the length of each whole text in tokens, with special ones."""
        return tuple(len(self._tokenizer(text, verbose=False)["input_ids"]) for text in texts)


class TransformersEncoder(TorchEncoder):
    """Encodes pictures, and texts if there is a tokenizer, with a transformers model.

    Parameters
    ----------
    model : torch.nn.Module
    pool : callable
        Takes the model and prepared pictures, and returns features.
    tokenize : PaddedTokenizer, optional
    info, device, batch_size
        See `TorchEncoder`.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        pool: Callable[[Any, torch.Tensor], torch.Tensor],
        tokenize: PaddedTokenizer | None,
        info: EncoderInfo,
        *,
        device: torch.device,
        batch_size: int | None = None,
    ):
        super().__init__(model, info, device=device, batch_size=batch_size)
        self._pool = pool
        self._tokenize = tokenize
        self.has_text = tokenize is not None

    def features(self, prepared: torch.Tensor) -> torch.Tensor:
        return self._pool(self.model, prepared)

    def tokens(self, texts: Sequence[str]) -> Tokens | None:
        """Return how many tokens of texts are read, see `Encoder.tokens`."""
        if self._tokenize is None:
            return None
        read = self._tokenize(list(texts))["input_ids"].tolist() if texts else []
        return Tokens(self._tokenize.needed(texts), self._tokenize.length, tuple(map(tuple, read)))

    def text_features(self, texts: list[str]) -> torch.Tensor:
        assert self._tokenize is not None
        tokens = {name: ids.to(self.device) for name, ids in self._tokenize(texts).items()}
        return _pooled(self.model.get_text_features(**tokens))


def load(
    model: str,
    pretrained: str | None,
    *,
    devices: Sequence[torch.device],
    precision: str,
    batch_size: int | None,
) -> Encoder:
    """Load a transformers model, see `imindex.indexer.encoders.base.Backend`.

    Parameters
    ----------
    model : str
        `transformers:FOLDER` or `transformers:ORG/REPO`, with the options `?pooling=` (one of `POOLINGS`) and `?size=`
        (a side, or height x width, in pixels; positions are interpolated).
    pretrained : str, optional
        Refused: a folder brings its weights.
    devices, precision, batch_size
        See `imindex.indexer.encoders.base.Backend`.

    Raises
    ------
    ImindexError
        The folder is not a model that this back end can use, weights are missing or left over, or its preprocessing
        cannot be expressed.
    """
    if pretrained:
        raise ImindexError(
            f"--pretrained {pretrained} has no place beside --model {model}, which brings its weights. Drop it."
        )
    name, options = split_options(model, OPTIONS)
    place = name.partition(":")[2]
    folder = _folder(name, place)
    refuse_special_files(folder)
    config = _checked(name, _read_config(name, folder))
    kind = str(config["model_type"])
    family = _family(name, kind, options.get("pooling"))
    pooling = options.get("pooling") or family.pooling
    if pooling not in family.poolings:
        raise ImindexError(
            f"{name} is of the type {kind}, which has no pooling {pooling}. Use one of {', '.join(family.poolings)}."
        )
    tensors = _read_tensors(name, folder, _unused(family, pooling))
    with quiet_transformers():
        network = _network(name, config, family, pooling, tensors)
    preprocess = _preprocess(name, folder, network.config, family, options.get("size"))
    text = family.text and pooling == family.pooling
    tokenize = _tokenizer(name, folder, network.config) if text else None
    pool = _pool(network.config, family, pooling, interpolate="size" in options)
    info = EncoderInfo(
        model=join_options(f"{NAME}:{folder if Path(place).is_dir() else place}", options),
        pretrained="",
        weights_sha256=tensors_digest(tensors),
        config={
            "backend": NAME,
            "architecture": kind,
            "pooling": pooling,
            "model": _vector_settings(config, text=text),
        },
        preprocess=preprocess.as_dict(),
        dim=_width(network, pool, preprocess),
        precision=precision,
        tokens_sha256=tokens_digest(tokenize(list(PROBE_TEXTS))["input_ids"].tolist()) if tokenize else "",
    )

    def make(device: torch.device, batch_size: int | None) -> Encoder:
        own = network if len(devices) == 1 else copy.deepcopy(network)
        return TransformersEncoder(own, pool, tokenize, info, device=device, batch_size=batch_size)

    return on_devices(make, devices, batch_size)


def _folder(name: str, place: str) -> Path:
    """Return the folder of a model, from the cache of the Hugging Face hub or the hub itself for a repository."""
    if not place:
        raise ImindexError(f"--model {name} names no model. Give {NAME}:FOLDER or {NAME}:ORG/REPO.")
    if Path(place).is_dir():
        return Path(os.path.normpath(Path(place).absolute()))
    if not _HUB_NAME.fullmatch(place) or exists(place):
        raise ImindexError(
            f"{name}: there is no folder {place}. Give a folder with config.json, or ORG/REPO."
        )
    from huggingface_hub import snapshot_download

    try:
        with quiet_transformers():
            return Path(snapshot_download(place, allow_patterns=list(_HUB_FILES)))
    except Exception as error:  # of many libraries
        reason = str(error).strip().partition("\n")[0].removeprefix("Got: ")
        raise ImindexError(
            f"{name}: there is no folder {place} here, and the repository cannot be fetched from the Hugging Face hub: "
            f"{reason.rstrip('.')}. Without a network, copy the "
            f"repository to a folder (config.json, {_WEIGHTS}, preprocessor_config.json) and give {NAME}:FOLDER."
        ) from error


def _read_config(name: str, folder: Path) -> Mapping[str, Any]:
    try:
        config = parse_json(read_text(folder / "config.json"), finite=True)
    except FileNotFoundError:
        raise ImindexError(
            f"{name} has no config.json in {folder}. Give the folder of a transformers model."
        ) from None
    except (OSError, ValueError) as error:
        raise ImindexError(
            f"{folder / 'config.json'} cannot be read: {error}. Use the published file."
        ) from error
    if not isinstance(config, Mapping):
        raise ImindexError(
            f"{folder / 'config.json'} is not a JSON object. Give the folder of a transformers model."
        )
    return config


def _checked(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a configuration from an untrusted file, or refuse it. Nothing is loaded."""
    parts = [config, *(value for value in config.values() if isinstance(value, Mapping))]
    attention = [part.get(key) for part in parts for key in ("attn_implementation", "_attn_implementation")]
    kernel = next((value for value in attention if value not in ATTENTION), None)
    if any("auto_map" in part for part in parts):
        fault = "brings code of its own (auto_map), which imindex never runs"
    elif any(part.get("quantization_config") is not None for part in parts):
        fault = "is quantized, which imindex does not load"
    elif kernel is not None:
        fault = f"asks for the attention {_shown(kernel)}, which may be a compiled kernel"
    elif any(part.get("backbone") or part.get("use_pretrained_backbone") for part in parts):
        fault = "names a further model as its backbone, which imindex does not load"
    elif not isinstance(config.get("model_type"), str):
        fault = f"has the model_type {_shown(config.get('model_type'))}, not a text"
    elif config["model_type"] in REFUSED:
        fault = REFUSED[config["model_type"]]
    else:
        fault = next(filter(None, (_too_large(part) for part in parts)), "")
    if fault:
        raise ImindexError(f"{name} {fault}. (See its config.json.)")
    return config


def _too_large(part: Mapping[str, Any]) -> str:
    for key, value in part.items():
        most = next((most for pattern, most in _LARGEST.items() if re.fullmatch(pattern, key)), None)
        if most is None or value is None:
            continue
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= most:
                return f"has the {key} {_shown(value)}, not a number from 0 to {most:,}"
    return ""


def _family(name: str, kind: str, pooling: str | None) -> Family:
    """Return how a type of model is used; an unknown type needs a choice of pooling."""
    if pooling is not None and pooling not in POOLINGS:
        raise ImindexError(f"{name}: there is no pooling {pooling}. Use one of {', '.join(POOLINGS)}.")
    if kind in FAMILIES:
        return FAMILIES[kind]
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        MODEL_MAPPING_NAMES,
    )

    network = MODEL_MAPPING_NAMES.get(kind)
    if kind not in CONFIG_MAPPING or kind not in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES:
        raise ImindexError(
            f"{name} is of the type {kind}, which is no image encoder of the installed transformers. "
            f"Known with their pooling: {', '.join(sorted(FAMILIES))}."
        )
    if pooling in (None, "projection"):
        raise ImindexError(
            f"{name} is of the type {kind}, and imindex does not know which of its outputs is the vector of a picture. "
            f"Choose one as its model card says: --model '{name}?pooling=cls' (the first token), mean (the mean of all "
            "tokens) or pooler (pooler_output)."
        )
    assert pooling is not None
    return Family(
        str(network), pooling, "the user's choice", (pooling,), prefix=0, positions="any", processor=""
    )


def _unused(family: Family, pooling: str) -> re.Pattern[str]:
    """Return which tensors of a file the network does not have."""
    parts = [_UNUSED]
    if family.optional_pooler and pooling != "pooler":
        parts.append(_POOLER)
    if family.network.startswith("CLIPVision") and pooling != "projection":
        parts.append(_PROJECTION)
    return re.compile("|".join(parts))


_WEIGHTS = "model.safetensors"


def _read_tensors(name: str, folder: Path, unused: re.Pattern[str]) -> dict[str, torch.Tensor]:
    """Return the tensors of a folder that make vectors, by their names in the files."""
    tensors: dict[str, torch.Tensor] = {}
    for file in _weight_files(name, folder):
        try:
            found = safetensors.torch.load_file(folder / file)
        except Exception as error:  # safetensors has an error type of its own for each version
            raise ImindexError(
                f"{folder / file} cannot be read as safetensors: {error}. Copy it again."
            ) from error
        tensors |= {key: tensor.clone() for key, tensor in found.items() if not unused.search(key)}
    return tensors


def _weight_files(name: str, folder: Path) -> Sequence[str]:
    if exists(folder / _WEIGHTS):
        return [_WEIGHTS]
    index = folder / f"{_WEIGHTS}.index.json"
    if not exists(index):
        raise ImindexError(
            f"{name} has no {_WEIGHTS} in {folder}: imindex reads the weights of transformers models from safetensors "
            "only. Save the model again with transformers (save_pretrained writes them)."
        )
    try:
        files = sorted(set(parse_json(read_text(index))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImindexError(f"{index} does not list files of weights: {error}. Copy it again.") from error
    for file in files:
        if not isinstance(file, str) or Path(file).name != file or not exists(folder / file):
            raise ImindexError(
                f"{index} lists {_shown(file)}, which is not a file of its folder. Copy the folder again."
            )
    return files


def _network(
    name: str, config: Mapping[str, Any], family: Family, pooling: str, tensors: Mapping[str, torch.Tensor]
) -> Any:
    """Return the network with all of its weights from the file, and all of the file's weights in the network."""
    import transformers

    options = {"add_pooling_layer": pooling == "pooler"} if family.optional_pooler else {}
    try:
        settings = transformers.CONFIG_MAPPING[str(config["model_type"])].from_dict(dict(config))
    except Exception as error:  # whatever the settings cause in transformers
        raise _unusable(name, error) from error
    others = ", ".join(choice for choice in family.poolings if choice != pooling)
    remedy = f"Use the folder of the published model, or another ?pooling= ({others})."
    return filled(name, _network_class(family, pooling), settings, tensors, remedy, **options)


def filled(
    name: str,
    network: str,
    settings: Any,
    tensors: Mapping[str, torch.Tensor],
    remedy: str,
    **options: bool,
) -> Any:
    """Return a network of transformers with the tensors of a file: all of its weights, and all of the tensors.

    Parameters
    ----------
    name : str
        The model's name, for messages.
    network : str
        The name of the class.
    settings : transformers.PretrainedConfig
    tensors : mapping of str to torch.Tensor
        By the names of this or an older version of transformers.
    remedy : str
        A sentence for the message of a file that does not fit.
    options
        Of the class.

    Raises
    ------
    ImindexError
        The settings are impossible, or the tensors do not fit.
    """
    import transformers

    kind = getattr(transformers, network)
    try:
        with torch.device("meta"):
            size = sum(weight.numel() for weight in kind(settings, **options).parameters())
    except Exception as error:
        raise _unusable(name, error) from error
    stored = sum(tensor.numel() for tensor in tensors.values())
    if size > stored:
        raise ImindexError(
            f"{name} lacks weights: its configuration describes {size:,} of them, and the file has {stored:,}. A "
            f"part that the file does not have would be random. {remedy}"
        )
    try:
        made, report = kind.from_pretrained(
            None,
            config=settings,
            state_dict={key: tensor.to(torch.float32) for key, tensor in tensors.items()},
            output_loading_info=True,
            dtype=torch.float32,
            **options,
        )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ImindexError(
            f"The weights of {name} do not fit its configuration: {reason} Use the files of one model."
        ) from error
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if missing or unexpected or report["mismatched_keys"]:
        raise ImindexError(
            f"The weights of {name} do not fit {network}: {len(missing)} are missing{_some(missing)}, "
            f"{len(unexpected)} have no place{_some(unexpected)}, {len(report['mismatched_keys'])} have another shape. "
            f"What is missing would be random. {remedy}"
        )
    return made.eval()


def _unusable(name: str, error: Exception) -> ImindexError:
    return ImindexError(
        f"{name} has a configuration that transformers refuses: {error}. Use the published file."
    )


def _network_class(family: Family, pooling: str) -> str:
    if family.network == "CLIPVisionModelWithProjection" and pooling != "projection":
        return "CLIPVisionModel"
    return family.network


def _preprocess(name: str, folder: Path, config: Any, family: Family, size: str | None) -> Preprocess:
    """Return the preprocessing of the folder, at the size that the user chose, or that the positions are made for."""
    stated = read_preprocess(folder, name, family.processor)
    tower = getattr(config, "vision_config", config)
    if size is None:
        made_for = getattr(tower, "image_size", None)
        made_for = (made_for, made_for) if isinstance(made_for, int) else made_for
        if family.positions == "flag" and made_for is not None and tuple(made_for) != stated.size:
            height, width = stated.size
            raise ImindexError(
                f"{name} is made for pictures of {made_for[0]} x {made_for[1]}, and its image processor gives {height} "
                f"x {width}. Correct preprocessor_config.json, or interpolate its positions: ?size={height}x{width}"
            )
        return stated
    sides = [int(side) if side.isdecimal() else side for side in size.split("x")]
    if len(sides) > 2:
        raise ImindexError(f"{name}: size is {size}. Write a side or HEIGHTxWIDTH, in pixels.")
    for side in sides:
        SIDE.check(side, f"{name}: size")
    height, width = int(sides[0]), int(sides[-1])
    patch = getattr(tower, "patch_size", None)
    if isinstance(patch, int) and (height % patch or width % patch):
        raise ImindexError(f"{name}: size is {size}. Write multiples of its patches, {patch} pixels.")
    if stated.resize_mode == "squash" and stated.resize_to is None:
        return replace(stated, size=(height, width))
    if height != width or stated.size[0] != stated.size[1] or isinstance(stated.resize_to, tuple):
        raise ImindexError(f"{name}: size is {size}, and its image processor crops squares. Write one side.")
    edge = stated.resize_to
    scaled = round(edge * height / stated.size[0]) if isinstance(edge, int) else None
    return replace(stated, size=(height, width), resize_to=scaled)


def _pool(
    config: Any, family: Family, pooling: str, *, interpolate: bool
) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    """Return the function from a network and prepared pictures to features."""
    options = {"interpolate_pos_encoding": True} if interpolate and family.positions == "flag" else {}
    registers = int(getattr(config, "num_register_tokens", 0) or 0)
    first = family.prefix + registers

    def pool(network: Any, prepared: torch.Tensor) -> torch.Tensor:
        if family.text and pooling == family.pooling:
            return _pooled(network.get_image_features(pixel_values=prepared, **options))
        tower = network.vision_model if family.text else network
        output = tower(pixel_values=prepared, **options)
        if pooling == "projection":
            projected: torch.Tensor = output.image_embeds
            return projected
        if pooling == "pooler":
            return _pooled(output).flatten(1)
        hidden: torch.Tensor = output.last_hidden_state
        if hidden.ndim == 4:  # (n, channels, height, width)
            return hidden.mean((2, 3))
        return hidden[:, 0] if pooling == "cls" else hidden[:, first:].mean(1)

    return pool


def _pooled(output: Any) -> torch.Tensor:
    """Return the features of an output; before transformers 5, `get_image_features` returns them alone."""
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features


def _width(network: Any, pool: Callable[[Any, torch.Tensor], torch.Tensor], preprocess: Preprocess) -> int:
    with torch.inference_mode():
        return int(pool(network, torch.zeros(1, 3, *preprocess.size)).shape[1])


def _tokenizer(name: str, folder: Path, config: Any) -> PaddedTokenizer | None:
    """Return the tokenizer of a folder, if there is one, with the padding of the training: to the full length."""
    if not any(exists(folder / file) for file in _TOKENIZERS):
        return None
    length = int(config.text_config.max_position_embeddings)
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ImindexError(
            f"The tokenizer of {name} cannot be loaded: {reason} Copy the tokenizer's files of the published model to "
            "its folder, or encode pictures only with another ?pooling=."
        ) from error

    return PaddedTokenizer(tokenizer, length)


def _vector_settings(config: Mapping[str, Any], *, text: bool, backbone: bool = False) -> dict[str, object]:
    """Return what of a configuration, or of that of a backbone in it, the vectors depend on."""
    kept: dict[str, object] = {}
    for key, value in config.items():
        neutral = _NEUTRAL.fullmatch(key) and not (backbone and key in _STAGES)
        if neutral or (key.startswith("text_config") and not text):
            continue
        if isinstance(value, Mapping):
            value = _vector_settings(value, text=text, backbone=key == "backbone_config")
        kept[key] = value
    return kept


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence log messages and progress bars of transformers and the hub; what matters arrives as an exception."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as log

    with quiet():
        shown, hub_quiet = log.is_progress_bar_enabled(), are_progress_bars_disabled()
        log.disable_progress_bar()
        try:
            yield
        finally:
            if shown:
                log.enable_progress_bar()
            (disable_progress_bars if hub_quiet else enable_progress_bars)()


def _some(keys: Sequence[str]) -> str:
    return f" ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
