"""The scale model in words: the table, docs/scale.md and its picture. Every figure comes from `scale_plan`."""

# ruff: noqa: E501 - the page is a template

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from scale_plan import (
    ENCODERS,
    HOUR,
    SIZES,
    Figures,
    Plan,
    Sensitivity,
    at_once_of,
    exact_rows,
    limits,
    plan,
    saturation,
    sensitivity,
)

WIDTH = 80
LARGEST = SIZES[-1]
NODE = 96
"""Cores for the exact search of the page."""
ORIGINS = {
    "measured": "measured here",
    "peer": "public, not ours",
    "assumption": "assumed",
    "price": "parameter, an example and no claim",
}


def short(value: float, unit: str = "") -> str:
    """Spell a number with two or three digits and a prefix, such as 1.2 k or 5.1 T."""
    if value == 0:
        return f"0{' ' + unit if unit else ''}"
    power = max(-1, min(5, math.floor(math.log10(abs(value)) / 3 + 1e-9)))
    if power < 0 or (power == 0 and abs(value) < 10):
        text, prefix = f"{value:.2g}", ""
    else:
        scaled = value / 1000.0**power
        if float(f"{scaled:.3g}") >= 1000:
            scaled, power = scaled / 1000, power + 1
        text, prefix = f"{float(f'{scaled:.3g}'):g}", ["", "k", "M", "G", "T", "P"][power]
    joint = f"{prefix}{unit}"
    return f"{text} {joint}" if joint else text


def size(value: float) -> str:
    return short(value, "B")


def time(hours: float) -> str:
    """Spell a time in hours as seconds, minutes, hours or days."""
    if hours < 1 / 60:
        return f"{hours * 3600:.2g} s"
    if hours < 2:
        return f"{hours * 60:.3g} min"
    if hours < 100:
        return f"{float(f'{hours:.2g}'):g} h"
    return f"{float(f'{hours / 24:.2g}'):g} d"


ROWS: tuple[tuple[str, Callable[[Plan], str]], ...] = (
    ("GPUs in this plan", lambda p: str(p.gpus)),
    ("indexes (drivers)", lambda p: str(p.indexes)),
    ("  at once", lambda p: str(p.at_once)),
    ("GPU hours", lambda p: short(p.gpu_hours)),
    ("  from", lambda p: short(p.gpu_hours_low)),
    ("  to", lambda p: short(p.gpu_hours_high)),
    ("build, pictures/s", lambda p: short(p.rate)),
    ("build", lambda p: time(p.build_hours)),
    ("  limited by", lambda p: p.limited_by),
    ("decoding, cores", lambda p: short(p.decode_cores)),
    ("decoding, core hours", lambda p: short(p.decode_core_hours)),
    ("reading, Gbit/s", lambda p: short(p.read_gbit)),
    ("pixels, Gbit/s", lambda p: short(p.pixels_gbit)),
    ("pictures (shards)", lambda p: size(p.picture_bytes)),
    ("vectors, fp16", lambda p: size(p.vector_bytes)),
    ("columns", lambda p: size(p.column_bytes)),
    ("  of it, digests", lambda p: size(p.digest_bytes)),
    ("  of it, stamps", lambda p: size(p.stamp_bytes)),
    ("IVF-PQ", lambda p: size(p.pq_bytes)),
    ("driver, load", lambda p: f"{100 * p.driver_share:.2g} %"),
    ("driver, memory", lambda p: size(p.driver_bytes_each)),
    ("  if one driver", lambda p: size(p.driver_bytes)),
    ("merge and write", lambda p: time(p.finish_hours)),
    ("build and merge", lambda p: time(p.total_hours)),
    ("requests, shards", lambda p: short(p.requests_shards)),
    ("requests, objects", lambda p: short(p.requests_objects)),
    ("exact query, core s", lambda p: short(p.query_core_seconds)),
    ("index kind", lambda p: p.kind),
    ("exact ranks, core h", lambda p: short(p.rank_core_hours)),
    ("fetching, node hours", lambda p: short(p.fetch_node_hours)),
    ("USD, GPUs", lambda p: short(p.price_gpu)),
    ("USD, cores", lambda p: short(p.price_cores)),
    ("USD, shard requests", lambda p: short(p.price_requests_shards)),
    ("USD, object requests", lambda p: short(p.price_requests_objects)),
    ("USD, a month kept", lambda p: short(p.price_month)),
)
"""The rows of the table."""


def plans(f: Figures, sizes: Sequence[int] = SIZES) -> list[Plan]:
    return [plan(f, n, encoder) for n in sizes for encoder in ENCODERS]


