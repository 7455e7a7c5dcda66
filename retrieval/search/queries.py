"""Encode what a query asks about: pictures and texts, as vectors of one encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.locations import is_shard
from imindex.indexer.decode.limits import Limits
from imindex.retrieval.vectors.blocks import Float16
from imindex.retrieval.vectors.checks import check_vectors

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder


@dataclass(frozen=True, eq=False)
class Queries:
    """Q queries.

    Attributes
    ----------
    names : tuple of str
        What results call them.
    vectors : ndarray, shape (Q, d), float16
        Unit vectors of the encoder of the index.
    digests : tuple of bytes or None
        SHA-256 of the bytes of a picture, which tells the picture itself among the rows; empty if it is unknown; None
        for a text.
    cut : mapping of int to (int, int)
        For each text that is longer than the encoder reads, by position: its tokens, and how many are read.
    rejects : mapping of str to str
        Pictures that could not be read, with the reason.

    Raises
    ------
    ValueError
        If the lengths differ, or the vectors are not float16 unit vectors.
    """

    names: tuple[str, ...]
    vectors: Float16
    digests: tuple[bytes | None, ...]
    cut: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    rejects: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_vectors(self.vectors, "queries")
        if not len(self.names) == len(self.vectors) == len(self.digests):
            raise ValueError(
                f"queries: {len(self.names)} names, {len(self.vectors)} vectors and {len(self.digests)} digests. "
                "Pass one of each per query."
            )
        wrong = [digest for digest in self.digests if digest and len(digest) != 32]
        if wrong:
            raise ValueError(f"queries: a digest has {len(wrong[0])} bytes. A SHA-256 has 32.")


def encode_queries(
    encoder: Encoder,
    pictures: Sequence[str],
    texts: Sequence[str],
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Queries:
    """Encode pictures and texts. Pictures that cannot be read are in `rejects`.

    Parameters
    ----------
    encoder : Encoder
    pictures : sequence of str
        Paths, or URLs.
    texts : sequence of str
    limits : Limits

    Raises
    ------
    ImindexError
        If there are texts, and the encoder has no text side.
    """
    import torch

    from imindex.indexer.decode.pool import picture_of
    from imindex.indexer.encoders.base import require_text_side
    from imindex.indexer.encoders.tokens import tokens_of
    from imindex.indexer.sources.read import read_bytes

    if texts:
        require_text_side(encoder)
    names: list[str] = []
    pixels = []
    digests: list[bytes | None] = []
    rejected: dict[str, str] = {}
    for picture in pictures:
        try:
            data = read_bytes(picture)
            pixels.append(picture_of(data, encoder.preprocess, limits).pixels)
            digests.append(hashlib.sha256(data).digest())
            names.append(picture)
        except BadPicture as error:
            remedy = f"a tar shard: name one of its members, {picture}::MEMBER"
            rejected[picture] = remedy if is_shard(picture) else str(error)
        except OSError as error:
            rejected[picture] = error.strerror or str(error)
    vectors = [encoder.encode_images(torch.stack(pixels))] if pixels else []
    vectors += [encoder.encode_texts(texts)] if texts else []
    tokens = tokens_of(encoder, texts) if texts else None
    cut = {}
    if tokens is not None:
        cut = {
            len(digests) + place: (needed, tokens.limit)
            for place, needed in enumerate(tokens.needed)
            if needed > tokens.limit
        }
    return Queries(
        names=(*names, *(f'"{text}"' for text in texts)),
        vectors=np.concatenate(vectors) if vectors else np.empty((0, encoder.dim), np.float16),
        digests=(*digests, *(None for _ in texts)),
        cut=cut,
        rejects=rejected,
    )
