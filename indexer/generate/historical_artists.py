"""Artists of the past, whose names serve as rivals: real names that a release knows and nobody tests.

The list, `historical_artists.csv`, holds visual artists who died before 1920, so that their works are in the public
domain wherever the term of protection is at most a hundred years after death. It was written for imindex from the dates
that museums and reference works agree on; years that they do not agree on carry "c.". 65 of the entries are also in
WordNet 3.1 with the same years, and no other entry contradicts it except where research has moved on since (Caravaggio
was born in 1571, not 1573). `period` is the century of the middle of the artist's career.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import importlib.resources
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.name_likeness import folded_words

FILE = "historical_artists.csv"
LATEST_DEATH = 1919


@dataclass(frozen=True)
class HistoricalArtist:
    """One artist of the list.

    Attributes
    ----------
    artist : str
    born, died : str
        Years, some with "c." for about.
    period : str
        Such as "17th century".
    region : str
    gender : str
        Form of the given name: feminine or masculine.
    """

    artist: str
    born: str
    died: str
    period: str
    region: str
    gender: str


@functools.cache
def historical_artists() -> tuple[HistoricalArtist, ...]:
    """Return the list, in the order of the file.

    Examples
    --------
    >>> historical_artists()[0]
    HistoricalArtist(artist='Giotto di Bondone', born='c. 1267', died='1337', period='14th century', region='Italy', gender='masculine')
    """  # noqa: E501
    text = (importlib.resources.files("imindex.indexer.generate") / FILE).read_text(encoding="utf-8")
    return tuple(HistoricalArtist(**row) for row in csv.DictReader(io.StringIO(text, newline="")))


def historical_names(n: int, *, seed: int = 0, avoid: Iterable[str] = ()) -> list[str]:
    """Choose names from the list.

    Parameters
    ----------
    n : int
    seed : int
        Another seed gives another choice. A shorter choice is a prefix of a longer one, and a name to avoid changes
        nothing but its own place.
    avoid : iterable of str
        Artists who must not be chosen; see `same_artist`.

    Returns
    -------
    list of str

    Raises
    ------
    ImindexError
        If there are fewer than `n` names.

    Examples
    --------
    >>> names = historical_names(3, seed=1)
    >>> historical_names(2, seed=1, avoid=[names[0]]) == names[1:]
    True
    """
    avoided = list(avoid)
    names = [one.artist for one in historical_artists() if coinciding(one.artist, avoided) is None]
    if n > len(names):
        raise ImindexError(
            f"{n:,} further real names were requested, but the list has only {len(names):,} who are not in the audit. "
            "Request fewer, or name your own: rivals = [...]."
        )
    return sorted(names, key=lambda name: hashlib.sha256(f"rival {seed} {name}".encode()).digest())[:n]


def coinciding(name: str, others: Sequence[str]) -> str | None:
    """Return the first of the other names that may be the same artist, or None."""
    return next((other for other in others if same_artist(name, other)), None)


def same_artist(one: str, other: str) -> bool:
    """Whether two names may be the same artist: all words of the shorter are in the longer.

    Case, accents, punctuation and the order of words are ignored, so "Monet" and "MONET, Claude" are "Claude Monet".

    Examples
    --------
    >>> same_artist("Claude Monet", "monet"), same_artist("Vigée Le Brun, Élisabeth", "Elisabeth Vigee Le Brun")
    (True, True)
    >>> same_artist("Gentile Bellini", "Giovanni Bellini")
    False
    """
    first, second = frozenset(folded_words(one)), frozenset(folded_words(other))
    return bool(first and second) and (first <= second or second <= first)
