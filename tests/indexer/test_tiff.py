"""TIFF files of every kind, against tifffile's own reading."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import pillow, tiff
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.pool import shared
from imindex.indexer.decode.rendering import CONVERTED, DARK, DARK_COLOUR, PARTIAL, UNUSABLE_RANGE, Rendering
from tests.support import profiles
from tests.support.pictures import encoded, picture
from tests.support.raw_pictures import by_hand, grey_rgb, packed, written

ADOBE = profiles.rgb(profiles.ADOBE, 2.19921875)
PHOTO = picture(3, (50, 36))
RGB = np.asarray(PHOTO)
WIDE = RGB.astype(np.int64)
GREY = np.asarray(PHOTO.convert("L"))
ALPHA = np.linspace(0, 255, GREY.size).reshape(GREY.shape).astype(np.uint8)


def read(data: bytes, rendering: Rendering = Rendering()) -> tuple[np.ndarray, tuple[str, ...]]:  # noqa: B008 - frozen
    """Decode in this process and in another one, which must agree."""
    here = pillow.read_noted(data, Limits(), rendering)
    with shared(Limits()).decoded(data, rendering=rendering) as pixels:
        assert (pixels.values == np.asarray(here.image)).all() and pixels.notes == here.notes
    return np.asarray(here.image).astype(int), here.notes


def by_hand_tiff(
    strips: list[bytes], size: tuple[int, int], tags: dict[int, tuple[int, list[int]]], order: str = "<"
) -> bytes:
    """A TIFF with any tags; `tags` holds type and values."""
    width, height = size
    body = b"".join(strips)
    offsets = np.cumsum([8, *map(len, strips)])[:-1].tolist()
    every = {
        256: (4, [width]), 257: (4, [height]), 259: (3, [1]), 273: (4, offsets), 277: (3, [1]), 278: (4, [height]),
        279: (4, [len(strip) for strip in strips]), **tags,
    }  # fmt: skip
    body += bytes(len(body) % 2)
    at = 8 + len(body)
    sizes = {1: "B", 2: "B", 3: "H", 4: "I", 11: "f", 12: "d"}
    entries, extra = b"", b""
    later = at + 2 + 12 * len(every) + 4
    for tag, (kind, values) in sorted(every.items()):
        raw = struct.pack(f"{order}{len(values)}{sizes[kind]}", *values)
        if len(raw) > 4:
            entries += struct.pack(f"{order}HHII", tag, kind, len(values), later + len(extra))
            extra += raw + bytes(len(raw) % 2)
        else:
            entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    return head + body + struct.pack(order + "H", len(every)) + entries + bytes(4) + extra


def close(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.shape == expected.shape and np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("bits", [10, 12, 14, 24, 3, 5])
def test_grey_of_any_number_of_bits(bits: int, inverted: bool, order: str) -> None:
    values = (GREY.astype(float) / 255 * (2**bits - 1)).round().astype(np.int64)
    expected = np.rint(values * 255 / (2**bits - 1))
    stored = 2**bits - 1 - values if inverted else values
    strip = packed(stored, bits)
    if bits == 24:
        strip = b"".join(int(v).to_bytes(3, "little" if order == "<" else "big") for v in stored.ravel())
    data = by_hand_tiff([strip], PHOTO.size, {258: (3, [bits]), 262: (3, [0 if inverted else 1])}, order)
    close(read(data)[0], grey_rgb(expected))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["miniswhite", "minisblack"])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 7}])
def test_16_bit_grey(how: dict, kind: str, order: str) -> None:
    data = written(GREY.astype(np.uint16) * 257, photometric=kind, byteorder=order, **how)
    stored = tifffile.imread(io.BytesIO(data))
    expected = np.rint((65535 - stored if kind == "miniswhite" else stored) / 257)
    got, notes = read(data)
    assert notes == () and (got == grey_rgb(expected)).all()


@pytest.mark.parametrize("dtype", ["i1", "u4", "i4", "i2", "f2", "f4", "f8", "u8", "i8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_formats_of_samples(dtype: str, order: str) -> None:
    scale = {"i1": 127 / 255, "i2": 32767 / 255, "f2": 1 / 255, "f4": 1 / 255, "f8": 1 / 255}.get(dtype, 1.0)
    values = (GREY * scale).astype(dtype) if dtype[0] == "f" else np.rint(GREY * scale).astype(dtype)
    values[0, 0] = scale * 255 if dtype[0] == "f" else round(scale * 255)
    data = written(values, photometric="minisblack", byteorder=order)
    stored = tifffile.imread(io.BytesIO(data)).astype(float)
    close(read(data)[0], grey_rgb(np.rint(stored / scale)))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "f4", "f8"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib", "tile": (16, 32)}, {"rowsperstrip": 5}])
def test_rgb_in_planes_and_depths(dtype: str, planes: str, order: str, how: dict) -> None:
    factor = {"u1": 1, "u2": 257, "u4": 1, "f4": 1 / 255, "f8": 1 / 255}[dtype]
    values = (WIDE * factor).astype(dtype)
    stored = np.ascontiguousarray(values.transpose(2, 0, 1)) if planes == "separate" else values
    data = written(stored, photometric="rgb", planarconfig=planes, byteorder=order, **how)
    theirs = tifffile.imread(io.BytesIO(data))
    theirs = theirs.transpose(1, 2, 0) if planes == "separate" else theirs
    close(read(data)[0], np.rint(theirs / factor))


@pytest.mark.parametrize("compression", [5, 8, 32946, 32773, 1])
@pytest.mark.parametrize("bits", [12, 32])
def test_compressions(compression: int, bits: int) -> None:
    values = GREY.astype(np.uint32) if bits == 32 else GREY.astype(np.uint32) * 16
    raw = values.astype("<u4").tobytes() if bits == 32 else packed(values, 12)
    if compression == 5:
        strip = lzw(raw)
    elif compression == 32773:
        strip = packbits(raw)
    else:
        strip = raw if compression == 1 else zlib.compress(raw)
    data = by_hand_tiff([strip], PHOTO.size, {258: (3, [bits]), 259: (3, [compression]), 262: (3, [1])})
    close(read(data)[0], grey_rgb(np.rint(values * 255 / (255 if bits == 32 else 4095))))


def lzw(data: bytes) -> bytes:
    """Encode as TIFF does: clear code first, codes that grow one entry early."""
    table: dict[bytes, int] = {}
    bits: list[str] = []

    def put(code: int) -> None:
        size = len(table) + 258
        width = 9 if size < 512 else 10 if size < 1024 else 11 if size < 2048 else 12
        bits.append(f"{code:0{width}b}")

    put(256)
    word = b""
    for value in data:
        longer = word + bytes([value])
        if len(longer) == 1 or longer in table:
            word = longer
            continue
        put(word[0] if len(word) == 1 else table[word])
        table[longer] = 258 + len(table)
        if len(table) + 258 > 4093:
            put(256)
            table.clear()
        word = longer[-1:]
    put(word[0] if len(word) == 1 else table[word])
    put(257)
    text = "".join(bits)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def packbits(data: bytes) -> bytes:
    out = b""
    for start in range(0, len(data), 100):
        part = data[start : start + 100]
        out += (
            bytes([257 - len(part)]) + part[:1]
            if len(set(part)) == 1 and len(part) > 1
            else bytes([len(part) - 1]) + part
        )
    return out + b"\x80"


def test_libtiff_agrees_about_lzw() -> None:
    """Pillow's libtiff reads what `lzw` writes, and the reader what libtiff writes."""
    raw = np.arange(20_000, dtype=np.uint16).tobytes() + bytes(20_000)
    data = by_hand_tiff([lzw(raw)], (300, 200), {258: (3, [8]), 259: (3, [5]), 262: (3, [1])})
    assert np.asarray(Image.open(io.BytesIO(data))).tobytes() == raw
    theirs = encoded(
        Image.fromarray(np.frombuffer(raw, np.uint8).reshape(200, 300)), "TIFF", compression="tiff_lzw"
    )
    main = tiff.main_picture(theirs)
    assert main is not None
    values, lines = tiff.Samples(theirs, main[0]).values()
    assert lines == 200 and values.tobytes() == raw


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_predictors(dtype: str, colours: int, order: str) -> None:
    floating = dtype[0] == "f"
    factor = {"u1": 1, "u2": 257, "u4": 1}.get(dtype, 1 / 255)
    values = ((WIDE if colours == 3 else WIDE[..., :1]) * factor).astype(dtype)
    height, width = GREY.shape
    if floating:
        size = values.itemsize
        rows = values.astype(">" + dtype).view(np.uint8).reshape(height, width * colours, size)
        rows = rows.transpose(0, 2, 1).reshape(height, -1, colours)
        rows = np.diff(rows, axis=1, prepend=np.zeros((height, 1, colours), np.uint8))
    else:
        rows = np.diff(values, axis=1, prepend=np.zeros((height, 1, colours), dtype)).astype(order + dtype)
    tags = {
        258: (3, [8 * values.itemsize] * colours), 259: (3, [8]), 262: (3, [2 if colours == 3 else 1]),
        277: (3, [colours]), 317: (3, [3 if floating else 2]), 339: (3, [3 if floating else 1] * colours),
    }  # fmt: skip
    data = by_hand_tiff([zlib.compress(rows.tobytes())], PHOTO.size, tags, order)
    main = tiff.main_picture(data)
    assert main is not None
    if dtype != "f2":  # the reader, also where Pillow would be used
        assert (tiff.Samples(data, main[0]).values()[0] == values).all()
    close(read(data)[0], np.rint(values.astype(float) / factor) * np.ones(3))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_differences_of_the_bits_of_floating_point_samples(dtype: str, colours: int, order: str) -> None:
    values = ((WIDE if colours == 3 else WIDE[..., :1]) / 255).astype(dtype)
    stored = values.view(f"u{values.itemsize}")
    rows = np.diff(stored, axis=1, prepend=np.zeros_like(stored[:, :1])).astype(f"{order}u{values.itemsize}")
    tags = {
        258: (3, [8 * values.itemsize] * colours), 259: (3, [8]), 262: (3, [2 if colours == 3 else 1]),
        277: (3, [colours]), 317: (3, [2]), 339: (3, [3] * colours),
    }  # fmt: skip
    data = by_hand_tiff([zlib.compress(rows.tobytes())], PHOTO.size, tags, order)
    assert (tifffile.imread(io.BytesIO(data)).reshape(values.shape) == values).all()
    close(read(data)[0], np.rint(values.astype(float) * 255) * np.ones(3))


