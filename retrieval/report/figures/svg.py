"""Drawing in SVG: a few shapes, styled by classes of the page, so that they follow its light or dark theme."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from imindex.retrieval.findings import Finding

_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_WIDTHS = {"narrow": 0.36, "wide": 0.88, "other": 0.63}
"""Widths of characters relative to the font size, rounded up."""


def shown(text: object) -> str:
    """Escape invisible characters in a text: control characters, surrogates and changes of writing direction."""
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in ("Cc", "Cs", "Cn") or ord(c) in _BIDI else c
        for c in str(text)
    )


def escape(text: object) -> str:
    """Escape a text for markup."""
    return html.escape(shown(text), quote=True)


def shorten(text: str, most: int) -> str:
    """Shorten a text to at most `most` characters, with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def fit(text: str, room: float, size: float = 11.5) -> str:
    """Shorten a text to about `room` pixels, with an ellipsis."""
    used = 0.0
    for position, c in enumerate(text):
        kind = (
            "wide"
            if c in "MWmw@%" or c.isupper() or ord(c) > 0x2000
            else "narrow"
            if c in "ijlt.,:;'| "
            else "other"
        )
        used += _WIDTHS[kind] * size
        if used > room:
            return f"{text[: max(position - 1, 1)].rstrip()}…"
    return text


def coordinate(value: float) -> str:
    """Format a coordinate for markup, to a hundredth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def tag(name: str, inside: str = "", **attributes: object) -> str:
    """Return an element. `inside` is markup. `class_` stands for class, and `text_anchor` for text-anchor."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="'
        f'{coordinate(value) if isinstance(value, float) else escape(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{pairs}>{inside}</{name}>" if inside else f"<{name}{pairs}/>"


@dataclass
class Drawing:
    """A drawing of `width` x `height` pixels."""

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def add(self, name: str, inside: str = "", **attributes: object) -> None:
        """Add an element."""
        self.parts.append(tag(name, inside, **attributes))

    def line(self, x1: float, y1: float, x2: float, y2: float, class_: str) -> None:
        """Add a line."""
        self.add("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)

    def text(self, x: float, y: float, text: object, class_: str = "label", anchor: str = "start") -> None:
        """Add a text with its baseline at y."""
        self.add("text", escape(text), x=float(x), y=float(y), class_=class_, text_anchor=anchor)

    def name(self, x: float, y: float, text: str, room: float, anchor: str = "end") -> None:
        """Add an artist's name, shortened to fit, with the full name as a tooltip."""
        inside = f"{escape(fit(shown(text), room))}{tag('title', escape(text))}"
        self.add("text", inside, x=float(x), y=float(y), class_="label", text_anchor=anchor)

    def path(self, points: Sequence[tuple[float, float]], class_: str) -> None:
        """Add a polyline."""
        moves = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)
        self.add("polyline", points=moves, class_=class_)

    def mark(self, finding: Finding | None, x: float, y: float, r: float = 4.0, title: str = "") -> None:
        """Add the mark of a finding."""
        self.parts.append(mark(finding, x, y, r, title))

    def finish(self, identity: str, title: str, description: str, *, fixed: bool = False) -> str:
        """Return the markup, with a description for screen readers. If `fixed`, it does not shrink with the page."""
        head = tag("title", escape(title), id=f"{identity}-t") + tag(
            "desc", escape(description), id=f"{identity}-d"
        )
        return tag(
            "svg",
            head + "".join(self.parts),
            viewBox=f"0 0 {coordinate(self.width)} {coordinate(self.height)}",
            width=float(self.width),
            height=float(self.height),
            role="img",
            aria_labelledby=f"{identity}-t {identity}-d",
            class_="fixed" if fixed else "fluid",
        )


def mark(finding: Finding | None, x: float, y: float, r: float = 4.0, title: str = "") -> str:
    """Draw the mark of a finding. Marks differ in shape, not only in colour. None (nothing was tested) is a dot."""
    inside = tag("title", escape(title)) if title else ""
    if finding is None:
        return tag("circle", inside, cx=float(x), cy=float(y), r=float(r) * 0.8, class_="mark dot")
    if finding == Finding.IMITATED:
        return tag("circle", inside, cx=float(x), cy=float(y), r=float(r), class_="mark full")
    if finding in (Finding.NAME_EFFECT, Finding.SPECIFICITY_NOT_TESTABLE):
        half = (
            f"M{coordinate(x)} {coordinate(y - r)}A{coordinate(r)} {coordinate(r)} 0 0 0 "
            f"{coordinate(x)} {coordinate(y + r)}Z"
        )
        ring = tag("circle", cx=float(x), cy=float(y), r=float(r), class_="mark half")
        return tag("g", inside + ring + tag("path", d=half, class_="mark full"))
    if finding in (Finding.NEARER, Finding.BY_WORK):
        d = r * 1.25
        points = [(x, y - d), (x + d, y), (x, y + d), (x - d, y)]
        corners = " ".join(f"{coordinate(a)},{coordinate(b)}" for a, b in points)
        return tag("polygon", inside, points=corners, class_="mark full")
    if finding == Finding.NOT_SHOWN:
        return tag("circle", inside, cx=float(x), cy=float(y), r=float(r), class_="mark empty")
    if finding == Finding.CANNOT_TELL:
        d = r * 0.8
        cross = f"M{coordinate(x - d)} {coordinate(y - d)}l{coordinate(2 * d)} {coordinate(2 * d)}" + (
            f"m0 {coordinate(-2 * d)}l{coordinate(-2 * d)} {coordinate(2 * d)}"
        )
        return tag("path", inside, d=cross, class_="mark cross")
    bar = f"M{coordinate(x - r * 0.8)} {coordinate(y)}h{coordinate(1.6 * r)}"
    return tag("path", inside, d=bar, class_="mark cross")


def icon(finding: Finding) -> str:
    """Return the mark of a finding for a line of text."""
    return tag(
        "svg",
        mark(finding, 6.0, 6.0, 4.2),
        viewBox="0 0 12 12",
        width=12,
        height=12,
        class_="icon",
        aria_hidden="true",
    )
