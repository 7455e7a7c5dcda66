"""Ask an API for the pictures of a release that are still missing, and record every request."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text
from imindex.indexer.core.provenance import now, versions
from imindex.indexer.decode.limits import Limits
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.generate.release_folder import (
    MANIFEST,
    ONE_COLOUR,
    Folder,
    check_space,
    disk_full_errors,
    locked,
)
from imindex.indexer.image_api.client import Answer, Client, body_of
from imindex.indexer.image_api.order import request_order
from imindex.indexer.image_api.outcome import (
    BLOCKED,
    ERROR,
    NO_PICTURE,
    OUTCOMES,
    PICTURE,
    WITHHELD,
    Reading,
    read_answer,
)
from imindex.indexer.image_api.pace import Pace, backoff
from imindex.indexer.image_api.pictures import check_picture
from imindex.indexer.image_api.request_log import (
    ANSWERED,
    LOG,
    LOST,
    SENT,
    Request,
    RequestLog,
    final_answers,
)
from imindex.indexer.image_api.settings import ApiSettings, Asking
from imindex.indexer.sources import unfinished
from imindex.indexer.system.atomic import make_folder, write_file
from imindex.indexer.system.input_files import read_input

GIVE_UP = 3
"""Runs in which a picture may fail while the service answers other requests. After that it counts as an error."""
MOST_FAULTS = 10
"""Pictures in a row that fail, after which a run ends: the service is down, or every request is wrong."""
LONGEST_PAUSE = 900.0
"""Seconds. A run ends if the service asks to wait longer."""
_DOWNLOADS = 3
_ARMS = {"artist": "own", "generic": "control"}
_PIXELS = 1024 * 1024


@dataclass(frozen=True)
class AskReport:
    """Result of a run.

    Attributes
    ----------
    folder, release : str
    requests : int
        Sent by this run, further attempts included.
    outcomes : mapping of str to int
        Number of wanted pictures with each outcome, earlier runs included.
    there : int
        Pictures whose outcome was known before this run.
    unanswered : int
        Wanted pictures without an outcome: the next run asks for them.
    lost : int
        Requests of earlier runs whose answers were lost, because the process ended before it had written them. They
        are asked for again, and may have been charged.
    names : int
        Distinct names among the wanted pictures.
    codes : mapping of str to int
        How often the service gave each code with a refused or blocked picture, the most frequent first.
    models : tuple of str
        Models that the service says it used.
    notes : tuple of str
    """

    folder: str
    release: str
    requests: int
    outcomes: Mapping[str, int]
    there: int
    unanswered: int
    lost: int
    names: int
    codes: Mapping[str, int]
    models: tuple[str, ...]
    notes: tuple[str, ...]


def ask(  # noqa: PLR0913
    shots: Sequence[Shot],
    out: Path,
    settings: ApiSettings,
    *,
    asking: Asking = Asking(),  # noqa: B008 - frozen
    release: str = "",
    seed: int = 0,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    command: str = "",
    progress: Callable[[int, int], None] = lambda done, made: None,
) -> AskReport:
    """Ask an API for the pictures that have no outcome yet, in a keyed random order of names.

    Each request is in the log, `requests.jsonl`, before it is sent. A refusal is an outcome: it is not asked again,
    because pictures that come of asking until the filter gives way are selected by the filter. Faults that may pass
    (no answer, HTTP 429 and 5xx) are tried again with growing waits, in this run and in the next ones.

    Parameters
    ----------
    shots : sequence of Shot
        The wanted pictures.
    out : Path
        The folder of the release: pictures as they came, `manifest.jsonl`, `requests.jsonl` and `release.json`.
    settings : ApiSettings
    asking : Asking
    release : str
        The collection of the pictures, by default the name of the folder.
    seed : int
        Of the order of the requests.
    limits : Limits
        Larger pictures count as `no picture`.
    command : str
        The command line, shown to another process that finds the folder in use.
    progress : callable
        Called with the number of pictures whose outcome is known, and of these, those of this run.

    Returns
    -------
    AskReport

    Raises
    ------
    ImindexError
        If the key is missing or refused, the folder holds another release or its log was changed, the disk is full, or
        `MOST_FAULTS` pictures in a row fail. What was answered is kept.
    """
    out = Path(out)
    release = release or out.resolve().name
    if negative := [shot for shot in shots if shot.negative]:
        raise ImindexError(
            f"{negative[0].path} has a negative prompt, which the endpoint {settings.api} does not take. Remove the "
            "prompts that have one."
        )
    with locked(out, command) as lock_note:
        folder = Folder(out, release, {})
        folder.refuse_other({"release": release, **described(settings)})
        log = RequestLog(out / LOG)
        answers = known_answers(log.requests, out, settings)
        left = [shot for shot in request_order(shots, seed=seed) if shot.path not in answers]
        there = len(shots) - len(left)
        progress(there, 0)
        lost = [one for one in log.requests if one.outcome == LOST]
        notes = [lock_note]
        run = _Run(out, settings, asking, log, limits, lambda new: progress(there + new, new))
        problem = ""
        if left:
            client = Client(settings, asking)
            notes.append(check_space(out, len(left), _PIXELS))
            with disk_full_errors(out):
                unfinished.mark(out, wanted=len(shots), others=0)
                try:
                    problem = run.ask(left, client)
                finally:
                    log.close()
                    answers = known_answers(RequestLog(out / LOG).requests, out, settings)
                    write_manifest(out, release, shots, settings, answers)
        else:
            write_manifest(out, release, shots, settings, answers)
        if answers.keys() >= {shot.path for shot in shots}:
            unfinished.unmark(out)
        if problem:
            raise ImindexError(problem)
        return _report(out, release, shots, answers, run.sent, there, len(lost), notes)


def described(settings: ApiSettings) -> Mapping[str, Any]:
    """Return what release.json holds of an API: what was asked for, since nothing shows what is behind it."""
    return {
        "model": settings.model,
        **settings.about(),
        "versions": {"imindex": versions().get("imindex", "")},
    }


def known_answers(requests: Sequence[Request], folder: Path, settings: ApiSettings) -> dict[str, Request]:
    """Return the answer that stands for each wanted picture, by the path of its shot.

    A picture counts while its file has the SHA-256 of the log. Errors count once a picture has failed `GIVE_UP` times
    while the service answered others, unless the settings have since come to call their code a refusal.
    """
    answers: dict[str, Request] = {}
    failures: Counter[str] = Counter()
    failed: dict[str, Request] = {}  # since the last answer to another request
    codes = {code.casefold() for code in settings.refusal_codes}
    for one in final_answers(requests):
        place = _place(one)
        if one.outcome == ERROR:
            if one.code.casefold() not in codes:
                failed[place] = one
            continue
        for other, error in failed.items():
            failures[other] += other != place
            if failures[other] >= GIVE_UP:
                answers.setdefault(other, error)
        failed.clear()
        if one.outcome != PICTURE or _is_whole(folder / one.path, one.sha256):
            answers.setdefault(place, one)
    return answers


def unanswered(shots: Sequence[Shot], folder: Path, settings: ApiSettings) -> list[Shot]:
    """Return the shots that `ask` would ask for."""
    answers = known_answers(RequestLog(folder / LOG).requests, folder, settings)
    return [shot for shot in shots if shot.path not in answers]


def _place(request: Request) -> str:
    """Return the path of the shot that a request is for: what its id begins with."""
    return request.id.rpartition("#")[0]


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(read_input(path)).hexdigest() == sha256
    except (OSError, ImindexError):
        return False


def write_manifest(
    folder: Path,
    release: str,
    shots: Sequence[Shot],
    settings: ApiSettings,
    answers: Mapping[str, Request],
) -> None:
    """Write the manifest of a release: pictures, and pictures that were withheld, without a path."""
    lines = [
        _manifest_line(shot, answers[shot.path], release, settings) for shot in shots if shot.path in answers
    ]
    content = b"".join(json_text(line).encode() + b"\n" for line in lines)
    file = folder / MANIFEST
    if not file.exists() or read_input(file) != content:
        write_file(file, content)


def _manifest_line(shot: Shot, answer: Request, release: str, settings: ApiSettings) -> Mapping[str, Any]:
    there = answer.outcome == PICTURE
    return {
        "path": answer.path if there else "",
        "artist": shot.artist,
        "kind": shot.kind,
        "collection": release,
        "prompt": shot.prompt,
        "seed": "",  # no two pictures of an API are known to have the same
        "arm": _ARMS.get(shot.arm, shot.arm),
        "template": shot.template,
        "number": shot.number,
        "sha256": answer.sha256,
        "blocked": "" if there else why_withheld(answer),
        "model": settings.model,
        "reported_model": answer.reported_model,
        "revised_prompt": answer.revised_prompt,
        "time": answer.time,
        "request": answer.id,
    }


def why_withheld(answer: Request) -> str:
    """Return why there is no picture, in a few words: the outcome, and the code or the message of the service."""
    return f"{answer.outcome}: {said}" if (said := answer.code or answer.message) else answer.outcome


class _Run:
    """The requests of one run, sent by a few threads."""

    def __init__(
        self,
        folder: Path,
        settings: ApiSettings,
        asking: Asking,
        log: RequestLog,
        limits: Limits,
        progress: Callable[[int], None],
    ):
        self._folder, self._settings, self._asking = folder, settings, asking
        self._log, self._limits, self._progress = log, limits, progress
        self._pace = Pace(asking.per_minute)
        self._lock = threading.Lock()
        self._attempts = Counter(_place(one) for one in log.requests)
        self._faults = self._done = self.sent = 0
        self._problem = ""
        self._failure: BaseException | None = None

    def ask(self, left: Sequence[Shot], client: Client) -> str:
        """Ask for pictures; return why the run ended before it had asked for all of them, or nothing."""
        for request in self._log.requests:
            if request.outcome == LOST and request.final:
                self._log.append(LOST, {"id": request.id, "noticed": now(), "final": False})
        queue = deque(left)
        ended: list[threading.Event] = []
        try:
            for number in range(min(self._asking.concurrency, len(left))):
                end = threading.Event()
                work = threading.Thread(target=self._work, args=(queue, client, end), name=f"asking-{number}")
                work.daemon = True
                work.start()
                ended.append(end)
            for end in ended:  # Thread.join says after Ctrl-C that a thread has ended that has not
                while not end.wait(0.2):
                    pass
        except BaseException:
            self._pace.end()  # answers that are on their way are paid for: they are waited for and written
            for end in ended:
                end.wait(self._asking.timeout + 5)
            raise
        if self._failure is not None:
            raise self._failure
        return self._problem

    def _work(self, queue: deque[Shot], client: Client, end: threading.Event) -> None:
        try:
            while True:
                try:
                    shot = queue.popleft()
                except IndexError:
                    return
                if not self._picture(shot, client):
                    return
        except BaseException as error:  # a full disk, such as: the main thread raises it
            with self._lock:
                self._failure = self._failure or error
            self._pace.end()
        finally:
            end.set()

    def _picture(self, shot: Shot, client: Client) -> bool:
        """Ask for one picture until there is an outcome; return whether to go on with the next."""
        body = body_of(shot, self._settings)
        for attempt in range(1, self._asking.attempts + 1):
            if not self._turn():
                return False
            request = self._sent(shot, body)
            answer = client.ask(body)
            reading = self._reading(answer)
            wait = 0.0
            last = not reading.again or attempt == self._asking.attempts
            if reading.again:
                wait = max(backoff(self._asking.backoff, attempt), answer.wait)
                if answer.wait:
                    self._pace.pause(answer.wait)
                last = last or answer.wait > LONGEST_PAUSE or self._pace.ended
            self._answered(request, shot, answer, reading, client, last=last)
            if answer.wait > LONGEST_PAUSE:
                self._stop(f"The service asks to wait {answer.wait:,.0f} seconds. Run this again after that.")
            if reading.stops:
                self._stop(self._why_stopped(answer, reading))
            if last:
                break
            if not self._pace.wait(wait):
                return False
        return not self._pace.ended

    def _turn(self) -> bool:
        if not self._pace.turn():
            return False
        with self._lock:
            most = self._asking.max_requests
            if most is not None and self.sent >= most:
                self._pace.end()
                return False
            self.sent += 1
        return True

    def _sent(self, shot: Shot, body: bytes) -> str:
        """Write the line of a request, before it is sent; return its id."""
        with self._lock:
            self._attempts[shot.path] += 1
            attempt = self._attempts[shot.path]
        request = f"{shot.path}#{attempt}"
        self._log.append(
            SENT,
            {
                "id": request,
                "time": now(),
                "prompt": shot.prompt,
                "name": shot.artist,
                "arm": _ARMS.get(shot.arm, shot.arm),
                "template": shot.template,
                "number": shot.number,
                "attempt": attempt,
                "model": self._settings.model,
                "request_sha256": hashlib.sha256(body).hexdigest(),
            },
        )
        return request

    def _reading(self, answer: Answer) -> Reading:
        if not answer.status:
            return Reading(ERROR, message=answer.problem, again=answer.again)
        return read_answer(answer.status, answer.body, refusal_codes=self._settings.refusal_codes)

    def _answered(
        self, request: str, shot: Shot, answer: Answer, reading: Reading, client: Client, *, last: bool
    ) -> None:
        """Write the picture of an answer, then the line of the answer."""
        values: dict[str, object] = {
            "id": request,
            "answered": now(),
            "status": answer.status,
            "request_id": answer.request_id,
            "answer_sha256": hashlib.sha256(answer.body).hexdigest() if answer.status else "",
        }
        outcome, message = reading.outcome, reading.message
        if outcome == PICTURE:
            data, problem = _data_of(reading, client)
            checked = check_picture(data, self._limits) if not problem else None
            if checked is None or checked.problem:
                outcome = ERROR if checked is None else NO_PICTURE
                message = problem or (checked.problem if checked else "")
            elif checked.one_colour:
                outcome, message = BLOCKED, ONE_COLOUR
            else:
                file = self._folder / Path(shot.path).with_suffix(checked.suffix)
                make_folder(file.parent, inside=self._folder)
                write_file(file, data)
                values |= {
                    "path": file.relative_to(self._folder).as_posix(),
                    "width": checked.width,
                    "height": checked.height,
                }
            values["sha256"] = hashlib.sha256(data).hexdigest() if data else ""
        self._log.append(
            ANSWERED,
            {
                **values,
                "outcome": outcome,
                "code": reading.code,
                "message": message,
                "revised_prompt": reading.revised_prompt,
                "reported_model": reading.model,
                "final": outcome != ERROR or (last and not reading.stops),
            },
        )
        self._count(outcome, message, last=last)

    def _count(self, outcome: str, message: str, *, last: bool) -> None:
        with self._lock:
            if outcome != ERROR:
                self._faults = 0
                self._done += 1
                self._progress(self._done)
                return
            self._faults += last
            faults = self._faults
        if faults >= MOST_FAULTS:
            self._stop(
                f"{faults} pictures in a row failed ({message}). What was answered is kept. Check the settings and the "
                "service, then run this again."
            )

    def _why_stopped(self, answer: Answer, reading: Reading) -> str:
        where, said = (
            self._settings.api,
            f"HTTP {answer.status}" + (f", {reading.code}" if reading.code else ""),
        )
        if answer.moved_to:
            return f"{where} redirects to {answer.moved_to}, which is not followed. Pass the URL of the endpoint."
        if answer.status in (401, 403):
            variable = self._settings.key_env
            remedy = (
                f"Check the value of {variable}." if variable else "Name the environment variable of its key."
            )
            return f"{where} refuses the key ({said}). {remedy}"
        if answer.status in (404, 405):
            return f"{where} has no such endpoint or model ({said}). Check the URL and the model."
        return f"{where} makes no further pictures for this account ({said}: {reading.message}). Run this again later."

    def _stop(self, problem: str) -> None:
        with self._lock:
            self._problem = self._problem or problem
        self._pace.end()


def _data_of(reading: Reading, client: Client) -> tuple[bytes, str]:
    """Return the bytes of a picture, and why there are none."""
    if not reading.url:
        return reading.data, ""
    answer = Answer(0)
    for _ in range(_DOWNLOADS):
        answer = client.download(reading.url)
        if answer.status == 200 or (answer.status and answer.status < 500) or not answer.again:
            break
    if answer.status == 200:
        return answer.body, ""
    return b"", f"the picture cannot be downloaded: {answer.problem or f'HTTP {answer.status}'}"


def _report(  # noqa: PLR0913
    out: Path,
    release: str,
    shots: Sequence[Shot],
    answers: Mapping[str, Request],
    sent: int,
    there: int,
    lost: int,
    notes: Sequence[str],
) -> AskReport:
    wanted = [answers[shot.path] for shot in shots if shot.path in answers]
    counts = Counter(one.outcome for one in wanted)
    codes = Counter(one.code or one.message or "no code" for one in wanted if one.outcome in WITHHELD)
    return AskReport(
        folder=str(out),
        release=release,
        requests=sent,
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        there=there,
        unanswered=len(shots) - len(wanted),
        lost=lost,
        names=len({shot.artist for shot in shots if shot.artist}),
        codes=dict(codes.most_common()),
        models=tuple(sorted({one.reported_model for one in wanted if one.reported_model})),
        notes=tuple(note for note in notes if note),
    )
