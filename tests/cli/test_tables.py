"""Tables: columns by the width of a terminal, names that stay apart, and separated values."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.terminal import pictures
from imindex.indexer.terminal.output import clean
from imindex.indexer.terminal.table import Column, Section, Table, chosen, drawn, separated
from imindex.indexer.terminal.width import ELLIPSIS, clusters, fold, shortened, width_of, wrap
from tests.support.commands import run
from tests.support.screens import HARD_NAMES, index_of, names

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn")), max_size=40
)
LETTERS = st.text("abc \u5c0f\u5927\ud64de\u0301", min_size=1, max_size=30).filter(str.strip)

# Widths


@given(st.text(st.sampled_from("ab\u65e5\u672c\ud64d\uff21e\u0301\u0303x"), max_size=20))
def test_width_follows_unicode(text: str) -> None:
    wide = {"W": 2, "F": 2}
    expected = sum(
        0 if unicodedata.combining(c) else wide.get(unicodedata.east_asian_width(c), 1) for c in text
    )
    leading = len(text) - len(text.lstrip("\u0301\u0303"))  # a mark on nothing
    assert abs(width_of(text) - expected) <= leading
    assert "".join(clusters(text)) == text


@settings(deadline=None, max_examples=50)
@given(TEXT, st.integers(8, 60))
def test_wrapping_loses_nothing_and_fits(text: str, width: int) -> None:
    for lines in (wrap(text, width), wrap(text, width, hanging=2), wrap(text, width, first=5)):
        assert "".join("".join(lines).split()) == "".join(text.split())
        for line in lines:
            assert width_of(line) <= width or len(line.split()) == 1
    assert all(width_of(line) <= width for line in fold(text, width))
    assert "".join("".join(fold(text, width)).split()) == "".join(text.split())


def test_a_percent_sign_stays_with_its_number() -> None:
    for width in range(4, 40):
        lines = wrap("the 95 % interval of 12.5 % in 100 % of all", width)
        assert not any(line.startswith("%") for line in lines), lines


# Names


def matches(form: str, text: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in form.split(ELLIPSIS))
    return re.fullmatch(pattern, text, re.DOTALL) is not None


@settings(deadline=None, max_examples=200)
@given(st.lists(LETTERS, min_size=1, max_size=12, unique=True), st.integers(4, 20), st.booleans())
def test_cut_names_fit_stay_apart_and_have_an_ellipsis(texts: list[str], width: int, ends: bool) -> None:
    forms = shortened(texts, width, ends=ends)
    assert len(set(forms.values())) == len(forms)
    for text, form in forms.items():
        assert width_of(form) <= width
        assert form == text or (ELLIPSIS in form and width_of(text) > width)
        spaces = re.compile(" +")  # those beside an ellipsis are dropped
        assert form == text or matches(spaces.sub("", form), spaces.sub("", text)), (text, form)
    for text in texts:
        if width_of(text) <= width:
            assert forms[text] == text


@pytest.mark.parametrize("width", [12, 15, 20, 30])
@pytest.mark.parametrize(
    "texts",
    [
        [clean(name) for name in HARD_NAMES],
        [f"placebo with a long name {n:04d}" for n in range(1400)],
        [f"{n:04d} of the placebo names that are long" for n in range(200)],
        [f"a long beginning, {n:03d}, and a long end as well" for n in range(200)],
        [f"works/{folder}/{n:05d}.png" for folder in ("Ada Example", "Bo Sample") for n in range(100)],
    ],
    ids=["hard", "end", "start", "middle", "paths"],
)
def test_every_name_of_a_large_table_is_told_from_the_others(texts: list[str], width: int) -> None:
    forms = shortened(texts, width)
    assert len(forms) == len(set(forms.values())) == len(texts)


def test_paths_are_cut_at_one_place_where_that_tells_them_apart() -> None:
    paths = [f"imitations/r1/names/ada-3a2d338f/artwork-from-3a2d338f-{n:04d}.png" for n in range(12)]
    forms = shortened(paths, 24, ends=True)
    assert {form[:-8] for form in forms.values()} == {"\u2026-from-3a2d338f-"}
    folders = [("ada-3a2d", n) for n in range(6)] + [("rafiq-belmandar-1b2c", n) for n in (3, 9)]
    mixed = [f"imitations/r1/names/{name}/artwork-from-3a2d338f-{n:04d}.png" for name, n in folders]
    for width in (28, 30, 32):  # 0009.png alone could keep its end only
        forms = shortened(mixed, width, ends=True).values()
        assert len(set(forms)) == len(mixed) and len({form.index(ELLIPSIS) for form in forms}) == 1


# Tables

COLUMNS = [
    Column("artist", "artist", kind="name", rank=0),
    Column("why", "the reason", str, kind="prose", rank=9),
    Column("low high", "95 % interval", lambda low, high: f"{low:.3f} to {high:.3f}", rank=5),
    Column("n", "number of pictures", rank=7),
    Column("p", "p", rank=8),
]


def table(artists: list[str], **more: object) -> Table:
    rows = [
        {
            "artist": artist, "why": "no works of 12 % and " * 3, "low": 0.25 + i, "high": 123.456,
            "n": 10**i % 9_999_991, "p": 1e-5,
        }
        for i, artist in enumerate(artists)
    ]  # fmt: skip
    return Table("A title that is long enough to need another line", COLUMNS, rows, **more)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(TEXT.filter(str.strip), min_size=1, max_size=8, unique=True), st.integers(30, 150), st.booleans()
)
def test_a_table_fits_every_terminal(artists: list[str], width: int, blocks: bool) -> None:
    lines = [line.text for line in drawn(table(artists), width, blocks=blocks, safe=clean)]
    assert all(width_of(line) <= width for line in lines), lines
    text = "\n".join(lines)
    if blocks or "Left out" not in text:
        assert "0.250 to 123.456" in text and "1e-05" in text
    else:
        assert "--columns, --csv or a wider terminal" in " ".join(text.split())


def test_columns_of_low_rank_go_first_and_are_named() -> None:
    everything = [line.text for line in drawn(table(["Ada"]), 200, safe=clean)]
    assert not any("Left out" in line for line in everything)
    shown: list[set[str]] = []
    for width in (70, 60, 45, 35):
        lines = [line.text for line in drawn(table(["Ada"]), width, safe=clean)]
        text = " ".join(" ".join(lines).split())
        shown.append(
            {name for name in ("0.250 to", "1e-05", "12 %") if name in text.partition("Left out")[0]}
        )
    assert all(later <= earlier for earlier, later in itertools.pairwise(shown)), shown
    assert "0.250 to" not in shown[-1]


def test_rows_beyond_the_most_are_counted_and_sections_are_not_rows() -> None:
    rows = [Section("first"), {"artist": "a"}, {"artist": "b"}, Section("second"), {"artist": "c"}]
    one = Table("T", COLUMNS[:1], rows, most=2)
    lines = [line.text for line in drawn(one, 60, safe=clean)]
    assert lines[0] == "T (2 of 3; see --all)" and lines[-3:] == ["first", "a", "b"]
    assert separated(one, as_csv=False, safe=clean) == "artist\na\nb\nc\n"


def test_columns_are_chosen_by_name() -> None:
    one = table(["Ada"])
    assert [column.name for column in chosen(one, ["p", "artist"]).columns] == ["p", "artist"]
    assert [column.fields for column in chosen(one, ["high"]).columns] == ["high"]
    assert [column.name for column in chosen(one, ["all"]).columns] == ["artist", "why", "low", "n", "p"]
    with pytest.raises(
        ImindexError, match=r"There is no column artists. Did you mean artist\? Columns: artist, why"
    ):
        chosen(one, ["artists"])


# Separated values


def test_csv_is_rfc_4180_in_full_precision() -> None:
    odd = [
        'a "quoted", name',
        "=1+1",
        "line\nfeed",
        "tab\there",
        "esc\x1b[31m",
        "ok",
        "caf\u00e9 \u65e5\u672c",
    ]
    rows = [
        {"artist": name, "x": 0.1 + i / 3, "none": None, "nan": float("nan"), "yes": True}
        for i, name in enumerate(odd)
    ]
    one = chosen(Table("", [Column("artist", "artist")], rows), ["all"])
    text = separated(one, as_csv=True, safe=clean)
    assert text.count("\r\n") == len(odd) + 1 and "\n" not in text.replace("\r\n", "") and "\x1b" not in text
    read = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert [row["artist"] for row in read] == [
        'a "quoted", name', "'=1+1", "line\\x0afeed", "tab\\x09here", "esc\\x1b[31m", "ok", "caf\u00e9 \u65e5\u672c"
    ]  # fmt: skip
    assert [float(row["x"]) for row in read] == [row["x"] for row in rows]
    assert {(row["none"], row["nan"], row["yes"]) for row in read} == {("", "", "true")}
    lines = separated(one, as_csv=False, safe=clean).splitlines()
    assert {line.count("\t") for line in lines} == {4} and lines[2].startswith("=1+1\t")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index_of(tmp_path_factory.mktemp("tables") / "audit.h5", names(12))


def test_a_pipe_gets_the_whole_table_and_nothing_else(index: Path) -> None:
    tested = ["--placebo", "placebo *", "--resamples", "99"]
    for words, key in (
        (["match", "--collection", "release-2.0", "--no-tests"], "artists"),
        (["compare", "release-2.0", "release-2.1", "--no-names", *tested], "artists"),
        (["classify", "--by", "works", "--collection", "release-2.0", "--no-tests"], "methods"),
        (["info", "--artists"], "artists"),
        (["info", "--rejects"], "rejects"),
    ):  # fmt: skip
        command = [*words, "-i", index]
        piped, as_csv = run(*command), run(*command, "--csv")
        found = json.loads(run(*command, "--json").stdout)[key]
        wanted = [row for one in found for row in one["artists"]] if key == "methods" else found
        rows = list(csv.DictReader(io.StringIO(piped.stdout), delimiter="\t", quoting=csv.QUOTE_NONE))
        same = list(csv.DictReader(io.StringIO(as_csv.stdout, newline=""), strict=True))
        assert len(rows) == len(same) == len(wanted), words
        name = "name" if "name" in rows[0] else "path" if "path" in rows[0] else "artist"
        for row in rows:
            match = [one for one in wanted if clean(str(one[name])) == row[name]]
            assert match, row
            for field, value in row.items():
                if field in match[0] and isinstance(match[0][field], float) and len(match) == 1:
                    assert float(value) == match[0][field], field  # in full precision
        assert list(rows[0]) == list(same[0])
        assert piped.stderr.rstrip().splitlines()[-1] and "\t" not in piped.stderr


def test_several_tables_in_a_pipe_have_an_empty_line_between_them(index: Path) -> None:
    tables = run("info", "-i", index).stdout.split("\n\n")
    assert [one.split("\n")[0].split("\t")[:2] for one in tables] == [["name", "value"], ["name", "kind"]]
    refused = run("info", "-i", index, "--artists", "--rejects", "--csv", code=2)
    assert "--columns and --csv are for one table" in refused.stderr


def test_classify_lists_the_most_recognised_first(index: Path) -> None:
    words = ("classify", "-i", index, "--by", "works", "--collection", "release-2.0", "--no-tests")
    rows = list(csv.DictReader(io.StringIO(run(*words).stdout), delimiter="\t", quoting=csv.QUOTE_NONE))
    for method in {row["method"] for row in rows}:
        shares = [float(row["top1"]) for row in rows if row["method"] == method]
        assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]


def test_an_unknown_column_is_a_usage_error_before_anything_is_computed(tmp_path: Path) -> None:
    for words in (["match"], ["classify"], ["compare", "a", "b"], ["query", "x.png"]):
        refused = run(*words, "-i", tmp_path / "none.h5", "--columns", "artist,nonsense", code=2)
        assert "There is no column nonsense." in refused.stderr and "Columns: " in refused.stderr
    assert "no column is named" in run("match", "--columns", " , ", code=2).stderr
    assert "--csv and --json" in run("match", "--csv", "--json", code=2).stderr


def test_chosen_columns_are_those_of_the_separated_values(index: Path) -> None:
    words = (
        "match",
        "-i",
        index,
        "--collection",
        "release-2.0",
        "--no-tests",
        "--columns",
        "auc,artist,recall@5",
    )
    assert run(*words).stdout.splitlines()[0] == "auc\tartist\trecall@5"
    assert run(*words, "--csv").stdout.splitlines()[0] == "auc,artist,recall@5"


# Pictures


def a_picture() -> np.ndarray:
    y, x = np.mgrid[:40, :60]
    return np.stack([4 * x, 6 * y, 255 - 4 * x], -1).clip(0, 255).astype(np.uint8)


def test_a_strip_keeps_proportions_and_leaves_gaps_open() -> None:
    pixels = pictures.strip([a_picture(), None, a_picture()], 6, 3, 2, (10, 20))
    assert pixels.shape == (60, 6 * 10 * 3 + 2 * 20, 4)
    assert pixels[..., 3].sum() == 2 * 40 * 60 * 255
    assert (pixels[10:50, :60, :3] == a_picture()).all()  # as large as it is


def test_kitty_and_iterm_carry_the_picture() -> None:
    pixels = pictures.strip(
        [np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)] * 2, 6, 3, 2, (10, 20)
    )
    kitty = pictures.encoded("kitty", pixels, 14, 3)
    parts = re.findall(r"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", kitty)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in parts) == kitty and len(parts) > 1
    assert parts[0][0] == "a=T,f=100,q=2,c=14,r=3,m=1" and [keys for keys, _ in parts[1:]] == ["m=1"] * (
        len(parts) - 2
    ) + ["m=0"]
    assert all(len(data) <= 4096 for _, data in parts) and all(len(data) % 4 == 0 for _, data in parts[:-1])
    read = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in parts))))
    assert (np.asarray(read) == pixels).all()
    iterm = pictures.encoded("iterm", pixels, 14, 3)
    found = re.fullmatch(
        r"\x1b\]1337;File=inline=1;size=(\d+);width=14;height=3;preserveAspectRatio=0:([^\x07]*)\x07", iterm
    )
    assert found and len(base64.b64decode(found[2])) == int(found[1])
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(found[2])))) == pixels).all()


def read_sixel(text: str) -> np.ndarray:
    """Decode sixel as a VT340 does: (height, width, 4), transparent where nothing is painted."""
    found = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL)
    assert found
    width, height = int(found[1]), int(found[2])
    out = np.zeros((-(-height // 6) * 6, width, 4), np.uint8)
    colours: dict[int, tuple[int, ...]] = {}
    colour, x, y = 0, 0, 0
    for define, select, times, repeated, one in re.findall(
        r"#(\d+;2;\d+;\d+;\d+)|#(\d+)|!(\d+)(.)|([?-~$-])", found[3]
    ):
        if define:
            number, _, *parts = map(int, define.split(";"))
            colours[number] = tuple(round(255 * part / 100) for part in parts)
        elif select:
            colour = int(select)
        elif one == "$":
            x = 0
        elif one == "-":
            x, y = 0, y + 6
        else:
            bits = ord(repeated or one) - 63
            after = x + int(times or 1)
            for k in range(6):
                if bits >> k & 1:
                    out[y + k, x:after] = (*colours[colour], 255)
            x = after
    return out[:height]


def test_sixel_shows_the_picture_in_its_colours() -> None:
    pixels = pictures.strip([a_picture(), None, a_picture()], 6, 3, 2, (10, 20))
    shown = read_sixel(pictures.encoded("sixel", pixels, 22, 3))
    assert shown.shape == pixels.shape and (shown[..., 3] == pixels[..., 3]).all()
    seen = pixels[..., 3] == 255
    off = np.abs(shown[seen][:, :3].astype(int) - pixels[seen][:, :3])
    assert off.mean() < 6 and np.quantile(off, 0.99) < 25  # 255 colours, each in steps of 1 %


@pytest.mark.parametrize(
    ("environment", "attributes", "expected"),
    [
        ({"TERM": "xterm-kitty"}, [], "kitty"), ({"TERM": "xterm-ghostty"}, [], "kitty"),
        ({"KITTY_WINDOW_ID": "1"}, [], "kitty"), ({"TERM_PROGRAM": "iTerm.app"}, [], "iterm"),
        ({"TERM_PROGRAM": "WezTerm"}, [], "iterm"), ({"LC_TERMINAL": "iTerm2"}, [], "iterm"),
        ({"TERM": "foot"}, [], "sixel"), ({"TERM": "xterm-256color"}, ["62", "4", "22"], "sixel"),
        ({"TERM": "xterm-256color"}, ["62", "22"], None), ({"TERM": "xterm-256color"}, [], None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, [], None), ({"TERM": "tmux-256color", "TMUX": "x"}, ["4"], "sixel"),
    ],
)  # fmt: skip
def test_auto_names_a_protocol_that_the_terminal_has(
    environment: dict[str, str], attributes: list[str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_attributes", lambda: attributes)
    assert pictures.protocol_of("auto", environment) == expected
    assert pictures.protocol_of("none", environment) is None
    assert [pictures.protocol_of(name, environment) for name in pictures.PROTOCOLS] == [
        "kitty",
        "iterm",
        "sixel",
    ]


def test_the_terminal_is_asked_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-terminal that answers DA1 as xterm with sixel does."""
    import os
    import pty
    import threading
    import tty

    asked: list[bytes] = []
    terminal, program = pty.openpty()
    tty.setraw(program)
    with open(program, "r+b", buffering=0) as stream:  # noqa: PTH123
        monkeypatch.setattr("sys.stdin", stream)
        monkeypatch.setattr("sys.stdout", stream)

        def answer() -> None:
            asked.append(os.read(terminal, 10))
            os.write(terminal, b"\x1b[?62;4;22c")

        thread = threading.Thread(target=answer)
        thread.start()
        found = pictures._attributes()
        thread.join()
    os.close(terminal)
    assert asked == [b"\x1b[c"] and found == ["62", "4", "22"]


