"""Build an index from folders and manifests: find pictures, load the encoder, and build. Used by `imindex build`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from imindex.indexer.build.build import BuildReport, build, refuse_long
from imindex.indexer.core.bounds import BATCH
from imindex.indexer.core.credentials import name_by_user
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.names import alike_note, as_stored
from imindex.indexer.core.paths import merged_roots, require_roots
from imindex.indexer.core.removal import Removal
from imindex.indexer.decode.limits import Limits
from imindex.indexer.encoders.lazy import LazyEncoder, encoder_for
from imindex.indexer.runners.base import Place, Runner
from imindex.indexer.sources.find import find
from imindex.indexer.sources.stray import ARCHIVES, PassedOver
from imindex.indexer.store.index import Index
from imindex.indexer.store.working_copy import on_working_copy
from imindex.indexer.system.atomic import real_file
from imindex.indexer.system.input_files import exists

Progress = Callable[[int, int], None]


def _ignore(done: int, encoded: int) -> None:
    """Show no progress."""


@on_working_copy("index")
def build_from_sources(  # noqa: PLR0913
    sources: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    index: str | os.PathLike[str],
    *,
    kind: str | None = None,
    collection: str | None = None,
    artist: str | None = None,
    artist_from: str | None = None,
    model: str | None = None,
    pretrained: str | None = None,
    preprocess_from: str | None = None,
    trust_encoder: bool = False,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    strict: bool = False,
    prune: bool = False,
    rehash: bool = False,
    retry_rejects: bool = False,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    color: str | None = None,
    truncated: str | None = None,
    roots: Mapping[str, str | os.PathLike[str]] | None = None,
    place: Place = Place(),  # noqa: B008 - frozen
    command: str = "",
    note: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], AbstractContextManager[Progress]] = lambda total: nullcontext(_ignore),
    confirm: Callable[[Removal], None] = lambda _: None,
) -> BuildReport:
    """Encode pictures into an index, each one once.

    The index is created if it does not exist. After Ctrl-C or a crash, the same call resumes the build.

    Parameters
    ----------
    sources : path-like, or sequence of path-like
        A folder laid out as ``works/ARTIST/*``, ``imitations/RELEASE/ARTIST/*``, ``control/*`` and
        ``background/ARTIST/*`` (or one of these folders); any other folder of ``ARTIST/*`` with `kind`; or a manifest
        (CSV, JSONL or Parquet); or a tar shard as webdataset and img2dataset write it, or a pattern of several such as
        ``data/{00000..00099}.tar``. Folders may hold shards wherever they may hold pictures. Or the URL of one of
        these, such as ``s3://bucket/works``.
    index : path-like or URL
        At a URL, such as ``s3://bucket/audit.h5``, the object is replaced as a whole, if nobody else has changed it.
    kind : {"works", "imitations", "control", "background"}, optional
        The kind of the pictures, if the source does not specify it.
    collection, artist : str, optional
        The set that the pictures belong to, such as a release, and their artist.
    artist_from : str, optional
        How the paths of pictures tell their artists, for folders in another layout, such as ``{artist}_*.png``,
        ``.../{artist}/*`` or ``re:^(?P<artist>[^_]+)_``: `imindex.indexer.sources.artist_from.ArtistFrom.parse`.
    model, pretrained : str, optional
        The encoder, as in `imindex.indexer.encoders.load.load`. For an existing index, the current location of its
        encoder.
    preprocess_from : str, optional
        For weights that do not state their preprocessing and activation: the tag of published weights that have the
        same, or `MODEL:TAG`. By default what an existing index records, or else what all published weights of the
        model agree on.
    trust_encoder : bool
        Load the encoder that an existing index names, even if it is a folder, a file or a repository.
    device : str
        auto, cpu, cuda, cuda:N, or several devices that share the pictures, such as cuda:0,cuda:1.
    precision : {"auto", "fp16", "bf16", "fp32"}
        auto is fp16 on CUDA; on a CPU, bf16 if it supports bf16 arithmetic, otherwise fp32.
    batch_size : int, optional
        Pictures per batch. The default depends on the device.
    strict : bool
        Raise an error for unreadable pictures, without writing the index.
    prune : bool
        Remove the rows of pictures that are not in `sources`.
    rehash : bool
        Read every file, even if its size, modification time and inode are unchanged.
    retry_rejects : bool
        Retry pictures that were rejected before.
    limits : Limits
        Limits per picture; pictures beyond them are rejected.
    color : {"srgb", "as-encoded"}, optional
        Whether pictures are converted to sRGB by their colour profiles, or the profiles are ignored. By default, as in
        the index, or else `srgb`.
    truncated : {"reject", "accept"}, optional
        Whether a picture whose file ends early is rejected, or decoded with a grey rest. By default, as in the index,
        or else `reject`.
    roots : mapping of str to path-like, optional
        Folders by name, such as ``{"art": "/data/art"}``. Paths of a manifest may lead to them, and pictures in them
        are stored as ``//art/...``, so that index and folders can move separately. An index remembers its roots.
    place : Place
        Where to decode and encode: in this process, or on a Ray cluster.
    command : str
        The command line, for the log.
    note : callable
        Called with messages about the sources and the encoder.
    progress : callable
        Takes the number of pictures and returns a context manager. That yields a function, which is called with the
        numbers of pictures done and encoded so far.
    confirm : callable
        Called with what `prune` is going to remove, before the index is written. It raises an exception to prevent it.

    Returns
    -------
    BuildReport

    Raises
    ------
    ImindexError
        If there are no pictures, the encoder cannot be loaded or is not that of the index, another builder is running,
        or, with `strict`, a picture cannot be read.
    Stopped
        After Ctrl-C.
    """
    if batch_size is not None:
        BATCH.check(batch_size, "batch_size")
    paths = (
        [name_by_user(os.fspath(sources))]
        if isinstance(sources, (str, os.PathLike))
        else [name_by_user(os.fspath(source)) for source in sources]
    )
    real_file(Path(index))  # refuses some links, before anything is read
    stored, known_roots = _artists_and_roots(Path(index))
    given = require_roots(roots or {})
    for name, folder in given.items():
        before = known_roots.get(name, folder)
        if _is_elsewhere(before, folder):
            note(f"The root {name} was {before}, which still exists; from now on it is {folder}.")
    named = merged_roots(known_roots, given)
    passed = PassedOver(own=index)
    try:
        items = list(
            find(
                paths,
                kind=kind,
                collection=collection,
                artist=artist,
                artist_from=artist_from,
                roots=given,  # not those that the index names: it may come from a stranger
                note=note,
                passed=passed,
            )
        )
    except ImindexError as error:
        others = [f"--root {name}={folder}" for name, folder in known_roots.items() if name not in given]
        if not others or "--root" not in str(error):
            raise
        raise ImindexError(
            f"{error} The index names {' '.join(others)}: pass it if you trust the index."
        ) from error
    if prune and passed.cut:
        raise ImindexError(
            f"{passed.cut[0]} could not be read to its end, so the rows of what comes after cannot be told from rows "
            "of pictures that are gone. Copy the shard again, or drop --prune."
        )
    if not items:
        listed = ", ".join(map(str, paths)) or "the empty list of sources"
        other = f", only files that are not pictures: {passed.listed()}" if len(passed) else ""
        packed = any(kind in ARCHIVES for kind, _ in passed.counts())
        other += "".join(f". {path} {fault}" for path, fault in passed.shards.faults[:1])
        remedy = "Unpack the archives first" if packed else "Check the folder"
        raise ImindexError(f"No pictures in {listed}{other}. {remedy}, or see imindex build --help.")
    refuse_long(items, Path(index))
    if alike := alike_note([*stored, *as_stored(dict.fromkeys(item.artist for item in items), stored)]):
        note(alike)
    named_encoder = partial(
        encoder_for,
        Path(index),
        model=model,
        pretrained=pretrained,
        preprocess_from=preprocess_from,
        trust=trust_encoder,
        color=color,
        truncated=truncated,
        note=note,
    )
    with ExitStack() as stack:
        if place.on == "ray":
            encoder, runner = _on_ray(
                stack,
                place,
                named_encoder,
                device,
                precision,
                batch_size,
                limits,
                note,
                is_new=not exists(Path(index)),
            )
        else:
            encoder, runner = named_encoder(device=device, precision=precision, batch_size=batch_size), None
        report = build(
            items,
            index,
            encoder,
            strict=strict,
            retry_rejects=retry_rejects,
            prune=prune,
            rehash=rehash,
            limits=limits,
            roots=named,
            command=command,
            runner=runner,
            progress=stack.enter_context(progress(len(items))),
            confirm=confirm,
        )
    return replace(report, passed_over=passed.counts(), empty_folders=tuple(passed.empty))


def _is_elsewhere(before: str, now: str) -> bool:
    """Return whether a root that is another one now is still there. URLs are not looked up."""
    if is_url(before) or not Path(before).is_dir():
        return False
    return is_url(now) or not Path(before).samefile(now)


def _on_ray(  # noqa: PLR0913
    stack: ExitStack,
    place: Place,
    named_encoder: Callable[..., LazyEncoder],
    device: str,
    precision: str,
    batch_size: int | None,
    limits: Limits,
    note: Callable[[str], None],
    *,
    is_new: bool,
) -> tuple[LazyEncoder, Runner]:
    """Connect to a cluster, and return the encoder as this process has it, and a runner that computes there.

    This process loads the encoder on its processor, to know what it is. Batch size and precision suit the workers.
    """
    from imindex.indexer.runners.cluster import connect

    cluster = stack.enter_context(connect(place.address))
    from imindex.indexer.encoders.precision import BATCH_SIZES
    from imindex.indexer.runners.ray import gpus_each, ray_runner

    gpus = gpus_each(cluster, place, device)
    size = batch_size or (BATCH_SIZES["cuda"] * max(1, int(gpus)) if gpus else BATCH_SIZES["cpu"])
    if gpus and precision == "auto" and is_new:
        precision = "fp16"
    encoder = named_encoder(device="cpu", precision=precision, batch_size=size)
    return encoder, stack.enter_context(ray_runner(cluster, place, encoder, limits, gpus=gpus, note=note))


def _artists_and_roots(index: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the artists and the named roots of an index; none if there is no index yet."""
    if not exists(index):
        return (), {}
    with Index(index) as opened:
        return opened.artists, opened.roots
