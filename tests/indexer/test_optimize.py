"""`imindex optimize`: its choices and refusals, crashes, and which commands use the result."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from imindex import main
from imindex.indexer.ann import exact as ann
from imindex.indexer.ann import tuning as ann_measure
from imindex.indexer.ann.approximate import ApproximateSearcher
from imindex.indexer.ann.exact import ExactSearcher
from imindex.indexer.ann.record import Record
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.maintain import optimize as module
from imindex.indexer.maintain.optimize import optimize
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import SUFFIX
from tests.support.approximate import (
    N,
    clustered,
    contents,
    copy,
    run,
    save,
)
from tests.support.commands import last_line
from tests.support.pictures import picture
from tests.support.places import ROOT


@pytest.fixture
def path(optimized: dict[str, Path], tmp_path: Path) -> Path:
    return copy(optimized["ivf-pq"], tmp_path)


# Choosing


def test_small_index_stays_exact_and_explains_why(optimized: dict[str, Path], tmp_path: Path) -> None:
    path = copy(optimized["exact"], tmp_path)
    before = path.read_bytes()
    result = run("optimize", "-i", path)
    assert "stays exact: an exact search of fewer than 100,000 rows takes milliseconds." in result.stdout
    said = json.loads(run("optimize", "-i", path, "--json").stdout)
    assert said["kind"] == "exact-fp16" and said["changed"] is False and said["recall"] == 1
    assert path.read_bytes() == before


def test_the_last_sentence_says_what_one_search_takes_and_what_a_whole_command_gains(
    optimized: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times are those of searches of the new file, by a clock that only searches move."""
    now, searched = [0.0], []

    def timed(searcher: type, seconds: float) -> None:
        search = searcher.search

        def then_later(self: Any, queries: np.ndarray, k: int, **options: Any) -> Any:
            found = search(self, queries, k, **options)
            if len(queries) == 1:
                searched.append(searcher.__name__)
                now[0] += seconds * (1 + searched.count(searcher.__name__) % 3)  # the quickest counts
            return found

        monkeypatch.setattr(searcher, "search", then_later)

    path = copy(optimized["exact"], tmp_path)
    timed(ApproximateSearcher, 0.0005)
    timed(ExactSearcher, 0.025)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    said = run("optimize", "--kind", "ivf-pq", "-i", path).stdout.splitlines()[-1]
    assert said == (
        "One search takes 0.5 ms (exact: 25 ms). This pays for many queries at once and in a process that stays: "
        "a single `imindex query` by picture spends most of its time on loading the encoder, and is hardly quicker."
    )
    assert searched == ["ApproximateSearcher"] * 5 + ["ExactSearcher"] * 5
    report = json.loads(run("optimize", "--kind", "exact", "-i", path, "--json").stdout)
    assert report["search_seconds"] == report["exact_seconds"] == 0


