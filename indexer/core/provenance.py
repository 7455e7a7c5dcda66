"""Who changed an index, when, by which command and with which versions: the lines of /log."""

from __future__ import annotations

import datetime
import getpass
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.secrets import without_secrets

WHO = "IMINDEX_WHO"
_PACKAGES = (
    "imindex",
    "torch",
    "torchvision",
    "open_clip_torch",
    "faiss-gpu",
    "faiss-cpu",
    "h5py",
    "numpy",
    "opencv-python-headless",
)


COMPUTED_BY = "computed-by"
"""The key in `versions` of the kinds of processors that computed vectors, separated by semicolons."""


def entry(command: str, summary: str, digest_before: str, computed_by: Iterable[str] = ()) -> dict[str, str]:
    """Return a new line of /log, without `digest-after`.

    Parameters
    ----------
    command : str
        The command line; empty for a call from Python.
    summary : str
        What was done.
    digest_before : str
        The root digest of the index that is replaced; empty for a new index.
    computed_by : iterable of str
        The kinds of processors that computed new vectors (`imindex.indexer.encoders.computed_by`).
    """
    kinds = "; ".join(computed_by)
    return {
        "when": now(),
        "who": who(),
        "command": without_secrets(command),
        "summary": summary,
        "versions": canonical_json({**versions(), **({COMPUTED_BY: kinds} if kinds else {})}),
        "digest-before": digest_before,
    }


def kinds_of(log: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Return the kinds of processors that computed the vectors of an index, as far as its log says so."""
    kinds: dict[str, None] = {}
    for line in log:
        try:
            recorded = parse_json(line["versions"]).get(COMPUTED_BY, "")
        except (ValueError, AttributeError, KeyError):
            continue
        if isinstance(recorded, str):
            kinds.update(dict.fromkeys(kind for kind in recorded.split("; ") if kind))
    return tuple(kinds)


def who() -> str:
    """Return the author of a change: $IMINDEX_WHO if it is set, even if empty, otherwise `user@host`."""
    author = os.environ.get(WHO)
    if author is not None:
        return author.strip()
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # the user of a container may have no name
        user = ""
    return f"{user}@{platform.node()}".strip("@")


def now() -> str:
    """Return the current time in UTC, in ISO 8601 format with whole seconds."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def program() -> str:
    """Return this program and its version, such as `imindex 0.1.0`."""
    return f"imindex {_version('imindex') or '(not installed)'}"


def versions() -> dict[str, str]:
    """Return the versions of packages that vectors may depend on, and the type of machine."""
    installed = {name: _version(name) for name in _PACKAGES}
    return {
        **{name: value for name, value in installed.items() if value},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
