"""The approximate kinds as FAISS indexes: train, fill, split into lists, serialise, and read back with checks.

ivf-pq  inverted lists of 4-bit product codes, scanned with in-register shuffles; candidates are re-ranked from
        /vectors, so each vector takes only dim / 16 bytes and a row number
ivf     inverted lists of fp16 codes: a second copy of the vectors
hnsw    only the graph; its vectors are /vectors
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from imindex.indexer.ann.exact import in_place
from imindex.indexer.ann.faiss_bytes import check_bytes
from imindex.indexer.ann.record import HNSW, IVF, IVF_PQ, damaged

faiss: Any = _faiss
"""Typed as Any, since FAISS's stubs lack much of what is used here."""
Float16 = npt.NDArray[np.float16]
Codes = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]
"""One inverted list: rows (m,) and their codes (m, bytes)."""

FLOATS = (4, 8, 16, 32)
"""Numbers of a vector per 4-bit code, from the most accurate to the smallest index."""
_BLOCK = 32_768
_PER_LIST = 40
_ROUNDS, _LAST_ROUNDS = 10, 2
_ONE_LEVEL = 256
_PQ_SAMPLE = 16_384
_LINKS = 32
_EF_CONSTRUCTION = 80


def n_lists(n: int) -> int:
    """Return the number of inverted lists for n rows: about 8 sqrt(n), a power of two, at least 16 rows per list.

    If there are at least half as many lists as clusters in the data, the neighbours of a query are in one or two lists;
    with fewer lists they are spread over hundreds. More lists only make the training longer.
    """
    target = 2 ** round(float(np.log2(8 * max(n, 16) ** 0.5)))
    return int(max(1, min(target, n // 16)))


def n_codes(dim: int, floats: int = FLOATS[0]) -> int:
    """Return the number of 4-bit codes per vector, each of which covers at least `floats` of its numbers."""
    return max(m for m in range(1, dim + 1) if dim % m == 0 and (dim // m >= floats or m == 1))


def expected_bytes(kind: str, n: int, dim: int, floats: int = FLOATS[0]) -> int:
    """Estimate the size in bytes of the index of n vectors."""
    if kind == HNSW:
        return n * (2 * _LINKS * 4 + 24)
    code = 2 * dim if kind == IVF else (n_codes(dim, floats) + 1) // 2
    lists = n_lists(n)
    return n * (code + 8) + lists * (dim * 4 + (16 * code if kind == IVF_PQ else 0))


def floats_within(kind: str, n: int, dim: int, memory: int) -> int | None:
    """Return the most accurate number of floats per code that fits a memory budget; None if none does.

    Parameters
    ----------
    kind : str
    n, dim : int
    memory : int
        The budget in bytes; 0 for the size of the vectors.
    """
    choices = [f for f in FLOATS if n_codes(dim, f) > 1] if kind == IVF_PQ else []
    for floats in choices or FLOATS[:1]:
        if expected_bytes(kind, n, dim, floats) <= (memory or n * dim * 2):
            return floats
    return None


def train(
    kind: str, vectors: Float16, rows: npt.NDArray[np.int64], *, seed: int, floats: int = FLOATS[0]
) -> Any:
    """Train an index, without adding rows.

    Parameters
    ----------
    kind : str
    vectors : ndarray, shape (n, dim), float16, unit norm
        All rows that the index is for.
    rows : ndarray, shape (m,), int
        The rows to train on; the others have no influence.
    seed : int
    floats : int
        Numbers of a vector per 4-bit code (ivf-pq).
    """
    dim = vectors.shape[1]
    if kind == HNSW:
        graph = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_fp16, _LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = _EF_CONSTRUCTION
        graph.hnsw.rng = faiss.RandomGenerator(seed)
        graph.is_trained = graph.storage.is_trained = True  # fp16 needs no training
        return graph
    lists = n_lists(len(vectors))
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.permutation(rows)[: max(_PER_LIST * lists, _PQ_SAMPLE)])
    training = np.asarray(vectors[sample], np.float32)
    centroids = _centroids(training[rng.permutation(len(training))[: _PER_LIST * lists]], lists, seed)
    if kind == IVF:
        return _empty_ivf(centroids)
    codes = faiss.ProductQuantizer(dim, n_codes(dim, floats), 4)
    codes.cp.seed, codes.cp.min_points_per_centroid, codes.cp.max_points_per_centroid = seed, 1, 1024
    with _one_thread():  # many small clusterings, for which multithreading costs more than it saves
        codes.train(np.ascontiguousarray(training[rng.permutation(len(training))[:_PQ_SAMPLE]]))
    return _empty_pq(centroids, codes)


def _centroids(training: npt.NDArray[np.float32], lists: int, seed: int) -> npt.NDArray[np.float32]:
    """Cluster in two levels, then refine over all data: as good as a single level, in a fraction of the time."""
    top = round(lists**0.5)
    if lists <= _ONE_LEVEL:
        return _clusters(training, lists, seed, _ROUNDS)
    nearest = faiss.IndexFlatIP(training.shape[1])
    nearest.add(_clusters(training, top, seed, _ROUNDS))
    part = nearest.search(training, 1)[1][:, 0]
    centroids = [
        _clusters(training[part == number], share, seed, _ROUNDS)
        for number, share in enumerate(_shares(np.bincount(part, minlength=top), lists))
        if share
    ]
    return _clusters(training, lists, seed, _LAST_ROUNDS, np.concatenate(centroids))


def _shares(counts: npt.NDArray[np.int64], lists: int) -> list[int]:
    """Divide the lists among parts in proportion to their rows, by the largest-remainder method."""
    exact = counts / counts.sum() * lists
    shares = np.floor(exact).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: lists - shares.sum()]] += 1
    return [int(share) for share in shares]


def _clusters(
    training: npt.NDArray[np.float32],
    count: int,
    seed: int,
    rounds: int,
    start: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    dim = training.shape[1]
    clustering = faiss.Clustering(dim, count)
    clustering.seed, clustering.niter, clustering.spherical = seed, rounds, True
    clustering.min_points_per_centroid, clustering.max_points_per_centroid = 1, 4 * _PER_LIST
    if start is not None:
        faiss.copy_array_to_vector(np.ascontiguousarray(start).reshape(-1), clustering.centroids)
    clustering.train(np.ascontiguousarray(training), faiss.IndexFlatIP(dim))
    centroids: npt.NDArray[np.float32] = faiss.vector_to_array(clustering.centroids)
    return centroids.reshape(count, dim)


@contextmanager
def _one_thread() -> Iterator[None]:
    previous = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(previous)


def _coarse(centroids: npt.NDArray[np.float32]) -> Any:
    flat = faiss.IndexFlatIP(centroids.shape[1])
    flat.add(np.ascontiguousarray(centroids))
    return flat


def _empty_ivf(centroids: npt.NDArray[np.float32]) -> Any:
    lists, dim = centroids.shape
    index = faiss.IndexIVFScalarQuantizer(
        _coarse(centroids), dim, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    )
    index.is_trained = index.sq.code_size == 2 * dim
    return index


def _empty_pq(centroids: npt.NDArray[np.float32], codes: Any) -> Any:
    """Return an empty ivf-pq index: an `IndexIVFPQFastScan`, which packs the codes of an `IndexIVFPQ`."""
    return faiss.IndexIVFPQFastScan(_unpacked(centroids, codes))


def _unpacked(centroids: npt.NDArray[np.float32], codes: Any) -> Any:
    lists, dim = centroids.shape
    plain = faiss.IndexIVFPQ(_coarse(centroids), dim, lists, codes.M, 4, faiss.METRIC_INNER_PRODUCT)
    plain.by_residual = False
    faiss.copy_array_to_vector(faiss.vector_to_array(codes.centroids), plain.pq.centroids)
    plain.is_trained = True
    return plain


def add(index: Any, vectors: Float16, first: int = 0) -> None:
    """Add the rows from `first` on, without retraining."""
    if isinstance(index, faiss.IndexHNSWSQ):
        storage = faiss.downcast_index(index.storage)
        for start in range(first, len(vectors), _BLOCK):
            index.add(np.asarray(vectors[start : start + _BLOCK], np.float32))
        assert storage.ntotal == len(vectors)
        return
    for start in range(first, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], np.float32)
        index.add_with_ids(block, np.arange(start, start + len(block), dtype=np.int64))


def growable_copy(graph: Any, vectors: Float16) -> Any:
    """Return a copy of a graph that owns its vectors, so that rows can be added to it."""
    reader = faiss.VectorIOReader()
    faiss.copy_array_to_vector(to_bytes(graph), reader.data)
    copy = faiss.read_index(reader, faiss.IO_FLAG_SKIP_STORAGE)
    storage = faiss.IndexScalarQuantizer(
        vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    for start in range(0, len(vectors), _BLOCK):
        storage.add(np.asarray(vectors[start : start + _BLOCK], np.float32))
    return _with_storage(copy, storage)


def _with_storage(graph: Any, storage: Any) -> Any:
    graph.storage, graph.own_fields = storage, False
    graph.referenced_objects = [storage]  # SWIG keeps no reference itself
    return graph


def centroids_of(index: Any) -> npt.NDArray[np.float32]:
    """Return the centroids of an IVF kind, (lists, dim)."""
    centroids: npt.NDArray[np.float32] = faiss.downcast_index(index.quantizer).reconstruct_n(0, index.nlist)
    return centroids


def split_lists(index: Any) -> list[Codes]:
    """Return copies of the inverted lists of an IVF kind: rows and codes."""
    lists = faiss.downcast_InvertedLists(index.invlists)
    return [_one_list(index, lists, number) for number in range(index.nlist)]


def _one_list(index: Any, lists: Any, number: int) -> Codes:
    size = lists.list_size(number)
    if not size:
        return np.zeros(0, np.int64), np.zeros((0, index.code_size), np.uint8)
    rows = faiss.rev_swig_ptr(lists.get_ids(number), size).copy()
    if not isinstance(lists, faiss.BlockInvertedLists):
        flat = faiss.rev_swig_ptr(lists.get_codes(number), size * index.code_size)
        return rows, flat.reshape(size, -1).copy()
    blocks = -(-size // lists.n_per_block)
    packed = faiss.rev_swig_ptr(lists.get_codes(number), blocks * lists.block_size)
    codes = np.zeros((blocks * lists.n_per_block, lists.packer.code_size), np.uint8)
    for block in range(blocks):
        lists.packer.unpack_all(
            faiss.swig_ptr(packed[block * lists.block_size :]),
            faiss.swig_ptr(codes[block * lists.n_per_block :]),
        )
    return rows, codes[:size]


def from_lists(index: Any, centroids: npt.NDArray[np.float32], lists: Sequence[Codes]) -> Any:
    """Create an index with the same codebooks from centroids and lists; it contains nothing of the old lists."""
    packed = isinstance(index, faiss.IndexIVFPQFastScan)
    new = _unpacked(centroids, index.pq) if packed else _empty_ivf(centroids)
    for number, (rows, codes) in enumerate(lists):
        if len(rows):
            rows, codes = np.ascontiguousarray(rows), np.ascontiguousarray(codes)
            new.invlists.add_entries(number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(codes))
            new.ntotal += len(rows)
    return faiss.IndexIVFPQFastScan(new) if packed else new


def to_bytes(index: Any) -> npt.NDArray[np.uint8]:
    """Serialise an index; for HNSW, only the graph."""
    writer = faiss.VectorIOWriter()
    faiss.write_index(index, writer, faiss.IO_FLAG_SKIP_STORAGE)
    data: npt.NDArray[np.uint8] = faiss.vector_to_array(writer.data)
    return data


def trained_sha256(index: Any) -> str:
    """Return the SHA-256 of the trained parts: centroids and codebooks; for HNSW, the graph."""
    digest = hashlib.sha256()
    if isinstance(index, faiss.IndexHNSWSQ):
        digest.update(faiss.vector_to_array(index.hnsw.neighbors).data)
        return digest.hexdigest()
    digest.update(centroids_of(index).data)
    if isinstance(index, faiss.IndexIVFPQFastScan):
        digest.update(faiss.vector_to_array(index.pq.centroids).data)
    return digest.hexdigest()


def read(kind: str, data: npt.NDArray[np.uint8], vectors: Float16) -> Any:
    """Open a serialised index in place, and check that it is a valid index of its kind over the given vectors.

    Parameters
    ----------
    kind : str
    data : ndarray of uint8, contiguous
        /ann/data. The index points into it and keeps it alive.
    vectors : ndarray, shape (n, dim), float16
        The vectors that HNSW searches.

    Raises
    ------
    ImindexError
        If it is invalid, in which case a search could read outside its memory.
    """
    check_bytes(kind, data, *vectors.shape)
    flags = faiss.IO_FLAG_READ_ONLY | faiss.IO_FLAG_SKIP_STORAGE
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(data), data.size)
    try:
        index = faiss.read_index(reader, flags)
    except (RuntimeError, MemoryError) as error:
        raise damaged(f"FAISS cannot read it: {str(error).splitlines()[0]}") from error
    if reader.rp_ != data.size:  # FAISS allows a view to extend a few bytes beyond the end
        raise damaged(f"{data.size} bytes, where {reader.rp_} were expected")
    n, dim = vectors.shape
    if (index.ntotal, index.d, index.metric_type) != (n, dim, faiss.METRIC_INNER_PRODUCT):
        raise damaged(f"{index.ntotal} rows of {index.d} numbers, not {n} of {dim}")
    checks: dict[str, Callable[[Any, int, int], str]] = {
        IVF_PQ: _wrong_ivf, IVF: _wrong_ivf, HNSW: _wrong_graph,
    }  # fmt: skip
    wrong = checks[kind](index, n, dim)
    if wrong:
        raise damaged(wrong)
    if kind == HNSW:
        _with_storage(index, in_place(vectors))
    index.referenced_objects = [*getattr(index, "referenced_objects", []), data, vectors]
    return index


def _wrong_ivf(index: Any, n: int, dim: int) -> str:
    packed = isinstance(index, faiss.IndexIVFPQFastScan)
    if not (packed or isinstance(index, faiss.IndexIVFScalarQuantizer)) or index.by_residual:
        return f"a {type(index).__name__}"
    coarse, lists = faiss.downcast_index(index.quantizer), faiss.downcast_InvertedLists(index.invlists)
    if type(coarse) is not faiss.IndexFlatIP or (coarse.ntotal, coarse.d) != (index.nlist, dim):
        return "centroids and lists are inconsistent"
    if packed:
        m = index.pq.M
        sound = dim % m == 0 and index.pq.nbits == 4 and index.pq.centroids.size() == 16 * dim
        sound &= type(lists) is faiss.BlockInvertedLists and lists.n_per_block == index.bbs == 32
        sound &= lists.block_size == 32 * (m + m % 2) // 2
    else:
        sound = type(lists) is faiss.ArrayInvertedLists and index.code_size == lists.code_size == 2 * dim
        sound &= index.sq.qtype == faiss.ScalarQuantizer.QT_fp16
    if not sound or lists.nlist != index.nlist:
        return "the codes do not match the kind"
    rows = [
        faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number))
        for number in range(index.nlist)
        if lists.list_size(number)
    ]
    counted = np.zeros(n, np.bool_)
    all_rows = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    if len(all_rows) != n or (n and not (all_rows.min() >= 0 and all_rows.max() < n)):
        return "the lists hold other rows than the file"
    counted[all_rows] = True
    return "" if counted.all() else "a row is in two lists"


def _wrong_graph(index: Any, n: int, _: int) -> str:
    if type(index) is not faiss.IndexHNSWSQ:
        return f"a {type(index).__name__}"
    # FAISS has already checked that all links stay inside the graph (validate_HNSW).
    if len(faiss.vector_to_array(index.hnsw.levels)) != n:
        return "the graph has other rows than the file"
    return ""
