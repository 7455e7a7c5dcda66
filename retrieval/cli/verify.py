"""The command `imindex verify`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    device_option,
    index_option,
    json_option,
    model_options,
)
from imindex.indexer.terminal.output import count, echo, print_json, say
from imindex.indexer.terminal.progress import progress_bar

if TYPE_CHECKING:
    from imindex.indexer.integrity.seal import Match, Seal
    from imindex.indexer.integrity.verify import Fault, Verification
    from imindex.indexer.store.index import Index

_LISTED = 20


@click.command(short_help="Check that an index, its pictures or an audit are unchanged.")
@index_option
@click.option("--pictures", is_flag=True, help="Read every original picture and compare its SHA-256.")
@click.option(
    "--replay",
    type=click.IntRange(1),
    metavar="N",
    help="Encode N random pictures again and compare the vectors.",
)
@click.option(
    "--seed", cls=FromSignature, of="imindex.indexer.integrity.verify_pictures:replay", type=click.IntRange(0),
    help="Seed for drawing the pictures of --replay.",
)  # fmt: skip
@click.option(
    "--results", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Recompute the audit in FOLDER and compare; its indexes are checked instead of -i.",
)  # fmt: skip
@click.option(
    "--plan",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Plan of the audit in --results. [default: beside FOLDER]",
)
@click.option(
    "--seal", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Check this seal."
)
@model_options
@device_option
@json_option
@click.pass_context
@errors_for_people
def verify(ctx: click.Context, /, index: Path, as_json: bool, **options: Any) -> None:
    """Check that an index is unchanged since it was written, block by block, and that its parts are consistent.

    Reads every column, attribute and vector, recomputes every digest, and lists the differences. A sound index may
    still have been made from other pictures or by another encoder: --pictures and --replay check that. With --results,
    the figures of an audit are recomputed, its page and table are written again, and differences are listed. The exit
    code is 1 if there is a fault, and 4 if there is none but a page by another version could not be compared.

    \b
    imindex verify -i audit.h5
    imindex verify -i audit.h5 --pictures --replay 100
    imindex verify --results plan-audit/
    imindex verify -i audit.h5 --seal audit.h5.seal.json
    imindex verify --results plan-audit/ --seal tiny.seal.json
    """
    checks: list[Check] = []
    results = options["results"]
    if results is not None:
        if options["pictures"] or options["replay"]:
            raise click.UsageError(
                "--pictures and --replay check one index: pass it with -i, and drop --results."
            )
        checks.append(_results(results, options["plan"], options["device"]))
        if options["seal"] is not None:
            given = ctx.get_parameter_source("index") is not ParameterSource.DEFAULT
            checks += _sealed_results(options["seal"], results, index if given else None, checks[0].same)
    else:
        checks += _index(index, options)
    faults = [fault for check in checks for fault in check.faults]
    # A seal that holds the digest of a page decides whether it was edited.
    uncompared = [
        name
        for check in checks
        for name in check.uncompared
        if not any(name in other.same for other in checks)
    ]
    code = 1 if faults else 4 if uncompared else 0
    if as_json:
        values = {key: value for check in checks for key, value in check.values.items()}
        found = {"faults": [asdict(fault) for fault in faults], "uncompared": uncompared}
        print_json({"sound": not code, **values, **found})
        ctx.exit(code)
    for fault in faults:
        echo(f"fault   {fault.where}: {fault.said}")
    for line in (line for check in checks for line in check.lines):
        echo(line)
    target = options["results"] or index
    if faults:
        echo(f"Found {count(len(faults), 'fault')} in {target}.")
    elif uncompared:
        echo(
            f"No faults in what was compared of {target}. Not compared, and possibly edited: {', '.join(uncompared)}."
        )
    else:
        echo(f"Verified {target}: no faults.")
    ctx.exit(code)


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes
    ----------
    values : mapping
        Printed by --json.
    lines : sequence of str
        Printed without --json.
    faults : sequence of Fault
    same : sequence of str
        Files of an audit's report that agree with a new rendering.
    uncompared : sequence of str
        Files of an audit's report that may have been edited, because they could not be compared.
    """

    values: Mapping[str, object]
    lines: Sequence[str]
    faults: Sequence[Fault]
    same: Sequence[str] = ()
    uncompared: Sequence[str] = ()


