"""The command `imindex completion`."""

from __future__ import annotations

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.output import echo_text
from imindex.indexer.terminal.shells import SHELLS

_VARIABLE = "_IMINDEX_COMPLETE"


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
@errors_for_people
def completion(shell: str) -> None:
    """Print the script that completes commands, options and files in a shell, and the artists and collections of the
    index that -i names.

    Install it once, and open a new shell:

    \b
    bash  imindex completion bash >> ~/.bashrc
    zsh   imindex completion zsh >> ~/.zshrc
    fish  imindex completion fish > ~/.config/fish/completions/imindex.fish

    Print it:

    \b
    imindex completion bash
    """
    root = click.get_current_context().find_root().command
    echo_text(SHELLS[shell](root, {}, "imindex", _VARIABLE).source())
