"""What a store says of an object."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from imindex.indexer.core.schema import NO_STAMP, Stamp

UNKNOWN = -1
"""The size of an object whose server does not say it beforehand."""
AT_REST = 3 * 10**9
"""Nanoseconds after which a date of modification, which has whole seconds, tells two versions apart."""


@dataclass(frozen=True, slots=True)
class Info:
    """An object, as its store describes it.

    Attributes
    ----------
    url : str
        Without credentials.
    size : int
        In bytes; `UNKNOWN` if a web server does not say it.
    modified : int
        Nanoseconds since 1970, in whole seconds, since headers have no more; 0 if unknown.
    etag : str
        As the store writes it, with quotation marks; empty if there is none.
    """

    url: str
    size: int
    modified: int = 0
    etag: str = ""

    @property
    def stamp(self) -> Stamp:
        """Size, date of modification and 63 bits of a digest of the etag; `NO_STAMP` if the store says too little."""
        if self.size == UNKNOWN or not (self.etag or self.modified):
            return NO_STAMP
        if not self.etag and self.modified > time.time_ns() - AT_REST:
            return NO_STAMP
        digest = hashlib.sha256(self.etag.strip('"').encode()).digest()
        return self.size, self.modified, int.from_bytes(digest[:8], "big") >> 1

    def is_same(self, other: Info) -> bool:
        """Return whether another answer is of the same object: by etag and size, or by date and size."""
        if UNKNOWN not in (self.size, other.size) and self.size != other.size:
            return False
        if self.etag or other.etag:
            return self.etag.strip('"') == other.etag.strip('"')
        return self.modified == other.modified

    @property
    def is_told_apart(self) -> bool:
        """Whether a later answer can be told to be of the same object."""
        return bool(self.etag or self.modified)
