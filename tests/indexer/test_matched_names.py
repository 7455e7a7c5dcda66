"""Placebo names that match the artists, origins, the list of historical artists, and secret seeds."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.artist_origins import STATED, canonical, gender_of, origins_of
from imindex.indexer.generate.artists_file import names_of, read_origins
from imindex.indexer.generate.historical_artists import (
    LATEST_DEATH,
    historical_artists,
    historical_names,
    same_artist,
)
from imindex.indexer.generate.matched_names import drawing_begun, matched_placebos
from imindex.indexer.generate.name_banks import BANKS, PARTICLES
from imindex.indexer.generate.name_likeness import fold, parts
from imindex.indexer.generate.placebo_names import FAMOUS, GIVEN, SURNAMES, placebo_names
from imindex.indexer.generate.secret_seed import read_seed
from tests.support.commands import run

ARTISTS = [
    "Piet van der Goossens", "Keiko Tsukada", "Tomasz Lewandowski", "Maria Pinheiro Souza", "Banksy", "Ada Example",
    "Zhou Xiaofeng",
]  # fmt: skip
PINNED = [
    "Olivier van der Bakker",
    "Kazuko Takamine",
    "Cecylia Hlavacek",
    "Joao Fragoso Espadinha",
    "Zaleski",
    "Tan Minghao",
    "Lan-Anh Vuong",
]


# Lists of names


def test_every_name_of_the_first_lists_has_an_origin() -> None:
    given = Counter(name for bank in BANKS.values() for name in bank.given)
    surnames = Counter(name for bank in BANKS.values() for name in bank.surnames)
    assert set(GIVEN) <= given.keys() and set(SURNAMES) <= surnames.keys()
    assert {name: n for name, n in (given + surnames).items() if n > 1} == {}
    assert all(fold(word) for word in (*given, *surnames))


def test_every_origin_has_names_enough() -> None:
    for origin, bank in BANKS.items():
        assert min(len(bank.feminine), len(bank.masculine)) >= 18 and len(bank.surnames) >= 28, origin
        artists = origins_of(["Ada Example"], {"Ada Example": origin})
        assert len(matched_placebos(artists, 120, seed=1)) == 120


def test_no_surname_is_that_of_a_famous_artist() -> None:
    famous = {fold(name) for name in FAMOUS}
    assert not famous & {fold(name) for bank in BANKS.values() for name in bank.surnames}


# The drawing


def test_the_draw_is_pinned() -> None:
    """Audits name their placebos by seed: another list for the same seed is another audit."""
    names = [one.name for one in matched_placebos(origins_of(ARTISTS), 7, seed=3)]
    assert names == PINNED


def test_names_match_origin_form_words_and_length() -> None:
    origins = origins_of(ARTISTS)
    drawn = matched_placebos(origins, 140, seed=2)
    assert {one.like for one in drawn} == set(ARTISTS)
    off = []
    for one in drawn:
        origin = next(o for o in origins if o.artist == one.like)
        assert one.origin == origin.origin or not origin.origin
        words, wanted = one.name.split(), one.like.split()
        assert [w if w in PARTICLES else "" for w in words] == [w if w in PARTICLES else "" for w in wanted]
        bank = BANKS[one.origin]
        if origin.gender:
            assert set(words) & {*getattr(bank, origin.gender), *bank.either}
        off.append(abs(len(one.name) - len(one.like)))
        assert not {fold(w) for w in words if w not in PARTICLES} & parts(one.like)
    assert sum(k <= 2 for k in off) >= 0.8 * len(off)
    # The surname comes first where it does in the artist's name.
    chinese = next(one for one in drawn if one.like == "Zhou Xiaofeng")
    assert chinese.origin == "chinese" and chinese.name.split()[0] in BANKS["chinese"].surnames


def test_a_pool_represents_every_origin_and_a_shorter_list_is_a_prefix() -> None:
    origins = origins_of(["Jan Kowalczyk", "Jerzy Wojcik", "Zofia Mazurek", "Keiko Tsukada"])
    assert {one.origin for one in matched_placebos(origins, 2)} == {"west slavic", "japanese"}
    long = matched_placebos(origins, 90, seed=4)
    assert long[:31] == matched_placebos(origins, 31, seed=4)
    assert Counter(one.origin for one in long) == {"west slavic": 67, "japanese": 23}
    even = matched_placebos(origins, 90, seed=4, by_origin=True)
    assert Counter(one.origin for one in even) == {"west slavic": 45, "japanese": 45}
    assert len({fold(one.name) for one in even}) == 90
    assert [one.name for one in even] == names_of(one.name for one in even)


def test_names_are_apart_from_real_ones() -> None:
    origins = origins_of(["Keiko Tsukada"])
    drawn = [one.name for one in matched_placebos(origins, 60, seed=1)]
    again = [one.name for one in matched_placebos(origins, 60, seed=1, avoid=[drawn[0], "Hana UEDA"])]
    surname = drawn[0].split()[-1]
    assert not any({surname, "Ueda"} & set(name.split()) for name in again)
    assert len(set(drawn) & set(again)) >= 40  # one more name to avoid changes few
    other = {one.name for one in matched_placebos(origins, 60, seed=2)}
    assert len(other & set(drawn)) < 20


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ImindexError, match="no artists whom"):
        matched_placebos([], 1)
    assert matched_placebos([], 0) == []
    with pytest.raises(ImindexError, match=r"no more of origin 'persian' like 'Arash'.*unknown"):
        matched_placebos(origins_of(["Arash"], {"Arash": "persian"}), 100)


def test_a_folder_goes_on_with_the_drawing_it_was_begun_with(tmp_path: Path) -> None:
    first = placebo_names(3, seed=1)
    assert drawing_begun(tmp_path, first) == 2
    line = '{{"path": "a", "artist": "{}", "arm": "placebo", "sha256": "", "prompt": "", "seed": 1, "blocked": null}}\n'
    (tmp_path / "manifest.jsonl").write_text(line.format(first[0]))
    assert drawing_begun(tmp_path, first) == 1
    (tmp_path / "manifest.jsonl").write_text(line.format("Keiko Nobody"))
    assert drawing_begun(tmp_path, first) == 2


# Origins


@pytest.mark.parametrize(
    ("name", "origin", "source"),
    [
        ("Tomáš Novotný", "west slavic", "surname Novotný in the lists of names"),
        ("Greg Rutkowski", "west slavic", "ending -owski"),
        ("Vincent van Gogh", "dutch", "particle van"),
        ("Frida Kahlo", "spanish", "given name Frida in the lists of names"),
        ("Эль Лисицкий", "east slavic", "Cyrillic letters"),
        ("草間 やよい", "japanese", "Hiragana letters"),
        ("葛飾北斎", "", "ideographs, which several languages share"),
        ("Banksy", "", "no list or ending fits"),
    ],
)
def test_an_origin_is_guessed_with_its_source(name: str, origin: str, source: str) -> None:
    (guess,) = origins_of([name])
    assert (guess.origin, guess.source) == (origin, source)


def test_a_stated_origin_counts_and_may_be_unknown() -> None:
    stated = {"A B": "Flemish", "C D": "unknown", "E F": "Martian", "Jan Kowalczyk": ""}
    known = {one.artist: one for one in origins_of(stated, stated)}
    assert (known["A B"].origin, known["A B"].source) == ("dutch", STATED)
    assert (known["C D"].origin, known["C D"].source) == ("", STATED)
    assert known["E F"].origin == "" and "'Martian', which has no list" in known["E F"].source
    assert known["Jan Kowalczyk"].origin == "west slavic" != known["Jan Kowalczyk"].source
    assert all(canonical(origin) == origin for origin in BANKS)
    assert gender_of("Zofia Example", "west slavic") == "feminine" == gender_of("Zofia Example", "")
    assert gender_of("Yuki Example", "japanese") == "" == gender_of("Nobody", "")


def test_origins_are_read_from_a_file(tmp_path: Path) -> None:
    csv, lines = tmp_path / "a.csv", tmp_path / "a.jsonl"
    csv.write_text('Origin,Artist\npolish,"Example, Ada"\n,Bo Sample\n')
    assert read_origins(csv) == {"Example, Ada": "polish"}
    lines.write_text('{"artist": "Ada", "origin": "polish"}\n"Bo"\n{"artist": "Cy"}\n')
    assert read_origins(lines) == {"Ada": "polish"}
    csv.write_text("Ada\nBo\n")
    assert read_origins(csv) == {}


# Historical artists


def test_the_list_of_historical_artists_is_plausible() -> None:
    artists = historical_artists()
    assert len(artists) >= 300 and len({fold(one.artist) for one in artists}) == len(artists)
    for one in artists:
        born, died = (int(re.fullmatch(r"(?:c\. )?(\d{3,4})", year)[1]) for year in (one.born, one.died))  # type: ignore[index]
        assert died <= LATEST_DEATH and 18 <= died - born <= 99, one
        assert one.gender in ("feminine", "masculine") and one.region
        assert re.fullmatch(r"\d{1,2}(st|nd|rd|th) century", one.period)
        assert names_of([one.artist]) == [one.artist]
    assert sum(one.gender == "feminine" for one in artists) >= 25
    assert len({one.region for one in artists}) >= 12
    pairs = itertools.combinations([one.artist for one in artists], 2)
    assert [pair for pair in pairs if same_artist(*pair)] == [("Raphael", "Anton Raphael Mengs")]


def test_historical_names_never_coincide_with_names_to_avoid() -> None:
    everybody = historical_names(len(historical_artists()))
    avoid = ["MONET, claude", "Vigee-Le Brun, Elisabeth", "Caravaggio", "Botticelli"]
    names = historical_names(400, seed=1, avoid=avoid)
    assert not {"Élisabeth Vigée Le Brun", "Caravaggio", "Sandro Botticelli"} & set(names)
    assert {"Élisabeth Vigée Le Brun", "Caravaggio", "Sandro Botticelli"} <= set(everybody)
    assert historical_names(40, seed=1, avoid=avoid) == names[:40]
    assert historical_names(40, seed=2) != historical_names(40, seed=1)
    with pytest.raises(ImindexError, match=r"only .* rivals = "):
        historical_names(10_000)


# Secret seeds


def test_a_secret_seed_is_recorded_by_a_digest_that_does_not_give_the_names(tmp_path: Path) -> None:
    file = tmp_path / "placebo.seed"
    file.write_bytes(bytes(range(1, 40)))
    file.chmod(0o600)
    seed = read_seed("from:placebo.seed", tmp_path)
    assert seed.digest == hashlib.sha256(file.read_bytes()).hexdigest() and seed.warnings == ()
    assert seed.key not in (file.read_bytes(), bytes.fromhex(seed.digest))
    origins = origins_of(["Keiko Tsukada"])
    names = [one.name for one in matched_placebos(origins, 20, seed=seed.key)]
    assert names == [one.name for one in matched_placebos(origins, 20, seed=read_seed(f"from:{file}").key)]
    for known in (0, bytes.fromhex(seed.digest), seed.digest.encode()):
        guessed = [one.name for one in matched_placebos(origins, 20, seed=known)]
        assert len(set(guessed) & set(names)) < 8 and guessed != names


def test_a_weak_or_missing_secret_is_named(tmp_path: Path) -> None:
    file = tmp_path / "s"
    with pytest.raises(ImindexError, match=r"does not exist\. Make one with"):
        read_seed(f"from:{file}")
    file.write_bytes(b"\n")
    with pytest.raises(ImindexError, match="is empty"):
        read_seed(f"from:{file}")
    for text in ("s", "from:", "from: "):
        with pytest.raises(ImindexError, match="Write from:FILE"):
            read_seed(text)
    file.write_bytes(b"abc")
    file.chmod(0o640)
    readable, short = read_seed(f"from:{file}").warnings
    assert "can be read by other users" in readable and "fewer than 16 bytes" in short
    with pytest.raises(ImindexError, match="is a folder, not a regular file"):
        read_seed(f"from:{tmp_path}")


# The command


def test_generate_draws_matching_names_and_tells_what_it_guessed(tmp_path: Path) -> None:
    (tmp_path / "artists.csv").write_text("artist,origin\nJan Kowalczyk,\nAda Example,japanese\n")
    (tmp_path / "seed").write_bytes(b"x" * 20)
    (tmp_path / "seed").chmod(0o600)
    words = (
        "generate", "--model", "m", "--out", tmp_path / "out", "--artists", tmp_path / "artists.csv", "--placebos", 4,
        "--rivals", 2, "--per-artist", 1, "--dry-run",
    )  # fmt: skip
    result = run(*words)
    assert "Jan Kowalczyk: west slavic (surname Kowalczyk in the lists of names)." in result.stderr
    assert "Ada Example: japanese (stated)." in result.stderr
    assert "Would make 8 pictures" in result.stderr and "further real names" in result.stdout
    secret = run(*words, "--placebo-seed", f"from:{tmp_path / 'seed'}")
    assert hashlib.sha256(b"x" * 20).hexdigest() in secret.stderr and secret.stdout != result.stdout
    assert "of unknown origin" not in run(*words, "--placebo-drawing", "1").stderr
    assert "column `origin`" not in result.stderr
    (tmp_path / "artists.csv").write_text(
        "artist,origin\nXqzt Wvbk,\nYqzt Kvbw,unknown\nAda Example,klingon\n"
    )
    unknown = " ".join(run(*words).stderr.split())
    assert "Xqzt Wvbk: of unknown origin" in unknown
    assert "2 artists are of unknown origin" in unknown and "state it in the column `origin`" in unknown
    assert "does not exist" in run(*words, "--placebo-seed", "from:nowhere", code=1).stderr
