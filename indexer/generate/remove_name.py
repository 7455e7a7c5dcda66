"""Remove the name from a template, for the prompts of the nameless control pictures."""

from __future__ import annotations

import re

PLACEHOLDER = "{artist}"
NAMELESS = "Artwork"
"""The prompt if nothing else is left of a template, such as `in the style of {artist}`."""
_MANNER = "(?:styles?|manner|spirit|vein|fashion|aesthetic|technique|tradition|likeness|school|hand)"
_TITLE = "(?:artist|painter|illustrator|photographer|designer|sculptor|printmaker|cartoonist)"
_MADE = "(?:made|painted|drawn|created|done|illustrated|designed|photographed|sculpted|inspired|influenced)"
_FOREIGN = r"(?:[àa] la(?: mani[èe]re de)?|im stil von|dans le style de|nello stile di|al estilo de|von|par|de|di|por)"
_NAME = r"""["'“‘«]?\{artist\}(?:['’]s\b)?["'”’»]?"""
_NAME_AND_WORDS = re.compile(
    "|".join(
        (
            # {artist}'s style, {artist}-style, in {artist} style
            rf"(?:\bin )?{_NAME}[ -](?:own |art )?{_MANNER}\b(?! of\b)",
            # in the late style of the painter {artist}, drawn by the artist {artist}
            rf"(?:(?:\b(?:in|with|after|following) (?:(?:the|an?) )?(?:[\w-]+ )??)?(?:\bof )?(?:\bthe )?\b{_MANNER} of"
            rf"|(?:\b{_MADE} )?\b(?:by|from|after)|\b(?:of|like)|\b{_FOREIGN})"
            rf" (?:the )?(?:(?:famous|great|renowned|well-known) )?(?:{_TITLE} )?{_NAME}",
            _NAME,
        )
    ),
    re.IGNORECASE,
)
_LEFTOVERS = (
    (r"\(\s*\)|\[\s*\]", " "),
    (r"\s+", " "),
    (r" ([,;:.!?)\]])", r"\1"),
    (r"([,;:])(?: ?[,;:])+", r"\1"),
    (r"[,;:]([.!?])", r"\1"),
    (r"(?:[\s,;:]*\b(?:and|or))+\s*$|^[\s,;:]*(?:and|or)\b", ""),
    (r"^[\s,;:.\-–—|/]+|[\s,;:\-–—|/]+$", ""),
)


def without_name(template: str) -> str:
    """Remove the name from a template, together with the words that introduce it.

    Words such as `by`, `from`, `in the style of`, `painted by the artist` and `{artist}'s` are removed with the name,
    then empty brackets, doubled commas, and leftover punctuation at either end. If nothing is left, the result is
    `Artwork`.

    Parameters
    ----------
    template : str
        A single line with `{artist}`.

    Returns
    -------
    str
        A non-empty text without `{artist}`.

    Examples
    --------
    >>> without_name("Artwork from {artist}")
    'Artwork'
    >>> without_name("a painting of a harbour in the style of {artist}, oil on canvas")
    'a painting of a harbour, oil on canvas'
    """
    text = _NAME_AND_WORDS.sub(" ", re.sub(r"\s+", " ", template))
    for pattern, replacement in _LEFTOVERS:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text.strip() or NAMELESS
