"""What the commands ask and print about tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from imindex.indexer.terminal.options import (
    FromSignature,
    add_options,
)
from imindex.indexer.terminal.output import count, number, percent, print_table, say
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import (
    AccuracyTests,
    ArtistTests,
    Classification,
    ClassificationMethod,
    ClassifiedArtist,
    MatchedArtist,
    MatchEvidence,
    Matching,
)

F = TypeVar("F", bound=Callable[..., Any])
OF = "imindex.retrieval.evidence.testing:Testing"
TESTING = ("placebos", "level", "adjust", "unit", "approximate", "n_resamples", "confidence_level", "seed")
ACCURACY = ("placebos", "adjust", "n_resamples", "confidence_level", "seed")
TOP = 20
"""Rows of a table on the screen; --all prints the rest, --json has everything."""
ADJUSTED = {"holm": "Holm", "bh": "BH", "by": "BY"}
UNIT_WARNING = (
    'unit="work" takes works by one hand for independent. They are not: where nobody is imitated and works '
    "cluster by artist it called 16 to 32 % of artists at a nominal 5 % (stats/METHODS.md). Report --unit artist."
)


def _option(*names: str, **kwargs: Any) -> Callable[[F], F]:
    return click.option(*names, cls=FromSignature, of=OF, **kwargs)


_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
_ADJUST = _option(
    "--adjust", type=click.Choice(("holm", "bh", "by")),
    help="For testing many artists: Holm, Benjamini-Hochberg or Benjamini-Yekutieli.",
)  # fmt: skip
_PLACEBO = _option(
    "--placebo", "placebos", multiple=True, metavar="NAME",
    help='A placebo name, or a pattern such as "placebo *": an invented artist whose name was asked of the release as '
    "the others were. May be repeated.",
)  # fmt: skip
_COMMON = (
    _option("--resamples", "n_resamples", type=click.IntRange(99), help="Resamples."),
    _option("--confidence", "confidence_level", type=_SHARE, help="Of intervals."),
    _option("--seed", type=click.IntRange(0), help="Of the random numbers."),
    click.option("--no-tests", is_flag=True, help="Only describe."),
)


def testing_options(command: F) -> F:
    """Add the options of `imindex.retrieval.evidence.testing.Testing`, and --no-tests."""
    return add_options(
        command,
        _PLACEBO,
        _option("--level", type=_SHARE, help="Of all artists together."),
        _ADJUST,
        _option("--unit", type=click.Choice(("artist", "work")), help="What is drawn at random under the null."),
        click.option(
            "--approximate", is_flag=True,
            help="Find by studentised p-values: finer than 1 / (1 + references), if scores are normal.",
        ),
        *_COMMON,
    )  # fmt: skip


def accuracy_options(command: F) -> F:
    """Add those that tests of the accuracy take."""
    return add_options(command, _PLACEBO, _ADJUST, *_COMMON)


WORDS: Mapping[str, str] = {Finding.CANNOT_TELL: "cannot tell"}


def p_value(p: float | None) -> str:
    """Format a p-value: three digits, and never 0."""
    if p is None or p != p:
        return "-"
    if p < 1e-300:
        return "< 1e-300"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def _span(low: float | None, high: float | None) -> str:
    return "-" if low is None else f"{number(low)} to {number(high)}"


def print_evidence(result: Matching, show_all: bool) -> None:
    """Print the findings, one artist a line, the smallest p first; and what they rest on."""
    evidence = result.evidence
    if evidence is None:
        return
    tested = _tested(result)
    tested.sort(key=lambda a: (2.0 if a.p is None else a.p, -(a.auc or 0.0), a.artist))
    shown = tested if show_all else tested[:TOP]
    method, named = evidence.adjust, bool(evidence.placebos)
    placebo_floor = any(a.floor_placebo is not None for a in tested)
    control_floor = any(a.floor_control is not None for a in tested)
    rows = [
        [
            a.artist,
            _word(a.finding),
            number(a.auc),
            _span(a.auc_low, a.auc_high),
            *([p_value(a.p_name), p_value(a.p_name_adjusted(method))] if named else []),
            p_value(a.p_rival),
            *([p_value(a.p_work)] if evidence.unit == "work" else []),
            p_value(a.p_adjusted(method)),
            *([number(a.floor_placebo)] if placebo_floor else []),
            *([number(a.floor_control)] if control_floor else []),
            number(a.ceiling_auc),
            a.gap_class or "-",
        ]
        for a in shown
    ]
    header = ["artist", "finding", "AUC", f"{100 * evidence.confidence_level:g} % interval"]
    header += ["p name", ADJUSTED[method]] if named else []
    header += ["p rival"]
    if evidence.unit == "work":
        header += ["p work", ADJUSTED[method]]
    else:
        header += [f"both, {ADJUSTED[method]}" if named else ADJUSTED[method]]
    header += [
        *(["floor"] if placebo_floor else []),
        *(["controls"] if control_floor else []),
        "ceiling",
        "gap",
    ]
    print_table(
        f"{result.collection}: is each artist imitated?{shown_of(shown, tested)}",
        header,
        rows,
        left=2,
        note=_basis(result, evidence),
    )
    if evidence.unit == "work":
        say(f"Warning: {UNIT_WARNING}")


def _tested(result: Matching) -> list[MatchedArtist]:
    return [a for a in result.artists if a.finding is not None]


def _word(finding: Finding | None) -> str:
    return WORDS.get(finding, finding) if finding is not None else "-"


def _basis(result: Matching, evidence: MatchEvidence) -> list[str]:
    artists = _tested(result)
    names, rivals = (
        _References([a.n_name_references or 0 for a in artists], [a.n_name_left_out or 0 for a in artists]),
        _References([a.n_rival_references or 0 for a in artists], [a.n_rival_left_out or 0 for a in artists]),
    )
    lines = [
        f"Question: {evidence.question}? Level {evidence.level:g} for "
        f"{count(evidence.family, 'artist')} together; {evidence.n_resamples:,} resamples, "
        f"seed {evidence.seed}."
    ]
    if evidence.unit == "artist":
        against = [names.against("name", "placebo name")] if evidence.placebos else []
        lines.append("; ".join([*against, rivals.against("rival", "other artist")]) + ".")
        needed = evidence.references_needed
        few = [what for one, what in ((names, "placebo names"), (rivals, "rivals")) if one.fewest < needed]
        if evidence.approximate:
            lines.append(
                "Approximate: by studentised p-values, which take the references' scores for normal. They fail in the "
                "tail, where a correction for many artists looks (stats/METHODS.md): no evidence by themselves."
            )
        elif evidence.adjust == "holm" and few and evidence.family:
            lines.append(
                f"Holm's correction can find an artist from {needed:,} {' and '.join(few)} on. Names are cheap: ask "
                "the release for more of them, or see --adjust bh and --approximate."
            )
        lines.append(
            '"Imitated": both after correction. "The name matters": that alone; read p rival beside it.'
            if evidence.placebos
            else "Without placebo names nothing is said of whether the name matters: pass --placebo."
        )
    if evidence.overall.findings[Finding.NOT_TESTED]:
        lines.append(
            "Not tested: fewer than 5 works, no other artist's works to judge this encoder by (they go into "
            "background/), or no reference of the same design."
        )
    lines += _fixed_prompts(artists)
    cannot = evidence.overall.findings[Finding.CANNOT_TELL]
    if cannot:
        lines.append('Gap not robustly positive: "this encoder cannot tell", whatever the p.')
    return lines


@dataclass(frozen=True)
class _References:
    """How many references of one kind each artist was compared with, and how many were left out."""

    sizes: Sequence[int]
    left_out: Sequence[int]

    @property
    def fewest(self) -> int:
        return min(self.sizes, default=0)

    def against(self, test: str, noun: str) -> str:
        """What p-values rest on: how many references, the smallest possible p, and what was left out."""
        few, many, left_out = self.fewest, max(self.sizes, default=0), max(self.left_out, default=0)
        shown = count(many, noun) if few == many else f"{few:,} to {count(many, noun)}"
        least = f"none below {p_value(1 / (1 + many))}" if many else "no p"
        return f"p {test}: against {shown}, {least}" + (
            f" (up to {left_out:,} left out: fewer imitations, or other pictures a prompt)"
            if left_out
            else ""
        )


def _fixed_prompts(artists: Sequence[ArtistTests | AccuracyTests]) -> list[str]:
    n = sum(bool(a.prompts_held_fixed) for a in artists)
    if not n:
        return []
    return [
        f"Intervals of {count(n, 'artist')} are for the few prompts that were used, not for prompts in general."
    ]


def summary(evidence: MatchEvidence) -> str:
    """One or two sentences over all artists."""
    overall = evidence.overall
    found = overall.findings
    parts = [f"{WORDS.get(label, label)} {n}" for label, n in found.items() if n]
    text = f"Tested {count(overall.n_tested, 'artist')} at level {evidence.level:g}: {', '.join(parts)}"
    if found[Finding.NAME_MATTERS]:
        beside = overall.n_name_matters_and_rival_below_level
        text += f". Of those whose name matters, {beside} have p rival at or below the level, uncorrected"
    text += "."
    if overall.auc is not None:
        interval = _span(overall.auc_low, overall.auc_high)
        text += (
            f"\nMean AUC {number(overall.auc)} ({100 * evidence.confidence_level:g} % interval {interval}); "
            f"p of the assignment over all {p_value(overall.p_assignment)}."
        )
    return text


def accuracy_header(results: Classification) -> list[str]:
    """The columns of an artist's accuracy that tests add; none without tests."""
    testing = results.testing
    if not testing:
        return []
    by_name = ["p generic"] if results.generic_labels else []
    level, adjusted = f"{100 * testing.confidence_level:g}", ADJUSTED[testing.adjust]
    return [f"{level} % interval", "p chance", f"p {adjusted}", *by_name]


