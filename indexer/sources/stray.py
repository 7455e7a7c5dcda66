"""Tell pictures from the other files of a folder: sidecars, lists, thumbnails of the system, indexes.

A file whose suffix is that of a picture format is a picture: if it cannot be decoded, the build rejects it, with the
reason. A file with another suffix, or none, is a picture if its first bytes say so. Everything else is passed over
and counted. Hidden files and folders, and the folders of `SYSTEM_FOLDERS`, are passed over whatever they hold.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import PurePath

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.sources.shard_tally import ShardTally
from imindex.indexer.sources.urls import head_of
from imindex.indexer.system.input_files import open_input

PICTURE_SUFFIXES = frozenset(
    {
        ".apng", ".arw", ".avif", ".avifs", ".blp", ".bmp", ".bw", ".cr2", ".cr3", ".cur", ".dcx", ".dds",
        ".dib", ".dng", ".emf", ".eps", ".fit", ".fits", ".ftc", ".ftu", ".gif", ".heic", ".heif", ".hif",
        ".icb", ".icns", ".ico", ".im", ".j2c", ".j2k", ".jfif", ".jif", ".jp2", ".jpc", ".jpe", ".jpeg",
        ".jpf", ".jpg", ".jph", ".jpm", ".jpx", ".jxl", ".mpo", ".msp", ".nef", ".orf", ".pbm", ".pcd", ".pcx",
        ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".psb", ".psd", ".pxr", ".qoi", ".raf", ".ras", ".rgb", ".rgba",
        ".rw2", ".sgi", ".svg", ".tga", ".tif", ".tiff", ".vda", ".vst", ".webp", ".wmf", ".xbm", ".xpm",
    }
)  # fmt: skip
"""Suffixes of picture formats, including those that imindex does not decode: such files are rejected by name."""
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"})
"""Files that Windows and macOS put into folders, in lower case."""
SYSTEM_FOLDERS = frozenset(
    {"@eadir", "__macosx", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
)
"""Folders of file servers, archives and file systems, in lower case: they hold thumbnails and deleted files."""
ARCHIVES = frozenset({".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"})
OTHER_FOLDER = "(other folder)"
OUTSIDE = "(picture outside the layout)"
UNMATCHED = "(picture without an artist in its path)"
TOLD = (OTHER_FOLDER, OUTSIDE, UNMATCHED)
"""Kinds that notes of their own tell about."""
NO_SUFFIX = "(no suffix)"
_INDEX = ".h5"
_PARTS = ".h5.parts"
_HEAD = 64
_SHOWN = 8
_SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|II\+\0\x08\0|MM\0\+\0\x08"
    rb"|....ftyp(?:avi[fs]|hei[cxms]|hev[cmsx]|mif[12]|msf1)|\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n|\0\0\0\x0cjP  \r\n\x87\n"
    rb"|\xff\x4f\xff\x51|8BPS\0[\x01\x02]|P[1-7][ \t\r\n]+[#\d]|P[Ff]\s+\d|DDS \x7c\0\0\0|qoif|\0\0\x01\0[^\0]\0"
    rb"|BM....\0\0\0\0....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)
"""The first bytes of the common picture formats."""


class PassedOver:
    """The files and folders of sources that are no pictures, counted by kind.

    A kind is the name of a file of the system (`Thumbs.db`), a suffix (`.json`), or words in parentheses.

    Parameters
    ----------
    own : path-like, optional
        An index that is being written: neither it nor its folder of part files is counted.

    Attributes
    ----------
    empty : list of str
        Folders of artists without a picture.
    shards : ShardTally
        What there is to tell about tar shards.
    cut : list of str
        Shards that were not read to their end.
    """

    def __init__(self, own: str | os.PathLike[str] | None = None):
        own = None if own is None else os.path.realpath(own)
        self._own = frozenset(() if own is None else (own, f"{own}.parts"))
        self._own_names = frozenset(PurePath(path).name for path in self._own)
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self.empty: list[str] = []
        self.shards = ShardTally()
        self.cut: list[str] = []

    def add(self, path: str, kind: str) -> None:
        """Count a file or folder."""
        name = PurePath(path).name
        if name in self._own_names and os.path.realpath(path) in self._own:
            return
        self._counts[kind] += 1
        self._first.setdefault(kind, name)

    def __len__(self) -> int:
        return self._counts.total()

    def counts(self) -> tuple[tuple[str, int], ...]:
        """Return the kinds and how many of each there are, the most frequent kind first."""
        return tuple(sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def listed(self) -> str:
        """Return the kinds in words: the name of a single file, or the kind with its count."""
        counts = [(kind, n) for kind, n in self.counts() if kind not in TOLD]
        shown = [self._first[kind] if n == 1 else f"{kind} ({n:,})" for kind, n in counts[:_SHOWN]]
        more = len(counts) - len(shown)
        return ", ".join(shown) + (f" and {more} more kinds" if more else "")

    def notes(self) -> list[str]:
        """Return what a user is told: at most one line about files, and one about empty folders."""
        lines = self.shards.notes()
        if n := len(self) - sum(self._counts[kind] for kind in TOLD):
            are = "1 file that is not a picture" if n == 1 else f"{n:,} files that are not pictures"
            lines.append(f"Passed over {are}: {self.listed()}.")
        if n := len(self.empty):
            have = "1 folder holds" if n == 1 else f"{n:,} folders hold"
            shown = ", ".join(self.empty[:_SHOWN]) + (f" and {n - _SHOWN:,} more" if n > _SHOWN else "")
            lines.append(f"{have} no pictures: {shown}.")
        return lines


def kind_of_file(path: str) -> str:
    """Return the kind of a file that is not a picture, as `PassedOver` counts it; empty for a picture.

    A file that cannot be opened counts as a picture, so that the build reports the reason.

    Examples
    --------
    >>> kind_of_file("works/Ada/Thumbs.db"), kind_of_file("works/Ada/._1.jpg"), kind_of_file("works/Ada/1.jpg")
    ('Thumbs.db', '._*', '')
    """
    kind = kind_of_name(PurePath(path).name)
    return "" if is_undecided(path, kind) and is_picture(path) else kind


def is_undecided(path: str, kind: str) -> bool:
    """Return whether a file whose name is of a kind is a picture if its first bytes say so."""
    return kind == NO_SUFFIX or (kind != _INDEX and kind == PurePath(path).suffix.lower())


def kind_of_name(name: str) -> str:
    """Return the kind of a file that is not a picture by its name alone: a suffix, if its first bytes may say more."""
    if name.lower() in SYSTEM_FILES:
        return name.rstrip("\r")
    if name.startswith("._"):
        return "._*"
    if name == ".DS_Store":
        return name
    if name.startswith("."):
        return "(hidden)"
    if name.endswith(_PARTS):
        return _PARTS
    suffix = PurePath(name).suffix.lower()
    return "" if suffix in PICTURE_SUFFIXES else suffix or NO_SUFFIX


def kind_of_folder(path: str) -> str:
    """Return the kind of a folder that is passed over; empty for any other."""
    name = PurePath(path).name
    if name.lower() in SYSTEM_FOLDERS:
        return name
    if name.startswith("."):
        return "(hidden folder)"
    return _PARTS if name.endswith(_PARTS) else ""


def is_picture(path: str) -> bool:
    """Return whether the first bytes of a file are those of a picture; True if it cannot be opened."""
    if is_url(path):
        return starts_as_picture(head_of(path))
    try:
        with open_input(path) as file:
            return starts_as_picture(file.read(_HEAD))
    except (ImindexError, OSError):
        return True


def starts_as_picture(head: bytes) -> bool:
    """Return whether the first 64 bytes of a file are those of a picture."""
    return _SIGNATURES.match(head) is not None
