"""Compare encoders on the works that all of their indexes have."""

from __future__ import annotations

import hashlib
import itertools
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.bounds import RESAMPLES, SEED
from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import now, program, versions
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.encoders.registry import name_of
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_intact
from imindex.indexer.system.cpu import processors
from imindex.retrieval.protocol.figures import FEWEST_ARTISTS, SET_LEVEL, Figures, figures
from imindex.retrieval.results import (
    ComparedEncoder,
    EncoderComparison,
    EncoderDifference,
    EncoderFigures,
    EncoderRecommendation,
    EncodingSpeed,
    Estimate,
    LeftOut,
    ProtocolArtist,
    ProtocolWorks,
    ReliabilityBin,
    ToldArtist,
)
from imindex.retrieval.vectors.blocks import Float16, Int64
from imindex.retrieval.vectors.near_duplicates import near_duplicates
from imindex.retrieval.vectors.select import pictures
from imindex.stats.duplicates import Links
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust
from imindex.stats.over_artists import difference, interval

PAIRED = get_args(get_type_hints(EncoderDifference)["figure"])
"""The figures whose differences are tested."""
HIGHEST = "map"
RULE = (
    "The encoder with the highest mean average precision of held-out works (averaged by artist first) is recommended, "
    "together with every encoder that is not told apart from it: whose paired difference over the same artists has an "
    "interval that includes 0, or a p-value, adjusted by Holm over all pairs of encoders, above the level. Among "
    "these, the protocol does not choose."
)
"""The rule of recommendation. It is fixed, whatever the figures are."""
KINDS = ("works", "background")
"""The pictures that are compared: works of tested artists and of others."""
PLOT_BINS = 64


@dataclass(frozen=True)
class Encoded:
    """An index of works, and how the comparison names its encoder.

    Attributes
    ----------
    name : str
    index : Path
    speed : EncodingSpeed or None
    """

    name: str
    index: Path
    speed: EncodingSpeed | None = None


@dataclass(frozen=True, eq=False)
class _Held:
    """The works of one index: their vectors, and the position of each by its file's digest and artist."""

    info: EncoderInfo
    root_digest: str
    imitations_present: bool
    vectors: Float16
    positions: Mapping[tuple[str, bytes], int]


