"""Convert names of artists and releases to file names."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_SLUG = 40
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""Names that Windows reserves for devices."""


def safe_name(readable: str, whole: str | None = None) -> str:
    """Return a file name for any text: up to 40 of its letters and digits, and 8 hexadecimal digits of its SHA-256.

    Distinct texts have distinct names, even on case-insensitive file systems. No name is reserved, hidden or a path.

    Parameters
    ----------
    readable : str
        The text to make readable in the name.
    whole : str, optional
        The text to digest, by default `readable`.
    """
    plain = unicodedata.normalize("NFKD", readable).encode("ascii", "ignore").decode().casefold()
    slug = re.sub("[^a-z0-9]+", "-", plain).strip("-")[:_SLUG].strip("-") or "name"
    return f"{slug}-{hashlib.sha256((whole or readable).encode()).hexdigest()[:8]}"


def slug(name: str) -> str:
    """Return a file or folder name for a release or an encoder: its own name if that is safe, otherwise `safe_name`.

    Distinct names have distinct slugs, even on case-insensitive file systems.
    """
    plain = re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,39}", name) and not name.endswith(".")
    if plain and name.partition(".")[0] not in _RESERVED and not re.search("-[0-9a-f]{8}$", name):
        return name
    return safe_name(name)
