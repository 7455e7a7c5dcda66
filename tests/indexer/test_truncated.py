"""Files that end early or are damaged: told, rejected or decoded in part, and never a line without a name."""

from __future__ import annotations

import copy
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imindex.indexer.build.build import build
from imindex.indexer.build.from_sources import build_from_sources
from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.decode import jpeg
from imindex.indexer.decode.pool import picture_of
from imindex.indexer.decode.preprocess import Preprocess, decode
from imindex.indexer.decode.rendering import JUNK, NO_END, PARTIAL
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from tests.support import profiles
from tests.support.builds import Counting
from tests.support.pictures import encoded, picture
from tests.support.places import child_environment
from tests.support.raw_pictures import interlaced, written

PHOTO = picture(3, (160, 120))
RGB = np.asarray(PHOTO).astype(int)
SAME = Preprocess((120, 160), (0.0,) * 3, (1.0,) * 3, resize_mode="squash")
ACCEPTING = Preprocess((120, 160), (0.0,) * 3, (1.0,) * 3, resize_mode="squash", truncated="accept")
PART = re.compile(r"^the file ends early: (\d+) % of the (lines|pixels) were read$")
LINES = re.compile(r"^the file ends early: (\d+) % of the lines were read$")


def pixels(data: bytes, preprocess: Preprocess = SAME) -> tuple[np.ndarray, tuple[str, ...]]:
    made = picture_of(data, preprocess)
    return made.pixels.permute(1, 2, 0).numpy().astype(int), made.notes


def reason(data: bytes) -> str:
    with pytest.raises(BadPicture) as raised:
        picture_of(data, SAME)
    return str(raised.value)