@pytest.mark.parametrize("compression", [1, 32773])
@pytest.mark.parametrize("predictor", [2, 3, 77])
@pytest.mark.parametrize(
    ("dtype", "kind"), [("u1", 1), ("u2", 0), ("u2", 1), ("u4", 1), ("f4", 1), ("f8", 1)]
)
def test_predictors_of_compressions_that_have_none(
    dtype: str, kind: int, predictor: int, compression: int
) -> None:
    values = (GREY.astype(float) * {"u1": 1, "u2": 257, "u4": 16843009}.get(dtype, 1 / 255)).astype(dtype)
    strip = values.tobytes() if compression == 1 else packbits(values.tobytes())
    tags = {
        258: (3, [8 * values.itemsize]), 259: (3, [compression]), 262: (3, [kind]), 317: (3, [predictor]),
        339: (3, [3 if dtype[0] == "f" else 1]),
    }  # fmt: skip
    data = by_hand_tiff([strip], PHOTO.size, tags)
    if compression == 32773 and dtype not in ("f8", "u4"):
        theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # by libtiff
        assert theirs is not None and (theirs == values).all()
    close(read(data)[0], grey_rgb(GREY if kind else 255 - GREY))


def test_separate_planes_of_tiles_with_transparency() -> None:
    values = np.concatenate([RGB, ALPHA[..., None]], -1).transpose(2, 0, 1).astype(np.uint16) * 257
    for kind, meaning in (("unassalpha", 2), ("assocalpha", 1)):
        data = written(values, photometric="rgb", planarconfig="separate", extrasamples=[kind], tile=(16, 16))
        share = ALPHA[..., None] / 255
        if meaning == 1:  # the colours are multiplied already
            expected = np.minimum(RGB + 255 * (1 - share), 255)
            got = read(data)[0]
            inside = (ALPHA[..., None] >= RGB).all(-1)  # others cannot be
            assert np.abs(got - expected)[inside & (ALPHA > 60)].max() <= 4
        else:
            close(read(data)[0], np.rint(RGB * share + 255 * (1 - share)))


