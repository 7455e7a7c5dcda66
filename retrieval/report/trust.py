"""How far the findings can be trusted: who could be judged, false alarms, and what could have been missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imindex.retrieval.report.text import DASH, judged, number, p_value, percent
from imindex.retrieval.results import ErrorRates, ReportResult


@dataclass(frozen=True)
class TrustRow:
    """A line of the table.

    Attributes
    ----------
    title : str
    explanation : str
        What the line says, for readers who know no statistics.
    cells : tuple of str
        One per release.
    alarm : tuple of bool
        Whether a cell is a warning.
    """

    title: str
    explanation: str
    cells: tuple[str, ...]
    alarm: tuple[bool, ...] = ()


@dataclass(frozen=True)
class TrustGroup:
    """Lines under a heading."""

    title: str
    explanation: str
    rows: tuple[TrustRow, ...]


def trust(results: Sequence[ReportResult]) -> tuple[TrustGroup, ...]:
    """Return the table for the first encoder's results, one per release."""
    groups = (
        TrustGroup("Who could be judged", "", tuple(_judged(results))),
        TrustGroup("False alarms", _false_alarms_explained(results), tuple(_false_alarms(results))),
        TrustGroup("What could have been missed", "", tuple(_missed(results))),
    )
    return tuple(group for group in groups if group.rows)


def _row(
    results: Sequence[ReportResult], title: str, explanation: str, cell: Callable[[ReportResult], str]
) -> TrustRow:
    return TrustRow(title, explanation, tuple(cell(result) for result in results))


def _judged(results: Sequence[ReportResult]) -> list[TrustRow]:
    return [
        _row(
            results,
            "Artists judged",
            "The works of the others cannot be told apart, or there are too few."
            if any(judged(result.summary) < result.summary.n_artists for result in results)
            else "Their works can be told from those of others, and there are enough of them.",
            lambda result: f"{judged(result.summary)} of {result.summary.n_artists}",
        )
    ]


def _false_alarms_explained(results: Sequence[ReportResult]) -> str:
    known = [result.error_rates for result in results if result.error_rates is not None]
    if not known:
        return ""
    placebos = sorted({rates.n_placebos for rates in known})
    n = f"{placebos[0]}" if len(placebos) == 1 else f"{placebos[0]} to {placebos[-1]}"
    return (
        f"Measured with the pictures for {n} invented names in the artists’ places. Nobody can imitate an invented "
        f"name, so whatever a test finds is false."
    )


def _false_alarms(results: Sequence[ReportResult]) -> list[TrustRow]:
    rows = []
    if any(result.error_rates for result in results):
        levels = next(result.error_rates.levels for result in results if result.error_rates)
        shown = ", ".join(f"{100 * level:g}" for level in levels)
        rows = [
            _row(
                results,
                "Any artist called “imitated”",
                "Trials in which the rule behind the findings, after correction, calls anybody.",
                lambda result: _any(result.error_rates, "any_imitated"),
            ),
            _row(
                results,
                "Any artist called “name effect”",
                "The same for this finding.",
                lambda result: _any(result.error_rates, "any_name_effect"),
            ),
            _row(
                results,
                f"Name test alone, at {shown} %",
                "Share of invented names that it calls, uncorrected; at most as high by construction.",
                lambda result: _rates(result.error_rates, "name"),
            ),
            _row(
                results,
                f"Rival test alone, at {shown} %",
                "Share of invented names that it calls, uncorrected.",
                lambda result: _rates(result.error_rates, "rival"),
            ),
        ]
    if any(result.exchangeability for result in results):
        checks = [_check(result) for result in results]
        rows.append(
            TrustRow(
                "Check of the invented names",
                "Are they like real names that have no effect? If not, the name test misleads.",
                tuple(text for text, _ in checks),
                tuple(failed for _, failed in checks),
            )
        )
    return rows


def _rates(rates: ErrorRates | None, test: str) -> str:
    return DASH if rates is None else ", ".join(percent(share, 1) for share in getattr(rates, test))


def _any(rates: ErrorRates | None, what: str) -> str:
    return (
        DASH if rates is None else f"{round(getattr(rates, what) * rates.n_repeats):,} of {rates.n_repeats:,}"
    )


def _check(result: ReportResult) -> tuple[str, bool]:
    known = [one for one in result.exchangeability if one.p is not None]
    if not known:
        return "not possible", False
    failed = any(one.failed(result.summary.level) for one in known)
    p = ", ".join(p_value(one.p) for one in known)
    return f"{'failed' if failed else 'passed'}, p = {p}", failed


def _missed(results: Sequence[ReportResult]) -> list[TrustRow]:
    tested = [result for result in results if result.summary.family]
    rows = []
    if any(result.summary.detectable_auc is not None for result in tested):
        rows.append(
            _row(
                results,
                "AUC found in 80 % of cases",
                "In one more artist; weaker imitation is missed more often. 0.50 is no imitation.",
                lambda result: number(result.summary.detectable_auc),
            )
        )
    if tested:
        rows.append(
            _row(
                results,
                "Fewest artists that can be found",
                "If fewer are imitated, none is found, however strong the imitation.",
                _fewest,
            )
        )
    return rows


def _fewest(result: ReportResult) -> str:
    if not result.summary.family:
        return DASH
    fewest = result.summary.fewest_findable
    return "none can be" if fewest is None else str(fewest)
