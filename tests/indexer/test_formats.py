"""Formats in one order; HEIC, JPEG XL and AVIF sequences; names of formats that no decoder opens."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imindex.indexer.build.build import build
from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import formats, pillow
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.pool import Decoders, shared
from imindex.indexer.decode.rendering import CONVERTED, Rendering
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from tests.indexer.test_color import P3, by_hand
from tests.support.builds import Counting
from tests.support.pictures import encoded, picture
from tests.support.places import child_environment

PHOTO = picture(3, (64, 48))
RGB = np.asarray(PHOTO).astype(int)
HEIC_HEAD = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic")
JXL_HEADS = {"codestream": b"\xff\x0a" + bytes(40), "container": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)}


def is_nearest(got: np.ndarray, seed: int) -> bool:
    """Whether a lossy picture is that of a seed, and no other."""
    off = {
        other: np.abs(got - np.asarray(picture(other, (64, 48))).astype(int)).mean() for other in range(3, 8)
    }
    return off.pop(seed) < 12 < min(off.values())


def made_elsewhere(module: str, code: str) -> bytes:
    """A picture written by another process, so that this one never loads the plug-in."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    run = subprocess.run(
        [sys.executable, "-c", f"import io, sys\nfrom tests.support.pictures import picture\n{code}"],
        capture_output=True, check=True, env=child_environment(),
    )  # fmt: skip
    return run.stdout


HEIC = (
    "import pillow_heif; pillow_heif.register_heif_opener()\n"
    "out = io.BytesIO(); picture(3, (64, 48)).save(out, 'HEIF', quality=-1{more})\n"
    "sys.stdout.buffer.write(out.getvalue())"
)
JXL = (
    "import pillow_jxl\n"
    "out = io.BytesIO(); picture(3, (64, 48)).save(out, 'JXL', lossless=True{more})\n"
    "sys.stdout.buffer.write(out.getvalue())"
)


