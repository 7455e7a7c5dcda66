"""Merge several index files into one, without encoding anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imindex.indexer.ann import exact
from imindex.indexer.ann.record import is_approximate
from imindex.indexer.build.checkpoint import Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.paths import Place, Rebased
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Contents
from imindex.indexer.core.url import Url
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_unchanged, unchanged_blocks
from imindex.indexer.store.joined import Joined
from imindex.indexer.store.lineage import merged_summary
from imindex.indexer.store.opening import open_index
from imindex.indexer.store.working_copy import home_of, on_working_copy, shown
from imindex.indexer.store.writer import write
from imindex.indexer.system.atomic import clear_leftovers, real_file
from imindex.indexer.system.index_files import Named, index_files

_PREFIX = 8
"""Bytes of a digest by which equal pictures are looked up before they are compared."""


@dataclass(frozen=True)
class MergeReport:
    """Result of a merge.

    Attributes
    ----------
    path : Path or Url
        The new file.
    files : tuple of Path or Url
        The merged files, in order.
    rows, rejects : int
    n_repeated : int
        Rows and rejects that an earlier file had already.
    root_digest, chained_digest : str
        Of the new file; and of the merged files together, as its log names it.
    notes : tuple of str
    """

    path: Path | Url
    files: tuple[Path | Url, ...]
    rows: int
    rejects: int
    n_repeated: int
    root_digest: str
    chained_digest: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the report as it is written to JSON."""
        return asdict(self)


@on_working_copy("out")
def merge(
    place: Named,
    out: Path,
    *,
    roots: Mapping[str, Place] | None = None,
    force: bool = False,
    command: str = "",
    progress: Callable[[int], None] = lambda done: None,
) -> MergeReport:
    """Write one index with the rows of several, in the order of the files; see `imindex.indexer.store.joined`.

    Vectors are streamed: memory use does not depend on them. The new file is put in place at the end, so an
    interruption leaves nothing. Approximate indexes are not merged.

    Parameters
    ----------
    place : path-like, or sequence of path-like
        At least two files, or patterns of them.
    out : Path
        The new file. Paths of pictures are stored relative to its folder. At a `Url`, the object is written as a whole.
    roots : mapping of str to path-like, optional
        Where the pictures of named roots are; needed for a root that the files name differently.
    force : bool
        Replace an existing file, which must not be one of those to merge.
    command : str
        The command line, for the log.
    progress : callable
        Called with the number of rows written so far.

    Returns
    -------
    MergeReport

    Raises
    ------
    ImindexError
        If there are fewer than two files, one is damaged, they cannot be joined, they have different vectors of the
        same bytes, or `out` exists.
    """
    files = tuple(index_files(place))
    if len(files) < 2:
        raise ImindexError(
            f"There is only {files[0]} to merge. Name at least two files; a single one can be copied."
        )
    out = real_file(out)
    if out.exists():
        if shown(out) in files or any(
            out.samefile(file) for file in files if isinstance(file, Path) and file.exists()
        ):
            raise ImindexError(
                f"{out} is one of the files to merge. Write to another file (-o), or leave it out of the pattern."
            )
        if not force:
            raise ImindexError(f"{out} exists already. Name another file (-o), or pass --force.")
    with open_index(files, roots) as joined:
        assert isinstance(joined, Joined)
        if joined.differing_roots:
            name = joined.differing_roots[0]
            folders = dict.fromkeys(file.roots[name] for file in joined.parts if name in file.roots)
            raise ImindexError(
                f"The files name different folders as the root {name}: {', '.join(folders)}. Pass --root "
                f"{name}=FOLDER, which has the pictures of all of them, or build one of them again with a root of "
                "another name."
            )
        encoder = joined.encoder
        with Parts(out, encoder, "imindex merge") as parts:
            require_unchanged(joined)
            require_equal_vectors(joined)
            contents = rebased(joined.contents(), joined.folder, home_of(out))
            if roots:
                contents = replace(contents, roots=joined.places().roots)
            clear_leftovers(out)
            sources = [file.root_digest for file in joined.parts]
            root = write(
                out,
                contents,
                counted(unchanged_blocks(joined), progress),
                ann=exact.describe(),
                ann_data=exact.exact_header(joined.n, encoder.dim),
                entry=entry(command, merged_summary(sources), joined.root_digest),
            )
            notes = (*parts.notes, *joined.notes, *_dropped(joined.parts, out))
        return MergeReport(
            shown(out), files, joined.n, joined.n_rejects, joined.n_repeated, root, joined.root_digest, notes
        )


def rebased(contents: Contents, old: Path | Url, new: Path | Url) -> Contents:
    """Return the contents with the paths of an index in another folder."""
    path = Rebased(old, new)
    if path.keeps_all:
        return contents
    items, rejects = (
        {**table, "path": np.array(list(map(path, table["path"])), dtype=object)}
        for table in (contents.items, contents.rejects)
    )
    return replace(contents, items=items, rejects=rejects)


def counted(
    blocks: Iterator[npt.NDArray[np.float16]], progress: Callable[[int], None]
) -> Iterator[npt.NDArray[np.float16]]:
    """Yield the blocks, and report the number of rows so far."""
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        progress(done)


def require_equal_vectors(joined: Joined) -> None:
    """Refuse files that have different vectors of the same bytes: they were encoded by different arithmetic.

    Raises
    ------
    ImindexError
    """
    digests = joined.column("sha256")
    beginning = np.ascontiguousarray(digests[:, :_PREFIX]).view("<u8").ravel()
    order = np.argsort(beginning, kind="stable")
    same = np.flatnonzero(beginning[order[1:]] == beginning[order[:-1]])
    first, second = order[same], order[same + 1]
    # Within one file, `imindex verify` compares them.
    equal = (digests[first] == digests[second]).all(axis=1) & (joined.owners(first) != joined.owners(second))
    first, second = first[equal], second[equal]
    for start in range(0, len(first), 8_192):
        a, b = first[start : start + 8_192], second[start : start + 8_192]
        differs = (joined.vectors[a].view(np.uint16) != joined.vectors[b].view(np.uint16)).any(axis=1)
        if differs.any():
            pair = int(np.flatnonzero(differs)[0])
            files = [joined.parts[n].path for n in joined.owners(np.array([a[pair], b[pair]])).tolist()]
            paths = joined.text_at("path", np.array([a[pair], b[pair]]))
            raise ImindexError(
                f"{paths[0]} of {files[0]} and {paths[1]} of {files[1]} have the same bytes and different vectors: the "
                "files were encoded on machines, or with settings, whose arithmetic differs. Build one of them again "
                "on the machine of the other."
            )


def _dropped(files: tuple[Index, ...], out: Path) -> Iterator[str]:
    n = sum(is_approximate(file.ann()) for file in files)
    if n:
        yield (
            f"The approximate index{'es' if n > 1 else ''} of {n} of the files {'are' if n > 1 else 'is'} not merged. "
            f"`imindex optimize -i {os.fspath(out)}` makes one."
        )