def compare_indexes(  # noqa: PLR0913
    encoded: Sequence[Encoded],
    *,
    groups: Mapping[str, str] | None = None,
    k: int = 10,
    confidence_level: float = 0.95,
    level: float = 0.05,
    n_resamples: int = 9999,
    seed: int = 0,
    command: str = "",
    machine: str = "",
    note: Callable[[str], None] = lambda _: None,
) -> EncoderComparison:
    """Compare encoders on the works that all of their indexes have.

    Parameters
    ----------
    encoded : sequence of Encoded
        At least one; their names differ.
    groups : mapping from artist to str, optional
        The group (school) of artists, such as those who are not independent of each other. Groups are then drawn
        instead of artists; an artist that is not listed is a group of its own.
    k : int
        Number of neighbours.
    confidence_level, level : float
        Of the intervals and of the tests.
    n_resamples : int
        Resamples of intervals and tests.
    seed : int
    command, machine : str
        For the record.
    note : callable
        Called with messages.

    Returns
    -------
    EncoderComparison

    Raises
    ------
    ImindexError
        The indexes have no works in common, or too few artists with enough works.
    """
    RESAMPLES.check(n_resamples, "n_resamples")
    SEED.check(seed, "seed")
    twice = [name for name, n in Counter(one.name for one in encoded).items() if n > 1]
    if twice or not encoded:
        raise ImindexError(
            f"The encoder {twice[0]} is listed twice. List it once."
            if twice
            else "There is no encoder to compare. List some with --encoders."
        )
    held = [_hold(one.index) for one in encoded]
    common = sorted(set.intersection(*(set(one.positions) for one in held)))
    every = set.union(*(set(one.positions) for one in held))
    if not common:
        listed = ", ".join(str(one.index) for one in encoded)
        raise ImindexError(
            f"{listed} have no works in common: no picture file, by its SHA-256 and artist, is in all of them. Encode "
            "the same works with each encoder."
        )
    chosen, left_out, n_near, n_together = _choose(held, common)
    keys = [common[position] for position in chosen]
    names = tuple(dict.fromkeys(artist for artist, _ in keys))
    number = {artist: place for place, artist in enumerate(names)}
    artist = np.array([number[name] for name, _ in keys], np.int64)
    if len(names) < FEWEST_ARTISTS:
        raise ImindexError(
            f"{len(names)} artists have at least 2 different works in all indexes, and the protocol needs "
            f"{FEWEST_ARTISTS}. Add works by further artists."
        )
    computed = []
    for one, has in zip(encoded, held, strict=True):
        note(f"Comparing {len(keys):,} works of {len(names):,} artists by {one.name}.")
        computed.append(
            figures(
                has.vectors[[has.positions[key] for key in keys]],
                artist,
                names,
                k=k,
                confidence_level=confidence_level,
                n_resamples=min(1000, n_resamples),
                seed=seed,
            )
        )
    group = _numbers(names, groups)
    options = _Options(group, confidence_level, level, n_resamples, seed)
    differences = _differences([one.name for one in encoded], computed, options)
    of_artist: dict[str, list[str]] = {}
    for name, digest in common:
        of_artist.setdefault(name, []).append(digest.hex())
    digests = {name: hashlib.sha256("".join(one).encode()).hexdigest() for name, one in of_artist.items()}
    return EncoderComparison(
        format="imindex-encoders",
        version="1.0",
        encoders=tuple(
            _encoder(one, has, found, options, len(every) - len(has.positions), near)
            for one, has, found, near in zip(encoded, held, computed, n_near, strict=True)
        ),
        differences=differences,
        recommendation=recommend([one.name for one in encoded], computed, differences, level),
        works=ProtocolWorks(
            n_works=len(keys),
            n_artists=len(names),
            n_in_all=len(common),
            n_dropped=len(every) - len(common),
            n_near_duplicates=n_together,
            n_listed_under_two=sum(n > 1 for n in Counter(digest for _, digest in common).values()),
            works_sha256=works_digest({name: digests[name] for name in names}),
        ),
        artists=tuple(
            ProtocolArtist(
                artist=name,
                group=(groups or {}).get(name, ""),
                n_works=int((artist == place).sum()),
                works_sha256=digests[name],
                encoders=tuple(
                    _told(one.name, found, place, names) for one, found in zip(encoded, computed, strict=True)
                ),
            )
            for place, name in enumerate(names)
        ),
        left_out=left_out,
        imitations_present=any(one.imitations_present for one in held),
        k=k,
        confidence_level=confidence_level,
        set_level=SET_LEVEL,
        level=level,
        n_resamples=n_resamples,
        seed=seed,
        unit="artists" if group is None else "groups",
        created=now(),
        program=program(),
        machine=machine,
        command=command,
        versions=tuple(f"{name} {version}" for name, version in versions().items()),
    )


def machine_name() -> str:
    """Return the processor of this machine and how many of it this process may use."""
    return f"{platform.system()} {platform.machine()}, {processors()} processors"


def works_digest(digests: Mapping[str, str]) -> str:
    """Return the digest of a set of works: of each artist's name and the digest of the artist's works."""
    return json_digest(dict(sorted(digests.items())))


def digests_of_works(index: Index) -> dict[str, str]:
    """Return the digest of each artist's works in an index, as `ProtocolArtist.works_sha256` has it."""
    of_artist: dict[str, list[str]] = {}
    for name, digest in sorted(_positions(index)):
        of_artist.setdefault(name, []).append(digest.hex())
    return {name: hashlib.sha256("".join(one).encode()).hexdigest() for name, one in of_artist.items()}


