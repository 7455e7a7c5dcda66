"""The encoders of a plan and the protocol by which they were chosen: read them, write them, and check them later."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name
from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.input_files import read_input, read_text
from imindex.retrieval.audit.models import encoder_arguments
from imindex.retrieval.audit.plan import Plan, plan_of
from imindex.retrieval.audit.plan_template import toml_text
from imindex.retrieval.protocol.encode import Candidate
from imindex.retrieval.results import ComparedEncoder, EncoderComparison

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def candidates_of(plan: Plan) -> list[Candidate]:
    """Return the encoders of a plan, with paths as this process reaches them."""
    found = []
    for spec in plan.encoders:
        arguments = encoder_arguments(plan, spec)
        found.append(
            Candidate(
                name=spec.name,
                model=arguments["model"],
                pretrained=arguments["pretrained"] or "",
                precision=spec.precision,
                color=spec.color,
                preprocess_from=spec.preprocess_from or "",
            )
        )
    return found


def works_of(plan: Plan) -> list[str]:
    """Return the sources of a plan's works: of tested artists, and of others."""
    return [plan.source(source) for source in (plan.works, plan.background) if source]


def read_groups(path: Path) -> dict[str, str]:
    """Read the groups of artists from a CSV with the columns artist and group.

    Raises
    ------
    ImindexError
        The file does not exist, lacks a column, or lists an artist with two groups.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, encoding="utf-8-sig"))))
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Pass a CSV with the columns artist and group.") from None
    except UnicodeDecodeError as error:
        raise ImindexError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    groups: dict[str, str] = {}
    for row in rows:
        if row.get("artist") is None or row.get("group") is None:
            raise ImindexError(f"{path} lacks a column. It needs artist and group in its first line.")
        artist, group = clean_name(row["artist"]), row["group"].strip()
        if groups.setdefault(artist, group) != group:
            raise ImindexError(f"{path} lists {artist!r} in two groups. List each artist once.")
    return groups


def choose_encoders(
    plan: Path, names: Sequence[str], file: Path, result: EncoderComparison, *, target: Path
) -> Iterator[str]:
    """Write encoders of a comparison into a plan, in the place of those that it has.

    Parameters
    ----------
    plan : Path
    names : sequence of str
        Names of encoders in `result`.
    file : Path
        The comparison, as it was written. The plan records its path, relative to the plan, and its SHA-256.
    result : EncoderComparison
    target : Path
        Receives the plan; it may be `plan`.

    Yields
    ------
    str
        Sentences about what was written.

    Raises
    ------
    ImindexError
        The comparison does not have an encoder of that name, or the plan cannot be changed without changing more.
    """
    chosen = [_of_name(result, name) for name in names]
    text = read_text(plan)
    before = tomllib.loads(text)
    changed = _with_encoders(text, [_table(one, file, result, target) for one in chosen])
    try:
        after = tomllib.loads(changed)
    except ValueError:  # such as encoders = [...], to which no [[encoders]] can be added
        after = {"encoders": ()}
    if {**before, "encoders": None} != {**after, "encoders": None} or len(after["encoders"]) != len(chosen):
        raise ImindexError(
            f"{plan}: its [[encoders]] cannot be replaced without changing other keys. Write them by hand; "
            "docs/choose_an_encoder.md shows the keys."
        )
    plan_of(target, changed)
    write_file(target, changed.encode())
    rule = result.recommendation
    for one in chosen:
        if one.name != rule.highest and one.name not in rule.not_told_apart:
            yield (
                f"Note: {one.name} is shown to have a lower mean average precision than {rule.highest}. The plan "
                "records the comparison, so a reader sees that another encoder was recommended."
            )
    if result.imitations_present:
        yield "Note: imitations were in an index when the encoders were compared. The plan's audit says so."
    yield f"Wrote {', '.join(one.name for one in chosen)} into {target}, chosen by {file}."


def _of_name(result: EncoderComparison, name: str) -> ComparedEncoder:
    try:
        return result.encoder(name)
    except KeyError:
        listed = ", ".join(one.name for one in result.encoders)
        raise ImindexError(f"The comparison has no encoder {name}. It has {listed}.") from None


def _table(encoder: ComparedEncoder, file: Path, result: EncoderComparison, target: Path) -> str:
    values = {
        "name": encoder.name,
        "model": encoder.model,
        **({"pretrained": encoder.pretrained} if encoder.pretrained else {}),
        "precision": encoder.precision,
        **({"preprocess_from": encoder.preprocess_from} if encoder.preprocess_from else {}),
        **({"color": encoder.color} if encoder.color != "srgb" else {}),
        "chosen_by": Path(os.path.relpath(file, target.parent)).as_posix(),
        "chosen_sha256": hashlib.sha256(read_input(file)).hexdigest(),
        "chosen_on": result.created,
    }
    lines = [f"{key} = {toml_text(value)}" for key, value in values.items()]
    return "\n".join(["[[encoders]]", *lines, ""])


_HEADER = re.compile(r"^\s*\[")
_ENCODERS = re.compile(r"^\s*\[\[\s*encoders\s*\]\]")


def _with_encoders(text: str, tables: Sequence[str]) -> str:
    """Replace the [[encoders]] of a TOML text, or add them at the end.

    Lines of comments stay; those from inside a table come after the new tables, as do blank lines after its last key.
    """
    kept: list[str] = []
    blank: list[str] = []
    place: int | None = None
    inside = False
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if _HEADER.match(line):
            inside = bool(_ENCODERS.match(line))
            if inside and place is None:
                place = len(kept)
        elif inside and not bare:
            blank.append(line)
            continue
        if not inside or bare.startswith("#"):
            kept += [*blank, line]
        blank = []
    kept += blank
    block = "\n".join(tables)
    if place is None:
        ending = "" if not kept or kept[-1].endswith("\n") else "\n"
        return "".join([*kept, ending, "\n", block, "\n"])
    after = kept[place:]
    gap = "\n" if after and after[0].strip() else ""
    return "".join([*kept[:place], block, gap, *after])
