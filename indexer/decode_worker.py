"""What a decoder process does: pictures in by stdin, RGB pixels or the reason why not out by stdout, until stdin ends.

A request is the number of bytes and the limit of pixels, then the bytes. An answer is a status, width and height, then
the pixels; or a status, the length of the reason and 0, then the reason.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

REQUEST = struct.Struct("<QQ")
ANSWER = struct.Struct("<BQQ")
READY, DONE, BAD = b"R", 0, 1
_MEMORY, _MEMORY_A_PIXEL = 2 * 2**30, 32
"""Bytes of address space beyond which decoding fails, whatever a file claims: 16-bit grey takes the most a pixel."""


def main(hook: str = "") -> None:
    """Serve until stdin ends.

    Parameters
    ----------
    hook : str
        `module:function` to call with the bytes of each picture before it is decoded. Tests crash and hang there.
    """
    answers = keep_to_oneself()
    from indexer import rgb  # Pillow, in about 0.1 s
    from indexer.errors import BadPicture
    from indexer.limits import Limits

    before = _function(hook)
    requests = os.fdopen(0, "rb", buffering=0)
    write_all(answers, READY)
    while (header := _exactly(requests, REQUEST.size)) is not None:
        length, max_pixels = REQUEST.unpack(header)
        data = _exactly(requests, length)
        if data is None:
            return
        limit_memory(_MEMORY + _MEMORY_A_PIXEL * max_pixels + 2 * length)
        with ends_with_parent():
            before(data)
            limits = Limits(max_pixels=max_pixels)
            try:
                with rgb.reasons(limits):
                    image = rgb.read(bytes(data), limits)
                    answer, content = ANSWER.pack(DONE, *image.size), image.tobytes()
                    del image
            except BadPicture as error:
                content = str(error).encode("utf-8", "replace")
                answer = ANSWER.pack(BAD, len(content), 0)
        del data
        write_all(answers, answer)
        write_all(answers, content)
        del content


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of it to an unbuffered pipe."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _exactly(file: BinaryIO, count: int) -> bytearray | None:
    """So many bytes; None at the end of the pipe."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = file.readinto(view)  # type: ignore[attr-defined]
        if not got:
            return None
        view = view[got:]
    return data


def _function(name: str) -> Callable[[bytearray], object]:
    if not name:
        return lambda _: None
    module, _, function = name.partition(":")
    return getattr(__import__(module), function)  # type: ignore[no-any-return]


def keep_to_oneself() -> BinaryIO:
    """Return the pipe of answers; what libraries print goes nowhere, a crash leaves no core, Ctrl-C is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGIO, signal.SIG_DFL)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with contextlib.suppress(OSError):  # rather this process than the build, when memory runs out
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    return answers


def limit_memory(most: int) -> None:
    """Let no more than so many bytes of address space be taken, where the system can see to it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))


@contextlib.contextmanager
def ends_with_parent() -> Iterator[None]:
    """While a decoder runs, which may never come back, the end of stdin is a signal that ends the process."""
    if sys.platform == "win32":
        yield
        return
    import fcntl
    import select

    flags = fcntl.fcntl(0, fcntl.F_GETFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_ASYNC)  # SIGIO when the parent closes its end
    ended = select.poll()
    ended.register(0, 0)
    if ended.poll(0):  # before that
        raise SystemExit
    yield
    fcntl.fcntl(0, fcntl.F_SETFL, flags)
