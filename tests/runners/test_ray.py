"""Builds on real Ray clusters on loopback: nodes removed, processes killed and stopped, tokens, other bits."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from imindex.indexer.store.index import Index
from tests.support.builds import digest
from tests.support.pictures import picture
from tests.support.ray_cluster import RayCluster, processes, ray_cluster

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs imindex[ray]")
DRIVER = Path(__file__).parents[1] / "support/ray_driver.py"
ENCODER, DECODER = "ray::ImindexEncodeWorker", "ray::ImindexDecodeWorker"


def draw(root: Path, n: int) -> Path:
    """Small pictures: repeated, unreadable, black, PNG and JPEG."""
    for number in range(n):
        folder = root / ("works/ada", "works/bo", "imitations/r1/ada", "background/bo")[number % 4]
        folder.mkdir(parents=True, exist_ok=True)
        # A whole folder of PNG, whose pixels have their channels last: batches of them have the same bits as well.
        path = folder / f"{number:04d}.{'png' if number % 10 == 3 or number % 4 == 3 else 'jpg'}"
        if number % 25 == 7:
            path.write_bytes(b"no picture %d" % number)
        elif number % 30 == 9:
            path.write_bytes(picture_bytes(root, number - 8))
        elif number % 60 == 22:
            Image.new("RGB", (20 + number, 30)).save(path)
        else:
            picture(number).save(path)
    return root


def picture_bytes(root: Path, number: int) -> bytes:
    return next(root.rglob(f"{number:04d}.*")).read_bytes()


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def plain(pictures: Path, index: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "imindex",
        "build",
        pictures,
        "-i",
        index,
        "--model",
        "demo",
        "--batch-size",
        "8",
    ]
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    return digest(index)


def start(cluster: RayCluster | None, pictures: Path, index: Path, *options: str) -> subprocess.Popen[str]:
    """Start a build on a cluster, or on a private one."""
    on = ["--address", cluster.address, "--encoders", "2"] if cluster else []
    variables = cluster.environment if cluster else {**environment(), "TMPDIR": "/tmp"}
    return subprocess.Popen(
        [sys.executable, DRIVER, "4", "build", pictures, "-i", index, "--model", "demo", "--batch-size", "8",
         "--on", "ray", *on, *options],
        env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


def n_parts(index: Path) -> int:
    return len(list(Path(f"{index}.parts").glob("part-*.npz")))


def test_a_node_removed_and_processes_killed_and_a_driver_killed_leave_the_same_root(tmp_path: Path) -> None:
    pictures, index = draw(tmp_path / "art", 400), tmp_path / "i.h5"
    expected = plain(pictures, tmp_path / "plain.h5")
    with ray_cluster(2) as cluster:
        first = start(cluster, pictures, index)
        wait_until(lambda: n_parts(index) >= 6, first)
        first.kill()
        first.communicate()
        before = n_parts(index)
        assert 6 <= before < 40
        assert not index.exists()
        second = start(cluster, pictures, index)
        wait_until(lambda: n_parts(index) >= before + 3, second)
        os.kill(processes(cluster.folder, ENCODER)[0], signal.SIGSTOP)
        wait_until(lambda: n_parts(index) >= before + 5, second)
        os.kill(processes(cluster.folder, DECODER)[0], signal.SIGKILL)
        wait_until(lambda: n_parts(index) >= before + 8, second)
        cluster("remove 1")
        output = second.communicate(timeout=300)[0]
        assert second.returncode == 0, output
        assert "already encoded by an interrupted run" in output
        assert digest(index) == expected
        assert not Path(f"{index}.parts").exists()
    assert not processes(cluster.folder, "ray")
    assert not cluster.folder.exists()
    with Index(index) as built, Index(tmp_path / "plain.h5") as alone:
        for table in ("items", "rejects"):
            assert list(built.column("path", table)) == list(alone.column("path", table))
        assert list(built.column("reason", "rejects")) == list(alone.column("reason", "rejects"))


@pytest.mark.clusters
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_private_cluster_ends_with_its_driver_or_is_cleared_by_the_next(
    tmp_path: Path, number: int
) -> None:
    pictures, index = draw(tmp_path / "art", 200), tmp_path / "i.h5"
    expected = plain(pictures, tmp_path / "plain.h5")
    killed = start(None, pictures, index)
    wait_until(lambda: n_parts(index) >= 2, killed)
    left = folder_of(killed)
    assert left.stat().st_mode & 0o777 == 0o700
    killed.kill()
    killed.communicate()
    assert left.exists()
    stopped, before = start(None, pictures, index), n_parts(index)
    wait_until(lambda: n_parts(index) >= before + 2, stopped)
    folder = folder_of(stopped)
    assert not left.exists()
    assert not processes(left, "ray")
    stopped.send_signal(number)
    output = stopped.communicate(timeout=60)[0]
    assert stopped.returncode == 128 + number, output
    assert "Run the same command again to resume" in output
    assert not folder.exists()
    assert not processes(folder, "ray")
    last = start(None, pictures, index)
    output = last.communicate(timeout=300)[0]
    assert last.returncode == 0, output
    assert "already encoded by an interrupted run" in output
    assert digest(index) == expected


def folder_of(process: subprocess.Popen[str]) -> Path:
    """The folder of a private cluster."""
    owners = Path("/tmp").glob("imindex-ray-*/owner")
    [found] = [owner.parent for owner in owners if json.loads(owner.read_text())["pid"] == process.pid]
    return found


@pytest.mark.slow
def test_encoders_that_compute_other_bits_are_refused_unless_allowed(tmp_path: Path) -> None:
    pictures, index = draw(tmp_path / "art", 24), tmp_path / "i.h5"
    script = DRIVER.with_name("ray_mixed.py")
    done = subprocess.run(
        [sys.executable, script, pictures, index],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "No encoder is left" in told["error"]
    assert "encodes fixed pictures to other bits than the build's" in told["error"]
    assert "--allow-mixed" in told["error"]
    assert told["rows"] > 20
    assert len(told["kinds"]) == 1
    assert "DEFAULT" in told["kinds"][0]
    build = [sys.executable, "-m", "imindex", "build", draw(tmp_path / "more", 28), "-i", index]
    more = subprocess.run(build, env=environment(), capture_output=True, text=True, check=False)
    assert more.returncode == 0, more.stderr
    assert "are mixed: their last bits may differ" in more.stderr


@pytest.mark.slow
def test_a_cluster_without_a_token_and_a_wrong_token_are_refused(tmp_path: Path) -> None:
    pictures, index = draw(tmp_path / "art", 4), tmp_path / "i.h5"
    with ray_cluster(1) as cluster:
        wrong = tmp_path / "token"
        wrong.write_text("0" * 64)
        cluster.environment["RAY_AUTH_TOKEN_PATH"] = str(wrong)
        refused = start(cluster, pictures, index)
        output = refused.communicate(timeout=200)[0]
        assert refused.returncode == 1
        assert "Check that the token is that of the cluster" in output
        assert "0" * 64 not in output
        del cluster.environment["RAY_AUTH_TOKEN_PATH"]
        cluster.environment["HOME"] = str(tmp_path)
        missing = start(cluster, pictures, index)
        output = missing.communicate(timeout=200)[0]
        assert missing.returncode == 1
        assert "No token for the Ray cluster" in output
    with ray_cluster(1, mode="disabled") as cluster:
        opened = start(cluster, pictures, index)
        output = opened.communicate(timeout=200)[0]
        assert opened.returncode == 1
        assert "needs no token, so everybody who reaches it can run code" in output
    assert not index.exists()
