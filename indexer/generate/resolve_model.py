"""From a model's name to its folder, class and scheduler, before anything is loaded.

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
from imindex.indexer.generate import model_settings as generate_model
from imindex.indexer.generate.model_settings import ModelSettings

if TYPE_CHECKING:
    import torch

_ARGUMENTS = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "negative_prompt": "negative_prompt",
}
_NOT_BY_SEED = ("DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler")
"""Schedulers whose noise comes from torch's global state and not from the picture's generator."""


@dataclass(frozen=True)
class Found:
    """A pipeline on the disk.

    Attributes
    ----------
    folder : Path
    index : dict
        Its model_index.json.
    variant : str or None
        Of the files of its weights.
    kind : type
        Its class.
    scheduler : object or None
    lora : Path or None
    device : torch.device
    about : dict
        What release.json says.
    """

    folder: Path
    index: dict[str, Any]
    variant: str | None
    kind: Any
    scheduler: Any
    lora: Path | None
    device: torch.device
    about: dict[str, Any]

    def line(self) -> dict[str, Any]:
        """What every line of the manifest says."""
        about = self.about
        return {
            **{key: about[key] for key in ("model", "revision", "pipeline", "scheduler")},
            **{
                key: about["settings"][key]
                for key in ("steps", "guidance", "size", "dtype", "negative_prompt")
            },
            "lora": about["lora"],
            "versions": about["versions"],
        }


def find(model: ModelSettings) -> Found:
    """Find a model and settle how it is asked; its weights are digested, and not loaded.

    Raises
    ------
    ImindexError
        No such model, not a text-to-image pipeline, code of its own, or a setting that it does not take.
    """
    from imindex.indexer.system.device import torch_device

    device = torch_device(model.device)
    if model.offload != "none" and device.type != "cuda":
        raise ImindexError(f"offload {model.offload} is for GPUs, and this runs on the CPU. Leave it out.")
    with quiet():
        folder = _folder(model)
        index = generate_model.read_index(folder)
        kind = _pipeline_class(folder, index)
        scheduler = _scheduler(model, folder, index)
        lora = _lora(model)
    parameters = inspect.signature(kind.__call__).parameters
    _refuse_what_it_does_not_take(model, kind, parameters)
    settings = {
        "steps": model.steps or _default(parameters, "num_inference_steps"),
        "guidance": _default(parameters, "guidance_scale") if model.guidance is None else model.guidance,
        "size": model.size,
        "dtype": _dtype(model, device, index),
        "negative_prompt": model.negative_prompt,
    }
    config = dict(scheduler.config) if scheduler is not None else {}
    about = {
        "model": folder.resolve().name if Path(model.model).is_dir() else model.model,
        "revision": generate_model.revision(folder),
        "pipeline": kind.__name__,
        "scheduler": {
            "class": type(scheduler).__name__ if scheduler is not None else "",
            "config_sha256": generate_model.scheduler_digest(config),
        },
        "lora": {"file": lora.name, "sha256": generate_model.sha256(lora), "scale": model.lora_scale}
        if lora
        else None,
        "settings": settings,
        "text_encoders": generate_model.text_encoders(folder, index),
        "versions": generate_model.versions(),
    }
    return Found(folder, index, generate_model.variant(folder, index), kind, scheduler, lora, device, about)


def _folder(model: ModelSettings) -> Path:
    given = Path(model.model).expanduser()
    if given.is_dir():
        if model.revision:
            raise ImindexError(f"{given} is a folder, and has no revisions. Leave --revision away.")
        return given
    if given.is_file():
        raise ImindexError(
            f"{given} is a file. Give the folder of a diffusers pipeline: a single checkpoint becomes one with "
            "from_single_file(...).save_pretrained(FOLDER)."
        )
    remedy = "Give the path of a folder that save_pretrained wrote, or an id such as org/name and a network."
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
            f"The model {where} is no folder here, and cannot be fetched from the Hugging Face hub: {reason(error)} "
            f"{remedy}"
        ) from error


def _pipeline_class(folder: Path, index: Mapping[str, Any]) -> Any:
    import diffusers

    name = index["_class_name"]
    kind: Any = getattr(diffusers, name, None)
    if not _is_a(kind, diffusers.DiffusionPipeline):
        raise ImindexError(
            f"{folder} is a {name}, which diffusers {diffusers.__version__} does not have. "
            "Install the version that the model asks for, or make the pictures elsewhere and audit the folder."
        )
    parameters = inspect.signature(kind.__call__).parameters
    needed = [
        key
        for key, value in parameters.items()
        if value.default is value.empty and key not in ("self", "prompt", "args", "kwargs")
    ]
    takes = {"image", "mask_image", "control_image", "num_frames"} & set(parameters)
    if needed or takes or not {"prompt", "generator"} <= set(parameters):
        what = ", ".join(sorted({*needed, *takes})) or "no prompt"
        raise ImindexError(
            f"{folder} is a {name}, which does not make a picture from a prompt alone (it takes {what}). "
            "Give a text-to-image pipeline."
        )
    return kind


def _is_a(kind: Any, base: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, base)


def _scheduler(model: ModelSettings, folder: Path, index: Mapping[str, Any]) -> Any:
    """The scheduler that will be used; None in a pipeline that has none."""
    import diffusers

    if not isinstance(index.get("scheduler"), list):
        if model.scheduler:
            raise ImindexError(f"{folder} has no scheduler. Leave --scheduler away.")
        return None
    name = index["scheduler"][1]
    own = getattr(diffusers, name, None)
    if own is None:
        raise ImindexError(
            f"{folder} has the scheduler {name}, which diffusers {diffusers.__version__} lacks."
        )
    config = own.load_config(folder / "scheduler")
    wanted = model.scheduler or name
    if wanted in _NOT_BY_SEED:
        raise ImindexError(
            f"The noise of {wanted} does not come from a picture's seed, so that pictures would not repeat. "
            "Pass another --scheduler, such as DPMSolverMultistepScheduler."
        )
    kind = getattr(diffusers, wanted, None)
    if not _is_a(kind, diffusers.SchedulerMixin):
        known = [one for one in dir(diffusers) if one.endswith("Scheduler")]
        near = difflib.get_close_matches(wanted, known, 3, 0.4) or ["DDIMScheduler"]
        raise ImindexError(f"diffusers has no scheduler {wanted}. Did you mean {' or '.join(near)}?")
    try:
        return kind.from_config(config)  # type: ignore[union-attr]
    except Exception as error:
        raise ImindexError(f"{wanted} cannot be made from the settings of {name}: {reason(error)}") from error


def _lora(model: ModelSettings) -> Path | None:
    if not model.lora:
        return None
    given = Path(model.lora).expanduser()
    if given.exists():
        return generate_model.lora_file(given)
    import huggingface_hub

    try:
        return generate_model.lora_file(
            Path(huggingface_hub.snapshot_download(model.lora, allow_patterns="*.safetensors"))
        )
    except ImindexError:
        raise
    except Exception as error:
        raise ImindexError(
            f"The LoRA {model.lora} is no file here, and cannot be fetched from the Hugging Face hub: {reason(error)} "
            "Give the path of its .safetensors file."
        ) from error


def _refuse_what_it_does_not_take(
    model: ModelSettings, kind: Any, parameters: Mapping[str, inspect.Parameter]
) -> None:
    asked = {
        "steps": model.steps,
        "guidance": model.guidance is not None,
        "negative_prompt": model.negative_prompt,
    }
    wanted = {_ARGUMENTS[name]: name for name, value in asked.items() if value}
    if model.size:
        wanted |= {"width": "size", "height": "size"}
    for argument, name in wanted.items():
        if argument not in parameters:
            raise ImindexError(f"{kind.__name__} takes no {argument}. Leave {name.replace('_', '-')} away.")


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
    """What an exception says, as a short sentence."""
    said = textwrap.shorten(str(error) or type(error).__name__, 200, placeholder=" ...")
    return said if said.endswith(".") else said + "."


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers' bars and notes off the screen; what matters comes as an exception or in the report."""
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
