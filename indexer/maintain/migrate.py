"""Upgrade an index to the current format version, with the same root digest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.build.checkpoint import Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import FORMAT_VERSION
from imindex.indexer.integrity.verify import opened, verify_index
from imindex.indexer.store.intact import unchanged_blocks
from imindex.indexer.store.working_copy import on_working_copy
from imindex.indexer.store.writer import write
from imindex.indexer.system.atomic import clear_leftovers, real_file


@dataclass(frozen=True)
class MigrateReport:
    """Result of a migration. `before` and `after` are format versions, equal if nothing was done."""

    before: str
    after: str
    rows: int
    root_digest: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


@on_working_copy("path")
def migrate(
    path: Path, *, command: str = "", progress: Callable[[int], None] = lambda done: None
) -> MigrateReport:
    """Rewrite an index in the current format, if it is in an older one.

    Parameters
    ----------
    path : Path
        The index; or its `Url` in an object store, whose object is then replaced as a whole.
    command : str
        The command line, for the log.
    progress : callable
        Called with the number of rows verified so far.

    Returns
    -------
    MigrateReport

    Raises
    ------
    ImindexError
        If the file fails verification (a fault must not get new digests), or another builder is running. The index is
        unchanged.
    """
    path = real_file(path)
    with opened(path) as index:
        encoder = index.encoder
        if index.version == FORMAT_VERSION:
            return MigrateReport(index.version, index.version, index.n, index.root_digest)
    with Parts(path, encoder), opened(path) as index:
        faults = verify_index(index, progress).faults
        if faults:
            raise ImindexError(
                f"{path} fails verification ({faults[0].where}: {faults[0].said}) and was not migrated. See "
                f"`imindex verify -i {path}`, and restore it from a backup."
            )
        clear_leftovers(path)
        line = entry(command, f"migrate: format {index.version} to {FORMAT_VERSION}", index.root_digest)
        root = write(
            path,
            index.contents(),
            unchanged_blocks(index),
            ann=index.ann(),
            ann_data=index.ann_data(),
            entry={**line, "digest-after": index.root_digest},
        )
        return MigrateReport(index.version, FORMAT_VERSION, index.n, root)
