"""The settings of a diffusers pipeline, and checks of its folder before it is loaded."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from imindex.indexer.core.bounds import SCALE, SIDE, STEPS
from imindex.indexer.core.digest import canonical_json, json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.generate.components import read_json
from imindex.indexer.system.input_files import open_input, read_text

DTYPES = ("auto", "fp16", "bf16", "fp32")
OFFLOADS = ("none", "model", "sequential")
_DIGESTED = (".json", ".txt", ".model", ".safetensors", ".jinja")
_LORA_FILE = "pytorch_lora_weights.safetensors"


@dataclass(frozen=True)
class ModelSettings:
    """A model and its settings. Settings left out take the pipeline's own defaults.

    Attributes
    ----------
    model : str
        The folder of a diffusers pipeline, or its id on the Hugging Face hub.
    revision : str
        Branch, tag or commit on the hub.
    lora : str
        A LoRA weights file (safetensors), a folder with one, or an id on the hub; `lora_scale` is its strength.
    scheduler : str
        A scheduler class of diffusers, created from the configuration of the pipeline's own scheduler.
    steps : int
        Denoising steps; 0 for the pipeline's default.
    guidance : float, optional
    size : str
        `512`, or `512x768` as width x height.
    dtype : str
        fp16, bf16, fp32, or auto: fp32 on a CPU; on CUDA, bf16 for pipelines with a transformer if the device supports
        it, otherwise fp16.
    negative_prompt : str
    offload : str
        none, or model or sequential, which keep idle parts of the model on the CPU. They use less GPU memory and are
        slower, sequential the slowest. The pictures are the same.
    device : str
        auto, cpu, cuda or cuda:N.

    Raises
    ------
    ImindexError
        If a size, dtype, offload mode or number of steps is invalid.
    """

    model: str
    revision: str = ""
    lora: str = ""
    lora_scale: float = 1.0
    scheduler: str = ""
    steps: int = 0
    guidance: float | None = None
    size: str = ""
    dtype: str = "auto"
    negative_prompt: str = ""
    offload: str = "none"
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ImindexError(
                "No model. Pass the folder of a diffusers pipeline, or its id on the Hugging Face hub."
            )
        if self.size and not re.fullmatch(r"\d{1,5}(x\d{1,5})?", self.size):
            raise ImindexError(f"size {self.size!r} is not a size. Write 512, or 512x768 for width x height.")
        for side in self.width_height():
            SIDE.check(side, f"size {self.size!r}: a side")
        STEPS.check(self.steps, "steps")
        SCALE.check(self.lora_scale, "lora_scale")
        if self.guidance is not None:
            SCALE.check(self.guidance, "guidance")
        for name, value, known in (("dtype", self.dtype, DTYPES), ("offload", self.offload, OFFLOADS)):
            if value not in known:
                raise ImindexError(f"{name} {value!r} is unknown. Write one of {', '.join(known)}.")

    def width_height(self) -> tuple[int, ...]:
        """Return width and height from `size`; empty if there is none."""
        sides = [int(side) for side in self.size.split("x") if side]
        return (sides[0], sides[-1]) if sides else ()


# The folder of a pipeline


def read_index(folder: Path) -> dict[str, Any]:
    """Read `model_index.json`, which lists the components of a pipeline.

    Raises
    ------
    ImindexError
        If it does not exist, is not JSON, or describes a pipeline with its own code.
    """
    file = folder / "model_index.json"
    try:
        index = parse_json(read_text(file))
    except FileNotFoundError:
        raise ImindexError(
            f"{folder} is not the folder of a diffusers pipeline: it has no model_index.json. Pass a folder written by "
            "save_pretrained."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ImindexError(f"{file} cannot be read: {error}. Download the model again.") from error
    if not isinstance(index, dict) or "_class_name" not in index:
        raise ImindexError(f"{file} names no pipeline (_class_name). Download the model again.")
    custom = [
        name
        for name, _ in components(index)
        if (folder / name).is_dir() and any((folder / name).glob("*.py"))
    ]
    if not isinstance(index["_class_name"], str) or custom:
        raise ImindexError(
            f"{folder} contains its own code{' for ' + custom[0] if custom else ''}, which imindex never runs. "
            "Pass a model that uses diffusers' own classes, or generate the pictures elsewhere and audit the folder."
        )
    return index


def components(index: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and class of the components of a pipeline."""
    return [
        (name, str(value[1]))
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and value[1] is not None
    ]


