"""The path under which a picture is stored in an index, and the file that a stored path means.

A path is relative to the folder of the index where possible. A picture in a named root, a folder elsewhere that the
user named, is stored as `//NAME/relative/path`, so that the index and the pictures can move separately. A root may be
the prefix of URLs; other URLs are stored as they are. For a member of a tar shard, all this is done with the shard, and
`::MEMBER` is added.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imindex.indexer.core.bounds import MAX_NAME
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import SEPARATOR, is_below, is_url, join_member, split_member

ROOTED = "//"
"""The beginning of a stored path in a named root."""
Place = str | os.PathLike[str]


def root_name_fault(name: str) -> str:
    """Return why a text cannot be the name of a root; empty if it can."""
    if not name or name in (".", ".."):
        return "is not a name"
    if len(name) > MAX_NAME:
        return f"has more than {MAX_NAME:,} characters"
    if any(c in "/\\=" or not c.isprintable() for c in name):
        return "contains a slash, an equals sign or a character that cannot be printed"
    return ""


def split_rooted(stored: str) -> tuple[str, str] | None:
    """Return the name of the root of a stored path and the path in it; None if it is not in a named root."""
    if not stored.startswith(ROOTED):
        return None
    name, _, relative = stored[len(ROOTED) :].partition("/")
    return name, relative


@dataclass(frozen=True)
class PicturePaths:
    """The files that the stored paths of an index mean.

    Parameters
    ----------
    folder : Path
        The folder of the index.
    roots : mapping of str to str
        The absolute folder of each named root, or the prefix of its URLs.
    remote : sequence of str
        Prefixes of the URLs that may be read. An index from a stranger must not make its reader contact a host, so
        these come from the user.

    Examples
    --------
    >>> places = PicturePaths(Path("/audit"), {"art": "/data/art"}, ("s3://bucket/art",))
    >>> places.full("works/a.png"), places.full("//art/a.png"), places.full("//art/../a.png"), places.full("//x/a.png")
    ('/audit/works/a.png', '/data/art/a.png', None, None)
    >>> places.full("//art/00000.tar::1.jpg"), places.full("s3://bucket/art/1.jpg"), places.full("s3://other/1.jpg")
    ('/data/art/00000.tar::1.jpg', 's3://bucket/art/1.jpg', None)
    """

    folder: Path
    roots: Mapping[str, str] = field(default_factory=dict)
    remote: Sequence[str] = ()

    def full(self, stored: str) -> str | None:
        """Return the location of a picture.

        None if its root is unknown, it leads out of its root, or it is a URL outside `remote`.
        """
        container, member = split_member(stored)
        url = self._url(container)
        if url is not None:
            full = url if any(is_below(url, prefix) for prefix in self.remote) else None
        else:
            full = self._file(container)
        return full if full is None or member is None else join_member(full, member)

    def is_remote(self, stored: str) -> bool:
        """Return whether a stored path means a URL, whether or not that may be read."""
        return self._url(split_member(stored)[0]) is not None

    def _url(self, stored: str) -> str | None:
        if is_url(stored):
            return stored
        name, relative = split_rooted(stored) or ("", "")
        root = self.roots.get(name, "")
        return f"{root.rstrip('/')}/{relative}" if is_url(root) and _stays_inside(relative) else None

    def _file(self, stored: str) -> str | None:
        rooted = split_rooted(stored)
        if rooted is None:
            return os.path.normpath(self.folder.absolute() / stored)
        name, relative = rooted
        root = self.roots.get(name, "")
        if root_name_fault(name) or not os.path.isabs(root) or not _stays_inside(relative):  # noqa: PTH117 - many
            return None
        full = os.path.normpath(os.path.join(root, relative))  # noqa: PTH118 - many
        try:
            is_inside = Path(full).resolve().is_relative_to(Path(root).resolve())
        except (OSError, RuntimeError, ValueError):  # links in a circle, a zero byte
            return None
        return full if is_inside else None


def _stays_inside(relative: str) -> bool:
    parts = relative.split("/")
    return (
        bool(relative) and "\0" not in relative and "\\" not in relative and not {"", ".", ".."} & set(parts)
    )


def merged_roots(known: Mapping[str, str], named: Mapping[str, Place]) -> dict[str, str]:
    """Return the folders of the roots of an index, and of those that the user names now, which take precedence."""
    return {**known, **{name: _absolute(folder) for name, folder in named.items()}}


def _absolute(folder: Place) -> str:
    place = os.fspath(folder)
    return place.rstrip("/") if is_url(place) else os.path.abspath(place)  # noqa: PTH100 - links stay


def require_roots(roots: Mapping[str, Place]) -> dict[str, str]:
    """Return the absolute folders of the roots that a caller names.

    Raises
    ------
    ImindexError
        If a name cannot be the name of a root, or there is no such folder. URLs are not looked up.
    """
    for name, folder in roots.items():
        if fault := root_name_fault(name):
            raise ImindexError(
                f"The root {name!r} {fault}. Name it with --root NAME=FOLDER, such as art=/data/art."
            )
        if not is_url(os.fspath(folder)) and not Path(folder).is_dir():
            raise ImindexError(
                f"The root {name} is {os.fspath(folder)}, which is not a folder. Name an existing one."
            )
    return merged_roots({}, roots)


def stored_path(path: str, folder: Path, roots: Mapping[str, str] | None = None) -> str:
    """Return a path as stored in /items: relative to the folder of the index, with forward slashes.

    Parameters
    ----------
    path : str
    folder : Path
        The folder of the index.
    roots : mapping of str to str, optional
        Absolute folders, or prefixes of URLs, by name. A picture outside `folder` and inside one of these is stored as
        `//NAME/relative/path`; in the innermost one if it is inside several.
    """
    container, member = split_member(path)
    if member is not None:
        return join_member(stored_path(container, folder, roots), member)
    if is_url(path):
        return _rooted_url(path, roots or {})
    full = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links
    try:
        relative = os.path.relpath(full, folder.absolute()).replace(os.sep, "/")
    except ValueError:  # another drive
        relative = full.replace(os.sep, "/")
    if roots and (relative == ".." or relative.startswith("../") or os.path.isabs(relative)):  # noqa: PTH117 - many
        return _rooted(full, roots) or relative
    return relative


def _rooted_url(url: str, roots: Mapping[str, str]) -> str:
    """Return a URL in the innermost root that it is in; the URL itself if there is none."""
    inside = [(len(root), name, root) for name, root in roots.items() if is_url(root) and is_below(url, root)]
    if not inside:
        return url
    _, name, root = max(inside)
    relative = url[len(root.rstrip("/")) + 1 :]
    return f"{ROOTED}{name}/{relative}" if _stays_inside(relative) else url


def _rooted(full: str, roots: Mapping[str, str]) -> str:
    """Return a path in the innermost root that it and its real path are in; empty if there is none."""
    best: tuple[int, str, str] | None = None
    real = Path(full).resolve()
    for name, root in roots.items():
        if is_url(root):
            continue
        real_root = Path(root).resolve()
        for path, base in ((full, root), (str(real), str(real_root))):
            if real.is_relative_to(real_root) and Path(path).is_relative_to(base):
                relative = os.path.relpath(path, base).replace(os.sep, "/")
                if "\\" not in relative and (best is None or len(str(real_root)) > best[0]):
                    best = len(str(real_root)), name, relative
                break
    return "" if best is None else f"{ROOTED}{best[1]}/{'' if best[2] == '.' else best[2]}"


class StoredPaths:
    """`stored_path` for many files, cached per folder."""

    def __init__(self, folder: Path, roots: Mapping[str, str] | None = None):
        self._folder = folder
        self._roots = roots or {}
        self._known: dict[str, str] = {}
        self._shards: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        if SEPARATOR in path and (parts := split_member(path))[1] is not None:
            shard = self._shards.get(parts[0])
            if shard is None:
                shard = self._shards[parts[0]] = self(parts[0])
            return join_member(shard, parts[1])
        if is_url(path):
            return stored_path(path, self._folder, self._roots)
        head, _, name = path.rpartition(os.sep)
        prefix = self._known.get(head)
        if prefix is None or name in ("", ".", ".."):
            if not head or name in ("", ".", ".."):
                return stored_path(path, self._folder, self._roots)
            prefix = stored_path(head, self._folder, self._roots)
            prefix = self._known[head] = "" if prefix == "." else prefix.rstrip("/") + "/"
        if prefix.startswith(ROOTED) and (os.path.islink(path) or "\\" in name):  # noqa: PTH114 - many
            return stored_path(path, self._folder, self._roots)
        return prefix + name
