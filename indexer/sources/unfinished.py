"""Whether the pictures of a release are complete: `imindex generate` marks its folder until it has made all of them."""

from __future__ import annotations

from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text, parse_json
from imindex.indexer.system.atomic import clear_file, write_file
from imindex.indexer.system.input_files import read_input
from imindex.indexer.system.locks import held_by

LOCK = ".lock"
MARK = ".unfinished"
MANIFEST = "manifest.jsonl"
FETCHED_JOURNAL = "fetched.jsonl"
"""The journal of `imindex fetch`, whose folder has a manifest with more columns than a build uses."""


def mark(folder: Path, *, wanted: int, others: int) -> None:
    """Mark a folder as unfinished.

    Parameters
    ----------
    folder : Path
    wanted : int
        Number of pictures that it is to have.
    others : int
        Number of pictures in its manifest that are not among these.
    """
    write_file(folder / MARK, json_text({"wanted": wanted, "others": others}).encode())


def unmark(folder: Path) -> None:
    """Mark a folder as finished."""
    clear_file(folder / MARK)


def warning(folder: Path) -> str:
    """Return what a user of the pictures of a folder must know: that it is unfinished, or being written; or nothing."""
    if by := held_by(folder / LOCK):
        return f"{folder} is in use by {by}, so pictures may be missing. Wait for it to end, then run this again."
    try:
        state = parse_json(read_input(folder / MARK, follow=False))
        wanted, others = int(state["wanted"]), int(state["others"])
        there = read_input(folder / MANIFEST).count(b"\n") - others
    except (OSError, ValueError, KeyError, TypeError, ImindexError):
        return ""
    return (
        f"{folder} is unfinished: {max(0, min(there, wanted)):,} of {wanted:,} pictures. Run `imindex generate` again "
        "as before to make the others, then run this command again."
    )
