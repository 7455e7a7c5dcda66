"""An open_clip model as an Encoder: pictures and texts -> unit vectors.

This is the only module that imports open_clip.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.encoders.precision import _BATCH, PRECISIONS
from imindex.indexer.system.cpu import processors


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


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over a model's weights: name, type, shape and bytes of each tensor, sorted by name.

    It does not depend on the file format they came from. Weights are digested as loaded, in fp32.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
