"""imindex installed from a wheel, an editable wheel, an sdist and a checkout, beside other people's modules.

Nothing is installed into this environment: the builds are unpacked into folders that precede its packages on the path.
"""

from __future__ import annotations

import json
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest

from imindex import __version__
from tests.support.installs import (
    build,
    console_script,
    copy_checkout,
    editable_path,
    environment,
    somebody_elses,
    tracked,
    under_its_name,
    unpack,
)
from tests.support.pictures import picture

PACKAGES = ("indexer", "retrieval", "stats")
SHADOWS = ("stats", "indexer/", "retrieval")
"""Names that a user's folder may contain: imindex once installed them at the top level."""


def finished(words: list[Any], folder: Path, env: dict[str, str]) -> str:
    """Run a process in a folder; return what it wrote to stdout."""
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout whose folder is not called imindex."""
    return copy_checkout(tmp_path_factory.mktemp("clean") / "some checkout")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an unpacked wheel, built from a clean checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    return unpack(build(copy_checkout(folder / "checkout"), "wheel", folder / "dist"), folder / "unpacked")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked sdist, built from a clean checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    return unpack(build(copy_checkout(folder / "checkout"), "sdist", folder / "dist"), folder / "unpacked")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that other people's modules write when they are imported."""
    return tmp_path / "imported"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_holds_every_module_page_and_data_file_and_nothing_else(wheel: Path) -> None:
    assert sorted(path.name for path in wheel.iterdir()) == ["imindex", f"imindex-{__version__}.dist-info"]
    (top_level,) = wheel.glob("*.dist-info/top_level.txt")
    assert top_level.read_text().split() == ["imindex"]
    expected = {name for name in tracked() if name.split("/")[0] in PACKAGES}
    expected |= {"__init__.py", "__main__.py", "py.typed"}
    assert {"retrieval/report/templates/report.css", "indexer/store/FORMAT.md"} < expected
    assert files(wheel / "imindex") == expected, "name new folders and data files in setup.cfg"


def test_the_sdist_holds_the_checkout(sdist: Path) -> None:
    made = {name for name in files(sdist) if name.startswith("imindex.egg-info/")} | {"PKG-INFO"}
    assert files(sdist) - made == {*tracked()} - {".gitignore"}, "name new folders in MANIFEST.in"


def test_a_wheel_built_from_the_sdist_is_the_same(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    again = unpack(build(sdist, "wheel", tmp_path / "dist"), tmp_path / "unpacked")
    assert files(again) == files(wheel)
    for name in files(wheel / "imindex"):
        assert (again / "imindex" / name).read_bytes() == (wheel / "imindex" / name).read_bytes()


def test_metadata_lists_the_requirements(wheel: Path) -> None:
    (written,) = wheel.glob("*.dist-info/METADATA")
    metadata = HeaderParser().parsestr(written.read_text(encoding="utf-8"))
    assert (metadata["Name"], metadata["Requires-Python"]) == ("imindex", ">=3.10")
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert len(metadata.get_all("Requires-Dist", [])) > 20


@pytest.mark.slow
def test_the_tests_run_from_the_sdist(sdist: Path, tmp_path: Path) -> None:
    env = environment(under_its_name(sdist, tmp_path / "path"))
    where = finished([sys.executable, "-c", "import imindex; print(imindex.__file__)"], tmp_path, env)
    assert Path(where.strip()).resolve() == sdist / "__init__.py"
    quick = "test_accuracy.py or test_requirements.py or test_migrate.py"  # all others are collected
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", quick]
    assert "passed" in finished(words, sdist, env)


FRONT_DOOR = """
import imindex, json, sys
loaded = {name: module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "imindex"}
print(json.dumps({"version": imindex.__version__, "files": loaded}))
"""


def test_the_wheel_is_imported_beside_other_peoples_modules(wheel: Path, tmp_path: Path, mark: Path) -> None:
    folder = somebody_elses(tmp_path / "work", *SHADOWS, mark=mark)
    env = environment(wheel)
    found = json.loads(finished([sys.executable, "-c", FRONT_DOOR], folder, env))
    assert all(Path(path).is_relative_to(wheel) for path in found["files"].values())
    words = [sys.executable, "-m", "imindex"]
    assert finished([*words, "--version"], folder, env) == f"imindex, version {found['version']}\n"
    assert "imindex demo" in finished([*words, "--help"], folder, env)
    assert not mark.exists()


def test_the_wheel_runs_the_demo_beside_other_peoples_modules(
    wheel: Path, tmp_path: Path, mark: Path
) -> None:
    folder = somebody_elses(tmp_path / "work", *SHADOWS, "imindex/", "PIL", "numpy", mark=mark)
    imindex = [sys.executable, console_script(wheel, tmp_path / "bin")]
    env = environment(wheel, OMP_NUM_THREADS="1")
    small = ["--works", 2, "--imitations", 1, "--placebos", 1, "--steps", 1, "--device", "cpu"]
    said = finished([*imindex, "demo", "demo", *small], folder, env)
    assert "Report: demo/plan-audit/report.html" in said
    report = json.loads((folder / "demo/plan-audit/report.json").read_text(encoding="utf-8"))
    assert [release["n_imitations"] for release in report["releases"]] == [41, 41]
    assert "<svg" in (folder / "demo/plan-audit/report.html").read_text(encoding="utf-8")
    assert not mark.exists()


CHILDREN = """
import json, sys
from pathlib import Path
import pyarrow.parquet
import imindex
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.pool import Decoders
from imindex.indexer.doctor.machine import file_system
from imindex.indexer.sources.find import find

sys.path[:0] = ["", ".", str(Path.cwd())]  # as `python -c`, `python -m` and notebooks have it
with Decoders(Limits()) as pool:
    shape = pool(Path("picture.png").read_bytes()).shape
rows = [item.artist for item in find([Path("manifest.parquet")], kind="works")]
locks = file_system(Path("."))
print(json.dumps([imindex.__file__, shape, rows, locks.status, locks.said]))
"""


@pytest.mark.parametrize("how", ["wheel", "editable wheel", "checkout"])
def test_child_processes_import_imindex_but_not_the_current_folder(
    how: str, request: pytest.FixtureRequest, checkout: Path, tmp_path: Path, mark: Path
) -> None:
    """A decoder, the Parquet reader and the lock probe, with the current folder first on the path."""
    import pyarrow as pa
    import pyarrow.parquet

    names = ("imindex/", "indexer/", "PIL", "numpy/", "pyarrow/", "json", "stats")
    folder = somebody_elses(tmp_path / "work", *names, mark=mark)
    picture(1).save(folder / "picture.png")
    pa.parquet.write_table(
        pa.table({"path": ["picture.png"], "artist": ["Ada"]}), folder / "manifest.parquet"
    )
    command, code = [sys.executable], CHILDREN
    if how == "wheel":
        root = request.getfixturevalue("wheel")
        env, package = environment(root), root / "imindex"
    elif how == "editable wheel":
        made = build(checkout, "editable", tmp_path / "dist")
        env, package = environment(), checkout
        command, code = [*command, "-S"], editable_path(unpack(made, tmp_path / "unpacked")) + CHILDREN
    else:
        env, package = environment(under_its_name(checkout, tmp_path / "path")), checkout
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    said = finished([*command, tmp_path / "script.py"], folder, env)
    found, shape, rows, status, locks = json.loads(said)
    assert Path(found).resolve().parent == package
    assert (shape, rows, status) == ([40, 48, 3], ["Ada"], "ok"), locks
    assert not mark.exists()