def accuracy_cells(results: Classification, artist: ClassifiedArtist) -> list[str]:
    """An artist's cells in those columns."""
    testing = results.testing
    if not testing:
        return []
    interval = f"{percent(artist.top1_low)} to {percent(artist.top1_high)}"
    generic = [p_value(artist.p_generic)] if results.generic_labels else []
    return [
        interval,
        p_value(artist.p_chance),
        p_value(artist.p_chance_adjusted(testing.adjust)),
        *generic,
    ]


def accuracy_note(results: Classification, method: ClassificationMethod) -> list[str]:
    """What the figures over all artists rest on."""
    testing, evidence = results.testing, method.evidence
    if testing is None or evidence is None:
        return []
    macro = evidence.macro
    lines = [
        f"Mean over artists {percent(method.macro_top1)} ({100 * testing.confidence_level:g} % interval "
        f"{percent(macro.top1_low)} to {percent(macro.top1_high)}); p of the assignment over all "
        f"{p_value(evidence.p_assignment)}. {testing.n_resamples:,} resamples, seed {testing.seed}.",
        "p chance and p generic take pictures for independent, "
        "which those of one prompt are not; `imindex match` tests whole sets.",
    ]
    curve = evidence.by_label_count
    if curve:
        places = sorted({0, len(curve.counts) // 3, 2 * len(curve.counts) // 3, len(curve.counts) - 1})
        some = ", ".join(f"{curve.counts[i]} {percent(curve.top1[i])}" for i in places)
        lines.append(f"Top-1 by number of candidate artists, over all choices of them: {some}.")
    lines += _fixed_prompts(method.artists)
    narrow = sum("too narrow" in (a.interval_note or "") for a in method.artists)
    if narrow:
        lines.append(
            f"Intervals of {count(narrow, 'artist')} rest on fewer than 10 prompts, and are a little narrow."
        )
    if results.templates_top1:
        each = ", ".join(f'"{name}" {percent(share)}' for name, share in results.templates_top1.items())
        lines.append(f"Each template alone: {each}.")
    return lines


def shown_of(shown: Sequence[Any], everything: Sequence[Any]) -> str:
    """Say how many rows are shown, where it is not all of them."""
    return (
        f" ({len(shown)} of {len(everything)}; --all prints the rest)" if len(shown) < len(everything) else ""
    )
