"""Result types: what classify, match, query, compare and audit return, and the content of report.json.

Conventions
-----------
- A type is a frozen ``msgspec.Struct`` with keyword-only fields. JSON keys are the field names, except for fields
  with an explicit name (``root-digest``, ``from``).
- A number that is unknown or undefined is ``None`` here and ``null`` in JSON. Computations use NaN; every
  constructor converts NaN, infinities and NumPy scalars to plain values, so results never contain NaN.
- Shares and probabilities are fractions from 0 to 1. Rank 1 is the nearest. Cosines are from -1 to 1.
- Paths are text, relative to the folder of the index or the audit. They may contain surrogate escapes (bytes that are
  not UTF-8), which JSON carries as ``\\udcXX``.
- Each field is documented once, in the docstring of its class. `imindex.retrieval.results.schema` copies these
  descriptions into report.schema.json.

Within imindex, the package imports only errors, atomic files and the enumeration of findings.
"""

from __future__ import annotations

from imindex.retrieval.results.audit import (
    AuditFindings,
    AuditResult,
    Forecast,
    ForecastStage,
)
from imindex.retrieval.results.base import (
    Adjust,
    Alternative,
    Count,
    Digest,
    FigureName,
    Interval,
    Level,
    Number,
    P,
    Result,
    Seed,
    Sha256,
    Share,
    Time,
    draw_with,
    fields_of,
    from_dict,
    from_json,
    to_dict,
    to_json,
)
from imindex.retrieval.results.classification import (
    AccuracyInterval,
    AccuracyTests,
    Classification,
    ClassificationEvidence,
    ClassificationMethod,
    ClassifiedArtist,
    LabelCurve,
    NamedCounts,
)
from imindex.retrieval.results.comparison import (
    ArtistChange,
    ArtistFigure,
    Comparison,
    FigureChange,
    FigureChanges,
    FindingChange,
    FindingCounts,
    GatedComparison,
    LeftOut,
    ReleaseFindings,
    ReleaseSide,
    Shifts,
    SideCounts,
    SideFindings,
    SideReleaseFindings,
    Verdict,
)
from imindex.retrieval.results.matching import (
    ArtistTests,
    AucMatrix,
    MatchedArtist,
    MatchEvidence,
    Matching,
    OverallTests,
    RankFigures,
)
from imindex.retrieval.results.pictures import (
    Copies,
    CopyPair,
    CopyState,
    Gallery,
    Neighbours,
)
from imindex.retrieval.results.power import (
    DesignPower,
    PowerPlan,
    SetVariances,
)
from imindex.retrieval.results.query import (
    Approximate,
    AttributedArtist,
    Attribution,
    KindNeighbours,
    QueryAnswer,
    QueryArtist,
    QueryNeighbour,
    QueryResult,
)
from imindex.retrieval.results.records import (
    Amendment,
    BlockedPicture,
    CopyDecision,
    EncoderRecord,
    PlannedTests,
    PlanRecord,
    Provenance,
    RegisterEntry,
    RejectedPicture,
    ReleaseRecord,
)
from imindex.retrieval.results.report import (
    Agreement,
    AgreementArtist,
    Confusion,
    Limit,
    Report,
    ReportArtist,
    ReportResult,
    Summary,
)
from imindex.retrieval.results.tables import (
    Row,
    to_frame,
)
from imindex.retrieval.results.testing import (
    HowTested,
)

__all__ = [
    "AccuracyInterval",
    "AccuracyTests",
    "Adjust",
    "Agreement",
    "AgreementArtist",
    "Alternative",
    "Amendment",
    "Approximate",
    "ArtistChange",
    "ArtistFigure",
    "ArtistTests",
    "AttributedArtist",
    "Attribution",
    "AucMatrix",
    "AuditFindings",
    "AuditResult",
    "BlockedPicture",
    "Classification",
    "ClassificationEvidence",
    "ClassificationMethod",
    "ClassifiedArtist",
    "Comparison",
    "Confusion",
    "Copies",
    "CopyDecision",
    "CopyPair",
    "CopyState",
    "Count",
    "DesignPower",
    "Digest",
    "EncoderRecord",
    "FigureChange",
    "FigureChanges",
    "FigureName",
    "FindingChange",
    "FindingCounts",
    "Forecast",
    "ForecastStage",
    "Gallery",
    "GatedComparison",
    "HowTested",
    "Interval",
    "KindNeighbours",
    "LabelCurve",
    "LeftOut",
    "Level",
    "Limit",
    "MatchEvidence",
    "MatchedArtist",
    "Matching",
    "NamedCounts",
    "Neighbours",
    "Number",
    "OverallTests",
    "P",
    "PlanRecord",
    "PlannedTests",
    "PowerPlan",
    "Provenance",
    "QueryAnswer",
    "QueryArtist",
    "QueryNeighbour",
    "QueryResult",
    "RankFigures",
    "RegisterEntry",
    "RejectedPicture",
    "ReleaseFindings",
    "ReleaseRecord",
    "ReleaseSide",
    "Report",
    "ReportArtist",
    "ReportResult",
    "Result",
    "Row",
    "Seed",
    "SetVariances",
    "Sha256",
    "Share",
    "Shifts",
    "SideCounts",
    "SideFindings",
    "SideReleaseFindings",
    "Summary",
    "Time",
    "Verdict",
    "draw_with",
    "fields_of",
    "from_dict",
    "from_json",
    "to_dict",
    "to_frame",
    "to_json",
]
