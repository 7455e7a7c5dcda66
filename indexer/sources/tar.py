"""Read tar archives by one scan of their headers, and then any member by its offset. Nothing is unpacked.

Archives are untrusted input. Only regular members are read: links, devices, sparse members and names with `..` are
counted and left out. No length in a header makes this module allocate memory or read beyond the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from array import array
from collections import OrderedDict
from dataclasses import dataclass, field

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.schema import NO_STAMP, Stamp
from imindex.indexer.decode.limits import MAX_BYTES
from imindex.indexer.sources.local import AT_REST
from imindex.indexer.system.input_files import open_descriptor

MAX_MEMBERS = 2_000_000
"""Headers that are read of a shard; a shard with more is refused."""
MAX_NAME = 4096
"""Bytes of the name of a member."""
MAX_EXTENDED = 2**20
"""Bytes of an extended header (PAX, or a long name of GNU tar)."""
OPEN_SHARDS = 16
"""Shards that stay open."""
_KEPT_MEMBERS = 2**20
"""Members of all shards together that stay in memory, at least those of one shard."""
_BLOCK = 512
_CHUNK = 2**20
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gzip -dc"),
    b"\xfd7zXZ\0": ("xz", "xz -dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"BZh": ("bzip2", "bzip2 -dc"),
}
_KINDS = {
    b"1": "hard link", b"2": "symbolic link", b"3": "device", b"4": "device", b"6": "pipe", b"S": "sparse file",
    b"M": "part of a file in several volumes",
}  # fmt: skip
_PAX = re.compile(rb"(\d{1,7}) ([^=]{1,256})=")
PARENT = "name with .."
LONG = "extended header that is too long"
SPARSE = _KINDS[b"S"]


@dataclass(eq=False)
class Shard:
    """The members of a tar file.

    Attributes
    ----------
    rows : dict of str to int
        The position of each regular member in `offsets` and `sizes`, by its name. `./` and `/` at the beginning of a
        name are left out. The last of several members of one name counts, as it does when a tar file is unpacked.
    offsets, sizes : array of int64
        In bytes. A member may end after the end of a file that was cut.
    length : int
        Of the file, in bytes.
    repeated : list of str
        Names that occur again.
    refused : dict of str to list
        Members that are not used, by the reason: `hard link`, `symbolic link`, `device`, `name with ..`, and so on.
    fault : str
        Why the scan ended before the end of the archive; empty if it did not.
    """

    length: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    offsets: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    repeated: list[str] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)
    fault: str = ""

    def add(self, name: str, offset: int, size: int) -> None:
        """Record a regular member."""
        if name in self.rows:
            self.repeated.append(name)
        self.rows[name] = len(self.offsets)
        self.offsets.append(offset)
        self.sizes.append(size)

    def refuse(self, reason: str, name: str) -> None:
        """Record a member that is not used."""
        self.refused.setdefault(reason, []).append(name)

    def place(self, name: str) -> tuple[int, int] | None:
        """Return offset and size of a member; None if there is none of this name."""
        row = self.rows.get(name)
        return None if row is None else (self.offsets[row], self.sizes[row])


class _Broken(Exception):
    """The rest of the archive cannot be read. The message says why."""


class _File:
    """An open tar file. It is closed when nothing refers to it, so that a thread can still read from it."""

    def __init__(self, path: str):
        self.path = path
        self.descriptor = -1
        try:
            self.descriptor = open_descriptor(path)
        except ImindexError as error:
            raise BadPicture(f"its shard cannot be read: {error}") from error
        status = os.fstat(self.descriptor)
        self.identity = _identity(status)
        self.status = status
        self.lock = threading.Lock()
        self._shard: Shard | None = None

    @property
    def members(self) -> int:
        """The number of members in memory."""
        return 0 if self._shard is None else len(self._shard.offsets)

    def shard(self) -> Shard:
        """Return the members; the headers are read once."""
        with self.lock:
            if self._shard is None:
                self._shard = _scan(self)
            return self._shard

    def at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end of the file."""
        data = os.pread(self.descriptor, size, offset)
        while 0 < len(data) < size and (
            more := os.pread(self.descriptor, size - len(data), offset + len(data))
        ):
            data += more
        return data

    def stamp(self, offset: int, size: int) -> Stamp:
        """Return the stamp of a member regardless of when the shard changed."""
        return stamp_of_member(size, self.status.st_mtime_ns, str(self.status.st_ino), offset)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self.descriptor)


