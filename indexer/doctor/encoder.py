"""Check an encoder: its vectors, its speed relative to the bare forward pass, and each GPU against the CPU."""

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

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import decode
from imindex.indexer.demo import artists
from imindex.indexer.doctor.index import search
from imindex.indexer.doctor.machine import FAULT, OK, WARNING, Check, tried
from imindex.indexer.doctor.published_vector import Expected, compare, write_expected
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.multi_device import MultiDeviceEncoder
from imindex.indexer.encoders.registry import DEMO_MODEL, name_of
from imindex.indexer.encoders.tokens import tokens_of
from imindex.indexer.encoders.torch_encoder import TorchEncoder
from imindex.indexer.integrity.verify import UNIT
from imindex.indexer.integrity.verify_pictures import cosines
from imindex.indexer.sources.read import read_bytes

Vectors = npt.NDArray[np.float16]

SAME = 0.9999
"""Minimum cosine between the vectors of a picture in two batches."""
PARITY = 0.999
"""Minimum cosine between the vectors of a picture on two devices or machines."""
RECALL = 0.9
"""Minimum fraction of the ten nearest neighbours that two devices must have in common."""
SHARE = 0.9
"""Minimum throughput of `encode_images` relative to the bare forward pass."""
_SECONDS = 1.0


@dataclass(frozen=True)
class Sample:
    """Pictures used for the checks.

    Attributes
    ----------
    data : list of bytes
        Contents of the files.
    rows : list of int
        Their rows in the index; -1 for synthetic pictures.
    """

    data: list[bytes]
    rows: list[int]


def examine_encoder(  # noqa: PLR0913
    info: EncoderInfo | None,
    *,
    model: str | None = None,
    pretrained: str | None = None,
    preprocess_from: str | None = None,
    device: str = "auto",
    trust: bool = False,
    index: Any = None,
    alone: bool = False,
    expected: Expected | None = None,
    write_to: Path | None = None,
) -> Iterator[Check]:
    """Load an encoder and check it.

    Parameters
    ----------
    info : EncoderInfo, optional
        The encoder of the index. Without it, `model` is loaded, by default the demo encoder.
    model, pretrained, preprocess_from, device
        As in `imindex.indexer.encoders.load.load`.
    trust : bool
        Load whatever the index names, see `imindex.indexer.encoders.load.load_as`.
    index : Index, optional
        Its pictures are used if they still exist, and their stored vectors are compared.
    alone : bool
        Say what the encoder is: identity, preprocessing and where it is from, and texts.
    expected : Expected, optional
        A published vector to compare with.
    write_to : Path, optional
        A file to write the vector of the probe to.

    Raises
    ------
    ImindexError
        With `alone`, the encoder cannot be loaded; or the picture of a published vector cannot be read.
    """
    started = time.perf_counter()
    try:
        if info is not None:
            loaded = load_as(
                info,
                model=model,
                pretrained=pretrained,
                preprocess_from=preprocess_from,
                device=device,
                trust=trust or None,
            )
        else:
            loaded = load(model or DEMO_MODEL, pretrained, preprocess_from=preprocess_from, device=device)
    except ImindexError as error:
        if alone:
            raise
        yield Check("encoder", FAULT, str(error))
        return
    seconds = time.perf_counter() - started
    message = (
        f"{_name(loaded.info)} loads in {seconds:.1f} s: {loaded.dim} dimensions, on {_devices(loaded)}."
    )
    yield Check("encoder", OK, message, figures={"load-s": seconds, "dim": loaded.dim})
    if alone:
        yield from describe(loaded)
    sample = pictures(index)
    pixels = torch.stack([decode(data, loaded.preprocess).pixels for data in sample.data])
    yield tried("vectors", lambda: vectors_are_unit(loaded, pixels))
    yield tried("batches", lambda: batches_agree(loaded, pixels))
    if index is not None:
        yield tried("stored vectors", lambda: as_stored(loaded, pixels, sample, index))
    yield tried("throughput", lambda: throughput(loaded, pixels, sample.data))
    if expected is not None:
        yield compare(loaded, expected)
    if write_to is not None:
        yield write_expected(loaded, write_to)
    if loaded.device.type == "cuda":
        yield from examine_gpus(loaded, pixels, None if index is None else index.vectors)


