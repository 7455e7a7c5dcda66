"""Tar files from strangers: no length in them makes a reader hang, take memory, or open anything else."""

from __future__ import annotations

import random
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.sources import tar
from imindex.indexer.sources.find import find
from imindex.indexer.sources.read import read_bytes
from tests.support.shards import picture, write_tar


def header(name: bytes, size: bytes, kind: bytes = b"0", magic: bytes = b"ustar\0" + b"00") -> bytes:
    """Return a header with a right checksum around any field."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257 : 257 + len(magic)] = magic
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def whole(name: str, data: bytes, kind: bytes = b"0") -> bytes:
    return header(name.encode(), b"%011o\0" % len(data), kind) + data + bytes(-len(data) % 512)


END = bytes(1024)
HUGE = b"\x80" + (2**60).to_bytes(11, "big")
GOOD = whole("good.jpg", picture(1))


@pytest.fixture(autouse=True)
def _frugal() -> Iterator[None]:
    """No test takes more than a second, or 32 MB beside what it makes itself."""
    tracemalloc.start()
    started = time.process_time()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 2**20 and time.process_time() - started < 5


@pytest.mark.parametrize(
    ("data", "members", "fault"),
    [
        (GOOD + header(b"x.jpg", HUGE), ["good.jpg", "x.jpg"], "is cut in the member x"),
        (GOOD + header(b"x.jpg", b"77777777777\0"), ["good.jpg", "x.jpg"], "is cut in the member x.jpg"),
        (GOOD + header(b"x.jpg", b"\xff" * 12), ["good.jpg"], "a member has no valid size"),
        (GOOD + header(b"x.jpg", b"\xff" + bytes(11)), ["good.jpg"], "a member has no valid size"),
        (GOOD + header(b"x.jpg", b"9z\xfe!"), ["good.jpg"], "a member has no valid size"),
        (GOOD + b"\xab" * 512 + GOOD, ["good.jpg"], "is damaged at byte"),
        (GOOD, ["good.jpg"], "has no end mark"),
        (GOOD + b"abc", ["good.jpg"], "is cut in a header"),
        (GOOD + END + GOOD + END, ["good.jpg"], "has data after its end"),
        (GOOD + header(b"p", b"10000000000\0", b"x"), ["good.jpg"], "is cut in a header"),
        (GOOD + whole("p", b"99999999999999999999 size=1\n", b"x") + GOOD + END, ["good.jpg"], ""),
        (GOOD + whole("p", b"20 size=99999999999\n", b"x") + GOOD + END, ["good.jpg"], "is cut in the member good.jpg"),
        (GOOD + whole("p", b"11 size=-9\n", b"x") + GOOD + END, ["good.jpg"], "a member has no valid size"),
        (GOOD + whole("p", b"", b"L") + whole("b.jpg", b"b") + END, ["good.jpg", "b.jpg"], ""),
        (GOOD + 1000 * whole("p", b"x" * 600, b"L") + whole("b.jpg", b"b") + END, ["good.jpg", "x" * 600], ""),
    ],
)  # fmt: skip
def test_a_damaged_shard_is_read_up_to_its_damage(
    tmp_path: Path, data: bytes, members: list[str], fault: str
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    shard = tar.shard_at(str(path))
    assert list(shard.rows) == members and fault in shard.fault and bool(fault) == bool(shard.fault)
    if fault != "is cut in the member good.jpg":
        assert read_bytes(f"{path}::good.jpg") == picture(1)
    for name in members[1:]:
        if name == "x.jpg":
            with pytest.raises(BadPicture, match=r"its shard is cut|more than the limit"):
                read_bytes(f"{path}::{name}")


def test_members_that_lead_elsewhere_are_never_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(picture(7))
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as file:
        for kind in (
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.FIFOTYPE,
            b"Z",
        ):
            info = tarfile.TarInfo(f"{kind.decode()}.jpg")
            info.type, info.linkname = kind, str(secret)
            file.addfile(info)
    data = path.read_bytes()[: 6 * 512] + b"".join(
        whole(name, b"data")
        for name in ("../secret.jpg", "a/../../secret.jpg", "/abs.jpg", "././dot.jpg", "..", "", ".")
    )
    path.write_bytes(data + END)
    shard = tar.shard_at(str(path))
    assert list(shard.rows) == ["abs.jpg", "dot.jpg"]
    assert {reason: len(names) for reason, names in shard.refused.items()} == {
        "symbolic link": 1, "hard link": 1, "device": 2, "pipe": 1, "unknown kind of member": 1, "name with ..": 3,
    }  # fmt: skip
    for name in ("../secret.jpg", "2.jpg", str(secret), "/abs.jpg"):
        with pytest.raises(BadPicture, match="no such member"):
            read_bytes(f"{path}::{name}")


def test_an_extended_header_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    for kind in (b"x", b"L", b"g"):
        size = 2**30
        with path.open("wb") as file:
            file.write(GOOD + header(b"p", b"%011o\0" % size, kind))
            file.seek(size, 1)
            file.write(whole("after.jpg", b"a") + whole("last.jpg", picture(2)) + END)
        shard = tar.shard_at(str(path))
        refused = {"extended header that is too long": ["after.jpg"]} if kind != b"g" else {}
        assert shard.refused == refused and list(shard.rows)[-1] == "last.jpg" and not shard.fault
        assert read_bytes(f"{path}::last.jpg") == picture(2)


def test_a_shard_of_too_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_MEMBERS", 1000)
    path = tmp_path / "a.tar"
    path.write_bytes(b"".join(whole(f"{number}.jpg", b"") for number in range(1001)) + END)
    with pytest.raises(ImindexError, match=r"has more than 1,000 members\. Write it as several shards"):
        tar.shard_at(str(path))
    with pytest.raises(BadPicture, match="more than 1,000 members"):
        read_bytes(f"{path}::1.jpg")


def test_a_member_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(header(b"huge.jpg", b"%011o\0" % (2**31)))
        file.seek(2**31, 1)
        file.write(END)
    with pytest.raises(BadPicture, match="bytes are more than the limit"):
        read_bytes(f"{path}::huge.jpg")


def test_a_shard_that_is_no_file_is_never_opened(tmp_path: Path) -> None:
    import os

    (tmp_path / "folder.tar").mkdir()
    os.mkfifo(tmp_path / "pipe.tar")
    for name in ("folder.tar", "pipe.tar"):
        with pytest.raises(BadPicture, match=r"its shard cannot be read: .* is a (folder|pipe)"):
            read_bytes(f"{tmp_path / name}::a.jpg")
    with pytest.raises(FileNotFoundError):
        read_bytes(f"{tmp_path}/none.tar::a.jpg")


def test_sidecars_from_strangers_cost_nothing(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        [("1.jpg", picture(1)), ("1.json", b"[" * 100_000), ("2.jpg", picture(2)), ("2.json", b" " * (2**20 + 1)),
         ("3.jpg", picture(3)), ("3.json", b'{"caption": "' + b"x" * 1000 + b'", "caption": 1}'),
         ("4.jpg", picture(4)), ("4.txt", b"\xff\x00\xfe caption")],
    )  # fmt: skip
    notes: list[str] = []
    items = list(find([path], kind="works", artist="Ada", note=notes.append))
    assert [item.caption for item in items] == ["", "", "", "\ufffd\ufffd caption"]
    assert any("Sidecars that are not used" in note and ": 3," in note for note in notes)
    for text, message in (
        (b'{"artist": ["A"]}', "`artist` is not text"),
        (b'{"artist": "A\\u0000"}', "NUL"),
        (b'{"artist": "\\ud800"}', "lone surrogate"),
        (b'{"seed": "x"}', "seed 'x' is not an integer"),
        (b'{"kind": "cats"}', "kind 'cats' is unknown"),
    ):
        bad = write_tar(tmp_path / "b.tar", [("1.jpg", picture(1)), ("1.json", text)])
        with pytest.raises(ImindexError, match=message):
            list(find([bad], kind="works", artist="Ada"))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.booleans())
def test_no_change_of_bytes_makes_a_shard_hang_or_lie(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cut: bool
) -> None:
    """What is read of a damaged shard is what tarfile reads of it; only the known errors are raised."""
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("tar", numbered=True)
    names = [f"{'d' * rng.choice([1, 120])}/{number}.jpg" for number in range(4)]
    form = rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    path = write_tar(folder / "a.tar", [(name, picture(number)) for number, name in enumerate(names)], form)
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 4)):
        place = rng.choice(
            [rng.randrange(len(data)), rng.randrange(512), rng.randrange(len(data) // 512) * 512 + 130]
        )
        data[place] = rng.choice([0, 255, ord("7"), rng.randrange(256)])
    path.write_bytes(data[: rng.randrange(len(data))] if cut else data)
    try:
        shard = tar.shard_at(str(path))
    except ImindexError:
        return
    try:
        with tarfile.open(path) as file:
            known = {}
            for member in file.getmembers():
                if member.isreg() and not member.issparse():
                    name = member.name
                    while name.startswith(("./", "/")):
                        name = name.removeprefix("./").lstrip("/")
                    known[name] = member
    except (tarfile.TarError, ValueError, OverflowError, OSError):
        known = {}
    whole_file = path.read_bytes()
    for name in shard.rows:
        try:
            content = read_bytes(f"{path}::{name}")
        except BadPicture:
            continue
        if name in known:
            start = known[name].offset_data
            assert content == whole_file[start : start + known[name].size]


@pytest.mark.parametrize("kind", list(b"123456"))
def test_links_devices_and_folders_have_no_data_whatever_their_size_says(tmp_path: Path, kind: int) -> None:
    """As tarfile reads them: otherwise the members behind them would be lost without a word."""
    path = tmp_path / "a.tar"
    hidden = whole("hidden.jpg", picture(2))
    path.write_bytes(
        GOOD
        + header(b"link", b"%011o\0" % len(hidden), bytes([kind]))
        + hidden
        + whole("last.jpg", picture(3))
        + END
    )
    shard = tar.shard_at(str(path))
    with tarfile.open(path) as other:
        files = [member.name for member in other if member.isreg()]
    assert list(shard.rows) == files == ["good.jpg", "hidden.jpg", "last.jpg"] and not shard.fault
    assert read_bytes(f"{path}::hidden.jpg") == picture(2)


@pytest.mark.parametrize("name", ["a.tar::b.jpg", "A.TAR::b.jpg", "a.tar::x/b.jpg", "a.tar::/b.jpg"])
def test_a_file_whose_name_means_a_member_is_refused_and_never_read_as_the_member(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "works/Ada Example"
    write_tar(folder / "a.tar", [("b.jpg", picture(1))])
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(picture(2))
    with pytest.raises(ImindexError, match=r"would be read as a member .*Rename"):
        list(find([tmp_path / "works"]))


def test_a_source_below_a_folder_whose_name_means_a_shard_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a.tar::b/works/Ada Example"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(picture(1))
    with pytest.raises(ImindexError, match=r"Rename the folder"):
        list(find([tmp_path / "a.tar::b/works"]))
