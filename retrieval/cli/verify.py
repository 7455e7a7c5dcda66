"""The command `imindex verify`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click
from click.core import ParameterSource

from imindex.indexer.core.bounds import SEED
from imindex.indexer.core.exit_codes import DONE, REFUSED, UNDECIDED
from imindex.indexer.core.url import Url
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    IndexPlace,
    Root,
    RootFolder,
    device_option,
    encoder_of,
    indexes_option,
    json_option,
    limit_options,
    limits_of,
    model_options,
    require_folders,
    roots_of,
    within,
)
from imindex.indexer.terminal.output import count, echo, print_json, say
from imindex.indexer.terminal.progress import progress_bar, quiet_option

if TYPE_CHECKING:
    from imindex.indexer.decode.limits import Limits
    from imindex.indexer.encoders.base import Encoder
    from imindex.indexer.integrity.seal import Match as SealMatch
    from imindex.indexer.integrity.seal import Seal
    from imindex.indexer.integrity.verify import Fault, Verification
    from imindex.indexer.integrity.verify_pictures import Originals
    from imindex.indexer.store.index import Index

_LISTED = 20
_NOT_OPENED = ("pictures that were not opened",)
_REJECTS_NOT_OPENED = ("rejects that were not opened",)
_REMEDIES = {
    "missing": "Missing pictures are not where the index says. If they were moved, pass --root FOLDER, where they are "
    "now; or build again from that folder, which stores the new paths and encodes nothing.",
    "changed": "Changed pictures have other bytes than those that were encoded. Restore the files; or build again, "
    "which replaces their rows.",
    "unreadable": "Unreadable pictures exist but cannot be read. Check their permissions and the disk.",
}
"""What to do about pictures by their state."""


class Where(TypedDict):
    """The arguments of the checks of pictures that say where they are."""

    roots: Sequence[Path | str]
    named: Mapping[str, Path | str]


@click.command(short_help="Check that an index, its pictures or an audit are unchanged.")
@indexes_option
@click.option("--pictures", is_flag=True, help="Read every original picture and compare its SHA-256.")
@click.option(
    "--replay", metavar="N|all", callback=lambda ctx, parameter, value: _drawn(value),
    help="Encode N random pictures, or all, again and compare the vectors.",
)  # fmt: skip
@click.option(
    "--seed", type=within(SEED),
    help="Seed for drawing the pictures of --replay. [default: from the operating system, and printed]",
)  # fmt: skip
@click.option(
    "--identical", is_flag=True,
    help="With --replay, every vector must be identical bit for bit, as on the machine that built the index.",
)  # fmt: skip
@click.option(
    "--root", "roots", type=RootFolder(), multiple=True, metavar="[NAME=]FOLDER",
    help="Also open pictures in this folder, besides that of the index; NAME is one of its named roots. Repeatable.",
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
@click.option(
    "--signer", type=click.Path(path_type=Path, dir_okay=False), metavar="KEY.pub",
    help="The seal must be signed by this Ed25519 public key (PEM or OpenSSH).",
)  # fmt: skip
@limit_options
@model_options
@device_option
@json_option
@quiet_option
@click.pass_context
@errors_for_people
def verify(ctx: click.Context, /, index: IndexPlace, as_json: bool, **options: Any) -> None:
    """Check that an index is unchanged since it was written, block by block, and that its parts are consistent.

    Reads every column, attribute and vector, recomputes every digest, and lists the differences. A sound index may
    still have been made from other pictures or by another encoder: --pictures and --replay check that. They open files
    in the folder of the index, and in those passed with --root, and decode rejects again, within the limits that are
    passed. With --results, the figures of an audit are recomputed, its page and table are written again, and
    differences are listed. The exit code is 3 if there is a fault, 4 if there is none but not all was compared, and 1
    if the file could not be opened.

    \b
    imindex verify -i audit.h5
    imindex verify -i audit.h5 --pictures --replay 100
    imindex verify -i audit.h5 --replay all --root ~/art
    imindex verify -i audit.h5 --pictures --root art=/data/art
    imindex verify --results plan-audit/
    imindex verify -i audit.h5 --seal audit.h5.seal.json
    imindex verify --results plan-audit/ --seal tiny.seal.json --signer expert.pub
    """
    from imindex.indexer.system.index_files import shown_place

    checks: list[Check] = []
    results = options["results"]
    if options["signer"] is not None and options["seal"] is None:
        raise click.UsageError("--signer checks the signature of a seal: pass the seal with --seal.")
    if not options["replay"] and (options["identical"] or options["seed"] is not None):
        raise click.UsageError("--identical and --seed are for --replay: add --replay N or --replay all.")
    if options["roots"] and not (options["replay"] or options["pictures"] or results is not None):
        raise click.UsageError("--root names folders of pictures: add --pictures, --replay or --results.")
    if results is not None:
        if options["pictures"] or options["replay"]:
            raise click.UsageError(
                "--pictures and --replay check one index: pass it with -i, and drop --results."
            )
        checks.append(_results(results, options))
        if options["seal"] is not None:
            given = ctx.get_parameter_source("index") is not ParameterSource.DEFAULT
            if given and not isinstance(index, Path):
                raise click.UsageError("--seal checks one index. Name it with one -i.")
            named = index if given and isinstance(index, Path) else None
            checks += _sealed_results(options["seal"], results, named, checks[0].same)
    else:
        checks += _index(index, options)
    if options["seal"] is not None:
        checks.append(_signature(options["seal"], options["signer"]))
    faults = [fault for check in checks for fault in check.faults]
    # A seal that holds the digest of a page decides whether it was edited.
    uncompared = [
        name
        for check in checks
        for name in check.uncompared
        if not any(name in other.same for other in checks)
    ]
    code = REFUSED if faults else UNDECIDED if uncompared else DONE
    if as_json:
        values = {key: value for check in checks for key, value in check.values.items()}
        found = {"faults": [asdict(fault) for fault in faults], "uncompared": uncompared}
        print_json({"sound": not code, **values, **found})
        ctx.exit(code)
    for fault in faults:
        echo(f"fault   {fault.where}: {fault.said}", hanging=8)
    for line in (line for check in checks for line in check.lines):
        echo(line, hanging=2)
    target = options["results"] or shown_place(index)
    if faults:
        n = len(faults) + sum(check.unlisted for check in checks)
        echo(f"Found {count(n, 'fault')} in {target}.")
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
        What was not compared, and may have been edited: files of an audit's report, figures, pictures.
    unlisted : int
        Number of faults without a line of their own: a line "and N more" is one of `faults` and stands for N.
    """

    values: Mapping[str, object]
    lines: Sequence[str]
    faults: Sequence[Fault]
    same: Sequence[str] = ()
    uncompared: Sequence[str] = ()
    unlisted: int = 0


