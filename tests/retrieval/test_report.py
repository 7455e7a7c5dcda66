"""The report's content and files: figures against the index, names that mean harm, and the published schema."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from imindex.indexer.encoders.load import load_as
from imindex.indexer.store.index import Index
from imindex.retrieval.findings import Finding
from imindex.retrieval.report import page as report_page
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.page import page
from imindex.retrieval.report.report import assemble, digest, table, write
from tests.support.places import ROOT
from tests.support.report_sample import HOSTILE, NAMED, STRONG, TEMPLATES, WEAK, enlarged, shared_raw

SCHEMA = json.loads((ROOT / "retrieval" / "report.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
VOID = {"meta", "img", "br", "link", "input", "hr"}


@pytest.fixture
def raw() -> dict[str, Any]:
    return shared_raw()[0]


@pytest.fixture(scope="module")
def base() -> Path:
    return shared_raw()[1]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return assemble(shared_raw()[0])


@pytest.fixture(scope="module")
def html(report: dict[str, Any], base: Path) -> str:
    return page(report, base)


class Page(HTMLParser):
    """Elements with attributes, and the texts between them; nesting is checked."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self._open and self._open[-1] == "script" else self.texts).append(data)


# Content


def result_of(report: dict[str, Any], release: str, encoder: str = "demo") -> dict[str, Any]:
    return next(r for r in report["results"] if (r["release"], r["encoder"]) == (release, encoder))


def test_content_is_as_the_schema_has_it(report: dict[str, Any], raw: dict[str, Any]) -> None:
    VALIDATOR.check_schema(SCHEMA)
    VALIDATOR.validate(json.loads(json.dumps(report, allow_nan=False)))
    VALIDATOR.validate(assemble(enlarged(raw, 70)))
    for change in ({"more": 1}, {"version": "2.0"}, {"digest": "x"}, {"results": [{}]}):
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate({**report, **change})


def test_contract_without_extras_and_without_tests_is_valid(raw: dict[str, Any]) -> None:
    for one in raw["results"]:
        one["copies"] = {
            "threshold": 0.9,
            "pairs": [
                {
                    k: pair[k]
                    for k in ("artist", "imitation", "prompt", "seed", "work", "work_artist", "cosine")
                }
                for pair in one["copies"]["pairs"]
            ],
        }
    VALIDATOR.validate(assemble(raw))
    untested = shared_raw()[0]
    for one in untested["results"]:
        keys = ("artist", "n", "top1", "top5", "mrr", "confused_with")
        method = one["classification"]["methods"][0]
        method["evidence"] = None
        method["artists"] = [{key: row[key] for key in keys} for row in method["artists"]]
        one["matching"]["evidence"] = None
        keys = ("artist", "n_works", "n_imitations", "status", "auc", "gap")
        one["matching"]["artists"] = [{key: row[key] for key in keys} for row in one["matching"]["artists"]]
    found = assemble(untested)
    VALIDATOR.validate(found)
    assert "not tested" in found["results"][0]["artists"][0]["finding"]
    assert "nothing was tested" in found["answer"][0]
    page(found, None)


def test_auc_is_that_of_the_vectors(report: dict[str, Any], base: Path) -> None:
    with Index(base / "demo.h5") as index:
        artists, collections = index.artists, index.collections
        kind = np.array([collections[c].kind for c in index.column("collection")])
        of = np.array([collections[c].name for c in index.column("collection")])
        who = np.array([artists[a] if a >= 0 else "" for a in index.column("artist")])
        vectors = np.asarray(index.vectors).astype(np.float64)
    for release in (WEAK, STRONG):
        made = (kind == "imitations") & (of == release)
        for row in result_of(report, release)["artists"][:-1]:
            works = vectors[(kind == "works") & (who == row["artist"])]
            own = (works @ vectors[made & (who == row["artist"])].T).round(12)
            others = (works @ vectors[made & (who != row["artist"])].T).round(12)
            nearer = own[:, :, None] > others[:, None, :]
            ties = own[:, :, None] == others[:, None, :]
            assert row["auc"] == pytest.approx((nearer + 0.5 * ties).mean(), abs=1e-9)
            assert (row["n_works"], row["n_imitations"]) == own.shape
            pairs = sum(row["rank_histogram"])
            assert pairs == own.size
            first, ranks = row["neighbours"][0], _ranks(own, others)
            assert first["rank"] == ranks.min()
            best = min(own.max(axis=1)[ranks == ranks.min()].max(), 1.0)
            assert first["cosine"] == pytest.approx(best, abs=1e-6)


