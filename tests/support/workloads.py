"""Workloads for killed commands: starting folders, and the expected state after a kill and at the end."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imindex.indexer.system.atomic import SUFFIX
from tests.support.crashing import Ended, Server

COMMANDS = ("build", "add", "remove", "optimise", "generate", "audit")


@dataclass
class Workload:
    """A command, its starting folder, and its result when it is not killed."""

    name: str
    start: Path
    words: list[str]
    seconds: float = 0.0
    steps: int = 0
    before: str = ""
    after: str = ""
    faults: list[str] = field(default_factory=list)


def prepare(folder: Path, server: Server, names: Iterable[str] = COMMANDS) -> list[Workload]:
    """Create the starting folders, and run each command once without a kill."""
    from tests.support.models import save_model

    folder.mkdir(parents=True, exist_ok=True)
    encoder = f"local-dir:{save_model(folder / 'encoder')}"
    _draw(folder / "art", {"works/ada": 6, "works/bo": 5, "imitations/r1/ada": 4, "control": 3})
    (folder / "art/works/bo/broken.png").write_bytes(b"no picture")
    built = ["--model", encoder, "--device", "cpu", "--batch-size", "4", "-i", "i.h5"]
    made = {
        "build": (lambda start: None, ["build", "../art", *built]),
        "add": (lambda start: _finish(server, start, ["build", "../art/control", *built]), ["build", "../art", *built]),
        "remove": (
            lambda start: _with_parts(server, start, built),
            ["remove", "--artist", "bo", "-i", "i.h5", "--yes"],
        ),
        "optimise": (
            _clustered,
            ["optimize", "--kind", "ivf", "--recall", "0.5", "--memory", "100M", "-i", "i.h5"],
        ),
        "generate": (
            lambda start: _pipeline(folder),
            ["generate", "--model", "../models/one", "--out", "out", "--artist", "Ada", "--artist", "Bo",
             "--per-artist", "2", "--steps", "2", "--size", "32x32", "--batch-size", "2", "--device", "cpu"],
        ),
        "audit": (
            lambda start: _plan(folder, start, encoder),
            ["audit", "plan.toml", "--out", "audit", "--device", "cpu"],
        ),
    }  # fmt: skip
    workloads = []
    for name in names:
        arrange, words = made[name]
        workload = Workload(name, folder / f"{name}-start", [*words])
        workload.start.mkdir()
        arrange(workload.start)
        workload.before = identity(name, workload.start)
        place = _laid(workload)
        ended = server.run(place, workload.words)
        assert ended.code == 0, ended.said
        workload.seconds, workload.steps = ended.seconds, ended.steps
        workload.after = identity(name, place)
        assert workload.after != workload.before
        workloads.append(workload)
    return workloads


def kill_once(server: Server, workload: Workload, **when: Any) -> Ended:
    """Kill a run at a step or after a time, check what is left, run it again; faults go to `workload.faults`."""
    return kill_in_a_row(server, workload, [when])[0]


def kill_in_a_row(server: Server, workload: Workload, moments: Sequence[Mapping[str, Any]]) -> list[Ended]:
    """Kill a run, and each one that resumes it, then let one end; check what is left after each.

    Parameters
    ----------
    server : Server
    workload : Workload
        Its result at the end is compared with that of a run that was not killed; faults go to its `faults`.
    moments : sequence of mappings
        For each run, `step` or `seconds`; see `Server.run`. The rest is left out after a run that ended before.
    """
    place, when = _laid(workload), list(map(dict, moments))
    all_ended: list[Ended] = []
    said: list[str] = []
    for moment in moments:
        all_ended.append(ended := server.run(place, workload.words, **moment))
        committed = frozenset().union(*(one.committed for one in all_ended))
        said += [
            f"{workload.name} {when}: {fault}"
            for fault in _wrong_after_kill(workload, place, ended, committed)
        ]
        if ended.code != -signal.SIGKILL:
            break
    now = identity(workload.name, place)
    again = server.run(place, workload.words)
    removed = workload.name == "remove" and now == workload.after and "no artist bo" in again.said
    if again.code != 0 and not removed:
        said.append(f"{workload.name} {when}: the same command ended with {again.code}: {again.said[-500:]}")
    elif (came := identity(workload.name, place)) != workload.after:
        said.append(f"{workload.name} {when}: came to {came}, not to {workload.after}")
    said += [
        f"{workload.name} {when}: left {path.name}"
        for pattern in (f".*{SUFFIX}", "*.parts")
        for path in place.rglob(pattern)
        if not (workload.name == "remove" and pattern == "*.parts")  # parts of pictures that stay, wait
    ]
    workload.faults += said
    return all_ended


def _wrong_after_kill(
    workload: Workload, place: Path, ended: Ended, committed: frozenset[str]
) -> Iterable[str]:
    if ended.code not in (0, -signal.SIGKILL):
        yield f"ended with {ended.code}: {ended.said[-500:]}"
    one_file = workload.name not in ("audit", "generate")
    if one_file and identity(workload.name, place) not in (workload.before, workload.after):
        yield "the index is neither the old nor the new one"
    for index in place.rglob("*.h5"):
        yield from _wrong_rows(index)
    there = _kept(place)
    if lost := committed - there:
        yield f"{len(lost)} committed pictures are lost"


def _wrong_rows(path: Path) -> Iterable[str]:
    from imindex.indexer.core.errors import ImindexError
    from imindex.indexer.store.index import Index, recompute_root_digest

    try:
        with Index(path) as index:
            if recompute_root_digest(index) != index.root_digest:
                yield f"{path.name}: the digests do not fit"
            keys = [index.column(name).tolist() for name in ("artist", "collection", "path")]
            rows = list(zip(*keys, strict=True))
            if len(rows) != len(set(rows)):
                yield f"{path.name}: a row is there twice"
    except (ImindexError, OSError) as error:
        yield f"{path.name} does not open: {error}"


def _kept(place: Path) -> set[str]:
    """Digests in indexes and parts, and manifest paths whose picture is complete."""
    from imindex.indexer.generate.release_folder import read_manifest
    from imindex.indexer.store.index import Index

    kept: set[str] = set()
    for path in place.rglob("*.h5"):
        with Index(path) as index:
            kept |= {bytes(one).hex() for one in [*index.column("sha256"), *index.rejects()["sha256"]]}
    for path in place.rglob("part-*.npz"):
        with np.load(path, allow_pickle=False) as part:
            kept |= {bytes(one).hex() for one in part["digests"].reshape(-1, 32)}
            kept |= set(json.loads(part["rejected"].tobytes()))
    for manifest in place.rglob("manifest.jsonl"):
        kept |= {name for name in read_manifest(manifest.parent) if (manifest.parent / name).is_file()}
    return kept


def identity(name: str, place: Path) -> str:
    """The result of a command: root digest (and kind of search index), a report's digest, or all files of a release."""
    import hashlib

    from imindex.indexer.store.index import Index

    if name == "audit":
        report = place / "audit/report.json"
        return json.loads(report.read_text())["digest"] if report.exists() else ""
    if name == "generate":
        files = sorted(path for path in (place / "out").rglob("*") if path.is_file() and path.name != ".lock")
        parts = [
            (str(path.relative_to(place)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()
    if not (place / "i.h5").exists():
        return ""
    with Index(place / "i.h5") as index:
        return f"{index.root_digest} {index.ann()['kind']}"


def _laid(workload: Workload) -> Path:
    """A fresh copy of the starting folder, always at the same location, because digests cover paths."""
    place = workload.start.with_name("run")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(workload.start, place, symlinks=True)
    return place


def _finish(server: Server, folder: Path, words: list[str]) -> None:
    ended = server.run(folder, words)
    assert ended.code == 0, ended.said


def _draw(root: Path, layout: dict[str, int], size: tuple[int, int] = (48, 40)) -> None:
    from tests.support.pictures import picture

    seed = 0
    for name, n in layout.items():
        (root / name).mkdir(parents=True)
        for number in range(n):
            picture(seed, size).save(root / name / f"{number:03d}.png")
            seed += 1


def _with_parts(server: Server, start: Path, built: list[str]) -> None:
    """An index, and parts of an interrupted build: of pictures by bo, and of others."""
    from imindex.indexer.build.checkpoint import Batch, Parts
    from imindex.indexer.store.index import Index

    _finish(server, start, ["build", "../art", *built])
    with Index(start / "i.h5") as index:
        of_bo = bytes(index.column("sha256")[index.column("artist") == index.artists.index("bo")][0])
        vector, encoder = np.full(index.encoder.dim, 0.125, np.float16), index.encoder
    with Parts(start / "i.h5", encoder) as parts:
        parts.append(Batch([of_bo, b"w" * 32], [vector, vector], [(1, 1), (1, 1)]))


def _clustered(start: Path) -> None:
    from tests.support.approximate import clustered, save

    save(start / "i.h5", clustered(2_000))


def _pipeline(folder: Path) -> None:
    from tests.support.pipelines import save_pipeline

    if not (folder / "models/one").exists():
        save_pipeline(folder / "models/one", seed=1)


_PLAN = """
title = "Killed and run again"
seed = 7
[artists]
tested = ["Ada Example", "Bo Sample"]
[[releases]]
name = "one"
model = "../models/one"
steps = 2
size = "32x32"
[prompts]
per_artist = 2
placebos = 3
[[encoders]]
name = "tiny"
model = "{encoder}"
[tests]
n_resamples = 99
"""


def _plan(folder: Path, start: Path, encoder: str) -> None:
    _pipeline(folder)
    _draw(start / "works", {"Ada Example": 3, "Bo Sample": 3, "Cy Background": 3})
    (start / "plan.toml").write_text(_PLAN.format(encoder=encoder), encoding="utf-8")
