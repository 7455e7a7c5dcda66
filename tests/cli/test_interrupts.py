"""Ctrl-C exits with 130 and SIGTERM with 143, in every command, and commands that keep work say how to resume."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import imindex
from imindex.indexer.core.errors import Interrupted
from imindex.indexer.terminal.errors import errors_for_people, guard
from tests.support.commands import run
from tests.support.pictures import picture


@pytest.fixture
def handled() -> Iterator[None]:
    """Handle signals as in a program started from a terminal: a shell's background jobs ignore Ctrl-C."""
    before = [
        signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.signal(signal.SIGTERM, signal.SIG_DFL),
    ]
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run", "again to resume"),
        ("optimize", "is unchanged"),
        ("migrate", "is unchanged"),
        ("info", "Stopped."),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_exits_with_its_signal(
    name: str, said: str, number: signal.Signals, handled: None
) -> None:
    @click.command(name)
    @errors_for_people
    def command() -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)
        pytest.fail("the signal did not arrive")

    before = signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(command)
    assert result.exit_code == 128 + number and said in result.stderr
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_message_about_what_is_kept_is_shown() -> None:
    @click.command()
    @errors_for_people
    def command() -> None:
        raise Interrupted("Stopped. 3 pictures are kept.")

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.stderr) == (130, "Error: Stopped. 3 pictures are kept.\n")


def test_an_index_of_rejects_only_is_named_as_such(tmp_path: Path, tiny_model: str) -> None:
    broken = tmp_path / "works/Ada Example/broken.png"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no picture")
    index = tmp_path / "i.h5"
    (tmp_path / "works/Bo Sample").mkdir()
    picture(0, (24, 24)).save(tmp_path / "works/Bo Sample/0.png")
    run("build", tmp_path / "works", "-i", index, "--model", tiny_model, "--device", "cpu")
    run("remove", "-i", index, "--artist", "Bo Sample", "--yes")
    for words in (("--text", "x"), (broken,)):
        message = run("query", *words, "-i", index, "--device", "cpu", code=1).stderr
        assert "only 1 reject:" in message and "--rejects" in message
        assert "Drop one of them" not in message


def test_dir_lists_what_is_offered() -> None:
    listed = {name for name in dir(imindex) if not name.startswith("__")}
    assert listed == {*imindex.DOOR, "main", "indexer", "retrieval", "stats"}


def test_no_line_of_help_is_wider_than_80_columns() -> None:
    def check(command: click.Command, name: str) -> None:
        context = click.Context(command, info_name=name, terminal_width=80)
        wide = [line for line in command.get_help(context).splitlines() if len(line) > 80]
        assert wide == [], name
        if isinstance(command, click.Group):
            for sub in command.list_commands(context):
                check(command.get_command(context, sub) or command, f"{name} {sub}")

    check(imindex.main, "imindex")


def test_a_build_that_is_stopped_before_the_first_picture_says_so(
    built: Path, tmp_path: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    words = ("build", built.parent / "art", "-i", tmp_path / "i.h5", "--model", tiny_model, "--device", "cpu")
    for place in ("imindex.indexer.encoders.load.load", "imindex.indexer.build.build._Loop.run"):
        with monkeypatch.context() as patched:
            patched.setattr(place, interrupted)
            said = run(*words, code=130).stderr
        assert "No picture was encoded yet" in said and "kept" not in said, place


def test_the_message_of_ctrl_c_is_broken_after_the_echo_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @click.command()
    @errors_for_people
    def command() -> None:
        raise Interrupted("Stopped. aaaa")

    seen: list[int] = []

    def error_text(text: str, first: int) -> str:
        seen.append(first)
        return text

    monkeypatch.setattr("imindex.indexer.terminal.errors.error_text", error_text)
    with pytest.raises(click.ClickException, match="Stopped"), guard():
        command([], standalone_mode=False)
    assert seen == [len("^CError: ")]
