"""The spelling of names of artists and collections: one helper for manifests, folders, lists, plans and options."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

ZWNJ, ZWJ = "\u200c", "\u200d"
_JOINED = (
    "ARABIC", "SYRIAC", "MANDAIC", "NKO", "MONGOLIAN", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA",
    "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "TIBETAN", "MYANMAR", "KHMER", "THAI", "LAO", "TAI",
    "JAVANESE", "BALINESE", "SUNDANESE", "MEETEI", "GRANTHA", "CHAKMA", "ADLAM",
)  # fmt: skip
"""Scripts in which a (non-)joiner inside a word changes how it is written, as the names of characters begin."""
_SHOWN = frozenset(
    (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440))
)
"""Format characters (Cf) that are visible, or place visible signs."""
_EMPTY = frozenset((0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0))
"""Characters of other categories that show nothing: grapheme joiner, fillers, inherent vowels."""
_LOOK = str.maketrans(
    {
        **dict.fromkeys("‘’‛ʹʼ′`´", "'"),
        **dict.fromkeys("‐‑‒–—−", "-"),
        **dict(zip("АВЕЅІЈКМНОРСТУХаеѕіјорсух", "ABESIJKMHOPCTYXaesijopcyx", strict=True)),
        **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEZHIKMNOPTYXo", strict=True)),
    }
)
"""Apostrophes, hyphens, and Cyrillic and Greek letters that look like a Latin one."""
_VIRAMA = 9
"""The combining class of viramas."""
_MOST_GROUPS = 5


def clean_name(name: str) -> str:
    """Return a name in the one spelling in which indexes store it and all commands compare it.

    The name is normalised to NFC, since macOS returns decomposed accents. White space of any kind (also no-break and
    doubled spaces) becomes single spaces, none at the ends. Format characters that show nothing are dropped: zero-width
    spaces, byte order marks, marks of direction, soft hyphens. A zero-width joiner or non-joiner is kept between two
    letters of a script that it shapes, such as Arabic or Devanagari, after a virama, and between symbols. Case, accents
    and punctuation are kept.

    Examples
    --------
    >>> clean_name("\\ufeffAda\\u00a0 Example\\u200b")
    'Ada Example'
    >>> clean_name("نی\\u200cما") == "نی\\u200cما", clean_name("A\\u200cda")
    (True, 'Ada')
    """
    if name.isascii() and "  " not in name and name.isprintable():  # most names
        return name.strip()
    name = unicodedata.normalize("NFC", name)
    shown = [c for place, c in enumerate(name) if not _shows_nothing(name, place)]
    return unicodedata.normalize("NFC", " ".join("".join(shown).split()))


def _shows_nothing(name: str, place: int) -> bool:
    c = name[place]
    if c in (ZWNJ, ZWJ):
        before, after = (name[place - 1] if place else ""), name[place + 1 : place + 2]
        is_virama = bool(before) and unicodedata.combining(before) == _VIRAMA  # such as of chillu letters
        return not (_is_joined(before) and (is_virama or _is_joined(after)))
    if ord(c) in _EMPTY:
        return True
    return unicodedata.category(c) == "Cf" and ord(c) not in _SHOWN


def _is_joined(c: str) -> bool:
    if not c:
        return False
    category = unicodedata.category(c)
    return category == "So" or (category[0] in "LM" and unicodedata.name(c, "").startswith(_JOINED))


def look_of(name: str) -> str:
    """Return what a reader sees of a name: names with equal looks differ by case or by characters that look alike.

    Examples
    --------
    >>> look_of("ADA O’EXAMPLE") == look_of("Ada O'Example"), look_of("Zoe") == look_of("Zoë")
    (True, False)
    """
    plain = clean_name(unicodedata.normalize("NFKC", clean_name(name))).translate(_LOOK).casefold()
    return plain.translate(_LOOK)


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of different names that have the same look, in order of first appearance."""
    groups: dict[str, dict[str, None]] = {}
    for name in names:
        groups.setdefault(look_of(name), {})[name] = None
    return [tuple(group) for group in groups.values() if len(group) > 1]


def alike_note(names: Iterable[str], what: str = "artist") -> str:
    """Return a note that names the names that differ only by case or look; empty if there are none."""
    groups = alike(names)
    if not groups:
        return ""
    listed = "; ".join(" and ".join(map(_quoted, group)) for group in groups[:_MOST_GROUPS])
    if more := len(groups) - _MOST_GROUPS:
        listed += f"; and {more:,} more" if more > 0 else ""
    return (
        f"These {what}s differ only by case or by characters that look alike, and count as several {what}s: {listed}. "
        f"If they are one {what}, write them in the same way."
    )


def _quoted(name: str) -> str:
    foreign = next((c for c in name if ord(c) in _LOOK), "")
    return f'"{name}"' + (f" (with U+{ord(foreign):04X})" if foreign else "")


def as_stored(names: Iterable[str], stored: Sequence[str]) -> list[str]:
    """Return each name as `stored` spells it; a name that is not stored, in its clean spelling."""
    spellings = stored_names(stored)
    return [spellings.get(name) or spellings.get(clean_name(name)) or clean_name(name) for name in names]


def stored_names(names: Sequence[str]) -> dict[str, str]:
    """Return the stored name by each spelling that means it: the name itself, and its clean spelling.

    Indexes written before names were cleaned may store others. The first one takes precedence.

    Examples
    --------
    >>> stored_names(["Ada\\u00a0Example"])["Ada Example"] == "Ada\\u00a0Example"
    True
    """
    spellings = {name: name for name in names}
    for name in names:
        spellings.setdefault(clean_name(name), name)
    return spellings
