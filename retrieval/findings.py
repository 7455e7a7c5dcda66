"""Findings for an artist, and validity classes of an encoder."""

from __future__ import annotations

from enum import Enum


class Finding(str, Enum):
    """Outcome of the tests of an artist for one release and one encoder, strongest finding first.

    A member equals its value, hashes like it and prints like it.

    Attributes
    ----------
    IMITATED
        The name moves the pictures to this artist's works, and more than other real names do: nearer than placebo
        names after correction, and, among the artists for whom that holds, nearer than other artists after correction.
    NAME_EFFECT
        Nearer than placebo names after correction; nearness relative to other artists was tested and not shown. The
        pictures may be those of a neighbour, such as an artist of the same school.
    SPECIFICITY_NOT_TESTABLE
        Nearer than placebo names after correction; there are too few other names to test nearness relative to them.
    NEARER
        Nearer than other artists after correction; there were no placebo names to test the name against.
    BY_WORK
        Nearer than works drawn from all artists: the work-level test, which has too many false positives.
    NOT_SHOWN
        Tested, and not significant after correction. This is not a finding of no imitation.
    CANNOT_TELL
        The statistic does not tell held-out works of the artist from those of others.
    NOT_TESTED
        Too few works or imitations, or no reference of the same design.
    """

    IMITATED = "imitated"
    NAME_EFFECT = "name effect; specificity not shown"
    SPECIFICITY_NOT_TESTABLE = "name effect; specificity not testable"
    NEARER = "nearer than other artists"
    BY_WORK = "nearer than pooled works"
    NOT_SHOWN = "not shown"
    CANNOT_TELL = "this encoder cannot tell"
    NOT_TESTED = "not tested"

    @classmethod
    def _missing_(cls, value: object) -> Finding | None:
        """Read the findings of earlier versions."""
        return cls.NAME_EFFECT if value == "the name matters" else None

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, format_spec: str) -> str:
        return format(str(self.value), format_spec)


SIGNIFICANT = (
    Finding.IMITATED,
    Finding.NAME_EFFECT,
    Finding.SPECIFICITY_NOT_TESTABLE,
    Finding.NEARER,
)
"""Findings that are significant at the level after correction."""
UNJUDGED = (Finding.CANNOT_TELL, Finding.NOT_TESTED)
"""Findings without a judgement: a count over artists of which none could be judged is unknown."""
TOGETHER = "all encoders"
"""What verdicts and tables call all encoders together, in place of an encoder."""