def test_auto_chooses_a_kind_that_fits_and_is_worthwhile(
    optimized: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXACT_ROWS", N)
    path = copy(optimized["exact"], tmp_path)
    assert "hardly faster" in optimize(path).reason  # of 5,000 rows of 32 numbers
    monkeypatch.setattr(module, "_MIN_SPEEDUP", 1e-3)
    assert "more than the limit of 10,000" in optimize(path, memory=10_000).reason
    assert optimize(path, memory=10**6).kind == "ivf-pq"
    assert optimize(path, memory=10_000).changed  # asked again, with less: it is taken back
    with Index(path) as index:
        assert index.ann() == ann.describe()
    monkeypatch.setattr(module, "make", lambda *_, **__: None)
    assert "does not reach recall@10 0.95" in optimize(path).reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "ivf"}, "Raise the limit with --memory"),
        ({"kind": "hnsw", "memory": 1000}, "Raise the limit with --memory"),
        ({"recall": 0.0}, "is not above 0"),
        ({"recall": 1.5}, "at most 1"),
    ],
)
def test_impossible_requests_are_refused_and_change_nothing(
    optimized: dict[str, Path], tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    path = copy(optimized["exact"], tmp_path)
    before = path.read_bytes()
    with pytest.raises(ImindexError, match=said):
        optimize(path, **options)
    assert path.read_bytes() == before


def test_a_named_kind_needs_rows_and_the_recall(
    optimized: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in (0, 999):
        with pytest.raises(ImindexError, match="needs at least 1000"):
            optimize(save(tmp_path / f"{n}.h5", clustered(n)), kind="ivf-pq")
    path = copy(optimized["exact"], tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(ann_measure, "reaches", lambda *_: False)
    with pytest.raises(ImindexError, match="does not reach"):
        optimize(path, kind="ivf-pq")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("said", "size"), [("500MB", 5 * 10**8), ("1.5GiB", 3 * 2**29), ("2 gb", 2 * 10**9), ("1048576", 2**20)]
)
def test_sizes(said: str, size: int) -> None:
    from imindex.indexer.cli.optimize import Size

    assert Size().convert(said, None, None) == size
    for wrong in ("", "GB", "1XB", "-1", "0", "7", "1IB"):
        assert "Usage" in run("optimize", "--memory", wrong, code=2).output


# Crashes

KILLED = """
    import os, signal, sys
    from pathlib import Path
    from imindex.indexer.maintain import optimize as module
    from imindex.indexer.store import writer as store_write
    place = sys.argv[2]
    def kill(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)
    if place == "train":
        module.make = kill
    if place == "write":
        store_write._write_log = kill
    if place == "rename":
        Path.replace = kill
    module.optimize(Path(sys.argv[1]), kind="ivf-pq")
"""


@pytest.mark.parametrize("place", ["train", "write", "rename"])
def test_sigkill_leaves_the_old_file(optimized: dict[str, Path], tmp_path: Path, place: str) -> None:
    path = copy(optimized["exact"], tmp_path)
    before = path.read_bytes()
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(path), place],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert path.read_bytes() == before
    assert optimize(path, kind="ivf-pq").changed
    assert not list(tmp_path.glob(f".*{SUFFIX}"))


# Commands


def test_info_says_kind_recall_parameters_and_size(optimized: dict[str, Path]) -> None:
    shown = " ".join(run("info", "-i", optimized["ivf-pq"]).stdout.split())
    with Index(optimized["ivf-pq"]) as index:
        record, size = Record.read(index.ann()), len(index.ann_data())
    assert f"ivf-pq, recall@10 {record.recall:.3f} on 250 held-out queries (target 0.95)" in shown
    assert f"nprobe {record.parameters['nprobe']}" in shown and f"{size / 1e6:.1f} MB" in shown
    said = json.loads(run("info", "-i", optimized["ivf-pq"], "--json").stdout)["ann"]
    assert said["recall"] == record.recall and said["bytes"] == size and said["rows-trained"] == N


@pytest.fixture
def asked(tiny_encoder: Encoder, tmp_path: Path) -> Path:
    """An optimized index of the tiny encoder, and a picture both in it and on disk."""
    import torch

    from imindex.indexer.decode.preprocess import decode

    picture(1).save(tmp_path / "one.png")
    shown = decode((tmp_path / "one.png").read_bytes(), tiny_encoder.preprocess).pixels
    table = clustered(3_000)
    table[17] = tiny_encoder.encode_images(torch.stack([shown]))[0]
    path = save(tmp_path / "i.h5", table, contents(3_000, tiny_encoder.info))
    optimize(path, kind="ivf-pq")
    return path


def test_query_uses_the_approximate_index_by_default(asked: Path) -> None:
    one = asked.parent / "one.png"
    quick = run("query", one, "-i", asked)
    assert "Neighbours are approximate (ivf-pq)" in quick.stderr and last_line(quick).endswith(
        "approximately."
    )
    said = json.loads(run("query", one, "-i", asked, "--json").stdout)["queries"][0]["kinds"]["works"]
    assert said["approximate"]["kind"] == "ivf-pq" and said["approximate"]["recall"] >= 0.95
    assert said["pictures"][0]["row"] == 17
    exact = run("query", one, "-i", asked, "--exact")
    assert "pproximate" not in exact.output and last_line(exact).endswith("exactly.")
    wanted = json.loads(run("query", one, "-i", asked, "--exact", "--json").stdout)
    text = run("query", "--text", "a picture", "-i", asked)
    assert last_line(text).endswith("exactly.")
    optimize(asked, kind="exact")
    assert json.loads(run("query", one, "-i", asked, "--json").stdout) == wanted
    assert run("query", "--text", "a picture", "-i", asked).stdout == text.stdout


def test_ranks_and_p_values_never_use_the_approximate_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_encoder: Encoder, asked: Path
) -> None:
    path = tmp_path / "both.h5"
    save(path, clustered(1_200), contents(1_200, tiny_encoder.info, imitations=800))
    few = ("--n-resamples", "99") if "--n-resamples" in run("match", "--help").stdout else ()
    commands = [("match", "-i", path, "--json", *few), ("classify", "-i", path, "--json", *few)]
    before = [run(*command).stdout for command in commands]
    attribution = query_attribution(asked)
    assert optimize(path, kind="ivf-pq", recall=0.5).changed

    def never(*_: object, **__: object) -> None:
        raise AssertionError("an approximate index was asked for ranks")

    monkeypatch.setattr(ApproximateSearcher, "_initialize", never)
    for command, wanted in zip(commands, before, strict=True):
        assert run(*command).stdout == wanted
    assert query_attribution(asked, "--exact") == attribution
    caught = CliRunner().invoke(main, ["query", str(asked.parent / "one.png"), "-i", str(asked)])
    assert "asked for ranks" in caught.output  # the trap works


def query_attribution(index: Path, *options: str) -> Any:
    said = json.loads(run("query", index.parent / "one.png", "-i", index, "--json", *options).stdout)
    return said["queries"][0]["attribution"]
