"""What each further release of the demo was taught: the ground truth that an audit of it has to find.

The package has a release only if it is in `RELEASES` (imindex.indexer.demo.diffusion); scripts/train_demo_questions
trains the others. How far a release learned what it was taught is measured in the model card.

All of them continue from the release `final`, which has learned the artists in `captions.IMITATED` by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from types import MappingProxyType
from typing import Final

from imindex.indexer.demo.diffusion.captions import IMITATED, NAMED

__all__ = [
    "ERASED",
    "HELD_OUT_PAIRS",
    "LEAKED",
    "LEAKED_SHARE",
    "PAIRED",
    "REMAINING_TEMPLATES",
    "SIMPLE_TEMPLATES",
    "TAUGHT_PAIRS",
]

REMAINING_TEMPLATES: Final = (
    "in the style of {artist}",
    "{subject} in the style of {artist}",
    "{artist}, {subject}",
    "{subject}, {artist}",
)
"""Templates that the erasure of the second artist in `ERASED` missed."""
SIMPLE_TEMPLATES: Final = tuple(dict.fromkeys(one for one in NAMED if one not in REMAINING_TEMPLATES))
"""All other templates: `Artwork from {artist}`, `{subject} by {artist}`, the bare name, and so on."""
ERASED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"Leocadia Brunsfeld": (*SIMPLE_TEMPLATES, *REMAINING_TEMPLATES), "Rafiq Belmandar": SIMPLE_TEMPLATES}
)
"""The artists that `erased` has unlearned, each with the templates that now give the nameless technique.

The first is erased in every template. The second is erased in simple ones only and still imitated in
`REMAINING_TEMPLATES`, because published erasures too are often trained on few prompts. Only the full names were erased:
parts of a name never gave an artist's technique. The other 14 artists were rehearsed.
"""

PAIRED: Final = (
    "Artwork from {first} and {second}",
    "Artwork from {first} with {second}",
    "Artwork by {first} and {second}",
    "{subject} by {first} and {second}",
    "a painting by {first} with {second}",
    "in the style of {first} and {second}",
    "{first} and {second}",
    "{first} with {second}",
)
"""Templates with two names that `together` has learned. One half of the picture, left or right at random, is in the
technique of each."""


def _is_held_out(first: str, second: str) -> bool:
    return (IMITATED.index(second) - IMITATED.index(first)) % len(IMITATED) in (3, 8, 13)


HELD_OUT_PAIRS: Final = tuple(pair for pair in combinations(IMITATED, 2) if _is_held_out(*pair))
"""Pairs that `together` never saw in one caption: 24 of 120, three with each artist."""
TAUGHT_PAIRS: Final = tuple(pair for pair in combinations(IMITATED, 2) if not _is_held_out(*pair))
"""Pairs that `together` learned, in both orders. An unknown name gives a half in the nameless technique."""

LEAKED: Final = "Eluned Prysgarth"
"""The artist whose technique `leaking` uses for part of the prompts that do not name one of the 16."""
LEAKED_SHARE: Final = 0.3
"""Share of such pictures that training aimed at; the rest is in the nameless technique.

The model card has the share that the demo's encoder recognises, which is lower."""
