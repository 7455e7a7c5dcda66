"""Techniques that build the picture from pieces: glass, tiles, thread, cloth, dots."""

from __future__ import annotations

import numpy as np
from scipy.spatial import Delaunay, Voronoi

from imindex.indexer.demo.canvas import (
    Easel,
    Floats,
    Plate,
    choose_inks,
    coverage,
    edge_distance,
    fills,
    flat_field,
    jittered_grid,
    mix,
    noise,
    rotate,
)


def _cells(coordinate: Floats, count: float) -> tuple[Floats, Floats]:
    """Return the cell of each pixel in a row of `count` cells, and its position in that cell (0 to 1)."""
    scaled = coordinate * np.float32(count)
    index = np.floor(scaled)
    return index, scaled - index


def stained_glass(plate: Plate) -> Floats:
    """Panes of glowing glass held in heavy leads."""
    rng = plate.rng
    seeds = jittered_grid(rng, int(rng.integers(8, 10)), 0.44, margin=0.14)
    voronoi = Voronoi(seeds)
    glow = rng.uniform(0.3, 0.7, len(seeds)).astype(np.float32)
    panes = fills(np.repeat(glow[:, None], 3, axis=1))
    lead = fills(mix(plate.palette[5], np.zeros(3, np.float32), 0.45)[None])[0]
    easel = Easel(plate, plate.palette[5])
    width = plate.uniform(0.016, 0.02)
    outlines = []
    for number, region in enumerate(voronoi.point_region):
        corners = voronoi.regions[region]
        if corners and -1 not in corners:
            outline = voronoi.vertices[corners]
            easel.polygon(outline, panes[number])
            outlines.append(outline)
    light = (
        easel.field()[..., :1] + np.float32(0.55) + np.float32(0.09) * noise(rng, plate.side, 18)[..., None]
    )
    rim = coverage(np.float32(width * 0.5) - edge_distance(plate.labels), plate.side)
    easel = Easel(plate, mix(plate.local * light, np.asarray(lead, np.float32) / 255, rim))
    for outline in outlines:
        easel.line(outline, lead, width, closed=True)
    return easel.field()


def _border_points(plate: Plate, count: int) -> Floats:
    """Return up to `count` points on the borders between shapes, the same at every working size."""
    steps = (np.arange(160, dtype=np.float32) + np.float32(0.5)) / np.float32(160)
    labels = plate.labels[plate.indices(*np.meshgrid(steps, steps))]
    border = (np.diff(labels, axis=0)[:, 1:] != 0) | (np.diff(labels, axis=1)[1:] != 0)
    rows, columns = np.nonzero(border)
    chosen = plate.rng.random(count)
    if len(rows) == 0:
        return np.empty((0, 2), dtype=np.float32)
    pick = (chosen * len(rows)).astype(np.intp)
    points: Floats = np.stack([columns[pick], rows[pick]], axis=1).astype(np.float32) / np.float32(160)
    return points


def faceted_triangles(plate: Plate) -> Floats:
    """The picture folded from flat triangles, each catching its own light."""
    rng = plate.rng
    grid = jittered_grid(rng, int(rng.integers(11, 14)), 0.42, margin=0.1)
    points = np.concatenate([grid, _border_points(plate, 60)])
    corners = points[Delaunay(points).simplices]
    middle = corners.mean(axis=1)
    tilt = np.cos(np.arctan2(*(corners[:, 1] - corners[:, 0]).T) * 2 + plate.uniform(0, 6)) * 0.16
    cell = np.clip(middle * 64, 0, 63).astype(np.intp)
    light = 1 + tilt + noise(rng, 64, 40)[cell[:, 1], cell[:, 0]] * np.float32(0.14)
    colours = fills(plate.colour_at(middle[:, 0], middle[:, 1]) * light[:, None].astype(np.float32))
    easel = Easel(plate, plate.palette[2])
    for triangle, fill in zip(corners, colours, strict=True):
        easel.polygon(triangle, fill)
    return easel.field()


def packed_circles(plate: Plate) -> Floats:
    """Discs of all sizes, packed without touching, each with a ring."""
    rng = plate.rng
    inks = choose_inks(plate)
    sizes = np.repeat([0.056, 0.043, 0.032, 0.023, 0.015], [120, 300, 700, 1300, 1500])
    tries = rng.uniform(-0.02, 1.02, (len(sizes), 2))
    cell = np.clip(tries * plate.side, 0, plate.side - 1).astype(np.intp)
    room = edge_distance(plate.labels)[cell[:, 1], cell[:, 0]] + 0.012
    tries, sizes = tries[room > sizes], sizes[room > sizes]
    centres = np.empty((len(sizes), 2))
    radii = np.empty(len(sizes))
    count = 0
    for point, size in zip(tries, sizes, strict=True):
        away = centres[:count] - point
        if count == 0 or np.all(away[:, 0] ** 2 + away[:, 1] ** 2 > (radii[:count] + size + 0.005) ** 2):
            centres[count], radii[count] = point, size
            count += 1
    centres, radii = centres[:count], radii[:count]
    local = plate.colour_at(centres[:, 0], centres[:, 1])
    local = mix(local, inks.ink, 0.15)
    core = mix(local, inks.ground, 0.5)
    easel = Easel(plate, mix(flat_field(plate, inks.ground), plate.local, 0.42))
    easel.discs(centres, radii, fills(local))
    easel.discs(centres, radii * 0.62, fills(core))
    easel.discs(centres, radii * 0.42, fills(local))
    return easel.field()


