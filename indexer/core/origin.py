"""Where a picture came from, as the data set says that it was taken from: the column `origin`.

It is JSON with the keys `url` (where the picture was downloaded), `sha256` (of the bytes that were downloaded; a data
set that stores resized pictures has other bytes), `width` and `height` (in pixels, before it was resized) and `exif`,
each of which may be missing. Nothing of it was checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.secrets import public_url

MAX_ORIGIN = 2**14
"""Characters. Of a longer one, the EXIF data are left out; of a URL that is longer, everything else is kept."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STORED = re.compile(r'"sha256":"([0-9a-f]{64})"')
_SIDE = 2**31


def origin_of(row: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the origin that a row of a data set states, as canonical JSON; empty if it states none.

    Parameters
    ----------
    row : mapping
        With the columns of img2dataset: `url`, `sha256`, `original_width`, `original_height` and `exif`. Values of
        other types are left out.

    Returns
    -------
    str
    bool
        Whether something was left out because it is too long.

    Examples
    --------
    >>> origin_of({"url": "https://me:secret@example.org/1.jpg?id=7&sig=a", "original_width": 800, "exif": "{}"})
    ('{"url":"https://example.org/1.jpg?id=7","width":800}', False)
    >>> origin_of({"caption": "A boat"})
    ('', False)
    """
    stated: dict[str, object] = {}
    if isinstance(url := row.get("url"), str) and url:
        stated["url"] = public_url(_clean(url).partition("#")[0])
    if isinstance(digest := row.get("sha256"), str) and _DIGEST.fullmatch(digest.lower()):
        stated["sha256"] = digest.lower()
    for name in ("width", "height"):
        side = row.get(f"original_{name}")
        if (
            isinstance(side, (int, float))
            and not isinstance(side, bool)
            and 0 < side < _SIDE
            and side == int(side)
        ):
            stated[name] = int(side)
    if exif := _exif(row.get("exif")):
        stated["exif"] = exif
    for name in ("", "exif", "url"):
        stated.pop(name, None)
        text = canonical_json(stated) if stated else ""
        if len(text) <= MAX_ORIGIN:
            return text, bool(name)
    return "", True


def stated_digest(origin: str) -> bytes | None:
    """Return the SHA-256 that an origin states; None if it states none."""
    match = _STORED.search(origin) if origin else None
    return bytes.fromhex(match[1]) if match else None


def _exif(value: Any) -> object:
    """Return EXIF data, which img2dataset writes as the text of a JSON object."""
    if isinstance(value, str) and value.startswith("{") and len(value) <= MAX_ORIGIN:
        try:
            value = parse_json(value)
        except ValueError:
            return _clean(value)
    if isinstance(value, dict):
        return {_clean(str(name)): _clean(str(entry)) for name, entry in value.items() if str(entry)}
    return _clean(value) if isinstance(value, str) else None


def _clean(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()
