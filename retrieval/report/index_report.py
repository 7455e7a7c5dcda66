"""A page for a result of `match` or `classify`, from an index alone: the report of an audit without what an audit "
"knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from imindex.indexer.core.provenance import now, program, versions
from imindex.indexer.core.schema import Columns
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import make_folder, write_file
from imindex.retrieval.evidence.gallery import gallery
from imindex.retrieval.report.limits import limits
from imindex.retrieval.report.page import page
from imindex.retrieval.report.rows import report_result
from imindex.retrieval.report.thumbnails import Thumbnails, recorded_digests
from imindex.retrieval.results import (
    AuditResult,
    BlockedPicture,
    Classification,
    Comparison,
    Copies,
    EncoderRecord,
    GatedComparison,
    Matching,
    PlannedTests,
    PlanRecord,
    Provenance,
    RankFigures,
    RejectedPicture,
    ReleaseRecord,
    Report,
)
from imindex.retrieval.vectors.whitened import whitened

NO_COPIES = Copies(rate=0.05, threshold=1.0, n_compared=0, pairs=())
LEFT_OUT_OF_MATCHING = (
    "Left out, because it needs an audit: naming of the artists, candidates for copies, comparison of releases, the "
    "register, and the review."
)
LEFT_OUT_OF_CLASSIFICATION = (
    "Left out, because it needs imindex match or an audit: nearness to works, findings, pictures, candidates for "
    "copies, comparison of releases, the register, and the review."
)
LEFT_OUT_OF_COMPARISON = (
    "Left out, because it needs an audit or imindex match: the findings of each release, pictures, candidates for "
    "copies, the register, and the review."
)


def write_index_report(
    index: Index, result: Matching | Classification, file: Path, *, pictures: bool = True, command: str = ""
) -> None:
    """Write the page of a result.

    Parameters
    ----------
    index : Index
        The index that the result was computed from.
    result : Matching or Classification
    file : Path
        Replaced if it exists.
    pictures : bool
        Whether the page shows pictures: those whose bytes are the ones that the index records.
    command : str
        The command line.
    """
    report = index_report(index, result, command=command)
    left_out = LEFT_OUT_OF_MATCHING if isinstance(result, Matching) else LEFT_OUT_OF_CLASSIFICATION
    thumbnails = None
    if pictures:
        shown = {path for result in report.results for row in result.artists for pair in row.neighbours
                 for path in (pair.work, pair.imitation)}  # fmt: skip
        thumbnails = Thumbnails(index.places(), len(shown), recorded_digests(index, shown))
    html = page(report, None, thumbnails=thumbnails, left_out=left_out)
    make_folder(file.parent)
    write_file(file, html.encode("utf-8", "backslashreplace"))


def write_comparison_report(result: Comparison, file: Path, *, command: str = "") -> None:
    """Write the page of a comparison; `result` may be a `GatedComparison`."""
    report = comparison_report(result, command=command)
    html = page(report, None, left_out=LEFT_OUT_OF_COMPARISON)
    make_folder(file.parent)
    write_file(file, html.encode("utf-8", "backslashreplace"))


def comparison_report(result: Comparison, *, command: str = "") -> Report:
    """Return the content of the page of a comparison."""
    when, how = now(), result.testing
    sides = {(side.index, side.root_digest): side for side in (result.base, result.new)}
    report = Report(
        format="imindex-report",
        version="1.0",
        digest="",
        title=f"{result.new.release} against {result.base.release}",
        answer=(),
        plan=PlanRecord(
            digest="", text="", registered="", amendments=(), artists=tuple(row.artist for row in result.artists),
            background=(), templates=(), per_artist=None, seed=how.seed, labels=(),
            tests=PlannedTests(
                level=how.level, adjust=how.adjust, n_resamples=how.n_resamples,
                confidence_level=how.confidence_level, seed=how.seed,
                csls_k=how.csls_k or UNSET, whiten=how.whiten or UNSET,
            ),
        ),
        encoders=tuple(
            EncoderRecord(
                name=result.encoder, model="", precision="", weights_sha256="", root_digest=side.root_digest,
                index=_file_names(side.index), demonstration=result.demonstration,
            )
            for side in sides.values()
        ),
        releases=(),
        results=(),
        agreement=None,
        comparisons=(result,),
        gate=result.gate if isinstance(result, GatedComparison) else (),
        rejects=(),
        provenance=Provenance(
            command=command, program=program(), started=when, finished=when, versions=versions(), seconds={}
        ),
        limits=(),
    )  # fmt: skip
    return replace(report, limits=limits(report))


def _file_names(index: str | tuple[str, ...]) -> str:
    return Path(index).name if isinstance(index, str) else ", ".join(Path(file).name for file in index)


def index_report(index: Index, result: Matching | Classification, *, command: str = "") -> Report:
    """Return the content of the page; its plan has no digest, because nothing was registered."""
    matched = result if isinstance(result, Matching) else None
    named = result if isinstance(result, Classification) else None
    artists = _artists(result)
    started = now()
    shown = {}
    if matched:
        view = whitened(index) if matched.whitened is not None else index
        shown = gallery(view, result.collection, artists, csls_k=matched.csls_k)
    name = index.encoder.name()
    computed = report_result(
        AuditResult(
            release=result.collection,
            encoder=name,
            classification=named if named and named.by == "name" else None,
            by_works=named if named and named.by == "works" else None,
            matching=matched or _nothing_matched(index, result),
            rank_histogram={artist: one.rank_histogram for artist, one in shown.items()},
            neighbours={artist: one.neighbours for artist, one in shown.items()},
            copies=NO_COPIES,
        ),
        artists,
    )
    if named:
        counts = {artist.artist: artist.n for artist in named.methods[0].artists}
        rows = tuple(replace(row, n_imitations=counts[row.artist]) for row in computed.artists)
        summary = replace(
            computed.summary, confidence_level=named.testing.confidence_level if named.testing else None
        )
        computed = replace(computed, artists=rows, summary=summary)
    collections, rejects = index.collections, index.rejects()
    report = Report(
        format="imindex-report",
        version="1.0",
        digest="",
        title=f"{result.collection} in {index.path.name}",
        answer=(),
        plan=_no_plan(result, artists),
        encoders=(
            EncoderRecord(
                name=name,
                model=index.encoder.model,
                precision=index.encoder.precision,
                weights_sha256=index.encoder.weights_sha256,
                root_digest=index.root_digest,
                index=_file_names(index.files),
                demonstration=is_demonstration(index.encoder.weights_sha256),
            ),
        ),
        releases=(
            ReleaseRecord(
                name=result.collection,
                source="pictures",
                model=index.path.name,
                revision="",
                digest="",
                settings=next(
                    (_plain(c.generator) for c in collections if c.name == result.collection and c.generator),
                    {},
                ),
                text_encoders=(),
                n_imitations=matched.n_imitations if matched else named.n if named else 0,
                n_placebo_names=computed.summary.n_placebo_names,
                n_placebo_pictures=0,
                n_controls=0,
                blocked=tuple(
                    BlockedPicture(path=path, prompt=prompt, reason=why)
                    for path, prompt, why, number in _columns(
                        rejects, "path", "prompt", "blocked", "collection"
                    )
                    if why and collections[number].name == result.collection
                ),
            ),
        ),
        results=(computed,),
        agreement=None,
        comparisons=(),
        gate=(),
        rejects=tuple(
            RejectedPicture(path=path, reason=reason)
            for path, reason, why in _columns(rejects, "path", "reason", "blocked")
            if not why
        ),
        provenance=Provenance(
            command=command,
            program=program(),
            started=started,
            finished=now(),
            versions=versions(),
            seconds={},
        ),
        limits=(),
    )
    return replace(report, limits=limits(report))


def _columns(table: Columns, *names: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table as tuples of some columns."""
    return zip(*(table[name].tolist() for name in names), strict=True)