def halftone(plate: Plate) -> Floats:
    """Two printer's screens, a colour and a key, whose dots grow with the shadow."""
    inks = choose_inks(plate)
    angle = plate.uniform(10, 80)
    count = plate.uniform(17, 20)
    picture = flat_field(plate, inks.ground)
    middle = plate.palette[int(plate.rng.integers(2, 4))]
    for turn, ink, low, high in ((angle, middle, 0.0, 0.62), (angle + 30, inks.ink, 0.4, 1.0)):
        u, v = rotate(plate, turn)
        i, fu = _cells(u, count)
        j, fv = _cells(v, count)
        radians = np.deg2rad(turn)
        cu, cv = (i + 0.5) / count, (j + 0.5) / count
        px = np.cos(radians) * cu - np.sin(radians) * cv + 0.5
        py = np.sin(radians) * cu + np.cos(radians) * cv + 0.5
        tone = plate.tone_at(px, py)
        ink_amount = 1 - tone if inks.light_ground else tone
        share = np.clip((ink_amount - low) / (high - low), 0, 1)
        radius = np.sqrt(share) * np.float32(0.58)
        off = np.hypot(fu - np.float32(0.5), fv - np.float32(0.5))
        picture = mix(picture, ink, coverage((radius - off) / np.float32(count), plate.side))
    return picture


def wave_scales(plate: Plate) -> Floats:
    """Rows of overlapping scales, each a fan of three rings."""
    rng = plate.rng
    across = int(rng.integers(9, 11))
    radius = 0.5 / across * 1.04
    rows = int(np.ceil(across * 2.2)) + 2
    dark = bool(rng.random() < 0.5)
    easel = Easel(plate, plate.palette[5 if dark else 0])
    for row in range(rows):
        v = (row - 1) * radius * 0.92
        u = (np.arange(across + 2) - 0.5 + 0.5 * (row % 2)) / across
        centres = np.stack([u, np.full_like(u, v)], axis=1)
        local = plate.colour_at(u, np.full_like(u, v - radius * 0.45))
        edge = mix(local, plate.palette[5 if dark else 0], 0.72)
        pale = mix(local, plate.palette[0 if dark else 5], 0.3)
        for share, colour in (
            (1.0, edge),
            (0.86, local),
            (0.62, edge),
            (0.5, pale),
            (0.27, edge),
            (0.16, local),
        ):
            easel.discs(centres, np.full(len(u), radius * share), fills(colour))
    return easel.field()


def truchet_arcs(plate: Plate) -> Floats:
    """Square tiles of two quarter-rings in random orientation, which join into winding paths."""
    inks = choose_inks(plate)
    count = int(plate.rng.integers(9, 12))
    i, fu = _cells(plate.x, count)
    j, fv = _cells(plate.y, count)
    turned = plate.rng.random((count, count)) < 0.5
    flip = turned[np.clip(j, 0, count - 1).astype(np.intp), np.clip(i, 0, count - 1).astype(np.intp)]
    fu = np.where(flip, 1 - fu, fu)
    near, far = np.hypot(fu, fv), np.hypot(1 - fu, 1 - fv)
    off = np.minimum(np.abs(near - np.float32(0.5)), np.abs(far - np.float32(0.5)))
    half = np.float32(0.14) + np.float32(0.16) * inks.density
    band = coverage((half - off) / np.float32(count), plate.side)
    core = coverage((np.float32(0.05) - off) / np.float32(count), plate.side)
    ground = mix(plate.local, inks.ground, 0.72)
    path = mix(plate.local, inks.ink, 0.45)
    return mix(mix(ground, path, band), inks.ground, core * np.float32(0.8))


def stitched_grid(plate: Plate) -> Floats:
    """Sashiko-like running stitches, each line starting over or under, which form stepped cells."""
    rng = plate.rng
    count = int(rng.integers(15, 18))
    down, across = rng.integers(0, 2, count + 1), rng.integers(0, 2, count + 1)
    i, fu = _cells(plate.x, count)
    j, fv = _cells(plate.y, count)
    i, j = i.astype(np.intp), j.astype(np.intp)
    column, row = np.arange(count), np.arange(count)
    walls = (row[:, None] + across[None, :]) % 2
    floors = (column[None, :] + down[:, None]) % 2
    first = np.concatenate([[0], np.cumsum(floors[1:count, 0])])
    parity = (
        first[:, None] + np.concatenate([np.zeros((count, 1), int), np.cumsum(walls[:, 1:count], axis=1)], 1)
    ) % 2
    cu, cv = (i + 0.5) / np.float32(count), (j + 0.5) / np.float32(count)
    local = plate.colour_at(cu, cv)
    light, dark = plate.palette[0], plate.palette[5]
    cloth = np.where((parity[j, i] == 1)[..., None], mix(local, light, 0.34), mix(local, dark, 0.4))
    half = np.float32(0.1)
    left = np.where(walls[j, i] == 1, half - fu, -1)
    right = np.where(((j + across[i + 1]) % 2) == 1, half - (1 - fu), -1)
    top = np.where(floors[j, i] == 1, half - fv, -1)
    bottom = np.where(((i + down[j + 1]) % 2) == 1, half - (1 - fv), -1)
    depth = np.maximum(np.maximum(left, right), np.maximum(top, bottom)).astype(np.float32)
    thread = light if rng.random() < 0.5 else dark
    return mix(cloth.astype(np.float32), thread, coverage(depth / count, plate.side))


