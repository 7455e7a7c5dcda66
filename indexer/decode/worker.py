"""The main loop of a decoder process. It reads pictures from stdin and writes RGB pixels, or a reason, to stdout.

A request consists of the number of bytes, the pixel limit, the settings of a `Rendering`, and the bytes. The process
opens the picture, replies ASK with width, height and the bytes of memory for each pixel, and waits for a grant: the
number of bytes that it may use, or 0 to drop the picture without a reply. It then replies DONE with width, height, what
is worth telling (`rendering.as_bits`) and the pixels. In place of each
reply there may be BAD with the length of the reason, 0, 0 and the reason. If opening or decoding fails in a way that
more memory may cure, it replies ALL, once, and waits for a grant of everything that there is.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imindex.indexer.system.sandbox import ends_with_parent, isolate_output, limit_memory, write_all

if TYPE_CHECKING:
    from imindex.indexer.decode.pillow import Decoded

REQUEST = struct.Struct("<QQB")
REPLY = struct.Struct("<BQQQ")
GRANT = struct.Struct("<Q")
READY, DONE, BAD, ASK, ALL = b"R", 0, 1, 2, 3
OPENING = 112 * 2**20
"""Memory in bytes for opening any picture, and for the libraries that are loaded for it, beside the grant."""
_ADDRESSES = 4 * 2**30
"""Limit of the address space in bytes, beside the grant."""
_BUFFERED = 2**16


def main(hook: str = "") -> None:
    """Serve until stdin ends.

    Parameters
    ----------
    hook : str
        `module:function` to call with the bytes of each picture before it is decoded. Tests use it to crash and hang.
    """
    replies = isolate_output()
    from imindex.indexer.decode import formats  # with Pillow, in about 0.1 s

    formats.Sandbox.inside = True
    before_decoding = _function(hook)
    requests = os.fdopen(0, "rb", buffering=_BUFFERED)  # reads into the bytes that it returns, without a copy
    own = _own_memory()
    write_all(replies, READY)
    while len(header := requests.read(REQUEST.size)) == REQUEST.size:
        length, max_pixels, flags = REQUEST.unpack(header)
        _limit(own, length)
        data = requests.read(length)
        if len(data) < length:
            return

        def grant(*reply: int, length: int = length) -> None:
            write_all(replies, REPLY.pack(*reply))
            granted = GRANT.unpack(requests.read(GRANT.size))[0]  # an error if the parent has ended
            if not granted:
                raise _Dropped
            _limit(own, length + granted)

        with ends_with_parent():
            before_decoding(data)
        with contextlib.suppress(_Dropped):
            for part in _answer(data, max_pixels, flags, grant):
                write_all(replies, part)
                del part
        del data


class _Dropped(BaseException):
    """The parent does not want the picture after all. Nothing that decoders raise is taken for it."""


def _limit(own: int, granted: int) -> None:
    limit_memory(_ADDRESSES + granted, own + OPENING + granted if own else None)


def _answer(data: bytes, max_pixels: int, flags: int, grant: Callable[..., None]) -> Iterator[bytes]:
    """Yield the parts of the last reply about a picture."""
    from imindex.indexer.core.errors import BadPicture
    from imindex.indexer.decode import pillow
    from imindex.indexer.decode.limits import Limits
    from imindex.indexer.decode.rendering import Rendering

    limits, rendering = Limits(max_pixels=max_pixels), Rendering.from_flags(flags)
    asked = all_granted = False
    while True:
        decoded, heavy = None, True
        try:
            with ends_with_parent(), pillow.reasons(limits):
                opened = pillow.identify(data, limits)
                heavy = opened.format in pillow.HEAVY
            if not asked:
                grant(ASK, *opened.size, pillow.bytes_per_pixel(opened))
                asked = True
            with ends_with_parent(), pillow.reasons(limits):
                decoded = pillow.to_rgb(opened, data, rendering)
                del opened
        except BadPicture as error:
            reason, curable = str(error).encode("utf-8", "replace"), _curable(error, heavy)
        if decoded is not None:
            yield from _pixels(decoded)
            return
        if not curable or all_granted:
            yield REPLY.pack(BAD, len(reason), 0, 0)
            yield reason
            return
        grant(ALL, 0, 0, 0)
        asked = all_granted = True


def _curable(error: BaseException, heavy: bool) -> bool:
    """Return whether more memory may help. Decoders that hold whole pictures report a lack of it as a broken file."""
    from PIL import UnidentifiedImageError

    cause = error.__cause__
    broken = heavy and isinstance(cause, OSError) and not isinstance(cause, UnidentifiedImageError)
    return broken or isinstance(cause, MemoryError)


def _pixels(decoded: Decoded) -> Iterator[bytes]:
    from imindex.indexer.decode.depth import strips
    from imindex.indexer.decode.rendering import as_bits

    image = decoded.image
    yield REPLY.pack(DONE, *image.size, as_bits(decoded.notes))
    for box in strips(image.size):
        yield image.crop(box).tobytes()


def _own_memory() -> int:
    """Return the private memory of this process in bytes; 0 if the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, IndexError, OSError, ValueError):
        return 0


def _function(name: str) -> Callable[[bytes], object]:
    if not name:
        return lambda _: None
    module, _, function = name.partition(":")
    return getattr(__import__(module), function)  # type: ignore[no-any-return]
