"""The data of `imindex demo`: artists and releases for which the truth is known.

The works are by 24 invented artists. The releases are two checkpoints, early and final, of a small diffusion model that
was trained on the works of 16 of them. It has never seen the other 8 names.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.artists import NAMES, draw, technique
from imindex.indexer.demo.diffusion import diffusion_folder
from imindex.indexer.system.atomic import make_folder, put_in_place, write_file
from imindex.indexer.terminal.progress import progress_bar
from imindex.retrieval.findings import SIGNIFICANT, Finding
from imindex.retrieval.results import ReportResult

RELEASES = ("early", "final")
BASE = "early"
TRAINED = NAMES[:16]
"""The artists whose works the releases have learned."""
SIZE = 256
_PLAN = """\
# The demo's plan: two releases of a small model that learned the works of 16 of these 24 artists.
title = "Which of 24 invented artists do two small models imitate?"
seed = {seed}
rivals = "auto"

[artists]
tested = {tested}

{releases}
[prompts]
templates = ["Artwork from {{artist}}"]
per_artist = {per_artist}
placebos = {placebos}
nameless = {per_artist}

[[encoders]]
name = "demo"
model = "demo"

[[encoders]]
name = "demo-style"
model = "demo-style"

[tests]
adjust = "bh"

[compare]
base = "{base}"
"""
_RELEASE = """\
[[releases]]
name = "{name}"
model = "{models}/{name}"
steps = {steps}
guidance = 2.5
"""


def prepare(folder: Path, *, n_works: int, first_seed: int = 0, models: Path | None = None) -> None:
    """Draw works/ and assemble the models (in models/ by default) where they do not exist yet."""
    works = list(_works(folder / "works", n_works, first_seed))
    _refuse_others(folder / "works", {path for path, _ in works})
    with progress_bar(len(works), "Drawing") as progress:
        for done, (path, paint) in enumerate(works, 1):
            if not path.exists():
                paint(path)
            progress(done, done)
    for name in RELEASES:
        target = (models or folder / "models") / name
        if not (target / "model_index.json").exists():
            with tempfile.TemporaryDirectory(dir=_made(target.parent), prefix=".part-") as part:
                diffusion_folder(name, Path(part) / name).replace(target)


def _made(folder: Path) -> Path:
    make_folder(folder)
    return folder


def write_plan(
    path: Path, *, per_artist: int, placebos: int, steps: int, seed: int = 0, models: str = "models"
) -> None:
    """Write the demo's plan. `models` is the folder of the releases, relative to the plan."""
    releases = "\n".join(_RELEASE.format(name=name, steps=steps, models=models) for name in RELEASES)
    text = _PLAN.format(
        seed=seed,
        tested=json.dumps(list(NAMES), allow_nan=False),
        releases=releases,
        per_artist=per_artist,
        placebos=placebos,
        base=BASE,
    )
    write_file(path, text.encode())


def truth(release: str, findings: Mapping[str, Finding]) -> str:
    """Return a sentence that compares the findings on a release with the artists that its model has learned."""
    called = {artist for artist, finding in findings.items() if finding in SIGNIFICANT}
    right, wrong = called & set(TRAINED), called - set(TRAINED)
    return (
        f"{release}: {len(right)} of the {len(TRAINED)} artists that the model was trained on are found, "
        f"and {len(wrong)} of the {len(NAMES) - len(TRAINED)} that it has never seen"
        + (f" ({', '.join(sorted(wrong))})." if wrong else ".")
    )


def _refuse_others(folder: Path, ours: set[Path]) -> None:
    """Refuse a folder with a user's own pictures, or with those of a demo of another size."""
    others = sorted(
        p for p in folder.rglob("*") if p.is_file() and p not in ours and not p.name.startswith(".")
    )
    if others:
        raise ImindexError(f"{others[0]} is not part of this demo. Pass an empty folder.")


def _works(folder: Path, n: int, first_seed: int) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    for artist in NAMES:
        for seed in range(first_seed, first_seed + n):
            yield folder / artist / f"{seed:03d}.png", _painter(artist, seed)


def _painter(artist: str, seed: int) -> Callable[[Path], None]:
    def paint(path: Path) -> None:
        make_folder(path.parent)
        with put_in_place(path) as file:
            draw(artist, seed=seed, size=SIZE).save(file, "PNG")

    return paint


def contact_sheet(
    results: Sequence[ReportResult], base: Path, path: Path, thumb: int = 72, gap: int = 6
) -> None:
    """Draw a contact sheet: four works per artist above four imitations by each release, three artists per line."""
    from PIL import Image, ImageDraw

    n_rows = 1 + len(results)
    wide, high = 4 * thumb + 7 * gap + 64, n_rows * (thumb + gap) + 34
    columns = 3
    sheet = Image.new("RGB", (columns * wide + gap, -(-len(NAMES) // columns) * high + 2 * gap), "white")
    pen = ImageDraw.Draw(sheet)
    for number, artist in enumerate(NAMES):
        left, top = gap + number % columns * wide, gap + number // columns * high
        learned = "learned" if artist in TRAINED else "never seen"
        pen.text((left, top), f"{artist}: {technique(artist)} ({learned})", fill="black")
        rows = [next(row for row in result.artists if row.artist == artist) for result in results]
        lines: list[tuple[str, list[Path]]] = [("works", [base / pair.work for pair in rows[0].neighbours])]
        lines += [
            (result.release, sorted((base / row.neighbours[0].imitation).parent.glob("*.png")))
            for result, row in zip(results, rows, strict=True)
            if row.neighbours
        ]
        for line, (label, pictures) in enumerate(lines):
            y = top + 16 + line * (thumb + gap)
            pen.text((left, y + thumb // 2), label, fill="grey")
            for column, picture in enumerate(pictures[:4]):
                with Image.open(picture) as opened:
                    small = opened.convert("RGB").resize((thumb, thumb), Image.Resampling.LANCZOS)
                sheet.paste(small, (left + 64 + column * (thumb + gap), y))
    with put_in_place(path) as file:
        sheet.save(file, "PNG")
