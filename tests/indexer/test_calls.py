"""Worker processes: results in the order of the tasks, whatever dies; and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.runners.calls import HereCalls, ProcessCalls

MODULE = "importlib:import_module"  # makes a module of its name, whose functions are the methods


def runs(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while any(map(runs, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(runs, pids))


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(n_workers: int) -> None:
    table = np.arange(10**5)
    with ProcessCalls(MODULE, "operator", n_workers) as calls:
        assert list(calls.map("add", ((n,) for n in range(50)), 1000)) == list(range(1000, 1050))
        assert [int(part.sum()) for part in calls.map("getitem", [(slice(n),) for n in (3, 9)], table)] == [
            3,
            36,
        ]
        assert list(calls.map("add", [], 1)) == []
        pids = calls.pids
    assert 1 <= len(pids) <= n_workers and gone(pids)
    with HereCalls(MODULE, "operator") as here:
        assert list(here.map("add", ((n,) for n in range(3)), 1)) == [1, 2, 3]


def test_what_all_tasks_need_is_sent_once() -> None:
    """Large results and large arguments, beyond what a pipe holds, cross without waiting for each other."""
    table = np.arange(2 * 10**6)
    with ProcessCalls(MODULE, "operator", 2) as calls:
        for part in calls.map("getitem", [(slice(None),)] * 6, table):
            assert np.array_equal(part, table)
        for part in calls.map("add", [(table,)] * 4, 1):
            assert part[-1] == len(table)


def test_tasks_are_read_as_workers_become_free() -> None:
    read = []

    def tasks() -> Iterator[tuple[int]]:
        for number in range(100):
            read.append(number)
            yield (number,)

    with ProcessCalls(MODULE, "operator", 2) as calls:
        found = calls.map("add", tasks(), 0)
        assert next(found) == 0
        time.sleep(0.3)
        assert len(read) <= 6
        assert list(found) == list(range(1, 100))


def test_a_killed_worker_gives_its_task_to_another() -> None:
    with ProcessCalls(MODULE, "math", 2) as calls:
        numbers = [(n,) for n in range(3_000, 3_100)]
        expected = list(HereCalls(MODULE, "math").map("comb", numbers, 6_000))
        killed: list[int] = []
        found = []
        for place, number in enumerate(calls.map("comb", numbers, 6_000)):
            found.append(number)
            if place in (5, 30, 31, 70):
                killed.append(calls.pids[place % len(calls.pids)])
                os.kill(killed[-1], signal.SIGKILL)
        assert found == expected
        assert killed and gone(killed)


def test_work_that_kills_every_worker_is_given_up() -> None:
    with ProcessCalls(MODULE, "os", 2) as calls:
        with pytest.raises(ImindexError, match=r"3 worker processes ended .*exit code 9.*--workers"):
            list(calls.map("_exit", [()], 9))
        assert list(calls.map("strerror", [()], 2)) == [os.strerror(2)]  # and new ones are started


def test_errors_of_a_task_are_raised_here() -> None:
    with ProcessCalls(MODULE, "operator", 2) as calls:
        found = calls.map("truediv", [(1,), (2,), (0,), (1,)], 8)
        assert [next(found), next(found)] == [8, 4]
        with pytest.raises(ZeroDivisionError):
            next(found)
        pids = calls.pids
    assert gone(pids)
    with ProcessCalls("imindex.indexer.core.bounds:nothing", None, 1) as calls, pytest.raises(AttributeError):
        list(calls.map("add", [(1,)], 1))
    with pytest.raises(ValueError, match="n_workers is 0"):
        ProcessCalls(MODULE, "math", 0)


def test_results_that_are_not_wanted_any_more_end_the_work() -> None:
    with ProcessCalls(MODULE, "time", 2) as calls:
        found = calls.map("sleep", [()] * 20, 0.5)
        next(found)
        pids, began = calls.pids, time.monotonic()
        found.close()
        assert time.monotonic() - began < 5 and gone(pids)
        assert list(calls.map("sleep", [()], 0)) == [None]


DRIVER = """
import sys
from imindex.indexer.runners.calls import ProcessCalls
with ProcessCalls("importlib:import_module", "time", 2) as calls:
    list(calls.map("sleep", [()] * 2, 0))
    print(*calls.pids, flush=True)
    list(calls.map("sleep", [()] * 2, 60))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as driver:
        assert driver.stdout is not None
        pids = [int(pid) for pid in driver.stdout.readline().split()]
        assert pids and all(map(runs, pids))
        time.sleep(0.2)
        driver.send_signal(how)
        assert driver.wait(60) != 0
    assert gone(pids)
