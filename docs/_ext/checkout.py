"""Sphinx extension: write the reference of the commands, and check links to files of the checkout.

A link to another page becomes a link to that page (MyST does it). A link to a file that is no page, such as a script or
a schema, stays a path; it must exist, or the build fails.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COMMANDS = ROOT / "docs" / "reference" / "commands.md"


def setup(app: Any) -> dict[str, bool]:
    app.connect("config-inited", lambda app, config: write_commands())
    app.connect("source-read", _check_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_commands() -> None:
    """Write docs/reference/commands.md from the commands themselves."""
    import click  # noqa: TID251 - it is not part of the package

    from imindex.indexer.terminal.front import JOBS, main

    parts = [
        "# Commands",
        "Every command with its options, as `imindex COMMAND --help` prints them. This page is generated.",
    ]
    context = click.Context(main, info_name="imindex")
    for job, commands in JOBS.items():
        parts.append(f"## {job}")
        for name, (module, _) in commands.items():
            command = getattr(importlib.import_module(module), name)
            parts += _command(command, f"imindex {name}", context)
    text = "\n\n".join(parts) + "\n"
    if not COMMANDS.exists() or COMMANDS.read_text(encoding="utf-8") != text:
        COMMANDS.write_text(text, encoding="utf-8")


def _command(command: Any, name: str, parent: Any) -> list[str]:
    import click  # noqa: TID251 - it is not part of the package

    context = click.Context(command, info_name=name, terminal_width=88, max_content_width=88)
    parts = [f"### {name}", f"```text\n{command.get_help(context).rstrip()}\n```"]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None and not found.hidden:
                parts += _command(found, f"{name} {inner}", context)
    return parts


def _check_links(app: Any, docname: str, source: list[str]) -> None:
    from sphinx.util import logging

    page = ROOT / f"{docname}.md"
    for target in _LINK.findall(_CODE.sub("", source[0])):
        if re.match(r"[a-z][a-z0-9+.-]*:", target) or target.startswith("<"):
            continue
        if not (page.parent / target).exists():
            logging.getLogger(__name__).warning("%s links to %s, which does not exist", page, target)
