"""The subjects and palettes that all techniques of the demo share.

A subject is a list of overlapping shapes, each with a palette slot (0 lightest, 5 darkest) and a slight tone gradient.
Position, size, form, orientation and key (day or night) vary with the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from imindex.indexer.demo.canvas import Points, Shape


def _colours(text: str) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(c[0:2], 16), int(c[2:4], 16), int(c[4:6], 16)) for c in text.split())


PALETTES: Mapping[str, tuple[tuple[int, int, int], ...]] = MappingProxyType(
    {
        "apricot": _colours("fbeed7 f6c98f ee8f5c c4564a 6f3350 2a1c34"),
        "lagoon": _colours("f1f5e6 b9dfd3 63b8b0 e0704f 1f6273 12283f"),
        "orchard": _colours("f8f0d0 e3cf6b d98743 7f9b4c b0413a 28301f"),
        "heather": _colours("f4ecf2 d9b8d6 e59aa0 9a78b5 574a86 221d3d"),
        "harbour": _colours("f3f0e6 c9d6df e8a84f 6d94b3 b5453c 1c2b44"),
        "meadow": _colours("f6f6dc cfe08a f0b74a 6fae6a 2f7565 18303a"),
        "ember": _colours("fdeccb f9c14f f08035 d2452d 86223a 2b1020"),
        "glacier": _colours("f2f8fa bfe0ee 86b9dd 5a86c4 7b4f8f 1a2350"),
        "terrace": _colours("f5e8dc e6bfa2 93b5a0 c9735a 55706f 2c2a33"),
        "plum": _colours("fbefe6 f4b9ad c9a24f b65a78 4f6d7a 2d1733"),
    }
)


@dataclass(eq=False)
class Composition:
    """A list of shapes from back to front, filled by one of the subjects below."""

    rng: np.random.Generator
    shapes: list[Shape] = field(default_factory=list)

    def vary(self, low: float, high: float) -> float:
        """Draw a number between `low` and `high`."""
        return float(self.rng.uniform(low, high))

    def add(self, points: Points, slot: int, slope: tuple[float, float] = (0.0, 0.25)) -> None:
        """Add a shape on top of the existing ones."""
        self.shapes.append(Shape(points, slot, slope))

    def band(self, top: float, slot: int, *, wave: float = 0.0, peaks: int = 3, sharp: bool = False) -> None:
        """Add the area below an uneven line at height `top`: hills, a sea, a table."""
        x = np.linspace(-0.05, 1.05, 49)
        knots = self.rng.uniform(-1, 1, peaks + 2)
        at = np.linspace(-0.1, 1.1, peaks + 2)
        if sharp:
            at = at + self.rng.uniform(-0.3, 0.3, peaks + 2) / (peaks + 2)
            knots = np.where(np.arange(peaks + 2) % 2 == 0, 0.6, -0.9) + 0.35 * knots
            rise = np.interp(x, np.sort(at), knots)
        else:
            phase = self.rng.uniform(0, 6.28)
            rise = 0.6 * np.sin(x * 3.1 * peaks + phase) + 0.4 * np.interp(x, at, knots)
        line = np.stack([x, top + wave * rise], axis=1)
        self.add(np.concatenate([line, [[1.05, 1.05], [-0.05, 1.05]]]), slot)


def oval(cx: float, cy: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """Return an ellipse rotated by `turn` radians."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = rx * np.cos(t), ry * np.sin(t)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([cx + c * x - s * y, cy + s * x + c * y], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """Return an axis-aligned rectangle."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)


def smooth(points: list[tuple[float, float]]) -> Points:
    """Return a smooth closed outline through the points (Catmull-Rom)."""
    p = np.asarray(points, dtype=np.float64)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = np.linspace(0, 1, 9, endpoint=False)[:, None, None]
    curve: Points = 0.5 * (
        2 * p + (after - before) * t + (2 * before - 5 * p + 4 * after - beyond) * t**2
        + (3 * p - before - 3 * after + beyond) * t**3
    )  # fmt: skip
    outline: Points = curve.transpose(1, 0, 2).reshape(-1, 2)
    return outline


