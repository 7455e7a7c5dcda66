"""Placebo names that match the artists: the same origin, form of the given name, number of words and length.

A placebo name stands in for an artist whom the model cannot know. If it is of another origin than the artist's name,
the model may react to the origin instead of the artist: the two sets of pictures are then not exchangeable, and the
name test rejects too often (METHODS.md has the rates).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.artist_origins import Origin
from imindex.indexer.generate.name_banks import BANKS, PARTICLES
from imindex.indexer.generate.name_likeness import fold, near_names, shortened, surnames_apart
from imindex.indexer.generate.placebo_names import FAMOUS
from imindex.indexer.generate.release_folder import read_manifest

INDEPENDENT, MATCHED = 1, 2
"""Versions of the drawing: names that ignore the artists (`placebo_names`), and names that match them."""
DRAWING = MATCHED
"""The drawing of new audits. An audit goes on with the version that it was registered with."""

NEAR_LENGTH = 2
"""A name whose length differs from the artist's by at most this many characters is taken as it comes."""
_CANDIDATES = 16
_TRIES = 60
_ROUNDS = 40


@dataclass(frozen=True)
class Placebo:
    """A placebo name.

    Attributes
    ----------
    name : str
    origin : str
        Of the lists that it was drawn from.
    like : str
        The artist whose name it matches.
    """

    name: str
    origin: str
    like: str


def matched_placebos(
    artists: Sequence[Origin],
    n: int,
    *,
    seed: int | bytes = 0,
    avoid: Sequence[str] = (),
    by_origin: bool = False,
) -> list[Placebo]:
    """Draw placebo names that match artists.

    Parameters
    ----------
    artists : sequence of Origin
        The tested artists, from `imindex.indexer.generate.artist_origins.origins_of`.
    n : int
        Number of names in the pool, which serves all artists.
    seed : int or bytes
        Another seed gives other names. A shorter list is a prefix of a longer one. Bytes are a secret key, from
        `imindex.indexer.generate.secret_seed.read_seed`.
    avoid : sequence of str
        Real names, as in `imindex.indexer.generate.placebo_names.placebo_names`. The artists are always avoided.
    by_origin : bool
        Give every origin equally many names, rather than every artist.

    Returns
    -------
    list of Placebo
        Names that are distinct even when case and accents are ignored. The first names cover all origins, so that a
        pool of at least as many names as there are origins represents each.

    Raises
    ------
    ImindexError
        If there are no artists, or the lists of an origin have too few names.

    Notes
    -----
    Each name takes one artist as its model and matches

    - the origin: given name and surname are drawn from the lists of the artist's origin. For an unknown origin, each
      name draws an origin of its own, so that the pool covers many.
    - the form of the given name, where the lists have the artist's given name in one form only.
    - the words: as many as the artist's name, with particles such as "van der" in the same places. Where the artist's
      name has the surname first, so has the placebo name.
    - the length: the first of up to 16 candidates that differs by at most 2 characters, otherwise the closest.

    Drawing given name and surname from the same origin makes it possible that somebody has that name. The surnames are
    therefore chosen to be rare among artists, and none is shared with an artist to be tested, with a name to avoid, or
    with the list of famous artists. No word is shared with the artist whom the name matches.

    Examples
    --------
    >>> from imindex.indexer.generate.artist_origins import origins_of
    >>> [one.name for one in matched_placebos(origins_of(["Piet van der Goossens", "Keiko Tsukada"]), 2, seed=1)]
    ['Maarten van der Bakker', 'Emiko Mizushima']
    """
    if not artists and n:
        raise ImindexError("There are no artists whom placebo names could match. Name at least one.")
    real = [*avoid, *(one.artist for one in artists)]
    surnames = itertools.chain.from_iterable(bank.surnames for bank in BANKS.values())
    allowed = frozenset(surnames_apart(surnames, (*real, *FAMOUS)))
    near = near_names(real)
    names: dict[str, Placebo] = {}
    for i, artist in enumerate(_targets(artists, n, by_origin)):
        placebo = _draw(artist, i, _key(seed), allowed, names, near)
        if placebo is None:
            where = f"of origin {artist.origin!r} " if artist.origin else ""
            raise ImindexError(
                f"Only {len(names):,} of {n:,} placebo names can be invented: there are no more {where}like "
                f"{artist.artist!r}. Request fewer, or state the artist's origin as unknown."
            )
        names[fold(placebo.name)] = placebo
    return list(names.values())


