"""What a build found in its sources: one picture after the other, kept in columns, for there may be millions."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.schema import NO_STAMP, Stamp, Stamps
from imindex.indexer.sources.item import Item


@dataclass(frozen=True, slots=True)
class Found:
    """A picture of the sources, the digest of its bytes, why it was rejected, if it was, and its file's stamp."""

    item: Item
    digest: bytes
    reason: str = ""
    stamp: Stamp = NO_STAMP


class Finds:
    """A list of `Found` that can only grow: some 65 bytes each beside the item, where an object takes 300.

    Attributes
    ----------
    items : list of Item
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._digests = bytearray()
        self._stamps = array("q")
        self._reasons: dict[int, str] = {}

    def append(self, one: Found) -> None:
        if one.reason:
            self._reasons[len(self.items)] = one.reason
        self.items.append(one.item)
        self._digests += one.digest
        self._stamps.extend(one.stamp)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Found:
        size, changed, inode = self._stamps[3 * place : 3 * place + 3]
        return Found(
            self.items[place],
            bytes(self._digests[32 * place : 32 * place + 32]),
            self._reasons.get(place, ""),
            (size, changed, inode),
        )

    def __iter__(self) -> Iterator[Found]:
        return map(self.__getitem__, range(len(self.items)))

    def digests(self, places: list[int]) -> npt.NDArray[np.uint8]:
        """SHA-256 of the bytes of the pictures at these places, (len(places), 32) uint8."""
        rows: npt.NDArray[np.uint8] = np.frombuffer(self._digests, np.uint8).reshape(-1, 32)[places]
        return rows

    def stamps(self, places: list[int]) -> Stamps:
        """Stamps of the pictures at these places, (len(places), 3) int64."""
        rows: Stamps = np.frombuffer(self._stamps, np.int64).reshape(-1, 3)[places]
        return rows
