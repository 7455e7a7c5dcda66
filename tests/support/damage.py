"""Damaged indexes and odd files, and commands that must end on them with an error for people.

Each kind of damage leaves a file that is opened as an index, but whose content no build would write. `outcome` runs a
command on it in this process: it ends with exit code 0, or with 1 or 2 and an `Error:`, never with a traceback, a
defect or a hang.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import signal
import time
from collections import Counter
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
from tests.support.reports import write_report

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
        "remove an artist": ["remove", "--artist", "ada", "--yes"],
        "remove a collection": ["remove", "--collection", "r1", "--yes"],
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
        "prune": ["build", root / "r1.jsonl", "--prune", "--yes", *encoder],
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
        (ord(letter) < 32 and letter not in "\n\t") or ord(letter) in range(127, 160)
        for letter in result.output
    ):
        return Outcome(result.exit_code, said, "a control character on the terminal")
    return Outcome(result.exit_code, said, "")


# Reports and plans

EXTREMES: tuple[Any, ...] = (
    None, True, -1, 0, 7.5, 1e-300, 1e300, 10**9, 10**30, float("nan"), float("inf"), "", "[/] \x1b[2J", "x" * 5_000,
    "\ud800", [], [[[]]], {}, {"a": {}}, "nan",
)  # fmt: skip
"""What a value of a report or a plan may be replaced by."""
REPORT: dict[str, Any] = {
    "encoders": [{"name": "tiny", "weights_sha256": "0" * 64, "precision": "fp32"}],
    "releases": [{"name": "r1", "rivals": [], "n_placebo_names": 39}],
    "results": [
        {
            "release": "r1", "encoder": "tiny", "summary": {"fewest_findable": 1},
            "artists": [
                {"artist": name, "auc": 0.7, "top1": 0.5, "finding": "imitated"} for name in ("ada", "bo", "cy")
            ],
            "copies": {"pairs": [{"copy": True, "candidate": True, "decided": ""}]},
        }
    ],
    "plan": {
        "artists": ["ada", "bo", "cy"],
        "tests": {"level": 0.05, "adjust": "holm", "n_resamples": 99, "confidence_level": 0.95, "seed": 0},
    },
}  # fmt: skip
PLAN: dict[str, Any] = {
    "title": "A plan", "seed": 7, "rivals": "none",
    "artists": {"tested": ["ada", "bo"], "origins": {"ada": "polish"}},
    "works": {"tested": "works"},
    "releases": [
        {"name": "r1", "model": "models/one", "steps": 2, "guidance": 7.5, "size": "32x32", "lora_scale": 1.0},
    ],
    "prompts": {
        "templates": ["Artwork from {artist}"], "per_artist": 2, "placebos": 3, "nameless": 1,
        "generic": ["A painting"], "per_generic": 1,
    },
    "encoders": [{"name": "tiny", "model": "demo"}],
    "tests": {"level": 0.05, "adjust": "bh", "n_resamples": 99, "confidence_level": 0.9, "copies_rate": 0.05},
    "compare": {"base": "r1", "margin": 0.1}, "gate": {"fail_if": ["auc > 0.9"]},
}  # fmt: skip


def mutated(value: Any, rng: np.random.Generator) -> Any:
    """Return a copy of nested lists and dicts in which one to three values are replaced, repeated or removed."""
    whole = copy.deepcopy({"": value})
    for _ in range(int(rng.integers(1, 4))):
        place: Any = whole
        key: Any = ""
        while isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.85:
            place = place[key]
            key = rng.choice(list(place)) if isinstance(place, dict) else int(rng.integers(len(place)))
            key = str(key) if isinstance(place, dict) else key
        what = rng.random()
        if what < 0.7 or place is whole:
            place[key] = copy.deepcopy(EXTREMES[int(rng.integers(len(EXTREMES)))])
        elif what < 0.85 and isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
        else:
            del place[key]
    return whole[""]


def toml(value: Any) -> str:
    """Write a value in TOML; what TOML cannot hold is written as it is, and is a mistake in the plan."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def fuzz(
    root: Path, model: str, numbers: Iterator[int], seconds: float
) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Run commands on damaged indexes, odd reports and odd plans until the numbers or the time are used up.

    Parameters
    ----------
    root : Path
        A folder with the pictures of `tests.support.two_releases` and their index, i.h5. Files are written into it.
    model : str
    numbers : iterator of int
        Each is a case; the same number gives the same case.
    seconds : float

    Returns
    -------
    counts : Counter
        By exit code.
    finds : list of dict
        The cases that did not end as they should.
    """
    began, counts, finds = time.monotonic(), Counter[str](), []
    for name in ("old", "new"):
        (root / name).mkdir(exist_ok=True)
    write_report(root / "old", REPORT)
    every, kinds = commands(root, model), list(EVERY)
    for number in numbers:
        if time.monotonic() - began > seconds:
            break
        rng = np.random.default_rng(number)
        what = ("index", "report", "plan")[number % 3]
        if what == "index":
            kind, name = kinds[int(rng.integers(len(kinds)))], list(every)[int(rng.integers(len(every)))]
            path = damaged(root / "i.h5", root / "damaged.h5", EVERY[kind])
            seal = rng.random() < 0.5 and forged(path)
            words, case = [*every[name], "-i", path], f"{name}, with {kind}{', forged' if seal else ''}"
        elif what == "report":
            odd = mutated(REPORT, rng)
            try:
                write_report(root / "new", odd)
            except (AttributeError, TypeError, ValueError):  # nothing to write a digest of
                (root / "new/report.json").write_text(json.dumps(odd), encoding="utf-8")
            words, case = ["compare", root / "old", root / "new", "--fail-if", "auc > 0.9"], repr(odd)[:500]
        else:
            odd = mutated(PLAN, rng)
            lines = odd.items() if isinstance(odd, dict) else [("odd", odd)]
            text = "\n".join(f"{key} = {toml(value)}" for key, value in lines)
            (root / "plan.toml").write_text(text, encoding="utf-8", errors="surrogatepass")
            words, case = ["audit", root / "plan.toml", "--dry-run", "--device", "cpu"], text[:500]
        ended = outcome(words)
        counts[f"{what}: exit code {ended.code}"] += 1
        if ended.fault:
            finds.append({"number": number, "case": case, "how": ended.fault, "said": ended.said[-1500:]})
    return counts, finds
