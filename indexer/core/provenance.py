"""Who changed an index, when, by which command and with which versions: the lines of /log."""

from __future__ import annotations

import datetime
import getpass
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from imindex.indexer.core.digest import canonical_json

WHO = "IMINDEX_WHO"
_PACKAGES = ("imindex", "torch", "torchvision", "open_clip_torch", "faiss-gpu", "faiss-cpu", "h5py", "numpy")


def entry(command: str, summary: str, digest_before: str) -> dict[str, str]:
    """Return a new line of /log, but for `digest-after`.

    Parameters
    ----------
    command : str
        The command line; empty for a call from Python.
    summary : str
        What was done, in a sentence.
    digest_before : str
        The root digest of the index that is replaced; empty for a new one.
    """
    return {
        "when": now(),
        "who": who(),
        "command": command,
        "summary": summary,
        "versions": canonical_json(versions()),
        "digest-before": digest_before,
    }


def who() -> str:
    """Who makes a change: what $IMINDEX_WHO says, also if that is nothing; else `user@host`."""
    said = os.environ.get(WHO)
    if said is not None:
        return said.strip()
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        user = ""
    return f"{user}@{platform.node()}".strip("@")


def now() -> str:
    """The time: UTC, ISO 8601, whole seconds."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def program() -> str:
    """This program and its version, such as `imindex 0.1.0`."""
    return f"imindex {_version('imindex') or '(not installed)'}"


def versions() -> dict[str, str]:
    """The versions that vectors may depend on, and the machine's kind."""
    found = {name: _version(name) for name in _PACKAGES}
    named = {name: value for name, value in found.items() if value}
    return {
        **named,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