def test_grey_with_transparency_in_16_bits() -> None:
    values = np.stack([GREY, ALPHA], -1).astype(np.uint16) * 257
    data = written(values, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    share = ALPHA / 255
    close(read(data)[0], grey_rgb(np.rint(GREY * share + 255 * (1 - share))))


@pytest.mark.parametrize("bits", [8, 16])
def test_inks(bits: int) -> None:
    cmyk = np.asarray(PHOTO.convert("CMYK"))
    expected = np.asarray(Image.fromarray(cmyk, "CMYK").convert("RGB")).astype(int)
    values = cmyk if bits == 8 else cmyk.astype(np.uint16) * 257
    for planes in ("contig", "separate"):
        stored = values if planes == "contig" else np.ascontiguousarray(values.transpose(2, 0, 1))
        close(read(written(stored, photometric="separated", planarconfig=planes))[0], expected)


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_palettes(bits: int) -> None:
    rng = np.random.default_rng(5)
    colours = rng.integers(0, 65536, (3, 2**bits))
    indexes = rng.integers(0, 2**bits, GREY.shape)
    strip = packed(indexes, bits) if bits < 16 else indexes.astype("<u2").tobytes()
    tags = {258: (3, [bits]), 262: (3, [3]), 320: (3, colours.ravel().tolist())}
    data = by_hand_tiff([strip], PHOTO.size, tags)
    close(read(data)[0], colours.T[indexes] // 257)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize("largest", [255, 200, 0])
def test_palettes_of_8_bits(bits: int, largest: int, order: str) -> None:
    rng = np.random.default_rng(6)
    colours = rng.integers(0, largest + 1, (3, 2**bits))
    colours[0, 0] = largest
    indexes = rng.integers(0, 2**bits, GREY.shape)
    indexes[0, 0] = 0
    strip = packed(indexes, bits) if bits < 16 else indexes.astype(order + "u2").tobytes()
    tags = {258: (3, [bits]), 262: (3, [3]), 320: (3, colours.ravel().tolist())}
    data = by_hand_tiff([strip], PHOTO.size, tags, order)
    got = read(data)[0]
    assert (got == colours.T[indexes]).all()
    if bits == 8:
        theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)  # by libtiff
        assert theirs is not None and (theirs[..., ::-1] == got).all()


def test_palettes_of_8_bits_with_other_compressions_and_on_other_pages() -> None:
    colours = np.random.default_rng(7).integers(0, 256, (3, 256)).astype(np.uint16)
    for how in ({"compression": "zlib"}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)}):
        out = io.BytesIO()
        with tifffile.TiffWriter(out) as file:
            file.write(thumb(), photometric="rgb", subfiletype=1)
            file.write(GREY, photometric="palette", colormap=colours, **how)
        assert (read(out.getvalue())[0] == colours.T[GREY]).all()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planes", [1, 2])
