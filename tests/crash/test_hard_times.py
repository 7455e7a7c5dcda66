"""A full disk, a read-only folder, a file size limit or no memory gives a clear message and loses nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.crashing import Server
from tests.support.workloads import Workload, identity, prepare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts, and limits of Linux")


@pytest.fixture(scope="module")
def adding(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return prepare(tmp_path_factory.mktemp("hard") / "work", server, ["add"])[0]


@pytest.fixture
def mounted(tmp_path: Path, adding: Workload) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a tmpfs with the starting files of `add` and returns its folder."""
    place = adding.start.with_name("run")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()

    def mount(size: str) -> Path:
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("this test needs the right to mount a tmpfs")
        shutil.copytree(adding.start, place, dirs_exist_ok=True)
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def goes_on(server: Server, adding: Workload, place: Path) -> None:
    ended = server.run(place, adding.words)
    assert ended.code == 0, ended.said
    assert identity("add", place) == adding.after
    assert sorted(path.name for path in place.iterdir()) == ["i.h5"]


def refused(ended: Any, adding: Workload, place: Path, *words: str) -> None:
    assert ended.code == 1, ended.said
    last = ended.said.strip().splitlines()[-1]
    assert last.startswith("Error: ") and "Traceback" not in ended.said, ended.said
    for word in words:
        assert word in last, ended.said
    assert identity("add", place) == adding.before


def test_a_full_disk(server: Server, adding: Workload, mounted: Callable[[str], Path]) -> None:
    place = mounted("4m")
    free = shutil.disk_usage(place).free
    (place / "ballast").write_bytes(bytes(free - 16_384))  # room for parts, not for an index
    ended = server.run(place, adding.words)
    refused(ended, adding, place, "i.h5", "No space left on device", "Free space")
    kept = len(ended.committed)
    (place / "ballast").unlink()
    again = server.run(place, adding.words)
    assert again.code == 0 and (f"{kept} pictures already encoded" in again.said or not kept), again.said
    assert identity("add", place) == adding.after


def test_a_read_only_folder(server: Server, adding: Workload, mounted: Callable[[str], Path]) -> None:
    place = mounted("4m")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    ended = server.run(place, adding.words)
    refused(ended, adding, place, "i.h5.parts", "Read-only file system")
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
    goes_on(server, adding, place)


def laid(adding: Workload) -> Path:
    place = adding.start.with_name("run")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(adding.start, place)
    return place


def test_a_limit_on_file_sizes(server: Server, adding: Workload) -> None:
    place = laid(adding)
    ended = server.run(place, adding.words, **{"file-bytes": 8_192})  # parts fit, the index does not
    refused(ended, adding, place, "i.h5", "File too large", "ulimit")
    assert ended.committed
    goes_on(server, adding, place)


def test_no_memory(server: Server, adding: Workload) -> None:
    place = laid(adding)
    ended = server.run(place, adding.words, **{"memory-bytes": 0})
    refused(ended, adding, place, "memory", "--batch-size")
    goes_on(server, adding, place)
