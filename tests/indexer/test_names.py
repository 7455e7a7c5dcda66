"""Placebo names: numerous, reproducible by seed, and invented."""

from __future__ import annotations

import itertools
import unicodedata

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.artists_file import names_of
from imindex.indexer.generate.placebo_names import FAMOUS, GIVEN, SURNAMES, placebo_names
from imindex.indexer.generate.prompts import shots


def fold(name: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", name).casefold() if c.isalnum())


def distance(one: str, other: str) -> int:
    """Levenshtein distance, by its definition."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, last = [i], row
        for j, b in enumerate(other, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (a != b)))
    return row[-1]


def test_thousands_of_distinct_names_are_available() -> None:
    names = placebo_names(5000)
    assert len({fold(name) for name in names}) == len(names) == 5000
    assert names == names_of(names) and all(name.isprintable() for name in names)
    assert len({shot.path for shot in shots(names, per_artist=1)}) == 5000
    assert 0.05 < sum(len(name.split()) == 3 for name in names) / 5000 < 0.25
    assert len(set(GIVEN)) >= 200 and len(set(SURNAMES)) >= 400 and len(set(FAMOUS)) >= 300


def test_a_shorter_list_is_a_prefix_of_a_longer_one() -> None:
    avoid = ["Ada Vestergaard"]
    assert placebo_names(700, seed=5, avoid=avoid)[:80] == placebo_names(80, seed=5, avoid=avoid)
    assert len(set(placebo_names(300, seed=1)) & set(placebo_names(300, seed=2))) < 30
    assert placebo_names(0) == []


def test_random_draw_is_pinned() -> None:
    """Plans identify placebo names by seed, so a different list for the same seed would be a different audit."""
    assert placebo_names(3, seed=0, avoid=["Ada Example"]) == placebo_names(3, seed=0)
    assert placebo_names(3) == ["Gaetano Brodsky", "Kofi Podolski", "Lakshmi Benavides"]


def test_no_surname_is_shared_with_a_name_to_avoid() -> None:
    drawn = placebo_names(2000)
    avoid = [*drawn[:60], "ÁDA OKAFÓR", "Rocha", "Bo d'Aquila-Ferreira", "Kovacevics, Ada"]
    names = placebo_names(2000, avoid=avoid)
    parts = {fold(part) for name in avoid for part in name.replace("-", " ").replace(",", " ").split()}
    assert not any(fold(part) in parts for name in names for part in name.split()[1:] if part in SURNAMES)
    surnames = {part for name in names for part in name.split() if part in SURNAMES}
    assert not surnames & {"Okafor", "Rocha", "Ferreira", "Kovacevic"} and len(surnames) > 200
    assert {"Okafor", "Rocha", "Ferreira", "Kovacevic"} <= {part for name in drawn for part in name.split()}


def test_no_name_is_within_two_letters_of_a_name_to_avoid() -> None:
    first = placebo_names(40)
    misspelt = [fold(name)[:3] + "x" + fold(name)[4:-1] for name in first]  # one word: no surname to share
    names = placebo_names(300, avoid=misspelt)
    assert not set(first) & set(names)
    assert min(distance(fold(one), other) for one, other in itertools.product(names, misspelt)) > 2


def test_no_name_has_the_surname_of_a_famous_artist() -> None:
    famous = {fold(name) for name in FAMOUS}
    assert {"picasso", "kahlo", "monet", "basquiat", "okeeffe", "rutkowski"} <= famous
    assert not famous & {fold(name) for name in SURNAMES}


def test_too_many_names_are_refused() -> None:
    with pytest.raises(ImindexError, match=r"Only 0 of 5 placebo names.*--placebo-names"):
        placebo_names(5, avoid=SURNAMES)
    some = placebo_names(100, avoid=SURNAMES[1:])  # one surname left
    assert {part for name in some for part in name.split() if part in SURNAMES} == {SURNAMES[0]}
