"""A zoo of bad files: each is a row or a reject with its reason, none stalls the build, and the counts agree."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from imindex.indexer.build.build import BuildReport, build
from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.schema import NO_STAMP
from imindex.indexer.decode import pillow as rgb
from imindex.indexer.decode.limits import MAX_BYTES, Limits
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources import local
from imindex.indexer.sources.find import find
from imindex.indexer.sources.read import read_bytes
from imindex.indexer.store.index import Index
from tests.support.builds import Counting
from tests.support.pictures import encoded, picture, png16

PHOTO = picture(3, (80, 60))
JPEG, PNG = encoded(PHOTO, "JPEG"), encoded(PHOTO, "PNG")
LIMIT = r"\d+ pixels are more than the limit of 178956970$"


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_claiming(width: int, height: int) -> bytes:
    """A few bytes that claim to be a picture of any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def gif_claiming(width: int, height: int) -> bytes:
    data = bytearray(encoded(PHOTO.quantize(8), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def tiff_claiming(width: int, height: int) -> bytes:
    """Change the two tags that hold the size."""
    data = bytearray(encoded(PHOTO, "TIFF"))
    (at,) = struct.unpack_from("<I", data, 4)
    for number in range(*struct.unpack_from("<H", data, at)):
        entry = at + 2 + 12 * number
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in (256, 257):
            struct.pack_into("<HII", data, entry + 2, 4, 1, width if tag == 256 else height)
    return bytes(data)


def webp_claiming() -> bytes:
    """16383 x 16383, the maximum of WebP."""
    data = bytearray(encoded(PHOTO, "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, bits & ~0xFFFFFFF | 16382 | 16382 << 14)
    return bytes(data)


def animated(kind: str) -> bytes:
    return encoded(PHOTO, kind, save_all=True, append_images=[picture(4, (80, 60)), picture(5, (80, 60))])


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(PHOTO, "JPEG", exif=exif)


def scans(count: int) -> bytes:
    """A progressive JPEG of 2000 x 2000 with its last scan repeated: each costs a pass over the picture."""
    data = encoded(Image.new("L", (2000, 2000)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def clear_palette() -> bytes:
    return encoded(PHOTO.quantize(16), "PNG", transparency=3)


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ROWS: dict[str, Callable[[], bytes]] = {
    "16-bit grey.png": lambda: png16(np.arange(80, dtype=np.uint16).reshape(8, 10) * 800),
    "16-bit rgb.png": lambda: png16(np.arange(240, dtype=np.uint16).reshape(8, 10, 3) * 200),
    "cmyk.jpg": lambda: encoded(PHOTO.convert("CMYK"), "JPEG"),
    "palette, transparent.png": clear_palette,
    "animated.gif": lambda: animated("GIF"),
    "animated.webp": lambda: animated("WEBP"),
    "animated.png": lambda: animated("PNG"),
    "1x1.png": lambda: encoded(Image.new("RGB", (1, 1)), "PNG"),
    "1x20000.png": lambda: encoded(Image.new("RGB", (1, 20_000)), "PNG"),
    "20000x1.jpg": lambda: encoded(Image.new("RGB", (20_000, 1)), "JPEG"),
    "turned.jpg": turned,
    "a JPEG.png": lambda: JPEG,
    "a PNG.txt": lambda: PNG,
    "no extension": lambda: encoded(PHOTO, "BMP"),
    "icc.jpg": lambda: encoded(PHOTO, "JPEG", icc_profile=PROFILE),
    "icc, broken.jpg": lambda: encoded(PHOTO, "JPEG", icc_profile=b"\xff" * 500),
    "icc, broken.png": lambda: encoded(PHOTO, "PNG", icc_profile=b"no profile"),
    "exif, broken.jpg": lambda: encoded(PHOTO, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "exif, broken.png": lambda: encoded(PHOTO, "PNG", exif=b"II*\0\x08\0\0\0\xff\xff\x12\x01"),
    "followed by something else.jpg": lambda: JPEG + b"<?php" * 1000,
}  # fmt: skip
REJECTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "^empty file$"),
    "truncated.jpg": (lambda: JPEG[: len(JPEG) // 2], r"^the file ends early: \d+ % of the lines were read$"),
    "truncated.png": (lambda: PNG[: len(PNG) // 2], r"^the file ends early: \d+ % of the lines were read$"),
    "only a header.jpg": (lambda: JPEG[:200], "^the file ends early: before its pixels$"),
    "text.jpg": (lambda: b"hello " * 100, "not a picture"),
    "program.eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", "^PostScript is a program"),
    "bomb.png": (lambda: png_claiming(100_000, 100_000), LIMIT),
    "bomb.gif": (lambda: gif_claiming(65_535, 65_535), LIMIT),
    "bomb.tif": (lambda: tiff_claiming(60_000, 60_000), LIMIT),
    "bomb.webp": (webp_claiming, LIMIT),
    "300 megapixels.png": (lambda: encoded(Image.new("1", (20_000, 15_000)), "PNG"), "^300000000 pixels"),
    "thousands of scans.jpg": (lambda: scans(30_000), "^took longer than 2 s to decode$"),
}  # fmt: skip
NAMES = [b"caf\xe9.png", b"\xff\xfe.png", "日本.png".encode(), b"new\nline.png", b"\x1b[31mred.png"]


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    folder = tmp_path / "art/works/ada"
    (folder / "deeper").mkdir(parents=True)
    for name, make in {**ROWS, **{name: one[0] for name, one in REJECTS.items()}}.items():
        (folder / name).write_bytes(make())
    for number, name in enumerate(NAMES):
        (folder / "deeper" / os.fsdecode(name)).write_bytes(encoded(picture(90 + number), "PNG"))
    (folder / "2 GiB.png").touch()
    os.truncate(folder / "2 GiB.png", 2 * 2**30)
    os.mkfifo(folder / "pipe.png")
    (folder / "broken link.png").symlink_to("nowhere.png")
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "above").symlink_to("..")
    (folder / "terminal.png").symlink_to("/dev/tty")
    (folder / "endless.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket is short
        bound.bind("socket.png")
        os.chdir(here)
    return tmp_path / "art"


SPECIAL = {
    "2 GiB.png": f"2147483648 bytes are more than the limit of {MAX_BYTES}",
    "pipe.png": "not a regular file",
    "socket.png": "not a regular file",
    "endless.png": "not a regular file",
    "terminal.png": "not a regular file|No such device",
    "broken link.png": "No such file",
    "itself.png": "symbolic links",
}


@pytest.mark.skipif(sys.platform != "linux", reason="its file names and devices are Linux's")
def test_every_file_is_a_row_or_a_reject_with_its_reason(
    zoo: Path, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    path = tmp_path / "i.h5"

    def build_now() -> BuildReport:
        return build(list(find([zoo])), path, Counting(tiny_encoder), limits=Limits(decode_timeout=2.0))

    report = build_now()
    there = [
        os.path.relpath(os.path.join(folder, name), zoo / "works/ada")  # noqa: PTH118
        for folder, folders, files in os.walk(zoo)
        for name in [*files, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]  # noqa: PTH114, PTH118
        if name != "above"  # leads to what has been found already
    ]
    expected = {**{name: one[1] for name, one in REJECTS.items()}, **SPECIAL}
    deeper = {f"deeper/{os.fsdecode(name)}" for name in NAMES}
    assert sorted(there) == sorted([*ROWS, *deeper, *expected])
    with Index(path) as index:
        inside = {name.removeprefix("art/works/ada/") for name in index.column("path")}
        reasons = {
            name.removeprefix("art/works/ada/"): reason
            for name, reason in zip(index.rejects()["path"], index.rejects()["reason"], strict=True)
        }
        sizes = dict(zip(index.column("path"), index.column("width"), strict=True))
    assert inside == set(ROWS) | deeper
    assert set(reasons) == set(expected)
    assert not {name: said for name, said in reasons.items() if not re.search(expected[name], said)}
    assert (report.rows, report.rejected, report.repeated) == (len(inside), len(expected), 0)
    assert report.rows + report.rejected == len(there)
    assert sizes["art/works/ada/turned.jpg"] == 60  # upright
    again = build_now()
    assert (again.rows, again.rejected, again.encoded, again.added) == (len(inside), len(expected), 0, 0)
    assert again.already_rejected == len(REJECTS)  # the others have no bytes that one could know again


CHILD = """
    import os, sys
    sys.path[:0] = {path!r}
    from imindex.indexer.runners.reader import read_all
    from imindex.indexer.sources.find import find
    os.setgroups([]); os.setgid(65534); os.setuid(65534)

    class Everything:
        def __contains__(self, digest):  # nothing is to be decoded
            return True

    for read in read_all(list(find([{root!r}])), Everything(), dict()):
        print(os.path.relpath(read.item.path, {root!r}), read.reason or "row", sep="\\t")
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else"
)
def test_files_without_read_permission_are_rejects(works: Callable, tmp_path: Path) -> None:
    root = works(
        {"works/ada": 2, "works/ada/unlisted": 1, "works/ada/unsearched": 1, "works/bo": 1, "works/cy": 1}
    )
    (root / "works/ada/000.png").chmod(0)
    (root / "works/ada/unlisted").chmod(0)
    (root / "works/ada/unsearched").chmod(0o444)
    (root / "works/cy").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    code = textwrap.dedent(CHILD).format(path=sys.path, root=str(root))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert dict(line.split("\t") for line in run.stdout.splitlines()) == {
        "works/ada/000.png": "cannot be read: Permission denied",
        "works/ada/001.png": "row",
        "works/ada/unlisted": "a folder that cannot be listed: Permission denied",
        "works/ada/unsearched/000.png": "cannot be read: Permission denied",
        "works/bo/000.png": "row",
        "works/cy": "a folder that cannot be listed: Permission denied",
    }


def test_prune_keeps_rows_of_folders_that_cannot_be_listed(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, path = works({"works/ada": 1, "works/ada/shut": 2, "works/bo": 1}), tmp_path / "i.h5"
    (root / "works/ada/shut/broken.png").write_text("no picture")
    before = build(list(find([root])), path, Counting(tiny_encoder), prune=True)
    real = os.scandir

    def shut(folder: object) -> object:
        if str(folder).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", shut)
    for _ in range(2):
        report = build(list(find([root])), path, Counting(tiny_encoder), prune=True)
        assert (report.rows, report.pruned, report.rejected) == (4, 0, 1)
    monkeypatch.undo()
    after = build(list(find([root])), path, Counting(tiny_encoder), prune=True)
    assert (after.rows, after.rejected) == (4, 1)
    assert after.root_digest == before.root_digest


def test_a_file_that_disappears_after_listing(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    root = works({"works/ada": 3})
    items = list(find([root]))
    Path(items[1].path).unlink()
    os.mkfifo(items[1].path)
    Path(items[2].path).unlink()
    report = build(items, tmp_path / "i.h5", Counting(tiny_encoder))
    assert (report.rows, report.rejected) == (1, 2)


def test_pipe_that_replaces_a_file_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, file = tmp_path / "a.png", tmp_path / "b.png"
    os.mkfifo(pipe)
    file.write_bytes(PNG)
    looked = file.stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: looked)  # what was there a moment ago
    began = time.monotonic()
    with pytest.raises(BadPicture, match="not a regular file"):
        read_bytes(str(pipe))
    assert time.monotonic() - began < 5


def test_a_growing_file_is_read_up_to_a_limit_and_has_no_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    os.utime(path, (time.time() - 3600,) * 2)
    assert local.read_file(str(path)) == (PNG, (len(PNG), path.stat().st_mtime_ns, path.stat().st_ino))
    real = local._refuse_others

    def grow(name: str, status: os.stat_result) -> None:
        real(name, status)
        with path.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(local, "_refuse_others", grow)
    data, stamp = local.read_file(str(path))
    assert data == PNG + b"more" * 2 and stamp == NO_STAMP
    monkeypatch.setattr(local, "MAX_BYTES", len(data) + 9)
    with pytest.raises(BadPicture, match="bytes are more than the limit"):
        local.read_file(str(path)), local.read_file(str(path))


def test_folder_in_place_of_a_manifest_file(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    root = works({"works/ada": 1})
    (root / "m.csv").write_text("path,artist\nworks/ada,ada\nworks/ada/000.png,ada\n")
    report = build(list(find([root / "m.csv"], kind="works")), tmp_path / "i.h5", Counting(tiny_encoder))
    assert (report.rows, report.rejected) == (1, 1)
    with Index(tmp_path / "i.h5") as index:
        assert index.rejects()["reason"].tolist() == ["a folder, not a file"]


def test_formats_that_start_a_program_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """EPS alone and inside IPTC, which opens its content: with Pillow alone, both reach Ghostscript."""
    started: list[object] = []
    monkeypatch.setattr("PIL.EpsImagePlugin.has_ghostscript", lambda: started.append("gs") or True)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: started.append("gs"))
    eps = io.BytesIO()
    PHOTO.save(eps, "EPS")
    field = lambda kind, data: b"\x1c" + bytes(kind) + struct.pack(">H", len(data)) + data  # noqa: E731
    iptc = (
        field((3, 60), b"\1\1") + field((3, 20), b"\0\1") + field((3, 30), b"\0\1") + field((3, 120), b"\0\1")
    )
    iptc += field((8, 10), eps.getvalue()[:30_000])
    with contextlib.suppress(Exception):
        Image.open(io.BytesIO(eps.getvalue())).load()
    assert started  # so the trap works
    started.clear()
    for data in (eps.getvalue(), b"\n" + eps.getvalue(), iptc):
        with pytest.raises(BadPicture):
            rgb.read(data, Limits())
    assert not started
