"""Start the workers of a command: processes on this machine, or actors of a Ray cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from imindex.indexer.core.arguments import one_of
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.runners.calls import Calls, HereCalls, ProcessCalls
from imindex.indexer.store.index import Index
from imindex.indexer.system.cpu import processors
from imindex.retrieval.shards.worker import WORKER, files_of

On = Literal["local", "ray"]


@dataclass(frozen=True)
class Workers:
    """Where an index is searched and matched. Results do not depend on it.

    Attributes
    ----------
    on : {"local", "ray"}
        On this machine, or on a Ray cluster.
    address : str, optional
        With "ray": HOST:PORT of the head of a running cluster. By default, a private cluster on this machine.
    n : int, optional
        Number of workers. By default, this process works alone on this machine, and a cluster gets one for each
        processor. 1 on this machine: alone, but piece by piece, which needs less memory.
    device : str
        Where workers count the ranks of a release that is not tested: ``cpu``, or ``cuda``, which no test exercises.
        On a cluster, each worker then has a GPU.
    """

    on: On = "local"
    address: str | None = None
    n: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        one_of(self.on, get_args(On), "on")
        if self.n is not None and self.n < 1:
            raise ImindexError(f"workers is {self.n}. Pass at least 1.")
        if self.address and self.on == "local":
            raise ImindexError(
                "address (--address) is that of a Ray cluster. Pass on='ray' (--on ray) with it."
            )


HERE = Workers()
"""This process alone."""


@contextlib.contextmanager
def started(index: Index, workers: Workers = HERE, *, bytes_alone: int = 0) -> Iterator[Calls | None]:
    """Start workers for an index, and end them after the block.

    Parameters
    ----------
    index : Index
    workers : Workers
    bytes_alone : int
        What this process would have to hold if it worked alone. If that is more than a third of the memory and no
        number of workers is given, it works piece by piece instead.

    Yields
    ------
    Calls or None
        None if this process works alone.

    Raises
    ------
    ImindexError
        If Ray is missing or the cluster cannot be reached.
    """
    if workers.on == "ray":
        from imindex.indexer.runners.cluster import connect
        from imindex.indexer.runners.ray_calls import RayCalls

        with connect(workers.address, cpus=workers.n) as cluster:
            n = workers.n or int(sum(node["Resources"].get("CPU", 0) for node in cluster.nodes()))
            gpus = 0 if workers.device == "cpu" else 1
            made = files_of(index, workers.device)
            with contextlib.closing(RayCalls(cluster.ray, WORKER, made, max(1, n), gpus=gpus)) as calls:
                yield calls
    elif workers.n == 1 or (workers.n is None and bytes_alone > _memory() // 3):
        with HereCalls(WORKER, files_of(index, workers.device)) as here:
            yield here
    elif workers.n is None:
        yield None
    else:
        with ProcessCalls(
            WORKER, files_of(index, workers.device), min(workers.n, 64 * processors())
        ) as processes:
            yield processes


def _memory() -> int:
    if not hasattr(os, "sysconf"):
        return 2**33
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
