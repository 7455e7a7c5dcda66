"""The build loop: read -> decode -> encode -> commit, then replace the index.

Pictures are identified by the SHA-256 of their bytes. Those in the index, or in the part files of an interrupted
build, are not encoded again. Batches depend only on the order of the sources, so a resumed build gives the same
vectors, bit for bit, as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imindex.indexer.build.checkpoint import PARTS_SUFFIX, Batch, Parts
from imindex.indexer.build.merge import Merged, merge
from imindex.indexer.build.scan import Scan, Scanned
from imindex.indexer.build.unchanged import Known, UnchangedFiles
from imindex.indexer.core.bounds import MAX_NAME, MAX_TEXT
from imindex.indexer.core.errors import ImindexError, Interrupted
from imindex.indexer.core.origin import stated_digest
from imindex.indexer.core.paths import PicturePaths, merged_roots
from imindex.indexer.core.provenance import entry, kinds_of
from imindex.indexer.core.removal import Removal, removal_of
from imindex.indexer.core.schema import BLOCKED
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.rendering import Told, as_bits, as_log, as_sentence, curable, from_bits
from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.encoders.probe import with_text_probe
from imindex.indexer.encoders.registry import require_same
from imindex.indexer.encoders.returned import check_vectors
from imindex.indexer.runners.base import NO_DIGEST, Encoding, Read, Runner, Sources
from imindex.indexer.runners.local import LocalRunner
from imindex.indexer.sources.arms import ALL_BLACK, BLOCKABLE, refuse_two_arms
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_unchanged
from imindex.indexer.store.working_copy import home_of
from imindex.indexer.store.writer import write
from imindex.indexer.system.atomic import clear_leftovers, real_file

COMMIT_SECONDS = 5.0
_NAME_MAX = 255
_MOST_REASONS = 5
_NO_FILE = f"cannot be read: {os.strerror(errno.ENOENT)}"


@dataclass(frozen=True)
class BuildReport:
    """Result of a build. All counts are numbers of pictures.

    Attributes
    ----------
    rows : int
        Rows of the new index.
    encoded : int
        Pictures encoded in this run.
    resumed : int
        Pictures committed by an earlier, interrupted run.
    unchanged, moved, replaced, added : int
        Rows that are unchanged, have a new path, have new bytes, or are new.
    repeated : int
        Pictures listed more than once; the first occurrence is used.
    relinked : int
        The part of `unchanged` and `replaced` whose file is now reached by another path, which the rows have since.
    pruned : int
        Rows removed by `prune`, because their pictures are not in the sources.
    rejected : int
        Pictures of the sources that could not be read or encoded.
    blocked : int
        Pictures of the sources that a safety filter replaced: the manifest says so, or an imitation or control picture
        is black.
    already_rejected : int
        The part of `rejected` that an earlier build rejected and this one did not retry.
    waiting : int
        Pictures of other sources, encoded by an interrupted build, that remain in the part files.
    root_digest : str
    seconds : float
        Wall-clock time.
    reasons : tuple of (str, int)
        Why pictures were rejected, and how many, the most frequent reason first.
    passed_over : tuple of (str, int)
        Files of the source folders that are not pictures: their kinds (`Thumbs.db`, `.json`) and how many of each.
    empty_folders : tuple of str
        Folders of artists without a picture.
    notes : tuple of str
        Whether an earlier run was killed, and whether an approximate index was retrained or replaced by the exact kind.
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
    relinked: int = 0
    notes: tuple[str, ...] = ()
    reasons: tuple[tuple[str, int], ...] = ()
    blocked: int = 0
    passed_over: tuple[tuple[str, int], ...] = ()
    empty_folders: tuple[str, ...] = ()

    @property
    def added_known(self) -> int:
        """Rows that are new, or have new bytes, for which nothing was encoded: their vectors were there already."""
        return max(0, self.added + self.replaced - self.encoded - self.resumed)

    @property
    def nothing_usable(self) -> bool:
        """Whether every picture of the sources was rejected or blocked."""
        usable = self.encoded, self.resumed, self.unchanged, self.moved, self.replaced, self.added
        return bool(self.rejected or self.blocked) and not any(usable)