def test_heic() -> None:
    data = made_elsewhere("pillow_heif", HEIC.format(more=""))
    assert data[4:8] == b"ftyp" and formats.extra_of(data) == "HEIF"
    got = shared(Limits())(data)
    assert got.shape == RGB.shape and is_nearest(got, 3)
    with pytest.raises(BadPicture, match=r"^HEIC pictures are decoded in a decoder process only$"):
        pillow.read(data, Limits())
    with pytest.raises(BadPicture, match=r"^the file ends early: \d+ % of the bytes are there$"):
        shared(Limits())(data[: len(data) // 2])


def test_heic_with_a_profile() -> None:
    code = "from tests.indexer.test_color import P3\n" + HEIC.format(more=", icc_profile=P3")
    data = made_elsewhere("pillow_heif", code)
    plain = shared(Limits())(data)
    with shared(Limits()).decoded(data, rendering=Rendering("srgb")) as pixels:
        assert pixels.notes == (CONVERTED,)
        assert (pixels.values == by_hand(Image.fromarray(plain), P3)).all()


def test_jpeg_xl() -> None:
    data = made_elsewhere("pillow_jxl", JXL.format(more=""))
    assert formats.extra_of(data) == "JXL"
    assert (shared(Limits())(data) == RGB).all()
    with pytest.raises(BadPicture, match=r"^JPEG XL pictures are decoded in a decoder process only$"):
        pillow.read(data, Limits())
    for cut in (40, len(data) // 2):
        with pytest.raises(BadPicture):
            shared(Limits())(data[:cut])


def test_a_sequence_of_avif_pictures_shows_its_first() -> None:
    frames = [picture(number, (64, 48)) for number in (3, 4, 5)]
    data = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=95)
    assert data[8:12] == b"avis"
    got = shared(Limits())(data)
    assert is_nearest(got, 3) and (got == np.asarray(pillow.read(data, Limits()))).all()


@pytest.mark.parametrize("name", ["heic", "jxl", "container"])
def test_without_the_extra_the_reason_names_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pillow_heif", "pillow_jxl"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(str(tmp_path))
    data = HEIC_HEAD + bytes(100) if name == "heic" else JXL_HEADS["codestream" if name == "jxl" else name]
    known = "HEIC" if name == "heic" else "JPEG XL"
    with (
        Decoders(Limits()) as pool,
        pytest.raises(
            BadPicture, match=rf"^{known} needs the extra formats: pip install 'imindex\[formats\]'$"
        ),
    ):
        pool(data)


def test_rejects_are_retried_once_the_extra_is_there(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = made_elsewhere("pillow_jxl", JXL.format(more=""))
    root, path = works({"works/ada": 1}), tmp_path / "i.h5"
    (root / "works/ada/photo.jxl").write_bytes(data)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "pillow_jxl.py").write_text("raise ImportError('not here')")
    with monkeypatch.context() as here:
        here.syspath_prepend(str(hidden))
        report = build(list(find([root])), path, Counting(tiny_encoder))
    assert (report.rows, report.rejected) == (1, 1)
    with Index(path) as index:
        assert index.rejects()["reason"].tolist() == [formats.missing("JXL")]
    again = build(list(find([root])), path, Counting(tiny_encoder))
    assert (again.rows, again.rejected) == (2, 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"%PDF-1.7\n" + bytes(50), "^a PDF document, which is not supported: convert it to PNG$"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "^an SVG drawing"),
        (b"\xef\xbb\xbf<svg/>", "^an SVG drawing"),
        (b"v/1\x01" + bytes(50), "OpenEXR"),
        (b"#?RADIANCE\nFORMAT=", "Radiance"),
        (b"II\xbc\x01" + bytes(50), "JPEG XR"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(50), "raw sensor data"),
        (b"\0\0\0\x18ftypcrx " + bytes(50), "raw sensor data"),
        (b"\0\0\0\x18ftypisom" + bytes(50), "a video"),
        (b"8BPS\0\2" + bytes(50), "PSB"),
        (b"gimp xcf v011" + bytes(50), "GIMP"),
        (b"<?xml version='1.0'?>\n<note/>", "^not a picture in any format"),
    ],
)
def test_files_that_no_decoder_opens_are_named(data: bytes, reason: str) -> None:
    with pytest.raises(BadPicture, match=reason):
        pillow.read(data, Limits())
    with pytest.raises(BadPicture, match=reason):
        shared(Limits())(data)


FIRST = """
import io, sys
from PIL import Image
from imindex.indexer.decode import formats
{before}
print(formats.openable())
"""
FOREIGN = """
class Foreign(Image.Image): pass
Image.register_open("AAA", lambda *_: Foreign(), lambda _: True)
Image.register_open("WEBP", lambda *_: Foreign(), lambda _: True)
"""


def test_formats_are_tried_in_one_order_whatever_is_loaded() -> None:
    orders = {}
    for name, before in {
        "nothing": "", "all": "Image.init()", "some": "import PIL.XpmImagePlugin, PIL.AvifImagePlugin",
        "foreign": f"Image.init()\n{FOREIGN}",
    }.items():  # fmt: skip
        run = subprocess.run(
            [sys.executable, "-c", FIRST.format(before=before)],
            capture_output=True, check=True, text=True, env=child_environment(),
        )  # fmt: skip
        orders[name] = run.stdout
    assert orders["nothing"] == orders["all"] == orders["some"]
    assert "AAA" not in orders["foreign"] and orders["foreign"] == orders["all"].replace("'WEBP', ", "")
    assert len(formats.OTHERS) > 25 and not {"EPS", "IPTC", "WMF", "HDF5", "GRIB", "BUFR", "MPEG"} & set(
        formats.OTHERS
    )


