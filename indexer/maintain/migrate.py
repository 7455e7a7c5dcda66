"""An index of an older format version -> the same index in today's, with the same root digest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.build.checkpoint import Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import FORMAT_VERSION
from imindex.indexer.integrity.verify import opened, verify_index
from imindex.indexer.store.writer import write
from imindex.indexer.system.atomic import clear_leftovers, real_file


@dataclass(frozen=True)
class MigrateReport:
    """What a migration did: `before` and `after` are format versions, the same if there was nothing to do."""

    before: str
    after: str
    rows: int
    root_digest: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


def migrate(
    path: Path, *, command: str = "", progress: Callable[[int], None] = lambda done: None
) -> MigrateReport:
    """Write an index anew in the format that this imindex writes, if it is in an older one.

    Parameters
    ----------
    path : Path
        The index.
    command : str
        The command line, for the log.
    progress : callable
        Is told how many rows have been verified.

    Returns
    -------
    MigrateReport

    Raises
    ------
    ImindexError
        The file is not what was written: a fault is not to be given new digests. Another builder is at work. The index
        is as it was.
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
                f"{path} is not what was written ({faults[0].where}: {faults[0].said}), and was not migrated. See "
                f"`imindex verify -i {path}`, and restore it from a copy."
            )
        clear_leftovers(path)
        line = entry(command, f"migrate: format {index.version} to {FORMAT_VERSION}", index.root_digest)
        root = write(
            path,
            index.contents(),
            index.blocks(),
            ann=index.ann(),
            ann_data=index.ann_data(),
            entry={**line, "digest-after": index.root_digest},
        )
        return MigrateReport(index.version, FORMAT_VERSION, index.n, root)
