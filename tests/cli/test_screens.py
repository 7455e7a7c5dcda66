"""What commands show in a real terminal: no line is wider, no number is broken, no name is cut without an ellipsis."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imindex.indexer.terminal.output import clean
from imindex.indexer.terminal.width import width_of
from tests.support.commands import run
from tests.support.pictures import picture
from tests.support.screens import Screen, index_of, names, needs_tmux

pytestmark = needs_tmux
FAST = ("--resamples", "99")
PLACEBOS = ("--placebo", "placebo *")
WIDE = 1000


def commands(index: Path, pictures: Path, query: Path) -> dict[str, list[object]]:
    """Command lines, by a name for each."""
    return {
        "match": ["match", "-i", index, "--collection", "release-2.0", *PLACEBOS, *FAST],
        "match --no-tests": ["match", "-i", index, "--collection", "release-2.0", "--no-tests", "--all"],
        "match --columns": [
            "match", "-i", index, "--collection", "release-2.0", "--no-tests", "--columns",
            "artist,auc,gap,gap_nearest,recall@5,n_works,n_imitations,rank_percentile,gap_status,hit@50",
        ],
        "classify": ["classify", "-i", index, "--by", "works", "--collection", "release-2.0", *PLACEBOS, *FAST],
        "compare": ["compare", "release-2.0", "release-2.1", "-i", index, "--no-names", *PLACEBOS, *FAST],
        "info": ["info", "-i", index, "--artists", "--rejects", "--duplicates", "--provenance"],
        "power": [
            "power", "--effect", "0.1", "--between-sets", "0.05", "--within-set", "0.2", "--artists", "5", *FAST,
        ],
        "query": ["query", query, "-i", pictures, "--device", "cpu", "-k", "6"],
        "verify": ["verify", "-i", index, "--pictures"],
    }  # fmt: skip


@pytest.fixture(scope="module", params=[3, 70])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_model: str
) -> dict[str, list[object]]:
    """Indexes of 3 or 70 artists, and the commands that read them."""
    folder = tmp_path_factory.mktemp(f"screens-{request.param}")
    artists = names(request.param)
    index = index_of(folder / "audit.h5", artists)
    for number, artist in enumerate(artists):
        for kind in ("works", "imitations/release-2.0", "imitations/release-2.1"):
            place = folder / "art" / kind / artist.replace("/", "_").replace("\x1b", "")
            place.mkdir(parents=True)
            picture(number).save(place / "000.png")
    run("build", folder / "art", "-i", folder / "art.h5", "--model", tiny_model, "--device", "cpu")
    query = folder / "art" / "works" / artists[0] / "000.png"
    return commands(index, folder / "art.h5", query)


@pytest.fixture(scope="module")
def wide(world: dict[str, list[object]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the commands show where everything has room."""
    with Screen(WIDE, tmp_path_factory.mktemp("wide")) as screen:
        shown = screen.run(*world.values())
    return {name: "\n".join(lines) for name, lines in zip(world, shown, strict=True)}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_screens(world: dict[str, list[object]], wide: dict[str, str], width: int, tmp_path: Path) -> None:
    with Screen(width, tmp_path) as screen:
        shown = dict(zip(world, screen.run(*world.values()), strict=True))
    for name, lines in shown.items():
        said = (name, "\n".join(lines))
        assert "Traceback" not in said[1], said
        assert all(width_of(line) <= width for line in lines), said
        assert numbers(said[1]) <= numbers(wide[name]), said
        tables = list(rows_of(lines))
        assert tables or name == "verify", said
        if name in ("match", "classify", "compare"):
            known = {clean(artist) for artist in names(70)}
            for table in tables:
                cells = [re.split(r"  +", row.strip())[0] for row in table]
                artists = [cell for cell in cells if cell in known or "\u2026" in cell]
                assert len(artists) == len(set(artists)), said
                if any(cell in known for cell in cells):
                    assert artists == cells, said
    for name in ("match", "classify", "compare"):
        if width < 120:
            assert "Left out: " in "\n".join(shown[name])
            assert "--columns, --csv or a wider" in " ".join("\n".join(shown[name]).split()), name
    assert "Left out" not in wide["match"] and "Names are cut" not in wide["match"]


def numbers(text: str) -> set[str]:
    """Return the numbers of a screen, without those in what is cut, in digests, and in remarks on what is left out."""
    text = re.sub(r"Left out:.*?terminal\.", "", text, flags=re.DOTALL)
    words = re.split(r"[\s,;()]+", text)
    plain = [word for word in words if "\u2026" not in word and not re.fullmatch(r"[0-9a-f]{10,}", word)]
    return {number for word in plain for number in re.findall(r"\d+(?:[.,]\d+)*", word)}


def rows_of(lines: list[str]) -> Iterator[list[str]]:
    """Return the rows of each table on a screen: what is between its rule and what follows the table."""
    table: list[str] | None = None
    for line in [*lines, ""]:
        if line.strip("\u2500") == "" and line:
            table = []
        elif table is not None:
            if not line or line.startswith(
                ("mean over artists", "Left out", "Names are cut", "Encoder", "Effect")
            ):
                if table:
                    yield table
                table = None
            else:
                table.append(line)


def test_a_thumbnail_is_shown_where_it_is_asked_for_and_never_in_a_pipe(
    works: Callable[..., Path], tiny_model: str, tmp_path: Path
) -> None:
    root, index = works({"works/ada": 3}), tmp_path / "i.h5"
    run("build", root, "-i", index, "--model", tiny_model, "--device", "cpu")
    asked = ["query", root / "works/ada/000.png", "-i", index, "--device", "cpu", "--thumbnails"]
    for protocol in ("auto", "kitty", "iterm", "sixel"):
        piped = run(*asked, protocol)
        assert "\x1b" not in piped.output and "Thumbnails are shown in a terminal only" in piped.stderr
    with Screen(80, tmp_path) as screen:
        (auto, kitty) = screen.run([*asked, "auto"], [*asked, "kitty"])
    assert "This terminal does not say that it shows pictures" in " ".join(auto)
    (captions,) = (line for line in kitty if line.startswith("query "))
    assert re.fullmatch(r"query +1 ada +2 ada +3 ada", captions)