def basket_weave(plate: Plate) -> Floats:
    """Warp and weft in plain weave: rounded bands, over and under."""
    rng = plate.rng
    count = int(rng.integers(12, 15))
    i, fu = _cells(plate.x, count)
    j, fv = _cells(plate.y, count)
    level = ((i + j) % 2) == 0
    along, over = np.where(level, fu, fv), np.where(level, fv, fu)
    local = plate.colour_at((i + 0.5) / count, (j + 0.5) / count)
    tint = np.where(level[..., None], mix(local, plate.palette[0], 0.22), mix(local, plate.palette[5], 0.3))
    round_off = 1 - np.float32(1.7) * (over - np.float32(0.5)) ** 2
    dip = 1 - np.float32(2.0) * (along - np.float32(0.5)) ** 2
    strand = 1 + np.float32(0.13) * np.sin(over * np.float32(18.8))
    cloth = tint * (round_off * dip * strand * np.float32(1.12))[..., None]
    gap = coverage((np.float32(0.43) - np.abs(over - np.float32(0.5))) / count, plate.side)
    return mix(flat_field(plate, plate.palette[5]) * np.float32(0.7), cloth.astype(np.float32), gap)


def tumbling_blocks(plate: Plate) -> Floats:
    """A wall of cubes: hexagons in three faces, lit from one side."""
    rng = plate.rng
    size = np.float32(1 / plate.uniform(13, 16))
    x, y = plate.x + np.float32(rng.uniform(0, 0.1)), plate.y + np.float32(rng.uniform(0, 0.1))
    wide, tall = np.float32(np.sqrt(3)) * size, np.float32(1.5) * size
    best = np.full(x.shape, np.inf, dtype=np.float32)
    hx, hy = np.zeros_like(x), np.zeros_like(y)
    base = np.floor(y / tall)
    for step in (0, 1):
        row = base + step
        shift = np.where(row % 2 == 0, np.float32(0), np.float32(0.5))
        cx = (np.round(x / wide - shift) + shift) * wide
        cy = row * tall
        gap = (x - cx) ** 2 + (y - cy) ** 2
        nearer = gap < best
        best, hx, hy = np.where(nearer, gap, best), np.where(nearer, cx, hx), np.where(nearer, cy, hy)
    angle = np.arctan2(y - hy, x - hx) + np.float32(np.pi / 2 + np.pi / 3)
    face = np.floor(np.mod(angle, np.float32(2 * np.pi)) / np.float32(2 * np.pi / 3)).astype(np.intp) % 3
    ox = hx - (x - plate.x)
    oy = hy - (y - plate.y)
    middles = np.array([(0, -0.5), (0.43, 0.25), (-0.43, 0.25)], dtype=np.float32) * size
    local = plate.colour_at(ox + middles[face, 0], oy + middles[face, 1])
    order = (0.36, -0.12, -0.5) if rng.random() < 0.5 else (0.36, -0.5, -0.12)
    amount = np.array(order, dtype=np.float32)[face]
    lit = mix(local, plate.palette[0], np.maximum(amount, 0))
    return mix(lit, plate.palette[5], np.maximum(-amount, 0))


def nested_squares(plate: Plate) -> Floats:
    """A board of squares within squares, their centres sliding from tile to tile."""
    rng = plate.rng
    count = int(rng.integers(8, 10))
    i, fu = _cells(plate.x, count)
    j, fv = _cells(plate.y, count)
    lean = rng.uniform(-0.5, 0.5, (2, count, count)).astype(np.float32)
    rows, columns = np.clip(j, 0, count - 1).astype(np.intp), np.clip(i, 0, count - 1).astype(np.intp)
    dx, dy = lean[0][rows, columns], lean[1][rows, columns]
    ax, ay = fu - np.float32(0.5), fv - np.float32(0.5)
    reach = (
        np.maximum(np.abs(ax) / (1 + np.sign(ax) * dx * 0.8), np.abs(ay) / (1 + np.sign(ay) * dy * 0.8)) * 2
    )
    ring = np.minimum(np.floor(reach * 3.5), 3)
    share = np.array([0.08, 0.54, 0.0, 0.4], dtype=np.float32)[ring.astype(np.intp)]
    against = np.where((plate.tone > 0.5)[..., None], plate.palette[5], plate.palette[0])
    return mix(plate.local, against.astype(np.float32), share)
