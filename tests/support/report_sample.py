"""A small audit with real figures: drawn works, two releases, placebo names, and malicious artists' names."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from imindex.indexer.build.build import build
from imindex.indexer.demo.artists import NAMES, draw
from imindex.indexer.encoders.lazy import encoder_for
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.record import rejected_pictures
from imindex.retrieval.compare.releases import Side, compare
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.combined import combine_encoders
from imindex.retrieval.evidence.gallery import gallery
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.near_copies import copies
from imindex.retrieval.evidence.release_walk import Wanted, observe
from imindex.retrieval.evidence.set_scores import set_scores
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.report.report import assemble
from imindex.retrieval.results import (
    Amendment,
    AuditFindings,
    AuditResult,
    BlockedPicture,
    EncoderRecord,
    NamedCounts,
    PlannedTests,
    PlanRecord,
    Provenance,
    ReleaseRecord,
    Report,
    Verdict,
)

HOSTILE = (
    "<script>alert(1)</script>\"'>",
    "=cmd|' /C calc'!A0",
    "🎨👩‍🎨 Émile",
    "\u202eליאת אמן",
    "photography" * 18,  # long, of few tokens
    "../up",
)
NAMED = (*NAMES[:5], *HOSTILE, NAMES[11])
PLACEBOS = tuple(f"placebo {number:02d}" for number in range(40))
STRONG, WEAK = "stand-in 2", "stand-in 1"
IMITATED = {STRONG: 8, WEAK: 3}
LABELS = ("Artwork", "Digital artwork")
TEMPLATES = ("Artwork from {artist}",)
TESTING = Testing(("placebo *",), level=0.35, adjust="bh", n_resamples=499, seed=7)


_KEPT: list[tempfile.TemporaryDirectory] = []
"""Folders that live as long as the test session."""
PROVENANCE = Provenance(
    command="imindex audit 'plan.toml'",
    program="imindex 0",
    started="2026-01-02T03:04:05+00:00",
    finished="2026-01-02T03:14:05+00:00",
    versions={"python": "3", "torch": "2"},
    seconds={"encode": 3.5},
    machine="Linux x86_64",
)
VERDICTS = (
    Verdict(
        condition="auc > base + 0.05", release=STRONG, encoder="demo", value=0.9, limit=0.7, failed=True,
        reason="auc 0.90 > base 0.65 + 0.05 = 0.70: fails.",
    ),
    Verdict(
        condition="copies > 0", release=STRONG, encoder="demo", value=0.0, limit=0.0, failed=False,
        reason="copies 0 > 0: passes.",
    ),
)  # fmt: skip


@functools.cache
def shared_sample() -> tuple[AuditFindings, Path]:
    """The sample with two encoders, made once for all tests: findings, and the folder of its pictures."""
    from tests.support.models import LONG, save_model

    kept = tempfile.TemporaryDirectory(prefix="imindex-report-")
    _KEPT.append(kept)
    folder = Path(kept.name)
    return sample_findings(folder, second=f"local-dir:{save_model(folder / 'model', config=LONG)}"), folder


@functools.cache
def shared_report() -> Report:
    """The report of the sample."""
    return assemble(shared_sample()[0], PROVENANCE)


def changed(value: Any, path: str, new: Any) -> Any:
    """Return a copy of a result with another value at a path such as ``results.0.matching.artists.1.auc``."""
    name, _, rest = path.partition(".")
    if isinstance(value, tuple):
        place = int(name)
        inner = changed(value[place], rest, new) if rest else new
        return (*value[:place], inner, *value[place + 1 :])
    return replace(value, **{name: changed(getattr(value, name), rest, new) if rest else new})


def enlarged(findings: AuditFindings, n: int) -> AuditFindings:
    """A report with `n` artists: those of the sample repeated under other names, for the first encoder only."""
    source = findings.plan.artists[:-1]
    pairs = {f"{source[k % len(source)][:40]} {k}": source[k % len(source)] for k in range(n)}
    return replace(
        findings,
        plan=replace(findings.plan, artists=tuple(pairs)),
        encoders=findings.encoders[:1],
        results=tuple(_enlarged(one, pairs) for one in findings.results if one.encoder == "demo"),
        combined=(),
        comparisons=(
            replace(findings.comparisons[0], artists=_renamed(findings.comparisons[0].artists, pairs)),
        ),
    )


def _renamed(artists: Sequence[Any], pairs: Mapping[str, str]) -> tuple[Any, ...]:
    by_name = {artist.artist: artist for artist in artists}
    return tuple(replace(by_name[old], artist=name) for name, old in pairs.items())


def _enlarged(result: AuditResult, pairs: Mapping[str, str]) -> AuditResult:
    names = tuple(pairs)
    method = result.classification.methods[0]
    table, generic = method.confusion, method.n_generic
    random = np.random.default_rng(0)
    counts = np.zeros((len(names), len(names) + generic), int)
    for row, old in enumerate(pairs.values()):
        before = table.counts[table.rows.index(old)]
        own = before[method.labels.index(old)]
        counts[row, row], counts[row, len(names) :] = own, before[len(before) - generic :]
        for _ in range(sum(before) - own - sum(before[len(before) - generic :])):
            counts[row, random.integers(len(names))] += 1
    method = replace(
        method,
        artists=_renamed(method.artists, pairs),
        labels=(*names, *method.labels[len(method.labels) - generic :]),
        confusion=NamedCounts(rows=names, counts=tuple(map(tuple, counts.tolist()))),
    )
    return replace(
        result,
        classification=replace(result.classification, methods=(method,)),
        matching=replace(result.matching, artists=_renamed(result.matching.artists, pairs)),
        rank_histogram={name: result.rank_histogram[old] for name, old in pairs.items()},
        neighbours={name: result.neighbours[old] for name, old in pairs.items()},
    )


def sample_findings(
    folder: Path,
    *,
    named: Sequence[str] = NAMED,
    n_works: int = 5,
    n_imitations: int = 4,
    size: int = 48,
    second: str | None = None,
    testing: Testing = TESTING,
) -> AuditFindings:
    """Draw, build, classify, match and compare below `folder`.

    `second` is the name of another encoder, such as `local-dir:...`.
    """
    items = list(_items(folder, named, n_works, n_imitations, size))
    encoders = {"demo": "demo", **({"second": second} if second else {})}
    indexes = {name: folder / f"{name}.h5" for name in encoders}
    for name, model in encoders.items():
        encoder = encoder_for(indexes[name], model=model, device="cpu", precision="fp32")
        build(items, indexes[name], encoder, command="a test")
    comparison = compare(
        Side(indexes["demo"], WEAK), Side(indexes["demo"], STRONG), testing=testing, labels=LABELS,
        encoder={"device": "cpu"},
    )  # fmt: skip
    blocked = BlockedPicture(path="b.png", prompt="<b>", reason="all of one colour")
    results = tuple(
        _result(indexes[encoder], encoder, release, named, testing)
        for encoder in encoders
        for release in (WEAK, STRONG)
    )
    tested = (*named, "Nobody Inparticular")
    return AuditFindings(
        title="Do the stand-ins imitate <artists> & others?",
        plan=PlanRecord(
            digest="5f" * 32,
            text='# the plan\ntitle = "a & b"\n[artists]\nworks = "works/<artist>"\n',
            registered="2026-01-02T03:04:05+00:00",
            amendments=(
                Amendment(
                    when="2026-01-03T03:04:05+00:00",
                    why="a name was misspelt",
                    before="4e" * 32,
                    to="5f" * 32,
                ),
            ),
            artists=tested,
            background=(),
            templates=TEMPLATES,
            per_artist=n_imitations,
            tests=PlannedTests(
                level=testing.level,
                adjust=testing.adjust,
                n_resamples=testing.n_resamples,
                confidence_level=testing.confidence_level,
                seed=testing.seed,
            ),
            seed=testing.seed,
            labels=LABELS,
        ),
        encoders=tuple(_encoder(name, path) for name, path in indexes.items()),
        releases=tuple(
            ReleaseRecord(
                name=release,
                source=source,
                model=f"models/{release}",
                revision="",
                digest="7a" * 32,
                settings={"steps": 20, "guidance": 7.5},
                text_encoders=text_encoders,
                n_imitations=(len(named) + len(PLACEBOS)) * n_imitations,
                n_placebo_names=len(PLACEBOS),
                n_placebo_pictures=len(PLACEBOS) * n_imitations,
                n_controls=4,
                blocked=lost,
            )
            for release, source, text_encoders, lost in (
                (WEAK, "pictures", (), ()),
                (STRONG, "generated", ("demo",), (blocked,)),
            )
        ),
        results=results,
        comparisons=(replace(comparison, encoder="demo"),),
        gate=VERDICTS,
        rejects=rejected_pictures([indexes["demo"]]),
        combined=tuple(
            combine_encoders([one for one in results if one.release == release], tested, testing)
            for release in (WEAK, STRONG)
        )
        if second
        else (),
    )


def _items(folder: Path, named: Sequence[str], n_works: int, n_imitations: int, size: int) -> Iterator[Item]:
    """Works, imitations and controls; only one path contains an artist's name."""
    for place, name in enumerate(named):
        for seed in range(n_works):
            path = _draw(folder / f"works/{place}/{seed}.png", NAMES[place], seed, size)
            yield Item(path, name, "works", "works")
    pool = [_draw(folder / f"pool/{seed}.png", None, 9_000 + seed, size) for seed in range(24)]
    random = np.random.default_rng(1)
    for release, imitated in IMITATED.items():
        own = [(name, place) for place, name in enumerate(named)]
        for name, place in [*own, *((placebo, -1) for placebo in PLACEBOS)]:
            drawn = random.choice(len(pool), n_imitations, replace=False)
            for number in range(n_imitations):
                path = folder / f"imitations/{release}/{place if place >= 0 else name}/{number}.png"
                if 0 <= place < imitated * len(named) // 12:
                    _draw(path, NAMES[place], 500 + 10 * len(release) + number, size)
                else:
                    _copy(Path(pool[drawn[number]]), path)
                yield Item(str(path), name, "imitations", release, f"Artwork from {name}", number)
        for number in range(4):
            path = folder / f"imitations/{release}/control/{number}.png"
            _copy(Path(pool[number]), path)
            yield Item(str(path), "", "control", release, "Artwork", number)
    copied = folder / f"imitations/{STRONG}/0/copy.png"
    _copy(folder / "works/0/0.png", copied)
    yield Item(str(copied), named[0], "imitations", STRONG, f"Artwork from {named[0]}", 99)
    broken = folder / "works/0/<broken>.png"
    broken.write_bytes(b"no picture")
    yield Item(str(broken), named[0], "works", "works")


