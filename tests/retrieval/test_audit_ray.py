"""`imindex audit --on ray`: on a cluster of two nodes, the report is that of one process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("ray")

from imindex.indexer.core.errors import ImindexError, Interrupted
from imindex.indexer.runners import actors
from imindex.indexer.runners.base import Place
from imindex.retrieval.audit.audit import Outcome, audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Show, Workspace
from tests.support.commands import run
from tests.support.ray_cluster import RayCluster, ray_cluster


class Noted(Show):
    """Keeps the notes; may raise Ctrl-C after the first picture of a stage."""

    def __init__(self, breaks: str = ""):
        self.notes: list[str] = []
        self.stages: list[str] = []
        self._breaks = breaks

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int, int], None]]:
        self.stages.append(name)

        def progress(done: int, new: int) -> None:
            if self._breaks and name.startswith(self._breaks) and new:
                raise KeyboardInterrupt

        yield progress

    def note(self, text: str) -> None:
        self.notes.append(text)


def on_ray(root: Path, nodes: RayCluster, show: Show) -> Outcome:
    compute = Compute("cpu", place=Place("ray", address=nodes.address))
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_USAGE_STATS_ENABLED")
    with mock.patch.dict("os.environ", {name: nodes.environment[name] for name in names}):
        return audit(Run(read_plan(root / "plan.toml"), Workspace(root / "audit"), compute, show=show))


def said(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "audit/report.json").read_text())
    del report["provenance"], report["plan"]["registered"]  # when, and how long
    return report


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_report_of_two_nodes_is_that_of_one_process(
    finished: tuple[Path, Outcome], world: Path, tmp_path: Path
) -> None:
    """Also after Ctrl-C while pictures are encoded."""
    root = tmp_path / "world"
    root.mkdir()
    shutil.copytree(world / "works", root / "works")
    (root / "models").symlink_to(world / "models")
    shutil.copy(world / "plan.toml", root)
    with ray_cluster(2) as nodes:
        with pytest.raises((KeyboardInterrupt, Interrupted)):
            on_ray(root, nodes, Noted("encode"))
        show = Noted()
        with mock.patch("imindex.retrieval.audit.on_cluster.observe") as observe:
            observe.side_effect = lambda *a, calls=None, **how: _observed(calls, *a, **how)
            outcome = on_ray(root, nodes, show)
        assert observe.call_count >= 1 and all(call.kwargs["calls"] for call in observe.call_args_list)
    alone = finished[1]
    assert said(root) == said(finished[0])
    assert outcome.report.digest == alone.report.digest
    assert [e.root_digest for e in outcome.report.encoders] == [e.root_digest for e in alone.report.encoders]
    assert "connect to the cluster" in show.stages and not [note for note in show.notes if "refused" in note]


def _observed(calls: Any, *arguments: Any, **how: Any) -> Any:
    from imindex.retrieval.evidence.release_walk import observe

    assert calls is not None and calls.n_workers == 2
    return observe(*arguments, calls=calls, **how)


def test_a_cluster_that_does_not_see_the_index_leaves_matching_to_this_process() -> None:
    class Remote:
        def __init__(self, call: Any, hidden: bool):
            self._call, self._hidden = call, hidden

        def options(self, **how: Any) -> Remote:
            return self

        def remote(self, path: str) -> Any:
            return self._call("/nowhere" if self._hidden else path)

    class Ray:
        def __init__(self, hidden: bool):
            self._hidden = hidden

        def remote(self, **how: Any) -> Any:
            return lambda call: Remote(call, self._hidden)

        def get(self, calls: Any, timeout: float) -> Any:
            return calls

    class Cluster:
        def __init__(self, hidden: bool):
            self.ray = Ray(hidden)

        def nodes(self) -> list[Any]:
            return [{"NodeID": "a" * 56, "Resources": {"CPU": 1}}, {"NodeID": "b" * 56, "Resources": {}}]

    assert actors.all_see(Cluster(False), Path(__file__))  # type: ignore[arg-type]
    assert not actors.all_see(Cluster(True), Path(__file__))  # type: ignore[arg-type]


def test_options_need_ray_and_the_plan_says_nothing_of_them(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text("")
    assert "--encoders needs --on ray" in run("audit", tmp_path / "plan.toml", "--encoders", 2, code=2).stderr
    with pytest.raises(ImindexError, match="HOST:PORT"):
        from imindex.indexer.runners.cluster import connect

        with connect("not an address"):
            pass
