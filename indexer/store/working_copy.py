"""Change an index in an object store: a local copy is changed, and replaces the object as a whole, or not at all.

The copy is put in the place of the version that it was made of (`If-Match` its etag, or create-only for a new index).
So of two writers the second is refused. The part files of a build are beside the copy, and outlive it: a build that was
interrupted, or refused, is run again and encodes nothing twice.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from imindex.indexer.core.credentials import name_by_user
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.url import Url
from imindex.indexer.system.atomic import clear_file, clear_leftovers, put_in_place
from imindex.indexer.system.locks import alone

P = ParamSpec("P")
R = TypeVar("R")
_PIECE = 1 << 25
_BATCH = 4


@dataclass
class _Copy:
    """A local copy of an index in an object store; `etag` is that of its version, empty if there was none."""

    url: Url
    etag: str
    parts: Path


_copies: dict[Path, _Copy] = {}
"""The copies that are being changed in this process, by their local paths."""


def home_of(path: Path) -> Path | Url:
    """Return the folder to which the paths of an index are relative: of a working copy, that of its URL."""
    copy = _copies.get(path)
    return path.parent if copy is None else copy.url.parent


def shown(path: Path) -> Path | Url:
    """Return what messages call an index: of a working copy, its URL."""
    copy = _copies.get(path)
    return path if copy is None else copy.url


def publish(path: Path) -> None:
    """Put the working copy at a path in the place of its object. For every other path, nothing is done.

    Raises
    ------
    ImindexError
        If the object has changed since the copy was made, or cannot be written. It is then unchanged.
    """
    copy = _copies.get(path)
    if copy is None:
        return
    from imindex.indexer.remote import objects
    from imindex.indexer.remote.errors import Conflict, Missing

    try:
        info = objects.put(copy.url, path, if_absent=not copy.etag, if_etag=copy.etag)
    except (Conflict, Missing) as error:
        if isinstance(error, Missing) and not copy.etag:  # there is no such bucket
            raise
        happened = "has changed" if copy.etag else "was created"
        since = "since it was read" if copy.etag else "in the meantime"
        raise ImindexError(
            f"{copy.url} {happened} {since}, by another writer. Nothing was overwritten. Run the command again: it "
            f"starts from the new version. Pictures that were encoded are kept in {copy.parts}, and not encoded again."
        ) from error
    copy.etag = info.etag


@contextmanager
def working_copy(url: Url) -> Iterator[Path]:
    """Yield the path of a local copy of an index in an object store, which does not exist if there is no object.

    What `imindex.indexer.store.writer.write` writes there replaces the object. The copy is deleted at the end; the part
    files of an unfinished build stay.

    Raises
    ------
    ImindexError
        If another process of this machine changes the index, or the object cannot be read.
    """
    from imindex.indexer.remote.cache import build_path, private_folder

    path = build_path(url)
    folder = path.parent
    private_folder(folder)
    refusal = f"{url} is being changed by {{by}}. Wait for it to end, or stop it."
    with alone(folder / ".lock", refusal):
        clear_leftovers(path)
        clear_file(path)
        _copies[path] = _Copy(url, _download(url, path), path.with_name(path.name + ".parts"))
        try:
            yield path
        except ImindexError as error:
            error.args = (_about(str(error), path, url), *error.args[1:])
            raise
        finally:
            del _copies[path]
            clear_file(path)
            if [entry.name for entry in folder.iterdir()] == [".lock"]:  # no part files
                with suppress(OSError):
                    clear_file(folder / ".lock")
                    folder.rmdir()


def on_working_copy(parameter: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function that changes the index at a local path take the URL of one in an object store as well.

    Parameters
    ----------
    parameter : str
        The parameter that names the index.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            place: Any = bound.arguments[parameter]
            if not is_url(str(place)):
                return function(*args, **kwargs)
            url = Url(name_by_user(str(place)))
            with working_copy(url) as path:
                bound.arguments[parameter] = path
                note: Any = bound.arguments.get("note")
                if note is not None:
                    bound.arguments["note"] = lambda text: note(_about(text, path, url))
                return function(*bound.args, **bound.kwargs)

        return wrapper

    return decorate


def _about(text: str, path: Path, url: Url) -> str:
    """Replace the path of a working copy in a message by its URL; that of its part files stays."""
    return re.sub(re.escape(str(path)) + r"(?!\.parts)", lambda _: url, text)


def _download(url: Url, path: Path) -> str:
    """Copy an object to a local path, and return its etag; empty if there is none."""
    from imindex.indexer.remote import objects
    from imindex.indexer.remote.errors import Missing, RemoteError
    from imindex.indexer.remote.info import UNKNOWN

    try:
        info = objects.head(url)
    except Missing:
        return ""
    if not info.etag or info.size == UNKNOWN:
        raise RemoteError(
            url,
            "cannot be changed: its store gives no etag, so that a change by somebody else would go unnoticed. "
            "Download it, change it there, and upload it.",
        )
    with put_in_place(path) as file:
        starts = range(0, info.size, _PIECE)
        for first in range(0, len(starts), _BATCH):
            ranges = [(start, min(_PIECE, info.size - start)) for start in starts[first : first + _BATCH]]
            for piece in objects.read_ranges(url, ranges, version=info):
                file.write(piece)
    return info.etag
