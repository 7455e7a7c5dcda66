"""Several index files read as one: the same columns and vectors as one file that is put together row by row."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.ann.exact import exact_searcher
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import Collection, item_columns, reject_columns
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_intact, unchanged_blocks
from imindex.indexer.store.joined import Joined
from imindex.indexer.store.joined_vectors import JoinedVectors
from imindex.indexer.store.opening import open_index
from imindex.indexer.system.index_files import index_files, one_file
from imindex.retrieval.search.nearest import nearest
from tests.support import example_index
from tests.support.example_index import example, row, vectors
from tests.support.parts import pieces, read, rich_index, union


def keys(random: np.random.Generator, n: int) -> list[Any]:
    rows = random.integers(-n, n, int(random.integers(0, 9))) if n else np.empty(0, np.int64)
    start, stop = sorted(random.integers(-n - 2, n + 3, 2).tolist())
    step = int(random.choice([-3, -2, -1, 1, 1, 1, 2, 5]))
    return [
        slice(start, stop), slice(start, stop, step), slice(stop, start, -abs(step)), slice(None), rows, rows.tolist(),
        random.random(n) < 0.3, np.sort(rows), *([int(random.integers(-n, n))] if n else []),
        (slice(start, stop), slice(0, 2)),
    ]  # fmt: skip


def test_joined_vectors_are_indexed_as_an_array() -> None:
    random = np.random.default_rng(0)
    for _ in range(150):
        segments, whole = [], [np.empty((0, 3), np.float16)]
        for _ in range(int(random.integers(1, 5))):
            table = random.standard_normal((int(random.integers(0, 6)), 3)).astype(np.float16)
            rows = np.flatnonzero(random.random(len(table)) < 0.7) if random.random() < 0.4 else None
            segments.append((table, rows))
            whole.append(table if rows is None else table[rows])
        joined, array = JoinedVectors(segments, 3), np.concatenate(whole)
        assert (joined.shape, joined.dtype, len(joined), joined.nbytes) == (
            array.shape, array.dtype, len(array), array.nbytes,
        )  # fmt: skip
        assert np.array_equal(np.asarray(joined), array)
        for key in keys(random, len(array)):
            value = joined[key]
            assert value.shape == array[key].shape and np.array_equal(value, array[key]), key


@pytest.mark.parametrize("key", [7, -8, [0, 7], np.ones(3, bool), np.zeros((1, 2), int), 0.5, "a"])
def test_joined_vectors_refuse_what_an_array_refuses(key: Any) -> None:
    joined = JoinedVectors([(np.zeros((4, 2), np.float16), None), (np.zeros((3, 2), np.float16), None)], 2)
    with pytest.raises(IndexError):
        joined[key]


def test_a_slice_within_a_file_is_no_copy() -> None:
    table = np.zeros((4, 2), np.float16)
    joined = JoinedVectors([(table, None), (table.copy(), None)], 2)
    assert np.shares_memory(joined[1:3], table) and not np.shares_memory(joined[3:5], table)


def same(one: Index, other: Index) -> None:
    assert one.n == other.n and one.n_rejects == other.n_rejects
    assert one.artists == other.artists and one.collections == other.collections
    for table in ("items", "rejects"):
        for name, values in getattr(one, table)().items():
            assert np.array_equal(values, other.column(name, table)), name
            assert values.dtype == other.column(name, table).dtype, name
    assert np.array_equal(np.asarray(one.vectors), np.asarray(other.vectors))
    chosen = np.random.default_rng(0).permutation(one.n)[:20]
    for name in ("path", "prompt", "arm", "caption"):
        assert one.text_at(name, chosen) == other.text_at(name, chosen)
    assert np.array_equal(
        np.concatenate([np.empty((0, one.encoder.dim), np.float16), *one.blocks(chosen)]), one.vectors[chosen]
    )


@pytest.mark.parametrize("seed", range(6))
def test_random_parts_are_the_whole(seed: int, tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", seed, n_artists=3)
    files = pieces(tmp_path / "x.h5", tmp_path, seed, 1 + seed % 6 + 1)
    root = union(files, tmp_path / "u.h5")
    with Index(tmp_path / "u.h5") as whole, open_index(tmp_path / "part-*.h5") as joined:
        assert isinstance(joined, Joined) and whole.root_digest == root
        same(joined, whole)
        require_intact(joined)
        wanted = np.flatnonzero(np.random.default_rng(seed).random(whole.n) < 0.5)
        for rows in (None, wanted):
            streamed = np.concatenate([np.empty((0, 8), np.float16), *unchanged_blocks(joined, rows)])
            assert np.array_equal(streamed, whole.vectors[slice(None) if rows is None else rows])
        for n_queries in (2, 20):  # FAISS, and blocks
            queries = np.asarray(whole.vectors[:n_queries])
            for among in (None, np.random.default_rng(seed).random(whole.n) < 0.4):
                one, other = (
                    nearest(exact_searcher(index.vectors), index.vectors, queries, k=12, among=among)
                    for index in (whole, joined)
                )
                assert np.array_equal(one.rows, other.rows) and np.array_equal(one.scores, other.scores)


def test_the_order_is_that_of_the_files_and_naturally_sorted(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        example_index.save(tmp_path / f"p{number}.h5", example(items=item_columns([row(number, 0, 0)])))
    with open_index(tmp_path / "p*.h5") as joined:
        assert joined.column("path").tolist() == ["1.png", "9.png", "10.png"]
    with open_index([tmp_path / "p10.h5", tmp_path / "p*.h5"]) as joined:  # named twice, it counts once
        assert joined.column("path").tolist() == ["10.png", "1.png", "9.png"]
        assert joined.files == tuple(str(tmp_path / f"p{number}.h5") for number in (10, 1, 9))


def two(
    folder: Path, first: Any, second: Any, tables: Sequence[np.ndarray | None] = (None, None)
) -> list[Path]:
    files = [folder / "a.h5", folder / "b.h5"]
    for file, contents, table in zip(files, (first, second), tables, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        example_index.save(file, contents, table)
    return files


def of(*rows: dict[str, Any], rejects: Sequence[dict[str, Any]] = (), **changes: Any) -> Any:
    return example(items=item_columns(rows), rejects=reject_columns(rejects), **changes)


def test_artists_and_collections_are_numbered_by_first_appearance(tmp_path: Path) -> None:
    more = (Collection("r2", "imitations"), Collection("works", "works"), Collection("works", "background"))
    files = two(
        tmp_path,
        of(row(1, 1, 0), row(2, -1, 1)),
        of(row(3, 0, 1), row(4, 1, 0), row(5, 2, 2), artists=("Cy", "Zoë", "Dee"), collections=more),
    )
    with open_index(files) as joined:
        assert joined.artists == ("Ada Lovelace", "Bo O'Brien", "Zoë", "Cy", "Dee")
        assert joined.column("artist").tolist() == [1, -1, 3, 2, 4]
        assert [(c.name, c.kind) for c in joined.collections] == [
            ("works", "works"), ("r1", "imitations"), ("r2", "imitations"), ("works", "background"),
        ]  # fmt: skip
        assert joined.column("collection").tolist() == [0, 1, 0, 2, 3]


def test_names_in_another_spelling_are_one(tmp_path: Path) -> None:
    files = two(
        tmp_path,
        of(row(1, 0, 0), artists=("Zoë  Example",)),
        of(row(2, 0, 0), row(3, 1, 0), artists=("Zoe\u0308 Example", "Bo")),
    )
    with open_index(files) as joined:
        assert joined.artists == ("Zoë  Example", "Bo") and joined.column("artist").tolist() == [0, 0, 1]


def test_the_same_picture_in_two_files_is_one_row(tmp_path: Path) -> None:
    table = vectors(3)
    again = REJECT | {"sha256": bytes(32), "path": "x.png"}
    files = two(
        tmp_path,
        of(row(1, 0, 0, prompt="first"), row(2, 1, 0), row(3, 0, 1)),
        of(row(4, 2, 0), row(1, 0, 0, prompt="second"), row(2, 2, 0), rejects=[again]),
        (table, table[[2, 0, 1]]),
    )  # fmt: skip
    with open_index(files) as joined:
        assert (joined.n, joined.n_repeated, joined.n_rejects) == (5, 1, 1)
        assert joined.column("prompt").tolist() == ["first", "", "", "", ""]
        assert joined.column("path").tolist() == ["1.png", "2.png", "3.png", "4.png", "2.png"]
        assert np.array_equal(np.asarray(joined.vectors), table[[0, 1, 2, 2, 1]])
        assert np.array_equal(np.concatenate(list(unchanged_blocks(joined))), table[[0, 1, 2, 2, 1]])
        assert any("count" in note for note in joined.notes)
        assert joined.text_at("path", np.array([3, 4])) == ["4.png", "2.png"]


REJECT = {"artist": 0, "collection": 0, "path": "1.png", "reason": "cannot be read"}


@pytest.mark.parametrize("digest", [bytes(32), example_index.digest(1)])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_reject_gives_way_to_a_row(digest: bytes, swapped: bool, tmp_path: Path) -> None:
    contents = [of(row(1, 0, 0)), of(row(2, 0, 0), rejects=[REJECT | {"sha256": digest}])]
    files = two(tmp_path, *(contents[::-1] if swapped else contents))
    with open_index(files) as joined:
        assert (joined.n, joined.n_rejects, joined.n_repeated) == (2, 0, 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (of(row(1, 0, 0)), of(row(1, 0, 0, sha256=b"x" * 32))),
        (of(row(1, 0, 0)), of(row(2, 0, 0), rejects=[REJECT | {"sha256": b"x" * 32}])),
        (
            of(row(2, 0, 0), rejects=[REJECT | {"sha256": b"y" * 32}]),
            of(row(3, 0, 0), rejects=[REJECT | {"sha256": b"x" * 32}]),
        ),
    ],
)
def test_a_picture_with_other_bytes_is_refused(first: Any, second: Any, tmp_path: Path) -> None:
    files = two(tmp_path, first, second)
    with pytest.raises(ImindexError, match=r"both hold 1\.png, with other bytes.*imindex build"):
        open_index(files)


def test_another_vector_of_the_same_picture_is_refused(tmp_path: Path) -> None:
    files = two(tmp_path, of(row(1, 0, 0)), of(row(1, 0, 0), row(2, 0, 0)), (vectors(1), vectors(2, seed=1)))
    with pytest.raises(ImindexError, match=r"another vector of the same bytes.*arithmetic"):
        open_index(files)


@pytest.mark.parametrize("seed", range(8))
def test_overlaps_are_found_as_by_brute_force(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    table = vectors(12)
    files, wanted, known = [], [], set()
    for name in "abc":
        chosen = random.permutation(12)[: int(random.integers(1, 9))].tolist()
        rows = [row(number, number % 3, number % 2) for number in chosen]
        files.append(tmp_path / f"{name}.h5")
        example_index.save(files[-1], of(*rows), table[chosen])
        wanted += [number for number in chosen if number not in known]
        known |= set(chosen)
    if len({str(read(file)[0].items["path"]) for file in files}) < 3:
        return  # two files of equal content are refused
    with open_index(files) as joined:
        assert joined.column("path").tolist() == [f"{number}.png" for number in wanted]
        assert np.array_equal(np.asarray(joined.vectors), table[wanted])


PREPROCESS = example().encoder.preprocess


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"precision": "bf16"}, "precision fp32 against bf16"),
        ({"weights_sha256": "cd" * 32}, "weights"),
        ({"preprocess": {**PREPROCESS, "color": "srgb"}}, "color"),
        ({"preprocess": {**PREPROCESS, "truncated": "accept"}}, "truncated pictures reject against accept"),
        ({"preprocess": {**PREPROCESS, "size": 64}}, "preprocessing"),
        ({"config": {"embed_dim": 8, "quick_gelu": True}}, "quick_gelu"),
    ],
)
def test_other_encoders_are_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    other = replace(example().encoder, **changes)
    files = two(tmp_path, of(row(1, 0, 0)), of(row(2, 0, 0), encoder=other))
    with pytest.raises(ImindexError, match=said):
        open_index(files)


def test_an_encoder_of_unknown_tokens_is_that_of_known_ones(tmp_path: Path) -> None:
    known = replace(example().encoder, tokens_sha256="ef" * 32)
    files = two(tmp_path, of(row(1, 0, 0)), of(row(2, 0, 0), encoder=known))
    with open_index(files) as joined:
        assert joined.encoder == known


def test_copies_of_a_file_are_refused_and_links_count_once(tmp_path: Path) -> None:
    example_index.save(tmp_path / "a.h5")
    os.link(tmp_path / "a.h5", tmp_path / "b.h5")
    (tmp_path / "c.h5").symlink_to("a.h5")
    with open_index(tmp_path / "*.h5") as index:
        assert not isinstance(index, Joined) and index.files == str(tmp_path / "a.h5")
    shutil.copy(tmp_path / "a.h5", tmp_path / "d.h5")
    with pytest.raises(ImindexError, match=r"a\.h5 and .*d\.h5 have the same content"):
        open_index(tmp_path / "*.h5")


def test_a_pattern_leaves_out_what_imindex_leaves_beside_an_index(tmp_path: Path) -> None:
    for number in (1, 2):
        example_index.save(tmp_path / f"part-{number}.h5", example(items=item_columns([row(number, 0, 0)])))
    (tmp_path / "part-1.h5.parts").mkdir()
    (tmp_path / ".part-3.h5.0123456789abcdef.imindex-new").write_bytes(b"")
    (tmp_path / "part-3.h5.imindex-new").write_bytes(b"x")
    assert index_files(tmp_path / "part-*") == [tmp_path / "part-1.h5", tmp_path / "part-2.h5"]
    (tmp_path / "part-3.h5").write_bytes((tmp_path / "part-1.h5").read_bytes()[:4096])
    with pytest.raises(ImindexError, match=r"part-3\.h5 ends early"):
        open_index(tmp_path / "part-*")
    (tmp_path / "part-3.h5").write_text("notes")
    with pytest.raises(ImindexError, match=r"part-3\.h5 cannot be opened as an HDF5 file"):
        open_index(tmp_path / "part-*.h5")


def test_names_and_patterns(tmp_path: Path) -> None:
    example_index.save(tmp_path / "a[1].h5")
    with open_index(tmp_path / "a[1].h5") as index:  # a file of this very name
        assert index.n == 6
    with pytest.raises(ImindexError, match="matches no files"):
        index_files(tmp_path / "b*.h5")
    with pytest.raises(ImindexError, match="does not exist"):
        open_index(tmp_path / "b.h5")
    with pytest.raises(ImindexError, match="No index is named"):
        index_files([])
    example_index.save(tmp_path / "b.h5")
    with pytest.raises(ImindexError, match=r"takes one index.*imindex merge"):
        one_file(tmp_path / "*.h5", "imindex optimize")


def test_paths_are_relative_to_the_folder_of_the_first_file(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two/three"]
    paths = [
        "art/a.png",
        "../b.png",
        "//root/c.png",
        "s3://bucket/d.png",
        "../e/0.tar::./x/../y.png",
        "f.png",
    ]
    files = []
    for place, folder in enumerate(folders):
        folder.mkdir(parents=True)
        mine = [path.replace("c.png", f"{place}.png").replace("d.png", f"{place}.png") for path in paths]
        rows = [row(10 * place + n, 0, 0, path=path) for n, path in enumerate(mine)]
        files.append(folder / "i.h5")
        gone = REJECT | {"sha256": bytes(32), "path": "gone.png"}
        example_index.save(files[-1], of(*rows, rejects=[gone], roots={"root": str(tmp_path)}))
    with Index(files[0]) as first, Index(files[1]) as second, open_index(files[::-1]) as joined:
        assert joined.folder == folders[1]
        stored = joined.column("path").tolist()
        assert stored[:6] == second.column("path").tolist() and stored[3] == "s3://bucket/1.png"
        assert stored[6:8] == ["../../one/art/a.png", "../../b.png"]
        assert stored[10] == "../../e/0.tar::./x/../y.png"
        assert joined.column("path", "rejects").tolist() == ["gone.png", "../../one/gone.png"]
        assert joined.text_at("path", np.array([6, 11])) == ["../../one/art/a.png", "../../one/f.png"]
        for part, start in ((second, 0), (first, 6)):
            for n in (0, 1, 2, 5):
                own = part.places().full(part.column("path")[n])
                assert own is not None and own == joined.places().full(stored[start + n])


def test_roots_that_differ_are_told(tmp_path: Path) -> None:
    files = two(
        tmp_path,
        of(row(1, 0, 0, path="//art/a.png"), roots={"art": "/one"}),
        of(row(2, 0, 0, path="//art/b.png"), roots={"art": "/two"}),
    )
    with open_index(files) as joined:
        assert joined.roots == {"art": "/one"} and "--root art=FOLDER" in joined.notes[0]
    with open_index(files, roots={"art": tmp_path}) as joined:
        assert not joined.notes and joined.places().full("//art/b.png") == str(tmp_path / "b.png")


def test_collections_of_different_generators_are_refused(tmp_path: Path) -> None:
    other = (Collection("works", "works"), Collection("r1", "imitations", {"steps": 20}))
    files = two(tmp_path, of(row(1, 0, 1)), of(row(2, 0, 1), collections=other))
    with pytest.raises(ImindexError, match="both have a collection r1, made by different generators"):
        open_index(files)
    unknown = (Collection("r1", "imitations"),)
    files = two(tmp_path, of(row(2, 0, 0), collections=unknown), of(row(1, 0, 1)))
    with open_index(files) as joined:
        assert joined.collections[0].generator == example().collections[1].generator


def test_what_takes_one_file_says_so_and_a_closed_index_too(tmp_path: Path) -> None:
    files = two(tmp_path, of(row(1, 0, 0)), of(row(2, 0, 0)))
    joined = open_index(files)
    with pytest.raises(ImindexError, match=r"several files.*imindex merge"):
        joined.raw()
    joined.close()
    with pytest.raises(ImindexError, match="closed"):
        joined.column("artist")


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    files = two(tmp_path, of(row(1, 0, 0)), of(row(2, 0, 0)))
    data = bytearray(files[1].read_bytes())
    place = data.index(read(files[1])[1].tobytes())
    data[place] ^= 1
    files[1].write_bytes(data)
    with open_index(files) as joined, pytest.raises(ImindexError, match=r"b\.h5 is damaged: vectors"):
        require_intact(joined)


def test_the_chained_digest_depends_on_the_parts_and_their_order(tmp_path: Path) -> None:
    files = two(tmp_path, of(row(1, 0, 0)), of(row(2, 0, 0)))
    example_index.save(tmp_path / "c.h5", of(row(3, 0, 0)))
    digests = set()
    for chosen in (files, files[::-1], [files[0], tmp_path / "c.h5"], [*files, tmp_path / "c.h5"]):
        with open_index(chosen) as joined:
            digests.add(joined.root_digest)
    assert len(digests) == 4


def test_every_public_name_of_an_index_is_defined_for_several() -> None:
    inherited = {name for name in vars(Index) if not name.startswith("_")} - set(vars(Joined))
    # These are made of the others, or are attributes that `Joined` sets.
    assert inherited == {"items", "rejects", "contents", "notes", "n_repeated", "require_open", "digest_at"}
