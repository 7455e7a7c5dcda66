"""Results of `encoders compare`, the content of encoders.json."""

from __future__ import annotations

from typing import Literal

import msgspec

from imindex.retrieval.results.base import (
    Count,
    Digest,
    Level,
    Number,
    P,
    Result,
    Seed,
    Sha256,
    Share,
    Time,
    to_dict,
)
from imindex.retrieval.results.comparison import LeftOut
from imindex.retrieval.results.tables import Row, flat


class Estimate(Result, kw_only=True, frozen=True):
    """A figure and its confidence interval over artists.

    Attributes
    ----------
    value : float or None
    low, high : float or None
        None if there are fewer than 3 artists or groups of artists.
    """

    value: Number
    low: Number
    high: Number


class EncoderFigures(Result, kw_only=True, frozen=True):
    """The figures of an encoder, on works alone. See stats/METHODS.md, "Comparison of encoders".

    Attributes
    ----------
    map : Estimate
        Mean average precision of held-out works, averaged by artist first.
    map_at_k : Estimate
        The same among the k nearest.
    recall_at_1 : Estimate
        Share of works whose nearest other work is by the same artist.
    auc : Estimate
        AUC of pairs by one artist against pairs by two, pairs balanced by artist.
    equal_error_rate : Estimate
        Of the same pairs.
    false_positive_rate : Estimate
        At a threshold learned on other artists for 5 %, as the mean over splits of the artists; `low` and `high` are
        2.5 % and 97.5 % quantiles over splits.
    false_negative_rate : Estimate
        At the same thresholds.
    told : Estimate
        Share of artists that the encoder tells from all others.
    skewness : Estimate
        Hubness: skewness of the number of occurrences among the k nearest.
    robin_hood : Estimate
        Hubness: Robin Hood (Hoover) index of the same.
    anti_hubs : Estimate
        Share of works that are among the k nearest of no other work.
    mean_cosine : Estimate
        Anisotropy: mean cosine of works by two artists.
    effective_rank : Estimate
        Anisotropy: effective rank of the vectors of these works.
    calibration_error : Estimate
        Expected calibration error of the softmax prediction of the artist.
    coverage : Estimate
        Share of works whose conformal set has their artist.
    set_size : Estimate
        Mean number of artists in a conformal set.
    """

    map: Estimate
    map_at_k: Estimate
    recall_at_1: Estimate
    auc: Estimate
    equal_error_rate: Estimate
    false_positive_rate: Estimate
    false_negative_rate: Estimate
    told: Estimate
    skewness: Estimate
    robin_hood: Estimate
    anti_hubs: Estimate
    mean_cosine: Estimate
    effective_rank: Estimate
    calibration_error: Estimate
    coverage: Estimate
    set_size: Estimate


class ReliabilityBin(Result, kw_only=True, frozen=True):
    """A bin of a reliability diagram.

    Attributes
    ----------
    confidence : float or None
        Mean confidence; None if the bin is empty.
    accuracy : float or None
    weight : float
    """

    confidence: Share
    accuracy: Share
    weight: float


class EncodingSpeed(Result, kw_only=True, frozen=True):
    """Speed of the encoding of works, read and decoded by the same process.

    Attributes
    ----------
    pictures : int
        Number of pictures encoded.
    pictures_per_second : float or None
    processor_seconds : float or None
        Processor time for each picture, of this process and its children.
    device : str
    """

    pictures: Count
    pictures_per_second: Number
    processor_seconds: Number
    device: str


