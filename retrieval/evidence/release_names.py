"""Which names of a release are placebo names and further real names, and what else its manifest says."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.testing import Testing, numbers_of, placebo_numbers
from imindex.retrieval.results import NamesFrom, ReleaseNames
from imindex.retrieval.vectors.select import Pictures

_LISTED = 3


def names_of_release(
    index: Index, release: str, imitations: Pictures, testing: Testing
) -> tuple[Testing, ReleaseNames | None]:
    """Take placebo names and further real names from the column `arm`, unless the caller passed them.

    Parameters
    ----------
    index : Index
    release : str
    imitations : Pictures
        Those of the release.
    testing : Testing
        Its placebo names and rivals take precedence over those of the index.

    Returns
    -------
    testing : Testing
        With the names of the index, if it had none.
    names : ReleaseNames or None
        What was taken from where. None if nothing was passed, and the index knows of no arm and no blocked picture.

    Raises
    ------
    ImindexError
        If the pictures of a name have two arms, a placebo name has works, or a pattern fits no name.
    """
    arms = arms_of(index, release, imitations)
    placebos, placebo_source, placebo_notes = _chosen(index, arms, "placebo", testing, imitations)
    rivals, rival_source, rival_notes = _chosen(index, arms, "rival", testing, imitations)
    both = sorted(set(placebos) & set(rivals))
    if both and placebo_source != rival_source:  # what was passed wins
        placebos, rivals = (
            (placebos, [a for a in rivals if a not in both])
            if placebo_source == "passed"
            else ([a for a in placebos if a not in both], rivals)
        )
    if placebo_source == "manifest":
        placebo_numbers(index, _escaped(index, placebos), imitations)  # refuses a name that has works
        testing = replace(testing, placebos=_escaped(index, placebos))
    if rival_source == "manifest":
        testing = replace(testing, rivals=tuple(index.artists[a] for a in rivals))
    controls = _control_rows(index, release)
    control_arms = Counter(index.text_at("arm", controls))
    blocked = _blocked(index, release)
    if not (placebo_source or rival_source or arms or blocked or control_arms.keys() - {""}):
        return testing, None
    return testing, ReleaseNames(
        n_placebos=len(placebos),
        placebo_source=placebo_source,
        n_rivals=len(rivals),
        rival_source=rival_source,
        n_nameless=control_arms["nameless"],
        n_control=control_arms["control"],
        blocked=blocked,
        notes=(*placebo_notes, *rival_notes),
    )


def arms_of(index: Index, release: str, imitations: Pictures) -> dict[int, str]:
    """Return the arm of each name of a release, by its number, as far as the index knows it.

    Raises
    ------
    ImindexError
        If the pictures of a name have two arms.
    """
    arms: dict[int, str] = {}
    texts = index.text_at("arm", imitations.rows)
    for artist, arm in zip(imitations.artist.tolist(), texts, strict=True):
        if arm and arms.setdefault(artist, arm) != arm:
            raise ImindexError(
                f"{index.path}: {index.artists[artist]} has pictures of two arms in {release}, {arms[artist]} and "
                f"{arm}. Correct the column `arm` of the manifest, and build again."
            )
    return arms


def control_collections(index: Index, release: str) -> list[str]:
    """Return the control collections of a release: the one of the same name, or else those of no release."""
    controls = [c.name for c in index.collections if c.kind == "control"]
    releases = {c.name for c in index.collections if c.kind == "imitations"}
    return [release] if release in controls else [name for name in controls if name not in releases]


def _chosen(
    index: Index, arms: dict[int, str], arm: str, testing: Testing, imitations: Pictures
) -> tuple[list[int], NamesFrom, list[str]]:
    """Return the names of an arm, where they are from, and how what was passed contradicts the manifest."""
    of_arm = sorted(artist for artist, its in arms.items() if its == arm)
    if arm == "placebo":
        passed = placebo_numbers(index, testing.placebos, imitations) if testing.placebos else []
        is_passed, what, option = bool(testing.placebos), "placebo names", "placebos (--placebo)"
    else:
        passed, is_passed = numbers_of(index, testing.rivals, imitations), bool(testing.rivals)
        what, option = "further real names", "rivals (--rival)"
    if not is_passed:
        return of_arm, "manifest" if of_arm else "", []
    notes = []
    for other in sorted({arms[a] for a in passed if arms.get(a, arm) != arm}):
        names = _listed(index, [a for a in passed if arms.get(a) == other])
        notes.append(f"{option} takes {names} for {what}, but the manifest says {other}.")
    left = sorted(set(of_arm) - set(passed))
    if left:
        notes.append(f"{option} leaves out {_listed(index, left)}, which the manifest calls {what}.")
    return passed, "passed", notes


def _escaped(index: Index, numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(glob.escape(index.artists[a]) for a in numbers)


def _listed(index: Index, numbers: Sequence[int]) -> str:
    names = [index.artists[a] for a in numbers]
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _control_rows(index: Index, release: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    names = control_collections(index, release)
    numbers = [n for n, c in enumerate(index.collections) if c.kind == "control" and c.name in names]
    return np.flatnonzero(np.isin(index.column("collection"), numbers)).astype(np.int64)


def _blocked(index: Index, release: str) -> dict[str, int]:
    """Count the blocked pictures of a release by the name in the prompt; the empty name for its controls."""
    rejects, controls = index.rejects(), control_collections(index, release)
    numbers = [
        n
        for n, c in enumerate(index.collections)
        if (c.kind == "imitations" and c.name == release) or (c.kind == "control" and c.name in controls)
    ]
    chosen = (rejects["blocked"] != "") & np.isin(rejects["collection"], numbers)
    names = Counter(index.artists[a] if a >= 0 else "" for a in rejects["artist"][chosen].tolist())
    return dict(sorted(names.items()))
