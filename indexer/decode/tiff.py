"""TIFF files: which picture of a file is the main one, and samples that Pillow does not read or reads wrongly.

Pillow decodes the kinds that it gets right, with any compression that libtiff knows. `Samples` reads the others: any
number of bits, signed and floating-point samples, separate planes and inverted grey. It knows no compression, LZW,
Deflate and PackBits, and both predictors. What is left is rejected with its reason.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode.depth import Range, range_of, strips, to_8_bits
from imindex.indexer.decode.rendering import DARK, DARK_COLOUR, TRUNCATED

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_DIRECTORIES = 64
_MOST_ENTRIES = 4096
_MOST_CHANNELS = 16
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_CODES = {
    1: "u1",
    3: "u2",
    4: "u4",
    6: "i1",
    8: "i2",
    9: "i4",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}
SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = (
    254,
    255,
    256,
    257,
    258,
    259,
    262,
    266,
)
DESCRIPTION, STRIPS, ORIENTATION, CHANNELS, ROWS_PER_STRIP, STRIP_BYTES = 270, 273, 274, 277, 278, 279
MAX_VALUE, PLANES, PREDICTOR, PALETTE, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = (
    281,
    284,
    317,
    320,
    322,
    323,
    324,
    325,
)
SUB_DIRECTORIES, INK_SET, EXTRA, FORMAT, LEAST, LARGEST, ICC = 330, 332, 338, 339, 340, 341, 34675
SUBSAMPLING = 530
_WANTED = frozenset((
    SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, DESCRIPTION, STRIPS, ORIENTATION,
    CHANNELS, ROWS_PER_STRIP, STRIP_BYTES, MAX_VALUE, PLANES, PREDICTOR, PALETTE, TILE_WIDTH, TILE_HEIGHT, TILES,
    TILE_BYTES, SUB_DIRECTORIES, INK_SET, EXTRA, FORMAT, LEAST, LARGEST, ICC, SUBSAMPLING,
))  # fmt: skip
_MASK = 4
_JPEG = (6, 7)
_PREDICTED = (5, 8, 32946, 34925, 50000)
"""Compressions that have predictors: LZW, Deflate, LZMA and Zstandard."""
_NAMES = {
    2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "old-style JPEG", 7: "JPEG", 34712: "JPEG 2000", 34887: "LERC",
    34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_KINDS = {
    4: "a transparency mask", 9: "an ICC Lab picture", 10: "an ITU Lab picture", 32803: "raw sensor data of a camera",
    32844: "a LogL picture", 32845: "a LogLuv picture", 34892: "raw sensor data of a camera",
    51177: "a depth map", 52527: "a semantic mask",
}  # fmt: skip
_CONVERT = "convert it to an 8-bit TIFF or PNG"
_SIGNIFICANT_BITS = re.compile(r"\bSignificantBits=\"(\d{1,3})\"")
_MOST_TEXT = 2**20
"""So many bytes of a description are read."""


@dataclass(frozen=True)
class Directory:
    """One picture of a TIFF file.

    Attributes
    ----------
    offset : int
        Where it is in the file.
    order : {"<", ">"}
        The byte order.
    tags : mapping of int to tuple or bytes
    """

    offset: int
    order: str
    tags: Mapping[int, Any]

    def one(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        values = self.tags.get(tag)
        return int(values[0]) if values is not None and len(values) else default

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.one(WIDTH, 0), self.one(HEIGHT, 0)

    @property
    def is_reduced(self) -> bool:
        """Whether it is a smaller version of another picture."""
        return bool(self.one(SUBFILE, 0) & 1) or self.one(OLD_SUBFILE, 1) == 2

    @property
    def is_mask(self) -> bool:
        """Whether it is a transparency mask."""
        return bool(self.one(SUBFILE, 0) & 4) or self.one(PHOTOMETRIC, 1) == _MASK

    @property
    def channels(self) -> int:
        """Samples per pixel."""
        return self.one(CHANNELS, 1)

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of each sample."""
        return _each(self.tags.get(BITS, (1,)), self.channels)

    @property
    def formats(self) -> tuple[int, ...]:
        """1 for unsigned, 2 for signed and 3 for floating-point samples."""
        return tuple(
            1 if number == 4 else number for number in _each(self.tags.get(FORMAT, (1,)), self.channels)
        )

    @property
    def declared(self) -> Range | None:
        """The values that stand for black and white, if the file says so."""
        bits = self.bits[0]
        if bits <= 8 and self.formats[0] == 1:
            return None
        if LARGEST in self.tags:
            return Range(_end(self.tags.get(LEAST, (0,)), min), _end(self.tags[LARGEST], max), holds_all=True)
        text = bytes(self.tags.get(DESCRIPTION, b"")[:_MOST_TEXT]).decode("utf-8", "replace")
        if text.startswith("ImageJ="):
            lines = (line.partition("=") for line in text.splitlines())
            ends = {name: value for name, _, value in lines if name in ("min", "max")}
            return Range(_number(ends["min"]), _number(ends["max"])) if len(ends) == 2 else None
        if 8 <= (significant := _significant_bits(text)) < bits:
            return Range(0, 2**significant - 1, holds_all=True)
        largest = _end(self.tags.get(MAX_VALUE, (0,)), max)
        if 2**8 <= largest + 1 < 2**bits and (int(largest) + 1).bit_count() == 1:
            return Range(0, int(largest), holds_all=True)
        return None

    @property
    def palette_unit(self) -> int:
        """What one level of 8 bits is in the palette: 256; 1 if no value is larger than 255, as in libtiff."""
        return 256 if max(self.tags.get(PALETTE, (0,))) > 255 else 1

    @property
    def predictor(self) -> int:
        """The predictor that was applied; libtiff ignores the tag where the compression has none."""
        return self.one(PREDICTOR, 1) if self.one(COMPRESSION, 1) in _PREDICTED else 1

    @property
    def is_usual(self) -> bool:
        """Whether Pillow reads it, and reads it right."""
        kind, bits, compression = self.one(PHOTOMETRIC, 1), set(self.bits), self.one(COMPRESSION, 1)
        if len(bits) != 1 or set(self.formats) not in ({1}, {3}):
            return False
        (n,) = bits
        if self.formats[0] == 3:
            return (kind, n, self.channels) == (1, 32, 1) and self.predictor == 1
        planes = self.one(PLANES, 1) == 2 and self.channels > 1
        if kind in (0, 1):
            return n in (1, 2, 4, 8) or (kind, n, self.channels) == (1, 16, 1)
        if kind == 2:
            whole = n == 16 and self.channels <= 4 and not planes and self.declared is None
            return whole or (n == 8 and self.channels <= 6)
        if kind == 3:
            return n in (1, 2, 4, 8)
        if kind == 5:
            whole = n == 16 and self.channels == 4 and self.declared is None
            return (whole or (n == 8 and self.channels <= 6)) and self.one(INK_SET, 1) == 1 and not planes
        if kind == 6:
            whole = tuple(self.tags.get(SUBSAMPLING, (2, 2))) == (1, 1)
            return n == 8 and (compression in _JPEG or (whole and not planes))
        return kind == 8 and n == 8 and self.channels == 3 and not planes


