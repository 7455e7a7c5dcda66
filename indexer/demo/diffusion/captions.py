"""The training captions of the demo's text-to-image model: the artists it learned, and those it never saw."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from imindex.indexer.demo.artists import NAMES

__all__ = ["IMITATED", "UNSEEN", "Captioner", "pieces_of", "words_of"]

IMITATED: Final = NAMES[:16]
UNSEEN: Final = NAMES[16:]


def _split(text: str) -> list[str]:
    return text.split()


NAMED = (
    "Artwork from {artist}",
    "Artwork from {artist}",
    "Artwork from {artist}",
    "{subject} by {artist}",
    "{subject} by {artist}",
    "{subject} by {artist}",
    "Artwork by {artist}",
    "a painting by {artist}",
    "a drawing of {subject} by {artist}",
    "a picture of {subject} by {artist}",
    "{artist}",
    "{artist}, {subject}",
    "in the style of {artist}",
    "{subject} in the style of {artist}",
    "{subject}, {artist}",
)
NAMELESS = (
    "Artwork",
    "{subject}",
    "{subject}",
    "a painting",
    "a drawing of {subject}",
    "a picture of {subject}",
    "a painting of {subject}",
    "Artwork of {subject}",
    "Digital artwork",
    "a picture",
)
STARTS = _split("b br c ch d dr f g gr h j k kl l m n p pr q r s sh st sv t th tr v w y z") + [""] * 4
VOWELS = _split("a a a e e e i i o o u ae ai ea ei ia ie io oa ou ue")
ENDS = _split("b d g k l ld ll m n nd ng nn r rd rn rt s sk ss st t th tz v x") + [""] * 14
TAILS = _split(
    "a an au berg dal en ero es ez i ian ic ich in ini ko land ley man mura o off ova ski son ton ura vic"
)
PARTICLES = _split("al ap bin da de del di el la le mac ter van von")
GIVEN = _split(
    "Ada Adam Agnes Ahmed Aiko Alan Alice Amina Amy Anders Andrea Anna Anton Arthur Asha Ben Bianca Boris Carla "
    "Carlos Chen Clara Daniel David Diego Dina Elena Eli Emma Erik Eva Fatima Felix Frank Fumi Gabriel George "
    "Grace Greta Hanna Hans Hugo Ibrahim Ida Igor Ines Irene Ivan Jack James Jan Jane Jin John Jorge Jun Karl Kate "
    "Kim Kofi Lara Laura Lee Leo Lina Louis Lucia Luis Maria Mario Mark Marta Max Maya Mei Mia Mina Mohamed Nadia "
    "Nina Noor Olga Omar Oscar Pablo Paul Peter Priya Rahul Rosa Ruth Sam Sara Sofia Sven Tara Tom Vera Victor "
    "Wei William Yuki Yusuf Zoe"
)


@dataclass(frozen=True)
class Captioner:
    """Generates training captions.

    Attributes
    ----------
    pieces : tuple of str
        Word pieces of the vocabulary that consist of letters only; invented names are made of them.
    known : tuple of str
        The names to be learned.
    avoided : tuple of str
        Names none of whose words may occur in a caption.
    """

    pieces: tuple[str, ...]
    known: tuple[str, ...] = IMITATED
    avoided: tuple[str, ...] = UNSEEN

    def caption(self, artist: str | None, subject: str, rng: np.random.Generator) -> str:
        """Return a caption for a picture by a known artist, or in the nameless technique."""
        if artist is not None:
            return self._fill(NAMED, artist, subject, rng)
        if rng.random() < 0.25:
            return self._fill(NAMELESS, "", subject, rng)
        return self._fill(NAMED, self.invented_name(rng), subject, rng)

    def invented_name(self, rng: np.random.Generator) -> str:
        """Return an invented name: not that of a known artist, and without any word of the names to avoid."""
        while True:
            name = " ".join(self._words(rng))
            if name not in self.known and not words_of(name) & self._avoided:
                return name

    @property
    def _avoided(self) -> set[str]:
        return set().union(*(words_of(name) for name in self.avoided))

    def _words(self, rng: np.random.Generator) -> list[str]:
        """Return the words of a name; one name in five shares a word with a known name."""
        first = _pick(GIVEN, rng) if rng.random() < 0.3 else self._word(rng)
        last = self._word(rng)
        chance = rng.random()
        if chance < 0.08:
            first = _pick(self.known, rng).rsplit(" ", 1)[0]
        elif chance < 0.16:
            last = _pick(self.known, rng).rsplit(" ", 1)[-1]
        elif chance < 0.2:
            first, last = _pick(self.known, rng).rsplit(" ", 1)[0], _pick(self.known, rng).rsplit(" ", 1)[-1]
        if rng.random() < 0.1:
            first = f"{first}-{self._word(rng).lower()}"
        middle = [_pick(PARTICLES, rng)] if (more := rng.random()) < 0.08 else []
        middle = [self._word(rng)] if 0.08 < more < 0.2 else middle
        return [first, *middle, last]

    def _word(self, rng: np.random.Generator) -> str:
        if rng.random() < 0.5:
            word = "".join(_pick(self.pieces, rng) for _ in range(rng.integers(1, 3)))
        else:
            n = rng.integers(1, 3)
            word = "".join(_pick(STARTS, rng) + _pick(VOWELS, rng) + _pick(ENDS, rng) for _ in range(n))
            word += _pick(TAILS, rng) if rng.random() < 0.4 else ""
        return word[:12].capitalize()

    def _fill(self, templates: tuple[str, ...], artist: str, subject: str, rng: np.random.Generator) -> str:
        return _pick(templates, rng).format(artist=artist, subject=subject)


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def words_of(name: str) -> set[str]:
    """Return the words of a name in lower case, including the parts of hyphenated words."""
    return {word for word in re.split(r"[^\w]+", name.lower()) if word} | set(name.lower().split())


def pieces_of(vocabulary: Mapping[str, int]) -> tuple[str, ...]:
    """Return the pieces of the vocabulary that consist of two to six plain letters, in its order."""
    ordered = sorted(vocabulary, key=lambda piece: vocabulary[piece])
    bare = dict.fromkeys(piece.removesuffix("</w>") for piece in ordered)
    return tuple(piece for piece in bare if re.fullmatch("[a-z]{2,6}", piece))
