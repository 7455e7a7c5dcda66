"""The pictures of a finished audit that a panel can show: works, imitations and placebo pictures of one release."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.finished import read_audit
from imindex.retrieval.evidence.prompt_templates import UNKNOWN, template_labels, template_of
from imindex.retrieval.results import EncoderRecord, ReleaseRecord, Report, ReportResult
from imindex.retrieval.vectors.blocks import Float64
from imindex.retrieval.vectors.select import Pictures, pictures

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Candidate:
    """A picture of the audit.

    Attributes
    ----------
    name : str
        Name in the prompt, or the artist.
    path : str
        Relative to the folder of the audit.
    sha256 : str
        Digest of its bytes, hexadecimal.
    template : int
        Number of the template of its prompt; -1 if unknown, and for works.
    row : int
        Row of the index.
    """

    name: str
    path: str
    sha256: str
    template: int
    row: int


@dataclass(frozen=True, eq=False)
class Pool:
    """The pictures that a panel can draw from.

    Attributes
    ----------
    report : str
        Digest of the report.
    release, encoder : str
    indexes : tuple of str
        Index files of the audit.
    works, imitations, placebos : mapping of str to tuple of Candidate
        By artist, tested artist and placebo name. Each file is listed once, and an imitation with the bytes of a work
        is not.
    templates : tuple of str
        By number.
    auc : mapping of str to float or None
        Of the tested artists.
    vectors : ndarray, shape (n, d), float64
    at : mapping of int to int
        Place of each row of the index in `vectors`.
    """

    report: str
    release: str
    encoder: str
    indexes: tuple[str, ...]
    works: Mapping[str, tuple[Candidate, ...]]
    imitations: Mapping[str, tuple[Candidate, ...]]
    placebos: Mapping[str, tuple[Candidate, ...]]
    templates: tuple[str, ...]
    auc: Mapping[str, float | None]
    vectors: Float64
    at: Mapping[int, int]

    def cosines(self, works: Sequence[Candidate], picture: Candidate) -> Float64:
        """Return the cosines of a picture with works, shape (len(works),)."""
        rows = [self.at[work.row] for work in works]
        out: Float64 = self.vectors[rows] @ self.vectors[self.at[picture.row]]
        return out

    def nearer(self, works: Sequence[Candidate], a: Candidate, b: Candidate) -> float:
        """Return the share of works to which picture a is nearer than picture b; ties count half.

        This is what the AUC of an audit averages over all pairs of an own imitation and another one.
        """
        difference = self.cosines(works, a) - self.cosines(works, b)
        return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def read_pool(folder: Path, release: str | None = None, encoder: str | None = None) -> Pool:
    """Read the pictures of a release of a finished audit.

    Parameters
    ----------
    folder : Path
        Of the audit.
    release, encoder : str, optional
        By default the only release, and the first encoder.

    Raises
    ------
    ImindexError
        The audit is not finished, or was edited; there is no such release or encoder; or the release has no placebo
        names.
    """
    audit = read_audit(folder)
    if audit.report is None:
        raise ImindexError(
            f"{folder}: {audit.reason} A panel is made from a finished audit: run `imindex audit PLAN`."
        )
    report = audit.report
    chosen = _release(report, release)
    record = _encoder(report, encoder)
    result = next(one for one in report.results if (one.release, one.encoder) == (chosen.name, record.name))
    with Index(folder / Path(record.index).name) as index:
        if index.root_digest != record.root_digest:
            raise ImindexError(
                f"{index.path} is not the index of the report: its root digest differs. Run the audit again."
            )
        return _read(index, report, chosen, record, result)


def _read(
    index: Index, report: Report, release: ReleaseRecord, record: EncoderRecord, result: ReportResult
) -> Pool:
    tested = [one.artist for one in result.artists]
    works = pictures(index, "works")
    made = pictures(index, "imitations", collections=[release.name])
    labels = template_labels(index, made)
    arms, prompts = index.column("arm"), index.column("prompt")
    names = [index.artists[number] for number in made.artist.tolist()]
    patterns = _placebo_patterns(report, release.name)
    with_works = {index.artists[number] for number in np.unique(works.artist).tolist()}
    placebos = {
        name
        for name, row in zip(names, made.rows.tolist(), strict=True)
        if arms[row] == "placebo" or (name not in with_works and _fits(name, patterns))
    } - set(tested)
    if len(placebos) < 2:
        raise ImindexError(
            f"{release.name} has {len(placebos)} placebo names. A panel compares an artist's pictures with those of "
            "placebo names: state them in the plan (placebos), and run the audit again."
        )
    of_works = _by_name(index, works, np.full(len(works.rows), UNKNOWN, np.int64), set(tested))
    copied = {one.sha256 for listed in of_works.values() for one in listed}
    of_names = _by_name(index, made, labels, {*tested, *placebos}, without=copied)
    templates: dict[int, str] = {}
    for label, row, name in zip(labels.tolist(), made.rows.tolist(), names, strict=True):
        if label >= 0 and label not in templates:
            templates[label] = (template_of(prompts[row], name) or prompts[row]).replace("\0", "{artist}")
    rows = np.concatenate([works.rows, made.rows])
    return Pool(
        report=report.digest,
        release=release.name,
        encoder=record.name,
        indexes=tuple(one.index for one in report.encoders),
        works=of_works,
        imitations={name: of_names[name] for name in tested if name in of_names},
        placebos={name: of_names[name] for name in sorted(placebos) if name in of_names},
        templates=tuple(templates.get(n, "") for n in range(max(templates, default=-1) + 1)),
        auc={one.artist: one.auc for one in result.artists},
        vectors=np.concatenate([works.vectors, made.vectors]).astype(np.float64),
        at={row: place for place, row in enumerate(rows.tolist())},
    )


def _by_name(
    index: Index, chosen: Pictures, labels: Any, names: set[str], without: set[str] | None = None
) -> dict[str, tuple[Candidate, ...]]:
    """Return pictures by name, each file once under a name."""
    digests, paths = index.column("sha256"), index.column("path")
    found: dict[str, dict[str, Candidate]] = {}
    for row, artist, label in zip(chosen.rows.tolist(), chosen.artist.tolist(), labels.tolist(), strict=True):
        name, digest = index.artists[artist], bytes(digests[row]).hex()
        if name in names and digest not in (without or ()):
            found.setdefault(name, {}).setdefault(digest, Candidate(name, paths[row], digest, label, row))
    return {name: tuple(listed.values()) for name, listed in found.items()}


def _placebo_patterns(report: Report, release: str) -> tuple[str, ...]:
    """Return the patterns of placebo names that the plan states for pictures that were made elsewhere."""
    releases = tomllib.loads(report.plan.text).get("releases", [])
    of_release = [one for one in releases if isinstance(one, dict) and one.get("name") == release]
    return tuple(str(pattern) for one in of_release for pattern in one.get("placebos", ()))


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(spelling, form)
        for pattern in patterns
        for spelling in (name, clean_name(name))
        for form in (pattern, clean_name(pattern))
    )


def _release(report: Report, name: str | None) -> ReleaseRecord:
    listed = ", ".join(one.name for one in report.releases)
    if name is None:
        if len(report.releases) > 1:
            raise ImindexError(f"The audit has several releases: {listed}. Name one with --release.")
        return report.releases[0]
    found = [one for one in report.releases if one.name == name]
    if not found:
        raise ImindexError(f"The audit has no release {name}. It has {listed}.")
    return found[0]


def _encoder(report: Report, name: str | None) -> EncoderRecord:
    found = [one for one in report.encoders if name in (None, one.name)]
    if not found:
        listed = ", ".join(one.name for one in report.encoders)
        raise ImindexError(f"The audit has no encoder {name}. It has {listed}.")
    return found[0]
