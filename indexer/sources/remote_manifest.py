"""Read a manifest at a URL, and tell what its paths mean."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from imindex.indexer.core.credentials import take_up
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_below, is_url, join_member, split_member
from imindex.indexer.core.paths import PicturePaths, split_rooted
from imindex.indexer.decode.limits import MAX_BYTES
from imindex.indexer.remote import objects
from imindex.indexer.remote.address import WEB
from imindex.indexer.sources import manifest_rows
from imindex.indexer.system.atomic import write_file

_LOCAL = ("file",)


def rows_of_url(url: str, note: Callable[[str], None]) -> Iterator[tuple[str, manifest_rows.Row]]:
    """Yield the rows of a manifest at a URL, as `manifest_rows.rows` does.

    Raises
    ------
    ImindexError
        If it cannot be read, is larger than a gibibyte, or is no manifest.
    """
    data, _ = objects.read(url, most=MAX_BYTES)
    suffix = PurePosixPath(urlsplit(url).path if _is_web(url) else url).suffix.lower()
    with tempfile.TemporaryDirectory(prefix="imindex-manifest-") as folder:
        path = Path(folder) / f"manifest{suffix}"
        write_file(path, data)
        del data

        def named(text: str) -> str:
            return text.replace(str(path), url)

        try:
            for where, row in manifest_rows.rows(path, lambda text: note(named(text))):
                yield named(where), row
        except ImindexError as error:
            raise ImindexError(named(str(error))) from None


def public_path(where: str, name: str) -> str | None:
    """Return the public form of a URL in a manifest, and keep its credentials for requests; None if it is no URL.

    Raises
    ------
    ImindexError
        If it has no place, such as `https:///a.jpg`.
    """
    name = name.strip()
    if not is_url(name) or name.partition("://")[0].lower() in _LOCAL:
        return None
    container, member = split_member(name)
    rest = container.partition("://")[2]
    if not rest.partition("/")[0] or rest.startswith("?"):
        raise ImindexError(f"{where}: {name[:80]} is a URL without a host or bucket. Correct the path.")
    public = take_up(container)
    return public if member is None else join_member(public, member)


def in_named_root(places: PicturePaths, where: str, name: str) -> str | None:
    """Return the location of a path in a named root (`//NAME/path`); None if it is in none of `places`.

    Raises
    ------
    ImindexError
        If it leads out of its root.
    """
    rooted = split_rooted(name)
    if rooted is None or rooted[0] not in places.roots:
        return None
    full = places.full(name)
    if full is None:
        raise ImindexError(f"{where}: {name} leads out of its root {rooted[0]}. Correct the path.")
    return full


class UrlResolver:
    """Resolve the paths of a manifest at a URL. They are relative to its folder, URLs, or in a named root.

    Parameters
    ----------
    manifest : str
        Its URL.
    roots : mapping of str to str
        Folders, or prefixes of URLs, by name.
    """

    def __init__(self, manifest: str, roots: Mapping[str, str]):
        self._folder = (
            manifest.partition("?")[0].rpartition("/")[0]
            if _is_web(manifest)
            else manifest.rpartition("/")[0]
        )
        self._quoted = _is_web(manifest)
        self._places = PicturePaths(Path(), roots, tuple(filter(is_url, roots.values())))
        self.misspelt: list[tuple[str, str]] = []

    def __call__(self, where: str, name: str) -> str:
        """Return the location of a picture.

        Raises
        ------
        ImindexError
            If it is a path of this machine, or leads out of the folder of the manifest or out of its root.
        """
        if (url := public_path(where, name)) is not None:
            return url
        if (rooted := in_named_root(self._places, where, name)) is not None:
            return rooted
        path = name.strip().replace("\\", "/")
        if path.startswith("/") or path[1:2] == ":" or is_url(path):
            raise ImindexError(
                f"{where}: {name[:80]} is a path of a machine, and the manifest is at a URL. Write paths relative to "
                "the manifest, or URLs; or write //NAME/path, and say where with --root NAME=FOLDER."
            )
        container, member = split_member(path)
        container = posixpath.normpath(container)
        full = f"{self._folder}/{quote(container) if self._quoted else container}"
        if not is_below(full, self._folder) or container in (".", ""):
            raise ImindexError(
                f"{where}: {name[:80]} is outside the folder of the manifest. Write its URL, or move the manifest to "
                "the folder of the pictures."
            )
        return full if member is None else join_member(full, member)


def _is_web(url: str) -> bool:
    return url.partition("://")[0].lower() in WEB
