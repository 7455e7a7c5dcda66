"""Is an encoder fit for use here? Its vectors, its speed against the bare forward pass, and a GPU against the CPU."""

from __future__ import annotations

import hashlib
import io
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import decode
from imindex.indexer.demo import artists
from imindex.indexer.doctor.index import search
from imindex.indexer.doctor.machine import FAULT, OK, WARNING, Check, tried
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.multi_device import MultiDeviceEncoder
from imindex.indexer.encoders.registry import DEMO_MODEL
from imindex.indexer.encoders.torch_encoder import TorchEncoder
from imindex.indexer.integrity.verify import UNIT
from imindex.indexer.integrity.verify_pictures import cosines
from imindex.indexer.sources.local import read_bytes

Vectors = npt.NDArray[np.float16]

SAME = 0.9999
"""Cosine of a picture's vectors in two batches."""
PARITY = 0.999
"""Cosine of a picture's vectors on two devices or machines."""
RECALL = 0.9
"""Of the ten nearest, how many have to be the same whichever device encoded the picture."""
SHARE = 0.9
"""Of the bare forward pass, what `encode_images` has to reach."""
_SECONDS = 1.0


@dataclass(frozen=True)
class Sample:
    """Pictures to examine with.

    Attributes
    ----------
    data : list of bytes
        Files' contents.
    rows : list of int
        Where the index has them; -1 for those drawn here.
    """

    data: list[bytes]
    rows: list[int]


def examine_encoder(
    info: EncoderInfo | None,
    *,
    model: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    index: Any = None,
) -> Iterator[Check]:
    """Load an encoder and examine it.

    Parameters
    ----------
    info : EncoderInfo, optional
        That of the index; without one `model` is loaded, or the demo's.
    model, pretrained, device
        As `imindex.indexer.encoders.load.load`.
    index : Index, optional
        Its pictures are used, where they are still there, and their vectors compared.
    """
    started = time.perf_counter()
    try:
        if info is not None:
            loaded = load_as(info, model=model, pretrained=pretrained, device=device)
        else:
            loaded = load(model or DEMO_MODEL, pretrained, device=device)
    except ImindexError as error:
        yield Check("encoder", FAULT, str(error))
        return
    seconds = time.perf_counter() - started
    said = f"{loaded.info.name()} loads in {seconds:.1f} s: {loaded.dim} dimensions, on {_places(loaded)}."
    yield Check("encoder", OK, said, figures={"load-s": seconds, "dim": loaded.dim})
    sample = pictures(index)
    pixels = torch.stack([decode(data, loaded.preprocess).pixels for data in sample.data])
    yield tried("vectors", lambda: vectors_are_unit(loaded, pixels))
    yield tried("batches", lambda: batches_agree(loaded, pixels))
    if index is not None:
        yield tried("stored vectors", lambda: as_stored(loaded, pixels, sample, index))
    yield tried("throughput", lambda: throughput(loaded, pixels, sample.data))
    if loaded.device.type == "cuda":
        yield from examine_gpus(loaded, pixels, None if index is None else index.vectors)


def examine_gpus(loaded: Encoder, pixels: torch.Tensor, stored: Vectors | None) -> Iterator[Check]:
    """Each GPU's vectors and neighbours against the CPU's, and FAISS there."""
    try:
        on_cpu = load(loaded.info.model, loaded.info.pretrained or None, device="cpu", precision="fp32")
    except ImindexError as error:
        yield Check("gpu", FAULT, str(error))
        return
    for one in _replicas(loaded):
        yield tried(f"{one.device} and cpu", lambda one=one: encoders_agree(one, on_cpu, pixels, stored))  # type: ignore[misc]
        from imindex.indexer.ann.exact import n_gpus

        if n_gpus():
            table = on_cpu.encode_images(pixels) if stored is None or not len(stored) else stored[:200_000]
            yield tried("search on gpu", lambda one=one, table=table: search(table, str(one.device)))  # type: ignore[misc]
    peak = {str(one.device): torch.cuda.max_memory_allocated(one.device) for one in _replicas(loaded)}
    named = ", ".join(f"{place} {used / 2**30:.1f} GiB" for place, used in peak.items())
    yield Check("gpu memory", OK, f"At most used: {named}.", figures=peak)


