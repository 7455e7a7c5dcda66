"""Resolve BASE and NEW: collections of an index, or finished audits with their indexes or only their figures."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec.structs import replace as replace_field

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_intact
from imindex.indexer.store.opening import open_index
from imindex.indexer.system.index_files import Named, are_files, shown_place
from imindex.retrieval.compare.archived_report import (
    REPORT,
    ArchivedPlan,
    ArchivedReport,
    ArchivedTests,
    archived_resolution,
    read_archived,
    unjudged,
)
from imindex.retrieval.compare.gate import Condition, check, comparison_figures
from imindex.retrieval.compare.releases import Side, compare
from imindex.retrieval.compare.reports import common_encoder, compare_reports, only_release
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.results import Comparison, Verdict

OF_PLAN = ("level", "adjust", "n_resamples", "confidence_level", "seed", "csls_k", "whiten")
TESTING = ("placebos", "rivals", *OF_PLAN)
JUDGED_BY = ("level", "adjust", "n_resamples", "confidence_level", "csls_k", "whiten")
"""Settings on which the findings of a report depend."""


_SHOWN = {"n_resamples": "resamples", "confidence_level": "confidence"}
"""Settings whose option has another name."""


@dataclass(frozen=True)
class Source:
    """One of BASE and NEW.

    Attributes
    ----------
    word : str
        The command-line argument.
    release : str or None
        None for the only release of the report.
    folder : Path or None
        Folder of the report.
    report : ArchivedReport or None
        None for a collection of the index.
    file : Path or None
        The file of the report.
    """

    word: str
    release: str | None
    folder: Path | None = None
    report: ArchivedReport | None = None
    file: Path | None = None


@dataclass(frozen=True)
class Question:
    """A comparison to run: the releases and the settings.

    Attributes
    ----------
    sides : pair of Side, or None
        None to compare by the reports' figures only.
    sources : pair of Source
    options : mapping
        Options of the command, completed from the audits' plans.
    testing : Testing
    encoder : str or None
        Name of the encoder in the reports.
    copies : pair of dict of str to float
        Numbers of confirmed copies and of candidates that the audits list, by metric.
    notes : sequence of str
    judged_otherwise : bool
        Whether the findings in NEW's report were made with other settings than BASE's. They are not used.
    """

    sides: tuple[Side, Side] | None
    sources: tuple[Source, Source]
    options: Mapping[str, Any]
    testing: Testing
    encoder: str | None
    copies: tuple[dict[str, float], dict[str, float]]
    notes: Sequence[str]
    judged_otherwise: bool = False

    def answer(self) -> Comparison:
        """Run the comparison; see `imindex.retrieval.compare.releases`."""
        alternative = self.options["alternative"]
        if self.sides is None:
            base, new = self.sources
            assert base.report is not None and new.report is not None
            judged = unjudged(new.report) if self.judged_otherwise else new.report
            return compare_reports(
                base.report, judged, base.release, new.release, self.encoder,
                testing=self.testing, alternative=alternative, margin=self.options["margin"],
            )  # fmt: skip
        result = compare(
            *self.sides,
            testing=self.testing,
            encoder={
                **{name: self.options[name] for name in ("model", "pretrained", "device")},
                "trust": self.options["trust_encoder"] or None,
            },
            alternative=alternative,
            by_name=not self.options["no_names"],
            labels=self.options["labels"],
            templates=self.options["templates"],
            margin=self.options["margin"],
        )
        return replace_field(result, encoder=self.encoder) if self.encoder else result

    def verdicts(self, result: Comparison, conditions: Sequence[Condition]) -> tuple[Verdict, ...]:
        """Evaluate the conditions of a gate on the figures of both releases."""
        figures = comparison_figures(result)
        for side, known in zip(figures, self.copies, strict=True):
            side.update(known)
        return tuple(
            check(condition, *figures, release=result.new.release, encoder=result.encoder)
            for condition in conditions
        )


def read_source(word: str) -> Source:
    """Read a report or an audit's folder, with or without `:RELEASE`; anything else is the name of a collection.

    Raises
    ------
    ImindexError
        If a report cannot be read.
    """
    for path, _, release in ((word, "", ""), word.rpartition(":")):
        file = Path(path) / REPORT if path and Path(path).is_dir() else Path(path)
        if path and file.suffix == ".json" and file.is_file():
            report = read_archived(file)
            return Source(word, only_release(report, release or None), file.parent, report, file)
    return Source(word, word)


def _no_index(sources: Sequence[Source], index: Named) -> str:
    """Return the message for collections without an index."""
    words = " and ".join(source.word for source in sources)
    return (
        f"{words}: there is no such audit (a folder with {REPORT}), and no index {shown_place(index)} that could hold "
        "a collection of this name. Correct the path, or name the index with index (-i)."
    )


def resolve(base: str, new: str, options: Mapping[str, Any], passed: set[str]) -> Question:
    """Resolve the releases to compare and the settings.

    Parameters
    ----------
    base, new : str
        As on the command line.
    options : mapping
        Options of the command.
    passed : set of str
        Names of the options that were passed; the others come from the audits' plans, if there are audits.

    Returns
    -------
    Question

    Raises
    ------
    ImindexError
        If a report cannot be read, the release or encoder does not exist, or a collection would be compared with
        figures only.
    """
    if isinstance(options["index"], Index):
        sources = (Source(base, base), Source(new, new))
    else:
        sources = (read_source(base), read_source(new))
        unknown = [source for source in sources if source.report is None]
        folders = any(
            Path(source.word).is_dir() for source in unknown
        )  # `_side` says what such a folder lacks
        if unknown and not folders and not are_files(options["index"]):
            raise ImindexError(_no_index(unknown, options["index"]))
    reports = [source.report for source in sources if source.report is not None]
    encoder: str | None = None
    notes: list[str] = []
    if reports:
        encoder = common_encoder(reports[0], reports[-1], options["encoder"])
        notes += _one_report_only(reports[0], reports[-1], encoder)
        options = {**options, **_planned(sources, options, passed, notes)}
    elif options["encoder"]:
        raise ImindexError(
            "encoder (--encoder) is for audits with several encoders, and an index has one. Drop it."
        )
    testing = Testing(**{name: options[name] for name in TESTING})
    judged_otherwise = _judged_otherwise(sources, testing)
    index = options["index"]
    if not isinstance(index, Index) and are_files(index) and any(one.report is None for one in sources):
        with open_index(index) as opened:  # once, for both sides
            require_intact(opened)
            notes += opened.notes
    sides = []
    for source in sources:
        side, note = _side(source, options, testing, encoder)
        other = passed & {"placebos", "level", "adjust", "csls_k", "whiten"} or (
            judged_otherwise and source is sources[1]
        )
        if side is not None and other:
            side = replace(side, findings=None)  # the report's findings used other settings
        if note:
            notes.append(note)
        sides.append(side)
    if sides[0] is None or sides[1] is None:
        if len(reports) < 2:
            raise ImindexError(
                f"{' '.join(notes)} A collection of an index cannot be compared with figures. "
                "Pass two audits, or two collections."
            )
        pair = None
        if judged_otherwise:
            notes.append(
                "The findings in NEW's report were made with other settings, so its artists count as not tested."
            )
    else:
        pair = (sides[0], sides[1])
    copies = tuple(_copies(source, encoder) for source in sources)
    return Question(pair, sources, options, testing, encoder, (copies[0], copies[1]), notes, judged_otherwise)


def _one_report_only(base: ArchivedReport, new: ArchivedReport, encoder: str) -> list[str]:
    """Say which encoders cannot be compared, because one report lacks them."""
    names = [[one.name for one in report.encoders] for report in (base, new)]
    pairs = (("BASE", names[0], names[1]), ("NEW", names[1], names[0]))
    alone = [
        f"{', '.join(lacking)} only in {whose}"
        for whose, own, other in pairs
        if (lacking := [name for name in own if name not in other])
    ]
    return [f"Compared by {encoder} alone: there is {' and '.join(alone)}."] if alone else []


def _planned(
    sources: tuple[Source, Source], options: Mapping[str, Any], passed: set[str], notes: list[str]
) -> dict[str, Any]:
    """Return the options that were not passed, as in BASE's plan. NEW does not choose by what it is judged.

    Without a plan of BASE they are the defaults of the command. A note names what is otherwise in NEW's plan.
    """
    plans = [_settings(source.report.plan if source.report else None) for source in sources]
    planned = {name: value for name, value in plans[0].items() if name not in passed}
    used = {**options, **planned}
    others = []
    for name, value in plans[1].items():
        if name in passed:
            continue
        if name in ("labels", "templates"):
            if tuple(value) != tuple(used[name]):
                others.append(f"other {name}")
        elif value != used[name]:
            others.append(f"{_SHOWN.get(name, name)} {value}, not {used[name]}")
    if others:
        whose = "those of BASE's plan" if plans[0] else "the defaults of this command"
        notes.append(f"NEW's plan has {'; '.join(others)}. The settings used are {whose}.")
    return planned


def _settings(plan: ArchivedPlan | None) -> Mapping[str, Any]:
    """Return the options that a plan sets; none without a plan."""
    if plan is None:
        return {}
    tests = plan.tests or ArchivedTests()
    settings = {name: getattr(tests, name) for name in OF_PLAN if getattr(tests, name) is not None}
    if plan.labels is not None:
        settings["labels"] = plan.labels
    if plan.label_templates or plan.templates:
        settings["templates"] = plan.label_templates or plan.templates
    return settings


def _judged_otherwise(sources: tuple[Source, Source], testing: Testing) -> bool:
    """Return whether the findings in NEW's report were made with other settings than BASE's, or this command's."""
    base, new = (_settings(source.report.plan if source.report else None) for source in sources)
    return sources[1].report is not None and any(
        new.get(name) != base.get(name, getattr(testing, name)) for name in JUDGED_BY
    )


