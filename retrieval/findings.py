"""Findings for an artist, and validity classes of an encoder."""

from __future__ import annotations

from enum import Enum


class Finding(str, Enum):
    """Outcome of the tests of an artist for one release and one encoder, strongest finding first.

    A member equals its value, hashes like it and prints like it.

    Attributes
    ----------
    IMITATED
        Nearer than placebo names (the name matters) and nearer than other artists, both after correction.
    NAME_MATTERS
        Nearer than placebo names after correction; not shown to be nearer than other artists.
    NEARER
        Nearer than other artists after correction; there were no placebo names to test the name against.
    BY_WORK
        Nearer than works drawn from all artists: the work-level test, which has too many false positives.
    NOT_SHOWN
        Tested, and not significant after correction. This is not a finding of no imitation.
    CANNOT_TELL
        The encoder does not robustly distinguish the artist's works from those of others.
    NOT_TESTED
        Too few works or imitations, or no reference of the same design.
    """

    IMITATED = "imitated"
    NAME_MATTERS = "the name matters"
    NEARER = "nearer than other artists"
    BY_WORK = "nearer than pooled works"
    NOT_SHOWN = "not shown"
    CANNOT_TELL = "this encoder cannot tell"
    NOT_TESTED = "not tested"

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, format_spec: str) -> str:
        return format(str(self.value), format_spec)


SIGNIFICANT = (Finding.IMITATED, Finding.NAME_MATTERS, Finding.NEARER)
"""Findings that are significant at the level after correction."""
UNJUDGED = (Finding.CANNOT_TELL, Finding.NOT_TESTED)
"""Findings without a judgement: a count over artists of which none could be judged is unknown."""
ROBUST = "robust positive"
GAP_CLASSES = (ROBUST, "ambiguous", "robust negative")
"""Classes of the interval of the discrimination gap; any other text is the reason why there is none."""
