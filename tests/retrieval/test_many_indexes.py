"""Queries, classification, matching, comparison and power over parts: the results of the single file, to the bit.

Only fields that name the index differ: `index`, `root-digest` (of several files, the chained digest), and in a query
the same `index`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.maintain.merge import merge
from imindex.indexer.maintain.split import split
from imindex.indexer.store.index import Index
from imindex.retrieval import api
from imindex.retrieval.evidence.power_plan import from_index
from imindex.retrieval.results import to_dict
from tests.support.commands import run
from tests.support.parts import pieces, rich_index, union

NAMES_THE_INDEX = {"index", "root-digest", "root_digest", "source"}


def without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_names(inner) for key, inner in value.items() if key not in NAMES_THE_INDEX}
    return [without_names(inner) for inner in value] if isinstance(value, list) else value


def same(one: Any, other: Any) -> None:
    one, other = (json.dumps(without_names(to_dict(result)), sort_keys=True) for result in (one, other))
    assert one == other


def results(place: Any, seed: int) -> list[Any]:
    """Some results of an index that need no encoder: a matching with all tests, and others by the seed."""
    testing = api.Testing(n_resamples=99, seed=seed)
    other = api.Testing(n_resamples=99, statistic="rank", adjust="bh", background=7)
    with api.open(place) as index:
        if seed % 4 == 0:
            return [index.match("r1", testing=testing, csls=True), power(place)]
        if seed % 4 == 1:
            return [index.match("r2", testing=other), index.match("r1", testing=None)]
        if seed % 4 == 2:
            return [index.classify("r1", by="works", testing=testing)]
        return [index.compare("r1", "r2", no_names=True, n_resamples=99)]


def power(place: Any) -> Any:
    try:
        return from_index(place, "r1").__dict__ | {"variances": None}
    except api.ImindexError as error:
        return {"refused": str(error).partition(" is too small")[2]}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("how", ["rows", "cuts", "artists"])
def test_results_over_parts_are_those_of_the_single_file(how: str, seed: int, tmp_path: Path) -> None:
    whole = tmp_path / "x.h5"
    rich_index(whole, seed, ties=(seed + len(how)) % 2 == 1)
    folder = tmp_path / "parts"
    folder.mkdir()
    if how == "cuts":  # parts of any origin: the single file is put together row by row
        union(pieces(whole, folder, seed, 3), tmp_path / "one.h5")
        whole = tmp_path / "one.h5"
    elif how == "rows":
        split(whole, folder, rows=int(np.random.default_rng(seed).integers(1, 120)))
    else:
        split(whole, folder, by_artist=True)
        merge(folder / "x-*.h5", tmp_path / "one.h5")
        whole = tmp_path / "one.h5"
    for one, other in zip(results(whole, seed), results(folder / "*.h5", seed), strict=True):
        same(one, other)


def test_a_split_by_artist_has_the_findings_of_the_index(tmp_path: Path) -> None:
    """The rows are in another order: figures that no draw enters are the same, up to rounding."""
    rich_index(tmp_path / "x.h5", 4)
    split(tmp_path / "x.h5", tmp_path / "parts", by_artist=True)
    with api.open(tmp_path / "x.h5") as whole, api.open(tmp_path / "parts/*.h5") as parts:
        one, other = (index.match("r1", testing=None) for index in (whole, parts))
    figures = [
        {row.artist: (row.auc, row.n_works, row.n_imitations) for row in r.artists} for r in (one, other)
    ]
    assert figures[0].keys() == figures[1].keys()
    for artist, (auc, *numbers) in figures[0].items():
        assert figures[1][artist][1:] == tuple(numbers)
        assert figures[1][artist][0] == (None if auc is None else pytest.approx(auc, abs=1e-12))


def test_duplicates_between_parts_change_nothing(tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", 2)
    first, second = (
        split(tmp_path / "x.h5", tmp_path / name, rows=n).files for name, n in (("a", 150), ("b", 60))
    )
    for file in (*first, *second):  # paths are relative to the same folder in all of them
        file.rename(tmp_path / f"{file.parent.name}{file.name}")
    files = [tmp_path / f"a{first[0].name}", *(tmp_path / f"b{file.name}" for file in second)]
    with Index(tmp_path / "x.h5") as index:
        n = index.n
    with api.open(files) as joined:
        assert len(joined) == n and joined.notes
    for seed in (1, 2):
        for one, other in zip(results(tmp_path / "x.h5", seed), results(files, seed), strict=True):
            same(one, other)


def test_results_name_the_parts(tmp_path: Path) -> None:
    rich_index(tmp_path / "x.h5", 1)
    files = split(tmp_path / "x.h5", rows=90).files
    named = [str(file) for file in files]
    with api.open(tmp_path / "x-*.h5") as joined, api.open(tmp_path / "x.h5") as one:
        comparison = joined.compare("r1", "r2", no_names=True, n_resamples=99)
        assert list(comparison.base.index) == named and comparison.new.root_digest == joined.root_digest
        assert list(joined.files) == named and one.files == str(tmp_path / "x.h5")
        joined.write_report(joined.match("r1", testing=None), tmp_path / "page.html", pictures=False)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(file.name in page for file in files)


@pytest.fixture(scope="module")
def parts(two_releases: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """Parts of the index of `two_releases`, in another folder; do not modify."""
    folder = tmp_path_factory.mktemp("parts")
    return split(two_releases / "i.h5", folder, rows=37).files


def printed(*words: object) -> Any:
    return json.loads(run(*words, "--json").stdout)


def test_the_commands_print_the_same_json(two_releases: Path, parts: Sequence[Path], tmp_path: Path) -> None:
    on = ("--device", "cpu", "--trust-encoder")
    tests = ("--placebo", "placebo *", "--resamples", "99")
    lines: list[tuple[object, ...]] = [
        ("match", "--collection", "r2", *tests, "--csls"),
        ("classify", "--collection", "r2", *tests, *on),
        ("classify", "--collection", "r2", "--by", "works", *tests, *on),
        ("compare", "r1", "r2", *tests, *on),
        ("power", "--collection", "r2", "--placebo", "placebo *", "--artists", "5", "--resamples", "99"),
    ]
    merge(parts, tmp_path / "one.h5")
    for line in lines:
        one = printed(*line, "-i", tmp_path / "one.h5")
        several = printed(*line, "-i", parts[0].parent / "i-*.h5")
        assert without_names(one) == without_names(several), line[0]
    pictures = sorted((two_releases / "works").glob("*/*.png"))[:9]
    for queries in (pictures[:2], pictures):
        for more in ((), ("--text", "Artwork from ada"), ("--artist", "ada", "-k", "3")):
            words = ("query", *queries, *more, *on)
            one = printed(*words, "-i", two_releases / "i.h5")
            several = printed(*words, "-i", parts[0].parent / "i-*.h5")
            moved = json.dumps(without_names(one)).replace('"path": "', '"path": "@')
            assert len(several["index"]) == len(parts) and one["index"] == str(two_releases / "i.h5")
            with Index(two_releases / "i.h5") as index, api.open(parts) as joined:
                paths = dict(zip(index.column("path"), joined._index.column("path"), strict=True))
            for old, new in paths.items():
                moved = moved.replace(f'"path": "@{old}"', f'"path": "{new}"')
            assert json.loads(moved) == without_names(several)


def test_pictures_of_parts_in_several_folders_are_verified(
    two_releases: Path, parts: Sequence[Path], tmp_path: Path
) -> None:
    words = (
        "verify",
        *(word for file in parts for word in ("-i", file)),
        "--pictures",
        "--root",
        two_releases,
    )
    said = json.loads(run(*words, "--json").stdout)
    assert said["sound"] and sum(file["pictures"]["same"] for file in said["files"]) == said["rows"]
