"""The attributes of /ann for an approximate index: its kind, how it was made, and its measured recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.schema import Attribute

IVF_PQ, IVF, HNSW = "ivf-pq", "ivf", "hnsw"
APPROXIMATE = (IVF_PQ, IVF, HNSW)
NEIGHBOURS = 10
"""Recall is measured for the ten nearest neighbours."""
EXACT_ROWS = 100_000
"""Up to this many rows an exact search takes milliseconds, and an approximate index is not worthwhile."""
SHARE = 0.1
"""Searches among a smaller fraction of the rows are exact."""
AMONG = "-among-tenth"
"""Suffix of the search parameters for searches among that fraction."""
LEAST_ROWS = 1_000
"""Minimum number of rows of an approximate index."""


@dataclass(frozen=True)
class Record:
    """The attributes of /ann for an approximate kind.

    Attributes
    ----------
    kind : str
        One of `APPROXIMATE`.
    target, recall : float
        Requested and measured recall@10.
    recall_among : float
        Measured recall@10 among a random tenth of the rows.
    n_queries : int
        Number of rows that the recalls were measured on; they were not used to choose the search parameters.
    held_out : bool
        Whether these rows were also excluded from training.
    parameters : mapping of str to int
        `nprobe` and `refine` of the IVF kinds, `ef-search` of HNSW. `nprobe` and `ef-search` also occur with the suffix
        `AMONG`, for searches among a tenth of the rows.
    work : int
        Cost of a search with the parameters chosen in training (`imindex.indexer.ann.tuning.work`).
    rows_trained : int
        Rows of the index at training time.
    rows_changed : int
        Rows added and removed since `recall` was measured.
    seed : int
    memory : int
        The size limit in bytes; 0 for the size of the vectors.
    trained_sha256 : str
        Digest of the trained parts: centroids and codebooks; for HNSW, the graph.
    faiss_version : str
    """

    kind: str
    target: float
    recall: float
    recall_among: float
    n_queries: int
    held_out: bool
    parameters: Mapping[str, int]
    work: int
    rows_trained: int
    rows_changed: int
    seed: int
    memory: int
    trained_sha256: str
    faiss_version: str

    def attributes(self) -> dict[str, Attribute]:
        """Return the attributes as written to /ann."""
        return {
            "kind": self.kind,
            "metric": "inner-product",
            "faiss-version": self.faiss_version,
            "recall": self.recall,
            "recall-target": self.target,
            "recall-among-tenth": self.recall_among,
            "recall-queries": self.n_queries,
            "recall-held-out": self.held_out,
            "parameters": canonical_json(dict(self.parameters)),
            "work": self.work,
            "rows-trained": self.rows_trained,
            "rows-changed": self.rows_changed,
            "seed": self.seed,
            "memory": self.memory,
            "trained-sha256": self.trained_sha256,
        }

    @staticmethod
    def read(attributes: Mapping[str, Any]) -> Record:
        """Read the attributes of /ann.

        Raises
        ------
        ImindexError
            If an attribute is missing or invalid.
        """
        try:
            parameters = parse_json(attributes["parameters"])
            record = Record(
                kind=str(attributes["kind"]),
                target=float(attributes["recall-target"]),
                recall=float(attributes["recall"]),
                recall_among=float(attributes["recall-among-tenth"]),
                n_queries=int(attributes["recall-queries"]),
                held_out=bool(attributes["recall-held-out"]),
                parameters={str(name): int(value) for name, value in parameters.items()},
                work=int(attributes["work"]),
                rows_trained=int(attributes["rows-trained"]),
                rows_changed=int(attributes["rows-changed"]),
                seed=int(attributes["seed"]),
                memory=int(attributes["memory"]),
                trained_sha256=str(attributes["trained-sha256"]),
                faiss_version=str(attributes["faiss-version"]),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise damaged(f"its attributes cannot be read: {error!r}") from error
        effort = effort_of(record.kind)
        wanted = {effort, effort + AMONG} | ({"refine"} if record.kind != HNSW else set())
        if record.kind not in APPROXIMATE or attributes.get("metric") != "inner-product":
            raise damaged(f"kind {record.kind} or metric {attributes.get('metric')} is unknown")
        if set(record.parameters) != wanted or not all(1 <= v <= 2**20 for v in record.parameters.values()):
            raise damaged(f"invalid search parameters {record.parameters}")
        if not (
            0 <= record.recall <= 1
            and 0 <= record.recall_among <= 1
            and 0 < record.target <= 1
            and record.work > 0
        ):
            raise damaged(f"invalid recall {record.recall}, target {record.target} or work {record.work}")
        return record

    def words(self) -> str:
        """Describe kind and recall, such as `ivf-pq, recall@10 0.962 on 1000 held-out queries`."""
        queries = "held-out queries" if self.held_out else "queries"
        return f"{self.kind}, recall@{NEIGHBOURS} {self.recall:.3f} on {self.n_queries} {queries}"


def effort_of(kind: str) -> str:
    """Return the name of the search parameter that trades time for recall."""
    return "ef-search" if kind == HNSW else "nprobe"


def damaged(what: str) -> ImindexError:
    """Return the error for a damaged approximate index."""
    return ImindexError(
        f"The approximate index in the file is damaged: {what}. The vectors are not affected: search them with "
        "--exact, or create the approximate index again with `imindex optimize`."
    )


def is_approximate(attributes: Mapping[str, Any]) -> bool:
    """Return whether /ann holds an approximate kind that this version of imindex can search."""
    return attributes.get("kind") in APPROXIMATE