def _draw(path: Path, artist: str | None, seed: int, size: int) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(artist, seed=seed, size=size).save(path)
    return str(path)


def _copy(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, path)


def _encoder(name: str, path: Path) -> EncoderRecord:
    with Index(path) as index:
        return EncoderRecord(
            name=name,
            model=index.encoder.model,
            precision=index.encoder.precision,
            weights_sha256=index.encoder.weights_sha256,
            root_digest=index.root_digest,
            index=path.name,
        )


def _result(path: Path, encoder: str, release: str, named: Sequence[str], testing: Testing) -> AuditResult:
    by_name = classify_release(
        path, release, labels=LABELS, templates=TEMPLATES, testing=testing, encoder={"device": "cpu"}
    )
    with Index(path) as index:
        shown, copied = gallery(index, release, named), copies(index, release, PLACEBOS)
        observed = observe(Shared(index), [Wanted(release, testing)])[release]
        sets = set_scores(observed, testing)
    return AuditResult(
        release=release,
        encoder=encoder,
        classification=by_name,
        by_works=classify_release(path, release, by="works", testing=testing),
        matching=match_release(path, release, testing=testing),
        rank_histogram={artist: one.rank_histogram for artist, one in shown.items()},
        neighbours={artist: one.neighbours for artist, one in shown.items()},
        copies=copied,
        sets=sets,
    )
