"""All that one walk over the works and imitations of an invented index is asked for, and the results from it."""

from __future__ import annotations

from typing import Any

from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.gallery import gallery
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.near_copies import copies
from imindex.retrieval.evidence.release_walk import Observed, Wanted
from imindex.retrieval.evidence.testing import Testing

TESTING = Testing(placebos=("placebo *",), n_resamples=99, adjust="bh", seed=3)


def everything(index: Index, release: str, artists: list[str]) -> Wanted:
    numbers = [index.artists.index(name) for name in artists]
    placebos = [number for number, name in enumerate(index.artists) if name.startswith("placebo ")]
    return Wanted(release, TESTING, classified=numbers, references=placebos, nearest=15, neighbours=True)


def results(
    index: Index, release: str, artists: list[str], observed: Observed | None, testing: Testing = TESTING
) -> list[Any]:
    who: dict[str, Any] = {"artists": artists, "testing": testing}
    return [
        classify_release(index, release, **who, by="works", observed=observed),
        match_release(index, release, testing=testing, observed=observed),
        gallery(index, release, artists, observed=observed),
        copies(index, release, observed=observed),
    ]
