"""Find pictures in folders and manifests, load the encoder, and build: what `imindex build` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from imindex.indexer.build.build import BuildReport, build
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.limits import Limits
from imindex.indexer.encoders.lazy import encoder_for
from imindex.indexer.sources.find import find

Progress = Callable[[int, int], None]


def _ignore(done: int, encoded: int) -> None:
    """Show no progress."""


def build_from_sources(  # noqa: PLR0913
    sources: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    index: str | os.PathLike[str],
    *,
    kind: str | None = None,
    collection: str | None = None,
    artist: str | None = None,
    model: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    strict: bool = False,
    prune: bool = False,
    rehash: bool = False,
    retry_rejects: bool = False,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    command: str = "",
    note: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], AbstractContextManager[Progress]] = lambda total: nullcontext(_ignore),
) -> BuildReport:
    """Encode pictures into an index, each once.

    The index is created, or added to. After Ctrl-C or a crash, the same call resumes.

    Parameters
    ----------
    sources : path-like, or sequence of path-like
        A folder laid out as ``works/ARTIST/*``, ``imitations/RELEASE/ARTIST/*``, ``control/*`` and
        ``background/ARTIST/*`` (or one of these); any other folder of ``ARTIST/*`` with `kind`; or a manifest (CSV,
        JSONL or Parquet).
    index : path-like
    kind : {"works", "imitations", "control", "background"}, optional
        What the pictures are, where the source does not say.
    collection, artist : str, optional
        The set that they belong to, such as a release, and the artist of all of them.
    model, pretrained : str, optional
        The encoder, as `imindex.indexer.encoders.load.load` takes it. For an existing index: where its encoder is now.
    device : str
        auto, cpu, cuda, cuda:N, or several that share the pictures, such as cuda:0,cuda:1.
    precision : {"auto", "fp16", "bf16", "fp32"}
        auto is fp16 on CUDA; on a CPU bf16 where the processor computes in it, else fp32.
    batch_size : int, optional
        Pictures in a batch; by default what suits the device.
    strict : bool
        Raise an error if a picture cannot be read; the index is then not written.
    prune : bool
        Remove the rows of pictures that `sources` do not hold.
    rehash : bool
        Read every file, including those whose size, time of change and inode are unchanged.
    retry_rejects : bool
        Try pictures again that could not be read before.
    limits : Limits
        Reject pictures that need more.
    command : str
        The command line, for the log.
    note : callable
        Receives messages about what was found.
    progress : callable
        Takes the number of pictures, returns a context manager that yields the function to call with (pictures done,
        pictures encoded).

    Returns
    -------
    BuildReport

    Raises
    ------
    ImindexError
        There are no pictures; the encoder cannot be loaded or is not the index's; another builder is at work; with
        `strict`, a picture cannot be read.
    Stopped
        After Ctrl-C.
    """
    paths = [Path(sources)] if isinstance(sources, (str, os.PathLike)) else [Path(one) for one in sources]
    items = list(find(paths, kind=kind, collection=collection, artist=artist, note=note))
    if not items:
        listed = ", ".join(map(str, paths)) or "the empty list of sources"
        raise ImindexError(f"No pictures in {listed}. Check the folder, or see imindex build --help.")
    encoder = encoder_for(
        Path(index),
        model=model,
        pretrained=pretrained,
        device=device,
        precision=precision,
        batch_size=batch_size,
        note=note,
    )
    with progress(len(items)) as advance:
        return build(
            items,
            index,
            encoder,
            strict=strict,
            retry_rejects=retry_rejects,
            prune=prune,
            rehash=rehash,
            limits=limits,
            command=command,
            progress=advance,
        )
