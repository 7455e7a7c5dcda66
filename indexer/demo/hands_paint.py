"""Techniques that work with paint, paper and pigment."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from imindex.indexer.demo.canvas import (
    Easel,
    Floats,
    Plate,
    blur,
    choose_inks,
    coverage,
    edge_distance,
    enlarge,
    fills,
    flat_field,
    jittered_grid,
    mix,
    noise,
)


def _grain(plate: Plate, width: float) -> Floats:
    """Return the direction along which tones run (radians, 64 x 64), for strokes to follow."""
    tone = enlarge(blur(plate.tone, 0.012), 64)
    gy, gx = np.gradient(tone)
    xx, yy, xy = (ndimage.gaussian_filter(a, width * 64) for a in (gx * gx, gy * gy, gx * gy))
    along: Floats = (0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2).astype(np.float32)
    return along


def loaded_brush(plate: Plate) -> Floats:
    """Short fat strokes of loaded paint, laid along the forms, ridged where the bristles went."""
    rng, side = plate.rng, plate.side
    grain = _grain(plate, 0.03)
    sway = noise(rng, 64, 3) * np.float32(0.7)
    easel = Easel(plate, mix(plate.local, plate.palette[3], 0.4))
    relief = Easel(plate, np.full(3, 0.5, dtype=np.float32))
    outline = np.array([(-1, -0.5), (-0.8, -0.95), (0.7, -1), (1, -0.6), (1.05, 0.5), (0.8, 1), (-0.85, 0.9)])
    bristles = np.array([-0.62, -0.2, 0.25, 0.66])
    for count, long, wide in ((15, 0.1, 0.032), (21, 0.062, 0.02)):
        points = jittered_grid(rng, count, 0.5, margin=0.04)
        rng.shuffle(points)
        cell = np.clip(points * 64, 0, 63).astype(np.intp)
        angles = (grain + sway)[cell[:, 1], cell[:, 0]]
        base = plate.colour_at(points[:, 0], points[:, 1])
        base = base * (1 + rng.normal(0, 0.1, (len(points), 1)).astype(np.float32))
        paint, ridge = fills(base), fills(mix(base, plate.palette[0], 0.3))
        groove = fills(mix(base, plate.palette[5], 0.26))
        for k, (point, angle) in enumerate(zip(points, angles, strict=True)):
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            easel.polygon((outline * [long, wide]) @ turn + point, paint[k])
            relief.polygon((outline * [long, wide]) @ turn + point, ((k * 37) % 120 + 70,) * 3)
            for n, across in enumerate(bristles):
                ends = np.array([(-0.8, across), (0.82, across)]) * [long, wide]
                easel.line(ends @ turn + point, (ridge if n % 2 else groove)[k], wide * 0.26)
    height = relief.field()[..., 0]
    lift = max(1, side // 128)
    light = (height - np.roll(height, (lift, lift), (0, 1))) * np.float32(0.55)
    lit: Floats = easel.field() + np.clip(light, -0.16, 0.16)[..., None]
    return lit


def pointillist(plate: Plate) -> Floats:
    """Round touches of pure colour, neighbours of the palette set side by side."""
    rng = plate.rng
    inks = choose_inks(plate)
    points = jittered_grid(rng, 46, 0.8, margin=0.02)
    rng.shuffle(points)
    colours = plate.colour_at(points[:, 0], points[:, 1])
    other = plate.palette[rng.integers(0, 6, len(points))]
    strays = rng.random(len(points)) < 0.26
    colours = np.where(strays[:, None], mix(colours, other, 0.7), colours)
    varied = colours * (1 + rng.normal(0, 0.07, (len(points), 1)))
    radii = rng.uniform(0.0085, 0.0135, len(points))
    easel = Easel(plate, mix(flat_field(plate, inks.ground), plate.local, 0.25))
    easel.discs(points, radii, fills(varied.astype(np.float32)))
    return easel.field()


def wet_wash(plate: Plate) -> Floats:
    """Watercolour: thin washes that miss the line, bloom, and dry dark at the rim; bare paper around."""
    rng, side = plate.rng, plate.side
    paper = mix(plate.palette[0], np.ones(3, np.float32), 0.5)
    total = np.zeros((side, side, 3), dtype=np.float32)
    for amount in (0.02, 0.05):
        u = plate.x + noise(rng, side, 5, octaves=2) * np.float32(amount)
        v = plate.y + noise(rng, side, 5, octaves=2) * np.float32(amount)
        total += plate.colour_at(u, v) / 2
        if amount == 0.02:
            rows, columns = plate.indices(u, v)
            distance = edge_distance(plate.labels[rows, columns])
    wash = blur(total, 0.012) * np.float32(0.7) + total * np.float32(0.3)
    pigment = np.float32(0.62) + noise(rng, side, 4, octaves=3) * np.float32(0.5)
    rim = np.exp(-(((distance - np.float32(0.013)) / np.float32(0.006)) ** 2))
    pigment = np.clip(pigment + rim * np.float32(0.3), 0.1, 1.05)
    gap = np.clip(distance / np.float32(0.011), 0, 1) ** 2
    frame = np.minimum(np.minimum(plate.x, 1 - plate.x), np.minimum(plate.y, 1 - plate.y))
    frame = frame + noise(rng, side, 7, octaves=2) * np.float32(0.05)
    inside = np.clip((frame - np.float32(0.035)) / np.float32(0.02), 0, 1)
    return mix(flat_field(plate, paper), wash, pigment * inside * (np.float32(0.3) + np.float32(0.7) * gap))


def paper_theatre(plate: Plate) -> Floats:
    """Cut paper in layers, each casting a shadow, seen through three wavy frames."""
    rng, side = plate.rng, plate.side
    scale = np.float32(0.8)
    u = (plate.x - np.float32(0.5)) / scale + np.float32(0.5)
    v = (plate.y - np.float32(0.5)) / scale + np.float32(0.5)
    rows, columns = plate.indices(u, v)
    height = plate.labels[rows, columns].astype(np.int32)
    colour = plate.local[rows, columns]
    dx, dy = plate.x - np.float32(0.5), plate.y - np.float32(0.5)
    angle = np.arctan2(dy, dx)
    radius = (np.abs(dx) ** 5 + np.abs(dy) ** 5) ** np.float32(0.2)
    lobes = int(rng.integers(9, 13))
    slots = rng.permutation([0, 2, 3, 5])[:3]
    for n, opening in enumerate((0.385, 0.425, 0.468)):
        wave = np.float32(0.014) * np.sin(angle * (lobes + 2 * n) + np.float32(rng.uniform(0, 6.28)))
        frame = radius + wave > np.float32(opening)
        height = np.where(frame, 300 + 60 * n, height)
        colour = np.where(frame[..., None], plate.palette[slots[n]], colour)
    lift = max(1, round(0.016 * side))
    shade = np.zeros((side, side), dtype=np.float32)
    padded = np.pad(height, lift, mode="edge")
    for reach in (lift, lift // 2):
        start = lift - reach
        shifted = padded[start : start + side, start : start + side]
        shade += (shifted > height) * np.float32(0.5)
    shade = ndimage.uniform_filter(shade, max(3, side // 90))
    flat = (np.round(colour * 24) / 24).astype(np.float32)
    lit: Floats = flat * (1 - np.float32(0.55) * shade)[..., None]
    return lit


def living_pattern(plate: Plate) -> Floats:
    """A reaction-diffusion pattern of spots and stripes, thicker in the shadow."""
    rng, work = plate.rng, 128
    inks = choose_inks(plate)
    fine = plate.uniform(0.0135, 0.0165)
    want = enlarge(blur(inks.density, 0.01), work) - np.float32(0.5)
    state = rng.uniform(-1, 1, (work, work)).astype(np.float32)
    for _ in range(9):
        near = ndimage.gaussian_filter(state, fine * work, mode="wrap")
        wide = ndimage.gaussian_filter(state, fine * work * 1.9, mode="wrap")
        state = np.tanh(9 * (near - wide) + np.float32(1.1) * want)
    field = enlarge(state, plate.side)
    slope = np.float32(0.16)
    mark = np.clip(field / slope + np.float32(0.5), 0, 1)
    ground = mix(plate.local, inks.ground, 0.55)
    ink = mix(plate.local, inks.ink, 0.6)
    return mix(ground, ink, mark)


def falling_capsules(plate: Plate) -> Floats:
    """Columns of upright rounded bars, each taking the colour at its middle."""
    rng = plate.rng
    columns = int(rng.integers(19, 23))
    inks = choose_inks(plate)
    easel = Easel(plate, inks.ground)
    half = 0.5 / columns * 0.84
    for column in range(columns):
        u = (column + 0.5) / columns
        v = float(-rng.uniform(0, 0.12))
        lengths = rng.gamma(2.2, 0.024, 60) + 2 * half
        tops = v + np.concatenate([[0], np.cumsum(lengths + 0.006)])[:-1]
        middle = np.minimum(tops + lengths * 0.5, 0.999)
        colours = fills(mix(plate.colour_at(np.full(60, u), middle), inks.ink, 0.1))
        for top, length, fill in zip(tops.tolist(), lengths.tolist(), colours, strict=True):
            if top > 1:
                break
            corners = [c * plate.side for c in (u - half, top, u + half, top + length)]
            easel.pen.rounded_rectangle(corners, radius=half * plate.side, fill=fill)
    return easel.field()


def prism_shards(plate: Plate) -> Floats:
    """The view broken by long straight cuts; every shard bends it and fades from edge to edge."""
    rng, side = plate.rng, plate.side
    cuts = int(rng.integers(7, 9))
    code = np.zeros((side, side), dtype=np.int64)
    light = np.zeros((side, side), dtype=np.float32)
    line = np.zeros((side, side), dtype=np.float32)
    for n in range(cuts):
        angle = np.pi * (n + rng.uniform(-0.3, 0.3)) / cuts
        offset = rng.uniform(-0.3, 0.3)
        depth = np.float32(np.cos(angle)) * (plate.x - np.float32(0.5))
        depth = depth + np.float32(np.sin(angle)) * (plate.y - np.float32(0.5)) - np.float32(offset)
        sign = 1 if rng.random() < 0.5 else -1
        code += (depth > 0).astype(np.int64) << n
        facing = depth * sign
        light += np.where(facing > 0, np.exp(-facing * 7), -0.35 * np.exp(facing * 9)).astype(np.float32)
        line = np.maximum(line, coverage(np.float32(0.0022) - np.abs(depth), side))
    move = (rng.uniform(-0.055, 0.055, (1 << cuts, 2))).astype(np.float32)
    tilt = rng.normal(0, 0.2, 1 << cuts).astype(np.float32)
    local = plate.colour_at(plate.x + move[code, 0], plate.y + move[code, 1])
    level = np.clip(light * np.float32(0.36) + tilt[code] - np.float32(0.08), -0.6, 0.7)
    lit = mix(local, plate.palette[0], np.maximum(level, 0))
    lit = mix(lit, plate.palette[5], np.maximum(-level, 0))
    return mix(lit, plate.palette[0], line * np.float32(0.4))


def plain_shapes(plate: Plate) -> Floats:
    """No particular technique: the plain composition, softly shaded, with slight grain."""
    grain = noise(plate.rng, plate.side, 90) * np.float32(0.03) + noise(
        plate.rng, plate.side, 2
    ) * np.float32(0.05)
    grainy: Floats = plate.local * (1 + grain)[..., None]
    return grainy
