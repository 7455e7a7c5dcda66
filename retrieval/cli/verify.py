"""The commands `imindex verify` and `imindex seal`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    device_option,
    index_option,
    json_option,
    model_options,
)
from imindex.indexer.terminal.output import clean, count, print_json, say
from imindex.indexer.terminal.progress import progress_bar

if TYPE_CHECKING:
    from imindex.indexer.integrity.verify import Fault, Verification
    from imindex.indexer.store.index import Index

_LISTED = 20


@click.command(short_help="Check that an index, its pictures or an audit are unchanged.")
@index_option
@click.option("--pictures", is_flag=True, help="Read every original, and compare its SHA-256.")
@click.option(
    "--replay", type=click.IntRange(1), metavar="N", help="Encode N random pictures again, and compare."
)
@click.option(
    "--seed", cls=FromSignature, of="imindex.indexer.integrity.verify_pictures:replay", type=click.IntRange(0),
    help="Draws the pictures of --replay.",
)  # fmt: skip
@click.option(
    "--results", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Compute the audit in FOLDER again, and compare; checks its indexes in place of -i.",
)  # fmt: skip
@click.option(
    "--plan", type=click.Path(path_type=Path, dir_okay=False), help="Of --results. [default: beside FOLDER]"
)
@click.option("--seal", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Check a seal.")
@model_options
@device_option
@json_option
@click.pass_context
@errors_for_people
def verify(ctx: click.Context, /, index: Path, as_json: bool, **options: Any) -> None:
    """Check that an index is what was written: digests, block by block, and whether its parts agree.

    Every column, attribute and vector is read, and every digest computed anew; what differs is named. An index that is
    sound may still have been made of other pictures, or by another encoder: --pictures and --replay ask for that.
    Exit code 1 if there is a fault.

    \b
    imindex verify -i audit.h5
    imindex verify -i audit.h5 --pictures --replay 100
    imindex verify --results plan-audit/
    imindex verify -i audit.h5 --seal audit.h5.seal.json
    """
    said: dict[str, Any] = {}
    lines: list[str] = []
    faults: list[Fault] = []
    if options["results"] is not None:
        if options["pictures"] or options["replay"]:
            raise click.UsageError(
                "--pictures and --replay are of one index: name it with -i, without --results."
            )
        faults += _results(options, said, lines)
    if options["results"] is None or options["seal"] is not None:
        faults += _index(index, options, said, lines)
    if as_json:
        print_json({"sound": not faults, **said, "faults": [asdict(one) for one in faults]})
        ctx.exit(1 if faults else 0)
    for fault in faults:
        click.echo(clean(f"fault   {fault.where}: {fault.said}"))
    for line in lines:
        click.echo(clean(line))
    what = clean(str(options["results"] or index))
    if faults:
        click.echo(f"Found {count(len(faults), 'fault')} in {what}.")
    else:
        click.echo(f"Verified {what}: no fault.")
    ctx.exit(1 if faults else 0)


def _index(path: Path, options: dict[str, Any], said: dict[str, Any], lines: list[str]) -> list[Fault]:
    import time

    from imindex.indexer.integrity.verify import opened, verify_index

    started = time.monotonic()
    with opened(path) as index:
        with _bar(index.n, "Verifying") as progress:
            found = verify_index(index, progress)
        seconds = time.monotonic() - started
        said.update(asdict(found))
        said.pop("faults")
        said["seconds"] = round(seconds, 3)
        lines.append(
            f"{count(found.rows, 'row')}, {count(found.n_digests, 'digest')} in format {found.version} "
            f"({count(found.blocks, 'block')} of vectors), "
            f"root digest {found.root or '-'}, {found.bytes_read / 1e6 / max(seconds, 1e-9):.0f} MB/s."
        )
        if found.uncovered:
            lines.append(
                f"In format {found.version} there are no digests of {', '.join(found.uncovered)}: "
                f"`imindex migrate -i {path}` adds them."
            )
        faults = list(found.faults)
        if options["pictures"]:
            faults += _pictures(index, said, lines)
        if options["replay"]:
            faults += _replay(index, options, said, lines)
        if options["seal"] is not None:
            faults += _seal(options, index, found, said, lines)
    return faults


def _pictures(index: Index, said: dict[str, Any], lines: list[str]) -> list[Fault]:
    from imindex.indexer.integrity.verify import Fault
    from imindex.indexer.integrity.verify_pictures import check_pictures

    with _bar(index.n, "Reading pictures") as progress:
        found = check_pictures(index, progress)
    said["pictures"] = asdict(found)
    lines.append(
        f"Of the pictures of {count(index.n, 'row')}, {found.same:,} are what was read, {found.changed:,} changed, "
        f"{found.missing:,} missing, {found.unreadable:,} unreadable."
    )
    faults = [Fault(path, f"the picture is {state}") for state, path in found.listed[:_LISTED]]
    more = index.n - found.same - len(faults)
    return [*faults, Fault("pictures", f"{more:,} more are not what was read")] if more else faults


def _replay(index: Index, options: dict[str, Any], said: dict[str, Any], lines: list[str]) -> list[Fault]:
    from imindex.indexer.integrity.verify import Fault
    from imindex.indexer.integrity.verify_pictures import SAME, own_encoder, replay

    encoder = own_encoder(index, {name: options[name] for name in ("model", "pretrained", "device")})
    with _bar(min(options["replay"], index.n), "Encoding again") as progress:
        found = replay(index, options["replay"], encoder, seed=options["seed"], progress=progress)
    said["replay"] = {**asdict(found), "limit": SAME}
    lines.append(
        f"Of {count(found.asked, 'picture')} drawn, {found.compared:,} were encoded again: {found.identical:,} vectors "
        f"are the same bits, the least cosine is {found.least:.6f}."
    )
    if found.asked and not found.compared:
        return [Fault("replay", "no picture that was drawn is what was read, so no vector was compared")]
    return [Fault(path, f"its vector is not the encoder's: cosine below {SAME}") for path in found.differing]


def _results(options: dict[str, Any], said: dict[str, Any], lines: list[str]) -> list[Fault]:
    from imindex.retrieval.audit.plan import read_plan
    from imindex.retrieval.audit.recompute import plan_of, recompute
    from imindex.retrieval.audit.run import Run
    from imindex.retrieval.cli.audit import screen_of_stages

    folder = options["results"]
    plan, screen = read_plan(options["plan"] or plan_of(folder)), screen_of_stages()
    with screen:
        found = recompute(Run(plan, folder, device=options["device"], show=screen, keeps=False))
    said["results"] = {key: value for key, value in asdict(found).items() if key != "faults"}
    lines.append(
        f"The audit by plan {found.plan[:12]} was computed again: {count(found.figures, 'value')} compared, "
        f"report {found.now[:12]}, stored {found.stored[:12]}."
    )
    if found.other_streams:
        lines.append(
            "The audit drew from other random streams than this imindex: bootstrap intervals and Monte-Carlo p-values "
            "differ within their Monte-Carlo error, and nothing else should."
        )
    if found.versions:
        named = ", ".join(f"{name} {a or 'none'} -> {b}" for name, (a, b) in found.versions.items())
        say(f"Versions differ from those of the audit: {named}.")
    return found.faults


def _seal(
    options: dict[str, Any], index: Index, found: Verification, said: dict[str, Any], lines: list[str]
) -> list[Fault]:
    from imindex.indexer.integrity.seal import DIFFERS, check_seal, read_seal
    from imindex.indexer.integrity.verify import Fault
    from imindex.retrieval.audit.recompute import sealed_audit

    manifest = read_seal(options["seal"])
    matches = check_seal(manifest, index, found)
    if manifest["audit"] is not None:
        matches += sealed_audit(manifest["audit"], options["results"])
    said["seal"] = {"when": manifest["when"], "matches": [asdict(one) for one in matches]}
    lines.append(f"Sealed on {manifest['when']}:")
    lines += [f"{one.status:<12}{one.what}: {one.said}" for one in matches]
    return [
        Fault(f"seal: {one.what}", one.said)
        for one in matches
        if one.status == DIFFERS and one.what != "file"  # other bytes alone are no fault; other content is
    ]


@contextlib.contextmanager
def _bar(total: int, what: str) -> Iterator[Callable[[int], None]]:
    with progress_bar(total, what) as advance:
        yield lambda done: advance(done, 0)