def test_lab(bits: int, planes: int) -> None:
    made = ImageCms.profileToProfile(
        PHOTO, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert made is not None
    lab = np.asarray(made)  # a and b as TIFF has them: signed
    signed = np.concatenate([lab[..., :1].astype(int), lab[..., 1:].astype(np.int8).astype(int)], -1)
    whole = signed * ([1, 1, 1] if bits == 8 else [257, 256, 256])
    raw = (whole % 2**bits).astype("u1" if bits == 8 else "<u2")
    strips = [raw.tobytes()] if planes == 1 else [raw[..., place].tobytes() for place in range(3)]
    tags = {258: (3, [bits] * 3), 262: (3, [8]), 277: (3, [3]), 284: (3, [planes])}
    got = read(by_hand_tiff(strips, PHOTO.size, tags))[0]
    assert np.abs(got - np.asarray(made.convert("RGB")).astype(int)).max() <= 2
    assert np.abs(got - RGB).mean() < 6


def test_ycbcr() -> None:
    ycbcr = np.asarray(PHOTO.convert("YCbCr"))
    whole = by_hand_tiff(
        [ycbcr.tobytes()], PHOTO.size, {258: (3, [8] * 3), 262: (3, [6]), 277: (3, [3]), 530: (3, [1, 1])}
    )
    assert np.abs(read(whole)[0] - RGB).max() <= 3
    tags = {258: (3, [8] * 3), 262: (3, [6]), 277: (3, [3]), 530: (3, [2, 2])}
    with pytest.raises(BadPicture, match="YCbCr"):
        read(by_hand_tiff([ycbcr.tobytes()], PHOTO.size, tags))
    jpeg = encoded(PHOTO, "TIFF", compression="jpeg", quality=95)
    assert np.abs(read(jpeg)[0] - RGB).mean() < 12


def thumb() -> np.ndarray:
    return np.asarray(PHOTO.resize((12, 9)))


def test_a_reduced_picture_comes_first() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(thumb(), photometric="rgb", subfiletype=1)
        file.write(RGB, photometric="rgb", subfiletype=0, compression="zlib")
    close(read(out.getvalue())[0], RGB)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [1, 257])
