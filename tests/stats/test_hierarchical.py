"""The two-step rule: against the definition, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from imindex.stats.hierarchical import adaptive_bh, two_steps
from imindex.stats.multiple import adjust


def test_adaptive_bh_is_benjamini_hochberg_times_the_estimated_share_of_nulls() -> None:
    p = np.array([0.001, 0.02, 0.04, 0.3, 0.8, np.nan])
    share = min(1, (1 + 2) / (5 * 0.95))
    expected = np.maximum(adjust(p, method="bh") * share, p)
    assert np.allclose(adaptive_bh(p), expected, equal_nan=True)
    assert np.isnan(adaptive_bh([np.nan, np.nan])).all() and adaptive_bh([]).size == 0
    assert adaptive_bh([0.04])[0] == 0.04  # one test needs no correction


def test_few_rivals_suffice_for_many_artists() -> None:
    # 24 artists, 23 rivals: no p below 1/24. Benjamini-Hochberg over both tests together needs 20 at that floor.
    floor = np.full(24, 1 / 24)
    p_name = np.where(np.arange(24) < 11, 0.001, 0.6)
    p_rival = np.where(np.arange(24) < 11, floor, 0.5)
    p_nearest = np.where(np.arange(24) < 14, 0.001, 0.2)  # for 3 others, a rival's set is as near
    result = two_steps(p_name, p_rival, floor, p_nearest=p_nearest)
    assert result.name_called.sum() == 11 and result.rival_called.sum() == 11 and result.testable.all()
    assert result.at_risk.sum() == 14
    # (1 + 3) / 0.95 artists of 14 are estimated not to be imitated; the eleven p-values tie.
    assert result.rival_adjusted[0] == pytest.approx(max(1 / 24, (14 / 11 / 24) * (4 / 0.95) / 14))
    assert np.array_equal(result.least, result.rival_adjusted, equal_nan=True)  # they are at the floor
    # If other artists' sets are as near for everybody, 11 of 24 are too few to rule out chance.
    crowded = two_steps(p_name, p_rival, floor)
    assert crowded.at_risk.all() and not crowded.rival_called.any() and not crowded.testable[:11].any()
    assert not (adjust(np.maximum(p_name, p_rival), method="bh") <= 0.05).any()


def test_what_cannot_pass_is_not_testable() -> None:
    p = np.array([0.001, 0.001, 0.5])
    resolution = np.array([1 / 15, 1 / 24, np.nan])
    result = two_steps(p, [1 / 15, 1 / 24, np.nan], resolution)
    assert result.testable.tolist() == [False, False, False] and not result.rival_called.any()
    assert two_steps(p, [1 / 24, 1 / 24, np.nan], [1 / 24, 1 / 24, np.nan]).rival_called[:2].all()
    assert two_steps(p[:1], [1 / 24], [1 / 24]).testable.all()
    assert not two_steps(p[:1], [1 / 15], [1 / 15]).testable.any()
    assert np.array_equal(result.resolution, resolution, equal_nan=True)
    assert two_steps(p, [1 / 15, 1 / 24, np.nan], resolution, method="holm").testable.tolist() == [False] * 3
    with pytest.raises(ValueError, match="one length"):
        two_steps([0.1], [0.1, 0.2], [0.1])


@pytest.mark.parametrize("method", ["bh", "by", "holm"])
def test_false_calls_stay_below_the_level(method: str) -> None:
    """Names matter for everybody, for half of them in a way that is not specific: a true null of the second step."""
    rng = np.random.default_rng(1)
    rivals, shares, per_artist = 39, [], []
    for _ in range(600):
        specific = np.arange(30) < 15
        scores = rng.normal(size=(30, rivals + 1))
        scores[specific, 0] += 4
        p_rival = (1 + (scores[:, 1:] >= scores[:, :1]).sum(axis=1)) / (rivals + 1)
        result = two_steps(np.full(30, 0.001), p_rival, np.full(30, 1 / (rivals + 1)), method=method)  # type: ignore[arg-type]
        false = result.rival_called & ~specific
        shares.append(false.sum() / max(1, result.rival_called.sum()))
        per_artist.append(false[~specific].mean())
    assert np.mean(shares) <= 0.05 + 3 * np.std(shares) / np.sqrt(600)
    assert np.mean(per_artist) <= 0.05


def test_the_estimate_may_rest_on_other_p_values_of_the_same_hypotheses() -> None:
    p, basis = np.array([0.001, 1.0, 1.0, np.nan]), np.array([0.001, 0.01, 0.9, 0.9])
    share = (1 + 1) / (3 * 0.95)
    assert adaptive_bh(p, estimate_from=basis)[0] == pytest.approx(0.003 * share)


def test_order_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    p_name, p_rival, p_nearest = rng.beta(0.3, 1, (3, 30))
    p_nearest = np.minimum(p_nearest, p_name)
    order = rng.permutation(30)
    one = two_steps(p_name, p_rival, np.full(30, 0.01), p_nearest=p_nearest)
    two = two_steps(p_name[order], p_rival[order], np.full(30, 0.01), p_nearest=p_nearest[order])
    for key in ("name_called", "rival_called", "at_risk", "least", "rival_adjusted"):
        assert np.allclose(getattr(one, key)[order], getattr(two, key), equal_nan=True)
    assert not (one.rival_called & ~one.name_called).any()


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_false_calls_stay_below_the_level_after_selection(shift: float) -> None:
    """The two p-values of an artist depend on each other: they compare the same own set with other sets.

    Every real name moves its pictures towards works by `shift`; a third of the artists are imitated beyond that.
    """
    rng = np.random.default_rng(2)
    n, shares, each = 24, [], []
    specific = np.arange(n) < 8
    for _ in range(500):
        table = rng.normal(size=(n, n + 99))  # artists x sets
        table[:, :n] += shift
        table[specific, specific.nonzero()[0]] += 4
        own = np.diag(table)[:, None]
        p_name = (1 + (table[:, n:] >= own).sum(axis=1)) / 100
        p_rival = (table[:, :n] >= own).sum(axis=1) / n
        nearest = table[:, :n].max(axis=1, keepdims=True)
        p_nearest = (1 + (table[:, n:] >= nearest).sum(axis=1)) / 100
        result = two_steps(p_name, p_rival, np.full(n, 1 / n), p_nearest=p_nearest)
        calls = result.name_called & result.rival_called
        shares.append((calls & ~specific).sum() / max(1, calls.sum()))
        each.append(calls[~specific].mean())
    assert np.mean(shares) <= 0.05 + 3 * np.std(shares) / np.sqrt(500)
    assert np.mean(each) <= 0.05
