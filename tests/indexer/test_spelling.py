"""One spelling of names everywhere; names that differ by case or look are told; older indexes stay usable."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imindex.indexer.build.build import build
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import alike, alike_note, as_stored, clean_name
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.maintain.remove import remove
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.testing import numbers_of, placebo_numbers
from imindex.retrieval.vectors.select import artist_mask, pictures, release
from tests.support.builds import Counting
from tests.support.commands import run

SPELLINGS = {
    "no-break space": "Ada\u00a0Example",
    "narrow no-break space": "Ada\u202fExample",
    "ideographic space": "Ada\u3000Example",
    "two spaces": "Ada  Example",
    "line break": "Ada\nExample",
    "spaces around": "\u2003 Ada Example\u00a0",
    "zero-width space": "Ada Example\u200b",
    "byte order mark": "\ufeffAda Example",
    "mark of direction": "\u200eAda Example\u202c",
    "soft hyphen": "Ada Exam\u00adple",
    "word joiner": "Ada\u2060 Example",
    "joiner in Latin": "Ada E\u200dxample",
    "non-joiner in Latin": "Ada E\u200cxample",
    "grapheme joiner": "Ada E\u034fxample",
    "Hangul filler": "Ada Example\u3164",
    "isolates": "\u2068Ada Example\u2069",
}


@pytest.mark.parametrize("written", SPELLINGS.values(), ids=SPELLINGS)
def test_spaces_and_invisible_characters_do_not_make_another_artist(written: str) -> None:
    assert clean_name(written) == "Ada Example"


@pytest.mark.parametrize(
    "name",
    [
        "نی‌ما یوشیج",
        "ക്‍",
        "श्‍याम",
        "Kahlo, Frida",
        "O’Keeffe",
        "Zoë",
        "葛飾北斎",
        "Łucja 2",
        "日\U000e0100",
        "👩‍🎨",
    ],
)
def test_what_is_seen_of_a_name_is_kept(name: str) -> None:
    assert clean_name(name) == name == unicodedata.normalize("NFC", name)


@given(st.text(max_size=12))
def test_a_clean_name_stays_as_it_is(name: str) -> None:
    once = clean_name(name)
    assert clean_name(once) == once == once.strip() and "  " not in once
    assert not any(unicodedata.category(c) == "Zs" and c != " " for c in once)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ada Example", "ADA EXAMPLE", True), ("O'Keeffe", "O’Keeffe", True), ("Anne-Marie", "Anne‑Marie", True),
        ("Ada", "\u0410da", True), ("ﬁnn", "finn", True), ("Ａｄａ", "Ada", True), ("Straße", "STRASSE", True),
        ("Zoe", "Zoë", False), ("Ada Example", "Ada Exemple", False), ("Ada", "Ada 2", False),
    ],
)  # fmt: skip
def test_names_that_look_the_same_are_told(one: str, other: str, same: bool) -> None:
    assert alike([one, "Bo", other, one]) == ([(one, other)] if same else [])
    assert bool(alike_note([one, other])) == same


def test_a_foreign_letter_is_named_by_its_code() -> None:
    assert '"Ada" and "\u0410da" (with U+0410)' in alike_note(["Ada", "\u0410da"])


def test_a_manifest_in_many_spellings_is_one_artist_and_case_is_told(
    works: Callable[..., Path], tiny_model: str, tmp_path: Path
) -> None:
    root = works({"w": len(SPELLINGS) + 2})
    with (root / "m.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [*SPELLINGS.values(), "ada example", "Bo"]
        written = csv.writer(file)
        written.writerow(["path", "artist", "kind"])
        written.writerows([f"w/{n:03d}.png", name, "works"] for n, name in enumerate(rows))
    words = ("--model", tiny_model, "--device", "cpu", "-i", tmp_path / "i.h5")
    said = run("build", root / "m.csv", *words).stderr
    assert '"Ada Example" and "ada example". If they are one artist' in said
    with Index(tmp_path / "i.h5") as index:
        assert index.artists == ("Ada Example", "ada example", "Bo")
    info = run("info", "-i", tmp_path / "i.h5")
    assert '"Ada Example" and "ada example"' in info.stderr and "by 3 artists" in info.stdout + info.stderr


def test_folders_are_spelt_as_manifests_are(works: Callable[..., Path]) -> None:
    root = works(
        {"works/Ada\u00a0Example": 1, "works/Ada Example\u200b": 1, "imitations/sd\u00a02/Ada  Example": 1}
    )
    items = list(find([root]))
    assert {item.artist for item in items} == {"Ada Example"}
    assert {item.collection for item in items} == {"works", "sd 2"}


@pytest.fixture
def older(works: Callable[..., Path], tiny_encoder: Encoder, tmp_path: Path) -> Path:
    """An index as older versions wrote it, with a no-break space in the names of an artist and of a release."""
    root = works({"works/Ada\u00a0Example": 2, "works/Bo": 2, "imitations/sd\u00a02/Ada\u00a0Example": 1})
    items = [
        replace(item, artist="Ada\u00a0Example" if "Ada" in item.artist else item.artist,
                collection="sd\u00a02" if "sd" in item.collection else item.collection)
        for item in find([root])
    ]  # fmt: skip
    build(items, tmp_path / "i.h5", Counting(tiny_encoder))
    return tmp_path / "i.h5"


def test_adding_to_an_older_index_follows_its_names(
    older: Path, works: Callable[..., Path], tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, encoder = works({"works/Ada Example": 1}, first_seed=50), Counting(tiny_encoder)
    report = build(list(find([root])), older, encoder)
    assert (report.encoded, report.unchanged, report.added, report.rows) == (1, 5, 1, 6)
    with Index(older) as index:
        assert index.artists == ("Ada\u00a0Example", "Bo")
        assert [c.name for c in index.collections] == ["works", "sd\u00a02"]
    assert build(list(find([root])), older, encoder).unchanged == 6


@pytest.mark.parametrize("name", ["Ada Example", "Ada\u00a0Example", "Ada  Example\u200b"])
def test_every_command_finds_an_older_name_by_any_spelling(older: Path, name: str) -> None:
    with Index(older) as index:
        assert artist_mask(index, [name]).sum() == 3
        assert release(index, "sd 2") == ("sd\u00a02", "imitations")
        imitations = pictures(index, "imitations")
        assert numbers_of(index, [name], imitations) == [0]
        with pytest.raises(ImindexError, match="has no artist Ada Exemple"):
            artist_mask(index, ["Ada\u00a0Exemple"])
        with pytest.raises(ImindexError, match="has works, so it is not a placebo"):
            placebo_numbers(index, [name.replace("Example", "E*")], imitations)
    assert remove(older, artists=[name], dry_run=True).removed == 3


def test_removing_an_older_name_erases_each_spelling_from_the_log(
    older: Path, tiny_encoder: Encoder, works: Callable[..., Path]
) -> None:
    root = works({"more": 1}, first_seed=90)
    build(
        list(find([root / "more"], kind="works", artist="Ada Example")), older, Counting(tiny_encoder),
        command="imindex build more --artist 'Ada  Example' --collection 'Ada Example'",
    )  # fmt: skip
    remove(older, artists=["Ada Example"])
    with Index(older) as index:
        assert "Ada" not in " ".join(line["command"] for line in index.log())


def test_the_exact_name_precedes_another_spelling() -> None:
    stored = ["Ada\u00a0Example", "Ada Example"]
    assert as_stored(["Ada Example", "Ada\u00a0Example", "Ada  Example", "Bo  B"], stored) == [
        "Ada Example", "Ada\u00a0Example", "Ada Example", "Bo B",
    ]  # fmt: skip
