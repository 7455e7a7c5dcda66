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
from imindex.indexer.core.credentials import name_by_user
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import (
    SEPARATOR,
    is_below,
    is_url,
    join_member,
    split_folder,
    split_member,
    with_container,
)
from imindex.indexer.core.url import Url

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
    folder : Path or Url
        The folder of the index. URLs below that of an index in an object store may be read, too.
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
    >>> places = PicturePaths(Url("s3://bucket/audit"))
    >>> places.full("works/a.png"), places.full("../other/a.png"), places.full("/data/a.png")
    ('s3://bucket/audit/works/a.png', None, '/data/a.png')
    """

    folder: Path | Url
    roots: Mapping[str, str] = field(default_factory=dict)
    remote: Sequence[str] = ()

    def full(self, stored: str) -> str | None:
        """Return the location of a picture.

        None if its root is unknown, it leads out of its root, or it is a URL outside `remote`.
        """
        container, member = split_member(stored)
        url = self._url(container)
        if url is not None:
            own = (self.folder,) if isinstance(self.folder, Url) else ()
            full = url if any(is_below(url, prefix) for prefix in (*own, *self.remote)) else None
        else:
            full = self._file(container)
        return full if full is None or member is None else join_member(full, member)

    def is_remote(self, stored: str) -> bool:
        """Return whether a stored path means a URL, whether or not that may be read."""
        return self._url(split_member(stored)[0]) is not None

    def _url(self, stored: str) -> str | None:
        if is_url(stored):
            return stored
        if isinstance(self.folder, Url) and not stored.startswith("/") and not os.path.isabs(stored):  # noqa: PTH117
            return join_url(self.folder, stored)
        name, relative = split_rooted(stored) or ("", "")
        root = self.roots.get(name, "")
        return f"{root.rstrip('/')}/{relative}" if is_url(root) and _stays_inside(relative) else None

    def _file(self, stored: str) -> str | None:
        rooted = split_rooted(stored)
        if rooted is None:
            if isinstance(self.folder, Url):
                return os.path.normpath(stored)
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


def join_url(folder: Url, relative: str) -> str:
    """Return the URL that a relative path means in a folder; each `..` leads to the folder above.

    Examples
    --------
    >>> join_url(Url("s3://bucket/audit/v1"), "../works/a.png")
    's3://bucket/audit/works/a.png'
    """
    scheme, _, rest = folder.partition("://")
    parts = rest.split("/")
    for part in relative.split("/"):
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return f"{scheme}://{'/'.join(parts)}"


def _stays_inside(relative: str) -> bool:
    parts = relative.split("/")
    return (
        bool(relative) and "\0" not in relative and "\\" not in relative and not {"", ".", ".."} & set(parts)
    )


def merged_roots(known: Mapping[str, str], named: Mapping[str, Place]) -> dict[str, str]:
    """Return the folders of the roots of an index, and of those that the user names now, which take precedence."""
    return {**known, **{name: _absolute(folder) for name, folder in named.items()}}


def _absolute(folder: Place) -> str:
    place = name_by_user(os.fspath(folder))
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
        place = name_by_user(os.fspath(folder))
        if not is_url(place) and not Path(place).is_dir():
            raise ImindexError(
                f"The root {name} is {os.fspath(folder)}, which is not a folder. Name an existing one."
            )
    return merged_roots({}, roots)


def stored_path(path: str, folder: Path | Url, roots: Mapping[str, str] | None = None) -> str:
    """Return a path as stored in /items: relative to the folder of the index, with forward slashes.

    Parameters
    ----------
    path : str
    folder : Path or Url
        The folder of the index. For one in an object store, URLs below it are relative, and local files outside the
        roots are stored by their absolute paths.
    roots : mapping of str to str, optional
        Absolute folders, or prefixes of URLs, by name. A picture outside `folder` and inside one of these is stored as
        `//NAME/relative/path`; in the innermost one if it is inside several.
    """
    container, member = split_member(path)
    if member is not None:
        return join_member(stored_path(container, folder, roots), member)
    if is_url(path):
        if isinstance(folder, Url) and is_below(path, folder) and _stays_inside(path[len(folder) + 1 :]):
            return path[len(folder) + 1 :]
        return _rooted_url(path, roots or {})
    full = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links
    if isinstance(folder, Url):
        return _rooted(full, roots or {}) or full.replace(os.sep, "/")
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

    def __init__(self, folder: Path | Url, roots: Mapping[str, str] | None = None):
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


class Rebased:
    """Paths as stored in the index of one folder -> as stored in an index of another folder, cached per folder.

    Paths in named roots, URLs and absolute paths stay. Paths are changed as text: no file is looked at.

    Parameters
    ----------
    old, new : Path or Url
        Folders of the two indexes.

    Examples
    --------
    >>> moved = Rebased(Path("/audit/parts"), Path("/audit"))
    >>> moved("../works/a.png"), moved("b.png"), moved("//art/a.png")
    ('works/a.png', 'parts/b.png', '//art/a.png')
    """

    def __init__(self, old: Path | Url, new: Path | Url):
        self._from, self._to = old, new
        self._old, self._new = _absolute(old), _absolute(new)
        self.keeps_all = self._old == self._new
        """Whether the folders are the same."""
        self._known: dict[str, str] = {}

    def __call__(self, stored: str) -> str:
        if self.keeps_all or _is_fixed(stored):
            return stored
        folder, rest = split_folder(stored)
        if split_member(rest)[0] in ("", ".", ".."):
            return with_container(stored, self._moved(split_member(stored)[0]))
        prefix = self._known.get(folder)
        if prefix is None:
            prefix = self._moved(folder)
            prefix = self._known[folder] = "" if prefix == "." else prefix.rstrip("/") + "/"
        return prefix + rest

    def _moved(self, relative: str) -> str:
        if isinstance(self._from, Url):
            full = join_url(self._from, relative)
            return "." if full == self._to else stored_path(full, self._to)
        full = os.path.normpath(os.path.join(self._old, relative))  # noqa: PTH118 - many
        if isinstance(self._to, Url):
            return full.replace(os.sep, "/")
        return os.path.relpath(full, self._new).replace(os.sep, "/")


def _is_fixed(stored: str) -> bool:
    """Return whether a stored path means the same in every folder: it is rooted, absolute, or a URL."""
    return stored.startswith("/") or is_url(stored) or os.path.isabs(stored)  # noqa: PTH117 - many