class Stopped(Interrupted):
    """The build was interrupted; committed results are kept in the part files."""


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
    roots: Mapping[str, str] | None = None,
    command: str = "",
    runner: Runner | None = None,
    progress: Callable[[int, int], None] = lambda done, encoded: None,
    confirm: Callable[[Removal], None] = lambda _: None,
) -> BuildReport:
    """Encode pictures, each one once, and write the new index.

    Parameters
    ----------
    items : sequence of Item
        The pictures, in the order of their rows.
    path : path-like
        The index file. It is created if it does not exist, otherwise added to.
    encoder : LazyEncoder
        The encoder. For an existing index it must be the index's own.
    strict : bool
        Raise an error for unreadable pictures, without writing the index.
    retry_rejects : bool
        Retry pictures that were rejected before.
    prune : bool
        Remove the rows of pictures that are not in `items`.
    rehash : bool
        Read every file, even if its size, modification time and inode are unchanged.
    limits : Limits
        Limits per picture. Pictures that were rejected by a lower limit are retried.
    roots : mapping of str to str, optional
        Absolute folders of named roots (`imindex.indexer.core.paths.require_roots`). Pictures in them, and in those
        that the index names, are stored by the name.
    command : str
        The command line, for the log.
    runner : Runner, optional
        Where pictures are read, decoded and encoded: by default, in this process. The caller closes it.
    progress : callable
        Called after each picture with the number of pictures done and the number encoded so far.
    confirm : callable
        Called with what `prune` is going to remove, before the index is written. It raises an exception to prevent it.

    Returns
    -------
    BuildReport

    Raises
    ------
    Stopped
        After Ctrl-C. The same call resumes the build.
    ImindexError
        If the encoder differs from the index's, another builder is running, the existing index is damaged, the index
        would have no rows, or, with `strict`, pictures are unreadable. Nothing is written then.
    """
    started = time.monotonic()
    path = real_file(Path(path))
    refuse_long(items, path)
    refuse_two_arms(items)
    with contextlib.ExitStack() as stack:
        parts = stack.enter_context(Parts(path, encoder.info, command))
        old = stack.enter_context(Index(path)) if path.exists() else None
        if old is not None:
            require_same(old.encoder, encoder.info)
        truncated = encoder.info.truncated

        def retry(reason: str) -> bool:
            return retry_rejects or limits.outgrown(reason) or curable(reason, truncated)

        parts.rejected = {digest: reason for digest, reason in parts.rejected.items() if not retry(reason)}
        places = PicturePaths(home_of(path), merged_roots(old.roots if old else {}, roots or {}))
        known = Known(old, parts, retry, rehash=rehash)
        kinds = tuple(dict.fromkeys([*(kinds_of(old.log()) if old else ()), *parts.computed_by]))
        loop = _Loop(encoder, parts, known, runner or LocalRunner(encoder), progress, kinds)
        try:  # the stamps are passed as a temporary, so that their memory is freed after the loop
            scan = loop.run(
                Sources(
                    items,
                    known,
                    UnchangedFiles(None if rehash else old, places.folder, known, places.roots),
                    limits,
                )
            )
        except KeyboardInterrupt:
            raise Stopped(_stopped_message(path, len(parts.numbers))) from None
        clear_leftovers(path)
        info = encoder.info if old is not None else with_text_probe(encoder.get())
        merged = merge(old, scan, info, parts, places, prune=prune)
        if not merged.contents.n:
            if not parts.numbers:  # else the pictures of other sources are kept
                parts.forget(merged.contents.items["sha256"])
            raise ImindexError(_nothing_message(path, old, merged, parts))
        if old is not None and merged.pruned_rows:
            confirm(_pruned(old, merged))
        unreadable = [scanned for scanned in merged.rejected if not scanned.item.blocked]
        if strict and unreadable:
            raise ImindexError(_strict_message(unreadable, parts))
        told = _told(merged, parts)
        root, notes = _write(path, old, merged, parts, command, told)
        if mixed := _mixed(path, kinds, loop.kinds):
            notes = (*notes, mixed)
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
        relinked=merged.relinked,
        rejected=len(unreadable),
        blocked=len(merged.rejected) - len(unreadable),
        already_rejected=loop.already_rejected,
        waiting=waiting,
        root_digest=root,
        notes=(*parts.notes, *notes, *map(as_sentence, told), *_origin_notes(scan)),
        reasons=tuple(Counter(rejected.reason for rejected in merged.rejected).most_common()),
        seconds=time.monotonic() - started,
    )


