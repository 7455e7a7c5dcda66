"""What a running build has committed: part files beside the index, each complete once it has its name.

A part holds vectors by the SHA-256 of their pictures, and the pictures found unreadable. A build that was
stopped finds them again and encodes only the rest.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.system.atomic import flush_folder, make_folder, put_in_place
from imindex.indexer.system.locks import Held, Lock


@dataclass
class Batch:
    """Results to be committed together.

    `vectors` is a list of (dim,) float16 arrays, one for each of `digests` (32 bytes) and `sizes`
    (width, height); `rejected` maps the digests of unreadable pictures to the reason.
    """

    digests: list[bytes] = field(default_factory=list)
    vectors: list[npt.NDArray[np.float16]] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    rejected: dict[bytes, str] = field(default_factory=dict)

    def copy(self) -> Batch:
        return Batch([*self.digests], [*self.vectors], [*self.sizes], dict(self.rejected))

    def __len__(self) -> int:
        return len(self.digests) + len(self.rejected)


class Parts:
    """The part files of one index, locked for one builder at a time. Use as a context manager.

    Attributes
    ----------
    numbers : dict of bytes to int
        The committed pictures by digest; a number counts through the parts in order.
    rejected : dict of bytes to str
        The pictures found unreadable, with the reason.
    notes : list of str
        That a builder before this one was killed.

    Raises
    ------
    ImindexError
        Another build of this index is running, or a stopped one used another encoder.
    """

    def __init__(self, index: Path, encoder: EncoderInfo, command: str = ""):
        self.folder = index.with_name(index.name + ".parts")
        self._index = index
        self._encoder = encoder
        self.numbers: dict[bytes, int] = {}
        self.rejected: dict[bytes, str] = {}
        self._files: list[Path] = []
        self._lock = Lock(self.folder / "lock", command)
        self.notes: list[str] = []
        self._starts = [0]
        """The first number of each part, and the next free one."""

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
            flush_folder(
                self.folder.parent
            )  # else a power cut may take the folder, with all that is put into it
            for leftover in self.folder.glob(".*.new"):
                leftover.unlink(missing_ok=True)
            files = sorted(self.folder.glob("part-*.npz"))
            self._check_encoder(fresh=not files)
            for path in files:
                self._read(path)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        # Asked of the disk: Ctrl-C may fall between the rename of a part and the note of it.
        if not any(self.folder.glob("part-*.npz")):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def _check_encoder(self, fresh: bool) -> None:
        path = self.folder / "encoder.json"
        mine = canonical_json(self._encoder.identity())
        if fresh:
            with put_in_place(path) as temporary:
                temporary.write_text(mine, encoding="utf-8")
        elif not path.exists():
            raise ImindexError(
                f"{path} is missing: nothing says which encoder the vectors in {self.folder} come from. "
                "Delete the folder; its pictures are then encoded again."
            )
        elif path.read_text(encoding="utf-8") != mine:
            raise ImindexError(
                f"{self.folder} holds the work of a stopped build with another encoder than "
                f"{self._encoder.name()}. Finish that build first, or delete the folder to give it up."
            )

    def _read(self, path: Path) -> None:
        try:
            with _opened(path) as part:
                digests = part["digests"].tobytes()
                rejected: dict[str, str] = json.loads(part["rejected"].tobytes())
                rows = len(digests) // 32
                if part["sizes"].shape != (rows, 2) or part["vectors"].shape != (rows, self._encoder.dim):
                    raise ValueError("its columns differ in length")
        except Exception as error:
            raise ImindexError(
                f"{path} is damaged: {error}. Delete it; its pictures are then encoded again."
            ) from error
        self._add(
            path,
            [digests[start : start + 32] for start in range(0, len(digests), 32)],
            {bytes.fromhex(digest): reason for digest, reason in rejected.items()},
        )

    def _add(self, path: Path, digests: Sequence[bytes], rejected: dict[bytes, str]) -> None:
        start = self._starts[-1]
        self.numbers.update((digest, start + row) for row, digest in enumerate(digests))
        self.rejected.update(rejected)
        for digest in digests:  # tried again since, and read
            self.rejected.pop(digest, None)
        self._files.append(path)
        self._starts.append(start + len(digests))

    def __len__(self) -> int:
        """How many pictures are committed: the number of the next one."""
        return self._starts[-1]

    def append(self, batch: Batch) -> None:
        """Commit a batch: after this it survives a crash of the process or the machine."""
        if not len(batch):
            return
        path = self.folder / f"part-{self._next():08d}.npz"
        self._store(path, batch)
        self._add(path, batch.digests, batch.rejected)

    def _store(self, path: Path, batch: Batch) -> None:
        rejected = canonical_json({digest.hex(): reason for digest, reason in batch.rejected.items()})
        # In memory first: a zip file that is open when the disk is full complains once more when it is forgotten.
        whole = io.BytesIO()
        np.savez(
            whole,
            digests=np.frombuffer(b"".join(batch.digests), np.uint8),
            vectors=np.array(batch.vectors, dtype="<f2").reshape(len(batch.digests), self._encoder.dim),
            sizes=np.array(batch.sizes, dtype="<i4").reshape(-1, 2),
            rejected=np.frombuffer(rejected.encode(), np.uint8),
        )
        with put_in_place(path) as temporary, temporary.open("wb") as file:
            file.write(whole.getbuffer())

    def _next(self) -> int:
        return 1 + max((int(path.stem.partition("-")[2]) for path in self._files), default=0)

    def collect(self, wanted: Sequence[bytes]) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int32]]:
        """Return vectors and sizes of committed pictures, in the order asked for.

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
            here = np.flatnonzero(parts == part)
            rows = numbers[here] - self._starts[part]
            with _opened(self._files[part]) as stored:
                vectors[here] = stored["vectors"][rows]
                sizes[here] = stored["sizes"][rows]
        return vectors, sizes

    def drop(self, digests: set[bytes]) -> None:
        """Take pictures out of the parts for good. The parts are not to be used after it."""
        for path in self._files:
            with _opened(path) as stored:
                part = {name: stored[name] for name in stored.files}
            here = [bytes(digest) for digest in part["digests"].reshape(-1, 32)]
            keep = [row for row, digest in enumerate(here) if digest not in digests]
            listed: dict[str, str] = json.loads(part["rejected"].tobytes())
            rejected = {bytes.fromhex(digest): reason for digest, reason in listed.items()}
            if len(keep) < len(here) or digests & set(rejected):
                self._store(
                    path,
                    Batch(
                        [here[row] for row in keep],
                        list(part["vectors"][keep]),
                        [(int(w), int(h)) for w, h in part["sizes"][keep]],
                        {digest: reason for digest, reason in rejected.items() if digest not in digests},
                    ),
                )

    def forget(self, used: npt.NDArray[np.uint8]) -> int:
        """Delete the parts whose pictures are all in `used`; return how many pictures wait in the others.

        Parameters
        ----------
        used : (n, 32) uint8
            Digests.
        """
        mine = np.frombuffer(b"".join(self.numbers), "S32")
        numbers = np.fromiter(self.numbers.values(), np.int64, len(self.numbers))
        waiting = numbers[~np.isin(mine, np.ascontiguousarray(used).reshape(-1).view("S32"))]
        kept = set((np.searchsorted(self._starts, waiting, side="right") - 1).tolist())
        for number, path in enumerate(self._files):
            if number not in kept:
                path.unlink()
        # Before encoder.json goes: vectors that a power cut brings back must not pass for another encoder's.
        flush_folder(self.folder)
        self._files = [path for number, path in enumerate(self._files) if number in kept]
        return len(waiting)


def _opened(path: Path) -> Any:
    """A part, to be closed; none that is packed, for what that would take when unpacked is not known before."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its columns are compressed, which no build does")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its columns are longer than itself")
    return np.load(path, allow_pickle=False)
