"""What the workers of a cluster compute: a decoder reads and decodes pictures, an encoder encodes whole batches.

They are plain classes, which an engine (`imindex.indexer.runners.ray`) runs in processes of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import platform
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.credentials import Granted, adopt
from imindex.indexer.core.digest import canonical_json, json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.provenance import program
from imindex.indexer.core.schema import EncoderInfo, Stamp
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.pool import Decoders
from imindex.indexer.encoders.padding import encode_padded, padded_length
from imindex.indexer.runners.reader import decode, read_one
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.urls import IN_FLIGHT
from imindex.indexer.system.locks import process_identity

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder

Prefixes = npt.NDArray[np.uint64]
DECODE, ENCODE = "decode", "encode"
"""The two roles of a worker."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a worker returns in place of a result. With `fatal`, no other worker would do better."""

    message: str
    fatal: bool = False


@dataclass(frozen=True)
class Description:
    """What a worker says about itself before it may join.

    Attributes
    ----------
    pid : int
    identity : str
        Of the process, over machines and time (`imindex.indexer.system.locks.process_identity`).
    versions : tuple of str
        `imindex 0.9`, `torch 2.9.0`, `pillow 11.0`.
    encoder : str
        Digest of what the vectors depend on; empty for a decoder.
    computes_on : str
        Kind of processor (`imindex.indexer.encoders.computed_by`).
    probe : str
        SHA-256 of what it makes of fixed input.
    """

    pid: int
    identity: str
    versions: tuple[str, ...]
    encoder: str
    computes_on: str
    probe: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture to be read. With `force`, it is decoded though its digest seems to be known."""

    item: Item
    force: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decoder tells of one picture; `row` is that of its pixels, or -1."""

    digest: bytes
    reason: str
    stamp: Stamp
    row: int = -1
    width: int = 0
    height: int = 0
    black: bool = False
    notes: tuple[str, ...] = ()


class _Prefixes:
    """Digests by their first 8 bytes: it may contain a digest too many, which the build finds out."""

    def __init__(self, prefixes: Prefixes):
        self._prefixes = prefixes

    def __contains__(self, digest: object) -> bool:
        assert isinstance(digest, bytes)
        prefix = np.uint64(int.from_bytes(digest[:8], "big"))
        place = int(np.searchsorted(self._prefixes, prefix))
        return place < len(self._prefixes) and bool(self._prefixes[place] == prefix)


class Worker:
    """What decoders and encoders have in common."""

    def ping(self) -> bool:
        """Return True."""
        return True

    def end(self, pid: int, identity: str) -> bool:
        """End another process of this machine, if it is still the one that is meant."""
        return end_process(pid, identity)


def end_process(pid: int, identity: str) -> bool:
    """Kill a process of this machine, also a stopped one; return False if it is not of this machine."""
    if identity.split("/")[0] != process_identity(os.getpid()).split("/")[0]:
        return False
    if process_identity(pid) == identity:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return True


