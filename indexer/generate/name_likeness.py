"""Compare names: without case and accents, word by word, and with a few letters changed."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable

MAX_COMPARED_LENGTH = 60
"""Longer names are not compared letter by letter."""
LEAST_COMPARED_LENGTH = 6
"""Shorter words differ from each other by one letter too often to be compared letter by letter."""


def fold(name: str) -> str:
    """Reduce a name to lower-case letters and digits without accents.

    Examples
    --------
    >>> fold("Søren O'Hara")
    'sorenohara'
    """
    return "".join(c for c in _plain(name) if c.isalnum())


def folded_words(text: str) -> list[str]:
    """Return the words of a text, in lower case and without accents. Only letters and digits belong to words.

    Examples
    --------
    >>> folded_words("Vigée-Le Brun, Élisabeth")
    ['vigee', 'le', 'brun', 'elisabeth']
    """
    letters = "".join(c for c in _plain(text) if not unicodedata.combining(c))
    return "".join(c if c.isalnum() else " " for c in letters).split()


def parts(name: str) -> set[str]:
    """Return the folded words of a name; apostrophes do not separate words."""
    words = "".join(c if c.isalpha() or unicodedata.combining(c) or c in "'’" else " " for c in name).split()
    return {fold(word) for word in words}


def shortened(text: str, letters: int = 2) -> set[str]:
    """Return all variants of a text with up to `letters` letters deleted.

    Two texts that share a variant are within about twice that many edits of each other.
    """
    variants = {text}
    last = variants
    for _ in range(letters):
        last = {word[:i] + word[i + 1 :] for word in last for i in range(len(word))}
        variants |= last
    return variants


def near_names(names: Iterable[str]) -> set[str]:
    """Return the shortened variants of all names that are compared letter by letter."""
    return set(
        itertools.chain.from_iterable(
            shortened(fold(name)) for name in names if len(name) <= MAX_COMPARED_LENGTH
        )
    )


def surnames_apart(surnames: Iterable[str], real: Iterable[str]) -> list[str]:
    """Return the surnames that equal no part of a real name and, from six letters on, differ by over one letter."""
    taken = {part for name in real for part in (*parts(name), fold(name))}
    near = set(
        itertools.chain.from_iterable(
            shortened(part, 1) for part in taken if LEAST_COMPARED_LENGTH <= len(part) <= MAX_COMPARED_LENGTH
        )
    )
    return [
        name
        for name in surnames
        if (folded := fold(name)) not in taken
        and (len(folded) < LEAST_COMPARED_LENGTH or near.isdisjoint(shortened(folded, 1)))
    ]


def _plain(text: str) -> str:
    plain = text.replace("ø", "o").replace("Ø", "O").replace("ł", "l").replace("Ł", "L")
    return unicodedata.normalize("NFKD", plain).casefold()