def test_the_main_picture_is_in_a_sub_directory(big: bool, order: str, depth: int) -> None:
    values = RGB.astype(np.uint16) * depth if depth > 1 else RGB
    out = io.BytesIO()
    with tifffile.TiffWriter(out, bigtiff=big, byteorder=order) as file:
        file.write(thumb(), photometric="rgb", subfiletype=1, subifds=2)
        file.write(thumb()[:4, :4], photometric="rgb", subfiletype=1)
        file.write(values, photometric="rgb", subfiletype=0)
    close(read(out.getvalue())[0], RGB)


def mask_first(photometric: int, subfile: int, *pictures: dict) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(GREY > 128, photometric="minisblack", subfiletype=subfile)
        for how in pictures:
            file.write(**how)
    data = bytearray(out.getvalue())
    at = data.index(struct.pack("<HHI", 262, 3, 1))
    struct.pack_into("<H", data, at + 8, photometric)
    return bytes(data)


@pytest.mark.parametrize("depth", [1, 257])
@pytest.mark.parametrize(("photometric", "subfile"), [(4, 4), (4, 0), (1, 4), (4, 6), (4, 5)])
def test_a_transparency_mask_comes_first(photometric: int, subfile: int, depth: int) -> None:
    values = RGB.astype(np.uint16) * depth if depth > 1 else RGB
    full = {"data": values, "photometric": "rgb"}
    small = {"data": thumb(), "photometric": "rgb", "subfiletype": 1}
    for pictures in ([full], [small, full], [full, full | {"data": values[::-1]}]):
        close(read(mask_first(photometric, subfile, *pictures))[0], RGB)


def test_a_mask_alone_is_no_picture() -> None:
    with pytest.raises(BadPicture, match="a transparency mask"):
        read(mask_first(4, 4))


def test_smaller_versions_and_pages_after_the_picture_are_passed_over() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(RGB, photometric="rgb", subifds=1)
        file.write(thumb(), photometric="rgb", subfiletype=1)
        file.write(np.zeros((90, 90, 3), np.uint8), photometric="rgb")
    close(read(out.getvalue())[0], RGB)


@pytest.mark.parametrize("kind", [32803, 34892])
def test_raw_sensor_data_is_no_picture(kind: int) -> None:
    data = by_hand_tiff([GREY.astype("<u2").tobytes()], PHOTO.size, {258: (3, [16]), 262: (3, [kind])})
    with pytest.raises(BadPicture, match="raw sensor data of a camera: convert it"):
        read(data)


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_of_samples(turn: int) -> None:
    stored = GREY.astype(np.uint32) * 16
    data = by_hand_tiff([packed(stored, 12)], PHOTO.size, {258: (3, [12]), 262: (3, [1]), 274: (3, [turn])})
    plain = encoded(Image.fromarray(GREY), "TIFF", tiffinfo={274: turn})
    close(read(data)[0], np.rint(read(plain)[0] * 16 * 255 / 4095))