def pictures(index: Any = None, count: int = 24) -> Sample:
    """Pictures of the index that are still what they were, and drawn ones where these are not enough."""
    data: list[bytes] = []
    rows: list[int] = []
    if index is not None and index.n:
        chosen = np.unique(np.linspace(0, index.n - 1, 4 * count).astype(np.intp))
        paths, digests = index.column("path"), index.column("sha256")
        folder = Path(index.path).absolute().parent
        for row in chosen.tolist():
            try:
                content = read_bytes(os.path.normpath(folder / paths[row]))
            except (OSError, BadPicture):
                continue
            if hashlib.sha256(content).digest() == bytes(digests[row]) and len(data) < count:
                data.append(content)
                rows.append(row)
    for number in range(len(data), count):
        data.append(_drawn(number))
        rows.append(-1)
    return Sample(data, rows)


def _drawn(number: int) -> bytes:
    """A JPEG of 512 px by one of the demo's artists, with the grain that photographs have."""
    small = artists.draw(artists.NAMES[number % len(artists.NAMES)], seed=number, size=96)
    large = np.asarray(small.resize((512, 512), Image.Resampling.BICUBIC), np.int16)
    grain = np.random.default_rng(number).integers(-12, 13, large.shape)
    file = io.BytesIO()
    Image.fromarray((large + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def vectors_are_unit(encoder: Encoder, pixels: torch.Tensor) -> Check:
    """Whether pictures, and a text, get finite vectors of unit length, and different pictures different ones."""
    images = encoder.encode_images(pixels).astype(np.float64)
    texts = encoder.encode_texts(["a picture"]) if encoder.has_text else images[:0]
    lengths = np.linalg.norm(np.concatenate([images, texts]), axis=1)
    good = np.isfinite(lengths) & (np.abs(lengths - 1) < UNIT)
    remedy = "Try --precision fp32 in a new index, or other weights."
    if not good.all():
        return Check(
            "vectors", FAULT, f"{int((~good).sum())} of {len(good)} vectors are not of unit length.", remedy
        )
    if len(images) > 1 and np.allclose(images, images[0], atol=1e-4):
        return Check("vectors", FAULT, f"{len(images)} different pictures get the same vector.", remedy)
    encoded = f"{len(images)} pictures{' and a text' if encoder.has_text else ''}"
    return Check("vectors", OK, f"{encoded} get vectors of unit length.")


def batches_agree(encoder: Encoder, pixels: torch.Tensor) -> Check:
    """Whether a picture's vector depends on its batch."""
    whole = encoder.encode_images(pixels)
    alone = np.concatenate(
        [encoder.encode_images(pixels[place : place + 1]) for place in range(min(4, len(pixels)))]
    )
    odd = np.concatenate([encoder.encode_images(pixels[:5]), encoder.encode_images(pixels[5:12])])
    least = min(cosines(whole[: len(alone)], alone).min(), cosines(whole[: len(odd)], odd).min())
    said = f"A picture has the same vector in any batch: cosine at least {least:.6f}."
    figures = {"cosine": float(least), "limit": SAME}
    if least >= SAME:
        return Check("batches", OK, said, figures=figures)
    said = f"A picture's vector depends on its batch: cosine {least:.6f}, below {SAME}."
    return Check("batches", FAULT, said, "Use another --precision or --device, and report it.", figures)


def as_stored(encoder: Encoder, pixels: torch.Tensor, sample: Sample, index: Any) -> Check:
    """Whether the pictures of an index get the vectors here that it has of them."""
    places = [place for place, row in enumerate(sample.rows) if row >= 0]
    if not places:
        return Check(
            "stored vectors", OK, "None of the index's pictures is where it was, so none was compared."
        )
    here = encoder.encode_images(pixels[places])
    stored = np.asarray(index.vectors[[sample.rows[place] for place in places]])
    least = float(cosines(here, stored).min())
    figures = {"cosine": least, "limit": PARITY, "pictures": len(places)}
    if least >= PARITY:
        said = f"{len(places)} pictures get the vectors that the index has: cosine at least {least:.6f}."
        return Check("stored vectors", OK, said, figures=figures)
    said = f"Pictures do not get the vectors that the index has: cosine {least:.6f}, below {PARITY}."
    remedy = "Do not add to this index here: build it anew on one machine, or find the machine that errs."
    return Check("stored vectors", FAULT, said, remedy, figures)


def throughput(encoder: Encoder, pixels: torch.Tensor, data: Sequence[bytes]) -> Check:
    """Reading and decoding against encoding, and of a PyTorch model encoding against the bare forward pass."""
    first = _replicas(encoder)[0]
    batch = pixels.repeat(-(-first.batch_size // len(pixels)), 1, 1, 1)[: first.batch_size]
    encoding, bare = _rates(first, batch)
    workers = os.cpu_count() or 1
    decoding = _rate_of_decoding(data, encoder, workers)
    n = len(_replicas(encoder))
    limit = "decoding" if decoding < n * encoding else "the encoder"
    ratio = None if bare is None else encoding / bare
    figures = {
        "decode-per-s": decoding, "encode-per-s": encoding, "forward-per-s": bare, "ratio": ratio, "limit": SHARE,
        "batch": len(batch), "devices": n,
    }  # fmt: skip
    said = (
        f"Encoding {encoding:.1f} pictures/s{' a device' if n > 1 else ''}"
        f"{'' if ratio is None else f', {ratio:.2f} of the bare forward pass ({bare:.1f})'}"
        f"; decoding {decoding:.0f} with {workers} threads: {limit} is the limit of a build."
    )
    if ratio is None or ratio >= SHARE:
        return Check("throughput", OK, said, figures=figures)
    return Check("throughput", WARNING, said, "Close other programs and run it again.", figures)


def _rates(encoder: Encoder, batch: torch.Tensor) -> tuple[float, float | None]:
    """Pictures a second of `encode_images`, and of the bare forward pass (None unless it is a PyTorch model)."""
    if not isinstance(encoder, TorchEncoder):
        return rates_in_turns(len(batch), lambda: encoder.encode_images(batch), lambda: None)[0], None
    with encoder.computing():
        prepared = encoder.prepare(batch)

    def forward() -> None:
        with encoder.computing():
            encoder.features(prepared)
            _wait(encoder.device)

    return rates_in_turns(len(batch), lambda: encoder.encode_images(batch), forward)


def rates_in_turns(
    n: int, first: Callable[[], object], second: Callable[[], object], seconds: float = _SECONDS
) -> tuple[float, float]:
    """Pictures a second of two things that take n at once, timed in turns, so that both meet the same machine."""
    first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    while sum(map(sum, times)) < 2 * seconds or len(times[0]) < 3:
        for do, taken in zip((first, second), times, strict=True):
            started = time.perf_counter()
            do()
            taken.append(time.perf_counter() - started)
    return n / statistics.median(times[0]), n / statistics.median(times[1])


def _rate_of_decoding(data: Sequence[bytes], encoder: Encoder, workers: int) -> float:
    with ThreadPoolExecutor(workers) as pool:
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < _SECONDS / 2:
            done += len(list(pool.map(lambda one: decode(one, encoder.preprocess), data)))
        return done / (time.perf_counter() - started)


def encoders_agree(
    one: Encoder, other: Encoder, pixels: torch.Tensor, stored: Vectors | None = None, k: int = 10
) -> Check:
    """Whether two encoders give the same vectors and, among those of an index, the same neighbours.

    Parameters
    ----------
    one, other : Encoder
        The same weights; devices and arithmetic may differ.
    pixels : uint8 tensor, (n, 3, height, width)
    stored : (m, dim) float16, optional
        Vectors to search; without them (or with fewer than 2 k) those that `other` gives to the pictures.
    k : int
        Neighbours.
    """
    first, second = one.encode_images(pixels), other.encode_images(pixels)
    least = float(cosines(first, second).min())
    table = second if stored is None or len(stored) < 2 * k else np.asarray(stored[:200_000])
    shared = recall(first, second, table, min(k, len(table)))
    name = f"{one.device} and {other.device}"
    figures = {"cosine": least, "recall@10": shared, "limits": {"cosine": PARITY, "recall@10": RECALL}}
    said = (
        f"{one.info.precision} on {one.device} and {other.info.precision} on {other.device}: "
        f"cosine at least {least:.6f}, {100 * shared:.1f} % of the {k} nearest are the same ({len(pixels)} pictures)."
    )
    if least < PARITY:
        remedy = f"Do not mix them in one index: use --device {other.device}, or another --precision; and report it."
        return Check(name, FAULT, said, remedy, figures)
    if shared < RECALL:
        return Check(
            name, WARNING, said, "Neighbours may be near ties; compare with --precision fp32.", figures
        )
    return Check(name, OK, said, figures=figures)


def recall(first: Vectors, second: Vectors, table: Vectors, k: int) -> float:
    """The share of the k nearest rows of the table that two encodings of the same pictures have in common."""
    rows = np.asarray(table, np.float32)
    nearest = [
        np.argsort(-(np.asarray(v, np.float32) @ rows.T), axis=1, kind="stable")[:, :k]
        for v in (first, second)
    ]
    return float(
        np.mean([len(set(a) & set(b)) / k for a, b in zip(*(n.tolist() for n in nearest), strict=True)])
    )


def _replicas(encoder: Encoder) -> tuple[Encoder, ...]:
    return encoder.replicas if isinstance(encoder, MultiDeviceEncoder) else (encoder,)


def _places(encoder: Encoder) -> str:
    return ", ".join(str(one.device) for one in _replicas(encoder))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
