"""Results as HTML fragments for notebooks: tables, thumbnails and the figures of the report.

A fragment is self-contained and loads nothing: pictures are `data:` URLs, and styles apply only inside the fragment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.paths import PicturePaths
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.fair_reference import reference_warning
from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.figures.catalogue import in_order
from imindex.retrieval.report.figures.changes import change_figures
from imindex.retrieval.report.figures.per_artist import accuracies, accuracy, auc
from imindex.retrieval.report.figures.svg import escape, icon, shorten, shown
from imindex.retrieval.report.style import fragment_style
from imindex.retrieval.report.text import number, p_value, percent, signed, span
from imindex.retrieval.report.together import also_alone, combined_of
from imindex.retrieval.results import (
    Classification,
    Comparison,
    KindNeighbours,
    Matching,
    QueryAnswer,
    QueryResult,
    Report,
    Result,
    to_json,
)

if TYPE_CHECKING:
    import pyarrow

    from imindex.retrieval.report.thumbnails import Thumbnails

ROWS = 20
"""Maximum number of rows of a table to show; `to_pandas` has all rows."""
LINES = 80
"""Maximum number of artists in figures with a line for each artist."""
PICTURES = 6
"""Maximum number of neighbours of each kind to show as pictures."""
_STYLE = """
.imindex{font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;
color:inherit;max-width:62rem}
.imindex h4{font-size:1.05em;margin:1em 0 .3em}.imindex h4:first-child{margin-top:0}
.imindex p{margin:.2em 0 .6em}.imindex .soft{opacity:.68;font-size:.9em}
.imindex table{border-collapse:collapse;font-size:.9em;font-variant-numeric:tabular-nums;margin:.4em 0 .8em}
.imindex .wide th,.imindex .wide td{padding:3px 10px;border:0;border-bottom:1px solid rgba(128,128,128,.22);
text-align:left;background:none;white-space:nowrap}
.imindex .wide th{font-weight:600;opacity:.75}.imindex .wide .n{text-align:right}
.imindex .wide{overflow-x:auto}
.imindex .strip{display:flex;flex-wrap:wrap;gap:12px;margin:.3em 0 .9em}
.imindex figure{margin:0;width:118px;font-size:.8em;line-height:1.3}
.imindex figure.query{width:150px}
.imindex img{display:block;max-width:118px;max-height:118px;border-radius:3px;margin:0 0 4px}
.imindex .query img{max-width:150px;max-height:150px}
.imindex .missing{width:112px;height:84px;border:1px dashed rgba(128,128,128,.6);border-radius:3px;margin-bottom:4px;
display:flex;align-items:center;justify-content:center;opacity:.6}
.imindex .icon{margin-right:5px}
.imindex .figures{display:flex;flex-wrap:wrap;gap:4px 32px;align-items:flex-start;margin:.6em 0 .8em}
.imindex .figures figure{width:auto;flex:0 1 480px;min-width:min(100%,300px)}
.imindex figcaption{font-weight:600;font-size:1.05em;margin-bottom:2px}
.imindex .keys{font-size:1em}
.imindex .reading{margin:4px 0 0;max-width:38rem;font-size:1.05em}
"""


def render(result: Result) -> str | None:
    """Draw a result.

    Parameters
    ----------
    result : Result

    Returns
    -------
    str or None
        An HTML fragment; None for types without one, which a notebook prints instead.
    """
    if isinstance(result, QueryResult):
        return _fragment(_query(result))
    if isinstance(result, Matching):
        return _fragment(_matching(result))
    if isinstance(result, Classification):
        return _fragment(_classification(result))
    if isinstance(result, Comparison):
        return _fragment(_comparison(result))
    if isinstance(result, Report):
        return _fragment(_report(result))
    return None


def index(opened: Index) -> str:
    """Draw the contents of an index: its collections, artists and encoder."""
    sizes = [0] * len(opened.collections)
    for collection in opened.column("collection").tolist():
        sizes[collection] += 1
    rows = [[c.name, c.kind, f"{size:,}"] for c, size in zip(opened.collections, sizes, strict=True)]
    names = ", ".join(escape(name) for name in opened.artists[:8])
    more = f" and {len(opened.artists) - 8} more" if len(opened.artists) > 8 else ""
    return _fragment(
        f"<h4>{escape(opened.path.name)}</h4>"
        f"<p>{opened.n:,} pictures, {len(opened.artists):,} artists; encoder {escape(opened.encoder.name())}</p>"
        + _table(["collection", "kind", "pictures"], rows)
        + f'<p class="soft">{names}{more}</p>'
    )


def items(table: pyarrow.Table) -> str:
    """Draw the first pictures of an index as a table."""
    columns = ["path", "artist", "kind", "collection", "prompt"]
    columns = [name for name in columns if name in table.column_names]
    rows = [[shorten(str(row[name]), 60) for name in columns] for row in table.slice(0, ROWS).to_pylist()]
    return _fragment(_table(columns, rows, total=table.num_rows))


# Results


def _query(result: QueryResult) -> str:
    from imindex.indexer.store.opening import open_index  # imports h5py
    from imindex.retrieval.report.thumbnails import Thumbnails, recorded_digests  # imports torch

    first = result.index if isinstance(result.index, str) else result.index[0]
    places = PicturePaths(Path(first).parent)
    hits = {
        hit.path
        for answer in result.queries
        for kind in answer.kinds.values()
        for hit in kind.pictures[:PICTURES]
    }
    try:
        with open_index(result.index) as index:
            digests, places = recorded_digests(index, hits), index.places()
    except ImindexError:  # the index is gone, and its pictures cannot be compared with it
        digests = {}
    thumbnails = Thumbnails(places, PICTURES * len(result.queries), digests)
    own = Thumbnails(places, PICTURES)
    return "".join(_answer(answer, thumbnails, own) for answer in result.queries) + "".join(
        f"<p>{escape(path)} was not used: {escape(reason)}.</p>" for path, reason in result.rejects.items()
    )


def _answer(answer: QueryAnswer, thumbnails: Thumbnails, own: Thumbnails) -> str:
    is_text = answer.query.startswith('"')
    head = f"<h4>{escape(answer.query)}</h4>"
    if not is_text:
        query = _picture(own, str(Path(answer.query).absolute()), ["query"], "query")
        head = f'<div class="strip">{query}</div>'
    return head + "".join(
        _neighbours(kind, neighbours, thumbnails) for kind, neighbours in answer.kinds.items()
    )


def _neighbours(kind: str, neighbours: KindNeighbours, thumbnails: Thumbnails) -> str:
    pictures = "".join(
        _picture(
            thumbnails, hit.path,
            [f"{hit.rank}. {hit.artist or 'no artist'}", f"cosine {number(min(hit.cosine or 0.0, 1.0))}"],
        )
        for hit in neighbours.pictures[:PICTURES]
    )  # fmt: skip
    total = len(neighbours.pictures)
    votes = ", ".join(f"{escape(vote.artist)} {vote.votes} of {total}" for vote in neighbours.artists[:5])
    note = f'<p class="soft">Artists of the {total} nearest: {votes}</p>' if votes else ""
    return f'<h4>Nearest {escape(kind)}</h4><div class="strip">{pictures}</div>{note}'


def _matching(result: Matching) -> str:
    tested = result.evidence is not None
    warning = (
        reference_warning(result.evidence.exchangeability, result.evidence.level, p_value)
        if result.evidence
        else ""
    )
    ranked = sorted(
        (row for row in result.artists if row.status == "ok"), key=lambda row: (-(row.auc or 0.0), row.artist)
    )
    header = ["artist", "works", "imitations", "AUC", "mAP"]
    header += ["95 % interval", "p name", "p rival", "finding"] if tested else ["gap"]
    if result.evidence is not None:
        header[5] = f"{100 * result.evidence.confidence_level:g} % interval"
    rows = []
    for row in ranked:
        cells = [
            row.artist,
            str(row.n_works),
            str(row.n_imitations),
            number(row.auc),
            number(row.average_precision),
        ]
        if tested:
            finding = row.finding
            cells += [
                span(row.auc_low, row.auc_high), p_value(row.p_name), p_value(row.p_rival),
                Markup(f"{icon(finding)}{escape(finding.value)}") if finding is not None else "",
            ]  # fmt: skip
        else:
            cells.append(number(row.gap))
        rows.append(cells)
    return (
        f"<h4>{escape(result.collection)}: how near the imitations are to the works</h4>"
        f"<p>Mean AUC {number(result.macro.auc)} over {result.n_artists} artists (chance 0.500); "
        f"{result.n_imitations:,} imitations ranked exactly for each of {result.n_works:,} works.</p>"
        + (f"<p>{escape(warning)}</p>" if warning else "")
        + (_figures([auc(_identity(result, "auc"), ranked)]) if len(ranked) <= LINES else "")
        + _table(header, rows)
        + f'<p class="soft">Encoder {escape(result.encoder)}</p>'
    )


def _classification(result: Classification) -> str:
    by_works = result.by == "works"
    asked = "are the artist's works nearest to it" if by_works else "is the artist named from the imitation"
    parts = [f"<h4>{escape(result.collection)}: {escape(asked)}?</h4>"]
    for position, method in enumerate(result.methods):
        artists = sorted(method.artists, key=lambda row: (-(row.top1 or 0.0), row.artist))
        parts.append(
            f"<p>{escape(method.method.capitalize())}: {percent(method.top1)} of {result.n:,} pictures are given their "
            f"artist, among {method.n_labels} labels (chance {percent(method.chance_top1)}).</p>"
        )
        if len(artists) <= LINES:
            identity = _identity(result, f"accuracy-{position}")
            chance, mean = method.macro_chance_top1, method.macro_top1
            figure = accuracy(identity, accuracies(artists), chance=chance, mean=mean, by_works=by_works)
            parts.append(_figures([figure]))
        rows = [
            [
                row.artist,
                str(row.n),
                percent(row.top1),
                span(row.top1_low, row.top1_high),
                row.confused_with or "",
            ]
            for row in artists
        ]
        share = "given to the artist" if by_works else "named"
        parts.append(_table(["artist", "pictures", share, "interval", "most often taken for"], rows))
    parts.append(f'<p class="soft">Encoder {escape(result.encoder)}</p>')
    return "".join(parts)


def _comparison(result: Comparison) -> str:
    rows = [
        [row.artist, number(row.auc_base), number(row.auc_new), signed(row.auc_change),
         span(row.auc_low, row.auc_high), p_value(row.p_auc)]
        for row in sorted(result.artists, key=lambda row: (-abs(row.auc_change or 0.0), row.artist))
    ]  # fmt: skip
    return (
        f"<h4>{escape(result.base.release)} → {escape(result.new.release)}: change of the AUC</h4>"
        + (_figures(change_figures(_identity(result, "change"), result)) if len(rows) <= LINES else "")
        + _table(["artist", "base", "new", "change", "interval", "p"], rows)
        + "".join(f'<p class="soft">{escape(note)}</p>' for note in result.notes)
    )


def _report(result: Report) -> str:
    parts = [f"<h4>{escape(result.title)}</h4>"]
    parts += [f"<p>{escape(sentence)}</p>" for sentence in result.answer]
    for combined in combined_of(result).values():
        together = [
            [row.artist, Markup(f"{icon(row.finding)}{escape(row.finding)}"), p_value(row.p_adjusted),
             ", ".join(also_alone(row)) or "–"]
            for row in combined.artists
        ]  # fmt: skip
        parts.append(f"<p>{escape(combined.release)}, by {len(combined.encoders)} encoders in one test:</p>")
        parts.append(
            _table(
                ["artist", "finding", "adjusted p", "also by one alone"], together[:ROWS], total=len(together)
            )
        )
    by_works = any(entry.by_works is not None for entry in result.results)
    rows = [
        [entry.release, entry.encoder, percent(entry.summary.accuracy), number(entry.summary.auc)]
        + ([percent(entry.by_works.accuracy if entry.by_works else None)] if by_works else [])
        for entry in result.results
    ]
    header = ["release", "encoder", "artist named", "mean AUC"]
    parts.append(_table([*header, *(["artist nearest by works"] if by_works else [])], rows))
    for position, first in enumerate({entry.release: entry for entry in reversed(result.results)}.values()):
        artists = in_order(first.artists)
        if len(artists) <= LINES:
            figure = auc(_identity(result, f"auc-{position}"), artists)
            parts.append(f"<p>{escape(first.release)} by {escape(first.encoder)}:</p>{_figures([figure])}")
    parts.append('<p class="soft">report.html holds the figures, the pictures and the limits.</p>')
    return "".join(parts)


# Parts


class Markup(str):
    """Text that is already HTML."""


def _fragment(content: str) -> str:
    return f'<div class="imindex"><style>{fragment_style(".imindex")}{_STYLE}</style>{content}</div>'


def _identity(result: Result, what: str) -> str:
    """Return an id for a figure. It depends on the result, because a notebook shows many results on one page."""
    return f"imindex-{hashlib.sha256(to_json(result)).hexdigest()[:10]}-{what}"


def _figures(figures: Sequence[Figure | None]) -> str:
    """Return figures side by side, each with its legend and a sentence. None is skipped."""
    drawn = "".join(map(_figure, filter(None, figures)))
    return f'<div class="figures">{drawn}</div>' if drawn else ""


def _figure(figure: Figure) -> str:
    keys = "".join(f'<span><i class="key {name}"></i>{escape(text)}</span>' for name, text in figure.keys)
    return (
        f'<figure><figcaption>{escape(figure.title)}</figcaption><p class="keys">{keys}</p>{figure.svg}'
        f'<p class="reading">{escape(figure.reading)}</p></figure>'
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, total: int | None = None) -> str:
    """Return a table of at most `ROWS` rows. Columns of numbers are right-aligned."""
    count = len(rows) if total is None else total
    numeric = [
        all(_is_number(row[column]) for row in rows[:ROWS]) and bool(rows) for column in range(len(header))
    ]
    classes = [' class="n"' if right else "" for right in numeric]
    head = "".join(f"<th{c}>{escape(name)}</th>" for name, c in zip(header, classes, strict=True))
    body = "".join(
        "<tr>" + "".join(
            f"<td{c}>{cell if isinstance(cell, Markup) else escape(cell)}</td>"
            for cell, c in zip(row, classes, strict=True)
        ) + "</tr>"
        for row in rows[:ROWS]
    )  # fmt: skip
    more = f'<p class="soft">{ROWS} of {count:,} rows; to_pandas() has them all.</p>' if count > ROWS else ""
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _is_number(cell: str) -> bool:
    return (
        not isinstance(cell, Markup)
        and cell.strip("<≤ ").replace(",", "").replace("−", "-")[:1] in "-+0123456789"
    )


def _picture(thumbnails: Thumbnails, path: str, lines: Sequence[str], class_: str = "") -> str:
    caption = "<br>".join(escape(shorten(line, 34)) for line in lines)
    thumbnail = thumbnails.get(path)
    if thumbnail is None:
        picture = '<div class="missing">not there</div>'
    else:
        address, width, height = thumbnail
        picture = (
            f'<img src="{address}" width="{width}" height="{height}" alt="" title="{escape(shown(path))}">'
        )
    return f'<figure class="{class_}">{picture}{caption}</figure>'
