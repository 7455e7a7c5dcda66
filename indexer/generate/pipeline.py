"""A loaded pipeline: batches of constant shape, a random generator per picture, back-off when memory runs out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.bounds import shown
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate import lora
from imindex.indexer.generate.model_settings import ModelSettings
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.generate.release_folder import ONE_COLOUR, SAFETY
from imindex.indexer.generate.resolve_model import ResolvedModel, quiet, reason
from imindex.indexer.system.foreign_code import no_foreign_code

if TYPE_CHECKING:
    from PIL.Image import Image

_BATCH_PIXELS = {"cpu": 512 * 512, "cuda": 8 * 512 * 512}
_MOST = {"cpu": 16, "cuda": 32}


class Pipeline:
    """A loaded text-to-image pipeline.

    Parameters
    ----------
    resolved : ResolvedModel
    model : ModelSettings
    batch_size : int, optional
        The default depends on the size of the pictures.
    may_halve : bool
        Whether the batch is halved when memory runs out. Otherwise that is an error.

    Attributes
    ----------
    batch_size : int
        Halved when memory runs out.
    width, height : int
        Expected size of the pictures, in pixels.
    """

    def __init__(
        self, resolved: ResolvedModel, model: ModelSettings, batch_size: int | None, *, may_halve: bool = True
    ):
        self._name, self._device, self._may_halve = model.model, resolved.device, may_halve
        with quiet(), no_foreign_code(model.model):
            self._pipe = _load(resolved, model)
        settings = resolved.description.settings
        parameters = inspect.signature(resolved.kind.__call__).parameters
        options = {
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
            **dict(zip(("width", "height"), model.width_height(), strict=False)),
        }
        self._options = {
            key: value for key, value in options.items() if value is not None and key in parameters
        }
        self._negative = model.negative_prompt
        self._takes_negative = "negative_prompt" in parameters
        self.width, self.height = model.width_height() or (_side(self._pipe),) * 2
        kind = resolved.device.type
        self.batch_size = batch_size or max(
            1, min(_MOST[kind], _BATCH_PIXELS[kind] // (self.width * self.height))
        )

    def generate(self, shots: Sequence[Shot]) -> Iterator[tuple[Shot, Image, str | None]]:
        """Generate pictures; yield each with its shot and, if it is blocked, the reason.

        Raises
        ------
        ImindexError
            If the pipeline rejects its settings or raises any other exception, or there is not enough memory for a
            single picture.
        """
        start = 0
        while start < len(shots):
            batch = self._batch(shots, start)
            try:
                images, unsafe = self._forward(batch)
            except (ImindexError, KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException as error:  # also panics of tokenizers, which are no Exception
                if not _out_of_memory(error):
                    raise ImindexError(self._about_failure(batch, error)) from error
                self._halve(error)
                continue
            for shot, image, is_unsafe in zip(batch, images, unsafe, strict=True):
                yield shot, image, SAFETY if is_unsafe else ONE_COLOUR if _one_colour(image) else None
            start += len(batch)

    def _batch(self, shots: Sequence[Shot], start: int) -> Sequence[Shot]:
        """Return the next batch: all of its pictures have a negative prompt of their own, or none has."""
        batch = shots[start : start + self.batch_size]
        own = [bool(shot.negative) for shot in batch]
        if own[0] and not self._takes_negative:
            raise ImindexError(
                f"{self._name} takes no negative prompt, which {batch[0].path} needs. Remove the prompts that "
                "have one."
            )
        return batch if len(set(own)) == 1 else batch[: own.index(not own[0])]

    def _about_failure(self, batch: Sequence[Shot], error: BaseException) -> str:
        first, *others = batch
        of = f", the first of {len(batch)} in its batch" if others else ""
        picture = f"the picture {first.path} (prompt {shown(first.prompt)}, seed {first.seed}{of})"
        rejects = isinstance(error, (ValueError, TypeError))
        what = f"{self._name} rejects these settings" if rejects else f"{self._name} failed"
        remedy = (
            "Change them."
            if rejects
            else "Try other settings (--dtype, --size, --scheduler), or another model."
        )
        return (
            f"{what} at {picture}: {type(error).__name__}: {reason(error)} {remedy} Pictures that were finished before "
            "are kept. `imindex --debug ...` shows the traceback."
        )

    def _forward(self, batch: Sequence[Shot]) -> tuple[list[Image], list[bool]]:
        import torch

        padded = [*batch, *[batch[-1]] * (self.batch_size - len(batch))]
        negative = [shot.negative or self._negative for shot in padded]
        more = {"negative_prompt": negative} if any(negative) else {}
        with (
            quiet(),
            no_foreign_code(self._name),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
        ):
            output = self._pipe(
                prompt=[shot.prompt for shot in padded],
                generator=[torch.Generator("cpu").manual_seed(shot.seed) for shot in padded],
                **self._options,
                **more,
            )
        images = getattr(output, "images", None)
        if images is None or len(images) != len(padded) or not hasattr(images[0], "getextrema"):
            raise ImindexError(
                f"{self._name} did not return one picture per prompt. Pass a text-to-image pipeline."
            )
        unsafe = getattr(output, "nsfw_content_detected", None) or [False] * len(padded)
        return [image.convert("RGB") for image in images[: len(batch)]], [
            bool(flag) for flag in unsafe[: len(batch)]
        ]

    def _halve(self, error: BaseException) -> None:
        import torch

        if self.batch_size == 1:
            raise ImindexError(
                f"{self._device} does not have enough memory for a single picture of {self._name}. Free memory, or "
                "set offload to model or sequential, dtype to fp16, or a smaller size."
            ) from error
        if not self._may_halve:  # pictures of another batch size differ in the last bits
            raise ImindexError(
                f"{self._device} does not have enough memory for {self.batch_size} pictures of {self._name} at a time. "
                f"Ask for batches of {self.batch_size // 2}."
            ) from error
        self.batch_size //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def note_on_long_prompts(self, shots: Sequence[Shot]) -> str:
        """Return a note on how many prompts exceed the limit of every tokenizer; empty if there are none.

        Raises
        ------
        ImindexError
            If a prompt exceeds it before the artist's name: its picture could not depend on the name.
        """
        tokenizers = [
            part
            for name, part in self._pipe.components.items()
            if name.startswith("tokenizer")
            and callable(part)
            and getattr(part, "model_max_length", 1e9) < 1e6
        ]
        if not tokenizers:
            return ""
        tokenizer = max(tokenizers, key=lambda part: int(part.model_max_length))
        limit = int(tokenizer.model_max_length)

        def lengths(texts: Iterable[str]) -> dict[str, int]:
            ordered = sorted(set(texts))
            try:
                with quiet():
                    counts = map(len, tokenizer(ordered)["input_ids"] if ordered else [])
                    return dict(zip(ordered, counts, strict=True))
            except Exception as error:
                raise ImindexError(
                    f"The tokenizer of {self._name} failed: {type(error).__name__}: {reason(error)} Download the model "
                    "again, or pass another model."
                ) from error

        prompts = lengths(shot.prompt for shot in shots)
        long = [prompt for prompt, length in prompts.items() if length > limit]
        before = {
            shot.prompt: shot.prompt[: shot.prompt.rfind(shot.artist)]
            for shot in shots
            if shot.artist and shot.artist in shot.prompt and prompts[shot.prompt] > limit
        }
        room = lengths(before.values())
        unread = [prompt for prompt, start in before.items() if room[start] >= limit]
        if unread:
            raise ImindexError(
                f"{self._name} reads {limit} tokens of a prompt, and in {len(unread):,} of {len(prompts):,} prompts "
                f"the artist's name comes later, after `... {before[unread[0]][-40:]}`. Their pictures could not "
                "depend on the name. Put {artist} earlier in the template, or shorten it."
            )
        if not long:
            return ""
        return (
            f"{len(long):,} of {len(prompts):,} prompts are longer than the model's limit of {limit} tokens: their end "
            "is ignored."
        )


def _load(resolved: ResolvedModel, model: ModelSettings) -> Any:
    import torch

    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[
        resolved.description.settings.dtype
    ]
    more = {} if resolved.scheduler is None else {"scheduler": resolved.scheduler}
    if "add_watermarker" in inspect.signature(resolved.kind.__init__).parameters:
        more["add_watermarker"] = False  # its default depends on other installed packages
    try:
        pipe = resolved.kind.from_pretrained(
            resolved.folder,
            torch_dtype=dtype,
            variant=resolved.variant,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **more,
        )
        if resolved.lora is not None:
            lora.put_on(pipe, resolved.lora, model.lora_scale)
        if model.offload == "model":
            pipe.enable_model_cpu_offload(device=resolved.device)
        elif model.offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=resolved.device)
        else:
            pipe.to(resolved.device)
    except ImindexError:
        raise
    except Exception as error:
        if _out_of_memory(error):
            raise ImindexError(
                f"{model.model} does not fit in the memory of {resolved.device}. Use --offload model (or sequential), "
                "--dtype fp16, or --device cpu."
            ) from error
        and_lora = f" with the LoRA {model.lora}" if model.lora else ""
        remedy = "Install a newer peft." if model.lora and "PEFT" in str(error) else "Check its files."
        raise ImindexError(f"{model.model}{and_lora} cannot be loaded: {reason(error)} {remedy}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _side(pipe: Any) -> int:
    """Return the default width and height: the size that the network was trained at."""
    size = getattr(pipe, "default_sample_size", None)
    network = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    if not isinstance(size, int):
        size = getattr(getattr(network, "config", None), "sample_size", None)
    return size * getattr(pipe, "vae_scale_factor", 8) if isinstance(size, int) else 512


def _one_colour(image: Image) -> bool:
    extrema: Any = image.getextrema()
    return all(low == high for low, high in extrema)


def _out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or bool(
        re.search(r"out of memory|can't allocate memory|not enough memory", str(error))
    )