def _side(
    source: Source, options: Mapping[str, Any], testing: Testing, encoder: str | None
) -> tuple[Side | None, str]:
    """Return the release in its index, or None and the reason why only figures are available."""
    release = str(source.release)
    if source.report is None or source.folder is None:
        if isinstance(options["index"], Index):
            return Side(options["index"], release), ""
        folder = Path(source.word)
        if folder.is_dir() and not are_files(options["index"]):
            raise ImindexError(
                f"{folder} contains no {REPORT}. Complete the audit, or pass two collections of an index with -i."
            )
        return Side(options["index"], release), ""
    entry = next(record for record in source.report.encoders if record.name == encoder)
    path = source.folder / (entry.index or "")
    if not path.is_file():
        return None, f"{path} does not exist: comparing the figures of {source.word} only."
    with Index(path) as index:
        require_intact(index)
        if index.root_digest != entry.root_digest:
            return None, f"{path} has changed since the report: comparing the figures of {source.word} only."
        placebos = testing.placebos or _placebos(index, release, source.report)
    result = source.report.result(release, entry.name)
    rivals = next((record.rivals for record in source.report.releases if record.name == release), ())
    resolution = archived_resolution(source.report, release, entry.name)
    return Side(path, release, result.findings if result else {}, placebos, rivals, resolution), ""


