"""The width of text in a terminal: measuring, wrapping, and shortening so that names stay apart.

Widths are in columns of the terminal: 2 for Chinese, Japanese and Korean characters and most emoji, 0 for combining
marks. Texts are expected to be safe already (`imindex.indexer.terminal.output.clean`).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

ELLIPSIS = "\u2026"
_BEFORE_PERCENT = re.compile(r"(?<=\d) (?=%)|(?<=[ (][<>]) (?=\d)")
_KEPT = "\ue000"
"""Stands for a space at which no line is broken; private, so that no text contains it after `clean`."""
_LEAST_HEAD = 3


def width_of(text: str) -> int:
    """Return the number of columns that a text takes.

    Examples
    --------
    >>> width_of("Ada"), width_of("\u65e5\u672c"), width_of("e\u0301")
    (3, 4, 1)
    """
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    width = wcswidth(text)
    return width if width >= 0 else sum(max(wcswidth(character), 1) for character in text)


def clusters(text: str) -> list[str]:
    """Split a text into characters as they are seen: a letter with its marks, an emoji with its tone, a flag."""
    if text.isascii():
        return list(text)
    from wcwidth import wcwidth

    pieces: list[str] = []
    for character in text:
        attached = wcwidth(character) == 0 or "\U0001f3fb" <= character <= "\U0001f3ff"
        flag = _is_flag(character) and pieces and len(pieces[-1]) == 1 and _is_flag(pieces[-1])
        if pieces and (attached or flag):
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def pad(text: str, width: int, *, left: bool) -> str:
    """Fill a text with spaces to a width; `left` aligns it left."""
    space = " " * max(0, width - width_of(text))
    return text + space if left else space + text


def wrap(text: str, width: int, *, hanging: int = 0, first: int = 0) -> list[str]:
    """Break a text at spaces into lines of at most `width` columns.

    A word that is wider than a line stays whole, so that a path can be copied from the terminal, which breaks it by
    itself; one of wide characters, which have no spaces, is broken. A number stays together with its percent sign and
    with a < or > before it.

    Parameters
    ----------
    text : str
    width : int
    hanging : int
        Columns by which all lines but the first are indented.
    first : int
        Columns of the first line that are taken already.

    Examples
    --------
    >>> wrap("a 95 % interval", 6)
    ['a 95 %', 'interval']
    """
    if first + width_of(text) <= width:
        return [text]
    # What the terminal breaks by itself goes on in the first column, and so does the rest of the text.
    wide = any(
        width_of(piece) > width - hanging for word in text.split() for piece in _pieces(word, width - hanging)
    )
    hanging = hanging if hanging < width // 2 and not wide else 0
    lines, line, used = [], "", first
    for space, word in re.findall(r"(\s*)(\S+)", _BEFORE_PERCENT.sub(_KEPT, text)):
        for piece in _pieces(word.replace(_KEPT, " "), width - hanging):
            if line.strip() and used + width_of(space) + width_of(piece) > width:
                lines.append(line)
                line, used, space = " " * hanging, hanging, ""
            line += space + piece
            used += width_of(space) + width_of(piece)
            space = ""
    return [*lines, line]


def _pieces(word: str, width: int) -> list[str]:
    """Break a word of wide characters that is wider than a line."""
    if width_of(word) <= width or width_of(word) < 1.5 * len(word):
        return [word]
    pieces = [""]
    for cluster in clusters(word):
        if width_of(pieces[-1] + cluster) > width:
            pieces.append("")
        pieces[-1] += cluster
    return pieces


def least_width(text: str) -> int:
    """Return the width of the widest part of a text that `wrap` does not break."""
    words = _BEFORE_PERCENT.sub(_KEPT, text).split()
    return max((width_of(word) for word in words), default=0)


def shortened(texts: Iterable[str], width: int, *, ends: bool = False) -> dict[str, str]:
    """Shorten texts to a width with an ellipsis, so that no two of them look the same.

    A text that fits stays whole. One that does not loses its end; if others then look the same, its middle, and if its
    beginning and end are those of others, all but what tells it apart. Texts for which nothing helps are absent from
    the result.

    Parameters
    ----------
    texts : iterable of str
    width : int
    ends : bool
        Prefer to keep the end, and to cut all texts at the same place, as for paths.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> list(shortened(["Alexander the Elder", "Alexander the Younger", "Bo"], 12).values())
    ['Alexand\u2026lder', 'Alexand\u2026nger', 'Bo']
    """
    distinct = list(dict.fromkeys(texts))
    short = {text: text for text in distinct if width_of(text) <= width}
    long = {text: clusters(text) for text in distinct if text not in short}
    room = width - 1
    if not long or room < 1:
        return short
    taken = set(short)
    pending = dict(long)
    for tail in _tails(room, ends) if ends else ():  # one cut for all paths reads best, where there is one
        forms = {text: ELLIPSIS.join(_ends(pieces, room, tail)) for text, pieces in long.items()}
        if len({*forms.values()} | taken) == len(distinct):
            return {text: short.get(text) or forms[text] for text in distinct}
    for tail in _tails(room, ends):
        if not pending:
            break
        parts = {text: _ends(pieces, room, tail) for text, pieces in long.items()}
        frequency = Counter(parts.values())
        for text in list(pending):
            head_part, tail_part = parts[text]
            form = head_part + ELLIPSIS + tail_part
            if frequency[parts[text]] == 1 and form not in taken:
                short[text] = form
                taken.add(form)
                del pending[text]
    marks = _first_differences(long)
    for text, pieces in pending.items():
        form = _around(pieces, marks[text], width)
        if form and form not in taken:
            short[text] = form
            taken.add(form)
    return {text: short[text] for text in distinct if text in short}


def _tails(room: int, ends: bool) -> list[int]:
    """Return widths of the kept end, in the order in which they are tried."""
    most = max(0, room - _LEAST_HEAD)
    middle = range(min(4, most), most + 1)
    if ends:
        return [room, *reversed(middle), 0]
    return list(dict.fromkeys([0, *middle, *range(1, min(4, most))]))


def _ends(pieces: Sequence[str], room: int, tail: int) -> tuple[str, str]:
    last = _fitting(reversed(pieces), tail)[::-1]
    end = "".join(last)
    first = _fitting(pieces, room - width_of(end))
    return "".join(first).rstrip(), end.lstrip()


def _fitting(pieces: Iterable[str], width: int) -> list[str]:
    kept, used = [], 0
    for piece in pieces:
        used += width_of(piece)
        if used > width:
            break
        kept.append(piece)
    return kept


def _first_differences(texts: Mapping[str, Sequence[str]]) -> dict[str, set[int]]:
    """Return, for each text, the places at which it first differs from any of the others.

    In sorted order, the length of the beginning that two texts share is the least over the neighbours between them.
    """
    order = sorted(texts, key=lambda text: list(texts[text]))
    shared = [_shared(texts[a], texts[b]) for a, b in itertools.pairwise(order)]
    places: dict[str, set[int]] = {}
    for k, text in enumerate(order):
        both = itertools.chain(
            itertools.accumulate(reversed(shared[:k]), min), itertools.accumulate(shared[k:], min)
        )
        places[text] = {min(place, len(texts[text]) - 1) for place in both}
    return places


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _around(pieces: Sequence[str], places: set[int], width: int) -> str:
    """Return the parts of a text around some places, with an ellipsis for each gap; empty if they do not fit."""
    kept = set(places)
    used = width_of(_with_gaps(pieces, kept))
    if used > width:
        return ""
    grown = True
    while grown:
        grown = False
        ends = sorted(i + 1 for i in kept if i + 1 not in kept and i + 1 < len(pieces))
        starts = sorted(i - 1 for i in kept if i and i - 1 not in kept)
        for place in [*ends, *starts, 0]:
            if place in kept:
                continue
            closes = all(
                i in kept or not 0 <= i < len(pieces) for i in (place - 1, place + 1)
            )  # its ellipsis goes
            more = width_of(pieces[place]) - closes
            if used + more <= width:
                kept.add(place)
                used += more
                grown = True
    return _with_gaps(pieces, kept)


def _with_gaps(pieces: Sequence[str], kept: set[int]) -> str:
    parts: list[str] = []
    for i, piece in enumerate(pieces):
        if i in kept:
            parts.append(piece)
        elif not parts or parts[-1] != ELLIPSIS:
            parts.append(ELLIPSIS)
    return "".join(parts)


def fold(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` columns: at spaces where there are any, else anywhere but in a number
    that fits.

    Examples
    --------
    >>> fold("works/ada/00012.png", 9)
    ['works/ada', '/00012.pn', 'g']
    """
    lines: list[str] = []
    for line in wrap(text, width):
        if width_of(line) <= width:
            lines.append(line)
            continue
        lines += _filled(re.findall(r"\d+|\D", line) if line.isascii() else clusters(line), width)
    return lines


def _filled(pieces: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for piece in pieces:
        for part in [piece] if width_of(piece) <= width else piece:
            if lines[-1] and width_of(lines[-1] + part) > width:
                lines.append("")
            lines[-1] += part
    return lines


def spread(room: int, wanted: Sequence[tuple[int, int]]) -> list[int]:
    """Share columns among texts: each gets at least its first number, and up to its second as far as `room` goes."""
    widths = [least for least, _ in wanted]
    left = room - sum(widths)
    grow: Callable[[int], int] = lambda i: wanted[i][1] - widths[i]  # noqa: E731
    while left > 0 and (open_ones := [i for i in range(len(wanted)) if grow(i) > 0]):
        share = max(1, left // len(open_ones))
        for i in open_ones:
            more = min(share, grow(i), left)
            widths[i] += more
            left -= more
    return widths
