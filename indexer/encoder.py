"""An open_clip model as an Encoder: pictures and texts -> unit vectors.

This is the only module that imports open_clip.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch

from indexer.contents import EncoderInfo, require_same
from indexer.device import torch_devices
from indexer.encoder_names import DEMO, absolute, as_open_clip_name
from indexer.errors import ImindexError
from indexer.images import Preprocess
from indexer.processors import processors

DEFAULT_MODEL = "ViT-B-32"
DEFAULT_PRETRAINED = "laion2b_s34b_b79k"
PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_BATCH = {"cpu": 32, "cuda": 256}


def default_batch_size(device: str) -> int:
    """Pictures to a batch unless the user says: 32 on a CPU, 256 for each CUDA device."""
    return sum(_BATCH[place.type] for place in torch_devices(device))


def default_precision(place: torch.device) -> str:
    """What `--precision auto` means: fp16 on CUDA; on a CPU bf16 where the processor computes in it, else fp32."""
    if place.type == "cuda":
        return "fp16"
    return "bf16" if _cpu_computes_bf16() else "fp32"


class Encoder:
    """Pictures and texts -> unit float16 vectors, with the arithmetic and device that were asked for.

    Parameters
    ----------
    model : torch.nn.Module
        An open_clip model (`encode_image`, `encode_text`), in evaluation mode, on the device.
    tokenizer : callable
        Texts -> token tensor.
    info : EncoderInfo
    device : torch.device
    batch_size : int, optional
        Pictures in one forward pass: by default 32 on a CPU, 256 on CUDA. Halved when memory runs out.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: Callable[[list[str]], torch.Tensor],
        info: EncoderInfo,
        *,
        device: torch.device,
        batch_size: int | None = None,
    ):
        self.info = info
        self.preprocess = Preprocess.from_open_clip(info.preprocess)
        self.device = device
        self.batch_size = batch_size or _BATCH[device.type]
        self._model = model
        self._tokenizer = tokenizer
        self._dtype = PRECISIONS[info.precision]
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(self.preprocess.mean, device=device).reshape(shape)
        self._std = torch.tensor(self.preprocess.std, device=device).reshape(shape)
        self._in_fp16 = device.type == "cuda" and self._dtype == torch.float16
        self._scale = (1 / (255 * self._std)).to(self._dtype)
        self._shift = (-self._mean / self._std).to(self._dtype)

    @property
    def dim(self) -> int:
        return self.info.dim

    @property
    def takes_all_processors(self) -> bool:
        """Whether a forward pass leaves no processor to anybody else."""
        return self.device.type == "cpu" and torch.get_num_threads() >= processors()

    def encode_images(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
        """Encode pictures that `images.decode` prepared.

        Parameters
        ----------
        pixels : uint8 tensor, (n, 3, height, width)

        Returns
        -------
        (n, dim) float16
            Unit vectors; a row is NaN where the model gave no finite, non-zero vector.

        Raises
        ------
        ImindexError
            Memory does not suffice for a single picture.
        """
        vectors = np.empty((len(pixels), self.dim), np.float16)
        start = 0
        while start < len(pixels):
            size = min(self.batch_size, len(pixels) - start)
            try:
                vectors[start : start + size] = self._forward(pixels[start : start + size])
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                if size == 1:
                    raise ImindexError(
                        f"{self.device} has not enough memory for a single picture under {self.info.name()}. "
                        "Free memory, or use --device cpu or a smaller --model."
                    ) from error
                self.batch_size = max(1, size // 2)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
            else:
                start += size
        return vectors

    def _forward(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
        with self.computing():
            return _unit(self.features(self.prepare(pixels)))

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """No gradients are kept, and this encoder's device is the current one."""
        current = torch.cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()
        with torch.inference_mode(), current:
            yield

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """Bring pictures to the device, as the model takes them; call it within `computing`.

        Parameters
        ----------
        pixels : uint8 tensor, (n, 3, height, width)

        Returns
        -------
        (n, 3, height, width) tensor
            Normalised, in the model's arithmetic. On CUDA bytes travel, from pinned memory, and channels come last.
        """
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        if self._in_fp16:  # in one kernel, which computes in fp32 and rounds once; a byte is exact in fp16
            return torch.addcmul(self._shift, pixels.to(torch.float16), self._scale)
        scaled = (pixels.to(torch.float32) / 255 - self._mean) / self._std
        return scaled.to(self._dtype)

    def features(self, prepared: torch.Tensor) -> torch.Tensor:
        """The bare forward pass: what `prepare` gave -> (n, dim) features, not yet of unit length."""
        features: torch.Tensor = self._model.encode_image(prepared)  # type: ignore[operator]
        return features

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Encode texts.

        Returns
        -------
        (n, dim) float16
            Unit vectors.
        """
        vectors = np.empty((len(texts), self.dim), np.float16)
        for start in range(0, len(texts), 256):
            tokens = self._tokenizer(list(texts[start : start + 256])).to(self.device)
            vectors[start : start + 256] = _unit(self._model.encode_text(tokens))  # type: ignore[operator]
        return vectors


def _unit(features: torch.Tensor) -> npt.NDArray[np.float16]:
    """Normalise in fp32, then round to fp16; NaN where there is no direction."""
    features = features.float()
    unit: npt.NDArray[np.float16] = (features / features.norm(dim=-1, keepdim=True)).half().cpu().numpy()
    return unit


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or bool(
        re.search(r"out of memory|can't allocate memory|not enough memory", str(error))
    )


def load(
    model: str = DEFAULT_MODEL,
    pretrained: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
) -> Encoder:
    """Load an open_clip model.

    Parameters
    ----------
    model : str
        `demo`, a name that open_clip knows, `local-dir:FOLDER`, `hf-hub:ORG/REPO`, or a JSON file with a
        model configuration (open_clip's own, or `{"model_cfg": ..., "preprocess_cfg": ...}`).
    pretrained : str, optional
        A tag that open_clip knows for the model, or a file of weights.
    device : str
        auto (CUDA where there is one), cpu, cuda, cuda:N, or several that share the pictures: cuda:0,cuda:1.
    precision : str
        fp16, bf16, fp32 or auto: fp16 on CUDA; on a CPU bf16 where the processor computes in it, else fp32.
    batch_size : int, optional
        Pictures to a batch, in all; several devices share it.

    Raises
    ------
    ImindexError
        Unknown model, weights not found or not downloadable, no such device.
    """
    places = torch_devices(device)
    if precision == "auto":
        precision = default_precision(places[0])
    if pretrained is None and model == DEFAULT_MODEL:
        pretrained = DEFAULT_PRETRAINED
    model = absolute(model)
    if pretrained and model != DEMO and ":" in model and not model.endswith(".json"):
        raise ImindexError(
            f"--pretrained {pretrained} has no place beside --model {model}, which brings its weights. "
            "Leave it away, or give the model as a JSON configuration."
        )
    if pretrained and Path(pretrained).is_file():
        pretrained = str(Path(pretrained).resolve())
    with as_open_clip_name(model, pretrained) as (name, tag), _quiet():
        network, tokenizer, config = _create(model, pretrained, name, tag)
    preprocess = Preprocess.from_open_clip(network.visual.preprocess_cfg)  # type: ignore[union-attr, arg-type]
    digest = weights_digest(network)
    info = EncoderInfo(
        model=model,
        pretrained=pretrained or "",
        weights_sha256=digest,
        config=config,
        preprocess=preprocess.as_dict(),
        dim=int(config["embed_dim"]),
        precision=precision,
    )
    network.to(dtype=PRECISIONS[precision]).eval()
    if len(places) == 1:
        return Encoder(_put(network, places[0]), tokenizer, info, device=places[0], batch_size=batch_size)
    from indexer.encoder_many import ManyEncoders

    share = None if batch_size is None else max(1, -(-batch_size // len(places)))
    return ManyEncoders(
        [
            Encoder(_put(copy.deepcopy(network), place), tokenizer, info, device=place, batch_size=share)
            for place in places
        ]
    )


def _put(network: torch.nn.Module, place: torch.device) -> torch.nn.Module:
    """Bring a model to its device; on CUDA convolutions are quickest with the channels last."""
    if place.type == "cpu":
        return network
    try:
        return network.to(place).to(memory_format=torch.channels_last)
    except torch.cuda.OutOfMemoryError as error:
        raise ImindexError(
            f"{place} has not enough memory for the weights. Free it (nvidia-smi shows who uses it), "
            "or use --device cpu or a smaller --model."
        ) from error


def load_as(
    info: EncoderInfo,
    *,
    model: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
) -> Encoder:
    """Load the encoder that made an index, and refuse any other.

    Parameters
    ----------
    info : EncoderInfo
        As the index has it.
    model, pretrained : str, optional
        Where to find it now, should it have moved.

    Raises
    ------
    ImindexError
        The encoder cannot be found, or it is not the one that made the index.
    """
    encoder = load(
        model or info.model,
        pretrained or (None if model else info.pretrained or None),
        device=device,
        precision=info.precision,
        batch_size=batch_size,
    )
    require_same(info, encoder.info)
    return encoder


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over a model's weights: name, type, shape and bytes of each tensor, sorted by name.

    It does not depend on the file format they came from. Weights are digested as loaded, in fp32.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _create(
    model: str, pretrained: str | None, name: str, tag: str | None
) -> tuple[torch.nn.Module, Any, dict[str, Any]]:
    known = open_clip.get_pretrained_cfg(name, tag) if tag and ":" not in name else None
    _trust_no_code()
    try:
        config = open_clip.get_model_config(name)
        network = open_clip.create_model(
            name,
            pretrained=tag,
            require_pretrained=True,
            # open_clip only warns when a tag was trained with the other activation; vectors would be wrong.
            force_quick_gelu=bool(known and known.get("quick_gelu")),
        )
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:
        raise ImindexError(_cannot_load(model, pretrained, name, error)) from error
    config = {**config, **({"quick_gelu": True} if known and known.get("quick_gelu") else {})}
    return network, tokenizer, config


def _trust_no_code() -> None:
    """Let transformers refuse a tokenizer or text tower that brings code, where it would ask whether to run it."""
    with contextlib.suppress(ImportError):
        from transformers import dynamic_module_utils

        dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0


def _cannot_load(model: str, pretrained: str | None, name: str, error: Exception) -> str:
    reason = textwrap.shorten(str(error), 300, placeholder=" ...")
    reason += "" if reason.endswith(".") else "."
    if ":" in name:
        return (
            f"{model} cannot be loaded: {reason} Check the folder or repository; "
            "without a network give local-dir:FOLDER, or --model demo to try imindex."
        )
    if name not in open_clip.list_models():
        return (
            f"{model} is not a model that open_clip knows. See `python -c 'import open_clip; "
            "print(open_clip.list_models())'`, or give local-dir:FOLDER, hf-hub:ORG/REPO or a JSON file."
        )
    if not pretrained:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "a file of weights"
        return f"{model} needs weights: pass --pretrained with one of {tags}, or a path to a file of weights."
    return (
        f"The weights {pretrained} of {model} cannot be loaded: {reason} Without a network, give a file: "
        f"--model {model} --pretrained /path/to/weights.safetensors (or --model local-dir:FOLDER); "
        "--model demo needs no download."
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's and the hub's notes off the screen; what matters comes as an exception."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _cpu_computes_bf16() -> bool:
    if sys.platform != "linux":
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None
