"""Read and digest files, and decode those that are new: in threads, in order, with bounded read-ahead.

Threads read, digest and decode plain JPEGs. Decoders of other formats, which a crafted file can crash or hang, run in
child processes (`imindex.indexer.decode.pool`).
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.schema import Stamp
from imindex.indexer.decode.limits import MAX_BYTES, Limits
from imindex.indexer.decode.memory import budget
from imindex.indexer.decode.pool import Decoders
from imindex.indexer.runners.base import NO_DIGEST, Read
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.read import read_location
from imindex.indexer.sources.urls import IN_FLIGHT
from imindex.indexer.system.cpu import processors

if TYPE_CHECKING:
    from imindex.indexer.decode.preprocess import Picture


def read_all(  # noqa: PLR0913
    items: Sequence[Item],
    known: Container[bytes],
    preprocess: Mapping[str, Any],
    unchanged: Callable[[Item], tuple[bytes, Stamp, bool] | None] = lambda _: None,
    ahead: Callable[[], int] = lambda: 0,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    may_decode: threading.Event | None = None,
    before: Callable[[], object] = lambda: None,
    look: Callable[[Item, bytes], bool] = lambda item, digest: False,
) -> Generator[Read]:
    """Read and digest files, and decode those that are new, in threads; yield them in order, with bounded read-ahead.

    Parameters
    ----------
    items : sequence of Item
    known : container of bytes
        Digests of pictures that need no decoding.
    preprocess : mapping
        The preprocessing of the encoder, as stored in an index.
    unchanged : callable
        Returns digest and stamp of a file that need not be read, and whether it is a row; None for all other files.
    ahead : callable
        Returns the number of pictures to read ahead, if more than 32 per processor and 64. Two batches keep the next
        batch ready while one is encoded.
    limits : Limits
        A picture that exceeds them is yielded with a reason and without pixels.
    may_decode : threading.Event, optional
        While it is cleared, files are read but not decoded, which leaves the processors to the encoder.
    before : callable
        Called once, in one of the threads, before the first picture is decoded. What it raises ends the reading.
    look : callable
        Returns whether a picture is decoded although its digest is known, to see whether it is black.
    """
    before = _once(before)
    may_decode = may_decode or _set_event()
    workers = processors()
    window = max(32 * workers, 2 * IN_FLIGHT)
    turns = threading.Semaphore(workers)
    """So that requests to object stores, of which there are many, do not decode all at a time."""

    def fetch(item: Item) -> Read:
        """Look up or read a picture at a URL, which may take a request in both cases."""
        if (known_file := unchanged(item)) is not None:
            return Read(item, known_file[0], stamp=known_file[1], unchanged_row=known_file[2])
        return read_one(item, known, preprocess, decoders, may_decode, before, look, turns)

    waiting: deque[Future[Read] | Read] = deque()
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool,
        ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="fetch") as fetchers,
        Decoders(limits) as decoders,
    ):
        try:
            for item in items:
                if is_url(item.path):
                    waiting.append(fetchers.submit(fetch, item))
                elif (known_file := unchanged(item)) is not None:
                    digest, stamp, is_row = known_file
                    waiting.append(Read(item, digest, stamp=stamp, unchanged_row=is_row))
                else:
                    waiting.append(
                        pool.submit(read_one, item, known, preprocess, decoders, may_decode, before, look)
                    )
                if len(waiting) >= max(window, ahead()):
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            may_decode.set()
            # Without waiting: the decoders must end first, then the threads that wait for them.
            pool.shutdown(wait=False, cancel_futures=True)
            fetchers.shutdown(wait=False, cancel_futures=True)


def _once(function: Callable[[], object]) -> Callable[[], None]:
    """Return a function that calls another one once; all callers wait for it, and get the error that it raised."""
    lock = threading.Lock()
    outcome: list[Exception | None] = []

    def call() -> None:
        with lock:
            if not outcome:
                try:
                    function()
                except Exception as error:
                    outcome.append(error)
                else:
                    outcome.append(None)
        if outcome[0] is not None:
            raise outcome[0]

    return call


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def _result(read: Future[Read] | Read) -> Read:
    return read if isinstance(read, Read) else read.result()


def read_one(  # noqa: PLR0913
    item: Item,
    known: Container[bytes],
    preprocess: Mapping[str, Any],
    decoders: Decoders,
    may_decode: threading.Event,
    before: Callable[[], object],
    look: Callable[[Item, bytes], bool],
    turn: AbstractContextManager[object] = nullcontext(),  # noqa: B008 - has no state
) -> Read:
    """Read and digest a file, and decode it if it is new; the parameters are those of `read_all`."""
    memory = budget(decoders.limits)
    with contextlib.ExitStack() as held:
        try:
            data, stamp = read_location(
                item.path, lambda size: held.enter_context(memory.file(size if size <= MAX_BYTES else 0))
            )  # larger files are not read
        except BadPicture as error:
            return Read(item, NO_DIGEST, reason=str(error))
        except OSError as error:
            return Read(item, NO_DIGEST, reason=f"cannot be read: {error.strerror or error}")
        except MemoryError:
            return Read(item, NO_DIGEST, reason="cannot be read: memory ran out")
        digest = hashlib.sha256(data).digest()
        is_known = digest in known
        if item.blocked or (is_known and not look(item, digest)):
            return Read(item, digest, stamp=stamp)
        before()
        may_decode.wait()
        try:
            with turn:
                return Read(item, digest, decode(data, preprocess, decoders), stamp=stamp)
        except BadPicture as error:
            return Read(item, digest, reason="" if is_known else str(error), stamp=stamp)


def decode(data: bytes, preprocess: Mapping[str, Any], decoders: Decoders) -> Picture:
    """Decode a picture and resize it for the encoder: `preprocess.decode`, imported at the first call."""
    from imindex.indexer.decode.preprocess import Preprocess
    from imindex.indexer.decode.preprocess import decode as decode_picture

    settings = Preprocess.from_dict(preprocess)
    return decode_picture(data, settings, limits=decoders.limits, elsewhere=decoders.decoded)
