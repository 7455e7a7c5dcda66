"""`imindex demo`: draw works and a stand-in release, and run the real commands on them, one after the other."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import click

from indexer.console import clean, progress_bar
from indexer.demo.artists import NAMES, draw, technique
from indexer.errors import ImindexError
from indexer.files import put_in_place

IMITATED = NAMES[:16]
"""The artists whose manner the stand-in release has; the other names it answers in no one's."""
RELEASE = "stand-in"
SIZE = 256
PLACEBOS = tuple(f"placebo {number:02d}" for number in range(1, 40))
"""Invented names: the stand-in knows none of them, and answers as it answers the last 8 artists."""
_IMITATION_SEED = 500
"""Works have the seeds from 0, imitations from here: other pictures, all unseen by the demo encoder."""
_MOST = 10_000
"""Imitations an artist; the demo encoder was trained on seeds from 1,000,000."""


def run(folder: Path, *, n_works: int = 12, n_imitations: int = 8, device: str = "auto") -> None:
    """Draw, build, query, classify and match in `folder`, with the commands that a user would type.

    Parameters
    ----------
    folder : Path
        Gets works/, imitations/stand-in/, demo.h5, contact-sheet.png, classify.json and match.json. Pictures
        that are there already are not drawn again.
    n_works, n_imitations : int
        For each of the 24 artists; at most 500 works.
    device : str
    """
    if n_works > _IMITATION_SEED or n_imitations > _MOST:
        raise ImindexError(
            f"--works is at most {_IMITATION_SEED} and --imitations {_MOST}: the seeds end there."
        )
    pictures = [*_works(folder, n_works), *_imitations(folder, n_imitations)]
    _refuse_others(folder, {path for path, _ in pictures})
    with progress_bar(len(pictures), "Drawing") as progress:
        for done, (path, paint) in enumerate(pictures, 1):
            if not path.exists():
                paint(path)
            progress(done, done)
    _contact_sheet(folder)
    click.echo(
        f"24 invented artists with {n_works} works each, and a stand-in for a release that imitates 16 of them and "
        f"answers the other 8 names,\nand {len(PLACEBOS)} placebo names, with pictures in no one's manner. "
        f"See {folder / 'contact-sheet.png'}.\n"
    )
    index = folder / "demo.h5"
    art = [folder / "works", folder / "imitations"]
    _command("build", *art, "-i", index, "--model", "demo", "--device", device)
    _command("info", "-i", index)
    _command(
        "query", _first(folder / "imitations" / RELEASE / NAMES[0]), "-i", index, "-k", 5, "--device", device
    )
    tests = ["--placebo", "placebo *", "--adjust", "bh"]
    _command("classify", "-i", index, "--all", "--device", device, *tests)
    _command("match", "-i", index, "--all", *tests)
    _save("classify", index, folder / "classify.json", *tests)
    _save("match", index, folder / "match.json", *tests)
    click.echo(
        f"Done. In {folder}: demo.h5 (the index), contact-sheet.png, classify.json, match.json. The truth: the "
        f"first 16 artists ({IMITATED[0]} to {IMITATED[-1]}) are imitated,\n"
        f"the last 8 ({NAMES[16]} to {NAMES[-1]}) are not. `classify` may name one of those all the same:\n"
        "pictures in no one's manner must be nearest to somebody. That is why `match` asks whether the name matters. "
        "Next: your own pictures, `imindex build SOURCE...`."
    )


def _refuse_others(folder: Path, ours: set[Path]) -> None:
    """Stop before a user's own pictures, or those of a demo of another size, get into this one."""
    there = [p for kind in ("works", "imitations") for p in (folder / kind).rglob("*") if p.is_file()]
    others = sorted(path for path in there if path not in ours and not path.name.startswith("."))
    if others:
        raise ImindexError(f"{others[0]} is not of this demo. Name an empty folder.")


def _works(folder: Path, n: int) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    for artist in NAMES:
        for seed in range(n):
            yield folder / "works" / artist / f"{seed:03d}.png", _painter(artist, seed)


def _imitations(folder: Path, n: int) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    for place, artist in enumerate((*NAMES, *PLACEBOS)):
        for number in range(n):
            path = folder / "imitations" / RELEASE / artist / f"{number:03d}.png"
            hand = artist if artist in IMITATED else None
            yield path, _painter(hand, _IMITATION_SEED + _MOST * place + number)


def _painter(artist: str | None, seed: int) -> Callable[[Path], None]:
    def paint(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with put_in_place(path) as temporary:
            draw(artist, seed=seed, size=SIZE).save(temporary, "PNG")

    return paint


def _first(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


def _command(*words: object) -> None:
    """Show a command and run it."""
    import imindex

    line = [str(word) for word in words]
    click.secho(f"$ {clean(shlex.join(['imindex', *line]))}", bold=True)
    imindex.main(line, standalone_mode=False)
    click.echo()


def _save(name: str, index: Path, path: Path, *words: str) -> None:
    import imindex

    out = StringIO()
    with redirect_stdout(out):
        imindex.main([name, "-i", str(index), "--json", *words], standalone_mode=False)
    path.write_text(out.getvalue(), encoding="utf-8")


def _contact_sheet(folder: Path, thumb: int = 96, gap: int = 8) -> None:
    """Four works (left) and four imitations (right) of each artist, two artists a line."""
    from PIL import Image, ImageDraw

    line, half, head = thumb + 3 * gap + 12, 8 * thumb + 10 * gap, 24
    sheet = Image.new("RGB", (2 * half + 3 * gap, head + (len(NAMES) + 1) // 2 * line + gap), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text(
        (gap, gap), "Left: four works of the artist. Right: what the stand-in made of the name.", fill="black"
    )
    for number, artist in enumerate(NAMES):
        left, top = gap + number // 12 * (half + gap), head + gap + number % 12 * line
        verdict = "imitated" if artist in IMITATED else "not imitated"
        pen.text((left, top), f"{artist}: {technique(artist)} ({verdict})", fill="black")
        folders = (folder / "works" / artist, folder / "imitations" / RELEASE / artist)
        for side, pictures in enumerate(folders):
            for place, path in enumerate(sorted(pictures.iterdir())[:4]):
                x = left + side * (4 * thumb + 4 * gap) + place * (thumb + gap // 2)
                with Image.open(path) as picture:
                    sheet.paste(picture.resize((thumb, thumb), Image.Resampling.LANCZOS), (x, top + 14))
    sheet.save(folder / "contact-sheet.png")
