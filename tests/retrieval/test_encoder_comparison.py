"""Encoders compared on the works that all indexes have: which works, which differences, and what is recommended."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.protocol.compare import (
    Encoded,
    compare_indexes,
    digests_of_works,
    is_shown,
    works_digest,
)
from imindex.retrieval.results import EncoderComparison, from_json, to_json
from imindex.retrieval.results.schema import schema
from tests.support.works_index import save_works, unit, world

N, EACH = 16, 6
ARTISTS = [f"Artist {i:02}" for i in range(N) for _ in range(EACH)]
FAST = {"n_resamples": 999}


def _encoders(folder: Path, *vectors: np.ndarray, **options: object) -> list[Encoded]:
    encoded = []
    for name, table in zip("abcdef", vectors):  # noqa: B905 - as many as there are
        save_works(folder / f"{name}.h5", table, ARTISTS, **options)  # type: ignore[arg-type]
        encoded.append(Encoded(name, folder / f"{name}.h5"))
    return encoded


def _near(apart: float, seed: int) -> np.ndarray:
    return world(N, EACH, apart=apart, seed=seed)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> EncoderComparison:
    folder = tmp_path_factory.mktemp("compared")
    good = _near(1.2, 1)
    noise = np.random.default_rng(9).normal(size=good.shape)
    also_good = unit(good.astype(np.float64) + 0.02 * noise)
    return compare_indexes(_encoders(folder, _near(0.2, 2), good, also_good), **FAST)  # type: ignore[arg-type]


def test_the_rule_recommends_the_highest_with_those_not_told_apart(compared: EncoderComparison) -> None:
    by_name = {one.name: one for one in compared.encoders}
    assert compared.recommendation.highest in ("b", "c")
    assert {compared.recommendation.highest, *compared.recommendation.not_told_apart} == {"b", "c"}
    assert "best" not in compared.recommendation.sentence and "best" not in compared.recommendation.rule
    assert "not told apart" in compared.recommendation.sentence
    assert by_name["a"].figures.map.high < by_name["b"].figures.map.low  # type: ignore[operator]
    shown = {
        (one.first, one.second): is_shown(one, 0.05) for one in compared.differences if one.figure == "map"
    }
    assert shown == {("a", "b"): True, ("a", "c"): True, ("b", "c"): False}


def test_differences_are_those_of_the_figures_and_adjusted_by_holm(compared: EncoderComparison) -> None:
    by_name = {one.name: one for one in compared.encoders}
    for figure in ("map", "map_at_k", "recall_at_1", "auc", "equal_error_rate", "told"):
        rows = [one for one in compared.differences if one.figure == figure]
        assert [(one.first, one.second) for one in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
        for one in rows:
            first, second = (getattr(by_name[name].figures, figure).value for name in (one.first, one.second))
            assert one.difference == pytest.approx(first - second, abs=1e-9)
            assert (
                one.p is not None
                and one.p_adjusted is not None
                and one.p <= one.p_adjusted <= 3 * one.p + 1e-12
            )


def test_intervals_hold_their_figures(compared: EncoderComparison) -> None:
    for one in compared.encoders:
        for name in one.figures.__struct_fields__:
            figure = getattr(one.figures, name)
            assert figure.low - 1e-9 <= figure.value <= figure.high + 1e-9, (one.name, name)


def test_an_encoder_that_is_added_changes_no_other_figure_or_pair(tmp_path: Path) -> None:
    encoded = _encoders(tmp_path, _near(0.4, 3), _near(0.6, 4), _near(0.5, 5))
    two, three = (compare_indexes(encoded[:n], **FAST) for n in (2, 3))  # type: ignore[arg-type]
    assert two.works == three.works
    assert two.encoders == three.encoders[:2]
    pair = [(one.figure, one.difference, one.low, one.high, one.p) for one in two.differences]
    again = [
        (one.figure, one.difference, one.low, one.high, one.p)
        for one in three.differences
        if (one.first, one.second) == ("a", "b")
    ]
    assert pair == again


def test_works_that_one_encoder_lacks_are_dropped_for_all_and_counted(tmp_path: Path) -> None:
    table = _near(0.8, 6)
    kept = [i for i in range(len(table)) if i not in (0, 7, 8)]
    save_works(tmp_path / "a.h5", table, ARTISTS)
    save_works(tmp_path / "b.h5", table[kept], [ARTISTS[i] for i in kept], numbers=kept)
    found = compare_indexes([Encoded(name, tmp_path / f"{name}.h5") for name in "ab"], **FAST)  # type: ignore[arg-type]
    assert found.works.n_dropped == 3 and found.works.n_in_all == len(table) - 3 == found.works.n_works
    assert [one.n_missing for one in found.encoders] == [0, 3]
    assert [one.n_works for one in found.encoders] == [len(table), len(table) - 3]
    a, b = (one.figures for one in found.encoders)
    assert a == b  # the same vectors on the same works
    for one in found.differences:
        assert one.difference == 0 and one.p == 1 and not is_shown(one, 0.05)


def test_near_duplicates_of_one_encoder_are_left_out_for_all(tmp_path: Path) -> None:
    table, other = _near(0.8, 7), _near(0.8, 8)
    table[1] = table[0]
    other[9] = other[8]
    found = compare_indexes(_encoders(tmp_path, table, other), **FAST)  # type: ignore[arg-type]
    assert found.works.n_near_duplicates == 2 and found.works.n_works == len(table) - 2
    assert [one.n_near_duplicates for one in found.encoders] == [1, 1]


def test_artists_with_one_work_are_left_out_and_named(tmp_path: Path) -> None:
    table = _near(0.8, 9)
    artists = ["Solo Painter", *ARTISTS[1:]]
    save_works(tmp_path / "a.h5", table, artists)
    found = compare_indexes([Encoded("a", tmp_path / "a.h5")], **FAST)  # type: ignore[arg-type]
    assert [one.artist for one in found.left_out] == ["Solo Painter"]
    assert found.works.n_artists == N and found.recommendation.highest == "a"
    assert "nothing to choose" in found.recommendation.sentence


def test_pictures_listed_under_two_artists_are_counted(tmp_path: Path) -> None:
    numbers = list(range(len(ARTISTS)))
    numbers[EACH] = 0  # a work of the second artist is also one of the first
    save_works(tmp_path / "a.h5", _near(0.8, 10), ARTISTS, numbers=numbers)
    found = compare_indexes([Encoded("a", tmp_path / "a.h5")], **FAST)  # type: ignore[arg-type]
    assert found.works.n_listed_under_two == 1 and found.works.n_works == len(ARTISTS)


def test_imitations_are_said_and_not_used(tmp_path: Path) -> None:
    table = _near(0.5, 11)
    (without,) = _encoders(tmp_path, table)
    save_works(tmp_path / "with.h5", table, ARTISTS, n_imitations=9)
    with_imitations = Encoded("a", tmp_path / "with.h5")
    plain, marked = (compare_indexes([one], **FAST) for one in (without, with_imitations))  # type: ignore[arg-type]
    assert not plain.imitations_present and marked.imitations_present
    assert plain.encoders[0].figures == marked.encoders[0].figures
    assert plain.works.works_sha256 == marked.works.works_sha256


def test_groups_make_intervals_wider_where_artists_depend_on_each_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    apart = np.repeat(rng.choice([0.1, 1.5], 4), 4 * EACH)[:, None]  # 4 schools of 4 artists, easy or hard
    centres = np.repeat(rng.normal(size=(N, 16)), EACH, axis=0)
    table = unit(apart * centres + rng.normal(size=centres.shape))
    encoded = _encoders(tmp_path, table)
    schools = {f"Artist {i:02}": f"school {i // 4}" for i in range(N)}
    alone, grouped = (
        compare_indexes(encoded, groups=groups, **FAST)  # type: ignore[arg-type]
        for groups in (None, schools)
    )
    assert alone.unit == "artists" and grouped.unit == "groups"
    first, second = alone.encoders[0].figures.map, grouped.encoders[0].figures.map
    assert first.value == second.value
    assert second.high - second.low > 1.2 * (first.high - first.low)  # type: ignore[operator]
    assert grouped.artists[5].group == "school 1"


def test_digests_name_the_works_of_each_artist(tmp_path: Path) -> None:
    table = _near(0.5, 13)
    first, second = tmp_path / "1.h5", tmp_path / "2.h5"
    save_works(first, table, ARTISTS)
    numbers = list(range(len(ARTISTS)))
    numbers[0] = 999
    save_works(second, table, ARTISTS, numbers=numbers)
    found = compare_indexes([Encoded("a", first)], **FAST)  # type: ignore[arg-type]
    with Index(first) as one, Index(second) as other:
        digests, changed = digests_of_works(one), digests_of_works(other)
    assert digests == {one.artist: one.works_sha256 for one in found.artists}
    assert found.works.works_sha256 == works_digest(digests)
    assert {name for name in digests if digests[name] != changed[name]} == {"Artist 00"}


def test_the_result_is_read_back_and_has_a_schema(compared: EncoderComparison) -> None:
    assert from_json(EncoderComparison, to_json(compared)) == compared
    validator = pytest.importorskip("jsonschema").Draft202012Validator(schema(EncoderComparison))
    validator.validate(json.loads(to_json(compared)))
    assert len(compared.records()) == 3
    assert compared.records()[0]["map_low"] == compared.encoders[0].figures.map.low


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    table = _near(0.5, 14)
    save_works(tmp_path / "a.h5", table, ARTISTS)
    save_works(tmp_path / "b.h5", table, ARTISTS, numbers=range(1000, 1000 + len(ARTISTS)))
    save_works(tmp_path / "c.h5", table[: 3 * EACH], ARTISTS[: 3 * EACH])
    one, two, three = (Encoded(name, tmp_path / f"{name}.h5") for name in "abc")
    for encoded, message in (
        ([], "no encoder to compare"),
        ([one, one], "listed twice"),
        ([one, two], "no works in common"),
        ([three], "needs 4"),
    ):
        with pytest.raises(ImindexError, match=message):
            compare_indexes(encoded, **FAST)  # type: ignore[arg-type]
