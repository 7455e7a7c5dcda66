"""Everything that fsspec knows: hf, file, and other schemes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.remote.address import Address
from imindex.indexer.remote.base import Backend, Body, Condition
from imindex.indexer.remote.errors import Changed, Conflict, Denied, Missing, RemoteError, Trouble
from imindex.indexer.remote.info import Info

_CHUNK = 2**20
T = TypeVar("T")


class Filesystems(Backend):
    """Objects in a file system of fsspec. A put is conditional only where the system can create exclusively."""

    def head(self, address: Address) -> Info:
        system, path = _opened(address)
        return _call(address, lambda: _info(address.url, system.info(path)))

    def request(self, address: Address, start: int, stop: int | None, expected: Info | None) -> Body:
        system, path = _opened(address)
        before = _call(address, lambda: _info(address.url, system.info(path)))
        if expected is not None and not before.is_same(expected):
            raise Changed(address.url, "was changed while it was read. Run this again.")
        end = before.size if stop is None else min(stop, before.size)
        return _FileBody(address, before, system, path, start, end)

    def listing(self, address: Address) -> Iterator[Info]:
        system, path = _opened(address)
        base = path.strip("/")
        found = _call(address, lambda: system.find(path, detail=True))
        for name, about in found.items():
            relative = str(name).lstrip("/")[len(base) :].lstrip("/")
            yield _info(f"{address.url.rstrip('/')}/{relative}", about)

    def put(self, address: Address, source: bytes | Path, condition: Condition, token: str) -> str:
        if address.scheme != "memory" and (condition.if_absent or condition.if_etag):
            raise RemoteError(
                address.url,
                f"cannot be written: {address.scheme} has no conditional put. Write to s3, gs or az.",
            )
        system, path = _opened(address)
        there = system.exists(path)
        if condition.if_absent and there:
            raise Conflict(
                address.url, "exists already. Another writer has made it: read it, or write elsewhere."
            )
        if condition.if_etag and (
            not there or _info(address.url, system.info(path)).etag != condition.if_etag
        ):
            raise Changed(address.url, "is another version.")
        data = source if isinstance(source, bytes) else source.read_bytes()
        _call(address, lambda: system.pipe_file(path, data))
        return self.head(address).etag


class _FileBody(Body):
    def __init__(self, address: Address, info: Info, system: Any, path: str, start: int, stop: int):
        self.info = info
        self._address, self._system, self._path, self._start, self._stop = address, system, path, start, stop

    def __iter__(self) -> Iterator[bytes]:
        file = _call(self._address, lambda: self._system.open(self._path, "rb"))
        try:
            file.seek(self._start)
            left = self._stop - self._start
            while left and (chunk := self._read(file, min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
        finally:
            file.close()
        after = _call(self._address, lambda: _info(self.info.url, self._system.info(self._path)))
        if not after.is_same(self.info):
            raise Changed(self.info.url, "was changed while it was read. Run this again.")

    def _read(self, file: BinaryIO, size: int) -> bytes:
        return _call(self._address, lambda: file.read(size))


def _opened(address: Address) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    import fsspec  # type: ignore[import-untyped]

    if address.scheme == "file":
        if address.place not in ("", "localhost"):
            raise ImindexError(f"{address.url} names another machine. Write file:///folder/name.")
        return fsspec.filesystem("file"), os.sep + unquote(address.key)
    failure: ImindexError
    try:
        system = fsspec.filesystem(address.scheme, skip_instance_cache=False, use_listings_cache=False)
        return system, f"{address.place}/{address.key}"
    except (ValueError, ImportError):
        failure = ImindexError(
            f"{address.url} has a scheme that cannot be read here. Known are s3, gs, az, hf, https and file; "
            "install what others need for fsspec."
        )
    raise failure


def _info(url: str, about: Any) -> Info:
    if about.get("type") == "directory":
        raise FileNotFoundError(url)
    etag = next(
        (str(about[key]) for key in ("ETag", "etag", "blob_id", "oid", "sha256", "ino") if about.get(key)), ""
    )
    when = next(
        (about[key] for key in ("LastModified", "mtime", "last_modified", "created") if about.get(key)), 0
    )
    if isinstance(when, datetime):
        when = when.timestamp()
    commit = about.get("last_commit")
    if not when and commit is not None and getattr(commit, "date", None):
        when = commit.date.timestamp()
    return Info(url, int(about.get("size") or 0), int(float(when)) * 10**9 if when else 0, etag)


def _call(address: Address, function: Callable[[], T]) -> T:
    """Call a function of fsspec, and raise errors of imindex for its own, without their texts."""
    failure: Exception
    try:
        return function()
    except FileNotFoundError:
        failure = Missing(address.url, "does not exist. Check the URL.")
    except PermissionError:
        failure = Denied(
            address.url, "cannot be read: the store refuses the credentials. Set them in the environment."
        )
    except (RemoteError, Trouble):
        raise
    except (TimeoutError, ConnectionError):
        failure = Trouble("no answer in time")
    except Exception as error:  # each file system has errors of its own
        status = getattr(getattr(error, "response", None), "status_code", 0) or getattr(error, "status", 0)
        if status in (401, 403):
            failure = Denied(
                address.url, "cannot be read: the store refuses the credentials. Set them in the environment."
            )
        elif status == 404:
            failure = Missing(address.url, "does not exist. Check the URL.")
        else:
            failure = Trouble(f"HTTP {int(status)}" if status else f"{type(error).__name__}")
    raise failure
