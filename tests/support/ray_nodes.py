"""Nodes of a Ray cluster on loopback, for tests: real processes, each with an address of its own, and a token."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

_TIMELY = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}


@dataclass
class Nodes:
    """A running cluster.

    Attributes
    ----------
    address : str
        Of its head, where the driver runs.
    """

    cluster: Any
    address: str
    nodes: list[Any] = field(default_factory=list)
    started: int = 0

    def add(self, cpus: int = 1) -> Any:
        """Start another node."""
        node = self.cluster.add_node(
            num_cpus=cpus, node_ip_address=f"127.0.0.{50 + self.started}", object_store_memory=100 * 2**20
        )
        self.nodes.append(node)
        self.started += 1
        return node

    def kill(self, node: Any) -> None:
        """End a node as a power cut does."""
        self.cluster.remove_node(node, allow_graceful=False)


@contextmanager
def ray_nodes(*cpus: int) -> Iterator[Nodes]:
    """Start a head without processors, and nodes with the given numbers; all end with the block."""
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(prefix="imx-ray-") as folder:
        token = Path(folder, "token")
        token.write_text(secrets.token_hex(32))
        settings = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DISABLE_IMPORT_WARNING": "1",
        }
        with mock.patch.dict(os.environ, settings):
            os.environ.pop("RAY_AUTH_TOKEN", None)
            from ray import _raylet
            from ray.cluster_utils import Cluster

            _raylet.Config.initialize("")
            _raylet.AuthenticationTokenLoader.instance().reset_cache()
            cluster = Cluster(
                initialize_head=True,
                head_node_args={
                    "num_cpus": 0,
                    "node_ip_address": "127.0.0.2",
                    "include_dashboard": False,
                    "object_store_memory": 150 * 2**20,
                    "temp_dir": folder,
                    "_system_config": _TIMELY,
                },
            )
            nodes = Nodes(cluster, cluster.address)
            try:
                for n in cpus:
                    nodes.add(n)
                yield nodes
            finally:
                cluster.shutdown()
