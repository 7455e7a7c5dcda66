"""robots.txt by RFC 9309, with the line that decides.

Protego, which parses robots.txt well, does not say which line decided, and takes a group of `User-agent: im` for that
of `imindex`; the tests compare this parser with it. Paths are compared as percent-encoded octets. `Crawl-delay`, which
is not in the RFC, is read because sites use it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

MAX_BYTES = 500 * 1024
"""How much of the file is read; the RFC asks for at least this."""
_TOKEN = re.compile(r"[A-Za-z_-]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line `Allow` or `Disallow`.

    Attributes
    ----------
    line : int
        Its number, from 1.
    allow : bool
    pattern : str
        Percent-encoded.
    text : str
        The line as it is written.
    """

    line: int
    allow: bool
    pattern: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a path may be fetched, and why.

    Attributes
    ----------
    allowed : bool
    why : str
        For the manifest, such as "line 3: Disallow: /private".
    """

    allowed: bool
    why: str


@dataclass(frozen=True)
class Robots:
    """The rules of a site for one robot.

    Attributes
    ----------
    rules : tuple of Rule
    delay : float, optional
        Seconds between requests by `Crawl-delay`.
    """

    rules: tuple[Rule, ...] = ()
    delay: float | None = None

    def verdict(self, target: str) -> Verdict:
        """Decide about a path with its query: the longest matching pattern does, and `Allow` among equally long ones.

        Parameters
        ----------
        target : str
            Path and query of a URL, such as "/a/1.jpg?w=300".
        """
        path = canonical(target)
        asked = self._of_path(path)
        plain = _without_dots(path)
        if not asked.allowed or plain == path:
            return asked
        served = self._of_path(plain)  # what most servers take the path for
        return asked if served.allowed else served

    def _of_path(self, path: str) -> Verdict:
        matching = [rule for rule in self.rules if _matcher(rule.pattern).match(path)]
        if not matching:
            return Verdict(True, "no rule applies")
        rule = max(matching, key=lambda rule: (len(rule.pattern), rule.allow))
        return Verdict(rule.allow, f"line {rule.line}: {rule.text}")


def parse(data: bytes, token: str) -> Robots:
    """Parse a robots.txt for the robot of a product token.

    Parameters
    ----------
    data : bytes
        Its beginning of `MAX_BYTES` is read. Bytes that are not UTF-8 are replaced.
    token : str
        Such as "imindex". Case does not matter.

    Examples
    --------
    >>> robots = parse(b"User-agent: *\\nDisallow: /\\nAllow: /art/*.jpg$", "imindex")
    >>> robots.verdict("/art/1.jpg").allowed, robots.verdict("/art/1.jpg?x").why
    (True, 'line 2: Disallow: /')
    """
    groups: dict[str, list[Rule]] = {}
    delays: dict[str, float] = {}
    agents: list[str] = []
    in_rules = False
    data = data[:MAX_BYTES]
    coding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = data.decode(coding, "replace").lstrip("\ufeff \t")
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        field, colon, value = line.partition("#")[0].partition(":")
        field, value = field.strip().lower(), value.strip()
        if not colon:
            continue
        if field == "user-agent":
            if in_rules:
                agents, in_rules = [], False
            match = _TOKEN.match(value)
            name = "*" if value.startswith("*") else match[0].lower() if match else ""
            agents.append(name)
            groups.setdefault(name, [])
        elif field in ("allow", "disallow"):
            in_rules = True
            if value:
                rule = Rule(number, field == "allow", canonical(value), " ".join(line.split())[:200])
                for agent in agents:
                    groups[agent].append(rule)
        elif field == "crawl-delay":
            in_rules = True
            if re.fullmatch(r"\d{1,6}(?:\.\d{1,6})?", value):
                for agent in agents:
                    delays[agent] = float(value)
    chosen = token.lower() if token.lower() in groups else "*"
    return Robots(tuple(groups.get(chosen, ())), delays.get(chosen))


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """Return a path or pattern in one spelling: reserved characters as is, escapes in upper case, the rest quoted.

    Examples
    --------
    >>> canonical("/a%c3%a9/%7Eb") == canonical("/aé/~b"), canonical("/a%2fb") == canonical("/a/b")
    (True, False)
    """

    def escape(match: re.Match[str]) -> str:
        byte = unquote_to_bytes(match[0])
        plain = byte.isalnum() or byte in (b"-", b"_", b".", b"~")
        return byte.decode("ascii") if plain and byte.isascii() else match[0].upper()

    encoded = quote(text, safe="/%?=&*$+,;:@!'()#[]~", errors="surrogatepass")
    return re.sub("%[0-9A-Fa-f]{2}", escape, encoded)


def _without_dots(path: str) -> str:
    """Return a canonical path without parts `.` and `..`, which were percent-encoded before."""
    path, question, query = path.partition("?")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[max(1, len(parts) - 1) :]
        elif part != ".":
            parts.append(part)
    if path.endswith(("/.", "/..")):
        parts.append("")
    return "/".join(parts) + question + query


@lru_cache(maxsize=4096)
def _matcher(pattern: str) -> _Pattern:
    return _Pattern(pattern)


class _Pattern:
    """A pattern with `*` for any characters and `$` for the end, matched in linear time."""

    def __init__(self, pattern: str):
        self._ends = pattern.endswith("$")
        self._parts = re.sub(r"\*+", "*", pattern.removesuffix("$")).split("*")

    def match(self, path: str) -> bool:
        first, *others = self._parts
        if not path.startswith(first):
            return False
        place = len(first)
        if not others:
            return place == len(path) or not self._ends
        for part in others[:-1]:
            found = path.find(part, place)
            if found < 0:
                return False
            place = found + len(part)
        last = others[-1]
        if self._ends:
            return path.endswith(last) and len(path) - len(last) >= place
        return path.find(last, place) >= 0
