"""The architecture: layers, cycles, libraries, packaging and untyped dictionaries, checked in the source.

The import graph is built with `ast`, so nothing is imported. Every `import` statement is an edge, at the top of a file,
in a function or under `if TYPE_CHECKING`. Modules named in strings are not (tables of commands and of encoders,
defaults read from signatures, child processes), because such tables decouple their users from what they list.
"""

from __future__ import annotations

import ast
import configparser
import fnmatch
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.support.places import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LAYERS = (
    ("imindex", "the command and the door"),
    ("retrieval/cli indexer/cli", "a file per command"),
    ("retrieval/serve", "the web page"),
    ("retrieval/api", "the Python door"),
    ("retrieval/panel", "an audit -> a blind panel of people -> what it says"),
    ("retrieval/audit", "plan -> report"),
    ("retrieval/hub", "an index to and from a hub"),
    ("retrieval/export", "an index as files of other programs"),
    ("retrieval/report", "results -> HTML, JSON, CSV"),
    ("retrieval/questions", "further questions that a plan asks"),
    ("retrieval/compare", "two releases -> what changed"),
    ("retrieval/plan_values", "types of the values of a plan"),
    ("retrieval/evidence", "one release -> figures, tests, findings"),
    ("retrieval/projection", "the index as a map"),
    ("retrieval/protocol", "encoders on works alone"),
    ("retrieval/shards", "the same by many workers"),
    ("retrieval/match retrieval/classify retrieval/search", "vectors -> ranks, labels, neighbours"),
    ("retrieval/attributes", "pixels, probes -> style attributes"),
    ("retrieval/vectors", "exact arithmetic over arrays"),
    ("retrieval/results", "result types"),
    ("retrieval/findings", "the findings, as an enumeration"),
    ("indexer/doctor", "is this machine fit"),
    ("indexer/maintain", "the other ways an index is rewritten"),
    ("indexer/integrity", "is it what was written"),
    ("indexer/build", "pictures -> an index"),
    ("indexer/image_api", "names -> pictures, by HTTP"),
    ("indexer/generate", "names -> pictures"),
    ("indexer/runners", "where tasks run"),
    ("indexer/encoders", "pictures, texts -> vectors"),
    ("indexer/ann", "FAISS"),
    ("indexer/store", "HDF5"),
    ("indexer/fetch", "URLs -> pictures"),
    ("indexer/sources", "a source -> items"),
    ("indexer/terminal", "what all commands share"),
    ("indexer/decode", "bytes -> pixels"),
    ("indexer/remote", "objects by URL"),
    ("indexer/demo", "the invented world"),
    ("indexer/system", "files, locks, processes"),
    ("indexer/core", "what an index is, as plain data"),
    ("stats", "arrays -> evidence"),
)
"""The folders, and files outside one, from top to bottom: each imports only from entries below its own.

Entries on one line do not import each other. An entry that does not exist is planned.
"""
DOORS = {"indexer/__init__", "retrieval/__init__"}
"""They import nothing, so they are in no layer."""

LIBRARIES = {
    "h5py": ("indexer/store/",),
    "faiss": ("indexer/ann/",),
    "diffusers": ("indexer/generate/",),
    "open_clip": ("indexer/encoders/open_clip.py",),
    "timm": ("indexer/encoders/timm.py",),
    "cv2": ("retrieval/evidence/outlines.py", "indexer/decode/jpeg.py"),
    "cryptography": ("indexer/integrity/signature.py",),
    "ray": ("indexer/runners/",),
    "httpx": ("indexer/fetch/",),
    "httpcore": ("indexer/fetch/",),
    "obstore": ("indexer/remote/",),
    "fsspec": ("indexer/remote/",),
    "fastapi": ("retrieval/serve/",),
    "starlette": ("retrieval/serve/",),
    "uvicorn": ("retrieval/serve/",),
    "pydantic": ("retrieval/serve/",),
    "click": ("__init__.py", "indexer/cli/", "indexer/terminal/", "retrieval/cli/"),
}
"""Where each library may be imported: a folder, or one file. Only its back end imports an encoder's library."""

