"""Files -> digests and, where they are new, decoded pictures; in threads, in order, a bounded way ahead."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from indexer.images import BadPicture, Picture, Preprocess, decode
from indexer.sources import Item

MAX_BYTES = 2**30
"""Files larger than this are no pictures that anyone meant."""
NO_DIGEST = bytes(32)
"""Stands for the SHA-256 of a file that could not be read at all."""


@dataclass(frozen=True)
class Read:
    """A picture as it came from the disk; `picture` only if it has to be encoded."""

    item: Item
    digest: bytes
    picture: Picture | None = None
    reason: str = ""


def read_all(items: Sequence[Item], known: Container[bytes], preprocess: Preprocess) -> Iterator[Read]:
    """Read, digest and, where new, decode in threads; yield in order, never far ahead of the encoder."""
    workers = os.cpu_count() or 1
    window = 32 * workers
    waiting: deque[Future[Read]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(_read, item, known, preprocess))
                if len(waiting) >= window:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(item: Item, known: Container[bytes], preprocess: Preprocess) -> Read:
    try:
        data = read_bytes(item.path)
    except BadPicture as error:
        return Read(item, NO_DIGEST, reason=str(error))
    except OSError as error:
        return Read(item, NO_DIGEST, reason=f"cannot be read: {error.strerror or error}")
    digest = hashlib.sha256(data).digest()
    if digest in known:
        return Read(item, digest)
    try:
        return Read(item, digest, decode(data, preprocess))
    except BadPicture as error:
        return Read(item, digest, reason=str(error))


def read_bytes(path: str) -> bytes:
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadPicture("not a regular file")
    if status.st_size > MAX_BYTES:
        raise BadPicture(f"{status.st_size} bytes are more than the limit of {MAX_BYTES}")
    return Path(path).read_bytes()