def _origin_notes(scan: Scan) -> list[str]:
    """Say how many pictures have other bytes than their data set says that it downloaded; that is no fault."""
    stated = other = 0
    for position, item in enumerate(scan.items):
        if (digest := stated_digest(item.origin)) is not None:
            stated += 1
            other += scan[position].digest not in (digest, NO_DIGEST)
    if not other:
        return []
    return [
        f"The data set states the SHA-256 of {stated:,} pictures as they were downloaded; {other:,} are stored with "
        "other bytes, as after resizing."
    ]


def _pruned(old: Index, merged: Merged) -> Removal:
    contents = old.contents()
    gone, gone_rejects = (np.zeros(len(table["path"]), bool) for table in (contents.items, contents.rejects))
    gone[merged.pruned_rows] = True
    gone_rejects[merged.pruned_rejects] = True
    return removal_of(contents, gone, gone_rejects, old.size)


def refuse_long(items: Sequence[Item], path: Path) -> None:
    """Refuse names and texts that no index could hold, and a name that is too long for its files, before encoding.

    Raises
    ------
    ImindexError
    """
    try:
        most = os.pathconf(path.parent, "PC_NAME_MAX") if hasattr(os, "pathconf") else _NAME_MAX
    except OSError:
        most = _NAME_MAX
    if len(os.fsencode(path.name + PARTS_SUFFIX)) > most:
        raise ImindexError(
            f"The name of the index, {path.name[:40]}..., is too long: with {PARTS_SUFFIX}, for the folder beside it, "
            f"it has more than {most} bytes. Choose a shorter name."
        )
    for what, names in (
        ("artist", {item.artist for item in items}), ("collection", {item.collection for item in items}),
    ):  # fmt: skip
        _refuse_longer(names, MAX_NAME, f"The name of the {what}")
    for what in ("path", "prompt", "caption", "model"):
        _refuse_longer((getattr(item, what) for item in items), MAX_TEXT, f"The {what}")


def _refuse_longer(texts: Iterable[str], most: int, what: str) -> None:
    for text in texts:
        if len(text) > most:
            raise ImindexError(
                f"{what} {text[:40]!r}... has {len(text):,} characters, more than {most:,}. Shorten it; nothing was "
                "encoded."
            )


