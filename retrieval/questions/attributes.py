"""Which style attributes carry the match? Palette, line, texture and composition, measured and asked by words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from imindex.retrieval.attributes.catalogue import ATTRIBUTES, BY_KEY, GROUPS, KEYS
from imindex.retrieval.attributes.probes import (
    PROBES,
    directions,
    nonsense_pairs,
    probe_values,
    texts_of,
)
from imindex.retrieval.evidence.picture_attributes import PictureAttributes, picture_attributes
from imindex.retrieval.evidence.prompt_templates import template_labels
from imindex.retrieval.questions.question import Plain
from imindex.retrieval.questions.settings import Attributes
from imindex.retrieval.questions.study import Study
from imindex.retrieval.questions.wording import listed, percent
from imindex.retrieval.results.questions import (
    ArtistAttribute,
    AttributeProbe,
    AttributesAnswer,
    AttributesOfArtist,
    CarriedShare,
)
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.select import Pictures
from imindex.stats.attributes import (
    OK,
    AttributeTest,
    CalledAttributes,
    Carried,
    Distinctive,
    KnownProbes,
    attribute_test,
    call_attributes,
    carried,
    carried_overall,
    distinctive,
    known_probes,
)
from imindex.stats.keyed import generator, generators
from imindex.stats.multiple import called
from imindex.stats.references import references_needed

OTHERS = 1_000
"""Most works by artists who are not tested that are measured; of more, a sample is drawn by the audit's seed."""
FEWEST_SETS = 4
"""Placebo names below which no share of the match is estimated."""
PROBE = "probe:"
GROUP = np.array([GROUPS.index(attribute.group) for attribute in ATTRIBUTES])


class _Attributes(Plain):
    key, answered = "attributes", AttributesAnswer

    def answer(self, study: Study, settings: Attributes) -> AttributesAnswer:
        """Measure works and pictures, test each attribute of each artist, and split the match by groups."""
        data = _Data.of(study)
        asked, known = _probes(study, data, settings)
        works = np.concatenate([data.works.values, asked.works], axis=1)
        values = np.concatenate([data.pictures.values, asked.pictures], axis=1)
        keys = (*KEYS, *(f"{PROBE}{key}" for key in asked.keys))
        told = distinctive(
            works,
            data.work_artist,
            len(study.shared.index.artists),
            cluster=data.work_cluster,
            artists=[number for number in data.numbers if number >= 0 and (data.work_artist == number).any()],
        )
        centre, p_told = _rows_of(told.mean, data.numbers), _rows_of(told.pvalue, data.numbers)
        test = attribute_test(
            centre,
            values,
            data.name,
            artists=np.arange(len(study.tested)),
            placebos=np.arange(len(study.tested), len(data.names)),
            template=data.template,
            tested=called(np.nan_to_num(p_told, nan=1.0).ravel(), level=study.testing.level).reshape(
                p_told.shape
            ),
            within=settings.within,
            rng=generators(study.testing.seed, "attributes", data.names),
        )
        calls = call_attributes(test.adjusted, level=study.testing.level)
        shares = {
            artist: _carried(study, data, centre, told.spread, artist)
            for artist in study.judged
            if artist in study.tested
        }
        rows = [
            _artist(study, data, keys, told, (test, calls), shares.get(artist), place)
            for place, artist in enumerate(study.tested)
        ]
        split = [one for one in shares.values() if one]
        overall = _overall(split, study.testing.confidence_level)
        auc = float(np.mean([one.auc for one in split])) if split else None
        probes = _probe_rows(known, data)
        outside = [artist for artist, one in shares.items() if one and not one.supported.all()]
        unread = (*data.works.unread, *data.pictures.unread)
        return AttributesAnswer(
            release=study.release,
            encoder=study.encoder,
            statement=_statement(rows, overall, auc),
            notes=tuple(_notes(study, data, rows, probes, (unread, outside))),
            within=settings.within,
            level=study.testing.level,
            confidence_level=study.testing.confidence_level,
            level_within=calls.level,
            side=data.pictures.side,
            n_unread=len(unread),
            has_text=asked.has_text,
            carried=overall,
            auc=auc,
            probes=probes,
            artists=tuple(rows),
        )


