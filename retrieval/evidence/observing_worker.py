"""A worker that also observes a release, for some of the works."""

from __future__ import annotations

from collections.abc import Sequence

from imindex.retrieval.evidence.release_walk import Observed, Received, Share, observe_share
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.shards.worker import File, Worker
from imindex.retrieval.vectors.blocks import Int64


class ObservingWorker(Worker):
    """See `imindex.retrieval.shards.worker.Worker`."""

    def __init__(self, made: tuple[Sequence[File], str]):
        super().__init__(made)
        self._shared: Shared | None = None
        self._observed: dict[str, Observed] = {}

    def observe(self, share: Share, works: Int64) -> Received:
        """See `imindex.retrieval.evidence.release_walk.observe_share`."""
        if self._shared is None:
            self._shared = Shared(self.joined())
        received, self._observed = observe_share(self._shared, share, works, self._observed)
        return received