def _end(values: Any, pick: Callable[[Iterable[float]], float]) -> float:
    """Return the least or the largest value of a tag; NaN if it holds no numbers, or one that is none."""
    numbers = [math.nan] if isinstance(values, bytes) else [float(value) for value in values]
    return math.nan if any(map(math.isnan, numbers)) else pick(numbers)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _significant_bits(text: str) -> int:
    """Return the significant bits that OME-XML states, in a time that is linear in its length; 0 if it states none."""
    start = text.find("<Pixels")
    while start >= 0 and (end := text.find(">", start)) >= 0:
        if found := _SIGNIFICANT_BITS.search(text, start, end):
            return int(found[1])
        start = text.find("<Pixels", end)
    return 0


def _each(values: Any, channels: int) -> tuple[int, ...]:
    """Return one value per channel; a single one holds for all."""
    listed = tuple(int(value) for value in values[:_MOST_CHANNELS])
    return (
        listed[:channels] if len(listed) >= channels else (listed[:1] or (1,)) * min(channels, _MOST_CHANNELS)
    )


def main_picture(data: bytes) -> tuple[Directory, bool] | None:
    """Return the main picture of a TIFF, and whether it is the first of the file; None if the file is malformed.

    The first picture is the main one, unless it is marked as a smaller version or a transparency mask: then the
    largest of its sub-directories is, or the first other picture in full resolution.
    """
    try:
        chain = list(_chain(data))
        if not chain:
            return None
        first = chain[0]
        order, big = first.order, data[2:4] in (b"+\0", b"\0+")
        offsets = first.tags.get(SUB_DIRECTORIES, ())[:_MOST_DIRECTORIES]
        within = [_directory(data, int(offset), order, big)[0] for offset in offsets]
    except (struct.error, ValueError, IndexError, KeyError):
        return None
    others = [one for one in within if not one.is_reduced and not one.is_mask]
    if first.is_reduced or first.is_mask:
        pages = [one for one in chain[1:] if not one.is_reduced and not one.is_mask]
        chosen = max(others, key=_pixels, default=pages[0] if pages else first)
    else:
        marked = [one for one in others if SUBFILE in one.tags and _pixels(one) > _pixels(first)]
        chosen = max(marked, key=_pixels, default=first)
    if chosen is not first and ORIENTATION not in chosen.tags and ORIENTATION in first.tags:
        chosen = Directory(chosen.offset, order, {**chosen.tags, ORIENTATION: first.tags[ORIENTATION]})
    return chosen, chosen is first


