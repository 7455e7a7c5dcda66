"""A URL as a place beside paths: it has the name and the folder that a `Path` would have, and keeps its slashes."""

from __future__ import annotations

import re


class Url(str):
    """A URL of an object, without a query.

    Examples
    --------
    >>> url = Url("s3://bucket/audit/works.h5")
    >>> url.name, url.stem, url.suffix, url.parent
    ('works.h5', 'works', '.h5', 's3://bucket/audit')
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return self.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name.removesuffix(self.suffix)

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on; empty if there is none."""
        match = re.fullmatch(r".+(\.[^.]+)", self.name)
        return match[1] if match else ""

    @property
    def parent(self) -> Url:
        """The URL of the folder, without a slash at its end."""
        return Url(self.rpartition("/")[0])
