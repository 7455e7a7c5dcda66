"""What the commands ask and print about tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from imindex.indexer.terminal.options import (
    FromSignature,
    add_options,
)
from imindex.indexer.terminal.output import count, number, percent, print_table, say

F = TypeVar("F", bound=Callable[..., Any])
OF = "imindex.retrieval.evidence.testing:Testing"
TESTING = ("placebos", "level", "adjust", "unit", "approximate", "n_resamples", "confidence_level", "seed")
ACCURACY = ("placebos", "adjust", "n_resamples", "confidence_level", "seed")
TOP = 20
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


WORDS = {"this encoder cannot tell": "cannot tell"}


def p_value(p: float) -> str:
    """Format a p-value: three digits, and never 0."""
    if p != p:
        return "-"
    if p < 1e-300:
        return "< 1e-300"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def _span(low: float, high: float) -> str:
    return "-" if low != low else f"{number(low)} to {number(high)}"


def print_evidence(result: dict[str, Any], show_all: bool) -> None:
    """Print the findings, one artist a line, the smallest p first; and what they rest on."""
    evidence = result["evidence"]
    tested = [a for a in result["artists"] if "finding" in a]
    tested.sort(key=lambda a: (a["p"] if a["p"] == a["p"] else 2.0, -a["auc"], a["artist"]))
    shown = tested if show_all else tested[:TOP]
    method, named = evidence["adjust"], bool(evidence["placebos"])
    floors = [
        kind
        for kind in ("placebo", "control")
        if any(a[f"floor_{kind}"] == a[f"floor_{kind}"] for a in tested)
    ]
    rows = [
        [
            a["artist"],
            WORDS.get(a["finding"], a["finding"]),
            number(a["auc"]),
            _span(a["auc_low"], a["auc_high"]),
            *([p_value(a["p_name"]), p_value(a[f"p_name_{method}"])] if named else []),
            p_value(a["p_rival"]),
            *([p_value(a["p_work"])] if evidence["unit"] == "work" else []),
            p_value(a[f"p_{method}"]),
            *(number(a[f"floor_{kind}"]) for kind in floors),
            number(a["ceiling_auc"]),
            a["gap_class"],
        ]
        for a in shown
    ]
    header = ["artist", "finding", "AUC", f"{100 * evidence['confidence_level']:g} % interval"]
    header += ["p name", ADJUSTED[method]] if named else []
    header += ["p rival"]
    if evidence["unit"] == "work":
        header += ["p work", ADJUSTED[method]]
    else:
        header += [f"both, {ADJUSTED[method]}" if named else ADJUSTED[method]]
    header += [*({"placebo": "floor", "control": "controls"}[kind] for kind in floors), "ceiling", "gap"]
    more = f" ({len(shown)} of {len(tested)}; --all prints the rest)" if len(shown) < len(tested) else ""
    print_table(
        f"{result['collection']}: is each artist imitated?{more}", header, rows, left=2, note=_basis(result)
    )
    if evidence["unit"] == "work":
        say(f"Warning: {UNIT_WARNING}")


def _basis(result: dict[str, Any]) -> list[str]:
    evidence = result["evidence"]
    artists = [a for a in result["artists"] if "finding" in a]
    name, rival = (min((a[f"n_{kind}_references"] for a in artists), default=0) for kind in ("name", "rival"))
    lines = [
        f"Question: {evidence['question']}? Level {evidence['level']:g} for "
        f"{count(evidence['family'], 'artist')} together; {evidence['n_resamples']:,} resamples, "
        f"seed {evidence['seed']}."
    ]
    if evidence["unit"] == "artist":
        against = [_against(artists, "name", "placebo name")] if evidence["placebos"] else []
        lines.append("; ".join([*against, _against(artists, "rival", "other artist")]) + ".")
        needed = evidence["references_needed"]
        few = [what for n, what in ((name, "placebo names"), (rival, "rivals")) if n < needed]
        if evidence["approximate"]:
            lines.append(
                "Approximate: by studentised p-values, which take the references' scores for normal. They fail in the "
                "tail, where a correction for many artists looks (stats/METHODS.md): no evidence by themselves."
            )
        elif evidence["adjust"] == "holm" and few and evidence["family"]:
            lines.append(
                f"Holm's correction can find an artist from {needed:,} {' and '.join(few)} on. Names are cheap: ask "
                "the release for more of them, or see --adjust bh and --approximate."
            )
        lines.append(
            '"Imitated": both after correction. "The name matters": that alone; read p rival beside it.'
            if evidence["placebos"]
            else "Without placebo names nothing is said of whether the name matters: pass --placebo."
        )
    if evidence["overall"]["findings"]["not tested"]:
        lines.append(
            "Not tested: fewer than 5 works, no other artist's works to judge this encoder by (they go into "
            "background/), or no reference of the same design."
        )
    lines += _fixed_prompts(artists)
    cannot = evidence["overall"]["findings"]["this encoder cannot tell"]
    if cannot:
        lines.append('Gap not robustly positive: "this encoder cannot tell", whatever the p.')
    return lines


def _against(artists: Sequence[dict[str, Any]], kind: str, noun: str) -> str:
    """What p-values of a kind rest on: how many references, the smallest possible p, and what was left out."""
    sizes = [a[f"n_{kind}_references"] for a in artists] or [0]
    few, many = min(sizes), max(sizes)
    shown = count(many, noun) if few == many else f"{few:,} to {count(many, noun)}"
    least = f"none below {p_value(1 / (1 + many))}" if many else "no p"
    left_out = max((a[f"n_{kind}_left_out"] for a in artists), default=0)
    return f"p {kind}: against {shown}, {least}" + (
        f" (up to {left_out:,} left out: fewer imitations, or other pictures a prompt)" if left_out else ""
    )


def _fixed_prompts(artists: Sequence[dict[str, Any]]) -> list[str]:
    n = sum(a["prompts_held_fixed"] for a in artists)
    if not n:
        return []
    return [
        f"Intervals of {count(n, 'artist')} are for the few prompts that were used, not for prompts in general."
    ]


def summary(result: dict[str, Any]) -> str:
    """One or two sentences over all artists."""
    evidence, overall = result["evidence"], result["evidence"]["overall"]
    found = overall["findings"]
    parts = [f"{WORDS.get(label, label)} {n}" for label, n in found.items() if n]
    text = f"Tested {count(overall['n_tested'], 'artist')} at level {evidence['level']:g}: {', '.join(parts)}"
    if found["the name matters"]:
        beside = overall["n_name_matters_and_rival_below_level"]
        text += f". Of those whose name matters, {beside} have p rival at or below the level, uncorrected"
    text += "."
    if overall["auc"] == overall["auc"]:
        interval = _span(overall["auc_low"], overall["auc_high"])
        text += (
            f"\nMean AUC {number(overall['auc'])} ({100 * evidence['confidence_level']:g} % interval {interval}); "
            f"p of the assignment over all {p_value(overall['p_assignment'])}."
        )
    return text


def accuracy_header(results: dict[str, Any]) -> list[str]:
    """The columns of an artist's accuracy that tests add; none without tests."""
    testing = results["testing"]
    if not testing:
        return []
    by_name = ["p generic"] if results["generic_labels"] else []
    level, adjusted = f"{100 * testing['confidence_level']:g}", ADJUSTED[testing["adjust"]]
    return [f"{level} % interval", "p chance", f"p {adjusted}", *by_name]


