"""The log of requests to an image API: append-only, a line before each request and one after its answer.

A line is on the disk before its request is sent, so a request is never sent twice without the log saying so, and an
answer that was lost, because the process ended between the request and its picture, is visible. Each line holds the
SHA-256 of the line before it. `docs/howto/api-only-model.md` documents the format, which other programs may write too.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, BinaryIO

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text, parse_json
from imindex.indexer.core.names import clean_name
from imindex.indexer.image_api.outcome import ERROR, OUTCOMES, PICTURE
from imindex.indexer.sources.arms import arm_of
from imindex.indexer.sources.manifest_rows import rows
from imindex.indexer.system.atomic import flush, flush_folder, open_to_append
from imindex.indexer.system.input_files import read_input

LOG = "requests.jsonl"
SENT, ANSWERED, LOST = "sent", "answered", "lost"
"""The events of the log: a request, its answer, and the note of a later run that there is none."""
_SUFFIXES = (".jsonl", ".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Request:
    """One request and its answer.

    Attributes
    ----------
    id : str
        Unique in its log.
    time : str
        When it was sent, ISO 8601.
    prompt : str
    name : str
        The name in the prompt; empty for a control picture.
    arm : str
        own, placebo, rival, nameless or control.
    template : str
        The prompt with `{artist}`; empty if unknown.
    number : int
        Counts from 0 for each name and template.
    attempt : int
        Counts from 1 for each picture.
    status : int
        Of HTTP; 0 without an answer.
    outcome : str
        One of `imindex.indexer.image_api.outcome.OUTCOMES`, or lost.
    code, message : str
        Of the provider.
    revised_prompt : str
        What the provider says it used instead of the prompt.
    model : str
        The model that was asked for.
    reported_model : str
        The model that the provider says it used.
    request_sha256, answer_sha256 : str
        Of the bodies.
    path : str
        The picture, relative to the folder of the log.
    sha256 : str
        Of the picture.
    final : bool
        Whether this answer stands for its picture: no further attempt was to be made.
    """

    id: str
    time: str = ""
    prompt: str = ""
    name: str = ""
    arm: str = ""
    template: str = ""
    number: int = 0
    attempt: int = 1
    status: int = 0
    outcome: str = LOST
    code: str = ""
    message: str = ""
    revised_prompt: str = ""
    model: str = ""
    reported_model: str = ""
    request_sha256: str = ""
    answer_sha256: str = ""
    path: str = ""
    sha256: str = ""
    final: bool = True


_FIELDS = {field.name: field.type for field in fields(Request)}


class RequestLog:
    """The log of a folder, open for one process; its threads append to it one after the other.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ImindexError
        If the log was changed since it was written.
    """

    def __init__(self, path: Path):
        self.path = path
        lines = _lines(path)
        self.requests, self._last = _replayed(path, lines)
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()

    def append(self, event: str, values: Mapping[str, object]) -> None:
        """Append a line, and wait until it is on the disk."""
        with self._lock:
            if self._file is None:
                self._file = _opened(self.path)
            line = json_text({"event": event, **values, "previous": self._last}).encode()
            self._file.write(line + b"\n")
            self._file.flush()
            flush(self._file.fileno())
            self._last = hashlib.sha256(line).hexdigest()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def read_log(path: Path, *, written_here: bool = False) -> tuple[Request, ...]:
    """Read a log of requests, one object per request, in the order in which they were sent.

    Parameters
    ----------
    path : Path
        JSON lines as imindex writes them; or JSON lines, CSV or TSV with one row per request.
    written_here : bool
        Whether the log must be one of imindex, whose lines hold the digests of the lines before them.

    Raises
    ------
    ImindexError
        If it cannot be read, a value is not valid, or a line of imindex was changed or removed.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ImindexError(f"{path} is not a log of requests: it must end in {', '.join(_SUFFIXES)}.")
    if path.suffix.lower() == ".jsonl" and (written_here or _is_ours(path)):
        requests, _ = _replayed(path, _lines(path))
        return requests
    listed = tuple(_of_row(where, row) for where, row in rows(path, required="outcome"))
    _refuse_repeats(path, [one.id for one in listed if one.id])
    return _with_finals([replace(one, id=one.id or str(n)) for n, one in enumerate(listed, 1)])


def log_digest(path: Path) -> str:
    """Return the SHA-256 of a log, as it is registered."""
    return hashlib.sha256(read_input(path)).hexdigest()


def final_answers(requests: Iterable[Request]) -> tuple[Request, ...]:
    """Return the requests whose answer stands for its picture: at most one per name, template and number."""
    return tuple(request for request in requests if request.final and request.outcome != LOST)


def _lines(path: Path) -> list[bytes]:
    """Return the whole lines of a log; a last one without its end was never waited for."""
    return read_input(path).split(b"\n")[:-1] if path.exists() else []


