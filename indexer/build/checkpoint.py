"""Part files next to the index that hold the committed results of a running build.

A part file holds vectors by the SHA-256 of their pictures, and the digests of unreadable pictures. It is complete
once it has its final name. A resumed build reads the part files and encodes only the remaining pictures.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.system.atomic import clear_folder, flush_folder, make_folder, write_file
from imindex.indexer.system.input_files import open_input, read_text
from imindex.indexer.system.locks import Held, Lock

_PART = re.compile(r"part-[0-9]{8,}\.npz")
_OTHERS = re.compile(r"encoder\.json|computed-by\.json|lock(\.held(\.[0-9]+)?)?")
"""The names of the files in the folder: of parts, and of all others."""


@dataclass
class Batch:
    """Results that are committed together.

    Attributes
    ----------
    digests : list of bytes
        SHA-256 of each picture, 32 bytes.
    vectors : list of (dim,) float16
    sizes : list of (int, int)
        Width and height of each picture, in pixels.
    rejected : dict of bytes to str
        Digests of unreadable pictures, with the reason.
    black : set of bytes
        Digests of those of the pictures that are black.
    told : dict of bytes to int
        By digest, what is worth telling about a picture (`imindex.indexer.decode.rendering.as_bits`), if anything is.
    """

    digests: list[bytes] = field(default_factory=list)
    vectors: list[npt.NDArray[np.float16]] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    rejected: dict[bytes, str] = field(default_factory=dict)
    black: set[bytes] = field(default_factory=set)
    told: dict[bytes, int] = field(default_factory=dict)

    def copy(self) -> Batch:
        return Batch(
            [*self.digests],
            [*self.vectors],
            [*self.sizes],
            dict(self.rejected),
            set(self.black),
            dict(self.told),
        )

    def __len__(self) -> int:
        return len(self.digests) + len(self.rejected)


PARTS_SUFFIX = ".parts"
"""What the folder of an index's part files has after the name of the index."""


