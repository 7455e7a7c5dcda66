"""Accuracy with fewer candidates: against all subsets, against drawing, and against accuracy with all labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from imindex.stats.label_count import accuracy_by_label_count


def brute_force(scores: np.ndarray, truth: np.ndarray, n_generic: int, count: int) -> np.ndarray:
    """Share of the draws in which each picture is named correctly."""
    n_artists, out = scores.shape[1] - n_generic, []
    generic = list(range(n_artists, scores.shape[1]))
    for row, own in zip(scores, truth, strict=True):
        others = [a for a in range(n_artists) if a != own and row[a] > -np.inf]
        draws = list(itertools.combinations(others, min(count - 1, len(others))))
        right = [all(row[own] > row[label] for label in (*draw, *generic)) for draw in draws]
        out.append(np.mean(right) if row[own] > -np.inf else 0.0)
    return np.array(out)


def example(n_generic: int, ties: bool, absent: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    truth = random.integers(0, 6, 40)  # artist 6 has no pictures
    scores = random.normal(size=(40, 7 + n_generic))
    scores[np.arange(40), truth] += 1
    if ties:
        scores = scores.round()
    if absent:
        scores[:, 2] = -np.inf
        scores[::3, 4] = -np.inf
    return scores, truth


@pytest.mark.parametrize("n_generic", [0, 2])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("absent", [False, True])
def test_equals_all_subsets(n_generic: int, ties: bool, absent: bool) -> None:
    scores, truth = example(n_generic, ties, absent)
    found = accuracy_by_label_count(scores, truth, n_generic=n_generic)
    assert found.counts.tolist() == list(range(2, 7 if absent else 8))
    for place, count in enumerate(found.counts.tolist()):
        expected = brute_force(scores, truth, n_generic, count)
        assert found.accuracy[place] == pytest.approx(expected.mean(), abs=1e-12)
        by_artist = [expected[truth == a].mean() for a in range(6)]
        assert found.by_artist[:6, place] == pytest.approx(by_artist, abs=1e-12)
        assert found.macro[place] == pytest.approx(np.mean(by_artist), abs=1e-12)
    assert np.isnan(found.by_artist[6]).all()
    assert found.chance == pytest.approx(1 / (found.counts + n_generic))


def test_all_labels_give_the_accuracy() -> None:
    scores, truth = example(3, False, False)
    found = accuracy_by_label_count(scores, truth, n_generic=3, counts=[7])
    assert found.accuracy[0] == pytest.approx(np.mean(scores.argmax(axis=1) == truth), abs=1e-12)
    alone = accuracy_by_label_count(scores, truth, n_generic=3, counts=[1]).accuracy[0]
    assert alone == np.mean(scores[np.arange(40), truth] > scores[:, 7:].max(axis=1))


def test_more_labels_never_help_and_ties_are_wrong() -> None:
    scores, truth = example(1, True, True)
    assert (np.diff(accuracy_by_label_count(scores, truth, n_generic=1).accuracy) <= 1e-12).all()
    assert (accuracy_by_label_count(np.zeros((4, 5)), [0, 1, 2, 3]).accuracy == 0).all()
    assert (accuracy_by_label_count(np.eye(5), np.arange(5)).accuracy == 1).all()


def test_many_labels() -> None:
    random = np.random.default_rng(2)
    scores, truth = random.normal(size=(300, 2000)).astype(np.float32), random.integers(0, 2000, 300)
    scores[np.arange(300), truth] += 3
    found = accuracy_by_label_count(scores, truth)
    assert len(found.counts) == 20 and found.counts[0] == 2 and found.counts[-1] == 2000
    own = scores[np.arange(300), truth]
    above = (scores >= own[:, None]).sum(axis=1) - 1
    for place, count in enumerate(found.counts.tolist()):
        expected = scipy_stats.hypergeom.pmf(0, 1999, above, count - 1).mean()
        assert found.accuracy[place] == pytest.approx(expected, abs=1e-9)
    assert found.accuracy[-1] == pytest.approx(np.mean(scores.argmax(axis=1) == truth), abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.empty((0, 3)), "truth": np.empty(0, int)}, "at least one picture"),
        ({"scores": [[0.5, np.nan]], "truth": [0]}, "NaN"),
        ({"scores": [[0.5]], "truth": [0]}, "2 artists"),
        ({"n_generic": 1}, "2 artists"),
        ({"scores": [[0.5, -np.inf]], "truth": [0]}, "no picture has 2"),
        ({"truth": [2]}, "from 0 to 1"),
        ({"truth": [-1]}, "from 0 to 1"),
        ({"truth": [0.0]}, "integers"),
        ({"truth": [0, 1]}, "shapes"),
        ({"counts": [3]}, "from 1 to 2"),
        ({"counts": [0]}, "from 1 to 2"),
        ({"counts": []}, "from 1 to 2"),
    ],
)
def test_refusals(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accuracy_by_label_count(**({"scores": [[0.5, 0.2]], "truth": [0]} | change))
