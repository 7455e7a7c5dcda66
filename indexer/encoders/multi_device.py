"""Several encoders of one model, one for each device: a batch is shared out among them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from imindex.indexer.core.schema import require_same
from imindex.indexer.encoders.open_clip import Encoder


class ManyEncoders(Encoder):
    """Pictures and texts -> unit float16 vectors, by several devices at once.

    Each replica has a thread of its own, which is enough: what it starts on its device runs outside of Python.
    Of n pictures the replicas get neighbouring shares that differ by one at most, so who encodes which picture does
    not depend on time, and the vectors come back in order. A replica that runs out of memory halves its own batches.

    Parameters
    ----------
    replicas : sequence of Encoder
        At least one; the same weights and arithmetic. Texts are encoded by the first.

    Raises
    ------
    ValueError
        No replica.
    ImindexError
        They are not replicas of one encoder.
    """

    def __init__(self, replicas: Sequence[Encoder]):
        if not replicas:
            raise ValueError("no replica: several encoders are at least one")
        first = replicas[0]
        for other in replicas[1:]:
            require_same(first.info, other.info)
        self.replicas = tuple(replicas)
        self.info = first.info
        self.preprocess = first.preprocess
        self.device = first.device
        self.batch_size = sum(replica.batch_size for replica in replicas)
        self._pool = ThreadPoolExecutor(len(replicas), thread_name_prefix="encode")

    def encode_images(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
        """Encode pictures that `images.decode` prepared, shared out among the replicas.

        Parameters
        ----------
        pixels : uint8 tensor, (n, 3, height, width)

        Returns
        -------
        (n, dim) float16
            Unit vectors, in the order of the pictures; NaN as `Encoder.encode_images`.

        Raises
        ------
        ImindexError
            The memory of one of the devices does not suffice for a single picture.
        """
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
        """Encode texts on the first device: (n, dim) float16, unit vectors."""
        return self.replicas[0].encode_texts(texts)

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """Bring pictures to the first device, as its model takes them."""
        return self.replicas[0].prepare(pixels)

    def features(self, prepared: torch.Tensor) -> torch.Tensor:
        """The bare forward pass on the first device."""
        return self.replicas[0].features(prepared)


def _shares(pixels: torch.Tensor, n: int) -> list[torch.Tensor]:
    """Cut into n neighbouring shares, the first ones longer by one where it does not come out even."""
    ends = np.cumsum([len(pixels) // n + (place < len(pixels) % n) for place in range(n)]).tolist()
    return [pixels[start:end] for start, end in zip([0, *ends], ends, strict=False)]
