"""Run commands in this process, and parse command lines in documents."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from unittest import mock

import click
from click.testing import CliRunner, Result

from imindex import main
from imindex.indexer.terminal.errors import Defect
from tests.support.places import ROOT


def run(*words: object, code: int = 0, input: str | None = None) -> Result:
    """Run a command. An exception that nothing expected is raised, as it was before the guard converted it."""
    result = CliRunner().invoke(main, [str(word) for word in words], input=input)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exception and isinstance(defect := result.exception.__context__, Defect):
        raise defect.__cause__ or defect
    assert result.exit_code == code, result.output
    assert code == 0 or "Traceback" not in result.output
    return result


def shown(*words: object) -> str:
    """Return what a command writes to a terminal that is wide enough for everything."""
    output = "imindex.indexer.terminal.output"
    with mock.patch(f"{output}.is_terminal", return_value=True), mock.patch(f"{output}._UNLIMITED", 10_000):
        return run(*words).stdout


def last_line(result: Result) -> str:
    """Return the last line that a command wrote, to stdout or stderr."""
    return result.output.rstrip().splitlines()[-1]


def imported_by(*words: str) -> set[str]:
    code = "import json, sys\nfrom imindex import main\ntry:\n main(sys.argv[1:])\nexcept SystemExit: pass\n"
    code += "print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def check_line(line: str) -> None:
    """Check that a command line written in the README or in help is one that the command accepts."""
    words = shlex.split(line, comments=True)
    command = main.get_command(click.Context(main), words[1])  # type: ignore[attr-defined]
    assert command is not None, f"no such command: {line}"
    rest = words[2:]
    if isinstance(command, click.Group):
        _, command, rest = command.resolve_command(click.Context(command), rest)
        assert command is not None, line
    command.make_context(words[1], rest)  # raises on an unknown option
