"""Simulate power cuts: log writes, creations, renames and deletions, and replay them up to any moment.

The model assumes only what POSIX guarantees. The bytes of a file are durable after its fsync; before it, any part of
them may be on the disk. A created, renamed or deleted name is durable after the fsync of its folder; before it, each
such change may or may not have happened, independently of the others.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Tree = dict[str, bytes | None]
"""Path below the root -> bytes; None for a folder."""


class Log:
    """The operations below a folder, in order: (name, path below the folder, ...)."""

    def __init__(self, root: Path):
        self.root = root
        self.before = read_tree(root)
        self.operations: list[tuple[Any, ...]] = []
        self._seen: dict[str, bytes | None] = dict(self.before)

    def mark(self, what: Any) -> None:
        """Record that the program has reported something to its caller."""
        self.operations.append(("mark", what))

    def inside(self, path: object, dir_fd: int | None = None) -> str | None:
        folder = Path(f"/proc/self/fd/{dir_fd}").readlink() if dir_fd is not None else Path.cwd()
        whole = os.path.normpath(folder / os.fsdecode(path))  # type: ignore[type-var]
        return os.path.relpath(whole, self.root) if Path(whole).is_relative_to(self.root) else None

    def content(self, name: str) -> None:
        """Record the current content of a file, if it was unknown."""
        path = self.root / name
        if not path.is_file():
            return
        data = path.read_bytes()
        if name not in self._seen:
            self.operations.append(("create", name, data))
        elif self._seen[name] != data:
            self.operations.append(("write", name, data))
        self._seen[name] = data

    def add(self, operation: str, *names: str) -> None:
        self.operations.append((operation, *names))
        if operation == "rename":
            self._seen[names[1]] = self._seen.pop(names[0], None)
        elif operation in ("unlink", "rmdir"):
            self._seen.pop(names[0], None)


@contextmanager
def recorded(root: Path) -> Iterator[Log]:
    """Log what this process does to files below a folder. Writes by HDF5 appear at the next fsync or rename."""
    log = Log(root)
    with pytest.MonkeyPatch.context() as patch:
        real = {
            name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
        }

        def fsync(descriptor: int) -> None:
            name = log.inside(Path(f"/proc/self/fd/{descriptor}").readlink())
            if name is not None:
                log.content(name)
                for path in (root / name).iterdir() if (root / name).is_dir() else ():
                    log.content(os.path.relpath(path, root))  # what was opened there since
            real["fsync"](descriptor)
            if name is not None:
                log.add("fsync", name)

        def rename(source: Any, target: Any, **options: Any) -> None:
            names = log.inside(source), log.inside(target)
            if names[0] is not None:
                log.content(names[0])
            real["replace"](source, target, **options)
            if names[0] is not None and names[1] is not None:
                log.add("rename", names[0], names[1])

        def of_one(operation: str) -> Callable[..., None]:
            def run(path: Any, *more: Any, dir_fd: int | None = None, **options: Any) -> None:
                name = log.inside(path, dir_fd)
                if name is not None and operation == "unlink":
                    log.content(name)
                real[operation](path, *more, dir_fd=dir_fd, **options)
                if name is not None:
                    log.add(operation, name)

            return run

        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", rename)
        patch.setattr(os, "rename", rename)
        for operation in ("unlink", "mkdir", "rmdir"):
            patch.setattr(os, operation, of_one(operation))
        yield log


class _File:
    def __init__(self, data: bytes):
        self.sure: bytes | None = None
        self.written = data

    def may_hold(self, how: str) -> bytes:
        if self.sure == self.written or how == "all":
            return self.written
        kept = self.sure or b""
        if how == "none":
            return kept
        start = len(kept) if self.written.startswith(kept) else 0
        return self.written[: start + (len(self.written) - start) // 2]


class _Folder:
    def __init__(self) -> None:
        self.sure: dict[str, _File | _Folder] = {}
        self.now: dict[str, _File | _Folder] = {}
        self.pending: list[tuple[Any, ...]] = []

    def change(self, *operation: Any) -> None:
        self.pending.append(operation)
        _apply(self.now, operation)


def _apply(names: dict[str, Any], operation: tuple[Any, ...]) -> None:
    if operation[0] == "put":
        names[operation[1]] = operation[2]
    elif operation[0] == "take":
        names.pop(operation[1], None)
    else:
        _, source, target, node = operation
        names.pop(source, None)
        names[target] = node


def states(log: Log, seed: int = 0) -> Iterator[tuple[Tree, list[Any]]]:
    """Yield the possible states of the disk after a power cut at every moment of a log, with the marks set by then.

    At each moment, the changes of names that are not durable yet are applied as none, all, all but one, only one, and
    at random.
    """
    disk = _disk(log.before)
    rng = np.random.default_rng(seed)
    marks: list[Any] = []
    seen = set()
    for operation in [("start",), *log.operations]:
        _play(disk, operation, marks)
        pending = [id(change) for folder in _folders(disk) for change in folder.pending]
        chosen = [set(pending), set()]
        chosen += [{one} for one in pending] + [set(pending) - {one} for one in pending]
        chosen += [{one for one in pending if rng.random() < 0.5} for _ in range(2)]
        torn = any(node.sure != node.written for folder in _folders(disk) for node in _files(folder))
        for happened, how in itertools.product(chosen, ("none", "half", "all") if torn else ("all",)):
            tree: Tree = {}
            _write_down(disk, happened, how, "", tree)
            key = (len(marks), *sorted(tree.items(), key=lambda pair: pair[0]))
            if key not in seen:
                seen.add(key)
                yield tree, list(marks)


def _disk(tree: Tree) -> _Folder:
    disk = _Folder()
    for name, data in tree.items():
        node: _File | _Folder = _Folder() if data is None else _File(data)
        if isinstance(node, _File):
            node.sure = data
        folder, last = _parent(disk, name)
        folder.now[last] = folder.sure[last] = node
    return disk


def _parent(disk: _Folder, name: str) -> tuple[_Folder, str]:
    *above, last = Path(name).parts
    folder = disk
    for part in above:
        below = folder.now[part]
        assert isinstance(below, _Folder)
        folder = below
    return folder, last


def _play(disk: _Folder, operation: tuple[Any, ...], marks: list[Any]) -> None:
    kind, *rest = operation
    if kind == "mark":
        marks.append(rest[0])
    elif kind == "start" or (kind == "fsync" and rest[0] == "."):
        _sure(disk)
    else:
        folder, last = _parent(disk, rest[0])
        if kind == "create":
            folder.change("put", last, _File(rest[1]))
        elif kind == "mkdir":
            folder.change("put", last, _Folder())
        elif kind in ("unlink", "rmdir"):
            folder.change("take", last)
        elif kind == "rename":
            there, target = _parent(disk, rest[1])
            assert there is folder  # all that imindex does
            folder.change("rename", last, target, folder.now[last])
        elif kind == "write":
            node = folder.now[last]
            assert isinstance(node, _File)
            node.written = rest[1]
        elif isinstance(node := folder.now[last], _Folder):
            _sure(node)
        else:
            node.sure = node.written


def _sure(folder: _Folder) -> None:
    folder.sure, folder.pending = dict(folder.now), []


def _folders(folder: _Folder) -> Iterator[_Folder]:
    yield folder
    every = {id(node): node for names in (folder.sure, folder.now) for node in names.values()}
    every |= {id(change[-1]): change[-1] for change in folder.pending if change[0] != "take"}
    for node in every.values():
        if isinstance(node, _Folder):
            yield from _folders(node)


def _files(folder: _Folder) -> Iterator[_File]:
    every = [*folder.sure.values(), *folder.now.values()]
    return (node for node in every if isinstance(node, _File))


def _write_down(folder: _Folder, happened: set[int], how: str, prefix: str, tree: Tree) -> None:
    names = dict(folder.sure)
    for change in folder.pending:
        if id(change) in happened:
            _apply(names, change)
    for name, node in names.items():
        if isinstance(node, _Folder):
            tree[prefix + name] = None
            _write_down(node, happened, how, f"{prefix}{name}/", tree)
        else:
            tree[prefix + name] = node.may_hold(how)


def read_tree(root: Path) -> Tree:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def lay(root: Path, tree: Tree) -> None:
    """Replace the content of a folder by a state of the disk."""
    for path in list(root.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, data in sorted(tree.items()):
        path = root / name
        if data is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
