"""Prompts: seeds, safe paths for any name, names read from files."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.slug import safe_name, slug
from imindex.indexer.generate.artists_file import names_of, read_artists
from imindex.indexer.generate.prompts import picture_seed, shots
from imindex.indexer.generate.remove_name import without_name
from tests.support.hostile_names import HOSTILE


def test_the_list_is_complete_and_in_order() -> None:
    made = shots(
        ["Ada", "Bo"], placebos=["Cy"], templates=["Art by {artist}", "{artist}, oil"], per_artist=4,
        nameless=3, generic=["A tree"], per_generic=2,
    )  # fmt: skip
    counted = {
        arm: sum(shot.arm == arm for shot in made) for arm in ("artist", "placebo", "nameless", "generic")
    }
    assert counted == {"artist": 8, "placebo": 4, "nameless": 3, "generic": 2}
    assert [shot.prompt for shot in made[:4]] == ["Art by Ada"] * 2 + ["Ada, oil"] * 2
    assert [shot.prompt for shot in made[12:]] == ["Art", "Art", "oil", "A tree", "A tree"]
    assert [shot.number for shot in made[:4]] == [0, 1, 0, 1]
    assert {shot.kind for shot in made[:12]} == {"imitations"} and {shot.kind for shot in made[12:]} == {
        "control"
    }
    assert all(shot.artist == "" for shot in made[12:])
    assert len({shot.seed for shot in made}) == len({shot.path for shot in made}) == len(made)


def test_a_seed_depends_only_on_the_picture() -> None:
    whole = {
        s.path: s
        for s in shots(["Ada", "Bo"], placebos=["Cy"], templates=["{artist}", "by {artist}"], per_artist=6)
    }
    for part in (
        shots(["Bo"], templates=["{artist}", "by {artist}"], per_artist=2),
        shots(["Bo", "Ada"], templates=["by {artist}"], per_artist=3),
        shots(["Ada"], templates=["by {artist}", "{artist}"], per_artist=6),
    ):
        assert all(whole[shot.path] == shot for shot in part)
    moved = shots(
        ["Cy"], templates=["{artist}", "by {artist}"], per_artist=6
    )  # tested now: the same pictures
    assert all(whole[shot.path].seed == shot.seed for shot in moved)
    assert shots(["Ada"], seed=1)[0].seed != shots(["Ada"], seed=0)[0].seed


def test_seeds_can_be_derived_by_hand() -> None:
    text = '{"artist":"Zoë","number":3,"seed":7,"template":"by {artist}"}'
    by_hand = [
        int.from_bytes(hashlib.sha256(t.encode()).digest()[:8], "big") >> 1
        for t in (text, text.replace("ë", "\\u00eb"))
    ]
    assert picture_seed(7, "Zoë", "by {artist}", 3) in by_hand
    assert all(0 <= picture_seed(0, "", "x", n) < 2**63 for n in range(500))
    assert any(picture_seed(0, "", "x", n) >= 2**62 for n in range(20))


def test_hostile_names_have_distinct_safe_paths(tmp_path: Path) -> None:
    made = shots(HOSTILE, per_artist=1)
    assert len({shot.path.casefold() for shot in made}) == len(HOSTILE)
    for shot in made:
        file = tmp_path / shot.path
        assert os.path.normpath(file) == str(file) and file.is_relative_to(tmp_path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    assert shots(["{artist}"], templates=["by {artist}"], per_artist=1)[0].prompt == "by {artist}"


text = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=320
)
name = text.map(lambda t: unicodedata.normalize("NFC", t.strip())).filter(bool)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        name | st.sampled_from(["Ada", "ADA", "ada", "a/b", "a b", "a-b"]),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_any_names_have_distinct_safe_paths(names: list[str]) -> None:
    paths = [shot.path for shot in shots(names, per_artist=1)]
    assert len({path.casefold() for path in paths}) == len(names)
    for path in paths:
        parts = path.split("/")
        assert len(parts) == 3 and path.isascii() and not set(path) & set('<>:"\\|?*')
        assert all(
            len(part) <= 100 and not part.startswith((".", "-")) and not part.endswith(".")
            for part in parts[:2]
        )
    slugs = {slug(name).casefold() for name in names}
    assert len(slugs) == len(names)
    assert all(one[0] not in ".-" and one.isascii() and "/" not in one for one in slugs)


def test_slug_is_the_name_if_it_is_safe() -> None:
    assert slug("sd-2.1") == "sd-2.1"
    for odd in ("SD-2.1", "con", "aux.png", "..", "a b", "x" * 41, safe_name("SD")):
        assert slug(odd) != odd and slug(odd).startswith(safe_name(odd)[:-9])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Ada", " "], "empty"), (["Ada", "Ada "], "is listed twice"), (["e\u0301", "\u00e9"], "is listed twice"),
        (["a\nb"], "U\\+000A"), (["a\u2028b"], "U\\+2028"), (["a\x00"], "U\\+0000"),
        (["\ud800"], "a lone surrogate"),
    ],
)  # fmt: skip
def test_invalid_names_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(ImindexError, match=said):
        names_of(names)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"artists": ["Ada"], "placebos": ["Ada"]}, "tested artist and also a placebo"),
        ({"artists": ["Ada"], "templates": ["Artwork"]}, "no {artist}"),
        ({"artists": ["Ada"], "templates": []}, "No template"),
        ({"artists": ["Ada"], "templates": ["{artist}"] * 2}, "twice"),
        ({"artists": ["Ada"], "templates": ["{artist}", "by {artist}", "of {artist}"]}, "18 or 21"),
        ({"artists": ["Ada"], "per_artist": 0}, "per_artist is 0. Write a whole number from 1"),
        ({"artists": [], "generic": ["by {artist}"]}, "name no artist"),
    ],
)  # fmt: skip
def test_impossible_requests_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ImindexError, match=said):
        shots(arguments.pop("artists"), **arguments)


NAMELESS = {
    "Artwork from {artist}": "Artwork",
    "{artist}, oil painting": "oil painting",
    "in the style of {artist}": "Artwork",
    "{artist}": "Artwork",
    "a painting by {artist}": "a painting",
    "a {artist} painting": "a painting",
    "{artist}'s painting of a dog": "painting of a dog",
    "{artist}’s painting": "painting",
    "a painting in {artist}'s style": "a painting",
    "painting of a cat, {artist}-style": "painting of a cat",
    "A landscape in the late style of the famous artist {artist}": "A landscape",
    "a cat, by {artist}, oil on canvas": "a cat, oil on canvas",
    "artwork made by {artist} in 1920": "artwork in 1920",
    "Artwork (by {artist})": "Artwork",
    'Artwork by "{artist}"': "Artwork",
    "drawing by {artist} of a cat": "drawing of a cat",
    "a hand of cards by {artist}": "a hand of cards",
    "Artwork from {artist}.": "Artwork.",
    "un tableau de {artist}": "un tableau",
    "Gemälde im Stil von {artist}": "Gemälde",
    "a portrait, inspired by {artist}, and by {artist}": "a portrait",
}


@pytest.mark.parametrize("template", NAMELESS)
def test_the_name_is_removed_with_its_introducing_words(template: str) -> None:
    assert without_name(template) == NAMELESS[template]


@given(
    st.lists(
        st.sampled_from(["{artist}", "by", "(", ")", ",", "cat", "style", "of", "'s", "-", "."]),
        max_size=12,
    )
)
def test_removing_the_name_leaves_a_prompt_without_a_name(words: list[str]) -> None:
    left = without_name(" ".join([*words, "{artist}"]))
    assert left and "{artist}" not in left and left == left.strip()
    assert ("cat" in left) == ("cat" in words)


# Files of names


def test_names_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    names = ["Ada Example", 'Bo "B" Sample', "Cy, the Third", "Zoë"]
    quoted = ['"Ada Example"', '"Bo ""B"" Sample"', '"Cy, the Third"', "Zoe\u0308"]
    files = {
        "header.csv": "id,Artist\n" + "".join(f"{i},{q}\n" for i, q in enumerate(quoted)),
        "plain.csv": "\n".join(quoted),
        "names.txt": "\n".join(names) + "\n\n",
        "objects.jsonl": "\n".join(json.dumps({"artist": n, "born": 1900}) for n in names),
        "strings.jsonl": "\n".join(json.dumps(n) for n in names),
    }
    for file, content in files.items():
        for start in (b"", b"\xef\xbb\xbf"):
            (tmp_path / file).write_bytes(start + content.replace("\n", "\r\n").encode())
            assert read_artists(tmp_path / file) == names, file


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("a.txt", b"", "lists no artists"), ("a.txt", b"\x81", "UTF-8"),
        ("a.txt", b"Ada\n\nAda\n", "line 3: 'Ada' is already listed in line 1"),
        ("a.csv", b"artist,id\nAda,1\n,2\n", "line 3: A name is empty"), ("a.csv", b"Ada,1\n", "no column is named"),
        ("a.csv", b'id,artist\n1,Ada\n2\n', "line 3: A name is empty"), ("a.jsonl", b'{"name": "Ada"}', "no name"),
        ("a.jsonl", b"{", "not JSON"), ("a.csv", b'artist\n"Ada', "quotes"), ("a.txt", b"A\x07da", "U\\+0007"),
    ],
)  # fmt: skip
def test_files_that_do_not_name_artists_are_refused(
    file: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ImindexError, match=said):
        read_artists(tmp_path / file)
    with pytest.raises(ImindexError, match="does not exist"):
        read_artists(tmp_path / "no.csv")
