"""A diffusers pipeline before it is loaded: how it is to be asked, what its folder says and whether that is whole."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from imindex.indexer.core.digest import canonical_json, json_digest
from imindex.indexer.core.errors import ImindexError

DTYPES = ("auto", "fp16", "bf16", "fp32")
OFFLOADS = ("none", "model", "sequential")
_DIGESTED = (".json", ".txt", ".model", ".safetensors", ".jinja")
_LORA_FILE = "pytorch_lora_weights.safetensors"


@dataclass(frozen=True)
class ModelSettings:
    """A model and how it is asked. What is left out is the pipeline's own default.

    Attributes
    ----------
    model : str
        Folder of a diffusers pipeline, or its id on the Hugging Face hub.
    revision : str
        Branch, tag or commit on the hub.
    lora : str
        A file of LoRA weights (safetensors), a folder with one, or an id on the hub; `lora_scale` is its strength.
    scheduler : str
        Class in diffusers, made from the configuration of the pipeline's own.
    steps : int
        0: the pipeline's own number.
    guidance : float, optional
    size : str
        `512`, or `512x768` as width x height.
    dtype : str
        fp16, bf16, fp32, or auto: fp32 on a CPU; on CUDA bf16 for pipelines with a transformer where it computes in
        it, else fp16.
    negative_prompt : str
    offload : str
        none; model or sequential keep on the CPU what the GPU does not need just now: less memory, slower, and slower
        still. The pictures are the same.
    device : str
        auto, cpu, cuda or cuda:N.

    Raises
    ------
    ImindexError
        A size, dtype, offload or number that means nothing.
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
                "No model. Give the folder of a diffusers pipeline, or its id on the Hugging Face hub."
            )
        if self.size and not re.fullmatch(r"\d{1,5}(x\d{1,5})?", self.size):
            raise ImindexError(f"size {self.size!r} is no size. Write 512, or 512x768 for width x height.")
        if 0 in self.width_height():
            raise ImindexError(f"size {self.size!r} has no pixels. Write 512, or 512x768.")
        if self.steps < 0:
            raise ImindexError(f"steps is {self.steps}. Write a whole number from 1 on, or leave it out.")
        for name, value, known in (("dtype", self.dtype, DTYPES), ("offload", self.offload, OFFLOADS)):
            if value not in known:
                raise ImindexError(f"{name} {value!r} is unknown. Write one of {', '.join(known)}.")

    def width_height(self) -> tuple[int, ...]:
        """What `size` says: width and height, or nothing."""
        sides = [int(side) for side in self.size.split("x") if side]
        return (sides[0], sides[-1]) if sides else ()


# The folder of a pipeline


def read_index(folder: Path) -> dict[str, Any]:
    """Read `model_index.json`, which says what a pipeline is made of.

    Raises
    ------
    ImindexError
        Not there, not JSON, or a pipeline with code of its own.
    """
    file = folder / "model_index.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ImindexError(
            f"{folder} is not the folder of a diffusers pipeline: it has no model_index.json. Give the folder that "
            "save_pretrained wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise ImindexError(f"{file} cannot be read: {error}. Fetch the model again.") from error
    if not isinstance(said, dict) or "_class_name" not in said:
        raise ImindexError(f"{file} names no pipeline (_class_name). Fetch the model again.")
    own = [
        name for name, _ in components(said) if (folder / name).is_dir() and any((folder / name).glob("*.py"))
    ]
    if not isinstance(said["_class_name"], str) or own:
        raise ImindexError(
            f"{folder} brings program code of its own{' for ' + own[0] if own else ''}, which imindex never runs. "
            "Give a model of diffusers' own classes, or make the pictures elsewhere and audit the folder."
        )
    return said


def components(index: dict[str, Any]) -> list[tuple[str, str]]:
    """The parts of a pipeline that are there: name and class."""
    return [
        (name, str(value[1]))
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and value[1] is not None
    ]


