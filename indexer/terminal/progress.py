"""Progress bars on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from imindex.indexer.terminal.output import clean


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
        disable=not sys.stderr.isatty(),
        transient=transient,
    )


@contextmanager
def progress_bar(total: int, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr; yield the function to call with (done, encoded)."""
    bar = bars()
    with bar:
        task = bar.add_task(clean(what), total=total, rate="")
        due = 0.0

        def advance(done: int, encoded: int) -> None:
            nonlocal due
            if done != total and time.monotonic() < due:  # more updates per second would not be visible
                return
            due = time.monotonic() + 0.05
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{encoded / elapsed:.0f} pictures/s" if encoded and elapsed else ""
            bar.update(task, completed=done, rate=rate)

        yield advance
