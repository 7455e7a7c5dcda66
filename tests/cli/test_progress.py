"""Progress without a terminal: a plain line every so many seconds on stderr, and nothing with --quiet."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from imindex.indexer.terminal import progress
from imindex.indexer.terminal.progress import Line, progress_bar, quiet_option
from tests.support.commands import run


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("total", "seconds", "done", "new", "said"),
    [
        (2000, 30, 0, 0, "Encoding: 0 of 2,000 (0 %), 30 s so far"),
        (2000, 30, 600, 600, "Encoding: 600 of 2,000 (30 %), 20.0/s, 70 s left"),
        (2000, 60, 1600, 600, "Encoding: 1,600 of 2,000 (80 %), 10.0/s, 40 s left"),  # 1,000 were there
        (9000, 30, 900, 0, "Encoding: 900 of 9,000 (10 %), 30.0/s, 4 min left"),
        (40, 3600, 10, 10, "Encoding: 10 of 40 (25 %), 0.2/min, 3 h 00 min left"),
        (1999, 10, 1999, 1999, "Encoding: 1,999 of 1,999 (100 %), 199.9/s, 0 s left"),
        (0, 300, 0, 0, "Encoding: 5 min so far"),
        (10, 0, 0, 0, "Encoding: 0 of 10 (0 %), 0 s so far"),
    ],
)
def test_a_line_says_done_total_rate_and_time_left(
    total: int, seconds: float, done: int, new: int, said: str
) -> None:
    clock = Clock()
    line = Line(total, "Encoding", clock)
    line.advance(min(done, 1), 0)
    clock.now += seconds
    line.advance(done, new)
    assert str(line) == said


def test_what_an_earlier_run_made_does_not_count_as_speed() -> None:
    clock = Clock()
    line = Line(260, "Generating", clock)
    line.advance(180, 0)
    clock.now += 10
    assert str(line) == "Generating: 180 of 260 (69 %), 10 s so far"
    line.advance(200, 20)
    assert str(line) == "Generating: 200 of 260 (76 %), 2.0/s, 30 s left"


def test_a_bar_shows_slow_rates_and_leaves_out_the_time_before_the_first_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, shown = Clock(), []

    class Bars(contextlib.nullcontext):  # type: ignore[type-arg]
        def add_task(self, what: str, **fields: Any) -> int:
            return 0

        def update(self, task: int, **fields: Any) -> None:
            shown.append((fields["completed"], fields["rate"]))

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(progress, "bars", Bars)
    with progress_bar(260, "Generating") as advance:
        advance(180, 0)
        clock.now += 1000  # the model is loaded
        advance(180, 0)
        for done, seconds in ((184, 8), (260, 2), (260, 10_000)):
            clock.now += seconds
            advance(done, done - 180)
    assert [rate for _, rate in shown] == ["", "", "0.5 pictures/s", "8.0 pictures/s", "0.5 pictures/min"]
    assert shown[0] == (180, "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def worker(*, interval: float, name: str = "Working") -> click.Command:
    @click.command()
    @quiet_option
    def work() -> None:
        with progress_bar(50, name, interval=interval) as advance:
            advance(20, 20)
            time.sleep(0.35)

    return work


def test_lines_go_to_stderr_and_quiet_silences_them() -> None:
    result = CliRunner().invoke(worker(interval=0.1))
    lines = result.stderr.splitlines()
    assert 1 <= len(lines) < 30 and not result.stdout
    for line in lines:
        assert re.fullmatch(r"Working: 20 of 50 \(40 %\), [\d.]+/s, \d+ s left", line)
    assert not CliRunner().invoke(worker(interval=0.01), ["--quiet"]).output
    assert not CliRunner().invoke(worker(interval=30.0)).output
    assert "\x1b" not in CliRunner().invoke(worker(interval=0.1, name="a\x1b[2J")).output


def test_the_command_that_encodes_writes_lines(
    works: Callable, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.001)
    words = ("build", works({"works/ada": 30}), "--model", tiny_model, "--device", "cpu", "-i")
    loud, silent = run(*words, tmp_path / "a.h5"), run(*words, tmp_path / "b.h5", "--quiet")
    line = r"Encoding: \d+ of 30 \(\d+ %\), .*( left|so far)"
    assert re.search(line, loud.stderr) and len(loud.stdout.splitlines()) == 1
    assert "Encoding" not in silent.stderr and len(silent.stdout.splitlines()) == 1
    verified = run("verify", "-i", tmp_path / "a.h5", "--pictures", "--root", tmp_path)
    assert all(
        re.fullmatch(r"(Verifying|Reading pictures): .*", line) for line in verified.stderr.splitlines()
    )


@pytest.mark.parametrize("command", ["build", "generate", "verify", "seal", "demo", "audit run"])
def test_commands_that_show_progress_have_quiet(command: str) -> None:
    assert "--quiet" in run(*command.split(), "--help").stdout
