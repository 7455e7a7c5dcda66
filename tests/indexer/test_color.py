"""Pictures are converted to sRGB by the colour profile, or other colour description, that they carry."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from imindex.indexer.build.build import Stopped, build
from imindex.indexer.build.from_sources import build_from_sources
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode import jpeg, pillow
from imindex.indexer.decode.color import described, is_srgb
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.pool import picture_of, shared
from imindex.indexer.decode.preprocess import Preprocess, decode
from imindex.indexer.decode.rendering import BROKEN_PROFILE, CONVERTED, HDR, Rendering
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.evidence.looks import File, Looks
from tests.support import profiles
from tests.support.pictures import encoded, picture

PHOTO = picture(3, (80, 60))
GREY = PHOTO.convert("L")
CMYK = PHOTO.convert("CMYK")
SRGB = Rendering("srgb")
ADOBE = profiles.rgb(profiles.ADOBE, 2.19921875)
PROPHOTO = profiles.rgb(profiles.PROPHOTO, 1.8)
P3 = profiles.rgb(profiles.P3, profiles.srgb_table())
SWAPPED = profiles.rgb((profiles.SRGB[1], profiles.SRGB[2], profiles.SRGB[0]), profiles.srgb_table())
OTHERS = {"adobe": ADOBE, "prophoto": PROPHOTO, "p3": P3, "swapped": SWAPPED}
OWN = {
    "table": profiles.rgb(profiles.SRGB, profiles.srgb_table()),
    "long table": profiles.rgb(profiles.SRGB, profiles.srgb_table(4096)),
    "littleCMS": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "described": described((0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)),
    "grey": profiles.grey(profiles.srgb_table()),
}


def by_hand(image: Image.Image, profile: bytes) -> np.ndarray:
    """Convert as a user of ImageCms would."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    flags = ImageCms.Flags.NOOPTIMIZE if image.mode == "L" else ImageCms.Flags.NONE
    made = ImageCms.profileToProfile(
        image, source, ImageCms.createProfile("sRGB"), outputMode="RGB", flags=flags
    )
    assert made is not None
    return np.asarray(made).astype(int)


