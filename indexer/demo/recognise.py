"""Recognise the demonstration encoders, whatever name they were loaded by."""

from __future__ import annotations

WEIGHTS = frozenset(
    {
        "dea6f25c82ed20025034f3a6388f400ab704a1e38752e3fb99bd968fc20d7256",  # demo
        "1232956528812af3fb27ddcac15c1a80f0198a06f07cfb95539617d734bb7448",  # demo-style
    }
)
"""Digests of the weights of every demonstration encoder that imindex has shipped; none is ever removed."""
NOT_EVIDENCE = (
    "Demonstration encoder: not for evidence. It is a small model that comes with imindex to try it out. "
    "Encode the pictures with a real encoder before you rely on any figure."
)


def is_demonstration(weights_sha256: str) -> bool:
    """Whether an encoder with these weights is a demonstration encoder.

    Parameters
    ----------
    weights_sha256 : str
        As an index records it (`imindex.indexer.core.schema.EncoderInfo`).
    """
    return weights_sha256 in WEIGHTS
