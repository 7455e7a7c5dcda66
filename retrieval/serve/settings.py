"""Settings of the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imindex.indexer.decode.limits import Limits
from imindex.indexer.system.cpu import processors
from imindex.indexer.system.index_files import Named


@dataclass(frozen=True)
class Settings:
    """What is served, and within which limits.

    Attributes
    ----------
    indexes : tuple of path-like
        Index files, or patterns of several that are read as one.
    audits : tuple of Path
        Folders of audits, or folders that hold some.
    host : str
        Address to listen on.
    port : int
        0 takes a free one.
    token : str
        Must come with each request, as ``Authorization: Bearer TOKEN`` or as the cookie of the sign-in page. Empty on
        loopback only.
    pictures : bool
        Serve thumbnails and originals.
    pictures_from : tuple of Path
        Further folders that pictures may be in, besides that of the index, its named roots and, for an audit, the
        folder around it.
    roots : mapping of str to path-like
        Where the pictures of named roots are now.
    encoder : mapping
        As in `OpenIndex.query`.
    limits : Limits
        Of pictures that are uploaded.
    max_upload : int
        Largest request in bytes.
    max_pictures : int
        Most pictures, and most texts, in one request.
    max_k : int
        Most neighbours of each kind.
    queue : int
        Most requests that wait for the encoder or the search; a further one is refused with 429.
    timeout : float
        Seconds after which a request is given up with 503.
    threads : int
        Searches at a time.
    access_log : bool
        Write a line per request to stderr: method, route, status and seconds.
    """

    indexes: tuple[Named, ...] = ()
    audits: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    pictures: bool = True
    pictures_from: tuple[Path, ...] = ()
    roots: Mapping[str, Path | str] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    max_upload: int = 64 * 2**20
    max_pictures: int = 32
    max_k: int = 1000
    queue: int = 256
    timeout: float = 30.0
    threads: int = field(default_factory=processors)
    access_log: bool = False
