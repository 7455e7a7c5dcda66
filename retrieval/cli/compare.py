"""The command `imindex compare`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from imindex.indexer.core.bounds import RESAMPLES, SEED, SHARE
from imindex.indexer.terminal.complete import complete_artists, complete_releases
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    command_line,
    device_option,
    index_option_of,
    json_option,
    model_options,
    table_options,
    view_of,
    within,
)
from imindex.indexer.terminal.output import (
    View,
    clean,
    count,
    number,
    print_json,
    remark,
    say,
    show_aside,
    show_table,
    text_table,
)
from imindex.retrieval.cli._adjust import adjust_options
from imindex.retrieval.cli._evidence import p_value, report_option, warn_of_demonstration
from imindex.retrieval.cli._tables import all_changes, compare_fields, compare_table, signed, signed_span
from imindex.retrieval.compare.gate import Condition
from imindex.retrieval.results import Comparison, FigureName, Verdict

COMPARE = "imindex.retrieval.compare.releases:compare"
OF = "imindex.retrieval.evidence.testing:Testing"
_SHARE = within(SHARE)


class ConditionType(click.ParamType):  # type: ignore[type-arg]
    """A condition of `imindex.retrieval.compare.gate`; one that cannot be parsed is a usage error."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Condition:
        from imindex.indexer.core.errors import ImindexError
        from imindex.retrieval.compare.gate import parse

        try:
            return value if isinstance(value, Condition) else parse(value)
        except ImindexError as error:
            self.fail(clean(str(error)), param, ctx)


