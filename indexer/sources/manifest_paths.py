"""The file that a path in a manifest means: inside the manifest's folder, or inside a folder that the user named."""

from __future__ import annotations

import ntpath
import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_url, join_member, split_member
from imindex.indexer.core.paths import PicturePaths
from imindex.indexer.sources.remote_manifest import in_named_root, public_path

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\[^\\]")


class PathResolver:
    """Resolve the paths of a manifest, and refuse those outside its folder and the named roots.

    A path is relative to the manifest, or absolute. Backslashes separate folders, as on Windows, unless there is a file
    with them in its name. `//NAME/path` is in the root of that name, and so is an absolute path of
    Windows with a folder NAME. A name that does not exist as it is written is looked for in the other Unicode normal
    forms, and as bytes of Latin-1. `SHARD.tar::MEMBER` is a member of a tar shard, whose path is resolved so.

    Parameters
    ----------
    manifest : Path
    roots : mapping of str to str
        Absolute folders outside that of the manifest in which pictures may be, by name.
    """

    def __init__(self, manifest: Path, roots: Mapping[str, str] | None = None):
        self._folder = manifest.parent
        remote = tuple(filter(is_url, (roots or {}).values()))
        self._places = PicturePaths(self._folder, roots or {}, remote)
        local = (root for root in (roots or {}).values() if not is_url(root))
        self._bases = [os.fspath(self._folder.absolute()), *local]
        self._real_bases = [Path(os.path.realpath(base)) for base in self._bases]
        self._is_inside: dict[str, bool] = {}
        self._folders: dict[str, str] = {}
        """The folders of paths that were resolved before."""
        self._listed: dict[str, dict[str, list[str]]] = {}
        """The names in folders, by their case-folded form."""
        self.misspelt: list[tuple[str, str]] = []
        """The paths without a file, as the manifest has them, and those that differ from them in case only."""

    def __call__(self, where: str, name: str) -> str:
        """Return the path of the file.

        Parameters
        ----------
        where : str
            Position of the row, for messages.
        name : str
            The path as the manifest has it.

        Raises
        ------
        ImindexError
            If it is outside the permitted folders, or no path of this machine.
        """
        container, member = split_member(name)
        if member is not None:
            return join_member(self(where, container), member)
        if (url := public_path(where, name)) is not None:
            return url
        head, _, tail = name.rpartition("/")
        folder = self._folders.get(head)
        plain = (
            "\\" not in name and "%" not in name and tail.isascii()
        )  # the % of a file: URL quotes a character
        if folder is not None and plain and tail not in ("", ".", ".."):
            full = os.path.join(folder, tail) if folder else tail  # noqa: PTH118 - many
        else:
            full = self._resolve(where, name)
            if is_url(full):
                return full
            if full.endswith(f"/{tail}") or full == tail:  # it was not changed on the way
                self._folders[head] = full[: -len(tail)].rstrip("/") or ("/" if full.startswith("/") else "")
        try:
            is_link = stat.S_ISLNK(os.lstat(full).st_mode)
        except (OSError, ValueError):
            is_link = False
            if other := self._in_other_case(full):
                self.misspelt.append((name, other))
        if is_link and not self._inside(full):
            raise ImindexError(_link(where, name))
        return full

    def _resolve(self, where: str, name: str) -> str:
        if (rooted := in_named_root(self._places, where, name)) is not None:
            return rooted
        if (moved := self._from_windows(name)) is not None:
            return moved
        path = _local(where, name)
        full = os.path.normpath(self._folder / path)
        if path != path.strip() and not os.path.lexists(full):
            path = path.strip()
            full = os.path.normpath(self._folder / path)
        if "\\" in path and os.sep == "/" and not os.path.lexists(full):
            path = path.replace("\\", "/")
            full = os.path.normpath(self._folder / path)
        if not full.isascii() and not os.path.lexists(full):
            full = _in_other_spelling(full)
        if self._inside(os.path.dirname(full)):  # noqa: PTH120 - many
            return full
        absolute = Path(os.path.abspath(full))  # noqa: PTH100 - links stay
        if any(absolute.parent.is_relative_to(base) for base in self._bases):
            raise ImindexError(_link(where, name))
        raise ImindexError(
            f"{where}: {name} is outside the folder of the manifest. Name the folder that its pictures are in with "
            f"--root FOLDER, such as --root {absolute.parent}; or move it to the folder of the pictures, because paths "
            "are relative to the manifest."
        )

    def _from_windows(self, name: str) -> str | None:
        r"""Return the file that an absolute path of Windows means, by a root that has the name of one of its folders.

        With `--root art=/data/art`, `C:\Users\me\art\Ada\1.png` is `/data/art/Ada/1.png`. None if there is no such
        root.
        """
        if os.name == "nt" or not _DRIVE.match(name):
            return None
        parts = re.split(r"[\\/]+", name)
        places = [
            self._places.full(f"//{root}/{'/'.join(parts[i + 1 :])}")
            for i, part in enumerate(parts[:-1])
            for root in self._places.roots
            if part.casefold() == root.casefold()
        ]
        inside = [place for place in places if place is not None]
        return next(
            (place for place in inside if is_url(place) or os.path.lexists(place)),
            inside[0] if inside else None,
        )

    def _in_other_case(self, full: str) -> str:
        """Return the path of a file that differs from a path in case only; empty if there is none, or several."""
        base = next((base for base in self._bases if Path(full).is_relative_to(base)), "")
        if not base:
            full, base = os.path.abspath(full), self._bases[0]  # noqa: PTH100 - links stay
        if not Path(full).is_relative_to(base):
            return ""
        found = base
        for part in Path(full).relative_to(base).parts:
            if found not in self._listed:
                names: dict[str, list[str]] = {}
                try:
                    for entry in os.listdir(found):  # noqa: PTH208 - many
                        names.setdefault(entry.casefold(), []).append(entry)
                except OSError:
                    pass
                self._listed[found] = names
            same = self._listed[found].get(part.casefold(), [])
            if part not in same and len(same) != 1:
                return ""
            found = os.path.join(found, part if part in same else same[0])  # noqa: PTH118 - many
        return os.path.relpath(found, base).replace(os.sep, "/")

    def _inside(self, path: str) -> bool:
        if path not in self._is_inside:
            real = Path(os.path.realpath(path))
            self._is_inside[path] = any(real.is_relative_to(base) for base in self._real_bases)
        return self._is_inside[path]


