"""SHA-256 digests of columns, of blocks of rows and of JSON values."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

DIGEST_SCHEME = "1.0"
"""Version of the root digest. Users have recorded root digests, so it must not change when the format does."""
BLOCK_ROWS = 65_536
"""Rows of /vectors per block digest."""
STREAM_ROWS = 8_192
"""Rows of vectors held in memory while an index is copied, so that memory use does not depend on its size."""


class BlockHasher:
    """SHA-256 of vectors, one digest per `BLOCK_ROWS` rows, independent of how they are split into updates."""

    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._hash = hashlib.sha256()
        self._rows_left = BLOCK_ROWS

    def update(self, block: npt.NDArray[np.float16]) -> None:
        while len(block):
            chunk, block = block[: self._rows_left], block[self._rows_left :]
            self._hash.update(np.ascontiguousarray(chunk, dtype="<f2").data)
            self._rows_left -= len(chunk)
            if not self._rows_left:
                self._close_block()

    def _close_block(self) -> None:
        self._done.append(self._hash.digest())
        self._hash = hashlib.sha256()
        self._rows_left = BLOCK_ROWS

    def finish(self) -> tuple[str, npt.NDArray[np.uint8]]:
        """Return the digest over all block digests, and the block digests as (blocks, 32) uint8."""
        if self._rows_left < BLOCK_ROWS:
            self._close_block()
        joined = b"".join(self._done)
        return hashlib.sha256(joined).hexdigest(), np.frombuffer(joined, np.uint8).reshape(-1, 32)


class ColumnHasher:
    """SHA-256 of a column, updated block by block: numbers as little-endian bytes, text as length (u64) + UTF-8."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, values: npt.NDArray[Any]) -> None:
        """Add the next rows; text is given as `str` or as stored bytes."""
        if values.dtype != object:
            little = values.astype(values.dtype.newbyteorder("<"), copy=False)
            self._hash.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
            return
        raw = [value if isinstance(value, bytes) else encode_text(value) for value in values]
        lengths = list(map(len, raw))
        encoded_lengths = {length: length.to_bytes(8, "little") for length in set(lengths)}
        parts = [b""] * (2 * len(raw))
        parts[::2], parts[1::2] = map(encoded_lengths.__getitem__, lengths), raw
        self._hash.update(b"".join(parts))

    def finish(self) -> str:
        return self._hash.hexdigest()


def column_digest(values: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of a complete column."""
    hasher = ColumnHasher()
    for start in range(0, len(values), STREAM_ROWS):
        hasher.update(values[start : start + STREAM_ROWS])
    return hasher.finish()


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, so that equal values give equal text.

    Raises
    ------
    ValueError
        A number is not finite, which JSON cannot say.
    """
    return _canonical(value)


def _canonical(value: Any, *, finite: bool = True) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=not finite)


def json_digest(value: Any) -> str:
    """Return the SHA-256 of a value as canonical JSON, in which numbers that are not finite are NaN and Infinity.

    Settings of schedulers have such numbers; the text is only digested, and never stored.
    """
    return hashlib.sha256(encode_text(_canonical(value, finite=False))).hexdigest()


def encode_text(text: str) -> bytes:
    """Encode text as UTF-8, keeping the bytes of file names that are not valid UTF-8."""
    return text.encode("utf-8", "surrogateescape")
