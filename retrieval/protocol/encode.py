"""Encode the works by several encoders, one index each, in a folder that later comparisons reuse."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from imindex.indexer.build.from_sources import build_from_sources
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text, parse_json
from imindex.indexer.core.slug import slug
from imindex.indexer.decode.limits import Limits
from imindex.indexer.system.atomic import make_folder, write_file
from imindex.indexer.system.input_files import exists, read_text
from imindex.retrieval.protocol.compare import Encoded
from imindex.retrieval.results import EncodingSpeed, from_dict, to_dict

SPEEDS = "speeds.json"
INDEX_SUFFIXES = (".h5", ".hdf5")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Candidate:
    """An encoder to compare: a model to encode with, or an index that holds works.

    Attributes
    ----------
    name : str
    model, pretrained, precision, color, preprocess_from : str
        As `imindex build` takes them; `model` is empty for an index.
    index : Path or None
    """

    name: str
    model: str = ""
    pretrained: str = ""
    precision: str = "auto"
    color: str = "auto"
    preprocess_from: str = ""
    index: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """Parse an item of `--encoders`: ``MODEL``, ``MODEL@PRETRAINED`` or ``PATH.h5``.

        Examples
        --------
        >>> Candidate.parse("ViT-B-32@openai").pretrained
        'openai'
        >>> Candidate.parse("audit.h5").index
        PosixPath('audit.h5')
        """
        text = text.strip()
        if not text:
            raise ImindexError("An encoder has no name. Write --encoders NAME,NAME without empty items.")
        if text.endswith(INDEX_SUFFIXES):
            return cls(name=Path(text).stem, index=Path(text))
        model, at, pretrained = text.partition("@")
        if not model or (at and not pretrained):
            raise ImindexError(f"The encoder {text!r} is incomplete. Write MODEL or MODEL@PRETRAINED.")
        return cls(name=text, model=model, pretrained=pretrained)


def encode(  # noqa: PLR0913
    candidates: Sequence[Candidate],
    sources: Sequence[str | os.PathLike[str]],
    folder: Path,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    roots: Mapping[str, str | os.PathLike[str]] | None = None,
    artist_from: str | None = None,
    command: str = "",
    note: Callable[[str], None] = lambda _: None,
    progress: Callable[[str], Callable[[int], AbstractContextManager[Progress]]] | None = None,
) -> list[Encoded]:
    """Encode works with each candidate that is a model; those that are indexes are taken as they are.

    Parameters
    ----------
    candidates : sequence of Candidate
    sources : sequence of path-like
        Works: folders of ``ARTIST/*``, folders that hold a folder ``works``, or manifests.
    folder : Path
        Receives one index per model. An index that is there is continued: only new pictures are encoded.
    device, batch_size, limits, roots, artist_from, command
        As in `imindex.indexer.build.from_sources.build_from_sources`.
    note : callable
        Called with messages.
    progress : callable, optional
        Takes the name of an encoder, and returns what `build_from_sources` takes as `progress`.

    Returns
    -------
    list of Encoded
    """
    models = [one for one in candidates if one.index is None]
    if models and not sources:
        raise ImindexError(
            f"{models[0].name} is a model, and there are no works to encode. Pass their folder, or an index (PATH.h5)."
        )
    encoded = []
    speeds = _read_speeds(folder)
    for one in candidates:
        if one.index is not None:
            if not exists(one.index):
                raise ImindexError(
                    f"{one.index} does not exist. Build it with `imindex build`, or name a model."
                )
            encoded.append(Encoded(one.name, one.index))
            continue
        make_folder(folder)
        path = folder / f"{slug(one.name)}.h5"
        shown = nothing_shown if progress is None else progress(one.name)
        cpu, start = _processor_seconds(), time.perf_counter()
        report = build_from_sources(
            [_works_of(source) for source in sources],
            path,
            kind="works",
            model=one.model,
            pretrained=one.pretrained or None,
            device=device,
            precision=one.precision,
            batch_size=batch_size,
            preprocess_from=one.preprocess_from or None,
            color=None if one.color == "auto" else one.color,
            limits=limits,
            roots=roots,
            artist_from=artist_from,
            command=command,
            note=note,
            progress=shown,
        )
        if report.encoded and not report.unchanged and not report.resumed:
            from imindex.indexer.system.device import torch_devices  # imports PyTorch

            seconds = time.perf_counter() - start
            speeds[path.name] = (
                report.root_digest,
                EncodingSpeed(
                    pictures=report.encoded,
                    pictures_per_second=report.encoded / seconds,
                    processor_seconds=(_processor_seconds() - cpu) / report.encoded,
                    device=",".join(map(str, torch_devices(device))),
                ),
            )
            _write_speeds(folder, speeds)
        if report.rejected:
            note(
                f"{one.name}: {report.rejected:,} pictures rejected. `imindex info --rejects -i {path}` lists them."
            )
        digest, speed = speeds.get(path.name, ("", None))
        encoded.append(Encoded(one.name, path, speed if digest == report.root_digest else None))
    return encoded


def nothing_shown(total: int) -> AbstractContextManager[Progress]:
    """Show no progress."""
    return nullcontext(lambda done, encoded: None)


def named_apart(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Name indexes by their paths if their file names are the same, as those of other candidates."""
    n = Counter(one.name for one in candidates)
    return [
        replace(one, name=str(one.index)) if one.index is not None and n[one.name] > 1 else one
        for one in candidates
    ]


def _works_of(source: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the folder of works in a folder that is laid out as `imindex build` takes it."""
    inside = Path(source) / "works"
    return inside if inside.is_dir() else source


def _processor_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _read_speeds(folder: Path) -> dict[str, tuple[str, EncodingSpeed]]:
    if not exists(folder / SPEEDS):
        return {}
    try:
        written = parse_json(read_text(folder / SPEEDS))
        return {
            name: (entry["root_digest"], from_dict(EncodingSpeed, entry["speed"], SPEEDS))
            for name, entry in written.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, ImindexError):
        return {}  # only how fast the pictures were encoded


def _write_speeds(folder: Path, speeds: Mapping[str, tuple[str, EncodingSpeed]]) -> None:
    value = {name: {"root_digest": digest, "speed": to_dict(one)} for name, (digest, one) in speeds.items()}
    write_file(folder / SPEEDS, json_text(value, indent=1).encode())
