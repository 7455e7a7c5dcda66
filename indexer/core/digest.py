"""SHA-256 digests of columns, of blocks of rows and of JSON values."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

DIGEST_SCHEME = "1.0"
"""Of the root digest: people have written root digests down, so the format may change and this must not."""
BLOCK_ROWS = 65_536
"""Rows of /vectors under one digest."""
STREAM_ROWS = 8_192
"""Rows of vectors that are held at a time where an index is copied: memory must not grow with it."""


class BlockHasher:
    """SHA-256 over vectors, one digest for every `BLOCK_ROWS` rows, however they arrive."""

    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._hash = hashlib.sha256()
        self._room = BLOCK_ROWS

    def update(self, block: npt.NDArray[np.float16]) -> None:
        while len(block):
            piece, block = block[: self._room], block[self._room :]
            self._hash.update(np.ascontiguousarray(piece, dtype="<f2").data)
            self._room -= len(piece)
            if not self._room:
                self._close_block()

    def _close_block(self) -> None:
        self._done.append(self._hash.digest())
        self._hash = hashlib.sha256()
        self._room = BLOCK_ROWS

    def finish(self) -> tuple[str, npt.NDArray[np.uint8]]:
        """Return the digest over all block digests, and those as (blocks, 32) bytes."""
        if self._room < BLOCK_ROWS:
            self._close_block()
        joined = b"".join(self._done)
        return hashlib.sha256(joined).hexdigest(), np.frombuffer(joined, np.uint8).reshape(-1, 32)


class ColumnHasher:
    """SHA-256 of a column that arrives in blocks: numbers as little-endian bytes, text as length (u64) + UTF-8."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, values: npt.NDArray[Any]) -> None:
        """Take the next rows; of text, `str` or the bytes as they are stored."""
        if values.dtype != object:
            little = values.astype(values.dtype.newbyteorder("<"), copy=False)
            self._hash.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
            return
        raw = [value if isinstance(value, bytes) else encode_text(value) for value in values]
        lengths = list(map(len, raw))
        spelt = {length: length.to_bytes(8, "little") for length in set(lengths)}
        pieces = [b""] * (2 * len(raw))
        pieces[::2], pieces[1::2] = map(spelt.__getitem__, lengths), raw
        self._hash.update(b"".join(pieces))

    def finish(self) -> str:
        return self._hash.hexdigest()


def column_digest(values: npt.NDArray[Any]) -> str:
    """SHA-256 of a column that is there as a whole."""
    hasher = ColumnHasher()
    for start in range(0, len(values), STREAM_ROWS):
        hasher.update(values[start : start + STREAM_ROWS])
    return hasher.finish()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same value is the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def json_digest(value: Any) -> str:
    """SHA-256 of a value as canonical JSON."""
    return hashlib.sha256(encode_text(canonical_json(value))).hexdigest()


def encode_text(text: str) -> bytes:
    """UTF-8, with the bytes of a file name that is not UTF-8 kept as they are."""
    return text.encode("utf-8", "surrogateescape")
