"""Hot paths do no unnecessary work: counts of files, bytes, decodings and searches, never times."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from imindex.indexer.ann import exact as ann
from imindex.indexer.build.build import build
from imindex.indexer.decode import preprocess as images
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.sources.find import find
from imindex.indexer.store import index as store
from imindex.indexer.store.index import Index
from imindex.retrieval.search import query
from imindex.retrieval.vectors.rough import RoughTable

N_WORKS, N_IMITATIONS = 14, 9
TREE = {"works/ada": 8, "works/bo": 6, "imitations/r1/ada": N_IMITATIONS}
N = N_WORKS + N_IMITATIONS


class Counts:
    """The operations counted since `watching` began.

    Attributes
    ----------
    opened : Counter
        Picture files below the watched folder, by name, however they were opened.
    decoded, batches, encoded, loaded : int
        Decodings; calls of the encoder and pictures in them; encoders that were loaded.
    searches : list of int
        Queries in each call of FAISS.
    """

    def __init__(self, folder: Path):
        self.folder = os.fspath(folder) + os.sep
        self.opened: Counter[str] = Counter()
        self.decoded = self.batches = self.encoded = self.loaded = 0
        self.searches: list[int] = []
        self.lock = threading.Lock()

    @property
    def bytes_opened(self) -> int:
        return sum(Path(path).stat().st_size * times for path, times in self.opened.items())


_watched: list[Counts] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.fsdecode(arguments[0])
        for counts in _watched:
            if path.startswith(counts.folder):
                with counts.lock:
                    counts.opened[path] += 1


sys.addaudithook(_audit)  # hooks cannot be taken off again; without anybody watching this one does nothing


@contextmanager
def watching(counts: Counts) -> Iterator[Counts]:
    _watched.append(counts)
    try:
        yield counts
    finally:
        _watched.remove(counts)


@pytest.fixture
def counts(works: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Counts for a tree of distinct pictures that are an hour old."""
    root = works(TREE)
    long_ago = time.time() - 3600
    for path in root.rglob("*.png"):
        os.utime(path, (long_ago, long_ago))
    made = Counts(root)
    decode, search = images.decode, ann.faiss.IndexScalarQuantizer.search

    def count_decoding(*arguments: object, **options: object) -> images.Picture:
        with made.lock:
            made.decoded += 1
        return decode(*arguments, **options)  # type: ignore[arg-type]

    def count_search(index: object, queries: np.ndarray, *arguments: object, **options: object) -> object:
        made.searches.append(len(queries))
        return search(index, queries, *arguments, **options)

    monkeypatch.setattr(images, "decode", count_decoding)
    monkeypatch.setattr(ann.faiss.IndexScalarQuantizer, "search", count_search)
    return made


