"""The Python interface: `imindex.open`, `build`, `compare` and `audit`. The commands call the same functions.

Examples
--------
Draw a small set of works and imitations, encode it with the bundled encoder, and measure who is imitated:

>>> import tempfile, imindex
>>> from imindex.indexer.demo.artists import NAMES, draw
>>> folder = Path(tempfile.mkdtemp())
>>> for kind, first in (("works", 0), ("imitations/release-1", 50)):
...     for name in NAMES[:3]:
...         (folder / kind / name).mkdir(parents=True)
...         for seed in range(first, first + 5):
...             draw(name, seed=seed, size=64).save(folder / kind / name / f"{seed}.png")
>>> report = imindex.build(folder, folder / "audit.h5", model="demo", device="cpu", precision="fp32")
>>> report.rows
30
>>> with imindex.open(folder / "audit.h5") as index:
...     result = index.match(testing=None)
...     nearest = index.query(folder / "works" / NAMES[0] / "0.png", k=1)
>>> result.n_artists, result.macro.auc > 0.9
(3, True)
>>> nearest.queries[0].kinds["imitations"].artists[0].artist == NAMES[0]
True
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from imindex.indexer.build.build import BuildReport
from imindex.indexer.build.from_sources import build_from_sources as build
from imindex.indexer.core.arguments import one_of, several
from imindex.indexer.core.bounds import FRACTION, PANEL_TRIALS, RESAMPLES, SEED, SHARE, SIDES
from imindex.indexer.core.credentials import name_by_user
from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.paths import require_roots
from imindex.indexer.core.schema import Collection, EncoderInfo
from imindex.indexer.core.url import Url
from imindex.indexer.decode.limits import Limits
from imindex.indexer.image_api.settings import Asking
from imindex.indexer.maintain.export import item_table
from imindex.indexer.runners.base import Place
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_intact
from imindex.indexer.store.opening import open_index
from imindex.indexer.system.index_files import Named
from imindex.retrieval import results
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Show, Workspace
from imindex.retrieval.compare.gate import Condition, parse
from imindex.retrieval.compare.sources import Question, resolve
from imindex.retrieval.evidence.classify_pictures import PictureClassifier
from imindex.retrieval.evidence.classify_release import GENERIC_LABELS, classify_release
from imindex.retrieval.evidence.compared import BACKGROUND
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.panel.design import N_ARTISTS, Size
from imindex.retrieval.report import notebook
from imindex.retrieval.results import (
    Adjust,
    Alternative,
    Classification,
    GatedComparison,
    Matching,
    PanelForecast,
    PanelResult,
    PictureClassification,
    QueryResult,
    RegisterEntry,
    fields_of,
    to_frame,
)
from imindex.retrieval.results.tables import Row
from imindex.retrieval.search.prepared import Prepared
from imindex.retrieval.search.queries import Queries, encode_queries
from imindex.retrieval.search.query import ask
from imindex.retrieval.shards.search import nearest_by_workers
from imindex.retrieval.shards.start import HERE, Workers, started
from imindex.retrieval.vectors.hubs import CSLS_K
from imindex.retrieval.vectors.select import artist_mask

if TYPE_CHECKING:
    import pyarrow

    from imindex.retrieval.audit.audit import Outcome
    from imindex.retrieval.audit.decisions import Listed
    from imindex.retrieval.audit.finished import AuditOnDisk
    from imindex.retrieval.export.targets import Exported, Target
    from imindex.retrieval.hub.repository import Pulled, Pushed
    from imindex.retrieval.panel.make import MadePanel
    from imindex.retrieval.projection.stored import Projection
    from imindex.retrieval.protocol.encode import Candidate
    from imindex.retrieval.report.thumbnails import Thumbnails

__all__ = [
    "Asking",
    "BuildReport",
    "Encoder",
    "ImindexError",
    "Items",
    "Limits",
    "OpenIndex",
    "Place",
    "Prepared",
    "Queries",
    "Testing",
    "Workers",
    "audit",
    "build",
    "compare",
    "compare_encoders",
    "confirm_copies",
    "copy_candidates",
    "forecast",
    "forecast_panel",
    "make_panel",
    "open",
    "pull",
    "read_audit",
    "read_panel",
]

DEFAULT_INDEX = "imindex.h5"
DEFAULT_TEMPLATES = ("Artwork from {artist}",)
results.draw_with(notebook.render)


def open(path: Named, *, roots: Mapping[str, str | os.PathLike[str]] | None = None) -> OpenIndex:
    """Open an index for queries, classification and matching.

    Parameters
    ----------
    path : path-like, or sequence of path-like
        The index file. A pattern such as ``"part-*.h5"``, or several files, are read as one index.
    roots : mapping of str to path-like, optional
        Where the pictures of named roots are now, such as ``{"art": "/data/art"}``; by default, where the index says.

    Returns
    -------
    OpenIndex

    Raises
    ------
    ImindexError
        If the file does not exist, or is not an index that this version can read; or several files cannot be joined:
        they have different encoders, or hold the same picture with other bytes.
    """
    return OpenIndex(path, roots)


def compare(  # noqa: PLR0913
    base: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    index: Named | Index = DEFAULT_INDEX,
    fail_if: Sequence[str | Condition] = (),
    encoder: str | None = None,
    no_names: bool = False,
    labels: Sequence[str] | None = None,
    templates: Sequence[str] | None = None,
    placebos: Sequence[str] | None = None,
    level: float | None = None,
    adjust: Adjust | None = None,
    alternative: Alternative = "two-sided",
    n_resamples: int | None = None,
    confidence_level: float | None = None,
    seed: int | None = None,
    model: str | None = None,
    pretrained: str | None = None,
    trust_encoder: bool = False,
    device: str = "auto",
    margin: float | None = None,
    rivals: Sequence[str] | None = None,
    audit_verified: bool = False,
    csls: bool = False,
    csls_k: int = CSLS_K,
    whiten: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> GatedComparison:
    """Compare two releases on the same artists, and check conditions on the change.

    Parameters
    ----------
    base, new : str or path-like
        Collections of `index`, or finished audits. An audit is a report.json or the folder that holds it, followed
        by ``:RELEASE`` if it has several releases.
    index : path-like, sequence of path-like, or open index
        The index that holds the collections. Of an open index, `base` and `new` are always collections.
    fail_if : sequence of str
        Conditions such as ``"accuracy > base + 5 %"``. Their verdicts are in `gate` of the result.
    encoder : str, optional
        For audits with several encoders, the one to compare with; by default the first one in common.
    no_names : bool
        Skip the accuracy by name, which needs the encoder.
    labels, templates : sequence of str, optional
        Generic labels and prompt templates.
    placebos, level, adjust, n_resamples, confidence_level, seed : optional
        As in `Testing`. By default taken from the plan of the audits or, for collections, from `Testing`.
    alternative : {"two-sided", "greater", "less"}
        "greater": the new release imitates more.
    model, pretrained, device : str
        Current location of the index's encoder, and the device to run it on.
    trust_encoder : bool
        Load the encoder that the index names, even if it is a folder, a file or a repository.
    margin : float, optional
        The largest change of the mean AUC, beyond that of placebo names, that does not matter: test whether the change
        is within it.
    rivals : sequence of str, optional
        Further real names among the imitations, which are neither compared nor candidates. Audits store their own.
    audit_verified : bool
        Recompute both audits first, as `imindex verify --results` does, and refuse one that differs. The digest of a
        report, which is always compared, only detects accidents.
    csls : bool
        Correct ranks for hubs with CSLS over `csls_k` neighbours. By default as in the plan of the audits.
    csls_k : int
        Number of neighbours.
    whiten : bool
        Whiten all vectors by what is learnt on the works of BASE's index (`imindex.stats.whitening`). By default as in
        the plan of the audits.
    note : callable
        Called with messages about what is compared.

    Returns
    -------
    GatedComparison

    Raises
    ------
    ImindexError
        If a collection, report or release does not exist, a report was edited, or a condition cannot be parsed.
    """
    passed = {
        name: value
        for name, value in (
            ("labels", None if labels is None else several(labels, "labels")),
            ("templates", None if templates is None else _templates(templates)),
            ("placebos", placebos), ("level", level), ("adjust", adjust),
            ("n_resamples", n_resamples), ("confidence_level", confidence_level), ("seed", seed),
            ("margin", margin), ("rivals", rivals),
            ("csls_k", csls_k if csls else None), ("whiten", whiten or None),
        )
        if value is not None
    }  # fmt: skip
    if margin is not None and not margin > 0:
        raise ImindexError(f"margin is {margin}. Pass the largest change that does not matter, above 0.")
    options = {
        "margin": None,
        **asdict(Testing()),
        "labels": GENERIC_LABELS,
        "templates": DEFAULT_TEMPLATES,
        **passed,
        "index": index,
        "encoder": encoder,
        "no_names": no_names,
        "alternative": alternative,
        "model": model,
        "pretrained": pretrained,
        "trust_encoder": trust_encoder,
        "device": device,
    }
    conditions = [
        parse(condition) if isinstance(condition, str) else condition
        for condition in several(fail_if, "fail_if")
    ]
    one_of(alternative, get_args(Alternative), "alternative")
    question = resolve(os.fspath(base), os.fspath(new), options, set(passed))
    if audit_verified:
        _require_verified(question, device, trust_encoder, note)
    for text in question.notes:
        note(text)
    result = question.answer()
    verdicts = question.verdicts(result, conditions)
    fields = {**fields_of(result), "notes": (*question.notes, *result.notes)}
    return GatedComparison(**fields, gate=verdicts)


def _require_verified(
    question: Question, device: str, trust_encoder: bool, note: Callable[[str], None]
) -> None:
    from imindex.retrieval.audit.verified import require_verified

    for source in question.sources:
        if source.folder is None:
            raise ImindexError(
                f"{source.word} is a collection of an index, and audit_verified (--audit-verified) is for finished "
                "audits. Drop it, or pass two audits."
            )
        if source.file is None or source.file.name != "report.json":
            raise ImindexError(
                f"{source.word} is not the report.json of an audit's folder, which audit_verified (--audit-verified) "
                "recomputes. Pass the folder."
            )
    for folder in dict.fromkeys(source.folder for source in question.sources if source.folder is not None):
        require_verified(folder, device=device, trust_encoders=trust_encoder, note=note)


def write_comparison_report(
    result: results.Comparison, file: str | os.PathLike[str], *, command: str = ""
) -> None:
    """Write an HTML page of a comparison: the report of an audit without what an audit knows.

    Parameters
    ----------
    result : Comparison
        As `compare` returns it.
    file : path-like
        Replaced if it exists.
    command : str
        The command line, for the page.
    """
    from imindex.retrieval.report.index_report import write_comparison_report as write

    write(result, Path(file), command=command)


def _templates(templates: Sequence[str]) -> tuple[str, ...]:
    chosen = several(templates, "templates")
    if not chosen:
        raise ImindexError(
            "templates: the list is empty. Pass at least one, such as 'Artwork from {artist}'."
        )
    return chosen


def audit(  # noqa: PLR0913
    plan: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    amend: str = "",
    device: str = "auto",
    batch_size: int | None = None,
    generate_batch: int | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    roots: Mapping[str, str | os.PathLike[str]] | None = None,
    workers: Workers = HERE,
    pictures: bool = True,
    as_paper: bool = False,
    place: Place = Place(),  # noqa: B008 - frozen
    asking: Asking = Asking(),  # noqa: B008 - frozen
    command: str = "",
    show: Show | None = None,
) -> Outcome:
    """Run the plan of an audit, from prompts to report. An interrupted audit is resumed.

    Parameters
    ----------
    plan : path-like
        A TOML file; see retrieval/AUDITS.md.
    out : path-like, optional
        The folder of the audit. By default, ``PLAN-audit`` beside ``PLAN.toml``.
    amend : str
        Why the plan or the pictures have changed since they were registered.
    device : str
    batch_size, generate_batch : int, optional
        Number of pictures to encode, and to generate, at a time.
    limits : Limits
        Pictures that exceed these limits are rejected.
    roots : mapping of str to path-like, optional
        Folders by name, to which the paths of manifests may lead, such as ``{"art": "/data/art"}``.
    workers : Workers
        Where imitations are ranked. The report does not depend on it.
    pictures : bool
        Show pictures in the report.
    as_paper : bool
        Add the tests of Casper et al. 2023 to the report, with what they assume; also done if the plan says so.
    place : Place
        Where pictures are generated, encoded and matched: here, or on a Ray cluster.
    asking : Asking
        How fast and how often APIs are asked.
    command : str
        The command line, for the log.
    show : Show, optional
        Receives the progress of each stage.

    Returns
    -------
    Outcome

    Raises
    ------
    ImindexError
        If the plan is invalid, differs from the registered one or names something that does not exist, or if another
        audit is running in this folder.
    """
    from imindex.retrieval.audit.audit import audit as run_audit  # imports torch

    run = _run(plan, out, device, batch_size, generate_batch, limits, roots, command, show)
    compute = replace(run.compute, workers=workers, place=place, asking=asking)
    run = replace(run, as_paper=as_paper, compute=compute)
    return run_audit(run, amend=amend, pictures=pictures)


def compare_encoders(  # noqa: PLR0913
    works: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] = (),
    encoders: Sequence[str | os.PathLike[str] | Candidate] = (),
    *,
    folder: str | os.PathLike[str] = "encoders",
    plan: str | os.PathLike[str] | None = None,
    groups: Mapping[str, str] | None = None,
    k: int = 10,
    confidence_level: float = 0.95,
    level: float = 0.05,
    n_resamples: int = 9999,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    roots: Mapping[str, str | os.PathLike[str]] | None = None,
    artist_from: str | None = None,
    command: str = "",
    note: Callable[[str], None] = lambda _: None,
    progress: Any = None,
) -> results.EncoderComparison:
    """Compare encoders on works alone, before any imitation is seen; see docs/choose_an_encoder.md.

    Parameters
    ----------
    works : path-like, or sequence of path-like
        Folders of ``ARTIST/*``, folders that hold a folder ``works``, or manifests. By default the works of `plan`.
        Not needed if all encoders are indexes.
    encoders : sequence of str
        ``MODEL``, ``MODEL@PRETRAINED``, or the path of an index that holds works. By default those of `plan`.
    folder : path-like
        Receives one index per model. Indexes that are there are continued.
    plan : path-like, optional
        The plan of an audit.
    groups : mapping from artist to str, optional
        Groups of artists who are not independent of each other, such as schools; they are drawn instead of artists.
    k : int
        Number of neighbours.
    confidence_level, level : float
        Of intervals, and of the tests of differences.
    n_resamples, seed : int
    device, batch_size, limits, roots, artist_from, command, note
        As in `build`.
    progress : callable, optional
        Takes the name of an encoder, and returns what `build` takes as `progress`.

    Returns
    -------
    EncoderComparison

    Raises
    ------
    ImindexError
        There are no encoders or works, an encoder cannot be loaded, or the indexes have too few works in common.
    """
    from imindex.retrieval.audit.encoder_choice import candidates_of, works_of
    from imindex.retrieval.protocol.compare import compare_indexes, machine_name
    from imindex.retrieval.protocol.encode import Candidate, encode, named_apart

    read = None if plan is None else read_plan(Path(plan), note)
    listed = [
        one if isinstance(one, Candidate) else Candidate.parse(os.fspath(one))
        for one in ([encoders] if isinstance(encoders, (str, os.PathLike)) else encoders)
    ] or (candidates_of(read) if read else [])
    sources = [works] if isinstance(works, (str, os.PathLike)) else list(works)
    encoded = encode(
        named_apart(listed),
        sources or (works_of(read) if read else []),
        Path(folder),
        device=device,
        batch_size=batch_size,
        limits=limits,
        roots=roots,
        artist_from=artist_from,
        command=command,
        note=note,
        progress=progress,
    )
    return compare_indexes(
        encoded,
        groups=groups,
        k=k,
        confidence_level=confidence_level,
        level=level,
        n_resamples=n_resamples,
        seed=seed,
        command=command,
        machine=machine_name(),
        note=note,
    )


def pull(
    repository: str,
    out: str | os.PathLike[str] = DEFAULT_INDEX,
    *,
    revision: str = "main",
    force: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Pulled:
    """Download an index from a dataset repository of a hub, and check it as a file from a stranger.

    Parameters
    ----------
    repository : str
        OWNER/NAME.
    out : path-like
        The index appears there only once it has been checked.
    revision : str
        Branch, tag or commit.
    force : bool
        Replace what is there.
    note : callable
        Called with what is being done.

    Returns
    -------
    Pulled

    Raises
    ------
    ImindexError
        There is no such repository or index, the hub refuses, or what was downloaded is damaged or not what the card
        states.
    """
    from imindex.retrieval.hub.repository import pull as download

    return download(repository, Path(out), revision=revision, force=force, note=note)


def read_audit(folder: str | os.PathLike[str]) -> AuditOnDisk:
    """Return what is in the folder of an audit: its report, its register, and whether the report was edited.

    Returns
    -------
    AuditOnDisk
        See `imindex.retrieval.audit.finished`. An audit that is unfinished, edited or damaged is no error.
    """
    from imindex.retrieval.audit.finished import read_audit as read

    return read(Path(folder))


def make_panel(  # noqa: PLR0913
    audit: str | os.PathLike[str],
    out: str | os.PathLike[str] = "panel",
    *,
    release: str | None = None,
    encoder: str | None = None,
    artists: Sequence[str] = (),
    n_artists: int = N_ARTISTS,
    per_artist: int = Size.per_artist,
    raters: int = Size.raters,
    works: int = Size.works,
    placebo_sets: int = Size.placebo_sets,
    set_size: int = Size.set_size,
    catch: int = Size.catch,
    repeats: int = Size.repeats,
    side: int = 320,
    least_catch: float = 0.8,
    level: float = 0.05,
    adjust: Adjust = "bh",
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    seed: int | None = None,
    force: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> MadePanel:
    """Make a blind panel of people from a finished audit: a page for each rater, and a sealed key.

    Parameters
    ----------
    audit : path-like
        The folder of the audit.
    out : path-like
        Folder for ``key.json`` and the pages.
    release, encoder : str, optional
        By default the only release, and the first encoder of the audit. The encoder is for the figures of the metric.
    artists : sequence of str
        By default `n_artists` of the tested artists, drawn at random.
    n_artists : int
    per_artist : int
        Trials of each artist, each against another placebo name.
    raters : int
        Number of pages.
    works : int
        Works of the artist that are shown with each trial.
    placebo_sets, set_size : int
        Placebo names that take an artist's place, and trials of each: the reference of the artists' shares.
    catch : int
        Trials of a work of the artist and a work of another artist, to check attention.
    repeats : int
        Trials that each page shows twice.
    side : int
        Width and height of the pictures on the pages, in pixels.
    least_catch : float
        Raters with a smaller share of right answers to catch trials are excluded.
    level : float
        Significance level of the family of artists, after correction.
    adjust : {"holm", "bh", "by"}
    confidence_level : float
    n_resamples : int
    seed : int, optional
        By default a random one, which nobody can guess. It is in the key.
    force : bool
        Replace `out`.
    note : callable
        Called with what is being done.

    Returns
    -------
    MadePanel

    Raises
    ------
    ImindexError
        The audit is not finished, has no placebo names or too few pictures; a picture has changed; or `out` exists.
    """
    from imindex.retrieval.panel.make import make

    SIDES.check(side, "side")
    FRACTION.check(least_catch, "least_catch")
    RESAMPLES.check(n_resamples, "n_resamples")
    _check_panel(level, confidence_level, n_artists, seed)
    return make(
        Path(audit),
        Path(out),
        release=release,
        encoder=encoder,
        artists=artists,
        n_artists=n_artists,
        size=Size(per_artist, raters, works, placebo_sets, set_size, catch, repeats),
        side=side,
        rule=results.PanelRule(
            least_catch=least_catch,
            level=level,
            adjust=adjust,
            confidence_level=confidence_level,
            n_resamples=n_resamples,
        ),
        seed=seed,
        force=force,
        note=note,
    )


def forecast_panel(  # noqa: PLR0913
    audit: str | os.PathLike[str],
    *,
    release: str | None = None,
    encoder: str | None = None,
    artists: Sequence[str] = (),
    n_artists: int = N_ARTISTS,
    per_artist: int = Size.per_artist,
    raters: int = Size.raters,
    works: int = Size.works,
    placebo_sets: int = Size.placebo_sets,
    set_size: int = Size.set_size,
    catch: int = Size.catch,
    repeats: int = Size.repeats,
    level: float = 0.05,
    adjust: Adjust = "bh",
    seed: int | None = None,
) -> PanelForecast:
    """Say how many trials a panel has, how long it takes people, and what it can find, without writing anything.

    The parameters are those of `make_panel`.

    Raises
    ------
    ImindexError
        As `make_panel`.
    """
    from imindex.retrieval.panel.make import forecast as of_panel

    _check_panel(level, SHARE.most, n_artists, seed)
    return of_panel(
        Path(audit),
        release=release,
        encoder=encoder,
        artists=artists,
        n_artists=n_artists,
        size=Size(per_artist, raters, works, placebo_sets, set_size, catch, repeats),
        rule=results.PanelRule(
            least_catch=1.0, level=level, adjust=adjust, confidence_level=0.95, n_resamples=999
        ),
        seed=seed,
    )


def read_panel(
    key: str | os.PathLike[str], answers: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]
) -> PanelResult:
    """Evaluate the answers to a panel by the rule that was fixed when it was made.

    Parameters
    ----------
    key : path-like
        key.json, or the folder that holds it.
    answers : path-like, or sequence of path-like
        The files that the raters saved, or their folder.

    Returns
    -------
    PanelResult
        `kept` is the result, `everybody` the same figures with the raters whom the rule excludes.

    Raises
    ------
    ImindexError
        The key was changed; or answers are damaged, edited, of another panel, or there twice.
    """
    from imindex.retrieval.panel.answers import read_answers, read_key
    from imindex.retrieval.panel.evaluate import evaluate

    sealed = read_key(Path(key))
    listed = [answers] if isinstance(answers, (str, os.PathLike)) else list(answers)
    read = read_answers(sealed, [Path(path) for path in listed])
    return evaluate(sealed, [one.answers for one in read])


def _check_panel(level: float, confidence_level: float, n_artists: int, seed: int | None) -> None:
    SHARE.check(level, "level")
    SHARE.check(confidence_level, "confidence_level")
    PANEL_TRIALS.check(n_artists, "n_artists")
    if seed is not None:
        SEED.check(seed, "seed")


def copy_candidates(folder: str | os.PathLike[str]) -> list[Listed]:
    """Return the pairs of pictures that an audit's report lists, candidates for copies first, with what people say."""
    from imindex.retrieval.audit.decisions import listed_pairs

    return listed_pairs(Path(folder))


def confirm_copies(
    folder: str | os.PathLike[str],
    copies: Sequence[str] = (),
    rejected: Sequence[str] = (),
    *,
    by: str,
    note: str = "",
    command: str = "",
    seen: Mapping[str, tuple[str, str]] | None = None,
) -> list[RegisterEntry]:
    """Record in an audit's register which candidates are copies, and which are not.

    Parameters
    ----------
    folder : path-like
        The folder of the audit.
    copies, rejected : sequence of str
        RELEASE/PICTURE; the path of the picture may be shortened to its end. A later decision on the same two pictures
        replaces an earlier one, which stays in the register.
    by : str
        Name of the person.
    note, command : str
    seen : mapping of str to tuple of str, optional
        By RELEASE/PICTURE, the SHA-256 of the imitation and of the work that the person looked at. If the report lists
        another pair by now, nothing is recorded.

    Returns
    -------
    list of RegisterEntry
        The new entries. The next run of the audit shows them in the report and counts them in the gate.

    Raises
    ------
    ImindexError
        A picture is not listed or has changed, nobody is named, or an audit is at work in the folder.
    """
    from imindex.retrieval.audit.decisions import decide, find_pair, listed_pairs

    listed = listed_pairs(Path(folder))
    decisions = [
        (find_pair(listed, word), copied)
        for words, copied in ((copies, True), (rejected, False))
        for word in words
    ]
    for word, digests in (seen or {}).items():
        pair = find_pair(listed, word).pair
        if (pair.imitation_sha256, pair.work_sha256) != digests:
            raise ImindexError(
                f"The report lists another pair for {word} than the one that was looked at, so nothing was recorded. "
                "Look at it again."
            )
    return decide(Path(folder), decisions, by=by, note=note, command=command)


def forecast(  # noqa: PLR0913
    plan: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    generate_batch: int | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    roots: Mapping[str, str | os.PathLike[str]] | None = None,
    asking: Asking = Asking(),  # noqa: B008 - frozen
    show: Show | None = None,
) -> Any:
    """Estimate how long an audit will take from a few pictures, without writing anything.

    The parameters are those of `audit`.
    """
    from imindex.retrieval.audit.dry_run import dry_run

    run = _run(plan, out, device, batch_size, generate_batch, limits, roots, "", show)
    return dry_run(replace(run, compute=replace(run.compute, asking=asking)))


def _run(  # noqa: PLR0913
    plan: str | os.PathLike[str],
    out: str | os.PathLike[str] | None,
    device: str,
    batch_size: int | None,
    generate_batch: int | None,
    limits: Limits,
    roots: Mapping[str, str | os.PathLike[str]] | None,
    command: str,
    show: Show | None,
) -> Run:
    path, show = Path(plan), show or Show()
    return Run(
        read_plan(path, show.note),
        Workspace(path.with_name(f"{path.stem}-audit") if out is None else Path(out)),
        Compute(device, batch_size, generate_batch, limits, roots=require_roots(roots or {})),
        command=command,
        show=show,
    )


class Items:
    """The pictures of an index as a table: one row per picture, in the order of `OpenIndex.vectors`.

    Columns: ``row``, ``path``, ``artist``, ``kind``, ``collection``, ``prompt``, ``seed`` (-1 if unknown), ``caption``,
    ``arm`` (own, placebo, nameless, control, rival), ``model``, ``width``, ``height`` (pixels), ``sha256`` (of the
    file's bytes). Texts are empty if unknown.
    """

    def __init__(self, table: pyarrow.Table):
        self._table = table

    def to_arrow(self) -> pyarrow.Table:
        """Return an Arrow table."""
        return self._table

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame; needs pandas."""
        return to_frame(self._table, "pandas")

    def to_polars(self) -> Any:
        """Return a polars.DataFrame; needs polars."""
        return to_frame(self._table, "polars")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[Row]:
        for batch in self._table.to_batches(1024):
            yield from batch.to_pylist()

    def __repr__(self) -> str:
        return f"<Items: {len(self)} pictures; columns {', '.join(self._table.column_names)}>"

    def _repr_html_(self) -> str:
        return notebook.items(self._table)


class OpenIndex:
    """An index file, or several as one, open for reading. It keeps reading the same data even if a build replaces them.

    Use it as a context manager, or call `close`.

    Parameters
    ----------
    path : path-like, or sequence of path-like
    roots : mapping of str to path-like, optional
    """

    def __init__(self, path: Named, roots: Mapping[str, str | os.PathLike[str]] | None = None):
        self._index = open_index(path, roots)

    @property
    def path(self) -> Path | Url:
        """Path of the file; of several files, what messages call them."""
        return self._index.path

    @property
    def files(self) -> str | tuple[str, ...]:
        """Path of the file, as results name it; of several files, a tuple of their paths."""
        return self._index.files

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about several files that are read as one, in sentences; else empty."""
        return self._index.notes

    @property
    def encoder(self) -> EncoderInfo:
        """The encoder of the vectors: model, weights, preprocessing and precision."""
        return self._index.encoder

    @property
    def root_digest(self) -> str:
        """SHA-256 over the entire content of the index; of several files, the digest that chains theirs (FORMAT.md)."""
        return self._index.root_digest

    @property
    def artists(self) -> tuple[str, ...]:
        """Names of all artists, including placebo names, ordered by number."""
        return self._index.artists

    @property
    def collections(self) -> tuple[Collection, ...]:
        """The sets of pictures: name, kind (works, imitations, control, background) and generator."""
        return self._index.collections

    @property
    def vectors(self) -> npt.NDArray[np.float16]:
        """Unit vectors, shape (n, d), float16; a read-only memory map of the file.

        Of several files, an array-like that maps them (`imindex.indexer.store.joined_vectors`): index it, or copy all
        by `numpy.asarray`.
        """
        return self._index.vectors

    @property
    def is_demonstration(self) -> bool:
        """Whether the encoder is for demonstration only, so that nothing computed from the index is evidence."""
        from imindex.indexer.demo.recognise import is_demonstration

        return is_demonstration(self._index.encoder.weights_sha256)

    @property
    def approximate(self) -> str:
        """Kind of the approximate index in the file; empty if there is none."""
        kind = str(self._index.ann().get("kind", ""))
        return "" if kind.startswith("exact") else kind

    @property
    def items(self) -> Items:
        """The pictures as a table."""
        return Items(item_table(self._index))

    def __len__(self) -> int:
        return self._index.n

    def query(  # noqa: PLR0913
        self,
        *pictures: str | os.PathLike[str],
        texts: Sequence[str] = (),
        k: int = 10,
        collections: Sequence[str] = (),
        artists: Sequence[str] = (),
        confidence_level: float = 0.95,
        exact: bool = False,
        encoder: Mapping[str, Any] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        workers: Workers = HERE,
        csls: bool = False,
        csls_k: int = CSLS_K,
        whiten: bool = False,
    ) -> QueryResult:
        """Find the nearest pictures and artists of pictures and texts; see `imindex.retrieval.search.query.ask`.

        Parameters
        ----------
        *pictures : path-like
            Paths, or URLs.
        texts : sequence of str
        k : int
            Number of neighbours of each kind.
        collections, artists : sequence of str
            Search only these.
        confidence_level : float
            Confidence level of the set of artists among whose works a picture does not stand out.
        exact : bool
            Search exactly, even if the file holds an approximate index.
        encoder : mapping, optional
            ``model``, ``pretrained``, ``device``: current location of the index's encoder, and the device to run it on.
            ``trust``: load the encoder that the index names, even if it is a folder, a file or a repository.
        limits : Limits
            Pictures that exceed these limits are rejected.
        workers : Workers
            Where to compute: alone, in several processes, or on a Ray cluster. Results do not depend on it.
        csls : bool
            Correct for hubs with CSLS over `csls_k` neighbours. Not with workers.
        csls_k : int
            Number of neighbours.
        whiten : bool
            Whiten all vectors by what is learnt on the works of the index (`imindex.stats.whitening`). For pictures,
            without workers.

        Returns
        -------
        QueryResult
            Pictures that cannot be read are in `rejects`, with the reason, and have no answer in `queries`, which is
            empty if no picture could be read and there are no texts.

        Raises
        ------
        ImindexError
            If a collection or artist does not exist, or the encoder is missing or is not that of the index.
        """
        with started(self._index, workers) as calls:
            return ask(
                self._index,
                [name_by_user(os.fspath(picture)) for picture in pictures],
                several(texts, "texts"),
                k=k,
                collections=several(collections, "collections"),
                artists=several(artists, "artists"),
                confidence_level=confidence_level,
                encoder=encoder,
                exact=exact,
                limits=limits,
                search=None if calls is None else functools.partial(nearest_by_workers, calls),
                csls=csls,
                csls_k=csls_k,
                whiten=whiten,
            )

    def prepared(self, *, device: str = "cpu") -> Prepared:
        """Return what answers many queries by vectors, rows of the index and pictures, from several threads at a time.

        `query` reads the columns of the index and compares its works with each other for each call; this object does so
        once.

        Parameters
        ----------
        device : str
            Where exact search runs.

        Returns
        -------
        Prepared
            See `imindex.retrieval.search.prepared`. It is valid as long as the index is open.
        """
        return Prepared(self._index, device)

    def classify(  # noqa: PLR0913
        self,
        release: str | None = None,
        *,
        by: str = "auto",
        artists: Sequence[str] | None = None,
        labels: Sequence[str] = GENERIC_LABELS,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        k: int = 15,
        testing: Testing | None = Testing(),  # noqa: B008 - frozen
        encoder: Mapping[str, Any] | None = None,
        workers: Workers = HERE,
        csls: bool = False,
        csls_k: int = CSLS_K,
        whiten: bool = False,
    ) -> Classification:
        """Classify each imitation of a release by artist; see `imindex.retrieval.evidence.classify_release`.

        Parameters
        ----------
        release : str, optional
            Name of the collection; required if there are several releases.
        by : {"auto", "name", "works"}
            Compare pictures with the texts of the artists' names, or with the artists' works. "auto" is "name", or
            "works" if the encoder has no text side; `by` of the result says which.
        artists : sequence of str, optional
            Classify only the pictures of these artists.
        labels : sequence of str
            Generic labels, which are candidates besides the artists.
        templates : sequence of str
            Prompt templates for the names; their text vectors are averaged.
        k : int
            Number of works that vote, with ``by="works"``.
        testing : Testing or None
            Settings of the tests; None skips them.
        encoder : mapping, optional
            As in `query`.
        workers : Workers
            Where to compute: alone, in several processes, or on a Ray cluster. Results do not depend on it.
        csls : bool
            Correct for hubs with CSLS over `csls_k` neighbours. By works only.
        csls_k : int
            Number of neighbours.
        whiten : bool
            Whiten all vectors by what is learnt on the works of the index (`imindex.stats.whitening`). By works only.

        Returns
        -------
        Classification
        """
        if artists is not None:
            artists = several(artists, "artists")
            artist_mask(self._index, artists)  # refuses an artist that the index does not have
        require_intact(self._index)
        with started(self._index, workers) as calls:
            return classify_release(
                self._index,
                release,
                artists=artists,
                by=by,
                labels=several(labels, "labels"),
                templates=_templates(templates),
                k=k,
                encoder=encoder,
                testing=testing,
                calls=calls,
                csls=csls,
                csls_k=csls_k,
                whiten=whiten,
            )

    def classifier(
        self,
        encoder: Encoder | Mapping[str, Any] | None = None,
        *,
        by: str = "auto",
        artists: Sequence[str] = (),
        labels: Sequence[str] = GENERIC_LABELS,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        k: int = 15,
        prepared: Prepared | None = None,
    ) -> PictureClassifier:
        """Return what classifies pictures that need not be in the index; it computes text vectors and prototypes once.

        Parameters
        ----------
        encoder : Encoder or mapping, optional
            A loaded encoder, which must be that of the index; or where it is, as in `query`. It is loaded unless ``by``
            is "works".
        by : {"auto", "name", "works"}
            Compare pictures with the texts of the artists' names, with the artists' works, or with both as far as the
            encoder has a text side and the index has works.
        artists : sequence of str
            Candidates; by default the artists with works.
        labels : sequence of str
            Generic labels, which are candidates besides the artists, by name.
        templates : sequence of str
            Prompt templates for the names; their text vectors are averaged.
        k : int
            Number of works that vote.
        prepared : Prepared, optional
            By default a new one.

        Returns
        -------
        PictureClassifier
            See `imindex.retrieval.evidence.classify_pictures`. Its `classify` takes `Queries`, from several threads.

        Raises
        ------
        ImindexError
            If an artist does not exist, the encoder is missing or is not that of the index, or there is nothing to
            classify by.
        """
        return PictureClassifier(
            self.prepared() if prepared is None else prepared,
            None if by == "works" else self._loaded(encoder),
            by=by,
            artists=several(artists, "artists"),
            labels=several(labels, "labels"),
            templates=_templates(templates),
            k=k,
        )

    def classify_pictures(  # noqa: PLR0913
        self,
        *pictures: str | os.PathLike[str],
        by: str = "auto",
        artists: Sequence[str] = (),
        labels: Sequence[str] = GENERIC_LABELS,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        k: int = 15,
        top: int = 10,
        encoder: Mapping[str, Any] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> PictureClassification:
        """Classify pictures that need not be in the index by artist, by name and by works.

        Parameters
        ----------
        *pictures : path-like
            Paths, or URLs. Works with the bytes of a picture are left out for it.
        by, artists, labels, templates, k
            As in `classifier`.
        top : int
            Number of labels to list for each picture and method.
        encoder, limits
            As in `query`.

        Returns
        -------
        PictureClassification
            For each picture the nearest labels by name, by prototype and by vote of the nearest works. The nearest
            label is not the author: a picture by somebody else has a nearest label, too.

        Raises
        ------
        ImindexError
            As in `classifier`.
        """
        loaded = self._loaded(encoder)
        classifier = self.classifier(
            Encoder(loaded), by=by, artists=artists, labels=labels, templates=templates, k=k
        )
        names = [name_by_user(os.fspath(picture)) for picture in pictures]
        return classifier.classify(encode_queries(loaded, names, (), limits), top=top)

    def classify_vectors(  # noqa: PLR0913
        self,
        vectors: npt.ArrayLike,
        names: Sequence[str],
        digests: Sequence[bytes],
        *,
        by: str = "auto",
        artists: Sequence[str] = (),
        labels: Sequence[str] = GENERIC_LABELS,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        k: int = 15,
        top: int = 10,
        encoder: Encoder | Mapping[str, Any] | None = None,
    ) -> PictureClassification:
        """Classify pictures whose vectors are known; see `classify_pictures`.

        Parameters
        ----------
        vectors : array_like, shape (n, d), float16
            Unit vectors of the encoder of the index.
        names : sequence of str
            What the result calls the pictures.
        digests : sequence of bytes
            SHA-256 of the bytes of each picture; empty if it is unknown.
        by, artists, labels, templates, k, encoder
            As in `classifier`.
        top : int
            Number of labels to list for each picture and method.

        Returns
        -------
        PictureClassification
        """
        classifier = self.classifier(encoder, by=by, artists=artists, labels=labels, templates=templates, k=k)
        return classifier.classify(Queries(tuple(names), np.asarray(vectors), tuple(digests)), top=top)

    def _loaded(self, encoder: Encoder | Mapping[str, Any] | None) -> Any:
        """Return the encoder of the index, which is loaded unless it is passed."""
        if isinstance(encoder, Encoder):
            from imindex.indexer.encoders.registry import require_same

            require_same(self._index.encoder, encoder.info)
            return encoder._encoder
        from imindex.indexer.encoders.load import load_with

        return load_with(self._index.encoder, encoder or {})

    def match(  # noqa: PLR0913
        self,
        release: str | None = None,
        *,
        csls: bool = False,
        csls_k: int = CSLS_K,
        whiten: bool = False,
        recall_at: Sequence[int] = (1, 5, 10, 50),
        ranks_file: str | os.PathLike[str] | None = None,
        matrix: bool = True,
        testing: Testing | None = Testing(),  # noqa: B008 - frozen
        background: int = BACKGROUND,
        workers: Workers = HERE,
    ) -> Matching:
        """Rank all imitations of a release for each work; see `imindex.retrieval.evidence.match_release`.

        Parameters
        ----------
        release : str, optional
            Name of the collection; required if there are several releases.
        csls : bool
            Correct for hubs with CSLS over `csls_k` neighbours.
        whiten : bool
            Whiten all vectors by what is learnt on the works of the index (`imindex.stats.whitening`). Not with several
            workers.
        recall_at : sequence of int
            Values of k for recall@k.
        ranks_file : path-like, optional
            Write the rank of every imitation for every work to this .npz file.
        matrix : bool
            Also compute the AUC of each artist's imitations by every other artist's works.
        testing : Testing or None
            Settings of the tests; None skips them.
        background : int
            Most works by artists that no release was asked for, with which works are compared. `testing` replaces it.
        workers : Workers
            Where to compute: alone, in several processes, or on a Ray cluster. Results do not depend on it.

        Returns
        -------
        Matching
        """
        require_intact(self._index)
        # Alone, this process holds the imitations twice; in pieces it can do what has no tests and no matrix.
        alone = (
            0
            if whiten or matrix or testing is not None or ranks_file is not None
            else 4 * self._index.vectors.size
        )
        with started(self._index, workers, bytes_alone=alone) as calls:
            return match_release(
                self._index,
                release,
                csls=csls,
                csls_k=csls_k,
                whiten=whiten,
                recall_at=recall_at,
                ranks_file=None if ranks_file is None else Path(ranks_file),
                testing=testing,
                matrix=matrix,
                background=background,
                calls=calls,
            )

    def compare(self, base: str, new: str, **options: Any) -> GatedComparison:
        """Compare two releases of this index.

        Parameters
        ----------
        base, new : str
            Names of collections of this index.
        **options
            As in `imindex.compare`, without `index`.
        """
        if "index" in options:
            raise ImindexError("index: the releases are those of this index. Use imindex.compare for others.")
        return compare(base, new, index=self._index, **options)

    def thumbnails(self, paths: Sequence[str]) -> Thumbnails:
        """Return what reads thumbnails of pictures of the index, each only if its bytes are those that were indexed.

        Parameters
        ----------
        paths : sequence of str
            As the index stores them.

        Returns
        -------
        Thumbnails
            See `imindex.retrieval.report.thumbnails`.
        """
        from imindex.retrieval.report.thumbnails import Thumbnails, recorded_digests

        return Thumbnails(self._index.places(), len(paths), recorded_digests(self._index, paths))

    def write_report(
        self,
        result: Matching | Classification,
        file: str | os.PathLike[str],
        *,
        pictures: bool = True,
        command: str = "",
    ) -> None:
        """Write an HTML page of a result of `match` or `classify`: the report of an audit without what an audit knows.

        Parameters
        ----------
        result : Matching or Classification
            Computed from this index.
        file : path-like
            Replaced if it exists.
        pictures : bool
            Show works beside their nearest imitations; their files must be where they were encoded.
        command : str
            The command line, for the page.
        """
        from imindex.retrieval.report.index_report import write_index_report

        write_index_report(self._index, result, Path(file), pictures=pictures, command=command)

    def projection(
        self,
        *,
        method: Literal["umap", "pca"] | None = None,
        seed: int = 0,
        force: bool = False,
        note: Callable[[str], None] = lambda _: None,
    ) -> Projection:
        """Return the index in two dimensions, to look at; see `imindex.retrieval.projection`.

        It is computed once per content of the index, and kept in a file beside it. No finding is computed from it.

        Parameters
        ----------
        method : {"umap", "pca"}, optional
            By default "umap" where umap-learn is installed (``pip install 'imindex[map]'``), else "pca".
        seed : int
        force : bool
            Compute it even if it is kept.
        note : callable
            Called with what is being done.

        Returns
        -------
        Projection
            `xy`, a point per row, and how it was computed.

        Raises
        ------
        ImindexError
            If the method is not installed.
        """
        from imindex.retrieval.projection.stored import projection

        return projection(self._index, method=method, seed=seed, force=force, note=note)

    def export(  # noqa: PLR0913
        self,
        out: str | os.PathLike[str],
        target: Target = "parquet",
        *,
        vectors: bool = True,
        projection: bool = True,
        neighbours: int = 10,
        thumbnails: bool = True,
        side: int = 192,
        collections: Sequence[str] = (),
        artists: Sequence[str] = (),
        pictures_from: Sequence[str | os.PathLike[str]] = (),
        force: bool = False,
        note: Callable[[str], None] = lambda _: None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Exported:
        """Write the index for another program.

        Parameters
        ----------
        out : path-like
            A file; for ``fiftyone`` and ``lance`` a folder.
        target : {"parquet", "embedding-atlas", "fiftyone", "csv", "lance"}
        vectors, projection, thumbnails : bool
            What to include.
        neighbours : int
            Number of neighbours of each row among the exported rows; 0 for none.
        side : int
            Longer side of thumbnails, in pixels.
        collections, artists : sequence of str
            Only these.
        pictures_from : sequence of path-like
            Folders that pictures may be in, besides that of the index and its named roots.
        force : bool
            Replace what is there.
        note, progress : callable
            Called with what is being done, and with the number of rows written since the last call.

        Returns
        -------
        Exported

        Raises
        ------
        ImindexError
            If something is there already, a package is missing, or the index is damaged.
        """
        from imindex.retrieval.export.table import Parts, Table
        from imindex.retrieval.export.targets import TARGETS, Exported, write_target

        one_of(target, TARGETS, "target")
        parts = Parts(
            vectors=vectors,
            projection=projection,
            thumbnails=thumbnails and target != "csv",
            neighbours=neighbours,
            side=side,
            collections=several(collections, "collections"),
            artists=several(artists, "artists"),
        )
        table = Table(self._index, parts, inside=[Path(one) for one in pictures_from], note=note)
        files = write_target(table, target, Path(out), force=force, progress=progress)
        return Exported(self._index.files, len(table), table.n_without_thumbnail, tuple(files))

    def push(self, repository: str, **options: Any) -> Pushed:
        """Upload the index to a dataset repository of a hub, with a card that is generated from it.

        Parameters
        ----------
        repository : str
            OWNER/NAME; created if it does not exist.
        **options
            `license` (required), `title`, `private`, `revision`, `table`, `thumbnails`, `pictures_from`, `message`,
            `dry_run` and `note`, as in `imindex.retrieval.hub.repository.push`.

        Returns
        -------
        Pushed

        Raises
        ------
        ImindexError
            The index is damaged or not one local file, or the hub refuses.
        """
        from imindex.retrieval.hub.repository import push

        return push(self._index, repository, **options)

    def stored_projection(self) -> Projection | None:
        """Return the projection that is kept beside the index; None if it has to be computed."""
        from imindex.retrieval.projection.stored import stored_projection

        return stored_projection(self._index)

    def read_original(self, row: int, inside: Sequence[Path] = ()) -> bytes:
        """Return the bytes of the picture of a row, if they are those that were indexed.

        Parameters
        ----------
        row : int
        inside : sequence of Path
            Folders that pictures may be in, besides the folder of the index and its named roots.

        Raises
        ------
        imindex.indexer.integrity.original.NoOriginal
            The file is missing, elsewhere, or has other bytes.
        """
        from imindex.indexer.integrity.original import read_original

        return read_original(self._index, row, inside, digest=bytes.fromhex(self.sha256_of(row)))

    def sha256_of(self, row: int) -> str:
        """Return the SHA-256 of the file of a row, in hexadecimal digits.

        Raises
        ------
        ImindexError
            If there is no such row.
        """
        if not 0 <= row < len(self):
            raise ImindexError(f"There is no row {row}. The index has {len(self)} rows, from 0.")
        return bytes(self._digests[row]).hex()

    @functools.cached_property
    def _digests(self) -> npt.NDArray[np.uint8]:
        return self._index.column("sha256")

    def encoder_loader(self, encoder: Mapping[str, Any] | None = None) -> Callable[[], Encoder]:
        """Return a function that loads the encoder of the index, and needs the index no more.

        Parameters
        ----------
        encoder : mapping, optional
            As in `query`.

        Returns
        -------
        callable
            It raises ImindexError if the encoder is missing or is not that of the index.
        """
        info = self.encoder

        def load() -> Encoder:
            from imindex.indexer.encoders.load import load_with

            return Encoder(load_with(info, encoder or {}))

        return load

    def close(self) -> None:
        """Close the file. Arrays taken from `vectors` stay valid."""
        self._index.close()

    def __enter__(self) -> OpenIndex:
        self._index.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<imindex index {self.path}: {len(self)} pictures, {len(self.artists)} artists, "
            f"encoder {self.encoder.name()}>"
        )

    def _repr_html_(self) -> str:
        return notebook.index(self._index)


class Encoder:
    """An encoder that is not tied to an index. It encodes pictures and texts as unit vectors.

    Examples
    --------
    >>> encoder = Encoder.load("demo", device="cpu", precision="fp32")
    >>> encoder.encode_texts(["Artwork from Ada Example"]).shape
    (1, 256)
    """

    def __init__(self, encoder: Any):
        self._encoder = encoder

    @classmethod
    def load(  # noqa: PLR0913
        cls,
        model: str = "ViT-B-32",
        pretrained: str | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        color: str = "srgb",
        truncated: str = "reject",
        preprocess_from: str | None = None,
    ) -> Encoder:
        """Load an encoder; see `imindex.indexer.encoders.load.load` for the names and settings.

        Raises
        ------
        ImindexError
            If the model is unknown, its weights cannot be found, or the device does not exist.
        """
        from imindex.indexer.encoders.load import load

        loaded = load(
            model,
            pretrained,
            device=device,
            precision=precision,
            batch_size=batch_size,
            color=color,
            truncated=truncated,
            preprocess_from=preprocess_from,
        )
        return cls(loaded)

    @property
    def info(self) -> EncoderInfo:
        """Model, digest of the weights, preprocessing and precision."""
        info: EncoderInfo = self._encoder.info
        return info

    def encode_pictures(
        self,
        pictures: Sequence[str | os.PathLike[str]],
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> npt.NDArray[np.float16]:
        """Encode picture files.

        Parameters
        ----------
        pictures : sequence of path-like
        limits : Limits

        Returns
        -------
        ndarray, shape (n, d), float16
            Unit vectors, in the order of `pictures`.

        Raises
        ------
        ImindexError
            If a picture cannot be read; the message names it.
        """
        import torch

        from imindex.indexer.decode.pool import picture_of
        from imindex.indexer.sources.read import read_bytes

        vectors, pictures = [], several(pictures, "pictures")
        for start in range(0, len(pictures), self._encoder.batch_size):
            pixels = []
            for picture in pictures[start : start + self._encoder.batch_size]:
                try:
                    data = read_bytes(name_by_user(os.fspath(picture)))
                    pixels.append(picture_of(data, self._encoder.preprocess, limits).pixels)
                except (OSError, BadPicture) as error:
                    raise ImindexError(f"{os.fspath(picture)} cannot be encoded: {error}.") from error
            vectors.append(self._encoder.encode_images(torch.stack(pixels)))
        if not vectors:
            return np.empty((0, self._encoder.dim), np.float16)
        return np.concatenate(vectors)

    @property
    def has_text(self) -> bool:
        """Whether texts can be encoded."""
        return bool(self._encoder.has_text)

    def decode(self, data: bytes, limits: Limits = Limits()) -> Any:  # noqa: B008 - frozen
        """Decode the bytes of a picture as a build does, for `encode_decoded`.

        Raises
        ------
        BadPicture
            With the reason.
        """
        from imindex.indexer.decode.pool import picture_of

        return picture_of(data, self._encoder.preprocess, limits).pixels

    def encode_decoded(self, pictures: Sequence[Any]) -> npt.NDArray[np.float16]:
        """Encode what `decode` returned, in one forward pass.

        Returns
        -------
        ndarray, shape (n, d), float16
            Unit vectors. A row is NaN if the encoder has no vector for the picture.
        """
        import torch

        if not pictures:
            return np.empty((0, self._encoder.dim), np.float16)
        vectors: npt.NDArray[np.float16] = self._encoder.encode_images(torch.stack(list(pictures)))
        return vectors

    def cut_texts(self, texts: Sequence[str]) -> dict[int, tuple[int, int]]:
        """Return the texts that are longer than the encoder reads: position -> (tokens, tokens that are read)."""
        from imindex.indexer.encoders.tokens import tokens_of

        tokens = tokens_of(self._encoder, list(texts)) if texts else None
        if tokens is None:
            return {}
        return {
            place: (needed, tokens.limit)
            for place, needed in enumerate(tokens.needed)
            if needed > tokens.limit
        }

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Encode texts. A Python warning counts those of which the end is not read, because they are too long.

        Returns
        -------
        ndarray, shape (n, d), float16
            Unit vectors.
        """
        from imindex.indexer.encoders.tokens import cut_note, tokens_of

        listed = list(several(texts, "texts"))
        vectors: npt.NDArray[np.float16] = self._encoder.encode_texts(listed)
        tokens = tokens_of(self._encoder, listed)
        if tokens and tokens.n_cut:
            warnings.warn(cut_note(self.info.name(), tokens, "texts"), stacklevel=2)
        return vectors

    def __repr__(self) -> str:
        return f"<imindex encoder {self.info.name()}>"
