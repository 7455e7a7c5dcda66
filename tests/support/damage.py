"""Damaged indexes and odd files, and commands that must end on them with an error for people.

    python -m tests.support.damage FOLDER --model MODEL [--seconds 600] [--seed 0]

Each kind of damage leaves a file that is opened as an index, but whose content no build would write. `outcome` runs a
command on it in this process: it ends with exit code 0, or with 1 or 2 and an `Error:`, never with a traceback, a
defect or a hang.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from click.testing import CliRunner

from imindex import main
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write

LIMIT = 60
"""Seconds after which a command has hung."""
Damage = Callable[[h5py.File], None]


def vectors(change: Callable[[np.ndarray], None], kind: str = "") -> Damage:
    """Change the vectors of a kind of pictures, or of all, in a table of (rows, dim) float16."""

    def damage(file: h5py.File) -> None:
        kinds = [text.decode() for text in file["collections/kind"][:]]
        rows = [not kind or kinds[number] == kind for number in file["items/collection"][:]]
        table = file["vectors"][:]
        chosen = table[rows]
        change(chosen)
        table[rows] = chosen
        file["vectors"][:] = table

    return damage


def at(row: int, value: float) -> Callable[[np.ndarray], None]:
    """Set one number of one row."""

    def change(table: np.ndarray) -> None:
        table[row, 0] = value

    return change


def rows(value: float) -> Callable[[np.ndarray], None]:
    """Set every number."""

    def change(table: np.ndarray) -> None:
        table[:] = value

    return change


def times(factor: float, row: int | slice = slice(None)) -> Callable[[np.ndarray], None]:
    """Multiply rows."""

    def change(table: np.ndarray) -> None:
        table[row] *= np.float16(factor)

    return change


def texts(name: str, value: str) -> Damage:
    """Replace every text of a column."""

    def damage(file: h5py.File) -> None:
        n = len(file[name])
        del file[name]
        file.create_dataset(name, data=[value] * n, dtype=h5py.string_dtype("utf-8"))

    return damage


def numbers(name: str, value: int) -> Damage:
    """Replace every number of a column."""

    def damage(file: h5py.File) -> None:
        file[name][...] = value

    return damage


def attribute(group: str, name: str, value: Any) -> Damage:
    """Replace an attribute."""

    def damage(file: h5py.File) -> None:
        file[group].attrs[name] = value

    return damage


def preprocess(**change: Any) -> Damage:
    """Change the preprocessing that an index says of its encoder; None removes the key."""

    def damage(file: h5py.File) -> None:
        said = json.loads(file["encoder"].attrs["preprocess"])
        said = {key: value for key, value in {**said, **change}.items() if value is not None}
        file["encoder"].attrs["preprocess"] = json.dumps(said)

    return damage


VECTORS: dict[str, Damage] = {
    "a NaN among the works": vectors(at(0, np.nan), "works"),
    "a NaN among the imitations": vectors(at(-1, np.nan), "imitations"),
    "an infinity among the works": vectors(at(0, np.inf), "works"),
    "an infinity among the imitations": vectors(at(0, -np.inf), "imitations"),
    "all NaN": vectors(rows(np.nan)),
    "all infinite": vectors(rows(np.inf)),
    "a zero vector among the works": vectors(times(0, 0), "works"),
    "all zero": vectors(rows(0)),
    "works of norm 5": vectors(times(5), "works"),
    "an imitation of norm 5": vectors(times(5, 0), "imitations"),
    "largest numbers": vectors(rows(65504)),
}
"""Vectors that are not finite, or not of unit length."""
ENCODERS: dict[str, Damage] = {
    "unknown precision": attribute("encoder", "precision", "fp7"),
    "no precision": attribute("encoder", "precision", ""),
    "another dim in the configuration": attribute("encoder", "config", '{"embed_dim": 3}'),
    "configuration of text": attribute("encoder", "config", '{"embed_dim": "many", "vision_cfg": []}'),
    "no size": preprocess(size=None),
    "size of text": preprocess(size="large"),
    "negative size": preprocess(size=[-1, 5]),
    "huge size": preprocess(size=[10**9, 10**9]),
    "size of nothing": preprocess(size=[]),
    "mean of one number": preprocess(mean=[0.5]),
    "mean of text": preprocess(mean="grey"),
    "mean that is not finite": preprocess(mean=[float("nan")] * 3),
    "std of zero": preprocess(std=[0, 0, 0]),
    "unknown resize mode": preprocess(resize_mode="stretch"),
    "colour of text": preprocess(fill_color="white"),
    "empty preprocess": attribute("encoder", "preprocess", "{}"),
    "name with markup": attribute("encoder", "model", "[/] \x1b[2J"),
}
"""What an index says of its encoder."""
COLUMNS: dict[str, Damage] = {
    "command with an open quote": texts("log/command", "imindex build 'ada -i i.h5"),
    "command with an escape at its end": texts("log/command", "imindex build ada \\"),
    "command of nothing": texts("log/command", ""),
    "versions that are not JSON": texts("log/versions", "{"),
    "versions that are a list": texts("log/versions", "[1, 2]"),
    "versions nested deeply": texts("log/versions", "[" * 20_000),
    "times that are none": texts("log/when", "yesterday"),
    "generator that is not JSON": texts("collections/generator", "{"),
    "kinds that are unknown": texts("collections/kind", "sculpture"),
    "one name for all artists": texts("artists/name", "ada"),
    "names with markup": texts("artists/name", "[/] [link=x]a[/link]\x1b[2J"),
    "empty names": texts("artists/name", ""),
    "one name for all collections": texts("collections/name", "r1"),
    "sizes below zero": numbers("items/width", -5),
    "nobody's pictures": numbers("items/artist", -1),
    "pictures of an unknown artist": numbers("items/artist", 10_000),
    "pictures of an unknown collection": numbers("items/collection", -7),
    "the same bytes everywhere": numbers("items/sha256", 7),
    "no creation": attribute("/", "created-at", ""),
    "ann of an unknown kind": attribute("ann", "kind", "magic"),
    "ann without its record": attribute("ann", "parameters", "{"),
}
"""Columns and attributes of other meanings."""
EVERY = {**VECTORS, **ENCODERS, **COLUMNS}


def damaged(path: Path, target: Path, damage: Damage) -> Path:
    """Copy an index, and damage the copy."""
    shutil.copy(path, target)
    with h5py.File(target, "r+", locking=False) as file:
        damage(file)
    return target


def forged(path: Path) -> bool:
    """Write a damaged index again, with the digests of what it holds now; False if it cannot be written."""
    new = path.with_suffix(".new")
    try:
        with Index(path) as index:
            how = {"ann": index.ann(), "ann_data": bytes(index.ann_data())}
            line = entry("imindex build", "", index.root_digest)
            write(new, index.contents(), index.blocks(), entry=line, **how)
    except (ImindexError, ValueError, IndexError):
        new.unlink(missing_ok=True)
        return False
    new.replace(path)
    return True


def commands(root: Path, model: str) -> dict[str, list[object]]:
    """Return every command that reads an index, without -i; `root` holds pictures as `two_releases` draws them."""
    picture = root / "works/ada/0.png"
    encoder = ["--model", model, "--device", "cpu"]
    quick = ["--resamples", 99]
    return {
        "info": ["info", "--artists", "--rejects", "--duplicates", "--provenance"],
        "info --json": ["info", "--json"],
        "query a picture": ["query", picture, *encoder],
        "query by text": ["query", "--text", "a red picture", *encoder],
        "query an artist": ["query", picture, "--artist", "ada", "--exact", "--json", *encoder],
        "classify by name": ["classify", "--collection", "r2", *encoder, *quick],
        "classify by works": ["classify", "--collection", "r2", "--by", "works", *quick],
        "classify untested": ["classify", "--collection", "r2", "--by", "works", "--no-tests", "--json"],
        "match": ["match", "--collection", "r2", "--placebo", "placebo *", *quick],
        "match by csls": ["match", "--collection", "r2", "--csls", "--no-tests"],
        "match by work": ["match", "--collection", "r2", "--unit", "work", *quick],
        "match and report": ["match", "--collection", "r2", *quick, "--report", root / "match.html"],
        "ranks": ["match", "--collection", "r2", "--no-tests", "--ranks", root / "ranks.npz"],
        "compare": ["compare", "r1", "r2", "--placebo", "placebo *", *encoder, *quick],
        "power": ["power", "--collection", "r2", "--artists", 2, *quick],
        "export": ["export", root / "exported", "--force"],
        "optimize": ["optimize"],
        "optimize by graph": ["optimize", "--kind", "hnsw"],
        "optimize to exact": ["optimize", "--kind", "exact"],
        "migrate": ["migrate"],
        "remove dry": ["remove", "--artist", "ada", "--dry-run"],
        "remove an artist": ["remove", "--artist", "ada"],
        "remove a collection": ["remove", "--collection", "r1"],
        "build again": ["build", root / "both.jsonl", *encoder],
        "build with more": [
            "build",
            root / "r1",
            "--kind",
            "imitations",
            "--collection",
            "r3",
            *encoder,
            "--rehash",
        ],
        "prune": ["build", root / "r1.jsonl", "--prune", *encoder],
        "verify": ["verify"],
        "verify pictures": ["verify", "--pictures"],
        "replay": ["verify", "--replay", 2, *encoder],
        "seal": ["seal", "--out", root / "seal.json", "--force"],
        "doctor": ["doctor", *encoder],
    }


WRITERS = ("optimize", "migrate", "remove", "build", "prune")
"""First words of the names of commands that replace the index."""


class Hung(BaseException):
    """A command took too long."""


@contextlib.contextmanager
def time_limit(seconds: int = LIMIT) -> Iterator[None]:
    """Raise `Hung` in the main thread after this many seconds."""

    def ring(number: int, frame: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes
    ----------
    code : int
    said : str
        Its stderr.
    fault : str
        Why it should not have ended like that; empty if it is as it should be.
    """

    code: int
    said: str
    fault: str


def outcome(words: list[object]) -> Outcome:
    """Run a command, and judge how it ended."""
    try:
        with time_limit():
            result = CliRunner().invoke(main, [str(word) for word in words])
    except Hung:
        return Outcome(-1, "", "it hangs")
    said = result.stderr
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return Outcome(result.exit_code, said, f"an exception: {result.exception!r}")
    if "Traceback" in result.output or "a defect in imindex" in result.output:
        return Outcome(result.exit_code, said, "a traceback, or a defect")
    if result.exit_code in (1, 2) and "Error: " not in said and "fault" not in result.output:
        return Outcome(result.exit_code, said, "an exit code without an error")
    if result.exit_code not in (0, 1, 2, 3, 4):
        return Outcome(result.exit_code, said, f"the exit code {result.exit_code}")
    if any(
        (ord(letter) < 32 and letter not in "\n") or ord(letter) in range(127, 160)
        for letter in result.output
    ):
        return Outcome(result.exit_code, said, "a control character on the terminal")
    return Outcome(result.exit_code, said, "")
