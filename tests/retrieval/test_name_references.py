"""References of the tests of a release: templates of prompts, rivals, chosen placebo names, exchangeability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.schema import Collection, Contents, EncoderInfo, item_columns, reject_columns
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from imindex.retrieval.cli._evidence import summary
from imindex.retrieval.cli._tables import match_table
from imindex.retrieval.evidence.classify_release import candidate_numbers
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.prompt_templates import template_labels, template_of
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import Matching
from imindex.retrieval.vectors.select import pictures
from tests.support.commands import run, shown
from tests.support.invented_index import unit
from tests.support.places import ROOT

ARTISTS = ("Ada Example", "Bo Sample", "Cy Specimen", "Di Muster", "Ed Muestra")
PLACEBOS = tuple(f"placebo {place}" for place in range(20))
RIVALS = tuple(f"rival {place}" for place in range(6))


def made(
    path: Path,
    prompt: Callable[[str, int], str],
    *,
    shift: Mapping[str, float] | None = None,
    n: int = 4,
    order: int = 0,
) -> Path:
    """An index of a release that knows nobody; `shift` moves some names towards all works."""
    random = np.random.default_rng(1)
    names = [*ARTISTS, *PLACEBOS, *RIVALS]
    stored = [names[place] for place in np.random.default_rng(order).permutation(len(names))]
    art = np.ones(8)
    rows, vectors = [], []
    for name in names:
        number = stored.index(name)
        if name in ARTISTS:
            centre = random.normal(size=8) + art
            for _ in range(6):
                rows.append((number, 0, ""))
                vectors.append(centre + 0.5 * random.normal(size=8))
        centre = random.normal(size=8) + (shift or {}).get(name.split()[0], 0.0) * art
        for k in range(n):
            rows.append((number, 1, prompt(name, k)))
            vectors.append(centre + 0.5 * random.normal(size=8))
    items = [
        {
            "artist": artist, "collection": collection, "sha256": random.bytes(32), "path": f"{place}.png", "width": 8,
            "height": 8, "prompt": text, "seed": place, "caption": "",
        }
        for place, (artist, collection, text) in enumerate(rows)
    ]  # fmt: skip
    contents = Contents(
        EncoderInfo("invented", "", "ab" * 32, {"embed_dim": 8}, {"size": 32}, 8, "fp32"),
        stored, (Collection("works", "works"), Collection("r1", "imitations")), item_columns(items), reject_columns([]),
        created_at="2026-01-01T00:00:00+00:00", created_by="imindex test",
    )  # fmt: skip
    array = unit(np.array(vectors))
    write(
        path, contents, iter([array]), ann=ann.describe(), ann_data=ann.exact_header(len(array), 8), entry={}
    )
    return path


def plain(name: str, k: int) -> str:
    return f"Artwork {k // 2} from {name}"


def matched(path: Path, **options: object) -> Matching:
    testing = Testing(placebos=("placebo *",), n_resamples=199, seed=3, **options)  # type: ignore[arg-type]
    return match_release(path, "r1", testing=testing)


# Templates


@pytest.mark.parametrize(
    ("prompt", "name", "template"),
    [
        ("Artwork from Ada Example", "Ada Example", "artwork from \0"),
        ("ÁDA  exämple, oil; by Ada-Example", "Ada Example", "\0 oil by \0"),
        ("Artwork from Adam Example", "Ada Example", None),
        ("", "Ada", None),
        ("Artwork", "?!", None),
    ],
)
def test_a_template_is_a_prompt_without_the_name(prompt: str, name: str, template: str | None) -> None:
    assert template_of(prompt, name) == template


def test_templates_of_an_index(tmp_path: Path) -> None:
    def prompt(name: str, k: int) -> str:
        if name == "Bo Sample":
            return ["a tree", "by B. S.", "", "Artwork 0 from bo sample"][k]
        return "a tree" if name == "Cy Specimen" else plain(name, k)

    with Index(made(tmp_path / "i.h5", prompt)) as index:
        chosen = pictures(index, "imitations")
        labels = template_labels(index, chosen)
        by_name = {name: labels[chosen.artist == index.artists.index(name)].tolist() for name in ARTISTS}
    assert by_name["Ada Example"] == [0, 0, 1, 1] == by_name["Di Muster"]
    tree = by_name["Cy Specimen"][0]
    assert by_name["Cy Specimen"] == [tree] * 4 and tree not in (-1, 0, 1)
    # "by B. S." may be a name in another form: what of it is the template, nobody can tell.
    assert by_name["Bo Sample"] == [tree, -1, -1, 0]


def test_sets_of_other_templates_are_no_references_and_it_is_said(tmp_path: Path) -> None:
    def prompt(name: str, k: int) -> str:
        return plain(name, k) + (", oil on canvas" if name == "Ada Example" else "")

    rows = {row.artist: row for row in matched(made(tmp_path / "i.h5", prompt)).artists}
    ada, bo = rows["Ada Example"], rows["Bo Sample"]
    assert ada.status_name == "no placebo names made with the same templates" and ada.p_name is None
    assert ada.n_name_left_out == len(PLACEBOS) and ada.p_rival is None
    assert bo.status_name == "ok" and bo.n_name_references == len(PLACEBOS)


def test_pictures_without_a_prompt_are_counted(tmp_path: Path) -> None:
    evidence = matched(made(tmp_path / "a.h5", plain)).evidence
    assert evidence is not None and evidence.n_without_prompt == 0 and evidence.notes == ()
    path = made(tmp_path / "b.h5", lambda name, k: plain(name, k) if name != "placebo 3" else "")
    evidence = matched(path).evidence
    assert evidence is not None and evidence.n_without_prompt == 4
    assert evidence.notes[0].startswith("4 of 124 imitations have no recorded prompt.")
    evidence = matched(made(tmp_path / "c.h5", lambda name, k: "")).evidence
    assert evidence is not None and evidence.notes[0].startswith("No imitation has a recorded prompt.")


# Rivals and chosen placebo names


def test_rivals_are_references_of_the_rival_test_only(tmp_path: Path) -> None:
    path = made(tmp_path / "i.h5", plain)
    result = matched(path, rivals=(*RIVALS, "not asked for"))
    assert result.evidence is not None and set(result.evidence.rivals) == set(RIVALS)
    rows = {row.artist: row for row in result.artists}
    ada = rows["Ada Example"]
    assert ada.n_rival_references == len(ARTISTS) - 1 + len(RIVALS)
    assert ada.n_name_references == len(PLACEBOS)
    assert all(rows[name].finding is None and rows[name].status == "no works" for name in RIVALS)
    with Index(path) as index:
        rest = pictures(index, "imitations").without(
            [index.artists.index(name) for name in (*RIVALS, *PLACEBOS)]
        )
        candidates = {index.artists[number] for number in candidate_numbers(index, rest)}
    assert candidates == set(ARTISTS)


def test_placebo_names_of_the_same_origin_are_the_references_where_the_plan_says_so(tmp_path: Path) -> None:
    path = made(tmp_path / "i.h5", plain)
    everybody = {row.artist: row for row in matched(path).artists}
    assert everybody["Ada Example"].placebo_reference is None
    chosen = matched(path, references={"Ada Example": PLACEBOS[:7], "Nobody": PLACEBOS})
    rows = {row.artist: row for row in chosen.artists}
    assert (rows["Ada Example"].placebo_reference, rows["Ada Example"].n_name_references) == (
        "same origin",
        7,
    )
    assert (rows["Bo Sample"].placebo_reference, rows["Bo Sample"].n_name_references) == ("all", 20)
    assert rows["Bo Sample"].p_name == everybody["Bo Sample"].p_name


# Exchangeability


def test_a_release_that_draws_real_names_as_art_is_diagnosed(tmp_path: Path) -> None:
    fair = matched(made(tmp_path / "a.h5", plain), statistic="rank").evidence
    assert fair is not None
    (off,) = fair.exchangeability
    assert off.compares.startswith("pictures of real names") and fair.notes == ()
    assert off.p is not None and off.p > 0.05
    assert (off.n_placebos, off.n_others, off.n_artists) == (20, len(ARTISTS) + len(RIVALS), len(ARTISTS))
    moved = dict.fromkeys(("Ada", "Bo", "Cy", "Di", "Ed", "rival"), 1.5)
    evidence = matched(made(tmp_path / "b.h5", plain, shift=moved), unknown=RIVALS, statistic="rank").evidence
    assert evidence is not None
    unknown, off = evidence.exchangeability
    assert unknown.compares == "names that the release cannot know" and unknown.n_others == len(RIVALS)
    assert max(unknown.p or 1, off.p or 1) <= 0.01 and (off.shift or 0) > 0.5
    assert len(evidence.notes) == 2
    assert "not a fair reference" in evidence.notes[1] and "are nearer to works" in evidence.notes[1]
    assert "too often" in evidence.notes[1]


MOVED = dict.fromkeys(("Ada", "Bo", "Cy", "Di", "Ed", "rival"), 1.5)
NOT_CLAIMED = "it may not be claimed that a name has an effect, nor that an artist is imitated"
WITH_TESTS = (
    "--placebo",
    "placebo *",
    "--adjust",
    "bh",
    "--level",
    "0.2",
    "--resamples",
    "199",
    "--statistic",
    "rank",
)


def test_match_claims_no_more_than_the_report(tmp_path: Path) -> None:
    path = made(tmp_path / "i.h5", plain, shift=MOVED)
    page = tmp_path / "page.html"
    screen = shown("match", "-i", path, *WITH_TESTS, "--report", page)
    assert NOT_CLAIMED in page.read_text("utf-8")
    table, rest = screen.split("mean over artists")
    notes, end = " ".join(rest.split()).split("Tested 5 artists at level 0.2; ")
    assert end.startswith("by the tests as planned, and not to be claimed: name effect")
    assert (
        notes.count(NOT_CLAIMED) == 2 and NOT_CLAIMED in notes[-280:]
    )  # in the notes and beside the summary
    found = [line for line in table.splitlines() if "name effect" in line]
    assert found and all("name effect, not to be claimed" in line for line in found)
    piped = run("match", "-i", path, *WITH_TESTS)
    assert NOT_CLAIMED in piped.stderr
    fair = shown("match", "-i", made(tmp_path / "fair.h5", plain), *WITH_TESTS)
    assert "not to be claimed" not in fair and "fair reference" not in fair


def test_the_figures_of_a_notebook_claim_no_more_than_the_report(tmp_path: Path) -> None:
    assert NOT_CLAIMED in matched(made(tmp_path / "i.h5", plain, shift=MOVED), statistic="rank")._repr_html_()


def test_a_name_effect_without_enough_real_names_is_called_the_same_everywhere(tmp_path: Path) -> None:
    result = matched(made(tmp_path / "i.h5", plain))
    assert result.evidence is not None
    label = Finding.SPECIFICITY_NOT_TESTABLE
    overall = replace(result.evidence.overall, findings={**dict.fromkeys(Finding, 0), label: 2})
    evidence = replace(result.evidence, overall=overall, level=0.05)
    artists = tuple(replace(a, finding=label) if a.finding else a for a in result.artists)
    table = match_table(replace(result, evidence=evidence, artists=artists), False)
    (column,) = (column for column in table.columns if column.name == "finding")
    assert column.show(label) == "name effect; specificity ?"
    assert any('"specificity ?": too few other real names to test that' in note for note in table.notes)
    text = summary(evidence)
    assert "name effect; specificity ? 2." in text
    assert "could not be tested: ask the release for more real names (imindex generate --rivals 39)." in text
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"| {Finding.SPECIFICITY_NOT_TESTABLE} (in tables: specificity ?) |" in readme
    assert "--placebos 99 --rivals 39" in readme


def test_the_gap_is_mentioned_only_of_artists_that_have_a_low_one(tmp_path: Path) -> None:
    result = matched(made(tmp_path / "i.h5", plain))
    assert not any("gap" in note for note in match_table(result, False).notes)
    low = [replace(a, gap=-0.1) if a.artist == "Bo Sample" else a for a in result.artists]
    notes = match_table(replace(result, artists=tuple(low)), False).notes
    assert [note for note in notes if "gap" in note] == [
        "The gap of Bo Sample is 0 or below (--columns artist,gap): this encoder does not tell their works from "
        "those of others."
    ]


def test_placebo_names_and_rivals_are_no_empty_rows(tmp_path: Path) -> None:
    result = matched(made(tmp_path / "i.h5", plain), rivals=RIVALS)
    listed = [row["artist"] for row in match_table(result, False).data]
    assert sorted(listed) == sorted(ARTISTS)
    text = " ".join(run("match", "-i", tmp_path / "i.h5", "--no-tests").output.split())
    assert f"Without figures, no works: {len(PLACEBOS) + len(RIVALS)} artists" in text
    assert "Pass invented names with --placebo." in text


def test_the_diagnostic_does_not_depend_on_the_order_of_names(tmp_path: Path) -> None:
    first = matched(made(tmp_path / "a.h5", plain)).evidence
    again = matched(made(tmp_path / "b.h5", plain, order=5)).evidence
    assert first is not None and again is not None
    (one,), (other,) = first.exchangeability, again.exchangeability
    assert (one.p, one.p_shift, one.p_spread) == (other.p, other.p_shift, other.p_spread)
    assert (one.shift, one.spread) == pytest.approx((other.shift, other.spread))


def test_there_is_no_diagnostic_without_placebo_names(tmp_path: Path) -> None:
    path = made(tmp_path / "i.h5", plain)
    evidence = match_release(path, "r1", testing=Testing(n_resamples=99)).evidence
    assert evidence is not None and evidence.exchangeability == ()
