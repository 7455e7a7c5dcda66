"""Pictures and indexes -> classification, matching, comparisons and gate verdicts."""

from __future__ import annotations

import contextlib
import functools
import glob
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from msgspec.structs import replace as set_fields

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.decisions import decided
from imindex.retrieval.audit.inputs import Inputs
from imindex.retrieval.audit.made import Made
from imindex.retrieval.audit.models import load_planned
from imindex.retrieval.audit.on_cluster import observe_on
from imindex.retrieval.audit.plan import EncoderSpec, Plan, Release
from imindex.retrieval.audit.record import (
    encoder_record,
    plan_record,
    rejected_pictures,
    release_record,
    works_of_artists,
)
from imindex.retrieval.audit.results_cache import kept, stored
from imindex.retrieval.audit.run import Run
from imindex.retrieval.compare.overall import resolution_of
from imindex.retrieval.compare.releases import Prepared, Side, compare, prepare
from imindex.retrieval.evidence.classify_release import VOTERS, classify_release
from imindex.retrieval.evidence.combined import combine_encoders
from imindex.retrieval.evidence.gallery import gallery
from imindex.retrieval.evidence.looks import Looks
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.near_copies import NEAREST, copies
from imindex.retrieval.evidence.release_walk import Observed, Wanted
from imindex.retrieval.evidence.set_scores import set_scores
from imindex.retrieval.evidence.shared import Shared, Texts
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.questions.question import Question
from imindex.retrieval.questions.registry import asked
from imindex.retrieval.questions.settings import QuestionTable
from imindex.retrieval.questions.study import Study as QuestionStudy
from imindex.retrieval.results import (
    AuditFindings,
    AuditResult,
    CombinedResult,
    Comparison,
    RegisterEntry,
    Verdict,
)
from imindex.retrieval.results.questions import Answered, AnyAnswer
from imindex.retrieval.vectors.whitened import whitened
from imindex.stats.combination import COMBINATION

TOGETHER_BYTES = 2**29
"""Releases are walked together while their observers take less memory than this."""


@dataclass(frozen=True)
class Built:
    """The output of one encoder in an audit.

    Attributes
    ----------
    path : Path
        The index.
    texts : Texts
        The encoder's text vectors.
    """

    path: Path
    texts: Texts


def texts_of(run: Run, encoder: EncoderSpec, path: Path) -> Texts:
    """Return the text vectors by the plan's encoder, which is loaded and compared with the index at the first one."""
    return Texts(lambda: load_planned(run, encoder, path))


def assess(
    run: Run,
    inputs: Inputs,
    entries: Sequence[RegisterEntry],
    made: Sequence[Made],
    built: Sequence[Built],
) -> AuditFindings:
    """Classify, match, test and compare the releases by each encoder.

    Parameters
    ----------
    run : Run
    inputs : Inputs
    entries : sequence of RegisterEntry
    made : sequence of Made
        One per release, in the plan's order.
    built : sequence of Built
        One per encoder, in the plan's order.

    Returns
    -------
    AuditFindings
    """
    plan, looks = run.plan, Looks()
    results: list[AuditResult] = []
    comparisons: list[Comparison] = []
    answers: list[AnyAnswer] = []
    for encoder, output in zip(plan.encoders, built, strict=True):
        with Index(output.path) as index:
            view = whitened(index) if plan.tests.whiten else index
            study = _Study(run, inputs, encoder, output, Shared(view, looks))
            results += [study.result(release) for release in plan.releases]
            if plan.base:
                others = [release for release in plan.releases if release.name != plan.base]
                comparisons += [study.comparison(release, results) for release in others]
            own = [result for result in results if result.encoder == encoder.name]
            answers += study.answers(own, made)
    results = [decided(result, entries) for result in results]
    combined = _combined(run, inputs, results)
    paths = [output.path for output in built]
    return AuditFindings(
        title=plan.title,
        plan=plan_record(plan, inputs, entries),
        encoders=tuple(encoder_record(plan, e, path) for e, path in zip(plan.encoders, paths, strict=True)),
        releases=tuple(release_record(release, inputs, paths) for release in made),
        results=tuple(results),
        comparisons=tuple(comparisons),
        gate=_gate(plan, results, comparisons, combined),
        rejects=rejected_pictures(paths),
        works=works_of_artists(paths, plan.tested),
        as_paper=plan.tests.as_paper or run.as_paper,
        combined=combined,
        questions=tuple(answers),
    )


