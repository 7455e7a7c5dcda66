"""Commands that are killed with SIGKILL, at random moments and at every step that matters, and run again.

Used by tests/test_crashes.py in short and by scripts/bench/crash in long. A server process imports everything once and
forks a child for every run, so that a run costs what the command costs. The child kills itself at the k-th step
(before or after a flush, a rename, a deletion, an opening for writing, a call that writes to HDF5), or is killed after
a time.

    python tests/crashing.py     the server: one JSON request a line on stdin, one answer a line on stdout
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("build", "add", "remove", "optimise", "generate", "audit")


# In the server


def serve() -> None:
    """Import what the commands need, then fork for every request."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import torch

    torch.set_num_threads(1)
    import imindex
    from indexer import ann, build, encoder, generate_find, optimize, remove  # noqa: F401

    for name in imindex.COMMANDS:
        imindex.main.get_command(None, name)  # type: ignore[attr-defined]
    build.COMMIT_SECONDS = 0.0  # a part for every batch
    print("ready", flush=True)
    for line in sys.stdin:
        _answer(json.loads(line))


def _answer(request: dict[str, Any]) -> None:
    pid = os.fork()
    if not pid:
        _child(request)
    killer = (
        threading.Timer(request["seconds"], os.kill, (pid, signal.SIGKILL)) if "seconds" in request else None
    )
    started = time.monotonic()
    if killer:
        killer.start()
    status = os.waitpid(pid, 0)[1]
    seconds = time.monotonic() - started
    if killer:
        killer.cancel()
    print(json.dumps({"code": os.waitstatus_to_exitcode(status), "seconds": seconds}), flush=True)


def _child(request: dict[str, Any]) -> None:
    import imindex

    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0), os.dup2(log, 1), os.dup2(log, 2)
    code: Any = 70
    try:
        os.chdir(request["folder"])
        _limit(request)
        count = _count_steps(request.get("step"), request["log"] + ".committed")
        sys.argv = ["imindex", *request["words"]]
        try:
            imindex.main(request["words"])
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush(), sys.stderr.flush()
        Path(request["log"] + ".steps").write_text(str(count[0]))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code if isinstance(code, int) else 70)


def _limit(request: dict[str, Any]) -> None:
    """Take away memory, room in files, or root's rights, as the request says."""
    import resource

    if "file-bytes" in request:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file-bytes"], request["file-bytes"]))
    if "uid" in request:
        os.setgroups([]), os.setgid(request["uid"]), os.setuid(request["uid"])
    if "memory-bytes" in request:
        from indexer import encoder

        real, most = encoder.Encoder.encode_images, request["memory-bytes"]

        def encode_images(
            self: Any, pixels: Any
        ) -> Any:  # from the first batch on; loading the model is not in it
            have = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (have + most, have + most))
            return real(self, pixels)

        encoder.Encoder.encode_images = encode_images  # type: ignore[method-assign]


def _count_steps(fatal: int | None, committed: str) -> list[int]:
    """Count the steps of this process, kill it at one of them, and note the parts and pictures that are committed."""
    import io

    import h5py

    count = [0]
    noted = os.open(committed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def step() -> None:
        count[0] += 1
        if count[0] == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: Any, name: str, counts: Callable[..., bool] = lambda *_, **__: True) -> None:
        real = getattr(owner, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            if not counts(*args, **kwargs):
                return real(*args, **kwargs)
            step()
            result = real(*args, **kwargs)
            step()
            return result

        setattr(owner, name, run)

    for name in ("fsync", "replace", "unlink", "mkdir", "rmdir"):
        around(os, name)
    around(io, "open", lambda file, mode="r", *_, **__: any(letter in mode for letter in "wax+"))
    around(h5py.Group, "create_dataset")
    around(h5py.AttributeManager, "update")
    around(h5py.Dataset, "__setitem__")
    around(h5py.File, "close")

    from indexer.generate_folder import Folder
    from indexer.parts import Parts

    for owner, name in ((Parts, "append"), (Folder, "add")):
        real = getattr(owner, name)

        def run(self: Any, first: Any, *more: Any, real: Any = real) -> Any:
            names = (
                [first.path]
                if hasattr(first, "path")
                else [one.hex() for one in [*first.digests, *first.rejected]]
            )
            result = real(self, first, *more)
            os.write(noted, "".join(f"{one}\n" for one in names).encode())
            return result

        setattr(owner, name, run)
    return count


# In the test


class Server:
    """The process that forks; use as a context manager."""

    def __init__(self, folder: Path):
        self.log = folder / "log"

    def __enter__(self) -> Server:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, folder: Path, words: Iterable[object], **how: Any) -> Ended:
        """Run a command: `step` or `seconds` kill it; `file-bytes`, `memory-bytes` and `uid` make it hard."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if not hasattr(self, "_ready"):
            self._ready = self._process.stdout.readline()
            assert self._ready == "ready\n"
        for name in (".committed", ".steps"):
            Path(f"{self.log}{name}").unlink(missing_ok=True)
        asked = {"folder": str(folder), "words": [str(word) for word in words], "log": str(self.log), **how}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        steps, committed = Path(f"{self.log}.steps"), Path(f"{self.log}.committed")
        return Ended(
            answer["code"],
            answer["seconds"],
            self.log.read_text(errors="replace"),
            int(steps.read_text()) if steps.exists() else 0,
            frozenset(committed.read_text().split("\n")[:-1]) if committed.exists() else frozenset(),
        )


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code (-9: killed), what it said, its steps, and what it had committed."""

    code: int
    seconds: float
    said: str
    steps: int
    committed: frozenset[str]


