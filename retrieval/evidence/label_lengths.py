"""Labels that are too long for an encoder: what is cut off is counted, and a name that is cut off is refused."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.tokens import Tokens, shortened, tokens_of
from imindex.retrieval.results import CutTexts

_REMEDY = (
    "Shorten the template or the label, use an encoder that reads more, or classify by works (--by works)."
)


def label_texts(artists: Sequence[str], labels: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """Return the lists of texts that stand for labels: artists in each template, then any generic labels."""
    named = [[template.replace("{artist}", artist) for artist in artists] for template in templates]
    return [*named, list(labels)] if labels else named


def texts_to_the_name(artists: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """Return each text of an artist up to the end of the name, a list for each template."""
    starts = [template.partition("{artist}")[0] for template in templates]
    return [[start + artist for artist in artists] for start in starts]


def check_label_lengths(
    encoder: object,
    artists: Sequence[str],
    labels: Sequence[str],
    templates: Sequence[str],
    candidates: Collection[int] | None = None,
) -> CutTexts | None:
    """Count the texts that are too long, and refuse those in which an artist's name is not read as a whole.

    Parameters
    ----------
    encoder : TextEncoder
        Whatever `imindex.indexer.encoders.tokens.tokens_of` takes.
    artists, labels, templates : sequence of str
        As in `label_texts`.
    candidates : collection of int, optional
        Numbers of the artists that count; by default all.

    Returns
    -------
    CutTexts or None
        None if no text is cut, or the encoder does not tell.

    Raises
    ------
    ImindexError
        A name is cut off in whole or in part, or two labels become the same tokens because their ends are cut off.
    """
    kept = range(len(artists)) if candidates is None else sorted(candidates)
    found: list[tuple[list[str], Tokens, list[int]]] = []
    for number, texts in enumerate(label_texts(artists, labels, templates)):
        tokens = tokens_of(encoder, texts)
        if tokens is None:
            return None
        found.append((texts, tokens, list(kept) if number < len(templates) else list(range(len(texts)))))
    generic = found[len(templates) :]
    for number, template in enumerate(templates):
        texts, tokens, rows = found[number]
        if any(tokens.needed[row] > tokens.limit for row in rows):
            _require_names(encoder, artists, template, rows, tokens.limit)
        _require_distinct([(texts, tokens, rows), *generic], template)
    if generic and not templates:
        _require_distinct(generic, "")
    cut = [
        (tokens.needed[row], texts[row])
        for texts, tokens, rows in found
        for row in rows
        if tokens.needed[row] > tokens.limit
    ]
    if not cut:
        return None
    needed, example = max(cut)
    return CutTexts(
        n=len(cut),
        of=sum(len(rows) for _, _, rows in found),
        limit=found[0][1].limit,
        longest=needed,
        example=example,
    )


def _require_names(
    encoder: object, artists: Sequence[str], template: str, rows: Sequence[int], limit: int
) -> None:
    """Refuse a name whose last token is not read."""
    to_the_name = tokens_of(encoder, texts_to_the_name(artists, [template])[0])
    for row in rows if to_the_name else ():
        needed = to_the_name.needed[row]  # type: ignore[union-attr]
        if needed > limit:
            raise ImindexError(
                f'In "{shortened(template)}", the name {shortened(artists[row])} ends with token {needed}, and the '
                f"encoder reads {limit} tokens of a text: the name would be cut off and tell nothing. {_REMEDY}"
            )


def _require_distinct(found: Sequence[tuple[Sequence[str], Tokens, Sequence[int]]], template: str) -> None:
    """Refuse two labels of which the same tokens are read, where that is because at least one is cut off."""
    seen: dict[tuple[int, ...], tuple[str, bool]] = {}
    for texts, tokens, rows in found:
        for row in rows:
            text, is_cut = texts[row], tokens.needed[row] > tokens.limit
            other, other_is_cut = seen.setdefault(tokens.read[row], (text, is_cut))
            if other != text and (is_cut or other_is_cut):
                where = f' (template "{shortened(template)}")' if template else ""
                raise ImindexError(
                    f'"{shortened(other)}" and "{shortened(text)}"{where} are the same to the encoder: it reads '
                    f"{tokens.limit} tokens of a text, and these have more ({tokens.needed[row]}). {_REMEDY}"
                )