def _placebos(index: Index, release: str, report: ArchivedReport) -> list[str]:
    """Return the names without works that a release was asked for, except the artists and real names of the plan."""
    plan = report.plan or ArchivedPlan()
    in_plan = {*(plan.artists or ()), *(plan.background or ())}
    for record in report.releases:
        in_plan.update(record.rivals)
    kinds = [c.kind for c in index.collections]
    names: dict[str, set[str]] = {"works": set(), "imitations": set()}
    for artist, collection in set(
        zip(index.column("artist").tolist(), index.column("collection").tolist(), strict=True)
    ):
        name = index.artists[artist] if artist >= 0 else ""
        if kinds[collection] in ("works", "background"):
            names["works"].add(name)
        elif kinds[collection] == "imitations" and index.collections[collection].name == release:
            names["imitations"].add(name)
    return [glob.escape(name) for name in sorted(names["imitations"] - names["works"] - in_plan)]


def _copies(source: Source, encoder: str | None) -> dict[str, float]:
    """Return the numbers of copies and candidates in the report, by metric; nothing where it does not list them."""
    result = source.report.result(str(source.release), str(encoder)) if source.report else None
    if result is None:
        return {}
    known = {"copies": result.n_copies, "candidates": result.n_candidates}
    return {name: float(n) for name, n in known.items() if n is not None}
