"""Techniques that draw with lines: ink, engraving, pencil, one long scribble."""

from __future__ import annotations

import numpy as np

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
    rotate,
)


def flowing_ink(plate: Plate) -> Floats:
    """Long ribbons of local colour that drift along an unseen current, over a bare ground."""
    rng, side = plate.rng, plate.side
    inks = choose_inks(plate)
    current = noise(rng, 128, 3) * np.float32(plate.uniform(2.4, 3.2)) + np.float32(rng.uniform(0, 6.28))
    starts = jittered_grid(rng, 33, 0.5, margin=0.06)
    rng.shuffle(starts)
    steps, stride = 10, plate.uniform(0.0105, 0.013)
    path = np.empty((len(starts), steps, 2), dtype=np.float32)
    at = starts.copy()
    for i in range(steps):
        path[:, i] = at
        cell = np.clip(at * 128, 0, 127).astype(np.intp)
        angle = current[cell[:, 1], cell[:, 0]]
        at = at + np.float32(stride) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    middle = path[:, steps // 2]
    colours = fills(mix(plate.colour_at(middle[:, 0], middle[:, 1]), inks.ink, 0.1))
    widths = rng.uniform(0.012, 0.019, len(starts))
    easel = Easel(plate, inks.ground)
    for points, fill, width in zip(path, colours, widths, strict=True):
        easel.line(points, fill, width)
        for u, v in (points[0], points[-1]):
            r = width * side / 2
            easel.pen.ellipse((u * side - r, v * side - r, u * side + r, v * side + r), fill=fill)
    return easel.field()


def engraved_lines(plate: Plate) -> Floats:
    """Level lines in one ink that swell in the shadows and ripple over the forms."""
    inks = choose_inks(plate, contrast=1.15)
    count = plate.uniform(19, 24)
    _, v = rotate(plate, plate.uniform(-7, 7))
    relief = blur(plate.tone, 0.03) - np.float32(0.5)
    wobble = noise(plate.rng, plate.side, 4) * np.float32(0.012)
    phase = (v + wobble - relief * np.float32(plate.uniform(0.05, 0.075))) * np.float32(count)
    off = np.abs(phase - np.floor(phase) - np.float32(0.5))
    half = np.float32(0.07) + np.float32(0.4) * blur(inks.density, 0.004)
    mark = coverage((half - off) / np.float32(count), plate.side)
    ground = mix(flat_field(plate, inks.ground), plate.local, 0.18)
    return mix(ground, inks.ink, mark)


def crosshatching(plate: Plate) -> Floats:
    """Pencil hatching in up to four directions, one more for every step into the shadow."""
    rng = plate.rng
    inks = choose_inks(plate, contrast=1.1)
    spacing = 1 / plate.uniform(17, 20)
    turn = plate.uniform(-10, 10)
    ink = mix(flat_field(plate, inks.ink), plate.local, 0.3)
    picture = flat_field(plate, inks.ground)
    for angle, floor in ((45, 0.12), (-45, 0.36), (4, 0.58), (92, 0.76)):
        _, v = rotate(plate, angle + turn)
        bend = noise(rng, plate.side, 4) * np.float32(0.006)
        phase = (v + bend) / np.float32(spacing) + np.float32(rng.uniform(0, 1))
        off = np.abs(phase - np.floor(phase) - np.float32(0.5)) * np.float32(spacing)
        pressure = np.float32(0.0095) + np.float32(0.004) * noise(rng, plate.side, 14)
        mark = coverage(pressure - off, plate.side) * coverage(
            (inks.density - np.float32(floor)) / 20, plate.side
        )
        picture = mix(picture, ink, mark * np.float32(0.9))
    return picture


def contour_map(plate: Plate) -> Floats:
    """Tones interpreted as heights: tinted steps with a line at every level."""
    levels = int(plate.rng.integers(9, 12))
    height = blur(plate.tone, 0.022) + noise(plate.rng, plate.side, 4, octaves=2) * np.float32(0.17)
    height = np.clip(height * np.float32(0.9) + np.float32(0.05), 0, 1)
    scaled = height * np.float32(levels)
    step = np.floor(scaled)
    ramp = np.clip((1 - (step + 0.5) / levels) * 5, 0, 5)
    below = np.minimum(ramp.astype(np.intp), 4)
    tint = mix(plate.palette[below], plate.palette[below + 1], ramp - below)
    slope = np.hypot(*np.gradient(scaled)) + np.float32(1e-4)
    off = np.minimum(scaled - step, 1 - scaled + step) / slope / np.float32(plate.side)
    width = plate.uniform(0.0055, 0.0075)
    line = plate.palette[5] if plate.rng.random() < 0.5 else plate.palette[0]
    return mix(tint, line, coverage(np.float32(width) - off, plate.side))


def looping_scribble(plate: Plate) -> Floats:
    """A continuous pen line, repeated in a second ink: small loops in light areas, wide ones in dark areas."""
    rng = plate.rng
    inks = choose_inks(plate)
    rows, steps = int(rng.integers(12, 14)), 900
    t = np.linspace(0, 1, steps, dtype=np.float32)
    density = np.clip(enlarge(blur(inks.density, 0.006), 128), 0, 1)
    easel = Easel(plate, inks.ground)
    ink = fills(np.stack([inks.ink, mix(inks.ink, plate.palette[3], 0.75)]))
    for layer, (width, reach) in enumerate(((0.0095, 1.0), (0.0075, 0.8))):
        path = []
        for row in range(rows):
            u = t if row % 2 == 0 else t[::-1]
            v = np.full_like(u, (row + 0.5 + 0.3 * layer) / rows) + np.float32(0.012) * np.sin(u * 9 + row)
            cell = np.clip(np.stack([v, u]) * 128, 0, 127).astype(np.intp)
            dark = density[cell[0], cell[1]]
            radius = np.float32(reach) * (np.float32(0.003) + np.float32(0.046) * dark)
            turns = np.cumsum(np.float32(9 + 4 * layer) + np.float32(36) * dark) / np.float32(steps)
            phase = turns * np.float32(2 * np.pi) + np.float32(rng.uniform(0, 6.28))
            path.append(np.stack([u + radius * np.cos(phase), v + radius * np.sin(phase)], axis=1))
        easel.line(np.concatenate(path), ink[1 - layer], width)
    return easel.field()


def single_spiral(plate: Plate) -> Floats:
    """A single spiral from rim to centre whose line swells with the shadow it crosses."""
    inks = choose_inks(plate, contrast=1.2)
    turns = plate.uniform(20, 25)
    cx, cy = plate.rng.uniform(0.42, 0.58, 2).astype(np.float32)
    dx, dy = plate.x - cx, plate.y - cy
    phase = np.hypot(dx, dy) * np.float32(turns) - np.arctan2(dy, dx) / np.float32(2 * np.pi)
    off = np.abs(phase - np.floor(phase) - np.float32(0.5))
    half = np.float32(0.06) + np.float32(0.4) * blur(inks.density, 0.004)
    mark = coverage((half - off) / np.float32(turns), plate.side)
    ground = mix(flat_field(plate, inks.ground), plate.local, 0.12)
    ink = mix(flat_field(plate, inks.ink), plate.local, 0.2)
    return mix(ground, ink, mark)


def linocut(plate: Plate) -> Floats:
    """A block print over a tinted ground: gouge marks run alongside every edge, like ripples."""
    rng, side = plate.rng, plate.side
    inks = choose_inks(plate, contrast=1.5)
    distance = edge_distance(plate.labels)
    along = distance + noise(rng, side, 6) * np.float32(0.006)
    phase = along * np.float32(plate.uniform(17, 21))
    wedge = np.abs(phase - np.floor(phase) - np.float32(0.5)) * 2
    bite = noise(rng, side, 22) * np.float32(0.35)
    depth = np.float32(0.3) + np.float32(0.5) * blur(inks.density, 0.003)
    ink = coverage((depth + bite * np.float32(0.5) - wedge) / 22, side)
    rim = coverage(np.float32(0.0085) - distance, side)
    ink = np.where(inks.density > 0.5, ink * (1 - rim), ink)
    second = plate.palette[2] if inks.light_ground else plate.palette[3]
    spots = (np.abs(plate.tone - 0.5) < 0.2)[..., None]
    ground = np.where(spots, mix(inks.ground, second, 0.8), inks.ground).astype(np.float32)
    return mix(ground, inks.ink, ink)
