"""The tables of `encoders`: their columns, and what is said below them."""

from __future__ import annotations

from collections.abc import Sequence

from imindex.indexer.demo.recognise import NOT_EVIDENCE
from imindex.indexer.terminal.output import count, number, percent
from imindex.indexer.terminal.table import Column, Record, Table
from imindex.retrieval.results import EncoderComparison
from imindex.retrieval.results.encoders import ComparedEncoder, EncoderFigures, EncodingSpeed, encoder_record
from imindex.retrieval.results.tables import field_names

FIGURES = {
    "map": "mAP",
    "map_at_k": "mAP@k",
    "recall_at_1": "recall@1",
    "auc": "AUC",
    "equal_error_rate": "equal error rate",
    "told": "artists told",
}
"""How the figures whose differences are tested are called."""
PAIRED_TITLE = "Paired differences over the same {unit}, first minus second"


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """Format a figure and its interval, such as `0.512 (0.43 to 0.59)`."""
    if low is None or high is None:
        return number(value)
    return f"{number(value)} ({number(low, 2)} to {number(high, 2)})"


def percent_with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """Format a share and its interval, such as `51.2 % (43 to 59)`."""
    if low is None or high is None:
        return percent(value)
    return f"{percent(value)} ({100 * low:.0f} to {100 * high:.0f})"


def _large(value: float | None, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return number(value, 1)
    return f"{number(value, 1)} ({number(low, 1)} to {number(high, 1)})"


def _figure(name: str, heading: str, rank: int, *, share: bool = False, large: bool = False) -> Column:
    show = percent_with_interval if share else _large if large else with_interval
    return Column(f"{name} {name}_low {name}_high", heading, show, rank=rank)


def encoder_columns(k: int, set_level: float) -> list[Column]:
    """Return the columns of the table of encoders. Where there is no room for all, what decides comes first."""
    return [
        Column("name", "encoder", kind="name", rank=0),
        _figure("map", "mAP", 20),
        _figure("map_at_k", f"mAP@{k}", 9),
        _figure("recall_at_1", "recall@1", 17, share=True),
        _figure("auc", "AUC of pairs", 16),
        _figure("equal_error_rate", "equal error rate", 14, share=True),
        _figure("told", "artists told", 18, share=True),
        _figure("false_negative_rate", "missed at 5 % false", 8, share=True),
        _figure("calibration_error", "calibration error", 6, share=True),
        _figure("set_size", f"artists in {100 * set_level:g} % set", 5, large=True),
        _figure("skewness", "hubness (skewness)", 7, large=True),
        _figure("anti_hubs", "anti-hubs", 4, share=True),
        _figure("mean_cosine", "mean cosine", 4),
        _figure("effective_rank", "effective rank", 3, large=True),
        Column("dim", "dim", rank=1),
        Column("pictures_per_second", "pictures /s", lambda value: number(value, 1), rank=2),
        Column("processor_seconds", "CPU s each", lambda value: number(value, 3), rank=2),
    ]


def encoder_table(result: EncoderComparison) -> Table:
    """Return the table of the encoders, in the order of mean average precision."""
    works = result.works
    encoders = sorted(result.encoders, key=_precision, reverse=True)
    first = encoders[0]
    return Table(
        f"{len(encoders)} encoders on the same {works.n_works:,} works of {works.n_artists:,} artists, works alone"
        if len(encoders) > 1
        else f"{first.name} on {works.n_works:,} works of {works.n_artists:,} artists, works alone",
        encoder_columns(result.k, result.set_level),
        [encoder_record(one) for one in encoders],
        notes=[
            f"Figures are means over artists, with {100 * result.confidence_level:g} % intervals over {result.unit}. "
            f"A random ranking has mAP {number(first.chance_map)}, recall@1 {percent(first.chance_recall_at_1)}, "
            "AUC 0.500 and equal error rate 50 %.",
            *_what_was_left_out(result),
        ],
    )


def _precision(encoder: ComparedEncoder) -> float:
    return encoder.figures.map.value or 0.0


def _what_was_left_out(result: EncoderComparison) -> list[str]:
    works = result.works
    notes = [NOT_EVIDENCE] if any(one.demonstration for one in result.encoders) else []
    if any((one.figures.set_size.value or 1) < 1 for one in result.encoders):
        notes.append("A conformal set of artists may be empty, so that its mean size may be below 1.")
    if works.n_near_duplicates:
        notes.append(
            f"Near-duplicates count as one work: {works.n_near_duplicates:,} "
            f"{'is' if works.n_near_duplicates == 1 else 'are'} left out, for all encoders."
        )
    if works.n_dropped:
        are = "is" if works.n_dropped == 1 else "are"
        notes.append(
            f"{count(works.n_dropped, 'work')} {are} not in every index, and {are} left out for all encoders."
        )
    if works.n_listed_under_two:
        notes.append(
            f"{count(works.n_listed_under_two, 'picture file')} "
            f"{'is' if works.n_listed_under_two == 1 else 'are'} listed under two artists, so that no encoder can tell "
            "whose."
        )
    if result.left_out:
        listed = ", ".join(one.artist for one in result.left_out[:5])
        more = f" and {len(result.left_out) - 5:,} more" if len(result.left_out) > 5 else ""
        notes.append(f"Artists left out, with one work: {listed}{more}.")
    if result.imitations_present:
        names = ", ".join(one.name for one in result.encoders if one.imitations_present)
        notes.append(
            f"Imitations were in the index of {names}. The figures do not use them, but an encoder that is chosen "
            "now is not chosen before any imitation was seen."
        )
    return notes


def difference_table(result: EncoderComparison, figures: Sequence[str] = ("map",)) -> Table:
    """Return the table of paired differences."""
    rows: list[Record] = [
        {**one.to_dict(), "figure": FIGURES.get(one.figure, one.figure)}
        for figure in figures
        for one in result.differences_of(figure)
    ]
    names = {str(row["figure"]) for row in rows}
    title = PAIRED_TITLE.format(unit=result.unit)
    return Table(
        f"{title}, {names.pop()}" if len(names) == 1 else title,
        [
            Column("first", "first", kind="name", rank=0),
            Column("second", "second", kind="name", rank=0),
            *([Column("figure", "figure", str, kind="name", rank=8)] if len(figures) > 1 else []),
            Column("difference", "difference", _signed, rank=9),
            Column("low high", "interval", _signed_span, rank=6),
            Column("p", "p", _p, rank=3),
            Column("p_adjusted", "p (Holm)", _p, rank=7),
        ],
        rows,
    )


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _signed_span(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


def _p(value: float | None) -> str:
    return number(value, 4)


def encoder_fields() -> list[str]:
    """Return the names of the fields that --columns knows before anything is compared."""
    nested = ("figures", "speed", "reliability", "same", "different", "low", "high")
    of_speed = [name for name in field_names(EncodingSpeed) if name != "device"]
    return [
        *(name for name in field_names(ComparedEncoder) if name not in nested),
        *(f"{name}{end}" for name in field_names(EncoderFigures) for end in ("", "_low", "_high")),
        *of_speed,
        "device",
    ]
