"""One table: URL scheme -> the back end that reads it."""

from __future__ import annotations

import importlib
import importlib.util
from functools import lru_cache

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.remote.address import BUCKETS, WEB, Address
from imindex.indexer.remote.base import Backend

_BUCKETS = ("buckets", "Buckets", "obstore")
_WEB = ("web", "Web", "")
_FILESYSTEMS = ("filesystems", "Filesystems", "fsspec")
OPENERS = {
    **dict.fromkeys(BUCKETS, _BUCKETS),
    **dict.fromkeys(WEB, _WEB),
    **dict.fromkeys(("hf", "memory", "file"), _FILESYSTEMS),
}
"""Module, class and the library that it needs. Other schemes are read through fsspec, if it knows them."""


def backend_of(address: Address) -> Backend:
    """Return the back end of a URL.

    Raises
    ------
    ImindexError
        If a library is missing, or a manifest names a scheme of fsspec that is not in the table: some of these open
        files of this machine, or start a login.
    """
    if address.scheme not in OPENERS and not address.named:
        raise ImindexError(
            f"{address.url} has a scheme that is read only where the user names it. Known are s3, gs, az, hf and "
            f"https; for others, pass --root NAME={address.scheme}://{address.place}/"
        )
    return _backend(address.scheme)


@lru_cache(maxsize=64)
def _backend(scheme: str) -> Backend:
    module, name, library = OPENERS.get(scheme, _FILESYSTEMS)
    if library and importlib.util.find_spec(library) is None:
        raise ImindexError(
            f"{scheme}:// needs the package {library}, which is not installed. Install it with: "
            "pip install 'imindex[remote]'"
        )
    backend = getattr(importlib.import_module(f"imindex.indexer.remote.{module}"), name)()
    assert isinstance(backend, Backend)
    return backend
