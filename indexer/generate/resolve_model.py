"""Resolve a model's name to its folder, pipeline class and scheduler, before anything is loaded.

This is the only module that imports diffusers.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate import model_settings
from imindex.indexer.generate.components import (
    check_components,
    check_lora,
    check_scheduler,
    scheduler_class,
)
from imindex.indexer.generate.lora import require_peft
from imindex.indexer.generate.model_description import (
    LoraDescription,
    ModelDescription,
    SchedulerDescription,
    SettingsDescription,
)
from imindex.indexer.generate.model_settings import ModelSettings
from imindex.indexer.generate.scheduler_fit import family_of, fitting, misfit
from imindex.indexer.system.foreign_code import no_foreign_code
from imindex.indexer.system.input_files import refuse_special_files

if TYPE_CHECKING:
    import torch

_ARGUMENTS = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "negative_prompt": "negative_prompt",
}
_NOT_BY_SEED = ("DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler")
"""Schedulers that draw their noise from torch's global state instead of the picture's generator."""


@dataclass(frozen=True)
class ResolvedModel:
    """A pipeline on disk.

    Attributes
    ----------
    folder : Path
    index : dict
        Content of model_index.json.
    variant : str or None
        Variant of the weights files.
    kind : type
        Class of the pipeline.
    scheduler : object or None
    lora : Path or None
    device : torch.device
    description : ModelDescription
    """

    folder: Path
    index: Mapping[str, Any]
    variant: str | None
    kind: Any
    scheduler: Any
    lora: Path | None
    device: torch.device
    description: ModelDescription


def resolve(model: ModelSettings) -> ResolvedModel:
    """Find a model and resolve its settings. Its weights are digested, but not loaded.

    Raises
    ------
    ImindexError
        If the model does not exist, is not a text-to-image pipeline, contains its own code, or does not accept a
        setting.
    """
    from imindex.indexer.system.device import torch_device

    device = torch_device(model.device)
    if model.offload != "none" and device.type != "cuda":
        raise ImindexError(f"offload {model.offload} is for GPUs, but the device is the CPU. Drop it.")
    with quiet(), no_foreign_code(model.model):
        folder = _folder(model)
        index = model_settings.read_index(folder)
        kind = _pipeline_class(folder, index)
        check_components(folder, index)
        scheduler = _scheduler(model, folder, index, kind)
        lora = _lora(model)
    parameters = inspect.signature(kind.__call__).parameters
    _refuse_unsupported_settings(model, kind, parameters)
    config = dict(scheduler.config) if scheduler is not None else {}
    description = ModelDescription(
        model=folder.resolve().name if Path(model.model).is_dir() else model.model,
        revision=model_settings.revision(folder),
        pipeline=kind.__name__,
        scheduler=SchedulerDescription(
            kind=type(scheduler).__name__ if scheduler is not None else "",
            config_sha256=model_settings.scheduler_digest(config),
        ),
        lora=LoraDescription(file=lora.name, sha256=model_settings.sha256(lora), scale=model.lora_scale)
        if lora
        else None,
        settings=SettingsDescription(
            steps=model.steps or _default(parameters, "num_inference_steps"),
            guidance=_default(parameters, "guidance_scale") if model.guidance is None else model.guidance,
            size=model.size,
            dtype=_dtype(model, device, index),
            negative_prompt=model.negative_prompt,
        ),
        text_encoders=model_settings.text_encoders(folder, index),
        versions=model_settings.versions(),
    )
    variant = model_settings.variant(folder, index)
    return ResolvedModel(folder, index, variant, kind, scheduler, lora, device, description)


def _folder(model: ModelSettings) -> Path:
    path = Path(model.model).expanduser()
    if path.is_dir():
        if model.revision:
            raise ImindexError(f"{path} is a folder and has no revisions. Drop --revision.")
        refuse_special_files(path)
        return path
    if path.is_file():
        raise ImindexError(
            f"{path} is a file. Pass the folder of a diffusers pipeline; convert a single checkpoint with "
            "from_single_file(...).save_pretrained(FOLDER)."
        )
    remedy = "Pass the path of a folder written by save_pretrained, or a hub id such as org/name with network access."
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model.model):
        raise ImindexError(f"The model {model.model} does not exist. {remedy}")
    import diffusers

    try:
        return Path(
            diffusers.DiffusionPipeline.download(
                model.model, revision=model.revision or None, use_safetensors=True, trust_remote_code=False
            )
        )
    except Exception as error:
        where = f"{model.model}{' at revision ' + model.revision if model.revision else ''}"
        raise ImindexError(
            f"The model {where} is not a local folder, and cannot be downloaded from the Hugging Face hub: "
            f"{reason(error)} {remedy}"
        ) from error


def _pipeline_class(folder: Path, index: Mapping[str, Any]) -> Any:
    import diffusers

    name = index["_class_name"]
    kind: Any = getattr(diffusers, name, None)
    if not _is_a(kind, diffusers.DiffusionPipeline):
        raise ImindexError(
            f"{folder} is a {name}, which diffusers {diffusers.__version__} does not have. "
            "Install the version that the model requires, or generate the pictures elsewhere and audit the folder."
        )
    parameters = inspect.signature(kind.__call__).parameters
    required = [
        key
        for key, value in parameters.items()
        if value.default is value.empty and key not in ("self", "prompt", "args", "kwargs")
    ]
    other_inputs = {"image", "mask_image", "control_image", "num_frames"} & set(parameters)
    if required or other_inputs or not {"prompt", "generator"} <= set(parameters):
        inputs = ", ".join(sorted({*required, *other_inputs})) or "no prompt"
        raise ImindexError(
            f"{folder} is a {name}, which does not generate a picture from a prompt alone (it takes {inputs}). "
            "Pass a text-to-image pipeline."
        )
    return kind


def _is_a(kind: Any, base: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, base)


def _scheduler(model: ModelSettings, folder: Path, index: Mapping[str, Any], pipeline: Any) -> Any:
    """Create the scheduler, and refuse one that does not fit the pipeline; None for a pipeline without one."""
    import diffusers

    if not isinstance(index.get("scheduler"), list):
        if model.scheduler:
            raise ImindexError(f"{folder} has no scheduler. Drop --scheduler.")
        return None
    name = index["scheduler"][1]
    own_kind = scheduler_class(folder, name)
    config = _scheduler_config(folder, own_kind)
    wanted = model.scheduler or name
    if wanted in _NOT_BY_SEED:
        raise ImindexError(
            f"{wanted} does not draw its noise from a picture's seed, so pictures would not be reproducible. "
            "Pass another --scheduler, such as DPMSolverMultistepScheduler."
        )
    kind = getattr(diffusers, wanted, None)
    if not _is_a(kind, diffusers.SchedulerMixin):
        known = [name for name in dir(diffusers) if name.endswith("Scheduler")]
        near = difflib.get_close_matches(wanted, known, 3, 0.4) or ["DDIMScheduler"]
        raise ImindexError(f"diffusers has no scheduler {wanted}. Did you mean {' or '.join(near)}?")
    try:
        own = own_kind.from_config(config)
    except Exception as error:
        raise ImindexError(
            f"{name} cannot be created from the settings of {folder}: {reason(error)}"
        ) from error
    if wanted == name:
        return own
    family = family_of(own, pipeline)
    try:
        scheduler: Any = kind.from_config(config)  # type: ignore[union-attr]
        fault = misfit(scheduler, own, family, pipeline)
    except Exception as error:
        fault = f"it cannot be created from the settings of {name}: {reason(error)}"
    if fault:
        fits = fitting(own, family, pipeline, avoid=_NOT_BY_SEED)
        raise ImindexError(
            f"{wanted} does not fit the pipeline, whose own scheduler is {name}: {_sentence(fault)} "
            f"{', '.join(fits) or 'None'} fit {folder}. Pass one of these, or drop --scheduler."
        )
    return scheduler


def _scheduler_config(folder: Path, kind: Any) -> Any:
    try:
        config = kind.load_config(folder / "scheduler")
    except Exception as error:
        raise ImindexError(
            f"The scheduler of {folder} cannot be read: {reason(error)} Download the model again."
        ) from error
    check_scheduler(folder, config)
    return config


def _lora(model: ModelSettings) -> Path | None:
    if not model.lora:
        return None
    path = Path(model.lora).expanduser()
    refuse_special_files(path)
    file = model_settings.lora_file(path) if path.exists() else _downloaded_lora(model)
    check_lora(file)
    require_peft()
    return file


def _downloaded_lora(model: ModelSettings) -> Path:
    import huggingface_hub

    try:
        return model_settings.lora_file(
            Path(huggingface_hub.snapshot_download(model.lora, allow_patterns="*.safetensors"))
        )
    except ImindexError:
        raise
    except Exception as error:
        raise ImindexError(
            f"The LoRA {model.lora} is not a local file, and cannot be downloaded from the Hugging Face hub: "
            f"{reason(error)} Pass the path of its .safetensors file."
        ) from error


def _refuse_unsupported_settings(
    model: ModelSettings, kind: Any, parameters: Mapping[str, inspect.Parameter]
) -> None:
    given = {
        "steps": model.steps,
        "guidance": model.guidance is not None,
        "negative_prompt": model.negative_prompt,
    }
    arguments = {_ARGUMENTS[name]: name for name, value in given.items() if value}
    if model.size:
        arguments |= {"width": "size", "height": "size"}
    for argument, name in arguments.items():
        if argument not in parameters:
            raise ImindexError(f"{kind.__name__} takes no {argument}. Drop {name.replace('_', '-')}.")


def _default(parameters: Mapping[str, inspect.Parameter], name: str) -> Any:
    value = parameters[name].default if name in parameters else None
    return value if isinstance(value, (int, float)) else None


def _dtype(model: ModelSettings, device: torch.device, index: Mapping[str, Any]) -> str:
    import torch

    if model.dtype != "auto":
        return model.dtype
    if device.type == "cpu":
        return "fp32"
    return "bf16" if "transformer" in index and torch.cuda.is_bf16_supported() else "fp16"


def reason(error: BaseException) -> str:
    """Return the message of an exception, shortened, as a sentence."""
    return _sentence(str(error) or type(error).__name__)


def _sentence(text: str) -> str:
    message = textwrap.shorten(text, 200, placeholder=" ...")
    return message if message.endswith(".") else message + "."


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars, logs and warnings of diffusers and transformers."""
    import diffusers
    import transformers

    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    bars = [library.utils.logging for library in (diffusers, transformers)]
    shown = [bar.is_progress_bar_enabled() for bar in bars]
    for bar in bars:
        bar.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        for bar, was in zip(bars, shown, strict=True):
            if was:
                bar.enable_progress_bar()
