"""Options and tables of the statistical tests, shared by the commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from imindex.indexer.core.bounds import RESAMPLES, SEED, SHARE, WORKS
from imindex.indexer.demo.recognise import NOT_EVIDENCE
from imindex.indexer.terminal.complete import complete_artists
from imindex.indexer.terminal.options import FromSignature, add_options, within
from imindex.indexer.terminal.output import count, number, percent, say
from imindex.retrieval.evidence.fair_reference import reference_warning
from imindex.retrieval.findings import SIGNIFICANT, Finding
from imindex.retrieval.results import (
    AccuracyTests,
    ArtistTests,
    Classification,
    ClassificationMethod,
    MatchedArtist,
    MatchEvidence,
    Matching,
    name_test_calls,
)

F = TypeVar("F", bound=Callable[..., Any])
OF = "imindex.retrieval.evidence.testing:Testing"
TESTING = (
    "placebos",
    "level",
    "adjust",
    "unit",
    "statistic",
    "approximate",
    "n_resamples",
    "confidence_level",
    "seed",
    "background",
)
ACCURACY = ("placebos", "adjust", "n_resamples", "confidence_level", "seed")
TOP = 20
"""Rows of a table printed by default; --all prints the rest, --json everything."""
ADJUSTED = {"holm": "Holm", "bh": "BH", "by": "BY"}
UNIT_WARNING = (
    'unit="work" assumes that works by the same artist are independent. They are not: without any imitation, when '
    "works cluster by artist, it flags 16 to 32 % of artists at a nominal 5 % (stats/METHODS.md). "
    "Report --unit artist."
)


def _option(*names: str, **kwargs: Any) -> Callable[[F], F]:
    return click.option(*names, cls=FromSignature, of=OF, **kwargs)


_SHARE = within(SHARE)
_ADJUST = _option(
    "--adjust", type=click.Choice(("holm", "bh", "by")),
    help="Multiple-testing correction: Holm, Benjamini-Hochberg or Benjamini-Yekutieli.",
)  # fmt: skip
_PLACEBO = _option(
    "--placebo", "placebos", multiple=True, metavar="NAME", shell_complete=complete_artists,
    help='A placebo name, or a pattern such as "placebo *": an invented artist, prompted for in the same way as the '
    "real ones. Repeatable. By default, the names of the arm placebo in the manifest.",
)  # fmt: skip
_COMMON = (
    _option("--resamples", "n_resamples", type=within(RESAMPLES), help="Number of resamples."),
    _option("--confidence", "confidence_level", type=_SHARE, help="Confidence level of intervals."),
    _option("--seed", type=within(SEED), help="Seed of the random numbers."),
    click.option("--no-tests", is_flag=True, help="Skip the tests; print descriptive statistics only."),
)


def testing_options(command: F) -> F:
    """Add the options of `imindex.retrieval.evidence.testing.Testing`, and --no-tests, to a command."""
    return add_options(
        command,
        _PLACEBO,
        _option("--level", type=_SHARE, help="Significance level for all artists together."),
        _ADJUST,
        _option("--unit", type=click.Choice(("artist", "work")), help="Unit randomized under the null hypothesis."),
        _option(
            "--statistic", type=click.Choice(("lda", "linear", "direction", "softmax", "rank")),
            help="How near a set is to an artist: log odds or score of a linear discriminant of the works, the "
            "artist's own direction, a softmax over mean works, or ranks.",
        ),
        click.option(
            "--approximate", is_flag=True,
            help="Base findings on studentised p-values: finer than 1 / (1 + references), valid if scores are normal.",
        ),
        *_COMMON,
        _option(
            "--background", type=within(WORKS),
            help="Most works by artists that no release was asked for, with which works are compared for the gap and "
            "the check of an artist's own works. Of more works a sample is drawn by --seed, and the output says so.",
        ),
    )  # fmt: skip


report_option = click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.html",
    help="Also write a page: the report of an audit, without the parts that need an audit.",
)  # fmt: skip


def warn_of_demonstration(demonstration: bool) -> None:
    """Say that figures by the demonstration encoder are not for evidence."""
    if demonstration:
        say(NOT_EVIDENCE)


def accuracy_options(command: F) -> F:
    """Add the options of the accuracy tests to a command."""
    return add_options(command, _PLACEBO, _ADJUST, *_COMMON)


WORDS: Mapping[str, str] = {
    Finding.CANNOT_TELL: "cannot tell",
    Finding.NAME_EFFECT: "name effect",
    Finding.SPECIFICITY_NOT_TESTABLE: "name effect; specificity ?",
}


def p_value(p: float | None) -> str:
    """Format a p-value with three digits; the result is never 0."""
    if p is None or p != p:
        return "-"
    if p < 1e-300:
        return "< 1e-300"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def _span(low: float | None, high: float | None) -> str:
    return "-" if low is None else f"{number(low)} to {number(high)}"


def _tested(result: Matching) -> list[MatchedArtist]:
    return [a for a in result.artists if a.finding is not None]


def basis(result: Matching, evidence: MatchEvidence) -> list[str]:
    """Explain what the tests of a matching rest on, in sentences."""
    artists = _tested(result)
    names, rivals = (
        _References([a.n_name_references or 0 for a in artists], [a.n_name_left_out or 0 for a in artists]),
        _References([a.n_rival_references or 0 for a in artists], [a.n_rival_left_out or 0 for a in artists]),
    )
    warning = unfair(evidence)
    lines = [warning] if warning else []
    lines.append(
        f"Question: {evidence.question}? Level {evidence.level:g} for "
        f"{count(evidence.family, 'artist')} together; {evidence.n_resamples:,} resamples, "
        f"seed {evidence.seed}."
    )
    if evidence.unit == "artist":
        against = [names.against("name", "placebo name")] if evidence.placebos else []
        lines.append("; ".join([*against, rivals.against("rival", "other artist")]) + ".")
        needed = evidence.references_needed
        few = [noun for refs, noun in ((names, "placebo names"), (rivals, "rivals")) if refs.fewest < needed]
        if evidence.approximate:
            lines.append(
                "Approximate: findings rest on studentised p-values, which assume that the references' scores are "
                "normal. They fail in the tail, which a correction for many artists depends on (stats/METHODS.md): "
                "not evidence by themselves."
            )
        elif evidence.adjust == "holm" and few and evidence.family:
            lines.append(
                f"With Holm's correction, a finding requires at least {needed:,} {' and '.join(few)}. Names are cheap: "
                "prompt the release with more of them, or see --adjust bh and --approximate."
            )
        lines += _meaning(evidence)
        lines += _rates(evidence)
    lines += evidence.notes
    if evidence.overall.findings[Finding.NOT_TESTED]:
        lines.append(
            "Not tested: fewer than 5 works, no works of another artist (add some to background/), or no "
            "reference of the same design."
        )
    lines += _fixed_prompts(artists)
    cannot = evidence.overall.findings[Finding.CANNOT_TELL]
    if cannot:
        lines.append(
            "Cannot tell: held-out works of the artist do not score higher for the artist than works of others, so the "
            'figures say nothing about imitation. "Own works" is the probability that they do; 0.5 is chance.'
        )
    return lines


@dataclass(frozen=True)
class _References:
    """Numbers of references of one kind, used and excluded, for each artist."""

    sizes: Sequence[int]
    excluded: Sequence[int]

    @property
    def fewest(self) -> int:
        return min(self.sizes, default=0)

    def against(self, test: str, noun: str) -> str:
        """Describe the references of a test: their number, the smallest possible p, and the excluded ones."""
        few, many, excluded = self.fewest, max(self.sizes, default=0), max(self.excluded, default=0)
        shown = count(many, noun) if few == many else f"{few:,} to {count(many, noun)}"
        least = f"none below {p_value(1 / (1 + many))}" if many else "no p"
        return f"p {test}: against {shown}, {least}" + (
            f" (up to {excluded:,} excluded: fewer imitations, or another number of pictures per prompt)"
            if excluded
            else ""
        )


STATISTIC = {
    "lda": "log odds by a linear discriminant of the works",
    "linear": "score of a linear discriminant of the works",
    "direction": "cosine with the artist's own direction among the works",
    "softmax": "softmax share of the artist over cosines with mean works",
    "rank": "mean rank percentile by the works",
}


def _meaning(evidence: MatchEvidence) -> list[str]:
    """Explain the statistic, the two steps, and what this design could not find."""
    overall = evidence.overall
    lines = [f"Statistic: {STATISTIC.get(evidence.statistic, evidence.statistic)}."]
    if not evidence.placebos:
        return [
            *lines,
            "Without placebo names, there is no test of whether the name matters: pass --placebo, or build from a "
            "manifest with the column `arm`.",
        ]
    adjusted = ADJUSTED[evidence.adjust]
    lines.append(
        f'"Name effect": p name passes after {adjusted} over the artists. "Imitated": p rival passes as well, after '
        f'{adjusted} over the artists with a name effect; "specificity ?": too few other real names to test that.'
    )
    if evidence.family and not evidence.approximate and evidence.unit == "artist":
        fewest = overall.fewest_findable
        if fewest is None:
            lines.append(
                "This design can find nobody: no p name can be small enough. Use more placebo names."
            )
        elif fewest > 1:
            lines.append(
                f"This design cannot find fewer than {fewest} artists: with so few placebo names, no p name could be "
                "small enough."
            )
        if overall.detectable_auc is not None:
            lines.append(
                f'"Not shown" is not a finding that there is none: one more artist would be found with 80 % '
                f"probability at an AUC of about {overall.detectable_auc:.2f}."
            )
    return lines


def _rates(evidence: MatchEvidence) -> list[str]:
    """State the error rates measured with placebo sets in the artists' places."""
    rates = evidence.error_rates
    if rates is None:
        return []
    return [
        f"Error rates, with placebo names in the places of {count(rates.n_artists, 'artist')} ({rates.n_repeats:,} "
        f'repetitions): any name effect in {percent(rates.any_name_effect)}, any "imitated" in '
        f"{percent(rates.any_imitated)}, after correction at level {evidence.level:g}."
        + (
            " They do not hold for real names here: the check of the placebo names failed."
            if unfair(evidence)
            else ""
        )
    ]


