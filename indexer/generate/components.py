"""Check what a pipeline and a LoRA ask diffusers to load, before anything of them is loaded."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.system.input_files import read_text

QUANTIZERS = ("bitsandbytes", "bitsandbytes_4bit", "bitsandbytes_8bit")
"""Quantization methods whose weights are safetensors; others read pickles or run code of their own."""
ATTENTION = (None, "eager", "sdpa")
"""Attention implementations of PyTorch; others are compiled kernels, which may be downloaded."""
MOST_STEPS = 100_000
"""The most training steps of a scheduler: it makes several arrays of this length."""
MOST_RANK = 4096
_SCHEDULERS = ("SchedulerMixin",)
_DIFFUSERS = ("ModelMixin", *_SCHEDULERS)
_TRANSFORMERS = (
    "PreTrainedModel",
    "PreTrainedTokenizerBase",
    "ImageProcessingMixin",
    "FeatureExtractionMixin",
    "ProcessorMixin",
)
_MUST_BE_UNSET = (
    "auto_mapping",
    "megatron_config",
    "layer_replication",
    "loftq_config",
    "eva_config",
    "corda_config",
    "trainable_token_indices",
    "modules_to_save",
)
"""Fields of a LoRA's configuration that make peft import modules by name, or rebuild the network."""
_INITIALISATIONS = (None, True, False, "gaussian")


def check_components(folder: Path, index: Mapping[str, Any]) -> None:
    """Refuse a pipeline with a component that is not a plain class of diffusers or transformers.

    Parameters
    ----------
    folder : Path
        The folder of the pipeline.
    index : mapping
        Content of model_index.json, from an untrusted file.

    Raises
    ------
    ImindexError
        A component has no proper name or class, is from another library, is quantized in a way that reads pickles, or
        asks for a compiled kernel or for another model.
    """
    if (folder / "None.py").exists():  # versions of diffusers take this name for a custom pipeline
        raise ImindexError(
            f"{folder} contains its own code for a pipeline, None.py, which imindex never runs."
        )
    for name, value in index.items():
        if name.startswith("_") or not isinstance(value, list):
            continue
        if len(value) != 2 or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ImindexError(
                f"{folder} has a component {name!r} that is not a name with a library and a class. "
                "Download the model again."
            )
        library, kind = value
        if kind is None:
            continue
        if not isinstance(library, str) or not isinstance(kind, str):
            raise ImindexError(
                f"{folder} has the component {name} without a class. Download the model again."
            )
        _check_class(folder, name, library, kind)
        _check_files(folder, name)


def _check_class(folder: Path, name: str, library: str, kind: str) -> None:
    import diffusers
    import transformers

    module = _library(library)
    if module is None:
        raise ImindexError(
            f"{folder} has the {name} {library}.{kind}, and imindex loads classes of diffusers and transformers only. "
            "Pass a model that uses these, or generate the pictures elsewhere and audit the folder."
        )
    found: Any = getattr(module, kind, None)
    if found is None:
        return  # diffusers knows the new name of a class that was renamed, or refuses it
    bases = tuple(
        getattr(owner, base)
        for owner, names in ((diffusers, _DIFFUSERS), (transformers, _TRANSFORMERS))
        for base in names
        if hasattr(owner, base)
    )
    if not inspect.isclass(found) or not (issubclass(found, bases) or "dummy" in found.__module__):
        raise ImindexError(
            f"{folder} has the {name} {library}.{kind}, which is neither a model nor a tokenizer, an image processor "
            "or a scheduler. Download the model again, or generate the pictures elsewhere and audit the folder."
        )


def _library(name: str) -> ModuleType | None:
    """Return diffusers, transformers, or a module of diffusers.pipelines. No other module is imported or looked up."""
    import diffusers
    import transformers

    libraries: dict[str, ModuleType] = {"diffusers": diffusers, "transformers": transformers}
    if name in libraries:
        return libraries[name]
    module: Any = getattr(diffusers.pipelines, name, None) if re.fullmatch(r"[a-z]\w*", name) else None
    inside = isinstance(module, ModuleType) and module.__name__ == f"diffusers.pipelines.{name}"
    return module if inside else None