@pytest.mark.parametrize(
    ("values", "how", "expected"),
    [
        (GREY.astype(np.uint16) * 16, {"extratags": [(341, 3, 1, 4080)]}, GREY),
        (GREY.astype(np.uint16) + 1000, {"extratags": [(340, 3, 1, 1000), (341, 3, 1, 1255)]}, GREY),
        (GREY.astype(np.uint16) * 16, {"extratags": [(281, 3, 1, 4095)]}, GREY * 16.0 * 255 / 4095),
        (GREY.astype(np.uint16) * 16, {"description": "ImageJ=1.53\nmin=0.0\nmax=4080.0\n", "metadata": None}, GREY),
        (GREY.astype(np.int16) - 128, {"extratags": [(340, 8, 1, -128), (341, 8, 1, 127)]}, GREY),
        (GREY.astype(np.int32) * 7 - 900, {"extratags": [(340, 9, 1, -900), (341, 9, 1, 885)]}, GREY),
        (GREY.astype(np.float32) * 3 - 9, {"extratags": [(340, 11, 1, -9.0), (341, 11, 1, 756.0)]}, GREY),
        (
            GREY.astype(np.uint16) * 4,
            {"description": '<?xml version="1.0"?><OME><Pixels SizeX="1" SignificantBits="10" Type="uint16"/></OME>',
             "metadata": None},
            GREY * 4.0 * 255 / 1023,
        ),
    ],
)  # fmt: skip
def test_the_declared_range_counts(values: np.ndarray, how: dict, expected: np.ndarray) -> None:
    got, notes = read(written(values, photometric="minisblack", **how))
    assert notes == ()
    close(got, grey_rgb(np.rint(expected)))


SCALES = {
    "SMaxSampleValue": {"extratags": [(341, 3, 3, (4080, 4080, 4080))]},
    "MaxSampleValue": {"extratags": [(281, 3, 3, (4095, 4095, 4095))]},
    "ImageJ": {"description": "ImageJ=1.53\nmin=0.0\nmax=4.08e+3\n", "metadata": None},
    "OME": {"description": '<OME><Pixels SignificantBits="12"></OME>', "metadata": None},
}


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)}])
def test_the_declared_range_counts_in_colour(name: str, planes: str, order: str, how: dict) -> None:
    values = RGB.astype(np.uint16) * 16
    stored = values if planes == "contig" else np.ascontiguousarray(values.transpose(2, 0, 1))
    data = written(stored, photometric="rgb", planarconfig=planes, byteorder=order, **SCALES[name], **how)
    got, notes = read(data)
    assert notes == ()
    close(got, np.rint(WIDE * 16 * 255 / (4080 if name in ("SMaxSampleValue", "ImageJ") else 4095)))


def test_the_declared_range_counts_with_transparency_and_inks() -> None:
    rgba = np.concatenate([RGB.astype(np.uint16) * 16, ALPHA[..., None].astype(np.uint16) * 257], -1)
    declared = {"extratags": [(341, 3, 4, (4080, 4080, 4080, 4080))]}
    share = ALPHA[..., None] / 255
    got, notes = read(written(rgba, photometric="rgb", extrasamples=["unassalpha"], **declared))
    assert notes == ()
    close(got, np.rint(RGB * share + 255 * (1 - share)))
    cmyk = np.asarray(PHOTO.convert("CMYK"))
    expected = np.asarray(Image.fromarray(cmyk, "CMYK").convert("RGB")).astype(int)
    close(read(written(cmyk.astype(np.uint16) * 16, photometric="separated", **declared))[0], expected)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("factor", [16, 60, 70, 257])
