"""The question of style attributes, end to end: a palette and a kind of line are imitated, each for one artist."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imindex.indexer.store.index import Index
from imindex.retrieval.attributes.catalogue import BY_KEY, KEYS
from imindex.retrieval.attributes.measure import measure
from imindex.retrieval.attributes.probes import (
    PROBES,
    TEMPLATES,
    WORDINGS,
    directions,
    nonsense_pairs,
    probe_values,
    texts_of,
)
from imindex.retrieval.audit.audit import Outcome, audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.evidence.picture_attributes import forget, picture_attributes
from imindex.retrieval.report.figures.attributes import Strip, strips
from imindex.retrieval.report.questions.attributes import section
from imindex.retrieval.results.questions import AttributesAnswer
from imindex.retrieval.vectors.select import pictures

PALETTE, LINE, SYMMETRIC, SPARSE = ARTISTS = ("Ada Palette", "Bo Line", "Cy Mirror", "Di Paper")
PLACEBOS = tuple(f"Placebo {first}{second}" for first in "ABC" for second in "abcdefghijklm")
N_WORKS, N_PICTURES, SIDE = 6, 4, 64
PLAN = """
title = "Style attributes"
seed = 5
[artists]
tested = {tested}
[[releases]]
name = "one"
pictures = "manifest.jsonl"
[[encoders]]
name = "demo"
model = "demo"
[tests]
n_resamples = 99
adjust = "bh"
[questions.attributes]
"""


def paint(kind: str, rng: np.random.Generator) -> Image.Image:
    """Draw a picture: blots on a ground, with one trait of an artist."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    hue, ground = rng.uniform(0, 2 * np.pi), rng.uniform(100, 150)
    tint = np.array([np.cos(hue), np.cos(hue - 2.1), np.cos(hue + 2.1)]) * rng.uniform(5, 25)
    if kind == PALETTE:  # dark and orange
        ground, tint = rng.uniform(50, 62), np.array([60.0, 12.0, -40.0]) * rng.uniform(0.9, 1.1)
    field = np.full((SIDE, SIDE), ground)
    for _ in range(3 if kind == SPARSE else 14):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.03, 0.13)
        field[(x - cx) ** 2 + (y - cy) ** 2 < r * r] += rng.normal(0, 30)
    if kind == LINE:  # thin upright strokes
        field += np.where((np.arange(SIDE) + rng.integers(6)) % 6 < 2, -45, 0)[None]
    if kind == SYMMETRIC:
        field = (field + field[:, ::-1]) / 2
    pixels = field[..., None] + tint + rng.normal(0, 3, (SIDE, SIDE, 1))
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def write_world(folder: Path) -> Path:
    """Write works, pictures and a plan: the release imitates the first two artists."""
    rng, rows = np.random.default_rng(3), []

    def save(path: str, kind: str) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        paint(kind, rng).save(folder / path)

    for artist in ARTISTS:
        for number in range(N_WORKS):
            save(f"works/{artist}/{number}.png", artist)
    for arm, names in (("own", ARTISTS), ("placebo", PLACEBOS)):
        for name in names:
            for number in range(N_PICTURES):
                path = f"pictures/{name}/{number}.png"
                save(path, name if name in (PALETTE, LINE) else "")
                rows.append(
                    {
                        "path": path, "kind": "imitations", "collection": "one", "artist": name, "arm": arm,
                        "prompt": f"Artwork from {name}", "seed": str(number + 1),
                    }
                )  # fmt: skip
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(tested=json.dumps(list(ARTISTS))), encoding="utf-8")
    return plan


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A finished audit."""
    plan = write_world(tmp_path_factory.mktemp("attributes"))
    return plan, audit(Run(read_plan(plan), Workspace(plan.parent / "audit"), Compute("cpu")))


@pytest.fixture(scope="module")
def answer(asked: tuple[Path, Outcome]) -> AttributesAnswer:
    (found,) = asked[1].report.questions
    assert isinstance(found, AttributesAnswer)
    return found


def found_groups(answer: AttributesAnswer, artist: str) -> set[str]:
    (row,) = [row for row in answer.artists if row.artist == artist]
    return {BY_KEY[one.key.removeprefix("probe:")].group for one in row.attributes if one.found}


def test_each_artist_is_told_by_what_the_release_imitates(answer: AttributesAnswer) -> None:
    keys = {row.artist: {one.key for one in row.attributes if one.found} for row in answer.artists}
    assert {"lightness", "warmth"} <= keys[PALETTE]
    assert {"verticality", "alignment"} & keys[LINE] and not {"lightness", "warmth"} & keys[LINE]
    assert "palette" in found_groups(answer, PALETTE) and "line" in found_groups(answer, LINE)
    assert not keys[SYMMETRIC] and not keys[SPARSE]  # their names do nothing
    told = {row.artist: {one.key for one in row.attributes if one.p is not None} for row in answer.artists}
    assert "symmetry" in told[SYMMETRIC]  # it tells the works, and is not imitated
    assert answer.statement.startswith("For 2 of ")


def test_the_figures_of_a_row_are_those_of_the_pictures(
    asked: tuple[Path, Outcome], answer: AttributesAnswer
) -> None:
    folder = asked[0].parent
    of_pictures = [
        measure(np.asarray(Image.open(folder / f"pictures/{PALETTE}/{n}.png"))) for n in range(N_PICTURES)
    ]
    of_works = [measure(np.asarray(Image.open(folder / f"works/{PALETTE}/{n}.png"))) for n in range(N_WORKS)]
    row = answer.artists[0]
    assert answer.side == SIDE and (row.n_works, row.n_pictures, row.n_placebos) == (6, 4, 39)
    for k, key in enumerate(KEYS):
        assert row.attributes[k].key == key
        assert row.attributes[k].own == pytest.approx(np.mean(of_pictures, axis=0)[k], rel=1e-6, abs=1e-9)
        assert row.attributes[k].works == pytest.approx(np.mean(of_works, axis=0)[k], rel=1e-6, abs=1e-9)
        low, high = row.attributes[k].placebo_low, row.attributes[k].placebo_high
        assert low is not None and high is not None and low <= high


def test_words_that_the_encoder_does_not_know_are_not_tested(answer: AttributesAnswer) -> None:
    assert answer.has_text and len(answer.probes) == len(PROBES)
    for probe in answer.probes:
        tested = any(one.key == f"probe:{probe.key}" for one in answer.artists[0].attributes)
        assert tested == probe.known
        both = probe.p_agreement <= 0.05 and probe.p_reliability <= 0.05
        assert both == probe.known
    if not all(probe.known for probe in answer.probes):
        assert any("not known to this encoder" in note for note in answer.notes)


def test_the_report_has_the_section_the_table_and_the_answer(
    asked: tuple[Path, Outcome], answer: AttributesAnswer
) -> None:
    folder = asked[0].parent / "audit"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert ">Style attributes</h2>" in page and "no protected expression" in page
    with (folder / "attributes.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(row.attributes) for row in answer.artists)
    assert {row["artist"] for row in rows} == set(ARTISTS) and {"key", "works", "own", "p_adjusted"} <= set(
        rows[0]
    )
    shown = section("x", answer)
    assert shown.figures and shown.shows and shown.shows_not
    words = " ".join(cell for table in shown.tables for row in table.rows for cell in row)
    assert "is darker than one of an invented name" in words
    # What tells works is how near they are to a value, which may be that of other artists on average.
    assert "than other artists’ works" not in words


def test_what_each_group_carries_is_stated_where_it_can_be(answer: AttributesAnswer) -> None:
    for row in answer.artists:
        for one in row.carried:
            assert (one.share is None) == (one.low is None) == (one.high is None)
            assert one.auc_alone is not None and 0 <= one.auc_alone <= 1
    alone = {row.artist: {one.group: one.auc_alone for one in row.carried} for row in answer.artists}
    assert alone[PALETTE]["palette"] > 0.9 and alone[LINE]["line"] > 0.9
    assert alone[PALETTE]["palette"] > alone[PALETTE]["composition"]


def test_pictures_that_cannot_be_read_any_more_are_named(asked: tuple[Path, Outcome]) -> None:
    folder = asked[0].parent
    (path,) = (folder / "audit").glob("demo*.h5")
    gone, changed = folder / f"pictures/{PLACEBOS[0]}/0.png", folder / f"pictures/{PLACEBOS[0]}/1.png"
    gone.rename(gone.with_suffix(".away"))
    before = changed.read_bytes()
    changed.write_bytes(gone.with_suffix(".away").read_bytes())
    try:
        forget()
        with Index(path) as index:
            rows = pictures(index, "imitations", collections=["one"]).rows
            found = picture_attributes(index, rows)
    finally:
        gone.with_suffix(".away").rename(gone)
        changed.write_bytes(before)
        forget()
    assert len(found.unread) == 2 and all(PLACEBOS[0] in one for one in found.unread)
    assert len(found.places) == len(found.values) == len(rows) - 2


# Probes and the figure


def test_directions_are_differences_of_cosines() -> None:
    rng = np.random.default_rng(1)
    groups = [PROBES[0].pairs, PROBES[1].pairs]
    texts = texts_of(groups)
    assert len(texts) == 2 * WORDINGS * 2 * len(TEMPLATES) and texts[0] == "a picture that is dark"
    vectors = rng.normal(size=(len(texts), 5))
    shots = rng.normal(size=(3, 5))
    found = probe_values(shots, directions(vectors, 2))
    low, high = PROBES[1].pairs[2]
    of = dict(zip(texts, vectors, strict=True))
    expected = [
        np.mean([shot @ of[t.format(word=high)] - shot @ of[t.format(word=low)] for t in TEMPLATES])
        for shot in shots
    ]
    assert found.shape == (3, 2, WORDINGS) and found[:, 1, 2] == pytest.approx(expected)


def test_probes_have_counterparts_and_nonsense_is_always_the_same() -> None:
    assert {probe.key for probe in PROBES} <= set(KEYS) and all(
        len(probe.pairs) == WORDINGS for probe in PROBES
    )
    words = [word for group in nonsense_pairs() for pair in group for word in pair]
    assert nonsense_pairs() == nonsense_pairs() and len(set(words)) == len(words)
    assert not set(words) & {word for probe in PROBES for pair in probe.pairs for word in pair}


def test_a_strip_marks_what_was_found() -> None:
    rows = [
        Strip("Ada <Example>", 40.0, 42.0, 55.0, 50.0, 60.0, True),
        Strip("Bo Sample", 60.0, 55.0, 55.0, 50.0, 60.0, False),
    ]
    figure = strips("f", BY_KEY["lightness"], rows)
    assert figure is not None and "<Example>" not in figure.svg and "← darker" in figure.svg
    assert figure.svg.count("mark full") == 1 and figure.svg.count("mark empty") == 1
    assert "For 1 of 2 artists" in figure.reading and strips("f", BY_KEY["lightness"], []) is None
