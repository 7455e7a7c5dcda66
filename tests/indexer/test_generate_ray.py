"""`imindex generate --on ray`: real processes, killed and stopped; the folder is that of a single machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate import on_ray, worker
from imindex.indexer.generate.generate import ModelSettings, Report, generate
from imindex.indexer.generate.on_ray import RayPipelines, Waits
from imindex.indexer.generate.prompts import Shot, shots
from imindex.indexer.runners.base import Place
from imindex.indexer.runners.cluster import Cluster, connect
from tests.support.commands import run
from tests.support.generating import files, load_once, wrap
from tests.support.pipelines import save_pipeline
from tests.support.ray_cluster import RayCluster, ray_cluster

ASKED = shots(["Ada", "Bo"], placebos=["Cy"], per_artist=7, nameless=2, generic=["A tree"], per_generic=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    folder = save_pipeline(tmp_path_factory.mktemp("model") / "sd")
    return ModelSettings(model=str(folder), steps=2, device="cpu")


@pytest.fixture(scope="module")
def alone(model: ModelSettings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The folder that one process makes."""
    out = tmp_path_factory.mktemp("alone") / "out"
    generate(ASKED, out, model, release="r", batch_size=4)
    return files(out)


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayCluster]:
    with ray_cluster(2) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(nodes: RayCluster) -> Iterator[Cluster]:
    token = Path(nodes.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    with connect(nodes.address, token) as connected:
        yield connected


def made(
    pipelines: RayPipelines, out: Path, model: ModelSettings, asked: list[Shot] = ASKED, **more: Any
) -> Report:
    try:
        return generate(asked, out, model, release="r", batch_size=4, pipelines=pipelines, **more)
    finally:
        pipelines.close()


class Killer:
    """Signals processes of pipelines once pictures come back, as many as are asked for."""

    def __init__(self, pipelines: RayPipelines, number: signal.Signals, times: int):
        self._pipelines, self._number, self.left = pipelines, number, times
        self.pids: list[int] = []

    def __call__(self, done: int, new: int) -> None:
        if new and self.left and new % 4 == 0:
            pids = [one.about.pid for one in self._pipelines._workers.values() if one.about and one.jobs]
            for pid in pids[:1]:
                os.kill(pid, self._number)
                self.pids.append(pid)
                self.left -= 1


@pytest.mark.slow
def test_two_nodes_make_the_folder_of_one_process(
    cluster: Cluster, model: ModelSettings, alone: dict[str, bytes], tmp_path: Path
) -> None:
    pipelines = RayPipelines(cluster, model, Place("ray"))
    out = tmp_path / "out"
    report = made(pipelines, out, model)
    assert report.made == len(ASKED) and files(out) == alone
    extra = shots(
        ["Ada", "Bo", "Dee"], placebos=["Cy"], per_artist=7, nameless=2, generic=["A tree"], per_generic=1
    )
    report = made(RayPipelines(cluster, model, Place("ray", encoders=1)), out, model, extra)
    assert (report.made, report.there) == (7, len(ASKED))
    again = files(out)
    assert {path: again[path] for path in alone if path.endswith(".png")} == {
        path: data for path, data in alone.items() if path.endswith(".png")
    }
    report = made(RayPipelines(cluster, model, Place("ray")), out, model, extra)
    assert report.made == 0 and files(out) == again


@pytest.mark.clusters
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_killed_and_stopped_pipelines_lose_and_double_nothing(
    cluster: Cluster, model: ModelSettings, alone: dict[str, bytes], tmp_path: Path, number: signal.Signals
) -> None:
    notes: list[str] = []
    waits = Waits(look=0.5, silence=6.0)
    pipelines = RayPipelines(cluster, model, Place("ray"), notes.append, waits)
    killer = Killer(pipelines, number, 2)
    report = made(pipelines, tmp_path / "out", model, progress=killer)
    assert report.made == len(ASKED) and files(tmp_path / "out") == alone
    assert len(killer.pids) == 2 and pipelines.lost >= 1
    assert any("was lost" in note for note in notes)
    for pid in killer.pids:  # also those that were stopped have ended
        deadline = time.monotonic() + 20
        while runs(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not runs(pid)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.clusters
def test_a_lost_node_is_replaced_by_one_that_joins(
    nodes: RayCluster, cluster: Cluster, model: ModelSettings, alone: dict[str, bytes], tmp_path: Path
) -> None:
    pipelines = RayPipelines(cluster, model, Place("ray"), waits=Waits(look=0.5))

    def replace(done: int, new: int) -> None:
        if new == 4:
            nodes("remove 1")
            nodes("add")

    report = made(pipelines, tmp_path / "out", model, progress=replace)
    assert report.made == len(ASKED) and files(tmp_path / "out") == alone and pipelines.lost == 1


@pytest.mark.clusters
def test_the_driver_goes_on_where_it_was_interrupted(
    cluster: Cluster, model: ModelSettings, alone: dict[str, bytes], tmp_path: Path
) -> None:
    def stop(done: int, new: int) -> None:
        if new == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(RayPipelines(cluster, model, Place("ray")), tmp_path / "out", model, progress=stop)
    report = made(RayPipelines(cluster, model, Place("ray")), tmp_path / "out", model)
    assert (report.made, report.there) == (len(ASKED) - 9, 9) and files(tmp_path / "out") == alone


@pytest.mark.clusters
def test_a_model_that_is_missing_or_settings_that_fail_end_the_run_with_the_reason(
    cluster: Cluster, model: ModelSettings, tmp_path: Path
) -> None:
    gone = ModelSettings(model=str(tmp_path / "gone"), device="cpu")
    with pytest.raises(ImindexError, match=r"No pipeline is left.*does not exist"):
        made(
            RayPipelines(cluster, gone, Place("ray", encoders=1), waits=Waits(look=0.2)), tmp_path / "a", gone
        )
    RayPipelines(cluster, model, Place("ray", gpus_per_encoder=1))  # the device cpu needs none
    with pytest.raises(ImindexError, match="GPUs, and the cluster has 0"):
        RayPipelines(cluster, ModelSettings(model.model, device="cuda"), Place("ray"))


@pytest.mark.clusters
def test_the_command_on_a_private_cluster(
    model: ModelSettings, alone: dict[str, bytes], tmp_path: Path
) -> None:
    words = ["--model", model.model, "--steps", 2, "--artist", "Ada", "--per-artist", 7, "--batch-size", 4]
    run("generate", *words, "--out", tmp_path / "one", "--release", "r", "--device", "cpu")
    rest = [
        "--out",
        tmp_path / "two",
        "--release",
        "r",
        "--device",
        "cpu",
        "--on",
        "ray",
        "--encoders",
        2,
        "--json",
    ]
    command = [sys.executable, "-m", "imindex", "generate", *map(str, [*words, *rest])]
    said = subprocess.run(
        command, capture_output=True, text=True, check=True
    )  # this process is connected elsewhere
    assert json.loads(said.stdout)["made"] == 7
    assert files(tmp_path / "one") == files(tmp_path / "two")


# Without Ray


class FakeActors:
    """Workers of a plain class in this process: calls return when they are waited for."""

    def __init__(self, cluster: Any, base: type):
        self.base, self.seated = base, cluster
        self.calls: dict[object, tuple[Any, str, tuple[Any, ...]]] = {}
        self.started: list[Any] = []
        self.killed: list[Any] = []

    def seats(self, wanted: int | None, gpus: float) -> list[Any]:
        return list(self.seated.seats)

    def name(self, node: str) -> str:
        return node

    def start(self, seat: Any, *arguments: Any) -> Any:
        handle = self.seated.make(seat, *arguments)
        self.started.append(handle)
        return handle

    def call(self, handle: Any, method: str, *arguments: Any) -> object:
        call = object()
        self.calls[call] = (handle, method, arguments)
        return call

    def wait(self, calls: list[object], seconds: float) -> list[object]:
        return [calls[-1]]  # the newest first, so that batches come back out of order

    def result(self, call: object) -> Any:
        handle, method, arguments = self.calls.pop(call)
        return getattr(handle, method)(*arguments)

    def kill(self, handle: Any) -> None:
        self.killed.append(handle)

    def close(self) -> None:
        pass


class FakeCluster:
    def __init__(self, make: Any, *seats: str):
        from imindex.indexer.runners.dispatch import Seat
        from imindex.indexer.runners.workers import ENCODE

        self.make = make
        self.seats = [Seat(ENCODE, name, 0, 1, 0, 1, shared=False) for name in seats]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    load_once(monkeypatch)
    monkeypatch.setattr(on_ray, "Actors", FakeActors)
    monkeypatch.setattr(on_ray, "gpus_each", lambda cluster, place, device: 0)
    monkeypatch.setattr(on_ray, "end_process", lambda pid, identity: True)


def pipelines(cluster: FakeCluster, model: ModelSettings, notes: list[str], **place: Any) -> RayPipelines:
    return RayPipelines(cluster, model, Place("ray", **place), notes.append, Waits(look=0.0))  # type: ignore[arg-type]


def test_batches_out_of_order_make_the_same_folder(
    fake: None, model: ModelSettings, alone: dict[str, bytes], tmp_path: Path
) -> None:
    cluster = FakeCluster(lambda seat, *arguments: worker.PipelineWorker(*arguments), "a", "b")
    report = made(pipelines(cluster, model, []), tmp_path / "out", model)
    assert report.made == len(ASKED) and report.batch_size == 4 and files(tmp_path / "out") == alone


def test_lost_workers_are_replaced_and_their_batches_made_again(
    fake: None, model: ModelSettings, alone: dict[str, bytes], tmp_path: Path
) -> None:
    made_by: list[str] = []

    class Mortal(worker.PipelineWorker):
        def make(self, asked: Any) -> Any:
            made_by.append(asked[0].path)
            if len(made_by) in (2, 4):
                raise on_ray.WorkerLost("its process ended")
            return super().make(asked)

    notes: list[str] = []
    cluster = FakeCluster(lambda seat, *arguments: Mortal(*arguments), "a", "b")
    pool = pipelines(cluster, model, notes)
    assert made(pool, tmp_path / "out", model).made == len(ASKED) and files(tmp_path / "out") == alone
    assert pool.lost == 2 and "Its pictures are made again" in notes[0] and len(made_by) == 6 + 2


@pytest.mark.parametrize("fault", ["probe", "weights", "versions", "size"])
def test_a_pipeline_that_differs_is_refused(
    fake: None, model: ModelSettings, alone: dict[str, bytes], tmp_path: Path, fault: str
) -> None:
    import dataclasses

    class Other(worker.PipelineWorker):
        def about(self) -> Any:
            found = super().about()
            assert isinstance(found, worker.About)
            if fault == "weights":
                from msgspec.structs import replace

                return dataclasses.replace(found, description=replace(found.description, revision="0" * 64))
            if fault == "versions":
                return dataclasses.replace(found, versions=("imindex 0", *found.versions[1:]))
            return found

        def load(self, *arguments: Any) -> Any:
            found = super().load(*arguments)
            assert isinstance(found, worker.Loaded)
            changes: dict[str, Any] = {"probe": {"probe": "0" * 64}, "size": {"batch_size": 3}}.get(fault, {})
            return dataclasses.replace(found, **changes)

        def make(self, asked: Any) -> Any:
            raise AssertionError("it was given a batch")

    kinds = {"a": worker.PipelineWorker, "b": Other}

    def start(seat: Any, *arguments: Any) -> Any:
        return kinds[seat.node](*arguments)

    notes: list[str] = []
    pool = pipelines(FakeCluster(start, "a", "b"), model, notes)
    pool._seats = []
    FakeActors.wait, kept = (lambda self, calls, seconds: [calls[0]]), FakeActors.wait  # "a" joins first
    try:
        assert made(pool, tmp_path / "out", model).made == len(ASKED) and files(tmp_path / "out") == alone
    finally:
        FakeActors.wait = kept  # type: ignore[method-assign]
    assert len(notes) == 1 and "node b was refused" in notes[0]
    said = {
        "probe": "other bits",
        "weights": "revision",
        "versions": "imindex 0",
        "size": "3 pictures at a time",
    }
    assert said[fault] in notes[0]


def test_no_memory_for_a_batch_is_an_error_because_a_smaller_one_has_other_bits(
    fake: None, model: ModelSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap(monkeypatch, most=3)
    cluster = FakeCluster(lambda seat, *arguments: worker.PipelineWorker(*arguments), "a")
    with pytest.raises(ImindexError, match=r"4 pictures of .* at a time. Ask for batches of 2"):
        made(pipelines(cluster, model, []), tmp_path / "out", model)
