"""The main loop of a decoder process. It reads pictures from stdin and writes RGB pixels, or a reason, to stdout.

A request consists of the number of bytes, the pixel limit, and the bytes. A reply consists of a status, width, height
and the pixels; or of a status, the length of the reason, 0 and the reason.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import BinaryIO

from imindex.indexer.system.sandbox import ends_with_parent, isolate_output, limit_memory, write_all

REQUEST = struct.Struct("<QQ")
REPLY = struct.Struct("<BQQ")
READY, DONE, BAD = b"R", 0, 1
_MEMORY, _MEMORY_PER_PIXEL = 2 * 2**30, 32
"""Limit of the address space in bytes, fixed and per pixel. 16-bit grey takes the most memory per pixel."""


def main(hook: str = "") -> None:
    """Serve until stdin ends.

    Parameters
    ----------
    hook : str
        `module:function` to call with the bytes of each picture before it is decoded. Tests use it to crash and hang.
    """
    replies = isolate_output()
    from imindex.indexer.core.errors import BadPicture
    from imindex.indexer.decode import pillow  # Pillow, in about 0.1 s
    from imindex.indexer.decode.limits import Limits

    before_decoding = _function(hook)
    requests = os.fdopen(0, "rb", buffering=0)
    write_all(replies, READY)
    while (header := _read_exactly(requests, REQUEST.size)) is not None:
        length, max_pixels = REQUEST.unpack(header)
        data = _read_exactly(requests, length)
        if data is None:
            return
        limit_memory(_MEMORY + _MEMORY_PER_PIXEL * max_pixels + 2 * length)
        with ends_with_parent():
            before_decoding(data)
            limits = Limits(max_pixels=max_pixels)
            try:
                with pillow.reasons(limits):
                    image = pillow.read(bytes(data), limits)
                    reply, content = REPLY.pack(DONE, *image.size), image.tobytes()
                    del image
            except BadPicture as error:
                content = str(error).encode("utf-8", "replace")
                reply = REPLY.pack(BAD, len(content), 0)
        del data
        write_all(replies, reply)
        write_all(replies, content)
        del content


def _read_exactly(file: BinaryIO, count: int) -> bytearray | None:
    """Read `count` bytes; return None at the end of the pipe."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        n_read = file.readinto(view)  # type: ignore[attr-defined]
        if not n_read:
            return None
        view = view[n_read:]
    return data


def _function(name: str) -> Callable[[bytearray], object]:
    if not name:
        return lambda _: None
    module, _, function = name.partition(":")
    return getattr(__import__(module), function)  # type: ignore[no-any-return]
