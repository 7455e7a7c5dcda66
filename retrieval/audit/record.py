"""Describe an audit in its report: the plan, the encoders, the releases and the rejected pictures."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import UNSET

from imindex.indexer.core.names import as_stored
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.generate.matched_names import INDEPENDENT
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.chosen import choice_of
from imindex.retrieval.audit.inputs import Inputs
from imindex.retrieval.audit.made import Made
from imindex.retrieval.audit.plan import EncoderSpec, Plan
from imindex.retrieval.audit.register import changed
from imindex.retrieval.evidence.testing import version_of_tests
from imindex.retrieval.results import (
    Amendment,
    ArtistOrigin,
    BlockedPicture,
    EncoderRecord,
    PlannedTests,
    PlanRecord,
    RegisterEntry,
    RejectedPicture,
    ReleaseRecord,
    WorkRecord,
)


def plan_record(plan: Plan, inputs: Inputs, entries: Sequence[RegisterEntry]) -> PlanRecord:
    """Describe the plan and its registration."""
    generates = any(release.model for release in plan.releases)
    return PlanRecord(
        digest=plan.digest,
        text=plan.text,
        registered=entries[0].when,
        first_digest=entries[0].plan,
        registered_late=entries[0].event != "registered",
        inputs=dict(inputs.digests),
        amendments=tuple(
            Amendment(
                when=after.when,
                why=after.why,
                before=before.plan,
                to=after.plan,
                inputs=tuple(changed(before.inputs, after.inputs)),
            )
            for before, after in itertools.pairwise(entries)
            if (before.plan, before.inputs) != (after.plan, after.inputs)
        ),
        artists=tuple(plan.tested),
        background=tuple(inputs.background),
        templates=tuple(plan.prompts.templates) if generates else (),
        label_templates=tuple(plan.label_templates),
        per_artist=plan.prompts.per_artist if generates else None,
        tests=PlannedTests(
            level=plan.tests.level,
            adjust=plan.tests.adjust,
            n_resamples=plan.tests.n_resamples,
            confidence_level=plan.tests.confidence_level,
            seed=plan.seed,
            csls_k=plan.tests.csls or UNSET,
            whiten=plan.tests.whiten or UNSET,
        ),
        seed=plan.seed,
        labels=tuple(plan.tests.labels),
        copy_rate=plan.tests.copies_rate,
        origins=tuple(
            ArtistOrigin(artist=one.artist, origin=one.origin, source=one.source, gender=one.gender)
            for one in inputs.origins
        )
        or UNSET,
        tests_registered=entries[-1].tests,
        tests_used=version_of_tests(len(plan.encoders)),
        case_number=plan.case_number,
        examiner=plan.examiner,
        placebo_drawing=UNSET if inputs.drawing == INDEPENDENT or not generates else inputs.drawing,
    )


def encoder_record(plan: Plan, encoder: EncoderSpec, path: Path) -> EncoderRecord:
    """Describe an encoder, by what its index records of it, and how it was chosen."""
    with Index(path) as index:
        info, root, chosen = index.encoder, index.root_digest, choice_of(plan, encoder, index)
    return EncoderRecord(
        name=encoder.name,
        model=info.short_name(),
        precision=info.precision,
        weights_sha256=info.weights_sha256,
        root_digest=root,
        index=path.name,
        demonstration=is_demonstration(info.weights_sha256),
        chosen=chosen,
    )


def release_record(made: Made, inputs: Inputs, built: Sequence[Path]) -> ReleaseRecord:
    """Describe a release and count its pictures by kind.

    Pictures that the build found to be blocked are listed with those that the manifest marks; they are the same for
    every encoder.
    """
    placebos = set(inputs.placebos[made.release.name])
    found = _blocked_in(built[0], made.release.name)
    kinds = Counter(item.kind for item in made.items)
    kinds.subtract(kind for kind, _, _ in found)
    placebo_pictures = sum(item.artist in placebos for item in made.items)
    return ReleaseRecord(
        name=made.release.name,
        source="generated" if made.release.model else "pictures",
        model=made.release.model or made.release.pictures,
        revision=made.revision,
        digest=made.digest,
        settings=made.settings,
        text_encoders=made.text_encoders,
        n_imitations=kinds["imitations"],
        n_placebo_names=len(placebos),
        n_placebo_pictures=placebo_pictures - sum(name in placebos for _, name, _ in found),
        n_controls=kinds["control"],
        blocked=(*made.blocked, *(picture for _, _, picture in found)),
        rivals=tuple(inputs.rivals.get(made.release.name, ())),
        requests=made.log,
    )


def _blocked_in(path: Path, release: str) -> list[tuple[str, str, BlockedPicture]]:
    """Return kind, name and record of the pictures of a release that an index has as blocked."""
    with Index(path) as index:
        rejects, names = index.rejects(), [*index.artists, ""]
        places = [index.collections[number] for number in rejects["collection"].tolist()]
        columns = (rejects[name].tolist() for name in ("artist", "path", "prompt", "blocked"))
        return [
            (place.kind, names[artist], BlockedPicture(path=file, prompt=prompt, reason=why))
            for place, artist, file, prompt, why in zip(places, *columns, strict=True)
            if why and place.name == release
        ]


def rejected_pictures(built: Sequence[Path]) -> tuple[RejectedPicture, ...]:
    """List the pictures that could not be used, without the blocked ones; they are the same for every encoder."""
    with Index(built[0]) as index:
        rejects = index.rejects()
        columns = (rejects[name].tolist() for name in ("path", "reason", "blocked"))
        return tuple(
            RejectedPicture(path=path, reason=reason)
            for path, reason, blocked in zip(*columns, strict=True)
            if not blocked
        )


def works_of_artists(built: Sequence[Path], artists: Sequence[str]) -> tuple[WorkRecord, ...]:
    """List the works of artists with the digests of their files, by artist and path; the same for every encoder."""
    with Index(built[0]) as index:
        works = np.array([c.kind == "works" for c in index.collections], np.bool_)
        stored = zip(as_stored(artists, index.artists), artists, strict=True)
        numbers = {index.artists.index(name): artist for name, artist in stored if name in index.artists}
        artist, paths, digests = (index.column(name) for name in ("artist", "path", "sha256"))
        rows = np.flatnonzero(works[index.column("collection")] & np.isin(artist, list(numbers)))
        return tuple(
            WorkRecord(artist=name, path=path, sha256=sha256)
            for name, path, sha256 in sorted(
                (numbers[int(artist[row])], paths[row], digests[row].tobytes().hex()) for row in rows.tolist()
            )
        )
