"""The scale model: what a build and its audit of N pictures takes, and where each resource saturates.

Pure arithmetic over the figures of scale_figures.json; nothing is measured here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

FIGURES = Path(__file__).with_name("scale_figures.json")
SIZES = (10**6, 10**8, 5 * 10**9)
GPUS = {10**6: 1, 10**8: 8, 5 * 10**9: 128}
"""GPUs of the plan of each size."""
ENCODERS = {"ViT-B-32": ("gpu_b32", 512), "ViT-L-14": ("gpu_l14", 768)}
"""The figure of a GPU's rate, and the dimension, of each encoder."""
INTERACTIVE_SECONDS = 1.0
"""An exact query that takes longer is no longer interactive."""
HOUR, DAY = 3600.0, 86_400.0


@dataclass(frozen=True)
class Figure:
    """One figure, with where it comes from.

    Attributes
    ----------
    value, low, high : float
    unit, what : str
    origin : str
        measured (here), peer (public, not ours), assumption, or price (a parameter).
    source : str
        The command that measures it, or the publication.
    machine, date : str
        Empty where they do not apply.
    """

    value: float
    unit: str
    what: str
    origin: str
    source: str
    low: float = math.nan
    high: float = math.nan
    machine: str = ""
    date: str = ""


Figures = Mapping[str, Figure]


def read(path: Path = FIGURES) -> dict[str, Figure]:
    """Read the table of figures."""
    return {key: Figure(**entry) for key, entry in json.loads(path.read_text(encoding="utf-8")).items()}


def changed(figures: Figures, values: Mapping[str, float]) -> dict[str, Figure]:
    """Return the figures with some values replaced."""
    return {key: replace(one, value=values.get(key, one.value)) for key, one in figures.items()}


@dataclass(frozen=True)
class Plan:
    """A costed plan. Times are in hours, sizes in bytes, rates in pictures a second unless the name says otherwise."""

    pictures: int
    encoder: str
    dim: int
    gpus: int
    indexes: int
    at_once: int
    waves: int
    gpu_hours: float
    gpu_hours_low: float
    gpu_hours_high: float
    rate: float
    build_hours: float
    limited_by: str
    decode_cores: float
    decode_core_hours: float
    read_gbit: float
    pixels_gbit: float
    picture_bytes: float
    vector_bytes: float
    column_bytes: float
    digest_bytes: float
    stamp_bytes: float
    pq_bytes: float
    driver_share: float
    driver_bytes: float
    driver_bytes_each: float
    finish_hours: float
    total_hours: float
    requests_shards: float
    requests_objects: float
    query_core_seconds: float
    kind: str
    rank_core_hours: float
    merge_core_seconds: float
    fetch_node_hours: float
    price_gpu: float
    price_cores: float
    price_requests_shards: float
    price_requests_objects: float
    price_month: float


def limits(f: Figures, encoder: str, gpus: int, indexes: int = 1) -> dict[str, float]:
    """Return how many pictures a second each resource allows, when a fleet of GPUs builds `indexes` of them at once.

    Decoders are the cores of the GPU nodes, and the network is theirs. Each index has a driver.
    """
    nodes = gpus / f["node_gpus"].value
    bytes_of_network = nodes * f["node_gbit"].value * 1e9 / 8
    return {
        "GPUs": gpus * f[ENCODERS[encoder][0]].value * f["build_ratio"].value,
        "decoding": nodes * f["node_cores"].value * f["decode"].value,
        "network": bytes_of_network / f["picture_bytes"].value,
        "driver": indexes * f["driver_while"].value,
    }


def indexes_of(f: Figures, pictures: int) -> int:
    """Return the number of indexes: as few as rows per index and the memory of a driver allow."""
    most = min(f["shard_rows"].value, f["driver_memory"].value / f["driver_bytes"].value)
    return max(1, math.ceil(pictures / most))


def at_once_of(f: Figures, pictures: int, gpus: int) -> int:
    """Return how many indexes the GPU nodes build at once: as many drivers as their memory has room for."""
    indexes = indexes_of(f, pictures)
    nodes = math.ceil(gpus / f["node_gpus"].value)
    each = pictures / indexes * f["driver_bytes"].value
    return max(1, min(indexes, nodes * int(f["driver_memory"].value / each)))


