"""Progress on stderr: bars on a terminal, otherwise a plain line every 30 seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from imindex.indexer.terminal.output import clean, say

LINE_SECONDS = 30.0
"""Time between two lines where stderr is no terminal."""
Advance = Callable[[int, int], None]
"""Is called with the numbers done and, of these, newly made in this run."""
_QUIET = "imindex.quiet"


def _set_quiet(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        context.meta[_QUIET] = True


quiet_option = click.option(
    "--quiet", is_flag=True, expose_value=False, callback=_set_quiet, help="Show no progress."
)


def quiet() -> bool:
    """Whether --quiet was passed to the command that runs."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def bars(*, transient: bool = False) -> Any:
    """Return a display of progress bars on stderr, each with the field `rate`. Off a terminal it shows nothing.

    Descriptions are shown as they are: rich's markup, its emoji codes and its links are disabled, because names of
    releases and artists may come from a stranger. Pass each description through `clean`.

    Returns
    -------
    rich.progress.Progress
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
        console=Console(stderr=True, markup=False, emoji=False, highlight=False),
        disable=not sys.stderr.isatty() or quiet(),
        transient=transient,
    )


@contextmanager
def progress_bar(total: int, what: str, *, interval: float | None = None) -> Iterator[Advance]:
    """Show progress on stderr; yield the function to call with (done, encoded).

    Parameters
    ----------
    total : int
    what : str
    interval : float, optional
        Seconds between two lines where stderr is no terminal; by default `LINE_SECONDS`.
    """
    if not sys.stderr.isatty():
        with plain_lines(total, what, interval=interval) as advance:
            yield advance
        return
    bar = bars()
    with bar:
        task = bar.add_task(clean(what), total=total, rate="")
        due, started = 0.0, time.monotonic()

        def advance(done: int, encoded: int) -> None:
            nonlocal due, started
            if (
                not encoded
            ):  # the time before the first new picture, such as that to load a model, does not count
                started = time.monotonic()
            if done != total and time.monotonic() < due:  # more updates per second would not be visible
                return
            due = time.monotonic() + 0.05
            elapsed = time.monotonic() - started
            bar.update(
                task, completed=done, rate=speed(encoded / elapsed, "pictures") if encoded and elapsed else ""
            )

        yield advance


@contextmanager
def plain_lines(total: int, what: str, *, interval: float | None = None) -> Iterator[Advance]:
    """Write a line on stderr every `interval` seconds, also while nothing advances; with --quiet, nothing.

    Parameters
    ----------
    total : int
        0 if it is not known.
    what : str
    interval : float, optional
        By default `LINE_SECONDS`.
    """
    line, ended = Line(total, what), threading.Event()
    if quiet():
        yield line.advance
        return
    seconds = LINE_SECONDS if interval is None else interval

    def show() -> None:
        while not ended.wait(seconds):
            say(str(line))

    thread = threading.Thread(target=show, name="progress", daemon=True)
    thread.start()
    try:
        yield line.advance
    finally:
        ended.set()
        thread.join(1.0)  # so that no line follows the end


class Line:
    """How far something is, as a line of text.

    Parameters
    ----------
    total : int
        0 if it is not known.
    what : str
    clock : callable
        Returns the time in seconds.

    Examples
    --------
    >>> times = iter([0.0, 100.0])
    >>> line = Line(30_000, "Encoding", lambda: next(times))
    >>> line.advance(21_000, 1_000)
    >>> print(line)
    Encoding: 21,000 of 30,000 (70 %), 10.0/s, 15 min left
    """

    def __init__(self, total: int, what: str, clock: Callable[[], float] = time.monotonic):
        self._total, self._what, self._clock = total, what, clock
        self._started, self._done, self._new = clock(), 0, 0
        self._before: int | None = None

    def advance(self, done: int, new: int) -> None:
        """Note the numbers done and, of these, newly made."""
        if self._before is None:  # what an earlier run made, if this call reports nothing new
            self._before = done if done > 1 and not new else 0
        self._done, self._new = done, new

    def __str__(self) -> str:
        elapsed = max(self._clock() - self._started, 1e-9)
        if not self._total:
            return f"{self._what}: {duration(elapsed)} so far"
        rate = (self._new or self._done - (self._before or 0)) / elapsed
        parts = [f"{self._what}: {self._done:,} of {self._total:,} ({100 * self._done // self._total} %)"]
        if rate:
            parts.append(f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f}/min")
            parts.append(f"{duration((self._total - self._done) / rate)} left")
        else:
            parts.append(f"{duration(elapsed)} so far")
        return ", ".join(parts)


def speed(rate: float, what: str) -> str:
    """Format a rate per second for display, with the digits that tell slow rates apart.

    Examples
    --------
    >>> speed(37.2, "pictures"), speed(1.04, "pictures"), speed(0.02, "pictures")
    ('37 pictures/s', '1.0 pictures/s', '1.2 pictures/min')
    """
    if rate < 0.1:
        return f"{60 * rate:.1f} {what}/min"
    return f"{rate:.0f} {what}/s" if rate >= 9.95 else f"{rate:.1f} {what}/s"


def duration(seconds: float | None) -> str:
    """Format a duration for display: `40 s`, `12 min`, `3 h 20 min`.

    Examples
    --------
    >>> duration(40), duration(720), duration(12_000), duration(None)
    ('40 s', '12 min', '3 h 20 min', 'not measured')
    """
    if seconds is None:
        return "not measured"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
