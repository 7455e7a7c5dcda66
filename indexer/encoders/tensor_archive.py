"""Read the tensors of a PyTorch file without running anything that it brings.

PyTorch saves tensors, and TorchScript saves whole networks, as a zip archive: a pickle (data.pkl) that says which
tensor has which name, and a member for the bytes of each. TorchScript adds code, which is never read here. The pickle
is read with a fixed list of names. A class of the file becomes a `Bag` of its attributes; nothing is imported, and no
function except those of this module is called. Bytes are read only for the tensors that a caller asks for.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import safetensors.torch
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.input_files import open_input, refuse_special_files

MAX_PICKLE = 1 << 26
"""Bytes of data.pkl. That of a network with 1000 layers has 500 kB."""
MAX_MEMBERS = 100_000
_STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
_KEY = re.compile(r"[0-9]{1,9}")
_DEPTH = 100
_SHARED = 2
"""Times the size of the file that its tensors may have, because some may share their bytes."""


class BadArchive(ImindexError):
    """A file that is not an archive of PyTorch, or says what is not true."""


@dataclass(frozen=True)
class TensorRef:
    """A tensor of an archive whose bytes were not read yet.

    Attributes
    ----------
    dtype : torch.dtype
    key : str
        The member of the archive: data/KEY.
    numel : int
        Numbers in the member.
    offset : int
        The place of the first number.
    shape, stride : tuple of int
    """

    dtype: torch.dtype
    key: str
    numel: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Bag:
    """An object of a class of the file: its attributes, by name."""

    __slots__ = ("attributes",)

    def __init__(self) -> None:
        self.attributes: Mapping[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        """Take what the pickle holds for the object."""
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise pickle.UnpicklingError("an object's attributes are not named")
        self.attributes = state


class _Inert(Bag):
    """What a class or function of the list `inert` makes: a value of no interest, such as a setting of an optimizer."""

    __slots__ = ()

    def __new__(cls, *_: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Forget it."""


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    key: str
    numel: int