def plan(f: Figures, pictures: int, encoder: str, gpus: int | None = None) -> Plan:
    """Work out the plan for a number of pictures."""
    v = {key: one.value for key, one in f.items()}
    gpus = gpus or GPUS[pictures]
    key, dim = ENCODERS[encoder]
    indexes = indexes_of(f, pictures)
    at_once = at_once_of(f, pictures, gpus)
    waves = math.ceil(indexes / at_once)
    most = limits(f, encoder, gpus, at_once)
    rate = min(most.values())
    limited_by = min(most, key=lambda name: most[name])
    gpu = f[key]
    hours = [pictures / (one * v["build_ratio"]) / HOUR for one in (gpu.value, gpu.high, gpu.low)]
    build_hours = pictures / rate / HOUR
    decode_core_hours = pictures / v["decode"] / HOUR
    finish_hours = pictures / indexes / v["driver_after"] / HOUR
    scale = dim / 512  # figures of d = 512 are proportional to the dimension
    query = pictures / v["query_one"] * scale
    requests = pictures / v["per_shard"] * math.ceil(v["per_shard"] * v["picture_bytes"] / v["range_bytes"])
    rank_hours = v["works"] * pictures / v["ranks"] * scale / HOUR
    vector_bytes = 2.0 * dim * pictures
    kept = (
        pictures * v["picture_bytes"] + vector_bytes + pictures * (v["column_bytes"] + v["pq_bytes"] * scale)
    )
    return Plan(
        pictures=pictures,
        encoder=encoder,
        dim=dim,
        gpus=gpus,
        indexes=indexes,
        at_once=at_once,
        waves=waves,
        gpu_hours=hours[0],
        gpu_hours_low=hours[1],
        gpu_hours_high=hours[2],
        rate=rate,
        build_hours=build_hours,
        limited_by=limited_by,
        decode_cores=rate / v["decode"],
        decode_core_hours=decode_core_hours,
        read_gbit=rate * v["picture_bytes"] * 8 / 1e9,
        pixels_gbit=rate * v["pixel_bytes"] * 8 / 1e9,
        picture_bytes=pictures * v["picture_bytes"],
        vector_bytes=vector_bytes,
        column_bytes=pictures * v["column_bytes"],
        digest_bytes=32.0 * pictures,
        stamp_bytes=24.0 * pictures,
        pq_bytes=pictures * v["pq_bytes"] * scale,
        driver_share=rate / most["driver"],
        driver_bytes=pictures * v["driver_bytes"],
        driver_bytes_each=pictures * v["driver_bytes"] / indexes,
        finish_hours=finish_hours,
        total_hours=build_hours + waves * finish_hours,
        requests_shards=requests,
        requests_objects=float(pictures),
        query_core_seconds=query,
        kind="exact" if query / v["node_cores"] <= INTERACTIVE_SECONDS else "IVF-PQ",
        rank_core_hours=rank_hours,
        merge_core_seconds=1_000 * 10 * indexes / v["merge_topk"],
        fetch_node_hours=pictures / v["fetch"] / HOUR,
        price_gpu=hours[0] * v["price_gpu_hour"],
        price_cores=(decode_core_hours + rank_hours) * v["price_core_hour"],
        price_requests_shards=requests / 1e6 * v["price_get"],
        price_requests_objects=pictures / 1e6 * v["price_get"],
        price_month=kept / 1e12 * v["price_tb_month"],
    )


def saturation(f: Figures, encoder: str) -> dict[str, float]:
    """Return the number of GPUs that one driver, and one node's decoders and network, can feed.

    `pixels over the network` is the network where decoding is on other nodes than encoding.
    """
    per_gpu = limits(f, encoder, 1)["GPUs"]
    node = limits(f, encoder, int(f["node_gpus"].value))
    return {
        "driver": f["driver_while"].value / per_gpu,
        "decoding": node["decoding"] / per_gpu,
        "network": node["network"] / per_gpu,
        "pixels over the network": node["network"]
        * f["picture_bytes"].value
        / f["pixel_bytes"].value
        / per_gpu,
    }


def exact_rows(f: Figures, cores: int, dim: int = 512) -> float:
    """Return the number of rows up to which one exact query takes at most a second on so many cores."""
    return INTERACTIVE_SECONDS * cores * f["query_one"].value * 512 / dim


SENSITIVE = (
    "gpu",
    "decode",
    "driver_while",
    "driver_after",
    "driver_bytes",
    "picture_bytes",
    "ranks",
    "node_gbit",
)
"""The figures whose doubling and halving is tried; `gpu` is the rate of the encoder."""


@dataclass(frozen=True)
class Sensitivity:
    """What changes when a figure is half or twice as large."""

    figure: str
    factor: float
    build_hours: float
    limited_by: str
    indexes: int
    driver_gpus: float
    total_hours: float
    rank_core_hours: float


def sensitivity(f: Figures, pictures: int, encoder: str) -> list[Sensitivity]:
    """Work out the plan with each figure halved and doubled."""
    rows = []
    for name in SENSITIVE:
        key = ENCODERS[encoder][0] if name == "gpu" else name
        for factor in (0.5, 2.0):
            other = changed(f, {key: f[key].value * factor})
            p = plan(other, pictures, encoder)
            rows.append(
                Sensitivity(
                    key, factor, p.build_hours, p.limited_by, p.indexes, saturation(other, encoder)["driver"],
                    p.total_hours, p.rank_core_hours,
                )
            )  # fmt: skip
    return rows