def text_encoders(folder: Path, index: dict[str, Any]) -> list[str]:
    """Describe a pipeline's text encoders, so that one that the audit's encoder shares can be recognised.

    Returns
    -------
    list of str
        Such as `CLIPTextModel openai/clip-vit-large-patch14 (12 layers, width 768)`; the name where the file has it.
    """
    found = []
    for name, kind in components(index):
        if not name.startswith("text_encoder"):
            continue
        said = _read_json(folder / name / "config.json")
        said = {**said, **said.get("text_config", {})}
        layers, width = (
            said.get(one) or said.get(other)
            for one, other in (("num_hidden_layers", "num_layers"), ("hidden_size", "d_model"))
        )
        shape = f" ({layers} layers, width {width})" if layers and width else ""
        found.append(" ".join(part for part in (kind, str(said.get("_name_or_path") or "")) if part) + shape)
    return found


def check_weights(folder: Path, index: dict[str, Any], variant: str | None) -> None:
    """Open every file of weights without reading it: what is missing or cut off is found before hours go by.

    Raises
    ------
    ImindexError
        A part without configuration or weights in safetensors, or with a file that is not whole.
    """
    from safetensors import SafetensorError, safe_open

    for name, kind in components(index):
        part = folder / name
        if not part.is_dir() or not any(part.glob("*.json")):
            raise ImindexError(f"{folder} has no {name} ({kind}). Fetch the model again.")
        if not (part / "config.json").is_file():
            continue  # tokenizers, schedulers, feature extractors
        files = [file for file in part.glob("*.safetensors") if _variant_of(file) == variant] or [
            *part.glob("*.safetensors")
        ]
        named = {
            part / shard
            for listing in part.glob("*.safetensors.index*.json")
            for shard in _read_json(listing).get("weight_map", {}).values()
            if _variant_of(part / shard) == variant
        }
        if not files:
            raise ImindexError(
                f"{part} has no weights in safetensors, and imindex reads no other kind, as others can run code. "
                "Save the model with safe_serialization=True, or fetch such a revision."
            )
        for file in sorted({*files, *named}):
            try:
                with safe_open(file, framework="numpy"):
                    pass
            except (OSError, SafetensorError) as error:
                raise ImindexError(
                    f"{file} is missing or not whole: {error}. Fetch the model again."
                ) from error


def variant(folder: Path, index: dict[str, Any]) -> str | None:
    """`fp16` where the weights are there in that variant alone."""
    for name, _ in components(index):
        kinds = {_variant_of(file) for file in (folder / name).glob("*.safetensors")}
        if kinds and None not in kinds:
            return "fp16" if "fp16" in kinds else sorted(map(str, kinds))[0]
    return None


def _variant_of(file: Path) -> str | None:
    match = re.search(r"\.(fp16|bf16|non_ema)(-\d+-of-\d+)?\.safetensors$", file.name)
    return match[1] if match else None


def revision(folder: Path) -> str:
    """The commit of a folder in the hub's cache; of any other the SHA-256 over its weights and configurations."""
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
    """SHA-256 of a file; a file that did not change is read once."""
    status = file.stat()
    return _sha256(file.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _sha256(file: Path, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def lora_file(folder: Path) -> Path:
    """The file of LoRA weights: `folder` itself, or the one in it.

    Raises
    ------
    ImindexError
        None there, or several of which none has the usual name.
    """
    if folder.is_file():
        files = [folder]
    else:
        files = sorted(folder.glob("*.safetensors"))
        files = [file for file in files if file.name == _LORA_FILE] or files
    if len(files) != 1 or files[0].suffix != ".safetensors":
        raise ImindexError(
            f"{folder}: {len(files) or 'no'} files of LoRA weights in safetensors. Name one file with --lora."
        )
    return files[0]


def scheduler_digest(config: dict[str, Any]) -> str:
    """SHA-256 of a scheduler's configuration, without notes of diffusers' own."""
    said = {key: _plain(value) for key, value in config.items() if not key.startswith("_")}
    return json_digest(said)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def versions() -> dict[str, str]:
    """Of what makes the pictures."""
    found = {}
    for name in ("imindex", "diffusers", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def _read_json(file: Path) -> dict[str, Any]:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImindexError(f"{file} cannot be read: {error}. Fetch the model again.") from error
    return said if isinstance(said, dict) else {}
