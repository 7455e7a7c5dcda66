"""Symbolic links and pipes in the folder of an audit, which a stranger may have sent with its plan."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import SUFFIX
from imindex.retrieval.audit import runs
from imindex.retrieval.audit.audit import Outcome
from tests.support.audits import run_plan

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX"),
]
PRECIOUS = b"a file of the user\n"


@pytest.fixture
def sent(finished: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A finished audit as a stranger sent it, with a plan that asks for the same."""
    return shutil.copytree(finished[0], tmp_path / "world", symlinks=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "precious").write_bytes(PRECIOUS)
    (folder / f".precious.{16 * '0'}{SUFFIX}").write_bytes(PRECIOUS)
    return folder


def whole(folder: Path) -> bool:
    return {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "precious": PRECIOUS,
        f".precious.{16 * '0'}{SUFFIX}": PRECIOUS,
    }


@pytest.mark.parametrize("name", [".lock", runs.NAME])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_files_that_are_changed_in_place_are_no_links(
    name: str, link: Callable, sent: Path, home: Path
) -> None:
    (sent / "audit" / name).unlink(missing_ok=True)
    link(sent / "audit" / name, home / "precious")
    with pytest.raises(ImindexError, match=f"{name} (is a symbolic link|has 2 names)"):
        run_plan(sent)
    assert whole(home)


def linked(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("name", ["", "imitations", "imitations/one", "imitations/one/names", "results"])
def test_folders_that_are_written_into_are_no_links(name: str, sent: Path, home: Path) -> None:
    linked(sent / "audit" / name, home)
    with pytest.raises(ImindexError, match=f"{(sent / 'audit' / name).name} is a symbolic link to"):
        run_plan(sent)
    assert whole(home)


def test_the_results_of_an_encoder_are_not_written_through_a_link(sent: Path, home: Path) -> None:
    (folder,) = (sent / "audit/results").iterdir()
    linked(folder, home)
    with pytest.raises(ImindexError, match=f"{folder.name} is a symbolic link to"):
        run_plan(sent)
    assert whole(home)


def test_the_index_of_an_audit_is_no_link(sent: Path, built: Path, tmp_path: Path) -> None:
    """An audit prunes its index: rows of the user's own index would be lost."""
    (index,) = (sent / "audit").glob("*.h5")
    own = shutil.copy(built, tmp_path / "own.h5")
    linked(index, own)
    with Index(own) as opened:
        before = opened.root_digest
    with pytest.raises(ImindexError, match=f"{index.name} is a symbolic link to"):
        run_plan(sent)
    with Index(own) as opened:
        assert opened.root_digest == before


@pytest.mark.parametrize("name", ["report.html", "report.json", "artists.csv", "register.jsonl"])
def test_written_files_replace_a_link(name: str, sent: Path, home: Path) -> None:
    file = sent / "audit" / name
    kept = file.rename(file.with_name("kept"))
    file.symlink_to(home / "precious" if name == "report.html" else kept)
    run_plan(sent)
    assert name == "register.jsonl" or not file.is_symlink()
    assert whole(home)