class Parts:
    """The part files of one index, locked by one builder at a time. Use as a context manager.

    Attributes
    ----------
    numbers : dict of bytes to int
        The committed pictures by digest, numbered consecutively over all part files.
    rejected : dict of bytes to str
        Digests of unreadable pictures, with the reason.
    black : set of bytes
        Digests of committed pictures that are black.
    told : dict of bytes to int
        By digest, what is worth telling about a picture.
    computed_by : tuple of str
        The kinds of processors that computed the vectors (`imindex.indexer.encoders.computed_by`).
    notes : list of str
        A note if an earlier builder was killed.

    Raises
    ------
    ImindexError
        If another build of this index is running, or an interrupted build used another encoder.
    """

    def __init__(self, index: Path, encoder: EncoderInfo, command: str = ""):
        self.folder = index.with_name(index.name + PARTS_SUFFIX)
        self._index = index
        self._encoder = encoder
        self.numbers: dict[bytes, int] = {}
        self.rejected: dict[bytes, str] = {}
        self.black: set[bytes] = set()
        self.told: dict[bytes, int] = {}
        self.computed_by: tuple[str, ...] = ()
        self._files: list[Path] = []
        self._lock = Lock(self.folder / "lock", command)
        self.notes: list[str] = []
        self._starts = [0]
        """The first number of each part file, then the next free number."""

    def __enter__(self) -> Parts:
        make_folder(self.folder.parent)
        try:
            self._lock.acquire()
        except Held as held:
            raise ImindexError(
                f"{self._index} is being built by {held.by}. Wait for it to end, or stop it."
            ) from None
        self.notes = [self._lock.note] if self._lock.note else []
        try:
            flush_folder(self.folder.parent)  # otherwise a power cut may lose the folder and its content
            clear_folder(self.folder)
            files = self._on_disk()
            self._check_encoder(fresh=not files)
            for path in files:
                self._read(path)
            if files:
                self.computed_by = self._read_kinds()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        # Check the disk, since Ctrl-C may come between the rename of a part file and its entry in `_files`.
        if not self._on_disk():
            self._delete()
        self._lock.release()

    def _on_disk(self) -> list[Path]:
        """Return the part files in the folder, in the order in which they were written."""
        return sorted(path for path in self.folder.glob("part-*.npz") if _PART.fullmatch(path.name))

    def _delete(self) -> None:
        """Delete the folder, unless it holds anything that no build writes."""
        with suppress(OSError):
            clear_folder(self.folder)
            for path in list(self.folder.iterdir()):
                if _OTHERS.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _check_encoder(self, fresh: bool) -> None:
        path = self.folder / "encoder.json"
        mine = canonical_json(self._encoder.identity())
        before_1_2 = canonical_json(replace(self._encoder, tokens_sha256="").identity())
        if fresh:
            write_file(path, mine.encode())
        elif not path.exists():
            raise ImindexError(
                f"{path} is missing, so the encoder of the vectors in {self.folder} is unknown. "
                "Delete the folder; its pictures are then encoded again."
            )
        elif read_text(path) not in (mine, before_1_2):
            raise ImindexError(
                f"{self.folder} holds the results of an interrupted build with another encoder than "
                f"{self._encoder.name()}. Finish that build first, or delete the folder to discard it."
            )

    def computes(self, kinds: Sequence[str]) -> None:
        """Record the kinds of processors that compute the vectors of the next parts, before these are written."""
        if new := [kind for kind in kinds if kind not in self.computed_by]:
            self.computed_by = (*self.computed_by, *new)
            write_file(self.folder / "computed-by.json", canonical_json(list(self.computed_by)).encode())

    def _read_kinds(self) -> tuple[str, ...]:
        path = self.folder / "computed-by.json"
        if not path.exists():  # of an earlier version
            return ()
        try:
            kinds: list[str] = parse_json(read_text(path))
            if not all(isinstance(kind, str) for kind in kinds):
                raise ValueError("not a list of texts")
        except (ValueError, TypeError) as error:
            raise ImindexError(f"{path} is damaged: {error}. Delete it.") from error
        return tuple(kinds)

    def _read(self, path: Path) -> None:
        try:
            with _opened(path) as part:
                digests = part["digests"].tobytes()
                rejected: dict[str, str] = parse_json(part["rejected"].tobytes())
                told: dict[str, int] = parse_json(part["told"].tobytes()) if "told" in part else {}
                rows = len(digests) // 32
                black = part["black"].tobytes() if "black" in part.files else b""
                if part["sizes"].shape != (rows, 2) or part["vectors"].shape != (rows, self._encoder.dim):
                    raise ValueError("its columns differ in length")
        except Exception as error:
            raise ImindexError(
                f"{path} is damaged: {error}. Delete it; its pictures are then encoded again."
            ) from error
        self._add(
            path,
            _split(digests),
            {bytes.fromhex(digest): reason for digest, reason in rejected.items()},
            {bytes.fromhex(digest): bits for digest, bits in told.items()},
        )
        self.black.update(_split(black))

    def _add(
        self, path: Path, digests: Sequence[bytes], rejected: dict[bytes, str], told: dict[bytes, int]
    ) -> None:
        start = self._starts[-1]
        self.numbers.update((digest, start + row) for row, digest in enumerate(digests))
        self.rejected.update(rejected)
        self.told.update(told)
        for digest in digests:  # rejected earlier, read successfully since
            self.rejected.pop(digest, None)
        self._files.append(path)
        self._starts.append(start + len(digests))

    def __len__(self) -> int:
        """Return the number of committed pictures, which is also the number of the next one."""
        return self._starts[-1]

    def append(self, batch: Batch) -> None:
        """Commit a batch: it then survives a crash of the process or the machine."""
        if not len(batch):
            return
        path = self.folder / f"part-{self._next():08d}.npz"
        self._store(path, batch)
        self._add(path, batch.digests, batch.rejected, batch.told)
        self.black |= batch.black

    def _store(self, path: Path, batch: Batch) -> None:
        rejected = canonical_json({digest.hex(): reason for digest, reason in batch.rejected.items()})
        told = canonical_json({digest.hex(): bits for digest, bits in batch.told.items()})
        # In memory first: a zip file left open by a full disk raises again when it is garbage-collected.
        buffer = io.BytesIO()
        np.savez(
            buffer,
            black=np.frombuffer(b"".join(sorted(batch.black)), np.uint8),
            digests=np.frombuffer(b"".join(batch.digests), np.uint8),
            vectors=np.array(batch.vectors, dtype="<f2").reshape(len(batch.digests), self._encoder.dim),
            sizes=np.array(batch.sizes, dtype="<i4").reshape(-1, 2),
            rejected=np.frombuffer(rejected.encode(), np.uint8),
            told=np.frombuffer(told.encode(), np.uint8),
        )
        write_file(path, buffer.getvalue())

    def _next(self) -> int:
        return 1 + max((int(path.stem.partition("-")[2]) for path in self._files), default=0)

    def collect(self, wanted: Sequence[bytes]) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int32]]:
        """Return the vectors and sizes of committed pictures, in the order of `wanted`.

        Parameters
        ----------
        wanted : sequence of bytes
            Digests, all of them in `numbers`.

        Returns
        -------
        vectors : (len(wanted), dim) float16
        sizes : (len(wanted), 2) int32
            Width and height, pixels.
        """
        numbers = np.array([self.numbers[digest] for digest in wanted], dtype=np.int64)
        vectors = np.empty((len(wanted), self._encoder.dim), np.float16)
        sizes = np.empty((len(wanted), 2), np.int32)
        parts = np.searchsorted(self._starts, numbers, side="right") - 1
        for part in np.unique(parts):
            positions = np.flatnonzero(parts == part)
            rows = numbers[positions] - self._starts[part]
            with _opened(self._files[part]) as stored:
                vectors[positions] = stored["vectors"][rows]
                sizes[positions] = stored["sizes"][rows]
        return vectors, sizes

    def drop(self, digests: set[bytes]) -> None:
        """Remove pictures from the part files permanently. Do not use this object afterwards."""
        for path in self._files:
            with _opened(path) as stored:
                part = {name: stored[name] for name in stored.files}
            stored_digests = [bytes(digest) for digest in part["digests"].reshape(-1, 32)]
            keep = [row for row, digest in enumerate(stored_digests) if digest not in digests]
            listed: dict[str, str] = parse_json(part["rejected"].tobytes())
            rejected = {bytes.fromhex(digest): reason for digest, reason in listed.items()}
            if len(keep) < len(stored_digests) or digests & set(rejected):
                self._store(
                    path,
                    Batch(
                        [stored_digests[row] for row in keep],
                        list(part["vectors"][keep]),
                        [(int(w), int(h)) for w, h in part["sizes"][keep]],
                        {digest: reason for digest, reason in rejected.items() if digest not in digests},
                        set(_split(part["black"].tobytes())) - digests if "black" in part else set(),
                        {digest: bits for digest, bits in self.told.items() if digest not in digests},
                    ),
                )

    def forget(self, used: npt.NDArray[np.uint8]) -> int:
        """Delete the part files whose pictures are all in `used`; return how many pictures remain in the others.

        Parameters
        ----------
        used : (n, 32) uint8
            Digests.
        """
        mine = np.frombuffer(b"".join(self.numbers), "S32")
        numbers = np.fromiter(self.numbers.values(), np.int64, len(self.numbers))
        waiting = numbers[~np.isin(mine, np.ascontiguousarray(used).reshape(-1).view("S32"))]
        remaining = set((np.searchsorted(self._starts, waiting, side="right") - 1).tolist())
        for number, path in enumerate(self._files):
            if number not in remaining:
                path.unlink()
        # Before encoder.json is deleted: a power cut may restore vectors, which must not pass for another encoder's.
        flush_folder(self.folder)
        self._files = [path for number, path in enumerate(self._files) if number in remaining]
        return len(waiting)


def _split(digests: bytes) -> list[bytes]:
    return [digests[start : start + 32] for start in range(0, len(digests), 32)]


def _opened(path: Path) -> Any:
    """Open a part file for the caller to close.

    Compressed files are refused, since their size is not known before decompression.
    """
    with open_input(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its columns are compressed, which no build does")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its columns are longer than the file")
    return np.load(path, allow_pickle=False)
