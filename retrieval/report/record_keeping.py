"""What a case file needs beside the findings: origin of the prompts, exclusions, failed runs, and the review."""

from __future__ import annotations

from collections.abc import Iterator

from imindex.retrieval.findings import UNJUDGED
from imindex.retrieval.report.text import count, listed
from imindex.retrieval.results import ReleaseRecord, Report


def prompt_origin(release: ReleaseRecord, report: Report) -> str:
    """State where a release's prompts come from."""
    if release.source == "generated":
        return f"generated here from the plan’s templates, seeds from the plan’s seed {report.plan.seed}"
    without = max((r.n_without_prompt for r in report.results if r.release == release.name), default=0)
    if not without:
        return "stated with the pictures; not made here"
    if without >= release.n_imitations:
        return "not recorded"
    return f"stated with the pictures, and not recorded for {count(without, 'picture')}"


def exclusions(report: Report) -> tuple[str, ...]:
    """List what is in no figure, and the runs that failed."""
    return tuple(_exclusions(report))


def _exclusions(report: Report) -> Iterator[str]:
    if not report.results:
        return
    n = len(report.rejects)
    yield f"{count(n, 'picture')} could not be read." if n else "Every picture could be read."
    repeated = max((result.summary.n_repeated for result in report.results), default=0)
    if repeated:
        yield (
            f"{count(repeated, 'duplicate')} of a picture under the same name {'was' if repeated == 1 else 'were'} "
            f"left out."
        )
    for release in report.releases:
        if release.blocked:
            n = len(release.blocked)
            yield (
                f"{release.name}: {count(n, 'picture')} {'was' if n == 1 else 'were'} blocked by a safety filter, or "
                f"of one colour."
            )
    for result in report.results:
        names = [row.artist for row in result.artists if row.finding in UNJUDGED]
        if names and result.summary.level is not None:
            yield f"{result.release} by {result.encoder}: not judged are {listed(names)}."
    if not report.plan.digest:
        return
    if report.plan.amendments:
        yield f"{count(len(report.plan.amendments), 'amendment')} of the plan, listed under “What was asked”."
    failed = report.provenance.unfinished
    if failed:
        yield f"{count(len(failed), 'run')} of this audit failed or {'was' if len(failed) == 1 else 'were'} stopped:"
        yield from (f"{run.started.replace('T', ' ').replace('+00:00', ' UTC')}: {run.why}" for run in failed)
    else:
        yield "No run of this audit in this folder failed or was stopped, as far as the folder records it."


def review(report: Report) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Return, for examiner and reviewer, the role, the name if it is known, and what is to be checked."""
    folder = "AUDIT-FOLDER"
    copies = any(result.summary.n_candidates for result in report.results)
    examiner = (
        "The works are by the artists named, and these are the files that were received.",
        "The releases and prompts are those that the question is about.",
        "Unreadable, blocked and excluded pictures were looked at, and none is missing for a reason that favours a "
        "side.",
        *(["Every candidate for a copy was looked at, and decided."] if copies else []),
        "The limits above were read, and what applies to this case is stated.",
    )
    reviewer = (
        f"imindex verify --results {folder} names no fault.",
        "The digest below is that of report.json.",
        "Both propositions were considered, and the conclusions say no more than the findings.",
        "What was decided after the plan was registered is stated.",
        "The reviewer took no part in the examination.",
    )
    return (("Examiner", report.plan.examiner, examiner), ("Reviewer", "", reviewer))