_open: OrderedDict[str, _File] = OrderedDict()
_opening = threading.Lock()


def shard_at(path: str) -> Shard:
    """Return the members of a tar file.

    Raises
    ------
    ImindexError
        If it is compressed, is no tar file, or has more than `MAX_MEMBERS` members.
    BadPicture
        If it is not a regular file.
    OSError
        If it cannot be read.
    """
    return _file(path).shard()


def read_member(path: str, name: str) -> tuple[bytes, Stamp]:
    """Return the bytes of a member, and its stamp; `NO_STAMP` if the shard changed lately or while reading.

    Raises
    ------
    BadPicture
        If there is no such member, it is cut, or it is larger than `MAX_BYTES`.
    OSError
        If the shard cannot be read.
    """
    file, offset, size = _member(path, name)
    if size > MAX_BYTES:
        raise BadPicture(f"{size} bytes are more than the limit of {MAX_BYTES}")
    there = max(0, min(size, file.status.st_size - offset))
    if there < size:
        raise BadPicture(f"its shard is cut: {there:,} of {size:,} bytes are there")
    data = file.at(offset, size)
    if len(data) < size:
        raise BadPicture(f"its shard was cut while it was read: {len(data):,} of {size:,} bytes are there")
    at_rest = time.time() - file.status.st_mtime >= AT_REST
    unchanged = _identity(os.fstat(file.descriptor)) == file.identity
    return data, file.stamp(offset, size) if at_rest and unchanged else NO_STAMP


def head_of_member(path: str, name: str, size: int) -> bytes:
    """Return the first bytes of a member; none if it cannot be read."""
    try:
        file, offset, length = _member(path, name)
        return file.at(offset, min(size, length))
    except (BadPicture, OSError):
        return b""


def member_stamp(path: str, name: str) -> Stamp:
    """Return the present stamp of a member without reading it.

    Raises
    ------
    BadPicture, OSError
        As `read_member` does.
    """
    file, offset, size = _member(path, name)
    return file.stamp(offset, size)


def stamp_of_member(size: int, modified: int, version: str, offset: int) -> Stamp:
    """Return a stamp of a member.

    Parameters
    ----------
    size : int
        Of the member.
    modified : int
        When the shard was modified, in nanoseconds since 1970.
    version : str
        The inode or the etag of the shard.
    offset : int
        Of the member.
    """
    hashed = hashlib.sha256(f"{version}:{offset}".encode()).digest()[:8]
    number = int.from_bytes(hashed, "big", signed=True)
    return (size, modified, number) if -(2**63) <= modified < 2**63 else NO_STAMP


def place_of(path: str, name: str) -> tuple[int, int]:
    """Return offset and size of a member.

    Raises
    ------
    BadPicture, OSError
        As `read_member` does.
    """
    return _member(path, name)[1:]


def forget(path: str) -> None:
    """Close a shard that is deleted, unless a thread still reads it."""
    with _opening:
        _open.pop(path, None)


def has_member(path: str, name: str) -> bool:
    """Return whether a tar file has a member; True if the file is damaged, because the member may be in the rest.

    Raises
    ------
    OSError
        If the shard cannot be read.
    """
    try:
        shard = shard_at(path)
    except (BadPicture, ImindexError):
        return False
    return name in shard.rows or bool(shard.fault)


