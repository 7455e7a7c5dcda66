"""End-to-end test on real works: held-out pictures of 70 designers, the demo encoder, and recomputed figures.

The pictures come from `scripts/fetch-designers` (npm and Debian registries). Without them, these tests are skipped.
The independent computation uses only vectors from `imindex export`, NumPy and scikit-learn.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

import imindex
from tests.support.places import ROOT
from tests.support.precision import FP32

DESIGNERS = Path(os.environ.get("IMINDEX_DESIGNERS", ROOT / "data" / "designers"))
pytestmark = pytest.mark.skipif(
    not (DESIGNERS / "held-out.jsonl").exists(),
    reason=f"no {DESIGNERS}/held-out.jsonl: run scripts/fetch-designers",
)


def command(*words: object) -> dict:
    result = CliRunner().invoke(imindex.main, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("designers") / "designers.h5"
    built = command(
        "build", DESIGNERS / "held-out.jsonl", "-i", path, "--model", "demo", "--device", "cpu", *FP32
    )
    lines = (DESIGNERS / "held-out.jsonl").read_text().splitlines()
    assert built["rows"] == len(lines) and built["rejected"] == 0
    return path


@pytest.fixture(scope="module")
def raw(index: Path) -> dict:
    """Vectors and rows from `imindex export`."""
    folder = index.parent / "export"
    command("export", folder, "-i", index)
    columns = pyarrow.parquet.read_table(folder / "items.parquet").to_pydict()
    vectors = np.load(folder / "vectors.npy").astype(np.float64)
    kind, artist = np.array(columns["kind"]), np.array(columns["artist"])
    return {
        "works": vectors[kind == "works"],
        "work_artist": artist[kind == "works"],
        "imitations": vectors[kind == "imitations"],
        "imitation_artist": artist[kind == "imitations"],
        "names": sorted(set(artist)),
        "paths": np.array(columns["path"]),
    }


def test_classify_by_name(index: Path, raw: dict) -> None:
    from imindex.indexer.encoders.load import load

    result = command("classify", "-i", index)["methods"][0]
    names, generic = raw["names"], ["Artwork", "Digital artwork", "Artwork from the public domain"]
    texts = load("demo", device="cpu", precision="fp32").encode_texts(
        [*(f"Artwork from {name}" for name in names), *generic]
    )
    scores = raw["imitations"] @ texts.astype(np.float64).T
    truth = np.array([names.index(name) for name in raw["imitation_artist"]])
    labels = np.arange(len(names) + 3)
    assert result["top1"] == pytest.approx(accuracy_score(truth, scores.argmax(1)), abs=1e-6)
    assert result["top5"] == pytest.approx(top_k_accuracy_score(truth, scores, k=5, labels=labels), abs=1e-6)
    per_artist = [accuracy_score(truth[truth == a], scores[truth == a].argmax(1)) for a in range(len(names))]
    assert result["macro_top1"] == pytest.approx(np.mean(per_artist), abs=1e-6)
    assert {a["artist"]: a["top1"] for a in result["artists"]} == pytest.approx(
        dict(zip(names, per_artist, strict=True)), abs=1e-6
    )
    assert result["chance_top1"] == pytest.approx(1 / 73)
    assert result["top1"] > 0.4  # the model card states the accuracy


def test_classify_by_works(index: Path, raw: dict) -> None:
    prototype, voted = command("classify", "-i", index, "--by", "works")["methods"]
    names = raw["names"]
    means = np.stack([raw["works"][raw["work_artist"] == name].mean(0) for name in names])
    means = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float16).astype(np.float64)
    truth = np.array([names.index(name) for name in raw["imitation_artist"]])
    expected = accuracy_score(truth, (raw["imitations"] @ means.T).argmax(1))
    assert prototype["top1"] == pytest.approx(expected, abs=1e-6)
    neighbours = KNeighborsClassifier(15, metric=lambda a, b: -(a @ b), algorithm="brute")
    neighbours.fit(raw["works"], raw["work_artist"])
    share = neighbours.predict_proba(raw["imitations"])
    # scikit-learn breaks ties of votes by name, and imindex by the nearest work, so compare only pictures without ties.
    clear = (share == share.max(1, keepdims=True)).sum(1) == 1
    right = neighbours.classes_[share.argmax(1)] == raw["imitation_artist"]
    assert right[clear].sum() <= round(voted["top1"] * len(right)) <= right[clear].sum() + (~clear).sum()
    similarity = raw["imitations"] @ raw["works"].T
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :15]
    hits = 0
    for row, (near, true) in enumerate(zip(order, raw["imitation_artist"], strict=True)):
        best = {
            name: similarity[row, raw["work_artist"] == name].max() for name in set(raw["work_artist"][near])
        }
        votes = {name: (int((raw["work_artist"][near] == name).sum()), best[name]) for name in best}
        hits += max(votes, key=lambda name: votes[name]) == true
    assert voted["top1"] == pytest.approx(hits / len(right), abs=1e-6)


def test_match(index: Path, raw: dict) -> None:
    ranks_file = index.parent / "ranks.npz"
    result = command("match", "-i", index, "--ranks", ranks_file)
    similarity = raw["works"] @ raw["imitations"].T
    own = raw["work_artist"][:, None] == raw["imitation_artist"][None, :]
    auc = np.array([roc_auc_score(labels, row) for labels, row in zip(own, similarity, strict=True)])
    ap = np.array([average_precision_score(labels, row) for labels, row in zip(own, similarity, strict=True)])
    for artist in result["artists"]:
        rows = raw["work_artist"] == artist["artist"]
        assert artist["auc"] == pytest.approx(auc[rows].mean(), abs=1e-6)
        assert artist["average_precision"] == pytest.approx(ap[rows].mean(), abs=1e-6)
    assert result["macro"]["auc"] == pytest.approx(
        np.mean([auc[raw["work_artist"] == name].mean() for name in raw["names"]]), abs=1e-6
    )
    with np.load(ranks_file) as saved:
        rows = np.random.default_rng(0).integers(0, len(similarity), 20)
        expected = (similarity[rows][:, None, :] >= similarity[rows][:, :, None]).sum(2)
        assert (saved["ranks"][rows] == expected).all()
    values = np.array(result["auc_matrix"]["values"])
    order = [result["auc_matrix"]["artists"].index(name) for name in raw["names"]]
    first, second = raw["names"][0], raw["names"][1]
    expected_cell = np.mean(
        [
            roc_auc_score(raw["imitation_artist"] == second, row)
            for row in similarity[raw["work_artist"] == first]
        ]
    )
    assert values[order[0], order[1]] == pytest.approx(expected_cell, abs=1e-6)


def test_query_finds_the_picture_itself_first(index: Path, raw: dict) -> None:
    for path in raw["paths"][[0, 100, 500]]:
        answer = command("query", index.parent / path, "-i", index, "-k", 3)["queries"][0]
        nearest = max(
            (neighbours["pictures"][0] for neighbours in answer["kinds"].values()),
            key=lambda picture: picture["cosine"],
        )
        assert nearest["path"] == path and nearest["cosine"] > 0.999


def test_discrimination_gap(index: Path, raw: dict) -> None:
    result = command("match", "-i", index)
    similarity = raw["works"] @ raw["works"].T
    for artist in result["artists"][:10]:
        own = raw["work_artist"] == artist["artist"]
        within = similarity[np.ix_(own, own)][np.triu_indices(own.sum(), 1)]
        across = max(
            np.median(similarity[np.ix_(own, raw["work_artist"] == name)])
            for name in raw["names"]
            if name != artist["artist"]
        )
        assert artist["gap"] == pytest.approx(np.median(within) - across, abs=1e-9)
