"""Names of installed packages, as an index records them: `imindex-mean-colour 1.2`."""

from __future__ import annotations

import re

MAX_PACKAGE = 200
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?: [A-Za-z0-9][A-Za-z0-9.!+_-]*)?")


def is_package(text: str) -> bool:
    """Return whether a text is the name of a package, or its name and version.

    The name comes from an untrusted file, and is printed as part of a command to run.

    Examples
    --------
    >>> is_package("imindex-mean-colour 1.2"), is_package("colour"), is_package("colour; rm -r ~"), is_package("-r x")
    (True, True, False, False)
    """
    return len(text) <= MAX_PACKAGE and _PACKAGE.fullmatch(text) is not None