def _member(path: str, name: str) -> tuple[_File, int, int]:
    file = _file(path)
    try:
        shard = file.shard()
    except ImindexError as error:
        raise BadPicture(f"its shard cannot be read: {error}") from error
    place = shard.place(name)
    if place is None:
        rest = f" It {shard.fault}." if shard.fault else ""
        raise BadPicture(
            f"the shard has no member of this name.{rest}" if rest else "the shard has no such member"
        )
    return file, *place


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _file(path: str) -> _File:
    """Return the open file at a path; one that was replaced or changed since is opened again."""
    now = _identity(os.stat(path))  # noqa: PTH116 - many
    with _opening:
        file = _open.get(path)
        if file is None or file.identity != now:
            file = _open[path] = _File(path)
        _open.move_to_end(path)
        while len(_open) > 1 and (
            len(_open) > OPEN_SHARDS or sum(other.members for other in _open.values()) > _KEPT_MEMBERS
        ):
            _open.popitem(last=False)
    return file


def _scan(file: _File) -> Shard:
    """Read the headers of a tar file.

    Raises
    ------
    ImindexError
    """
    shard = Shard(length=file.status.st_size)
    head = file.at(0, _BLOCK)
    for magic, (name, command) in _COMPRESSED.items():
        if head.startswith(magic):
            raise ImindexError(
                f"{file.path} is compressed by {name}, and members of a compressed tar file cannot be read one by one. "
                f"Decompress it: {command} {file.path} > {_decompressed(file.path)}"
            )
    if head and not _is_header(head) and any(head):
        raise ImindexError(
            f"{file.path} is not a tar file. Write it again, or rename it if it is something else."
        )
    try:
        _scan_members(file, shard)
    except _Broken as broken:
        shard.fault = str(broken)
    return shard


def _decompressed(path: str) -> str:
    stem = re.sub(r"(\.tar)?\.(gz|tgz|xz|txz|zst|bz2|tbz2?)$|\.tar$", "", os.path.basename(path))  # noqa: PTH119
    return f"{stem}-plain.tar" if path.lower().endswith(".tar") else f"{stem}.tar"