def _index(place: IndexPlace, options: Mapping[str, Any]) -> list[Check]:
    """Verify one file, or each of several, and that they can be read as one."""
    from imindex.indexer.core.errors import ImindexError
    from imindex.indexer.integrity.verify import Fault
    from imindex.indexer.store.opening import open_index
    from imindex.indexer.system.index_files import index_files

    files = index_files(place)
    if len(files) == 1:
        return _file(files[0], options)
    if options["seal"] is not None:
        raise click.UsageError("--seal checks one index. Name it with -i.")
    each = [(file, _file(file, options)) for file in files]
    checks = [(file, check) for file, checks_of_file in each for check in checks_of_file]
    faults = [Fault(f"{file}: {fault.where}", fault.said) for file, check in checks for fault in check.faults]
    together: dict[str, object] = {}
    lines = [f"{file}: {line}" for file, check in checks for line in check.lines]
    try:
        with open_index(files) as index:
            together = {"rows": index.n, "n_repeated": index.n_repeated, "chained_digest": index.root_digest}
            chained = f"As one index: {count(index.n, 'row')}, chained digest {index.root_digest}."
            lines += [*index.notes, chained]
    except ImindexError as error:
        faults.append(Fault("together", str(error)))
    values = [
        {name: value for check in checks_of_file for name, value in check.values.items()}
        for _, checks_of_file in each
    ]
    uncompared = tuple(dict.fromkeys(name for _, check in checks for name in check.uncompared))
    unlisted = sum(check.unlisted for _, check in checks)
    return [Check({"files": values, **together}, lines, faults, uncompared=uncompared, unlisted=unlisted)]


