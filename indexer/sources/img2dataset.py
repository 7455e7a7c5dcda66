"""Recognise the output of img2dataset, whose folders are numbered shards and not artists."""

from __future__ import annotations

import os
import re
from pathlib import Path

from imindex.indexer.core.errors import ImindexError

_BESIDE = re.compile(r"(\d{4,})(_stats\.json|\.parquet)")
_SIDECAR = re.compile(r"\d{4,}\.(json|txt)")


def refuse_shards(path: Path) -> None:
    """Refuse a folder of img2dataset whose artists are not known.

    Beside each of its numbered folders is `NNNNN_stats.json` or `NNNNN.parquet`.

    Raises
    ------
    ImindexError
        `path` holds such folders, or is one of them.
    """
    try:
        names = set(os.listdir(path))  # noqa: PTH208 - names only
    except OSError:
        return  # the caller reports it
    beside = {match[1] for name in names if (match := _BESIDE.fullmatch(name))}
    shards = sorted(name for name in beside & names if (path / name).is_dir())
    if shards:
        what = f"{path} was written by img2dataset: its folders ({shards[0]}, ...) are numbered parts, not artists"
    elif path.name.isdecimal() and any(_SIDECAR.fullmatch(name) for name in names):
        what = (
            f"{path} was written by img2dataset: it is a numbered part of its output, not a folder of artists"
        )
    else:
        return
    raise ImindexError(
        f"{what}. Pass --artist NAME if all pictures are by one artist; --artist-from if their paths name the artist; "
        "or a manifest (CSV, JSONL, Parquet) with the columns path and artist."
    )
