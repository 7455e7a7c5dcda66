"""Read an index file: a single HDF5 file that is never changed in place (FORMAT.md).

Only this folder imports h5py. `imindex.indexer.store.structure` validates an untrusted file before anything else reads
it.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import numpy.typing as npt

from imindex.indexer.core.credentials import named_by_user
from imindex.indexer.core.digest import STREAM_ROWS, BlockHasher
from imindex.indexer.core.errors import BadVectors, ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.package import is_package
from imindex.indexer.core.paths import PicturePaths, merged_roots, require_roots, root_name_fault
from imindex.indexer.core.preprocess_bounds import preprocess_fault
from imindex.indexer.core.schema import (
    FORMAT,
    FORMATS_READ,
    ITEM_DTYPES,
    MAX_PREPROCESS_FROM,
    NOBODY,
    OPTIONAL_DTYPES,
    OPTIONAL_ENCODER,
    PRECISIONS,
    REJECT_DTYPES,
    Attribute,
    Collection,
    Columns,
    Contents,
    EncoderInfo,
    Stamps,
    empty_column,
    root_digest,
    stamps_or_zeros,
)
from imindex.indexer.core.url import Url
from imindex.indexer.store.backing import Backing, LocalFile
from imindex.indexer.store.digests import column_digests
from imindex.indexer.store.guard import (
    DESCRIPTOR,
    Damage,
    GuardedFile,
    Rewritten,
    open_file,
    read_texts,
    reading,
)
from imindex.indexer.store.raw import Raw
from imindex.indexer.store.remote_vectors import RemoteVectors
from imindex.indexer.store.structure import (
    check_arms,
    check_dataset,
    check_kind,
    check_range,
    check_structure,
    json_object,
    log_columns,
    member_group,
    number_of,
    optional_columns,
    read_attributes,
    text_of,
)
from imindex.indexer.store.unfinished import HEAD, is_open_for_writing, left_behind, why_unreadable
from imindex.indexer.store.working_copy import shown
from imindex.indexer.system.atomic import real_file
from imindex.indexer.system.input_files import exists

_PIECE = 1 << 22


class Index:
    """An index file opened for reading. Columns are read on demand; vectors are memory-mapped.

    Use as a context manager. A reader keeps the file it opened, even if a build replaces it in the meantime.

    Parameters
    ----------
    path : path-like
        For an index in an object store, its `Url`.
    roots : mapping of str to path-like, optional
        Where the pictures of named roots are now. By default they are where the index says, which is a hint.
    backing : Backing, optional
        Where the bytes of the file are; by default in the local file `path`. It is closed with the index.

    Attributes
    ----------
    path : Path or Url
    size : int
        Size of the file in bytes.
    vectors : ndarray, (n, dim) float16
        A read-only memory map; for an index in an object store a `RemoteVectors`, which fetches what is indexed.

    Raises
    ------
    ImindexError
        If the file does not exist, is not an index, or has an unknown format version; or a root is not a folder.
    """

    notes: tuple[str, ...] = ()
    """What a user should know about an index of several files, in sentences."""
    n_repeated: int = 0
    """Rows and rejects that are left out of several files, since an earlier file has them."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        roots: Mapping[str, str | os.PathLike[str]] | None = None,
        *,
        backing: Backing | None = None,
    ):
        self.path: Path | Url = path if isinstance(path, Url) else shown(Path(path))
        try:
            self._named = require_roots(roots or {})
            if backing is None:
                backing = _local(Path(path))
        except BaseException:
            if backing is not None:
                backing.close()
            raise
        self.size = backing.size
        self._backing = backing
        head = b""
        try:
            head = backing.at(0, min(HEAD, backing.size))
            self._file, self._guard = open_file(backing)
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            backing.close()
            raise ImindexError(
                why_unreadable(self.path, head, self.size)
                or f"{self.path} cannot be opened as an HDF5 file: {error}. "
                "Name another index with -i, restore it from a backup, or build it again."
            ) from error
        except BaseException:
            backing.close()
            raise
        # Close before the interpreter exits, so that libhdf5 does not call back into it.
        self.close = weakref.finalize(self, _close, self._file, self._guard)
        try:
            # Without locks, libhdf5 does not look at these flags itself.
            if is_open_for_writing(head):
                raise ImindexError(why_unreadable(self.path, head, self.size))
            with self._reading():
                self._open()
        except BaseException:
            self.close()
            raise

    def _reading(self) -> contextlib.AbstractContextManager[None]:
        self.require_open()
        return reading(self.path, self._guard)

    def _open(self) -> None:
        root = self._file.id
        attributes = read_attributes(h5py.h5g.open(root, b"/"), self._guard, "")
        self.version = self._check_version(attributes)
        self.n = number_of(attributes, "n")
        self.root_digest = text_of(attributes, "root-digest", digest=True)
        self.created_at, self.created_by = (
            text_of(attributes, "created-at"),
            text_of(attributes, "created-by"),
        )
        self.roots = _read_roots(attributes, self.version)
        self.encoder = _read_encoder(
            read_attributes(member_group(root, "encoder"), self._guard, "encoder"), self.version
        )
        self._counts = check_structure(
            self._file, self._guard, self.n, self.encoder.dim, version=self.version
        )
        self.artists = tuple(self._text("artists/name"))
        if len(set(self.artists)) < len(self.artists):
            name = next(name for name, n in Counter(self.artists).items() if n > 1)
            raise Damage(f"/artists/name lists {name!r} more than once")
        self.collections = tuple(
            Collection(name, check_kind(kind), json_object(generator, "/collections/generator"))
            for name, kind, generator in zip(
                *(self._text(f"collections/{column}") for column in ("name", "kind", "generator")),
                strict=True,
            )
        )
        self.vectors: npt.NDArray[np.float16] = (
            self._guard.mapped(self._file["vectors"]) if self.is_local else self._remote_vectors()
        )

    @property
    def is_local(self) -> bool:
        """Whether the file is on this machine, so that reading it fetches nothing."""
        return self._backing.is_whole

    def _remote_vectors(self) -> npt.NDArray[np.float16]:
        def digests() -> npt.NDArray[np.uint8]:
            group = member_group(self._file.id, "digests")
            check_dataset(group, "vectors", "u1", self._guard, "digests/vectors")
            return self._guard.mapped(self._file["digests/vectors"])

        def refuse(problem: str) -> None:
            raise Damage(problem)

        vectors = RemoteVectors(self._guard, self._file["vectors"], digests, refuse, self._reading)
        # It has what readers use of an array, without being one.
        return cast("npt.NDArray[np.float16]", vectors)

    def _check_version(self, attributes: Mapping[str, Attribute]) -> str:
        if attributes.get("encoding-type") != FORMAT:
            if {b"vectors", b"items", b"encoder"} <= set(self._file.id):
                raise Rewritten(
                    "its groups are those of an index, and the attributes of the file are missing, as after h5copy"
                )
            raise ImindexError(
                f"{self.path} is an HDF5 file but not an imindex index. Name another index (-i, or $IMINDEX_INDEX)."
            )
        version = attributes.get("encoding-version")
        if version not in FORMATS_READ:
            raise ImindexError(
                f"{self.path} has format version {version}; this imindex reads {', '.join(FORMATS_READ[:-1])} and "
                f"{FORMATS_READ[-1]}. "
                "Install the imindex that wrote it (attribute created-by), or build a new index."
            )
        return str(version)

    def _text(self, name: str, rows: npt.NDArray[np.int64] | None = None) -> list[str]:
        chosen = slice(None) if rows is None else rows
        raw = read_texts(self._guard, self._guard.rows(self._file[name], chosen, DESCRIPTOR), name)
        return [text.decode("utf-8", "surrogateescape") for text in raw]

    @property
    def parts(self) -> tuple[Index, ...]:
        """The files of the index: itself. An index of several files (`imindex.indexer.store.joined`) has several."""
        return (self,)

    @property
    def files(self) -> str | tuple[str, ...]:
        """The path of the file, as results name it; of several files a tuple."""
        return str(self.path)

    @property
    def n_rejects(self) -> int:
        """Number of pictures that cannot be used."""
        return self._counts.rejects

    def require_open(self) -> None:
        """Refuse a closed index.

        Raises
        ------
        ImindexError
        """
        if not self.close.alive:
            raise ImindexError(f"{self.path} is closed. Open it again.")

    @property
    def folder(self) -> Path | Url:
        """The folder of the file, to which its paths are relative. A link to the file is resolved, as by writers."""
        if isinstance(self.path, Url):
            return self.path.parent
        return real_file(self.path).absolute().parent

    def places(self) -> PicturePaths:
        """Return the files that the paths of the index mean.

        An index from somebody else can point anywhere: compare what is opened with its digest, or permit folders
        (`imindex.indexer.integrity.verify_pictures.Folders`).
        """
        named = merged_roots({}, self._named)
        remote = (*filter(is_url, named.values()), *named_by_user())
        return PicturePaths(self.folder, {**self.roots, **named}, remote)

    def column(self, name: str, group: str = "items") -> npt.NDArray[Any]:
        """Return a column of /items (or another group); text is an object array of str."""
        key = f"{group}/{name}"
        with self._reading():
            if self._is_left_out(group, name):
                return empty_column(group, name, self.n if group == "items" else self._counts.rejects)
            dataset = self._file[key]
            if h5py.check_string_dtype(dataset.dtype):
                texts = self._text(key)
                if name == "arm":
                    check_arms(texts, key)
                return np.array(texts, dtype=object)
            values = np.array(self._guard.mapped(dataset))
            if name == "artist":
                check_range(values, NOBODY, self._counts.artists, key)
            if name == "collection":
                check_range(values, 0, self._counts.collections, key)
            return values

    def _is_left_out(self, group: str, name: str) -> bool:
        optional = OPTIONAL_DTYPES.get(group, {})
        return name in optional and name not in optional_columns(self._file.id, group, self.version)

    def text_at(self, name: str, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return the values of a text column of /items for some rows, without reading the others."""
        with self._reading():
            if self._is_left_out("items", name):
                return [""] * len(rows)
            texts = self._text(f"items/{name}", rows)
            if name == "arm":
                check_arms(texts, f"items/{name}")
            return texts

    def items(self) -> Columns:
        """Return all columns of /items, including the optional ones that the file leaves out."""
        return {name: self.column(name) for name in (*ITEM_DTYPES, *OPTIONAL_DTYPES["items"])}

    def rejects(self) -> Columns:
        """Return all columns of /rejects: pictures that cannot be used, with the reason."""
        names = (*REJECT_DTYPES, *OPTIONAL_DTYPES["rejects"])
        return {name: self.column(name, "rejects") for name in names}

    def stamps(self) -> tuple[Stamps, Stamps]:
        """Return the stamps of the files of /items and /rejects, (n, 3) int64 each; zeros if unknown."""
        with self._reading():
            return self._stamps("items", self.n), self._stamps("rejects", self._counts.rejects)

    def _stamps(self, name: str, n: int) -> Stamps:
        try:
            group = member_group(self._file.id, "stamps")
            if check_dataset(group, name, "<i8", self._guard, f"stamps/{name}") != (n, 3):
                return stamps_or_zeros(None, n)
        except Damage:
            return stamps_or_zeros(None, n)
        return np.array(self._guard.mapped(self._file[f"stamps/{name}"]))

    def log(self) -> list[dict[str, str]]:
        """Return the changes made to this index, oldest first."""
        with self._reading():
            names = log_columns(self.version)
            columns = [self._text(f"log/{name}") for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def ann(self) -> dict[str, Attribute]:
        """Return the attributes of /ann: the kind of FAISS index and how it was made."""
        with self._reading():
            return read_attributes(member_group(self._file.id, "ann"), self._guard, "ann")

    def ann_bytes(self) -> int:
        """Return the size of /ann/data."""
        with self._reading():
            return int(self._file["ann/data"].size)

    def ann_data(self) -> npt.NDArray[np.uint8]:
        """Return /ann/data, (bytes,) uint8, mapped in place."""
        with self._reading():
            return self._guard.mapped(self._file["ann/data"])

    def raw(self) -> Raw:
        """Return the file as stored, for reading it block by block."""
        self.require_open()
        return Raw(self._file, self._guard, self.path)

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the file."""
        self.require_open()
        for start in range(0, self.size, _PIECE):
            yield self._backing.at(start, min(_PIECE, self.size - start))

    def contents(self) -> Contents:
        """Return everything except the vectors, as an argument for `imindex.indexer.store.writer.write`."""
        item_stamps, reject_stamps = self.stamps()
        return Contents(
            encoder=self.encoder,
            artists=self.artists,
            collections=self.collections,
            items=self.items(),
            rejects=self.rejects(),
            log=self.log(),
            created_at=self.created_at,
            created_by=self.created_by,
            item_stamps=item_stamps,
            reject_stamps=reject_stamps,
            roots=self.roots,
        )

    def blocks(self, rows: npt.NDArray[np.intp] | None = None) -> Iterator[npt.NDArray[np.float16]]:
        """Yield the vectors, or those of the given rows, in blocks."""
        chosen = np.arange(self.n) if rows is None else rows
        for start in range(0, len(chosen), STREAM_ROWS):
            yield np.asarray(self.vectors[chosen[start : start + STREAM_ROWS]])

    def __enter__(self) -> Index:
        self.require_open()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close()
        if isinstance(error, BadVectors):
            raise named_error(error, self.path) from error


def _local(path: Path) -> LocalFile:
    """Open the file of an index."""
    if not exists(path):
        left = left_behind(path)
        raise ImindexError(
            f"{path} does not exist. {left}{' ' if left else ''}Build it with "
            f"`imindex build SOURCE... -i {path}`, or name another index (-i, or $IMINDEX_INDEX)."
        )
    try:
        return LocalFile(path)
    except OSError as error:
        raise ImindexError(
            f"{path} cannot be opened as an HDF5 file: {error}. "
            "Name another index with -i, restore it from a backup, or build it again."
        ) from error


def named_error(error: BadVectors, path: Path | Url) -> ImindexError:
    """Name the index whose vectors were refused."""
    return ImindexError(f"{path}: {error} `imindex verify -i {path}` lists what is wrong with it.")


def _close(file: h5py.File, guard: GuardedFile) -> None:
    with contextlib.suppress(RuntimeError, OSError):  # libhdf5 may fail to close a damaged file
        file.close()
    guard.close()


def recompute_root_digest(index: Index) -> str:
    """Read all columns and vectors of an open index, and return the root digest of their current content."""
    hasher = BlockHasher()
    for block in index.raw().blocks("vectors"):
        hasher.update(block)
    return root_digest(index.encoder, {**column_digests(index.raw()), "vectors": hasher.finish()[0]})


def _read_roots(attributes: Mapping[str, Attribute], version: str) -> dict[str, str]:
    if "roots" not in attributes or version in ("1.0", "1.1", "1.2"):
        return {}
    roots = json_object(attributes["roots"], "the attribute roots")
    for name, folder in roots.items():
        if fault := root_name_fault(name):
            raise Damage(f"the attribute roots has the name {name[:40]!r}, which {fault}")
        if not isinstance(folder, str) or "\0" in folder:
            raise Damage(f"the attribute roots gives no folder for {name[:40]!r}")
    return roots


def _read_encoder(attributes: Mapping[str, Attribute], version: str) -> EncoderInfo:
    preprocess = json_object(attributes.get("preprocess"), "/encoder's preprocess")
    fault = preprocess_fault(preprocess, partial=True)
    if fault:
        raise Damage(f"/encoder's preprocess {fault}")
    precision = text_of(attributes, "precision")
    if precision not in PRECISIONS:
        raise Damage(
            f"/encoder's precision is {precision[:40]!r}, which is not one of {', '.join(PRECISIONS)}"
        )
    optional = {
        name.replace("-", "_"): text_of(attributes, name, digest=name.endswith("sha256"))
        for name in OPTIONAL_ENCODER
        if name in attributes and version not in ("1.0", "1.1")
    }
    if version in ("1.2", "1.3"):
        optional.pop("package", None)
    if optional.get("package") and not is_package(optional["package"]):
        raise Damage(
            f"/encoder's package {optional['package'][:40]!r} is not the name of a package and its version"
        )
    if len(optional.get("preprocess_from", "")) > MAX_PREPROCESS_FROM:
        raise Damage(
            f"/encoder's preprocess-from has more than {MAX_PREPROCESS_FROM:,} characters: "
            f"{optional['preprocess_from'][:40]!r}"
        )
    return EncoderInfo(
        model=text_of(attributes, "model"),
        pretrained=text_of(attributes, "pretrained"),
        weights_sha256=text_of(attributes, "weights-sha256", digest=True),
        config=json_object(attributes.get("config"), "/encoder's config"),
        preprocess=preprocess,
        dim=number_of(attributes, "dim"),
        precision=precision,
        **optional,
    )
