"""A Ray cluster of two nodes on loopback, with a token, in a process of its own that ends it.

Run as a program it is that process: it reads `kill`, kills its second node, and answers with a line.
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAST = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}


@dataclass(frozen=True)
class Nodes:
    """The address of the head, the file of the token, and the process that holds the nodes."""

    address: str
    token: Path
    process: subprocess.Popen[str]

    def kill_one(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("kill\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "done"


@contextlib.contextmanager
def two_nodes() -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="imr-"))  # short: names of sockets are limited
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, (folder / "log").read_text()
            yield Nodes(address, token, process)
        finally:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


def main(folder: str) -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from ray._private.utils import get_ray_address_file
    from ray.cluster_utils import Cluster

    cluster = Cluster(shutdown_at_exit=True)
    try:
        nodes = []
        Path(get_ray_address_file(None)).parent.mkdir(
            parents=True, exist_ok=True
        )  # Ray writes into it unasked
        for number in range(2):
            first: dict[str, Any] = {"temp_dir": folder, "_system_config": FAST} if not number else {}
            nodes.append(
                cluster.add_node(
                    num_cpus=1,
                    node_ip_address=f"127.0.0.{number + 2}",
                    object_store_memory=80 * 2**20,
                    include_dashboard=False,
                    **first,
                )
            )
        print(cluster.address, file=out, flush=True)
        for _ in sys.stdin:
            cluster.remove_node(nodes[1], allow_graceful=False)
            print("done", file=out, flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
