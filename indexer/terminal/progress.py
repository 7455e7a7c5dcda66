"""Progress bars on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: int, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr; yield the function to call with (done, encoded)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=total, rate="")
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