def _check_files(folder: Path, name: str) -> None:
    part = folder / name
    if not part.is_dir():  # diffusers would take the files of the folder above
        raise ImindexError(
            f"{folder} has no {name}: there is no folder of this name. Download the model again."
        )
    if (part / "adapter_config.json").exists():
        raise ImindexError(
            f"{part} is an adapter of another model (adapter_config.json), which imindex does not load. "
            "Merge it into the model, or pass a LoRA with --lora."
        )
    config = read_json(part / "config.json") if (part / "config.json").exists() else {}
    if "configuration_files" in config:
        raise ImindexError(
            f"{part} names other configurations for other versions of transformers (configuration_files in its "
            "config.json), which imindex does not read. Remove the key."
        )
    quantized = config.get("quantization_config")
    if quantized is not None:
        method = quantized.get("quant_method") if isinstance(quantized, dict) else None
        if method not in QUANTIZERS:
            raise ImindexError(
                f"{part} is quantized by {method!r}, and imindex loads {QUANTIZERS[0]} only. Pass another model."
            )
    for key in ("attn_implementation", "_attn_implementation"):
        for part_config in (config, *(value for value in config.values() if isinstance(value, dict))):
            if part_config.get(key) not in ATTENTION:
                raise ImindexError(
                    f"{part} asks for the attention {part_config[key]!r}, which may be a compiled kernel. "
                    f"Remove {key} from its config.json."
                )


def scheduler_class(folder: Path, name: object) -> Any:
    """Return a scheduler class of diffusers by its name in a pipeline.

    Raises
    ------
    ImindexError
        diffusers has no such scheduler.
    """
    import diffusers

    kind: Any = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not inspect.isclass(kind) or not issubclass(kind, diffusers.SchedulerMixin):
        raise ImindexError(
            f"{folder} has the scheduler {name}, which diffusers {diffusers.__version__} does not have."
        )
    return kind


def check_scheduler(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse the configuration of a scheduler that would only exhaust the memory."""
    steps = config.get("num_train_timesteps", 1)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 0 < steps <= MOST_STEPS:
        raise ImindexError(
            f"The scheduler of {folder} has {steps!r} training steps (num_train_timesteps), not 1 to {MOST_STEPS:,}. "
            "Download the model again."
        )


def check_lora(file: Path) -> None:
    """Refuse a LoRA file that is not safetensors, or whose configuration asks for more than low-rank matrices.

    Parameters
    ----------
    file : Path
        Untrusted; only its header is read.

    Raises
    ------
    ImindexError
        With the reason.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ImindexError(
            f"The LoRA {file} is not a safetensors file, or is truncated: {error}. imindex reads no other format, "
            "since others can execute code."
        ) from error
    for name, shape in shapes.items():
        down = re.search(r"(lora_A|lora_down|lora\.down|\.down)\b", name)
        if down and shape and shape[0] > MOST_RANK:
            raise ImindexError(
                f"The LoRA {file} has the rank {shape[0]:,} in {name}, more than {MOST_RANK:,}. Pass another file."
            )
    for fault in _faults_of(metadata.get("lora_adapter_metadata")):
        raise ImindexError(
            f"The LoRA {file} {fault} in its metadata. Pass a file without lora_adapter_metadata, or another LoRA."
        )


def _faults_of(text: str | None) -> Iterator[str]:
    if text is None:
        return
    try:
        fields = parse_json(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        yield "has something else than a JSON object"
        return
    for key, value in fields.items():
        field = key.rpartition(".")[2]
        if field in _MUST_BE_UNSET and value:
            yield f"sets {key}, which imindex does not pass on to peft,"
        if field == "init_lora_weights" and value not in _INITIALISATIONS:
            yield f"has the initialisation {value!r}"
        if field in ("target_modules", "exclude_modules") and not isinstance(value, (list, type(None))):
            yield f"has a pattern as {key}, not a list of names,"
        if field == "r" and not _is_rank(value):
            yield f"has the rank {value!r}, not 1 to {MOST_RANK:,},"
        if field == "rank_pattern" and value and not _are_ranks(value):
            yield f"has ranks that are not 1 to {MOST_RANK:,} (rank_pattern)"


def _are_ranks(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_rank, value.values()))


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_RANK


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file of a model; anything but an object gives an empty one.

    Raises
    ------
    ImindexError
        It cannot be read, or is not JSON.
    """
    try:
        content = parse_json(read_text(file))
    except (OSError, ValueError) as error:
        raise ImindexError(f"{file} cannot be read: {error}. Download the model again.") from error
    return content if isinstance(content, dict) else {}
