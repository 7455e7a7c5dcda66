"""`imindex audit --dry-run`: forecast the pictures and the time of an audit, measured on a few pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imindex.indexer.sources.item import Item
from imindex.retrieval.audit.inputs import Inputs, gather, named_roots, needed_placebos
from imindex.retrieval.audit.models import (
    BY_WORKS,
    encoder_arguments,
    missing_of,
    model_settings,
    of_release,
    orders,
)
from imindex.retrieval.audit.plan import EncoderSpec, Plan, Release
from imindex.retrieval.audit.register import drawing_of
from imindex.retrieval.compare.gate import BY_NAME, parse
from imindex.retrieval.questions.question import collection_of
from imindex.retrieval.results import Forecast, ForecastStage
from imindex.stats.multiple import fewest_findable
from imindex.stats.references import references_needed

if TYPE_CHECKING:
    from imindex.retrieval.audit.run import Run

PILOT = 32
"""Number of works that are encoded to measure the time; the vectors are discarded."""


def dry_run(run: Run) -> Forecast:
    """Check the inputs of an audit and measure its speed, without writing anything.

    Parameters
    ----------
    run : imindex.retrieval.audit.run.Run

    Returns
    -------
    Forecast

    Raises
    ------
    ImindexError
        Under the conditions of the audit itself: something that the plan names does not exist.
    """
    plan = run.plan
    inputs = gather(plan, run.show.note, drawing=drawing_of(run.workspace.folder), roots=named_roots(run))
    stages = [
        stage for release in plan.releases if release.model for stage in _generation(run, release, inputs)
    ]
    made = sum(len(items) for items in inputs.made.values()) + sum(stage.total for stage in stages)
    made += sum(
        not item.blocked for by_key in inputs.asked.values() for items in by_key.values() for item in items
    )
    encodings = [_encoding(run, encoder, inputs, made) for encoder in plan.encoders]
    stages += [stage for stage, _ in encodings]
    names = len(plan.tested), sum(item.kind == "works" for item in inputs.works)
    notes = (
        *reach(plan, {release: len(names) for release, names in inputs.placebos.items()}),
        f"{names[0]} artists with {names[1]:,} works, and {len(inputs.background)} background artists. Level "
        f"{plan.tests.level:g} with {plan.tests.adjust} needs {needed_placebos(plan):,} placebo names.",
        *_names(inputs),
        *_requests(run, stages),
        *(note for _, note in encodings if note),
        *inputs.notes,
        "Times are estimated from a few pictures. They exclude the tests, which take seconds for tens of artists and "
        "minutes for a thousand.",
    )
    return Forecast(
        title=plan.title,
        folder=str(run.workspace.folder),
        digest=plan.digest,
        stages=tuple(stages),
        notes=notes,
    )


def reach(plan: Plan, n_placebos: Mapping[str, int]) -> list[str]:
    """Say which releases have too few placebo names to find anybody, or few artists, and what would be enough.

    Parameters
    ----------
    plan : Plan
    n_placebos : mapping of str to int
        Number of placebo names of each release.
    """
    n, level, adjust = len(plan.tested), plan.tests.level, plan.tests.adjust
    sentences = []
    for release, some in n_placebos.items():
        if not some or not n:
            continue
        least = [1 / (1 + some)] * n
        fewest = fewest_findable(least, level=level, method=adjust)
        if fewest == 1:
            continue
        enough = (
            f"{references_needed(level, n):,} placebo names" if adjust == "holm" else "more placebo names"
        )
        by_bh = fewest_findable(least, level=level, method="bh") if adjust != "bh" else None
        other = f', or adjust = "bh", which can find {by_bh} of {n} artists together' if by_bh else ""
        found = (
            "no finding is possible"
            if fewest is None
            else f"no fewer than {fewest} of {n} artists can be found"
        )
        sentences.append(
            f'{release}: with {some:,} placebo names and adjust = "{adjust}", {found}: use {enough}{other}.'
        )
    return sentences


def _requests(run: Run, stages: Sequence[ForecastStage]) -> list[str]:
    """Say how many requests each API gets, and what they cost."""
    asking, sentences = run.compute.asking, []
    for release in run.plan.releases:
        if not release.api:
            continue
        prefix = f"generate {release.name}"
        n = sum(one.to_do for one in stages if one.what == prefix or one.what.startswith(f"{prefix} / "))
        cost = "" if asking.price is None else f", about {n * asking.price:,.2f} in all"
        sentences.append(
            f"{release.name}: {n:,} requests to {release.api}, without further attempts after faults{cost}."
        )
    return sentences


def _names(inputs: Inputs) -> list[str]:
    """How many names each release is asked for."""
    return [
        f"{release}: {len(inputs.placebos[release]):,} placebo names and {len(rivals):,} further real names."
        for release, rivals in inputs.rivals.items()
        if rivals
    ]


def _generation(run: Run, release: Release, inputs: Inputs) -> list[ForecastStage]:
    """Return the stages of a release: its own pictures, and those of each question."""
    from imindex.indexer.generate.generate import measure

    each: float | None = None
    stages = []
    for key, (folder, wanted) in orders(run, release, inputs).items():
        left = missing_of(release, wanted, folder)
        if release.api:
            each = 60.0 / run.compute.asking.per_minute  # asking measures nothing without sending a request
        if left and each is None:
            with run.show.stage(f"measure {release.name}", 0), of_release(run.plan, release):
                each = measure(left, model_settings(run, release), batch_size=run.compute.generate_batch)
        name = collection_of(release.name, key) if key else release.name
        stages.append(_stage(f"generate {name}", len(wanted), len(left), (each or 0.0) * len(left)))
    return stages


def _encoding(run: Run, encoder: EncoderSpec, inputs: Inputs, made: int) -> tuple[ForecastStage, str]:
    """Return the stage of an encoder, and a note if the encoder has no text side, which is known once it is loaded."""
    from imindex.indexer.encoders.load import load
    from imindex.indexer.encoders.precision import default_batch_size
    from imindex.indexer.store.index import Index

    total, path, there = len(inputs.works) + made, run.workspace.index(encoder), 0
    where = encoder_arguments(run.plan, encoder)
    if path.exists():
        with Index(path) as index:
            where["preprocess_from"] = where["preprocess_from"] or index.encoder
            there = min(index.n + len(index.rejects()["path"]), total)  # a reject is done, too
    seconds: float | None = 0.0
    note = ""
    if there < total:
        with run.show.stage(f"measure {encoder.name}", 0):
            loaded = load(
                **where,
                device=run.compute.device,
                batch_size=run.compute.batch_size or default_batch_size(run.compute.device),
            )
            each = _seconds_each(loaded, inputs.works[:PILOT])
        seconds = None if each is None else each * (total - there)
        if not loaded.has_text:
            note = f"{encoder.name} has no text side: its pictures will be {BY_WORKS}."
            uncovered = [text for text in run.plan.fail_if if parse(text).metric in BY_NAME]
            if uncovered:
                note += f" Conditions of the gate that it cannot decide: {', '.join(uncovered)}."
    return _stage(f"encode with {encoder.name}", total, total - there, seconds), note


def _seconds_each(encoder: Any, items: Sequence[Item]) -> float | None:
    """Return the seconds to read, decode and encode a picture; None if no picture can be read."""
    import torch

    from imindex.indexer.core.errors import BadPicture
    from imindex.indexer.decode.pool import picture_of
    from imindex.indexer.sources.read import read_bytes

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
