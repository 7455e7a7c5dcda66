"""Two releases of coloured pictures, one of which imitates more artists than the other."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.commands import run
from tests.support.pictures import paint

COLORS = {
    "ada": (200, 30, 30),
    "bo": (30, 60, 200),
    "cy": (40, 180, 60),
    "di": (200, 200, 40),
    "ed": (90, 20, 120),
}


N_WORKS, N_IMITATIONS, N_PLACEBOS = 6, 5, 12
RELEASES: dict[str, tuple[str, ...]] = {"r1": ("ada",), "r2": ("ada", "bo", "di")}


def draw(root: Path) -> None:
    """Works of five artists; r1 imitates ada, r2 also bo and di. ed has no imitations in r1."""
    lines = []
    for place, name in enumerate([*COLORS, *(f"placebo {n}" for n in range(N_PLACEBOS))]):
        for n in range(N_WORKS if name in COLORS else 0):
            paint(root / "works" / name / f"{n}.png", COLORS[name], 1000 * place + n)
        for number, (release, imitated) in enumerate(RELEASES.items()):
            for n in range(0 if (release, name) == ("r1", "ed") else N_IMITATIONS):
                path = root / release / name.replace(" ", "-") / f"{n}.png"
                color = COLORS[name] if name in imitated else (128, 128, 128)
                paint(path, color, 500_000 + 1000 * place + 50 * number + n)
                lines.append(
                    {"path": str(path.relative_to(root)), "artist": name, "kind": "imitations", "collection": release,
                     "prompt": f"Artwork from {name}", "seed": n}
                )  # fmt: skip
    for release in (*RELEASES, ""):
        chosen = [json.dumps(line) for line in lines if release in ("", line["collection"])]
        (root / f"{release or 'both'}.jsonl").write_text("\n".join(chosen))


def build_index(root: Path, name: str, *sources: object, model: str) -> Path:
    for source in sources:
        run("build", source, "-i", root / name, "--model", model, "--device", "cpu", "--precision", "fp32")
    return root / name