def _ranks(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    return 1 + (others >= own.max(axis=1)[:, None]).sum(axis=1)


def test_accuracy_and_confusion_are_those_of_the_vectors(report: dict[str, Any], base: Path) -> None:
    found = result_of(report, STRONG)
    labels = [*NAMED, *report["plan"]["labels"]]
    texts = [TEMPLATES[0].replace("{artist}", name) for name in NAMED] + report["plan"]["labels"]
    with Index(base / "demo.h5") as index:
        encoded = load_as(index.encoder, device="cpu").encode_texts(texts).astype(np.float64)
        collections = index.collections
        chosen = [
            row
            for row, c in enumerate(index.column("collection"))
            if collections[c].kind == "imitations"
            and collections[c].name == STRONG
            and index.artists[index.column("artist")[row]] in NAMED
        ]
        who = [index.artists[index.column("artist")[row]] for row in chosen]
        scores = np.asarray(index.vectors[np.array(chosen)]).astype(np.float64) @ encoded.T
    named = [labels[best] for best in scores.argmax(axis=1)]
    for row in found["artists"][:-1]:
        own = [said for said, asked in zip(named, who, strict=True) if asked == row["artist"]]
        assert row["top1"] == pytest.approx(sum(said == row["artist"] for said in own) / len(own))
        counts = found["confusion"]["counts"][found["confusion"]["rows"].index(row["artist"])]
        for column, count in zip(found["confusion"]["columns"], counts, strict=True):
            assert count == own.count(column)
    shares = [row["top1"] for row in found["artists"][:-1]]
    assert found["summary"]["accuracy"] == pytest.approx(np.mean(shares))
    assert set(found["confusion"]["columns"]) >= set(NAMED)
    assert found["confusion"]["columns"][-2:] == report["plan"]["labels"]


def test_every_tested_artist_has_a_row_also_one_that_is_not_in_the_index(report: dict[str, Any]) -> None:
    for result in report["results"]:
        assert [row["artist"] for row in result["artists"]] == report["plan"]["artists"]
        last = result["artists"][-1]
        assert (last["finding"], last["n_works"], last["auc"], last["neighbours"]) == (
            Finding.NOT_TESTED,
            0,
            None,
            [],
        )
        found = [row["finding"] for row in result["artists"]]
        assert result["summary"]["findings"] == {
            label: found.count(label) for label in result["summary"]["findings"]
        }
        assert sum(result["summary"]["findings"].values()) == len(found)


def test_agreement_counts_artists_whom_all_encoders_judge(
    report: dict[str, Any], raw: dict[str, Any]
) -> None:
    for one in report["agreement"]:
        both = list(
            zip(
                *(
                    [row["finding"] for row in result_of(report, one["release"], encoder)["artists"]]
                    for encoder in one["encoders"]
                ),
                strict=True,
            )
        )
        judged = [pair for pair in both if not {Finding.CANNOT_TELL, Finding.NOT_TESTED} & set(pair)]
        assert (one["n_judged"], one["n_agree"]) == (len(judged), sum(a == b for a, b in judged))
        assert one["share"] == (sum(a == b for a, b in judged) / len(judged) if judged else None)
    raw["encoders"] = raw["encoders"][:1]
    raw["results"] = [one for one in raw["results"] if one["encoder"] == "demo"]
    assert assemble(raw)["agreement"] is None
    raw["results"] += [{**one, "encoder": "again"} for one in raw["results"]]
    again = assemble(raw)["agreement"]
    assert [one["share"] for one in again] == [1.0, 1.0] and again[0]["n_judged"] > 5


def test_the_copy_is_found_and_counted_once(report: dict[str, Any]) -> None:
    found = result_of(report, STRONG)
    copies = [pair for pair in found["copies"]["pairs"] if pair["copy"]]
    assert [(pair["artist"], pair["work_artist"]) for pair in copies if pair["same_bytes"]] == [
        (NAMED[0],) * 2
    ]
    for row in found["artists"]:
        assert row["copies"] == sum(pair["artist"] == row["artist"] for pair in copies)
    assert found["summary"]["n_copies"] == len(copies)


def test_digest_covers_what_was_found_and_no_times(report: dict[str, Any], raw: dict[str, Any]) -> None:
    later = json.loads(json.dumps(shared_raw()[0]))
    later["plan"]["registered"] = later["plan"]["amendments"][0]["when"] = "2030-01-01T00:00:00+00:00"
    later["provenance"] = {**later["provenance"], "command": "another", "seconds": {}}
    later["comparisons"][0]["base"]["index"] = "/elsewhere/demo.h5"
    assert assemble(later)["digest"] == report["digest"] == digest(report)
    for path in (["plan", "digest"], ["plan", "amendments", 0, "why"], ["releases", 0, "digest"], ["title"]):
        other = shared_raw()[0]
        place: Any = other
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] += "0"
        assert assemble(other)["digest"] != report["digest"]
    other = shared_raw()[0]
    other["results"][0]["matching"]["artists"][0]["auc"] += 1e-12
    assert assemble(other)["digest"] != report["digest"]


def test_nan_becomes_null(raw: dict[str, Any]) -> None:
    artist = raw["results"][0]["matching"]["artists"][0]
    artist["auc"] = artist["p_name"] = np.float64("nan")
    artist["n_works"] = np.int64(6)
    found = assemble(raw)["results"][0]["artists"]
    row = next(row for row in found if row["artist"] == artist["artist"])
    assert row["auc"] is None and row["p_name"] is None and row["n_works"] == 6


