"""The findings about an artist."""

from __future__ import annotations

ROBUST = "robust positive"
GAP_CLASSES = (ROBUST, "ambiguous", "robust negative")
CANNOT_TELL = "this encoder cannot tell"
IMITATED = "imitated"
NAME_MATTERS = "the name matters"
NEARER = "nearer than other artists"
BY_WORK = "nearer than pooled works"
NOT_SHOWN = "not shown"
NOT_TESTED = "not tested"
