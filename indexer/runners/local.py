"""The runner of a single machine: read and decode in threads, encode in the calling thread.

An encoder that uses all processors takes turns with the decoding threads. Otherwise they would compete for the
processors, and a forward pass is only as fast as its slowest thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.encoders.padding import encode_padded
from imindex.indexer.runners.base import DecodedPicture, Encoding, Read, Runner, Sources
from imindex.indexer.runners.reader import read_all

if TYPE_CHECKING:
    from imindex.indexer.decode.preprocess import Picture


class Encoded(Encoding):
    """A batch whose vectors are there."""

    def __init__(self, vectors: npt.NDArray[np.float16]):
        self._vectors = vectors

    def ready(self) -> bool:
        """Return True."""
        return True

    def vectors(self) -> npt.NDArray[np.float16]:
        """Return the vectors."""
        return self._vectors


class LocalRunner(Runner):
    """Reads, decodes and encodes in this process and its decoders.

    Parameters
    ----------
    encoder : LazyEncoder
    """

    def __init__(self, encoder: LazyEncoder):
        self._encoder = encoder
        self._ahead = 0
        self._kinds: tuple[str, ...] = ()
        self._may_decode = threading.Event()
        self._may_decode.set()

    def reads(self, sources: Sources) -> Generator[Read]:
        """Read in threads; yield in order. Two batches are read ahead, once there is something to encode."""
        reads = read_all(
            sources.items,
            sources.known,
            self._encoder.info.preprocess,
            sources.unchanged,
            lambda: self._ahead,
            sources.limits,
            self._may_decode,
            look=sources.known.look,
            before=self._encoder.get,  # an index may name settings that are not those of its encoder
        )
        with contextlib.closing(reads):
            for read in reads:
                if read.picture is not None:
                    self._ahead = 2 * self._encoder.batch_size
                yield read

    def encode(self, pictures: Sequence[DecodedPicture]) -> Encoded:
        """Encode a batch, and wait for it."""
        import torch  # imported only if there is something to encode

        pixels = torch.stack([cast("Picture", picture).pixels for picture in pictures]).contiguous()
        encoder = self._encoder.get()
        if encoder.takes_all_processors:
            self._may_decode.clear()
        try:
            return Encoded(encode_padded(encoder, pixels, self._encoder.batch_size))
        finally:
            self._may_decode.set()

    @property
    def allow_mixed(self) -> bool:
        """Whether to add to vectors of another kind of processor: True, with a note."""
        return True

    def computed_by(self) -> tuple[str, ...]:
        """Return what computes the vectors."""
        if not self._kinds:
            from imindex.indexer.encoders.computed_by import computed_by

            self._kinds = (computed_by(self._encoder.get()),)
        return self._kinds

    def close(self) -> None:
        """Do nothing: a generator of `reads` ends its threads and decoders itself."""
