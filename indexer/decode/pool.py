"""A pool of decoder processes, so that a file that crashes or hangs a decoder does not affect the build.

Each decoding thread borrows its own process, so a crash loses at most one picture. The processes are plain children
with a pipe in each direction. They start on demand (Python and Pillow without torch, about 0.1 s), and end when the
build ends or is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.decode.limits import NO_MEMORY, Limits
from imindex.indexer.decode.memory import budget
from imindex.indexer.decode.rendering import Pixels, Rendering, from_bits
from imindex.indexer.decode.worker import ALL, BAD, DONE, GRANT, READY, REPLY, REQUEST
from imindex.indexer.system.child_process import how_it_ended, start
from imindex.indexer.system.sandbox import write_all

if TYPE_CHECKING:
    from imindex.indexer.decode.preprocess import Picture, Preprocess


Grant = Callable[[int | None, int], int]
"""Waits for memory for a number of pixels, of which each takes so many bytes in the decoder; None stands for all
memory. Returns the bytes that the decoder may use."""
_GRANTS = 2
"""Most grants that a process asks for: one for the size of the picture, and one for everything."""
_MOST_PER_PIXEL = 300
_START_SECONDS = 120.0
_PIPE_BYTES = 2**20
HOOK = ""
"""For tests: `module:function` that each process calls with the bytes of a picture before decoding them."""


class Decoders:
    """A pool with one decoder process per calling thread. Use as a context manager.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self._memory = budget(limits)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *exception: object) -> None:
        """End all processes immediately, including busy ones, whose callers get BadPicture."""
        self._closed.set()
        with self._lock:
            busy, idle = self._all.difference(self._idle), self._idle
        for process in busy:
            process.kill()  # its thread then cleans up
        for process in idle:
            process.end()

    def __call__(self, data: bytes, rendering: Rendering = Rendering()) -> npt.NDArray[np.uint8]:  # noqa: B008 - frozen
        """Decode a picture as `decoded` does, and return its pixels, (height, width, 3) uint8."""
        with self.decoded(data, rendering=rendering) as pixels:
            return pixels.values

    @contextlib.contextmanager
    def decoded(
        self,
        data: bytes,
        bytes_per_pixel: int = 3,
        rendering: Rendering = Rendering(),  # noqa: B008 - frozen
    ) -> Iterator[Pixels]:
        """Decode a picture in another process, as `imindex.indexer.decode.pillow.read` does.

        The memory that this takes is part of the budget of all decoders until the end of the block. The caller holds
        the memory of the file (`imindex.indexer.decode.memory`).

        Parameters
        ----------
        data : bytes
        bytes_per_pixel : int
            What the caller needs for each pixel, with those that are yielded.
        rendering : Rendering

        Yields
        ------
        Pixels

        Raises
        ------
        BadPicture
            With the reason: that of `pillow.read`, a timeout, or a decoder that crashed twice (the second time in a
            fresh process), or that it alone does not fit into the memory.
        ImindexError
            If no process can be started.
        """
        with contextlib.ExitStack() as held:

            def grant(n_pixels: int | None, each: int) -> int:
                held.close()  # of an earlier attempt
                size = None if n_pixels is None else n_pixels * (each + bytes_per_pixel)
                return held.enter_context(self._memory.picture(size, self._closed.is_set))

            yield self._twice(data, grant, rendering)

    def _twice(self, data: bytes, grant: Grant, rendering: Rendering) -> Pixels:
        try:
            return self._decode(data, grant, rendering)
        except _Crashed:  # the cause may be an earlier picture, or a lack of memory
            pass
        try:
            return self._decode(data, grant, rendering, fresh=True)
        except _Crashed as crash:
            if str(crash) == "SIGKILL":  # not sent by this process: the system kills when memory is short
                raise BadPicture(f"{NO_MEMORY}, or somebody else killed the decoder ({crash})") from None
            raise BadPicture(f"the decoder crashed ({crash})") from None

    def _decode(
        self,
        data: bytes,
        grant: Grant,
        rendering: Rendering = Rendering(),  # noqa: B008 - frozen
        fresh: bool = False,
    ) -> Pixels:
        process = self._borrow(fresh)
        try:
            pixels = process.decode(data, self.limits, grant, rendering)
        except _Refused as refused:
            self._give_back(process)
            raise BadPicture(str(refused)) from None
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
        """Kill processes that exceed the time limit."""
        while not self._closed.wait(min(0.25, self.limits.decode_timeout / 4)):
            with self._lock:
                processes = list(self._all)
            for process in processes:
                process.kill_if_overdue()


