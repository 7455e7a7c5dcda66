"""Helpers of the benches: pictures, weights and vectors to measure with, memory, the machine, stored results."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
BLOCK = 8_192
ARTISTS = 100


def draw(folder: Path, count: int, side: int = 512) -> None:
    """Write distinct JPEGs with the spectrum of photographs, so that decoding takes a realistic time."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    cells = max(2, side * 24 // 512)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), np.int16)
        noisy = (smooth + rng.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:06d}.jpg", quality=90)


def random_weights(model: str, path: Path) -> Path:
    """Save random weights of a model that open_clip knows: the arithmetic is that of trained weights.

    They are written to a folder of their own in place of `path`, beside a configuration that says how pictures are
    prepared for them.
    """
    import open_clip
    import safetensors.torch
    import torch

    torch.manual_seed(0)
    state = open_clip.create_model(model).state_dict()
    weights = path.with_suffix("") / "open_clip_model.safetensors"
    weights.parent.mkdir(parents=True, exist_ok=True)
    settings = {"model_cfg": open_clip.get_model_config(model), "preprocess_cfg": {}}
    (weights.parent / "open_clip_config.json").write_text(json.dumps(settings))
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in state.items()}, weights)
    return weights


def clustered(n: int, dim: int, seed: int = 0, centres: int = 2_000) -> Iterator[np.ndarray]:
    """Yield n float16 unit vectors in blocks, scattered about centres. A seed gives the same vectors for every n."""
    centre_vectors = np.random.default_rng(12_345).standard_normal((centres, dim), np.float32)
    for start in range(0, n, BLOCK):
        rng = np.random.default_rng([seed, start])
        which = rng.integers(0, centres, BLOCK)
        block = centre_vectors[which] + rng.standard_normal((BLOCK, dim), np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        yield block[: n - start].astype(np.float16)


def write_index(path: Path, n: int, dim: int, *, works: bool = True, encoder: Any = None) -> float:
    """Write an index of a hundred artists, two thirds works and one third imitations; return the seconds.

    Without `works`, all are imitations. `encoder` is the `EncoderInfo` of an encoder that can be loaded.
    """
    from imindex.indexer.ann import exact as ann
    from imindex.indexer.core.provenance import now, program
    from imindex.indexer.core.schema import REJECT_DTYPES, Collection, Contents, EncoderInfo, columns
    from imindex.indexer.store.writer import write

    rows = np.arange(n)
    text = np.array(["Artwork from somebody"], dtype=object)
    items = {
        "artist": (rows % ARTISTS).astype(np.int32),
        "collection": (rows % 3 == 2).astype(np.int32) if works else np.ones(n, np.int32),
        "sha256": np.random.default_rng(3).integers(0, 256, (n, 32), dtype=np.uint8),
        "path": np.array([f"works/{row % ARTISTS:03d}/{row:08d}.jpg" for row in range(n)], dtype=object),
        "width": np.full(n, 512, np.int32),
        "height": np.full(n, 512, np.int32),
        "prompt": text.repeat(n),
        "seed": rows.astype(np.int64),
        "caption": np.array([""], dtype=object).repeat(n),
    }
    encoder = encoder or EncoderInfo("synthetic", "", "0" * 64, {}, {}, dim, "fp32")
    contents = Contents(
        encoder=encoder,
        artists=[f"artist {number:03d}" for number in range(ARTISTS)],
        collections=[Collection("works", "works"), Collection("a release", "imitations")],
        items=items,
        rejects=columns(REJECT_DTYPES, ()),
        created_at=now(),
        created_by=program(),
    )
    drawing = 0.0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal drawing
        source = clustered(n, dim)
        while True:
            began = time.perf_counter()
            block = next(source, None)
            drawing += time.perf_counter() - began
            if block is None:
                return
            yield block

    started = time.perf_counter()
    write(
        path, contents, blocks(), ann=ann.describe(), ann_data=ann.exact_header(n, dim),
        entry={"summary": "scripts/bench"},
    )  # fmt: skip
    return time.perf_counter() - started - drawing  # drawing the vectors is not part of writing


def quickest(do: Callable[[], object], times: int) -> float:
    """Return the seconds of the fastest of several runs: other load on the machine only adds time."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        do()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def peak_mib() -> float:
    """Return the peak memory of this process in MiB, without that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(lines[0].split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def exponent(sizes: Sequence[float], figures: Sequence[float]) -> float:
    """Return the exponent of growth: the least-squares slope of log figures against log sizes. NaN below two sizes."""
    if len(sizes) < 2:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(figures), 1)[0])


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def machine() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line for line in lines if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else platform.processor()
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def keep(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON, with the machine, its load and the date."""
    from imindex.indexer.core.provenance import versions

    about = {
        "machine": machine(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions(),
        "date": datetime.date.today().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**result, **about}, indent=2))


def verdict(name: str, figure: float, limit: float, *, at_least: bool = True) -> str:
    """Return a line with the figure, its target, and whether the target is reached."""
    reached = figure >= limit if at_least else figure <= limit
    bound = "at least" if at_least else "at most"
    return f"{name}: {figure:.3f} (target: {bound} {limit}): {'reached' if reached else 'NOT REACHED'}"