WHOLE = {
    "jpeg": encoded(PHOTO, "JPEG", quality=90),
    "jpeg 4:4:4": encoded(PHOTO, "JPEG", quality=90, subsampling=0),
    "grey jpeg": encoded(PHOTO.convert("L"), "JPEG", quality=90),
    "restarts": encoded(PHOTO, "JPEG", restart_marker_rows=2),
    "cmyk jpeg": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "png": encoded(PHOTO, "PNG"),
    "palette png": encoded(PHOTO.quantize(64), "PNG"),
    "grey png": encoded(PHOTO.convert("L"), "PNG"),
    "bmp": encoded(PHOTO, "BMP"),
    "gif": encoded(PHOTO.quantize(64), "GIF"),
    "tiff": written(np.asarray(PHOTO), photometric="rgb"),
    "deflate tiff": written(np.asarray(PHOTO), photometric="rgb", compression="zlib", rowsperstrip=10),
    "float tiff": written(
        (np.asarray(PHOTO) / 255).astype(np.float32), photometric="rgb", compression="zlib", rowsperstrip=10
    ),
    "ppm": encoded(PHOTO, "PPM"),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
def test_a_part_of_a_file(name: str, share: float) -> None:
    whole = pixels(WHOLE[name])[0]
    data = WHOLE[name][: int(share * len(WHOLE[name]))]
    said = PART.match(reason(data))
    assert said and (said[2] == "lines") == (name != "gif"), reason(data)  # Pillow writes interlaced GIFs
    read = int(said[1])
    assert abs(read - 100 * share) < 25
    got, notes = pixels(data, ACCEPTING)
    assert notes == (PARTIAL,)
    # The same in this process as in another one.
    assert (decode(data, ACCEPTING).pixels.permute(1, 2, 0).numpy() == got).all()
    if "jpeg" not in name and name != "restarts":
        there = (got == whole).all(-1)
        assert (there | (got == 128).all(-1)).all()
        assert abs(100 * there.mean() - read) < 2
        return
    lines = read * 120 // 100
    assert (got[: lines - 1] == whole[: lines - 1]).all()
    rest = got[min(119, lines + 20) :]  # grey, except the row of blocks that was decoded in part
    assert (np.abs(rest - (64 if "cmyk" in name else 128)) <= 1).all()


def test_a_tiff_whose_strips_cannot_be_read_one_by_one() -> None:
    data = encoded(PHOTO, "TIFF", compression="jpeg")
    at = data.index(b"\xff\xda")  # Pillow writes the directory last: move the strips behind it
    moved = bytearray(data)
    (directory,) = struct.unpack_from("<I", data, 4)
    for entry in range(directory + 2, len(data) - 12, 12):
        tag, kind, count, value = struct.unpack_from("<HHII", moved, entry)
        if tag == 279:
            struct.pack_into("<I", moved, entry + 8, value + len(data))
            break
    assert at and kind in (3, 4) and count == 1
    assert reason(bytes(moved)) == "the file ends early: 0 % of the strips are there"


def test_a_jpeg_without_its_end_marker_is_whole() -> None:
    data = WHOLE["jpeg"][:-2]
    got, notes = pixels(data)
    assert notes == (NO_END,) and (got == pixels(WHOLE["jpeg"])[0]).all()


def test_zeros_in_place_of_the_end() -> None:
    """An interrupted download may have its full length."""
    data = WHOLE["jpeg"]
    cut = data[: len(data) // 2].ljust(len(data), b"\0")
    expected = LINES.match(reason(data[: len(data) // 2]))
    said = LINES.match(reason(cut))
    assert said and expected and said[1] == expected[1]
    assert (pixels(cut, ACCEPTING)[0] == pixels(data[: len(data) // 2], ACCEPTING)[0]).all()


def test_a_progressive_jpeg_that_ends_in_a_scan() -> None:
    data = encoded(PHOTO, "JPEG", progressive=True, quality=90)
    cut = data[: int(0.7 * len(data))]
    found = jpeg.structure(cut)
    assert found.progressive and not found.ends
    assert reason(cut) == f"the file ends early: in scan {found.scans} of a progressive JPEG"
    got, notes = pixels(cut, ACCEPTING)
    assert notes == (PARTIAL,)
    assert np.abs(got - RGB).mean() < 40  # blurred, and there


def test_an_interlaced_png_that_ends_early() -> None:
    whole = interlaced(np.asarray(PHOTO.resize((64, 48))))
    cut = whole[: len(whole) * 2 // 3]
    assert re.match(r"^the file ends early: \d+ % of the (pixels|lines) were read$", reason(cut))
    got, notes = pixels(
        cut, Preprocess((48, 64), (0.0,) * 3, (1.0,) * 3, resize_mode="squash", truncated="accept")
    )
    assert notes == (PARTIAL,) and (got == 128).all(-1).any()


@pytest.mark.parametrize("name", ["jpeg", "png", "bmp"])
@pytest.mark.parametrize("length", [3, 20, 60])
def test_nothing_but_a_header(name: str, length: int) -> None:
    data = WHOLE[name][:length]
    for preprocess in (SAME, ACCEPTING):
        with pytest.raises(BadPicture):
            picture_of(data, preprocess)


def test_a_rotated_picture_that_ends_early() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG"):
        data = encoded(PHOTO, kind, exif=exif.tobytes())
        turned = Preprocess((160, 120), (0.0,) * 3, (1.0,) * 3, resize_mode="squash", truncated="accept")
        got, notes = pixels(data[: len(data) // 2], turned)
        assert notes == (PARTIAL,)
        assert (np.abs(got[:, :20] - 128) <= 1).all() and np.abs(
            got[:, -20:] - 128
        ).mean() > 20  # its left is missing


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000"])
def test_formats_that_are_decoded_as_a_whole(kind: str) -> None:
    data = encoded(PHOTO, kind)
    assert re.match(
        r"^the file ends early: \d+ % of the bytes are there$|^cannot be decoded",
        reason(data[: len(data) // 2]),
    )


def junk() -> dict[str, bytes]:
    data = WHOLE["jpeg"]
    scan = data.index(b"\xff\xda") + 200
    return {
        "before the end": data[:-2] + bytes(40) + data[-2:],
        "random bytes": data[:scan] + bytes(range(1, 200)) + data[scan + 199 :],
        "a marker": data[:scan] + b"\xff\x01\xff\xd3" + data[scan:],
    }


@pytest.mark.parametrize("name", junk())
def test_damage_within_a_jpeg_is_told(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    got, notes = pixels(junk()[name])
    assert notes == (JUNK,) and got.shape == RGB.shape
    assert capfd.readouterr() == ("", "")


def unusual_jpegs() -> dict[str, bytes]:
    """JPEGs that Pillow decodes, and not torchvision."""
    exif = Image.Exif()
    exif[0x0112] = 6
    big = Image.fromarray(np.random.default_rng(1).integers(0, 255, (12, 16, 3)).astype(np.uint8)).resize(
        (160, 120)
    )
    return {
        "rotated": encoded(big, "JPEG", quality=92, exif=exif.tobytes()),
        "progressive": encoded(big, "JPEG", quality=92, progressive=True),
        "progressive grey": encoded(big.convert("L"), "JPEG", quality=92, progressive=True),
        "profile": encoded(big, "JPEG", quality=92, icc_profile=profiles.rgb(profiles.ADOBE, 2.2)),
        "inks": encoded(big.convert("CMYK"), "JPEG", quality=92),
        "two pictures": encoded(big, "MPO", quality=92, save_all=True, append_images=[big]),
    }


@pytest.mark.parametrize("damage", ["cut", "zeros", "hole", "before the end", "a marker"])
@pytest.mark.parametrize("name", unusual_jpegs())
def test_damage_within_a_jpeg_that_pillow_decodes(
    name: str, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = unusual_jpegs()[name]
    if name == "two pictures":
        data = data[: data.index(b"\xff\xd9") + 2]  # the first
    scan = data.rindex(b"\xff\xda")
    half = (scan + len(data)) // 2 if name != "progressive" else len(data) // 2
    damaged = {
        "cut": data[:half] + data[-2:],
        "zeros": data[:half] + bytes(4000) + data[-2:],
        "hole": data[:half] + bytes(200) + data[half + 200 :],
        "before the end": data[:-2] + bytes(40) + data[-2:],
        "a marker": data[:half] + b"\xff\x01\xff\xd3" + data[half:],
    }[damage]
    rendering = Preprocess(SAME.size, SAME.mean, SAME.std, resize_mode="squash", color="srgb")
    before = picture_of(data, rendering)
    assert JUNK not in before.notes
    told = picture_of(damaged, rendering)  # by a decoder process
    assert JUNK in told.notes and (told.width, told.height) == (before.width, before.height)
    assert JUNK in decode(damaged, rendering).notes  # in this process
    assert capfd.readouterr() == ("", "")


def test_sound_jpegs_are_not_called_damaged() -> None:
    for quality in (30, 75, 95):
        for options in (
            {},
            {"progressive": True},
            {"restart_marker_blocks": 3},
            {"optimize": True},
            {"subsampling": 2},
        ):
            for image in (PHOTO, PHOTO.convert("L"), PHOTO.convert("CMYK"), PHOTO.resize((17, 13))):
                data = encoded(image, "JPEG", quality=quality, **options)
                found = jpeg.structure(data)
                assert found.ends and found.in_order and found.scans > 0
                assert picture_of(data, SAME).notes == ()
                assert picture_of(data + b"\0" * 99, SAME).notes == ()


def test_what_other_threads_write_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    import ctypes

    from imindex.indexer.system.c_stderr import c_stderr

    library = ctypes.CDLL(None)

    def write(text: bytes) -> None:
        stream = ctypes.c_void_p.in_dll(library, "stderr")
        library.fputs(text, stream)

    with c_stderr() as heard:
        write(b"mine\n")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write, b"another's\n").result()
    write(b"later\n")
    library.fflush(None)
    if sys.platform == "linux":
        assert heard == [b"mine\n"]
        assert capfd.readouterr().err == "another's\nlater\n"


def test_many_threads_hear_their_own_warnings() -> None:
    good, bad = WHOLE["jpeg"], junk()["before the end"]
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda n: decode(bad if n % 3 == 0 else good, SAME).notes, range(120)))
    assert told == [(JUNK,) if n % 3 == 0 else () for n in range(120)]


def test_no_reason_names_a_machine_on_which_a_library_was_built() -> None:
    data = bytearray(WHOLE["jpeg"])
    at = data.index(b"\xff\xc4")
    reasons = []
    for offset in range(at + 4, at + 40):
        broken = bytes(data[:offset]) + b"\xee" + bytes(data[offset + 1 :])
        for decoded in (lambda one: decode(one, SAME), lambda one: picture_of(one, SAME)):
            try:
                decoded(broken)
            except BadPicture as error:
                reasons.append(str(error))
    assert reasons
    assert not [one for one in reasons if "/" in one or ".cpp" in one or "decode_jpeg" in one]


def test_a_build_tells_and_keeps_its_setting(tmp_path: Path, tiny_model: str) -> None:
    folder = tmp_path / "art/works/ada"
    folder.mkdir(parents=True)
    data = WHOLE["jpeg"]
    (folder / "0.jpg").write_bytes(data)
    (folder / "1.jpg").write_bytes(data[: len(data) // 2])
    (folder / "2.jpg").write_bytes(junk()["before the end"])
    path = tmp_path / "i.h5"
    run = subprocess.run(
        [sys.executable, "-m", "imindex", "build", str(tmp_path / "art"), "-i", str(path), "--model", tiny_model,
         "--device", "cpu", "--precision", "fp32"],
        capture_output=True, text=True, check=True, env=child_environment(), cwd=tmp_path,
    )  # fmt: skip
    assert f"1 picture: {JUNK} (art/works/ada/2.jpg)." in " ".join(run.stderr.split())
    assert "Corrupt" not in run.stderr + run.stdout
    with Index(path) as index:
        assert index.n == 2 and LINES.match(index.rejects()["reason"][0])
        before = np.asarray(index.vectors).copy()
        assert index.encoder.truncated == "reject"
    # An index may accept them from now on; its rows stay.
    how = {"model": tiny_model, "device": "cpu"}
    report = build_from_sources(tmp_path / "art", path, truncated="accept", **how)
    assert (report.rows, report.rejected) == (3, 0)
    assert report.notes == (f"1 picture: {PARTIAL} (art/works/ada/1.jpg).",)
    with Index(path) as index:
        assert index.encoder.truncated == "accept" and index.encoder.color == "srgb"
        assert (np.asarray(index.vectors)[:2] == before).all()
    with pytest.raises(ImindexError, match="Drop --truncated"):
        build_from_sources(tmp_path / "art", path, truncated="reject", **how)
    (folder / "3.jpg").write_bytes(encoded(picture(9, (64, 64)), "JPEG")[:900])
    assert build_from_sources(tmp_path / "art", path, **how).rows == 4
    shown = subprocess.run(
        [sys.executable, "-m", "imindex", "verify", "-i", str(path), "--replay", "all", "--device", "cpu",
         "--model", tiny_model],
        capture_output=True, text=True, check=False, env=child_environment(), cwd=tmp_path,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stdout + shown.stderr
    told = subprocess.run(
        [sys.executable, "-m", "imindex", "info", "-i", str(path)],
        capture_output=True, text=True, check=True, env={**child_environment(), "COLUMNS": "200"}, cwd=tmp_path,
    )  # fmt: skip
    assert f"{PARTIAL}: 2" in told.stdout and f"{JUNK}: 1" in told.stdout
    assert "files that end early are rows" in told.stdout


def test_a_build_retries_what_it_rejected_for_ending_early(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 1}), tmp_path / "i.h5"
    (root / "works/ada/cut.jpg").write_bytes(WHOLE["jpeg"][:5000])
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert (report.rows, report.rejected) == (1, 1)
    assert build(list(find([root])), path, Counting(tiny_encoder)).already_rejected == 1
    accepting = copy.copy(tiny_encoder)
    accepting.info = tiny_encoder.info.rendered("srgb", "accept")
    again = build(list(find([root])), path, Counting(accepting))
    assert (again.rows, again.rejected, again.already_rejected) == (2, 0, 0)
