"""What a runner is: the place where a build reads, decodes and encodes its pictures.

The build lists the pictures, recognises those that are known, cuts batches by the order of the sources, and commits.
A runner only computes, and so cannot change what is computed: it returns pictures in the order of the items, and
encodes each batch whole, as it was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.schema import NO_STAMP, Stamp
from imindex.indexer.decode.limits import Limits
from imindex.indexer.sources.item import Item

NO_DIGEST = bytes(32)
"""Placeholder for the SHA-256 of a file that could not be read."""


class DecodedPicture(Protocol):
    """A decoded picture, wherever its pixels are.

    Attributes
    ----------
    width, height : int
        Those of the upright original, in pixels.
    black : bool
        Whether all pixels are black.
    notes : tuple of str
        What is worth telling (`imindex.indexer.decode.rendering`).
    """

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def black(self) -> bool: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Read:
    """A file as read.

    Attributes
    ----------
    item : Item
    digest : bytes
        SHA-256 of the file.
    picture : DecodedPicture or None
        The decoded picture, if it has to be encoded.
    reason : str
        Why the picture is rejected; empty otherwise.
    stamp : Stamp
    unchanged_row : bool
        Whether the file is an unchanged row of the index; it was then not read at all.
    """

    item: Item
    digest: bytes
    picture: DecodedPicture | None = None
    reason: str = ""
    stamp: Stamp = NO_STAMP
    unchanged_row: bool = False


class KnownPictures(Protocol):
    """The digests of pictures that need no encoding."""

    def __contains__(self, digest: object) -> bool: ...

    def look(self, item: Item, digest: bytes) -> bool:
        """Return whether a picture of a known digest is decoded all the same, to see whether it is black."""

    def listed(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Return the first 8 bytes of the digests that are known now, and of those for which `look` may be true.

        Both are sorted. They are hints for other processes: what these tell is checked against this object.
        """


@dataclass(frozen=True)
class Sources:
    """What a runner reads.

    Attributes
    ----------
    items : sequence of Item
    known : KnownPictures
        Pictures that need no decoding. More of them become known while the build runs.
    unchanged : callable
        Returns digest and stamp of a file that need not be read, and whether it is a row; None for all other files.
    limits : Limits
        A picture that exceeds them is returned with a reason and without pixels.
    """

    items: Sequence[Item]
    known: KnownPictures
    unchanged: Callable[[Item], tuple[bytes, Stamp, bool] | None]
    limits: Limits


class Encoding(Protocol):
    """A batch that is being encoded."""

    def ready(self) -> bool:
        """Return whether `vectors` returns at once."""

    def vectors(self) -> npt.NDArray[np.float16]:
        """Wait for the vectors of the batch, in order, and return them, (n, dim)."""


class Runner(Protocol):
    """Reads, decodes and encodes. The build closes it at its end, also after an error or Ctrl-C."""

    def reads(self, sources: Sources) -> Generator[Read]:
        """Read and digest files, and decode those that are new; yield them in the order of the items.

        A read has a picture, or a reason, or a digest in `sources.known`, or it is of an item that is blocked. What is
        read ahead is bounded.
        """

    def encode(self, pictures: Sequence[DecodedPicture]) -> Encoding:
        """Begin to encode a batch: pictures that `reads` yielded, in one call of `encode_padded`."""

    @property
    def allow_mixed(self) -> bool:
        """Whether to add to vectors that another kind of processor computed; else the build refuses."""

    def computed_by(self) -> tuple[str, ...]:
        """Return what computes the vectors, such as `cpu AVX512, torch 2.9.0`, once a batch was encoded."""

    def close(self) -> None:
        """Stop everything that this runner started."""


@dataclass(frozen=True)
class Place:
    """Where a command computes.

    Attributes
    ----------
    on : {"local", "ray"}
    address : str or None
        `HOST:PORT` of the head of a Ray cluster; None starts a private one on this machine.
    encoders : int or None
        Encoders (of `generate`: pipelines) at the same time; None is one for each GPU or, without GPUs, for each
        node.
    gpus_per_encoder : float or None
        GPUs that each of them takes; None is 1 where there are GPUs, else 0.
    allow_mixed : bool
        Whether encoders that give other bits may join.
    """

    on: str = "local"
    address: str | None = None
    encoders: int | None = None
    gpus_per_encoder: float | None = None
    allow_mixed: bool = False
