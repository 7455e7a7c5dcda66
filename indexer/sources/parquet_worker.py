"""What a process does that reads a Parquet file for another: each row a line of JSON, and an empty line at the end."""

from __future__ import annotations

import json
from typing import Any

from imindex.indexer.system.sandbox import ends_with_parent, keep_to_oneself, limit_memory, write_all

_MEMORY = 4 * 2**30
"""Bytes of address space; pyarrow's code takes 1 GiB of it."""
_ROWS = 256
"""Read at a time."""


def main(path: str) -> None:
    """Write the rows of a Parquet file to stdout.

    A line is `{"row": {...}}`, or at last `{"error": "..."}`. A value that is no text, number or date is `{}`.
    """
    out = keep_to_oneself()
    limit_memory(_MEMORY)
    try:
        import pyarrow as pa
        import pyarrow.parquet

        pa.set_memory_pool(pa.system_memory_pool())
        with ends_with_parent(), pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS, use_threads=False):
                rows = (json.dumps({"row": row}, default=_plain) for row in batch.to_pylist())
                write_all(out, "".join(f"{row}\n" for row in rows).encode())
    except MemoryError:  # ArrowMemoryError is one
        write_all(out, _line("what it holds does not fit in memory. Is it a manifest?"))
    except Exception as error:
        write_all(out, _line(f"{str(error)[:500]}."))
    write_all(out, b"\n")


def _line(error: str) -> bytes:
    return f"{json.dumps({'error': error})}\n".encode()


def _plain(value: Any) -> Any:
    return {} if isinstance(value, (bytes, set, tuple)) else str(value)