# Page


def test_page_holds_no_script_but_its_own_and_asks_for_nothing(html: str) -> None:
    parsed = Page(html)
    assert sum(tag == "script" for tag, _ in parsed.elements) == len(parsed.scripts) == 1
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "iframe", "object", "embed", "form", "base", "image", "foreignobject")
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert (attributes.get("src") or "data:image/webp;base64,").startswith("data:image/webp;base64,")
        assert not {"srcset", "action", "xlink:href", "background"} & set(attributes)
        assert "url(" not in (attributes.get("style") or "")
    assert not re.search(r"url\(|@import", html[: html.index("</style>")])
    policy = next(a["content"] for t, a in parsed.elements if t == "meta" and "http-equiv" in a)
    hashed = base64.b64encode(hashlib.sha256(parsed.scripts[0].encode()).digest()).decode()
    assert policy is not None and f"script-src 'sha256-{hashed}'" in policy
    assert policy.startswith("default-src 'none'; ")


def test_every_name_is_shown_as_text(html: str, report: dict[str, Any]) -> None:
    text = "\n".join(Page(html).texts)
    for name in report["plan"]["artists"]:
        assert shown(name) in text
    assert "<script>alert(1)" in text and "<script>alert(1)" not in html
    assert shown("a\u202eb\x00\ud800") == "a\\u202eb\\u0000\\ud800"


def test_ids_are_unique_and_links_lead_somewhere(html: str) -> None:
    parsed = Page(html)
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {(a.get("href") or "#")[1:] for t, a in parsed.elements if t == "a"}
    referred = {
        one
        for _, a in parsed.elements
        for name in ("aria-labelledby", "data-open")
        for one in (a.get(name) or "").split()
    }
    assert targets - {""} <= set(ids) and referred <= set(ids)


def test_pictures_have_texts_and_can_be_left_out(html: str, report: dict[str, Any], base: Path) -> None:
    pictures = [a for t, a in Page(html).elements if t == "img"]
    assert len(pictures) > 50 and all(a["alt"] for a in pictures)
    without = page(report, None)
    assert "<img" not in without and "data:image" not in without and "left out of this report" in without
    moved = page(report, base / "nowhere")
    assert "<img" not in moved and moved.count("not readable now") >= len(pictures)


def test_a_page_of_70_artists_stays_small(raw: dict[str, Any], base: Path) -> None:
    large = page(assemble(enlarged(raw, 70)), base)
    assert len(large) < 15e6
    Page(large)


# Files


def test_csv_has_a_row_for_each_artist_and_no_formula(report: dict[str, Any], tmp_path: Path) -> None:
    _, _, path = write(report, tmp_path, base=tmp_path, pictures=False)
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert len(rows) == 4 * 13
    expected = [row for result in report["results"] for row in result["artists"]]
    for row, source in zip(rows, expected, strict=True):
        for key, text in row.items():
            assert not text.startswith(("=", "+", "@", "\t", "\r"))
            value = source.get(key)
            if isinstance(value, float):
                assert float(text) == value
            elif text.startswith("-"):
                raise AssertionError(f"{key} is text that may be a formula: {text}")
        assert row["artist"] == ("'" if source["artist"].startswith("=") else "") + source["artist"]
    assert any(row["artist"] == f"'{HOSTILE[1]}" for row in rows)
    assert any(float(row["gap_low"] or 0) < 0 for row in rows)  # negative numbers are numbers
    assert "'-1+1" in table({"results": [{**report["results"][0], "release": "-1+1"}]})


def test_json_is_the_report(report: dict[str, Any], tmp_path: Path) -> None:
    paths = write(report, tmp_path / "new", base=tmp_path, pictures=False)
    assert [path.name for path in paths] == ["report.html", "report.json", "artists.csv"]

    def refuse(word: str) -> None:
        raise AssertionError(word)

    read = json.loads(paths[1].read_text(encoding="utf-8"), parse_constant=refuse)
    assert read == report and digest(read) == report["digest"]
    assert not any(
        isinstance(v, float) and math.isnan(v) for r in read["results"] for v in r["summary"].values()
    )


def test_what_was_there_stays_if_a_page_fails(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(report, tmp_path, base=tmp_path, pictures=False)
    before = [path.read_bytes() for path in paths]

    def stop(*_: Any) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(report_page, "page", stop)
    with pytest.raises(OSError, match="disk full"):
        write({**report, "title": "other"}, tmp_path, base=tmp_path)
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_names_with_stray_bytes_can_be_written(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["rejects"] = [{"path": "works/\udcff\n<b>.png", "reason": "no picture"}]
    html, data, _ = write(assemble(raw), tmp_path, base=tmp_path, pictures=False)
    assert "works/\\udcff\\u000a&lt;b&gt;.png" in html.read_text(encoding="utf-8")
    assert json.loads(data.read_text(encoding="utf-8"))["rejects"] == raw["rejects"]