def table(f: Figures, sizes: Sequence[int] = SIZES) -> list[str]:
    """Return the table as lines of at most 80 characters."""
    columns = plans(f, sizes)
    room = (WIDTH - 21) // len(columns)
    heads = [[short(p.pictures) for p in columns], [p.encoder.removeprefix("ViT-") for p in columns]]
    lines = [f"{name:<21}" + "".join(f"{head:>{room}}" for head in row) for name, row in
             zip(("pictures", "encoder, ViT-"), heads, strict=True)]  # fmt: skip
    lines += [f"{name:<21}" + "".join(f"{spell(p):>{room}}" for p in columns) for name, spell in ROWS]
    return lines


def assumptions(f: Figures) -> list[str]:
    """Return all figures with their origins, as lines of at most 80 characters."""
    lines = []
    for origin, words in ORIGINS.items():
        lines.append(f"{words}:")
        for key, one in f.items():
            if one.origin == origin:
                lines += wrapped(f"{key} = {value(one)}: {one.what}. {one.source}{when(one)}")
    return lines


def value(one: Any) -> str:
    span = "" if math.isnan(one.low) else f" ({one.low:,.6g} to {one.high:,.6g})"
    return f"{one.value:,.6g}{span} {one.unit}".strip()


def when(one: Any) -> str:
    words = ", ".join(word for word in (one.machine, one.date) if word)
    return f" ({words})" if words else ""


def wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def sensitivity_rows(f: Figures, encoder: str = "ViT-B-32") -> list[list[str]]:
    base = plan(f, LARGEST, encoder)
    rows = [["as measured", time(base.build_hours), base.limited_by, str(base.indexes),
             f"{saturation(f, encoder)['driver']:.2g}", time(base.total_hours), short(base.rank_core_hours)]]  # fmt: skip
    for one in sensitivity(f, LARGEST, encoder):
        rows.append(
            [f"{one.figure} x {one.factor:g}", time(one.build_hours), one.limited_by, str(one.indexes),
             f"{one.driver_gpus:.2g}", time(one.total_hours), short(one.rank_core_hours)]
        )  # fmt: skip
    return rows