class TensorArchive:
    """A PyTorch file that is open for reading. A context manager.

    Parameters
    ----------
    path : path-like
    inert : collection of str
        Full names of further classes and functions that the pickle may name. They are not imported, and whatever they
        would make is a placeholder.

    Attributes
    ----------
    value : object
        What the file holds: dictionaries, lists, `Bag` and, for each tensor, `TensorRef`.
    is_script : bool
        Whether it is TorchScript, which holds code.

    Raises
    ------
    BadArchive
        It is not an archive of PyTorch, is damaged, or names anything that is not on the list.
    """

    def __init__(self, path: str | os.PathLike[str], inert: Collection[str] = ()):
        self._path = os.fspath(path)
        self._inert = frozenset(inert)
        self._file = open_input(path)
        try:
            self._archive, self._root = self._opened()
            self.is_script = f"{self._root}/constants.pkl" in self._members
            self.value = self._unpickled()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TensorArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def tensors(self, refs: Mapping[str, TensorRef]) -> dict[str, torch.Tensor]:
        """Return tensors by name. Together they may not be much larger than the file, as names of one tensor can be.

        Raises
        ------
        BadArchive
        """
        needed = sum(math.prod(ref.shape) * ref.dtype.itemsize for ref in refs.values())
        if needed > _SHARED * self._size:
            raise self._fault(f"tensors of {needed:,} bytes in a file of {self._size:,}")
        return {name: self.tensor(ref) for name, ref in refs.items()}

    def tensor(self, ref: TensorRef) -> torch.Tensor:
        """Return a tensor, contiguous and in memory of its own.

        Raises
        ------
        BadArchive
            Its bytes are missing or damaged, or it does not lie within them.
        """
        if any(side < 0 for side in (*ref.shape, *ref.stride, ref.offset)):
            raise self._fault(f"a tensor of the shape {ref.shape} and the stride {ref.stride}")
        reach = ref.offset + sum((side - 1) * step for side, step in zip(ref.shape, ref.stride, strict=True))
        count = math.prod(ref.shape)
        if count > ref.numel or (count and reach >= ref.numel):
            raise self._fault(f"a tensor of the shape {ref.shape} in {ref.numel} numbers")
        if not count:
            return torch.empty(ref.shape, dtype=ref.dtype)
        data = self._member(f"data/{ref.key}", ref.numel * ref.dtype.itemsize)
        flat = torch.frombuffer(bytearray(data), dtype=ref.dtype)
        return flat.as_strided(ref.shape, ref.stride, ref.offset).clone(memory_format=torch.contiguous_format)

    def _opened(self) -> tuple[zipfile.ZipFile, str]:
        self._size = size = os.fstat(self._file.fileno()).st_size
        try:
            archive = zipfile.ZipFile(self._file)
            members = archive.infolist()
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise self._fault(f"no zip archive ({error})") from error
        self._members = {member.filename: member for member in members}
        if len(members) > MAX_MEMBERS or len(self._members) < len(members):
            raise self._fault("too many members, or two of one name")
        roots = [name.removesuffix("/data.pkl") for name in self._members if name.endswith("/data.pkl")]
        if len(roots) != 1 or "/" in roots[0]:
            raise self._fault(f"{len(roots)} members data.pkl, not one in a folder")
        # Code is compressed and is not read; tensors are stored as they are, so no member can be a bomb.
        stored = [member for name, member in self._members.items() if self._is_data(name, roots[0])]
        if any(
            member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size
            for member in stored
        ):
            raise self._fault("compressed tensors, which PyTorch does not write")
        if sum(member.file_size for member in stored) > size:
            raise self._fault("members that are larger than the file, or overlap")
        return archive, roots[0]

    @staticmethod
    def _is_data(name: str, root: str) -> bool:
        return name in (f"{root}/data.pkl", f"{root}/byteorder") or name.startswith(f"{root}/data/")

    def _member(self, name: str, size: int | None = None) -> bytes:
        member = self._members.get(f"{self._root}/{name}")
        if member is None:
            raise self._fault(f"no member {name}")
        if size is not None and member.file_size != size:
            raise self._fault(f"a member {name} of {member.file_size} bytes, not {size}")
        try:
            return self._archive.read(member)
        except (
            OSError,
            ValueError,
            NotImplementedError,
            RuntimeError,
            EOFError,
            zipfile.BadZipFile,
        ) as error:
            raise self._fault(f"a member {name} that cannot be read ({error})") from error

    def _unpickled(self) -> Any:
        if f"{self._root}/byteorder" in self._members and self._member("byteorder") != b"little":
            raise self._fault("numbers whose first byte is the highest")
        if self._members[f"{self._root}/data.pkl"].file_size > MAX_PICKLE:
            raise self._fault(f"a data.pkl of more than {MAX_PICKLE:,} bytes")
        reader = _Reader(io.BytesIO(self._member("data.pkl")), self._inert, self.is_script)
        try:
            return reader.load()
        except ImindexError:
            raise
        except Exception as error:  # a pickle can cause any
            raise self._fault(f"a data.pkl that cannot be read ({type(error).__name__}: {error})") from error

    def _fault(self, what: str) -> BadArchive:
        text = what if len(what) <= 300 else f"{what[:300]}..."
        return BadArchive(
            f"{self._path} is not a PyTorch file that imindex reads: it has {text}. Download it again from its "
            "authors, or use a safetensors file."
        )