@click.command(short_help="Compare two releases artist by artist, with conditions to fail on.")
@click.argument("base", shell_complete=complete_releases)
@click.argument("new", shell_complete=complete_releases)
@index_option_of(several=True, help="The index file, if BASE or NEW is a collection.")
@click.option(
    "--fail-if", "conditions", type=ConditionType(), multiple=True, metavar="CONDITION",
    help='Exit with code 3 if this is true, or with 4 if it cannot be decided, such as "auc.beyond.low > 0" or '
    '"risen > 0". Repeatable.',
)  # fmt: skip
@click.option(
    "--allow-undecided", is_flag=True, help="Conditions that cannot be decided do not change the exit code."
)
@click.option(
    "--audit-verified", is_flag=True,
    help="Recompute both audits first, as `imindex verify --results` does, and refuse one that differs.",
)  # fmt: skip
@click.option(
    "--margin", type=_SHARE, metavar="M",
    help="Also test whether the mean AUC, beyond that of placebo names, changed by no more than M, up or down.",
)  # fmt: skip
@click.option("--encoder", help="Encoder to use for audits with several. [default: the first one in common]")
@click.option("--no-names", is_flag=True, help="Skip the accuracy by name, which needs an encoder.")
@click.option(
    "--label", "labels", cls=FromSignature, of=COMPARE, multiple=True, help="Generic label. Repeatable."
)
@click.option(
    "--template",
    "templates",
    cls=FromSignature,
    of=COMPARE,
    multiple=True,
    help="Prompt template. Repeatable.",
)
@click.option(
    "--placebo", "placebos", cls=FromSignature, of=OF, multiple=True, metavar="NAME", shell_complete=complete_artists,
    help='A placebo name, or a pattern such as "placebo *". Repeatable. By default, the names of the arm placebo in '
    "the manifest. Audits store their own.",
)  # fmt: skip
@click.option(
    "--rival", "rivals", cls=FromSignature, of=OF, multiple=True, metavar="NAME",
    help="A further real name that is neither compared nor a candidate. Repeatable. By default, the names of the arm "
    "rival in the manifest. Audits store their own.",
)  # fmt: skip
@click.option(
    "--level", cls=FromSignature, of=OF, type=_SHARE, help="Significance level for all artists together."
)
@click.option(
    "--adjust", cls=FromSignature, of=OF, type=click.Choice(("holm", "bh", "by")),
    help="Multiple-testing correction: Holm, Benjamini-Hochberg or Benjamini-Yekutieli.",
)  # fmt: skip
@click.option(
    "--alternative", cls=FromSignature, of=COMPARE, type=click.Choice(("two-sided", "greater", "less")),
    help='Alternative hypothesis; "greater": the new release imitates more.',
)  # fmt: skip
@click.option(
    "--resamples", "n_resamples", cls=FromSignature, of=OF, type=within(RESAMPLES), help="Number of resamples."
)  # fmt: skip
@click.option(
    "--confidence",
    "confidence_level",
    cls=FromSignature,
    of=OF,
    type=_SHARE,
    help="Confidence level of intervals.",
)
@click.option("--seed", cls=FromSignature, of=OF, type=within(SEED), help="Seed of the random numbers.")
@adjust_options("imindex.retrieval.evidence.match_release:match_release")
@report_option
@click.option("--all", "show_all", is_flag=True, help="Print every artist.")
@model_options
@device_option
@json_option
@table_options
@click.pass_context
@errors_for_people
def compare(
    context: click.Context,
    /,
    base: str,
    new: str,
    conditions: Sequence[Condition],
    allow_undecided: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare two releases on the same artists: the change of each artist and of the mean, with intervals and p-values.

    Every p compares a change with those of placebo names that both releases were asked for. Without such names there is
    no test, because two releases differ in much that is not imitation.

    BASE and NEW are collections of the index, or finished audits: a report.json or an audit's folder, followed by
    :RELEASE if it has several. An audit's index file is used if it exists unchanged, otherwise the audit's figures.
    A report that was edited is refused; --audit-verified also finds edits by someone who computed a new digest.

    With --fail-if, the command serves as a gate in a release pipeline (retrieval/RELEASES.md). The exit code is 0 if
    every condition passes, 1 if the command could not run, 2 for a usage error, 3 if a condition fails, and 4 if one
    cannot be decided and none fails.

    \b
    imindex compare sd-2.0 sd-2.1 --placebo "placebo *"
    imindex compare old-audit new-audit \\
        --fail-if "auc.beyond.low > 0" --fail-if "risen > 0"
    """
    from imindex.retrieval import api
    from imindex.retrieval.compare.gate import outcome

    view = view_of(options, compare_fields)
    show_all, report_file = options.pop("show_all"), options.pop("report")
    passed = {
        name: value
        for name, value in options.items()
        if context.get_parameter_source(name) not in (None, click.core.ParameterSource.DEFAULT)
    }
    result = api.compare(base, new, fail_if=conditions, note=say, **{**passed, "index": options["index"]})
    if report_file is not None:
        api.write_comparison_report(result, report_file, command=command_line())
        say(f"Wrote the report to {report_file}.")
    warn_of_demonstration(result.demonstration)
    if as_json:
        print_json(result.to_dict())
    else:
        _print_artists(result, show_all, view)
        _print_overall(result, view)
        if result.margin is not None:
            remark(result.margin.sentence, view=view)
        for verdict in result.gate:
            if (
                not view.for_machines or outcome(verdict) == "passed"
            ):  # `end_of_gate` writes the others to stderr
                remark(verdict.reason, view=view)
        remark(summary(result), view=view)
    end_of_gate(context, result.gate, allow_undecided)


def end_of_gate(context: click.Context, verdicts: Sequence[Verdict], allow_undecided: bool) -> None:
    """Say what a gate decided, and exit with its code."""
    from imindex.retrieval.compare.gate import exit_code, outcome

    for kind, words in (("failed", "The release fails the gate:"), ("undecided", "The gate is undecided:")):
        reasons = [verdict.reason for verdict in verdicts if outcome(verdict) == kind]
        if kind == "undecided" and allow_undecided:
            words = "The gate is undecided, which --allow-undecided accepts:"
        for line in [words, *(f"  {reason}" for reason in reasons)] if reasons else ():
            say(line)
    if verdicts and all(outcome(verdict) == "passed" for verdict in verdicts):
        say(f"The release passes the gate: {count(len(verdicts), 'verdict')}.")
    code = exit_code(verdicts, allow_undecided=allow_undecided)
    if code:
        context.exit(code)


def _print_artists(result: Comparison, show_all: bool, view: View) -> None:
    if view.for_machines or view.columns:
        show_table(all_changes(result), view)
    else:
        names: tuple[FigureName, ...] = ("auc", "accuracy")
        for name in names:
            if (table := compare_table(result, name, show_all)) is not None:
                show_table(table, view)
    if result.left_out:
        rows = [[artist.artist, artist.why] for artist in result.left_out]
        show_aside(text_table("Artists not compared", ["artist", "why"], rows, left=2), view)


def _print_overall(result: Comparison, view: View) -> None:
    rows = [
        [
            title,
            number(figure.base),
            number(figure.new),
            signed(figure.change),
            signed_span(figure.low, figure.high),
            p_value(figure.p),
            str(figure.n_artists),
        ]
        for figure, title in ((result.figures.auc, "mean AUC"), (result.figures.accuracy, "mean top-1"))
        if figure.n_artists
    ]
    auc, significant = result.figures.auc, result.counts.significant
    if auc.beyond is not None:
        rows[0][5] = ""  # p is that of the line below
        rows[1:1] = [
            ["that of placebo names", "", "", signed(auc.placebo_change), "", "", f"{auc.n_placebos} names"],
            ["beyond placebo names", "", "", signed(auc.beyond), signed_span(auc.beyond_low, auc.beyond_high),
             p_value(auc.p), str(auc.n_beyond)],
        ]  # fmt: skip
    sides = result.counts.all
    possible = not (sides.base.finds_nobody or sides.new.finds_nobody)
    rows.append(
        ["artists with a finding",
         "-" if sides.base.finds_nobody else str(significant.base),
         "-" if sides.new.finds_nobody else str(significant.new),
         f"{significant.new - significant.base:+d}" if possible else "-", "", "", str(result.n_artists)]
    )  # fmt: skip
    changed = [f"{artist.artist}: {artist.before} -> {artist.to}" for artist in result.counts.changed]
    overall = text_table(
        "Over all artists",
        [
            "",
            "base",
            "new",
            "change",
            f"{100 * result.testing.confidence_level:g} % interval",
            "p",
            "artists",
        ],
        rows,
        note=[
            f"Encoder {result.encoder}.",
            f"Changed findings: {'; '.join(changed)}. This does not test a change."
            if changed
            else "No finding changed."
            if possible
            else _no_finding(result),
            *result.notes,
        ],
    )
    show_aside(overall, view)


def _no_finding(result: Comparison) -> str:
    """Say in which releases no artist can have a finding, so that nobody reads it as a result."""
    sides = [(result.base, result.counts.all.base), (result.new, result.counts.all.new)]
    names = [side.release for side, findings in sides if findings.finds_nobody]
    other = "" if result.testing.adjust == "bh" else ", or pass --adjust bh"
    return (
        f"In {' and '.join(names)}, no artist can have a finding, however strong the imitation: there are too few "
        f"placebo names for the correction --adjust {result.testing.adjust}. Ask for more of them{other}."
    )


def _unfair(result: Comparison) -> str:
    """Say whose findings may not be claimed, or not be missed, because the placebo names are not a fair reference."""
    said = {
        "too often": "it may not be claimed that a name has an effect",
        "too seldom": "nothing may be concluded about artists without a finding",
    }
    text = ""
    for side, findings in ((result.base, result.counts.all.base), (result.new, result.counts.all.new)):
        if findings.name_test_calls:
            text += (
                f"; the placebo names of {side.release} are not a fair reference, so that "
                f"{said[findings.name_test_calls]}"
            )
    return text


def summary(result: Comparison) -> str:
    """Summarize the change over all artists in one sentence."""
    figure, shifts = result.figures.auc, result.shifts
    text = (
        f"Compared {result.new.release} with {result.base.release} on "
        f"{count(result.n_artists, 'artist')}: mean AUC {number(figure.base)} -> {number(figure.new)} "
        f"(change {signed(figure.change)})"
    )
    if figure.beyond is not None:
        text += (
            f"; beyond placebo names {signed(figure.beyond)} "
            f"(interval {signed_span(figure.beyond_low, figure.beyond_high)}, p {p_value(figure.p)})"
        )
    text += _unfair(result)
    if not shifts.n_tested:
        return f"{text}; no change could be tested against placebo names."
    if shifts.fewest_findable is None:
        return f"{text}; the {figure.n_placebos} placebo names are too few to find that any single artist rose or fell."
    return (
        f"{text}; at level {result.testing.level:g}, {count(len(shifts.risen), 'artist')} rose and "
        f"{len(shifts.fallen):,} fell beyond them."
    )
