"""An open_clip model as an Encoder: pictures and texts -> unit vectors.

This is the only module that imports open_clip.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch

from indexer.contents import EncoderInfo
from indexer.device import torch_device
from indexer.errors import ImindexError
from indexer.images import Preprocess

DEMO = "demo"
"""The small encoder that comes with the package (`--model demo`)."""
DEFAULT_MODEL = "ViT-B-32"
DEFAULT_PRETRAINED = "laion2b_s34b_b79k"
PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_BATCH = {"cpu": 32, "cuda": 256}


def default_batch_size(device: str) -> int:
    """Pictures in one forward pass unless the user says: 32 on a CPU, 256 on CUDA."""
    return _BATCH[torch_device(device).type]


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

    @property
    def dim(self) -> int:
        return self.info.dim

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

    @torch.inference_mode()
    def _forward(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        scaled = (pixels.to(torch.float32) / 255 - self._mean) / self._std
        features: torch.Tensor = self._model.encode_image(scaled.to(self._dtype))  # type: ignore[operator]
        return _unit(features)

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
        auto (CUDA where there is one), cpu, cuda or cuda:N.
    precision : str
        fp16, bf16, fp32 or auto: fp16 on CUDA; on a CPU bf16 where the processor computes in it, else fp32.
    batch_size : int, optional

    Raises
    ------
    ImindexError
        Unknown model, weights not found or not downloadable, no such device.
    """
    place = torch_device(device)
    if precision == "auto":
        precision = "fp16" if place.type == "cuda" else ("bf16" if _cpu_computes_bf16() else "fp32")
    if pretrained is None and model == DEFAULT_MODEL:
        pretrained = DEFAULT_PRETRAINED
    model = _absolute(model)
    if pretrained and model != DEMO and ":" in model and not model.endswith(".json"):
        raise ImindexError(
            f"--pretrained {pretrained} has no place beside --model {model}, which brings its weights. "
            "Leave it away, or give the model as a JSON configuration."
        )
    if pretrained and Path(pretrained).is_file():
        pretrained = str(Path(pretrained).resolve())
    with _as_open_clip_name(model, pretrained) as (name, tag), _quiet():
        network, tokenizer, config = _create(model, pretrained, name, tag)
    preprocess = Preprocess.from_open_clip(network.visual.preprocess_cfg)  # type: ignore[union-attr, arg-type]
    digest = weights_digest(network)
    network.to(device=place, dtype=PRECISIONS[precision]).eval()
    info = EncoderInfo(
        model=model,
        pretrained=pretrained or "",
        weights_sha256=digest,
        config=config,
        preprocess=preprocess.as_dict(),
        dim=int(config["embed_dim"]),
        precision=precision,
    )
    return Encoder(network, tokenizer, info, device=place, batch_size=batch_size)


def _absolute(model: str) -> str:
    """A folder or file that is named relative to here is found from anywhere."""
    if model.startswith("local-dir:"):
        return f"local-dir:{Path(model.removeprefix('local-dir:')).absolute()}"
    return str(Path(model).absolute()) if model.endswith(".json") else model


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


def require_same(index: EncoderInfo, other: EncoderInfo) -> None:
    """Refuse an encoder whose vectors are not comparable with those of the index."""
    differences = index.mismatch(other)
    if differences:
        raise ImindexError(
            f"The index was encoded with {index.name()}, not {other.name()} "
            f"(index against this: {'; '.join(differences)}). "
            "Name that encoder with --model and --pretrained, or build a new index."
        )


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
def _as_open_clip_name(model: str, pretrained: str | None) -> Iterator[tuple[str, str | None]]:
    """Translate what the user said to what open_clip takes; a JSON file becomes a temporary local-dir."""
    if model == DEMO:
        yield f"local-dir:{Path(__file__).parent / 'demo' / 'clip'}", None
    elif model.endswith(".json"):
        with tempfile.TemporaryDirectory(prefix="imindex-") as folder:
            _local_dir(Path(model), pretrained, Path(folder))
            yield f"local-dir:{folder}", None
    elif ":" in model:
        yield model, None
    else:
        yield model, pretrained


def _local_dir(config: Path, pretrained: str | None, folder: Path) -> None:
    try:
        said = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImindexError(f"{config} cannot be read as a model configuration: {error}.") from error
    if not pretrained or not Path(pretrained).is_file():
        raise ImindexError(f"{config} is a model configuration: pass its weights with --pretrained FILE.")
    if not isinstance(said, dict):
        raise ImindexError(
            f"{config} is not a model configuration: it holds no JSON object. See open_clip's."
        )
    said = said if "model_cfg" in said else {"model_cfg": said}
    (folder / "open_clip_config.json").write_text(json.dumps(said), encoding="utf-8")
    # open_clip looks for these endings only; .pt is read as .bin is.
    suffix = ".safetensors" if pretrained.endswith(".safetensors") else ".bin"
    weights = folder / f"open_clip_model{suffix}"
    try:
        weights.symlink_to(Path(pretrained).resolve())
    except OSError:
        shutil.copyfile(pretrained, weights)


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