@dataclass(frozen=True, eq=False)
class _Data:
    """Measured works and pictures.

    Names are numbered: the artists of the plan first, then the placebo names. `numbers` are the artists' numbers in the
    index.
    """

    works: PictureAttributes
    work_vectors: Float16
    work_artist: Int64
    work_cluster: Int64
    n_works_left_out: int
    pictures: PictureAttributes
    picture_vectors: Float16
    name: Int64
    template: Int64
    names: tuple[str, ...]
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, study: Study) -> _Data:
        """Read and measure the pictures of a release, and the works, at one working size."""
        shared, names = study.shared, (*study.tested, *study.placebos)
        numbers = tuple(study.number(artist) for artist in study.tested)
        known = shared.known
        chosen = np.flatnonzero(np.isin(known.artist, numbers))
        others = shared.compared(study.testing).rows
        others = others[~np.isin(others, chosen)]
        left_out = max(0, len(others) - OTHERS)
        if left_out:
            drawn = generator(study.testing.seed, "works by others, attributes").permutation(len(others))
            others = np.sort(others[drawn[:OTHERS]])
        chosen = np.sort(np.concatenate([chosen, others]))
        made = study.imitations().of(names)
        every = picture_attributes(shared.index, np.concatenate([known.rows[chosen], made.rows]))
        works, pictures = _split(every, len(chosen))
        place = {name: number for number, name in enumerate(names)}
        artist = np.array([study.number(name) for name in made.names], np.int64)
        template = template_labels(shared.index, Pictures(made.rows, made.vectors, artist))
        read = chosen[works.places]
        return cls(
            works=works,
            work_vectors=known.vectors[read],
            work_artist=known.artist[read],
            work_cluster=shared.clusters(study.testing)[read],
            n_works_left_out=left_out,
            pictures=pictures,
            picture_vectors=made.vectors[pictures.places],
            name=np.array([place[made.names[i]] for i in pictures.places.tolist()], np.int64),
            template=template[pictures.places],
            names=names,
            numbers=numbers,
        )


def _split(every: PictureAttributes, n: int) -> tuple[PictureAttributes, PictureAttributes]:
    """Split the attributes of n works and of the pictures after them."""
    first = every.places < n
    n_unread = n - int(np.count_nonzero(first))
    return (
        PictureAttributes(every.places[first], every.values[first], every.unread[:n_unread], every.side),
        PictureAttributes(
            every.places[~first] - n, every.values[~first], every.unread[n_unread:], every.side
        ),
    )


def _rows_of(table: Float64, numbers: tuple[int, ...]) -> Float64:
    """Return the rows of artists by their numbers in the index; NaN for those that are not there."""
    out = np.full((len(numbers), table.shape[1]), np.nan)
    for place, number in enumerate(numbers):
        if number >= 0:
            out[place] = table[number]
    return out


@dataclass(frozen=True, eq=False)
class _Asked:
    """Values of the probes that the encoder knows."""

    has_text: bool
    keys: tuple[str, ...]
    works: Float64
    pictures: Float64


def _probes(study: Study, data: _Data, settings: Attributes) -> tuple[_Asked, KnownProbes | None]:
    """Ask the encoder by words, and keep the probes whose words it knows on the works at hand."""
    none = _Asked(False, (), np.empty((len(data.work_vectors), 0)), np.empty((len(data.name), 0)))
    texts = study.texts
    if not settings.probes or texts is None or not texts.has_text:
        return none, None
    if len(data.work_vectors) < 3:
        return _Asked(True, (), none.works, none.pictures), None
    asked, other = [probe.pairs for probe in PROBES], nonsense_pairs()
    vectors = texts.encode_texts(texts_of([*asked, *other]))
    along = directions(vectors, len(asked) + len(other))
    of_works = probe_values(data.work_vectors, along)
    columns = [KEYS.index(probe.key) for probe in PROBES]
    known = known_probes(
        of_works[:, : len(asked)],
        data.works.values[:, columns],
        of_works[:, len(asked) :],
        level=study.testing.level,
    )
    kept = np.flatnonzero(known.known)
    of_pictures = probe_values(data.picture_vectors, along[kept])
    return (
        _Asked(
            True,
            tuple(PROBES[j].key for j in kept.tolist()),
            of_works[:, kept].mean(axis=2),
            of_pictures.mean(axis=2),
        ),
        known,
    )


def _probe_rows(known: KnownProbes | None, data: _Data) -> tuple[AttributeProbe, ...]:
    if known is None:
        return ()
    return tuple(
        AttributeProbe(
            key=probe.key,
            words=" / ".join(f"{low} or {high}" for low, high in probe.pairs),
            known=bool(known.known[j]),
            agreement=float(known.agreement[j]),
            p_agreement=float(known.agreement_pvalue[j]),
            reliability=float(known.reliability[j]),
            p_reliability=float(known.reliability_pvalue[j]),
        )
        for j, probe in enumerate(PROBES)
    )


