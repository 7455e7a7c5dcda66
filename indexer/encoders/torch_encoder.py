"""An encoder that is a PyTorch model: batches, precision, devices and memory, for any back end that uses PyTorch."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.base import Encoder, no_text_side
from imindex.indexer.encoders.precision import BATCH_SIZES, PRECISIONS
from imindex.indexer.system.cpu import processors

TEXTS = 256
"""Texts in one forward pass."""


class TorchEncoder(Encoder):
    """Encodes with a PyTorch model. A back end subclasses it, and defines `features` unless they are what `self.model`
    returns for pictures.

    A subclass that has a text side defines `text_features` too, and sets `has_text`.

    Parameters
    ----------
    model : torch.nn.Module
        Set to evaluation mode, converted to the precision of `info` and moved to the device, in place.
    info : EncoderInfo
    device : torch.device
    batch_size : int, optional
        Pictures in one forward pass: by default 32 on a CPU, 256 on CUDA. Halved when memory runs out.

    Raises
    ------
    ImindexError
        The weights do not fit in the memory of the device.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        info: EncoderInfo,
        *,
        device: torch.device,
        batch_size: int | None = None,
    ):
        self.info = info
        self.device = device
        self.batch_size = batch_size or BATCH_SIZES[device.type]
        self._dtype = PRECISIONS[info.precision]
        self.model: Any = move_to(model.to(dtype=self._dtype).eval(), device)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(self.preprocess.mean, device=device).reshape(shape)
        self._std = torch.tensor(self.preprocess.std, device=device).reshape(shape)
        self._in_fp16 = device.type == "cuda" and self._dtype == torch.float16
        self._scale = (1 / (255 * self._std)).to(self._dtype)
        self._shift = (-self._mean / self._std).to(self._dtype)

    def features(self, prepared: torch.Tensor) -> torch.Tensor:
        """Run the bare forward pass of pictures; by default, call the model.

        Parameters
        ----------
        prepared : torch.Tensor, shape (n, 3, height, width)
            What `prepare` returned.

        Returns
        -------
        torch.Tensor, shape (n, dim)
            Features of any length: `encode_images` normalises them.
        """
        features: torch.Tensor = self.model(prepared)
        return features

    def text_features(self, texts: list[str]) -> torch.Tensor:
        """Run the bare forward pass of texts, at most 256.

        Returns
        -------
        torch.Tensor, shape (n, dim)
            Features of any length: `encode_texts` normalises them.
        """
        raise no_text_side(self.info)

    @property
    def takes_all_processors(self) -> bool:
        """Whether a forward pass keeps every processor busy."""
        return self.device.type == "cpu" and torch.get_num_threads() >= processors()

    def encode_images(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
        """Encode decoded pictures, see `Encoder.encode_images`. A batch that does not fit in memory is halved."""
        vectors = np.empty((len(pixels), self.dim), np.float16)
        pixels = pixels.contiguous()  # stacked PNGs have their channels last, which would change last bits
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
                        "Free memory, compute on another device, or take a smaller model."
                    ) from error
                self.batch_size = max(1, size // 2)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
            else:
                start += size
        return vectors

    def _forward(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
        with self.computing():
            return unit_vectors(self.features(self.prepare(pixels)))

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Keep no gradients, and make this encoder's device the current one."""
        current = torch.cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()
        with torch.inference_mode(), current:
            yield

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """Bring pictures to the device, as the model takes them. Call it within `computing`.

        Parameters
        ----------
        pixels : torch.Tensor, shape (n, 3, height, width), uint8

        Returns
        -------
        torch.Tensor, shape (n, 3, height, width)
            Normalised by the mean and standard deviation of `preprocess`, in the precision of the model. On CUDA the
            bytes are copied from pinned memory, and the channels come last.
        """
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        if self._in_fp16:  # one kernel, which computes in fp32 and rounds once; a byte is exact in fp16
            return torch.addcmul(self._shift, pixels.to(torch.float16), self._scale)
        scaled = (pixels.to(torch.float32) / 255 - self._mean) / self._std
        return scaled.to(self._dtype)

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Encode texts, see `Encoder.encode_texts`."""
        if not self.has_text:
            raise no_text_side(self.info)
        vectors = np.empty((len(texts), self.dim), np.float16)
        with self.computing():
            for start in range(0, len(texts), TEXTS):
                features = self.text_features(list(texts[start : start + TEXTS]))
                vectors[start : start + TEXTS] = unit_vectors(features)
        return vectors


def unit_vectors(features: torch.Tensor) -> npt.NDArray[np.float16]:
    """Normalise features in float32, then round them to float16.

    Parameters
    ----------
    features : torch.Tensor, shape (n, dim)

    Returns
    -------
    ndarray, shape (n, dim), float16
        A row is NaN if its features are not finite or all zero.
    """
    features = features.float()
    unit: npt.NDArray[np.float16] = (features / features.norm(dim=-1, keepdim=True)).half().cpu().numpy()
    return unit


def move_to(model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Move a model to a device. On CUDA its channels come last, which is the fastest for convolutions.

    Raises
    ------
    ImindexError
        The weights do not fit in the memory of the device.
    """
    if device.type == "cpu":
        return model
    try:
        return model.to(device).to(memory_format=torch.channels_last)
    except torch.cuda.OutOfMemoryError as error:
        raise ImindexError(
            f"{device} has not enough memory for the weights. Free it (nvidia-smi shows who uses it), "
            "compute on another device, or take a smaller model."
        ) from error


def weights_digest(model: torch.nn.Module) -> str:
    """Return the SHA-256 over a model's weights: name, type, shape and bytes of each tensor, sorted by name.

    It does not depend on the file format that they came from. Digest the weights as they were loaded, before they are
    converted to another precision.
    """
    return tensors_digest(model.state_dict())


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the same over tensors by name, such as those of a file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or bool(
        re.search(r"out of memory|can't allocate memory|not enough memory", str(error))
    )