def test_wrong_bytes_are_not_shown(works: Callable[..., Path], tiny_model: str, tmp_path: Path) -> None:
    import imindex

    root, path = works({"works/ada": 2}), tmp_path / "i.h5"
    run("build", root, "-i", path, "--model", tiny_model, "--device", "cpu")
    with imindex.open(path) as opened:
        stored = sorted(opened.items.to_arrow().to_pydict()["path"])
        assert (found := opened.thumbnails(stored).pixels(stored[0], 30)) is not None and found.shape == (
            25,
            30,
            3,
        )
        (tmp_path / stored[0]).write_bytes((tmp_path / stored[1]).read_bytes())
        assert opened.thumbnails(stored).pixels(stored[0], 30) is None
        assert opened.thumbnails(stored).pixels(stored[1], 30) is not None


def test_the_columns_that_a_refusal_lists_are_accepted(built: Path) -> None:
    said = run("match", "-i", built, "--columns", "foo", "--no-tests", code=2).stderr
    listed = said.partition("Columns: ")[2].partition(". Or pass")[0].replace("\n", " ").split(", ")
    assert "auc" in listed and "@" not in "".join(listed)
    run("match", "-i", built, "--no-tests", "--columns", ",".join(listed))


@pytest.mark.parametrize(("option", "title"), [("--artists", "Artists"), ("--provenance", "Change 1")])
def test_info_shows_only_the_list_that_was_asked_for(
    option: str, title: str, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imindex.indexer.terminal.output.is_terminal", lambda: True)
    said = run("info", "-i", built, option).output
    assert (
        title in said and "root digest" not in said.replace("digest-after", "") and "Collections" not in said
    )
    assert "root digest" in run("info", "-i", built).output


def test_text_beside_a_digest_that_the_terminal_breaks_is_not_indented(built: Path) -> None:
    digest = "0123456789abcdef" * 4
    lines = wrap(f"10 rows in format 1.3, root digest {digest}, and more", 60, hanging=2)
    assert lines == ["10 rows in format 1.3, root digest", f"{digest},", "and more"]
    assert wrap("one two three", 8, hanging=2) == ["one two", "  three"]
    assert "MB/s" not in run("verify", "-i", built).stdout


def test_a_bound_is_not_broken_after_its_sign() -> None:
    assert wrap("interval 17.4 to > 99.9 % (all)", 20) == ["interval 17.4 to", "> 99.9 % (all)"]
    assert wrap("with p (< 0.001)", 9) == ["with p", "(< 0.001)"]