def drawing_begun(folder: Path, first: Collection[str]) -> int:
    """Return the version of the drawing that a folder of pictures was begun with.

    Parameters
    ----------
    folder : Path
        Of a release; it need not exist.
    first : collection of str
        The names that the first version of the drawing gives.
    """
    names = {line["artist"] for line in read_manifest(folder).values() if line.get("arm") == "placebo"}
    return INDEPENDENT if names & set(first) else DRAWING


def _targets(artists: Sequence[Origin], n: int, by_origin: bool) -> list[Origin]:
    """Return the artist that each name is to match: one of each origin first, then all in turn."""
    groups: dict[str, list[Origin]] = {}
    for one in artists:
        groups.setdefault(one.origin, []).append(one)
    if by_origin:
        turns = (itertools.cycle(group) for group in groups.values())
        return list(itertools.islice(itertools.chain.from_iterable(zip(*turns, strict=True)), n))
    first = [group[0] for group in groups.values()]
    order = first + [one for group in groups.values() for one in group[1:]]
    return list(itertools.islice(itertools.cycle(order), n))


def _key(seed: int | bytes) -> bytes:
    return seed if isinstance(seed, bytes) else str(seed).encode()


def _draw(
    artist: Origin,
    i: int,
    key: bytes,
    allowed: frozenset[str],
    taken: Collection[str],
    near: set[str],
) -> Placebo | None:
    best: Placebo | None = None
    n_candidates, closest = 0, 0
    for attempt in range(_TRIES * _ROUNDS):
        # From a digest rather than `random`, whose choices may differ between versions of Python.
        numbers = _numbers(key, i, attempt)
        origin = artist.origin or list(BANKS)[next(numbers) % len(BANKS)]
        # A surname that is not allowed costs an attempt, so that one more name to avoid changes few names.
        name = _compose(artist, origin, allowed, numbers)
        if name is None:
            continue
        folded = fold(name)
        if folded in taken or not near.isdisjoint(shortened(folded)):
            continue
        off = abs(len(name) - len(artist.artist))
        if best is None or off < closest:
            best, closest = Placebo(name, origin, artist.artist), off
        n_candidates += 1
        if off <= NEAR_LENGTH or n_candidates >= _CANDIDATES:
            break
    return best


def _numbers(key: bytes, i: int, attempt: int) -> itertools.chain[int]:
    """Return a stream of 64-bit numbers for one attempt at one name."""

    def blocks() -> itertools.chain[int]:
        return itertools.chain.from_iterable(
            (
                int.from_bytes(digest[8 * k : 8 * k + 8], "big")
                for digest in [
                    hashlib.sha256(
                        b"matched placebo\0" + key + b"\0" + f"{i} {attempt} {block}".encode()
                    ).digest()
                ]
                for k in range(4)
            )
            for block in itertools.count()
        )

    return blocks()


def _compose(
    artist: Origin, origin: str, allowed: frozenset[str], numbers: itertools.chain[int]
) -> str | None:
    """Return a name of the artist's pattern; None if a word repeats, or a surname is not allowed."""
    bank, words = BANKS[origin], artist.artist.split()
    places = [k for k, word in enumerate(words) if word not in PARTICLES] or [0]
    n_given = len(places) // 2
    if len(places) == 3 and not any(word in PARTICLES for word in words):
        n_given = 2 if next(numbers) % 2 else 1
    given = bank.given if not artist.gender else getattr(bank, artist.gender) + bank.either
    drawn = [given[next(numbers) % len(given)] for _ in range(n_given)]
    family = [bank.surnames[next(numbers) % len(bank.surnames)] for _ in range(len(places) - n_given)]
    parts = [*family, *drawn] if _surname_first(words, places, origin) else [*drawn, *family]
    repeated = len(set(parts)) < len(parts) or {fold(word) for word in words} & {fold(part) for part in parts}
    if repeated or not allowed.issuperset(family):
        return None
    filled = list(words)
    for place, part in zip(places, parts, strict=True):
        filled[place] = part
    return " ".join(filled)


def _surname_first(words: Sequence[str], places: Sequence[int], origin: str) -> bool:
    """Whether the artist's name has the surname first, as far as the lists tell."""
    surnames, given = _folded(origin)
    first, last = fold(words[places[0]]), fold(words[places[-1]])
    if len(places) < 2 or last in surnames or first in given:
        return False
    return first in surnames or last in given


@functools.cache
def _folded(origin: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the folded surnames and given names of an origin."""
    bank = BANKS[origin]
    return frozenset(map(fold, bank.surnames)), frozenset(map(fold, bank.given))
