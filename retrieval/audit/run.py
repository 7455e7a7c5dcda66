"""One run of an audit: the plan, its folder and how it computes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.slug import safe_name
from imindex.indexer.decode.limits import Limits
from imindex.retrieval.audit.plan import EncoderSpec, Plan

Progress = Callable[[int, int], None]


class Show:
    """Where an audit tells how far it is; this one tells nobody."""

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Progress]:
        """A stage begins; yields the function to call with (done, done in this run)."""
        yield lambda done, new: None

    def note(self, text: str) -> None:
        """Something a reader should know."""


@dataclass(frozen=True)
class Run:
    """One run of an audit: the plan, where it lies, and how it computes.

    A run that `keeps` takes the results that it finds in the folder, and leaves its own there; one that does not
    computes all of them, and writes nothing.
    """

    plan: Plan
    folder: Path
    device: str = "auto"
    batch_size: int | None = None
    generate_batch: int | None = None
    limits: Limits = field(default_factory=Limits)
    command: str = ""
    show: Show = field(default_factory=Show)
    seconds: dict[str, float] = field(default_factory=dict)
    keeps: bool = True

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Progress]:
        """Show a stage, and take its time."""
        started = time.monotonic()
        with self.show.stage(name, total) as progress:
            yield progress
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started


def index_path(folder: Path, encoder: EncoderSpec) -> Path:
    """Where the index of an encoder lies: another encoder under the same name is another file."""
    said = canonical_json([encoder.name, encoder.model, encoder.pretrained, encoder.precision])
    return folder / f"{safe_name(encoder.name, said)}.h5"
