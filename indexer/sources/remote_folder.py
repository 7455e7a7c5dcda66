"""A folder of an object store as a tree, read by one listing, so that it is searched as a folder of this machine is."""

from __future__ import annotations

import os
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_shard, is_url
from imindex.indexer.remote import objects
from imindex.indexer.remote.address import WEB
from imindex.indexer.remote.info import Info
from imindex.indexer.sources import urls
from imindex.indexer.sources.stray import is_undecided, kind_of_name


class RemoteFolder:
    """A folder or an object of a listing, with those methods of `Path` and `os.DirEntry` that the search needs.

    Parameters
    ----------
    path : str
        Its URL.
    info : Info, optional
        What the listing says of an object; None for a folder.
    parent : RemoteFolder, optional
    """

    def __init__(self, path: str, info: Info | None = None, parent: RemoteFolder | None = None):
        self.path = path
        self.info = info
        self._parent = parent
        self.children: dict[str, RemoteFolder] = {}
        self.is_there = info is not None or parent is None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> RemoteFolder:
        """The folder around it. Of the root of a listing, it has a name only."""
        return self._parent or RemoteFolder(self.path.rpartition("/")[0])

    @property
    def parents(self) -> tuple[RemoteFolder, ...]:
        return ()

    def __str__(self) -> str:
        return self.path

    __fspath__ = __str__

    def __truediv__(self, name: str) -> RemoteFolder:
        child = self.children.get(name)
        return RemoteFolder(f"{self.path}/{name}", parent=self) if child is None else child

    def resolve(self) -> RemoteFolder:
        return self

    absolute = resolve

    def is_dir(self) -> bool:
        return self.info is None and self.is_there

    def is_file(self) -> bool:
        return self.info is not None

    def exists(self) -> bool:
        return self.is_there

    def is_symlink(self) -> bool:
        return False

    def sorted_children(self) -> list[RemoteFolder]:
        """Return what is in the folder, sorted as a folder of this machine is."""
        return [self.children[name] for name in sorted(self.children, key=os.fsencode)]

    def add(self, relative: str, info: Info) -> None:
        """Add an object at a path below this folder."""
        folder = self
        *folders, name = relative.split("/")
        for part in folders:
            below = folder.children.get(part)
            if below is None or below.info is not None:
                below = folder.children[part] = RemoteFolder(f"{folder.path}/{part}", parent=folder)
                below.is_there = True
            folder = below
        if name not in folder.children:
            folder.children[name] = RemoteFolder(info.url, info, folder)


Folder = Path | RemoteFolder


def listed_folder(url: str) -> RemoteFolder:
    """List a folder of an object store, and remember what the listing says of its pictures.

    Raises
    ------
    ImindexError
        If there is nothing in it, its store has no listing, or a key is no path.
    """
    url = url.rstrip("/")
    if url.partition("://")[0].lower() in WEB:
        raise ImindexError(
            f"{url} is not a manifest, and folders cannot be listed over https. List its pictures in a manifest, one "
            "URL per row; or copy them to an object store or to this machine."
        )
    found = objects.listing(url)
    root = RemoteFolder(url)
    for info in found:
        relative = info.url[len(url) :].strip("/")
        if not relative:
            raise _object(url)
        root.add(relative, info)
    if not found and objects.exists(url):
        raise _object(url)
    if not found:
        raise ImindexError(f"{url} does not exist, or holds nothing. Check the URL, and the credentials.")
    urls.remember(found)
    urls.look_at_heads(
        [
            info
            for info in found
            if not is_shard(info.url) and is_undecided(info.url, kind_of_name(info.url.rpartition("/")[2]))
        ]
    )
    return root


def _object(url: str) -> ImindexError:
    return ImindexError(
        f"{url} is an object, not a folder. Pass its folder, or list it in a manifest (.csv, .jsonl, ...)."
    )


def folder_at(entry: object) -> Folder:
    """Return an entry of a folder as a folder: itself if it is remote, otherwise its path."""
    return entry if isinstance(entry, RemoteFolder) else Path(os.fspath(entry))  # type: ignore[call-overload]


def relative_to(file: str, folder: str | os.PathLike[str] | RemoteFolder) -> str:
    """Return the path of a file relative to a folder, with forward slashes."""
    base = os.fspath(folder)
    if is_url(base):
        return file[len(base) :].lstrip("/")
    return os.path.relpath(file, base).replace(os.sep, "/")
