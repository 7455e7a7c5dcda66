"""Whatever a pipeline raises is an error for people: class, message, picture, and what is kept; no NaN in any JSON."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner

import imindex
from imindex import main
from imindex.indexer.core.digest import canonical_json, json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders import load as encoder_load
from imindex.indexer.generate import pipeline as generate_pipeline
from imindex.indexer.generate.generate import ModelSettings
from imindex.indexer.generate.release_folder import read_manifest
from imindex.indexer.sources.find import find
from tests.support.generating import ASKED, maker
from tests.support.models import save_model

ROOT = Path(imindex.__file__).parent


class PanicException(BaseException):
    """What a library in Rust raises; it is no Exception."""


RAISED = (
    AttributeError("'X' object has no attribute 'init_noise_sigma'"), KeyError("sample"), IndexError("index 3"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"), AssertionError(), NotImplementedError("flash"),
    ZeroDivisionError("division by zero"), OSError(5, "Input/output error"), PanicException("index out of range"),
    ValueError("`height` has to be divisible by 8"), TypeError("unexpected keyword"), StopIteration("end"),
)  # fmt: skip


@pytest.fixture
def make(model: Callable, tmp_path: Path) -> Callable:
    return maker(model, tmp_path)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, after: int) -> None:
    """Let the forward pass raise an error after some batches."""
    forward, calls = generate_pipeline.Pipeline._forward, [0]

    def fails(self: Any, batch: Any) -> Any:
        calls[0] += 1
        if calls[0] > after:
            raise error
        return forward(self, batch)

    monkeypatch.setattr(generate_pipeline.Pipeline, "_forward", fails)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_every_exception_names_class_picture_and_what_is_kept(
    make: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, error, after=1)
        with pytest.raises(ImindexError) as raised:
            make("out", ASKED[:4], batch_size=2)
    said, third = str(raised.value), ASKED[2]
    for part in (type(error).__name__, third.path, third.prompt, str(third.seed), "kept", "imindex --debug"):
        assert part in said
    assert raised.value.__cause__ is error
    assert ("rejects these settings" in said) == isinstance(error, (ValueError, TypeError))
    report = make("out", ASKED[:4], batch_size=2)
    assert (report.there, report.made) == (2, 2)


def test_interruptions_are_no_errors_of_the_pipeline(make: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt(), after=0)
    with pytest.raises(KeyboardInterrupt):
        make("out", ASKED[:1])


@pytest.mark.parametrize("debug", [False, True])
def test_debug_shows_the_traceback(
    model: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    monkeypatch.delenv("IMINDEX_DEBUG", raising=False)
    failing(monkeypatch, KeyError("sample"), after=0)
    words = [
        "generate",
        "--model",
        model("sd"),
        "--artist",
        "Ada",
        "--per-artist",
        1,
        "--steps",
        1,
        "--device",
        "cpu",
    ]
    asked = ["--debug"] * debug + [*map(str, words), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 1
    assert ("Traceback (most recent call last)" in result.stderr) == debug
    assert "failed at the picture" in result.stderr and "KeyError" in result.stderr
    assert "IMINDEX_DEBUG" not in __import__("os").environ


def test_a_broken_tokenizer_is_an_error(make: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any, shots: Any) -> str:
        class Broken:
            model_max_length = 3

            def __call__(self, prompts: list[str]) -> Any:
                raise KeyError("input_ids")

        self._pipe = type("Pipe", (), {"components": {"tokenizer": Broken()}})()
        return note(self, shots)

    note = generate_pipeline.Pipeline.note_on_long_prompts
    monkeypatch.setattr(generate_pipeline.Pipeline, "note_on_long_prompts", fails)
    with pytest.raises(ImindexError, match=r"The tokenizer of .* failed: KeyError"):
        make("out", ASKED[:1])


# Numbers that are not finite


def numeric_options() -> list[tuple[list[str], str]]:
    """Return every option of every command that takes a number, with the words of the command."""
    found = []

    def visit(command: click.Command, words: list[str]) -> None:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                visit(inner, [*words, name])
        found.extend(
            (words, option.opts[0])
            for option in command.params
            if isinstance(option, click.Option)
            and isinstance(option.type, (click.types.FloatParamType, click.types.IntParamType))
        )

    visit(main, [])
    return found


def test_every_numeric_option_refuses_what_is_not_finite() -> None:
    options = numeric_options()
    assert (
        (["generate"], "--guidance") in options
        and (["generate"], "--lora-scale") in options
        and len(options) > 20
    )
    for words, option in options:
        for value in ("nan", "inf", "-inf", "1e999"):
            result = CliRunner().invoke(main, [*words, f"{option}={value}"])
            assert result.exit_code == 2 and option in result.stderr, (words, option, value, result.stderr)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_settings_that_are_not_finite_are_refused(value: float) -> None:
    for name in ("guidance", "lora_scale"):
        with pytest.raises(ImindexError, match=f"{name} is"):
            ModelSettings("m", **{name: value})


def test_all_json_is_written_without_nan() -> None:
    """Strict readers, and jq, stop at NaN and Infinity. One digest includes them, and is never stored as text."""
    loose = []
    for folder in ("indexer", "retrieval", "stats"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dumps", "json.dump")):
                    continue
                strict = any(
                    word.arg == "allow_nan" and ast.unparse(word.value) == "False" for word in node.keywords
                )
                if not strict:
                    loose.append(f"{file.relative_to(ROOT)}: {ast.unparse(node)}")
    assert [line.partition(":")[0] for line in loose] == ["indexer/core/digest.py"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": math.nan})
    assert len(json_digest({"lambda_min_clipped": -math.inf})) == 64


def test_nan_in_a_manifest_of_an_older_version_is_told(tmp_path: Path) -> None:
    line = {
        "path": "a.png",
        "sha256": "0" * 64,
        "prompt": "p",
        "seed": 1,
        "blocked": None,
        "guidance": math.nan,
    }
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(ImindexError, match=r"line 1 cannot be read: NaN is not a finite number"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("seed", [math.inf, -math.inf, 1e300])
def test_numbers_of_parquet_manifests_that_are_no_seeds_are_refused(tmp_path: Path, seed: float) -> None:
    table = pyarrow.table({"path": ["a.png"], "artist": ["Ada"], "kind": ["works"], "seed": [seed]})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(ImindexError, match=r"row 1: seed .* is not an integer"):
        list(find([tmp_path / "m.parquet"]))


def test_the_configuration_of_an_encoder_must_be_finite(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "tiny", seed=3)
    file = folder / "open_clip_config.json"
    settings = json.loads(file.read_text())
    settings["model_cfg"]["init_logit_scale"] = math.nan
    file.write_text(json.dumps(settings))
    with pytest.raises(ImindexError, match="not finite"):
        encoder_load.load(f"local-dir:{folder}", device="cpu")
