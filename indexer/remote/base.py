"""What a back end of the remote layer does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.remote.address import Address
from imindex.indexer.remote.info import Info


class Body(ABC):
    """The open answer to one request. It is a context manager.

    Attributes
    ----------
    info : Info
        The whole object, however much of it this is.
    """

    info: Info

    @abstractmethod
    def __iter__(self) -> Iterator[bytes | memoryview]:
        """Yield its bytes. Raises `Trouble` if the connection ends early."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """End the request."""

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(frozen=True)
class Condition:
    """What a put requires: that there is no object yet, or one with this etag; nothing if both are empty."""

    if_absent: bool = False
    if_etag: str = ""


class Backend(ABC):
    """One kind of store. Every method makes one attempt, and raises `Trouble` for what another one may pass.

    It raises the errors of `imindex.indexer.remote.errors` for everything else, and no other.
    """

    @abstractmethod
    def head(self, address: Address) -> Info:
        """Return what the store says of an object."""

    @abstractmethod
    def request(self, address: Address, start: int, stop: int | None, expected: Info | None) -> Body:
        """Request the bytes from `start` on, up to `stop`. Raises `Changed` if the object is not the expected one."""

    @abstractmethod
    def listing(self, address: Address) -> Iterator[Info]:
        """Yield the objects below a folder, in any order."""

    @abstractmethod
    def put(self, address: Address, source: bytes | Path, condition: Condition, token: str) -> str:
        """Write an object as a whole, with a token that tells this attempt from others; return its etag."""

    def md5_of(self, info: Info) -> str:
        """Return the MD5 of an object in hexadecimal digits, if its etag should be that; else empty."""
        return ""

    def token_of(self, address: Address) -> str:
        """Return the token that an object was written with; empty if there is none."""
        return ""
