"""No exception of a command is shown as a traceback, and no name reaches a terminal with its control characters."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.terminal import output, progress
from imindex.retrieval.cli import audit as audit_command

ODD = "[/] [link=http://x]Ada[/link] [bold]:smile: \x1b]8;;x\x07\x1b[2J\u202e\r\n\x9b31m"
"""Markup of rich, its emoji codes, escapes of terminals, a mark of direction, and a line of its own."""
HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Panic(BaseException):
    """As PyO3's PanicException, which is no Exception."""


def invoke(monkeypatch: pytest.MonkeyPatch, error: BaseException, where: str = "invoke") -> Result:
    """Run `imindex info`, which raises the error in its body, or while its module is imported."""

    @click.command("info")
    def info() -> None:
        raise error

    def get_command(self: object, context: object, name: str) -> click.Command:
        if where == "import":
            raise error
        return info

    monkeypatch.setattr(imindex.LazyGroup, "get_command", get_command)
    return CliRunner().invoke(imindex.main, ["info"])


UNEXPECTED = [
    KeyError("row\x1b[2J"), ValueError("bad"), RecursionError("maximum recursion depth exceeded"), Panic("poisoned"),
    ImportError("no module"),
]  # fmt: skip


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["invoke", "import"])
def test_an_unexpected_exception_is_a_defect_with_its_traceback_in_a_file(
    error: BaseException, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("IMINDEX_DEBUG", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = invoke(monkeypatch, error, where)
    assert result.exit_code == 1 and "Traceback" not in result.output and not HARMFUL.search(result.output)
    assert f"Error: This is a defect in imindex: {type(error).__name__}" in result.stderr
    (file,) = tmp_path.iterdir()
    assert str(file) in result.stderr
    details = file.read_text(encoding="utf-8")
    assert "Traceback" in details and "Python 3." in details and "test_guard.py" in details
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_defect_is_shown_with_its_traceback_on_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMINDEX_DEBUG", "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = invoke(monkeypatch, KeyError("row\x1b[2J"))
    assert result.exit_code == 1 and "Traceback" in result.stderr and not HARMFUL.search(result.stderr)
    assert "the text above" in result.stderr and not list(tmp_path.iterdir())


def test_a_defect_is_said_although_no_file_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMINDEX_DEBUG", raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/does/not/exist")
    result = invoke(monkeypatch, KeyError("row"))
    assert result.exit_code == 1 and "IMINDEX_DEBUG=1" in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ImindexError("a.h5: bad. Restore it."), 1, "Error: a.h5: bad. Restore it."),
        (MemoryError(), 1, "Out of memory"),
        (
            OSError(28, "No space left on device", "a\x1b.h5"),
            1,
            "a\\x1b.h5: No space left on device. Free space",
        ),
        (click.UsageError("no \x1b[2J"), 2, "no \\x1b[2J"),
        (click.exceptions.Exit(3), 3, ""),
        (click.Abort(), 1, "Aborted!"),
        (KeyboardInterrupt(), 1, "Aborted!"),
        (SystemExit(7), 7, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_is_expected_is_said_as_before(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = invoke(monkeypatch, error)
    assert (result.exit_code, "defect" in result.output) == (code, False)
    assert said in result.stderr and not HARMFUL.search(result.output)


def test_arguments_are_quoted_without_their_control_characters() -> None:
    for words in (["\x1b[2J"], ["--\x1b[2J"], ["info", "--\x1b[2J"], ["build", "\x1b[2J"]):
        result = CliRunner().invoke(imindex.main, words)
        assert result.exit_code in (1, 2) and not HARMFUL.search(result.output), words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_name_is_shown_as_it_is_by_bars_tables_and_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = "[/] [link=http://x]Ada[/link] [bold]:smile: "
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERM", "dumb")
    with progress.progress_bar(3, ODD) as advance:
        advance(3, 1)
    with audit_command.screen_of_stages() as screen:
        with screen.stage(ODD, 3) as advance:
            advance(2, 1)
        screen.note(ODD)
    written = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert written.count(shown) >= 3 and "\x1b]8" not in written and "\x1b[2J" not in written
    assert not re.search("[\x07\x9b\u202e]", written)
    output.echo(ODD, "second")
    output.print_table(ODD, [ODD, ODD], [[ODD, ODD]], note=ODD)
    written = capsys.readouterr().out
    assert not HARMFUL.search(written) and written.startswith(shown)
    assert written.splitlines()[1] == "second"


def test_commands_write_through_the_helpers_only() -> None:
    """`output` and `progress` hold the only calls that write to a terminal."""
    root = Path(imindex.__file__).parent
    files = [*(root / "indexer").rglob("*.py"), *(root / "retrieval").rglob("*.py")]
    assert len(files) > 150
    for path in files:
        text = path.read_text(encoding="utf-8")
        if path.name in ("output.py", "progress.py") and path.parent.name == "terminal":
            continue
        assert "click.echo(" not in text and "import rich" not in text and "from rich" not in text, path
