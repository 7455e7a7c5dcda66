"""Files -> digests and, where they are new, decoded pictures; in threads, in order, a bounded way ahead.

Threads read and digest, and decode plain JPEGs; decoders of other formats, which a made-up file can crash or keep busy
for ever, run in processes of their own (`imindex.indexer.decode.pool`).
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.schema import NO_STAMP, Stamp
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.pool import Decoders
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.local import _read_file
from imindex.indexer.system.cpu import processors

if TYPE_CHECKING:
    from imindex.indexer.decode.preprocess import Picture

NO_DIGEST = bytes(32)
"""Stands for the SHA-256 of a file that could not be read at all."""


@dataclass(frozen=True, slots=True)
class Read:
    """A picture as it came from the disk; `picture` only if it has to be encoded.

    `seen` tells that it is a row of the index whose file is as it was, and that it was not even read.
    """

    item: Item
    digest: bytes
    picture: Picture | None = None
    reason: str = ""
    stamp: Stamp = NO_STAMP
    seen: bool = False


def read_all(
    items: Sequence[Item],
    known: Container[bytes],
    preprocess: Mapping[str, Any],
    seen: Callable[[Item], tuple[bytes, Stamp, bool] | None] = lambda _: None,
    ahead: Callable[[], int] = lambda: 0,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    turn: threading.Event | None = None,
) -> Generator[Read]:
    """Read, digest and, where new, decode in threads; yield in order, never far ahead of the encoder.

    Parameters
    ----------
    items : sequence of Item
    known : container of bytes
        Digests of pictures that need no decoding.
    preprocess : mapping
        The encoder's preprocessing, as an index stores it.
    seen : callable
        Gives digest and stamp of a file that need not even be read, and whether it is a row; None for all others.
    ahead : callable
        How many pictures to read and decode ahead, if more than 32 for each processor: two batches, so that the next
        one is ready when one is encoded.
    limits : Limits
        A picture that asks for more is given with the reason, and without pixels.
    turn : threading.Event, optional
        Files are read at any time, but none is decoded while it is cleared: the processors are the encoder's then.
    """
    turn = turn or _always()
    workers = processors()
    window = 32 * workers
    waiting: deque[Future[Read] | Read] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool, Decoders(limits) as decoders:
        try:
            for item in items:
                there = seen(item)
                if there is not None:
                    waiting.append(Read(item, there[0], stamp=there[1], seen=there[2]))
                else:
                    waiting.append(pool.submit(_read, item, known, preprocess, decoders, turn))
                if len(waiting) >= max(window, ahead()):
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            turn.set()
            pool.shutdown(
                wait=False, cancel_futures=True
            )  # first the decoders end, then the threads that wait for them


def _always() -> threading.Event:
    turn = threading.Event()
    turn.set()
    return turn


def _result(read: Future[Read] | Read) -> Read:
    return read if isinstance(read, Read) else read.result()


def _read(
    item: Item,
    known: Container[bytes],
    preprocess: Mapping[str, Any],
    decoders: Decoders,
    turn: threading.Event,
) -> Read:
    try:
        data, stamp = _read_file(item.path)
    except BadPicture as error:
        return Read(item, NO_DIGEST, reason=str(error))
    except OSError as error:
        return Read(item, NO_DIGEST, reason=f"cannot be read: {error.strerror or error}")
    except MemoryError:
        return Read(item, NO_DIGEST, reason="cannot be read: memory ran out")
    digest = hashlib.sha256(data).digest()
    if digest in known:
        return Read(item, digest, stamp=stamp)
    turn.wait()
    try:
        return Read(item, digest, decode(data, preprocess, decoders), stamp=stamp)
    except BadPicture as error:
        return Read(item, digest, reason=str(error), stamp=stamp)


def decode(data: bytes, preprocess: Mapping[str, Any], decoders: Decoders) -> Picture:
    """Decode a picture and bring it to the encoder's size: `preprocess.decode`, loaded at the first call."""
    from imindex.indexer.decode import preprocess as images

    settings = images.Preprocess.from_dict(preprocess)
    return images.decode(data, settings, limits=decoders.limits, elsewhere=decoders)
