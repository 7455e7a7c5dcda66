"""Check that the rows of an audit's index are the pictures of its sources, with the artist and the data given there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from imindex.indexer.core.locations import is_url, split_member
from imindex.indexer.core.names import clean_name
from imindex.indexer.core.paths import StoredPaths, merged_roots
from imindex.indexer.decode.limits import Limits
from imindex.indexer.integrity.verify import Fault
from imindex.indexer.integrity.verify_pictures import check_pictures, check_rejects
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index

Key = tuple[str, str, str, str]
"""Artist, collection, kind and path."""
_LISTED = 20


def row_faults(
    index: Index, items: Sequence[Item], limits: Limits, roots: Mapping[str, str] | None = None
) -> Iterator[Fault]:
    """Yield the differences between an index and the pictures that it was built from.

    Every picture must be one row, or a reject that cannot be used, of the same artist, collection and kind, with the
    same prompt, seed and caption; the bytes of its file must be those that the index records. Arm and model are
    compared if the index has any.

    Parameters
    ----------
    index : Index
    items : sequence of Item
        Works and pictures of all releases, as the sources list them now.
    limits : Limits
        A picture that exceeds them is a reject.
    roots : mapping of str to str, optional
        Absolute folders of named roots, where they are now.
    """
    stored_path = StoredPaths(index.folder, merged_roots(index.roots, roots or {}))
    expected = {(item.artist, item.collection, item.kind, stored_path(item.path)): item for item in items}
    rows, rejects = list(_keys(index, "items")), list(_keys(index, "rejects"))
    counted = Counter([*rows, *rejects])
    twice = [key for key, count in counted.items() if count > 1]
    for verb, keys in (
        ("lacks", expected.keys() - counted.keys()),
        ("also contains", counted.keys() - expected.keys()),
        ("repeats", twice),
    ):
        if keys:
            yield Fault("rows", f"{verb} {len(keys)} pictures, such as {_shown(min(keys))}")
    yield from _data_faults(index, rows, expected)
    containers = {split_member(item.path)[0] for item in items}
    folders = tuple(
        {place.rpartition("/")[0] if is_url(place) else Path(place).absolute().parent for place in containers}
    )
    named = {name: folder if is_url(folder) else Path(folder) for name, folder in (roots or {}).items()}
    originals = check_pictures(index, roots=folders, named=named)
    other = [(path, state) for state, path in originals.listed]
    problems = [(path, f"the picture is {state}") for path, state in other]
    problems += check_rejects(index, roots=folders, named=named, limits=limits)
    for path, problem in problems[:_LISTED]:
        yield Fault(path, problem)
    if len(problems) > _LISTED:
        yield Fault("rows", f"{len(problems) - _LISTED} more pictures are not those of the index")


def _keys(index: Index, table: str) -> Iterator[Key]:
    columns = (index.column(name, table) for name in ("artist", "collection", "path"))
    for artist, collection, path in zip(*columns, strict=True):
        place = index.collections[collection]
        name = index.artists[artist] if artist >= 0 else ""
        yield (clean_name(name), clean_name(place.name), place.kind, path)


def _data_faults(index: Index, rows: Sequence[Key], expected: dict[Key, Item]) -> Iterator[Fault]:
    n = 0
    for name in ("prompt", "seed", "caption", "arm", "model", "origin"):
        values = index.column(name).tolist()
        if name in ("arm", "model", "origin") and not any(values):
            continue  # of an index that was created in an older format
        for key, value in zip(rows, values, strict=True):
            item = expected.get(key)
            if item is not None and getattr(item, name) != value:
                n += 1
                if n <= _LISTED:
                    yield Fault(key[3], f"has the {name} {value!r} in the index, not {getattr(item, name)!r}")
    if n > _LISTED:
        yield Fault("rows", f"{n - _LISTED} more prompts, seeds or captions differ")


def _shown(key: Key) -> str:
    artist, collection, kind, path = key
    return f"{path} ({kind} of {artist or 'no artist'} in {collection})"