def _positions(index: Index) -> dict[tuple[str, bytes], int]:
    chosen = pictures(index, *KINDS)
    digests = index.column("sha256")[chosen.rows]
    positions: dict[tuple[str, bytes], int] = {}
    for place, (number, digest) in enumerate(zip(chosen.artist.tolist(), digests, strict=True)):
        positions.setdefault((index.artists[number], digest.tobytes()), place)
    return positions


def _hold(path: Path) -> _Held:
    with Index(path) as index:
        require_intact(index)
        return _Held(
            info=index.encoder,
            root_digest=index.root_digest,
            imitations_present=any(one.kind == "imitations" for one in index.collections),
            vectors=pictures(index, *KINDS).vectors,
            positions=_positions(index),
        )


def _choose(
    held: Sequence[_Held], common: Sequence[tuple[str, bytes]]
) -> tuple[Int64, tuple[LeftOut, ...], list[int], int]:
    """Choose the works to compare: one of each cluster of near-duplicates, of artists with at least 2.

    A pair of works that one encoder finds nearly the same is left out for all encoders: they answer the same question.
    """
    names = [artist for artist, _ in common]
    _, artist = np.unique(names, return_inverse=True)
    links, n_near = Links(len(common)), []
    for one in held:
        vectors = one.vectors[[one.positions[key] for key in common]]
        cluster, _ = near_duplicates(vectors, artist.astype(np.int64))
        n_near.append(int((cluster != np.arange(len(cluster))).sum()))
        links.add(np.arange(len(common)), cluster)
    first = links.finish() == np.arange(len(common))
    n_distinct = np.bincount(artist[first], minlength=int(artist.max()) + 1)
    chosen = np.flatnonzero(first & (n_distinct[artist] > 1))
    left_out = tuple(
        LeftOut(artist=name, why="one work, or near-duplicates of one")
        for name in dict.fromkeys(
            name for name, number in zip(names, artist, strict=True) if n_distinct[number] < 2
        )
    )
    return chosen, left_out, n_near, int((~first).sum())


def _numbers(names: Sequence[str], groups: Mapping[str, str] | None) -> Int64 | None:
    if not groups:
        return None
    keys = [(1, groups[name]) if groups.get(name) else (0, name) for name in names]
    number = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], np.int64)


@dataclass(frozen=True)
class _Options:
    group: Int64 | None
    confidence_level: float
    level: float
    n_resamples: int
    seed: int


def _encoder(
    one: Encoded, has: _Held, found: Figures, options: _Options, n_missing: int, n_near: int
) -> ComparedEncoder:
    def estimate(name: str) -> Estimate:
        figure = found.values[name]
        if name == "false_positive_rate":
            low, high = found.false_positive_range
            return Estimate(
                value=figure.estimate, low=min(low, figure.estimate), high=max(high, figure.estimate)
            )
        ends = interval(
            figure,
            group=options.group,
            confidence_level=options.confidence_level,
            n_resamples=options.n_resamples,
            rng=generator(options.seed, "encoders interval", name),
        )
        return Estimate(value=figure.estimate, low=ends.low, high=ends.high)

    info, curve = has.info, found.calibration
    return ComparedEncoder(
        name=one.name,
        model=info.model,
        pretrained=info.pretrained,
        precision=info.precision,
        color=info.color,
        preprocess_from=info.preprocess_from,
        backend=name_of(info),
        weights_sha256=info.weights_sha256,
        demonstration=is_demonstration(info.weights_sha256),
        dim=info.dim,
        bytes_per_vector=2 * info.dim,
        index=one.index.name,
        root_digest=has.root_digest,
        imitations_present=has.imitations_present,
        n_works=len(has.positions),
        n_missing=n_missing,
        n_near_duplicates=n_near,
        figures=EncoderFigures(**{name: estimate(name) for name in EncoderFigures.__struct_fields__}),
        chance_map=found.chance["map"],
        chance_recall_at_1=found.chance["recall_at_1"],
        calibration_error_if_calibrated=curve.if_calibrated,
        reliability=tuple(
            ReliabilityBin(confidence=confidence, accuracy=min(accuracy, 1.0), weight=weight)
            for confidence, accuracy, weight in zip(
                curve.confidence.clip(0, 1).tolist(),
                curve.accuracy.tolist(),
                curve.weight.tolist(),
                strict=True,
            )
        ),
        same=_coarse(found.same),
        different=_coarse(found.different),
        low=found.low,
        high=found.high,
        speed=one.speed,
        identity_sha256=json_digest(info.identity()),
    )


