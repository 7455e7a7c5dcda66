"""What BASE and NEW stand for: collections of an index, or finished audits, with their indexes or figures only."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec.structs import replace as replace_field

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.compare.archived_report import (
    REPORT,
    ArchivedPlan,
    ArchivedReport,
    ArchivedTests,
    read_archived,
)
from imindex.retrieval.compare.gate import Condition, check, comparison_figures
from imindex.retrieval.compare.releases import Side, compare
from imindex.retrieval.compare.reports import common_encoder, compare_reports, only_release
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.results import Comparison, Verdict

TESTING = ("placebos", "level", "adjust", "n_resamples", "confidence_level", "seed")
OF_PLAN = ("level", "adjust", "n_resamples", "confidence_level", "seed")


@dataclass(frozen=True)
class Source:
    """One of BASE and NEW.

    Attributes
    ----------
    word : str
        As it was given.
    release : str or None
        None: the only one of the report.
    folder : Path or None
        Of the report.
    report : ArchivedReport or None
        None for a collection of the index.
    """

    word: str
    release: str | None
    folder: Path | None = None
    report: ArchivedReport | None = None


@dataclass(frozen=True)
class Question:
    """What is compared, and how.

    Attributes
    ----------
    sides : pair of Side, or None
        None: by the reports' figures only.
    sources : pair of Source
    options : mapping
        Of the command, and of the audits' plans.
    testing : Testing
    encoder : str or None
        Its name in the reports.
    copies : pair of int or None
        Near-copies that the audits list.
    notes : sequence of str
    """

    sides: tuple[Side, Side] | None
    sources: tuple[Source, Source]
    options: Mapping[str, Any]
    testing: Testing
    encoder: str | None
    copies: tuple[int | None, int | None]
    notes: Sequence[str]

    def answer(self) -> Comparison:
        """Compare, see `imindex.retrieval.compare.releases`."""
        alternative = self.options["alternative"]
        if self.sides is None:
            base, new = self.sources
            assert base.report is not None and new.report is not None
            return compare_reports(
                base.report, new.report, base.release, new.release, self.encoder,
                testing=self.testing, alternative=alternative,
            )  # fmt: skip
        result = compare(
            *self.sides,
            testing=self.testing,
            encoder={name: self.options[name] for name in ("model", "pretrained", "device")},
            alternative=alternative,
            by_name=not self.options["no_names"],
            labels=self.options["labels"],
            templates=self.options["templates"],
        )
        return replace_field(result, encoder=self.encoder) if self.encoder else result

    def verdicts(self, result: Comparison, conditions: Sequence[Condition]) -> tuple[Verdict, ...]:
        """Check the conditions of a gate on the figures of both releases."""
        figures = comparison_figures(result)
        for side, known in zip(figures, self.copies, strict=True):
            if known is not None:
                side["copies"] = float(known)
        return tuple(
            check(condition, *figures, release=result.new.release, encoder=result.encoder)
            for condition in conditions
        )


def read_source(word: str) -> Source:
    """Tell a report, or an audit's folder, with or without `:RELEASE`, from the name of a collection.

    Raises
    ------
    ImindexError
        A report that cannot be read.
    """
    for path, _, release in ((word, "", ""), word.rpartition(":")):
        file = Path(path) / REPORT if path and Path(path).is_dir() else Path(path)
        if path and file.suffix == ".json" and file.is_file():
            report = read_archived(file)
            return Source(word, only_release(report, release or None), file.parent, report)
    return Source(word, word)


def resolve(base: str, new: str, options: Mapping[str, Any], given: set[str]) -> Question:
    """Find out what is to be compared, and how.

    Parameters
    ----------
    base, new : str
        As on the command line.
    options : mapping
        Of the command.
    given : set of str
        The options that were given: others are those of the audits' plans, where there are audits.

    Returns
    -------
    Question

    Raises
    ------
    ImindexError
        A report that cannot be read, no such release or encoder, or a collection against mere figures.
    """
    sources = (read_source(base), read_source(new))
    reports = [one.report for one in sources if one.report is not None]
    encoder: str | None = None
    notes: list[str] = []
    if reports:
        encoder = common_encoder(reports[0], reports[-1], options["encoder"])
        options = {**options, **_planned(reports, given, notes)}
    elif options["encoder"]:
        raise ImindexError("--encoder is for audits with several. An index has one: leave it out.")
    testing = Testing(**{name: options[name] for name in TESTING})
    sides = []
    for source in sources:
        side, note = _side(source, options, testing, encoder)
        if side is not None and given & {"placebos", "level", "adjust"}:
            side = replace(side, findings=None)  # those of the report were found otherwise
        if note:
            notes.append(note)
        sides.append(side)
    if sides[0] is None or sides[1] is None:
        if len(reports) < 2:
            raise ImindexError(
                f"{' '.join(notes)} A collection of an index cannot be compared with figures: name two audits, or two "
                "collections."
            )
        both = None
    else:
        both = (sides[0], sides[1])
    copies = tuple(_copies(source, encoder) for source in sources)
    return Question(both, sources, options, testing, encoder, (copies[0], copies[1]), notes)


def _planned(reports: Sequence[ArchivedReport], given: set[str], notes: list[str]) -> dict[str, Any]:
    """The options that were not given, as the plan of the newer audit has them."""
    plan, other = (one.plan or ArchivedPlan() for one in (reports[-1], reports[0]))
    tests = plan.tests or ArchivedTests()
    known = {name: getattr(tests, name) for name in OF_PLAN if getattr(tests, name) is not None}
    if plan.labels is not None:
        known["labels"] = plan.labels
    if plan.label_templates or plan.templates:
        known["templates"] = plan.label_templates or plan.templates
    if any(getattr(plan, key) != getattr(other, key) for key in ("labels", "templates", "label_templates")):
        notes.append(
            "The audits' plans differ in labels or templates: those of NEW are used for the accuracy."
        )
    return {name: value for name, value in known.items() if name not in given}


def _side(
    source: Source, options: Mapping[str, Any], testing: Testing, encoder: str | None
) -> tuple[Side | None, str]:
    """The release in its index, or None and why there are figures only."""
    release = str(source.release)
    if source.report is None or source.folder is None:
        folder = Path(source.word)
        if folder.is_dir() and not Path(options["index"]).is_file():
            raise ImindexError(
                f"{folder} holds no {REPORT}: run the audit to its end, or name two collections of an index with -i."
            )
        return Side(Path(options["index"]), release), ""
    entry = next(one for one in source.report.encoders if one.name == encoder)
    path = source.folder / (entry.index or "")
    if not path.is_file():
        return None, f"{path} is not there: comparing the figures of {source.word} only."
    with Index(path) as index:
        if index.root_digest != entry.root_digest:
            return None, f"{path} has changed since the report: comparing the figures of {source.word} only."
        placebos = testing.placebos or _placebos(index, release, source.report)
    result = source.report.result(release, entry.name)
    return Side(path, release, result.findings if result else {}, placebos), ""


def _placebos(index: Index, release: str, report: ArchivedReport) -> list[str]:
    """The names that a release was asked for and that are no artist of the plan and have no works."""
    plan = report.plan or ArchivedPlan()
    known = {*(plan.artists or ()), *(plan.background or ())}
    kind = [c.kind for c in index.collections]
    names: dict[str, set[str]] = {"works": set(), "imitations": set()}
    for artist, collection in set(
        zip(index.column("artist").tolist(), index.column("collection").tolist(), strict=True)
    ):
        name = index.artists[artist] if artist >= 0 else ""
        if kind[collection] in ("works", "background"):
            names["works"].add(name)
        elif kind[collection] == "imitations" and index.collections[collection].name == release:
            names["imitations"].add(name)
    return [glob.escape(name) for name in sorted(names["imitations"] - names["works"] - known)]


def _copies(source: Source, encoder: str | None) -> int | None:
    """Near-copies that the report lists; None where it does not say."""
    if source.report is None:
        return None
    result = source.report.result(str(source.release), str(encoder))
    return result.n_copies if result else None