def _pixels(directory: Directory) -> int:
    return directory.size[0] * directory.size[1]


def part_there(data: bytes, directory: Directory) -> float:
    """Return the share of the strips or tiles of a picture that end within the file."""
    tiled = TILES in directory.tags
    offsets = directory.tags.get(TILES if tiled else STRIPS, ())
    lengths = directory.tags.get(TILE_BYTES if tiled else STRIP_BYTES, ())
    there = [offset + length <= len(data) for offset, length in zip(offsets, lengths, strict=False)]
    return sum(there) / len(there) if there else 1.0


def starting_with(data: bytes, directory: Directory) -> bytes:
    """Return the file with another picture as its first."""
    if data[2:4] in (b"+\0", b"\0+"):
        return data[:8] + struct.pack(directory.order + "Q", directory.offset) + data[16:]
    return data[:4] + struct.pack(directory.order + "I", directory.offset) + data[8:]


def _chain(data: bytes) -> Iterator[Directory]:
    order, big = "<" if data[:1] == b"I" else ">", data[2:4] in (b"+\0", b"\0+")
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(offset)
        try:
            directory, offset = _directory(data, offset, order, big)
        except (struct.error, ValueError):
            if len(seen) == 1:
                raise
            return
        yield directory


def _directory(data: bytes, offset: int, order: str, big: bool) -> tuple[Directory, int]:
    """Read a directory, and the offset of the next one."""
    import numpy as np

    count_format, entry_size, value_size = ("Q", 20, 8) if big else ("H", 12, 4)
    (count,) = struct.unpack_from(order + count_format, data, offset)
    if count > _MOST_ENTRIES:
        raise ValueError(count)
    start = offset + struct.calcsize(order + count_format)
    tags: dict[int, Any] = {}
    for number in range(count):
        at = start + entry_size * number
        tag, kind, n = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        if tag not in _WANTED or kind not in _SIZES or not n:
            continue
        length = n * _SIZES[kind]
        place = at + entry_size - value_size
        if length > value_size:
            (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, place)
        if place + length > len(data):
            raise ValueError(f"tag {tag} is beyond the end")
        raw = data[place : place + length]
        if kind in _CODES and tag != ICC:
            tags.setdefault(tag, np.frombuffer(raw, order + _CODES[kind]).tolist())
        else:
            tags.setdefault(tag, raw)
    (following,) = struct.unpack_from(order + ("Q" if big else "I"), data, start + entry_size * count)
    return Directory(offset, order, tags), following