def read(data: bytes, rendering: Rendering = SRGB) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode in this process and in another one, which must agree."""
    here = pillow.read_noted(data, Limits(), rendering)
    with shared(Limits()).decoded(data, rendering=rendering) as pixels:
        assert (pixels.values == np.asarray(here.image)).all() and pixels.notes == here.notes
    return np.asarray(here.image).astype(int), here.notes


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 90}),
    ],
)
def test_profiles_of_rgb_pictures(name: str, kind: str, options: dict) -> None:
    data = encoded(PHOTO, kind, icc_profile=OTHERS[name], **options)
    expected = by_hand(Image.open(io.BytesIO(data)).convert("RGB"), OTHERS[name])
    got, notes = read(data)
    assert notes == (CONVERTED,)
    assert (got == expected).all()
    plain, notes = read(data, Rendering())
    assert notes == () and (plain == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()
    assert np.abs(plain - got).max() > 10


def test_jpegs_with_a_profile_are_not_decoded_as_plain_ones() -> None:
    data = encoded(PHOTO, "JPEG", quality=95, icc_profile=PROPHOTO)
    assert jpeg.is_plain_jpeg(data)
    preprocess = Preprocess((60, 80), (0.0,) * 3, (1.0,) * 3, resize_mode="squash", color="srgb")
    got = picture_of(data, preprocess)
    expected = by_hand(Image.open(io.BytesIO(data)), PROPHOTO)
    assert got.notes == (CONVERTED,)
    assert np.abs(got.pixels.permute(1, 2, 0).numpy() - expected).max() <= 1
    assert (decode(data, preprocess).pixels == got.pixels).all()


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_profiles_that_describe_srgb_change_nothing(name: str, kind: str) -> None:
    image = GREY if name == "grey" else PHOTO
    data = encoded(image, kind, icc_profile=OWN[name])
    assert is_srgb(OWN[name])
    with_profile, notes = read(data)
    assert notes == () and (with_profile == read(data, Rendering())[0]).all()
    # littleCMS itself would change a value by its own rounding only.
    assert np.abs(by_hand(image, OWN[name]) - with_profile).max() <= 2 or kind == "JPEG"


@pytest.mark.parametrize(
    "profile", [*OTHERS.values(), profiles.grey(2.2), profiles.grey(1.8), profiles.cmyk()]
)
def test_other_profiles_are_not_taken_for_srgb(profile: bytes) -> None:
    assert not is_srgb(profile)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_profiles_of_grey_pictures(gamma: float) -> None:
    profile = profiles.grey(gamma)
    for kind in ("PNG", "JPEG", "TIFF"):
        data = encoded(GREY, kind, icc_profile=profile)
        got, notes = read(data)
        decoded = Image.open(io.BytesIO(data))
        assert notes == (CONVERTED,) and (got == by_hand(decoded, profile)).all()
    # By theory: linear light, then the curve of sRGB.
    linear = (np.arange(256) / 255) ** gamma
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    got = read(encoded(ramp, "PNG", icc_profile=profile))[0][..., 0].reshape(-1)
    assert np.abs(got - expected).max() <= 1


def test_a_profile_of_rgb_fits_a_grey_picture() -> None:
    got, notes = read(encoded(GREY, "PNG", icc_profile=PROPHOTO))
    assert notes == (CONVERTED,) and (got == by_hand(GREY.convert("RGB"), PROPHOTO)).all()


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_profiles_of_cmyk_pictures(kind: str) -> None:
    profile = profiles.cmyk()
    data = encoded(CMYK, kind, icc_profile=profile)
    got, notes = read(data)
    decoded = Image.open(io.BytesIO(data))
    assert decoded.mode == "CMYK" and notes == (CONVERTED,)
    assert (got == by_hand(decoded, profile)).all()
    assert np.abs(got - np.asarray(decoded.convert("RGB"))).max() > 20


def test_lab_pictures() -> None:
    lab = ImageCms.profileToProfile(
        PHOTO, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    got, notes = read(encoded(lab, "TIFF"))
    assert notes == () and np.abs(got - np.asarray(PHOTO)).mean() < 3


def test_transparency_is_kept_and_composited_after_the_conversion() -> None:
    alpha = Image.linear_gradient("L").resize(PHOTO.size)
    image = PHOTO.copy()
    image.putalpha(alpha)
    got, notes = read(encoded(image, "PNG", icc_profile=ADOBE))
    share = np.asarray(alpha)[..., None] / 255
    expected = by_hand(PHOTO, ADOBE) * share + 255 * (1 - share)
    assert notes == (CONVERTED,) and np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_palettes(kind: str) -> None:
    image = PHOTO.quantize(32)
    data = encoded(image, kind, icc_profile=ADOBE, **({"lossless": True} if kind == "WEBP" else {}))
    got, notes = read(data)
    if kind == "GIF":  # browsers ignore the profile of a GIF, and so does Pillow
        assert notes == () and (got == np.asarray(image.convert("RGB"))).all()
    else:
        assert notes == (CONVERTED,) and (got == by_hand(image.convert("RGB"), ADOBE)).all()


def test_rotation_and_profile_together() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(PHOTO, "JPEG", quality=95, exif=exif.tobytes(), icc_profile=ADOBE)
    got, notes = read(data)
    upright = Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_270)
    assert notes == (CONVERTED,) and (got == by_hand(upright, ADOBE)).all()


def broken() -> dict[str, bytes]:
    cut = {f"cut at {end}": ADOBE[:end] for end in (1, 100, 140, 300, len(ADOBE) - 4)}
    no_curves = profiles.profile(b"RGB ", {b"rXYZ": profiles.xyz((1, 1, 1))})
    at = ADOBE.index(b"rXYZ") + 4
    far = ADOBE[:at] + struct.pack(">II", 2**31, 2**31) + ADOBE[at + 8 :]
    return {
        **cut,
        "text": b"no profile" * 30,
        "no signature": ADOBE.replace(b"acsp", b"nope"),
        "no curves": no_curves,
        "tags beyond the end": far,
        "many tags": ADOBE[:128] + b"\xff" * 4 + ADOBE[132:],
        "of grey": profiles.grey(2.2),
        "of cmyk": profiles.cmyk(),
        "a link": profiles.profile(b"RGB ", {}, pcs=b"RGB ", kind=b"link"),
    }


@pytest.mark.parametrize("name", broken())
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_profile_that_cannot_be_used_is_told(name: str, kind: str) -> None:
    data = encoded(PHOTO, kind, icc_profile=broken()[name])
    got, notes = read(data)
    plain, _ = read(data, Rendering())
    if notes == (CONVERTED,):  # littleCMS tolerates it: the profile's last bytes are padding
        assert name == f"cut at {len(ADOBE) - 4}"
    else:
        assert notes == (BROKEN_PROFILE,)
        assert (got == plain).all()


def test_missing_segments_of_a_profile_are_told() -> None:
    data = encoded(PHOTO, "JPEG", icc_profile=ADOBE)
    at = data.index(b"ICC_PROFILE\0")
    data = data[: at + 13] + b"\2" + data[at + 14 :]  # of two segments
    got, notes = read(data)
    assert notes == (BROKEN_PROFILE,) and (got == read(data, Rendering())[0]).all()
    assert picture_of(data, Preprocess((9, 9), (0.0,) * 3, (1.0,) * 3, color="srgb")).notes == (
        BROKEN_PROFILE,
    )


def png_with(*chunks: tuple[bytes, bytes], image: Image.Image = PHOTO) -> bytes:
    values = np.asarray(image)
    return profiles.png(
        [row.tobytes() for row in values], image.size, 8, 2 if values.ndim == 3 else 0, *chunks
    )


def chrm(*values: float) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in values))


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(100_000 * value))


SRGB_CHRM = chrm(0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_CHRM = chrm(0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


@pytest.mark.parametrize(
    ("chunks", "profile"),
    [
        ([gama(1.0)], profiles.rgb(profiles.SRGB, 1.0)),
        ([gama(1 / 1.8)], profiles.rgb(profiles.SRGB, 1.8)),
        ([gama(1 / 2.2), ADOBE_CHRM], profiles.rgb(profiles.ADOBE, profiles.srgb_table())),
        ([ADOBE_CHRM], profiles.rgb(profiles.ADOBE, profiles.srgb_table())),
        ([(b"cICP", bytes([12, 13, 0, 1]))], P3),
        ([(b"cICP", bytes([12, 13, 0, 1])), (b"sRGB", b"\0")], P3),
        ([(b"cICP", bytes([1, 8, 0, 1]))], profiles.rgb(profiles.SRGB, 1.0)),
        ([gama(1 / 2.2)], None),
        ([gama(1 / 2.2), SRGB_CHRM], None),
        ([gama(1.0), ADOBE_CHRM, (b"sRGB", b"\0")], None),
        ([(b"cICP", bytes([1, 13, 0, 1])), gama(1.0)], None),
        ([(b"sRGB", b"\0")], None),
    ],
)
def test_chunks_of_a_png(chunks: list[tuple[bytes, bytes]], profile: bytes | None) -> None:
    got, notes = read(png_with(*chunks))
    if profile is None:
        assert notes == () and (got == np.asarray(PHOTO)).all()
    else:
        assert notes == (CONVERTED,)
        assert np.abs(got - by_hand(PHOTO, profile)).max() <= 2
        assert np.abs(got - np.asarray(PHOTO)).max() > 5


@pytest.mark.parametrize(
    ("chunks", "note"),
    [
        ([gama(0)], BROKEN_PROFILE),
        ([chrm(0, 0, 0, 0, 0, 0, 0, 0)], BROKEN_PROFILE),
        ([chrm(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)], BROKEN_PROFILE),
        ([(b"cICP", bytes([9, 16, 0, 1]))], HDR),
        ([(b"cICP", bytes([9, 18, 0, 1]))], HDR),
        ([(b"cICP", bytes([77, 13, 0, 1]))], BROKEN_PROFILE),
        ([(b"iCCP", b"broken\0\0nonsense")], BROKEN_PROFILE),
    ],
)
def test_chunks_that_cannot_be_used_are_told(chunks: list[tuple[bytes, bytes]], note: str) -> None:
    got, notes = read(png_with(*chunks))
    assert notes == (note,) and (got == np.asarray(PHOTO)).all()


def test_grey_png_with_a_gamma() -> None:
    got, notes = read(png_with(gama(1.0), image=GREY))
    assert notes == (CONVERTED,)
    assert np.abs(got - by_hand(GREY, profiles.grey(1.0))).max() <= 1


def test_other_places_of_a_profile() -> None:
    """The header of a BMP, and the box of a JPEG 2000."""
    pixels = np.asarray(PHOTO)[::-1, :, ::-1].tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, *PHOTO.size, 1, 24, 0, len(pixels), 0, 0, 0, 0).ljust(56, b"\0")
    header = (header + b"DEBM").ljust(112, b"\0") + struct.pack("<III", 124 + len(pixels), len(ADOBE), 0)
    bmp = (
        b"BM" + struct.pack("<IHHI", 14 + 124 + len(pixels) + len(ADOBE), 0, 0, 138) + header + pixels + ADOBE
    )
    jp2 = encoded(PHOTO, "JPEG2000")
    at = jp2.index(b"colr")
    box = struct.pack(">I4sBBB", 11 + len(ADOBE), b"colr", 2, 0, 0) + ADOBE
    head = jp2.index(b"jp2h")
    old = struct.unpack(">I", jp2[at - 4 : at])[0]
    grown = struct.unpack(">I", jp2[head - 4 : head])[0] + len(box) - old
    jp2 = jp2[: head - 4] + struct.pack(">I", grown) + jp2[head : at - 4] + box + jp2[at - 4 + old :]
    for data in (bmp, jp2):
        got, notes = read(data)
        assert notes == (CONVERTED,) and np.abs(got - by_hand(PHOTO, ADOBE)).max() <= 1


@pytest.fixture
def colourful(tmp_path: Path) -> Path:
    """A folder of pictures with and without profiles."""
    folder = tmp_path / "art/works/ada"
    folder.mkdir(parents=True)
    for number, profile in enumerate((None, ADOBE, PROPHOTO, b"broken" * 40)):
        (folder / f"{number}.png").write_bytes(encoded(picture(number), "PNG", icc_profile=profile))
    return tmp_path / "art"


def test_an_index_keeps_its_setting(colourful: Path, tmp_path: Path, tiny_model: str) -> None:
    vectors, digests = {}, {}
    for color in ("srgb", "as-encoded"):
        path = tmp_path / f"{color}.h5"
        report = build_from_sources(
            colourful, path, model=tiny_model, device="cpu", precision="fp32",
            color=None if color == "srgb" else color,
        )  # fmt: skip
        told = [note for note in report.notes if "profile" in note]
        assert told == (
            [
                f"1 picture: {BROKEN_PROFILE} (art/works/ada/3.png).",
                f"2 pictures: {CONVERTED} (art/works/ada/1.png and 1 more).",
            ]
            if color == "srgb"
            else []
        )
        with Index(path) as index:
            assert index.encoder.color == color and ("color" in index.encoder.preprocess) == (color == "srgb")
            vectors[color], digests[color] = np.asarray(index.vectors).astype(float), index.root_digest
            logged = index.contents().log[-1]["summary"]
        assert (f"; 2 with the note: {CONVERTED}" in logged) == (color == "srgb")
    assert digests["srgb"] != digests["as-encoded"]
    assert (vectors["srgb"][[0, 3]] == vectors["as-encoded"][[0, 3]]).all()
    assert (vectors["srgb"][1:3] != vectors["as-encoded"][1:3]).any(1).all()
    other = colourful / "works/ada/9.png"
    other.write_bytes(encoded(picture(9), "PNG", icc_profile=PROPHOTO))
    for color in ("srgb", "as-encoded"):
        path = tmp_path / f"{color}.h5"
        with pytest.raises(ImindexError, match="Drop --color"):
            wrong = {"srgb": "as-encoded", "as-encoded": "srgb"}[color]
            build_from_sources(colourful, path, color=wrong, model=tiny_model, device="cpu")
        build_from_sources(colourful, path, model=tiny_model, device="cpu")
        with Index(path) as index:
            vectors[color] = np.asarray(index.vectors)[-1]
    assert (vectors["srgb"] != vectors["as-encoded"]).any()


def test_indexes_of_two_settings_are_not_compared(tiny_encoder: Encoder) -> None:
    as_encoded = tiny_encoder.info.rendered("as-encoded", "reject")
    assert tiny_encoder.info.color == "srgb"
    assert tiny_encoder.info.mismatch(as_encoded) == ["color srgb against as-encoded"]
    accepting = tiny_encoder.info.rendered("srgb", "accept")
    assert (
        tiny_encoder.info.mismatch(accepting) == [] and accepting.identity() != tiny_encoder.info.identity()
    )


def test_an_index_of_an_older_format_ignores_profiles(tiny_encoder: Encoder) -> None:
    older = EncoderInfo(
        "m", "", "0" * 64, {}, {"size": [32, 32], "mean": [0.0] * 3, "std": [1.0] * 3}, 4, "fp32"
    )
    assert older.color == "as-encoded" and older.truncated == "reject"
    assert Preprocess.from_dict(older.preprocess).rendering == Rendering()
    assert "color" not in Preprocess.from_dict(older.preprocess).as_dict()


def test_near_copies_are_looked_at_as_the_index_was(tmp_path: Path) -> None:
    import hashlib

    file = tmp_path / "a.png"
    file.write_bytes(encoded(PHOTO, "PNG", icc_profile=PROPHOTO))
    digest = hashlib.sha256(file.read_bytes()).digest()
    looks = Looks()
    converted, plain = (looks.get(File(str(file), digest, how)) for how in (SRGB, Rendering()))
    assert converted is not None and plain is not None and np.abs(converted.astype(int) - plain).max() > 20
    assert (looks.get((str(file), digest)) == plain).all()  # type: ignore[arg-type]


PLAN = """
seed = 1
artists.tested = ["Ada Example"]
works.tested = "works"
[[releases]]
name = "a"
pictures = "a"
[[encoders]]
model = "demo"
{line}
"""


def test_a_plan_states_the_setting(tmp_path: Path) -> None:
    digests = []
    for line in ("", 'color = "auto"', 'color = "srgb"', 'color = "as-encoded"'):
        path = tmp_path / "plan.toml"
        path.write_text(PLAN.format(line=line))
        plan = read_plan(path)
        digests.append(plan.digest)
    assert plan.encoders[0].color == "as-encoded"
    assert digests[0] == digests[1] and len(set(digests)) == 3
    path.write_text(PLAN.format(line='color = "cmyk"'))
    with pytest.raises(ImindexError, match="color"):
        read_plan(path)


def test_an_interrupted_build_does_not_forget_what_it_tells(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 2}), tmp_path / "i.h5"
    for number in range(3):
        (root / f"works/ada/x{number}.png").write_bytes(encoded(picture(number), "PNG", icc_profile=ADOBE))
    calls = []

    def stop(done: int, encoded: int) -> None:
        calls.append(done)
        if done == 4:
            raise KeyboardInterrupt

    lazy = LazyEncoder(lambda: tiny_encoder, 1, tiny_encoder.info)
    with pytest.raises(Stopped):
        build(list(find([root])), path, lazy, progress=stop)
    report = build(list(find([root])), path, lazy)
    assert report.resumed > 0
    assert any(note.startswith(f"3 pictures: {CONVERTED}") for note in report.notes)
