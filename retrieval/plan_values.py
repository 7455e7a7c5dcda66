"""Types of the values of a plan. The description of each is the remedy in the message about a wrong value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from imindex.indexer.core import bounds
from imindex.indexer.core.bounds import Bounds
from imindex.indexer.core.preprocess_bounds import COLORS
from imindex.indexer.generate.model_settings import DTYPES, OFFLOADS
from imindex.retrieval import results
from imindex.retrieval.evidence.testing import ADJUSTMENTS
from imindex.stats import set_statistics
from imindex.stats.set_statistics import STATISTICS

CONTROL = r"\x00-\x1f\x7f"
"""Control characters, for a regular expression."""


def within(range_: Bounds) -> Meta:
    """Return the constraint that a number is in a range."""
    return Meta(ge=range_.least, le=range_.most, description=f"Write {range_}.")


def one_of(words: tuple[str, ...]) -> Meta:
    """Return the constraint that a text is one of some words."""
    return Meta(pattern=rf"\A({'|'.join(words)})\Z", description=f"Write one of {', '.join(words)}.")


TEXT = "Write a text in quotes."
Text = Annotated[str, Meta(pattern=rf"\A[^{CONTROL}]*\Z", max_length=bounds.MAX_TEXT, description=TEXT)]
Given = Annotated[
    str,
    Meta(
        pattern=rf"\A(?=.*\S)[^{CONTROL}]+\Z", max_length=bounds.MAX_NAME,
        description=f"Write a text in quotes, of at most {bounds.MAX_NAME:,} characters.",
    ),
]  # fmt: skip
Texts = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\S", description=TEXT)], ...],
    Meta(description='Write a list of texts: ["one", "two"].'),
]
_PAIR = 'Write a pair of names: ["Ada Example", "Bo Sample"].'
Pairs = Annotated[
    str | tuple[Annotated[tuple[Given, Given], Meta(description=_PAIR)], ...],
    Meta(description='Write "auto", or a list of pairs of names: [["Ada Example", "Bo Sample"]].'),
]
Sizes = Annotated[
    tuple[Annotated[int, within(bounds.PER_NAME)], ...],
    Meta(description="Write a list of whole numbers: [1, 8]."),
]
Seed = Annotated[int, within(bounds.SEED)]
PerName = Annotated[int, within(bounds.PER_NAME)]
Controls = Annotated[int, within(bounds.CONTROLS)]
Steps = Annotated[int, within(bounds.STEPS)]
Resamples = Annotated[int, within(bounds.RESAMPLES)]
Scale = Annotated[float, within(bounds.SCALE)]
Share = Annotated[float, within(bounds.SHARE)]
Color = Annotated[str, one_of(("auto", *COLORS))]
DType = Annotated[str, one_of(DTYPES)]
Offload = Annotated[str, one_of(OFFLOADS)]
Csls = Annotated[int, within(Bounds(0, bounds.CSLS_NEIGHBOURS.most))]
Adjust = Annotated[results.Adjust, Meta(description=f"Write one of {', '.join(ADJUSTMENTS)}.")]
Statistic = Annotated[set_statistics.Statistic, Meta(description=f"Write one of {', '.join(STATISTICS)}.")]
Placebos = Annotated[int | str, Meta(description=f'Write {bounds.NAMES}, "auto", or "auto by origin".')]
Rivals = Annotated[
    int | str | tuple[str, ...],
    Meta(description=f'Write "auto", "none", {bounds.NAMES}, or a list of names.'),
]
Origins = Annotated[
    Mapping[str, str], Meta(description='Write origins by artist: { "Ada Example" = "polish" }.')
]


Aliases = Annotated[
    Mapping[str, str], Meta(description='Write other names by artist: { "Ada Example" = "A. E. Sample" }.')
]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a plan; unknown keys are refused."""
