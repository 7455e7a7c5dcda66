"""Where pictures come from: folders and manifests -> a stream of items, in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.sources import manifest_rows as manifests
from imindex.indexer.sources.folder import _folder
from imindex.indexer.sources.item import Given, Item
from imindex.indexer.sources.manifest import _manifest


def find(
    sources: Sequence[str | os.PathLike[str]],
    *,
    kind: str | None = None,
    collection: str | None = None,
    artist: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[Item]:
    """Yield the pictures of folders and manifests, in a fixed order.

    Parameters
    ----------
    sources : sequence of path-like
        Folders laid out as `works/<artist>/*`, `imitations/<release>/<artist>/*`, `control/*` and
        `background/<artist>/*` (or one of these); any other folder, as `<artist>/*`, with `kind`; manifests
        (CSV, JSONL, Parquet) with the columns path, artist, kind, collection, prompt, seed, caption, of
        which only path must be there, relative to the manifest; rows with anything in `blocked` are left out.
    kind, collection, artist : str, optional
        For folders without the layout, and for what a manifest leaves out.
    note : callable
        Is told what was passed over.

    Raises
    ------
    ImindexError
        A source that does not exist or whose layout or rows are not understood.
    """
    given = Given(kind, collection, artist)
    for source in sources:
        path = Path(source)
        if path.is_dir():
            yield from _folder(path, given, note)
        elif path.suffix.lower() in manifests.SUFFIXES and path.is_file():
            yield from _manifest(path, given, note)
        elif path.exists():
            raise ImindexError(
                f"{path} is neither a folder nor a manifest ({', '.join(manifests.SUFFIXES)}). "
                "Put the picture in a folder, or name it in a manifest."
            )
        else:
            raise ImindexError(f"{path} does not exist. Give a folder of pictures or a manifest.")


# Folders


# Manifests