def describe(loaded: Encoder) -> Iterator[Check]:
    """Say what an encoder is: what its vectors depend on, how pictures are prepared and who says so, and its texts."""
    info = loaded.info
    config = json_digest(info.config)
    message = (
        f"Back end {name_of(info)}, weights SHA-256 {info.weights_sha256}, configuration {config[:12]}, {info.dim} "
        f"dimensions, {info.precision}."
    )
    yield Check("identity", OK, message, figures={"identity": info.identity()})
    preprocess = info.preprocess
    listed = "; ".join(
        f"{key} {_listed(key, value) if isinstance(value, (list, tuple)) else value}"
        for key, value in preprocess.items()
    )
    stated = (
        "preprocessor_config.json states"
        if name_of(info) == "transformers"
        else "the weights or their name state"
    )
    source = f"From {info.preprocess_from}." if info.preprocess_from else f"As {stated} it."
    yield Check("preprocessing", OK, f"{listed}. {source}", figures={"preprocess": dict(preprocess)})
    tokens = tokens_of(loaded, [""]) if loaded.has_text else None
    limit = f"texts of up to {tokens.limit} tokens" if tokens else "texts"
    reads = f"Pictures and {limit}." if loaded.has_text else "Pictures only: there is no text side."
    yield Check("reads", OK, reads, figures={"tokens": tokens.limit if tokens else None})


def _name(info: EncoderInfo) -> str:
    """Return the name of an encoder; that of a file of weights is not joined to it by a slash."""
    if not Path(info.pretrained).is_absolute():
        return info.name()
    return f"{info.model} with {info.pretrained} at {info.precision}"


def _listed(key: str, values: Sequence[float]) -> str:
    """Format the numbers of a preprocessing: a size as a product."""
    return (" x " if key == "size" else ", ").join(f"{value:.4g}" for value in values)


def examine_gpus(loaded: Encoder, pixels: torch.Tensor, stored: Vectors | None) -> Iterator[Check]:
    """Compare the vectors and neighbours of each GPU with those of the CPU, and check FAISS on the GPU."""
    try:
        on_cpu = load(
            loaded.info.model,
            loaded.info.pretrained or None,
            device="cpu",
            precision="fp32",
            preprocess_from=loaded.info,
        )
    except ImindexError as error:
        yield Check("gpu", FAULT, str(error))
        return
    for gpu in _replicas(loaded):
        yield tried(f"{gpu.device} and cpu", lambda gpu=gpu: encoders_agree(gpu, on_cpu, pixels, stored))  # type: ignore[misc]
        from imindex.indexer.ann.exact import n_gpus

        if n_gpus():
            table = on_cpu.encode_images(pixels) if stored is None or not len(stored) else stored[:200_000]
            yield tried("search on gpu", lambda gpu=gpu, table=table: search(table, str(gpu.device)))  # type: ignore[misc]
    peak = {str(gpu.device): torch.cuda.max_memory_allocated(gpu.device) for gpu in _replicas(loaded)}
    listed = ", ".join(f"{device} {used / 2**30:.1f} GiB" for device, used in peak.items())
    yield Check("gpu memory", OK, f"Peak use: {listed}.", figures=peak)


def pictures(index: Any = None, count: int = 24) -> Sample:
    """Return unchanged pictures of the index, supplemented by synthetic ones if there are too few."""
    data: list[bytes] = []
    rows: list[int] = []
    if index is not None and index.n:
        chosen = np.unique(np.linspace(0, index.n - 1, 4 * count).astype(np.intp))
        paths, digests = index.column("path"), index.column("sha256")
        places = index.places()
        for row in chosen.tolist():
            try:
                content = read_bytes(places.full(paths[row]) or paths[row])
            except (OSError, BadPicture):
                continue
            if hashlib.sha256(content).digest() == bytes(digests[row]) and len(data) < count:
                data.append(content)
                rows.append(row)
    for number in range(len(data), count):
        data.append(synthetic_jpeg(number))
        rows.append(-1)
    return Sample(data, rows)