def test_a_small_part_of_the_range_is_told_of_colour(planes: str, factor: int) -> None:
    values = RGB.astype(np.uint16) * factor
    stored = values if planes == "contig" else np.ascontiguousarray(values.transpose(2, 0, 1))
    got, notes = read(written(stored, photometric="rgb", planarconfig=planes))
    assert notes == ((DARK_COLOUR,) if values.max() < 65535 / 4 else ())
    close(got, np.rint(values / 257))


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "how",
    [
        {"extratags": [(341, 11, 1, INF)]},
        {"extratags": [(341, 12, 1, NAN)]},
        {"extratags": [(340, 11, 1, -INF), (341, 11, 1, 65535.0)]},
        {"extratags": [(340, 11, 1, NAN), (341, 11, 1, 65535.0)]},
        {"extratags": [(341, 12, 1, 1e300)]},
        {"extratags": [(340, 12, 1, -1e308), (341, 12, 1, 1e308)]},
        {"extratags": [(341, 11, 1, 1e9)]},
        {"extratags": [(340, 3, 1, 500), (341, 3, 1, 500)]},
        {"extratags": [(340, 3, 1, 900), (341, 3, 1, 500)]},
        {"extratags": [(341, 3, 1, 0)]},
        {"extratags": [(341, 3, 1, 100)]},
        {"extratags": [(341, 5, 1, (65535, 1))]},
        {"description": "ImageJ=1.53\nmin=0\nmax=1e999\n", "metadata": None},
        {"description": "ImageJ=1.53\nmin=0\nmax=nan\n", "metadata": None},
        {"description": "ImageJ=1.53\nmin=e\nmax=1\n", "metadata": None},
        {"description": "ImageJ=1.53\nmin=-200\nmax=-100\n", "metadata": None},
        {"description": "ImageJ=1.53\nmin=9\nmax=9\n", "metadata": None},
        {"description": '<OME><Pixels SignificantBits="9"></OME>', "metadata": None},
    ],
)
def test_a_declared_range_that_cannot_be_is_told(how: dict) -> None:
    values = GREY.astype(np.uint16) * 257
    for kind in ("minisblack", "miniswhite"):
        got, notes = read(written(values, photometric=kind, **how))
        assert notes == (UNUSABLE_RANGE,)
        assert (got == grey_rgb(GREY if kind == "minisblack" else 255 - GREY)).all()
    got, notes = read(written(RGB.astype(np.uint16) * 257, photometric="rgb", **how))
    assert notes == (UNUSABLE_RANGE,) and (got == WIDE).all()


@pytest.mark.parametrize("largest", [INF, NAN, 1e30, -3.0, 0.0])
def test_a_declared_range_of_floating_point_that_cannot_be_is_told(largest: float) -> None:
    for values in (GREY.astype(np.float32) / 255, GREY / 255):
        got, notes = read(written(values, photometric="minisblack", extratags=[(341, 12, 1, largest)]))
        assert notes == (UNUSABLE_RANGE,) and (got == grey_rgb(GREY)).all()


def test_a_range_that_is_not_usable_and_a_small_part_of_it_are_both_told() -> None:
    data = written(GREY.astype(np.uint16) * 16, photometric="minisblack", extratags=[(341, 11, 1, INF)])
    assert read(data)[1] == (DARK, UNUSABLE_RANGE)