def placed(points: Points, cx: float, cy: float, scale: float, turn: float = 0.0) -> Points:
    """Scale and rotate points about the origin, then move them to (cx, cy)."""
    c, s = np.cos(turn), np.sin(turn)
    moved: Points = points @ np.array([[c, s], [-s, c]]) * scale + np.array([cx, cy])
    return moved


def _mountains(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    comp.add(oval(comp.vary(0.15, 0.85), comp.vary(0.14, 0.26), r := comp.vary(0.07, 0.12), r), 0)
    comp.band(comp.vary(0.44, 0.52), 2, wave=comp.vary(0.14, 0.2), peaks=4, sharp=True)
    comp.band(comp.vary(0.6, 0.66), 3, wave=comp.vary(0.15, 0.2), peaks=3, sharp=True)
    comp.band(comp.vary(0.8, 0.86), 5, wave=comp.vary(0.08, 0.13), peaks=4, sharp=True)


def _tree(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    comp.band(ground := comp.vary(0.76, 0.84), 3, wave=0.03, peaks=2)
    x, w = comp.vary(0.4, 0.6), comp.vary(0.03, 0.05)
    top = comp.vary(0.3, 0.38)
    trunk = [(x - 2 * w, ground + 0.06), (x - w, 0.6), (x - 0.6 * w, top), (x + 0.6 * w, top), (x + w, 0.6)]
    comp.add(np.array([*trunk, (x + 2.2 * w, ground + 0.06)]), 5)
    for side in (-1, 1):
        reach, lift = side * comp.vary(0.16, 0.24), comp.vary(0.38, 0.46)
        comp.add(np.array([(x, 0.64), (x, 0.56), (x + reach, lift - 0.02), (x + reach, lift + 0.02)]), 5)
    for slot, drop, size in ((4, 0.0, 0.17), (2, -0.05, 0.085)):
        for angle in np.linspace(0, 2 * np.pi, 7)[:-1] + comp.vary(0, 1):
            r = size * comp.vary(0.8, 1.15)
            comp.add(oval(x + 0.19 * np.cos(angle), 0.33 + drop + 0.12 * np.sin(angle), r, r * 0.9), slot)
        comp.add(oval(x, 0.3 + drop, size * 1.1, size), slot)


def _bird(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    y, tilt = comp.vary(0.74, 0.8), comp.vary(-0.06, 0.06)
    comp.add(np.array([(0, y - tilt), (1, y + tilt), (1, y + tilt + 0.05), (0, y - tilt + 0.07)]), 4)
    for at in (0.14, 0.84):
        comp.add(oval(at, y - 0.07, 0.11, 0.045, comp.vary(-0.9, 0.9)), 2)
    cx, cy, k, turn = comp.vary(0.44, 0.52), y - 0.24, comp.vary(0.95, 1.15), comp.vary(-0.12, 0.12)
    tail = np.array([(-0.14, 0.06), (-0.42, 0.22), (-0.46, 0.32), (-0.1, 0.2)])
    body = smooth([(-0.2, 0.1), (-0.12, -0.08), (0.06, -0.2), (0.12, -0.31), (0.25, -0.33), (0.31, -0.22),
                   (0.27, -0.08), (0.22, 0.12), (0.06, 0.24), (-0.1, 0.23)])  # fmt: skip
    belly = smooth([(0.24, -0.08), (0.2, 0.12), (0.06, 0.22), (-0.02, 0.18), (0.08, 0.02)])
    wing = smooth([(-0.3, 0.16), (-0.16, -0.02), (0.04, -0.12), (0.12, -0.02), (0.04, 0.1), (-0.12, 0.15)])
    beak = np.array([(0.29, -0.29), (0.44, -0.21), (0.3, -0.18)])
    legs = np.array([(0.03, 0.2), (0.06, 0.2), (0.06, 0.27), (0.03, 0.27)])
    for points, slot in (
        (tail, 5),
        (legs, 5),
        (legs + np.array([0.1, -0.01]), 5),
        (beak, 5),
        (body, 3),
        (belly, 0),
        (wing, 5),
    ):
        comp.add(placed(points, cx, cy, k, turn), slot)
    comp.add(placed(oval(0.22, -0.25, 0.034, 0.034), cx, cy, k, turn), 0)
    comp.add(placed(oval(0.225, -0.25, 0.017, 0.017), cx, cy, k, turn), 5)


def _fish(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    comp.band(comp.vary(0.66, 0.74), 2, wave=0.04, peaks=3)
    for _ in range(3):
        comp.add(oval(comp.vary(0.74, 0.92), comp.vary(0.06, 0.3), r := comp.vary(0.02, 0.045), r), 0)
    cx, cy, k, turn = (
        comp.vary(0.48, 0.54),
        comp.vary(0.47, 0.55),
        comp.vary(0.95, 1.12),
        comp.vary(-0.25, 0.2),
    )
    tail = smooth([(-0.2, 0.0), (-0.38, -0.2), (-0.44, -0.16), (-0.36, 0.0), (-0.44, 0.16), (-0.38, 0.2)])
    fins = smooth([(-0.12, -0.12), (0.0, -0.29), (0.1, -0.27), (0.16, -0.1)])
    under = smooth([(-0.06, 0.12), (-0.1, 0.25), (0.0, 0.24), (0.1, 0.12)])
    body = smooth([(-0.3, 0.0), (-0.12, -0.14), (0.1, -0.19), (0.28, -0.1), (0.36, 0.01), (0.28, 0.1),
                   (0.1, 0.18), (-0.12, 0.13)])  # fmt: skip
    belly = smooth([(-0.2, 0.05), (0.0, 0.06), (0.22, 0.06), (0.26, 0.09), (0.1, 0.155), (-0.1, 0.12)])
    for points, slot in ((tail, 5), (fins, 5), (under, 5), (body, 4), (belly, 2)):
        comp.add(placed(points, cx, cy, k, turn), slot)
    for at in (-0.1, 0.02):
        stripe = np.array([(at, -0.15), (at + 0.05, -0.17), (at + 0.03, 0.05), (at - 0.01, 0.05)])
        comp.add(placed(stripe, cx, cy, k, turn), 0)
    comp.add(placed(oval(0.24, -0.04, 0.04, 0.04), cx, cy, k, turn), 0)
    comp.add(placed(oval(0.245, -0.04, 0.02, 0.02), cx, cy, k, turn), 5)


def _flowers(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    comp.band(comp.vary(0.78, 0.84), 3, wave=0.0)
    x, k = comp.vary(0.45, 0.55), comp.vary(0.92, 1.1)
    count = int(comp.rng.integers(4, 6))
    heads = [
        (x + (i - (count - 1) / 2) * comp.vary(0.66, 0.76) / count, comp.vary(0.2, 0.36))
        for i in range(count)
    ]
    for hx, hy in heads:
        comp.add(np.array([(x - 0.012, 0.6), (hx - 0.012, hy), (hx + 0.014, hy), (x + 0.016, 0.6)]), 5)
    for side in (-1, 1):
        comp.add(oval(x + side * 0.15, 0.5, 0.1, 0.035, side * comp.vary(-0.8, -0.4)), 4)
    vase = smooth([(-0.08, -0.18), (-0.07, -0.1), (-0.16, 0.04), (-0.13, 0.2), (-0.08, 0.26), (0.08, 0.26),
                   (0.13, 0.2), (0.16, 0.04), (0.07, -0.1), (0.08, -0.18)])  # fmt: skip
    comp.add(placed(vase, x, 0.66, k), 5)
    comp.add(oval(x, 0.7, 0.13 * k, 0.03), 2)
    for i, (hx, hy) in enumerate(heads):
        petals, r, slot = int(comp.rng.integers(5, 8)), comp.vary(0.045, 0.058), (0, 3, 0, 3, 0)[i]
        for angle in np.linspace(0, 2 * np.pi, petals, endpoint=False) + comp.vary(0, 1):
            comp.add(
                oval(hx + 1.1 * r * np.cos(angle), hy + 1.1 * r * np.sin(angle), r, r * 0.72, angle), slot
            )
        comp.add(oval(hx, hy, r * 0.8, r * 0.8), 5)


def _sunset(comp: Composition) -> None:
    horizon, x = comp.vary(0.54, 0.64), comp.vary(0.3, 0.7)
    comp.add(box(0, 0, 1, 1), 2)
    comp.add(box(0, horizon - comp.vary(0.16, 0.24), 1, 1), 1)
    comp.add(oval(x, horizon - comp.vary(0.02, 0.12), r := comp.vary(0.17, 0.24), r), 0)
    for _ in range(2):
        comp.add(oval(comp.vary(0.1, 0.9), comp.vary(0.08, 0.24), comp.vary(0.14, 0.22), 0.025), 3)
    comp.add(box(0, horizon, 1, 1), 4)
    comp.band(comp.vary(0.86, 0.9), 5, wave=0.02, peaks=3)
    for i in range(4):
        y = horizon + 0.05 + 0.07 * i
        comp.add(
            oval(x + comp.vary(-0.03, 0.03), y, comp.vary(0.1, 0.2) * (1 - 0.12 * i), 0.014), (0, 2)[i % 2]
        )


def _house(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    comp.add(oval(comp.vary(0.1, 0.24), comp.vary(0.14, 0.22), r := comp.vary(0.06, 0.09), r), 0)
    comp.band(comp.vary(0.56, 0.62), 2, wave=0.06, peaks=2)
    left, right, top = comp.vary(0.26, 0.34), comp.vary(0.7, 0.78), comp.vary(0.44, 0.5)
    ridge, mid = top - comp.vary(0.2, 0.26), (left + right) / 2
    chimney = right - 0.12
    comp.add(box(chimney - 0.035, ridge - 0.02, chimney + 0.035, top), 4)
    comp.add(box(left, top, right, 0.84), 0, (0.3, 0.0))
    comp.add(np.array([(left - 0.06, top + 0.02), (mid, ridge), (right + 0.06, top + 0.02)]), 5)
    door = comp.vary(-0.05, 0.05)
    comp.add(box(mid + door - 0.05, 0.63, mid + door + 0.05, 0.84), 5)
    for at in (left + 0.09, right - 0.09):
        comp.add(box(at - 0.05, 0.54, at + 0.05, 0.65), 4)
    comp.band(0.83, 3, wave=0.02, peaks=2)
    comp.add(
        np.array([(mid + door - 0.06, 0.83), (mid + door + 0.06, 0.83), (mid + 0.2, 1.0), (mid - 0.1, 1.0)]),
        1,
    )


def _moon(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 5)
    for _ in range(5):
        comp.add(oval(comp.vary(0.05, 0.95), comp.vary(0.05, 0.45), r := comp.vary(0.01, 0.018), r), 1)
    x, y, r = comp.vary(0.25, 0.75), comp.vary(0.24, 0.34), comp.vary(0.15, 0.2)
    comp.add(oval(x, y, r, r), 0)
    comp.add(oval(x + r * comp.vary(0.35, 0.5), y - r * 0.2, r * 0.86, r * 0.86), 5)
    comp.band(comp.vary(0.56, 0.62), 3, wave=0.06, peaks=2)
    comp.band(comp.vary(0.7, 0.76), 2, wave=0.06, peaks=2)
    comp.band(comp.vary(0.85, 0.9), 4, wave=0.04, peaks=2)


def _cat(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    comp.band(comp.vary(0.76, 0.82), 3, wave=0.0)
    x, k = comp.vary(0.44, 0.52), comp.vary(0.96, 1.08)
    tail = smooth([(0.1, 0.3), (0.3, 0.32), (0.38, 0.16), (0.32, 0.02), (0.37, -0.04), (0.45, 0.12),
                   (0.4, 0.34), (0.24, 0.42), (0.1, 0.4)])  # fmt: skip
    body = smooth([(-0.1, -0.06), (-0.15, 0.1), (-0.22, 0.28), (-0.2, 0.4), (0.0, 0.42), (0.2, 0.4),
                   (0.22, 0.26), (0.14, 0.06), (0.1, -0.06)])  # fmt: skip
    head = smooth([(-0.16, -0.18), (-0.1, -0.27), (0.0, -0.28), (0.1, -0.27), (0.16, -0.18), (0.1, -0.06),
                   (0.0, -0.03), (-0.1, -0.06)])  # fmt: skip
    ear = np.array([(-0.155, -0.19), (-0.17, -0.38), (-0.04, -0.27)])
    chest = smooth([(-0.06, 0.04), (0.0, 0.0), (0.06, 0.04), (0.07, 0.2), (0.0, 0.27), (-0.07, 0.2)])
    parts = [(tail, 4), (body, 5), (head, 5), (ear, 5), (ear * [-1, 1], 5), (chest, 2)]
    parts += [(oval(side * 0.07, -0.17, 0.034, 0.028), 0) for side in (-1, 1)]
    parts += [(oval(side * 0.07, -0.17, 0.012, 0.026), 5) for side in (-1, 1)]
    parts += [(np.array([(-0.025, -0.115), (0.025, -0.115), (0, -0.085)]), 2)]
    for points, slot in parts:
        comp.add(placed(points, x, 0.5, k), slot)


def _boat(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    comp.add(oval(comp.vary(0.12, 0.26), comp.vary(0.12, 0.22), r := comp.vary(0.06, 0.09), r), 0)
    comp.band(horizon := comp.vary(0.6, 0.66), 3, wave=0.006, peaks=3)
    x, k = comp.vary(0.46, 0.56), comp.vary(0.92, 1.12)
    y, lean = horizon + comp.vary(0.06, 0.1), comp.vary(-0.07, 0.07)
    hull = np.array([(-0.3, -0.07), (0.34, -0.09), (0.22, 0.06), (-0.2, 0.06)])
    mast = np.array([(0.0, -0.56), (0.02, -0.56), (0.025, -0.06), (-0.005, -0.06)])
    main = smooth([(0.03, -0.54), (0.16, -0.34), (0.3, -0.13), (0.16, -0.125), (0.04, -0.13), (0.04, -0.34)])
    jib = smooth(
        [(-0.02, -0.5), (-0.14, -0.3), (-0.26, -0.13), (-0.12, -0.12), (-0.025, -0.13), (-0.03, -0.3)]
    )
    for points, slot in ((hull, 5), (mast, 5), (main, 0), (jib, 4)):
        comp.add(placed(points, x, y, k, lean), slot)
    comp.band(y + 0.03 * k, 4, wave=0.02, peaks=4)
    comp.band(comp.vary(0.86, 0.9), 2, wave=0.018, peaks=3)


def _face(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    comp.add(oval(0.5, 0.42, r := comp.vary(0.36, 0.42), r), 2)
    x, y, k = comp.vary(0.46, 0.52), comp.vary(0.44, 0.48), comp.vary(0.95, 1.08)
    nose, chin = comp.vary(0.26, 0.31), comp.vary(0.17, 0.21)
    shoulders = smooth([(-0.4, 0.62), (-0.34, 0.42), (-0.14, 0.33), (0.08, 0.36), (0.28, 0.46), (0.34, 0.62)])
    hair = smooth([(0.16, -0.28), (0.02, -0.38), (-0.16, -0.36), (-0.29, -0.2), (-0.3, 0.0), (-0.26, 0.18),
                   (-0.3, comp.vary(0.24, 0.38)), (-0.12, 0.3), (-0.02, 0.1), (0.1, -0.1)])  # fmt: skip
    skin = smooth([(-0.1, -0.24), (0.06, -0.27), (0.17, -0.2), (0.19, -0.09), (0.21, -0.03), (nose, 0.065),
                   (0.2, 0.09), (0.225, 0.13), (0.205, 0.155), (0.22, 0.185), (chin, 0.27), (0.08, 0.29),
                   (0.05, 0.36), (0.02, 0.46), (-0.12, 0.44), (-0.13, 0.24), (-0.15, 0.0)])  # fmt: skip
    fringe = smooth([(0.17, -0.2), (0.08, -0.33), (-0.12, -0.36), (-0.24, -0.2), (-0.2, 0.02), (-0.1, 0.04),
                     (-0.06, -0.1), (0.04, -0.18)])  # fmt: skip
    eye = smooth([(0.1, -0.05), (0.14, -0.075), (0.185, -0.05), (0.14, -0.03)])
    brow = np.array([(0.08, -0.115), (0.185, -0.12), (0.185, -0.1), (0.08, -0.09)])
    lips = smooth([(0.15, 0.15), (0.19, 0.125), (0.225, 0.14), (0.2, 0.18)])
    for points, slot in ((hair, 5), (skin, 0), (shoulders, 4), (fringe, 5), (eye, 5), (brow, 5), (lips, 3)):
        comp.add(placed(points, x, y, k), slot)


def _fruit(comp: Composition) -> None:
    comp.add(box(0, 0, 1, 1), 1)
    comp.band(comp.vary(0.68, 0.76), 2, wave=0.0)
    x, k, y = comp.vary(0.46, 0.54), comp.vary(0.95, 1.1), comp.vary(0.56, 0.6)
    for i, (dx, dy) in enumerate([(-0.2, -0.08), (0.21, -0.09), (0.0, -0.2), (-0.09, -0.06), (0.1, -0.05)]):
        r = comp.vary(0.1, 0.125)
        cx, cy = x + k * dx, y + k * dy
        comp.add(oval(cx, cy, r, r * 0.96), (3, 4, 3, 0, 5)[i])
        comp.add(oval(cx - 0.035, cy - 0.04, 0.03, 0.022, -0.6), (0, 1, 0, 2, 2)[i])
    comp.add(np.array([(x, y - 0.3), (x + 0.02, y - 0.3), (x + 0.03, y - 0.4), (x + 0.01, y - 0.4)]), 5)
    comp.add(oval(x + 0.09, y - 0.37, 0.075, 0.03, -0.4), 4)
    bowl = smooth([(-0.38, -0.03), (-0.3, 0.16), (-0.13, 0.27), (0.13, 0.27), (0.3, 0.16), (0.38, -0.03),
                   (0.2, 0.0), (0.0, 0.01), (-0.2, 0.0)])  # fmt: skip
    comp.add(placed(bowl, x, y, k), 5)
    comp.add(placed(oval(0.0, 0.09, 0.27, 0.028), x, y, k), 2)


_COMPOSE: Mapping[str, Callable[[Composition], None]] = MappingProxyType(
    {
        "mountains": _mountains, "tree": _tree, "bird": _bird, "fish": _fish, "flowers": _flowers,
        "sunset": _sunset, "house": _house, "moon": _moon, "cat": _cat, "boat": _boat, "face": _face,
        "fruit": _fruit,
    }
)  # fmt: skip
SUBJECTS: tuple[str, ...] = tuple(_COMPOSE)


def compose(subject: str, rng: np.random.Generator) -> list[Shape]:
    """Return the shapes of a subject, from back to front.

    Parameters
    ----------
    subject : str
        One of `SUBJECTS`.
    rng : numpy.random.Generator
        Determines position, size, form, orientation and key.

    Returns
    -------
    list of Shape
    """
    comp = Composition(rng)
    _COMPOSE[subject](comp)
    mirrored, night = rng.random() < 0.5, rng.random() < 0.4
    zoom, lean = rng.uniform(0.84, 1.2), rng.uniform(-0.05, 0.05)
    focus, moved = rng.uniform(0.35, 0.65, 2), rng.uniform(-0.05, 0.05, 2)
    framed = []
    for shape in comp.shapes:
        points = placed(_beyond_the_frame(shape.points) - focus, 0.0, 0.0, zoom, lean) + focus + moved
        if mirrored:
            points = points * [-1, 1] + [1, 0]
        slope = (-shape.slope[0] if mirrored else shape.slope[0], shape.slope[1])
        framed.append(Shape(points, 5 - shape.slot if night else shape.slot, slope))
    return framed


def _beyond_the_frame(points: Points) -> Points:
    """Move points on the frame well outside of it, so that a smaller or tilted view shows no gap."""
    out = points.astype(np.float64)
    out[:, 1] += 0.6 * (points[:, 1] >= 1)
    if points[:, 0].min() <= 0 and points[:, 0].max() >= 1:
        out[:, 0] += 0.6 * (points[:, 0] >= 1) - 0.6 * (points[:, 0] <= 0)
        out[:, 1] -= 0.6 * (points[:, 1] <= 0)
    return out