FILE_CALLS = frozenset(
    {"read_text", "read_bytes", "write_text", "write_bytes", "open", "touch", "unlink", "rmdir", "mkdir", "symlink_to",
     "hardlink_to", "copyfile", "copy2", "copytree", "rmtree", "remove", "rename", "replace", "open_memmap"}
)  # fmt: skip
"""Calls that open, create or delete a file by its name, as a method or a function of a module."""
NO_FILES = {
    "Image.open", "api.open", "h5a.open", "h5g.open", "h5o.open", "h5py.h5g.open", "imindex.open", "os.replace",
    "webbrowser.open",
}  # fmt: skip
"""Some of that name that do not, or that get bytes or an open file."""
OPENS_FILES = {
    "indexer/build/checkpoint.py": {"unlink", "rmdir"},  # own files, by their patterns and under the lock
    "indexer/decode/worker.py": {"read_text"},  # /proc
    "indexer/demo/diffusion/__init__.py": {"read_bytes"},  # of a package
    "indexer/doctor/machine.py": {"open", "read_text"},  # /proc, and its own temporary folder
    "indexer/encoders/computed_by.py": {"read_text"},  # /proc
    "indexer/encoders/open_clip.py": {"copyfile", "symlink_to", "write_text"},  # its own temporary folder
    "indexer/encoders/plugins.py": {"read_text"},  # metadata of installed packages
    "indexer/encoders/precision.py": {"read_text"},  # /proc
    "indexer/generate/historical_artists.py": {"read_text"},  # of the package
    "indexer/remote/filesystems.py": {"open", "read_bytes"},  # of fsspec, and what is uploaded
    "indexer/remote/cache.py": {"mkdir"},  # private folders, whose permissions pathlib would not set
    "indexer/store/working_copy.py": {"rmdir"},  # its own folder, if it is empty
    "indexer/sources/local.py": {"open"},  # pictures: regular files of a limited size
    "retrieval/audit/demo.py": {"replace"},  # a finished folder, out of its own temporary folder
    "retrieval/panel/page.py": {"read_text"},  # of the package
    "retrieval/report/page.py": {"read_text"},  # of the package
    "retrieval/report/report.py": {"read_bytes"},  # of the package
    "retrieval/serve/metrics.py": {"read_text"},  # /proc
    "retrieval/report/style.py": {"read_text"},  # of the package
}
"""Files outside indexer/system that open files by themselves, and why they may."""

TOP_LEVEL = {"indexer", "retrieval", "stats"}
"""Top-level names that any project may use: ours are below `imindex`."""

PURE = (
    "retrieval/attributes", "retrieval/vectors", "retrieval/search", "retrieval/classify", "retrieval/match", "stats",
)  # fmt: skip
"""Take and return arrays and plain data: no files, no terminal, no processes."""
OUTSIDE = {
    "click", "rich", "pathlib", "os", "io", "sys", "shutil", "subprocess", "tempfile", "glob", "logging", "h5py",
}  # fmt: skip
READS_FILES = {"retrieval/search/query.py": {"pathlib"}}
"""Not pure yet: `ask` opens the index and reads the pictures."""

PRIVATE_YET: dict[str, set[str]] = {}
"""Private names that other modules import. Make them public; add none."""

MOST_UNTYPED = 28
"""Occurrences of `dict[str, Any]` in the package, each at a JSON boundary. Lower it when you can; never raise it."""


@cache
def source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree(path: str) -> ast.Module:
    return ast.parse(source(path))


@cache
def files() -> tuple[str, ...]:
    """The Python files of the package, relative to its root, such as `indexer/core/slug.py`."""
    found = [
        *ROOT.glob("*.py"),
        *(p for top in ("indexer", "retrieval", "stats") for p in (ROOT / top).rglob("*.py")),
    ]
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in found))


def module_of(path: str) -> str:
    parts = ("imindex", *path.removesuffix(".py").split("/"))
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_name(path: str) -> str:
    """Return the name of a file in `LAYERS`: that of its folder, or its own if it is outside one."""
    parts = path.removesuffix(".py").split("/")
    if len(parts) == 1:
        return "imindex"
    return "stats" if parts[0] == "stats" else "/".join(parts[:2])