class DecodeWorker(Worker):
    """Reads, digests and decodes pictures, in threads, with decoder processes in which files may crash or hang.

    Parameters
    ----------
    preprocess : mapping
        The preprocessing of the encoder.
    limits : Limits
    threads : int
    niceness : int
        Added to that of the process: on a machine that encodes too, decoding uses the time that encoding leaves.
    granted : Granted, optional
        The credentials that the user passed within URLs.
    """

    def __init__(
        self,
        preprocess: Mapping[str, Any],
        limits: Limits,
        threads: int,
        niceness: int = 0,
        granted: Granted | None = None,
    ):
        if granted is not None:
            adopt(granted)
        if niceness and hasattr(os, "nice"):
            os.nice(niceness)
        self._preprocess = preprocess
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._fetchers = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="fetch")
        self._turns = threading.Semaphore(threads)
        self._decoders = Decoders(limits)
        self._may_decode = threading.Event()
        self._may_decode.set()

    def describe(self, files: Sequence[bytes] = ()) -> Description | Failure:
        """Return what this worker is, and what it makes of these pictures."""
        try:
            probe = decoding_probe(files, self._preprocess, self._decoders)
            return Description(os.getpid(), process_identity(os.getpid()), versions(), "", "", probe)
        except Exception as error:
            return Failure(_told(error))

    def read(
        self, entries: Sequence[Entry], known: Prefixes, looked: Prefixes
    ) -> tuple[list[Outcome] | Failure, npt.NDArray[np.uint8]]:
        """Read pictures, and decode those that are not known.

        Parameters
        ----------
        entries : sequence of Entry
        known, looked : (n,) uint64
            See `imindex.indexer.runners.base.KnownPictures.listed`.

        Returns
        -------
        list of Outcome, or Failure
        ndarray, (rows, 3, height, width) uint8
            The pixels of the pictures that have a row.
        """
        try:
            waiting = [
                (self._fetchers if is_url(entry.item.path) else self._threads).submit(
                    self._read, entry, known, looked
                )
                for entry in entries
            ]
            reads = [future.result() for future in waiting]
        except Exception as error:
            return Failure(_told(error)), np.empty((0, 3, 1, 1), np.uint8)
        outcomes: list[Outcome] = []
        pixels: list[npt.NDArray[np.uint8]] = []
        for read in reads:
            picture: Any = read.picture
            if picture is None:
                outcomes.append(Outcome(read.digest, read.reason, read.stamp))
                continue
            outcomes.append(
                Outcome(
                    read.digest, read.reason, read.stamp, len(pixels), picture.width, picture.height, picture.black,
                    picture.notes,
                )
            )  # fmt: skip
            pixels.append(picture.pixels.numpy())
        return outcomes, np.stack(pixels) if pixels else np.empty((0, 3, 1, 1), np.uint8)

    def _read(self, entry: Entry, known: Prefixes, looked: Prefixes) -> Any:
        from imindex.indexer.sources.arms import BLOCKABLE

        of_index = _Prefixes(looked)
        return read_one(
            entry.item,
            () if entry.force else _Prefixes(known),
            self._preprocess,
            self._decoders,
            self._may_decode,
            lambda: None,
            lambda item, digest: item.kind in BLOCKABLE and digest in of_index,
            self._turns if is_url(entry.item.path) else contextlib.nullcontext(),
        )

    def close(self) -> None:
        """End the decoder processes."""
        self._decoders.__exit__()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._fetchers.shutdown(wait=False, cancel_futures=True)


class EncodeWorker(Worker):
    """Encodes whole batches.

    Parameters
    ----------
    load : callable
        Returns the encoder.
    batch_size : int
        Of the build.
    threads : int, optional
        Threads of a forward pass on a CPU.
    """

    def __init__(self, load: Callable[[], Encoder], batch_size: int, threads: int | None = None):
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self._batch_size = batch_size
        self._encoder: Encoder | None = None
        self._failure = ""
        try:
            self._encoder = load()
        except Exception as error:
            self._failure = _told(error)

    def describe(self, files: Sequence[bytes] = ()) -> Description | Failure:
        """Return what this worker is, and what it makes of fixed pixels."""
        from imindex.indexer.encoders.computed_by import computed_by

        if self._encoder is None:
            return Failure(self._failure)
        try:
            return Description(
                os.getpid(),
                process_identity(os.getpid()),
                versions(),
                encoder_digest(self._encoder.info),
                computed_by(self._encoder),
                encoding_probe(self._encoder, self._batch_size),
            )
        except Exception as error:
            return Failure(_told(error))

    def encode(self, rows: Sequence[tuple[int, int]], *chunks: npt.NDArray[np.uint8]) -> Any:
        """Encode one batch in one forward pass.

        Parameters
        ----------
        rows : sequence of (int, int)
            Of each picture, the number of its chunk and its row in it.
        *chunks : ndarray, (k, 3, height, width) uint8

        Returns
        -------
        ndarray, (len(rows), dim) float16, or Failure
        """
        import torch

        try:
            pictures = np.stack([chunks[chunk][row] for chunk, row in rows])
            pixels = torch.from_numpy(np.ascontiguousarray(pictures))
            assert self._encoder is not None
            return encode_whole(self._encoder, pixels, self._batch_size)
        except ImindexError as error:
            return Failure(str(error), fatal=True)
        except Exception as error:
            return Failure(_told(error))


