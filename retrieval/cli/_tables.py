"""The tables of `match`, `classify` and `compare`: their columns, and which rows they show."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from imindex.indexer.terminal.output import number, percent
from imindex.indexer.terminal.table import Column, Record, Table
from imindex.retrieval.cli._evidence import (
    ADJUSTED,
    TOP,
    WORDS,
    accuracy_note,
    basis,
    not_to_be_claimed,
    p_value,
)
from imindex.retrieval.findings import SIGNIFICANT
from imindex.retrieval.results import (
    ArtistChange,
    Classification,
    ClassificationMethod,
    Comparison,
    FigureName,
    MatchedArtist,
    MatchEvidence,
    Matching,
)
from imindex.retrieval.results.base import Result, to_dict
from imindex.retrieval.results.tables import flat


def most_of(show_all: bool) -> int | None:
    """Return how many rows of a table a terminal shows, with and without --all."""
    return None if show_all else TOP


def record(row: Result) -> Record:
    """Return a row of a result as its CSV has it."""
    return flat(to_dict(row))


def finding(value: str | None) -> str:
    """Format a finding for a table."""
    return "-" if value is None else WORDS.get(value, value)


def span(low: float | None, high: float | None) -> str:
    """Format an interval."""
    return "-" if low is None else f"{number(low)} to {number(high)}"


def percent_span(low: float | None, high: float | None) -> str:
    """Format an interval of shares."""
    return "-" if low is None else f"{percent(low)} to {percent(high)}"


def signed(value: float | None) -> str:
    """Format a change."""
    return "-" if value is None else f"{round(value, 3) + 0.0:+.3f}"  # without a negative zero


def signed_span(low: float | None, high: float | None) -> str:
    """Format an interval of a change."""
    return "-" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


LISTED = 5
"""Names that a sentence lists."""
ARTIST = Column("artist", "artist", kind="name", rank=0)


# match


def match_table(result: Matching, show_all: bool) -> Table:
    """Return the table of a matching: the figures of each artist, and with tests the finding and its p-values.

    With tests, the smallest p comes first, otherwise the highest AUC.
    """
    evidence = result.evidence
    shown = sorted((a for a in result.artists if _has_figures(a)), key=_order)
    expected = references(result)
    rest = [a for a in result.artists if not _has_figures(a) and a.artist not in expected]
    macro = {"artist": "mean over artists", **record(result.macro)}
    if evidence is not None:
        macro |= {"auc_low": evidence.overall.auc_low, "auc_high": evidence.overall.auc_high}
    order = f"CSLS, k = {result.csls_k}" if result.csls_k else "cosine"
    if result.whitened is not None:
        order += " of whitened vectors"
    what = f"is each artist imitated? Ranked by {order}" if evidence else f"ranked by {order}"
    records = [record(artist) for artist in shown]
    return Table(
        f"{result.collection}: {what}",
        _match_columns(result),
        records,
        footer=[macro] if shown else [],
        notes=[
            f"Encoder {result.encoder}.",
            *_gaps(result),
            *_names(result),
            *(basis(result, evidence) if evidence else []),
        ],
        most=most_of(show_all),
        data=[*records, *map(record, rest)],
    )


def references(result: Matching) -> set[str]:
    """Return the placebo names and further real names, which are references and have no figures of their own."""
    return {*result.evidence.placebos, *result.evidence.rivals} if result.evidence else set()


def _gaps(result: Matching) -> list[str]:
    """Name the artists whose gap is 0 or below, which the table may have no room to show."""
    names = [artist.artist for artist in result.artists if artist.gap is not None and artist.gap <= 0]
    if not names:
        return []
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return [
        f"The gap of {', '.join(names[:LISTED])}{more} is 0 or below (--columns artist,gap): this encoder does not "
        "tell their works from those of others."
    ]


def _names(result: Matching) -> list[str]:
    """Say which names were taken for placebo names, and what was blocked; the notes of the tests say the rest."""
    if result.names is None:
        return []
    if result.evidence is None:
        return result.names.sentences()
    return result.names.sentences(result.evidence.placebos, notes=False)


def _has_figures(artist: MatchedArtist) -> bool:
    return artist.status == "ok" or artist.finding is not None


def _order(artist: MatchedArtist) -> tuple[bool, float, float, str]:
    p = 2.0 if artist.p is None else artist.p
    return artist.finding is None, p, -(artist.auc or 0.0), artist.artist


def _finding_of(evidence: MatchEvidence) -> Callable[[str | None], str]:
    """Return the format of a finding, which says where it may not be claimed."""
    if not not_to_be_claimed(evidence):
        return finding
    return lambda value: f"{finding(value)}, not to be claimed" if value in SIGNIFICANT else finding(value)


def _match_columns(result: Matching) -> list[Column]:
    evidence = result.evidence
    tests: list[Column] = []
    if evidence is not None:
        level, adjust = f"{100 * evidence.confidence_level:g} % interval", evidence.adjust
        tests.append(Column("auc_low auc_high", level, span, rank=75))
        first = "work" if evidence.unit == "work" else "name" if evidence.placebos else "rival"
        tests += [
            Column("p", f"p {first}", p_value, rank=70),
            Column(f"p_{adjust}", f"p {first} {ADJUSTED[adjust]}", p_value, rank=85),
        ]
        if first == "name":
            tests += [
                Column("p_rival", "p rival", p_value, rank=65),
                Column("p_rival_selected", f"p rival {ADJUSTED[adjust]}", p_value, rank=80),
            ]
        tests.append(Column("told_auc", "own works", number, rank=60))
        tests += [
            Column(field, heading, number, rank=35)
            for field, heading in (("floor_placebo", "floor"), ("floor_control", "controls"))
            if any(getattr(artist, field) is not None for artist in result.artists)
        ]
    return [
        ARTIST,
        *([Column("finding", "finding", _finding_of(evidence), kind="prose", rank=95)] if evidence else []),
        Column("auc", "AUC", number, rank=90),
        *tests,
        Column("n_works", "works", rank=50),
        Column("n_imitations", "imitations", rank=45),
        Column("rank_percentile", "rank percentile", number, rank=40),
        Column("reciprocal_rank", "MRR", number, rank=38),
        Column("average_precision", "mAP", number, rank=36),
        *(Column(f"recall@{k}", f"recall @{k}", number, rank=30 - i) for i, k in enumerate(result.recall_at)),
        Column("gap", "gap", number, rank=42),
    ]


# classify


def classify_table(result: Classification, method: ClassificationMethod, show_all: bool) -> Table:
    """Return the table of a classification by one method: the artists, the most recognised first."""
    artists = sorted(method.artists, key=lambda a: (-(a.top1 or 0.0), -(a.mrr or 0.0), a.artist))
    macro: dict[str, object] = {
        "artist": "mean over artists", "top1": method.macro_top1, "top5": method.macro_top5, "mrr": method.macro_mrr,
    }  # fmt: skip
    if method.evidence is not None:
        interval = method.evidence.macro
        macro |= {"top1_low": interval.top1_low, "top1_high": interval.top1_high}
    return Table(
        f"{result.collection}, {method.method}: by artist, most recognised first",
        _classify_columns(result),
        [{"method": method.method, **record(artist)} for artist in artists],
        footer=[macro] if artists else [],
        notes=accuracy_note(result, method),
        most=most_of(show_all),
    )


def _classify_columns(result: Classification) -> list[Column]:
    testing, tests = result.testing, list[Column]()
    if testing is not None:
        level = f"{100 * testing.confidence_level:g} % interval"
        tests.append(Column("top1_low top1_high", level, percent_span, rank=70))
        if result.placebos:
            tests += [
                Column("placebo_share", "by placebos", percent, rank=65),
                Column("p_named", "p named", p_value, rank=60),
                Column(f"p_named_{testing.adjust}", f"p named {ADJUSTED[testing.adjust]}", p_value, rank=75),
            ]
    return [
        ARTIST,
        Column("n", "n", rank=80),
        Column("top1", "top-1", percent, rank=90),
        *tests,
        Column("top5", "top-5", percent, rank=55),
        Column("mrr", "MRR", number, rank=40),
        Column("confused_with", "most often taken for", _or_dash, kind="name", rank=50),
    ]


def _or_dash(text: str | None) -> str:
    return text or "-"


# compare


def compare_table(result: Comparison, name: FigureName, show_all: bool) -> Table | None:
    """Return the table of one figure of a comparison, the largest change first; None if no artist has it."""
    known = [(a, a.figure(name)) for a in result.artists if a.figure(name).change is not None]
    known.sort(key=lambda row: (-abs(row[1].change or 0.0), row[0].artist))
    if not known:
        return None
    before, after = result.base.release, result.new.release
    what = "AUC" if name == "auc" else "top-1 by name"
    return Table(
        f"{before} -> {after}: {what}, the largest change first",
        _compare_columns(result, name, tested=any(figure.p is not None for _, figure in known)),
        [record(artist) for artist, _ in known],
        most=most_of(show_all),
    )


def all_changes(result: Comparison) -> Table:
    """Return the table of a comparison with every compared artist and field, the largest change of the AUC first."""
    artists = sorted(result.artists, key=lambda a: (-abs(a.auc_change or 0.0), a.artist))
    columns = {
        column.name: column
        for name in ("auc", "accuracy")
        for column in _compare_columns(result, name, tested=name == "auc")
    }
    return Table(
        f"{result.base.release} -> {result.new.release}, the largest change of the AUC first",
        list(columns.values()),
        [record(artist) for artist in artists],
    )


def _compare_columns(result: Comparison, name: FigureName, *, tested: bool) -> list[Column]:
    level, adjust = f"{100 * result.testing.confidence_level:g} % interval", result.testing.adjust
    columns = [
        ARTIST,
        Column("finding_base finding_new", "finding", _findings, kind="prose", rank=60),
        Column(f"{name}_base", "base", number, rank=85),
        Column(f"{name}_new", "new", number, rank=86),
        Column(f"{name}_change", "change", signed, rank=90),
    ]
    if not tested:
        return [*columns, Column(f"{name}_low {name}_high", level, signed_span, rank=75)]
    return [
        *columns,
        Column("auc_placebo_change", "placebo names", signed, rank=50),
        Column("auc_beyond", "beyond", signed, rank=80),
        Column("auc_beyond_low auc_beyond_high", level, signed_span, rank=75),
        Column("p_auc", "p", p_value, rank=70),
        Column(f"p_auc_{adjust}", f"p {ADJUSTED[adjust]}", p_value, rank=82),
    ]


def _findings(before: str | None, after: str | None) -> str:
    first, second = finding(before), finding(after)
    return second if first == second else f"{first} -> {second}"


def known_fields(*types: type[Result], more: Sequence[str] = ()) -> list[str]:
    """Return the names of the columns of a command, for `imindex.indexer.terminal.options.view_of`."""
    from imindex.retrieval.results.tables import field_names

    return [*more, *(name for one in types for name in field_names(one))]


match_fields = functools.partial(known_fields, MatchedArtist)
compare_fields = functools.partial(known_fields, ArtistChange)