class ComparedEncoder(Result, kw_only=True, frozen=True):
    """An encoder of the comparison.

    Attributes
    ----------
    name : str
    model, pretrained, precision, color, preprocess_from : str
        As a plan names it.
    backend : str
    weights_sha256 : str
    demonstration : bool
        Whether it comes with imindex to try it out.
    dim : int
    bytes_per_vector : int
    index : str
        File of the index.
    root_digest : str
        Digest of the index.
    imitations_present : bool
        Whether the index held imitations when the encoders were compared.
    n_works : int
        Works in the index.
    n_missing : int
        Works that another index has and this one lacks, because a picture was rejected or not encoded.
    n_near_duplicates : int
        Works that are near-duplicates of an earlier work, by this encoder.
    figures : EncoderFigures
    chance_map, chance_recall_at_1 : float
        Expectation for a random ranking.
    calibration_error_if_calibrated : float
        Mean calibration error of a perfectly calibrated prediction of this size.
    reliability : tuple of ReliabilityBin
    same, different : tuple of float
        Shares of pairs by one artist, and by two, in bins of similarity from `low` to `high`.
    low, high : float
    speed : EncodingSpeed or None
        None if the vectors were encoded before.
    identity_sha256 : str
        Digest of what the vectors depend on: weights, configuration, preprocessing, dimensions, precision and tokens
        (`EncoderInfo.identity`, as canonical JSON). Empty in comparisons made before it was recorded.
    """

    name: str
    model: str
    pretrained: str
    precision: str
    color: str
    preprocess_from: str
    backend: str
    weights_sha256: Digest
    demonstration: bool
    dim: Count
    bytes_per_vector: Count
    index: str
    root_digest: Sha256
    imitations_present: bool
    n_works: Count
    n_missing: Count
    n_near_duplicates: Count
    figures: EncoderFigures
    chance_map: float
    chance_recall_at_1: float
    calibration_error_if_calibrated: float
    reliability: tuple[ReliabilityBin, ...]
    same: tuple[float, ...]
    different: tuple[float, ...]
    low: float
    high: float
    speed: EncodingSpeed | None
    identity_sha256: Digest = ""


class EncoderDifference(Result, kw_only=True, frozen=True):
    """A paired difference of a figure between two encoders, over the same artists.

    Attributes
    ----------
    figure : str
        A field of `EncoderFigures`.
    first, second : str
        Names of the encoders.
    difference : float or None
        First minus second.
    low, high : float or None
        Confidence interval.
    p : float or None
        Two-sided sign-flip test over artists.
    p_adjusted : float or None
        Adjusted by Holm over the pairs of encoders, for each figure.
    """

    figure: Literal["map", "map_at_k", "recall_at_1", "auc", "equal_error_rate", "told"]
    first: str
    second: str
    difference: Number
    low: Number
    high: Number
    p: P
    p_adjusted: P


class EncoderRecommendation(Result, kw_only=True, frozen=True):
    """What the rule says, which was fixed before the comparison.

    Attributes
    ----------
    rule : str
    highest : str
        The encoder with the highest mean average precision.
    not_told_apart : tuple of str
        Other encoders whose difference from it is not shown.
    sentence : str
    """

    rule: str
    highest: str
    not_told_apart: tuple[str, ...]
    sentence: str


class ToldArtist(Result, kw_only=True, frozen=True):
    """How well an encoder tells one artist from all others.

    Attributes
    ----------
    encoder : str
    told : bool
    status : str
        robust positive (told), robust negative, ambiguous, or too few works.
    gap, gap_low, gap_high : float or None
        Median cosine within the artist, minus the largest median cosine to another artist.
    nearest : str
        That other artist.
    average_precision, recall_at_1 : float
    """

    encoder: str
    told: bool
    status: str
    gap: Number
    gap_low: Number
    gap_high: Number
    nearest: str
    average_precision: Share
    recall_at_1: Share


class ProtocolArtist(Result, kw_only=True, frozen=True):
    """An artist of the comparison.

    Attributes
    ----------
    artist : str
    group : str
        The school that the artist was assigned to, or empty.
    n_works : int
        Works that were compared: near-duplicates count as one.
    works_sha256 : str
        Digest of the works in all indexes: SHA-256 over the sorted digests of the picture files, near-duplicates
        included.
    encoders : tuple of ToldArtist
    """

    artist: str
    group: str
    n_works: Count
    works_sha256: Sha256
    encoders: tuple[ToldArtist, ...]


