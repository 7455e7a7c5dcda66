"""Encoders, each loaded once, which encode what several requests send in one forward pass."""

from __future__ import annotations

import asyncio
import io
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.terminal.output import say
from imindex.retrieval import api
from imindex.retrieval.serve.problems import Problem

BATCH = 32
"""Most pictures, or texts, in one forward pass."""
WINDOW = 0.005
"""Seconds that the first of a batch waits for others."""
_AFTER = 5
"""Seconds after which a client may ask again while an encoder is loaded."""
State = Literal["loading", "ready", "failed"]
Observe = Callable[[str, int, float], None]
"""Gets "pictures" or "texts", their number and the seconds of a forward pass."""

_LOADING = threading.Lock()
"""Libraries of encoders import each other, and must not do so in two threads at a time."""


@dataclass
class _Job:
    kind: Literal["pictures", "texts"]
    item: Any
    done: Future[npt.NDArray[np.float16]]


class Hosted:
    """An encoder in a thread of its own. It is loaded there.

    Parameters
    ----------
    name : str
    load : callable
        Returns the encoder.
    observe : callable, optional
    """

    def __init__(self, name: str, load: Callable[[], api.Encoder], observe: Observe | None = None):
        self.name = name
        self.state: State = "loading"
        self.reason = ""
        self._encoder: api.Encoder | None = None
        self._load, self._observe = load, observe
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"encoder {name}", daemon=True)
        self._thread.start()

    @property
    def encoder(self) -> api.Encoder:
        """The encoder.

        Raises
        ------
        Problem
            503 if it is still being loaded, or cannot be loaded.
        """
        if self._encoder is not None:
            return self._encoder
        if self.state == "failed":
            raise Problem(
                503,
                f"The encoder {self.name} cannot be loaded, so pictures and texts cannot be encoded: {self.reason} "
                "Rows of the index can still be queried.",
            )
        raise Problem(
            503, f"The encoder {self.name} is being loaded. Ask again in some seconds.", retry_after=_AFTER
        )

    async def encode(
        self, kind: Literal["pictures", "texts"], items: Sequence[Any]
    ) -> npt.NDArray[np.float16]:
        """Encode decoded pictures or texts, together with those of other requests.

        Parameters
        ----------
        kind : {"pictures", "texts"}
        items : sequence
            As `imindex.Encoder.decode` returns them, or str.

        Returns
        -------
        ndarray, shape (n, d), float16
        """
        encoder = self.encoder
        if self._closed:
            raise Problem(503, f"The encoder {self.name} is being replaced. Ask again.", retry_after=_AFTER)
        if not items:
            return np.empty((0, encoder.info.dim), np.float16)
        jobs = [_Job(kind, item, Future()) for item in items]
        for job in jobs:
            self._jobs.put(job)
        try:
            return np.stack(await asyncio.gather(*(asyncio.wrap_future(job.done) for job in jobs)))
        except asyncio.CancelledError:
            for job in jobs:
                job.done.cancel()
            raise

    @property
    def waiting(self) -> int:
        """Pictures and texts that wait."""
        return self._jobs.qsize()

    def close(self) -> None:
        """End the thread once it has encoded what waits."""
        self._closed = True
        self._jobs.put(None)

    def _run(self) -> None:
        try:
            with _LOADING:
                encoder = self._load()
                encoder.encode_decoded([encoder.decode(_first_picture())])  # the first query must not wait
            self._encoder = encoder
            self.state = "ready"
        except Exception as error:  # whatever a library raises, waiting for it does not help
            self.reason = str(error) if isinstance(error, ImindexError) else _one_line(error)
            self.state = "failed"
            return
        held: _Job | None = None
        while True:
            first = held or self._jobs.get()
            held = None
            if first is None:
                self._end()
                return
            batch, deadline = [first], time.monotonic() + WINDOW
            while len(batch) < BATCH:
                try:
                    job = self._jobs.get(timeout=max(0.0, deadline - time.monotonic()))
                except queue.Empty:
                    break
                if job is None:
                    self._jobs.put(None)
                    break
                if job.kind != first.kind:
                    held = job
                    break
                batch.append(job)
            self._encode([job for job in batch if job.done.set_running_or_notify_cancel()])

    def _encode(self, batch: Sequence[_Job]) -> None:
        if not batch or self._encoder is None:
            return
        begun, items = time.perf_counter(), [job.item for job in batch]
        try:
            if batch[0].kind == "texts":
                vectors = self._encoder.encode_texts(items)
            else:
                vectors = self._encoder.encode_decoded(items)
        except Exception as error:  # whatever a library raises, the thread goes on
            if len(batch) > 1:  # what fails in one request does not cost the others
                for job in batch:
                    self._encode([job])
                return
            reason = f"The encoder {self.name} failed: {_one_line(error)}"
            say(reason)
            batch[0].done.set_exception(Problem(503, reason, retry_after=_AFTER))
            return
        if self._observe is not None:
            self._observe(batch[0].kind, len(batch), time.perf_counter() - begun)
        for job, vector in zip(batch, vectors, strict=True):
            job.done.set_result(vector)

    def _end(self) -> None:
        """Let nobody wait for what came after the end."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                job.done.cancel()


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:500]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _first_picture() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(out, "PNG")
    return out.getvalue()


class Encoders:
    """The encoders of all indexes: one per identity, however many indexes have it.

    Parameters
    ----------
    options : mapping
        Where the encoder is now, as in `OpenIndex.query`.
    observe : callable, optional
    """

    def __init__(self, options: Mapping[str, Any], observe: Observe | None = None):
        self._options, self._observe = dict(options), observe
        self._hosted: dict[str, Hosted] = {}
        self._lock = threading.Lock()

    def of(self, index: api.OpenIndex) -> Hosted:
        """Return the encoder of an index, and begin to load it if it is new."""
        identity = canonical_json(index.encoder.identity())
        with self._lock:
            if identity not in self._hosted:
                load = index.encoder_loader(self._options)
                self._hosted[identity] = Hosted(index.encoder.name(), load, self._observe)
            return self._hosted[identity]

    def keep(self, indexes: Sequence[api.OpenIndex]) -> None:
        """Load the encoders of these indexes, and let go of all others."""
        wanted = {canonical_json(index.encoder.identity()) for index in indexes}
        for index in indexes:
            self.of(index)
        with self._lock:
            for identity in set(self._hosted) - wanted:
                self._hosted.pop(identity).close()

    def all(self) -> list[Hosted]:
        """Return all encoders."""
        with self._lock:
            return list(self._hosted.values())

    def close(self) -> None:
        """End all threads."""
        for hosted in self.all():
            hosted.close()
