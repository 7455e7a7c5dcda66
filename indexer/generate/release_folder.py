"""The folder of a release: pictures and their manifest, written atomically, so that interrupted runs can be resumed."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text, parse_json
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.sources import unfinished
from imindex.indexer.system.atomic import (
    clear_folders,
    flush,
    flush_folder,
    make_folder,
    open_to_append,
    write_file,
)
from imindex.indexer.system.input_files import read_input, read_text
from imindex.indexer.system.locks import alone

if TYPE_CHECKING:
    from PIL.Image import Image

MANIFEST = unfinished.MANIFEST
ABOUT = "release.json"
SAFETY, ONE_COLOUR = "safety filter", "one colour"
"""Why a picture is blocked."""
_OF_SHOT = ("path", "artist", "kind", "collection", "prompt", "seed", "arm", "template", "number")
_GIB = 2**30

Line = dict[str, Any]


@dataclass(frozen=True)
class PictureFile:
    """A picture as it is written: the bytes of its file, and its size in pixels."""

    data: bytes
    width: int
    height: int


def picture_file(image: Image, shot: Shot, common: Mapping[str, Any]) -> PictureFile:
    """Return a picture as a PNG that says how it was made.

    Parameters
    ----------
    image : PIL.Image.Image
    shot : Shot
    common : mapping
        Fields about model and settings that are common to all lines of the manifest.
    """
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    texts = {
        "Software": f"imindex {common['versions']['imindex']}",
        "prompt": shot.prompt,
        "seed": str(shot.seed),
        "model": f"{common['model']} {common['revision']}",
    }
    for key, value in texts.items():
        chunks.add_itxt(key, value)
    file = io.BytesIO()
    image.save(file, format="PNG", pnginfo=chunks)
    return PictureFile(file.getvalue(), image.width, image.height)


class Folder:
    """The folder of a release, open for one process.

    Parameters
    ----------
    path : Path
    release : str
        The collection of its pictures.
    common : mapping
        Fields about model and settings that are common to all lines of the manifest.
    """

    def __init__(self, path: Path, release: str, common: Mapping[str, Any]):
        self.path, self.release, self.common = path, release, dict(common)
        self._lines: dict[str, Line] = read_manifest(path)
        self._manifest: Any = None

    def refuse_other(self, about: Mapping[str, Any]) -> None:
        """Refuse to mix pictures of two models or settings in one folder; write release.json if it does not exist.

        Raises
        ------
        ImindexError
            If the folder holds another release; the message names the differences.
        """
        file = self.path / ABOUT
        if not file.exists():
            write_file(file, json_text(about, indent=2).encode() + b"\n")
            return
        try:
            stored = parse_json(read_text(file), finite=True)
        except ValueError as error:
            raise ImindexError(f"{file} is not JSON: {error}. Generate into another folder.") from error
        stored, current = _flat(stored), _flat(about)
        differ = [key for key in sorted({*stored, *current}) if stored.get(key) != current.get(key)]
        differ = [key for key in differ if not key.startswith("versions")]
        if differ:
            listed = "; ".join(f"{key} {stored.get(key)!r}, not {current.get(key)!r}" for key in differ[:5])
            raise ImindexError(
                f"{self.path} holds pictures of another model or with other settings ({listed}). "
                "Generate into another folder, or use the same settings as before."
            )

    def done(self, shots: Sequence[Shot]) -> set[str]:
        """Return the paths of complete pictures that have a line in the manifest.

        Raises
        ------
        ImindexError
            If a picture was made from another seed or prompt.
        """
        return {shot.path for shot in shots if _is_done(self.path, shot, self._lines.get(shot.path))}

    def begin(self, shots: Sequence[Shot]) -> None:
        """Mark the folder as unfinished, until `finish`."""
        others = len(self._lines.keys() - {shot.path for shot in shots})
        with disk_full_errors(self.path):
            unfinished.mark(self.path, wanted=len(shots), others=others)

    def add(self, shot: Shot, picture: Image | PictureFile, blocked: str | None) -> None:
        """Write a picture, then its line in the manifest.

        Parameters
        ----------
        shot : Shot
        picture : PIL.Image.Image or PictureFile
        blocked : str, optional
            Why it is blocked.

        Raises
        ------
        ImindexError
            If the disk is full.
        """
        file = self.path / shot.path
        with disk_full_errors(self.path):
            if not isinstance(picture, PictureFile):
                picture = picture_file(picture, shot, self.common)
            make_folder(file.parent, inside=self.path)
            write_file(file, picture.data)
            line = self._line(
                shot,
                {
                    "width": picture.width,
                    "height": picture.height,
                    "sha256": hashlib.sha256(picture.data).hexdigest(),
                    "blocked": blocked,
                    **self.common,
                },
            )
            if self._manifest is None:
                self._manifest = _open_to_append(self.path / MANIFEST)
            self._manifest.write(_json(line))
            self._manifest.flush()
            flush(self._manifest.fileno())
        self._lines[shot.path] = line

    def finish(self, shots: Sequence[Shot]) -> list[Line]:
        """Sort the manifest by the order of the shots, other pictures last, and return the lines of the shots."""
        self.close()
        ordered = {shot.path: self._line(shot, self._lines[shot.path]) for shot in shots}
        others = [line for path, line in self._lines.items() if path not in ordered]
        content = b"".join(map(_json, [*ordered.values(), *others]))
        manifest = self.path / MANIFEST
        if not manifest.exists() or read_input(manifest) != content:
            with disk_full_errors(self.path):
                write_file(manifest, content)
        unfinished.unmark(self.path)
        return list(ordered.values())

    def close(self) -> None:
        """Close the manifest."""
        if self._manifest is not None:
            self._manifest.close()
            self._manifest = None

    def count(self) -> int:
        """Return the number of pictures in the manifest."""
        return len(self._lines)

    def _line(self, shot: Shot, rest: Mapping[str, Any]) -> Line:
        fields = {key: getattr(shot, key) for key in _OF_SHOT if key != "collection"}
        fields |= {
            "collection": self.release,
            "seed": str(shot.seed),
        }  # JSON readers round numbers of 63 bits
        if shot.negative:
            fields["negative"] = shot.negative
        return {
            **{key: fields[key] for key in _OF_SHOT},
            **({"negative": shot.negative} if shot.negative else {}),
            **{k: v for k, v in rest.items() if k not in fields},
        }


def read_manifest(folder: Path) -> dict[str, Line]:
    """Read the lines of a release's manifest by path, ignoring a truncated last line.

    Raises
    ------
    ImindexError
        If any other line was not written by `imindex generate`.
    """
    manifest = folder / MANIFEST
    if not manifest.exists():
        return {}
    lines: dict[str, Line] = {}
    for number, text in enumerate(read_input(manifest).split(b"\n")[:-1], 1):
        try:
            line = parse_json(text, finite=True)
            lines[line["path"]] = line
            if not {"sha256", "prompt", "seed", "blocked"} <= line.keys():
                raise ValueError("not a line of imindex generate")
        except (ValueError, KeyError, TypeError) as error:
            raise ImindexError(
                f"{manifest}, line {number} cannot be read: {error}. Delete the line; its picture is then made again."
            ) from error
    return lines


def missing_shots(shots: Sequence[Shot], folder: Path) -> list[Shot]:
    """Return the shots without a complete picture and its line in the manifest."""
    lines = read_manifest(folder)
    return [shot for shot in shots if not _is_done(folder, shot, lines.get(shot.path))]


def _is_done(folder: Path, shot: Shot, line: Line | None) -> bool:
    if line is None:
        return False
    for key in ("seed", "prompt", "negative"):
        if str(line.get(key, "")) != str(getattr(shot, key)):  # earlier versions wrote seeds as numbers
            raise ImindexError(
                f"{folder / shot.path} was made with {key} {line.get(key, '')!r}, not {getattr(shot, key)!r}. "
                "Pass the same --seed, or generate into another folder."
            )
    try:
        return bool(hashlib.sha256(read_input(folder / shot.path)).hexdigest() == line["sha256"])
    except (OSError, ImindexError):
        return False


@contextmanager
def locked(folder: Path, command: str = "") -> Iterator[str]:
    """Create the folder, lock it, and delete partial files left by killed processes.

    Yields a note about an earlier process that was killed, usually empty.

    Raises
    ------
    ImindexError
        If another process is generating into the folder, or it is a symbolic link.
    """
    with disk_full_errors(folder):
        make_folder(folder, inside=folder)
    refusal = f"{folder} is in use by {{by}}. Wait for it to end, or choose another folder."
    with alone(folder / unfinished.LOCK, refusal, command) as note:
        clear_folders(folder)
        yield note


def check_space(folder: Path, n: int, pixels: int) -> str:
    """Check that pictures will fit on the disk.

    Parameters
    ----------
    folder : Path
        The folder of the pictures; it need not exist yet.
    n, pixels : int
        Number of pictures, and pixels per picture.

    Returns
    -------
    str
        A warning, or an empty string.

    Raises
    ------
    ImindexError
        If the pictures would not fit at one byte per pixel.
    """
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if n * pixels > free:
        raise ImindexError(
            f"{folder}: {n:,} pictures take about {2 * n * pixels / _GIB:.1f} GiB, but only {free / _GIB:.1f} GiB are "
            "free. Free space, request fewer pictures, or use another disk."
        )
    if 3 * n * pixels > free:
        return (
            f"{folder}: {n:,} pictures take about {2 * n * pixels / _GIB:.1f} GiB, and only "
            f"{free / _GIB:.1f} GiB are free."
        )
    return ""


@contextmanager
def disk_full_errors(folder: Path) -> Iterator[None]:
    """Convert errors of a full disk into an error message with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise
        raise ImindexError(
            f"The disk of {folder} is full. Finished pictures are kept: free space, then run the same command again."
        ) from error


def _open_to_append(manifest: Path) -> Any:
    """Open the manifest for appending, after removing a truncated last line."""
    opened = open_to_append(manifest)
    flush_folder(manifest.parent)
    content = opened.read()
    if content and not content.endswith(b"\n"):
        opened.truncate(content.rfind(b"\n") + 1)
    return opened


def _json(line: Mapping[str, Any]) -> bytes:
    return json_text(line).encode() + b"\n"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {
        key: leaf for k, v in value.items() for key, leaf in _flat(v, f"{name}.{k}" if name else k).items()
    }