class ProtocolWorks(Result, kw_only=True, frozen=True):
    """The works that all encoders were compared on.

    Attributes
    ----------
    n_works, n_artists : int
        That were compared.
    n_in_all : int
        Works that every index has, near-duplicates included.
    n_dropped : int
        Works that some index has and another one lacks.
    n_near_duplicates : int
        Works left out because some encoder finds them nearly the same as an earlier work by the same artist.
    n_listed_under_two : int
        Picture files that are listed under two artists.
    works_sha256 : str
        SHA-256 over the artists and the digests of their works, as JSON.
    """

    n_works: Count
    n_artists: Count
    n_in_all: Count
    n_dropped: Count
    n_near_duplicates: Count
    n_listed_under_two: Count
    works_sha256: Sha256


class EncoderComparison(Result, kw_only=True, frozen=True):
    """Result of `encoders compare`: encoders on the same works, before any imitation is seen.

    Attributes
    ----------
    format, version : str
    encoders : tuple of ComparedEncoder
        In the order given.
    differences : tuple of EncoderDifference
    recommendation : EncoderRecommendation
    works : ProtocolWorks
    artists : tuple of ProtocolArtist
    left_out : tuple of LeftOut
        Artists without enough works.
    imitations_present : bool
        Whether an index held imitations. The figures do not use them, but the choice was not made before they existed.
    k : int
        Number of neighbours.
    confidence_level, level : float
        Of all intervals, and of the tests of differences.
    set_level : float
        Of the conformal sets.
    n_resamples : int
    seed : int
    unit : str
        What is drawn: artists or groups of artists.
    created : str
    program, machine, command : str
    versions : tuple of str
    """

    format: Literal["imindex-encoders"]
    version: Literal["1.0"]
    encoders: tuple[ComparedEncoder, ...]
    differences: tuple[EncoderDifference, ...]
    recommendation: EncoderRecommendation
    works: ProtocolWorks
    artists: tuple[ProtocolArtist, ...]
    left_out: tuple[LeftOut, ...]
    imitations_present: bool
    k: Count
    confidence_level: Level
    set_level: Level
    level: Level
    n_resamples: Count
    seed: Seed
    unit: Literal["artists", "groups"]
    created: Time
    program: str
    machine: str
    command: str
    versions: tuple[str, ...]

    def records(self) -> list[Row]:
        """Return one row per encoder."""
        return [encoder_record(one) for one in self.encoders]

    def differences_of(self, figure: str) -> list[EncoderDifference]:
        """Return the differences of a figure as the page and a terminal show them.

        The encoder with the higher mean average precision comes first, so that signs may differ from `differences`.
        """
        ranked = sorted(self.encoders, key=lambda one: one.figures.map.value or 0.0, reverse=True)
        place = {one.name: number for number, one in enumerate(ranked)}
        rows = [
            one if place[one.first] < place[one.second] else _turned(one)
            for one in self.differences
            if one.figure == figure
        ]
        return sorted(rows, key=lambda one: (place[one.first], place[one.second]))

    def encoder(self, name: str) -> ComparedEncoder:
        """Return an encoder by its name.

        Raises
        ------
        KeyError
            There is none.
        """
        for one in self.encoders:
            if one.name == name:
                return one
        raise KeyError(name)


def _turned(one: EncoderDifference) -> EncoderDifference:
    """Return second minus first."""
    return msgspec.structs.replace(
        one,
        first=one.second,
        second=one.first,
        difference=None if one.difference is None else -one.difference,
        low=None if one.high is None else -one.high,
        high=None if one.low is None else -one.low,
    )


_NOT_FLAT = ("reliability", "same", "different", "low", "high")


def encoder_record(encoder: ComparedEncoder) -> Row:
    """Return an encoder as a flat row: ``map``, ``map_low`` and ``map_high`` for each figure."""
    values: Row = {key: value for key, value in to_dict(encoder).items() if key not in _NOT_FLAT}
    figures = values.pop("figures")
    speed = values.pop("speed") or dict.fromkeys(EncodingSpeed.__struct_fields__)
    row: Row = {"name": values.pop("name")}
    for key, figure in figures.items():
        row |= {key: figure["value"], f"{key}_low": figure["low"], f"{key}_high": figure["high"]}
    return {**row, **flat(speed), **values}
