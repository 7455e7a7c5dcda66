"""What a decoder process does: pictures in by stdin, RGB pixels or the reason why not out by stdout, until stdin ends.

A request is the number of bytes and the limit of pixels, then the bytes. An answer is a status, width and height, then
the pixels; or a status, the length of the reason and 0, then the reason.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import BinaryIO

from imindex.indexer.system.sandbox import ends_with_parent, keep_to_oneself, limit_memory, write_all

REQUEST = struct.Struct("<QQ")
ANSWER = struct.Struct("<BQQ")
READY, DONE, BAD = b"R", 0, 1
_MEMORY, _MEMORY_A_PIXEL = 2 * 2**30, 32
"""Bytes of address space beyond which decoding fails, whatever a file claims: 16-bit grey takes the most a pixel."""


def main(hook: str = "") -> None:
    """Serve until stdin ends.

    Parameters
    ----------
    hook : str
        `module:function` to call with the bytes of each picture before it is decoded. Tests crash and hang there.
    """
    answers = keep_to_oneself()
    from imindex.indexer.core.errors import BadPicture
    from imindex.indexer.decode import pillow as rgb  # Pillow, in about 0.1 s
    from imindex.indexer.decode.limits import Limits

    before = _function(hook)
    requests = os.fdopen(0, "rb", buffering=0)
    write_all(answers, READY)
    while (header := _exactly(requests, REQUEST.size)) is not None:
        length, max_pixels = REQUEST.unpack(header)
        data = _exactly(requests, length)
        if data is None:
            return
        limit_memory(_MEMORY + _MEMORY_A_PIXEL * max_pixels + 2 * length)
        with ends_with_parent():
            before(data)
            limits = Limits(max_pixels=max_pixels)
            try:
                with rgb.reasons(limits):
                    image = rgb.read(bytes(data), limits)
                    answer, content = ANSWER.pack(DONE, *image.size), image.tobytes()
                    del image
            except BadPicture as error:
                content = str(error).encode("utf-8", "replace")
                answer = ANSWER.pack(BAD, len(content), 0)
        del data
        write_all(answers, answer)
        write_all(answers, content)
        del content


def _exactly(file: BinaryIO, count: int) -> bytearray | None:
    """So many bytes; None at the end of the pipe."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = file.readinto(view)  # type: ignore[attr-defined]
        if not got:
            return None
        view = view[got:]
    return data


def _function(name: str) -> Callable[[bytearray], object]:
    if not name:
        return lambda _: None
    module, _, function = name.partition(":")
    return getattr(__import__(module), function)  # type: ignore[no-any-return]
