"""Find the pictures of folders and manifests, in a fixed order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from imindex.indexer.core.credentials import name_by_user
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_ambiguous, is_shard, is_url, split_member
from imindex.indexer.core.schema import KINDS
from imindex.indexer.remote.address import WEB
from imindex.indexer.sources import manifest_rows, remote_shards, urls
from imindex.indexer.sources.artist_from import ArtistFrom
from imindex.indexer.sources.folder import items_of_folder
from imindex.indexer.sources.item import Item, SourceOptions
from imindex.indexer.sources.manifest import items_of_manifest
from imindex.indexer.sources.remote_folder import RemoteFolder, listed_folder
from imindex.indexer.sources.shards import expand, items_of_shard
from imindex.indexer.sources.stray import PassedOver

_COMPRESSED = re.compile(r"\.(?:tar\.|t)(gz|bz2|xz|zst)$", re.IGNORECASE)
_DECOMPRESS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}


def find(  # noqa: PLR0913
    sources: Sequence[str | os.PathLike[str]],
    *,
    kind: str | None = None,
    collection: str | None = None,
    artist: str | None = None,
    roots: Mapping[str, str] | None = None,
    artist_from: str | None = None,
    note: Callable[[str], None] = lambda _: None,
    passed: PassedOver | None = None,
) -> Iterator[Item]:
    """Yield the pictures of folders and manifests, in a fixed order.

    Parameters
    ----------
    sources : sequence of path-like
        Each source is one of:

        - a folder laid out as `works/<artist>/*`, `imitations/<release>/<artist>/*`, `control/*` and
          `background/<artist>/*`, or one of these folders. Files that are not pictures are passed over;
        - any other folder, laid out as `<artist>/*`, if `kind` is given;
        - any of the above folders that holds a file `manifest.csv` (.tsv, .jsonl, .parquet), as `imindex generate`
          writes it: that manifest is read instead, and lists every picture of the folder;
        - a tar shard (`imindex.indexer.sources.shards`), or a pattern of several such as `data/{00000..00099}.tar` or
          `data/*.tar`. Folders may hold shards wherever they may hold pictures;
        - the URL of any of these, such as `s3://bucket/works` (docs/object-stores.md). Over https, manifests only;
        - a manifest (CSV, TSV, JSONL, Parquet) with the columns path, artist, kind, collection, prompt, seed, caption,
          arm, model and blocked. Required are path, kind, artist (except for controls) and collection (for imitations),
          unless passed below. A path is relative to the manifest, or absolute and inside its folder or one of `roots`.
          Cells are separated by commas, semicolons or tabs.
    kind, collection, artist : str, optional
        Metadata of all pictures. For a folder it takes precedence over the names of its folders; for a manifest it
        fills empty columns.
    artist_from : str, optional
        How the paths of pictures tell their artists, for folders in another layout: `ArtistFrom.parse`.
    roots : mapping of str to str, optional
        Absolute folders outside those of manifests that their paths may lead to, by name.
    note : callable
        Called with a message about each thing that is skipped; about files that are not pictures, one message.
    passed : PassedOver, optional
        Counts the files of folders that are not pictures (see `imindex.indexer.sources.stray`), and the folders of
        artists without a picture.

    Raises
    ------
    ImindexError
        If a source does not exist, its layout or rows are invalid, or the kind is unknown.
    """
    if kind is not None and kind not in KINDS:
        raise ImindexError(f"There is no kind {kind!r}. Use one of {', '.join(KINDS)}.")
    if artist_from is not None and artist is not None:
        raise ImindexError("Pass either artist (--artist) or artist_from (--artist-from), not both.")
    pattern = ArtistFrom.parse(artist_from) if artist_from is not None else None
    options = SourceOptions(kind, collection, artist, roots or {}, pattern)
    passed = PassedOver() if passed is None else passed
    urls.forget()
    remote_shards.forget()
    for source in _expanded(sources):
        path = Path(source)
        if is_ambiguous(source if is_url(source) else path.absolute()) and (is_url(source) or path.exists()):
            raise ImindexError(
                f"{source} is in a path with .tar:: in it, so that its pictures would be read as members of a shard. "
                "Rename the folder or the file."
            )
        if is_url(source):
            yield from _of_url(source, options, note, passed)
        elif path.is_dir():
            yield from items_of_folder(path, options, note, passed)
        elif is_shard(path) and path.is_file():
            yield from items_of_shard(os.fspath(path), options, passed, named=True)
        elif path.suffix.lower() in manifest_rows.SUFFIXES and path.is_file():
            if pattern is not None:
                raise ImindexError(
                    f"{path} is a manifest, which names artists in its column `artist`; --artist-from is for folders. "
                    "Drop it, or build them one after the other."
                )
            yield from items_of_manifest(path, options, note)
        elif path.suffix.lower() in manifest_rows.WORKBOOKS and path.is_file():
            raise ImindexError(
                f'{path} is a workbook, which imindex does not read. Save the sheet as "CSV UTF-8", and pass that file.'
            )
        elif compressed := _COMPRESSED.search(path.name):
            raise ImindexError(
                f"{path} is a compressed tar file, whose members cannot be read one by one. Decompress it: "
                f"{_DECOMPRESS[compressed[1].lower()]} -dc {path} > {path.name[: compressed.start()]}.tar"
            )
        elif path.exists():
            raise ImindexError(
                f"{path} is neither a folder, a tar shard nor a manifest ({', '.join(manifest_rows.SUFFIXES)}). "
                "Put the picture in a folder, or list it in a manifest."
            )
        elif split_member(source)[1] is not None:
            raise ImindexError(
                f"{source} is a member of a shard. Pass the shard, or list its members in a manifest, in the column "
                "`path`."
            )
        else:
            raise ImindexError(
                f"{path} does not exist. Give a folder of pictures, a tar shard or a manifest."
            )
    for line in passed.notes():
        note(line)


def _of_url(
    url: str, options: SourceOptions, note: Callable[[str], None], passed: PassedOver
) -> Iterator[Item]:
    """Yield the pictures of a manifest, a shard or a folder at a URL."""
    name = urlsplit(url).path if url.partition("://")[0].lower() in WEB else url
    suffix = PurePosixPath(name).suffix.lower()
    if is_shard(name):
        yield from items_of_shard(url, options, passed, named=True)
    elif suffix in manifest_rows.SUFFIXES:
        if options.artist_from is not None:
            raise ImindexError(
                f"{url} is a manifest, which names artists in its column `artist`; --artist-from is for folders. "
                "Drop it, or build them one after the other."
            )
        yield from items_of_manifest(RemoteFolder(url), options, note)
    elif suffix in manifest_rows.WORKBOOKS:
        raise ImindexError(
            f'{url} is a workbook, which imindex does not read. Save the sheet as "CSV UTF-8", and pass that file.'
        )
    else:
        yield from items_of_folder(listed_folder(url), options, note, passed)


def _expanded(sources: Sequence[str | os.PathLike[str]]) -> Iterator[str]:
    """Yield the sources, and the shards that patterns among them mean."""
    for given in sources:
        source = name_by_user(os.fspath(given))
        if is_url(source):
            yield from expand(source, look=False) or [source]
        else:
            yield from [source] if os.path.lexists(source) else expand(source) or [source]