class Samples:
    """A picture whose samples are read here.

    Parameters
    ----------
    data : bytes
        The file.
    directory : Directory

    Raises
    ------
    BadPicture
        With the reason, if it cannot be read.
    """

    format = "TIFF"

    def __init__(self, data: bytes, directory: Directory):
        self._data = data
        self._directory = directory
        self.size = directory.size
        self.info: dict[str, bytes] = (
            {"icc_profile": bytes(directory.tags[ICC])} if ICC in directory.tags else {}
        )
        self._kind = directory.one(PHOTOMETRIC, 1)
        self._compression = directory.one(COMPRESSION, 1)
        self._check()

    def _check(self) -> None:
        directory, kind, bits = self._directory, self._kind, self._directory.bits
        what = f"a TIFF of {'+'.join(map(str, sorted(set(bits))))}-bit samples"
        if kind in _KINDS or kind > 8:
            raise BadPicture(
                f"{_KINDS.get(kind, f'a TIFF of photometric interpretation {kind}')}: {_CONVERT}"
            )
        if min(self.size) < 1:
            raise BadPicture(f"a TIFF of {self.size[0]} x {self.size[1]} pixels")
        if directory.channels > _MOST_CHANNELS:
            raise BadPicture(f"a TIFF of {directory.channels} channels: {_CONVERT}")
        if self._compression not in (1, 5, 8, 32946, 32773):
            name = _NAMES.get(self._compression, f"compression {self._compression}")
            raise BadPicture(f"{what} with {name} compression, which is not supported: {_CONVERT}")
        if len(set(bits)) > 1 or len(set(directory.formats)) > 1:
            raise BadPicture(f"a TIFF whose channels differ in their bits or formats: {_CONVERT}")
        n, number = bits[0], directory.formats[0]
        valid = {1: range(1, 65), 2: (8, 16, 32, 64), 3: (16, 32, 64)}
        if number not in valid or n not in valid[number] or (n > 32 and n != 64):
            raise BadPicture(f"{what} of format {number}: {_CONVERT}")
        if kind == 6:
            raise BadPicture(
                f"a TIFF of YCbCr that is subsampled without JPEG, or of {bits[0]} bits: {_CONVERT}"
            )
        least = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 8: 3}
        if kind not in least or directory.channels < least[kind]:
            raise BadPicture(
                f"{what} of photometric interpretation {kind} and {directory.channels} channels: {_CONVERT}"
            )
        if kind == 5 and directory.one(INK_SET, 1) != 1:
            raise BadPicture(f"a TIFF of other inks than CMYK: {_CONVERT}")
        if directory.predictor not in (1, 2, 3):
            raise BadPicture(f"a TIFF with predictor {directory.predictor}: {_CONVERT}")

    @property
    def bytes_per_pixel(self) -> int:
        """The memory for each pixel, in bytes: all samples as they are stored, twice, and the picture."""
        return 2 * self._directory.channels * max(1, -(-self._directory.bits[0] // 8)) + 16

    def read(self, partly: bool = False) -> tuple[Image.Image, tuple[str, ...], Image.Image | None]:
        """Decode the picture, upright.

        Parameters
        ----------
        partly : bool
            Decode what there is if the file ends early.

        Returns
        -------
        PIL.Image.Image
            Of 8 bits per channel: L, LA, RGB, RGBA, CMYK or LAB.
        tuple of str
            What is worth telling.
        PIL.Image.Image or None
            The missing part, of mode L: 255 where the file ended before.

        Raises
        ------
        BadPicture
            With the reason, if it cannot be read.
        """
        from PIL import Image

        values, lines = self.values()
        width, height = self.size
        missing = None
        if lines < height:
            if not partly or not lines:
                raise BadPicture(f"{TRUNCATED}: {100 * lines // height} % of the lines were read")
            missing = Image.new("L", self.size)
            missing.paste(255, (0, lines, width, height))
            missing = self._upright(missing)
        image, notes = self._picture(values, values[:lines])
        return self._upright(image), notes, missing

    def _picture(
        self, values: npt.NDArray[Any], read: npt.NDArray[Any]
    ) -> tuple[Image.Image, tuple[str, ...]]:
        """Convert samples to 8 bits, by the range of those that were read."""
        from PIL import Image

        directory, kind, n = self._directory, self._kind, self._directory.bits[0]
        if kind == 3:
            return self._from_palette(values), ()
        if kind == 8:
            return self._from_lab(values), ()
        colours = {0: 1, 1: 1, 2: 3, 5: 4}[kind]
        alpha = self._alpha(colours)
        number = {1: "u", 2: "i", 3: "f"}[directory.formats[0]]
        own = read[..., :colours]
        within, notes = range_of(number, n, float(own.min()), float(own.max()), directory.declared)
        mode = {1: "L", 3: "RGB", 4: "CMYK"}[colours]
        result = Image.new(mode + "A" if alpha and mode != "CMYK" else mode, self.size)
        for box in strips(self.size):
            strip = values[box[1] : box[3]]
            scaled = to_8_bits(strip[..., :colours], within)
            if kind == 0:
                scaled = 255 - scaled
            part = Image.fromarray(scaled[..., 0] if colours == 1 else scaled, mode)
            if alpha and mode != "CMYK":
                full = Range(0, 1) if number == "f" else Range(0, 2 ** (n - (number == "i")) - 1)
                part = self._with_alpha(part, to_8_bits(strip[..., alpha[0]], full), alpha[1] == 1)
            result.paste(part, box)
        told = {1: DARK, 3: DARK_COLOUR}.get(colours, "")
        return result, tuple(told if note == DARK else note for note in notes if note != DARK or told)

    def _alpha(self, colours: int) -> tuple[int, int] | None:
        """Return the channel of the transparency, and 1 if colours are multiplied by it."""
        for place, meaning in enumerate(self._directory.tags.get(EXTRA, ())):
            if meaning in (1, 2) and colours + place < self._directory.channels:
                return colours + place, int(meaning)
        return None

    @staticmethod
    def _with_alpha(part: Image.Image, alpha: npt.NDArray[Any], multiplied: bool) -> Image.Image:
        from PIL import Image

        part.putalpha(Image.fromarray(alpha))
        if not multiplied:
            return part
        premultiplied = Image.frombytes("RGBa", part.size, part.convert("RGBA").tobytes())
        return premultiplied.convert("RGBA").convert(part.mode)

    def _from_palette(self, values: npt.NDArray[Any]) -> Image.Image:
        import numpy as np
        from PIL import Image

        listed = self._directory.tags.get(PALETTE, ())
        n = self._directory.bits[0]
        if n > 16 or len(listed) != 3 * 2**n:
            raise BadPicture(f"a TIFF whose palette has {len(listed)} values: {_CONVERT}")
        colours = (np.array(listed).reshape(3, -1).T // self._directory.palette_unit).astype(np.uint8)
        return Image.fromarray(colours[values[..., 0]])

    def _from_lab(self, values: npt.NDArray[Any]) -> Image.Image:
        import numpy as np
        from PIL import Image

        if self._directory.bits[0] not in (8, 16) or self._directory.formats[0] == 3:
            raise BadPicture(f"a TIFF of Lab samples of {self._directory.bits[0]} bits: {_CONVERT}")
        lab = values[..., :3]
        if self._directory.bits[0] == 16:
            lab = np.concatenate(
                [lab[..., :1].astype(np.uint16) // 257, lab[..., 1:].astype(np.uint16) >> 8], -1
            )
        return Image.frombytes("LAB", self.size, lab.astype(np.uint8).tobytes(), "raw", "LAB")

    def _upright(self, image: Image.Image) -> Image.Image:
        from PIL import Image

        turn = {
            2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90,
        }.get(self._directory.one(ORIENTATION, 1))  # fmt: skip
        return image if turn is None else image.transpose(turn)

    def values(self) -> tuple[npt.NDArray[Any], int]:
        """Return all samples, shape (height, width, channels), as they are stored, and the lines that were read."""
        import numpy as np

        directory = self._directory
        width, height = self.size
        n = directory.bits[0]
        kind = {1: "u", 2: "i", 3: "f"}[directory.formats[0]]
        bytes_each = next(size for size in (1, 2, 4, 8) if 8 * size >= n)
        result = np.zeros((height, width, directory.channels), f"{kind}{bytes_each}")
        separate = directory.one(PLANES, 1) == 2
        each = 1 if separate else directory.channels
        tiled = TILES in directory.tags
        offsets = directory.tags.get(TILES if tiled else STRIPS, ())
        lengths = directory.tags.get(TILE_BYTES if tiled else STRIP_BYTES, ())
        across, down = width, min(directory.one(ROWS_PER_STRIP, height), height)
        if tiled:
            across, down = directory.one(TILE_WIDTH, 0), directory.one(TILE_HEIGHT, 0)
        if across < 1 or down < 1 or across * down > 2 * max(width * height, 2**20):
            raise BadPicture("its tiles or strips have no size that can be")
        columns, rows = math.ceil(width / across), math.ceil(height / down)
        if len(offsets) < columns * rows * (directory.channels if separate else 1) or len(lengths) < len(
            offsets
        ):
            raise BadPicture("the file lists fewer strips or tiles than the picture has")
        for number, (offset, length) in enumerate(zip(offsets, lengths, strict=False)):
            plane, place = divmod(number, columns * rows)
            if plane >= (directory.channels if separate else 1):
                break
            top, left = place // columns * down, place % columns * across
            lines = down if tiled else min(down, height - top)
            segment, n_read = self._segment(self._data[offset : offset + length], lines, across, each)
            part = segment[: height - top, : width - left]
            into = result[top : top + down, left : left + across]
            if separate:
                into[..., plane] = part[..., 0]
            else:
                into[...] = part
            if n_read < min(lines, height - top):
                last = not separate or plane == directory.channels - 1
                return result, (top + (0 if tiled else n_read)) * last
        return result, height

    def _segment(self, raw: bytes, lines: int, across: int, each: int) -> tuple[npt.NDArray[Any], int]:
        """Decode a strip or tile, and return the number of lines that were read; the others are zero."""
        import numpy as np

        directory, n = self._directory, self._directory.bits[0]
        row_bytes = -(-across * each * n // 8)
        if directory.one(FILL_ORDER, 1) == 2:
            raw = raw.translate(_REVERSED)
        data = _decompressed(raw, self._compression, lines * row_bytes)
        n_read = min(lines, len(data) // row_bytes)
        data = data.ljust(lines * row_bytes, b"\0")
        rows = np.frombuffer(data, np.uint8, lines * row_bytes).reshape(lines, row_bytes)
        kind = {1: "u", 2: "i", 3: "f"}[directory.formats[0]]
        predictor = directory.predictor
        if predictor == 3:
            if kind != "f":
                raise BadPicture(f"a TIFF with a floating-point predictor and whole numbers: {_CONVERT}")
            planes = np.cumsum(rows.reshape(lines, -1, each), axis=1, dtype=np.uint8).reshape(
                lines, n // 8, -1
            )
            values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{n // 8}")
            return values.reshape(lines, across, each), n_read
        if n in (8, 16, 32, 64):
            rows = np.ascontiguousarray(rows)
            if predictor == 2:  # of the bits, also where they are floating-point numbers
                stored = rows.view(f"{directory.order}u{n // 8}").reshape(lines, across, each)
                return np.cumsum(stored, axis=1, dtype=f"u{n // 8}").view(f"{kind}{n // 8}"), n_read
            return rows.view(f"{directory.order}{kind}{n // 8}").reshape(lines, across, each), n_read
        if predictor != 1:
            raise BadPicture(f"a TIFF of {n}-bit samples with a predictor: {_CONVERT}")
        if n == 24:
            parts = rows.reshape(lines, across, each, 3).astype(np.uint32)
            first, last = (0, 2) if directory.order == "<" else (2, 0)
            return parts[..., first] | parts[..., 1] << 8 | parts[..., last] << 16, n_read
        return _unpacked(rows, across * each, n).reshape(lines, across, each), n_read


_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def _unpacked(rows: npt.NDArray[Any], per_row: int, bits: int) -> npt.NDArray[Any]:
    """Return samples of any number of bits, the highest bit first, a few rows at a time."""
    import numpy as np

    result = np.zeros((len(rows), per_row), np.uint32)
    step = max(1, 2**18 // per_row)
    for start in range(0, len(rows), step):
        single = np.unpackbits(rows[start : start + step], axis=1)[:, : per_row * bits]
        single = single.reshape(len(single), per_row, bits)
        part = result[start : start + step]
        for bit in range(bits):
            part |= single[..., bit].astype(np.uint32) << (bits - 1 - bit)
    return result


def _decompressed(raw: bytes, compression: int, expected: int) -> bytes:
    if compression == 1:
        return raw
    if compression in (8, 32946):
        try:
            return zlib.decompressobj().decompress(raw, expected)
        except zlib.error as error:
            raise BadPicture(f"cannot be decoded: its Deflate data is damaged ({error})") from error
    return _packbits(raw, expected) if compression == 32773 else _lzw(raw, expected)


def _packbits(raw: bytes, expected: int) -> bytes:
    out, place = bytearray(), 0
    while place < len(raw) and len(out) < expected:
        head = raw[place]
        if head < 128:
            out += raw[place + 1 : place + 2 + head]
            place += 2 + head
        elif head == 128:
            place += 1
        else:
            out += raw[place + 1 : place + 2] * (257 - head)
            place += 2
    return bytes(out[:expected])


def _lzw(raw: bytes, expected: int) -> bytes:
    """Decode TIFF's variant of LZW: the highest bit first, and codes that grow one entry early."""
    clear, end = 256, 257
    single = [bytes([value]) for value in range(256)] + [b"", b""]
    table = list(single)
    out = bytearray()
    width, buffer, available = 9, 0, 0
    previous = b""
    for byte in raw:
        buffer = buffer << 8 | byte
        available += 8
        if available < width:
            continue
        available -= width
        code = buffer >> available
        buffer &= (1 << available) - 1
        if code == clear:
            table, width, previous = list(single), 9, b""
            continue
        if code == end or len(out) >= expected:
            break
        if code < len(table):
            entry = table[code]
        elif code == len(table) and previous:
            entry = previous + previous[:1]
        else:
            raise BadPicture("cannot be decoded: its LZW data is damaged")
        out += entry
        if previous and len(table) < 4096:
            table.append(previous + entry[:1])
        previous = entry
        size = len(table)
        width = 9 if size < 511 else 10 if size < 1023 else 11 if size < 2047 else 12
    return bytes(out[:expected])


def opened(data: bytes) -> tuple[Image.Image | Samples, Directory | None]:
    """Open the main picture of a TIFF, and return what its directory says."""
    from PIL import Image, ImagePalette, UnidentifiedImageError

    found = main_picture(data)
    if found is None:
        return Image.open(io.BytesIO(data), formats=["TIFF"]), None
    directory, is_first = found
    if not directory.is_usual:
        return Samples(data, directory), directory
    try:
        image = Image.open(io.BytesIO(data if is_first else starting_with(data, directory)), formats=["TIFF"])
    except UnidentifiedImageError:  # such as a BigTIFF with the highest byte first
        return Samples(data, directory), directory
    if image.palette and directory.palette_unit == 1:  # Pillow takes every palette for one of 16 bits
        image.palette = ImagePalette.raw("RGB;L", bytes(directory.tags[PALETTE]))
    if not is_first and directory.one(ORIENTATION, 1) != 1:
        image.getexif()[ORIENTATION] = directory.one(ORIENTATION, 1)
    return image, directory
