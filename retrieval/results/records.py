"""Inputs of an audit: the plan and its register, encoders, releases, rejected pictures, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from imindex.retrieval.results.base import Adjust, Count, Digest, Level, Result, Seed, Sha256, Time


class PlannedTests(Result, kw_only=True, frozen=True):
    """Settings of the tests in the plan.

    Attributes
    ----------
    level : float
        Significance level of the whole family of artists, after correction.
    adjust : str
        holm, bh or by.
    n_resamples : int
    confidence_level : float
        Confidence level of intervals.
    seed : int
    csls_k : int
        Number of neighbours in CSLS; absent if ranks are by cosine.
    whiten : bool
        True if vectors are whitened; otherwise absent.
    """

    level: Level
    adjust: Adjust
    n_resamples: Count
    confidence_level: Level
    seed: Seed
    csls_k: Count | UnsetType = UNSET
    whiten: bool | UnsetType = UNSET


class Amendment(Result, kw_only=True, frozen=True):
    """A change of the plan or of the input pictures after registration.

    Attributes
    ----------
    when : str
    why : str
        Reason for the change.
    before : str
        Digest of the plan before the change; `from` in JSON.
    to : str
        Digest of the plan after the change.
    inputs : tuple of str
        Input pictures that changed.
    """

    when: Time
    why: str
    before: str = field(name="from")
    to: str
    inputs: tuple[str, ...] = ()


class PlanRecord(Result, kw_only=True, frozen=True):
    """The plan of an audit, and its registration.

    Attributes
    ----------
    digest : str
        Digest of the plan, stored before the first picture was made.
    text : str
        Text of the plan, in TOML.
    registered : str
    first_digest : str
        Digest of the plan as first registered; empty in reports that do not store it.
    registered_late : bool
        Whether pictures or results existed before the register.
    inputs : dict of str to str
        Digests of the input pictures.
    amendments : tuple of Amendment
    artists : tuple of str
        Artists tested.
    background : tuple of str
        Artists whose works serve for comparison only, and who are not tested.
    templates : tuple of str
        Templates of the prompts; empty if all pictures were made elsewhere.
    label_templates : tuple of str
        Templates of the artists' labels in classification.
    per_artist : int or None
        Number of pictures per name, spread evenly over the templates; null if all pictures were made elsewhere.
    tests : PlannedTests
    seed : int
    labels : tuple of str
        Generic labels, which are candidates in addition to the artists' names.
    copy_rate : float
        Probability that an audit without copies has a candidate for a copy.
    origins : tuple of ArtistOrigin
        Origins of the artists' names; missing if placebo names were not drawn to match them.
    placebo_drawing : int
        Version of the drawing of placebo names: 1, whatever the artists' names are; 2, matching them.
        Missing if it is 1.
    tests_registered : int
        Version of the tests of the imindex with which the plan was registered, or last amended.
    tests_used : int
        Version of the tests that this report used.
    case_number, examiner : str
        Number of the case and name of the examiner, as the plan states them; empty if it does not.
    """

    digest: Sha256
    text: str
    registered: Time
    first_digest: Digest = ""
    registered_late: bool = False
    inputs: Mapping[str, str] = {}
    amendments: tuple[Amendment, ...]
    artists: tuple[str, ...]
    background: tuple[str, ...]
    templates: tuple[str, ...]
    label_templates: tuple[str, ...] = ()
    per_artist: Count | None
    tests: PlannedTests
    seed: Seed
    labels: tuple[str, ...]
    copy_rate: Level = 0.05
    origins: tuple[ArtistOrigin, ...] | UnsetType = UNSET
    placebo_drawing: int | UnsetType = UNSET
    tests_registered: int = 1
    tests_used: int = 1
    case_number: str = ""
    examiner: str = ""


class CopyDecision(Result, kw_only=True, frozen=True):
    """What a person says of a pair of pictures.

    Attributes
    ----------
    release : str
    imitation : str
        Path.
    imitation_sha256 : str
    work : str
        Path.
    work_sha256 : str
    decided : str
        "confirmed" or "rejected" as a copy.
    by : str
        Name of the person.
    note : str
    """

    release: str
    imitation: str
    imitation_sha256: Sha256
    work: str
    work_sha256: Sha256
    decided: Literal["confirmed", "rejected"]
    by: str
    note: str = ""


class ArtistOrigin(Result, kw_only=True, frozen=True):
    """The origin of an artist's name, which placebo names match.

    Attributes
    ----------
    artist : str
    origin : str
        A language or region; empty if unknown.
    source : str
        "stated", or what the guess rests on.
    gender : str
        Form of the given name, feminine or masculine; empty if unknown.
    """

    artist: str
    origin: str
    source: str
    gender: str


class RegisterEntry(Result, omit_defaults=True, kw_only=True, frozen=True):
    """One line of an audit's register.

    Attributes
    ----------
    event : str
        registered, amended or registered late; copy confirmed or copy rejected; asked.
    when : str
    plan : str
        Digest of the plan.
    inputs : dict of str to str
        Digests of the input pictures.
    why : str
        Reason for an amendment; otherwise empty.
    text : str
        Text of the plan, in TOML.
    versions : dict of str to str
        Version by package.
    previous : str
        SHA-256 of the previous line; empty in the first.
    digest : str
        SHA-256 of the canonical JSON of all other keys.
    placebo_drawing : int
        Version of the drawing of placebo names: 1, whatever the artists' names are; 2, matching them.
    tests : int
        Version of the tests (`imindex.retrieval.evidence.testing.TESTS`) of the imindex that wrote the line.
    decision : CopyDecision or None
        A decision on a candidate for a copy; the plan and the inputs are then those of the line before.
    requests : dict of str to str
        Digests of the logs of requests to APIs, by collection, once they were asked.
    """

    event: str
    when: Time
    plan: Sha256
    inputs: Mapping[str, str]
    why: str
    text: str
    versions: Mapping[str, str]
    previous: Digest
    digest: Digest = ""
    placebo_drawing: Annotated[int, Meta(ge=1, le=2)] = 1
    tests: Annotated[int, Meta(ge=1)] = 1
    decision: CopyDecision | None = None
    requests: Mapping[str, str] = field(default_factory=dict)


class EncoderChoice(Result, kw_only=True, frozen=True):
    """How an encoder was chosen: by `imindex encoders compare`, on works alone.

    Attributes
    ----------
    protocol : str
        The file of the comparison, relative to the plan.
    sha256 : str
        Its SHA-256, as the plan records it; an audit refuses another file.
    compared_on : str
        When the encoders were compared.
    n_encoders, n_works, n_artists : int
        What was compared.
    works_sha256 : str
        Digest of the works that were compared.
    imitations_present : bool
        Whether an index held imitations then, so that nothing shows that the choice came before them.
    recommended : bool
        Whether the rule recommended this encoder, or did not tell it apart from the one that it recommended.
    differences : tuple of str
        What differs between the comparison and the audit: works, artists or the encoder. Empty if nothing does.
    """

    protocol: str
    sha256: Digest
    compared_on: Time
    n_encoders: Count
    n_works: Count
    n_artists: Count
    works_sha256: Sha256
    imitations_present: bool
    recommended: bool
    differences: tuple[str, ...]


class EncoderRecord(Result, omit_defaults=True, kw_only=True, frozen=True):
    """An encoder of an audit, and its index.

    Attributes
    ----------
    name : str
    model : str
    precision : str
    weights_sha256 : str
    root_digest : str
        Root digest of the index that the results were computed from.
    index : str
        The index file, relative to the audit's folder.
    demonstration : bool
        Whether this is the demonstration encoder of imindex, which is not for evidence. Missing if it is not.
    chosen : EncoderChoice or None
        How it was chosen. Missing if the plan does not record it.
    """

    name: str
    model: str
    precision: str
    weights_sha256: Digest
    root_digest: Sha256
    index: str
    demonstration: bool = False
    chosen: EncoderChoice | None = None


class WorkRecord(Result, kw_only=True, frozen=True):
    """A work of a tested artist.

    Attributes
    ----------
    artist : str
    path : str
        Relative to the audit's folder.
    sha256 : str
        Digest of the file's bytes.
    """

    artist: str
    path: str
    sha256: Sha256


class BlockedPicture(Result, kw_only=True, frozen=True):
    """A picture that a safety filter removed, or that is of a single colour.

    Attributes
    ----------
    path : str
    prompt : str
    reason : str
    """

    path: str
    prompt: str
    reason: str


class RequestRecord(Result, kw_only=True, frozen=True):
    """The log of the requests for the pictures of a release.

    Attributes
    ----------
    log_sha256 : str
        Of its file.
    n_requests : int
        Requests that were sent, further attempts included.
    n_lost : int
        Requests whose answers were lost, because the process ended before it had written them.
    outcomes : dict of str to int
        Number of pictures by what became of them: picture, refused, blocked, no picture, error.
    codes : dict of str to int
        How often the service gave each code, the most frequent first.
    models : tuple of str
        Models that the service says it used.
    n_revised : int
        Pictures for which the service says it used another prompt.
    first, last : str
        Times of the first and of the last request; empty if unknown.
    seeds : str
        Whether seeds were sent.
    """

    log_sha256: Digest
    n_requests: Count
    n_lost: Count
    outcomes: Mapping[str, int]
    codes: Mapping[str, int]
    models: tuple[str, ...]
    n_revised: Count
    first: str
    last: str
    seeds: str


class ReleaseRecord(Result, omit_defaults=True, kw_only=True, frozen=True):
    """A release of an audit, and its numbers of pictures.

    Attributes
    ----------
    name : str
    source : str
        "generated" by the audit, or "pictures" made elsewhere.
    model : str
        Model that generated the pictures; for pictures made elsewhere, their location.
    revision : str
    digest : str
        Digest of the pictures.
    settings : dict
        Generation settings of the model.
    text_encoders : tuple of str
        Text encoders of the generator; empty if unknown.
    n_imitations : int
        Number of imitations of all names, including placebo names.
    n_placebo_names, n_placebo_pictures, n_controls : int
    blocked : tuple of BlockedPicture
    rivals : tuple of str
        Further real names, which are references of the rival test only.
    requests : RequestRecord or None
        The log of the requests for its pictures, if there is one.
    """

    name: str
    source: Literal["generated", "pictures"]
    model: str
    revision: str
    digest: str
    settings: Mapping[str, Any]
    text_encoders: tuple[str, ...]
    n_imitations: Count
    n_placebo_names: Count
    n_placebo_pictures: Count
    n_controls: Count
    blocked: tuple[BlockedPicture, ...]
    rivals: tuple[str, ...] = ()
    requests: RequestRecord | None = None


class RejectedPicture(Result, kw_only=True, frozen=True):
    """A picture that could not be read or encoded and is excluded from all figures.

    Attributes
    ----------
    path : str
    reason : str
    """

    path: str
    reason: str


class FailedRun(Result, kw_only=True, frozen=True):
    """A run of an audit that did not finish.

    Attributes
    ----------
    started : str
    why : str
        The error, or how it stopped.
    """

    started: Time
    why: str


class Provenance(Result, omit_defaults=True, kw_only=True, frozen=True):
    """When, how and with which versions an audit ran. Not part of the report's digest.

    Attributes
    ----------
    command : str
    program : str
        Name and version.
    started, finished : str
    versions : dict of str to str
        Version by package.
    seconds : dict of str to float
        Duration by stage.
    machine : str
    rendered : str
        When this report was written, if that was a later run than the one that computed its figures; `started`,
        `finished`, `seconds` and `command` are then those of the earlier run.
    unfinished : tuple of FailedRun
        Earlier runs that did not finish.
    rendering : str
        Digest of the templates and the code that wrote the page and the table; empty if the report is of an earlier
        version.
    """

    command: str
    program: str = ""
    started: Time
    finished: Time
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    machine: str = ""
    rendered: str = ""
    unfinished: tuple[FailedRun, ...] = ()
    rendering: Digest = ""
