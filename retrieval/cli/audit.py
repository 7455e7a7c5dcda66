"""The command `imindex audit`: options, progress display and output."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from imindex.indexer.core.bounds import BATCH, PROCESSES
from imindex.indexer.demo.recognise import NOT_EVIDENCE
from imindex.indexer.terminal.asking_options import pace_options
from imindex.indexer.terminal.complete import complete_plans
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    command_line,
    device_option,
    json_option,
    limit_options,
    limits_of,
    preprocess_option,
    root_option,
    roots_of,
    within,
)
from imindex.indexer.terminal.output import (
    clean,
    count,
    echo,
    fail,
    percent,
    print_json,
    print_table,
    remark,
    say,
    short_path,
)
from imindex.indexer.terminal.progress import bars, duration, plain_lines, quiet, quiet_option
from imindex.indexer.terminal.runner_options import runner_options, taken
from imindex.retrieval.cli._evidence import p_value
from imindex.retrieval.cli.compare import end_of_gate
from imindex.retrieval.cli.confirm import confirm

if TYPE_CHECKING:
    from imindex.retrieval.audit.audit import Outcome
    from imindex.retrieval.results import AsPaper, Forecast


class PlanOrCommand(click.Group):
    """A group whose first argument may be a plan: `imindex audit plan.toml` is `imindex audit run plan.toml`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["run", *args]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        return found if incomplete.startswith("-") else complete_plans(incomplete, found)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Options before the plan (`audit --dry-run plan.toml`) belong to `run` as well.
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=PlanOrCommand, short_help="Audit releases by a written plan, from prompts to report.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)  # fmt: skip
def audit() -> None:
    """Audit model releases by a written plan: generate, encode, classify, match, test, compare, report.

    \b
    imindex audit init plan.toml           # write a commented plan
    imindex audit plan.toml --dry-run      # estimate pictures and time
    imindex audit plan.toml                # run it; run again to resume
    imindex audit confirm plan-audit       # confirm or reject copies

    For the options, see: imindex audit run --help.
    """


audit.add_command(confirm)


@audit.command(short_help="Write a commented plan.")
@click.argument("plan", type=click.Path(path_type=Path), default="plan.toml")
@click.option("--force", is_flag=True, help="Overwrite an existing plan.")
@click.option("--model", default="", metavar="NAME", help="The encoder. [default: ViT-L-14, openai]")
@click.option("--pretrained", default="", metavar="TAG|FILE", help="Its weights.")
@preprocess_option
@errors_for_people
def init(plan: Path, force: bool, model: str, pretrained: str, preprocess_from: str | None) -> None:
    """Write a commented plan with every key, for the pictures in its folder.

    PLAN is the file to write, or the folder to write plan.toml in. The plan takes the works, background, control
    pictures and imitations/RELEASE that lie beside it, as folders or manifests. It guesses nothing: what it leaves open
    is listed in its comments, and in the output.

    \b
    imindex audit init plan.toml
    imindex audit init pictures/ --model demo
    """
    from imindex.indexer.system.atomic import write_file
    from imindex.retrieval.audit.layout import find_layout, left_open
    from imindex.retrieval.audit.plan_template import template

    plan = plan / "plan.toml" if plan.is_dir() else plan
    if plan.exists() and not force:
        fail(f"{plan} exists already. Choose another file, or pass --force.")
    layout = find_layout(plan.parent, say)
    text = template(
        plan.name,
        layout.tested,
        layout=layout,
        model=model,
        pretrained=pretrained,
        preprocess_from=preprocess_from or "",
    )
    write_file(plan, text.encode())
    for sentence in left_open(layout):
        echo(f"Left open: {sentence}")
    found = [count(len(layout.tested), "artist")] if layout.tested else []
    found += [count(len(layout.used), "release")] if layout.used else []
    holding = f" with {' and '.join(found)}" if found else ""
    echo(f"Wrote {plan}{holding}. Edit it, then run: imindex audit {plan} --dry-run")


