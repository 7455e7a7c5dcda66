"""Workers as actors of a Ray cluster of two nodes: the same results, also after an actor and a node were killed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.runners.calls import HereCalls
from imindex.indexer.store.index import Index
from imindex.retrieval import api
from tests.support.divided import divided
from tests.support.invented_index import invented_index
from tests.support.two_nodes import Nodes, two_nodes

pytest.importorskip("ray", reason="needs imindex[ray]")
MODULE = "importlib:import_module"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as cluster:
        yield cluster


@pytest.mark.slow
def test_match_and_query_of_parts_by_actors(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(nodes.token))
    invented_index(tmp_path / "i.h5", 2, ties=True)
    with Index(tmp_path / "i.h5") as index:
        n = index.n
    parts = divided(tmp_path / "i.h5", [n // 2, n // 2, n // 2 + 9])
    testing = api.Testing(placebos=("placebo *",), n_resamples=99, seed=3)
    workers = api.Workers("ray", nodes.address, 2)
    with api.open(tmp_path / "i.h5") as alone, api.open(parts) as joined:
        for how in ({"testing": None, "matrix": False, "csls": True}, {"testing": testing}):
            options: dict[str, Any] = how
            expected, found = alone.match("r1", **options), joined.match("r1", workers=workers, **options)
            left, right = ({**one.to_dict(), "root-digest": ""} for one in (expected, found))
            assert left == right


@pytest.mark.slow
def test_killed_actors_and_nodes_give_their_tasks_to_others(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imindex.indexer.runners.cluster import connect
    from imindex.indexer.runners.ray_calls import RayCalls

    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(nodes.token))
    numbers = [(n,) for n in range(3_000, 3_100)]
    expected = list(HereCalls(MODULE, "math").map("comb", numbers, 6_000))
    with (
        connect(nodes.address) as cluster,
        contextlib.closing(RayCalls(cluster.ray, MODULE, "math", 2)) as calls,
    ):
        found = []
        for place, number in enumerate(calls.map("comb", numbers, 6_000)):
            found.append(number)
            if place == 10:
                cluster.ray.kill(calls.actors[0])
            if place == 40:
                nodes.kill_one()
        assert found == expected
        wrong = pytest.raises(ValueError, match="non-negative")
        with wrong:
            list(calls.map("comb", [(3,)], -1))
    with connect(nodes.address) as cluster:
        dying = RayCalls(cluster.ray, MODULE, "os", 1)
        with pytest.raises(ImindexError, match=r"3 actors of the Ray cluster ended .*--workers"):
            list(dying.map("_exit", [()], 9))
        assert not dying.actors