def _file(path: Path | Url, options: Mapping[str, Any]) -> list[Check]:
    from imindex.indexer.integrity.verify import opened, verify_index
    from imindex.indexer.store.unfinished import left_behind

    if isinstance(path, Path) and (left := left_behind(path)):
        say(left)
    require_folders(options["roots"])
    started = time.monotonic()
    originals: Originals | None = None
    with opened(path) as index:
        with bar(index.n, "Verifying") as progress:
            verification = verify_index(index, progress)
        checks = [_digests(path, verification, time.monotonic() - started)]
        if options["pictures"]:
            pictures, originals = _pictures(index, options["roots"])
            checks.append(pictures)
        if options["pictures"] or options["replay"] == "all":
            checks.append(_rejects(index, options["roots"], limits_of(options)))
        if options["replay"]:
            overrides = encoder_of(options)
            checks.append(_replay(index, options["replay"], overrides, options, originals))
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
            if index is not None and sealed.root_digest not in _roots(folder):
                said = f"{index} is none of the indexes that the report in {folder} names"
                return [Check({}, [], [Fault("index", said)]), _matched(manifest, [], folder, same)]
            with bar(sealed.n, "Verifying") as progress:
                verification = verify_index(sealed, progress)
            digests = _digests(path, verification, time.monotonic() - started)
            return [digests, _seal(file, sealed, verification, folder, same)]
    except ImindexError as error:
        return [
            Check({}, [], [Fault("index", str(error))]),
            _matched(manifest, [], folder, same),
        ]


def _roots(folder: Path) -> set[str]:
    """Return the root digests that an audit's report states; none if it cannot be read."""
    from imindex.indexer.core.errors import ImindexError
    from imindex.retrieval.compare.archived_report import read_archived

    try:
        return {one.root_digest or "" for one in read_archived(folder / "report.json").encoders}
    except (ImindexError, OSError):
        return set()


def _digests(path: Path | Url, verification: Verification, seconds: float) -> Check:
    values = {name: value for name, value in asdict(verification).items() if name != "faults"}
    lines = [
        f"{count(verification.rows, 'row')}, {count(verification.n_digests, 'digest')} in format "
        f"{verification.version} ({count(verification.blocks, 'block')} of vectors), "
        f"root digest {verification.root or '-'}."
    ]
    if verification.uncovered:
        lines.append(
            f"Format {verification.version} has no digests of {', '.join(verification.uncovered)}: "
            f"`imindex migrate -i {path}` adds them."
        )
    return Check({**values, "seconds": round(seconds, 3)}, lines, verification.faults)


def _where(index: Index, roots: Sequence[Root]) -> Where:
    """Return the folders in which pictures may be opened, and where named roots are."""
    unnamed = {root.default_name: root.folder for root in roots if not root.name}
    named = {name: folder for name, folder in unnamed.items() if name in index.roots}
    return {
        "roots": [root.folder for root in roots],
        "named": {**named, **{root.name: root.folder for root in roots if root.name}},
    }


