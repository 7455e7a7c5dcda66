"""What an owner says against the use of a picture, in headers and in `/.well-known/tdmrep.json`.

- `X-Robots-Tag`: `noindex`, `none`, `noimageindex`, and `unavailable_after` a date that has passed, addressed to all
  robots or to this one; `noai` and `noimageai` to any robot, because they speak of the use, not of the robot.
- `tdm-reservation: 1` (TDM Reservation Protocol). The header takes precedence over the file.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from imindex.indexer.core.json_text import parse_json
from imindex.indexer.fetch.robots import parse

TDM_FILE = "/.well-known/tdmrep.json"
_RESERVED = frozenset({"1", "1.0", "true", "?1"})
_FOR_ALL = frozenset({"noai", "noimageai"})
_FOR_US = frozenset({"noindex", "none", "noimageindex"})
_WITH_VALUE = re.compile(r"\bmax-(?:snippet|image-preview|video-preview)\s*:\s*[^\s,;]*", re.IGNORECASE)
_HOUR = re.compile(r"\s\d\d?$")
"""The end of what precedes the first colon of a date: it is no name of a robot."""
_UNTIL = "unavailable_after"
_WORD = re.compile(r"(?<![\w-])[a-z]+(?![\w-])")
"""A directive, whatever separates it from others: hosts write semicolons, spaces and quotation marks, too."""


def refused_by_tag(values: Sequence[str], token: str, now: datetime.datetime) -> str:
    """Return the directive of `X-Robots-Tag` headers that refuses a picture; empty if none does.

    Parameters
    ----------
    values : sequence of str
        One for each header.
    token : str
        The product token of this robot.
    now : datetime
        With a time zone.

    Examples
    --------
    >>> now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    >>> refused_by_tag(["otherbot: noindex", "img2dataset: nofollow, noai"], "imindex", now)
    'img2dataset: noai'
    >>> refused_by_tag(["unavailable_after: 25 Jun 2010 15:00:00 GMT"], "imindex", now)
    'unavailable_after: 25 Jun 2010 15:00:00 GMT'
    """
    for value in values:
        if date := re.search(rf"{_UNTIL}\s*:\s*(.+)", value, re.IGNORECASE):
            before = value[: date.start()].strip().rstrip(",")
            if _concerns(before.rpartition(":")[0], token) and _passed(date[1], now):
                return value.strip()[:200]
            # What follows the date counts, too. Its own commas, as after a weekday, give no directives.
            value = value[: date.start()] + date[1]
        agent = ""
        for part in re.split("[,;]", _WITH_VALUE.sub("", value)):
            name, colon, rest = part.partition(":")
            name = name.strip(" \t\"'")
            if colon and name.lower() not in _FOR_ALL | _FOR_US and not _HOUR.search(name):
                agent, part = name, rest
            for directive in _WORD.findall(part.lower()):
                if directive in _FOR_ALL or (directive in _FOR_US and _concerns(agent, token)):
                    return f"{agent}: {directive}" if agent else directive
    return ""


def _concerns(agent: str, token: str) -> bool:
    agent = agent.rpartition(",")[2].strip().lower()
    return agent in ("", "*") or agent.partition("/")[0] == token.lower()


def _passed(text: str, now: datetime.datetime) -> bool:
    """Return whether a date has passed. A date that cannot be read has not."""
    text = text.strip()
    for parsed in (parsedate_to_datetime, datetime.datetime.fromisoformat):
        try:
            date = parsed(text)
        except (ValueError, TypeError, IndexError):
            continue
        return (date if date.tzinfo else date.replace(tzinfo=datetime.timezone.utc)) <= now
    return False


@dataclass(frozen=True)
class Reservations:
    """The reserved paths of a site, by its `tdmrep.json`.

    Attributes
    ----------
    locations : tuple of str
        Patterns as in robots.txt.
    """

    locations: tuple[str, ...] = ()

    def reserved(self, target: str) -> str:
        """Return the location that reserves a path; empty if none does. Of several entries, one is enough."""
        for location in self.locations:
            rule = parse(f"User-agent: *\nDisallow: {location}".encode(), "*")
            if not rule.verdict(target).allowed:
                return location
        return ""


def read_reservations(data: bytes) -> Reservations:
    """Read a `tdmrep.json`. A file that is not as the protocol has it reserves nothing.

    Examples
    --------
    >>> file = b'[{"location": "/art/", "tdm-reservation": 1}, {"location": "/free", "tdm-reservation": 0}]'
    >>> read_reservations(file).reserved("/art/1.jpg")
    '/art/'
    """
    try:
        entries = parse_json(data)
    except (ValueError, UnicodeDecodeError):
        return Reservations()
    found = []
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, dict) and str(entry.get("tdm-reservation", "")).strip().lower() in _RESERVED:
            locations = entry.get("location") or "/"
            for location in locations if isinstance(locations, list) else [locations]:
                if isinstance(location, str):
                    found.append(_path_of(location) or "/")
    return Reservations(tuple(found))


def _path_of(location: str) -> str:
    """Return the pattern of a path; of a whole URL, its path. Without a slash at its beginning, it has one."""
    location = re.sub(r"^https?://[^/]*", "", location.strip(), flags=re.IGNORECASE)
    location = re.split(r"[\r\n#]", location)[0].strip()
    return location if not location or location.startswith(("/", "*")) else f"/{location}"


def reserved_by_header(value: str | None) -> bool | None:
    """Return what a header `tdm-reservation` says; None without one, and for what is neither yes nor no.

    Of several values, as where a host and the server behind it both send the header, one that reserves is enough.

    Examples
    --------
    >>> [reserved_by_header(value) for value in ("1", "0, 1", "0", "maybe", None)]
    [True, True, False, None, None]
    """
    if value is None:
        return None
    said = {part.strip(" \t\"'").lower() for part in re.split("[,;]", value)}
    if said & _RESERVED:
        return True
    return False if "0" in said else None
