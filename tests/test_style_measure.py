"""The measures and the loss behind `scripts/train_demo_style`, and the roles of its designers."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.support.places import ROOT


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from training import others, style_measure

    for name in ("training", "training.others", "training.style_measure"):
        monkeypatch.delitem(sys.modules, name)
    return SimpleNamespace(others=others, measure=style_measure)


def works(n_artists: int, each: int, together: float, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """Return unit vectors that lie near the mean of their artist."""
    rng = np.random.default_rng(seed)
    makers = np.repeat(np.arange(n_artists), each)
    vectors = rng.normal(size=(n_artists, 16))[makers] * together + rng.normal(size=(len(makers), 16))
    order = rng.permutation(len(makers))
    return functional.normalize(torch.from_numpy(vectors[order]), dim=1), makers[order]


def test_loss_equals_the_formula_of_the_paper(training: SimpleNamespace) -> None:
    vectors, makers = works(4, 3, 0.5, 1)
    tau = 0.3
    expected = []
    for i in range(len(makers)):
        others = [a for a in range(len(makers)) if a != i]
        total = sum(np.exp(float(vectors[i] @ vectors[a]) / tau) for a in others)
        positives = [p for p in others if makers[p] == makers[i]]
        expected.append(
            -np.mean([np.log(np.exp(float(vectors[i] @ vectors[p]) / tau) / total) for p in positives])
        )
    loss = training.measure.contrastive(vectors, torch.from_numpy(makers), tau)
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-10)


def test_loss_has_finite_gradients(training: SimpleNamespace) -> None:
    vectors, makers = works(3, 4, 1.0, 2)
    leaf = vectors.clone().requires_grad_()
    training.measure.contrastive(leaf, torch.from_numpy(makers), 0.1).backward()
    assert leaf.grad is not None
    assert bool(torch.isfinite(leaf.grad).all())
    assert float(leaf.grad.norm()) > 0


def test_measures_equal_brute_force(training: SimpleNamespace) -> None:
    vectors, makers = works(5, 6, 0.6, 3)
    precision, auc = training.measure.told(vectors, makers)
    cosines = (vectors @ vectors.T).numpy()
    for artist in range(5):
        own_precision, own_auc = [], []
        for query in np.flatnonzero(makers == artist):
            rest = [i for i in range(len(makers)) if i != query]
            near = [cosines[query, i] for i in rest if makers[i] == artist]
            far = [cosines[query, i] for i in rest if makers[i] != artist]
            own_auc.append(np.mean([a > b for a in near for b in far]))
            at = [
                sum(b >= a for b in near) / (sum(b >= a for b in near) + sum(b >= a for b in far))
                for a in near
            ]
            own_precision.append(np.mean(at))
        assert precision[artist] == pytest.approx(np.mean(own_precision))
        assert auc[artist] == pytest.approx(np.mean(own_auc))


def test_measures_of_perfect_and_of_random_vectors(training: SimpleNamespace) -> None:
    makers = np.repeat(np.arange(8), 5)
    precision, auc = training.measure.told(torch.eye(8, dtype=torch.float64)[makers], makers)
    assert precision == pytest.approx(1.0)
    assert auc == pytest.approx(1.0)
    vectors, makers = works(40, 6, 0.0, 4)
    precision, auc = training.measure.told(vectors, makers)
    assert auc.mean() == pytest.approx(0.5, abs=0.03)
    assert precision.mean() < 0.06  # chance is 5 / 239


def test_interval_covers_the_mean(training: SimpleNamespace) -> None:
    rng = np.random.default_rng(5)
    within = 0
    for _ in range(40):
        low, high = training.measure.interval(rng.normal(1.0, 0.5, 60))
        within += low <= 1.0 <= high
    assert within >= 34  # 38 expected; 33 or fewer has probability 0.003


class TestRoles:
    def test_sets_are_apart(self, training: SimpleNamespace) -> None:
        others = training.others
        assert len(others.UNSEEN_SETS) > 60
        assert len(others.TRAINING_SETS) > 30
        assert not others.UNSEEN_SETS & others.TRAINING_SETS

    def test_roles_do_not_depend_on_the_order(self, training: SimpleNamespace) -> None:
        others = training.others
        names = {f"designer {number}": number % 5 == 0 for number in range(100)}
        roles = others.roles(names)
        assert roles == others.roles(dict(reversed(list(names.items()))))
        assert roles.keys() == names.keys()
        counts = {role: list(roles.values()).count(role) for role in set(roles.values())}
        assert counts["evaluation"] == others.N_EVALUATION
        assert counts["validation"] == others.N_VALIDATION
        persons = [roles[name] for name, person in names.items() if person]
        assert "spare" not in persons  # persons are evaluated before studios

    def test_few_designers(self, training: SimpleNamespace) -> None:
        roles = training.others.roles({"A. Invented": True, "B. Invented": True})
        assert set(roles.values()) == {"validation"}
