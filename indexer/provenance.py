"""When, by which command and with which versions: the lines of /log."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import PackageNotFoundError, version

from indexer.contents import canonical_json

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
        "command": command,
        "summary": summary,
        "versions": canonical_json(versions()),
        "digest-before": digest_before,
    }


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