@audit.command(short_help="Run a plan.")
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Output folder. [default: beside PLAN, its name without the suffix plus -audit]",
)  # fmt: skip
@click.option(
    "--amend", metavar="REASON", callback=lambda context, parameter, value: _reason(value),
    help="Record why the registered plan or its pictures have changed.",
)  # fmt: skip
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print what would be made and how long it would take, without making anything.",
)
@click.option("--no-pictures", is_flag=True, help="Write the report without any pictures.")
@click.option("--as-paper", is_flag=True, help="Add the tests of Casper et al. 2023, with what they assume.")
@click.option(
    "--batch-size",
    type=within(BATCH),
    help="Pictures per encoding batch. [default: depends on the device]",
)
@click.option(
    "--generate-batch",
    type=within(BATCH),
    help="Pictures per generation batch. [default: depends on the device]",
)
@click.option("--workers", type=within(PROCESSES), metavar="N", help="Rank the imitations in N processes.")
@device_option
@limit_options
@json_option
@click.option(
    "--allow-undecided",
    is_flag=True,
    help="Conditions of the gate that cannot be decided do not change the exit code.",
)
@root_option
@pace_options
@runner_options
@quiet_option
@click.pass_context
@errors_for_people
def run(
    context: click.Context,
    /,
    plan: Path,
    out: Path | None,
    allow_undecided: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a plan. Finished work is reused.

    The report is written whatever the gate says. The exit code is 0 if every condition of the plan's [gate] passes,
    1 if the audit could not run, 2 for a usage error, 3 if a condition fails, and 4 if one cannot be decided and none
    fails.

    \b
    imindex audit plan.toml --dry-run
    imindex audit plan.toml --amend "an artist withdrew two works"
    """
    from imindex.indexer.runners.base import Place
    from imindex.retrieval import api

    place = Place(**taken(options))
    screen = screen_of_stages()
    how = {name: options[name] for name in ("device", "batch_size", "generate_batch")}
    asking = {name: options[name] for name in ("per_minute", "concurrency", "max_requests", "price")}
    how.update(limits=limits_of(options), roots=roots_of(options), asking=api.Asking(**asking), show=screen)
    if options["dry_run"]:
        with screen:
            forecast = api.forecast(plan, out, **how)
        if as_json:
            print_json(forecast.to_dict())
        else:
            _print_forecast(forecast)
        return
    with screen:
        outcome = api.audit(
            plan,
            out,
            amend=options["amend"],
            pictures=not options["no_pictures"],
            as_paper=options["as_paper"],
            place=place,
            command=command_line(),
            workers=api.Workers(n=options["workers"]),
            **how,
        )
    if any(encoder.demonstration for encoder in outcome.report.encoders):
        say(NOT_EVIDENCE)
    if as_json:
        print_json(outcome.report.to_dict())
    else:
        _print_outcome(outcome)
    end_of_gate(context, outcome.report.gate, allow_undecided)


def _reason(value: str | None) -> str:
    """Return the reason of an amendment, which must say something; empty without the option."""
    if value is not None and not value.strip():
        raise click.BadParameter('it is empty, but the register records it: pass --amend "the reason".')
    return value or ""


def _print_outcome(outcome: Outcome) -> None:
    from imindex.retrieval.report.questions.catalogue import SECTIONS

    for result in outcome.report.results:
        if result.as_paper:
            _print_as_paper(f"{result.release} by {result.encoder}", result.as_paper)
    for verdict in outcome.report.gate:
        echo(f"{verdict.release}, {verdict.encoder}: {verdict.reason}")
    for sentence in outcome.report.answer:
        echo(sentence)
    for answer in outcome.report.questions or ():
        title = SECTIONS[type(answer)][0]
        echo(f"{title} ({answer.release} by {answer.encoder}): {answer.statement}")
    page = next(path for path in outcome.files if path.suffix == ".html")
    echo(
        f"Audited {count(len(outcome.report.releases), 'release')} by plan "
        f"{outcome.report.plan.digest[:12]}: {page}"
    )


def _print_as_paper(title: str, found: AsPaper) -> None:
    print_table(
        f"{title}: the tests of Casper et al. 2023, beside those of this report",
        ["artist", "finding", "accuracy", "confidence", "p bootstrap", "p named adj.", "p adj."],
        [
            [
                row.artist,
                row.finding,
                percent(row.accuracy),
                percent(row.confidence),
                p_value(row.p_bootstrap),
                p_value(row.p_named_adjusted),
                p_value(row.p_adjusted),
            ]
            for row in found.artists
        ],
        left=2,
        note=[
            f"Mean accuracy {percent(found.accuracy)}, mean confidence {percent(found.confidence)}. "
            f"At {found.level:g}, the uncorrected bootstrap matches {found.n_matched} of "
            f"{count(len(found.artists), 'artist')}. By this report's own tests, {found.n_found} are imitated"
            + (
                f", and {found.n_named} are shown to be named more often than placebo names. Few placebo names can "
                "show few artists."
                if found.accuracy is not None
                else "."
            ),
            *found.assumes,
        ],
        aside=True,
        elsewhere="see a wider terminal or --json",
    )


def _print_forecast(forecast: Forecast) -> None:
    is_made = not any(stage.to_do for stage in forecast.stages)
    print_table(
        f"{forecast.title}: {'made' if is_made else 'to be made'} in {short_path(forecast.folder)}",
        ["", "total", "done", "to do", "time"],
        [
            [
                stage.what,
                f"{stage.total:,}",
                f"{stage.there:,}",
                f"{stage.to_do:,}",
                duration(stage.seconds),
            ]
            for stage in forecast.stages
        ],
        note=forecast.notes,
    )
    if is_made:
        done = Path(forecast.folder, "report.json").exists()
        what = (
            "is finished: its report is written"
            if done
            else "has all pictures and vectors; the tests are left"
        )
        remark(f"Plan {forecast.digest[:12]} {what}. Nothing has been made now.")
        return
    known = [stage.seconds for stage in forecast.stages if stage.seconds is not None]
    remark(
        f"Plan {forecast.digest[:12]} would take about {duration(sum(known))} on this machine, "
        "plus the tests; nothing has been made."
    )


def screen_of_stages() -> Any:
    """Return a progress display on stderr: a line per finished stage, a bar or plain lines for the current one."""
    from imindex.retrieval.audit.run import Show

    live = sys.stderr.isatty()

    class Screen(Show, contextlib.AbstractContextManager["Screen"]):
        def __init__(self) -> None:
            self._bar = bars(transient=True)

        def __enter__(self) -> Screen:
            self._bar.start()
            return self

        def __exit__(self, *exception: object) -> None:
            self._bar.stop()

        @contextlib.contextmanager
        def stage(self, name: str, total: int) -> Iterator[Callable[[int, int], None]]:
            if not live:
                started = time.monotonic()
                with plain_lines(total, name) as shown:
                    yield shown
                self._finished(name, started)
                return
            started, task = time.monotonic(), self._bar.add_task(clean(name), total=total or None, rate="")

            def move(done: int, new: int) -> None:
                elapsed = time.monotonic() - started
                self._bar.update(
                    task, completed=done, rate=f"{new / elapsed:.1f}/s" if new and elapsed else ""
                )

            yield move
            self._bar.remove_task(task)
            self._finished(name, started)

        def _finished(self, name: str, started: float) -> None:
            if not quiet():
                self.note(f"{name}: {duration(time.monotonic() - started)}")

        def note(self, text: str) -> None:
            if live:
                self._bar.console.print(clean(text))
            else:
                say(text)

    return Screen()
