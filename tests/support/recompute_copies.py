"""Candidates for copies, computed again: outlines by SciPy and Pillow, the threshold by the pairs that are listed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from math import floor
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage, signal

from tests.support.recompute_draws import Check
from tests.support.recompute_world import Array, Export, Row, Seen

LEAST = 0.6
"""No picture below this is a candidate (AUDITS.md)."""
SAME_WORK = 0.95
"""Works that agree as far are one work twice, and no series."""
SCALES = (0.85, 0.92, 1.0, 1.06, 1.12, 1.18, 1.24, 1.3, 1.38, 1.46)
LISTED = 12
"""Pairs that are listed beside the candidates."""
ROOM = 0.02


def near_copies(here: Check, seen: Seen, result: Row, rows: Mapping[str, Row], n_results: int) -> None:
    """Check the pairs that are listed, and the rule by them."""
    said, export = result["copies"], seen.export
    columns, places = export.columns, set(seen.placebos)
    known, made = export.where("works", "background"), export.where("imitations", collection=seen.release)
    row_of = {columns["path"][row]: row for row in (*known, *made)}
    rate = seen.plan["copy_rate"] / n_results
    n_placebos = len({columns["artist"][row] for row in made} & places)
    place = max(1, floor(rate * (n_placebos + 1) + 1e-9))
    here.same("copies.rate", said["rate"], rate)
    here.same("copies.bound", said["bound"], place / (n_placebos + 1) if n_placebos else None)
    here.same("copies.n_compared", said["n_compared"], len(made))
    here.same("copies.n_unread", said["n_unread"], 0)
    here.same("copies.n_placebo_names", said["n_placebo_names"], n_placebos)
    digests = {columns["sha256"][row] for row in known}
    peaks: dict[str, tuple[float, bool]] = {}
    for number, pair in enumerate(said["pairs"]):
        at = f"copies.{number}"
        row, work = row_of.get(pair["imitation"]), row_of.get(pair["work"])
        if row not in made or work not in known:
            for key, value in pair.items():
                here.same(f"{at}.{key}", value, "a pair of pictures of the index")
            continue
        for key, column, which in (
            ("artist", "artist", row), ("prompt", "prompt", row), ("work_artist", "artist", work),
        ):  # fmt: skip
            here.same(f"{at}.{key}", pair[key], columns[column][which])
        here.same(f"{at}.seed", pair["seed"], str(int(columns["seed"][row])))
        for key, which in (("imitation_sha256", row), ("work_sha256", work)):
            here.same(f"{at}.{key}", pair[key], columns["sha256"][which])
        same = columns["sha256"][row] in digests
        cosine = float(export.vectors[row] @ export.vectors[work])
        here.same(f"{at}.cosine", pair["cosine"], min(1.0, cosine))
        here.same(f"{at}.same_bytes", pair["same_bytes"], same)
        here.same(f"{at}.placebo", pair["placebo"], pair["artist"] in places)
        straight, turned = (1.0, 0.0) if same else agreement(_path(export, row), _path(export, work))
        value = max(straight, turned)
        here.same(f"{at}.outlines", pair["outlines"], value, room=ROOM)
        if abs(straight - turned) > 2 * ROOM:
            here.same(f"{at}.mirrored", pair["mirrored"], bool(turned > straight))
        series = _series(export, known, int(work))
        if pair["series"] is not None or (pair["outlines"] > LEAST and not same):
            here.same(f"{at}.series", pair["series"], series, room=ROOM)
        beyond = series is None or pair["series"] is None or 1 - pair["outlines"] <= (1 - pair["series"]) / 2
        above = pair["outlines"] > said["threshold"] and pair["artist"] == pair["work_artist"] and beyond
        here.same(f"{at}.candidate", pair["candidate"], bool(same or (above and not pair["placebo"])))
        for key in ("decided", "decided_by", "decided_when", "note"):
            here.same(f"{at}.{key}", pair[key], "")
        if pair["placebo"] and not same and pair["outlines"] > peaks.get(pair["artist"], (0.0, True))[0]:
            peaks[pair["artist"]] = pair["outlines"], beyond
    values = sorted((value for value, _ in peaks.values()), reverse=True)
    high = [value for value in values if value > LEAST]
    n_called = sum(pair["candidate"] for pair in said["pairs"])
    here.same("copies.pairs, number", len(said["pairs"]), min(len(made), n_called + LISTED))
    if sum(pair["outlines"] > LEAST for pair in said["pairs"]) == n_called + LISTED:
        raise ValueError("More pictures lie above the least threshold than are listed: not computed again.")
    here.same("copies.threshold", said["threshold"], high[place - 1] if len(high) >= place else LEAST)
    others = max(1, floor(rate * n_placebos + 1e-9))
    limits = {name: sorted((v for n, (v, _) in peaks.items() if n != name), reverse=True) for name in peaks}
    n_false = sum(
        value > max(LEAST, (limits[name][others - 1 :] or [0.0])[0]) and beyond
        for name, (value, beyond) in peaks.items()
    )
    here.same("copies.n_placebo_false", said["n_placebo_false"], n_false)
    counted = Counter(pair["artist"] for pair in said["pairs"] if pair["candidate"])
    for name, line in rows.items():
        here.same(f"{name}.candidates", line["candidates"], counted[name])
        here.same(f"{name}.copies", line["copies"], 0)
    here.same("summary.n_candidates", result["summary"]["n_candidates"], sum(counted.values()))
    here.same("summary.n_copies", result["summary"]["n_copies"], 0)


def _series(export: Export, known: Array, work: int) -> float | None:
    columns = export.columns
    others = [
        int(row)
        for row in known
        if columns["artist"][row] == columns["artist"][work]
        and columns["sha256"][row] != columns["sha256"][work]
    ]
    # The work is looked for in the artist's other works.
    values = [max(agreement(_path(export, work), _path(export, row))) for row in others]
    return max((value for value in values if value < SAME_WORK), default=None)


def _path(export: Export, row: int) -> Path:
    index = export.folder.parent / json.loads((export.folder / "index.json").read_text())["index"]
    return Path(index.parent / export.columns["path"][row])


@cache
def agreement(picture: Path, work: Path) -> tuple[float, float]:
    """The highest cosine of the outlines in the middle of a picture, and of its mirror image, within a work."""
    field = _field(picture, 48)
    middle = field[:, 6:42, 6:42]
    turned = middle[:, :, ::-1] * np.array([1, -1])[:, None, None]
    best = [0.0, 0.0]
    for scale in SCALES:
        within = _field(work, round(48 * scale))
        size = signal.correlate(within**2, np.ones((2, 36, 36)), mode="valid")[0]
        for which, one in enumerate((middle, turned)):
            own = (one**2).sum()
            if own:
                products = signal.correlate(within, one, mode="valid")[0]
                cosine = products / np.sqrt(np.maximum(size, 1) * own)
                best[which] = max(best[which], float(cosine.max()))
    return best[0], best[1]


@cache
def _field(path: Path, side: int) -> Array:
    """Outlines of a square picture, shape (2, side, side)."""
    with Image.open(path) as image:
        small = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC), float)
    at = np.clip((np.arange(side) + 0.5) * 64 / side - 0.5, 0, 63)
    grid = np.meshgrid(at, at, indexing="ij")
    strength, cosine, sine = 0.0, 0.0, 0.0
    for channel in range(3):
        sized = np.rint(ndimage.map_coordinates(small[:, :, channel], grid, order=1))
        blurred = np.rint(ndimage.gaussian_filter(sized, 1.0, mode="mirror", truncate=3.0))
        down, across = (ndimage.sobel(blurred, axis=axis, mode="mirror") for axis in (0, 1))
        cosine = cosine + across**2 - down**2
        sine = sine + 2 * across * down
    squared = np.hypot(cosine, sine)
    strength = np.sqrt(squared)
    scale = 63 * strength / ((strength + max(float(np.median(strength)), 16.0)) * np.maximum(squared, 1.0))
    return np.rint(np.stack([cosine * scale, sine * scale]))
