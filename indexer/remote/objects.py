"""Read, list and write objects by URL. Whole objects and ranges are verified, resumed after a cut, and never mixed.

Schemes: s3, gs, az and abfs (obstore), https (the standard library), file, and whatever else fsspec knows.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from imindex.indexer.remote.address import Address, parse
from imindex.indexer.remote.backends import backend_of
from imindex.indexer.remote.base import Condition
from imindex.indexer.remote.errors import Changed, Conflict, Missing, RemoteError, TooLarge, Trouble
from imindex.indexer.remote.info import UNKNOWN, Info
from imindex.indexer.remote.retries import Attempts

COALESCE = 2**18
"""Ranges with a smaller gap between them are read by one request."""
LONGEST_PIECE = 2**25
"""Bytes per request of coalesced ranges."""
_THREADS = 16
_lock = threading.Lock()
_pool: list[ThreadPoolExecutor] = []
_other_etags: set[str] = set()
"""Buckets of S3 whose etags are not the MD5 of the objects."""


def head(url: str) -> Info:
    """Return size, date and etag of an object.

    Raises
    ------
    RemoteError
        If there is none (`Missing`), or it cannot be asked for.
    """
    address = parse(url)
    attempts = Attempts(address.url)
    while True:
        try:
            return backend_of(address).head(address)
        except Trouble as trouble:
            attempts.failed(trouble)


def exists(url: str) -> bool:
    """Return whether there is an object."""
    try:
        head(url)
    except Missing:
        return False
    return True


def read(
    url: str, *, most: int | None = None, admit: Callable[[int], object] = lambda size: None
) -> tuple[bytes, Info]:
    """Return a whole object, by one request where nothing fails.

    Parameters
    ----------
    url : str
    most : int, optional
        The largest size that is read. A larger object is refused by its size, before its bytes are requested.
    admit : callable
        Called with the size, before the bytes are read, such as to wait for memory.

    Raises
    ------
    TooLarge
    RemoteError
        If there is no such object, it changes again and again while it is read, or its store cannot be reached.
    """
    address = parse(url)
    backend, attempts = backend_of(address), Attempts(address.url)
    data, info = bytearray(), None
    wrong = ""
    while True:
        try:
            resumed = info if info is not None and data and info.is_told_apart else None
            if resumed is None:
                data.clear()
            with backend.request(address, len(data), None, resumed) as body:
                if resumed is None:
                    if most is not None and body.info.size > most:
                        raise TooLarge(address.url, f"has {body.info.size:,} bytes, more than {most:,}.")
                    if info is None:
                        admit(max(0, body.info.size))
                    info = body.info
                assert info is not None
                for chunk in body:
                    data += chunk
                    if info.size != UNKNOWN and len(data) > info.size:
                        data.clear()
                        raise Trouble("the store sent more bytes than it said")
                    if most is not None and len(data) > most:
                        raise TooLarge(address.url, f"has more than {most:,} bytes.")
            if info.size not in (UNKNOWN, len(data)):
                raise Trouble(f"it ended after {len(data):,} of {info.size:,} bytes")
            if (md5 := backend.md5_of(info)) and address.place not in _other_etags:
                before, wrong = wrong, hashlib.md5(data, usedforsecurity=False).hexdigest()
                if wrong != md5:
                    data.clear()
                    if wrong != before or not backend.head(address).is_same(info):
                        raise Trouble("its bytes are not those of its etag")
                    # Two equal readings that the store confirms: its etags are no MD5, as under KMS encryption.
                    _other_etags.add(address.place)
                    continue
            return bytes(data), info
        except Trouble as trouble:
            attempts.failed(trouble, len(data))
        except Changed:
            data.clear()
            attempts.failed(Trouble("it was changed while it was read, each time"))


def read_ranges(
    url: str, ranges: Sequence[tuple[int, int]], *, etag: str = "", version: Info | None = None
) -> list[bytes]:
    """Return ranges of one version of an object. Near ones are read by one request, and several at a time.

    Parameters
    ----------
    url : str
    ranges : sequence of (int, int)
        Start and length of each, in bytes. All must lie within the object.
    etag : str
        The version that is meant. By default the one that the first answer is of.
    version : Info, optional
        The version that is meant, by its etag, or else by its date and size. It takes precedence over `etag`. Callers
        that call this function several times for one object pass it, since some servers send no etag.

    Raises
    ------
    Changed
        If the object is another version, or changes in between.
    RemoteError
    """
    address = parse(url)
    if any(start < 0 or length < 0 for start, length in ranges):
        raise ValueError("ranges start at 0 or later and have no negative length")
    pieces = _coalesced(ranges)
    if not pieces:
        return [b"" for _ in ranges]
    expected = version or (Info(address.url, UNKNOWN, 0, etag) if etag else None)
    first, info = _piece(address, *pieces[0], expected)
    others = pieces[1:]
    rest = (
        list(_threads().map(lambda piece: _piece(address, piece[0], piece[1], info)[0], others))
        if others
        else []
    )
    by_start = [(piece[0], memoryview(data)) for piece, data in zip(pieces, [first, *rest], strict=True)]
    return [_cut(by_start, start, length) for start, length in ranges]


def listing(url: str) -> list[Info]:
    """Return the objects below a folder, sorted by key (by the code points of its parts, as names of files sort).

    Markers of folders (objects without bytes whose names are folders of others) are left out.

    Raises
    ------
    RemoteError
        If it cannot be listed, as over https.
    """
    address = parse(url)
    attempts = Attempts(address.url)
    while True:
        try:
            found = list(backend_of(address).listing(address))
            break
        except Trouble as trouble:
            attempts.failed(trouble)
    folders = {parent for info in found for parent in _parents(info.url)}
    return sorted(
        (info for info in found if info.size or info.url.rstrip("/") not in folders),
        key=lambda info: info.url.split("/"),
    )


def put(url: str, source: bytes | Path, *, if_absent: bool = True, if_etag: str = "") -> Info:
    """Write an object as a whole. Of several writers with the same condition, one wins.

    Parameters
    ----------
    url : str
    source : bytes or Path
    if_absent : bool
        Require that there is no such object yet.
    if_etag : str
        Require that the object has this etag; takes precedence over `if_absent`.

    Raises
    ------
    Conflict
        If the condition does not hold.
    RemoteError
    """
    address = parse(url)
    condition = Condition(if_absent and not if_etag, if_etag)
    backend, token, attempts = backend_of(address), secrets.token_hex(16), Attempts(address.url)
    while True:
        try:
            etag = backend.put(address, source, condition, token)
            break
        except Trouble as trouble:
            attempts.failed(trouble)
        except (Conflict, Changed) as error:
            # An earlier attempt whose answer was lost may have been the writer.
            if attempts.total and _token(address) == token:
                etag = head(url).etag
                break
            if isinstance(error, Conflict):
                raise
            raise Conflict(
                address.url,
                "is not the version that this one was to replace. Read it again, then repeat the change.",
            ) from None
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    return Info(address.url, size, 0, etag)


def _token(address: Address) -> str:
    attempts = Attempts(address.url)
    while True:
        try:
            return backend_of(address).token_of(address)
        except Missing:
            return ""
        except Trouble as trouble:
            attempts.failed(trouble)


def _piece(address: Address, start: int, stop: int, expected: Info | None) -> tuple[bytes, Info]:
    """Return the bytes of one range, and of which object they are."""
    attempts = Attempts(address.url)
    data, info = bytearray(), expected
    while True:
        try:
            with backend_of(address).request(address, start + len(data), stop, info) as body:
                if body.info.size != UNKNOWN and body.info.size < stop:
                    raise RemoteError(
                        address.url,
                        f"ends at byte {body.info.size:,}, before byte {stop:,} that it should have. Copy it again.",
                    )
                info = body.info if info is None or info.size == UNKNOWN else info
                for chunk in body:
                    data += chunk
            if len(data) > stop - start:
                data.clear()
                raise Trouble("the store sent more bytes than were requested")
            if len(data) < stop - start:
                raise Trouble(f"it ended after {len(data):,} of {stop - start:,} bytes")
            return bytes(data), info
        except Trouble as trouble:
            if info is not None and not info.is_told_apart:
                data.clear()
            attempts.failed(trouble, len(data))


def _coalesced(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pieces (start, stop) to request, in ascending order."""
    pieces: list[tuple[int, int]] = []
    for start, length in sorted(set(ranges)):
        if not length:
            continue
        stop = start + length
        if (
            pieces
            and start - pieces[-1][1] < COALESCE
            and (
                stop <= pieces[-1][1]
                or max(stop, pieces[-1][1]) - pieces[-1][0] <= LONGEST_PIECE
                or start < pieces[-1][1]
            )
        ):
            pieces[-1] = pieces[-1][0], max(stop, pieces[-1][1])
        else:
            pieces.append((start, stop))
    return pieces


def _cut(pieces: Sequence[tuple[int, memoryview]], start: int, length: int) -> bytes:
    from bisect import bisect_right

    if not length:
        return b""
    at, data = pieces[bisect_right(pieces, start, key=lambda piece: piece[0]) - 1]
    return bytes(data[start - at : start - at + length])


def _parents(url: str) -> list[str]:
    parts = url.split("/")
    return ["/".join(parts[:n]) for n in range(3, len(parts))]


def _threads() -> ThreadPoolExecutor:
    with _lock:
        if not _pool:
            _pool.append(ThreadPoolExecutor(_THREADS, thread_name_prefix="remote"))
        return _pool[0]