def test_every_format_of_pillow_is_known() -> None:
    Image.init()
    refused = {"EPS", "IPTC", "WMF", "HDF5", "GRIB", "BUFR", "MPEG"}
    own = {name for name in Image.ID if Image.OPEN[name][0].__module__.startswith("PIL.")}
    assert own == {*formats.COMMON, *formats.OTHERS, *refused}


def test_pictures_of_kinds_reported_in_public() -> None:
    """Ten kinds that other programs have read wrongly; each against what it was made from."""
    opaque, smooth = PHOTO.convert("RGBA"), PHOTO.resize((8, 6)).resize((64, 48), Image.Resampling.BICUBIC)
    small, few = opaque.resize((32, 32)), PHOTO.quantize(64)
    half = np.linspace(0, 255, RGB[..., 0].size).astype(np.uint8).reshape(48, 64)
    clear = opaque.copy()
    clear.putalpha(Image.fromarray(half))
    over_white = np.rint(RGB * (half[..., None] / 255) + 255 * (1 - half[..., None] / 255))
    header = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, 32, 0, 0, 0, 0, 0, 0)
    bgrx = np.concatenate([RGB[::-1, :, ::-1], np.zeros((48, 64, 1), int)], -1).astype(np.uint8).tobytes()
    bmp32 = b"BM" + struct.pack("<IHHI", 54 + len(bgrx), 0, 0, 54) + header + bgrx  # alpha zero means none
    psd = (
        b"8BPS"
        + struct.pack(">H6xHIIHH", 1, 3, 48, 64, 8, 3)
        + bytes(12)
        + b"\0\0"
        + RGB.transpose(2, 0, 1).astype(np.uint8).tobytes()
    )
    png16 = np.concatenate([RGB * 257, np.full((48, 64, 1), 65535)], -1).astype(">u2")
    from tests.support.profiles import png

    cases = {
        "16-bit RGBA PNG": (png([row.tobytes() for row in png16], (64, 48), 16, 6), RGB, 1),
        "RGBA WebP": (encoded(clear, "WEBP", lossless=True, exact=True), over_white, 1),
        "32-bit BMP with alpha zero": (bmp32, RGB, 0),
        "PSD": (psd, RGB, 0),
        "APNG": (encoded(PHOTO, "PNG", save_all=True, append_images=[picture(4, (64, 48))]), RGB, 0),
        "JPEG 2000": (encoded(PHOTO, "JPEG2000", irreversible=False), RGB, 0),
        "ICO": (encoded(small, "ICO", sizes=[(32, 32)]), np.asarray(small)[..., :3], 0),
        "MPO": (
            encoded(smooth, "MPO", save_all=True, append_images=[picture(4, (64, 48))], quality=95),
            np.asarray(smooth).astype(int),
            12,
        ),
        "palette and alpha in a GIF": (
            encoded(few, "GIF", transparency=3),
            np.where(np.asarray(few)[..., None] == 3, 255, np.asarray(few.convert("RGB"))),
            0,
        ),
        "Adobe CMYK JPEG": (encoded(PHOTO.convert("CMYK"), "JPEG", quality=98, subsampling=0), RGB, 12),
        "TGA from below": (encoded(PHOTO, "TGA"), RGB, 0),
        "interlaced PNG": (interlaced(), RGB, 0),
    }  # fmt: skip
    for name, (data, expected, most) in cases.items():
        got = shared(Limits())(data).astype(int)
        assert got.shape == expected.shape, name
        assert np.abs(got - expected).max() <= most, name


def interlaced() -> bytes:
    """Adam7, which Pillow does not write."""
    import zlib

    from tests.support.profiles import png_chunk

    raw = b""
    for left, top, across, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ):  # fmt: skip
        raw += b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in RGB[top::down, left::across])
    header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(raw))
        + png_chunk(b"IEND", b"")
    )


def test_extras_are_not_imported_outside_of_a_sandbox() -> None:
    assert not {"pillow_heif", "pillow_jxl"} & set(sys.modules) and not formats.Sandbox.inside
