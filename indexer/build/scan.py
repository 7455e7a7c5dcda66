"""The pictures that a build found in its sources, in columns, since there may be millions."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.schema import NO_STAMP, Stamp, Stamps
from imindex.indexer.sources.item import Item


@dataclass(frozen=True, slots=True)
class Scanned:
    """A picture of the sources: digest of its bytes, reason for its rejection if any, and stamp of its file."""

    item: Item
    digest: bytes
    reason: str = ""
    stamp: Stamp = NO_STAMP


class Scan:
    """An append-only list of `Scanned`. It takes about 65 bytes per picture besides the item, an object about 300.

    Attributes
    ----------
    items : list of Item
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._digests = bytearray()
        self._stamps = array("q")
        self._reasons: dict[int, str] = {}

    def append(self, scanned: Scanned) -> None:
        if scanned.reason:
            self._reasons[len(self.items)] = scanned.reason
        self.items.append(scanned.item)
        self._digests += scanned.digest
        self._stamps.extend(scanned.stamp)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> Scanned:
        size, modified, inode = self._stamps[3 * position : 3 * position + 3]
        return Scanned(
            self.items[position],
            bytes(self._digests[32 * position : 32 * position + 32]),
            self._reasons.get(position, ""),
            (size, modified, inode),
        )

    def __iter__(self) -> Iterator[Scanned]:
        return map(self.__getitem__, range(len(self.items)))

    def digests(self, positions: list[int] | slice) -> npt.NDArray[np.uint8]:
        """Return the SHA-256 of the pictures at these positions, (positions, 32) uint8."""
        rows: npt.NDArray[np.uint8] = np.frombuffer(self._digests, np.uint8).reshape(-1, 32)[positions]
        return rows

    def stamps(self, positions: list[int]) -> Stamps:
        """Return the stamps of the files at these positions, (len(positions), 3) int64."""
        rows: Stamps = np.frombuffer(self._stamps, np.int64).reshape(-1, 3)[positions]
        return rows
