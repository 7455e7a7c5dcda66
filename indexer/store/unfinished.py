"""Say why a file cannot be opened as HDF5, where a program that wrote it ended early: killed, or with a full disk."""

from __future__ import annotations

from pathlib import Path

from imindex.indexer.core.url import Url
from imindex.indexer.system.atomic import SUFFIX, leftovers_of

SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAD = 96
"""Bytes at the beginning of a file by which `why_unreadable` recognises what is wrong."""
_OPEN_FOR_WRITING = 0b101
"""Flags of a superblock: the file is open for writing, or for writing while others read."""
_CRASHED = "the program that wrote it ended before it was done (killed, or with a full disk)"
_REMEDY = "Restore it from a backup, or build it again."


def is_open_for_writing(head: bytes) -> bool:
    """Return whether the first bytes of an HDF5 file say that it was not closed after writing."""
    return (
        head.startswith(SIGNATURE)
        and head[8:9] == b"\3"
        and bool(head[11:12])
        and bool(head[11] & _OPEN_FOR_WRITING)
    )


def why_unreadable(path: Path | Url, head: bytes, size: int) -> str:
    """Return why a file is not a whole HDF5 file, as a sentence with its remedy; empty if that is not known.

    Parameters
    ----------
    path : Path or Url
    head : bytes
        The first `HEAD` bytes of the file, untrusted.
    size : int
        Bytes.
    """
    if path.name.endswith(SUFFIX):
        return f"{path} is an unfinished file: {_CRASHED}. Delete it, and build the index again."
    if not size:
        return f"{path} is empty: {_CRASHED}. {_REMEDY}"
    if not any(head):
        return f"{path} begins with zeros: {_CRASHED}. {_REMEDY}"
    if not head.startswith(SIGNATURE):
        return ""
    version = head[8:9]
    if version in (b"\0", b"\1"):
        at = 40 if version == b"\0" else 44
    elif version in (b"\2", b"\3"):
        at = 28
    else:
        return ""
    end = int.from_bytes(head[at : at + 8], "little")
    if len(head) < at + 8 or size < end < 2**63:
        of = f" of {end:,} bytes" if len(head) >= at + 8 else ""
        return f"{path} ends early: it has {size:,}{of}. {_CRASHED.capitalize()}, or a copy was interrupted. {_REMEDY}"
    if is_open_for_writing(head):
        return (
            f"{path} was not closed after writing (its HDF5 consistency flags are set): {_CRASHED}, or it is still "
            f"writing. imindex writes no such files: another program changed it in place. {_REMEDY}"
        )
    return ""


def left_behind(path: Path) -> str:
    """Return a sentence about temporary files of a killed program that was writing a file; empty if there are none."""
    files = leftovers_of(path)
    if not files:
        return ""
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return (
        f"{files[0]}{more} was left by a program that was killed while it wrote {path.name}; the next build of "
        f"{path.name} deletes it."
    )
