"""A Ray cluster of several nodes on loopback, in a process of its own, which ends it; with a token.

Run as a program it is that process: it reads `add`, `remove N`, `kill N`, `stop N` or `go N`, one a line, and answers
with a line.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

NODE_CPUS = 1
STORE = 80 * 2**20


class RayCluster:
    """Attributes: `address`, and `environment` for programs that connect to it."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], environment: dict[str, str]):
        self.folder, self._process, self.environment = folder, process, environment
        self.address = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line and not line.startswith("error"), line
        return line

    def __call__(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._line()


@contextlib.contextmanager
def ray_cluster(n_nodes: int = 2, mode: str = "token") -> Iterator[RayCluster]:
    folder = Path(tempfile.mkdtemp(prefix="imr-"))  # short: names of sockets are limited
    (folder / "token").write_text(secrets.token_hex(32))
    (folder / "token").chmod(0o600)
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    process = subprocess.Popen(
        [sys.executable, __file__, str(folder), str(n_nodes)],
        env={**environment, "RAY_AUTH_MODE": mode},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "log").open("w"),
        text=True,
        start_new_session=True,
    )
    try:
        yield RayCluster(folder, process, environment)
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        end = time.monotonic() + 5
        while time.monotonic() < end and (pids := processes(folder, "ray::")):
            for pid in pids:  # agents outlive a node that was killed by more than a minute
                with contextlib.suppress(OSError):
                    if b"Agent" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)  # a worker that is just starting would make the folder again
        shutil.rmtree(folder, ignore_errors=True)


def processes(folder: Path, title: str) -> list[int]:
    """The processes of a cluster whose command line begins like this."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                mine = str(folder).encode() in (process / "environ").read_bytes()
                if mine and (process / "cmdline").read_bytes().startswith(title.encode()):
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def main(folder: str, n_nodes: int) -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from ray._private.utils import get_ray_address_file
    from ray.cluster_utils import Cluster

    cluster = Cluster(shutdown_at_exit=True)
    Path(get_ray_address_file(None)).parent.mkdir(parents=True, exist_ok=True)  # Ray writes into it unasked
    nodes = []

    def add() -> None:
        number = len(nodes)
        nodes.append(
            cluster.add_node(
                num_cpus=NODE_CPUS,
                node_ip_address=f"127.0.0.{number + 2}",
                object_store_memory=STORE,
                include_dashboard=False,
                **({"temp_dir": folder, "_system_config": FAST} if not number else {}),
            )
        )

    def raylet(number: int) -> int:
        return nodes[number].all_processes["raylet"][0].process.pid

    try:
        for _ in range(n_nodes):
            add()
        print(cluster.address, file=out, flush=True)
        for line in sys.stdin:
            command, _, number = line.strip().partition(" ")
            if command == "add":
                add()
            elif command == "remove":
                cluster.remove_node(nodes[int(number)], allow_graceful=False)
            else:
                os.kill(
                    raylet(int(number)), {"kill": 9, "stop": signal.SIGSTOP, "go": signal.SIGCONT}[command]
                )
            print("done", file=out, flush=True)
    finally:
        for node in nodes:
            with contextlib.suppress(Exception):
                os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGCONT)
        cluster.shutdown()


FAST = {
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
    "health_check_initial_delay_ms": 1000,
}

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
