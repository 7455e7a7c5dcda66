"""How much of a text an encoder reads: its text tower takes a fixed number of tokens, and the rest is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tokens:
    """The tokens of n texts.

    Attributes
    ----------
    needed : tuple of int
        Tokens of each whole text, with the special ones.
    limit : int
        Tokens that the encoder reads, with the special ones.
    read : tuple of tuple of int
        The token ids that the text tower receives for each text.
    """

    needed: tuple[int, ...]
    limit: int
    read: tuple[tuple[int, ...], ...]

    @property
    def n_cut(self) -> int:
        """Number of texts of which the end is not read."""
        return sum(n > self.limit for n in self.needed)


def tokens_of(encoder: object, texts: Sequence[str]) -> Tokens | None:
    """Return the tokens of texts; None if the encoder does not tell.

    Parameters
    ----------
    encoder : Encoder
        Or whatever encodes texts. It need not have the method `tokens`.
    texts : sequence of str
    """
    tokens = getattr(encoder, "tokens", None)
    if tokens is None:
        return None
    found = tokens(list(texts))
    return found if isinstance(found, Tokens) else None


def shortened(text: str, length: int = 60) -> str:
    """Return a text for a message: its beginning, if it is long."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def cut_note(encoder_name: str, tokens: Tokens, what: str) -> str:
    """Say how many texts are cut; empty if none are.

    Parameters
    ----------
    encoder_name : str
    tokens : Tokens
    what : str
        What the texts are, in the plural.

    Examples
    --------
    >>> cut_note("demo at fp32", Tokens((5, 40), 32, ((), ())), "texts of labels")
    'demo at fp32 reads 32 tokens of a text: the end of 1 of 2 texts of labels, of up to 40 tokens, is not read.'
    """
    if not tokens.n_cut:
        return ""
    cut = f"{tokens.n_cut} of {len(tokens.needed)} {what}, of up to {max(tokens.needed)} tokens"
    return f"{encoder_name} reads {tokens.limit} tokens of a text: the end of {cut}, is not read."
