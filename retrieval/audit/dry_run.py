"""`imindex audit --dry-run`: what an audit will make, and how long it will take, measured on a few pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from imindex.indexer.sources.item import Item
from imindex.retrieval.audit.inputs import Inputs, gather, needed_placebos
from imindex.retrieval.audit.models import encoder_arguments, model_settings, of_release, order
from imindex.retrieval.audit.plan import EncoderSpec, Release
from imindex.retrieval.audit.register import drawing_of
from imindex.retrieval.results import Forecast, ForecastStage

if TYPE_CHECKING:
    from imindex.retrieval.audit.run import Run

PILOT = 32
"""Works that are encoded to see how long it takes; none of it is kept."""


def dry_run(run: Run) -> Forecast:
    """Look at everything an audit needs, measure, and make nothing.

    Parameters
    ----------
    run : imindex.retrieval.audit.run.Run

    Returns
    -------
    Forecast

    Raises
    ------
    ImindexError
        As the audit itself would: something that the plan names is not there.
    """
    plan = run.plan
    inputs = gather(plan, run.show.note, drawing=drawing_of(run.workspace.folder))
    stages = [_generation(run, release, inputs) for release in plan.releases if release.model]
    made = sum(len(items) for items in inputs.made.values()) + sum(stage.total for stage in stages)
    stages += [_encoding(run, encoder, inputs, made) for encoder in plan.encoders]
    names = len(plan.tested), sum(item.kind == "works" for item in inputs.works)
    notes = (
        f"{names[0]} artists with {names[1]:,} works, {len(inputs.background)} in the background; "
        f"{needed_placebos(plan):,} placebo names are asked for by level {plan.tests.level:g} with "
        f"{plan.tests.adjust}.",
        *_names(inputs),
        *inputs.notes,
        "Times are measured on a few pictures. Tests are not in them: seconds for tens of artists, minutes for a "
        "thousand.",
    )
    return Forecast(
        title=plan.title,
        folder=str(run.workspace.folder),
        digest=plan.digest,
        stages=tuple(stages),
        notes=notes,
    )


def _names(inputs: Inputs) -> list[str]:
    """How many names each release is asked for."""
    return [
        f"{release}: {len(inputs.placebos[release]):,} placebo names and {len(rivals):,} further real names."
        for release, rivals in inputs.rivals.items()
        if rivals
    ]


def _generation(run: Run, release: Release, inputs: Inputs) -> ForecastStage:
    from imindex.indexer.generate.generate import measure, missing

    wanted = order(run.plan, release, inputs)
    left = missing(wanted, run.workspace.pictures(release))
    seconds: float | None = 0.0
    if left:
        with run.show.stage(f"measure {release.name}", 0), of_release(run.plan, release):
            each = measure(left, model_settings(run, release), batch_size=run.compute.generate_batch)
        seconds = each * len(left)
    return _stage(f"generate {release.name}", len(wanted), len(left), seconds)


def _encoding(run: Run, encoder: EncoderSpec, inputs: Inputs, made: int) -> ForecastStage:
    from imindex.indexer.encoders.load import load
    from imindex.indexer.encoders.precision import default_batch_size
    from imindex.indexer.store.index import Index

    total, path, there = len(inputs.works) + made, run.workspace.index(encoder), 0
    if path.exists():
        with Index(path) as index:
            there = min(index.n, total)
    seconds: float | None = 0.0
    if there < total:
        with run.show.stage(f"measure {encoder.name}", 0):
            loaded = load(
                **encoder_arguments(run.plan, encoder),
                device=run.compute.device,
                batch_size=run.compute.batch_size or default_batch_size(run.compute.device),
            )
            each = _seconds_each(loaded, inputs.works[:PILOT])
        seconds = None if each is None else each * (total - there)
    return _stage(f"encode with {encoder.name}", total, total - there, seconds)


def _seconds_each(encoder: Any, items: Sequence[Item]) -> float | None:
    """Reading, decoding and encoding, the first picture left out; None if none can be read."""
    import torch

    from imindex.indexer.core.errors import BadPicture
    from imindex.indexer.decode.pool import picture_of
    from imindex.indexer.sources.local import read_bytes

    pixels = []
    started = time.monotonic()
    for item in items:
        try:
            pixels.append(picture_of(read_bytes(item.path), encoder.preprocess).pixels)
        except (OSError, BadPicture):
            continue
    decoding = time.monotonic() - started
    if not pixels:
        return None
    encoder.encode_images(torch.stack(pixels[:1]))  # warm
    started = time.monotonic()
    encoder.encode_images(torch.stack(pixels))
    return (decoding + time.monotonic() - started) / len(pixels)


def _stage(what: str, total: int, to_do: int, seconds: float | None) -> ForecastStage:
    return ForecastStage(what=what, total=total, there=total - to_do, to_do=to_do, seconds=seconds)