def synthetic_jpeg(number: int) -> bytes:
    """Return a JPEG of 512 px by one of the demo's artists, with photographic grain."""
    small = artists.draw(artists.NAMES[number % len(artists.NAMES)], seed=number, size=96)
    large = np.asarray(small.resize((512, 512), Image.Resampling.BICUBIC), np.int16)
    grain = np.random.default_rng(number).integers(-12, 13, large.shape)
    file = io.BytesIO()
    Image.fromarray((large + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def vectors_are_unit(encoder: Encoder, pixels: torch.Tensor) -> Check:
    """Check that pictures, and a text, get finite unit vectors, and that different pictures get different ones."""
    images = encoder.encode_images(pixels).astype(np.float64)
    texts = encoder.encode_texts(["a picture"]) if encoder.has_text else images[:0]
    lengths = np.linalg.norm(np.concatenate([images, texts]), axis=1)
    is_unit = np.isfinite(lengths) & (np.abs(lengths - 1) < UNIT)
    remedy = "Try --precision fp32 in a new index, or other weights."
    if not is_unit.all():
        return Check(
            "vectors",
            FAULT,
            f"{int((~is_unit).sum())} of {len(is_unit)} vectors are not of unit length.",
            remedy,
        )
    if len(images) > 1 and np.allclose(images, images[0], atol=1e-4):
        return Check("vectors", FAULT, f"{len(images)} different pictures get the same vector.", remedy)
    encoded = f"{len(images)} pictures{' and a text' if encoder.has_text else ''}"
    return Check("vectors", OK, f"{encoded} get vectors of unit length.")


def batches_agree(encoder: Encoder, pixels: torch.Tensor) -> Check:
    """Check that the vector of a picture does not depend on its batch."""
    one_batch = encoder.encode_images(pixels)
    single = np.concatenate([encoder.encode_images(pixels[i : i + 1]) for i in range(min(4, len(pixels)))])
    split = np.concatenate([encoder.encode_images(pixels[:5]), encoder.encode_images(pixels[5:12])])
    least = min(
        cosines(one_batch[: len(single)], single).min(), cosines(one_batch[: len(split)], split).min()
    )
    figures = {"cosine": float(least), "limit": SAME}
    if least >= SAME:
        message = f"A picture has the same vector in any batch: cosine at least {least:.6f}."
        return Check("batches", OK, message, figures=figures)
    message = f"The vector of a picture depends on its batch: cosine {least:.6f}, below {SAME}."
    return Check("batches", FAULT, message, "Use another --precision or --device, and report it.", figures)


def as_stored(encoder: Encoder, pixels: torch.Tensor, sample: Sample, index: Any) -> Check:
    """Check that the encoder reproduces the stored vectors of an index."""
    indexed = [i for i, row in enumerate(sample.rows) if row >= 0]
    if not indexed:
        return Check(
            "stored vectors", OK, "No picture of the index is at its original path; none were compared."
        )
    encoded = encoder.encode_images(pixels[indexed])
    stored = np.asarray(index.vectors[[sample.rows[i] for i in indexed]])
    least = float(cosines(encoded, stored).min())
    figures = {"cosine": least, "limit": PARITY, "pictures": len(indexed)}
    if least >= PARITY:
        message = f"{len(indexed)} pictures reproduce their stored vectors: cosine at least {least:.6f}."
        return Check("stored vectors", OK, message, figures=figures)
    message = f"Pictures do not reproduce their stored vectors: cosine {least:.6f}, below {PARITY}."
    remedy = "Do not add to this index on this machine: rebuild it on a single machine, or find the faulty machine."
    return Check("stored vectors", FAULT, message, remedy, figures)


def throughput(encoder: Encoder, pixels: torch.Tensor, data: Sequence[bytes]) -> Check:
    """Measure decoding and encoding, and for a PyTorch model, encoding relative to the bare forward pass."""
    first = _replicas(encoder)[0]
    batch = pixels.repeat(-(-first.batch_size // len(pixels)), 1, 1, 1)[: first.batch_size]
    encoding, bare = _rates(first, batch)
    workers = os.cpu_count() or 1
    decoding = _decoding_rate(data, encoder, workers)
    n = len(_replicas(encoder))
    limit = "decoding" if decoding < n * encoding else "the encoder"
    ratio = None if bare is None else encoding / bare
    figures = {
        "decode-per-s": decoding, "encode-per-s": encoding, "forward-per-s": bare, "ratio": ratio, "limit": SHARE,
        "batch": len(batch), "devices": n,
    }  # fmt: skip
    message = (
        f"Encoding {encoding:.1f} pictures/s{' per device' if n > 1 else ''}"
        f"{'' if ratio is None else f', {ratio:.2f} of the bare forward pass ({bare:.1f})'}"
        f"; decoding {decoding:.0f} pictures/s with {workers} thread{'' if workers == 1 else 's'}: "
        f"{limit} limits the speed of a build."
    )
    if ratio is None or ratio >= SHARE:
        return Check("throughput", OK, message, figures=figures)
    return Check("throughput", WARNING, message, "Close other programs and run it again.", figures)


def _rates(encoder: Encoder, batch: torch.Tensor) -> tuple[float, float | None]:
    """Return pictures per second of `encode_images` and of the bare forward pass (None if not a PyTorch model)."""
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
    """Return the pictures per second of two functions that process n pictures per call.

    The calls are timed alternately, so that both see the same load on the machine.
    """
    first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    while sum(map(sum, times)) < 2 * seconds or len(times[0]) < 3:
        for function, durations in zip((first, second), times, strict=True):
            started = time.perf_counter()
            function()
            durations.append(time.perf_counter() - started)
    return n / statistics.median(times[0]), n / statistics.median(times[1])


def _decoding_rate(data: Sequence[bytes], encoder: Encoder, workers: int) -> float:
    with ThreadPoolExecutor(workers) as pool:
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < _SECONDS / 2:
            done += len(list(pool.map(lambda content: decode(content, encoder.preprocess), data)))
        return done / (time.perf_counter() - started)


def encoders_agree(
    tested: Encoder, reference: Encoder, pixels: torch.Tensor, stored: Vectors | None = None, k: int = 10
) -> Check:
    """Check that two encoders give the same vectors and the same neighbours.

    Parameters
    ----------
    tested, reference : Encoder
        Encoders with the same weights; devices and precision may differ.
    pixels : uint8 tensor, (n, 3, height, width)
    stored : (m, dim) float16, optional
        The vectors to search, such as those of an index. Without them, or with fewer than 2 k, the vectors that
        `reference` gives to the pictures are searched.
    k : int
        Number of neighbours.
    """
    first, second = tested.encode_images(pixels), reference.encode_images(pixels)
    least = float(cosines(first, second).min())
    table = second if stored is None or len(stored) < 2 * k else np.asarray(stored[:200_000])
    shared = recall(first, second, table, min(k, len(table)))
    name = f"{tested.device} and {reference.device}"
    figures = {"cosine": least, "recall@10": shared, "limits": {"cosine": PARITY, "recall@10": RECALL}}
    message = (
        f"{tested.info.precision} on {tested.device} and {reference.info.precision} on {reference.device}: "
        f"cosine at least {least:.6f}, {100 * shared:.1f} % of the {k} nearest are the same ({len(pixels)} pictures)."
    )
    if least < PARITY:
        remedy = f"Do not mix them in one index: use --device {reference.device} or another --precision, and report it."
        return Check(name, FAULT, message, remedy, figures)
    if shared < RECALL:
        return Check(
            name, WARNING, message, "Neighbours may be near ties; compare with --precision fp32.", figures
        )
    return Check(name, OK, message, figures=figures)


def recall(first: Vectors, second: Vectors, table: Vectors, k: int) -> float:
    """Return the fraction of the k nearest rows of the table that two encodings of the same pictures have in common."""
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


def _devices(encoder: Encoder) -> str:
    return ", ".join(str(replica.device) for replica in _replicas(encoder))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
