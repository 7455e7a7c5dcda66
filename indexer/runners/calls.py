"""Calls to an object that each of several worker processes makes for itself.

A worker is made once from a function's name and a payload, and then answers calls to its methods. So it opens files
once, and nothing but arguments and results travels. `ProcessCalls` starts the workers on this machine,
`imindex.indexer.runners.ray_calls.RayCalls` as actors of a Ray cluster.

Results come in the order of the tasks, whoever computes them. A worker that dies gives its task to another one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.child_process import how_it_ended, start
from imindex.indexer.system.cpu import processors, use_processors

TRIES = 3
"""Number of workers that may die of the same task before the work is given up."""
_AHEAD = 2  # tasks per worker whose results may wait for that of an earlier task
_LENGTH = struct.Struct("<Q")
_WAIT = 0.1  # seconds


class Calls(Protocol):
    """Workers that answer calls.

    Attributes
    ----------
    n_workers : int
    state_bytes : int
        Size of what a worker may hold between two looks at its files.
    """

    n_workers: int
    state_bytes: int

    def map(self, method: str, tasks: Iterable[Sequence[Any]], common: Any = None) -> Iterator[Any]:
        """Call a method of the workers for each task, in any worker.

        Parameters
        ----------
        method : str
            Called as ``method(common, *task)``.
        tasks : iterable of sequence
            The arguments; they are read as workers become free.
        common : optional
            What all tasks need. It is sent to each worker once.

        Yields
        ------
        object
            The results, in the order of the tasks.

        Raises
        ------
        ImindexError
            If workers die again and again. What a method raises is raised here.
        """

    def close(self) -> None:
        """End the workers."""


class HereCalls:
    """Calls to a worker in this process, one after another.

    Parameters
    ----------
    factory, payload
        See `ProcessCalls`.
    """

    n_workers = 1

    def __init__(self, factory: str, payload: Any):
        self._made = make(factory, payload)
        self.state_bytes = state_bytes(1, processors())

    def map(self, method: str, tasks: Iterable[Sequence[Any]], common: Any = None) -> Iterator[Any]:
        """See `Calls.map`."""
        for task in tasks:
            yield getattr(self._made, method)(common, *task)

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> HereCalls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def state_bytes(n_workers: int, threads: int) -> int:
    """Return what each of several workers of a machine may hold: an eighth of its memory together, at most.

    A thread has no use for more than 1.25 GiB.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**33
    return max(2**24, min(memory // (8 * n_workers), threads * 5 * 2**28))


class ProcessCalls:
    """Calls to worker processes on this machine. Use it as a context manager.

    Parameters
    ----------
    factory : str
        ``module:function``, which makes the object that answers; it is called with the payload.
    payload : object
        Must be picklable.
    n_workers : int
    """

    def __init__(self, factory: str, payload: Any, n_workers: int):
        if n_workers < 1:
            raise ValueError(f"n_workers is {n_workers}. At least one worker is needed.")
        self.n_workers = n_workers
        self._factory = factory
        threads = max(1, processors() // n_workers)
        self.state_bytes = state_bytes(n_workers, threads)
        self._payload = pickle.dumps((payload, threads), protocol=5)
        self._environment = {
            name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        }
        self._workers = [_Worker(self._begin) for _ in range(n_workers)]
        self._n_commons = 0

    def _begin(self) -> subprocess.Popen[bytes]:
        process = start(
            "imindex.indexer.runners.calls:serve",
            self._factory,
            str(os.getpid()),
            environment=self._environment,
        )
        try:
            _send(process, self._payload)
        except BaseException:
            process.kill()
            raise
        return process

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers that run now."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def map(self, method: str, tasks: Iterable[Sequence[Any]], common: Any = None) -> Iterator[Any]:
        """See `Calls.map`."""
        self._n_commons += 1
        job = _Job(method, iter(tasks), (self._n_commons, pickle.dumps(common, protocol=5)), self.n_workers)
        threads = [threading.Thread(target=job.work, args=(worker,), daemon=True) for worker in self._workers]
        for thread in threads:
            thread.start()
        try:
            yield from job.results()
        except BaseException:
            job.stop()
            self.close()  # ends the reads of the threads
            raise
        finally:
            job.stop()
            for thread in threads:
                thread.join()

    def close(self) -> None:
        """Kill the workers. They hold nothing but what they compute."""
        for worker in self._workers:
            worker.kill()

    def __enter__(self) -> ProcessCalls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """One worker process, which is started when it is first needed, and again after it died."""

    def __init__(self, begin: Any):
        self._begin = begin
        self.process: subprocess.Popen[bytes] | None = None
        self._common = 0

    def call(self, common: tuple[int, bytes], method: str, task: bytes) -> tuple[bool, Any]:
        """Return whether the method returned, and its result or its exception.

        Raises
        ------
        OSError, EOFError
            If the process died.
        """
        if self.process is None:
            self._common, self.process = 0, self._begin()
        number, data = common
        _send(self.process, pickle.dumps((method, number != self._common), protocol=5))
        if number != self._common:
            _send(self.process, data)
            self._common = number
        _send(self.process, task)
        assert self.process.stdout is not None
        result: tuple[bool, Any] = pickle.loads(_receive(self.process.stdout))
        return result

    def ended(self) -> str:
        """Return how the process ended, after its pipe was closed."""
        process = self.process
        how = "" if process is None else how_it_ended(process)
        self.kill()
        return how

    def kill(self) -> None:
        """End the process."""
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class _Job:
    """The tasks of one `map`: threads take them, and leave the results in their order."""

    def __init__(
        self, method: str, tasks: Iterator[Sequence[Any]], common: tuple[int, bytes], n_workers: int
    ):
        self._method, self._tasks, self._common = method, tasks, common
        self._changed = threading.Condition()
        self._window = _AHEAD * n_workers
        self._n_taken = self._n_given = 0
        self._again: list[tuple[int, bytes, int]] = []
        self._results: dict[int, tuple[bool, Any]] = {}
        self._exhausted = self._stopped = False
        self._error: BaseException | None = None

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def results(self) -> Iterator[Any]:
        while True:
            with self._changed:
                while self._n_given not in self._results:
                    if self._error is not None:
                        raise self._error
                    if self._exhausted and self._n_given == self._n_taken:
                        return
                    self._changed.wait(_WAIT)  # with a time-out, so that Ctrl-C is seen
                returned, value = self._results.pop(self._n_given)
                self._n_given += 1
                self._changed.notify_all()
            if not returned:
                raise value
            yield value

    def _take(self) -> tuple[int, bytes, int] | None:
        """Return the next task: its place, its arguments and the number of workers that died of it."""
        with self._changed:
            while not self._stopped:
                if self._again:
                    return self._again.pop(0)
                if not self._exhausted and self._n_taken < self._n_given + self._window:
                    try:
                        task = next(self._tasks)
                    except StopIteration:
                        self._exhausted = True
                        self._changed.notify_all()
                        continue
                    place, self._n_taken = self._n_taken, self._n_taken + 1
                    return place, pickle.dumps(tuple(task), protocol=5), 0
                if self._exhausted and self._n_given == self._n_taken:
                    return None
                self._changed.wait()
        return None

    def work(self, worker: _Worker) -> None:
        """Do tasks by one worker until all are done."""
        try:
            while (taken := self._take()) is not None:
                place, task, deaths = taken
                try:
                    result = worker.call(self._common, self._method, task)
                except (OSError, EOFError, ValueError) as error:
                    self._died(worker.ended(), (place, task, deaths + 1), error)
                    continue
                with self._changed:
                    self._results[place] = result
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _died(self, ended: str, task: tuple[int, bytes, int], error: Exception) -> None:
        with self._changed:
            if self._stopped:
                return
            if task[2] >= TRIES:
                self._error = ImindexError(
                    f"{TRIES} worker processes ended during the same work "
                    f"({ended or str(error) or type(error).__name__}). If the machine is short of memory, use fewer "
                    "workers (--workers)."
                )
            self._again.append(task)
            self._changed.notify_all()


def _send(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    write_message(process.stdin, data)


def write_message(file: Any, data: bytes) -> None:
    """Write a message to a pipe: its length, and then its bytes."""
    rest = memoryview(_LENGTH.pack(len(data)) + data if len(data) < 2**16 else _LENGTH.pack(len(data)))
    for part in (rest, memoryview(data) if len(data) >= 2**16 else memoryview(b"")):
        while part:
            n = file.write(part)
            part = part[n:]


def _receive(file: Any) -> bytearray:
    """Read a message from a pipe.

    Raises
    ------
    EOFError
        If the other end was closed.
    """
    length = _LENGTH.unpack(_read(file, _LENGTH.size))[0]
    return _read(file, length)


def _read(file: Any, n: int) -> bytearray:
    data = bytearray(n)
    view = memoryview(data)
    while view:
        got = file.readinto(view)
        if not got:
            raise EOFError
        view = view[got:]
    return data


def serve(factory: str, parent: str) -> None:
    """Answer calls in a worker process, until the other end of the pipe is closed or its process ends."""
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not be read as an answer
    sys.stdin.close()
    made: Any = None
    failed: BaseException | None = None
    common: Any = None
    try:
        payload, threads = pickle.loads(_receive(requests))
        try:
            use_processors(threads)
            made = make(factory, payload)
        except BaseException as error:
            failed = error
        while True:
            method, is_new = pickle.loads(_receive(requests))
            if is_new:
                common = None  # the old one is freed first
                common = pickle.loads(_receive(requests))
            task = pickle.loads(_receive(requests))
            write_message(answers, answer(made, failed, method, common, task))
            del task
    except (EOFError, OSError):
        os._exit(0)


def make(factory: str, payload: Any) -> Any:
    """Make the object of a worker."""
    module, _, function = factory.partition(":")
    return getattr(importlib.import_module(module), function)(payload)


def answer(made: Any, failed: BaseException | None, method: str, common: Any, task: Sequence[Any]) -> bytes:
    """Call a method, and return its pickled result or its pickled exception."""
    try:
        if failed is not None:
            raise failed
        return pickle.dumps((True, getattr(made, method)(common, *task)), protocol=5)
    except Exception as error:
        return pickle.dumps((False, portable(error)), protocol=5)


def portable(error: BaseException) -> BaseException:
    """Return an exception that can travel; one that cannot is replaced by an error that holds its text."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:
        pass
    return ImindexError(f"A worker failed: {type(error).__name__}: {error}.")


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