def _pictures(index: Index, roots: Sequence[Root]) -> tuple[Check, Originals]:
    from imindex.indexer.integrity.verify import Fault
    from imindex.indexer.integrity.verify_pictures import check_pictures

    with bar(index.n, "Reading pictures") as progress:
        originals = check_pictures(index, progress, **_where(index, roots))
    line = (
        f"Of the pictures of {count(index.n, 'row')}, {originals.same:,} are unchanged, "
        f"{originals.changed:,} changed, {originals.missing:,} missing, {originals.unreadable:,} unreadable"
        + (f", {originals.outside:,} outside the folder of the index." if originals.outside else ".")
    )
    listed = [(state, path) for state, path in originals.listed if state != "outside"][:_LISTED]
    faults = [Fault(path, f"the picture is {state}") for state, path in listed]
    more = index.n - originals.same - originals.outside - len(faults)
    if more:
        faults.append(Fault("pictures", f"{more:,} more are missing, unreadable or changed"))
    outside = _outside(index, originals.outside, originals.listed)
    remedies = [remedy for state, remedy in _REMEDIES.items() if getattr(originals, state)]
    check = Check(
        {"pictures": asdict(originals)},
        [line, *remedies, *outside],
        faults,
        uncompared=_NOT_OPENED if outside else (),
        unlisted=max(more - 1, 0),
    )
    return check, originals


def _rejects(index: Index, roots: Sequence[Root], limits: Limits) -> Check:
    from imindex.indexer.integrity.verify import Fault
    from imindex.indexer.integrity.verify_pictures import NOT_FOUND, NOT_OPENED, check_rejects
    from imindex.indexer.sources.arms import ALL_BLACK

    n = index.n_rejects
    if not n:
        return Check({"rejects": {"rows": 0, "confirmed": 0}}, [], [])
    with bar(n, "Reading rejects") as progress:
        problems = check_rejects(index, progress, limits=limits, trust_manifest=True, **_where(index, roots))
    outside = [path for path, problem in problems if problem == NOT_OPENED]
    missing = sum(problem == NOT_FOUND for _, problem in problems)
    wrong = [(path, problem) for path, problem in problems if problem != NOT_OPENED]
    faults = [Fault(path, problem) for path, problem in wrong[:_LISTED]]
    if (more := len(wrong) - _LISTED) > 0:
        faults.append(Fault("rejects", f"{more:,} more were not confirmed"))
    said = [f"{n - len(problems):,} still cannot be used"] if n > len(outside) + missing else []
    if read := len(wrong) - missing:
        said.append(f"{read:,} {'has' if read == 1 else 'have'} changed or can be decoded")
    if missing:
        said.append(f"{missing:,} {'was' if missing == 1 else 'were'} not found, so not decoded again")
    if outside:
        said.append(
            f"{len(outside):,} {'was' if len(outside) == 1 else 'were'} not opened, such as {outside[0]}, because "
            "outside the folder of the index: pass --root FOLDER to permit a folder"
        )
    line = f"Of {count(n, 'reject')}, {', '.join(said)}."
    marked = sum(why not in ("", ALL_BLACK) for why in index.column("blocked", "rejects"))
    if marked:
        line += f" {marked:,} of them {'is' if marked == 1 else 'are'} blocked by the word of the manifest."
    return Check(
        {"rejects": {"rows": n, "confirmed": n - len(problems)}},
        [line],
        faults,
        uncompared=_REJECTS_NOT_OPENED if outside else (),
        unlisted=max(more - 1, 0),
    )


def _outside(index: Index, n: int, listed: Sequence[tuple[str, str]]) -> list[str]:
    """Say which pictures were not opened, often many for one reason. That is no fault of the index."""
    from imindex.indexer.core.paths import split_rooted

    example = next((path for state, path in listed if state == "outside"), "")
    name = (split_rooted(example) or ("",))[0]
    place = f"; when it was built, {name} was {index.roots[name]}" if name in index.roots else ""
    folder = f"{name}=FOLDER" if name in index.roots else "FOLDER"
    reason = (
        f"Not found here: {count(n, 'picture')} {'was' if n == 1 else 'were'} not opened, such as {example}, because "
        f"{'it is' if n == 1 else 'they are'} outside the folder of the index. Pass --root {folder} to permit "
        f"a folder{place}"
    )
    return [f"{reason}."] if n else []


