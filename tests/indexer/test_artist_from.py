"""Artists by the paths of their pictures, for folders in another layout than ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.sources.artist_from import ArtistFrom
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.stray import PassedOver
from imindex.indexer.store.index import Index
from tests.support.commands import run


@pytest.mark.parametrize(
    ("pattern", "path", "artist"),
    [
        ("{artist}_*.png", "Ada Example_1.png", "Ada Example"), ("{artist}_*.png", "ada_example_01.png", "ada_example"),
        ("{artist}_*.png", "Ada Example.png", ""), ("{artist}_*.png", "x/Ada_1.png", ""),
        ("{artist}_*.png", "_1.png", ""),
        ("{artist}_*.png", "Ada_1.png.txt", ""), ("{artist}-???.jpg", "Anne-Marie-001.jpg", "Anne-Marie"),
        ("{artist}/...", "Ada/1900/a.png", "Ada"), ("{artist}/...", "a.png", ""),
        (".../{artist}/*", "1900/oil/Ada/a.png", "Ada"), (".../{artist}/*", "Ada/a.png", "Ada"),
        (".../{artist}_*", "Impressionism/claude-monet_water-lilies.jpg", "claude-monet"),
        ("**/{artist}/final/*", "a/b/Ada/final/1.png", "Ada"), ("*/{artist}/*", "x/Ada/1.png", "Ada"),
        ("*/{artist}/*", "x/y/Ada/1.png", ""), ("[{artist}] *.png", "[Ada] dawn.png", "Ada"),
        ("{artist} (*).png", "Ada (1).png", "Ada"), ("{artist}.v?.png", "Ada.v2.png", "Ada"),
        ("{artist}.v?.png", "Adaxv2.png", ""), ("*_by_{artist}.png", "dawn_by_Ada.png", "Ada"),
        ("re:^(?P<artist>[^_]+)_", "Ada_by_night.png", "Ada"),
        ("re:by (?P<artist>.+?)( \\d+)?\\.", "x by Ada 3.png", "Ada"),
        ("re:^(?P<artist>\\w+)?x", "-x.png", ""), ("{artist}_*.png", "Zoe\u0308\u00a0Sample_1.png", "Zoë Sample"),
        ("{artist}_*.png", " _1.png", ""), ("{artist}\n*.png", "Ada\nb.png", "Ada"),
    ],
)  # fmt: skip
def test_a_pattern_takes_the_artist_from_a_path(pattern: str, path: str, artist: str) -> None:
    assert ArtistFrom.parse(pattern).artist_of(path) == artist


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("*_*.png", r"contains \{artist\} 0 times\. Write \{artist\} where the name is"),
        ("{artist}/{artist}.png", r"contains \{artist\} 2 times"), ("{name}/...", r"contains \{name\}"),
        ("{artist}/{title}.png", r"contains \{title\}"), ("", r"0 times"),
        ("re:(?P<artist>", r"is no regular expression: .*\. Write re:"), ("re:(.*)_", r"has no group named artist"),
    ],
)  # fmt: skip
def test_a_pattern_without_an_artist_is_refused(pattern: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ImindexError, match=said):
        list(find([tmp_path], kind="works", artist_from=pattern))


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    for name in ("Ada_1.png", "Ada_2.png", "Bo_1.png", "scan.png", "notes.txt", "Thumbs.db", "deep/Cy_1.png"):
        (tmp_path / "pile" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pile" / name).touch()
    return tmp_path / "pile"


def of(items: list[Item]) -> list[tuple[str, str, str, str]]:
    return [(Path(i.path).name, i.artist, i.kind, i.collection) for i in items]


def test_files_that_do_not_match_are_counted_and_told(pile: Path) -> None:
    notes: list[str] = []
    passed = PassedOver()
    items = list(find([pile], kind="works", artist_from="{artist}_*.png", note=notes.append, passed=passed))
    assert of(items) == [(f"{n}.png", n[:-2], "works", "works") for n in ("Ada_1", "Ada_2", "Bo_1")]
    assert (
        "2 pictures do not match --artist-from '{artist}_*.png' and are not used, such as deep/Cy_1.png."
        in notes[0]
    )
    assert "2 artists by --artist-from '{artist}_*.png', such as 'Ada' from Ada_1.png." in notes[1]
    assert dict(passed.counts()) == {
        "(picture without an artist in its path)": 2, "Thumbs.db": 1, ".txt": 1,
    }  # fmt: skip
    assert "Passed over 2 files that are not pictures" in notes[2]
    everything = list(find([pile], kind="imitations", artist_from=".../{artist}_*.png"))
    assert {(i.artist, i.kind, i.collection) for i in everything} == {
        (name, "imitations", "pile") for name in ("Ada", "Bo", "Cy")
    }


def test_a_pattern_that_fits_nothing_is_an_error_with_an_example(pile: Path) -> None:
    with pytest.raises(
        ImindexError, match=r"no path matches --artist-from '\{artist\}-\*', such as Ada_1\.png\. Correct"
    ):
        list(find([pile], kind="works", artist_from="{artist}-*"))
    with pytest.raises(ImindexError, match=r"holds none of the folders works"):
        list(find([pile], artist_from="{artist}_*"))
    with pytest.raises(ImindexError, match=r"or --artist-from if its path tells it"):
        list(find([pile], kind="works"))


def test_kinds_and_releases_come_from_the_folders_above(tmp_path: Path) -> None:
    for name in ("works/Ada_1.png", "imitations/r1/Ada_1.png", "imitations/r2/x/Bo_1.png", "control/c_1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert of(list(find([tmp_path], artist_from=".../{artist}_*.png"))) == [
        ("Ada_1.png", "Ada", "works", "works"), ("Ada_1.png", "Ada", "imitations", "r1"),
        ("Bo_1.png", "Bo", "imitations", "r2"), ("c_1.png", "", "control", "control"),
    ]  # fmt: skip


def test_an_option_that_contradicts_is_refused(pile: Path) -> None:
    (pile / "m.csv").write_text("path,artist,kind\nAda_1.png,Ada,works\n")
    with pytest.raises(ImindexError, match=r"--artist-from is for folders"):
        list(find([pile / "m.csv"], artist_from="{artist}_*"))
    with pytest.raises(ImindexError, match=r"not both"):
        list(find([pile], kind="works", artist="Ada", artist_from="{artist}_*"))


def test_a_flat_folder_is_built_from_the_command_line(
    works: Callable[..., Path], tiny_model: str, tmp_path: Path
) -> None:
    flat = works({"flat": 4}) / "flat"
    for number, name in enumerate(("Ada Example_1.png", "Ada Example_2.png", "Bo_1.png", "other.png")):
        (flat / f"{number:03d}.png").rename(flat / name)
    words = ("-i", tmp_path / "i.h5", "--model", tiny_model, "--device", "cpu", "--kind", "works")
    result = run("build", flat, *words, "--artist-from", "{artist}_*.png", "--json")
    assert "1 picture does not match" in result.stderr and "which is other.png" in result.stderr
    assert ["(picture without an artist in its path)", 1] in json.loads(result.stdout)["passed_over"]
    with Index(tmp_path / "i.h5") as index:
        assert index.artists == ("Ada Example", "Bo") and index.n == 3
