"""The tests of Casper et al. 2023, reconstructed from an audit's results, beside those of the report."""

from __future__ import annotations

import numpy as np

from imindex.retrieval.findings import Finding
from imindex.retrieval.results import AsPaper, AsPaperArtist, AuditResult, ReportArtist

ASSUMES = (
    "Accuracy and confidence compare the artist's label with the other labels. They do not show that the name matters: "
    "some labels are chosen for pictures of every kind. The naming p-value compares them with placebo names.",
    "The bootstrap draws the artist's works and imitations at random. It assumes that works of one artist resemble "
    "each other no more than works of different artists. Where they do, it called 11 to 44 % of the artists who were "
    "not imitated, at a nominal 5 % (METHODS.md, measured error rates). It is not corrected for the number of artists.",
    "The checkpoint and labels of the paper are not public, so this is a reconstruction.",
)

NO_NAMES = (
    "This encoder has no text side, so there is no classification by name: accuracy, confidence and p of the naming "
    "are missing."
)


def as_paper(rows: tuple[ReportArtist, ...], result: AuditResult, level: float) -> AsPaper:
    """Return the figures of the paper for the artists of a report.

    Parameters
    ----------
    rows : tuple of ReportArtist
    result : AuditResult
        The results that the rows are from.
    level : float
        Significance level, applied to the paper's p-values without correction, as there.

    Returns
    -------
    AsPaper

    Notes
    -----
    Source: Casper et al. 2023 (arXiv:2307.04028): zero-shot classification among the artists and three generic labels,
    and matching of works to imitations with a bootstrap.
    """
    accuracy = [row.top1 for row in rows if row.top1 is not None]
    named = result.classification.methods[0].artists if result.classification else ()
    confidence = {row.artist: row.confidence for row in named}
    p_bootstrap = {row.artist: row.p_bootstrap for row in result.matching.artists}
    known = [share for row in rows if (share := confidence.get(row.artist)) is not None]
    return AsPaper(
        accuracy=float(np.mean(accuracy)) if accuracy else None,
        confidence=float(np.mean(known)) if known else None,
        level=level,
        n_matched=sum((p := p_bootstrap.get(row.artist)) is not None and p <= level for row in rows),
        n_named=sum(row.p_named_adjusted is not None and row.p_named_adjusted <= level for row in rows),
        n_found=sum(row.finding == Finding.IMITATED for row in rows),
        assumes=ASSUMES if result.classification else (NO_NAMES, *ASSUMES),
        artists=tuple(
            AsPaperArtist(
                artist=row.artist,
                accuracy=row.top1,
                confidence=confidence.get(row.artist),
                p_bootstrap=p_bootstrap.get(row.artist),
                p_named_adjusted=row.p_named_adjusted,
                p_adjusted=row.p_adjusted,
                finding=row.finding,
            )
            for row in rows
        ),
    )