class _Reader(pickle.Unpickler):
    """Reads data.pkl. Everything that the pickle can name or call is defined here."""

    def __init__(self, file: io.BytesIO, inert: frozenset[str], is_script: bool):
        super().__init__(file, encoding="utf-8")
        self._names: dict[str, Any] = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": _rebuild,
            "torch._utils._rebuild_parameter": _parameter,
        }
        self._names |= {f"torch.{name}": dtype for name, dtype in _STORAGES.items()}
        if is_script:
            lists = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
            self._names |= {f"torch.jit._pickle.{name}": _as_it_is for name in lists}
            self._names["torch.jit._pickle.restore_type_tag"] = _as_it_is
        self._names |= dict.fromkeys(inert, _Inert)
        self._is_script = is_script

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in self._names:
            return self._names[full]
        if self._is_script and (module == "__torch__" or module.startswith("__torch__.")):
            return Bag
        raise pickle.UnpicklingError(f"the name {full}, which is not on the list of those that hold tensors")

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) != 5:
            raise pickle.UnpicklingError("a reference that is not one to a tensor's bytes")
        kind, dtype, key, _, numel = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise pickle.UnpicklingError("a reference that is not one to a tensor's bytes")
        if not _KEY.fullmatch(key) or isinstance(numel, bool) or not isinstance(numel, int) or numel < 0:
            raise pickle.UnpicklingError("a reference to bytes without a valid name or length")
        return _Storage(dtype, key, numel)


def _rebuild(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRef:
    sides = (shape, stride)
    if not isinstance(storage, _Storage) or not all(isinstance(one, tuple) for one in sides):
        raise pickle.UnpicklingError("a tensor without bytes or shape")
    if (
        len(shape) != len(stride)
        or len(shape) > 16
        or not all(_is_whole(n) for n in (offset, *shape, *stride))
    ):
        raise pickle.UnpicklingError("a tensor of an impossible shape")
    return TensorRef(storage.dtype, storage.key, storage.numel, offset, shape, stride)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _as_it_is(value: Any, *_: Any) -> Any:
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 48


def named_tensors(value: object) -> dict[str, TensorRef]:
    """Return the tensors of a TorchScript module, or of a dictionary, by names such as `layer1.0.conv1.weight`.

    Parameters
    ----------
    value : object
        `TensorArchive.value`, or a part of it.

    Raises
    ------
    BadArchive
        It is nested too deeply, or has too many parts, as an object that contains itself has.
    """
    found: dict[str, TensorRef] = {}
    waiting: list[tuple[tuple[str, ...], object]] = [((), value)]
    n_seen = 0
    while waiting:
        way, part = waiting.pop()
        n_seen += 1
        if len(way) > _DEPTH or n_seen > MAX_MEMBERS:
            raise BadArchive(
                "The file of weights has too many parts, or parts that contain themselves. Download it again from its "
                "authors."
            )
        if isinstance(part, TensorRef):
            found[".".join(way)] = part
            continue
        entries = part.attributes if isinstance(part, Bag) else part if isinstance(part, Mapping) else {}
        waiting += [
            ((*way, name), inner)
            for name, inner in entries.items()
            if isinstance(name, str) and isinstance(inner, (Bag, Mapping, TensorRef))
        ]
    return found


def read_tensors(
    path: str | os.PathLike[str],
    part: Callable[[Any], object] = lambda value: value,
    inert: Collection[str] = (),
) -> dict[str, torch.Tensor]:
    """Return the tensors of a PyTorch or safetensors file by name; parameters that share bytes get their own.

    Parameters
    ----------
    path : path-like
        Of safetensors if the name ends in .safetensors.
    part : callable
        Takes the value of a PyTorch file, and returns the part of it whose tensors are wanted.
    inert
        See `TensorArchive`.

    Raises
    ------
    BadArchive
        The file cannot be read, or is not what it says.
    """
    if os.fspath(path).endswith(".safetensors"):
        refuse_special_files(path)
        try:
            return {name: tensor.clone() for name, tensor in safetensors.torch.load_file(path).items()}
        except Exception as error:  # safetensors has its own types of errors
            raise BadArchive(
                f"{os.fspath(path)} cannot be read as safetensors: {error}. Copy it again."
            ) from error
    with TensorArchive(path, inert) as archive:
        return archive.tensors(named_tensors(part(archive.value)))


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open_input(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