def accuracy_cells(results: dict[str, Any], artist: dict[str, Any]) -> list[str]:
    """An artist's cells in those columns."""
    testing = results["testing"]
    if not testing:
        return []
    interval = f"{percent(artist['top1_low'])} to {percent(artist['top1_high'])}"
    generic = [p_value(artist["p_generic"])] if results["generic_labels"] else []
    return [interval, p_value(artist["p_chance"]), p_value(artist[f"p_chance_{testing['adjust']}"]), *generic]


def accuracy_note(results: dict[str, Any], method: dict[str, Any]) -> list[str]:
    """What the figures over all artists rest on."""
    testing, evidence = results["testing"], method["evidence"]
    if not testing:
        return []
    macro = evidence["macro"]
    lines = [
        f"Mean over artists {percent(method['macro_top1'])} ({100 * testing['confidence_level']:g} % interval "
        f"{percent(macro['top1_low'])} to {percent(macro['top1_high'])}); p of the assignment over all "
        f"{p_value(evidence['p_assignment'])}. {testing['n_resamples']:,} resamples, seed {testing['seed']}.",
        "p chance and p generic take pictures for independent, "
        "which those of one prompt are not; `imindex match` tests whole sets.",
    ]
    curve = evidence["by_label_count"]
    if curve:
        places = sorted(
            {0, len(curve["counts"]) // 3, 2 * len(curve["counts"]) // 3, len(curve["counts"]) - 1}
        )
        some = ", ".join(f"{curve['counts'][i]} {percent(curve['top1'][i])}" for i in places)
        lines.append(f"Top-1 by number of candidate artists, over all choices of them: {some}.")
    lines += _fixed_prompts(method["artists"])
    narrow = sum("too narrow" in a["interval_note"] for a in method["artists"])
    if narrow:
        lines.append(
            f"Intervals of {count(narrow, 'artist')} rest on fewer than 10 prompts, and are a little narrow."
        )
    if results["templates_top1"]:
        each = ", ".join(f'"{name}" {percent(share)}' for name, share in results["templates_top1"].items())
        lines.append(f"Each template alone: {each}.")
    return lines


TOP = 20
"""Rows of a table on the screen; --all prints the rest, --json has everything."""


def _of(shown: Sequence[Any], everything: Sequence[Any]) -> str:
    return (
        f" ({len(shown)} of {len(everything)}; --all prints the rest)" if len(shown) < len(everything) else ""
    )
