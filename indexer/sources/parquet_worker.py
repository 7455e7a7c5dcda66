"""A child process that reads a Parquet file. It writes each row as a line of JSON, then an empty line."""

from __future__ import annotations

import json
import math
from typing import Any

from imindex.indexer.system.sandbox import ends_with_parent, isolate_output, limit_memory, write_all

_MEMORY = 4 * 2**30
"""Limit of the address space in bytes, of which pyarrow's code takes 1 GiB."""
_BATCH_ROWS = 256
"""Rows read at a time."""


def main(path: str) -> None:
    """Write the rows of a Parquet file to stdout.

    Each line is `{"row": {...}}`; on failure the last one is `{"error": "..."}`. A value that is neither text, number
    nor date becomes `{}`.
    """
    out = isolate_output()
    limit_memory(_MEMORY)
    try:
        import pyarrow as pa
        import pyarrow.parquet

        pa.set_memory_pool(pa.system_memory_pool())
        with ends_with_parent(), pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                rows = (
                    json.dumps({"row": _without_nan(row)}, default=_plain, allow_nan=False)
                    for row in batch.to_pylist()
                )
                write_all(out, "".join(f"{row}\n" for row in rows).encode())
    except MemoryError:  # including ArrowMemoryError
        write_all(out, _line("its content does not fit in memory. Check that this is a manifest."))
    except Exception as error:
        write_all(out, _line(f"{str(error)[:500]}."))
    write_all(out, b"\n")


def _line(error: str) -> bytes:
    return f"{json.dumps({'error': error}, allow_nan=False)}\n".encode()


def _without_nan(value: Any) -> Any:
    """Replace NaN, which is an empty cell, by null, and infinity by its name; JSON has neither."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _plain(value: Any) -> Any:
    return {} if isinstance(value, (bytes, set, tuple)) else str(value)
