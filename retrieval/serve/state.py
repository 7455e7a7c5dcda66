"""What the routes share, and how a request reaches it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.results.base import Result, to_json
from imindex.retrieval.serve.catalog import Catalog
from imindex.retrieval.serve.comparisons import Comparisons
from imindex.retrieval.serve.encoding import Encoders
from imindex.retrieval.serve.metrics import Metrics
from imindex.retrieval.serve.pictures import Pictures
from imindex.retrieval.serve.problems import Problem
from imindex.retrieval.serve.settings import Settings
from imindex.retrieval.serve.work import Work

WATCH = 0.25
"""Seconds between looks at the files."""
_LOOKS = 8
"""Every so many looks, new audits are searched for as well."""


@dataclass(eq=False)
class State:
    """All that is served, and what serves it."""

    settings: Settings
    catalog: Catalog
    encoders: Encoders
    work: Work
    metrics: Metrics
    pictures: Pictures = field(default_factory=Pictures)
    comparisons: Comparisons = field(default_factory=Comparisons)
    stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Load the encoders, and watch the files."""
        self.encoders.keep([generation.index for generation in self.catalog.check()])
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def stop(self) -> None:
        """End all threads, and close all files."""
        self.stopped.set()
        self.encoders.close()
        self.work.close()
        self.catalog.close()

    def _watch(self) -> None:
        for generation in self.catalog.check():
            with contextlib.suppress(ImindexError, OSError):
                generation.prepared.warm()
        threading.Thread(target=self._read_rows, name="rows", daemon=True).start()
        looks = 0
        while not self.stopped.wait(WATCH):
            looks += 1
            # Folders and files change while they are looked at; the next look is a quarter of a second away.
            with contextlib.suppress(ImindexError, OSError):
                if looks % _LOOKS == 0:
                    self.catalog.refresh()
                generations = self.catalog.check()
                if len(generations) == len(self.catalog.indexes):
                    self.encoders.keep([generation.index for generation in generations])

    def _read_rows(self) -> None:
        """Read the tables of rows, for the pages that list artists and rows."""
        for served in list(self.catalog.indexes.values()):
            if self.stopped.is_set():
                return
            with contextlib.suppress(Problem, ImindexError, OSError):
                served.rows()


def state_of(request: Request) -> State:
    """Return the state of the application."""
    state: State = request.app.state.imindex
    return state


Here = Annotated[State, Depends(state_of)]


def answer(result: Result, status: int = 200) -> Response:
    """Return a result as JSON."""
    return Response(to_json(result), status, media_type="application/json")