def _drawn(value: str | None) -> int | str | None:
    """Parse `--replay N|all`."""
    if value is None or value == "all":
        return value
    if not value.isdecimal() or len(value) > 18 or int(value) < 1:
        raise click.BadParameter(f"{value} is neither all nor a positive integer.")
    return int(value)


def _replay(
    index: Index,
    n: int | str,
    overrides: Mapping[str, Any],
    options: Mapping[str, Any],
    originals: Originals | None,
) -> Check:
    """Encode pictures again; those that the check of all `originals` already lists are not listed again."""
    from imindex.indexer.integrity.verify import Fault
    from imindex.indexer.integrity.verify_pictures import limit_of, own_encoder, replay

    encoder = own_encoder(index, overrides)
    limit = limit_of(encoder)
    asked = index.n if isinstance(n, str) else n
    with bar(min(asked, index.n), "Encoding again") as progress:
        again = replay(
            index, asked, encoder, seed=options["seed"], progress=progress, **_where(index, options["roots"])
        )
    draw = "" if again.asked == index.n else f" (of {index.n:,} rows, with --seed {again.seed})"
    lines = [
        f"Of {count(again.asked, 'picture')} drawn{draw}, {again.compared:,} were encoded again: {again.identical:,} "
        f"vectors are identical bit for bit"
        + (f", the smallest cosine is {again.least:.8f} (limit {limit:g})." if again.compared else ".")
    ]
    faults = [
        Fault(path, f"the vector differs from the encoder's: cosine below {limit:g}")
        for path in again.differing
    ]
    if other := again.compared - again.identical - len(again.differing):
        lines.append(
            f"{count(other, 'vector')} {'differs' if other == 1 else 'differ'} within the limit. Another kind of "
            "processor or another batch size causes that; on the machine that built the index it is a reason to build "
            "it again. --identical makes it a fault."
        )
        if options["identical"]:
            faults.append(Fault("replay", f"{count(other, 'vector')} not identical bit for bit"))
    inside = [(state, path) for state, path in again.uncompared if state != "outside"]
    known = set(originals.listed) if originals is not None else set()
    new = [one for one in inside if not (one in known or (known and one[0] in ("missing", "changed")))]
    if n_known := len(inside) - len(new):
        lines.append(
            f"{count(n_known, 'picture')} that {'was' if n_known == 1 else 'were'} drawn could not be compared: "
            "missing, changed or unreadable, and counted above."
        )
    faults += [Fault(path, f"not compared: the picture is {state}") for state, path in new[:_LISTED]]
    if (more := len(new) - _LISTED) > 0:
        faults.append(Fault("replay", f"{more:,} more pictures that were drawn could not be compared"))
    outside = _outside(index, len(again.uncompared) - len(inside), again.uncompared)
    if again.compared and not faults and not inside and not outside and again.asked < index.n:
        lines.append(
            "If whoever made the file did not know the seed, then, with a confidence of 95 %, at most "
            f"{count(again.most_false, 'row')} of the others ({100 * again.most_false / index.n:.1f} % of all) "
            f"{'has' if again.most_false == 1 else 'have'} a vector that differs by more than the limit."
        )
    text = _replayed_text(index, encoder)
    values = {"replay": {**asdict(again), "seed": str(again.seed), "limit": limit}, **text.values}
    return Check(
        values,
        [*lines, *outside, *text.lines],
        [*faults, *text.faults],
        uncompared=_NOT_OPENED if outside else (),
        unlisted=max(more - 1, 0),
    )


def _replayed_text(index: Index, encoder: Encoder) -> Check:
    from imindex.indexer.integrity.verify import Fault
    from imindex.indexer.integrity.verify_pictures import limit_of, replay_text

    if not encoder.has_text:
        return Check({"replay-text": None}, [], [])
    cosine = replay_text(index, encoder)
    if cosine is None:
        line = (
            "The text side was not compared, because the index stores no vector of a text. Indexes that were begun "
            "before format 1.2 have none; build a new one to store it."
        )
        return Check({"replay-text": None}, [line], [])
    line = f"The text that the index stores a vector of was encoded again: the cosine is {cosine:.6f}."
    fault = Fault(
        "encoder/text-probe", f"the vector differs from the encoder's: cosine below {limit_of(encoder):g}"
    )
    return Check({"replay-text": cosine}, [line], [fault] if cosine < limit_of(encoder) else [])


