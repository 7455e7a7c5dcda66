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
from tests.support.screens import index_of, names, needs_tmux, shown_in

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
        "query": ["query", query, "-i", pictures, "--device", "cpu", "--trust-encoder", "-k", "6"],
        "verify": ["verify", "-i", index, "--pictures"],
    }  # fmt: skip


@pytest.fixture(scope="module", params=[3, 70])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_model: str
) -> tuple[Path, dict[str, list[object]]]:
    """A folder with indexes of 3 or 70 artists, and the commands that read them."""
    folder = tmp_path_factory.mktemp(f"screens-{request.param}")
    artists = names(request.param)
    index_of(folder / "audit.h5", artists)
    for number, artist in enumerate(artists):
        for kind in ("works", "imitations/release-2.0", "imitations/release-2.1"):
            place = folder / "art" / kind / artist.replace("/", "_").replace("\x1b", "")
            place.mkdir(parents=True)
            picture(number).save(place / "000.png")
    run("build", folder / "art", "-i", folder / "art.h5", "--model", tiny_model, "--device", "cpu")
    query = folder / "art" / "works" / artists[0] / "000.png"
    return folder, commands(Path("audit.h5"), Path("art.h5"), query)


@pytest.mark.slow
def test_screens(world: tuple[Path, dict[str, list[object]]]) -> None:
    widths, (folder, asked) = (60, 80, 120), world
    screens = shown_in([WIDE, *widths], list(asked.values()), folder)
    wide = {name: "\n".join(lines) for name, lines in zip(asked, screens[WIDE], strict=True)}
    assert "Left out" not in wide["match"] and "Names are cut" not in wide["match"]
    for width in widths:
        check(dict(zip(asked, screens[width], strict=True)), wide, width)


def check(shown: dict[str, list[str]], wide: dict[str, str], width: int) -> None:
    """Check what the commands show at a width against what they show where everything has room."""
    for name, lines in shown.items():
        said = (name, "\n".join(lines))
        assert "Traceback" not in said[1], said
        too_wide = [line for line in lines if width_of(line) > width]
        assert [line for line in too_wide if len(line.split()) > 1] == [], said  # a word as long stays whole
        assert name == "verify" or not too_wide, said
        assert numbers(said[1]) - numbers(wide[name]) == set(), said
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
    for name in {"match", "classify", "compare"} & set(shown):
        if width < 120:
            assert "Left out: " in "\n".join(shown[name])
            assert "--columns, --csv or a wider" in " ".join("\n".join(shown[name]).split()), name


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


def test_a_table_in_a_terminal_of_60_columns(tmp_path: Path) -> None:
    """The quick form of `test_screens`."""
    index_of(tmp_path / "audit.h5", names(3))
    asked = {"info": commands(Path("audit.h5"), Path(), Path())["info"]}
    screens = shown_in([WIDE, 60], list(asked.values()), tmp_path)
    check(dict(zip(asked, screens[60], strict=True)), {"info": "\n".join(screens[WIDE][0])}, 60)
    assert any("\u2026" in line for line in screens[60][0])


def test_thumbnails_are_never_written_to_a_pipe(
    works: Callable[..., Path], tiny_model: str, tmp_path: Path
) -> None:
    root, index = works({"works/ada": 3}), tmp_path / "i.h5"
    run("build", root, "-i", index, "--model", tiny_model, "--device", "cpu")
    asked = ["query", root / "works/ada/000.png", "-i", index, "--device", "cpu", "--thumbnails"]
    for protocol in ("auto", "kitty", "iterm", "sixel"):
        piped = run(*asked, protocol)
        assert "\x1b" not in piped.output and "Thumbnails are shown in a terminal only" in piped.stderr


@pytest.mark.slow
def test_thumbnails_have_captions(works: Callable[..., Path], tiny_model: str, tmp_path: Path) -> None:
    root, index = works({"works/ada": 3}), tmp_path / "i.h5"
    run("build", root, "-i", index, "--model", tiny_model, "--device", "cpu")
    asked = [
        "query",
        root / "works/ada/000.png",
        "-i",
        index,
        "--device",
        "cpu",
        "--trust-encoder",
        "--thumbnails",
    ]
    ((auto, kitty),) = shown_in([80], [[*asked, "auto"], [*asked, "kitty"]], tmp_path).values()
    assert "This terminal does not say that it shows pictures" in " ".join(auto)
    (captions,) = (line for line in kitty if line.startswith("query "))
    assert re.fullmatch(r"query +1 ada +2 ada +3 ada", captions)
