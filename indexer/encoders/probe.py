"""Fixed texts that recognise an encoder's text side: its tokenizer by the token ids, its text tower by a vector."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.schema import EncoderInfo

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder

PROBE_TEXTS = (
    "Artwork from Katsushika Hokusai",
    "the quick brown fox jumps over the lazy dog",
    "SPHINX OF BLACK QUARTZ, JUDGE MY VOW!",
    "0123456789 + - * / = ( ) [ ] { } < > # $ % & @ ? ! . , : ; ' \"",
    "Zoë Ångström, François Müller, Łucja Żółć, Çağlar Işık",
    "葛飾北斎 Андрей Рублёв Δομήνικος יעקב أحمد",
    "antidisestablishmentarianism " * 40,
)
"""The texts whose token ids are digested, in FORMAT.md. They never change: stored digests depend on them."""


def tokens_digest(token_ids: Sequence[Sequence[int]]) -> str:
    """Return the SHA-256 of the token ids of `PROBE_TEXTS`.

    Parameters
    ----------
    token_ids : sequence of sequence of int
        What the text tower receives for each text, with padding and special tokens.

    Returns
    -------
    str
        64 hexadecimal digits: the digest of canonical JSON, `[[49406, ...], ...]`.
    """
    return json_digest([[int(token) for token in tokens] for tokens in token_ids])


def with_text_probe(encoder: Encoder) -> EncoderInfo:
    """Return what an encoder is, with the vector of the first text of `PROBE_TEXTS` if it encodes texts."""
    if not encoder.has_text:
        return encoder.info
    return replace(encoder.info, text_probe=_hexadecimal(_vector(encoder)))


def probe_cosine(info: EncoderInfo, encoder: Encoder) -> float | None:
    """Return the cosine between the text probe that an index stores and the encoder's.

    Parameters
    ----------
    info : EncoderInfo
        The encoder that the index records.
    encoder : Encoder
        The same encoder, loaded.

    Returns
    -------
    float or None
        None if the index stores no probe: its encoder has no text side, or it is of an older format. -1 if the stored
        probe is not a vector of the encoder's length with a direction.
    """
    if not info.text_probe or not encoder.has_text:
        return None
    try:
        stored = np.frombuffer(binascii.unhexlify(info.text_probe), "<f2").astype(np.float64)
    except ValueError:
        return -1.0
    computed = _vector(encoder).astype(np.float64)
    if stored.shape != computed.shape:
        return -1.0
    with np.errstate(all="ignore"):
        cosine = float(stored @ computed / np.linalg.norm(stored) / np.linalg.norm(computed))
    return cosine if np.isfinite(cosine) else -1.0


def _vector(encoder: Encoder) -> npt.NDArray[np.float16]:
    return encoder.encode_texts(PROBE_TEXTS[:1]).reshape(-1)


def _hexadecimal(vector: npt.NDArray[np.float16]) -> str:
    return binascii.hexlify(vector.astype("<f2").tobytes()).decode()
