"""An error of memory names options that the command has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import imindex
from imindex.indexer.terminal.errors import errors_for_people

ROOT = Path(imindex.__file__).parent
OPTION = re.compile(r"(?<![\\w-])--[a-z][a-z-]+")


def commands(
    group: click.Command = imindex.main, name: str = "imindex"
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with its name."""
    if not isinstance(group, click.Group):
        yield name, group
        return
    context = click.Context(group)
    for part in group.list_commands(context):
        command = group.get_command(context, part)
        assert command is not None
        yield from commands(command, f"{name} {part}")


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_out_of_memory_names_options_of_the_command(name: str) -> None:
    @errors_for_people
    def fails() -> None:
        raise MemoryError

    command = COMMANDS[name]
    options = {option for parameter in command.params for option in parameter.opts}
    with click.Context(command), pytest.raises(click.ClickException, match="Out of memory") as error:
        fails()
    named = set(OPTION.findall(error.value.message))
    assert named <= options
    if options & {"--batch-size", "--background"}:
        assert named


def test_match_names_what_makes_it_smaller() -> None:
    @errors_for_people
    def fails() -> None:
        raise MemoryError("Unable to allocate 108. GiB")

    with click.Context(COMMANDS["imindex match"]), pytest.raises(click.ClickException) as error:
        fails()
    assert "--background" in error.value.message and "--batch-size" not in error.value.message


def handlers() -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Yield every handler of a lack of memory outside of the command line, with its place."""
    for path in sorted(
        (*ROOT.glob("indexer/**/*.py"), *ROOT.glob("retrieval/**/*.py"), *ROOT.glob("stats/*.py"))
    ):
        if "/cli/" in path.as_posix() or "/terminal/" in path.as_posix():
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                caught = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.type)}
                if caught & {"MemoryError", "OutOfMemoryError"}:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_errors_of_memory_in_the_library_name_no_option() -> None:
    """Several commands call it, and they have different options."""
    found = dict(handlers())
    assert len(found) > 5
    for place, node in found.items():
        texts = [
            part.value
            for part in ast.walk(node)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        assert not OPTION.findall(" ".join(texts)), place
    source = (ROOT / "indexer/generate/pipeline.py").read_text(encoding="utf-8")
    message = source[source.index("does not have enough memory") :]
    assert not OPTION.findall(message[: message.index("from error")])
