"""One run of an audit: its plan, its workspace and its compute settings."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.slug import safe_name, slug
from imindex.indexer.decode.limits import Limits
from imindex.indexer.image_api.settings import Asking
from imindex.indexer.runners.base import Place
from imindex.retrieval.audit.plan import EncoderSpec, Plan, Release
from imindex.retrieval.shards.start import HERE, Workers

if TYPE_CHECKING:
    from imindex.indexer.runners.cluster import Cluster

Progress = Callable[[int, int], None]


class Show:
    """Receives the progress of an audit. This base class shows nothing."""

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Progress]:
        """Show a stage; yield a function to call with (number done, number done in this run)."""
        yield lambda done, new: None

    def note(self, text: str) -> None:
        """Show a message."""


@dataclass(frozen=True)
class Workspace:
    """The folder of an audit, and the paths in it.

    Attributes
    ----------
    folder : Path
    keeps : bool
        Whether to store results in the folder and reuse them. Otherwise all are computed and nothing is written.
    """

    folder: Path
    keeps: bool = True

    def index(self, encoder: EncoderSpec) -> Path:
        """Return the path of an encoder's index. It differs for different encoders of the same name."""
        named = [encoder.name, encoder.model, encoder.pretrained, encoder.precision]
        identity = canonical_json([*named, *([encoder.preprocess_from] if encoder.preprocess_from else [])])
        return self.folder / f"{safe_name(encoder.name, identity)}.h5"

    def pictures(self, release: Release) -> Path:
        """Return the folder for the generated pictures of a release."""
        return self.folder / "imitations" / slug(release.name)

    def results(self, index: Path, release: str, base: str = "") -> Path:
        """Return the file of a release's results with an index, or of its comparison with a base release."""
        suffix = f"-against-{slug(base)}" if base else ""
        return self.folder / "results" / index.stem / f"{slug(release)}{suffix}.json"

    def answers(self, index: Path, release: str, key: str) -> Path:
        """Return the file of the answer to a further question about a release with an index."""
        return self.folder / "results" / index.stem / f"{slug(release)}-question-{key}.json"


@dataclass(frozen=True)
class Compute:
    """Compute settings of an audit.

    Attributes
    ----------
    device : str
        auto, cpu, cuda, or cuda:N.
    batch_size, generate_batch : int, optional
        Number of pictures to encode, and to generate, at a time; by default chosen for the device.
    limits : Limits
        Larger pictures are rejected.
    roots : mapping of str to str
        Absolute folders of named roots, to which the paths of manifests may lead.
    place : Place
        Where pictures are generated, encoded and matched.
    trust_encoders : bool
        Load whatever encoder the plan names. Otherwise only encoders that imindex knows by name are loaded.
    workers : Workers
        Where imitations are ranked.
    asking : Asking
        How fast and how often APIs are asked.
    """

    device: str = "auto"
    batch_size: int | None = None
    generate_batch: int | None = None
    limits: Limits = field(default_factory=Limits)
    trust_encoders: bool = True
    roots: Mapping[str, str] = field(default_factory=dict)
    workers: Workers = HERE
    asking: Asking = field(default_factory=Asking)
    place: Place = field(default_factory=Place)


@dataclass(frozen=True)
class Run:
    """One run of an audit.

    Attributes
    ----------
    plan : Plan
    workspace : Workspace
    compute : Compute
    command : str
        The command line, for logs and locks.
    show : Show
    as_paper : bool
        Whether the report also has the tests of the paper; also if the plan says so.
    seconds : dict of str to float
        Wall-clock time of each stage so far.
    cluster : Cluster, optional
        The cluster that `on_cluster` connected this process to.
    """

    plan: Plan
    workspace: Workspace
    compute: Compute = field(default_factory=Compute)
    command: str = ""
    show: Show = field(default_factory=Show)
    as_paper: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    cluster: Cluster | None = None

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Progress]:
        """Show a stage and measure its time."""
        started = time.monotonic()
        with self.show.stage(name, total) as progress:
            yield progress
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
