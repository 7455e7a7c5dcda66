"""Decoder processes: a file that makes a decoder crash or hang takes one of them down, and not the build.

Each thread that decodes borrows a process of its own, so one picture at most is lost with it. They are plain
children with a pipe in and a pipe out: started when first needed (Python and Pillow, no torch: about 0.1 s), killed
when the build ends, and gone when it is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.decode.limits import NO_MEMORY, Limits
from imindex.indexer.decode.worker import ANSWER, DONE, READY, REQUEST
from imindex.indexer.system.child_process import how_it_ended, start
from imindex.indexer.system.sandbox import write_all

if TYPE_CHECKING:
    from imindex.indexer.decode.preprocess import Picture, Preprocess


_START_SECONDS = 120.0
_PIPE_BYTES = 2**20
HOOK = ""
"""For tests: `module:function` that each process calls with a picture's bytes before it decodes them."""


class Decoders:
    """Decoder processes, as many as there are threads that ask. Use as a context manager.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *exception: object) -> None:
        """End all processes at once, also those at work: who waits for one gets BadPicture."""
        self._closed.set()
        with self._lock:
            busy, idle = self._all.difference(self._idle), self._idle
        for process in busy:
            process.kill()  # its thread ends it
        for process in idle:
            process.end()

    def __call__(self, data: bytes) -> npt.NDArray[np.uint8]:
        """Decode a picture as `imindex.indexer.decode.pillow.read` does, in another process.

        Returns
        -------
        (height, width, 3) uint8

        Raises
        ------
        BadPicture
            With the reason: that of `pillow.read`, or that the decoder crashed twice (once in a process of its
            own), or that it took too long.
        ImindexError
            No process can be started.
        """
        try:
            return self._decode(data)
        except _Crashed:  # perhaps by what an earlier picture left behind, or because memory ran out
            pass
        try:
            return self._decode(data, fresh=True)
        except _Crashed as crash:
            if str(crash) == "SIGKILL":  # not by us: the system kills so when memory is short
                raise BadPicture(f"{NO_MEMORY}, or somebody else killed the decoder ({crash})") from None
            raise BadPicture(f"the decoder crashed ({crash})") from None

    def _decode(self, data: bytes, fresh: bool = False) -> npt.NDArray[np.uint8]:
        process = self._borrow(fresh)
        try:
            pixels = process.decode(data, self.limits)
        except BadPicture:
            self._give_back(process)
            raise
        except BaseException:
            process.kill()
            self._give_back(process)
            raise
        self._give_back(process)
        return pixels

    def _borrow(self, fresh: bool) -> _Process:
        with self._lock:
            if self._closed.is_set():
                raise BadPicture("the build has ended")
            if self._idle and not fresh:
                return self._idle.pop()
            process = _Process()
            self._all.add(process)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="decoders", daemon=True)
                self._watcher.start()
        return process

    def _give_back(self, process: _Process) -> None:
        with self._lock:
            if process.alive and not self._closed.is_set():
                self._idle.append(process)
                return
            self._all.discard(process)
        process.end()

    def _watch(self) -> None:
        """Kill what takes too long."""
        while not self._closed.wait(min(0.25, self.limits.decode_timeout / 4)):
            with self._lock:
                processes = list(self._all)
            for process in processes:
                process.kill_if_overdue()


@functools.cache
def shared(limits: Limits) -> Decoders:
    """Decoder processes for all who decode a picture now and then; they end with this process."""
    decoders = Decoders(limits)
    atexit.register(decoders.__exit__)
    return decoders


class _Crashed(Exception):
    """The process ended; the message says how."""


class _Process:
    def __init__(self) -> None:
        alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            self._process = start("imindex.indexer.decode.worker:main", HOOK, environment=alone)
        except OSError as error:
            raise ImindexError(
                f"No decoder process can be started: {error}. Close other programs."
            ) from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._started = False
        self._lock = threading.Lock()
        self._due: float | None = None
        self._overdue = False
        self.alive = True
        _widen(self._in.fileno(), self._out.fileno())

    def decode(self, data: bytes, limits: Limits) -> npt.NDArray[np.uint8]:
        if not self._started:
            self._start()
        self._give_until(limits.decode_timeout)
        try:
            write_all(self._in, REQUEST.pack(len(data), limits.max_pixels))  # type: ignore[arg-type]
            write_all(self._in, data)  # type: ignore[arg-type]
            status, width, height = ANSWER.unpack(self._exactly(bytearray(ANSWER.size)))
            if status != DONE:
                raise BadPicture(self._exactly(bytearray(min(width, 10_000))).decode("utf-8", "replace"))
            if not 0 < width * height <= limits.max_pixels:
                raise OSError("its answer makes no sense")
            pixels = np.empty((height, width, 3), np.uint8)
            self._exactly(pixels.reshape(-1))
        except OSError as error:  # the pipe broke
            if self._overdue:
                raise BadPicture(limits.too_slow) from error
            raise _Crashed(how_it_ended(self._process) or str(error)) from error
        finally:
            self._give_until(None)
        return pixels

    def _start(self) -> None:
        self._give_until(_START_SECONDS)
        try:
            self._exactly(bytearray(len(READY)))
        except OSError as error:
            raise ImindexError(
                f"A decoder process did not start ({how_it_ended(self._process)}). "
                f"Check that `{sys.executable} -m PIL` works, and that memory and processes are left."
            ) from error
        finally:
            self._give_until(None)
        self._started = True

    def _exactly(self, into: bytearray | npt.NDArray[np.uint8]) -> bytearray:
        view = memoryview(into)  # type: ignore[arg-type]
        while view:
            got = self._out.readinto(view)  # type: ignore[attr-defined]
            if not got:
                raise BrokenPipeError("the process ended")
            view = view[got:]
        return into  # type: ignore[return-value]

    def _give_until(self, seconds: float | None) -> None:
        with self._lock:
            self._due = None if seconds is None else time.monotonic() + seconds

    def kill_if_overdue(self) -> None:
        with self._lock:
            if self._due is not None and time.monotonic() > self._due:
                self._overdue = True
                self.kill()

    def kill(self) -> None:
        self.alive = False
        self._process.kill()

    def end(self) -> None:
        self.kill()
        self._process.wait()
        self._in.close()
        self._out.close()


def _widen(*pipes: int) -> None:
    """Let a picture through a pipe in few pieces, where the system lets one."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        for pipe in pipes:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def picture_of(data: bytes, preprocess: Preprocess, limits: Limits = Limits()) -> Picture:  # noqa: B008 - frozen
    """Decode a single picture as a build does: what is no plain JPEG in another process, which it may take down.

    Raises
    ------
    BadPicture
        With the reason.
    """
    from imindex.indexer.decode import preprocess as images

    return images.decode(data, preprocess, limits=limits, elsewhere=shared(limits))