def _fixed_prompts(artists: Sequence[ArtistTests | AccuracyTests]) -> list[str]:
    n = sum(bool(a.prompts_held_fixed) for a in artists)
    if not n:
        return []
    return [f"Intervals of {count(n, 'artist')} apply to the few prompts used, not to prompts in general."]


def unfair(evidence: MatchEvidence) -> str:
    """State what may not be claimed if the check of the placebo names failed, as a report does; otherwise empty."""
    return reference_warning(evidence.exchangeability, evidence.level, p_value)


def not_to_be_claimed(evidence: MatchEvidence | None) -> bool:
    """Whether the name test calls too often, so that its findings may not be claimed."""
    return evidence is not None and name_test_calls(evidence.exchangeability, evidence.level) == "too often"


def summary(evidence: MatchEvidence) -> str:
    """Summarize the tests over all artists in lines; the first says what may not be claimed, if anything."""
    overall = evidence.overall
    findings = overall.findings
    parts = [f"{WORDS.get(label, label)} {n}" for label, n in findings.items() if n]
    text, warning = "", unfair(evidence)
    if warning:
        text = f"{warning}\n"
    planned = "; by the tests as planned, and not to be claimed" if not_to_be_claimed(evidence) else ""
    text += f"Tested {count(overall.n_tested, 'artist')} at level {evidence.level:g}{planned}: {', '.join(parts)}."
    if overall.n_tested and overall.fewest_findable is None:
        text += " This design could find nobody, however strong the imitation."
    elif (overall.fewest_findable or 0) > 1 and not sum(
        n for label, n in findings.items() if label in SIGNIFICANT
    ):
        text += f" This design could not have found fewer than {overall.fewest_findable}."
    if n := findings.get(Finding.SPECIFICITY_NOT_TESTABLE, 0):
        from imindex.retrieval.audit.rivals import rivals_needed

        text += (
            f" Whether {count(n, 'name effect')} {'is' if n == 1 else 'are'} specific could not be tested: ask the "
            f"release for more real names (imindex generate --rivals {rivals_needed(evidence.level)})."
        )
    if overall.auc is not None:
        interval = _span(overall.auc_low, overall.auc_high)
        text += (
            f"\nMean AUC {number(overall.auc)} ({100 * evidence.confidence_level:g} % interval {interval}); "
            f"p of the assignment over all artists {p_value(overall.p_assignment)}."
        )
    return text


