"""Upload an index to a dataset repository of a hub, and download it from there."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.integrity.verify import verify
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_unchanged
from imindex.indexer.system.atomic import copy_file, write_file
from imindex.indexer.system.input_files import read_input
from imindex.retrieval.hub.card import INDEX_FILE, TABLE_FILE, card

_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
_DIGEST = re.compile(r"root digest \| `([0-9a-f]{64})`")
_MOST_CARD = 2**20
_MEANING = {
    401: "you are not signed in. Run: hf auth login",
    403: "your token may not do that. Use one that may write",
    404: "it does not exist, or is private and you are not signed in. Run: hf auth login",
    429: "it is asked too often. Try again in some minutes",
}


@dataclass(frozen=True)
class Pushed:
    """What was, or would be, uploaded.

    Attributes
    ----------
    repository, url : str
    revision : str
        The commit; empty if nothing was uploaded.
    root : str
    files : dict of str to int
        Sizes in bytes.
    private : bool
    """

    repository: str
    url: str
    revision: str
    root: str
    files: dict[str, int]
    private: bool


@dataclass(frozen=True)
class Pulled:
    """What was downloaded.

    Attributes
    ----------
    repository, revision : str
    file : Path
    rows : int
    root : str
    stated : str
        The root digest that the card states; empty if it states none.
    """

    repository: str
    revision: str
    file: Path
    rows: int
    root: str
    stated: str


def push(  # noqa: PLR0913
    index: Index,
    repository: str,
    *,
    license: str,
    title: str = "",
    private: bool = True,
    revision: str = "main",
    table: bool = True,
    thumbnails: bool = False,
    pictures_from: tuple[Path, ...] = (),
    message: str = "",
    dry_run: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Pushed:
    """Upload an index with a card that is generated from it.

    Parameters
    ----------
    index : Index
        Of one local file.
    repository : str
        OWNER/NAME; created if it does not exist.
    license : str
        Of the vectors and names, as the hub's identifiers have it.
    title : str
        By default the name of the file.
    private : bool
        Of a repository that is created.
    revision : str
        Branch.
    table : bool
        Also upload the rows without vectors as Parquet, which the hub shows as a table.
    thumbnails : bool
        With thumbnails in it.
    pictures_from : tuple of Path
        As in `OpenIndex.export`.
    message : str
        Of the commit.
    dry_run : bool
        Upload nothing.
    note : callable
        Called with what is being done.

    Raises
    ------
    ImindexError
        The index is damaged or not one local file, or the hub refuses.
    """
    from imindex.retrieval.export.table import Parts, Table
    from imindex.retrieval.export.targets import write_target

    _require_name(repository)
    if not isinstance(index.path, Path) or not isinstance(index.files, str):
        raise ImindexError("push takes one local index file. Merge several with imindex merge.")
    if not license.strip():
        raise ImindexError("A card states a licence. Pass --license, such as cc-by-4.0, or other.")
    require_unchanged(index)
    title = title or index.path.stem
    with tempfile.TemporaryDirectory(prefix="imindex-push-") as name:
        folder = Path(name)
        text = card(index, license=license, title=title, thumbnails=thumbnails, table=table)
        write_file(folder / "README.md", text.encode())
        files: dict[str, Path] = {"README.md": folder / "README.md", INDEX_FILE: index.path}
        if table:
            note("table")
            parts = Parts(vectors=False, projection=False, neighbours=0, thumbnails=thumbnails)
            write_target(Table(index, parts, inside=pictures_from), "parquet", folder / TABLE_FILE)
            files[TABLE_FILE] = folder / TABLE_FILE
        sizes = {path: file.stat().st_size for path, file in files.items()}
        url = f"{_endpoint()}/datasets/{repository}"
        if dry_run:
            return Pushed(repository, url, "", index.root_digest, sizes, private)
        with _refusals(repository):
            from huggingface_hub import CommitOperationAdd, HfApi

            hub = HfApi(library_name="imindex")
            note("repository")
            hub.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
            if revision != "main":
                hub.create_branch(repository, repo_type="dataset", branch=revision, exist_ok=True)
            note("upload")
            done = hub.create_commit(
                repository,
                [CommitOperationAdd(path, str(file)) for path, file in files.items()],
                commit_message=message or f"Index with root digest {index.root_digest[:12]}",
                repo_type="dataset",
                revision=revision,
            )
    return Pushed(repository, url, str(done.oid), index.root_digest, sizes, private)


def pull(
    repository: str,
    out: Path,
    *,
    revision: str = "main",
    force: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Pulled:
    """Download an index, check it as a file from a stranger, and compare its root digest with that of the card.

    Parameters
    ----------
    repository : str
        OWNER/NAME.
    out : Path
        Where to write the index. It appears there only once it has been checked.
    revision : str
        Branch, tag or commit.
    force : bool
        Replace what is there.
    note : callable

    Raises
    ------
    ImindexError
        There is no such repository or index, the hub refuses, or what was downloaded is damaged or not what the card
        states.
    """
    _require_name(repository)
    if out.exists() and not force:
        raise ImindexError(
            f"{out} is there already. Pass --force to replace it, or name another file with -o."
        )
    with _refusals(repository):
        from huggingface_hub import HfApi, hf_hub_download

        hub = HfApi(library_name="imindex")
        note("repository")
        about = hub.repo_info(repository, repo_type="dataset", revision=revision)
        commit = str(about.sha)
        if not re.fullmatch(r"[0-9a-f]{6,64}", commit):
            raise ImindexError(
                f"{repository} gives no commit, so what it holds cannot be named. Try again later."
            )
        names = {str(one.rfilename) for one in about.siblings or ()}
        if INDEX_FILE not in names:
            raise ImindexError(
                f"{repository} holds no {INDEX_FILE}, so it is no index that imindex push uploaded. "
                "Name another repository or --revision."
            )
        note("download")

        def fetched(name: str) -> Path:
            return Path(
                hf_hub_download(
                    repository, name, repo_type="dataset", revision=commit, library_name="imindex"
                )
            )

        stated = ""
        if "README.md" in names:
            text = fetched("README.md")
            if text.stat().st_size <= _MOST_CARD:
                match = _DIGEST.search(read_input(text).decode("utf-8", "replace"))
                stated = match[1] if match else ""
        downloaded = fetched(INDEX_FILE)
    note("check")
    with tempfile.TemporaryDirectory(prefix=".imindex-pull-", dir=out.absolute().parent) as folder:
        copy = Path(folder) / out.name
        copy_file(downloaded, copy)
        faults = verify(copy).faults
        if faults:
            raise ImindexError(
                f"What {repository} holds is damaged: {faults[0].where}: {faults[0].said}. Nothing was written. "
                "Ask its owner to upload it again."
            )
        with Index(copy) as index:
            rows, root = index.n, index.root_digest
        if stated and stated != root:
            raise ImindexError(
                f"The card of {repository} states the root digest {stated[:12]}, and the index has {root[:12]}. "
                "Nothing was written. Ask its owner which one is right."
            )
        copy_file(copy, out)
    return Pulled(repository, commit, out, rows, root, stated)


def _require_name(repository: str) -> None:
    if not _REPOSITORY.fullmatch(repository) or ".." in repository:
        raise ImindexError(f"{repository} is no repository. Write OWNER/NAME.")


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


@contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """Say what a hub's refusal means. The token is never in the message."""
    from huggingface_hub import errors

    try:
        yield
    except ImindexError:
        raise
    except errors.OfflineModeIsEnabled as error:
        raise ImindexError("HF_HUB_OFFLINE is set, so no hub is asked. Unset it.") from error
    except errors.GatedRepoError as error:
        raise ImindexError(
            f"{repository} is gated: its owner must let you in. Ask for access on its page."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ImindexError(f"{repository} has no such revision. Name another one with --revision.") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        meaning = _MEANING.get(status, "try again later" if status >= 500 else "it refuses the request")
        raise ImindexError(f"The hub answers {status} for {repository}: {meaning}.") from error
    except Exception as error:
        # The library that carries its requests differs between versions, and so do the types of its errors.
        if isinstance(error, (OSError, ValueError)) or type(error).__module__.startswith(
            ("http", "requests", "urllib")
        ):
            raise ImindexError(
                f"The hub cannot be reached for {repository}, or its answer cannot be used ({type(error).__name__}). "
                "Try again."
            ) from error
        raise
