"""The command `imindex fetch`."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imindex.indexer.core.bounds import ATTEMPTS, CONNECTIONS, RATE, SECONDS
from imindex.indexer.core.errors import Interrupted
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    Command,
    FromSignature,
    Size,
    add_options,
    command_line,
    json_option,
    within,
)
from imindex.indexer.terminal.output import (
    count,
    echo,
    fail,
    file_size,
    print_json,
    print_table,
    remark,
    say,
)
from imindex.indexer.terminal.progress import progress_bar, quiet_option

if TYPE_CHECKING:
    from imindex.indexer.fetch.fetch import FetchReport, HostPlan
    from imindex.indexer.fetch.url_list import Wanted

LIMITS = "imindex.indexer.fetch.limits:FetchSettings"
_SHOWN = 8


def _limit_options(command: Command) -> Command:
    """Add the options that say how fast, how long and how much."""
    return add_options(
        command,
        click.option(
            "--rate", cls=FromSignature, of=LIMITS, is_light=True, type=within(RATE),
            help="Requests per second to a host.",
        ),
        click.option(
            "--per-host", cls=FromSignature, of=LIMITS, is_light=True, type=within(CONNECTIONS),
            help="Connections to a host.",
        ),
        click.option(
            "--connections", cls=FromSignature, of=LIMITS, is_light=True, type=within(CONNECTIONS),
            help="Connections altogether.",
        ),
        click.option(
            "--retries", cls=FromSignature, of=LIMITS, is_light=True, type=within(ATTEMPTS),
            help="Further attempts after a fault that may pass.",
        ),
        click.option(
            "--timeout", cls=FromSignature, of=LIMITS, is_light=True, type=within(SECONDS), metavar="SECONDS",
            help="Time for one request, to its last byte.",
        ),
        click.option(
            "--max-size", type=Size(), metavar="SIZE", help="Refuse larger pictures.  [default: 64MiB]"
        ),
        click.option(
            "--longest-wait", cls=FromSignature, of=LIMITS, is_light=True, type=within(SECONDS), metavar="SECONDS",
            help="Leave a host that asks for a longer pause to a later run.",
        ),
    )  # fmt: skip


@click.command(short_help="Download artists' works from a list of URLs.")
@click.argument("url_list", metavar="LIST", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--artist", default="", metavar="NAME", help="The artist of rows without one.")
@click.option(
    "--kind",
    type=click.Choice(("works", "background")),
    default="works",
    show_default=True,
    help="The kind of rows without one.",
)
@click.option(
    "--contact",
    default="",
    metavar="EMAIL|URL",
    help="How owners of hosts reach you; it is part of the User-Agent.",
)
@_limit_options
@click.option("--retry-refused", is_flag=True, help="Ask again for what was refused before.")
@click.option(
    "--allow-private-host",
    "private_hosts",
    multiple=True,
    metavar="HOST",
    help="A host of your own network: its addresses need not be on the public internet. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be asked of which hosts, and ask nobody.")
@json_option
@quiet_option
@errors_for_people
def fetch(url_list: Path, out: Path, artist: str, kind: str, **options: Any) -> None:
    """Download artists' works from a list of URLs into OUT/works, with a manifest for `imindex build`.

    LIST is CSV, TSV, JSON lines or Parquet with the columns url and artist; further columns, such as caption and
    licence, are carried over. Opt-outs are respected and cannot be overridden: robots.txt, X-Robots-Tag (noai,
    noimageai, noindex) and TDM reservations. What is refused, and why, is in OUT/refused.csv. Run the same command
    again to resume, or to try again what failed.

    \b
    imindex fetch urls.csv out --contact me@example.org
    imindex build out -i audit.h5
    """
    if importlib.util.find_spec("httpx") is None:
        fail("`imindex fetch` needs httpx. Run: pip install 'imindex[fetch]'")
    from imindex.indexer.fetch.fetch import plan
    from imindex.indexer.fetch.url_list import read_list

    rows = read_list(url_list, artist=artist, kind=kind, note=say)
    if not rows:
        fail(f"{url_list} has no rows. Write one row per picture, with the columns url and artist.")
    if options["dry_run"]:
        _print_plan(plan(rows, out, retry_refused=options["retry_refused"]), out, options)
        return
    report = _fetch(rows, out, options)
    if options["as_json"]:
        print_json(dataclasses.asdict(report))
    else:
        _print_report(report)
    if report.failed:
        which = "1 URL" if report.failed == 1 else f"{report.failed:,} URLs"
        fail(f"{which} failed, as {out / 'refused.csv'} says. Run the same command again to try them again.")


def _fetch(rows: list[Wanted], out: Path, options: Mapping[str, Any]) -> FetchReport:
    from imindex.indexer.fetch.fetch import fetch as run
    from imindex.indexer.fetch.limits import FetchSettings

    fields = [field.name for field in dataclasses.fields(FetchSettings)]
    settings = FetchSettings(**{key: options[key] for key in fields if options.get(key) is not None})
    if not options["contact"]:
        say("No --contact: owners of hosts cannot reach you, and may block the requests.")
    urls = len({row.key for row in rows})
    try:
        with progress_bar(urls, "Fetching") as progress:
            return run(
                rows,
                out,
                settings=settings,
                retry_refused=options["retry_refused"],
                command=command_line(),
                progress=progress,
            )
    except KeyboardInterrupt:
        raise Interrupted(
            f"Stopped. What was fetched is in {out} and its manifest. Run the same command again to resume."
        ) from None


def _print_report(report: FetchReport) -> None:
    for line in report.notes:
        say(line)
    for reason, n in list(report.reasons.items())[:_SHOWN]:
        say(f"{reason}: {count(n, 'URL')}")
    if "private address" in report.reasons:
        say("If a private address is of your own network, pass --allow-private-host HOST --retry-refused.")
    echo(
        f"Fetched {count(report.fetched, 'picture')}, {file_size(report.size)} ({report.there:,} already present, "
        f"{report.refused:,} refused, {report.failed:,} failed) into {report.folder}; its manifest lists "
        f"{report.pictures:,}."
    )


def _print_plan(hosts: list[HostPlan], out: Path, options: Mapping[str, Any]) -> None:
    left, rate = sum(host.left for host in hosts), options["rate"]
    if options["as_json"]:
        print_json(
            {
                "folder": out,
                "urls": sum(host.urls for host in hosts),
                "left": left,
                "rate": rate,
                "hosts": [dataclasses.asdict(host) for host in hosts],
            }
        )
        return
    rows = [[host.host, f"{host.urls:,}", f"{host.left:,}", f"{host.left / rate:,.0f}"] for host in hosts]
    print_table(
        "What would be asked of which hosts", ["host", "URLs", "to ask for", "seconds at this rate"], rows
    )
    asked = sum(host.left > 0 for host in hosts)
    remark(
        f"Would ask {count(asked, 'host')} for {count(left, 'URL')}, and each first for robots.txt; asked nobody."
    )