def _index(path: Path, options: Mapping[str, Any]) -> list[Check]:
    from imindex.indexer.integrity.verify import opened, verify_index

    started = time.monotonic()
    with opened(path) as index:
        with bar(index.n, "Verifying") as progress:
            verification = verify_index(index, progress)
        checks = [_digests(path, verification, time.monotonic() - started)]
        if options["pictures"]:
            checks.append(_pictures(index))
        if options["replay"]:
            overrides = {name: options[name] for name in ("model", "pretrained", "device")}
            checks.append(_replay(index, options["replay"], options["seed"], overrides))
        if options["seal"] is not None:
            checks.append(_seal(options["seal"], index, verification))
    return checks


def _sealed_results(file: Path, folder: Path, index: Path | None, same: Sequence[str]) -> list[Check]:
    """Check a seal against an audit and its index; whatever is missing is a fault, and the rest is checked."""
    from imindex.indexer.core.errors import ImindexError
    from imindex.indexer.integrity.seal import read_seal
    from imindex.indexer.integrity.verify import Fault, opened, verify_index

    try:
        manifest = read_seal(file)
    except ImindexError as error:
        return [Check({}, [], [Fault("seal", str(error))])]
    path, started = index or folder / Path(manifest.index.name).name, time.monotonic()
    try:
        with opened(path) as sealed:
            with bar(sealed.n, "Verifying") as progress:
                verification = verify_index(sealed, progress)
            digests = _digests(path, verification, time.monotonic() - started)
            return [digests, _seal(file, sealed, verification, folder, same)]
    except ImindexError as error:
        return [
            Check({}, [], [Fault("index", str(error))]),
            _matched(manifest, [], folder, same),
        ]


def _digests(path: Path, verification: Verification, seconds: float) -> Check:
    values = {name: value for name, value in asdict(verification).items() if name != "faults"}
    lines = [
        f"{count(verification.rows, 'row')}, {count(verification.n_digests, 'digest')} in format "
        f"{verification.version} ({count(verification.blocks, 'block')} of vectors), "
        f"root digest {verification.root or '-'}, {verification.bytes_read / 1e6 / max(seconds, 1e-9):.0f} MB/s."
    ]
    if verification.uncovered:
        lines.append(
            f"Format {verification.version} has no digests of {', '.join(verification.uncovered)}: "
            f"`imindex migrate -i {path}` adds them."
        )
    return Check({**values, "seconds": round(seconds, 3)}, lines, verification.faults)


def _pictures(index: Index) -> Check:
    from imindex.indexer.integrity.verify import Fault
    from imindex.indexer.integrity.verify_pictures import check_pictures

    with bar(index.n, "Reading pictures") as progress:
        originals = check_pictures(index, progress)
    line = (
        f"Of the pictures of {count(index.n, 'row')}, {originals.same:,} are unchanged, "
        f"{originals.changed:,} changed, {originals.missing:,} missing, {originals.unreadable:,} unreadable."
    )
    faults = [Fault(path, f"the picture is {state}") for state, path in originals.listed[:_LISTED]]
    more = index.n - originals.same - len(faults)
    if more:
        faults.append(Fault("pictures", f"{more:,} more are missing, unreadable or changed"))
    return Check({"pictures": asdict(originals)}, [line], faults)


def _replay(index: Index, n: int, seed: int, overrides: Mapping[str, Any]) -> Check:
    from imindex.indexer.integrity.verify import Fault
    from imindex.indexer.integrity.verify_pictures import SAME, own_encoder, replay

    encoder = own_encoder(index, overrides)
    with bar(min(n, index.n), "Encoding again") as progress:
        again = replay(index, n, encoder, seed=seed, progress=progress)
    line = (
        f"Of {count(again.asked, 'picture')} drawn, {again.compared:,} were encoded again: {again.identical:,} vectors "
        f"are identical bit for bit, the smallest cosine is {again.least:.6f}."
    )
    faults = [
        Fault(path, f"the vector differs from the encoder's: cosine below {SAME}") for path in again.differing
    ]
    if again.asked and not again.compared:
        faults = [Fault("replay", "none of the drawn pictures is unchanged, so no vector was compared")]
    return Check({"replay": {**asdict(again), "limit": SAME}}, [line], faults)


