"""Pictures in a terminal: the protocols of kitty, of iTerm2, and sixel.

The pixels come from a sandboxed decoder (`imindex.indexer.decode.pool`); nothing here decodes a file.
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import os
import re
import sys
import time
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Protocol = Literal["kitty", "iterm", "sixel"]
PROTOCOLS: tuple[Protocol, ...] = ("kitty", "iterm", "sixel")

CELL = (10, 20)
"""Width and height of a character in pixels, where the terminal does not tell."""
_COLOURS = 255
_CHUNK = 4096
_ANSWER_SECONDS = 0.4
_SIXEL = "4"
"""The attribute of a terminal that shows sixel pictures, in its answer to DA1."""


def protocol_of(choice: str, environment: Mapping[str, str] = os.environ) -> Protocol | None:
    """Return the protocol to use: the one that is named, or with `auto` one that the terminal understands.

    `auto` looks at the variables that terminals set, then asks the terminal for its attributes (DA1). A terminal inside
    tmux or screen is asked only, because these do not pass on the pictures of other protocols.
    """
    if choice in PROTOCOLS:
        return choice
    if choice != "auto":
        return None
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if not (environment.get("TMUX") or environment.get("STY") or term.startswith(("tmux", "screen"))):
        if "kitty" in term or "ghostty" in term or environment.get("KITTY_WINDOW_ID"):
            return "kitty"
        if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
            return "iterm"
        if term.startswith("foot"):
            return "sixel"
    return "sixel" if _SIXEL in _attributes() else None


def _attributes() -> list[str]:
    """Return the attributes with which the terminal answers DA1; none if it does not answer in time."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return []
    try:
        import select
        import termios
        import tty
    except ImportError:  # not a Unix
        return []
    number = sys.stdin.fileno()
    answer, before = b"", termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        os.write(sys.stdout.fileno(), b"\x1b[c")
        due = time.monotonic() + _ANSWER_SECONDS
        while not answer.endswith(b"c") and (left := due - time.monotonic()) > 0:
            if select.select([number], [], [], left)[0]:
                answer += os.read(number, 64)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
    found = re.search(rb"\x1b\[\?([\d;]*)c", answer)
    return found[1].decode("ascii").split(";") if found else []


def cell_size() -> tuple[int, int]:
    """Return the width and height of a character of the terminal in pixels, or `CELL` if it does not tell."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import fcntl
        import struct
        import termios

        told = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", told)
        if rows and columns and width >= 4 * columns and height >= 4 * rows:
            return min(width // columns, 40), min(height // rows, 80)
    return CELL


def strip(pictures: list[Pixels | None], columns: int, rows: int, gap: int, cell: tuple[int, int]) -> Pixels:
    """Put pictures side by side, each in the middle of its place.

    Parameters
    ----------
    pictures : list of (height, width, 3) uint8 or None
        None leaves its place empty. A picture is made smaller to fit, never larger.
    columns, rows : int
        Size of a place in characters.
    gap : int
        Columns between two places.
    cell : pair of int
        Width and height of a character in pixels.

    Returns
    -------
    (rows * height, columns in all * width, 4) uint8
        With the opacity last.
    """
    from PIL import Image

    width, height = columns * cell[0], rows * cell[1]
    total = len(pictures) * width + max(0, len(pictures) - 1) * gap * cell[0]
    canvas = np.zeros((height, total, 4), np.uint8)
    for place, picture in enumerate(pictures):
        if picture is None:
            continue
        scale = min(1.0, width / picture.shape[1], height / picture.shape[0])
        size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        small = picture
        if size != (picture.shape[1], picture.shape[0]):
            small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
        left = place * (width + gap * cell[0]) + (width - size[0]) // 2
        top = (height - size[1]) // 2
        canvas[top : top + size[1], left : left + size[0], :3] = small
        canvas[top : top + size[1], left : left + size[0], 3] = 255
    return canvas


def encoded(protocol: Protocol, pixels: Pixels, columns: int, rows: int) -> str:
    """Return the characters that make a terminal show a picture at the cursor.

    Parameters
    ----------
    protocol : str
        kitty, iterm or sixel.
    pixels : (height, width, 4) uint8
        With the opacity last.
    columns, rows : int
        The part of the screen that it takes, in characters; sixel shows pixels as they are.
    """
    if protocol == "sixel":
        return _sixel(pixels)
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    data = base64.standard_b64encode(out.getvalue()).decode("ascii")
    if protocol == "iterm":
        about = f"inline=1;size={out.tell()};width={columns};height={rows};preserveAspectRatio=0"
        return f"\x1b]1337;File={about}:{data}\x07"
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    parts = []
    for number, chunk in enumerate(chunks):
        keys = f"a=T,f=100,q=2,c={columns},r={rows}," if number == 0 else ""
        parts.append(f"\x1b_G{keys}m={int(number < len(chunks) - 1)};{chunk}\x1b\\")
    return "".join(parts)


def _sixel(pixels: Pixels) -> str:
    """Return a picture in bands of six rows, with colours quantised by Pillow; what is transparent is not painted."""
    from PIL import Image

    height, width = pixels.shape[:2]
    seen = pixels[..., 3] >= 128
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3])).quantize(_COLOURS)
    colours = np.asarray(image.getpalette(), np.int64).reshape(-1, 3)
    numbers = np.where(seen, np.asarray(image, np.int64), -1)
    used = np.unique(numbers[numbers >= 0])
    parts = [f'\x1bP0;1q"1;1;{width};{height}']
    parts += [f"#{n};2;" + ";".join(str(round(100 * c / 255)) for c in colours[n]) for n in used]
    weights = 1 << np.arange(6)[:, None]
    for top in range(0, height, 6):
        band = numbers[top : top + 6]
        for n in np.unique(band[band >= 0]):
            bits = ((band == n) * weights[: len(band)]).sum(0)
            parts.append(f"#{n}{_run_lengths(bits)}$")
        parts.append("-")
    return "".join([*parts, "\x1b\\"])


def _run_lengths(bits: npt.NDArray[np.int64]) -> str:
    runs = ((chr(63 + value), len(list(run))) for value, run in itertools.groupby(bits.tolist()))
    return "".join(f"!{n}{character}" if n > 3 else character * n for character, n in runs)