class _Loop:
    """Take pictures in order, cut batches by it, have them encoded, and commit whole ones every few seconds.

    Where pictures are read and encoded is the runner's business. Batches are settled in the order in which they were
    cut, whichever is encoded first.
    """

    def __init__(
        self,
        encoder: LazyEncoder,
        parts: Parts,
        known: Known,
        runner: Runner,
        progress: Callable[[int, int], None],
        earlier_kinds: Sequence[str] = (),
    ):
        self._encoder = encoder
        self._earlier_kinds = earlier_kinds
        self._parts = parts
        self._known = known
        self._runner = runner
        self._progress = progress
        self._claimed: set[bytes] = set()
        """Pictures already handled in this run, except those it has committed: these are numbered from
        `_n_before`."""
        self._n_before = len(parts)
        self._slots = 0
        self._new: list[Read] = []
        self._encoding: deque[tuple[list[Read], Encoding]] = deque()
        self._ready = Batch()
        self._committed_at = time.monotonic()
        self.encoded = 0
        self.resumed = 0
        self.already_rejected = 0
        self.kinds: tuple[str, ...] = ()
        """What computed the vectors of this run."""

    def run(self, sources: Sources) -> Scan:
        scan = Scan()
        reads = self._runner.reads(sources)
        try:
            with contextlib.closing(reads):
                for done, read in enumerate(reads, 1):
                    scan.append(self._take(read))
                    self._settle(finished_only=True)
                    self._progress(done, self.encoded)
                self._encode()
                self._settle()
                self._progress(len(scan), self.encoded)
        finally:  # commits whole batches only, even after Ctrl-C or an error
            self._commit()
        return scan

    def _take(self, read: Read) -> Scanned:
        """Record a picture, and add it to the current batch if it is new to the index."""
        digest, item = read.digest, read.item
        black = read.picture is not None and read.picture.black
        if not item.blocked and ((black and item.kind in BLOCKABLE) or self._known.is_blocked(item, digest)):
            item = replace(item, blocked=ALL_BLACK)
        if item.blocked:
            return Scanned(item, digest, BLOCKED + item.blocked, read.stamp)
        if read.reason and digest == NO_DIGEST:
            return Scanned(read.item, digest, read.reason)
        if digest in self._known.rejected:
            self.already_rejected += 1
            return Scanned(read.item, digest, self._known.rejected[digest], read.stamp)
        if not (read.unchanged_row or digest in self._known.in_index or self._is_handled(digest)):
            self._claimed.add(digest)
            if digest in self._parts.numbers:
                self.resumed += 1
            elif digest in self._parts.rejected:
                self.already_rejected += 1
            elif read.picture is not None:
                self._new.append(read)
            else:
                self._ready.rejected[digest] = read.reason
            self._slots += 1
            if self._slots == self._encoder.batch_size:
                self._encode()
        return Scanned(read.item, digest, stamp=read.stamp)

    def _is_handled(self, digest: bytes) -> bool:
        return digest in self._claimed or self._parts.numbers.get(digest, -1) >= self._n_before

    def _commit(self) -> None:
        """Write the finished batches to a part file."""
        self._parts.append(self._ready)
        self._claimed.difference_update(self._ready.digests)
        self._ready = Batch()

    def _encode(self) -> None:
        """Begin to encode the current batch."""
        if self._new:
            pictures = [read.picture for read in self._new if read.picture]
            self._encoding.append((self._new, self._runner.encode(pictures)))
        self._new, self._slots = [], 0
        self._settle(finished_only=True)

    def _record_kinds(self) -> None:
        """Record what computes the vectors; refuse it where others must not be added to those that are there."""
        kinds = self._runner.computed_by()
        if kinds == self.kinds:
            return
        new = [kind for kind in kinds if kind not in self._earlier_kinds]
        if new and self._earlier_kinds and not self._runner.allow_mixed:
            raise ImindexError(
                f"Earlier vectors were computed by {'; '.join(self._earlier_kinds)}, and these would be by "
                f"{'; '.join(new)}, whose vectors differ in the last bits. Use machines of the same kind, add "
                "--allow-mixed, or build a new index with -i."
            )
        self._parts.computes(kinds)
        self.kinds = kinds

    def _settle(self, *, finished_only: bool = False) -> None:
        """Take the vectors of the batches that are being encoded, in order; wait for them, or for finished ones only.

        Commit them if the last time is a while ago.
        """
        while self._encoding and (not finished_only or self._encoding[0][1].ready()):
            reads, encoding = self._encoding[0]
            vectors = encoding.vectors()
            self._record_kinds()
            info = self._encoder.info
            check_vectors(vectors, len(reads), info)
            ready = self._ready.copy()
            for read, vector in zip(reads, vectors, strict=True):
                assert read.picture is not None
                if np.isfinite(vector).all():
                    ready.digests.append(read.digest)
                    ready.vectors.append(vector)
                    ready.sizes.append((read.picture.width, read.picture.height))
                    if read.picture.black:
                        ready.black.add(read.digest)
                    if read.picture.notes:
                        ready.told[read.digest] = as_bits(read.picture.notes)
                else:
                    ready.rejected[read.digest] = f"the encoder gave no finite vector at {info.precision}"
            self._ready = ready  # in one assignment, so that Ctrl-C in the loop leaves no partial batch
            self._encoding.popleft()
            self.encoded += len(reads)
        if time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self._commit()
            self._committed_at = time.monotonic()


def _mixed(path: Path, earlier: Sequence[str], kinds: Sequence[str]) -> str:
    """Return a note if the vectors of an index were computed by several kinds of processors; else nothing."""
    every = dict.fromkeys([*earlier, *kinds])
    if not kinds or len(every) < 2:
        return ""
    return f"The vectors of {path} are mixed: their last bits may differ, as {' and '.join(every)} computed them."


