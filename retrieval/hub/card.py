"""The card of a dataset repository: what the index holds, how it was made, and what it does and does not show."""

from __future__ import annotations

from collections import Counter

from imindex.indexer.core.provenance import program
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.store.index import Index

INDEX_FILE = "index.h5"
TABLE_FILE = "items.parquet"
_LISTED = 50


def card(index: Index, *, license: str, title: str, thumbnails: bool, table: bool) -> str:
    """Return the README.md of a repository, with its YAML head.

    Parameters
    ----------
    index : Index
    license : str
        An identifier as the hub takes it, such as cc-by-4.0, or other.
    title : str
    thumbnails, table : bool
        Whether the repository holds them.
    """
    counts = Counter(index.column("collection").tolist())
    encoder = index.encoder
    sets = "\n".join(
        f"| {_cell(one.name)} | {one.kind} | {counts.get(place, 0):,} |"
        for place, one in enumerate(index.collections)
    )
    artists = [name for name in index.artists if name]
    listed = ", ".join(_cell(name) for name in artists[:_LISTED])
    more = f" and {len(artists) - _LISTED:,} more" if len(artists) > _LISTED else ""
    head = [
        "---",
        f"license: {_yaml(license)}",
        f"pretty_name: {_yaml(title)}",
        "tags:",
        "- imindex",
        "- embeddings",
    ]
    if table:
        head += ["configs:", "- config_name: default", f"  data_files: {TABLE_FILE}"]
    head.append("---")
    parts = [
        "\n".join(head),
        f"# {_cell(title)}",
        f"An index of {index.n:,} pictures, made with [imindex](https://pypi.org/project/imindex/) "
        "to measure how well image models imitate named artists.",
        f"| collection | kind | pictures |\n|---|---|---|\n{sets}",
        f"Names ({len(artists):,}): {listed}{more}. Among them may be invented names, which serve as references.",
        "| what | value |\n|---|---|\n"
        f"| encoder | {_cell(encoder.name())} |\n| digest of its weights | `{encoder.weights_sha256}` |\n"
        f"| length of a vector | {encoder.dim} |\n"
        f"| root digest | `{index.root_digest}` |\n| written by | {program()} |",
        "The root digest covers every column and vector. `imindex pull` compares it, and `imindex verify` "
        "checks the file.",
        "## Use\n\n```sh\nimindex pull THIS/REPOSITORY -o audit.h5\nimindex query picture.png -i audit.h5\n```",
        "## What it does and does not show\n\n"
        "Vectors and names are here; the pictures are "
        + ("here as thumbnails only. " if thumbnails else "not. ")
        + "Nearness of two pictures is a lead, not proof that one was made after the other. Nothing here says that an "
        "artist was imitated: that takes tests with invented names as references (`imindex audit`), whose report "
        "states its error rates. Vectors may allow conclusions about the pictures that they were computed from.",
    ]
    if is_demonstration(encoder.weights_sha256):
        parts.insert(
            2, "**The encoder is for demonstration only. Nothing computed from this index is evidence.**"
        )
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    """Return a text for a cell of a Markdown table: nothing in it is markup or a link."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    for mark in "&\\`*_{}[]()<>#|!":
        plain = plain.replace(
            mark, f"\\{mark}" if mark not in "<>&" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}[mark]
        )
    return plain


def _yaml(text: str) -> str:
    from imindex.indexer.core.json_text import json_text

    return json_text(text)