@dataclass
class Workload:
    """A command, the folder it starts from, and what it comes to when nobody kills it."""

    name: str
    start: Path
    words: list[str]
    seconds: float = 0.0
    steps: int = 0
    before: str = ""
    after: str = ""
    faults: list[str] = field(default_factory=list)


def prepare(folder: Path, server: Server, names: Iterable[str] = COMMANDS) -> list[Workload]:
    """Make what the commands start from, and run each of them once without a kill."""
    from conftest import save_model

    folder.mkdir(parents=True, exist_ok=True)
    encoder = f"local-dir:{save_model(folder / 'encoder')}"
    _draw(folder / "art", {"works/ada": 6, "works/bo": 5, "imitations/r1/ada": 4, "control": 3})
    (folder / "art/works/bo/broken.png").write_bytes(b"no picture")
    built = ["--model", encoder, "--device", "cpu", "--batch-size", "4", "-i", "i.h5"]
    made = {
        "build": (lambda start: None, ["build", "../art", *built]),
        "add": (lambda start: _finish(server, start, ["build", "../art/control", *built]), ["build", "../art", *built]),
        "remove": (lambda start: _with_parts(server, start, built), ["remove", "--artist", "bo", "-i", "i.h5"]),
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
    """Kill a run at a step or after a time, look at what is left, run it again; faults go to `workload.faults`."""
    place = _laid(workload)
    ended = server.run(place, workload.words, **when)
    said = [f"{workload.name} {when}: {fault}" for fault in _wrong_after_kill(workload, place, ended)]
    now = identity(workload.name, place)
    again = server.run(place, workload.words)
    removed = workload.name == "remove" and now == workload.after and "no artist bo" in again.said
    if again.code != 0 and not removed:
        said.append(f"{workload.name} {when}: the same command ended with {again.code}: {again.said[-500:]}")
    elif (came := identity(workload.name, place)) != workload.after:
        said.append(f"{workload.name} {when}: came to {came}, not to {workload.after}")
    said += [
        f"{workload.name} {when}: left {path.name}"
        for pattern in (".*.new", "*.parts")
        for path in place.rglob(pattern)
        if not (workload.name == "remove" and pattern == "*.parts")  # parts of pictures that stay, wait
    ]
    workload.faults += said
    return ended


def _wrong_after_kill(workload: Workload, place: Path, ended: Ended) -> Iterable[str]:
    if ended.code not in (0, -signal.SIGKILL):
        yield f"ended with {ended.code}: {ended.said[-500:]}"
    one_file = workload.name not in ("audit", "generate")
    if one_file and identity(workload.name, place) not in (workload.before, workload.after):
        yield "the index is neither the old nor the new one"
    for index in place.rglob("*.h5"):
        yield from _wrong_rows(index)
    there = _kept(place)
    if lost := ended.committed - there:
        yield f"{len(lost)} committed pictures are lost"


def _wrong_rows(path: Path) -> Iterable[str]:
    from indexer.errors import ImindexError
    from indexer.store import Index, recompute_root_digest

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
    """Digests in indexes and parts, and paths in the manifests whose picture is whole."""
    from indexer.generate_folder import read_manifest
    from indexer.store import Index

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
    """What a command came to: the root digest (and the kind of search index), the report's digest, or the pictures."""
    import hashlib

    from indexer.store import Index

    if name == "audit":
        report = place / "audit/report.json"
        return json.loads(report.read_text())["digest"] if report.exists() else ""
    if name == "generate":
        files = sorted(
            path for path in (place / "out").rglob("*") if path.suffix in (".png", ".jsonl", ".json")
        )
        return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()
    if not (place / "i.h5").exists():
        return ""
    with Index(place / "i.h5") as index:
        return f"{index.root_digest} {index.ann()['kind']}"


def _laid(workload: Workload) -> Path:
    """A fresh copy of what the command starts from, always at the same place: paths are in the digests."""
    place = workload.start.with_name("run")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(workload.start, place, symlinks=True)
    return place


def _finish(server: Server, folder: Path, words: list[str]) -> None:
    ended = server.run(folder, words)
    assert ended.code == 0, ended.said


def _draw(root: Path, layout: dict[str, int], size: tuple[int, int] = (48, 40)) -> None:
    from conftest import picture

    seed = 0
    for name, n in layout.items():
        (root / name).mkdir(parents=True)
        for number in range(n):
            picture(seed, size).save(root / name / f"{number:03d}.png")
            seed += 1


def _with_parts(server: Server, start: Path, built: list[str]) -> None:
    """An index, and parts of a build that was stopped: of pictures by bo, and of others."""
    from indexer.parts import Batch, Parts
    from indexer.store import Index

    _finish(server, start, ["build", "../art", *built])
    with Index(start / "i.h5") as index:
        of_bo = bytes(index.column("sha256")[index.column("artist") == index.artists.index("bo")][0])
        vector, encoder = np.full(index.encoder.dim, 0.125, np.float16), index.encoder
    with Parts(start / "i.h5", encoder) as parts:
        parts.append(Batch([of_bo, b"w" * 32], [vector, vector], [(1, 1), (1, 1)]))


def _clustered(start: Path) -> None:
    from approximate import clustered, save

    save(start / "i.h5", clustered(2_000))


def _pipeline(folder: Path) -> None:
    from pipelines import save_pipeline

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


if __name__ == "__main__":
    serve()
