"""Read the key of a panel and the answers of its raters, and refuse what was damaged, edited or is of another panel."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.input_files import read_text
from imindex.retrieval.panel.sealing import KEY, key_digest
from imindex.retrieval.results import PanelAnswers, PanelKey, PanelSheet, from_json


@dataclass(frozen=True)
class Read:
    """The answers of one rater, and the file that they come from."""

    path: Path
    answers: PanelAnswers


def read_key(path: Path) -> PanelKey:
    """Read the key of a panel.

    Parameters
    ----------
    path : Path
        The file, or the folder that holds it as key.json.

    Raises
    ------
    ImindexError
        There is no key, it cannot be read, or it was changed since it was written.
    """
    file = path / KEY if path.is_dir() else path
    try:
        key = from_json(PanelKey, read_text(file), str(file))
    except FileNotFoundError:
        raise ImindexError(
            f"{file} does not exist. Name the key of a panel, or the folder that holds it."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ImindexError(f"{file} cannot be read: {error}. Restore it from a backup.") from error
    if key_digest(key) != key.digest:
        raise ImindexError(
            f"{file} was changed since the panel was made: its digest is wrong. Restore it from a backup. The pages "
            "quote the digest of the right key."
        )
    known = {one.id for one in key.pictures}
    for trial in key.trials:
        if not known.issuperset((trial.a, trial.b, *trial.works)):
            raise ImindexError(f"{file}: a trial has a picture that is not listed. Restore it from a backup.")
    if any(shown.trial >= len(key.trials) for sheet in key.sheets for shown in sheet.shown):
        raise ImindexError(f"{file}: a page has a trial that is not listed. Restore it from a backup.")
    return key


def read_answers(key: PanelKey, paths: Sequence[Path]) -> list[Read]:
    """Read the answers of the raters of a panel, in the order of their pages.

    Parameters
    ----------
    key : PanelKey
    paths : sequence of Path
        Files, or folders with files whose names end in .json.

    Raises
    ------
    ImindexError
        There are none; or a file is damaged, was edited, is of another panel, or is there twice.
    """
    sheets = {sheet.number: sheet for sheet in key.sheets}
    found = [_read(key, sheets, path) for path in _files(paths)]
    if not found:
        raise ImindexError(
            "There are no answers. Name the files that the raters have saved, or their folder."
        )
    by_rater: dict[str, Path] = {}
    by_sheet: dict[int, Path] = {}
    for one in found:
        rater, sheet = one.answers.rater, one.answers.sheet
        if rater in by_rater:
            raise ImindexError(
                f"{one.path} and {by_rater[rater]} are of the same rater, {rater}. Keep the file with all answers."
            )
        if sheet in by_sheet:
            raise ImindexError(
                f"{one.path} and {by_sheet[sheet]} are answers to the same page, {sheet}, by two rater codes. They may "
                "be of one person who began again. Keep one of them, and give each rater an own page."
            )
        by_rater[rater], by_sheet[sheet] = one.path, one.path
    return sorted(found, key=lambda one: one.answers.sheet)


def answers_digest(answers: PanelAnswers) -> str:
    """Return the SHA-256 that a page computes over its answers, as lines of text."""
    lines = [
        answers.format, answers.version, answers.panel, str(answers.sheet), answers.rater,
        *(f"{one.id} {one.side} {one.ms}" for one in answers.answers),
    ]  # fmt: skip
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _files(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for path in paths:
        listed = sorted(path.glob("*.json")) if path.is_dir() else [path]
        for file in listed:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _read(key: PanelKey, sheets: dict[int, PanelSheet], path: Path) -> Read:
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Name a file of answers.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ImindexError(f"{path} cannot be read: {error}. Ask the rater to save it again.") from error
    try:
        answers = from_json(PanelAnswers, text, str(path))
    except ImindexError as error:
        what = str(error).removesuffix(" Restore it or compute it again.")
        raise ImindexError(
            f"{what} It is no file of answers, or is damaged: ask the rater to save it again."
        ) from error
    if answers.panel != key.digest:
        raise ImindexError(
            f"{path} holds answers of another panel ({answers.panel[:12]}, not {key.digest[:12]}). Read it with the "
            "key of that panel."
        )
    if answers_digest(answers) != answers.digest:
        raise ImindexError(
            f"{path} was damaged or edited since the page wrote it: its digest is wrong. Ask the rater to save it "
            "again."
        )
    if answers.sheet not in sheets:
        raise ImindexError(f"{path} is of page {answers.sheet}, which the key does not have. Leave it out.")
    _check_order(path, answers, sheets[answers.sheet])
    return Read(path, answers)


def _check_order(path: Path, answers: PanelAnswers, sheet: PanelSheet) -> None:
    given = [one.id for one in answers.answers]
    expected = [one.id for one in sheet.shown]
    if given == expected[: len(given)]:
        return
    if len(set(given)) < len(given):
        fault = "a trial is answered twice"
    elif not set(given) <= set(expected):
        fault = "it has a trial that page does not show"
    else:
        fault = "trials are missing, or in another order than on the page"
    raise ImindexError(
        f"{path} does not fit page {sheet.number}: {fault}. The page cannot write this, so leave the file out."
    )