@functools.cache
def shared(limits: Limits) -> Decoders:
    """Return a process-wide pool for occasional decoding; it ends with this process."""
    decoders = Decoders(limits)
    atexit.register(decoders.__exit__)
    return decoders


class _Refused(Exception):
    """The process gave a reason for a rejection, and is ready for the next picture."""


class _Crashed(Exception):
    """The process ended; the message is the exit code or signal."""


class _Process:
    def __init__(self) -> None:
        single_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            self._process = start("imindex.indexer.decode.worker:main", HOOK, environment=single_thread)
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
        _enlarge_buffers(self._in.fileno(), self._out.fileno())

    def decode(self, data: bytes, limits: Limits, grant: Grant, rendering: Rendering) -> Pixels:
        if not self._started:
            self._start()
        left = limits.decode_timeout
        asked = n_pixels = 0
        try:
            self._set_deadline(left)
            began = time.monotonic()
            request = REQUEST.pack(len(data), limits.max_pixels, rendering.flags)
            write_all(self._in, request)  # type: ignore[arg-type]
            write_all(self._in, data)  # type: ignore[arg-type]
            while True:
                status, width, height, each = REPLY.unpack(self._read_exactly(bytearray(REPLY.size)))
                if status == BAD:
                    reason = self._read_exactly(bytearray(min(width, 10_000))).decode("utf-8", "replace")
                    raise _Refused(reason)
                if status != ALL and not 0 < width * height <= limits.max_pixels:
                    raise OSError("its reply is invalid")
                if status == DONE:
                    break
                asked += 1
                if asked > _GRANTS or each > _MOST_PER_PIXEL:
                    raise OSError("its reply is invalid")
                self._set_deadline(None)  # it waits for this process
                left -= time.monotonic() - began
                n_pixels = width * height
                try:
                    granted = grant(None if status == ALL else n_pixels, each)
                except BadPicture as error:
                    write_all(self._in, GRANT.pack(0))  # type: ignore[arg-type]
                    raise _Refused(str(error)) from error
                self._set_deadline(max(left, 0.0))
                began = time.monotonic()
                write_all(self._in, GRANT.pack(granted))  # type: ignore[arg-type]
            if not asked or (status == DONE and n_pixels and width * height != n_pixels):
                raise OSError("its reply is invalid")
            pixels = np.empty((height, width, 3), np.uint8)
            self._read_exactly(pixels.reshape(-1))
        except OSError as error:  # the pipe is broken
            if self._overdue:
                raise BadPicture(limits.too_slow) from error
            raise _Crashed(how_it_ended(self._process) or str(error)) from error
        finally:
            self._set_deadline(None)
        return Pixels(pixels, from_bits(each))

    def _start(self) -> None:
        self._set_deadline(_START_SECONDS)
        try:
            self._read_exactly(bytearray(len(READY)))
        except OSError as error:
            raise ImindexError(
                f"A decoder process did not start ({how_it_ended(self._process)}). "
                f"Check that `{sys.executable} -m PIL` works, and that memory and process limits are not exhausted."
            ) from error
        finally:
            self._set_deadline(None)
        self._started = True

    def _read_exactly(self, buffer: bytearray | npt.NDArray[np.uint8]) -> bytearray:
        view = memoryview(buffer)  # type: ignore[arg-type]
        while view:
            n_read = self._out.readinto(view)  # type: ignore[attr-defined]
            if not n_read:
                raise BrokenPipeError("the process ended")
            view = view[n_read:]
        return buffer  # type: ignore[return-value]

    def _set_deadline(self, seconds: float | None) -> None:
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


def _enlarge_buffers(*pipes: int) -> None:
    """Enlarge the buffers of pipes, where the system allows it, so that a picture takes fewer writes."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        for pipe in pipes:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def picture_of(data: bytes, preprocess: Preprocess, limits: Limits = Limits()) -> Picture:  # noqa: B008 - frozen
    """Decode a single picture as a build does: anything but a plain JPEG in another process, in case it crashes.

    Raises
    ------
    BadPicture
        With the reason.
    """
    from imindex.indexer.decode.preprocess import decode

    with budget(limits).file(len(data)):
        return decode(data, preprocess, limits=limits, elsewhere=shared(limits).decoded)
