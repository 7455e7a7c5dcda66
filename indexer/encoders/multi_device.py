"""One encoder on several devices: a replica on each, and every batch shared out among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.tokens import Tokens


def on_devices(
    make: Callable[[torch.device, int | None], Encoder],
    devices: Sequence[torch.device],
    batch_size: int | None,
) -> Encoder:
    """Make an encoder that uses all of the devices.

    Parameters
    ----------
    make : callable
        Takes a device and a batch size (None: what suits the device), and returns an encoder on that device. For
        several devices it is called once for each, and the encoders must not share a model.
    devices : sequence of torch.device
        At least one.
    batch_size : int, optional
        Pictures in one forward pass, over all devices.

    Returns
    -------
    Encoder
        With one device, what `make` returns; with several, a MultiDeviceEncoder.
    """
    if len(devices) == 1:
        return make(devices[0], batch_size)
    share = None if batch_size is None else max(1, -(-batch_size // len(devices)))
    return MultiDeviceEncoder([make(device, share) for device in devices])


class MultiDeviceEncoder(Encoder):
    """Encodes on several devices at once.

    Each replica has a thread, which is enough: what it starts on its device runs outside of Python. Of n pictures the
    replicas get consecutive shares that differ by at most one, so which replica encodes a picture does not depend on
    timing, and the vectors come back in order. A replica that runs out of memory halves its own batches.

    Parameters
    ----------
    replicas : sequence of Encoder
        At least one, with the same weights and arithmetic. The first encodes the texts.

    Raises
    ------
    ValueError
        There is no replica.
    ImindexError
        The replicas are not of one encoder.
    """

    def __init__(self, replicas: Sequence[Encoder]):
        if not replicas:
            raise ValueError("no replica: several encoders are at least one")
        first = replicas[0]
        for other in replicas[1:]:
            found = first.info.mismatch(other.info)
            if found:
                raise ImindexError(
                    f"{other.info.name()} on {other.device} is not a replica of {first.info.name()} on {first.device}: "
                    f"{'; '.join(found)}. Load all replicas from the same weights."
                )
        self.replicas = tuple(replicas)
        self.info = first.info
        self.device = first.device
        self.has_text = first.has_text
        self.batch_size = sum(replica.batch_size for replica in replicas)
        self._pool = ThreadPoolExecutor(len(replicas), thread_name_prefix="encode")

    @property
    def takes_all_processors(self) -> bool:
        """Whether one of the replicas keeps every processor busy."""
        return any(replica.takes_all_processors for replica in self.replicas)

    def encode_images(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
        """Encode decoded pictures, shared out among the replicas, see `Encoder.encode_images`."""
        waiting = [
            self._pool.submit(replica.encode_images, share)
            for replica, share in zip(self.replicas, _shares(pixels, len(self.replicas)), strict=True)
            if len(share)
        ]
        try:
            vectors = [future.result() for future in waiting]
        finally:
            for future in waiting:  # after an error nothing goes on computing behind the caller's back
                if not future.cancel():
                    future.exception()
        self.batch_size = sum(replica.batch_size for replica in self.replicas)
        return np.concatenate(vectors) if vectors else np.empty((0, self.dim), np.float16)

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Encode texts on the first device, see `Encoder.encode_texts`."""
        return self.replicas[0].encode_texts(texts)

    def tokens(self, texts: Sequence[str]) -> Tokens | None:
        """Return how many tokens of texts are read, see `Encoder.tokens`."""
        return self.replicas[0].tokens(texts)


def _shares(pixels: torch.Tensor, n: int) -> list[torch.Tensor]:
    """Cut pictures into n consecutive shares; the first ones get one more where n does not divide their number."""
    ends = np.cumsum([len(pixels) // n + (place < len(pixels) % n) for place in range(n)]).tolist()
    return [pixels[start:end] for start, end in zip([0, *ends], ends, strict=False)]