def _opened(path: Path) -> BinaryIO:
    """Open the log for appending, after removing a truncated last line."""
    file = open_to_append(path)
    flush_folder(path.parent)
    file.seek(0)
    content = file.read()
    if content and not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
    return file


def _is_ours(path: Path) -> bool:
    try:
        first = parse_json(_lines(path)[0])
    except (ValueError, IndexError):
        return False
    return isinstance(first, dict) and {"event", "previous"} <= first.keys()


def _replayed(path: Path, lines: Sequence[bytes]) -> tuple[tuple[Request, ...], str]:
    """Return the requests of a log of imindex, and the digest of its last line."""
    requests: dict[str, Request] = {}
    last = ""
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        try:
            values = parse_json(line, finite=True)
            event, previous = values.pop("event"), values.pop("previous")
            request = _request({**_as_row(requests.get(values["id"])), **values}, where)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ImindexError(f"{where} is not a line of a log of requests: {error}. {_EDITED}") from error
        if previous != last or (event == SENT) != (request.id not in requests):
            raise ImindexError(f"{where} does not follow the line before it. {_EDITED}")
        requests[request.id] = replace(request, outcome=LOST) if event != ANSWERED else request
        last = hashlib.sha256(line).hexdigest()
    return tuple(requests.values()), last


_EDITED = (
    "A line was changed, added or removed after it was written. Restore the log from a backup; it is the only record "
    "of what was asked."
)


def _as_row(request: Request | None) -> Mapping[str, Any]:
    return {} if request is None else {name: getattr(request, name) for name in _FIELDS}


def _request(values: Mapping[str, Any], where: str) -> Request:
    """Return a request of the known columns; others are for people."""
    known = {}
    for name, kind in _FIELDS.items():
        if name not in values:
            continue
        value = values[name]
        if kind == "int":
            if isinstance(value, bool) or not isinstance(value, int):
                raise ImindexError(f"{where}: {name} is not a whole number.")
        elif kind == "bool":
            if not isinstance(value, bool):
                raise ImindexError(f"{where}: {name} is neither true nor false.")
        elif not isinstance(value, str):
            raise ImindexError(f"{where}: {name} is not text.")
        known[name] = value
    if "id" not in known:
        raise KeyError("id")
    return Request(**known)


def _of_row(where: str, row: Mapping[str, Any]) -> Request:
    """Return the request of a row that another program wrote."""
    values: Mapping[str, str] = {
        name: "" if row.get(name) is None or row[name] != row[name] else str(row[name]) for name in row
    }
    known: Mapping[str, Any] = {
        **{
            name: _number(where, name, values.get(name, ""), 1 if name == "attempt" else 0)
            for name, kind in _FIELDS.items()
            if kind == "int"
        },
        **{name: values.get(name, "") for name, kind in _FIELDS.items() if kind == "str"},
    }
    request = Request(**known)
    outcome = request.outcome.strip().casefold().replace("_", " ")
    if outcome not in OUTCOMES:
        raise ImindexError(
            f"{where}: outcome {request.outcome[:40]!r} is unknown. Write one of {', '.join(OUTCOMES)}."
        )
    if not request.name and "artist" in values:
        request = replace(request, name=values["artist"])
    if outcome == PICTURE and not request.path:
        raise ImindexError(f"{where}: no path. A request whose outcome is a picture names it in `path`.")
    return replace(
        request, outcome=outcome, name=clean_name(request.name), arm=arm_of(where, request.arm), final=True
    )


def _number(where: str, name: str, text: str, default: int) -> int:
    text = text.strip().removesuffix(".0")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ImindexError(f"{where}: {name} {text[:40]!r} is not a whole number.")
    return int(text)


def _refuse_repeats(path: Path, ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise ImindexError(f"{path}: the id {one[:40]!r} is there twice. Every request has its own.")
        seen.add(one)


def _with_finals(requests: Sequence[Request]) -> tuple[Request, ...]:
    """Mark earlier attempts at the same picture: their last attempt stands for it, if another program made several."""
    last: dict[tuple[str, str, str, int], int] = {}
    for position, one in enumerate(requests):
        key = (one.name, one.template or one.prompt, one.arm, one.number)
        before = last.get(key)
        if one.attempt > 1 and before is not None and requests[before].outcome == ERROR:
            last[key] = position
        elif one.attempt > 1 and before is not None:
            raise ImindexError(
                f"Request {one.id}: attempt {one.attempt} at a picture of {one.name or one.prompt!r} whose outcome was "
                f"{requests[before].outcome!r}. Only errors are asked again: to ask again after a refusal selects "
                "pictures by the filter. Log the further picture with a number of its own."
            )
        else:
            last[key if before is None else (*key[:3], -position - 1)] = position
    kept = set(last.values())
    return tuple(replace(one, final=position in kept) for position, one in enumerate(requests))
