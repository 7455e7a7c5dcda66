"""Cosines as they are shown to people."""

from __future__ import annotations


def shown_cosine(product: float) -> float:
    """Return the product of two unit vectors as a cosine, from -1 to 1.

    Vectors have unit length before they are rounded to fp16, so that their product exceeds 1 by up to 0.001. Ranks
    and tests use the product itself.

    Examples
    --------
    >>> shown_cosine(1.0004), shown_cosine(-1.0001), shown_cosine(0.25)
    (1.0, -1.0, 0.25)
    """
    return max(-1.0, min(float(product), 1.0))