def _results(folder: Path, options: Mapping[str, Any]) -> Check:
    from imindex.indexer.core.errors import ImindexError
    from imindex.indexer.core.paths import require_roots
    from imindex.retrieval.audit.plan import read_plan
    from imindex.retrieval.audit.recompute import plan_of, recompute
    from imindex.retrieval.audit.run import Compute, Run, Workspace
    from imindex.retrieval.cli.audit import screen_of_stages

    screen = screen_of_stages()
    try:
        plan = read_plan(options["plan"] or plan_of(folder))
        compute = Compute(
            options["device"],
            limits=limits_of(options),
            trust_encoders=options["trust_encoder"],
            roots=require_roots(roots_of(options)),
        )
        with screen:
            again = recompute(Run(plan, Workspace(folder, keeps=False), compute, show=screen))
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
    if again.tests_before > 1:
        lines.append(
            "The audit used the tests of an earlier imindex, in which each encoder had findings of its own and the "
            "first determined the answer. Now all encoders are in one test, so the answer, the gate and the page may "
            "differ; `imindex audit` applies the present tests to the same pictures."
        )
    elif again.other_tests:
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
    from imindex.indexer.core.errors import ImindexError, NoEncoder
    from imindex.indexer.integrity.verify import Fault
    from imindex.retrieval.audit.recompute import stored_rendered

    # That an encoder is not here says nothing about the audit.
    absent = isinstance(why, NoEncoder)
    faults = [] if absent else [Fault("results", f"could not be recomputed: {why}")]
    try:
        rendered = stored_rendered(folder)
    except ImindexError as error:
        if str(error) != str(why):
            faults.append(Fault("report.json", str(error)))
        return Check({}, [], faults)
    lines = ["No figure was recomputed; page and table were compared with report.json.", *rendered.notes]
    if absent:
        lines.insert(0, f"The figures were not recomputed: {why}{_run_with(why)}")
    values = {"results": {"same": rendered.same, "notes": rendered.notes}}
    uncompared = (*rendered.uncompared, *(["the figures"] if absent else []))
    return Check(values, lines, [*faults, *rendered.faults], rendered.same, uncompared)


def _run_with(why: Exception) -> str:
    from imindex.indexer.terminal.errors import remedy_of

    return remedy_of(why)


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


def _signature(file: Path, signer: Path | None) -> Check:
    from imindex.indexer.core.errors import ImindexError
    from imindex.indexer.integrity.seal import DIFFERS, read_seal
    from imindex.indexer.integrity.signature import check_signature
    from imindex.indexer.integrity.verify import Fault

    try:
        manifest = read_seal(file)
    except ImindexError:  # it is a fault already
        return Check({}, [], [])
    matches = check_signature(manifest, signer)
    lines = [f"{match.status:<12}{match.what}: {match.said}" for match in matches]
    faults = [Fault(f"seal: {match.what}", match.said) for match in matches if match.status == DIFFERS]
    return Check({"signature": [asdict(match) for match in matches]}, lines, faults)


def _matched(manifest: Seal, matches: Sequence[SealMatch], folder: Path | None, same: Sequence[str]) -> Check:
    """Add the comparison of an audit with its seal to that of the index."""
    from imindex.indexer.integrity.seal import DIFFERS, IDENTICAL, UNCHECKED, Match
    from imindex.indexer.integrity.verify import Fault
    from imindex.retrieval.audit.recompute import sealed_audit

    if manifest.audit is not None:
        matches = [*matches, *sealed_audit(manifest.audit, folder, same)]
    elif folder is not None:
        said = "the seal is of an index only, and holds no plan, register or report (`imindex seal --plan`)"
        matches = [*matches, Match("audit", UNCHECKED, said)]
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