def _coarse(histogram: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(share, 6) for share in histogram.reshape(PLOT_BINS, -1).sum(axis=1).tolist())


def _told(encoder: str, found: Figures, place: int, names: Sequence[str]) -> ToldArtist:
    gaps = found.gaps
    return ToldArtist(
        encoder=encoder,
        told=bool(found.values["told"].each[place]),
        status=gaps.status[place],
        gap=gaps.gap[place],
        gap_low=gaps.low[place],
        gap_high=gaps.high[place],
        nearest=names[gaps.nearest[place]],
        average_precision=min(float(found.average_precision[place]), 1.0),
        recall_at_1=min(float(found.recall_at_1[place]), 1.0),
    )


def _differences(
    names: Sequence[str], computed: Sequence[Figures], options: _Options
) -> tuple[EncoderDifference, ...]:
    rows: list[EncoderDifference] = []
    pairs = list(itertools.combinations(range(len(names)), 2))
    for figure in PAIRED:
        tested = [
            difference(
                computed[second].values[figure],
                computed[first].values[figure],
                group=options.group,
                confidence_level=options.confidence_level,
                n_resamples=options.n_resamples,
                # One key for all pairs: an encoder that is added changes no other pair.
                rng=generator(options.seed, "encoders difference", figure),
            )
            for first, second in pairs
        ]
        adjusted = adjust([one.pvalue for one in tested])
        rows += [
            EncoderDifference(
                figure=figure,
                first=names[first],
                second=names[second],
                difference=one.estimate,
                low=one.interval.low,
                high=one.interval.high,
                p=one.pvalue,
                p_adjusted=p,
            )
            for (first, second), one, p in zip(pairs, tested, adjusted.tolist(), strict=True)
        ]
    return tuple(rows)


def is_shown(difference: EncoderDifference, level: float) -> bool:
    """Return whether a difference is shown: its interval does not include 0, and its adjusted p-value is low enough."""
    low, high, p = difference.low, difference.high, difference.p_adjusted
    return low is not None and high is not None and p is not None and not low <= 0 <= high and p <= level


def recommend(
    names: Sequence[str],
    computed: Sequence[Figures],
    differences: Sequence[EncoderDifference],
    level: float,
) -> EncoderRecommendation:
    """Apply the rule of recommendation."""
    values = [one.values[HIGHEST].estimate for one in computed]
    highest = names[int(np.argmax(values))]
    others = tuple(
        second if first == highest else first
        for first, second, shown in (
            (one.first, one.second, is_shown(one, level)) for one in differences if one.figure == HIGHEST
        )
        if highest in (first, second) and not shown
    )
    figure = "the highest mean average precision on these works"
    if len(names) == 1:
        sentence = f"{highest} is the only encoder, so that there is nothing to choose."
    elif not others:
        sentence = f"{highest} has {figure}, and its difference from every other encoder is shown."
    else:
        listed = " and ".join(filter(None, [", ".join(others[:-1]), others[-1]]))
        sentence = f"{highest} has {figure}, but is not told apart from {listed}: these works do not decide."
    return EncoderRecommendation(rule=RULE, highest=highest, not_told_apart=others, sentence=sentence)
