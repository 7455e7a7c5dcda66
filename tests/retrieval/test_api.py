"""The Python interface: `import imindex` against the commands and the underlying functions."""

from __future__ import annotations

import csv
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import imindex
from imindex.retrieval import api
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.search.query import ask
from tests.support.commands import run
from tests.support.places import ROOT


@pytest.fixture
def index(built: Path):
    with imindex.open(built) as opened:
        yield opened


def test_front_door_is_lazy_and_complete() -> None:
    code = "import sys, imindex; print(sorted({'torch', 'numpy', 'h5py', 'faiss'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(imindex.DOOR) == set(api.__all__) <= set(dir(imindex))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        imindex.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("method", "function"),
    [("query", ask), ("classify", classify_release), ("match", match_release)],
)
def test_defaults_equal_those_of_the_underlying_functions(method: str, function) -> None:
    door = inspect.signature(getattr(api.OpenIndex, method)).parameters
    behind = inspect.signature(function).parameters
    shared = (set(door) & set(behind)) - {"texts", "testing", "self"}
    assert len(shared) >= 4
    for name in shared:
        assert door[name].default == behind[name].default, name


def test_open_index_exposes_the_content_of_the_file(index, built: Path) -> None:
    assert index.path == built and len(index) == len(index.items) == len(index.vectors) == 14
    assert not index.vectors.flags.writeable and index.vectors.dtype == np.float16
    table = index.items.to_arrow()
    assert table["artist"].to_pylist()[:3] == ["ada"] * 3
    assert {one.name: one.kind for one in index.collections} == {
        "works": "works", "r1": "imitations", "control": "control",
    }  # fmt: skip
    assert [row["path"] for row in index.items] == table["path"].to_pylist()
    html = index._repr_html_() + index.items._repr_html_()
    assert "14 pictures" in html and "<script" not in html
    assert "14 pictures" in repr(index) and repr(index.items).startswith("<Items: 14")


def test_open_file_survives_replacement(works, tiny_model: str, tmp_path: Path) -> None:
    root, path = works({"works/ada": 2, "works/bo": 2}), tmp_path / "i.h5"
    imindex.build(root, path, model=tiny_model, device="cpu", precision="fp32")
    with imindex.open(path) as index:
        works({"works/cy": 2}, first_seed=40)
        report = imindex.build(root, path, device="cpu")
        assert report.rows == 6 and len(index) == 4
        again = index.query(root / "works/cy/000.png", encoder={"device": "cpu"})
        assert {one.artist for one in again.queries[0].kinds["works"].pictures} == {"ada", "bo"}


def test_results_equal_the_output_of_the_commands(index, built: Path) -> None:
    picture = built.parent / "art/works/ada/0.png"
    cpu = {"device": "cpu"}
    for result, words in (
        (index.query(picture, encoder=cpu), ("query", picture, "--device", "cpu")),
        (index.classify(encoder=cpu), ("classify", "--device", "cpu")),
        (index.match(), ("match",)),
        (index.match(testing=None, csls=True), ("match", "--csls", "--no-tests")),
    ):
        printed = json.loads(run(*words, "-i", built, "--json").stdout)
        assert {key: value for key, value in printed.items() if key != "index"} == {
            key: value for key, value in json.loads(json.dumps(result.to_dict())).items() if key != "index"
        }


def test_results_are_tables_and_files(index, tmp_path: Path) -> None:
    result = index.match(testing=None, recall_at=[1, 5])
    table = result.to_arrow()
    assert table["artist"].to_pylist() == ["ada", "bo"] and "recall@5" in table.column_names
    assert json.loads(result.save(tmp_path / "m.json").read_text()) == json.loads(
        json.dumps(result.to_dict())
    )
    assert pyarrow.parquet.read_table(result.save(tmp_path / "m.parquet")).equals(table)
    rows = list(csv.DictReader(result.save(tmp_path / "m.csv").open()))
    assert [row["artist"] for row in rows] == ["ada", "bo"]
    assert [float(row["auc"]) for row in rows] == [one.auc for one in result.artists]
    with pytest.raises(imindex.ImindexError, match=r"m\.txt does not end in \.json"):
        result.save(tmp_path / "m.txt")
    answer = index.query(texts=["a"], k=2, encoder={"device": "cpu"}).to_arrow()
    assert answer["rank"].to_pylist() == [1, 2] * 3 and set(answer["kind"].to_pylist()) == {
        "works", "imitations", "control",
    }  # fmt: skip
    by_works = index.classify(by="works", testing=None).records()
    assert [row["artist"] for row in by_works] == ["ada", "bo"] * 2
    assert len({row["method"] for row in by_works}) == 2


