"""The record of an output folder: a journal of rows and outcomes, from which the manifest is written.

`fetched.jsonl` is appended to: a line for each row of a list, and a line for each outcome of a URL, before its file is
put in place. A run that is killed at any point therefore loses at most what was on its way. URLs are recorded without
secrets; the key of a URL is a digest of all of it.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text, parse_json
from imindex.indexer.core.spreadsheet import csv_cell
from imindex.indexer.fetch.outcome import FETCHED, Outcome
from imindex.indexer.fetch.url_list import Wanted
from imindex.indexer.sources.unfinished import FETCHED_JOURNAL
from imindex.indexer.system.atomic import copy_file, flush, make_folder, open_to_append, write_file
from imindex.indexer.system.input_files import open_input, read_input

MANIFEST, REFUSED = "manifest.csv", "refused.csv"
_OUTCOME = tuple(field.name for field in dataclasses.fields(Outcome))
_MANIFEST = ("url", "final_url", "sha256", "size", "status", "fetched_at", "etag", "last_modified", "content_type",
             "robots")  # fmt: skip


class Record:
    """The rows and outcomes of an output folder, open for one process that holds its lock.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    ImindexError
        If the journal was not written by `imindex fetch`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: dict[tuple[str, str], Wanted] = {}
        self.outcomes: dict[str, Outcome] = {}
        self._journal: BinaryIO | None = None
        self._digests: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self._read(folder / FETCHED_JOURNAL)

    def _read(self, path: Path) -> None:
        if not path.exists():
            return
        with open_input(path) as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):  # cut by a kill or a power cut
                    break
                try:
                    entry = parse_json(line)
                    if "row" in entry:
                        row = _row(entry["row"])
                        self.rows[row.key, row.artist] = row
                    else:
                        outcome = entry["outcome"]
                        key = outcome.pop("key")
                        self.outcomes[key] = Outcome(**outcome)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ImindexError(
                        f"{path}, line {number} cannot be read: {error}. Delete the line; its picture is then fetched "
                        "again."
                    ) from error

    def begin(self, rows: Iterable[Wanted]) -> None:
        """Add the rows of a list to the journal, where they are new or changed."""
        lines = []
        for row in rows:
            recorded = dataclasses.replace(row, url="")
            if self.rows.get((row.key, row.artist)) != recorded:
                self.rows[row.key, row.artist] = recorded
                fields = dataclasses.asdict(recorded)
                del fields["url"]
                lines.append(json_text({"row": fields}))
        self._append(lines)

    def add(self, rows: Sequence[Wanted], outcome: Outcome, data: bytes) -> None:
        """Record the outcome of a URL, then put its picture in place for each artist.

        Parameters
        ----------
        rows : sequence of Wanted
            The rows with this URL.
        outcome : Outcome
        data : bytes
            The picture; empty if it was not fetched.
        """
        fields = {name: getattr(outcome, name) for name in _OUTCOME}
        self._append([json_text({"outcome": {"key": rows[0].key, **fields}})])
        self.outcomes[rows[0].key] = outcome
        if outcome.status == FETCHED:
            for row in rows:
                path = self.folder / row.path(outcome.suffix)
                make_folder(path.parent, inside=self.folder)
                write_file(path, data)

    def complete(self, rows: Sequence[Wanted], *, copy: bool = True) -> bool:
        """Return whether a URL was fetched and its file is there for each artist; missing copies are written.

        Parameters
        ----------
        rows : sequence of Wanted
            The rows with this URL.
        copy : bool
            Whether to write missing copies.
        """
        outcome = self.outcomes.get(rows[0].key)
        if outcome is None or outcome.status != FETCHED:
            return False
        missing = [row for row in rows if not self._is_there(row, outcome)]
        if not missing:
            return True
        others = (row for row in self.rows.values() if row.key == rows[0].key)
        source = next((row for row in others if self._is_there(row, outcome)), None)
        if source is None:
            return False
        for row in missing if copy else ():
            path = self.folder / row.path(outcome.suffix)
            make_folder(path.parent, inside=self.folder)
            copy_file(self.folder / source.path(outcome.suffix), path)
        return True

    def _is_there(self, row: Wanted, outcome: Outcome) -> bool:
        path = self.folder / row.path(outcome.suffix)
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size != outcome.size:
                return False
            return self._digest(path) == outcome.sha256
        except (OSError, ImindexError):
            return False

    def _digest(self, path: Path) -> str:
        """Return the SHA-256 of a file, read again only if its size or time has changed."""
        status = path.stat()
        stamp = status.st_size, status.st_mtime_ns, status.st_ino
        known = self._digests.get(path)
        if known is None or known[0] != stamp:
            known = self._digests[path] = stamp, hashlib.sha256(read_input(path)).hexdigest()
        return known[1]

    def write_tables(self) -> tuple[int, int]:
        """Write the manifest, and the table of what was refused or failed; return their numbers of rows."""
        fetched, others = [], []
        more: dict[str, None] = {}
        for row in self.rows.values():
            outcome = self.outcomes.get(row.key)
            if outcome is None:
                continue
            if outcome.status != FETCHED:
                others.append(_refused_cells(row, outcome))
            elif self._is_there(row, outcome):
                more |= dict.fromkeys(name for name, _ in row.more)
                fetched.append((row, outcome))
        names = [name for name in more if name not in _MANIFEST]
        header = ["path", "artist", "kind", "caption", *names, *_MANIFEST]
        cells = [_cells(row, outcome, names) for row, outcome in fetched]
        write_file(self.folder / MANIFEST, _table(header, cells))
        header = ["url", "artist", "kind", "status", "reason", "http_status", "at"]
        write_file(self.folder / REFUSED, _table(header, others))
        return len(cells), len(others)

    def _append(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        if self._journal is None:
            self._journal = open_to_append(self.folder / FETCHED_JOURNAL)
            _cut_last_line(self._journal)
        self._journal.write("".join(f"{line}\n" for line in lines).encode())
        self._journal.flush()
        flush(self._journal.fileno())

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def _cut_last_line(file: BinaryIO) -> None:
    """Remove a last line that a kill cut off."""
    end = file.seek(0, io.SEEK_END)
    place, tail = end, b""
    while place > 0 and b"\n" not in tail:
        step = min(place, 65536)
        place -= step
        file.seek(place)
        tail = file.read(step) + tail
    keep = place + tail.rfind(b"\n") + 1
    if keep < end:
        file.truncate(keep)


def _row(fields: Any) -> Wanted:
    more = tuple((str(name), str(value)) for name, value in fields.pop("more"))
    return Wanted(url="", more=more, **fields)


def _cells(row: Wanted, outcome: Outcome, names: Sequence[str]) -> list[Any]:
    more = dict(row.more)
    said = {
        "url": row.shown,
        "final_url": outcome.final_url,
        "sha256": outcome.sha256,
        "size": outcome.size,
        "status": outcome.status,
        "fetched_at": outcome.at,
        "etag": outcome.etag,
        "last_modified": outcome.last_modified,
        "content_type": outcome.content_type,
        "robots": outcome.robots,
    }
    own = [
        row.path(outcome.suffix),
        row.artist,
        row.kind,
        row.caption,
        *(more.get(name, "") for name in names),
    ]
    return [*own, *(csv_cell(said[name]) for name in _MANIFEST)]


def _refused_cells(row: Wanted, outcome: Outcome) -> list[Any]:
    said = [outcome.status, outcome.reason, outcome.http_status or "", outcome.at]
    return [csv_cell(row.shown), row.artist, row.kind, *map(csv_cell, said)]


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
