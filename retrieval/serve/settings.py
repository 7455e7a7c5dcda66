"""Settings of the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imindex.indexer.decode.limits import Limits
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
    host, port : str, int
        Address to listen on; port 0 takes a free one.
    token : str
        Must come with each request, as ``Authorization: Bearer TOKEN`` or as the cookie of the sign-in page. Empty on
        loopback only.
    pictures : bool
        Serve thumbnails and originals.
    roots : mapping of str to path-like
        Where the pictures of named roots are now.
    encoder : mapping
        As in `OpenIndex.query`.
    limits : Limits
        Of pictures that are uploaded.
    max_upload : int
        Largest request in bytes.
    max_pictures : int
        Most pictures in one request.
    queue : int
        Most requests that wait for the encoder or the search; a further one is refused with 429.
    timeout : float
        Seconds after which a request is given up with 503.
    """

    indexes: tuple[Named, ...] = ()
    audits: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    pictures: bool = True
    roots: Mapping[str, Path | str] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    max_upload: int = 64 * 2**20
    max_pictures: int = 32
    queue: int = 256
    timeout: float = 30.0