def _told(merged: Merged, parts: Parts) -> list[Told]:
    """Return what is worth telling about the new rows."""
    items, first = merged.contents.items, len(merged.old_rows)
    if not parts.told:
        return []
    places: dict[str, list[int]] = {}
    for row in range(first, len(items["sha256"])):
        for note in from_bits(parts.told.get(bytes(items["sha256"][row]), 0)):
            places.setdefault(note, []).append(row)
    return [Told(note, len(rows), str(items["path"][rows[0]])) for note, rows in sorted(places.items())]


def _write(
    path: Path, old: Index | None, merged: Merged, parts: Parts, command: str, told: Sequence[Told]
) -> tuple[str, tuple[str, ...]]:
    # If only stamps are new, write them only if that costs less than reading those files again.
    if old is not None and not merged.changed and merged.restamped <= path.stat().st_size:
        return old.root_digest, ()
    from imindex.indexer.ann.upkeep import ann_after  # imports faiss

    if old is not None:
        require_unchanged(old)
    contents = merged.contents
    n_blocked = sum(bool(scanned.item.blocked) for scanned in merged.rejected)
    summary = (
        f"build: {merged.added} added, {merged.replaced} replaced, {merged.moved} moved, "
        f"{merged.unchanged} unchanged, {merged.pruned} pruned, {len(merged.rejected) - n_blocked} rejected"
        + (f", {n_blocked} blocked" if n_blocked else "")
        + (f", {merged.relinked} relinked" if merged.relinked else "")
        + as_log(told)
    )
    ann, notes = ann_after(old, merged.old_rows, contents.n, contents.encoder.dim)
    root = write(
        path,
        contents,
        merged.vectors(old, parts),
        entry=entry(command, summary, old.root_digest if old else "", parts.computed_by),
        **ann,
    )
    return root, tuple(notes)


def _stopped_message(path: Path, committed: int) -> str:
    state = "is unchanged" if path.exists() else "is not written yet"
    if not committed:
        return (
            f"Stopped. No picture was encoded yet; {path} {state}. Run the same command again to start over."
        )
    return (
        f"Stopped. {committed} encoded pictures are kept in {path}.parts; {path} {state}. "
        "Run the same command again to resume."
    )


def _nothing_message(path: Path, old: Index | None, merged: Merged, parts: Parts) -> str:
    """Return why no index without rows was written, with an example of each reason."""
    state = "was not written" if old is None else "is unchanged"
    if not merged.rejected:
        return (
            f"No row would be left in {path}, which {state}. Delete the file if it is no longer needed, or drop "
            "--prune."
        )
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for rejected in merged.rejected:
        reason = rejected.reason or parts.rejected.get(rejected.digest, "")
        counts[reason] += 1
        examples.setdefault(reason, rejected.item.path)
    listed = [
        f"{reason} ({n:,}, such as {examples[reason]})" if n > 1 else f"{reason} ({examples[reason]})"
        for reason, n in counts.most_common(_MOST_REASONS)
    ]
    if (more := len(counts) - _MOST_REASONS) > 0:
        listed.append(f"and {more:,} other reasons")
    n = len(merged.rejected)
    which = "The only picture was rejected" if n == 1 else f"All {n:,} pictures were rejected"
    missing = all(reason.startswith(_NO_FILE) for reason in counts)
    hint = " Check the paths: those of a manifest are relative to it." if missing else ""
    return f"{which}: {'; '.join(listed)}. {path} {state}, because it would have no rows.{hint}"


def _strict_message(unreadable: Sequence[Scanned], parts: Parts) -> str:
    listed = [f"  {rejected.item.path}: {rejected.reason}" for rejected in unreadable[:10]]
    if len(unreadable) > 10:
        listed.append(f"  and {len(unreadable) - 10} more")
    return "\n".join(
        [
            f"{len(unreadable)} pictures cannot be read:",
            *listed,
            "The index was not written (--strict). Repair or remove them, or build without --strict to record "
            f"them. The encoded pictures are kept in {parts.folder}.",
        ]
    )