def text_encoders(folder: Path, index: Mapping[str, Any]) -> list[str]:
    """Describe a pipeline's text encoders, so that one shared with the audit's encoder can be recognised.

    Returns
    -------
    list of str
        Such as `CLIPTextModel openai/clip-vit-large-patch14 (12 layers, width 768)`. The model name is included if the
        configuration has it.
    """
    descriptions = []
    for name, kind in components(index):
        if not name.startswith("text_encoder"):
            continue
        config = read_json(folder / name / "config.json")
        text = config.get("text_config")
        config = {**config, **(text if isinstance(text, dict) else {})}
        layers, width = (
            config.get(key) or config.get(other_key)
            for key, other_key in (("num_hidden_layers", "num_layers"), ("hidden_size", "d_model"))
        )
        shape = f" ({layers} layers, width {width})" if layers and width else ""
        model_name = str(config.get("_name_or_path") or "")
        descriptions.append(" ".join(part for part in (kind, model_name) if part) + shape)
    return descriptions


def check_weights(folder: Path, index: Mapping[str, Any], variant: str | None) -> None:
    """Open every weights file without reading it, to find missing or truncated files before a long run.

    Raises
    ------
    ImindexError
        If a component has no configuration or no safetensors weights, or one of its files is truncated.
    """
    from safetensors import SafetensorError, safe_open

    for name, kind in components(index):
        part = folder / name
        if not part.is_dir() or not any(part.glob("*.json")):
            raise ImindexError(f"{folder} has no {name} ({kind}). Download the model again.")
        if not (part / "config.json").is_file():
            continue  # tokenizers, schedulers, feature extractors
        files = [file for file in part.glob("*.safetensors") if _variant_of(file) == variant] or [
            *part.glob("*.safetensors")
        ]
        shards = {
            part / shard
            for listing in part.glob("*.safetensors.index*.json")
            for shard in _shards(listing)
            if _variant_of(part / shard) == variant
        }
        if not files:
            raise ImindexError(
                f"{part} has no safetensors weights, and imindex reads no other format, since others can execute code. "
                "Save the model with safe_serialization=True, or download a revision that has them."
            )
        for file in sorted({*files, *shards}):
            try:
                with safe_open(file, framework="numpy"):
                    pass
            except (OSError, SafetensorError) as error:
                raise ImindexError(
                    f"{file} is missing or truncated: {error}. Download the model again."
                ) from error


def _shards(listing: Path) -> set[str]:
    """Return the files of weights that a listing names; they lie beside it."""
    named = read_json(listing).get("weight_map")
    shards = set()
    for shard in named.values() if isinstance(named, dict) else [None]:
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise ImindexError(
                f"{listing} names the weights {shard!r}, which is not a safetensors file beside it, and imindex reads "
                "no other format, since others can execute code. Download the model again."
            )
        shards.add(shard)
    return shards


def variant(folder: Path, index: Mapping[str, Any]) -> str | None:
    """Return the variant, such as `fp16`, if the weights exist only as variants; None otherwise."""
    for name, _ in components(index):
        kinds = {_variant_of(file) for file in (folder / name).glob("*.safetensors")}
        if kinds and None not in kinds:
            return "fp16" if "fp16" in kinds else sorted(map(str, kinds))[0]
    return None


def _variant_of(file: Path) -> str | None:
    match = re.search(r"\.(fp16|bf16|non_ema)(-\d+-of-\d+)?\.safetensors$", file.name)
    return match[1] if match else None


def revision(folder: Path) -> str:
    """Identify the content of a model's folder.

    Returns
    -------
    str
        The commit, for a folder in the hub's cache; otherwise the SHA-256 of its weights and configurations.
    """
    if folder.parent.name == "snapshots" and re.fullmatch("[0-9a-f]{40}", folder.name):
        return folder.name
    files = sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.suffix in _DIGESTED and file.is_file() and not file.name.startswith(".")
    )
    return hashlib.sha256(
        canonical_json([[name, sha256(folder / name)] for name in files]).encode()
    ).hexdigest()


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file. An unchanged file is read only once."""
    status = file.stat()
    return _sha256(file.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _sha256(file: Path, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with open_input(file) as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def lora_file(folder: Path) -> Path:
    """Return the LoRA weights file: `folder` itself, or the one inside it.

    Raises
    ------
    ImindexError
        If there is no such file, or several of which none has the usual name.
    """
    if folder.is_file():
        files = [folder]
    else:
        files = sorted(folder.glob("*.safetensors"))
        files = [file for file in files if file.name == _LORA_FILE] or files
    if len(files) != 1 or files[0].suffix != ".safetensors":
        raise ImindexError(
            f"{folder} has {len(files) or 'no'} LoRA weights files (safetensors). Pass a single file with --lora."
        )
    return files[0]


def scheduler_digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a scheduler's configuration, without the private keys of diffusers."""
    return json_digest({key: _plain(value) for key, value in config.items() if not key.startswith("_")})


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def versions() -> dict[str, str]:
    """Return the versions of the packages that generate the pictures."""
    installed = {}
    for name in ("imindex", "diffusers", "torch", "transformers"):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = ""
    return installed