SENSITIVITY_HEAD = [
    "figure",
    "build",
    "limited by",
    "indexes",
    "GPUs a driver feeds",
    "with merging",
    "ranks, core h",
]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(f: Figures) -> str:
    """Return docs/scale.md."""
    v = {key: one.value for key, one in f.items()}
    small, middle, large = (plan(f, n, "ViT-B-32") for n in SIZES)
    large_l = plan(f, LARGEST, "ViT-L-14")
    feeds, feeds_l = saturation(f, "ViT-B-32"), saturation(f, "ViT-L-14")
    one_driver = v["driver_while"]
    alone = time(LARGEST / one_driver / HOUR)
    by_memory = v["driver_memory"] / v["driver_bytes"]
    each = large.gpus / large.at_once
    tried = sensitivity(f, LARGEST, "ViT-B-32")

    def names(of: Callable[[Sensitivity], bool]) -> str:
        return ", ".join(f"`{one.figure}` x {one.factor:g}" for one in tried if of(one)) or "none of them"

    columns = plans(f)
    head = ["", *(f"{short(p.pictures)}, {p.encoder}" for p in columns)]
    rows = [[name.strip() if not name.startswith("  ") else f"&nbsp; {name.strip()}", *(spell(p) for p in columns)]
            for name, spell in ROWS]  # fmt: skip
    figures = [[f"`{key}`", value(one), one.what, ORIGINS[one.origin], one.source.replace("|", "/") + when(one)]
               for key, one in f.items()]  # fmt: skip
    return f"""# Scale: 1 M, 100 M and 5 G pictures

What a build and its audit take, where each resource is at its limit, and what has to be changed there. This page is
written by `scripts/bench/scale_model --write`, and a test compares the two. It is a model: no build of this size has been run.
It combines figures that were measured here on 2 cores without a GPU, figures that others have published, and assumptions; the
[last table](#figures) says which is which. Try your own with `scripts/bench/scale_model --set gpu_b32=1200 --set node_gbit=100`.

## The plan

{markdown(head, rows)}

Hours, cores and Gbit/s are those of the whole fleet while it builds; memory and merging are those of one index. "from" and
"to" are the ends of the range of the GPU's rate. "build and merge" adds the merging of one index, which
its GPUs wait for, as often as indexes follow each other. Prices are parameters: enter your own. Pixels travel over the network only if
they are decoded on other nodes than they are encoded on.

![Pictures a second against GPUs](scale.svg)

## Where each resource saturates

**Encoding.** With {v["node_cores"]:g} cores per {v["node_gpus"]:g} GPUs, ViT-L-14 is limited by the GPU. ViT-B-32 is close to the
limit of decoding: one node decodes for {feeds["decoding"]:.3g} GPUs. Remedy: more decoding nodes, or smaller pictures. The
published rate of 8 GPUs, {8 * f["gpu_b32"].low:,.0f} pictures/s, was limited in this way.

**Network.** The pictures of one node need {v["node_gpus"] * v["gpu_b32"] * v["picture_bytes"] * 8 / 1e9:.2g} of {v["node_gbit"]:g} Gbit/s
with ViT-B-32. If decoding is elsewhere, pixels take {v["pixel_bytes"] / v["picture_bytes"]:.2g} times as much, and the network
of a node feeds {feeds["pixels over the network"]:.2g} of its {v["node_gpus"]:g} GPUs (ViT-L-14: {feeds_l["pixels over the network"]:.2g}).
Remedy: as many cores on the GPU nodes as `--on ray` uses there first, and decoding nodes only for the rest.

**Driver, rate.** The driver recognises, cuts batches and commits {one_driver:,.0f} pictures/s on one core (without the engine's own
calls, see [Gaps](#gaps)). That feeds {feeds["driver"]:.2g} GPUs with ViT-B-32 and {feeds_l["driver"]:.3g} with ViT-L-14.

**Driver, memory.** It needs {v["driver_bytes"]:,.0f} bytes for each picture (items, digests of duplicates, stamps, the columns of
the new index): {size(middle.driver_bytes)} for {short(middle.pictures)}, and {size(large.driver_bytes)} for {short(LARGEST)}, which no
machine has. {size(v["driver_memory"])} are full at {short(by_memory)} pictures, which one driver has taken in after
{time(by_memory / one_driver / HOUR)} at its full rate. So memory ends a single build, whatever its rate. Remedy: several indexes, here of at
most {short(v["shard_rows"])} rows ({size(large.driver_bytes_each)} of memory), built from different shards of the source and read as
one (`imindex query -i 'part-*.h5'`).

**Driver, merging.** After the last picture of an index, the driver merges and writes {v["driver_after"]:,.0f} rows/s on one core, while
its GPUs wait: {time(large.finish_hours)} for {short(v["shard_rows"])} rows. One index of {short(SIZES[1])} would take
{time(SIZES[1] / v["driver_after"] / HOUR)}, nearly as long as its encoding. So indexes are smaller than memory requires, and as many are
built at once as memory allows: {large.at_once} of {large.indexes} on {large.gpus / v["node_gpus"]:g} nodes, {large.waves} times.

**Are encoders needed that write part files to shared storage, with a driver that only merges?** Not below
{one_driver:,.0f} pictures/s, because one driver does it, and not above, because memory has split the pictures by then.
{large.at_once} drivers cut and commit {short(large.at_once * one_driver)} pictures/s, against {short(large.rate)} that
{large.gpus} GPUs encode: a load of {100 * large.driver_share:.2g} %, {each:.2g} GPUs for each driver. A single driver for {short(LARGEST)}
would take {alone}, be the limit from {feeds["driver"]:.2g} GPUs on, and merge for {time(LARGEST / v["driver_after"] / HOUR)}. The mode
would only serve a single index that more GPUs fill than that; it would not help its memory or its merging. It is not
implemented. The price of splitting: a picture that is in two indexes is encoded twice, and is a row of each.

**Storage.** Vectors and columns are {100 * (large.vector_bytes + large.column_bytes) / large.picture_bytes:.2g} % of the pictures. During a
build the checkpoint holds the vectors a second time. One index is written at {v["write"]:g} MB/s here.

**Object store.** Shards take {short(large.requests_shards)} ranged reads for {short(LARGEST)} pictures, single objects
{short(large.requests_objects)}: {large.requests_objects / large.requests_shards:.0f} times the price. One client read
{v["remote_ranges"]:,.0f} ranges/s and {v["remote_mb"]:g} MB/s on loopback; a real store answers slower, and in parallel.

**Search.** An exact query takes at most a second up to {short(exact_rows(f, 2))} rows on 2 cores, and up to
{short(exact_rows(f, NODE))} on {NODE}, if the vectors are in memory and more cores read it proportionally faster (assumed). {short(LARGEST)} rows take {large.query_core_seconds:,.0f} core
seconds a query. `imindex optimize` gives IVF-PQ of {size(large.pq_bytes)} (LAION-5B's own index, another kind and dimension, has
{size(LARGEST * v["peer_pq_bytes"])} for as many vectors), which is to be split like the indexes. Merging the ten nearest of {large.indexes}
indexes for 1,000 queries takes {short(large.merge_core_seconds)} core s.

**Exact ranks** of {short(v["works"])} works among {short(LARGEST)} imitations take {large.rank_core_hours:,.0f} core hours
({large_l.rank_core_hours:,.0f} with ViT-L-14), {time(large.rank_core_hours / NODE)} on {NODE} cores. They add up over indexes,
so they take as many nodes as there are. An audit that compares artists needs no more than its own releases: {short(SIZES[1])}
imitations take {middle.rank_core_hours:.2g} core hours, {short(SIZES[0])} {small.rank_core_hours * 60:.2g} core minutes.

**Fetching** is slower than everything else: at img2dataset's rate, {short(LARGEST)} pictures take
{short(large.fetch_node_hours)} node hours (a week on 10 nodes, as published), against {short(large.gpu_hours)} GPU hours.

## If a figure is off by 2

{short(LARGEST)} pictures, ViT-B-32, {large.gpus} GPUs, with one figure halved or doubled:

{markdown(SENSITIVITY_HEAD, sensitivity_rows(f))}

What limits the build changes with: {names(lambda one: one.limited_by != large.limited_by)}. The number of indexes changes with:
{names(lambda one: one.indexes != large.indexes)}.

## Gaps

Not measured: a GPU, a network, a real object store, a cluster of more than one machine. The driver's figures are its own work; what
Ray's calls cost it for each batch comes from `scripts/bench/many_machines`. Measured figures without a date here were taken on 2
cores (AMD EPYC) on 2026-11-28 in processor seconds, while other programs ran: `scripts/bench/scale_model --measure` measures them
again (3 minutes) and writes them to the table.

## Figures

{markdown(["figure", "value", "what", "origin", "source"], figures)}
"""