def _carried(study: Study, data: _Data, centre: Float64, spread: Float64, artist: str) -> Carried | None:
    """Split the match by the encoder's score; None if there is too little to do so."""
    place, k = study.tested.index(artist), len(KEYS)
    n_sets = len(np.unique(data.name[data.name >= len(study.tested)]))
    if not (data.name == place).any() or n_sets < FEWEST_SETS or np.isnan(centre[place, :k]).any():
        return None
    scale = np.where(spread[:k] > 0, spread[:k], 1.0)
    try:
        return carried(
            study.scores(data.picture_vectors, artist),
            np.abs(data.pictures.values - centre[place, :k]) / scale,
            GROUP,
            data.name,
            artist=place,
            placebos=np.arange(len(study.tested), len(data.names)),
            template=data.template,
            confidence_level=study.testing.confidence_level,
            rng=generators(study.testing.seed, "attributes", data.names),
        )
    except ValueError:  # too few placebo names have the artist's templates
        return None


def _overall(shares: list[Carried], confidence_level: float) -> tuple[CarriedShare, ...]:
    if not shares:
        return ()
    rows = []
    for g, group in enumerate((*GROUPS, "all")):
        known = [one for one in shares if one.supported[g]]
        excess = [one.excess for one in known]
        parts = [one.together if group == "all" else float(one.alone[g]) for one in known]
        found = carried_overall(parts, excess, confidence_level=confidence_level)
        last = None if group == "all" else _number(
            carried_overall([float(one.last[g]) for one in known], excess, confidence_level=confidence_level).share
        )  # fmt: skip
        rows.append(
            CarriedShare(
                group=group,
                share=_number(found.share),
                low=_number(found.low),
                high=_number(found.high),
                last=last,
                auc_alone=float(np.mean([one.auc_alone[g] for one in shares])),
            )
        )
    return tuple(rows)


def _artist(
    study: Study,
    data: _Data,
    keys: tuple[str, ...],
    told: Distinctive,
    tested: tuple[AttributeTest, CalledAttributes],
    share: Carried | None,
    place: int,
) -> AttributesOfArtist:
    (test, calls), number = tested, data.numbers[place]

    def of_works(table: Float64, k: int) -> float | None:
        return _number(table[number, k]) if number >= 0 else None

    attributes = tuple(
        ArtistAttribute(
            key=key,
            works=of_works(told.mean, k),
            others=of_works(told.others, k),
            auc=of_works(told.auc, k),
            p_distinctive=of_works(told.pvalue, k),
            own=_number(test.own[place, k]),
            placebo=_number(test.placebo[place, k]),
            placebo_low=_number(test.placebo_low[place, k]),
            placebo_high=_number(test.placebo_high[place, k]),
            p=_number(test.pvalue[place, k]),
            p_adjusted=_number(test.adjusted[place, k]),
            found=bool(calls.called[place, k]),
        )
        for k, key in enumerate(keys)
    )
    status = test.status[place]
    if status == OK and np.isnan(test.pvalue[place]).all():
        status = "no attribute tells the works"
    return AttributesOfArtist(
        artist=study.tested[place],
        status=status,
        n_works=int((data.work_artist == number).sum()) if number >= 0 else 0,
        n_pictures=int((data.name == place).sum()),
        n_placebos=int(test.n_reference[place]),
        n_distinctive=int(np.isfinite(test.pvalue[place]).sum()),
        n_found=int(calls.called[place].sum()),
        p=_number(calls.pvalue[place]),
        p_adjusted=_number(calls.adjusted[place]),
        auc=share.auc if share else None,
        carried=_carried_rows(share) if share else (),
        attributes=attributes,
    )


def _carried_rows(share: Carried) -> tuple[CarriedShare, ...]:
    last = [*share.last, np.nan]
    return tuple(
        CarriedShare(
            group=group,
            share=_number(share.share[g]),
            low=_number(share.share_low[g]),
            high=_number(share.share_high[g]),
            last=_number(last[g] / share.excess) if np.isfinite(share.share[g]) else None,
            auc_alone=float(share.auc_alone[g]),
            auc_without=float(share.auc_without[g]) if share.supported[g] else None,
        )
        for g, group in enumerate((*GROUPS, "all"))
    )