@cache
def imports(path: str) -> tuple[tuple[str, str], ...]:
    """Return the imports of a file as (module, name); the name is empty for `import module`."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            found += [(str(node.module), alias.name) for alias in node.names]
    return tuple(found)


def libraries(path: str) -> set[str]:
    return {module.partition(".")[0] for module, _ in imports(path)}


@cache
def arrows() -> dict[str, set[str]]:
    """Map each file to the files of the package that it imports."""
    at = {module_of(path): path for path in files()}
    return {
        path: {at.get(f"{module}.{name}", at.get(module, "")) for module, name in imports(path)} - {"", path}
        for path in files()
    }


def folder_arrows() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path, others in arrows().items():
        here = layer_name(path)
        found.setdefault(here, set()).update({layer_name(other) for other in others} - {here})
    return found


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a cycle of a graph as the nodes along it, or an empty list if there is none."""
    done: set[str] = set()

    def walk(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            found = walk(other, [*way, node])
            if found:
                return found
        done.add(node)
        return []

    return next(filter(None, (walk(node, []) for node in sorted(graph))), [])


# Layers


def test_import_cycle_is_detected() -> None:
    assert circle({"a": "b", "b": "c", "c": ""}) == []
    assert circle({"a": "b", "b": "c", "c": "b"}) == ["b", "c", "b"]
    assert circle({"a": "a"}) == ["a", "a"]


def test_the_graph_sees_every_kind_of_import() -> None:
    known = arrows()
    assert "indexer/core/errors.py" in known["indexer/build/build.py"]  # at the top
    assert "indexer/ann/upkeep.py" in known["indexer/build/build.py"]  # in a function
    assert "indexer/decode/preprocess.py" in known["indexer/runners/reader.py"]  # under TYPE_CHECKING
    assert "__init__.py" in known["__main__.py"]
    assert sum(map(len, known.values())) > 400


def test_no_import_cycles_between_files() -> None:
    assert circle(arrows()) == []


def test_no_import_cycles_between_folders() -> None:
    assert circle(folder_arrows()) == []


def test_every_folder_has_a_layer() -> None:
    placed = [name for names, _ in LAYERS for name in names.split()]
    assert len(placed) == len(set(placed))
    assert {layer_name(path) for path in files()} - DOORS <= set(placed)
    assert {path for path in files() if layer_name(path) in DOORS and imports(path)} == set()


def test_the_package_is_imported_by_its_name() -> None:
    assert {path: names for path in files() if (names := libraries(path) & TOP_LEVEL)} == {}


def test_imports_point_downwards() -> None:
    height = {name: -level for level, (names, _) in enumerate(LAYERS) for name in names.split()}
    upward = [
        f"{path} imports {other}"
        for path, others in arrows().items()
        for other in sorted(others)
        if layer_name(path) != layer_name(other) and height[layer_name(path)] <= height[layer_name(other)]
    ]
    assert upward == []


def test_core_and_stats_import_nothing_of_imindex() -> None:
    for bottom in ("indexer/core", "stats"):
        assert folder_arrows()[bottom] == set()


# Libraries


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_are_imported_in_their_folder_only(library: str) -> None:
    users = {path for path in files() if library in libraries(path)}
    assert users, f"{library} is not used: take it out of LIBRARIES and .ruff.toml"
    assert {path for path in users if not path.startswith(LIBRARIES[library])} == set()


def test_ruff_bans_the_same_libraries_in_the_same_folders() -> None:
    lint = tomllib.loads((ROOT / ".ruff.toml").read_text(encoding="utf-8"))["lint"]
    banned = lint["flake8-tidy-imports"]["banned-api"]
    assert set(banned) == {*LIBRARIES, *TOP_LEVEL}
    free = {pattern for pattern, codes in lint["per-file-ignores"].items() if "TID251" in codes}
    places = {
        place + "*.py" if place.endswith("/") else place for where in LIBRARIES.values() for place in where
    }
    assert free == places | {"tests/*", "scripts/*"}
    for library, where in LIBRARIES.items():
        for place in where:
            assert place in banned[library]["msg"], (library, place)


def test_array_modules_do_no_io() -> None:
    wrong = {}
    for path in files():
        if not path.startswith(PURE):
            continue
        found = libraries(path) & OUTSIDE
        calls = {
            node.func.id
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        wrong[path] = found | (calls & {"open", "print", "input"})
    assert {path: what for path, what in wrong.items() if what} == READS_FILES


def file_calls(path: str) -> set[str]:
    """Return the calls of a file that open, create or delete another one."""
    called = set()
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "open":
            called.add("open")
        elif isinstance(node.func, ast.Attribute) and node.func.attr in FILE_CALLS:
            name, n = node.func.attr, len(node.args)
            of_paths = {"replace": n == 1 and not node.keywords, "remove": False, "rename": n == 1}.get(
                name, True
            )
            if ast.unparse(node.func.value) == "os" or (of_paths and ast.unparse(node.func) not in NO_FILES):
                called.add(name)
    return called


def test_files_are_opened_through_the_helpers_of_indexer_system() -> None:
    """They refuse links, pipes and devices, and give temporary files names that nobody can predict."""
    found = {
        path: calls
        for path in files()
        if not path.startswith("indexer/system/") and (calls := file_calls(path))
    }
    assert found == OPENS_FILES


# Names


def private_names(path: str) -> set[str]:
    """Return the private names of other modules that a file uses, by import or as an attribute of a module."""
    modules = set(map(module_of, files()))
    taken = {f"{module}.{name}" for module, name in imports(path) if module.startswith("imindex")} - modules
    named = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if f"{node.module}.{alias.name}" in modules
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in named:
            taken.add(f"{named[node.value.id]}.{node.attr}")
    return {full for full in taken if re.fullmatch(r"_(?!_).*", full.rpartition(".")[2])}


def test_private_names_are_not_imported() -> None:
    assert {path: names for path in files() if (names := private_names(path))} == PRIVATE_YET


def test_untyped_dictionaries_become_fewer() -> None:
    count = sum(source(path).count("dict[str, Any]") for path in files())
    assert count <= MOST_UNTYPED, (
        "a result is a frozen type; dict[str, Any] is for JSON that came from outside"
    )
    assert count > MOST_UNTYPED - 20, f"there are {count} left: lower MOST_UNTYPED"


# Packaging


@cache
def setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def test_setup_cfg_lists_every_package() -> None:
    packages = setup()["options"]["packages"].split()
    assert packages == sorted(packages)
    assert packages == sorted(module_of(path) for path in files() if path.rpartition("/")[2] == "__init__.py")
    assert {path.rpartition("/")[0] for path in files()} == {
        "/".join(name.split(".")[1:]) for name in packages
    }, "each folder with Python files has an __init__.py"


def test_setup_cfg_installs_every_other_file() -> None:
    """Every other file beside the code is read by it or belongs to its documentation."""
    packages = setup()["options"]["packages"].split()
    data = {name: setup()["options.package_data"].get(name, "").split() for name in packages}
    for folder in ("indexer", "retrieval", "stats"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_dir() or path.suffix in (".py", ".pyc"):
                continue
            package = max(
                (
                    name
                    for name in packages
                    if (ROOT / name.removeprefix("imindex").replace(".", "/").lstrip("/")) in path.parents
                ),
                key=len,
            )
            inside = path.relative_to(ROOT / package.removeprefix("imindex.").replace(".", "/")).as_posix()
            assert any(matches(inside, pattern) for pattern in data[package]), path
    assert data["imindex"] == ["py.typed"] and Path(ROOT / "py.typed").exists()


def matches(path: str, pattern: str) -> bool:
    """Return whether a setuptools pattern matches a file: a star does not match a slash."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def test_every_pattern_of_setup_cfg_finds_a_file() -> None:
    for package, patterns in setup()["options.package_data"].items():
        folder = ROOT / "/".join(package.split(".")[1:])
        for pattern in patterns.split():
            assert any(folder.glob(pattern)), f"{package}: {pattern}"