def _results(folder: Path, plan_file: Path | None, device: str) -> Check:
    from imindex.indexer.core.errors import ImindexError
    from imindex.retrieval.audit.plan import read_plan
    from imindex.retrieval.audit.recompute import plan_of, recompute
    from imindex.retrieval.audit.run import Compute, Run, Workspace
    from imindex.retrieval.cli.audit import screen_of_stages

    screen = screen_of_stages()
    try:
        plan = read_plan(plan_file or plan_of(folder))
        with screen:
            again = recompute(Run(plan, Workspace(folder, keeps=False), Compute(device), show=screen))
    except ImindexError as error:
        return _without_recomputation(folder, error)
    lines = [
        f"The audit of plan {again.plan[:12]} was recomputed: {count(again.figures, 'value')} compared, "
        f"recomputed report {again.now[:12]}, stored report {again.stored[:12]}.",
        *again.notes,
    ]
    if again.other_streams:
        lines.append(
            "The audit used other random streams than this version of imindex: only bootstrap intervals and "
            "Monte Carlo p-values should differ, within their Monte Carlo error."
        )
    if again.other_tests:
        lines.append(
            "The audit used the tests of imindex 0.1.0. Its findings and p-values rest on another statistic and "
            "another rule, so they may differ; `imindex audit` applies the present tests to the same pictures."
        )
    if again.versions:
        changes = ", ".join(f"{name} {a or 'none'} -> {b}" for name, (a, b) in again.versions.items())
        say(f"Versions differ from those of the audit: {changes}.")
    values = {name: value for name, value in asdict(again).items() if name != "faults"}
    return Check({"results": values}, lines, again.faults, again.same, again.uncompared)


def _without_recomputation(folder: Path, why: Exception) -> Check:
    """Compare the files of a report with report.json alone, because its figures cannot be recomputed."""
    from imindex.indexer.core.errors import ImindexError
    from imindex.indexer.integrity.verify import Fault
    from imindex.retrieval.audit.recompute import stored_rendered

    faults = [Fault("results", f"could not be recomputed: {why}")]
    try:
        rendered = stored_rendered(folder)
    except ImindexError as error:
        if str(error) != str(why):
            faults.append(Fault("report.json", str(error)))
        return Check({}, [], faults)
    lines = ["No figure was recomputed; page and table were compared with report.json.", *rendered.notes]
    values = {"results": {"same": rendered.same, "notes": rendered.notes}}
    return Check(values, lines, [*faults, *rendered.faults], rendered.same, rendered.uncompared)


def _seal(
    file: Path,
    index: Index,
    verification: Verification,
    folder: Path | None = None,
    same: Sequence[str] = (),
) -> Check:
    from imindex.indexer.integrity.seal import check_seal, read_seal

    manifest = read_seal(file)
    return _matched(manifest, check_seal(manifest, index, verification), folder, same)


def _matched(manifest: Seal, matches: Sequence[Match], folder: Path | None, same: Sequence[str]) -> Check:
    """Add the comparison of an audit with its seal to that of the index."""
    from imindex.indexer.integrity.seal import DIFFERS, IDENTICAL
    from imindex.indexer.integrity.verify import Fault
    from imindex.retrieval.audit.recompute import sealed_audit

    if manifest.audit is not None:
        matches = [*matches, *sealed_audit(manifest.audit, folder, same)]
    lines = [
        f"Sealed on {manifest.when}:",
        *(f"{match.status:<12}{match.what}: {match.said}" for match in matches),
    ]
    faults = [
        Fault(f"seal: {match.what}", match.said)
        for match in matches
        if match.status == DIFFERS
        and match.what != "file"  # different bytes alone are not a fault; different content is
    ]
    values = {"seal": {"when": manifest.when, "matches": [asdict(match) for match in matches]}}
    agreeing = [match.what for match in matches if match.status == IDENTICAL]
    return Check(values, lines, faults, agreeing)


@contextlib.contextmanager
def bar(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; yield a function to call with the number done."""
    with progress_bar(total, description) as advance:
        yield lambda done: advance(done, 0)