def _combined(run: Run, inputs: Inputs, results: Sequence[AuditResult]) -> tuple[CombinedResult, ...]:
    """Return the findings by all encoders together, one result per release; nothing with one encoder."""
    plan = run.plan
    if len(plan.encoders) < 2:
        return ()
    combined = []
    for release in plan.releases:
        with run.stage(f"test {release.name} by {len(plan.encoders)} encoders together", 0):
            own = [result for result in results if result.release == release.name]
            combined.append(combine_encoders(own, plan.tested, testing_of(plan, release, inputs)))
    return tuple(combined)


def testing_of(plan: Plan, release: Release, inputs: Inputs) -> Testing:
    """Return the settings of a release's tests, with its own placebo names."""
    tests = plan.tests
    return Testing(
        placebos=tuple(glob.escape(name) for name in inputs.placebos[release.name]),
        level=tests.level,
        adjust=tests.adjust,
        statistic=tests.statistic,
        n_resamples=tests.n_resamples,
        confidence_level=tests.confidence_level,
        seed=plan.seed,
        rivals=inputs.rivals.get(release.name, ()),
        unknown=plan.unknown,
        references=inputs.references.get(release.name),
        csls_k=tests.csls or None,
        whiten=tests.whiten,
    )


class _Study:
    """The results of one encoder.

    Works and imitations are walked when the first result that is not cached is computed: once for all missing results
    and comparisons, or once per release if that would take too much memory.
    """

    def __init__(self, run: Run, inputs: Inputs, encoder: EncoderSpec, built: Built, shared: Shared):
        self._run, self._inputs, self._encoder = run, inputs, encoder
        self._path, self._texts, self._shared = built.path, built.texts, shared
        self._observed: dict[str, Observed] = {}
        self._prepared: dict[str, Prepared] = {}

    def result(self, release: Release) -> AuditResult:
        """Return the classification, matching, galleries and candidates for copies of one release."""
        run, plan, index = self._run, self._run.plan, self._shared.index
        testing = testing_of(plan, release, self._inputs)

        def compute() -> AuditResult:
            observed = self._observe(release)
            who: dict[str, Any] = {"artists": plan.tested, "testing": testing}
            # By works first, because it frees a table of scores of the walk.
            by_works = classify_release(index, release.name, **who, by="works", observed=observed)
            named = None
            if self._texts.has_text:
                named = classify_release(
                    index, release.name, **who, by="name", texts=self._texts, **self._how
                )
            matching = match_release(index, release.name, testing=testing, observed=observed)
            shown = gallery(index, release.name, plan.tested, observed=observed)
            placebos, rate = self._inputs.placebos[release.name], self._copies_rate
            copied = copies(index, release.name, placebos, rate=rate, observed=observed)
            sets = set_scores(observed, testing) if self._several else None
            del self._observed[release.name]
            return AuditResult(
                release=release.name,
                encoder=self._encoder.name,
                classification=named,
                by_works=by_works,
                matching=matching,
                rank_histogram={artist: row.rank_histogram for artist, row in shown.items()},
                neighbours={artist: row.neighbours for artist, row in shown.items()},
                copies=copied,
                sets=sets,
            )

        with run.stage(f"test {release.name} by {self._encoder.name}", 0):
            return kept(run, *self._result_kept(release), compute)

    def comparison(self, release: Release, results: Sequence[AuditResult]) -> Comparison:
        """Return the comparison of this release with the base release."""
        run, plan = self._run, self._run.plan
        testing = testing_of(plan, release, self._inputs)

        def side(name: str) -> Side:
            result = next(r for r in results if (r.release, r.encoder) == (name, self._encoder.name))
            findings = {row.artist: row.finding for row in result.matching.artists if row.finding is not None}
            return replace(self._side(name), findings=findings, resolution=resolution_of(result.matching))

        def compute() -> Comparison:
            if release.name not in self._prepared:
                self._prepared[release.name] = prepare(
                    self._side(plan.base), self._side(release.name), testing
                )
            comparison = compare(
                side(plan.base),
                side(release.name),
                testing=testing,
                texts=self._texts,
                prepared=self._prepared.pop(release.name),
                margin=plan.margin,
                **self._how,
            )
            name = self._path.name
            return set_fields(
                comparison,
                base=set_fields(comparison.base, index=name),
                new=set_fields(comparison.new, index=name),
            )

        with run.stage(f"compare {release.name} with {plan.base} by {self._encoder.name}", 0):
            comparison = kept(run, *self._comparison_kept(release), compute)
            return set_fields(comparison, encoder=self._encoder.name)

    def answers(self, results: Sequence[AuditResult], made: Sequence[Made]) -> list[AnyAnswer]:
        """Return the answers to the further questions of the plan, question by question."""
        run, plan = self._run, self._run.plan
        if not any(asked(plan.questions)):
            return []
        studies = {
            release.name: self._question_study(release, result, pictures)
            for release, result, pictures in zip(plan.releases, results, made, strict=True)
        }
        answers: list[AnyAnswer] = []
        for question, settings in asked(plan.questions):
            for release, pictures in zip(plan.releases, made, strict=True):
                others = {name: one for name, one in studies.items() if name != release.name}
                study = studies[release.name].with_others(others)
                with run.stage(f"answer {question.key} for {release.name} by {self._encoder.name}", 0):
                    answer = kept(
                        run,
                        run.workspace.answers(self._path, release.name, question.key),
                        self._shared.index,
                        self._about_question(study, question.key, made),
                        Answered,
                        functools.partial(
                            _answered, question, study, settings, pictures.questions.get(question.key)
                        ),
                    )
                answers += () if answer.answer is None else (answer.answer,)
        return answers

    def _question_study(self, release: Release, result: AuditResult, made: Made) -> QuestionStudy:
        plan = self._run.plan
        return QuestionStudy(
            shared=self._shared,
            release=release.name,
            encoder=self._encoder.name,
            testing=testing_of(plan, release, self._inputs),
            tested=plan.tested,
            placebos=tuple(self._inputs.placebos[release.name]),
            rivals=tuple(self._inputs.rivals.get(release.name, ())),
            templates=tuple(plan.prompts.templates),
            matching=result.matching,
            texts=self._texts,
            blocked=made.blocked,
            folder=plan.folder,
            training_images=plan.training_images,
            base_name=plan.base,
            asked=dict(plan.questions.asked()),
            requests=made.requests,
        )

    def _about_question(self, study: QuestionStudy, key: str, made: Sequence[Made]) -> Mapping[str, object]:
        """Return what the answer to a question depends on, beside the index."""
        plan = self._run.plan
        return {
            "question": key,
            "settings": plan.questions.digested(),
            "testing": {name: asdict(one.testing) for name, one in (("", study), *study.others.items())},
            "names": [study.tested, study.placebos, study.rivals, study.templates, plan.base],
            "pictures": [
                {one: part.digest for one, part in (("", release), *release.questions.items())}
                for release in made
            ],
            "inputs": dict(self._inputs.digests),
            "training_images": dict(plan.training_images),
        }

    @property
    def _several(self) -> bool:
        """Whether encoders are combined."""
        return len(self._run.plan.encoders) > 1

    @property
    def _copies_rate(self) -> float:
        """The probability of a false candidate for a copy, shared out over the releases and encoders."""
        plan = self._run.plan
        return plan.tests.copies_rate / (len(plan.releases) * len(plan.encoders))

    @property
    def _how(self) -> dict[str, Any]:
        return {"labels": self._run.plan.tests.labels, "templates": self._run.plan.label_templates}

    def _side(self, name: str) -> Side:
        placebos = [glob.escape(placebo) for placebo in self._inputs.placebos[name]]
        return Side(self._path, name, None, placebos, self._inputs.rivals.get(name, ()))

    def _result_kept(self, release: Release) -> tuple[Path, Index, dict[str, Any], type[AuditResult]]:
        """Return the arguments of `kept` for the result of a release."""
        plan = self._run.plan
        testing = testing_of(plan, release, self._inputs)
        about = {
            "copies": {"rate": self._copies_rate, "placebos": sorted(self._inputs.placebos[release.name])},
            "tested": plan.tested,
            **({"combination": COMBINATION} if self._several else {}),
        }
        file = self._run.workspace.results(self._path, release.name)
        return file, self._shared.index, {"testing": asdict(testing), **self._how, **about}, AuditResult

    def _comparison_kept(self, release: Release) -> tuple[Path, Index, dict[str, Any], type[Comparison]]:
        plan = self._run.plan
        testing = testing_of(plan, release, self._inputs)
        about = {
            "base_placebos": self._inputs.placebos[plan.base],
            "base_rivals": self._inputs.rivals.get(plan.base, ()),
            "margin": plan.margin,
            "reference": "placebo names",
        }
        file = self._run.workspace.results(self._path, release.name, plan.base)
        return file, self._shared.index, {"testing": asdict(testing), **about, **self._how}, Comparison

    def _observe(self, release: Release) -> Observed:
        """Return the observations of a release whose result is missing, after a walk."""
        if release.name not in self._observed:
            self._walk(release)
        return self._observed[release.name]

    def _walk(self, first: Release) -> None:
        """Walk works and imitations for the missing results and the comparisons that depend on them."""
        run, plan = self._run, self._run.plan
        missing = [
            release
            for release in plan.releases
            if release is first or stored(run, *self._result_kept(release)) is None
        ]
        names = {release.name for release in missing}
        compared = [
            release
            for release in plan.releases
            if plan.base and release.name != plan.base and {plan.base, release.name} & names
            and stored(run, *self._comparison_kept(release)) is None
        ]  # fmt: skip
        names |= {name for release in compared for name in (plan.base, release.name)}
        if len(names) > 1 and self._bytes(names) > TOGETHER_BYTES:
            missing, compared, names = [first], [], {first.name}
        wanted = {name: Wanted(name, csls_k=plan.tests.csls or None) for name in names}
        wanted |= {release.name: self._wanted(release) for release in missing}
        pairs = []
        for release in compared:
            with contextlib.suppress(ImindexError):  # `comparison` raises it later
                testing = testing_of(plan, release, self._inputs)
                ready = prepare(self._side(plan.base), self._side(release.name), testing)
                self._prepared[release.name], pair = ready.watched()
                pairs.append(pair)
        self._observed.update(observe_on(run, self._shared, list(wanted.values()), pairs))

    def _wanted(self, release: Release) -> Wanted:
        artists = self._shared.index.artists

        def numbers(names: Sequence[str]) -> list[int]:
            return [artists.index(name) for name in names if name in artists]

        return Wanted(
            release.name,
            testing_of(self._run.plan, release, self._inputs),
            csls_k=self._run.plan.tests.csls or None,
            classified=numbers(self._run.plan.tested),
            references=numbers(self._inputs.placebos[release.name]),
            nearest=max(NEAREST, VOTERS),
            neighbours=True,
        )

    def _bytes(self, releases: set[str]) -> int:
        """Estimate the bytes that the observers of several releases take together."""
        index, works = self._shared.index, self._shared.known.artist
        numbers = [
            n for n, c in enumerate(index.collections) if c.kind == "imitations" and c.name in releases
        ]
        artist = index.column("artist")[np.isin(index.column("collection"), numbers)]
        n_artists = len(index.artists)
        pairs = np.bincount(works, minlength=n_artists) @ np.bincount(artist, minlength=n_artists)
        return 8 * ((len(artist) + len(releases) * len(works)) * n_artists + 2 * int(pairs))


def _answered(
    question: Question[Any], study: QuestionStudy, settings: QuestionTable, own: Made | None
) -> Answered:
    """Answer a question, and say how many of the pictures made for it were blocked."""
    answer = question.answer(study, settings)
    if answer is not None and own is not None and own.blocked:
        note = (
            f"{len(own.blocked):,} of {len(own.blocked) + len(own.items):,} pictures that were made for this "
            "question were "
            "refused or blocked. Names that lack pictures are compared by fewer, or not at all."
        )
        answer = set_fields(answer, notes=(*answer.notes, note))
    return Answered(answer=None if answer is None else cast(AnyAnswer, answer))


def _gate(
    plan: Plan,
    results: Sequence[AuditResult],
    comparisons: Sequence[Comparison],
    combined: Sequence[CombinedResult],
) -> tuple[Verdict, ...]:
    from imindex.retrieval.compare.gate import verdicts

    if not plan.fail_if:
        return ()
    return verdicts(plan.fail_if, plan.base, results, comparisons, combined)