@pytest.fixture
def encoder(tiny_encoder: Encoder, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> LazyEncoder:
    """The tiny encoder with call counts, and batches of five pictures."""
    encode = tiny_encoder.encode_images

    def count_encoding(pixels: torch.Tensor) -> np.ndarray:
        counts.batches += 1
        counts.encoded += int(pixels.flatten(1).any(1).sum())  # a batch is filled up with black pictures
        return encode(pixels)

    def load() -> Encoder:
        counts.loaded += 1
        return tiny_encoder

    monkeypatch.setattr(tiny_encoder, "encode_images", count_encoding)
    return LazyEncoder(load, 5, tiny_encoder.info)


def test_first_build_opens_decodes_and_encodes_each_picture_once(
    counts: Counts, encoder: LazyEncoder, tmp_path: Path
) -> None:
    root = Path(counts.folder)
    with watching(counts):
        build(list(find([root])), tmp_path / "i.h5", encoder)
    files = sorted(map(str, root.rglob("*.png")))
    assert len(files) == N and counts.opened == dict.fromkeys(files, 1)
    assert (counts.decoded, counts.encoded, counts.batches, counts.loaded) == (N, N, -(-N // 5), 1)
    assert counts.bytes_opened == sum(Path(path).stat().st_size for path in files)
    assert not counts.searches


def test_an_unchanged_rebuild_opens_no_picture(counts: Counts, encoder: LazyEncoder, tmp_path: Path) -> None:
    root, path = Path(counts.folder), tmp_path / "i.h5"
    before = build(list(find([root])), path, encoder).root_digest
    inode = path.stat().st_ino
    counts.decoded = counts.encoded = counts.batches = counts.loaded = 0
    with watching(counts):
        report = build(list(find([root])), path, encoder)
    assert (report.unchanged, report.root_digest) == (N, before)
    assert counts.opened == {} and counts.bytes_opened == 0
    assert (counts.decoded, counts.encoded, counts.batches, counts.loaded) == (0, 0, 0, 0)
    assert path.stat().st_ino == inode  # nothing was written either


def test_only_new_or_changed_files_are_opened(counts: Counts, encoder: LazyEncoder, tmp_path: Path) -> None:
    root, path = Path(counts.folder), tmp_path / "i.h5"
    build(list(find([root])), path, encoder)
    changed, touched = root / "works/ada/000.png", root / "works/ada/001.png"
    changed.write_bytes((root / "works/bo/000.png").read_bytes())
    touched.touch()
    new = root / "works/bo/new.png"
    Image.new("RGB", (40, 40), "teal").save(new)
    counts.decoded = counts.encoded = 0
    with watching(counts):
        report = build(list(find([root])), path, encoder)
    assert counts.opened == dict.fromkeys(map(str, (changed, touched, new)), 1)
    assert (counts.decoded, counts.encoded, report.replaced, report.added) == (1, 1, 1, 1)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts by the system's own books")
def test_unchanged_rebuild_reads_little_more_than_the_tables(
    counts: Counts, encoder: LazyEncoder, tmp_path: Path
) -> None:
    root, path = Path(counts.folder), tmp_path / "i.h5"
    for number, file in enumerate(sorted(root.rglob("*.png"))):  # large enough to stand out
        noise = np.random.default_rng(number).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
        os.utime(file, (time.time() - 3600,) * 2)
    items = list(find([root]))
    pictures = sum(file.stat().st_size for file in root.rglob("*.png"))
    assert pictures > 4_000_000
    first = bytes_read(lambda: build(items, path, encoder))
    again = bytes_read(lambda: build(items, path, encoder))
    assert pictures <= first  # the books count what they should
    assert again < path.stat().st_size + 200_000 < pictures / 4


def bytes_read(do: Callable[[], object]) -> int:
    """Bytes that this process has read meanwhile, from files of any kind."""
    before = system_books()
    do()
    return system_books() - before


def system_books() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def test_query_encodes_once_and_passes_over_the_vectors_once(
    counts: Counts,
    encoder: LazyEncoder,
    tiny_encoder: Encoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, path = Path(counts.folder), tmp_path / "i.h5"
    build(list(find([root])), path, encoder)
    monkeypatch.setattr("imindex.indexer.encoders.load.load_as", lambda *_, **__: tiny_encoder)
    passes, rough = [], RoughTable.rough
    monkeypatch.setattr(RoughTable, "rough", lambda *said, **named: passes.append(1) or rough(*said, **named))
    asked = [root / "works/ada/000.png", root / "imitations/r1/ada/003.png"]
    for pictures in (asked[:1], asked):
        passes.clear()
        counts.decoded = counts.encoded = counts.batches = 0
        counts.searches.clear()
        counts.opened.clear()
        with watching(counts):
            found = query.ask(path, pictures, [], k=3)
        assert not found.rejects and [set(answer.kinds) for answer in found.queries] == [
            {"works", "imitations"}
        ] * len(pictures)
        assert counts.opened == dict.fromkeys(map(str, pictures), 1)
        assert (counts.decoded, counts.encoded, counts.batches) == (len(pictures), len(pictures), 1)
        # One pass over the vectors per query serves both kinds and the attribution.
        assert len(passes) == len(pictures) and not counts.searches


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the rows read of each column of an index."""
    counted: Counter[str] = Counter()
    texts, numbers, values = store.read_texts, Index.column, h5py.Dataset.__getitem__

    def count_texts(guard: object, descriptors: np.ndarray, key: str) -> list[bytes]:
        counted[key] += len(descriptors)
        return texts(guard, descriptors, key)

    def count_column(index: Index, name: str, group: str = "items") -> np.ndarray:
        column = numbers(index, name, group)
        if column.dtype != object:
            counted[f"{group}/{name}"] += len(column)
        return column

    def count_values(dataset: h5py.Dataset, *selection: object) -> object:
        counted[dataset.name] += 1
        return values(dataset, *selection)

    monkeypatch.setattr(store, "read_texts", count_texts)
    monkeypatch.setattr(Index, "column", count_column)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", count_values)
    return counted


def test_query_reads_text_of_displayed_rows_only(
    counts: Counts,
    encoder: LazyEncoder,
    tiny_encoder: Encoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    taken: Counter[str],
) -> None:
    root, path = Path(counts.folder), tmp_path / "i.h5"
    build(list(find([root])), path, encoder)
    monkeypatch.setattr("imindex.indexer.encoders.load.load_as", lambda *_, **__: tiny_encoder)
    taken.clear()
    query.ask(path, [], ["a text"], k=2)
    assert taken["items/artist"] and taken["items/collection"] and taken["artists/name"]  # the count counts
    assert taken["items/path"] <= 4 and taken["items/prompt"] <= 4  # two rows of two kinds
    assert not taken["items/caption"]
    with Index(path) as index:
        assert taken["items/sha256"] == index.n  # once, to leave out copies of works
    assert not any(name.startswith("/") for name in taken)  # nothing by h5py


def test_opening_an_index_reads_no_column_and_no_vector(
    counts: Counts, encoder: LazyEncoder, tmp_path: Path, taken: Counter[str]
) -> None:
    path = tmp_path / "i.h5"
    build(list(find([Path(counts.folder)])), path, encoder)
    taken.clear()
    with Index(path) as index:
        assert isinstance(index.vectors, np.memmap)
    assert {name.split("/")[0] for name in taken} == {"artists", "collections"}
