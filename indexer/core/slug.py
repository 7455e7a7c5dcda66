"""Names of artists and releases as file names."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_SLUG = 40
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""What Windows takes for devices."""


def safe_name(readable: str, whole: str | None = None) -> str:
    """Name a file for any text: up to 40 letters and figures of it, and 8 hex figures of its SHA-256.

    Distinct texts have distinct names where case does not count either; no name is reserved, hidden or leads elsewhere.

    Parameters
    ----------
    readable : str
    whole : str, optional
        What the digest is of, if the readable part is not all of it.
    """
    plain = unicodedata.normalize("NFKD", readable).encode("ascii", "ignore").decode().casefold()
    slug = re.sub("[^a-z0-9]+", "-", plain).strip("-")[:_SLUG].strip("-") or "name"
    return f"{slug}-{hashlib.sha256((whole or readable).encode()).hexdigest()[:8]}"


def slug(name: str) -> str:
    """Name a file or folder for a release or an encoder: as it is called, where that is safe, else `safe_name`.

    Distinct names have distinct slugs, also where case does not count.
    """
    plain = re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,39}", name) and not name.endswith(".")
    if plain and name.partition(".")[0] not in _RESERVED and not re.search("-[0-9a-f]{8}$", name):
        return name
    return safe_name(name)