def test_no_range_is_declared_for_8_bits() -> None:
    data = written(
        GREY,
        photometric="minisblack",
        description="ImageJ=1.53\nmin=100\nmax=200\n",
        metadata=None,
        rowsperstrip=5,
    )
    assert (read(data)[0] == grey_rgb(GREY)).all()
    got, notes = read(data[: -GREY.size // 2], Rendering(truncated="accept"))
    assert notes == (PARTIAL,) and (got[:15] == grey_rgb(GREY)[:15]).all()


@pytest.mark.parametrize("end", ["", '<Pixels SignificantBits="10"/>'])
def test_a_long_description_takes_no_longer_than_its_length(end: str) -> None:
    values = GREY.astype(np.uint16) * 4
    text = "<Pixels " * 120_000
    data = written(values, photometric="miniswhite", description=text + end, metadata=None)
    pixels = shared(Limits(decode_timeout=10))(data)  # a time that grows with the square would be an hour
    close(pixels.astype(int), grey_rgb(255 - np.rint(values * 255.0 / (1023 if end else 65535))))


def test_a_small_part_of_the_range_is_told() -> None:
    values = GREY.astype(np.uint16) * 16  # 12 bits, not declared
    for kind in ("minisblack", "miniswhite"):
        _, notes = read(written(values, photometric=kind))
        assert notes == (DARK,)
    assert read(written(values * 16, photometric="minisblack"))[1] == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (written(GREY.astype(np.int16) - 100, photometric="minisblack"), "negative samples of 16 bits"),
        (written(GREY.astype(np.int32) * 100, photometric="minisblack"), "range is not declared"),
        (written(GREY.astype(np.uint32) * 10_000, photometric="minisblack"), "range is not declared"),
        (written(GREY.astype(np.float32) * 100, photometric="minisblack"), r"outside \[0, 255\]"),
        (written(GREY * np.float64("nan"), photometric="minisblack"), "not finite"),
        (written(GREY.astype(np.complex64), photometric="minisblack"), "of format 6"),
        (by_hand_tiff([bytes(5000)], PHOTO.size, {258: (3, [40]), 262: (3, [1])}), "40-bit samples"),
        (by_hand_tiff([bytes(9000)], PHOTO.size, {258: (3, [16]), 262: (3, [32845])}), "LogLuv"),
        (by_hand_tiff([bytes(9000)], PHOTO.size, {258: (3, [12]), 259: (3, [50000]), 262: (3, [1])}), "Zstandard"),
        (by_hand_tiff([bytes(9000)], PHOTO.size, {258: (3, [12]), 259: (3, [7]), 262: (3, [1])}), "JPEG compression"),
        (by_hand_tiff([bytes(99)] * 3, PHOTO.size, {258: (3, [5, 6, 5]), 262: (3, [2]), 277: (3, [3])}), "differ in"),
        (by_hand_tiff([b"x" * 99], PHOTO.size, {258: (3, [12]), 259: (3, [8]), 262: (3, [1])}), "Deflate data"),
        (by_hand_tiff([b"\x80\xff" * 50], PHOTO.size, {258: (3, [12]), 259: (3, [5]), 262: (3, [1])}), "LZW|early"),
        (by_hand_tiff([], PHOTO.size, {258: (3, [12]), 262: (3, [1]), 273: (4, [0]), 279: (4, [0])}), "ends early"),
        (by_hand_tiff([bytes(99)], (10**5, 10**5), {258: (3, [12]), 262: (3, [1])}), "more than the limit"),
        (by_hand_tiff([bytes(99)], PHOTO.size, {258: (3, [12]), 262: (3, [1]), 278: (4, [1])}), "fewer strips"),
        (by_hand_tiff([bytes(99)], PHOTO.size, {258: (3, [12]), 262: (3, [1]), 322: (4, [2**31]), 323: (4, [2**31]),
                                                324: (4, [8]), 325: (4, [9])}), "tiles or strips"),
        (by_hand_tiff([bytes(99)], PHOTO.size, {258: (3, [16]), 262: (3, [1]), 277: (3, [500])}), "500 channels"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_rightly_is_a_reject(data: bytes, reason: str) -> None:
    with pytest.raises(BadPicture, match=reason):
        pillow.read(data, Limits())
    with pytest.raises(BadPicture, match=reason):
        shared(Limits())(data)


def test_a_file_that_ends_early() -> None:
    values = GREY.astype(np.uint32) * 16
    row = len(packed(values[:1], 12))
    strip = packed(values, 12)[: row * 9 + 5]  # a fourth of the lines
    data = by_hand_tiff(
        [], PHOTO.size, {258: (3, [12]), 262: (3, [1]), 273: (4, [2**17]), 279: (4, [row * 36])}
    )
    data = data.ljust(2**17, b"\0") + strip
    with pytest.raises(BadPicture, match=r"^the file ends early: 25 % of the lines were read$"):
        read(data)
    got, notes = read(data, Rendering(truncated="accept"))
    assert notes == (PARTIAL,) and (got[9:] == 128).all()
    close(got[:9], grey_rgb(np.rint(values[:9] * 255 / 4095)))


def test_profiles_of_samples() -> None:
    values = np.ascontiguousarray(RGB.transpose(2, 0, 1)).astype(np.uint16) * 257
    data = written(values, photometric="rgb", planarconfig="separate", iccprofile=ADOBE)
    got, notes = read(data, Rendering("srgb"))
    assert notes == (CONVERTED,)
    close(got, by_hand(PHOTO, ADOBE))


def test_circles_of_directories_end() -> None:
    data = bytearray(written(RGB, photometric="rgb"))
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * count, at)  # the next one is itself
    close(read(bytes(data))[0], RGB)