def _link(where: str, name: str) -> str:
    return (
        f"{where}: {name} is, or is reached through, a symbolic link to outside the folder of the manifest. Copy the "
        "picture into that folder, pass its own folder instead of a manifest, or name its folder with --root FOLDER."
    )


def _local(where: str, name: str) -> str:
    """Return the path that a `file:` URL means; a path as it is.

    Raises
    ------
    ImindexError
        For another URL, and for an absolute path of Windows elsewhere.
    """
    if url := _URL.match(name):
        scheme = url[1].lower()
        parts = urlsplit(name)
        if scheme != "file":
            raise ImindexError(
                f"{where}: {name[:80]} is not a URL, and no path of this machine. Correct the path."
            )
        if parts.netloc not in ("", "localhost"):
            raise ImindexError(
                f"{where}: {name[:80]} is on another machine, {parts.netloc}. Write a path of this machine."
            )
        path = unquote(name[url.end() - 1 :].removeprefix("//localhost") if not parts.netloc else parts.path)
        return path.lstrip("/") if os.name == "nt" else path
    if os.name != "nt" and _DRIVE.match(name):
        drive = ntpath.splitdrive(name)[0]
        example = ntpath.basename(ntpath.dirname(name)) or "art"
        raise ImindexError(
            f"{where}: {name[:80]} is a path of Windows, and {drive} is not known here. If one of its folders is here, "
            f"say where with --root NAME=FOLDER, where NAME is its name, such as --root {example}=/data/{example}; or "
            "replace what comes before the folder of the manifest, so that paths are relative to it."
        )
    return name


def _in_other_spelling(full: str) -> str:
    """Return the spelling of a path in which it exists; the path itself if there is none."""
    spellings = [unicodedata.normalize("NFC", full), unicodedata.normalize("NFD", full)]
    for encoding in ("latin-1", "cp1252"):
        try:
            spellings.append(os.fsdecode(full.encode(encoding)))
        except UnicodeError:
            continue
    head, tail = os.path.split(full)
    spellings += [os.path.join(head, unicodedata.normalize(form, tail)) for form in ("NFC", "NFD")]  # noqa: PTH118
    for spelling in spellings:
        if os.path.lexists(spelling):
            return spelling
    return full
