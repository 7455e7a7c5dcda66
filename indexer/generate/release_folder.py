"""The folder of a release: pictures and their manifest, whole or not there at all, so that a stopped run goes on."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.system.atomic import flush, flush_folder, make_folder, put_in_place
from imindex.indexer.system.locks import alone

if TYPE_CHECKING:
    from PIL.Image import Image

MANIFEST = "manifest.jsonl"
ABOUT = "release.json"
SAFETY, ONE_COLOUR = "safety filter", "one colour"
"""Why a picture is blocked."""
_OF_SHOT = ("path", "artist", "kind", "collection", "prompt", "seed", "arm", "template", "number")
_GIB = 2**30

Line = dict[str, Any]


class Folder:
    """A release's folder, open for one process.

    Parameters
    ----------
    path : Path
    release : str
        The collection of its pictures.
    common : mapping
        What every line of the manifest says of model and settings.
    """

    def __init__(self, path: Path, release: str, common: Mapping[str, Any]):
        self.path, self.release, self.common = path, release, dict(common)
        self._lines: dict[str, Line] = read_manifest(path)
        self._manifest: Any = None

    def refuse_other(self, about: Mapping[str, Any]) -> None:
        """Refuse to put pictures of two models or settings into one folder; write release.json where there is none.

        Raises
        ------
        ImindexError
            The folder holds another release; the message names the difference.
        """
        file = self.path / ABOUT
        if not file.exists():
            with put_in_place(file) as temporary:
                temporary.write_text(
                    json.dumps(about, ensure_ascii=True, indent=2) + "\n", encoding="utf-8", newline="\n"
                )
            return
        try:
            there = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ImindexError(f"{file} is not JSON: {error}. Generate into another folder.") from error
        there, here = _flat(there), _flat(about)
        differ = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
        differ = [key for key in differ if not key.startswith("versions")]
        if differ:
            said = "; ".join(f"{key} {there.get(key)!r}, not {here.get(key)!r}" for key in differ[:5])
            raise ImindexError(
                f"{self.path} holds pictures of another model or of other settings ({said}). "
                "Generate into another folder, or ask as before."
            )

    def done(self, shots: Sequence[Shot]) -> set[str]:
        """The paths of pictures that are there, whole, with their line.

        Raises
        ------
        ImindexError
            A picture was made from another seed or prompt.
        """
        return {shot.path for shot in shots if _is_done(self.path, shot, self._lines.get(shot.path))}

    def add(self, shot: Shot, image: Image, blocked: str | None) -> None:
        """Write a picture, then its line.

        Raises
        ------
        ImindexError
            The disk is full.
        """
        file = self.path / shot.path
        with errors_of_the_disk(self.path):
            make_folder(file.parent)
            with put_in_place(file) as temporary:
                image.save(temporary, format="PNG", pnginfo=self._chunks(shot))
                digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
            line = self._line(
                shot,
                {
                    "width": image.width,
                    "height": image.height,
                    "sha256": digest,
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
        """Put the manifest into the order of the shots, and return their lines; those of other pictures follow."""
        self.close()
        ordered = {shot.path: self._line(shot, self._lines[shot.path]) for shot in shots}
        others = [line for path, line in self._lines.items() if path not in ordered]
        content = b"".join(map(_json, [*ordered.values(), *others]))
        manifest = self.path / MANIFEST
        if not manifest.exists() or manifest.read_bytes() != content:
            with errors_of_the_disk(self.path), put_in_place(manifest) as temporary:
                temporary.write_bytes(content)
        return list(ordered.values())

    def close(self) -> None:
        """Close the manifest."""
        if self._manifest is not None:
            self._manifest.close()
            self._manifest = None

    def count(self) -> int:
        """How many pictures have a line."""
        return len(self._lines)

    def _line(self, shot: Shot, rest: Mapping[str, Any]) -> Line:
        said = {key: getattr(shot, key) for key in _OF_SHOT if key != "collection"}
        said["collection"] = self.release
        return {**{key: said[key] for key in _OF_SHOT}, **{k: v for k, v in rest.items() if k not in said}}

    def _chunks(self, shot: Shot) -> Any:
        from PIL.PngImagePlugin import PngInfo

        chunks = PngInfo()
        said = {
            "Software": f"imindex {self.common['versions']['imindex']}",
            "prompt": shot.prompt,
            "seed": str(shot.seed),
            "model": f"{self.common['model']} {self.common['revision']}",
        }
        for key, value in said.items():
            chunks.add_itxt(key, value)
        return chunks


def read_manifest(folder: Path) -> dict[str, Line]:
    """Read the lines of a release's manifest by path; a last line that was cut off is left out.

    Raises
    ------
    ImindexError
        Another line is not what `imindex generate` writes.
    """
    manifest = folder / MANIFEST
    if not manifest.exists():
        return {}
    lines: dict[str, Line] = {}
    for number, text in enumerate(manifest.read_bytes().split(b"\n")[:-1], 1):
        try:
            line = json.loads(text)
            lines[line["path"]] = line
            if not {"sha256", "prompt", "seed", "blocked"} <= line.keys():
                raise ValueError("not a line of imindex generate")
        except (ValueError, KeyError, TypeError) as error:
            raise ImindexError(
                f"{manifest}, line {number} cannot be read: {error}. Delete the line: its picture is made again."
            ) from error
    return lines


def missing_shots(shots: Sequence[Shot], folder: Path) -> list[Shot]:
    """Those whose picture is not there, whole, with its line."""
    lines = read_manifest(folder)
    return [shot for shot in shots if not _is_done(folder, shot, lines.get(shot.path))]


def _is_done(folder: Path, shot: Shot, line: Line | None) -> bool:
    if line is None:
        return False
    for key in ("seed", "prompt"):
        if line[key] != getattr(shot, key):
            raise ImindexError(
                f"{folder / shot.path} was made with {key} {line[key]!r}, not {getattr(shot, key)!r}. "
                "Pass the same --seed, or generate into another folder."
            )
    try:
        return bool(hashlib.sha256((folder / shot.path).read_bytes()).hexdigest() == line["sha256"])
    except OSError:
        return False


@contextmanager
def locked(folder: Path, command: str = "") -> Iterator[str]:
    """Create the folder and keep other processes out of it; clear what killed ones left half-written.

    Yields a note on a process that was killed; mostly empty.

    Raises
    ------
    ImindexError
        Another process generates into it.
    """
    with errors_of_the_disk(folder):
        make_folder(folder)
    refusal = f"{folder} is being generated into by {{by}}. Wait for it to end, or choose another folder."
    with alone(folder / ".lock", refusal, command) as note:
        for leftover in folder.rglob(".*.new"):
            leftover.unlink(missing_ok=True)
        yield note


def check_space(folder: Path, n: int, pixels: int) -> str:
    """See whether pictures will fit on the disk.

    Parameters
    ----------
    folder : Path
        Where they go; it need not be there yet.
    n, pixels : int
        Pictures, and pixels of each.

    Returns
    -------
    str
        A warning, or nothing.

    Raises
    ------
    ImindexError
        They will not: PNGs of a byte a pixel would be more than is free.
    """
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if n * pixels > free:
        raise ImindexError(
            f"{folder}: {n:,} pictures take about {2 * n * pixels / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB are free. "
            "Free space, ask for fewer pictures, or generate onto another disk."
        )
    if 3 * n * pixels > free:
        return (
            f"{folder}: {n:,} pictures take about {2 * n * pixels / _GIB:.1f} GiB, and no more than "
            f"{free / _GIB:.1f} GiB are free."
        )
    return ""


@contextmanager
def errors_of_the_disk(folder: Path) -> Iterator[None]:
    """Say what to do when the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise
        raise ImindexError(
            f"The disk of {folder} is full. What was made is kept: free space, and run the same command again to go on."
        ) from error


def _open_to_append(manifest: Path) -> Any:
    """Open the manifest; a last line that was cut off is taken away first."""
    opened = manifest.open("ab")
    flush_folder(manifest.parent)
    content = manifest.read_bytes()
    if content and not content.endswith(b"\n"):
        opened.truncate(content.rfind(b"\n") + 1)
    return opened


def _json(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=True).encode() + b"\n"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {key: one for k, v in value.items() for key, one in _flat(v, f"{name}.{k}" if name else k).items()}
