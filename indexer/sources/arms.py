"""What a picture of a release is for, and whether a safety filter replaced it: the columns `arm` and `blocked`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import ARMS

if TYPE_CHECKING:
    from imindex.indexer.sources.item import Item

BLOCKABLE = ("imitations", "control")
"""Kinds of pictures that a release made. A work is never taken for blocked."""
ALL_BLACK = "all black"
"""Why a picture is blocked that no manifest marks: every pixel is black, which is what safety checkers return."""
_SYNONYMS = {"artist": "own", "generic": "control"}
"""The words of `imindex generate`."""
_KIND = {
    "own": "imitations",
    "placebo": "imitations",
    "rival": "imitations",
    "nameless": "control",
    "control": "control",
}
_NOT_BLOCKED = frozenset(
    {
        "", "-", "\u2013", "\u2014", "false", "f", "no", "n", "none", "null", "nil", "nan", "n/a", "na", "ok", "off",
        "not blocked", "falsch", "nein", "faux", "non", "falso", "onwaar", "nee", "falskt", "nej", "\u5047", "\u5426",
    }
)  # fmt: skip
"""Also FALSE as spreadsheets write it in other languages. Zeros count too."""
_ZERO = re.compile(r"0*[.,]?0+")
_MARKED = frozenset(
    {"1", "true", "t", "yes", "y", "x", "wahr", "ja", "vrai", "oui", "vero", "verdadero", "waar", "sant"}
)
_LONGEST = 200


def arm_of(where: str, text: str) -> str:
    """Return the arm that a cell of a manifest names; empty if the cell is.

    Raises
    ------
    ImindexError
        If there is no such arm.
    """
    word = text.strip().casefold()
    arm = _SYNONYMS.get(word, word)
    if arm not in ("", *ARMS):
        raise ImindexError(
            f"{where}: arm {text[:40]!r} is unknown. Write one of {', '.join(ARMS)}, leave the cell empty, or rename "
            "the column."
        )
    return arm


def kind_of_arm(arm: str) -> str:
    """Return the kind of pictures of an arm, imitations or control; empty if there is no arm.

    Examples
    --------
    >>> kind_of_arm("placebo"), kind_of_arm("nameless"), kind_of_arm("")
    ('imitations', 'control', '')
    """
    return _KIND.get(arm, "")


def refuse_other_kind(where: str, kind: str, arm: str) -> None:
    """Refuse an arm that pictures of a kind cannot have. The artist's own works are of the arm own.

    Raises
    ------
    ImindexError
    """
    if arm and kind_of_arm(arm) != kind and not (arm == "own" and kind in ("works", "background")):
        raise ImindexError(
            f"{where}: a picture of kind {kind} cannot be of the arm {arm}, which is for {kind_of_arm(arm)}. Correct "
            "`kind` or `arm`."
        )


def blocked_of(value: Any) -> str:
    """Return why a safety filter replaced a picture, given a cell of the column `blocked`; empty if it did not.

    Examples
    --------
    >>> blocked_of("safety filter"), blocked_of(True), blocked_of("False"), blocked_of(None), blocked_of(float("nan"))
    ('safety filter', 'marked in the manifest', '', '', '')
    """
    if value is None or value != value:  # NaN: an empty cell of a Parquet file
        return ""
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode().strip()
    word = text.casefold().removesuffix(".0").removesuffix(",0")
    if word in _NOT_BLOCKED or _ZERO.fullmatch(word):
        return ""
    return "marked in the manifest" if word in _MARKED else text[:_LONGEST]


def refuse_two_arms(items: Iterable[Item]) -> None:
    """Refuse an artist whose pictures in one collection have two arms, such as own and placebo.

    Raises
    ------
    ImindexError
    """
    arms: dict[tuple[str, str], Item] = {}
    for item in items:
        if not item.arm or not item.artist or item.kind != "imitations":
            continue
        other = arms.setdefault((item.collection, item.artist), item)
        if other.arm != item.arm:
            raise ImindexError(
                f"{item.artist} has pictures of two arms in {item.collection}: {other.path} is {other.arm}, and "
                f"{item.path} is {item.arm}. Correct the column `arm` of the manifest; nothing was encoded."
            )
