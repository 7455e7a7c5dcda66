"""Take the artist of a picture from its path: for flat folders, and folders in another layout."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name

PLACEHOLDER = "{artist}"
_REGEX = "re:"
_TOKENS = re.compile(r"(\.\.\./|\*\*/|\.\.\.|\*\*|\*|\?|\{[^{}/]*\})")
_MEANING = {
    ".../": r"(?:.*/)?",
    "**/": r"(?:.*/)?",
    "...": r".*",
    "**": r".*",
    "*": r"[^/]*",
    "?": r"[^/]",
    PLACEHOLDER: r"(?P<artist>[^/]+)",
}


@dataclass(frozen=True)
class ArtistFrom:
    """A pattern of paths that tells the artist of a picture.

    Attributes
    ----------
    text : str
        As the user wrote it.
    pattern : re.Pattern
        With the group `artist`.
    """

    text: str
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> ArtistFrom:
        """Read a pattern.

        Parameters
        ----------
        text : str
            Either a template, which has to match a whole path in its source: ``{artist}`` stands for the name (as much
            as fits), ``*`` for any text and ``?`` for one character within a folder or file name, ``...`` for any text
            across folders. Or ``re:`` and a regular expression with the group ``(?P<artist>...)``, which is searched
            for in the path.

        Raises
        ------
        ImindexError
            If it does not name the artist once, or is not a regular expression.

        Examples
        --------
        >>> ArtistFrom.parse("{artist}_*.png").artist_of("Ada Example_01.png")
        'Ada Example'
        >>> ArtistFrom.parse(".../{artist}/*").artist_of("1900/Ada Example/01.png")
        'Ada Example'
        >>> ArtistFrom.parse("re:^(?P<artist>[^_]+)_").artist_of("Ada_by_night.png")
        'Ada'
        """
        if text.startswith(_REGEX):
            source = text[len(_REGEX) :]
            remedy = f"Write re:(?P<artist>...), or a template such as {PLACEHOLDER}/..."
        else:
            source = "".join(_MEANING.get(token, re.escape(token)) for token in _TOKENS.split(text))
            unknown = [
                token for token in _TOKENS.findall(text) if token.startswith("{") and token != PLACEHOLDER
            ]
            remedy = (
                f"Write {PLACEHOLDER} where the name is, such as {PLACEHOLDER}/... or {PLACEHOLDER}_*.png"
            )
            if unknown or text.count(PLACEHOLDER) != 1:
                problem = (
                    f"contains {unknown[0]}"
                    if unknown
                    else f"contains {PLACEHOLDER} {text.count(PLACEHOLDER)} times"
                )
                raise ImindexError(f"--artist-from {text!r} {problem}. {remedy}.")
            source = rf"\A{source}\Z"
        try:
            pattern = re.compile(source, re.DOTALL)
        except re.error as error:
            raise ImindexError(
                f"--artist-from {text!r} is no regular expression: {error}. {remedy}."
            ) from error
        if "artist" not in pattern.groupindex:
            raise ImindexError(f"--artist-from {text!r} has no group named artist. {remedy}.")
        return cls(text, pattern)

    def artist_of(self, relative: str) -> str:
        """Return the artist of a path, relative to its source and with forward slashes; empty if it does not match."""
        match = self.pattern.search(relative)
        return clean_name(match["artist"] or "") if match else ""