def test_no_name_becomes_markup_or_a_formula(works, tiny_model: str, tmp_path: Path) -> None:
    evil, path = "<img src=x onload=f()>", tmp_path / "i.h5"
    layout = {f"works/{evil}": 2, "works/=1+1": 2, f"imitations/r/{evil}": 2, "imitations/r/=1+1": 2}
    root = works(layout)
    imindex.build(root, path, model=tiny_model, device="cpu", precision="fp32")
    with imindex.open(path) as index:
        result = index.match(testing=None)
        shown = [
            index._repr_html_(), index.items._repr_html_(), result._repr_html_(),
            index.query(root / "works" / evil / "000.png", encoder={"device": "cpu"})._repr_html_(),
            index.classify(testing=None, encoder={"device": "cpu"})._repr_html_(),
        ]  # fmt: skip
    for html in shown:
        assert html.startswith('<div class="imindex">') and "<img src=x" not in html
    assert "'=1+1" in result.save(tmp_path / "m.csv").read_text()


def test_a_data_frame_needs_its_library(index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(imindex.ImindexError, match=r"polars is not installed\. Run `pip install polars`"):
        index.items.to_polars()


def test_encoder_gives_the_same_vectors_as_a_build(
    index, built: Path, tiny_model: str, tmp_path: Path
) -> None:
    encoder = imindex.Encoder.load(tiny_model, device="cpu", precision="fp32", batch_size=4)
    rows = [row for row in index.items if row["kind"] == "works"]
    vectors = encoder.encode_pictures([built.parent / row["path"] for row in rows])
    stored = index.vectors[[row["row"] for row in rows]]
    assert np.abs(vectors.astype(float) - stored).max() < 2e-3
    assert (
        encoder.encode_texts(["a", "b"]).shape == (2, len(vectors[0]))
        and encoder.encode_pictures([]).shape[0] == 0
    )
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(imindex.ImindexError, match=r"bad\.png cannot be encoded"):
        encoder.encode_pictures([tmp_path / "bad.png"])
    Image.new("RGB", (9, 9)).save(tmp_path / "fine.png")
    assert np.isfinite(encoder.encode_pictures([tmp_path / "fine.png"])).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: i.classify("r1", by="foo"), "by: expected one of auto, name, works, not 'foo'"),
        (lambda i: i.classify("r1", by="works", artists=["ada", "Typo Name"]), "has no artist Typo Name"),
        (lambda i: i.classify("r1", by="works", artists=[]), "has no pictures of nobody to classify"),
        (lambda i: i.classify("r1", by="works", artists="ada"), "artists: expected several, not 'ada' alone"),
        (lambda i: i.classify("r1", labels="art"), "labels: expected several"),
        (lambda i: i.classify("r1", templates=[]), "templates: the list is empty"),
        (lambda i: i.query(texts="red"), "texts: expected several, not 'red' alone. Pass a list"),
        (lambda i: i.query(texts=["red"], collections="works"), "collections: expected several"),
        (lambda i: i.query(texts=["red"], k=0), "k is 0. Write a whole number from 1 to"),
        (lambda i: i.query(texts=["red"], encoder={"modle": "x"}), "encoder: expected one of model, pretrained"),
        (lambda i: i.query(texts=["red"], encoder="demo"), "encoder: expected a mapping"),
        (lambda i: i.compare("r1", "r2", index="other.h5"), "index: the releases are those of this index"),
        (lambda i: i.compare("r1", "r2", fail_if="auc > 0.9"), "fail_if: expected several"),
        (lambda i: i.compare("r1", "r2", alternative="more"), "alternative: expected one of two-sided"),
        (lambda i: i.match("r1", testing=imindex.Testing(placebos="placebo *")), "placebos: expected several"),
        (lambda i: imindex.Testing(adjust="bonferroni"), "adjust: expected one of holm, bh, by"),
        (lambda i: imindex.Testing(unit="picture"), "unit: expected one of artist, work"),
        (lambda i: imindex.Testing(level=5), "level is 5. Write a number from 1e-06 to 0.999999"),
        (lambda i: imindex.Testing(seed=-1), "seed is -1. Write a whole number from 0 to"),
        (lambda i: imindex.Testing(n_resamples=0), "n_resamples is 0. Write a whole number from 1 to"),
        (lambda i: imindex.Encoder.load("demo", precision="half"), "precision: expected one of auto, fp16"),
        (lambda i: imindex.Encoder.load("demo", batch_size=0), "batch_size is 0. Write a whole number from 1 to"),
        (lambda i: imindex.build(".", "new.h5", kind="works", batch_size=-3), "batch_size is -3. Write a whole"),
        (lambda i: imindex.audit("."), "is a folder, not a plan"),
        (lambda i: i.match("r1", testing=None).save("no/such/m.json"), "there is no folder no/such"),
        (lambda i: i.match("r1", testing=None, ranks_file="no/x.npz"), "there is no folder no"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named_with_the_remedy(index, call, message: str) -> None:
    with pytest.raises(imindex.ImindexError, match=re.escape(message)):
        call(index)


def test_pictures_that_an_encoder_cannot_read_are_named(tiny_model: str) -> None:
    encoder = imindex.Encoder.load(tiny_model, device="cpu", precision="fp32")
    with pytest.raises(imindex.ImindexError, match=r"nope\.png cannot be encoded"):
        encoder.encode_pictures(["nope.png"])
    with pytest.raises(imindex.ImindexError, match="pictures: expected several"):
        encoder.encode_pictures("nope.png")
    with pytest.raises(imindex.ImindexError, match="texts: expected several"):
        encoder.encode_texts("red")


def test_a_closed_index_is_not_called_damaged(built: Path) -> None:
    closed = imindex.open(built)
    closed.close()
    calls = [
        lambda: closed.match("r1", testing=None),
        lambda: closed.items,
        lambda: closed.query(texts=["a"]),
    ]
    calls += [lambda: closed.compare("r1", "r2", no_names=True), closed.__enter__]
    for call in calls:
        with pytest.raises(imindex.ImindexError, match=r"is closed\. Open it again"):
            call()


def test_comparison_reads_the_file_that_was_opened(
    works, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "i.h5"
    kinds = ("works", "imitations/r1", "imitations/r2")
    root = works({f"{kind}/{artist}": 5 for kind in kinds for artist in ("ada", "bo")})
    imindex.build(root, path, model=tiny_model, device="cpu", precision="fp32")
    options = {"no_names": True, "n_resamples": 99, "device": "cpu"}
    with imindex.open(path) as opened:
        before = opened.compare("r1", "r2", **options)
        path.unlink()
        (tmp_path / "r1").mkdir()  # names are collections, even if there is a folder of that name
        (tmp_path / "r1" / "report.json").write_text("{}")
        monkeypatch.chdir(tmp_path)
        assert opened.compare("r1", "r2", **options) == before


def test_an_unknown_kind_leaves_the_index_as_it_is(works, tiny_model: str, tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    root = works({"works/ada": 2, "works/bo": 1})
    imindex.build(root, path, model=tiny_model, device="cpu")
    before = path.read_bytes()
    for folder in (root, root / "works"):
        with pytest.raises(imindex.ImindexError, match=r"no kind 'work'\. Use one of works, "):
            imindex.build(folder, path, kind="work", device="cpu")
    assert path.read_bytes() == before


def test_empty_sources_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(imindex.ImindexError, match=r"No pictures in .*empty\. Check the folder"):
        imindex.build(tmp_path / "empty", tmp_path / "i.h5", kind="works")


def test_python_docs_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.S
    )
    assert len(blocks) >= 8
    monkeypatch.chdir(tmp_path)
    world: dict = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), world)
    printed = capsys.readouterr().out
    assert "36 pictures, 0 rejected" in printed and "nothing-here.h5 does not exist" in printed
    assert world["similarity"].shape == (18, 3)