def title_of(key: str) -> str:
    """Return the title of an attribute or a probe.

    Examples
    --------
    >>> title_of("chroma"), title_of("probe:chroma")
    ('Chroma', 'Chroma, by words')
    """
    bare = key.removeprefix(PROBE)
    return BY_KEY[bare].title + (", by words" if key != bare else "")


def _statement(rows: list[AttributesOfArtist], overall: tuple[CarriedShare, ...], auc: float | None) -> str:
    tested = [row for row in rows if row.p is not None]
    if not tested:
        reasons = sorted({row.status for row in rows})
        return f"This cannot be answered: {listed(reasons)}."
    found = [row for row in tested if row.n_found]
    if not found:
        text = (
            f"No artist’s pictures were shown to come nearer to the works in any attribute than pictures of invented "
            f"names do ({len(tested)} tested)."
        )
    else:
        groups = Counter(
            group for row in found for group in {_group(one.key) for one in row.attributes if one.found}
        )
        counts = [f"{group} ({n})" for group, n in groups.most_common()]
        verb = "comes" if len(found) == 1 else "come"
        text = (
            f"For {len(found)} of {len(tested)} artists, the pictures of the name {verb} nearer to the works in some "
            f"attribute than pictures of invented names: {listed(counts)}."
        )
    if auc is not None:
        alone = sorted(
            (one for one in overall if one.group != "all"), key=lambda one: -(one.auc_alone or 0.0)
        )
        text += (
            f" The encoder tells the pictures of the names from those of invented names with a mean AUC of {auc:.2f}; "
            f"by nearness to the works in one group of attributes alone it is "
            f"{listed([f'{one.auc_alone or 0.0:.2f} by {one.group}' for one in alone])}."
        )
    whole = next((one for one in overall if one.group == "all"), None)
    if whole is not None and whole.share is not None:
        parts = [one for one in overall if one.group != "all" and one.share is not None]
        most = max(parts, key=lambda one: one.share or 0.0, default=None)
        with_most = f", most with {most.group}" if most else ""
        text += (
            f" Over artists, {_percent(whole.share)} of the match by the encoder goes along with the measured "
            f"attributes ({_percent(whole.low)} to {_percent(whole.high)}){with_most}."
        )
    return text


def _group(key: str) -> str:
    return BY_KEY[key.removeprefix(PROBE)].group


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share)


def _notes(
    study: Study,
    data: _Data,
    rows: list[AttributesOfArtist],
    probes: tuple[AttributeProbe, ...],
    named: tuple[tuple[str, ...], list[str]],
) -> list[str]:
    """Say what limits the answer. `named`: pictures that were not read, and artists without a share of some group."""
    (unread, outside), notes = named, []
    if unread:
        n, verb = ("1 picture", "is") if len(unread) == 1 else (f"{len(unread):,} pictures", "are")
        notes.append(
            f"{n} could not be read any more and {verb} left out: {listed(unread, 3)}. Put back the files that the "
            "index lists."
        )
    n_placebos = max((row.n_placebos for row in rows), default=0)
    if n_placebos and 1 / (1 + n_placebos) > study.testing.level:
        notes.append(
            f"With {n_placebos} invented names no p-value is at or below the level: "
            f"{references_needed(study.testing.level)} are needed."
        )
    missing = [row.artist for row in rows if row.status != OK]
    if missing:
        reasons = sorted({row.status for row in rows if row.status != OK})
        notes.append(f"Not tested: {listed(missing)} ({listed(reasons)}).")
    if outside:
        notes.append(
            f"The pictures for {listed(outside)} are, in some attribute, unlike any picture of an invented name. How "
            "the encoder’s score depends on it can then not be learned from these, so shares of that group are neither "
            "stated nor counted."
        )
    if data.n_works_left_out:
        notes.append(
            f"Of works by other artists, {OTHERS:,} were drawn; {data.n_works_left_out:,} were not measured."
        )
    if data.pictures.side < 128:
        notes.append(
            f"The smallest picture limits all to the area of {data.pictures.side} x {data.pictures.side} pixels: finer "
            "texture is not measured."
        )
    unknown = [title_of(probe.key).lower() for probe in probes if not probe.known]
    if unknown:
        notes.append(
            f"Words for {listed(unknown, 12)} are not known to this encoder on the works at hand, and were not tested."
        )
    return notes


def _number(value: float | np.floating | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


QUESTION = _Attributes()