def accuracy_note(results: Classification, method: ClassificationMethod) -> list[str]:
    """Return notes on the tests and the figures over all artists."""
    testing, evidence = results.testing, method.evidence
    if testing is None or evidence is None:
        return []
    macro = evidence.macro
    lines = [
        f"Mean over artists {percent(method.macro_top1)} ({100 * testing.confidence_level:g} % interval "
        f"{percent(macro.top1_low)} to {percent(macro.top1_high)}); p of the assignment over all artists "
        f"{p_value(evidence.p_assignment)}. {testing.n_resamples:,} resamples, seed {testing.seed}.",
        *_naming_notes(results, method),
    ]
    curve = evidence.by_label_count
    if curve:
        positions = sorted({0, len(curve.counts) // 3, 2 * len(curve.counts) // 3, len(curve.counts) - 1})
        points = ", ".join(f"{curve.counts[i]}: {percent(curve.top1[i])}" for i in positions)
        lines.append(
            f"Top-1 accuracy by number of candidate artists, averaged over all choices of them: {points}."
        )
    lines += _fixed_prompts(method.artists)
    if results.templates_top1:
        shares = ", ".join(f'"{name}" {percent(share)}' for name, share in results.templates_top1.items())
        lines.append(f"Each template alone: {shares}.")
    return lines


def _naming_notes(results: Classification, method: ClassificationMethod) -> list[str]:
    """Explain the tests of naming, or why there are none."""
    testing, evidence = results.testing, method.evidence
    assert testing is not None and evidence is not None
    if not results.placebos:
        return [
            "Not tested against placebo names (--placebo): some labels are chosen for pictures of every kind, so a "
            "high share alone does not show that the name matters."
        ]
    notes = [
        "by placebos: share of the placebo names' pictures that get this artist's label. p named: is the label chosen "
        "more often for the artist's own pictures than for those of each placebo name?"
    ]
    tested = sum(artist.p_named is not None for artist in method.artists)
    if tested:
        notes.append(
            "p named takes the placebo names for a fair reference. `imindex match` checks that; if its check fails, no "
            "effect of a name may be claimed by p named either."
        )
    if not tested:
        notes.append(
            "p named is missing: no placebo name has as many pictures of each prompt as the artists have."
        )
    elif evidence.fewest_nameable is None:
        notes.append(
            f"With {count(len(results.placebos), 'placebo name')} no adjusted p can be at or below {testing.level:g}."
        )
    elif evidence.fewest_nameable > 1:
        notes.append(
            f"With {count(len(results.placebos), 'placebo name')} an adjusted p can be at or below {testing.level:g} "
            f"only if at least {evidence.fewest_nameable} artists are found together."
        )
    return notes
