"""Where the stages of an audit compute: in this process, or on a Ray cluster, with the same results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imindex.retrieval.audit.run import Run
from imindex.retrieval.evidence.release_walk import Observed, Pair, Wanted, observe
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.shards.start import started
from imindex.retrieval.shards.worker import WORKER, files_of

if TYPE_CHECKING:
    from imindex.indexer.encoders.lazy import LazyEncoder
    from imindex.indexer.generate.generate import ModelSettings, Pipelines
    from imindex.indexer.runners.base import Runner


@contextlib.contextmanager
def on_cluster(run: Run) -> Iterator[Run]:
    """Connect to the cluster of a run for the duration of a block; yield the run, which then knows the cluster.

    Raises
    ------
    ImindexError
        As `imindex.indexer.runners.cluster.connect`.
    """
    if run.compute.place.on != "ray":
        yield run
        return
    from imindex.indexer.runners.cluster import connect

    with contextlib.ExitStack() as stack:
        with run.stage("connect to the cluster", 0):
            cluster = stack.enter_context(connect(run.compute.place.address))
        yield replace(run, cluster=cluster)


def encoder_gpus(run: Run) -> float:
    """Return the GPUs of each encoder of the cluster."""
    assert run.cluster is not None
    from imindex.indexer.runners.ray import gpus_each

    return gpus_each(run.cluster, run.compute.place, run.compute.device)


def encoding_device(run: Run) -> str:
    """Return the device on which this process runs encoders: those of a cluster compute, and this one is compared."""
    return run.compute.device if run.cluster is None else "cpu"


def encoding_batch(run: Run) -> int | None:
    """Return the batch size of encoders: on a cluster, that which suits its devices."""
    if run.compute.batch_size or run.cluster is None:
        return run.compute.batch_size
    from imindex.indexer.encoders.precision import BATCH_SIZES

    gpus = encoder_gpus(run)
    return BATCH_SIZES["cuda"] * max(1, int(gpus)) if gpus else BATCH_SIZES["cpu"]


def encoding_precision(run: Run, precision: str) -> str:
    """Return the precision of a new index: where the plan leaves it open, that which suits the devices of a cluster."""
    return "fp16" if precision == "auto" and run.cluster is not None and encoder_gpus(run) else precision


@contextlib.contextmanager
def encoders_of(run: Run, encoder: LazyEncoder) -> Iterator[Runner | None]:
    """Yield the runner of a build; None for this process."""
    if run.cluster is None:
        yield None
        return
    from imindex.indexer.runners.ray import ray_runner

    with ray_runner(
        run.cluster,
        run.compute.place,
        encoder,
        run.compute.limits,
        gpus=encoder_gpus(run),
        note=run.show.note,
    ) as runner:
        yield runner


@contextlib.contextmanager
def pipelines_of(run: Run, model: ModelSettings) -> Iterator[Pipelines | None]:
    """Yield the pipelines of a release; None for one in this process."""
    if run.cluster is None:
        yield None
        return
    from imindex.indexer.generate.on_ray import RayPipelines

    with contextlib.closing(RayPipelines(run.cluster, model, run.compute.place, run.show.note)) as pipelines:
        yield pipelines


def observe_on(
    run: Run, shared: Shared, wanted: Sequence[Wanted], pairs: Sequence[Pair]
) -> dict[str, Observed]:
    """Walk over works and imitations: by workers of the cluster if all its machines see the index."""
    if run.cluster is None:
        with started(shared.index, run.compute.workers) as calls:
            return observe(shared, wanted, pairs, calls=calls)
    from imindex.indexer.runners.actors import all_see
    from imindex.indexer.runners.ray_calls import RayCalls

    made = files_of(shared.index)
    hidden = [file.path for file in made[0] if not all_see(run.cluster, Path(file.path))]
    if hidden:
        run.show.note(f"Not every node of the cluster sees {hidden[0]}, so this process matches alone.")
        return observe(shared, wanted, pairs)
    n = sum(int(node["Resources"].get("CPU", 0)) for node in run.cluster.nodes())
    with contextlib.closing(RayCalls(run.cluster.ray, WORKER, made, max(1, n))) as calls:
        return observe(shared, wanted, pairs, calls=calls)