def drawing(f: Figures) -> str:
    """Plot pictures a second against the number of GPUs, both axes logarithmic."""
    from imindex.retrieval.report.figures.svg import Drawing

    width, height, left, right, top, bottom = 760.0, 420.0, 70.0, 250.0, 20.0, 45.0
    gpus = [2.0**power for power in range(11)]
    low, high = 2, 7

    def x(count: float) -> float:
        return left + math.log2(count) / 10 * (width - left - right)

    def y(rate: float) -> float:
        return height - bottom - (math.log10(rate) - low) / (high - low) * (height - top - bottom)

    plot = Drawing(width, height)
    plot.add("rect", x=0.0, y=0.0, width=width, height=height, fill="#ffffff")
    font: dict[str, Any] = {"font_family": "sans-serif", "font_size": 12, "fill": "#222222"}
    for power in range(low, high + 1):
        plot.add("line", x1=left, x2=width - right, y1=y(10**power), y2=y(10**power), stroke="#dddddd")
        plot.add("text", short(10.0**power), x=left - 8, y=y(10**power) + 4, text_anchor="end", **font)
    for count in gpus[::2]:
        plot.add("text", f"{count:g}", x=x(count), y=height - bottom + 18, text_anchor="middle", **font)
    plot.add("text", "GPUs", x=x(32), y=height - 8, text_anchor="middle", **font)
    lines: list[tuple[str, str, list[tuple[float, float]]]] = []
    for (encoder, colour), _ in zip(
        (("ViT-B-32", "#1f6fb2"), ("ViT-L-14", "#b2571f")), ENCODERS, strict=True
    ):
        alone = [(n, min(limits(f, encoder, int(n)).values())) for n in gpus]
        split = [(n, min(limits(f, encoder, int(n), at_once_of(f, LARGEST, int(n))).values())) for n in gpus]
        lines.append((f"{encoder}, one driver", colour, alone))
        lines.append((f"{encoder}, split", colour, split))
    for position, (label, colour, points) in enumerate(lines):
        style = {"fill": "none", "stroke": colour, "stroke_width": 2}
        if position % 2:
            style["stroke_dasharray"] = "6 4"
        plot.add("polyline", points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points), **style)
        label_y = top + 16 + 20.0 * position
        plot.add(
            "line", x1=width - right + 20, x2=width - right + 44, y1=label_y - 4, y2=label_y - 4, **style
        )
        plot.add("text", label, x=width - right + 52, y=label_y, **font)
    rate = f["driver_while"].value
    plot.add(
        "line", x1=left, x2=width - right, y1=y(rate), y2=y(rate), stroke="#888888", stroke_dasharray="2 3"
    )
    plot.add("text", f"one driver: {short(rate)}/s", x=width - right + 8, y=y(rate) + 4, **font)
    svg = plot.finish(
        "scale", "Pictures a second against GPUs",
        "The rate of a build grows with the GPUs until one driver is at its limit; split into indexes it goes on growing",
    )  # fmt: skip
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
