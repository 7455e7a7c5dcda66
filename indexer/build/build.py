"""The build loop: read -> decode -> encode -> commit, then one new index in place of the old.

Pictures are known by the SHA-256 of their bytes: what is in the index or in the parts of a stopped build is
not encoded again. Batches are cut by the order of the sources alone, so that a build that was stopped and
went on gives the same vectors, bit for bit, as one that ran through.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imindex.indexer.build.checkpoint import Batch, Parts
from imindex.indexer.build.merge import Merged, merge
from imindex.indexer.build.reader import NO_DIGEST, Read, read_all
from imindex.indexer.build.scan import Finds, Found
from imindex.indexer.build.unchanged import Known, Seen
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.decode.limits import Limits
from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.encoders.registry import require_same
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from imindex.indexer.system.atomic import clear_leftovers, real_file

COMMIT_SECONDS = 5.0


@dataclass(frozen=True)
class BuildReport:
    """What a build did. Counts are pictures.

    Attributes
    ----------
    rows : int
        In the index now.
    encoded : int
        Went through the encoder in this run.
    resumed : int
        Were committed by an earlier run that was stopped.
    unchanged, moved, replaced, added : int
        Rows as they were; with a new path; whose bytes had changed; new ones.
    repeated : int
        Were given more than once; the first mention counts.
    pruned : int
        Rows taken out, with `prune`: their pictures were not given.
    rejected : int
        Could not be read, of the pictures that were given.
    already_rejected : int
        Of these, how many had been rejected before and were not tried again.
    waiting : int
        Encoded by a stopped build of other sources; still kept in the parts.
    root_digest : str
    seconds : float
        Wall-clock time.
    notes : tuple of str
        That an earlier run was killed; what became of an approximate index: trained anew, exact again.
    """

    rows: int
    encoded: int
    resumed: int
    unchanged: int
    repeated: int
    moved: int
    replaced: int
    added: int
    pruned: int
    rejected: int
    already_rejected: int
    waiting: int
    root_digest: str
    seconds: float
    notes: tuple[str, ...] = ()


class Stopped(ImindexError):
    """The build was interrupted; what is committed waits in the parts."""


def build(  # noqa: PLR0913
    items: Sequence[Item],
    path: str | os.PathLike[str],
    encoder: LazyEncoder,
    *,
    strict: bool = False,
    retry_rejects: bool = False,
    prune: bool = False,
    rehash: bool = False,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    command: str = "",
    progress: Callable[[int, int], None] = lambda done, encoded: None,
) -> BuildReport:
    """Encode pictures, each once, and put a new index in place.

    Parameters
    ----------
    items : sequence of Item
        The pictures, in the order of their rows.
    path : path-like
        The index: created, or added to.
    encoder : LazyEncoder
        Of an existing index the same encoder.
    strict : bool
        Unreadable pictures are an error, and the index is not written.
    retry_rejects : bool
        Try pictures again that were rejected before.
    prune : bool
        Take out the rows of pictures that are not among `items`: the index then holds these and no others.
    rehash : bool
        Read every file, also those whose size, time of change and inode are as they were.
    limits : Limits
        What a picture may ask for. Pictures that were rejected by a lower limit are tried again.
    command : str
        The command line, for the log.
    progress : callable
        Is told, after each picture, how many are done and how many were encoded so far.

    Returns
    -------
    BuildReport

    Raises
    ------
    Stopped
        After Ctrl-C. The same call goes on where this one stopped.
    ImindexError
        Another encoder or another builder; with `strict`, unreadable pictures.
    """
    started = time.monotonic()
    path = real_file(Path(path))
    with contextlib.ExitStack() as stack:
        parts = stack.enter_context(Parts(path, encoder.info, command))
        old = stack.enter_context(Index(path)) if path.exists() else None
        if old is not None:
            require_same(old.encoder, encoder.info)
        again = (lambda _: True) if retry_rejects else limits.outgrown
        parts.rejected = {digest: why for digest, why in parts.rejected.items() if not again(why)}
        known = Known(old, parts, again)
        loop = _Loop(encoder, parts, known, limits, progress)
        try:  # what was seen is not held any longer than it is needed
            found = loop.run(items, Seen(None if rehash else old, path.parent, known))
        except KeyboardInterrupt:
            raise Stopped(_how_to_go_on(path, len(parts.numbers))) from None
        clear_leftovers(path)
        merged = merge(old, found, encoder.info, parts, path.parent, prune=prune)
        if strict and merged.rejected:
            raise ImindexError(_strict_message(merged, parts))
        root, notes = _write(path, old, merged, parts, command)
        waiting = parts.forget(merged.contents.items["sha256"])
    return BuildReport(
        rows=merged.contents.n,
        encoded=loop.encoded,
        resumed=loop.resumed,
        unchanged=merged.unchanged,
        repeated=merged.repeated,
        moved=merged.moved,
        replaced=merged.replaced,
        added=merged.added,
        pruned=merged.pruned,
        rejected=len(merged.rejected),
        already_rejected=loop.already_rejected,
        waiting=waiting,
        root_digest=root,
        notes=(*parts.notes, *notes),
        seconds=time.monotonic() - started,
    )


class _Loop:
    """Reads in threads, encodes in this one, commits at the end of a batch every few seconds.

    An encoder that computes on all processors takes turns with the decoding: threads of both that fight for a
    processor keep each other waiting, for a forward pass is as quick as its slowest thread.
    """

    def __init__(
        self,
        encoder: LazyEncoder,
        parts: Parts,
        known: Known,
        limits: Limits,
        progress: Callable[[int, int], None],
    ):
        self._encoder = encoder
        self._parts = parts
        self._known = known
        self._limits = limits
        self._progress = progress
        self._claimed: set[bytes] = set()
        """Pictures that have had their turn, but for those that this run has committed: these come after `_before`."""
        self._before = len(parts)
        self._slots = 0
        self._ahead = 0
        self._turn = threading.Event()
        self._turn.set()
        self._new: list[Read] = []
        self._ready = Batch()
        self._committed_at = time.monotonic()
        self.encoded = 0
        self.resumed = 0
        self.already_rejected = 0

    def run(self, items: Sequence[Item], seen: Seen) -> Finds:
        found = Finds()
        preprocess = self._encoder.info.preprocess
        reads = read_all(items, self._known, preprocess, seen, lambda: self._ahead, self._limits, self._turn)
        try:
            with contextlib.closing(reads):
                for done, read in enumerate(reads, 1):
                    found.append(self._take(read))
                    self._progress(done, self.encoded)
            self._encode()
        finally:  # also after Ctrl-C or an error: whole batches only
            self._commit()
        return found

    def _take(self, read: Read) -> Found:
        """Note a picture; give it a place in the current batch if it is new to the index."""
        digest = read.digest
        if read.reason and digest == NO_DIGEST:
            return Found(read.item, digest, read.reason)
        if digest in self._known.rejected:
            self.already_rejected += 1
            return Found(read.item, digest, self._known.rejected[digest], read.stamp)
        if not (read.seen or digest in self._known.in_index or self._has_had_its_turn(digest)):
            self._claimed.add(digest)
            if digest in self._parts.numbers:
                self.resumed += 1
            elif digest in self._parts.rejected:
                self.already_rejected += 1
            elif read.picture is not None:
                self._new.append(read)
                self._ahead = 2 * self._encoder.batch_size
            else:
                self._ready.rejected[digest] = read.reason
            self._slots += 1
            if self._slots == self._encoder.batch_size:
                self._encode()
        return Found(read.item, digest, stamp=read.stamp)

    def _has_had_its_turn(self, digest: bytes) -> bool:
        return digest in self._claimed or self._parts.numbers.get(digest, -1) >= self._before

    def _commit(self) -> None:
        """Put what is ready into the parts."""
        self._parts.append(self._ready)
        self._claimed.difference_update(self._ready.digests)
        self._ready = Batch()

    def _encode(self) -> None:
        if self._new:
            import torch  # not at all, where nothing is new

            pixels = torch.stack([read.picture.pixels for read in self._new if read.picture])
            encoder = self._encoder.get()
            if encoder.takes_all_processors:
                self._turn.clear()
            try:
                vectors = encoder.encode_images(pixels)
            finally:
                self._turn.set()
            ready = self._ready.copy()
            for read, vector in zip(self._new, vectors, strict=True):
                assert read.picture is not None
                if np.isfinite(vector).all():
                    ready.digests.append(read.digest)
                    ready.vectors.append(vector)
                    ready.sizes.append((read.picture.width, read.picture.height))
                else:
                    precision = self._encoder.info.precision
                    ready.rejected[read.digest] = f"the encoder gave no finite vector at {precision}"
            self._ready = ready  # at once: Ctrl-C in the loop leaves no half of a batch
            self.encoded += len(self._new)
        self._new, self._slots = [], 0
        if time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self._commit()
            self._committed_at = time.monotonic()


def _write(
    path: Path, old: Index | None, merged: Merged, parts: Parts, command: str
) -> tuple[str, tuple[str, ...]]:
    # Stamps alone are written only where that is less than what was read for want of them.
    if old is not None and not merged.changed and merged.restamped <= path.stat().st_size:
        return old.root_digest, ()
    from imindex.indexer.ann.upkeep import ann_after  # imports faiss

    contents = merged.contents
    summary = (
        f"build: {merged.added} added, {merged.replaced} replaced, {merged.moved} moved, "
        f"{merged.unchanged} unchanged, {merged.pruned} pruned, {len(merged.rejected)} rejected"
    )
    how, notes = ann_after(old, merged.old_rows, contents.n, contents.encoder.dim)
    root = write(
        path,
        contents,
        merged.vectors(old, parts),
        entry=entry(command, summary, old.root_digest if old else ""),
        **how,
    )
    return root, tuple(notes)


def _how_to_go_on(path: Path, committed: int) -> str:
    state = "is as it was" if path.exists() else "is not written yet"
    return (
        f"Stopped. {committed} encoded pictures are kept in {path}.parts; {path} {state}. "
        "Run the same command again to go on from there."
    )


def _strict_message(merged: Merged, parts: Parts) -> str:
    listed = [f"  {found.item.path}: {found.reason}" for found in merged.rejected[:10]]
    if len(merged.rejected) > 10:
        listed.append(f"  and {len(merged.rejected) - 10} more")
    return "\n".join(
        [
            f"{len(merged.rejected)} pictures cannot be read:",
            *listed,
            "The index was not written (--strict). Mend or remove them, or build without --strict to record "
            f"them. What was encoded is kept in {parts.folder}.",
        ]
    )