def _scan_members(file: _File, shard: Shard) -> None:
    position = headers = 0
    extended: dict[bytes, bytes] = {}
    too_long = False
    while True:
        header = file.at(position, _BLOCK)
        if len(header) < _BLOCK or not any(header):
            _check_end(file, shard, position, header)
            return
        if (headers := headers + 1) > MAX_MEMBERS:
            raise ImindexError(
                f"{file.path} has more than {MAX_MEMBERS:,} members. Write it as several shards; img2dataset puts "
                "10,000 pictures into each."
            )
        if not _is_header(header):
            raise _Broken(f"is damaged at byte {position:,}: what comes after it cannot be read")
        size = _number(header[124:136])
        kind = header[156:157]
        if b"size" in extended and kind not in b"xgLK":
            size = _decimal(extended[b"size"])
        if size is None or size < 0:
            raise _Broken(f"is damaged at byte {position:,}: a member has no valid size")
        if kind in b"123456" and kind:  # no data follow, whatever the size says
            size = 0
        position += _BLOCK
        end = position + -(-size // _BLOCK) * _BLOCK
        if kind in b"xgLK" and kind:
            if size > MAX_EXTENDED:
                too_long = too_long or kind != b"g"
            elif kind != b"g":
                data = file.at(position, size)
                if kind == b"L":
                    extended[b"path"] = data.rstrip(b"\0")
                elif kind == b"x":
                    extended.update(_pax(data))
            if end > shard.length:
                raise _Broken(f"is cut in a header, at byte {shard.length:,}")
            position = end
            continue
        if kind == b"S":
            end = _after_sparse_map(file, header, position, size)
        name = _name(header, extended)
        sparse = any(key.startswith(b"GNU.sparse.") for key in extended)
        _record(shard, name, b"S" if sparse else kind, (position, size), too_long=too_long)
        extended, too_long = {}, False
        if end > shard.length:
            if position + size > shard.length:
                shown = name.decode("utf-8", "replace")
                raise _Broken(f"is cut in the member {shown}, at byte {shard.length:,}")
            raise _Broken(f"is cut after {name.decode('utf-8', 'replace')}, at byte {shard.length:,}")
        position = end


def _record(shard: Shard, raw: bytes, kind: bytes, place: tuple[int, int], *, too_long: bool) -> None:
    """Record a member in its shard, or why it is not used."""
    offset, size = place
    name = raw[:MAX_NAME].decode("utf-8", "surrogateescape")
    while name.startswith(("./", "/")):
        name = name.removeprefix("./").lstrip("/")
    if kind == b"5" or name.endswith("/") or name in ("", "."):
        return  # a folder
    if kind not in b"07\0":
        shard.refuse(_KINDS.get(kind, "unknown kind of member"), name)
    elif too_long or len(raw) > MAX_NAME:
        shard.refuse(LONG, name[:80])
    elif ".." in name.split("/") or "\0" in name:
        shard.refuse(PARENT, name)
    else:
        shard.add(name, offset, size)


def _check_end(file: _File, shard: Shard, position: int, header: bytes) -> None:
    """Refuse an archive that does not end as it should: two blocks of zeros, and nothing after them but zeros."""
    if len(header) < _BLOCK and any(header):
        raise _Broken(f"is cut in a header, at byte {shard.length:,}")
    if len(header) < _BLOCK:
        if position == 0:
            raise _Broken("is empty: 0 bytes" if not shard.length else f"is cut at byte {shard.length:,}")
        raise _Broken(f"has no end mark: it may be cut, at byte {shard.length:,}")
    rest = file.at(position, _CHUNK)
    if any(rest):
        raise _Broken(
            f"has data after its end, at byte {position:,}: two tar files, one after the other, are not read"
        )


def _is_header(block: bytes) -> bool:
    stated = _number(block[148:156])
    if len(block) < _BLOCK or stated is None:
        return False
    total = sum(block) - sum(block[148:156]) + 8 * 32
    if stated == total:
        return True
    high = sum(byte > 127 for byte in block[:148] + block[156:])  # some writers summed signed bytes
    return stated == total - 256 * high


def _number(digits: bytes) -> int | None:
    """Return a number of a header, octal or base 256; None if it is neither."""
    if digits[:1] in (b"\x80", b"\xff"):
        return int.from_bytes(digits[1:], "big") - (256 ** (len(digits) - 1) if digits[:1] == b"\xff" else 0)
    text = digits.split(b"\0", 1)[0].strip(b" ")
    if not text:
        return 0
    return int(text, 8) if re.fullmatch(rb"[0-7]+", text) else None


def _decimal(text: bytes) -> int | None:
    return int(text) if re.fullmatch(rb"\d{1,19}", text) else None


def _name(header: bytes, extended: dict[bytes, bytes]) -> bytes:
    for key in (b"GNU.sparse.name", b"path"):
        if extended.get(key):
            return extended[key]
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax(data: bytes) -> dict[bytes, bytes]:
    """Return the records of a PAX header, `LENGTH KEY=VALUE` and a line feed each. It ends at the first bad one."""
    records: dict[bytes, bytes] = {}
    start = 0
    while match := _PAX.match(data, start):
        end = start + int(match[1])
        if end <= match.end() or end > len(data) or data[end - 1 : end] != b"\n":
            break
        records[match[2]] = data[match.end() : end - 1]
        start = end
    return records


def _after_sparse_map(file: _File, header: bytes, position: int, size: int) -> int:
    """Return the end of a sparse member of GNU tar, whose map may go on in further blocks."""
    goes_on = header[482]
    while goes_on:
        block = file.at(position, _BLOCK)
        if len(block) < _BLOCK:
            break
        goes_on, position = block[504], position + _BLOCK
    return position + -(-size // _BLOCK) * _BLOCK
