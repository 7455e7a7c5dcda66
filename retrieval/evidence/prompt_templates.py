"""The template of each picture: its prompt with the artist's name left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from imindex.indexer.generate.name_likeness import folded_words
from imindex.indexer.store.index import Index
from imindex.retrieval.vectors.blocks import Int64
from imindex.retrieval.vectors.select import Pictures

UNKNOWN = -1
_PLACE = "\0"


def template_labels(index: Index, chosen: Pictures) -> Int64:
    """Return a number for the template of each picture; -1 where it is not known.

    Parameters
    ----------
    index : Index
    chosen : Pictures
        Imitations.

    Returns
    -------
    ndarray, shape (M,), int64

    Notes
    -----
    The name is looked for in any case, with or without accents, and with any characters between its words. A prompt
    that does not contain the name counts as a template if pictures of several names have it; otherwise nobody can tell
    what of it is the template, and it is unknown, as is the template of a picture without a prompt.
    """
    prompts = index.column("prompt")
    texts = [prompts[row] for row in chosen.rows.tolist()]
    names = chosen.artist.tolist()
    templates: list[str | None] = []
    without: dict[str, set[int]] = {}
    known: dict[tuple[str, int], str | None] = {}
    for text, artist in zip(texts, names, strict=True):
        key = (text, artist)
        if key not in known:
            known[key] = template_of(text, index.artists[artist])
        templates.append(known[key])
        if text and known[key] is None:
            without.setdefault(text, set()).add(artist)
    labels: dict[str, int] = {}
    out = np.full(len(texts), UNKNOWN, np.int64)
    for place, (text, template) in enumerate(zip(texts, templates, strict=True)):
        used = template if template is not None else text if len(without.get(text, ())) > 1 else None
        if used is not None:
            out[place] = labels.setdefault(used, len(labels))
    return out


def template_of(prompt: str, name: str) -> str | None:
    """Return a prompt with the name replaced by a placeholder, folded; None if the name is not in it.

    Examples
    --------
    >>> template_of("Artwork from ADA  EXAMPLE", "Ada Example") == template_of("artwork from bo-sample", "Bo Sample")
    True
    >>> template_of("Artwork", "Ada Example") is None
    True
    """
    words, wanted = folded_words(prompt), folded_words(name)
    if not wanted:
        return None
    out, start, found = [], 0, False
    while start < len(words):
        if words[start : start + len(wanted)] == wanted:
            out.append(_PLACE)
            start += len(wanted)
            found = True
        else:
            out.append(words[start])
            start += 1
    return " ".join(out) if found else None


def without_prompt(index: Index, chosen: Pictures) -> int:
    """Return the number of pictures without a recorded prompt."""
    prompts = index.column("prompt")
    return sum(not prompts[row] for row in chosen.rows.tolist())


def prompt_notes(n_without: int, n: int) -> Iterator[str]:
    """Say what follows from pictures without a recorded prompt."""
    if n_without:
        which = "No imitation has" if n_without == n else f"{n_without:,} of {n:,} imitations have no"
        yield (
            f"{which} {'a ' if n_without == n else ''}recorded prompt. Whether they were made with the same templates "
            "as the others cannot be checked: only the maker of the pictures can say so."
        )
