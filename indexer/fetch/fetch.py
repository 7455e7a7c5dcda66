"""Fetch the pictures of a list: what is missing is asked for, host by host, and everything is recorded."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import program
from imindex.indexer.fetch.connection import Connection
from imindex.indexer.fetch.download import Downloader, host_of
from imindex.indexer.fetch.limits import FetchSettings
from imindex.indexer.fetch.outcome import FAILED, FETCHED, REFUSED
from imindex.indexer.fetch.record import Record
from imindex.indexer.fetch.url_list import Wanted
from imindex.indexer.sources.unfinished import LOCK
from imindex.indexer.system.atomic import clear_folders, make_folder
from imindex.indexer.system.locks import alone

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FetchReport:
    """Result of a run.

    Attributes
    ----------
    folder : str
    urls : int
        Distinct URLs of the list.
    fetched, there : int
        Downloaded by this run, and present before.
    refused, failed : int
        URLs of the list that are refused, and URLs that the next run tries again.
    size : int
        Bytes downloaded by this run.
    pictures : int
        Rows of the manifest, those of earlier lists included.
    reasons : mapping of str to int
        Why URLs are refused or failed, the most frequent first.
    notes : tuple of str
    """

    folder: str
    urls: int
    fetched: int
    there: int
    refused: int
    failed: int
    size: int
    pictures: int
    reasons: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class HostPlan:
    """What would be asked of a host.

    Attributes
    ----------
    host : str
    urls, left : int
        URLs of the list, and those that would be asked for.
    """

    host: str
    urls: int
    left: int


def user_agent(contact: str = "") -> str:
    """Return the User-Agent: this program, its version, and how to reach the user.

    Raises
    ------
    ImindexError
        If the contact has characters that a header cannot hold.
    """
    contact = contact.strip()
    if contact and not re.fullmatch(r"[\x21-\x7e]{3,200}", contact):
        raise ImindexError("The contact is one e-mail address or one URL, without spaces. Correct --contact.")
    reach = f"+{contact}" if contact else "no contact given"
    return f"{program().replace(' ', '/', 1)} ({reach}; downloads pictures by artists for an audit)"


def fetch(
    rows: Sequence[Wanted],
    out: Path,
    *,
    settings: FetchSettings | None = None,
    retry_refused: bool = False,
    command: str = "",
    progress: Progress = lambda done, new: None,
) -> FetchReport:
    """Fetch the pictures of a list into a folder, and write its manifest.

    Parameters
    ----------
    rows : sequence of Wanted
        From `read_list`.
    out : Path
        `works/<artist>/*`, `manifest.csv` for `imindex build`, `refused.csv`, and the journal `fetched.jsonl`.
    settings : FetchSettings, optional
    retry_refused : bool
        Whether URLs that were refused before are asked for again. What refuses them is checked again.
    command : str
        The command line, shown to another process that finds the folder in use.
    progress : callable
        Called with the number of URLs done, and of these, those asked for by this run.

    Returns
    -------
    FetchReport

    Raises
    ------
    ImindexError
        If the folder is in use, or is not one of `imindex fetch`.
    """
    settings = settings or FetchSettings()
    agent = user_agent(settings.contact)
    make_folder(out, inside=out)
    with ExitStack() as stack:
        refusal = f"{out} is in use by {{by}}. Wait for it to end, or choose another folder."
        note = stack.enter_context(alone(out / LOCK, refusal, command))
        clear_folders(out)
        record = Record(out)
        stack.callback(record.close)
        record.begin(rows)
        asked = _by_url(rows)
        record.write_tables()
        left = _left(asked, record, retry_refused=retry_refused)
        there, before = len(asked) - len(left), len(left)
        progress(there, 0)
        session = _Session(record, settings, agent)
        try:
            asyncio.run(session.run(left, lambda new: progress(there + new, new)))
        finally:
            pictures, _ = record.write_tables()
        outcomes = [record.outcomes[key] for key in asked]
        counts = Counter(outcome.status for outcome in outcomes)
        return FetchReport(
            folder=str(out),
            urls=len(asked),
            fetched=session.fetched,
            there=counts[FETCHED] - session.fetched,
            refused=counts[REFUSED],
            failed=counts[FAILED],
            size=session.size,
            pictures=pictures,
            reasons=dict(
                Counter(kind_of_reason(one.reason) for one in outcomes if one.status != FETCHED).most_common()
            ),
            notes=tuple(line for line in (note if before else "",) if line),
        )


def plan(rows: Sequence[Wanted], out: Path, *, retry_refused: bool = False) -> list[HostPlan]:
    """Return what would be asked of which hosts, the largest first. Nothing is written, and nobody is asked."""
    asked = _by_url(rows)
    record = Record(out)
    left = _left(asked, record, retry_refused=retry_refused, copy=False)
    hosts = {key: host_of(of[0].url) or "(no URL)" for key, of in asked.items()}
    urls, missing = Counter(hosts.values()), Counter(hosts[key] for key in left)
    return sorted(
        (HostPlan(host, n, missing[host]) for host, n in urls.items()), key=lambda one: (-one.left, one.host)
    )


def kind_of_reason(reason: str) -> str:
    """Return the kind of a reason, for counting: without the host, path or number in it."""
    kinds = (
        (r"robots\.txt of .*", "robots.txt"),
        (r"X-Robots-Tag.*", "X-Robots-Tag"),
        (r"(?:tdm-reservation|/\.well-known/tdmrep).*", "TDM reservation"),
        (r"private address.*", "private address"),
        (r"(HTTP \d+).*", r"\1"),
        (r"(not a picture).*", r"\1"),
        (r"(.*?)[:(,].*", r"\1"),
    )
    for pattern, name in kinds:
        if match := re.fullmatch(pattern, reason, re.DOTALL):
            return match.expand(name).strip()
    return reason


def _by_url(rows: Sequence[Wanted]) -> dict[str, list[Wanted]]:
    """Return the rows by the key of their URL."""
    found: dict[str, list[Wanted]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    return found


def _left(
    asked: Mapping[str, list[Wanted]], record: Record, *, retry_refused: bool, copy: bool = True
) -> dict[str, list[Wanted]]:
    """Return the URLs that this run asks for."""
    left = {}
    for key, rows in asked.items():
        outcome = record.outcomes.get(key)
        if outcome is not None and outcome.status == REFUSED and not retry_refused:
            continue
        if not record.complete(rows, copy=copy):
            left[key] = rows
    return left


class _Session:
    """Asks the hosts, each by a few workers, and records what comes in one thread."""

    def __init__(self, record: Record, settings: FetchSettings, agent: str):
        self._record, self._settings, self._agent = record, settings, agent
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="fetch-writer")
        self.fetched = self.size = self.done = 0

    async def run(self, left: Mapping[str, list[Wanted]], progress: Callable[[int], None]) -> None:
        """Ask for all that is left."""
        queues: dict[str, list[list[Wanted]]] = {}
        for rows in left.values():
            queues.setdefault(host_of(rows[0].url), []).append(rows)
        try:
            async with Connection(
                connections=self._settings.connections, private_hosts=self._settings.private_hosts
            ) as connection:
                downloader = Downloader(connection, self._settings, self._agent)
                tasks = [
                    asyncio.create_task(self._work(queue, downloader, progress))
                    for queue in (queue[::-1] for queue in queues.values())
                    for _ in range(min(self._settings.per_host, len(queue)))
                ]
                try:
                    await asyncio.gather(*tasks)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._writer.shutdown(wait=True)

    async def _work(
        self, queue: list[list[Wanted]], downloader: Downloader, progress: Callable[[int], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        while queue:
            rows = queue.pop()
            outcome, data = await downloader.download(rows[0].url)
            await loop.run_in_executor(self._writer, self._record.add, rows, outcome, data)
            self.done += 1
            self.fetched += outcome.status == FETCHED
            self.size += len(data)
            progress(self.done)
