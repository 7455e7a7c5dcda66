"""How the pixels of a file are interpreted, and what is worth telling about them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imindex.indexer.core.preprocess_bounds import ACCEPT, AS_ENCODED, REJECT, SRGB

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CONVERTED = "converted to sRGB from another colour profile"
BROKEN_PROFILE = "colour profile cannot be used: decoded without it"
HDR = "HDR brightness is not tone-mapped: decoded without its colour description"
DARK = "16-bit grey that uses less than a quarter of its range: decoded darker than it may be meant"
DARK_COLOUR = "16-bit colour that uses less than a quarter of its range: decoded darker than it may be meant"
UNUSABLE_RANGE = "declared range of values cannot be: decoded without it"
PARTIAL = "file ends early: the missing part is grey"
NO_END = "file has all its lines, and no end marker"
JUNK = "damaged or extraneous JPEG data"
NOTES = (CONVERTED, BROKEN_PROFILE, HDR, DARK, DARK_COLOUR, UNUSABLE_RANGE, PARTIAL, NO_END, JUNK)
"""What may be told about a picture that is decoded."""
TRUNCATED = "the file ends early"
"""Start of the reason for rejecting a picture whose file ends early."""
_MISSING = "needs the extra"
"""Part of the reason of `imindex.indexer.decode.formats.missing`."""
_LOGGED = re.compile(rf"; (\d+) with the note: ({'|'.join(map(re.escape, NOTES))})")


@dataclass(frozen=True)
class Rendering:
    """How the pixels of a file are interpreted.

    Attributes
    ----------
    color : {"as-encoded", "srgb"}
        Whether pictures are converted to sRGB by their colour profiles.
    truncated : {"reject", "accept"}
        Whether a picture whose file ends early is rejected, or decoded with a grey rest.
    """

    color: str = AS_ENCODED
    truncated: str = REJECT

    @property
    def to_srgb(self) -> bool:
        """Whether colour profiles count."""
        return self.color == SRGB

    @property
    def accepts_truncated(self) -> bool:
        """Whether a picture whose file ends early is decoded."""
        return self.truncated == ACCEPT

    @property
    def flags(self) -> int:
        """The settings as a number, for a decoder process."""
        return self.to_srgb | self.accepts_truncated << 1

    @classmethod
    def from_flags(cls, flags: int) -> Rendering:
        """Return the settings of `flags`."""
        return cls(SRGB if flags & 1 else AS_ENCODED, ACCEPT if flags & 2 else REJECT)


@dataclass(frozen=True)
class Pixels:
    """A picture from a decoder process.

    Attributes
    ----------
    values : (height, width, 3) uint8
    notes : tuple of str
        What is worth telling, of `NOTES`.
    """

    values: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def as_bits(notes: Iterable[str]) -> int:
    """Return notes as a number: one bit for each of `NOTES`."""
    return sum(1 << NOTES.index(note) for note in dict.fromkeys(notes))


def from_bits(bits: int) -> tuple[str, ...]:
    """Return the notes of a number; unknown bits are ignored."""
    return tuple(note for number, note in enumerate(NOTES) if bits >> number & 1)


@dataclass(frozen=True)
class Told:
    """What is worth telling about pictures of a build.

    Attributes
    ----------
    note : str
        One of `NOTES`.
    count : int
        Pictures.
    path : str
        The first of them.
    """

    note: str
    count: int
    path: str


def as_sentence(told: Told) -> str:
    """Return what is told to the user.

    Examples
    --------
    >>> as_sentence(Told(NO_END, 2, "works/ada/1.jpg"))
    '2 pictures: file has all its lines, and no end marker (works/ada/1.jpg and 1 more).'
    """
    others = f" and {told.count - 1:,} more" if told.count > 1 else ""
    return f"{told.count:,} picture{'s'[: told.count != 1]}: {told.note} ({told.path}{others})."


def as_log(told: Iterable[Told]) -> str:
    """Return what the log of an index says after the summary of a build."""
    return "".join(f"; {one.count} with the note: {one.note}" for one in told)


def from_log(summaries: Iterable[str]) -> dict[str, int]:
    """Return the number of pictures with each note, over the builds whose summaries a log has."""
    counts: dict[str, int] = {}
    for summary in summaries:
        for count, note in _LOGGED.findall(summary):
            counts[note] = counts.get(note, 0) + int(count)
    return counts


def curable(reason: str, truncated: str) -> bool:
    """Return whether a picture that was rejected for a reason may be decoded now.

    Parameters
    ----------
    reason : str
    truncated : {"reject", "accept"}
    """
    from imindex.indexer.decode.formats import is_missing  # imports Pillow

    if _MISSING in reason and (module := is_missing(reason)):
        return importlib.util.find_spec(module) is not None
    return truncated == ACCEPT and reason.startswith(TRUNCATED)