def _plain(generator: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in generator.items() if isinstance(value, (str, int, float, bool))}


def _artists(result: Matching | Classification) -> list[str]:
    """Return the artists of the page: not placebo names and further rivals, which are references only."""
    if isinstance(result, Classification):
        return [artist.artist for artist in result.methods[0].artists]
    evidence = result.evidence
    references = {*evidence.placebos, *evidence.rivals} if evidence else set()
    return [
        artist.artist
        for artist in result.artists
        if artist.n_works and artist.n_imitations and artist.artist not in references
    ]


def _no_plan(result: Matching | Classification, artists: list[str]) -> PlanRecord:
    how = result.evidence if isinstance(result, Matching) else result.testing
    return PlanRecord(
        digest="",
        text="",
        registered="",
        amendments=(),
        artists=tuple(artists),
        background=(),
        templates=(),
        label_templates=result.templates if isinstance(result, Classification) else (),
        per_artist=None,
        tests=PlannedTests(
            level=how.level if how else 0.05,
            adjust=how.adjust if how else "holm",
            n_resamples=how.n_resamples if how else 0,
            confidence_level=how.confidence_level if how else 0.95,
            seed=how.seed if how else 0,
        ),
        seed=how.seed if how else 0,
        labels=result.generic_labels if isinstance(result, Classification) else (),
    )


def _nothing_matched(index: Index, result: Matching | Classification) -> Matching:
    nothing = RankFigures(
        auc=None, rank_percentile=None, reciprocal_rank=None, average_precision=None, recall={}, hit={}
    )
    return Matching(
        collection=result.collection, root_digest=index.root_digest, encoder=index.encoder.name(),
        csls_k=result.csls_k, whitened=result.whitened, recall_at=(),
        n_works=0, n_imitations=0, n_repeated_works=0, n_repeated_imitations=0, n_artists=0, macro=nothing, artists=(),
        evidence=None, auc_matrix=None,
    )  # fmt: skip
