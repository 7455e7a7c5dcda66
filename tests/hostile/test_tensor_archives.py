"""Files of PyTorch and TorchScript from strangers: their code never runs, and their lies are refused."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.tensor_archive import MAX_PICKLE, TensorArchive, named_tensors, read_tensors
from tests.support.hostile_models import Touch
from tests.support.sscd_models import scripted


class Storage:
    """Pickled as PyTorch pickles the bytes of a tensor."""

    def __init__(self, key: object = "0", numel: object = 4, kind: object = torch.FloatStorage):
        self.pid = ("storage", kind, key, "cpu", numel)


class Rebuilt:
    """Pickled as PyTorch pickles a tensor, with whatever shape."""

    def __init__(self, storage: object, offset: object = 0, shape: object = (4,), stride: object = (1,)):
        self.arguments = (storage, offset, shape, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        return obj.pid if isinstance(obj, Storage) else None


def pickled(value: object) -> bytes:
    out = io.BytesIO()
    Pickler(out, protocol=2).dump(value)
    return out.getvalue()


def archive(
    path: Path,
    value: object = None,
    *,
    data: bytes | None = None,
    members: dict[str, bytes] | None = None,
    compressed: bool = False,
    script: bool = False,
) -> Path:
    """Write an archive with one tensor of four numbers, or other content."""
    content = {
        "model/data.pkl": pickled({"w": Rebuilt(Storage())} if value is None else value)
        if data is None
        else data
    }
    content |= {"model/data/0": b"\0" * 16, "model/byteorder": b"little"} if members is None else members
    if script:
        content |= {
            "model/constants.pkl": b"\x80\x02).",
            "model/code/__torch__.py": b"import os\nos.system('touch x')\n",
        }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as out:
        for name, stored in content.items():
            out.writestr(name, stored)
    return path


def test_the_plain_archive_of_these_tests_is_read(tmp_path: Path) -> None:
    assert torch.equal(read_tensors(archive(tmp_path / "a.pt"))["w"], torch.zeros(4))
    with TensorArchive(archive(tmp_path / "b.pt", script=True)) as opened:
        assert opened.is_script and list(named_tensors(opened.value)) == ["w"]


def named(module: str, name: str, *arguments: bytes) -> bytes:
    """Return a pickle that calls a function with texts."""
    texts = b"".join(b"X" + len(text).to_bytes(4, "little") + text for text in arguments)
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(" + texts + b"tR."


def laughs() -> object:
    """Sixty dictionaries that each hold the next one twice: 2^60 names of one tensor."""
    value: object = Rebuilt(Storage())
    for _ in range(60):
        value = {"a": value, "b": value}
    return value


def endless() -> object:
    value: dict[str, object] = {}
    value["a"] = value
    return value


def deep() -> object:
    value: object = Rebuilt(Storage())
    for _ in range(200):
        value = {"a": value}
    return value


PICKLES: dict[str, tuple[object, str]] = {
    "a tensor longer than its bytes": ({"w": Rebuilt(Storage(numel=4), shape=(5,))}, r"shape \(5,\) in 4 numbers"),
    "bytes longer than they are": ({"w": Rebuilt(Storage(numel=5))}, r"data/0 of 16 bytes, not 20"),
    "bytes shorter than they are": ({"w": Rebuilt(Storage(numel=3), shape=(3,))}, r"data/0 of 16 bytes, not 12"),
    "bytes of another type": ({"w": Rebuilt(Storage(kind=torch.DoubleStorage))}, r"of 16 bytes, not 32"),
    "no bytes": ({"w": Rebuilt(Storage(key="7"))}, "no member data/7"),
    "bytes outside": ({"w": Rebuilt(Storage(key="../../x"))}, "without a valid name or length"),
    "an offset beyond the bytes": ({"w": Rebuilt(Storage(), offset=1)}, "a tensor of the shape"),
    "a negative offset": ({"w": Rebuilt(Storage(), offset=-1)}, "a tensor of the shape"),
    "a negative stride": ({"w": Rebuilt(Storage(), offset=3, stride=(-1,))}, "a tensor of the shape"),
    "a large stride": ({"w": Rebuilt(Storage(), shape=(2,), stride=(4,))}, r"shape \(2,\) in 4 numbers"),
    "one number many times": ({"w": Rebuilt(Storage(), shape=(1 << 20,), stride=(0,))}, "in 4 numbers|bytes in a file"),
    "a huge shape": ({"w": Rebuilt(Storage(), shape=(1 << 60,))}, "impossible shape"),
    "an overflowing shape": ({"w": Rebuilt(Storage(), shape=(1 << 40,) * 4, stride=(0,) * 4)}, "bytes in a file"),
    "a shape of texts": ({"w": Rebuilt(Storage(), shape=("4",))}, "impossible shape"),
    "a shape without strides": ({"w": Rebuilt(Storage(), shape=(2, 2))}, "impossible shape"),
    "a list as shape": ({"w": Rebuilt(Storage(), shape=[4])}, "without bytes or shape"),
    "a text in place of bytes": ({"w": Rebuilt("0")}, "without bytes or shape"),
    "a length of a text": ({"w": Rebuilt(Storage(numel="4"))}, "without a valid name or length"),
    "a negative length": ({"w": Rebuilt(Storage(numel=-4))}, "without a valid name or length"),
    "many names of one tensor": (laughs(), "too many parts"),
    "a dictionary that holds itself": (endless(), "too many parts"),
    "deep dictionaries": (deep(), "too many parts"),
}  # fmt: skip


@pytest.mark.parametrize("script", [False, True])
@pytest.mark.parametrize("name", PICKLES)
def test_tensors_that_are_not_what_they_say_are_refused(name: str, script: bool, tmp_path: Path) -> None:
    value, message = PICKLES[name]
    path = archive(tmp_path / "a.pt", value, script=script)
    with pytest.raises(ImindexError, match=message):
        read_tensors(path)


def test_many_tensors_of_the_same_bytes_are_refused(tmp_path: Path) -> None:
    value = {str(n): Rebuilt(Storage(numel=1000), shape=(1000,)) for n in range(2000)}
    path = archive(tmp_path / "a.pt", value, members={"model/data/0": b"\0" * 4000})
    with pytest.raises(ImindexError, match="tensors of 8,000,000 bytes in a file of"):
        read_tensors(path)


CODE: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda mark: named("os", "system", f"touch {mark}".encode()),
    "posix.system": lambda mark: named("posix", "system", f"touch {mark}".encode()),
    "builtins.eval": lambda mark: named("builtins", "eval", f"open({str(mark)!r}, 'w')".encode()),
    "builtins.exec": lambda mark: named("builtins", "exec", f"open({str(mark)!r}, 'w')".encode()),
    "builtins.getattr": lambda mark: named("builtins", "getattr", b"a", b"b"),
    "subprocess": lambda mark: named("subprocess", "getoutput", f"touch {mark}".encode()),
    "pathlib": lambda mark: pickle.dumps(Touch(mark), protocol=2),
    "torch.load": lambda mark: named("torch", "load", str(mark).encode()),
    "torch.jit.load": lambda mark: named("torch.jit", "load", str(mark).encode()),
    "a dotted name": lambda mark: named("collections", "OrderedDict.fromkeys", b"a"),
    "an attribute of the reader": lambda mark: named(
        "imindex.indexer.encoders.tensor_archive", "os.system", b"a"
    ),
    "restore_type_tag elsewhere": lambda mark: named("torch.jit._pickle.x", "restore_type_tag", b"a"),
    "almost a class of the file": lambda mark: named("__torch__x", "M"),
    "a builtin through the file": lambda mark: named("__torch__", "M", b"a"),
    "copyreg": lambda mark: named("copyreg", "_reconstructor", b"a"),
    "an extension": lambda mark: b"\x80\x02\x82\x01.",
    "protocol 4 name": lambda mark: b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
}


@pytest.mark.parametrize("script", [False, True])
@pytest.mark.parametrize("name", CODE)
def test_code_in_the_pickle_does_not_run(name: str, script: bool, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = archive(tmp_path / "a.pt", data=CODE[name](mark), script=script)
    for read in (lambda: read_tensors(path), lambda: load("sscd", str(path), device="cpu")):
        with pytest.raises(ImindexError, match=r"not a PyTorch file|another network"):
            read()
    assert not mark.exists()


ARCHIVES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no archive": (lambda path: path.write_bytes(b"x" * 99), "no zip archive"),
    "empty": (lambda path: path.write_bytes(b""), "no zip archive"),
    "cut": (lambda path: path.write_bytes(archive(path).read_bytes()[:200]), "no zip archive"),
    "no pickle": (lambda path: archive(path).unlink() or zipfile.ZipFile(path, "w").close(), "0 members data.pkl"),
    "two pickles": (lambda path: archive(path, members={"b/data.pkl": b""}), "2 members data.pkl"),
    "a nested pickle": (lambda path: archive(path, members={"x/y/data.pkl": b""}), "2 members data.pkl"),
    "a compressed bomb": (
        lambda path: archive(path, members={"model/data/0": b"\0" * (1 << 24)}, compressed=True), "compressed tensors"
    ),
    "a huge pickle": (lambda path: archive(path, data=b"\x80\x02" + b" " * MAX_PICKLE), "a data.pkl of more than"),
    "an empty pickle": (lambda path: archive(path, data=b""), "data.pkl that cannot be read"),
    "a pickle that ends early": (lambda path: archive(path, data=pickled({"w": 1})[:-2]), "pkl that cannot be read"),
    "other byte order": (
        lambda path: archive(path, members={"model/data/0": b"\0" * 16, "model/byteorder": b"big"}), "first byte is"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_files_that_are_no_archives_are_refused(name: str, tmp_path: Path) -> None:
    write, message = ARCHIVES[name]
    path = tmp_path / "a.pt"
    write(path)
    with pytest.raises(ImindexError, match=message):
        read_tensors(path)
    with pytest.raises(ImindexError):
        load("sscd", str(path), device="cpu")


def test_damaged_bytes_and_repeated_members_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pt", members={"model/data/0": b"\1" * 16})
    damaged = path.read_bytes().replace(b"\1" * 16, b"\2" * 16)
    path.write_bytes(damaged)
    with pytest.raises(ImindexError, match=r"a member data/0 that cannot be read \(Bad CRC"):
        read_tensors(path)
    with pytest.warns(UserWarning), zipfile.ZipFile(archive(path), "a") as out:
        out.writestr("model/data/0", b"\3" * 16)
    with pytest.raises(ImindexError, match="two of one name"):
        read_tensors(path)


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    """Many names of one stored member, as in a bomb that is not compressed."""
    path = archive(tmp_path / "a.pt", members={"model/data/0": b"\0" * 100_000})
    with zipfile.ZipFile(path, "a") as out:
        first = out.getinfo("model/data/0")
        for number in range(1, 50):
            copy = zipfile.ZipInfo(f"model/data/{number}")
            for name in (
                "header_offset",
                "file_size",
                "compress_size",
                "CRC",
                "create_version",
                "extract_version",
            ):
                setattr(copy, name, getattr(first, name))
            out.filelist.append(copy)
            out.NameToInfo[copy.filename] = copy
        out._didModify = True
    with pytest.raises(ImindexError, match="larger than the file, or overlap"):
        read_tensors(path)


def test_a_pipe_and_a_folder_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    for path, kind in ((tmp_path / "pipe.pt", "a pipe"), (tmp_path, "a folder")):
        with pytest.raises(ImindexError, match=f"is {kind}, not a regular file"):
            read_tensors(path)


class Acts(torch.nn.Module):
    """A module whose code has an effect as soon as PyTorch loads it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        print("the module's code ran")
        self.weight = state[0]
        self.training = state[1]


def test_code_of_a_script_does_not_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Loading it with PyTorch runs its `__setstate__`."""
    path = tmp_path / "acts.pt"
    torch.jit.save(scripted(Acts()), str(path))
    torch.jit.load(str(path))
    assert "the module's code ran" in capfd.readouterr().out
    with pytest.raises(
        ImindexError, match=r"not a PyTorch file that imindex reads|another network|have no names"
    ):
        load("sscd", str(path), device="cpu")
    assert "code ran" not in capfd.readouterr().out
