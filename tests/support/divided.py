"""Divide an index file into several, which hold consecutive rows of it and number artists and collections alike."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.schema import Contents
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write


def divided(path: Path, cuts: list[int]) -> list[Path]:
    """Write the parts of an index beside it: rows up to the first cut, and so on. Equal cuts make empty parts."""
    paths = []
    with Index(path) as index:
        whole = index.contents()
        bounds = [0, *cuts, index.n]
        for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
            contents = Contents(
                whole.encoder,
                whole.artists,
                whole.collections,
                {name: column[start:stop] for name, column in whole.items.items()},
                whole.rejects,
                created_at=whole.created_at,
                created_by=whole.created_by,
            )
            paths.append(path.with_name(f"part-{number:02}.h5"))
            write(
                paths[-1],
                contents,
                iter([np.asarray(index.vectors[start:stop])]),
                ann=ann.describe(),
                ann_data=ann.exact_header(stop - start, index.encoder.dim),
                entry={},
            )
    return paths