def encode_whole(encoder: Encoder, pixels: Any, batch_size: int) -> npt.NDArray[np.float16]:
    """Encode a batch, and refuse an encoder that had to halve it: parts of a batch may get other bits than the whole.

    Raises
    ------
    ImindexError
        The batch does not fit into the memory of the device.
    """
    before = encoder.batch_size
    vectors = encode_padded(encoder, pixels, batch_size)
    if encoder.batch_size < min(before, padded_length(len(pixels), batch_size)):
        raise ImindexError(
            f"{encoder.device} has not enough memory for a batch of {len(pixels)} pictures under "
            f"{encoder.info.name()}. Smaller batches would change the last bits of some vectors, so the build stops; "
            "what was encoded is kept. Free memory and run the same command again, or begin a new index with a "
            f"smaller --batch-size, such as {max(1, len(pixels) // 2)}."
        )
    return vectors


def encoder_digest(info: EncoderInfo) -> str:
    """Return a digest of what vectors depend on; the settings of rendering are the build's."""
    from imindex.indexer.core.preprocess_bounds import REJECT, SRGB

    return json_digest(info.rendered(SRGB, REJECT).identity())


def encoding_probe(encoder: Encoder, batch_size: int) -> str:
    """Return the SHA-256 of the vectors of fixed pixels, in a batch of the build's size and in a smaller one."""
    import torch

    height, width = encoder.preprocess.size
    pixels = np.random.Generator(np.random.PCG64(20)).integers(
        0, 256, (batch_size, 3, height, width), np.uint8
    )
    pictures = torch.from_numpy(pixels)
    digest = hashlib.sha256()
    for some in (pictures, pictures[:1]):  # a full batch, and the smallest that is filled up
        vectors = encode_whole(encoder, some, batch_size)
        digest.update(np.ascontiguousarray(vectors, dtype="<f2").tobytes())
    return digest.hexdigest()


def probe_pictures() -> tuple[bytes, ...]:
    """Return the files of fixed pictures: JPEG, also in grey, and PNG, also with transparency."""
    from PIL import Image

    draw = np.random.Generator(np.random.PCG64(20))
    files = []
    for kind, width, height, mode in (
        ("JPEG", 640, 480, "RGB"), ("JPEG", 199, 301, "L"), ("PNG", 333, 222, "RGB"), ("PNG", 97, 531, "RGBA"),
    ):  # fmt: skip
        coarse = draw.integers(0, 256, (height // 16 + 1, width // 16 + 1, len(mode)), np.uint8)
        picture = Image.fromarray(coarse[:, :, 0] if mode == "L" else coarse)
        buffer = io.BytesIO()
        picture.resize((width, height), Image.Resampling.NEAREST).save(buffer, kind)
        files.append(buffer.getvalue())
    return tuple(files)


def decoding_probe(files: Sequence[bytes], preprocess: Mapping[str, Any], decoders: Decoders) -> str:
    """Return the SHA-256 of the pixels of pictures, as they are brought to the size of the encoder."""
    digest = hashlib.sha256(canonical_json(dict(preprocess)).encode())
    for data in files:
        decoded: Any = decode(data, preprocess, decoders)
        digest.update(decoded.pixels.numpy().tobytes())
    return digest.hexdigest()


def versions() -> tuple[str, ...]:
    """Return the versions of what the bits may depend on."""
    import PIL
    import torch

    return program(), f"torch {torch.__version__}", f"pillow {PIL.__version__}", platform.machine()


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, ImindexError) else f"{type(error).__name__}: {error}"
