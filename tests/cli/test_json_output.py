"""JSON that other programs read: no NaN, seeds as strings, no number beyond 53 bits, and cosines of at most 1."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from imindex import COMMANDS
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text, parse_json
from imindex.indexer.generate.generate import missing
from imindex.indexer.generate.prompts import shots
from imindex.retrieval.results import CopyPair, PlannedTests, Report, from_dict, from_json, to_dict, to_json
from imindex.retrieval.results.schema import schema
from tests.support.commands import run
from tests.support.panels import written_panel
from tests.support.places import ROOT

BIG = 2**63 - 1
"""A seed that a double rounds to 2**63."""
WITHOUT_JSON = {"serve", "pull", "demo", "completion"}


def strictly(text: str) -> Any:
    """Parse JSON as a strict reader does, and check what such readers stumble on."""
    value = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    for path, leaf in leaves(value):
        if isinstance(leaf, int) and not isinstance(leaf, bool):
            assert abs(leaf) < 2**53, (path, leaf)
            assert path.rpartition(".")[2] not in ("seed", "seeds"), (path, leaf)
        if isinstance(leaf, float) and path.rpartition(".")[2] in ("cosine", "best", "least", "replay-text"):
            assert -1 <= leaf <= 1, (path, leaf)
    return value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


def test_every_command_prints_json_that_strict_readers_take(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built.parent, tmp_path / "b")
    index, art, seed = folder / "i.h5", folder / "art", str(BIG)
    of_index = ["-i", index, "--json"]
    on = ["--device", "cpu", "--trust-encoder"]
    panel = written_panel(tmp_path / "panel")
    spread = ["--effect", "0.1", "--between-sets", "0.05", "--within-set", "0.2"]
    lines = {
        "doctor": [*of_index, *on],
        "query": [art / "works/ada/0.png", *of_index, *on],
        "match": [*of_index, "--seed", seed, "--resamples", "99"],
        "classify": [*of_index, *on, "--seed", seed, "--resamples", "99"],
        "compare": ["r1", "r1", *of_index, *on, "--seed", seed, "--resamples", "99"],
        "power": ["--json", *spread, "--resamples", "99", "--seed", seed],
        "optimize": [*of_index, "--seed", seed],
        "info": of_index,
        "verify": [*of_index, "--replay", "2", "--seed", seed, *on],
        "seal": of_index,
        "map": [*of_index, "--method", "pca"],
        "push": ["a/b", *of_index, "--license", "other", "--dry-run"],
        "export": [tmp_path / "out", *of_index],
        "remove": [*of_index, "--artist", "ada", "--yes"],
        "migrate": of_index,
        "split": [index, "--rows", "5", "-o", tmp_path / "parts", "--json"],
        "merge": [tmp_path / "parts/i-*.h5", "-o", tmp_path / "all.h5", "--json"],
        "fetch": [tmp_path / "urls.csv", tmp_path / "f", "--dry-run", "--json"],
        "generate": [
            "--model",
            "m",
            "--artist",
            "A",
            "--out",
            tmp_path / "g",
            "--dry-run",
            "--json",
            "--seed",
            seed,
        ],
        "build": [art, *of_index, "--device", "cpu", "--trust-encoder"],
        "encoders": ["list", "--json"],
        "audit": ["run", tmp_path / "plan.toml", "--dry-run", "--json", "--device", "cpu"],
        "panel": ["read", panel, panel / "answers", "--json"],
    }
    assert {*lines, *WITHOUT_JSON} == set(COMMANDS)
    run("audit", "init", tmp_path / "plan.toml")
    (tmp_path / "urls.csv").write_text("url,artist\nhttps://a.example/1.jpg,A\n")
    for command, words in lines.items():
        code = 1 if command in ("audit", "compare") else 0  # neither a model nor a second release is here
        result = run(command, *words, code=code)
        if not code:
            said = strictly(result.stdout)
            if command in ("match", "power"):
                assert f'"seed": "{BIG}"' in json.dumps(said), command
    strictly((tmp_path / "out/index.json").read_text())


def test_comparisons_are_json_that_strict_readers_take(two_releases: Path) -> None:
    words = (
        "compare",
        "r1",
        "r2",
        "-i",
        two_releases / "i.h5",
        "--resamples",
        "99",
        "--seed",
        BIG,
        "--device",
        "cpu",
    )
    said = strictly(run(*words, "--no-names", "--json").stdout)
    assert said["testing"]["seed"] == str(BIG)


TESTS = PlannedTests(level=0.05, adjust="holm", n_resamples=99, confidence_level=0.95, seed=BIG)


def test_seeds_are_strings_in_json_and_numbers_are_read_too() -> None:
    said = strictly(to_json(TESTS).decode())
    assert said["seed"] == str(BIG)
    again = from_json(PlannedTests, to_json(TESTS))
    assert again == TESTS and type(again.seed) is int
    for seed in (BIG, 0, str(BIG), "0", "007"):
        assert from_dict(PlannedTests, {**said, "seed": seed}).seed == int(seed)
    for bad in ("", "7.0", "0x1", "1e3", str(BIG + 1), BIG + 1, "-1", -1, True, 1.0, [7], None, "٣"):
        with pytest.raises(ImindexError, match=r"seed: expected"):
            from_dict(PlannedTests, {**said, "seed": bad})


def test_the_schema_says_that_seeds_are_strings() -> None:
    parts = schema(Report)["$defs"]
    seeds = {
        name: part["properties"]["seed"]
        for name, part in parts.items()
        if "seed" in part.get("properties", {})
    }
    assert len(seeds) == 6
    for name, part in seeds.items():
        kinds = [one.get("type") for one in part.get("anyOf", [part])]
        assert kinds[0] == "string" and set(kinds) <= {"string", "null"}, (name, part)


def test_seeds_that_are_not_known_stay_so() -> None:
    pair = CopyPair(artist="a", imitation="i", prompt=None, seed=None, work="w", work_artist="a", cosine=0.5)
    for seed, written in ((None, None), (-1, "-1"), (BIG, str(BIG)), (np.int64(5), "5")):
        value = to_dict(replace(pair, seed=seed))
        assert value["seed"] == written
        assert from_dict(CopyPair, value).seed == seed


def test_manifests_have_seeds_as_text_and_those_with_numbers_are_gone_on_with(tmp_path: Path) -> None:
    wanted = shots(["Ada"], per_artist=2, seed=BIG)
    lines = [
        {"path": shot.path, "sha256": "0" * 64, "prompt": shot.prompt, "seed": seed, "blocked": ""}
        for shot, seed in zip(wanted, (str(wanted[0].seed), wanted[1].seed), strict=True)
    ]
    (tmp_path / "manifest.jsonl").write_text("".join(f"{json_text(line)}\n" for line in lines))
    assert missing(wanted, tmp_path) == wanted  # neither is refused as made from another seed
    lines[0]["seed"] = "7"
    (tmp_path / "manifest.jsonl").write_text(f"{json_text(lines[0])}\n")
    with pytest.raises(ImindexError, match="was made with seed '7'"):
        missing(wanted, tmp_path)


def test_numbers_that_are_not_finite_become_null() -> None:
    odd = {"a": float("nan"), "b": [np.float32("inf"), np.array([1.0, -np.inf])], "c": (np.float64("nan"),)}
    assert parse_json(json_text(odd), finite=True) == {"a": None, "b": [None, [1.0, None]], "c": [None]}


MAY_DUMP = {
    "indexer/core/json_text.py", "indexer/core/digest.py", "stats/keyed.py", "indexer/core/spreadsheet.py",
    "indexer/terminal/table.py",
    "retrieval/results/schema.py", "retrieval/audit/plan_template.py", "retrieval/audit/demo.py",
    "indexer/demo/diffusion/__init__.py", "indexer/encoders/open_clip.py", "indexer/system/locks.py",
    "indexer/system/child_process.py", "indexer/sources/parquet_worker.py",
}  # fmt: skip
"""Besides the helper: digests, TOML strings, cells of tables, files of other libraries, and pipes between processes."""


def test_json_for_others_goes_through_one_writer() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("indexer", "retrieval", "stats")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("dump", "dumps")
        if isinstance(node.value, ast.Name) and node.value.id == "json"
    }
    assert found <= MAY_DUMP
