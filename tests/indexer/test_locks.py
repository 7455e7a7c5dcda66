"""Locks: their holder, recovery from a killed holder, and readers during builds."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index, recompute_root_digest
from imindex.indexer.system import locks
from imindex.indexer.system.locks import Held, Lock, alone, runs
from tests.support.approximate import clustered, save

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
FORK = multiprocessing.get_context("fork") if sys.platform == "linux" else None
SPAWN = multiprocessing.get_context("spawn")
"""For tests of multithreaded code, because threads do not survive a fork."""


def in_child(what: Any, *args: Any, context: Any = FORK) -> Any:
    child = context.Process(target=what, args=args, daemon=True)
    child.start()
    return child


def hold(path: Path, ready: Any, heir: bool = False) -> None:
    lock = Lock(path, "imindex build art")
    lock.acquire()
    if heir and not os.fork():  # has the lock's descriptor, and outlives its parent by a second
        time.sleep(1)
        os._exit(0)
    ready.set()
    time.sleep(60)


@pytest.fixture
def held(tmp_path: Path) -> Any:
    """Return a function that starts a process holding a lock, and returns the path and the process."""
    children = []

    def start(**options: Any) -> tuple[Path, Any]:
        assert FORK is not None
        ready = FORK.Event()
        child = in_child(hold, tmp_path / "lock", ready, *options.values())
        children.append(child)
        assert ready.wait(60)
        return tmp_path / "lock", child

    yield start
    for child in children:
        child.kill()
        child.join()


def test_refused_process_learns_who_holds_the_lock(held: Any) -> None:
    path, child = held()
    with pytest.raises(Held) as refused:
        Lock(path).acquire()
    said = json.loads(path.read_text())
    assert said["pid"] == child.pid and said["host"] == os.uname().nodename
    for word in (f"process {child.pid} on {said['host']}", f"since {said['since']}", "`imindex build art`"):
        assert word in refused.value.by
    with pytest.raises(ImindexError, match=f"no: process {child.pid} on .*, go"), alone(path, "no: {by}, go"):
        pass


def test_lock_of_a_killed_process_leaves_a_note(held: Any) -> None:
    path, child = held()
    child.kill()
    child.join()
    lock = Lock(path)
    lock.acquire()
    assert f"was interrupted: process {child.pid} on" in lock.note
    lock.release()
    assert not path.read_bytes()
    with alone(path, "") as note:
        assert not note


def test_lock_waits_for_children_of_a_killed_process(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, child = held(heir=True)
    child.kill()
    child.join()
    monkeypatch.setattr(locks, "ORPHANS_SECONDS", 0.1)
    with pytest.raises(Held, match="by one of its children, since the process itself has ended"):
        Lock(path).acquire()
    monkeypatch.setattr(locks, "ORPHANS_SECONDS", 60)
    Lock(path).acquire()


def test_a_process_with_the_same_number_is_not_the_holder() -> None:
    mine = json.loads(locks.holder_record(""))
    assert runs(mine) is True
    assert runs({**mine, "boot": "before"}) is False
    assert runs({**mine, "started": "1"}) is False
    assert runs({**mine, "host": "elsewhere"}) is None and runs({**mine, "namespace": "pid:[1]"}) is None
    assert runs({}) is None


def test_deleted_lock_file_does_not_lock(tmp_path: Path) -> None:
    """A finished build deletes the folder: a process waiting on the old file must not share it with the next one."""
    first, second = Lock(tmp_path / "x/lock"), Lock(tmp_path / "x/lock")
    first.acquire()
    descriptor = os.open(first.path, os.O_RDWR)
    first.path.unlink()
    second.acquire()
    with pytest.raises(Held):
        Lock(first.path).acquire()
    os.close(descriptor)
    second.release(), first.release()


def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    path, beside = tmp_path / "lock", tmp_path / "lock.held"
    with alone(path, ""):
        assert json.loads(beside.read_text())["pid"] == os.getpid()
        with pytest.raises(Held, match=f"process {os.getpid()} .*delete {beside}"):
            Lock(path).acquire()
    assert not beside.exists()
    mine = json.loads(locks.holder_record("imindex build art"))
    for change, note in (
        ({"boot": "before"}, True),
        ({"started": "1"}, True),
        ({"host": "elsewhere"}, False),
    ):
        beside.write_text(json.dumps({**mine, **change}))
        if note:
            with alone(path, "") as said:
                assert "was interrupted" in said
        else:
            with pytest.raises(ImindexError, match="on elsewhere"), alone(path, "{by}"):
                pass


def read_on(path: Path, end: Any, out: Any) -> None:
    """Read the whole index repeatedly; report the states seen, or the error."""
    seen, most = set(), 0.0
    try:
        while not end.is_set() or not seen:
            started = time.monotonic()
            with Index(path) as index:
                assert recompute_root_digest(index) == index.root_digest
                assert len(set(index.column("path"))) == index.n == len(index.vectors)
                seen.add((index.root_digest, index.ann()["kind"], len(index.log())))
            most = max(most, time.monotonic() - started)
        out.put((seen, most))
    except BaseException as error:
        out.put((repr(error), most))


def change(path: Path, out: Any) -> None:
    """Add, remove and optimize in turn; report every committed state."""
    from imindex.indexer.maintain.optimize import optimize
    from imindex.indexer.maintain.remove import remove
    from tests.support.approximate import contents

    states = []

    def note() -> None:
        with Index(path) as index:
            states.append((index.root_digest, index.ann()["kind"], len(index.log())))

    for turn in range(4):
        save(path, clustered(1_500 + turn), contents(1_500 + turn))
        note()
        remove(path, artists=[f"artist {turn}"])
        note()
        optimize(path, kind="ivf", recall=0.3, memory=10**8)
        note()
    out.put(states)


def test_readers_see_only_committed_states_during_builds(tmp_path: Path) -> None:
    path = save(tmp_path / "i.h5", clustered(1_400))
    with Index(path) as index:
        first = (index.root_digest, index.ann()["kind"], len(index.log()))
    end, out, done = SPAWN.Event(), SPAWN.Queue(), SPAWN.Queue()
    readers = [in_child(read_on, path, end, out, context=SPAWN) for _ in range(2)]
    writer = in_child(change, path, done, context=SPAWN)
    committed = {first, *done.get(timeout=120)}
    end.set()
    seen = [out.get(timeout=60) for _ in readers]
    for child in (*readers, writer):
        child.join()
    for states, _ in seen:
        assert isinstance(states, set), states
        assert states <= committed
    assert len(set().union(*(states for states, _ in seen))) > 1
    assert signal.SIGKILL not in {-(child.exitcode or 0) for child in readers}
