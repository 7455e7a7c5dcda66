"""A comparison of encoders -> one HTML page that needs nothing else, in the style of the report of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.system.atomic import make_folder, write_file
from imindex.retrieval.report import text as report_text
from imindex.retrieval.report.environment import page_environment
from imindex.retrieval.report.figures.encoders import encoder_figures
from imindex.retrieval.report.style import TEMPLATES, page_style
from imindex.retrieval.results import ComparedEncoder, EncoderComparison, Estimate
from imindex.stats.validity import TOO_FEW


@dataclass(frozen=True)
class Row:
    """A row of the table of figures: its name, what it means, and for each encoder the figure and its interval."""

    title: str
    meaning: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Group:
    """Rows of the table of figures that belong together."""

    title: str
    rows: tuple[Row, ...]


def write_encoders_page(result: EncoderComparison, file: Path) -> None:
    """Write the page of a comparison; the file is replaced if it exists."""
    make_folder(file.parent)
    write_file(file, encoders_page(result).encode("utf-8", "backslashreplace"))


def encoders_page(result: EncoderComparison) -> str:
    """Return the page of a comparison of encoders. It has no scripts, and makes no request."""
    from markupsafe import Markup

    environment = page_environment(
        TEMPLATES,
        count=report_text.count,
        when=lambda text: str(text).replace("T", " ").replace("+00:00", " UTC"),
    )
    encoders = sorted(result.encoders, key=lambda one: one.figures.map.value or 0.0, reverse=True)
    return environment.get_template("encoders.html").render(
        result=result,
        encoders=encoders,
        style=Markup(page_style()),
        figures=encoder_figures(result),
        groups=_groups(encoders, result),
        demonstration=[one.name for one in encoders if one.demonstration],
        with_imitations=[one.name for one in encoders if one.imitations_present],
        artists=_artists(result, encoders),
        told=told_sentence(result),
    )


def told_sentence(result: EncoderComparison) -> str:
    """Say which artists no encoder tells from all others, and what that means for an audit."""
    rows = {one.artist: one.encoders for one in result.artists if not any(row.told for row in one.encoders)}
    if not rows:
        return "Every artist is told from all others by at least one encoder."
    untold = list(rows)
    few = [name for name in untold if all(row.status == TOO_FEW for row in rows[name])]
    listed = ", ".join(untold[:5]) + (f" and {len(untold) - 5:,} more" if len(untold) > 5 else "")
    reason = (
        f" {'It has' if len(untold) == 1 else f'{len(few):,} of them have'} too few works." if few else ""
    )
    return (
        f"No encoder was shown to tell {report_text.count(len(untold), 'artist')} from all others with these works: "
        f"{listed}.{reason} An audit with these encoders cannot judge "
        f"{'this artist' if len(untold) == 1 else 'these artists'}."
    )


@dataclass(frozen=True)
class ArtistRow:
    """An artist, and for each encoder whether it is told, its average precision, and the nearest other artist."""

    artist: str
    n_works: int
    cells: tuple[tuple[bool, str, str], ...]


def _artists(result: EncoderComparison, encoders: Sequence[ComparedEncoder]) -> list[ArtistRow]:
    rows = []
    for one in result.artists:
        by_name = {row.encoder: row for row in one.encoders}
        cells = []
        for encoder in encoders:
            row = by_name[encoder.name]
            precision = "-" if row.average_precision is None else f"{row.average_precision:.2f}"
            cells.append((row.told, precision, row.nearest))
        rows.append(ArtistRow(one.artist, one.n_works, tuple(cells)))
    return rows


def _groups(encoders: Sequence[ComparedEncoder], result: EncoderComparison) -> list[Group]:
    def row(title: str, meaning: str, field: str, kind: str = "number", digits: int = 2) -> Row:
        cells = tuple(_cell(getattr(one.figures, field), kind, digits) for one in encoders)
        return Row(title, meaning, cells)

    speeds = tuple(
        ("-", "")
        if one.speed is None or one.speed.pictures_per_second is None
        else (f"{one.speed.pictures_per_second:.1f} per second", f"on {one.speed.device}")
        for one in encoders
    )
    seconds = tuple(
        (
            "-"
            if one.speed is None or one.speed.processor_seconds is None
            else f"{one.speed.processor_seconds:.3f} s",
            "",
        )
        for one in encoders
    )
    level = f"{100 * result.set_level:g} %"
    article = "an" if level.startswith(("8", "11 ", "18 ")) else "a"
    sizes = [one.figures.set_size.value for one in encoders]
    may_be_empty = "; a set may be empty" if any(size is not None and size < 1 for size in sizes) else ""
    return [
        Group(
            "Retrieval of held-out works",
            (
                row("mAP", "mean average precision; the rule decides by it", "map", digits=3),
                row(f"mAP@{result.k}", f"the same among the {result.k} nearest", "map_at_k", digits=3),
                row("recall@1", "the nearest other work is by the same artist", "recall_at_1", "percent"),
            ),
        ),
        Group(
            "Verification of pairs",
            (
                row("AUC", "a pair by one artist is more similar than a pair by two", "auc", digits=3),
                row(
                    "equal error rate",
                    "both errors at the threshold where they are equal",
                    "equal_error_rate",
                    "percent",
                ),
                row(
                    "false alarms",
                    "at a threshold learned for 5 % on other artists; range over splits",
                    "false_positive_rate",
                    "percent",
                ),
                row("misses", "at the same threshold", "false_negative_rate", "percent"),
            ),
        ),
        Group(
            "Artists",
            (row("artists told", "nearer to themselves than to any other artist", "told", "percent"),),
        ),
        Group(
            "Hubness and anisotropy",
            (
                row(
                    "skewness", f"of how often a work is among the {result.k} nearest; 0: no hubs", "skewness"
                ),
                row("Robin Hood index", "share of places that hubs have too many", "robin_hood", "percent"),
                row("anti-hubs", "works that are nobody's neighbour", "anti_hubs", "percent"),
                row("mean cosine", "of works by two artists; 0: all directions are used", "mean_cosine"),
                row("effective rank", "directions in use, on these works", "effective_rank", digits=0),
            ),
        ),
        Group(
            "Prediction of the artist",
            (
                row(
                    "calibration error",
                    "distance of confidence from accuracy",
                    "calibration_error",
                    "percent",
                ),
                Row(
                    "of a calibrated one",
                    "what chance alone gives with this many works",
                    tuple((f"{100 * one.calibration_error_if_calibrated:.1f} %", "") for one in encoders),
                ),
                row(f"coverage of {level} sets", "the set has the artist", "coverage", "percent"),
                row(
                    f"artists in {article} {level} set",
                    f"fewer is sharper{may_be_empty}",
                    "set_size",
                    digits=1,
                ),
            ),
        ),
        Group(
            "Cost",
            (
                Row("pictures", "encoded, files read and decoded", speeds),
                Row("processor time", "for each picture", seconds),
                Row(
                    "vector",
                    "dimensions and bytes",
                    tuple((f"{one.dim:,}", f"{one.bytes_per_vector:,} bytes") for one in encoders),
                ),
            ),
        ),
    ]


def _cell(estimate: Estimate, kind: str, digits: int) -> tuple[str, str]:
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None:
        return "-", ""
    if kind == "percent":
        ends = "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"
        return f"{100 * value:.1f} %", ends
    ends = "" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"
    return f"{value:.{digits}f}", ends
