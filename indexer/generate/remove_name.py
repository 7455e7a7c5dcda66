"""A template without its name: what the nameless control pictures are asked for."""

from __future__ import annotations

import re

PLACE = "{artist}"
NAMELESS = "Artwork"
"""What is asked where nothing is left of a template, as of `in the style of {artist}`."""
_MANNER = "(?:styles?|manner|spirit|vein|fashion|aesthetic|technique|tradition|likeness|school|hand)"
_TITLE = "(?:artist|painter|illustrator|photographer|designer|sculptor|printmaker|cartoonist)"
_MADE = "(?:made|painted|drawn|created|done|illustrated|designed|photographed|sculpted|inspired|influenced)"
_ABROAD = r"(?:[àa] la(?: mani[èe]re de)?|im stil von|dans le style de|nello stile di|al estilo de|von|par|de|di|por)"
_NAME = r"""["'“‘«]?\{artist\}(?:['’]s\b)?["'”’»]?"""
_NAME_AND_WORDS = re.compile(
    "|".join(
        (
            # {artist}'s style, {artist}-style, in {artist} style
            rf"(?:\bin )?{_NAME}[ -](?:own |art )?{_MANNER}\b(?! of\b)",
            # in the late style of the painter {artist}, drawn by the artist {artist}
            rf"(?:(?:\b(?:in|with|after|following) (?:(?:the|an?) )?(?:[\w-]+ )??)?(?:\bof )?(?:\bthe )?\b{_MANNER} of"
            rf"|(?:\b{_MADE} )?\b(?:by|from|after)|\b(?:of|like)|\b{_ABROAD})"
            rf" (?:the )?(?:(?:famous|great|renowned|well-known) )?(?:{_TITLE} )?{_NAME}",
            _NAME,
        )
    ),
    re.IGNORECASE,
)
_LEFT_OVER = (
    (r"\(\s*\)|\[\s*\]", " "),
    (r"\s+", " "),
    (r" ([,;:.!?)\]])", r"\1"),
    (r"([,;:])(?: ?[,;:])+", r"\1"),
    (r"[,;:]([.!?])", r"\1"),
    (r"(?:[\s,;:]*\b(?:and|or))+\s*$|^[\s,;:]*(?:and|or)\b", ""),
    (r"^[\s,;:.\-–—|/]+|[\s,;:\-–—|/]+$", ""),
)


def without_name(template: str) -> str:
    """Remove the name from a template, and the words that lead up to it.

    `by`, `from`, `in the style of`, `painted by the artist`, `{artist}'s` and the like go with the name; then empty
    brackets, doubled commas and what is left over at either end. Where nothing is left it is `Artwork`.

    Parameters
    ----------
    template : str
        With `{artist}`, on one line.

    Returns
    -------
    str
        Without `{artist}`, and not empty.

    Examples
    --------
    >>> without_name("Artwork from {artist}")
    'Artwork'
    >>> without_name("a painting of a harbour in the style of {artist}, oil on canvas")
    'a painting of a harbour, oil on canvas'
    """
    text = _NAME_AND_WORDS.sub(" ", re.sub(r"\s+", " ", template))
    for pattern, by in _LEFT_OVER:
        text = re.sub(pattern, by, text, flags=re.IGNORECASE)
    return text.strip() or NAMELESS
