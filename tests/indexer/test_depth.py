"""Grey pictures of any depth: transparency over white, and the range of 16-bit samples."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from imindex.indexer.decode import pillow
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.rendering import CONVERTED, DARK, DARK_COLOUR, Rendering
from tests.support import profiles
from tests.support.pictures import encoded, picture, png16
from tests.support.raw_pictures import by_hand, grey_rgb, packed

GREY = np.asarray(picture(3, (50, 36)).convert("L"))


def read(data: bytes, rendering: Rendering = Rendering()) -> tuple[np.ndarray, tuple[str, ...]]:  # noqa: B008 - frozen
    made = pillow.read_noted(data, Limits(), rendering)
    return np.asarray(made.image).astype(int), made.notes


def grey_png(values: np.ndarray, bits: int, *chunks: tuple[bytes, bytes]) -> bytes:
    rows = [packed(values[row : row + 1], bits) for row in range(len(values))]
    return profiles.png(rows, (values.shape[1], values.shape[0]), bits, 0, *chunks)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("which", [0, 1, -1, 0.4])
def test_the_transparent_grey_of_a_png_is_white(bits: int, which: float) -> None:
    highest = 2**bits - 1
    values = (GREY.astype(np.int64) * highest + 127) // 255
    transparent = {0: 0, 1: 1, -1: highest}.get(which, int(values.ravel()[700]))
    values[3:9, 4:20] = transparent
    got, notes = read(grey_png(values, bits, (b"tRNS", struct.pack(">H", transparent))))
    expected = np.rint(values * 255 / highest)
    expected[values == transparent] = 255
    assert notes == () and (got == grey_rgb(expected)).all()
    plain, _ = read(grey_png(values, bits))
    assert (plain == grey_rgb(np.rint(values * 255 / highest))).all()


def test_only_the_exact_16_bit_grey_is_transparent() -> None:
    values = np.arange(256 * 256).reshape(256, 256)
    got, _ = read(grey_png(values, 16, (b"tRNS", struct.pack(">H", 1000))))
    expected = np.rint(values / 257)
    expected[values == 1000] = 255
    assert (got == grey_rgb(expected)).all()


def test_transparency_and_profile_of_16_bit_grey() -> None:
    values = GREY.astype(np.int64) * 257
    values[:5] = 4242
    profile = profiles.grey(1.8)
    chunks = (b"iCCP", b"x\0\0" + zlib.compress(profile)), (b"tRNS", struct.pack(">H", 4242))
    data = grey_png(values, 16, *chunks)
    got, notes = read(data, Rendering("srgb"))
    expected = by_hand(Image.fromarray(GREY), profile)
    expected[:5] = 255
    assert notes == (CONVERTED,) and np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_significant_bits_of_a_png(bits: int) -> None:
    values = GREY.astype(np.int64) * (2**bits - 1) // 255
    sbit = (b"sBIT", bytes([bits]))
    raw, notes = read(grey_png(values, 16, sbit))  # as some write them: not scaled
    assert notes == () and np.abs(raw - grey_rgb(np.rint(values * 255 / (2**bits - 1)))).max() <= 1
    scaled = values << (16 - bits) | values >> (2 * bits - 16)  # as the specification says
    right, notes = read(grey_png(scaled, 16, sbit))
    assert notes == () and np.abs(right - grey_rgb(np.rint(scaled / 257))).max() == 0
    padded = values << (16 - bits)
    right, _ = read(grey_png(padded, 16, sbit))
    assert np.abs(right - grey_rgb(np.rint(padded / 257))).max() == 0


@pytest.mark.parametrize("bits", [8, 16, 20])
def test_other_significant_bits_say_nothing(bits: int) -> None:
    values = GREY.astype(np.int64) * 16
    got, notes = read(grey_png(values, 16, (b"sBIT", bytes([bits]))))
    assert notes == (DARK,) and (got == grey_rgb(np.rint(values / 257))).all()


@pytest.mark.parametrize(
    ("highest", "told"), [(16383, True), (16384, False), (1, True), (0, False), (65535, False)]
)
def test_a_small_part_of_the_range_is_told(highest: int, told: bool) -> None:
    values = np.linspace(0, highest, 200).astype(np.uint16).reshape(10, 20)
    assert (read(png16(values))[1] == (DARK,)) == told


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (6, 4), (4, 2)])
@pytest.mark.parametrize(
    ("highest", "told"), [(4095, True), (16383, True), (16384, False), (65535, False), (0, False)]
)
def test_a_small_part_of_the_range_is_told_of_other_pngs(
    kind: int, channels: int, highest: int, told: bool
) -> None:
    values = np.full((*GREY.shape, channels), 65535)
    values[..., : channels - (kind > 2)] = (GREY.astype(np.int64) * highest // GREY.max())[..., None]
    rows = [row.astype(">u2").tobytes() for row in values]
    notes = read(profiles.png(rows, GREY.shape[::-1], 16, kind))[1]
    assert notes == (((DARK if kind == 4 else DARK_COLOUR),) if told else ())


def test_other_files_of_16_bits() -> None:
    values = GREY.astype(np.uint16) * 257
    pgm = b"P5 50 36 65535\n" + values.astype(">u2").tobytes()
    jp2 = encoded(Image.fromarray(values), "JPEG2000", irreversible=False)
    for data in (pgm, jp2, encoded(Image.fromarray(values), "PNG")):
        assert np.abs(read(data)[0] - grey_rgb(GREY)).max() <= 1
    twelve = b"P5 50 36 4095\n" + (GREY.astype(int) * 16).astype(">u2").tobytes()
    got, notes = read(twelve)
    assert notes == () and np.abs(got - grey_rgb(np.rint(GREY * 16.0 * 255 / 4095))).max() <= 1


def test_16_bit_rgb_with_transparency() -> None:
    rgb = np.asarray(picture(5, (50, 36))).astype(np.uint16) * 257
    rgb[:6] = (100 * 257, 50 * 257, 25 * 257)
    rows = [row.astype(">u2").tobytes() for row in rgb]
    data = profiles.png(rows, (50, 36), 16, 2, (b"tRNS", struct.pack(">3H", 100 * 257, 50 * 257, 25 * 257)))
    got, _ = read(data)
    expected = rgb.astype(int) // 257
    expected[:6] = 255
    assert (got == expected).all()


def test_16_bit_grey_with_an_alpha_channel() -> None:
    alpha = np.linspace(0, 65535, GREY.size).astype(np.uint16).reshape(GREY.shape)
    both = np.stack([GREY.astype(np.uint16) * 257, alpha], -1)
    data = profiles.png([row.astype(">u2").tobytes() for row in both], (50, 36), 16, 4)
    share = alpha / 65535
    expected = grey_rgb(np.rint(GREY * share + 255 * (1 - share)))
    assert np.abs(read(data)[0] - expected).max() <= 2
    assert Image.open(io.BytesIO(data)).size == (50, 36)
