"""An index as a forger writes it: another encoder is named in it, and every digest is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from imindex.indexer.core.provenance import entry
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write


def with_encoder(source: Path, target: Path, **fields: Any) -> Path:
    """Copy an index, with other fields of its encoder (`EncoderInfo`)."""
    with Index(source) as index:
        contents = index.contents()
        write(
            target,
            replace(contents, encoder=replace(contents.encoder, **fields)),
            index.blocks(),
            ann=index.ann(),
            ann_data=bytes(index.ann_data()),
            entry=entry("imindex build", "", index.root_digest),
        )
    return target
